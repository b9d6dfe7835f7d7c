"""Linear layers with nothing between them are one linear layer: which one, and of what rank."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transformer.models import Model


@torch.no_grad()
def collapse(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """W_eff = W_L … W_2 W_1 and b_eff = W_L(… (W_2 b_1 + b_2) …) + b_L, so that the whole stack is W_eff x + b_eff.

    layers: in the order they are applied. -> W_eff [out, in], b_eff [out].
    ValueError where there is no layer.
    """
    if not layers:
        raise ValueError("there is no layer to multiply.")
    W, b = layers[0].weight, layers[0].bias
    b = W.new_zeros(len(W)) if b is None else b
    for layer in layers[1:]:
        W = layer.weight @ W
        b = layer.weight @ b + (0 if layer.bias is None else layer.bias)
    return W.clone(), b.clone()


def rank(singular: Tensor, tolerance: float = 1e-5) -> int:
    """How many singular values are more than rounding beside the largest.   singular [...] -> a count"""
    return int((singular > tolerance * singular.max()).sum()) if singular.numel() else 0


@torch.no_grad()
def value_output(model: Model, layer: int) -> Tensor:
    """Singular values of each head's W_O W_V, two matrices between which attention puts nothing but a weighted mean.

    In float64, largest first -> [head, model]: at most d_head of the d_model can be other than 0.
    """
    attention = model.stack.blocks[layer].attention
    config = attention.config
    W_V = attention.W_V.weight.double().view(config.n_kv_heads, config.d_head, -1)  # [kv head, head dim, model]
    W_V = W_V.repeat_interleave(config.n_heads // config.n_kv_heads, 0)  # [head, head dim, model]
    W_O = attention.W_O.weight.double().view(-1, config.n_heads, config.d_head)  # [model, head, head dim]
    return torch.linalg.svdvals(W_O.transpose(0, 1) @ W_V)
