"""The words of the lesson on heads that share keys (pages/attention/heads.py)."""

VIEWS = WIRING, BYTES, COST = "The wiring", "Bytes in real models", "What it costs"

LOOK_FOR = {
    WIRING: "Move the slider from one key/value head for each query head (MHA) to one for all (MQA): lines meet, the "
            "cache shrinks, and each map shows what its head makes of keys that it now shares.",
    BYTES: "Every full-coloured bar is a real model's own choice. The axis is logarithmic: the same step to the left "
           "is "
           "the same factor saved. A latent weighs about as much as two shared heads.",
    COST: "At the same number of kept values, a latent that is fitted to the weights loses less than averaging "
          "heads. Neither was trained on: this is the price of the conversion alone.",
}

FORMULAS = {
    WIRING: (
        r"\query{Q_i} = x W_Q^{(i)}\text{ reads } g(i) = \lfloor i \, / \, (h/\key{h_{kv}}) \rfloor",
        r"z_i = \operatorname{softmax}\!\left(\query{Q_i}\,\key{K_{g(i)}}^\top/\sqrt{d_k}\right)\value{V_{g(i)}}",
        r"\text{converted: } \key{K_g} = \operatorname{mean}_{j \in g}\, \key{K_j}\text{, likewise } \value{V_g}",
    ),
    BYTES: (
        r"\text{cache} = 2 \cdot n \cdot \key{h_{kv}} \cdot d_k \cdot L \text{ numbers}",
        r"\text{latent: } n \cdot (\value{r} + d_R) \cdot L \text{ numbers}",
    ),
    COST: (
        r"\value{c} = x\,W_{D} \in \mathbb{R}^r",
        r"\key{K} = \value{c}\,W_{UK},\quad \value{V} = \value{c}\,W_{UV}",
        r"\text{SVD: } [W_K; W_V] \approx U_r U_r^\top [W_K; W_V]",
    ),
}  # fmt: skip

SNIPPET = """
import transformer
from transformer import cost
from transformer.experiments import sharing

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
run = model.run(ids, record=("layers.{layer}.attention.[QKA]",))
Q, K, A = (run.trace["layers.{layer}.attention." + part][0] for part in "QKA")
h_kv = {h_kv}
shared = sharing.weights_of(Q, sharing.regroup(K, h_kv), model.config)   # [head, query, key]
print([round(x, 4) for x in sharing.moved(A, shared).tolist()])          # what stands under the maps

fewer = sharing.regrouped(model, h_kv)                                   # every layer, really converted
print(fewer.config.n_kv_heads, fewer.run(ids).output.shape)
print(2 * h_kv * model.config.d_head * model.config.n_layers * 2, "bytes of cache a token")
"""

PROSE = {
    "what": "Multi-head attention (MHA) gives each of the $h$ \\query{query} heads a \\key{key} and a \\value{value} "
            "head of its own. "
            "Multi-query attention (MQA) lets all of them read **one**; grouped-query attention (GQA) lies between. "
            "Nothing "
            "else changes: the $h$ queries still make $h$ different maps. So they are one mechanism: GQA with "
            "$h_{kv} = h$ is MHA, with $h_{kv} = 1$ MQA. Slide beyond what the model was trained with: the new heads "
            "are copies, and every map "
            "says “same”. Slide below: keys are averaged, as GQA's authors convert a trained model before they train "
            "on.\n\n"
            "A **latent** (DeepSeek's MLA) keeps one short vector $c$ a token and makes every head's key $c\\,W_{UK}$ "
            "and value $c\\,W_{UV}$ "
            "from it. In decoding, $W_{UK}$ is taken into the query and $W_{UV}$ into the output, so the heads read "
            "$c$ itself. RoPE stands in "
            "the way, as a rotation between the two matrices would keep them apart, hence a small rotated key, $d_R$ "
            "wide, beside $c$.",
    "why": "Decoding reads all of $K$ and $V$ for each new token, so the cache costs memory *and* time. $h_{kv}$ cuts "
           "both by "
           "$h/h_{kv}$. It saves few FLOPs: scores and $z$ are still computed for $h$ heads, only the projections "
           "$W_K$, $W_V$ shrink. And "
           "heads themselves are nearly free: $h$ heads of width $d/h$ take the same $8nd^2 + 4n^2d$ FLOPs and the "
           "same "
           "parameters as one head of width $d$. They buy $h$ different softmaxes, each of a lower rank.",
    "catch": "Fewer key/value heads do not mean fewer heads, and MQA is not “one head”: all $h$ queries stay. "
             "Averaging is no "
             "compression that a model survives by itself: the numbers under the maps and in the third picture are "
             "**before** any further training; GQA's "
             "authors train on for 5 % of the original steps. Nor is the latent free: its keys must be made anew, or "
             "absorbed; "
             "a joint latent with ordinary RoPE, as in the third picture, must turn its keys again at each step.",
}  # fmt: skip

INTERVIEW = [
    ("Why is GQA the usual choice and not MQA?",
     "MQA's single key head costs quality and makes training less stable; GQA with about 8 heads comes close to MHA "
     "at a fraction of its "
     "cache. Hardware agrees: with tensor parallelism over 8 devices each wants a key/value head of its own; with MQA "
     "the one "
     "head is copied to all of them, so going below the number of devices saves nothing per device."),
    ("What do you save with h_kv = h/8: parameters, FLOPs, memory, time?",
     "Cache and its traffic: a factor 8. $W_K$ and $W_V$: a factor 8 of two of the four projections. FLOPs of scores "
     "and $z$: "
     "nothing. Prefill is hardly faster (bound by arithmetic); decoding of long texts and large batches is, since it "
     "waits for the cache. Each "
     "key that is fetched now serves 8 queries, so arithmetic per byte rises 8 times."),
    ("How does multi-head latent attention beat GQA at the same cache, and what does RoPE have to do with it?",
     "Heads that share in GQA get the **same** key. From a latent of rank $r$ each head makes a **different** key, "
     "$c\\,W_{UK}^{(i)}$, so "
     "the restriction is on the joint rank, not on equality. $q_i \\cdot k = (q_i W_{UK}^{(i)\\top}) \\cdot c$: "
     "absorbed, all heads read $c$ as one wide MQA head. "
     "RoPE would put $R_{m-n}$ between $q$ and $W_{UK}$, different for each distance, so it could not be absorbed: "
     "MLA gives position a part of its own, "
     "$d_R$ coordinates shared by all heads. DeepSeek-V2 keeps 512 + 64 numbers a layer, where 128 heads of 128 would "
     "keep 32,768."),
    ("Does a model with more heads cost more?",
     "Not at constant $d$: $d_k = d/h$, and $h \\cdot n^2 \\cdot d_k = n^2 d$. Parameters are equal too. What grows "
     "is the number of $n \\times n$ maps ($h$ "
     "softmaxes), and what shrinks is $d_k$, the rank of each head's scores: too narrow heads cannot tell keys apart."),
]  # fmt: skip

SOURCES = [
    "Shazeer 2019, [One Write-Head is All You Need](https://arxiv.org/abs/1911.02150): multi-query attention.",
    "Ainslie et al. 2023, [GQA](https://arxiv.org/abs/2305.13245): grouped queries, and mean-pooling a trained model "
    "(§2.1).",
    "DeepSeek-AI 2024, [DeepSeek-V2](https://arxiv.org/abs/2405.04434), §2.1: multi-head latent attention; sizes in "
    "its §3.1.2.",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.2.2: heads at constant "
    "cost.",
]  # fmt: skip

OPTIONS = ("less than a tenth", "a tenth to a half", "more than half")


def predict(h: int, mha: int, mqa: int, scores: int) -> dict:
    """FLOPs of one layer stack with MHA and MQA: the answer is by the closed forms."""
    share = 1 - mqa / mha
    return {
        "question": f"All {h} query heads share one key/value head (MQA), where each had its own. How many of attention's "
                    "FLOPs does that save, projections included, for 1,024 tokens?",
        "options": OPTIONS, "answer": OPTIONS[0] if share < 0.1 else OPTIONS[1] if share <= 0.5 else OPTIONS[2],
        "reveal": f"{share:.0%}: only $W_K$ and $W_V$ shrink. All {h} queries still meet every key: the scores take "
                  f"{scores / 1e6:,.0f} MFLOP before and after. The cache shrinks {h} times. That is what sharing is for.",
    }  # fmt: skip
