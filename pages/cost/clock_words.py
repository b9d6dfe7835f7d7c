"""The words of the lesson on time (pages/cost/clock.py)."""

VIEWS = ANY, HERE = "On any machine", "Predicted and measured"

LOOK_FOR = {
    ANY: "Move “Pass” from reading to writing: the black line falls far below the dashed ridge. Then the machine waits for "
         "memory, and most of its arithmetic idles, until more texts are written at once.",
    HERE: "The dashed line is the least time that the peak and bandwidth measured here allow. How far a real model lies "
          "above it is what its code, its caches and its many small steps cost; below it, the peak was measured too low.",
}  # fmt: skip

FORMULAS = {
    ANY: (
        r"t \ge \sum_{\text{parts}} \max\!\left(\frac{\text{FLOPs}}{\text{peak}},\ \frac{\text{bytes}}{\text{bandwidth}}\right)",
        r"\text{ridge} = \frac{\text{peak}}{\text{bandwidth}}\ \left[\frac{\text{FLOPs}}{\text{byte}}\right]",
    ),
    HERE: (
        r"\text{read: } t \ge \sum \max\!\left(\frac{\text{FLOPs}(n)}{\text{peak}}, \frac{\text{bytes}(n)}{\text{bandwidth}}\right)",
        r"\text{write: } t \gtrsim \frac{4P + \text{cache}(n)}{\text{bandwidth}}",
    ),
}  # fmt: skip

SNIPPET = """
from transformer import PRESETS, Config, roofline

config = {config}
machine = roofline.Machine({machine_name!r}, {flops!r}, {bandwidth!r})
parts = {work}
for part, (flops, traffic, seconds, bound) in roofline.on(machine, parts).items():
    print(f"{{part:10}} {{seconds * 1e3:12.4f}} ms  {{flops / traffic:9.1f}} FLOPs a byte, bound by {{bound}}")
print("all", roofline.seconds(roofline.on(machine, parts)) * 1e3, "ms; ridge", machine.ridge)
"""

PROSE = {
    ANY: {
        "what": "A machine does two things at once: it computes, at most *peak* FLOPs a second, and it moves bytes, at most "
                "*bandwidth* a second. Each part of a pass takes as long as the slower of the two. Divide a part's FLOPs by "
                "its bytes: that is its **intensity**. Above the machine's ridge it is bound by arithmetic, below it by "
                "memory.",
        "why": "Reading a text, every weight that is fetched serves all $n$ tokens: high intensity. Writing, it serves **one** "
               "token of each text: about one FLOP for each byte of 16-bit weights, where an A100 could do 150. So writing at "
               "batch 1 takes as long as reading all weights once, whatever the FLOPs. Batches, grouped heads, quantised "
               "weights and speculative decoding are all ways to fetch fewer bytes for a token. Each part with weights and cache in "
               "bits of their own: the [cost calculator](calculator).",
        "catch": "A larger batch lifts the \\ffn{FFN} and the projections over the ridge, but never \\scores{S} and \\attention{z}: "
                 "every text has **its own** cache, so its keys and values serve one query. With long texts writing stays bound "
                 "by memory at any batch. And the roofline is a floor: small models on large machines are bound by "
                 "neither, but by the time it takes to start thousands of small kernels.",
    },
    HERE: {
        "what": "Both ceilings are measured on the machine itself, one thread: its arithmetic by a product of two square matrices, "
                "its bandwidth by copying 128 MB. To write, all $P$ parameters pass at 4 bytes each. "
                "Then the model reads $n$ tokens and writes one after them, and the medians stand beside what the two ceilings allow at least.",
        "why": "A prediction that was never held against a clock is worth little. The geometric mean of measured ÷ least says "
               "how good the model of the machine is: near 1 for long texts, where large products do nearly all the work; "
               "larger where steps are small.",
        "catch": "It is a model of the machine, not of the code: it counts matrix products alone. Norms, softmax, rotations "
                 "and the interpreter come on top, the more of them the smaller the step. And a “peak” that was measured "
                 "while others used the machine can be beaten: then the quotient falls below 1.",
    },
}  # fmt: skip

INTERVIEW = [
    ("Why is decoding bound by memory, and from which batch size on is it not?",
     "A weight of b bytes is fetched once a step and used in one multiply-accumulate for each text: 2·B/b FLOPs a byte, B at "
     "16 bits. It reaches the ridge at B ≈ ridge: about 153 on an A100 (312 TFLOP/s ÷ 2.04 TB/s), if the cache did not count. "
     "It does: attention over the cache has the intensity of grouped heads, h/h_kv, at any batch."),
    ("A 7B model in 16 bits on an A100: how many tokens a second can it write at batch 1?",
     "All weights pass once a token: 2 · 6.7·10⁹ bytes ÷ 2.04·10¹² bytes/s = 6.6 ms, so at most about 150 tokens a second, "
     "whatever the FLOPs (0.043 ms of arithmetic). Eight-bit weights give at most 300."),
    ("How long does training take, from N, D and the machine?",
     "FLOPs ≈ 6·N·D (forward 2, backward 4 a parameter and token), divided by machines × peak × the share that is reached "
     "(30–50 % is good). AdamW's update is bound by memory, 28 bytes a parameter in float32, and matters only for small "
     "batches."),
    ("What do prefill and decode want from hardware, and why do servers separate them?",
     "Prefill has high intensity and wants arithmetic; decode wants bandwidth and memory for caches. Mixed on one device, a "
     "long prompt stalls everyone's next token; split, each runs near its own ceiling (or prompts are read in chunks between "
     "steps)."),
]  # fmt: skip
SOURCES = [
    "Williams, Waterman, Patterson 2009, *Roofline*, [doi:10.1145/1498765.1498785](https://doi.org/10.1145/1498765.1498785)",
    "Pope et al. 2022, *Efficiently Scaling Transformer Inference*, [arXiv:2211.05102](https://arxiv.org/abs/2211.05102)",
    "Shazeer 2019, *Fast Transformer Decoding*, [arXiv:1911.02150](https://arxiv.org/abs/1911.02150): why decoding waits for K and V",
    "Makers' data sheets of T4, RTX 4090, A100 80 GB SXM and H100 SXM: dense 16-bit products, memory bandwidth",
]
