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


# What the lesson on RoPE looks at. The forward pass above does not need it.


def shift(distance: float, d_model: int, base: float = 10_000.0) -> Tensor:
    """R(k) with PE(pos + k) = R(k) PE(pos) for every pos: a block of rotations by k·θ_i, the fact that made the authors
    choose sinusoids (Vaswani et al. 2017, §3.5).   Returns [d_model, d_model], float32.
    """
    unit = sinusoidal(torch.tensor([distance]), d_model, base)[0]  # sin, cos of k·θ_i, pair by pair
    sin, cos = unit[0::2], unit[1::2]
    blocks = torch.stack((torch.stack((cos, sin), -1), torch.stack((-sin, cos), -1)), -2)  # [pair, 2, 2]
    return torch.block_diag(*blocks)


def similarity(starts: Tensor, distance: Tensor, d_model: int, base: float = 10_000.0) -> Tensor:
    """PE(n + r) · PE(n), which is Σ_i cos(r·θ_i) whatever n is.

    starts n [start], distance r [distance] -> [start, distance].
    """
    PE_n = sinusoidal(starts, d_model, base)  # [start, model]
    PE_m = sinusoidal(starts[:, None] + distance, d_model, base)  # [start, distance, model]
    return (PE_m @ PE_n[..., None])[..., 0]


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
