"""The words of the lesson on counting parameters (pages/block/parameters.py), and its formula for any config."""

from dataclasses import replace

from pages.block.parameters_frames import size
from transformer import PRESETS, Config, cost, weights

_SMOL = cost.parameters(PRESETS["smollm2-135m"])
_LAYERS = _SMOL["attention"] + _SMOL["ffn"]
LOOK_FOR = (
    f"Every weight is drawn as large as it is. {_SMOL['embedding'] / sum(_SMOL.values()):.0%} of SmolLM2 is one table "
    f"of words, "
    rf"and {_SMOL['ffn'] / _LAYERS:.0%} of each layer is \ffn{{FFN}}. Vary the layers, then the width: layers add, "
    rf"the width squares."
)

SNIPPET = """
import torch, transformer
from transformer import PRESETS, Config, cost, weights

config = {made}
for w in weights.weights(config):
    print(f"{{w.name:<42}} {{' × '.join(map(str, w.shape)):>16}} × {{w.times:<4}} {{w.total:>15,}}")
N = sum(w.total for w in weights.weights(config))
print("exact", N, " by part", cost.parameters(config))
print("12 · layers · d² and what it is off by", weights.rule_of_thumb(config))
with torch.device("meta"):                     # shapes without memory
    model = transformer.build(config)
assert N == sum(p.numel() for p in model.parameters())
"""

_GPT2, _WIDE = (sum(cost.parameters(config).values()) for config in (
    PRESETS["gpt2"], replace(PRESETS["gpt2"], d_model=1536, d_embed=1536, n_heads=24, n_kv_heads=24, d_ff=6144),
))  # fmt: skip
_LLAMA = PRESETS["llama-3-8b"]
_LLAMA_RULE = weights.rule_of_thumb(_LLAMA)
_LLAMA_N = sum(_LLAMA_RULE.values())
_QWEN = PRESETS["qwen2-0.5b"]
_QWEN_TABLE = _QWEN.vocab_size * _QWEN.d_model / sum(cost.parameters(_QWEN).values())
_MIXTRAL = PRESETS["mixtral-8x7b"]
_MIXTRAL_N, _MIXTRAL_ACTIVE = (sum(cost.parameters(_MIXTRAL, active=active).values()) for active in (False, True))
_BASE = sum(cost.parameters(PRESETS["transformer-base"]).values())

PROSE = {
    "what": r"Attention has four matrices, \query{W_Q}, \key{W_K}, \value{W_V} and \attention{W_O}: $4d^2$ where "
    r"the $h$ heads of width $d_k$ are together as wide as the model and all have keys and values of their own "
    r"($h_{kv} = h$). The \ffn{FFN} goes from $d$ to $d_{ff} = 4d$ and back: $8d^2$. So a layer has $12d^2$, whatever "
    r"the number of heads, and whatever the length of the text. Then come the tables: one row of $d$ numbers "
    r"($d_E < d$ in ALBERT, which widens it later) for each of the $V$ vocabulary entries, a second such matrix at "
    "the end unless it is tied. Norms and biases are a rounding error.",
    "why": f"Parameters are memory ({size(2 * _LLAMA_N)} for Llama 3 8B at 16 bits, {size(16 * _LLAMA_N)} while Adam "
           f"trains "
           "it: weights and gradient in 16 bits, and a 32-bit copy with two moments), and about 2 FLOPs each for "
           "every token read, 6 for every token trained on. Which part holds them decides what "
           "helps: a small model with a large vocabulary is mostly table "
           f"({_QWEN_TABLE:.0%} of Qwen2 0.5B), a large one is mostly FFN.",
    "catch": r"$12 \cdot \text{layers} \cdot d^2$ is a rule for plain blocks, and a right total can hide two errors. "
             r"In Llama 3 8B "
             f"grouped keys and values take away {-_LLAMA_RULE['attention'] / _LLAMA_N:.0%} of the model, the third "
             f"matrix of the gated FFN adds {_LLAMA_RULE['ffn'] / _LLAMA_N:.0%}, and two tables of 128,256 rows add "
             f"{(_LLAMA_RULE['tables'] + _LLAMA_RULE['end']) / _LLAMA_N:.0%}. Experts are all stored though few are "
             f"used ({_MIXTRAL_N / 1e9:.1f} B in Mixtral, {_MIXTRAL_ACTIVE / 1e9:.1f} B for one token). And “its "
             f"parameters” differ by what is counted: BERT with or without its pooler, a tied table once or twice. "
             f"The 2017 base model is printed as 65 M; its weights, with 37,000 byte pairs and one table for all "
             f"three uses, are {_BASE / 1e6:.1f} M.",
}  # fmt: skip
PREDICT = {
    "question": "GPT-2 small, made twice as wide: d, its heads and d_ff all double, the layers and the vocabulary "
                "stay. How many times as many parameters?",
    "options": ["2 times", "about 3.4 times", "4 times", "8 times"],
    "answer": "about 3.4 times",
    "reveal": f"{_GPT2 / 1e6:.1f} M become {_WIDE / 1e6:.1f} M: {_WIDE / _GPT2:.2f} times. The layers have four times "
              f"as many, "
              "since both sides of every matrix double; the tables of words and positions only double, and they are a "
              "third of GPT-2 small. Vary the width in the picture: the wider the model, the closer to 4.",
}  # fmt: skip

INTERVIEW = [
    ("Count GPT-2 small without a computer.",
     "12 layers, d = 768: $12 \\cdot 12 \\cdot 768^2 = 84.9$ M. The table of tokens: $50{,}257 \\cdot 768 = 38.6$ M, "
     "used twice because it is tied; positions: $1024 \\cdot 768 = 0.8$ M. Biases and norms: $13d$ a layer, 0.1 M in "
     "all. Together "
     f"{_GPT2:,}. The number of heads never enters: h heads of d/h are as wide as one of d."),
    ("Why do Llama's FFNs have d_ff = 8/3 · d and not 4 d, and where does the rule then stand?",
     "A gated FFN has three matrices, so $3 \\cdot d \\cdot \\tfrac{8}{3}d = 8d^2$: the same as two of $4d$, and $12 "
     "\\cdot \\text{layers} \\cdot d^2$ holds (Llama 2 7B, 11,008 = 2.69 d). Llama 3 and Mistral take 3.5 d = "
     "$10.5d^2$, and pay for it partly with grouped keys and values: with $h_{kv} = h/4$ attention has $2d^2 + 2 "
     "\\cdot d^2/4 = 2.5d^2$."),
    ("You have 24 GB. Which model can you run, and which can you train?",
     "To run: weights × bytes + KV cache + activations. 7 B at 16 bits is 14 GB and fits, at 4 bits 3.5 GB plus "
     "scales. To train with Adam in mixed precision: 2 bytes weights, 2 gradients, 12 for the 32-bit copy and both "
     "moments, 16 bytes a parameter before any activation, so about 1 B. That is why one trains adapters: only theirs "
     "need gradients and moments."),
    ("Do more parameters always mean more compute per token?",
     "No. FLOPs a token are about twice the weights that it multiplies: an embedding row is looked up and costs none, "
     "experts not chosen cost none, and shared layers (ALBERT) cost each time that they run. Attention's scores cost "
     "FLOPs and have no parameters at all."),
]  # fmt: skip

SOURCES = [
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), Table 3.",
    "Kaplan et al. 2020, [Scaling Laws for Neural Language Models](https://arxiv.org/abs/2001.08361), §2.1: N ≈ 12 · "
    "layers · d², tables left out.",
    "Shazeer 2020, [GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202): d_ff cut by a third to pay "
    "for the gate.",
    "Jiang et al. 2024, [Mixtral of Experts](https://arxiv.org/abs/2401.04088): 47 B stored, 13 B active.",
    "Rajbhandari et al. 2020, [ZeRO](https://arxiv.org/abs/1910.02054), §3: 16 bytes a parameter while training.",
]  # fmt: skip


def tex(number: int) -> str:
    return f"{number:,}".replace(",", r"\,")


def formula(config: Config) -> str:
    """The closed form as far as this config goes; what it has not is left out."""
    if config.kind == "encoder-decoder":
        return (r"N = \residual{V d} + \text{layers}\,\big(\query{4d^2} + \ffn{2 d\,d_{ff}} + "
                r"\dots\big)_{\text{encoder}} + \text{layers}\,\big(\query{4d^2} + \scores{4d^2} + \ffn{2 d\,d_{ff}} "
                r"+ \dots\big)_{\text{decoder}} \approx 28 \cdot \text{layers} \cdot d^2 + Vd")  # fmt: skip
    table = r"\residual{V d_E + d_E d}" if config.d_embed != config.d_model else r"\residual{V d}"
    if config.kind == "vision":
        table = r"\residual{3 p^2 d}"
    ffn = r"3\,d\,d_{ff}" if config.gated else r"2\,d\,d_{ff}"
    if config.experts > 1:
        ffn = rf"\text{{experts}}\cdot {ffn} + d\cdot\text{{experts}}"
    layer = (r"\underbrace{\query{h d_k d} + \attention{h d_k d}}_{W_Q,\,W_O} + \underbrace{\key{h_{kv} d_k d} + "
             r"\value{h_{kv} d_k d}}_{W_K,\,W_V}"
             rf" + \underbrace{{\ffn{{{ffn}}}}}_{{\text{{FFN}}}}")  # fmt: skip
    times = r"1\ (\text{shared})" if config.share_layers else r"\text{layers}"
    end = r" + \output{V d}" if config.head == "lm" and not config.tie_embeddings else ""
    rule = r"12\cdot\text{layers}\cdot d^2"
    exact = rf"N = {table} + {times}\cdot\Big({layer}\Big){end} + \text{{biases, norms}}"
    return rf"\begin{{array}}{{l}}\displaystyle {exact}\\[1.2em]\displaystyle N \approx {rule}\end{{array}}"


def numbers(config: Config) -> str:
    """Every weight with its numbers, and the sum; biases and norms in one line."""
    from charts.parameters import PARTS, symbol

    lines, rest = [], 0
    for one in weights.weights(config):
        if len(one.shape) == 1:
            rest += one.total
            continue
        factors = r"\cdot".join(map(tex, ([one.times] if one.times > 1 else []) + list(one.shape)))
        role = PARTS[one.part][1]
        name = rf"{_painted(role, symbol(one.name))}{_side(one.name)}"
        lines.append(rf"{name}:\;& {factors} = {tex(one.total)}")
    lines.append(rf"\text{{biases, norms}}:\;& {tex(rest)}")
    rule, total = weights.rule_of_thumb(config)["rule"], sum(one.total for one in weights.weights(config))
    layers = config.n_layers + (config.n_encoder_layers or 0)
    lines.append(rf"N =\;& {tex(total)}")
    lines.append(rf"12\cdot\text{{layers}}\cdot d^2 = 12\cdot {layers}\cdot {tex(config.d_model)}^2 =\;& {tex(rule)}")
    return r"\small\begin{aligned}" + r"\\".join(lines) + r"\end{aligned}"


def _painted(role: str, name: str) -> str:
    head, _, foot = name.partition("_")
    said = rf"{head}_{{{foot}}}" if foot else head
    return said if role == "muted" else rf"\{role}{{{said}}}"


def _side(name: str) -> str:
    if ".cross." in name:
        return r"\,\text{cross}"
    return r"\,\text{encoder}" if name.startswith("encoder.") else ""
