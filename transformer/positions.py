"""Absolute positions that are added to the embeddings. (RoPE turns queries and keys instead: see rope.py.)"""

import math

import torch
from torch import Tensor

from transformer.config import Config


def sinusoidal(positions: Tensor, d_model: int, base: float = 10_000.0, layout: str = "interleaved") -> Tensor:
    """PE(pos, 2i) = sin(pos / base^(2i/d)), PE(pos, 2i+1) = cos(the same). Vaswani et al. 2017, §3.5.

    ``layout`` "half": what their code (tensor2tensor) and Marian compute instead, all sines, then all cosines, at the
    speeds base^(−i/(d/2 − 1)), so that the slowest is 1/base exactly.
    ``positions`` [batch or 1, token] -> [batch or 1, token, d_model], float32.
    """
    if layout == "half":
        i = torch.arange(d_model // 2, device=positions.device, dtype=torch.float32)
        angle = positions[..., None].float() / base ** (i / (d_model // 2 - 1))  # [batch or 1, token, d_model / 2]
        return torch.cat((angle.sin(), angle.cos()), -1)
    i = torch.arange(0, d_model, 2, device=positions.device, dtype=torch.float32)
    angle = positions[..., None].float() / base ** (i / d_model)  # [batch or 1, token, d_model / 2]
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)


# What the lessons on sinusoids and on RoPE look at. The forward pass above does not need it.


def speeds(d_model: int, base: float = 10_000.0, layout: str = "interleaved") -> Tensor:
    """θ_i, radians a position: base^(−2i/d), or base^(−i/(d/2 − 1)) where the layout is "half".

    Returns [d_model / 2], float32. A wave comes round after 2π / θ_i positions: 2π · 10000^(2i/d) in the paper.
    """
    i = torch.arange(d_model // 2, dtype=torch.float32)
    return base ** -(2 * i / d_model if layout == "interleaved" else i / (d_model // 2 - 1))


def shift(distance: float, d_model: int, base: float = 10_000.0, layout: str = "interleaved") -> Tensor:
    """R(k) with PE(pos + k) = R(k) PE(pos) for every pos: a rotation by k·θ_i in every pair, the fact that made the
    authors choose sinusoids (Vaswani et al. 2017, §3.5).

        (sin (pos + k)θ)   ( cos kθ   sin kθ) (sin pos·θ)
        (cos (pos + k)θ) = (−sin kθ   cos kθ) (cos pos·θ)

    Returns [d_model, d_model], float32: blocks of two by two along the diagonal, or four diagonals in layout "half".
    """
    unit = sinusoidal(torch.tensor([distance]), d_model, base, layout)[0]  # sin, cos of k·θ_i, pair by pair
    sin, cos = of_pairs(unit, layout).unbind(-1)
    if layout == "half":
        return torch.cat((torch.cat((cos.diag(), sin.diag()), 1), torch.cat((-sin.diag(), cos.diag()), 1)))
    blocks = torch.stack((torch.stack((cos, sin), -1), torch.stack((-sin, cos), -1)), -2)  # [pair, 2, 2]
    return torch.block_diag(*blocks)


def of_pairs(PE: Tensor, layout: str = "interleaved") -> Tensor:
    """The sine and the cosine of each speed.   PE [..., d_model] -> [..., pair, 2]"""
    return torch.stack(PE.chunk(2, -1), -1) if layout == "half" else PE.unflatten(-1, (-1, 2))


def similarity(
    starts: Tensor, distance: Tensor, d_model: int, base: float = 10_000.0, layout: str = "interleaved"
) -> Tensor:
    """PE(n + r) · PE(n), which is Σ_i cos(r·θ_i) whatever n is.

    starts n [start], distance r [distance] -> [start, distance].
    """
    PE_n = sinusoidal(starts, d_model, base, layout)  # [start, model]
    PE_m = sinusoidal(starts[:, None] + distance, d_model, base, layout)  # [start, distance, model]
    return (PE_m @ PE_n[..., None])[..., 0]


def gram(PE: Tensor) -> Tensor:
    """PE·PE of every two positions.   PE [position, d_model] -> [position, position]"""
    return PE @ PE.mT


def of_head(W_Q: Tensor, W_K: Tensor, config: Config, head: int) -> tuple[Tensor, Tensor]:
    """One head's rows of the query and key matrices, the key's being those of the group it reads.

    W_Q [head · d_head, model], W_K [kv_head · d_head, model], as nn.Linear keeps them -> two [d_head, model], float32.
    """
    shared = head * config.n_kv_heads // config.n_heads
    rows = [W.detach().unflatten(0, (-1, config.d_head))[i].float() for W, i in ((W_Q, head), (W_K, shared))]
    return rows[0], rows[1]


def mixed_scores(
    W_Q: Tensor, W_K: Tensor, x: Tensor, y: Tensor, starts: Tensor, distance: Tensor, base: float = 10_000.0
) -> Tensor:
    """(W_Q (x + PE(n + r))) · (W_K (y + PE(n))) / √d_k: a head's score when sinusoids were added to what it reads.

    Written out it is x·y, x·PE(n), PE(n + r)·y and PE·PE terms, each with W_Qᵀ W_K between, and only where that matrix
    commutes with every shift does the last depend on r alone.

    W_Q, W_K [d_head, model], or [head, d_head, model] for several heads at once; x the query token's vector, y the key
    token's [model] (zeros: positions alone); starts n [start], distance r [distance] -> [start, distance] or [head,
    start, distance].
    """
    d_head, d_model = W_Q.shape[-2:]
    k = (y + sinusoidal(starts, d_model, base)) @ W_K.mT  # [(head,) start, d_head]
    q = (x + sinusoidal(starts[:, None] + distance, d_model, base)) @ W_Q.mT.unsqueeze(-3)  # [(head,) start, distance, d_head]
    return (q @ k[..., None])[..., 0] / math.sqrt(d_head)


def share_of_distance(S: Tensor) -> float:
    """R²: the share of the scores' variance that the distance alone explains; 1 when equal distances give equal scores.

    S [start, distance].
    """
    within = (S - S.mean(0)).square().sum()
    total = (S - S.mean()).square().sum()
    return float(1 - within / total)


def explained_by_offset(S: Tensor, mask: Tensor | None = None) -> float:
    """R² of a map: the share of the scores' variance that query − key alone explains; 1 when diagonals are one number.

    S [query, key]; mask: which of them count, bool of S's shape. 1 where all scores are the same.
    """
    n = S.shape[-1]
    offset = torch.arange(S.shape[0])[:, None] - torch.arange(n) + n - 1
    seen = torch.ones_like(S, dtype=torch.bool) if mask is None else mask
    values, group = S[seen].double(), offset[seen]
    count = torch.zeros(S.shape[0] + n, dtype=values.dtype).index_add(0, group, torch.ones_like(values))
    mean = torch.zeros_like(count).index_add(0, group, values) / count.clamp_min(1)
    total = (values - values.mean()).square().sum()
    return 1.0 if total == 0 else float(1 - (values - mean[group]).square().sum() / total)


def in_spreads(S: Tensor, mask: Tensor | None = None) -> Tensor:
    """(S − mean) / spread over the scores that count: maps of different sizes beside each other. What the offset
    explains of them stays the same.   S [query, key], mask bool or None -> [query, key]; all 0 where all scores are the same.
    """
    seen = S if mask is None else S[mask]
    spread = seen.std(correction=0)
    return (S - seen.mean()) / (spread if spread > 0 else 1.0)


def share(E: Tensor, P: Tensor) -> Tensor:
    """‖P‖² / (‖E‖² + ‖P‖²): how much of the sum's squared length the position brings, the two being nearly square to
    each other.   E, P [..., model] -> [...]."""
    e, p = E.square().sum(-1), P.square().sum(-1)
    return p / (e + p)
