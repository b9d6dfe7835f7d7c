"""Saturation: what the size of the scores does to a softmax, and with it why q·k is divided by √d_k.

For q, k with independent coordinates of mean 0 and variance 1, Var(q·k) = d_k: scores grow as √d_k, the softmax comes
close to choosing one key, and its slope with it to 0. Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1, footnote 4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.attention import masked_softmax
from transformer.sampling import entropy

STUCK = 0.01  # a row whose Jacobian is smaller than this hardly moves, whatever its scores do


def jacobian(p: Tensor) -> Tensor:
    """∂p_i / ∂s_j = p_i (δ_ij − p_j) of p = softmax(s): diag(p) − p pᵀ.   p [..., key] -> [..., key, key]"""
    return torch.diag_embed(p) - p[..., :, None] * p[..., None, :]


def jacobian_norm(p: Tensor) -> Tensor:
    """‖diag(p) − p pᵀ‖_F = √(Σ p² − 2 Σ p³ + (Σ p²)²), without making the matrix.   p [..., key] -> [...]

    0 where one key has everything; at most 1/2, where two keys share alike; √(n − 1) / n for n equal weights.
    """
    squares = p.square().sum(-1)
    return (squares - 2 * p.pow(3).sum(-1) + squares.square()).clamp_min(0).sqrt()


def slope_to_query(p: Tensor, K: Tensor, factor: float | Tensor) -> Tensor:
    """‖∂p/∂q‖_F = c ‖(diag(p) − p pᵀ) K‖_F of p = softmax(c K q): row i of the matrix is c p_i (k_i − Σ_j p_j k_j).

    p [..., key], K [..., key, d_k] -> [...]
    """
    mean = p[..., None, :] @ K  # [..., 1, d_k]
    return factor * (p * (K - mean).norm(dim=-1)).norm(dim=-1)


class Drawn(NamedTuple):
    """What drawn queries and keys give at each width d_k; with and without the division by √d_k where there are two."""

    raw: Tensor  # q·k [width, row, key]
    variance: Tensor  # of q·k, measured [width]
    error: Tensor  # standard error of the variance [width]
    slope: Tensor  # ‖∂a/∂q‖_F [2, width, row]: not divided, divided


def drawn(widths: Sequence[int], rows: int, keys: int, seed: int) -> Drawn:
    """Scores of vectors whose coordinates are independent, normal, of mean 0 and variance 1.

    Each row is a query with ``keys`` keys of its own. A larger width adds coordinates to the same vectors, so that a row
    can be followed through all widths, which must ascend.
    """
    if list(widths) != sorted(set(widths)) or widths[0] < 1:
        raise ValueError(f"the widths must ascend from at least 1, not {list(widths)}.")
    generator = torch.Generator().manual_seed(seed)
    q, K = torch.empty(rows, 0), torch.empty(rows, keys, 0)
    raws, slopes = [], []
    for width in widths:
        more = width - q.shape[-1]
        q = torch.cat((q, torch.randn(rows, more, generator=generator)), -1)
        K = torch.cat((K, torch.randn(rows, keys, more, generator=generator)), -1)
        raw = (K @ q[..., None])[..., 0]  # [row, key]
        factors = 1.0, width**-0.5
        slopes.append(torch.stack([slope_to_query((raw * factor).softmax(-1), K, factor) for factor in factors]))
        raws.append(raw)
    raw = torch.stack(raws)
    per_row = raw.square().mean(-1)  # [width, row]; the mean of q·k is 0
    return Drawn(raw, per_row.mean(-1), per_row.std(-1) / rows**0.5, torch.stack(slopes, 1))


class Look(NamedTuple):
    """How rows of weights look, and how they could still move; means over the rows unless said otherwise."""

    entropy: Tensor  # nats
    largest: Tensor  # weight in a row
    low: Tensor  # of ‖J‖_F: a tenth of the rows lie below
    median: Tensor  # of ‖J‖_F
    high: Tensor  # of ‖J‖_F: a tenth of the rows lie above
    stuck: Tensor  # share of the rows with ‖J‖_F < STUCK


def look(A: Tensor) -> Look:
    """A [..., row, key] -> each [...]."""
    norms = jacobian_norm(A)
    low, median, high = torch.quantile(norms, torch.tensor([0.1, 0.5, 0.9], dtype=norms.dtype, device=norms.device), -1)
    stuck = (norms < STUCK).to(norms.dtype).mean(-1)
    return Look(entropy(A).mean(-1), A.amax(-1).mean(-1), low, median, high, stuck)


class Multiplied(NamedTuple):
    """softmax(c S), step by step, for each factor c."""

    scores: Tensor  # c S [factor, query, key]
    total: Tensor  # Σ exp(c S) over the keys that may be seen [factor, query]; inf where it overflows
    A: Tensor  # [factor, query, key]


def multiplied(S: Tensor, factors: Sequence[float] | Tensor, mask: Tensor | None = None) -> Multiplied:
    """S [query, key], or [factor, query, key] with scores of its own for each. c → 0 is uniform, c → ∞ takes the largest."""
    c = torch.as_tensor(factors, dtype=S.dtype, device=S.device)
    scores = c[:, None, None] * S
    seen = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    return Multiplied(scores, seen.logsumexp(-1).exp(), masked_softmax(scores, mask))


def spread(S: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation of the scores within a row, the mean over the rows that see at least two keys.

    What all scores of a row share is no matter to its softmax. S [..., query, key], mask [query, key] -> [...]
    """
    count = mask.sum(-1)  # [query]
    rows = count > 1
    mean = S.where(mask, 0.0).sum(-1) / count
    variance = (S - mean[..., None]).square().where(mask, 0.0).sum(-1) / (count - 1).clamp_min(1)
    return variance.sqrt()[..., rows].mean(-1)
