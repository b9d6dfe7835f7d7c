"""The glossary: each tensor that a run can record, declared once.

Drawing, hover arithmetic, colours, shapes and memory estimates are derived from here, and a test fails when a recorded
tensor is not listed or has other axes.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from transformer.config import Config, source_side, target_side
from transformer.rope import turned_dims

Role = Literal["query", "key", "value", "attention", "ffn", "residual", "output"]


@dataclass(frozen=True)
class Name:
    """What one recorded tensor is: its symbol (LaTeX), axes, meaning, colour role, and what it is computed from."""

    symbol: str
    axes: tuple[str, ...]
    meaning: str
    role: Role
    computed_from: tuple[str, ...] = ()
    formula: str = ""


_STREAM = ("batch", "token", "model")
_TABLE = ("batch", "token", "embed")
_Q = ("batch", "head", "query", "d_head")
_KV = ("batch", "kv_head", "key", "d_head")
_MAP = ("batch", "head", "query", "key")
_SQUEEZED = ("batch", "kv_head", "rank", "d_head")
_FF = ("batch", "token", "ff")
_EXPERT = ("batch", "token", "expert")

GLOSSARY: dict[str, Name] = {
    "embed.pixels": Name("I", ("batch", "patch", "pixel"), "each patch's pixels, channel by channel", "residual"),
    "embed.tokens": Name("E", _TABLE, "one learned vector per vocabulary entry, looked up by token id", "residual"),
    "embed.positions": Name("P", _TABLE, "the position vectors added to the token vectors", "residual"),
    "embed.segments": Name("G", _TABLE, "which sentence a token belongs to (BERT)", "residual"),
    "embed": Name(
        "X", _STREAM, "what enters the first block", "residual",
        ("embed.tokens", "embed.positions", "embed.segments"), r"X = E + P",
    ),
    "layers.*.resid_pre": Name("x", _STREAM, "the residual stream as the block receives it", "residual"),
    "layers.*.norm_1": Name(
        r"\hat{x}", _STREAM, "the normalised stream: before attention with pre-norm, after its sum with post-norm",
        "residual", ("layers.*.resid_pre",),
    ),
    "layers.*.attention.Q_unrotated": Name("Q^0", _Q, "queries before RoPE turns them", "query", ("layers.*.norm_1",)),
    "layers.*.attention.K_unrotated": Name("K^0", _KV, "keys before RoPE turns them", "key", ("layers.*.norm_1",)),
    "layers.*.attention.c_Q": Name(
        "c^Q", ("batch", "token", "q_rank"), "latent attention: the short vector that queries are made from", "query",
        ("layers.*.norm_1",), r"c^Q = \operatorname{norm}(\hat{x} W_{DQ})",
    ),
    "layers.*.attention.c_KV": Name(
        "c^{KV}", ("batch", "token", "rank"), "latent attention: the short vector that keys and values are made from, and "
        "that is kept", "value", ("layers.*.norm_1",), r"c^{KV} = \operatorname{norm}(\hat{x} W_{DKV})",
    ),
    "layers.*.attention.K_rope": Name(
        "k^R", ("batch", "token", "d_rope"), "latent attention: the turned part of the key, one for all heads, kept too",
        "key", ("layers.*.norm_1",), r"k^R = \operatorname{RoPE}(\hat{x} W_{KR})",
    ),
    "layers.*.attention.Q": Name(
        "Q", _Q, "queries: what each token looks for", "query", ("layers.*.norm_1",), r"Q = \hat{x} W_Q"
    ),
    "layers.*.attention.K": Name(
        "K", _KV, "keys: what each token offers to be found by", "key", ("layers.*.norm_1",), r"K = \hat{x} W_K"
    ),
    "layers.*.attention.V": Name(
        "V", _KV, "values: what each token hands on when it is read", "value", ("layers.*.norm_1",), r"V = \hat{x} W_V"
    ),
    "layers.*.attention.K_squeezed": Name(
        r"\bar{K}", _SQUEEZED, "Linformer: all keys, mixed into a few rows", "key",
        ("layers.*.attention.K",), r"\bar{K} = E K",
    ),
    "layers.*.attention.V_squeezed": Name(
        r"\bar{V}", _SQUEEZED, "Linformer: all values, mixed into a few rows", "value",
        ("layers.*.attention.V",), r"\bar{V} = F V",
    ),
    "layers.*.attention.log_phi_Q": Name(
        r"\ln\varphi(Q)", ("batch", "head", "query", "feature"), "the logarithm of the queries' features, all positive",
        "query", ("layers.*.attention.Q",),
    ),
    "layers.*.attention.log_phi_K": Name(
        r"\ln\varphi(K)", ("batch", "kv_head", "key", "feature"), "the logarithm of the keys' features, all positive", "key",
        ("layers.*.attention.K",),
    ),
    "layers.*.attention.forget": Name(
        "f", _STREAM, "SSRU: how much of its state each coordinate keeps", "attention", ("layers.*.norm_1",),
        r"f = \sigma(\hat{x} W_f + b_f)",
    ),
    "layers.*.attention.candidate": Name(
        r"\tilde{x}", _STREAM, "SSRU: what each token would put into the state", "value", ("layers.*.norm_1",),
        r"\tilde{x} = \hat{x} W",
    ),
    "layers.*.attention.state": Name(
        "c", _STREAM, "SSRU: the state after each token, all that is kept of the text", "value",
        ("layers.*.attention.forget", "layers.*.attention.candidate"),
        r"c_t = f_t \odot c_{t-1} + (1 - f_t) \odot \tilde{x}_t",
    ),
    "layers.*.attention.scores": Name(
        "S", _MAP, "how well each key answers each query, before the mask", "attention",
        ("layers.*.attention.Q", "layers.*.attention.K"), r"S = Q K^\top / \sqrt{d_k}",
    ),
    "layers.*.attention.A": Name(
        "A", _MAP, "attention weights; each row sums to 1 over the keys it may see", "attention",
        ("layers.*.attention.scores",), r"A = \operatorname{softmax}(S + \text{mask})",
    ),
    "layers.*.attention.z": Name(
        "z", _Q, "each head's mixture of the values it read", "value",
        ("layers.*.attention.A", "layers.*.attention.V"), r"z = A V",
    ),
    "layers.*.attention.gate": Name(
        r"\gamma", ("batch", "head", "query"), "how far each head's output is let through", "attention",
        ("layers.*.norm_1",), r"\gamma = \operatorname{sigmoid}(\hat{x} W_\gamma)",
    ),
    "layers.*.attention.raw": Name(
        r"\tilde{\Delta x}_{\text{att}}", _STREAM, "attention's output before its own norm (sandwich)", "attention",
        ("layers.*.attention.z",), r"[z_1; \dots; z_h] W_O",
    ),
    "layers.*.attention.out": Name(
        r"\Delta x_{\text{att}}", _STREAM, "what attention adds to the stream", "attention",
        ("layers.*.attention.z",), r"\Delta x = [z_1; \dots; z_h] W_O",
    ),
    "layers.*.resid_self": Name(
        "x", _STREAM, "the stream after self-attention, where cross-attention follows", "residual",
        ("layers.*.resid_pre", "layers.*.attention.out"),
    ),
    "layers.*.norm_cross": Name(
        r"\hat{x}", _STREAM, "the normalised stream: before cross-attention with pre-norm, after its sum with post-norm",
        "residual", ("layers.*.resid_self",),
    ),
    "layers.*.resid_mid": Name(
        "x'", _STREAM, "the stream after attention's addition", "residual",
        ("layers.*.resid_pre", "layers.*.attention.out"), r"x' = x + \Delta x_{\text{att}}",
    ),
    "layers.*.norm_2": Name(
        r"\hat{x}'", _STREAM, "the normalised stream: before the FFN with pre-norm, after its sum with post-norm",
        "residual", ("layers.*.resid_mid",),
    ),
    "layers.*.ffn.pre": Name(
        "u", _FF, "neurons before the activation", "ffn", ("layers.*.norm_2",), r"u = \hat{x}' W_1"
    ),
    "layers.*.ffn.gate": Name(
        "g", _FF, "the gate's neurons before the activation", "ffn", ("layers.*.norm_2",), r"g = \hat{x}' W_g"
    ),
    "layers.*.ffn.post": Name(
        "a", _FF, "neurons after the activation (and the gate)", "ffn",
        ("layers.*.ffn.pre", "layers.*.ffn.gate"), r"a = \sigma(u) \text{ or } \sigma(g) \odot u",
    ),
    "layers.*.ffn.router": Name(
        "r", _EXPERT, "how well each expert suits each token", "ffn", ("layers.*.norm_2",), r"r = \hat{x}' W_r"
    ),
    "layers.*.ffn.gates": Name(
        "g", _EXPERT, "each expert's weight for each token: 0 but for the k chosen", "ffn", ("layers.*.ffn.router",),
        r"g_e = p_e / \sum_{\text{top-}k} p,\; p = \operatorname{softmax}(r)",
    ),
    "layers.*.ffn.raw": Name(
        r"\tilde{\Delta x}_{\text{ffn}}", _STREAM, "the FFN's output before its own norm (sandwich)", "ffn",
        ("layers.*.ffn.post", "layers.*.ffn.gates"), r"a W_2",
    ),
    "layers.*.ffn.out": Name(
        r"\Delta x_{\text{ffn}}", _STREAM, "what the FFN adds to the stream", "ffn",
        ("layers.*.ffn.post", "layers.*.ffn.gates"), r"\Delta x = a W_2",
    ),
    "layers.*.resid_post": Name(
        "x''", _STREAM, "the stream as the block hands it on", "residual",
        ("layers.*.resid_mid", "layers.*.ffn.out"), r"x'' = x' + \Delta x_{\text{ffn}}",
    ),
    "final_norm": Name(r"\hat{x}", _STREAM, "the last stream, normalised for the head", "residual",
                       ("layers.*.resid_post",)),
    "head.hidden": Name(
        r"\hat{h}", ("batch", "token", "embed"), "the last stream as the masked-word head sees it", "output", ("final_norm",),
        r"\hat{h} = \operatorname{norm}(\sigma(x W))",
    ),
    "pooled": Name("c", ("batch", "model"), "the one vector that stands for the whole text or image", "output",
                   ("final_norm",)),
    "class_logits": Name(r"\ell", ("batch", "class"), "one score per class", "output", ("pooled",), r"\ell = c W_C + b"),
    "logits": Name(
        r"\ell", ("batch", "token", "vocab"), "one score per vocabulary entry: the next token's, for a decoder", "output",
        ("final_norm",), r"\ell = \hat{x} W_U",
    ),
}  # fmt: skip


_A, _C = "layers.*.attention.", "layers.*.attention.c_"
ONLY = {  # tensors that no other attention has
    "latent": (_C + "Q", _C + "KV", _A + "K_rope"),
    "linformer": (_A + "K_squeezed", _A + "V_squeezed"),
    "performer": (_A + "log_phi_Q", _A + "log_phi_K"),
    "linear": (_A + "log_phi_Q", _A + "log_phi_K"),
    "ssru": (_A + "forget", _A + "candidate", _A + "state"),
}
LACKS = {"ssru": (_A + "Q", _A + "K", _A + "V", _A + "scores", _A + "A", _A + "z")}  # tensors that it alone has not
_SPECIAL = {key for keys in ONLY.values() for key in keys}


def _of_kernels(phi: str) -> dict[str, Name]:
    """What a kernel's tensors are made by."""
    made = (_A + "log_phi_Q", _A + "log_phi_K")
    return {
        made[0]: replace(GLOSSARY[made[0]], formula=rf"\varphi(q) = {phi.format('q')}"),
        made[1]: replace(GLOSSARY[made[1]], formula=rf"\varphi(k) = {phi.format('k')}"),
        _A + "scores": replace(GLOSSARY[_A + "scores"], computed_from=made, formula=r"S = \ln \varphi(Q)\, \varphi(K)^\top"),
    }


VARIANTS: dict[str, dict[str, Name]] = {  # attention -> the entries that are other than usual there
    "latent": {
        _A + "Q": Name(
            "Q", ("batch", "head", "query", "d_key"), "queries: what each token looks for, by content and by position",
            "query", (_C + "Q", "layers.*.norm_1"), r"Q = [c^Q W_{UQ};\, \operatorname{RoPE}(c^Q W_{QR})]",
        ),
        _A + "K": Name(
            "K", ("batch", "kv_head", "key", "d_key"), "keys: what each token offers to be found by, content and position",
            "key", (_C + "KV", _A + "K_rope"), r"K = [c^{KV} W_{UK};\, k^R]",
        ),
        _A + "V": replace(GLOSSARY[_A + "V"], computed_from=(_C + "KV",), formula=r"V = c^{KV} W_{UV}"),
        _A + "scores": replace(GLOSSARY[_A + "scores"], formula=r"S = Q K^\top / \sqrt{d_k + d_R}"),
    },
    "linformer": {
        _A + "scores": Name(
            "S", ("batch", "head", "query", "rank"), "how well each squeezed row answers each query", "attention",
            (_A + "Q", _A + "K_squeezed"), r"S = Q \bar{K}^\top / \sqrt{d_k}",
        ),
        _A + "A": Name(
            "A", ("batch", "head", "query", "rank"), "attention weights; each row sums to 1 over the squeezed rows",
            "attention", (_A + "scores",), r"A = \operatorname{softmax}(S)",
        ),
        _A + "z": replace(GLOSSARY[_A + "z"], computed_from=(_A + "A", _A + "V_squeezed"), formula=r"z = A \bar{V}"),
    },
    "lsh": {
        _A + "Q": replace(GLOSSARY[_A + "Q"], meaning="queries, which are keys too: what each token looks for"),
        _A + "K": Name(
            "K", _KV, "keys: the queries at length 1, so that a token's key is where it points to", "key", (_A + "Q",),
            r"K = Q / \lVert Q \rVert",
        ),
        _A + "scores": replace(GLOSSARY[_A + "scores"], formula=r"S = Q K^\top"),
        _A + "A": Name(
            "A", _MAP, "attention weights; each row sums to 1 over the keys that it met in the sorted chunks", "attention",
            (_A + "scores",), r"A = \operatorname{softmax}(S + \ln C),\; C_{qk} = \text{how often } q \text{ met } k",
        ),
    },
    "performer": _of_kernels(
        r"\exp(\omega \tilde{{{0}}} - |\tilde{{{0}}}|^2 / 2) / \sqrt{{m}},\; \tilde{{{0}}} = {0} / d_k^{{1/4}}"
    ),
    "linear": _of_kernels(r"\operatorname{{elu}}({0}) + 1"),
    "ssru": {
        _A + "out": replace(
            GLOSSARY[_A + "out"], computed_from=(_A + "state",), formula=r"\Delta x = \operatorname{ReLU}(c)"
        ),
    },
}  # fmt: skip


def _crossing() -> dict[str, Name]:
    """Cross-attention's tensors: attention's, with keys and values of the source."""
    made = {}
    for key, entry in GLOSSARY.items():
        tensor = key.removeprefix("layers.*.attention.")
        if tensor != key and key not in _SPECIAL and not tensor.endswith("_unrotated"):
            axes = tuple({"key": "source"}.get(axis, axis) for axis in entry.axes)
            of_source = tensor in ("K", "V")
            meaning = entry.meaning + ("; of the source's tokens" if of_source else "; across, to the source")
            seen = ("encoder.final_norm",) if of_source else tuple(
                name.replace(".attention.", ".cross.").replace("norm_1", "norm_cross") for name in entry.computed_from
            )  # fmt: skip
            made[f"layers.*.cross.{tensor}"] = Name(entry.symbol, axes, meaning, entry.role, seen, entry.formula)
    return made


CROSS = _crossing()


def template(name: str) -> str:
    """``"layers.3.attention.A"`` -> ``"layers.*.attention.A"``, the glossary's key; the prefixes ``steps.<t>.`` and
    ``encoder.`` fall away."""
    return re.sub(r"\.\d+\.", ".*.", re.sub(r"^(steps\.\d+\.)?(encoder\.)?", "", name))


def lookup(name: str, config: Config | None = None) -> Name:
    """The glossary's entry of a recorded tensor, as this config's attention has it; ``KeyError`` when there is none."""
    key = template(name)
    if config is not None and config.kind == "encoder-decoder" and re.match(r"(steps\.\d+\.)?encoder\.", name):
        config = source_side(config)
    if config is not None and key in VARIANTS.get(config.attention, {}):
        return VARIANTS[config.attention][key]
    return GLOSSARY[key] if key in GLOSSARY else CROSS[key]


def formula(name: str, config: Config) -> str:
    """The glossary's formula as this config computes it: with post-norm, or none, a sublayer reads the stream itself; RoPE
    turns queries and keys."""
    key, latex = template(name), lookup(name, config).formula
    if config.attention == "latent" and config.q_rank is None:
        latex = latex.replace("c^Q", r"\hat{x}")  # queries are made from the stream itself
    if key.startswith("layers.") and (config.norm_place == "post" or config.norm == "none"):
        latex = latex.replace(r"\hat{x}", "x")
    if config.position == "rope" and config.attention != "latent" and key in ("layers.*.attention.Q", "layers.*.attention.K"):
        symbol, product = latex.split(" = ")
        latex = rf"{symbol} = \operatorname{{RoPE}}({product})"
    return latex


def of(config: Config) -> list[str]:
    """Every name that a run of this config can record, in the order of computation."""
    if config.kind == "encoder-decoder":
        return [f"encoder.{name}" for name in _of(source_side(config))] + _of(target_side(config), cross=True)
    return _of(config)


def _of(config: Config, cross: bool = False) -> list[str]:
    absent = set()
    if config.kind != "vision":
        absent.add("embed.pixels")
    if not cross:
        absent |= {"layers.*.resid_self", "layers.*.norm_cross"}
    if config.head != "mlm":
        absent.add("head.hidden")
    if config.head != "classify":
        absent |= {"pooled", "class_logits"}
    if config.position not in ("sinusoidal", "learned"):
        absent.add("embed.positions")
    if not config.n_segments:
        absent.add("embed.segments")
    if config.position != "rope" or config.attention == "latent":
        absent |= {"layers.*.attention.Q_unrotated", "layers.*.attention.K_unrotated"}
    if not config.gated:
        absent.add("layers.*.ffn.gate")
    if not config.gate:
        absent.add("layers.*.attention.gate")
    absent |= _SPECIAL - set(ONLY.get(config.attention, ()))
    if config.q_rank is None:
        absent.add("layers.*.attention.c_Q")
    if config.position != "rope":
        absent.add("layers.*.attention.K_rope")
    if config.norm_place != "sandwich":
        absent |= {"layers.*.attention.raw", "layers.*.ffn.raw"}
    several = {"layers.*.ffn.router", "layers.*.ffn.gates"}
    neurons = {"layers.*.ffn.pre", "layers.*.ffn.gate", "layers.*.ffn.post"}
    absent |= neurons if config.experts > 1 else several  # each expert's neurons see other tokens
    if config.norm == "none":
        absent |= {"layers.*.norm_1", "layers.*.norm_2", "layers.*.norm_cross"}
    if not config.final_norm:
        absent.add("final_norm")
    if config.head in ("none", "classify"):
        absent.add("logits")
    present = [key for key in GLOSSARY if key not in absent]
    in_layers = [key for key in present if key.startswith("layers.")]
    if cross:
        of_attention = [key for key in in_layers if key.startswith("layers.*.attention.")]
        crossing = [key for key in CROSS if key.replace(".cross.", ".attention.") in of_attention]
        at = in_layers.index("layers.*.resid_mid")
        in_layers[at:at] = crossing
    in_layers = [key for key in in_layers if key not in LACKS.get(config.attention, ())]
    if config.norm_place == "post":  # the norm follows the sum
        for norm, sum_ in (
            ("layers.*.norm_1", "layers.*.attention.out"), ("layers.*.norm_cross", "layers.*.cross.out"),
            ("layers.*.norm_2", "layers.*.ffn.out"),
        ):  # fmt: skip
            if norm in in_layers:
                in_layers.remove(norm)
                in_layers.insert(in_layers.index(sum_) + 1, norm)
    before = [key for key in present if key.startswith("embed")]
    after = [key for key in present if not key.startswith(("layers.", "embed"))]
    blocks = [key.replace("*", str(i)) for i in range(config.n_layers) for key in in_layers]
    return before + blocks + after


def shape(name: str, config: Config, n: int, batch: int = 1, source: int | None = None) -> tuple[int, ...]:
    """Shape of a recorded tensor for ``batch`` texts of ``n`` tokens read at once; of an encoder–decoder n are the
    target's tokens and ``source`` the source's, as many unless given."""
    source = n if source is None else source
    if re.match(r"(steps\.\d+\.)?encoder\.", name):
        n = source
    turned = turned_dims(config) if config.position == "rope" else 0
    size = {
        "batch": batch, "token": n, "query": n, "key": n, "head": config.n_heads, "kv_head": config.n_kv_heads,
        "d_head": config.d_head, "model": config.d_model, "ff": config.d_ff, "vocab": config.vocab_size,
        "expert": config.experts, "source": source, "class": config.n_classes, "embed": config.d_embed,
        "rank": config.rank, "q_rank": config.q_rank, "d_rope": turned, "d_key": config.d_head + turned,
        "feature": config.features or config.d_head, "patch": n - 1, "pixel": (config.channels or 0) * (config.patch_size or 0) ** 2,
    }  # fmt: skip
    return tuple(size[axis] for axis in lookup(name, config).axes)
