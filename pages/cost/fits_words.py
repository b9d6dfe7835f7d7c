"""The words of the lesson on memory (pages/cost/fits.py)."""

VIEWS = RUN, TRAIN, KINDS = "To write with it", "To train it", "Caches by kind"

LOOK_FOR = {
    RUN: "\\residual{Weights} are a flat floor. \\key{Keys} and \\value{values} grow with every token of every text: where "
         "the stack crosses the dashed line, the card is full.",
    TRAIN: "A parameter costs 16 bytes in training, whatever the precision: its gradient and AdamW's two moments come "
           "along. What grows with the text are the \\attention{activations} that the backward pass looks back at.",
    KINDS: "The weights leave the room under the dashed line. How far each line runs beneath it is the longest text: the "
           "kind of attention decides it, not the FLOPs.",
}  # fmt: skip

RUNS = (
    r"M = \residual{P \cdot \text{bits}/8} + M_\text{cache}",
    r"M_\text{cache} = (\key{n\,h_{kv}d_k L}+\value{n\,h_{kv}d_k L}) \cdot B \cdot 2",
)
TRAINS = (
    r"M = \residual{P b} + \ffn{P b} + \query{P\,m} + \attention{\text{activations}(n, B)}",
    r"\text{float32: } b + b + m = 4 + 4 + 8 = 16", r"\text{16 bits: } b + b + m = 2 + 2 + 12 = 16",
)
BY_KIND = (
    r"\text{a token: } 2\,L \cdot \begin{cases} 2\,h\,d_k & \text{MHA}\\ 2\,\key{h_{kv}}\,d_k & \text{GQA}\\ 2\,d_k & "
    r"\text{MQA}\\ r + d_R & \text{latent}\end{cases}\ \text{bytes}",
)
FORMULAS = {RUN: RUNS, TRAIN: TRAINS, KINDS: BY_KIND}

SNIPPET = """
from dataclasses import replace
from transformer import PRESETS, Config, cost, memory

config = {config}
held = memory.serving(config, {n}, batch={batch}, weight_bits={bits})
print(held, sum(held) / 1e9, "GB")                                  # to write with it
print(memory.longest_served(config, int({card} * 2**30), batch={batch}, weight_bits={bits}), "tokens fit")

kept = memory.activation_law(config, {kept!r})({n}, {batch})      # bytes in float32
print(memory.training(config, {n}, {batch}, bytes_per_value={width}, master={master})[:3], kept * {width} // 4)
"""

PROSE = {
    RUN: {
        "what": "To write, a model needs its $P$ \\residual{weights} and the \\key{keys} and \\value{values} of all tokens that "
                "it may still attend to. Weights are there once, however many texts are written at the same time. The cache "
                "is there once for **each** of $B$ texts, and each new token adds a key and a value of $d_k$ numbers for each of "
                "$h_{kv}$ key heads in each of $L$ layers, two bytes a number.",
        "why": "A server earns by writing many texts at once: the weights are read from memory once a step for all of them. "
               "How many texts fit is (card − weights) ÷ (bytes of cache of one text), so the cache, not the "
               "arithmetic, often sets the price of a long context. Weights in 4 bits make room for it; they do not make it "
               "smaller. Held and moved bytes of any model side by side: the [cost calculator](calculator).",
        "catch": "A card of 80 GB holds 80 · 2³⁰ bytes, 85.9 GB as drawn here, and never all of it is free: a layer's passing "
                 "tensors, the libraries' workspace and gaps between blocks take some more, often 1–3 GB. What is drawn "
                 "here is the **least**. And quantised weights carry scales: 4 bits are 4.25–4.5 in practice.",
    },
    TRAIN: {
        "what": "Training keeps four things: the $P$ \\residual{weights} and a \\ffn{gradient} for each, $b$ bytes a number; "
                "\\query{AdamW's two moments} for each, always in float32, $m$ bytes together; and the "
                "\\attention{activations}: whatever the backward pass needs of the forward pass. The first three depend on the "
                "model alone. The activations are counted, not estimated: the model runs on tensors that have shapes and no "
                "memory, and what autograd saves is added up.",
        "why": "This is why a model that runs on a laptop cannot be trained there, and what each way out buys. *Recomputing* "
               "keeps only each layer's input and makes the rest again in the backward pass: one more forward pass, about a "
               "third more FLOPs. Fused attention keeps no n × n table. Splitting optimiser, gradients and weights over "
               "cards (ZeRO) divides the first three; small batches, added up, divide the last.",
        "catch": "“16 bits halve the memory” is true of the activations alone. Mixed precision keeps float32 master weights "
                 "beside the 16-bit ones: 2 + 2 + 4 + 8 = 16 bytes a parameter, exactly as many as 4 + 4 + 8 in float32.",
    },
    KINDS: {
        "what": "One model, its attention built in four ways, everything else kept. **MHA** stores a key and a value for "
                "each query head; **GQA** for each group; **MQA** one for all; a **latent** one short vector of $r$ numbers, "
                "from which all heads' keys and values are made, and a small rotated key of $d_R$.",
        "why": "The picture is on two logarithmic axes: all lines have slope 1, and what a kind saves is a shift to the "
               "right, the same factor at every length. That factor is the number of texts that a server writes at once, and "
               "the number of bytes that a decoding step reads.",
        "catch": "The kinds here are arithmetic, not offers: a model must be **trained** with its kind, or be converted at a "
                 "price. [Heads that share keys](shared-heads) measures that price. A window is another way out: it bounds the "
                 "cache at w tokens, and the line turns flat.",
    },
}  # fmt: skip

INTERVIEW = [
    ("How many bytes does training need for each parameter, and where do they go?",
     "Float32: weight 4, gradient 4, AdamW's m and v 8: 16. Mixed precision: 2 + 2, and in the optimiser 12 (float32 master "
     "weight, m, v): 16 as well. So 7 billion parameters take 112 GB before the first activation; SGD without momentum would "
     "take 8 bytes. Activations come on top and grow with batch × length."),
    ("A 7B model in 16 bits runs on a 24 GB card. What limits the number of users, and what helps?",
     "Weights take 14 GB; the rest is cache. With MHA (32 layers, 32 heads of 128) a token takes "
     "2 · 32 · 32 · 128 · 2 = 0.52 MB, so 4,096 tokens take 2.1 GB: about five texts. Grouped heads (8 of 32) give four times "
     "as many, an 8-bit cache twice, 4-bit weights free 10 GB, a window bounds each text; paging the cache wastes no room on "
     "texts that stay short."),
    ("What does gradient checkpointing store and cost?",
     "The input of each layer, n·d numbers a text, and the activations of one layer at a time while its backward pass runs. "
     "It costs one more forward pass: about 4/3 of the FLOPs of a step. With checkpoints at every √L-th layer alone it is "
     "O(√L) memory at the same cost."),
    ("Why does the KV cache keep K and V, and not Q?",
     "An old query is never used again: its row of the output is done. Every later query needs all old keys and values. So "
     "the cache holds 2·n·h_kv·d_k·L numbers a text, and heads that share keys shrink it although all h query heads stay."),
]  # fmt: skip
SOURCES = [
    "Rajbhandari et al. 2020, *ZeRO*, [arXiv:1910.02054](https://arxiv.org/abs/1910.02054), §3: 16 bytes a parameter",
    "Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*, [arXiv:1604.06174](https://arxiv.org/abs/1604.06174)",
    "Korthikanti et al. 2022, *Reducing Activation Recomputation*, [arXiv:2205.05198](https://arxiv.org/abs/2205.05198)",
    "Pope et al. 2022, *Efficiently Scaling Transformer Inference*, [arXiv:2211.05102](https://arxiv.org/abs/2211.05102)",
    "Kwon et al. 2023, *PagedAttention*, [arXiv:2309.06180](https://arxiv.org/abs/2309.06180)",
]
