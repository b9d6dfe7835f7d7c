"""Llama and its kin (Mistral, Mixtral, Qwen2, SmolLM): pre-RMSNorm, RoPE, grouped heads, SwiGLU. Touvron et al. 2023."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transformer.config import Config
from transformer.pretrained.checkpoint import need, refuse, translate, without_prefix

HARMLESS = r"rotary_emb\.(original_)?inv_freq$"


def config(theirs: Mapping[str, Any]) -> Config:
    """Hugging Face's Llama, Mistral, Mixtral or Qwen2 config as ours. ValueError for what is missing or unknown.

    Fields that a config leaves out have the value that Hugging Face gives them for its ``model_type``.
    """
    vocab_size, d_model, n_layers, n_heads, d_ff = need(
        theirs, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"
    )
    family = theirs.get("model_type", "llama")
    activation = theirs.get("hidden_act", "silu")
    refuse(activation not in ("silu", "gelu", "relu"), f"its activation is {activation!r}")
    bias = bool(theirs.get("attention_bias", False))
    window = _window(theirs, family, n_layers)
    return Config(
        vocab_size=vocab_size,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=theirs.get("num_key_value_heads") or (8 if family in ("mistral", "mixtral") else n_heads),
        d_head=theirs.get("head_dim") or d_model // n_heads,
        d_ff=d_ff,
        max_len=theirs.get("max_position_embeddings", 2048),
        attention="full" if window is None else "window",
        window=window,
        qkv_bias=bias or family == "qwen2",
        out_bias=bias,
        position="rope",
        norm="rms",
        norm_eps=theirs.get("rms_norm_eps", 1e-5 if family == "mixtral" else 1e-6),
        activation=activation,
        gated=True,
        ffn_bias=bool(theirs.get("mlp_bias", False)),
        tie_embeddings=bool(theirs.get("tie_word_embeddings", False)),
        **_experts(theirs, family),
        **_rope(theirs),
    )


def _experts(theirs: Mapping[str, Any], family: str) -> dict[str, int]:
    """Mixtral's options; none for a model with one FFN a layer."""
    if family != "mixtral":
        return {}
    experts = theirs.get("num_local_experts", theirs.get("num_experts", 8))
    refuse(experts == 1, "a Mixtral of a single expert has a router and nothing to route")
    return {"experts": experts, "experts_per_token": theirs.get("num_experts_per_tok", 2)}


def _window(theirs: Mapping[str, Any], family: str, n_layers: int) -> int | None:
    """How many tokens each layer sees; None = all before it."""
    if family in ("mistral", "mixtral"):
        return theirs.get("sliding_window", 4096 if family == "mistral" else None)
    if family != "qwen2" or not theirs.get("use_sliding_window") or theirs.get("sliding_window") is None:
        return None
    first = theirs.get("max_window_layers", 28)
    kinds = theirs.get("layer_types") or ["sliding_attention" if i >= first else "full" for i in range(n_layers)]
    sliding = [kind == "sliding_attention" for kind in kinds]
    refuse(any(sliding) and not all(sliding), "some of its layers have a window and others do not")
    return theirs["sliding_window"] if all(sliding) else None


def _rope(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our RoPE options, from either spelling: ``rope_parameters``, or ``rope_theta`` and ``rope_scaling``."""
    rope = theirs.get("rope_parameters") or theirs.get("rope_scaling") or {}
    refuse(not isinstance(rope, Mapping), f"its RoPE is described by {rope!r}, not by named settings")
    kind = rope.get("rope_type", rope.get("type", "default"))
    usual_base = 1_000_000.0 if theirs.get("model_type") == "mixtral" else 10_000.0
    ours: dict[str, Any] = {"rope_base": float(rope.get("rope_theta", theirs.get("rope_theta") or usual_base))}
    refuse(rope.get("partial_rotary_factor", 1.0) != 1.0, "it rotates only a part of each head")
    if kind == "default":
        return ours
    refuse(kind not in ("linear", "llama3", "yarn"), f"it stretches RoPE by {kind!r}")
    (factor,) = need(rope, "factor")
    ours |= {"rope_scaling": kind, "rope_factor": float(factor)}
    if kind == "llama3":
        low, high, length = need(rope, "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        ours |= {"rope_low_freq_factor": float(low), "rope_high_freq_factor": float(high), "rope_original_len": length}
    if kind == "yarn":
        usual = {"beta_fast": 32, "beta_slow": 1, "truncate": True, "attention_factor": None, "mscale": None}
        changed = [name for name, value in usual.items() if rope.get(name) not in (None, value)]
        refuse(bool(changed), f"its YaRN has a {', '.join(changed)} of its own")
        length = rope.get("original_max_position_embeddings") or theirs.get("max_position_embeddings", 2048)
        ours["rope_original_len"] = length
    return ours


def weights(theirs: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Only names change: Hugging Face's Llama has the layout of ours. Mixtral's experts may come in one tensor a layer."""
    names = {"embedding.W_E.weight": "embed_tokens.weight", "final_norm.gamma": "norm.weight"}
    theirs = without_prefix(theirs, "model.")
    ffn = {"ffn.W_g": "mlp.gate_proj", "ffn.W_1": "mlp.up_proj", "ffn.W_2": "mlp.down_proj"}
    if config.experts > 1:
        theirs = _one_by_one(theirs)
        ffn = {"ffn.W_r": "mlp.gate"}
        for e in range(config.experts):
            for ours, their in (("W_g", "w1"), ("W_1", "w3"), ("W_2", "w2")):
                ffn[f"ffn.experts.{e}.{ours}"] = f"mlp.experts.{e}.{their}"
    projections = {"attention.W_O": "self_attn.o_proj", **ffn}
    biased = {"attention.W_O": config.out_bias} | dict.fromkeys(ffn, config.ffn_bias)
    for part in "QKV":
        projections[f"attention.W_{part}"] = f"self_attn.{part.lower()}_proj"
        biased[f"attention.W_{part}"] = config.qkv_bias
    for i in range(config.n_layers):
        for ours, their in projections.items():
            names[f"stack.blocks.{i}.{ours}.weight"] = f"layers.{i}.{their}.weight"
            if biased[ours]:
                names[f"stack.blocks.{i}.{ours}.bias"] = f"layers.{i}.{their}.bias"
        names[f"stack.blocks.{i}.norm_1.gamma"] = f"layers.{i}.input_layernorm.weight"
        names[f"stack.blocks.{i}.norm_2.gamma"] = f"layers.{i}.post_attention_layernorm.weight"
    if not config.tie_embeddings:
        names["W_U.weight"] = "lm_head.weight"
    tied = r"|^lm_head\.weight$" if config.tie_embeddings else ""
    return translate(theirs, names, config, HARMLESS + tied)


def _one_by_one(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each expert's matrices under their names in Mixtral's files, from those or from the stacks of a loaded model."""
    found = {}
    for name, w in theirs.items():
        name = name.replace(".block_sparse_moe.", ".mlp.")
        stacked = name.endswith(("experts.gate_up_proj", "experts.down_proj"))
        refuse(stacked and w.dim() != 3, f"{name} has shape {list(w.shape)}, and should be a stack of matrices")
        layer = name.removesuffix("gate_up_proj").removesuffix("down_proj")
        if not stacked:
            found[name] = w
        elif name.endswith("gate_up_proj"):  # [expert, 2 · ff, model]: the gates' rows, then the others'
            for e, (gate, up) in enumerate(zip(*w.chunk(2, dim=1), strict=True)):
                found[f"{layer}{e}.w1.weight"], found[f"{layer}{e}.w3.weight"] = gate, up
        else:  # [expert, model, ff]
            found |= {f"{layer}{e}.w2.weight": down for e, down in enumerate(w)}
    return found
