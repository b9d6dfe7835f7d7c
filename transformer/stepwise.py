"""Attention with every step kept: x → Q, K, V → S → A → z → W_O, as a lesson goes through it.

``attention.Attention`` computes the same inside a model, with a cache, biases and a fused path beside the textbook one.
"""

from typing import NamedTuple

from torch import Tensor

from transformer.attention import masked_softmax
from transformer.models import Model
from transformer.scores import dot


class Weights(NamedTuple):
    """One layer's four matrices, as the paper writes them: x multiplies from the left."""

    W_Q: Tensor  # [model, heads · d_k]
    W_K: Tensor  # [model, heads · d_k]
    W_V: Tensor  # [model, heads · d_v]
    W_O: Tensor  # [heads · d_v, model]; square where d_v = d / h


class Read(NamedTuple):
    """What the heads find."""

    S: Tensor  # [..., query, key]: all of them, the mask not yet applied
    A: Tensor  # [..., query, key]
    z: Tensor  # [..., query, d_v]


class Steps(NamedTuple):
    """Every tensor of one layer's attention, in the order of computation."""

    Q: Tensor  # [head, token, d_k]
    K: Tensor  # [head, token, d_k]
    V: Tensor  # [head, token, d_v]
    S: Tensor  # [head, query, key]
    A: Tensor  # [head, query, key]
    z: Tensor  # [head, query, d_v]
    Z: Tensor  # [query, heads · d_v]: the heads side by side
    out: Tensor  # [query, model]: what is added to the residual stream


def weights(model: Model, layer: int) -> Weights:
    """W_Q, W_K, W_V, W_O of a layer. ValueError where there are biases too, which the steps here leave out."""
    attention = model.stack.blocks[layer % len(model.stack.blocks)].attention
    found = [getattr(attention, name) for name in Weights._fields]
    if any(linear.bias is not None for linear in found):
        raise ValueError(f"layer {layer} adds biases to its products, and stepwise.weights gives matrices alone.")
    return Weights(*(linear.weight.detach().T for linear in found))


def attend(x: Tensor, of: Weights, n_heads: int, allowed: Tensor | None = None, factor: float | None = None) -> Steps:
    """MultiHead(x) = [z₁ … z_h] W_O, z_i = softmax(Q_i K_iᵀ / √d_k + mask) V_i (Vaswani et al. 2017, arXiv:1706.03762).

    x [token, model]; ``allowed`` bool [query, key], None: every query reads every key; ``factor``: on q·k, 1/√d_k
    unless given.
    """
    Q, K, V = (split(x @ W, n_heads) for W in (of.W_Q, of.W_K, of.W_V))
    S, A, z = read(Q, K, V, allowed, factor)
    Z = z.transpose(0, 1).flatten(1)  # [query, heads · d_v]
    return Steps(Q, K, V, S, A, z, Z, Z @ of.W_O)


def read(Q: Tensor, K: Tensor, V: Tensor, allowed: Tensor | None = None, factor: float | None = None) -> Read:
    """S = Q Kᵀ / √d_k;  A = softmax(S + log mask), row by row;  z = A V.

    Q [..., query, d_k], K [..., key, d_k], V [..., key, d_v]; ``allowed`` bool [query, key] or None; ``factor``: in
    place of 1/√d_k. A row that may read nothing gives zeros.
    """
    S = dot(Q, K, Q.shape[-1] ** -0.5 if factor is None else factor)
    A = masked_softmax(S, allowed)
    return Read(S, A, A @ V)


def split(x: Tensor, n_heads: int) -> Tensor:
    """[token, heads · width] -> [head, token, width]."""
    return x.unflatten(-1, (n_heads, -1)).transpose(0, 1)
