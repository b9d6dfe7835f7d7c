"""The words of the cost calculator (pages/cost/calculator.py), and its formulas for any config."""

from collections.abc import Mapping

from charts.calculator import PARTS
from transformer import PRESETS, Config, calculator, cost, roofline
from transformer.roofline import MACHINES

LOOK_FOR = (
    "Follow \\ffn{FFN} from the first bar to the last. Then choose what is done: reading, its time is arithmetic; writing, the "
    "same weights are hatched: it waits for memory. More texts at once, or fewer bits, and the hatching moves."
)

FFN = {False: r"\ffn{2\,d\,d_{ff}}", True: r"\ffn{3\,d\,d_{ff}}"}  # gated or not


def formula(config: Config, doing: calculator.Doing) -> str:
    """FLOPs, bytes held, bytes moved and seconds of a pass: t new tokens in each of B texts, each meeting m keys."""
    both = r"(\key{K} + \value{V})"
    times, held, moved, met = "", r"P\,b_w + Y\,b", rf"W\,b_w + \big[2{both} + X\big]\,b", "m"
    if doing == "train":
        times, held, moved = r"3 \cdot ", r"16\,P + Y\,b", rf"3\,\big[W + 2{both} + X\big]\,b + 28\,P"
    elif calculator.keeps(config, doing):
        held, moved, met = rf"P\,b_w + {both}\,b_c + Y\,b", rf"W\,b_w + {'' if doing == 'write' else 2}{both}\,b_c + X\,b", "n"
    head = r" + \output{d\,V}" if config.head == "lm" else ""
    experts = r"\cdot k" if config.experts > 1 else ""
    lines = [
        rf"\text{{FLOPs}} \approx {times}2\,B\,t\,\big[L\,(a + s + f){head}\big]",
        r"a = d\,(\query{hd_k} + \key{h_{kv}d_k} + \value{h_{kv}d_k} + \residual{hd_k})",
        rf"s = m\,(\scores{{hd_k}} + \attention{{hd_k}}),\quad f = {FFN[config.gated]}{experts}",
        rf"\text{{held}} = {held}",
        rf"\key{{K}} = \value{{V}} = {met}\,h_{{kv}}\,d_k\,L\,B",
        rf"\text{{moved}} \approx {moved}",
        r"\text{time} \ge \sum \max\!\left(\frac{\text{FLOPs}}{\text{peak}},\,\frac{\text{moved}}{\text{bandwidth}}\right)",
    ]
    return r"\begin{gathered}" + r"\\[.5em]".join(lines) + r"\end{gathered}"


def numbers(parts: Mapping[str, calculator.Cost], machine: roofline.Machine) -> str:
    """Each part's own line: FLOPs and bytes over what the machine does of them in a second."""
    lines = []
    for name, part in calculator.seconds(dict(parts), machine).items():
        role = PARTS[name][2]
        text = rf"\text{{{PLAIN[name]}: }} \max\!\left(\tfrac{{{tex(part.flops)}}}{{{tex(machine.flops)}}},\,"
        text += rf"\tfrac{{{tex(part.traffic)}}}{{{tex(machine.bandwidth)}}}\right) = {part.seconds * 1e3:.3g}\text{{ ms}}"
        lines.append(rf"\{role}{{{text}}}" if role in ROLES else text)
    P, held = sum(part.parameters for part in parts.values()), sum(part.held for part in parts.values())
    lines.append(rf"P = {whole(P)},\quad \text{{held }} {whole(held)}\text{{ bytes}}")
    return r"\small\begin{gathered}" + r"\\[.3em]".join(lines) + r"\end{gathered}"


SYMBOLS = ("$t$ new tokens in each of $B$ texts meet $m$ keys each, in $L$ layers of projections $a$, scores and their sums $s$, FFN "
           "$f$. $P$ weights are held and $W$ of them read; $K$, $V$ are the numbers that keys "
           "and values have, $X$ those that pass from product to product; ")
OF_A_PASS = "$Y$ of them must be there at once. A number of each takes $b_w$, $b_c$, $b$ bytes."
OF_A_STEP = ("$Y$ are those that the backward pass looks back at, each of $b$ bytes. Backward costs twice what forward did, hence 3; a weight, "
             "its gradient and AdamW's numbers take 16 bytes, and the update moves 28.")


def symbols(config: Config, doing: calculator.Doing) -> str:
    """What the letters of ``formula`` are."""
    more = ["The $V$ of $dV$ is the vocabulary."] if config.head == "lm" else []
    more += ["$k$ experts see each token."] if config.experts > 1 else []
    return " ".join([SYMBOLS + (OF_A_STEP if doing == "train" else OF_A_PASS), *more, "The sum is over parts."])


def taken(config: Config) -> str:
    """What a pasted config was understood as."""
    heads = f"{config.n_heads} heads" + (f" on {config.n_kv_heads} of keys and values" if config.n_kv_heads != config.n_heads else "")
    return (f"Taken: {KINDS[config.kind]} of {config.n_layers} layers, d = {config.d_model:,}, {heads}, d_ff = {config.d_ff:,}, "
            f"{sum(calculator.parameters(config).values()):,} parameters.")


KINDS = {"decoder": "a decoder", "encoder": "an encoder", "encoder-decoder": "an encoder–decoder", "vision": "an encoder of images"}
PLAIN = {"embedding": "embedding", "encoder": "encoder", "Q": "Q", "K": "K", "V": "V", "scores": "S", "z": "z", "out": "O",
         "cross": "cross", "ffn": "FFN", "logits": "logits", "optimiser": "AdamW"}  # fmt: skip
ROLES = {"query", "key", "value", "scores", "attention", "ffn", "residual", "output"}


def tex(number: float) -> str:
    mantissa, exponent = f"{number:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def whole(number: int) -> str:
    return f"{number:,}".replace(",", r"\,")


SNIPPET = """
from dataclasses import replace
from transformer import PRESETS, Config, calculator, load, memory, roofline

config = {config}
machine = roofline.Machine({machine!r}, {flops!r}, {bandwidth!r})
law = {law}
parts = calculator.bill(config, {doing!r}, n={n}, batch={batch}, weight_bits={weights}, cache_bits={cache}, law=law)
least = calculator.seconds(parts, machine)
for name, part in parts.items():
    took = f"{{least[name].seconds * 1e3:10.4f}} ms, {{least[name].bound}}" if name in least else ""
    print(f"{{name:12}} {{part.parameters:>15,}} {{part.flops:>22,}} FLOPs {{part.moved:>18,}} moved {{part.held:>18,}} held {{took}}")
totals = [sum(column) for column in zip(*parts.values())]
print("all", *totals, roofline.seconds(least) * 1e3, "ms")
"""

OF_PASSING = {"activations": "The stream of all new tokens, and the widest result of one part of one layer: the least that must be "
                             "there at once."}  # fmt: skip
OF_TRAINING = {
    "activations": "What autograd saves for the backward pass, counted on tensors that have shapes and no memory.",
    "gradients": "One for each parameter, in the precision of the weights.",
    "optimiser": "AdamW: two moments of 4 bytes a parameter, and 4 more for a float32 copy of 16-bit weights. Its update moves 28 "
                 "bytes a parameter, for some 12 FLOPs.",
}  # fmt: skip

PROSE = {
    "what": "One model, one thing that is done with it, one machine; five answers, part by part. **Parameters** and **FLOPs** "
            "are counted in closed form, equal to what PyTorch builds and counts. **Bytes held** are weights, the "
            "\\key{keys} and \\value{values} kept, and what must be there at once while it runs; training adds gradients, AdamW's "
            "moments and all that the backward pass looks back at. **Bytes moved** are each product's operands and result, "
            "once. The **least time** of a part is the longer of its arithmetic and its traffic.",
    "why": "Whether a model fits, what a token costs and what to buy follow from these five numbers, before anything is "
           "rented or downloaded. The ribbons between the bars are the point: a part that is most of the parameters can be "
           "little of the time, and what is hatched is not helped by a faster chip, only by fewer bytes or by more texts that "
           "share them. More: [Where the FLOPs go](flops), [What fits in memory](what-fits), [How long it takes](time).",
    "catch": "It is a **bound, not a forecast**: norms, softmax, the interpreter, the start of each kernel and what several "
             "machines say to one another are left out. “Peak” is what a data sheet promises for large products in 16 bits, and counts "
             "for all: float32 is slower on those cards, and quantised weights are widened first (their scales are not counted). "
             "Nor is it a bound for every trick: a causal kernel skips up to half of the n × n products counted here, and a "
             "server that reads asks for the last token's logits alone. Scores are taken to stay on the chip (fused). Of "
             "experts, so many are read as tokens that choose evenly would need.",
}  # fmt: skip


def _milliseconds(doing: str, n: int, bits: int) -> float:
    parts = calculator.bill(PRESETS["llama-3-8b"], doing, n, weight_bits=bits)
    return 1e3 * roofline.seconds(calculator.seconds(parts, MACHINES["A100"]))


_WRITE16, _WRITE4 = (_milliseconds("write", 1024, bits) for bits in (16, 4))
_READ16, _READ4 = (_milliseconds("read", 4096, bits) for bits in (16, 4))
PREDICT = {
    "question": "Llama 3 8B writes one text on an A100, 1,024 tokens in the cache. Its weights are quantised from 16 bits to 4, the "
                "arithmetic stays what it is. How many times as fast can it write? And how many times as fast can it read 4,096 tokens?",
    "options": ["about 4 times, and no faster", "about 4 times, both", "no faster, either", "no faster, and about 4 times"],
    "answer": "about 4 times, and no faster",
    "reveal": f"Writing takes at least {_WRITE16:.2f} ms with 16 bits and {_WRITE4:.2f} ms with 4: {_WRITE16 / _WRITE4:.1f} times as "
              f"fast, since it waits for bytes. Reading takes {_READ16:.0f} ms and {_READ4:.0f} ms: each weight that is "
              "fetched serves 4,096 tokens, arithmetic is the bound, and there was nothing to save.",
}  # fmt: skip

_L8, _A100 = PRESETS["llama-3-8b"], MACHINES["A100"]
_P8 = sum(cost.parameters(_L8).values())
_KV8 = cost.kv_cache_bytes(_L8, 1)
_CACHE8 = _KV8 * 8192 * 32
INTERVIEW = [
    ("How much memory do you need to serve an 8B model to 32 users with 8,192 tokens each?",
     f"Weights: {_P8 / 1e9:.1f} B · 2 bytes = {2 * _P8 / 1e9:.0f} GB. Cache of Llama 3 8B ({_L8.n_layers} layers, {_L8.n_kv_heads} key heads "
     f"of {_L8.d_head}): 2 · {_L8.n_layers} · {_L8.n_kv_heads} · {_L8.d_head} · 2 bytes = {_KV8 / 1e3:.0f} kB a token, · 8,192 · 32 = "
     f"{_CACHE8 / 1e9:.0f} GB: {_CACHE8 / _P8 / 2:.1f} times the weights. Together {(_CACHE8 + 2 * _P8) / 1e9:.0f} GB, and some "
     "more for what passes."),
    ("Estimate tokens a second without a computer. When does a larger batch stop being free?",
     f"Writing one text: bandwidth ÷ bytes of the weights (A100, 8B in 16 bits: {_A100.bandwidth / 1e12:.2f} TB/s ÷ {2 * _P8 / 1e9:.0f} GB "
     f"≈ {_A100.bandwidth / _P8 / 2:.0f}). Reading: peak ÷ (2 · parameters): {_A100.flops / 1e12:.0f} T ÷ {2 * _P8 / 1e9:.0f} G ≈ "
     f"{_A100.flops / _P8 / 2:,.0f} a second. A 16-bit weight gives each text 2 FLOPs for its 2 bytes, so products with weights turn from "
     f"memory to arithmetic at a batch as large as the ridge, peak ÷ bandwidth ≈ {_A100.ridge:.0f}. The cache never turns: each text has "
     f"its own, and reading it is h / h_kv = {_L8.n_heads // _L8.n_kv_heads} FLOPs a byte (16 bits) at any batch."),
    ("What does training cost, in memory and in time?",
     f"Memory: 16 bytes a parameter (weight 2, gradient 2, float32 copy 4, AdamW's moments 4 + 4): {16 * _P8 / 1e9:.0f} GB for Llama 3 8B, "
     "before any activations; those grow with the tokens of a step. Time: 2 FLOPs a parameter and token forward, twice that "
     f"backward: 6 · parameters · tokens ÷ peak. A trillion tokens: {6e12 * _P8 / 1e21:.0f} · 10²¹ FLOPs, {6e12 * _P8 / _A100.flops / 86400:,.0f} days of one A100 "
     "at its peak; a good run reaches half of it."),
    ("Your measured time is twice the roofline. What do you look at?",
     "Whether the step is so small that starting kernels takes the time (batch it, capture a graph); whether what is not a product "
     "(norms, rotations, softmax, sampling) is fused; whether the peak is one that such small or narrow products reach; whether "
     "memory is read once, or a weight is copied, cast or read per text; and at last whether the measurement waited for the device."),
]  # fmt: skip
SOURCES = [
    "Kaplan et al. 2020, *Scaling Laws*, [arXiv:2001.08361](https://arxiv.org/abs/2001.08361), §2.1: parameters and FLOPs by part",
    "Pope et al. 2022, *Efficiently Scaling Transformer Inference*, [arXiv:2211.05102](https://arxiv.org/abs/2211.05102)",
    "Williams, Waterman, Patterson 2009, *Roofline*, [doi:10.1145/1498765.1498785](https://doi.org/10.1145/1498765.1498785)",
    "Dao et al. 2022, *FlashAttention*, [arXiv:2205.14135](https://arxiv.org/abs/2205.14135): scores that never leave the chip",
    "Makers' data sheets of T4, RTX 4090, A100 80 GB SXM and H100 SXM: dense 16-bit products, memory bandwidth",
]
