"""GPT-2: pre-norm, learned positions, tanh-GELU, biases, tied. Radford et al. 2019."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transformer.config import Config
from transformer.pretrained.checkpoint import need, refuse, translate, without_prefix

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}
HARMLESS = r"\.attn\.(masked_)?bias$"  # the causal triangle, once stored as a tensor


def config(theirs: Mapping[str, Any]) -> Config:
    """Hugging Face's GPT-2 config as ours, without its dropout: that is a choice of training.

    ValueError for a field that is missing and a variant that is unknown.
    """
    vocab_size, d_model, n_layers, n_heads, max_len = need(
        theirs, "vocab_size", "n_embd", "n_layer", "n_head", "n_positions"
    )
    activation = theirs.get("activation_function", "gelu_new")
    refuse(activation not in ACTIVATIONS, f"its activation is {activation!r}")
    refuse(bool(theirs.get("scale_attn_by_inverse_layer_idx")), "it divides attention scores by the layer's number")
    refuse(bool(theirs.get("add_cross_attention")), "it has cross-attention")
    return Config(
        vocab_size=vocab_size,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        max_len=max_len,
        d_ff=theirs.get("n_inner") or 4 * d_model,
        position="learned",
        score="scaled_dot" if theirs.get("scale_attn_weights", True) else "dot",
        norm="layer",
        norm_eps=theirs.get("layer_norm_epsilon", 1e-5),
        activation=ACTIVATIONS[activation],
        qkv_bias=True,
        out_bias=True,
        ffn_bias=True,
        tie_embeddings=theirs.get("tie_word_embeddings", True),
    )


def weights(theirs: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """GPT-2 computes x W + b with W stored [in, out], ours [out, in]; and it keeps W_Q, W_K, W_V side by side."""
    tensors = {}
    for name, w in without_prefix(theirs, "transformer.").items():
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) and w.dim() == 2:
            w = w.T.contiguous()
        if ".c_attn." in name and w.shape[0] % 3 == 0:
            tensors |= {f"{name} [{part}]": third.clone() for part, third in zip("QKV", w.chunk(3))}
        else:
            tensors[name] = w
    names = {
        "embedding.W_E.weight": "wte.weight",
        "embedding.W_P.weight": "wpe.weight",
        "final_norm.gamma": "ln_f.weight",
        "final_norm.beta": "ln_f.bias",
    }
    for i in range(config.n_layers):
        for kind in ("weight", "bias"):
            names |= {f"stack.blocks.{i}.attention.W_{p}.{kind}": f"h.{i}.attn.c_attn.{kind} [{p}]" for p in "QKV"}
            names[f"stack.blocks.{i}.attention.W_O.{kind}"] = f"h.{i}.attn.c_proj.{kind}"
            names[f"stack.blocks.{i}.ffn.W_1.{kind}"] = f"h.{i}.mlp.c_fc.{kind}"
            names[f"stack.blocks.{i}.ffn.W_2.{kind}"] = f"h.{i}.mlp.c_proj.{kind}"
        for norm in (1, 2):
            names[f"stack.blocks.{i}.norm_{norm}.gamma"] = f"h.{i}.ln_{norm}.weight"
            names[f"stack.blocks.{i}.norm_{norm}.beta"] = f"h.{i}.ln_{norm}.bias"
    if not config.tie_embeddings:
        names["W_U.weight"] = "lm_head.weight"
    return translate(tensors, names, config, HARMLESS + (r"|^lm_head\.weight$" if config.tie_embeddings else ""))
