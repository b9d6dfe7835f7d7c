"""BERT and its kin (MiniLM): post-norm encoder, learned positions, segments, GELU. Devlin et al. 2019, arXiv:1810.04805

The encoder alone is opened: a pooler or a prediction head in the checkpoint is left aside.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from transformer.config import Config
from transformer.pretrained.checkpoint import need, refuse, translate, without_prefix

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}
HARMLESS = r"^embeddings\.(position_ids|token_type_ids)$|^(pooler|cls|classifier|qa_outputs|dropout)\."


def config(theirs: Mapping[str, Any]) -> Config:
    """Hugging Face's BERT config as ours, without its dropout: that is a choice of training.

    ValueError for a field that is missing and a variant that is unknown.
    """
    vocab_size, d_model, n_layers, n_heads, d_ff, max_len = need(
        theirs,
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
        "max_position_embeddings",
    )
    activation = theirs.get("hidden_act", "gelu")
    refuse(activation not in ACTIVATIONS, f"its activation is {activation!r}")
    refuse(theirs.get("position_embedding_type", "absolute") != "absolute", "its positions are relative")
    refuse(bool(theirs.get("is_decoder") or theirs.get("add_cross_attention")), "it is a decoder, not an encoder")
    return Config(
        kind="encoder",
        vocab_size=vocab_size,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        d_ff=d_ff,
        max_len=max_len,
        position="learned",
        n_segments=theirs.get("type_vocab_size", 2),
        embed_norm=True,
        norm="layer",
        norm_place="post",
        init="normal",
        norm_eps=theirs.get("layer_norm_eps", 1e-12),
        activation=ACTIVATIONS[activation],
        qkv_bias=True,
        out_bias=True,
        ffn_bias=True,
        head="none",
    )


def weights(theirs: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Only names change: both store [out, in]."""
    tensors = without_prefix(theirs, "bert.")
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):  # norms as the first checkpoints called them
        tensors = {name.removesuffix(old) + new if name.endswith(old) else name: w for name, w in tensors.items()}
    names = {
        "embedding.W_E.weight": "embeddings.word_embeddings.weight",
        "embedding.W_P.weight": "embeddings.position_embeddings.weight",
        "embedding.norm.gamma": "embeddings.LayerNorm.weight",
        "embedding.norm.beta": "embeddings.LayerNorm.bias",
    }
    if config.n_segments:
        names["embedding.W_G.weight"] = "embeddings.token_type_embeddings.weight"
    linear = {
        "attention.W_Q": "attention.self.query",
        "attention.W_K": "attention.self.key",
        "attention.W_V": "attention.self.value",
        "attention.W_O": "attention.output.dense",
        "ffn.W_1": "intermediate.dense",
        "ffn.W_2": "output.dense",
    }
    norms = {"norm_1": "attention.output.LayerNorm", "norm_2": "output.LayerNorm"}
    for i in range(config.n_layers):
        ours, their = f"stack.blocks.{i}", f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            names |= {f"{ours}.{a}.{kind}": f"{their}.{b}.{kind}" for a, b in linear.items()}
        for a, b in norms.items():
            names |= {f"{ours}.{a}.gamma": f"{their}.{b}.weight", f"{ours}.{a}.beta": f"{their}.{b}.bias"}
    return translate(tensors, names, config, HARMLESS)
