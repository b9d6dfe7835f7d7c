"""Positions that are added to the scores: how far back a key lies, not where it stands.

"alibi" and "t5" are functions of the distance q − k alone, one for all layers. "shaw" and "xl" have vectors for
distances, that meet the query (and with Shaw the value) in every layer.
"""

import math

import torch
from torch import Tensor, nn

from transformer.config import Config
from transformer.positions import sinusoidal


def alibi_slopes(n_heads: int, device: torch.device | None = None) -> Tensor:
    """m_h = 2^(−8 h / H) for h = 1 … H when H is a power of two; else those of the next lower power, and every other
    one of the next higher for the heads that are left (Press et al. 2022, arXiv:2108.12409).   Returns [head], float32."""
    whole = 2 ** math.floor(math.log2(n_heads))
    h = torch.arange(1, whole + 1, device=device, dtype=torch.float32)
    left = 2 * torch.arange(n_heads - whole, device=device, dtype=torch.float32) + 1
    return torch.cat((2 ** (-8 * h / whole), 2 ** (-4 * left / whole)))


class Alibi(nn.Module):
    """b = −m_h |q − k|: the farther, the less, at a slope of each head's own. No parameters. arXiv:2108.12409

    distance [batch or 1, query, key] -> [batch or 1, head, query, key].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.n_heads = config.n_heads

    def forward(self, distance: Tensor) -> Tensor:
        return -alibi_slopes(self.n_heads, distance.device)[:, None, None] * distance.abs()[:, None]


def t5_bucket(distance: Tensor, both_ways: bool, buckets: int = 32, max_distance: int = 128) -> Tensor:
    """Which row of T5's table a distance reads: near ones have one each, far ones share, in logarithmic steps up to
    ``max_distance`` and one for all beyond. Both ways halves the buckets between past and future; else the future counts
    as distance 0. (Raffel et al. 2020, arXiv:1910.10683, and its published code)

    distance q − k [...], whole numbers -> [...].
    """
    if both_ways:
        buckets //= 2
        first = (distance < 0) * buckets
        distance = distance.abs()
    else:
        first = 0
        distance = distance.clamp(min=0)
    exact = buckets // 2
    # In float32 and in this order, as the published code: at a boundary another rounding is another bucket.
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact) * (buckets - exact)
    far = (exact + far.long()).clamp(max=buckets - 1)
    return first + torch.where(distance < exact, distance, far)


class T5Bias(nn.Module):
    """b = table[bucket(q − k), head], learned, shared by all layers. arXiv:1910.10683

    distance [batch or 1, query, key] -> [batch or 1, head, query, key].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.both_ways, self.buckets, self.max_distance = config.kind != "decoder", config.buckets, config.max_distance
        self.table = nn.Embedding.from_pretrained(torch.empty(config.buckets, config.n_heads), freeze=False)

    def forward(self, distance: Tensor) -> Tensor:
        return self.table(t5_bucket(distance, self.both_ways, self.buckets, self.max_distance)).permute(0, 3, 1, 2)


BIASES = {"alibi": Alibi, "t5": T5Bias}


class Distances:
    """The distances q − k of one forward pass: between any two of ``reach`` + 1 places."""

    def __init__(self, distance: Tensor, reach: int):
        self.between = distance  # [batch or 1, query, key]
        self.reach = reach
        self._sinusoids: Tensor | None = None

    def pick(self, S: Tensor, lowest: int) -> Tensor:
        """S [batch, head, query, distance] has a column for each distance from ``lowest`` on; the farther ones count
        as the last -> [batch, head, query, key]."""
        column = (self.between - lowest).clamp(0, S.shape[-1] - 1)
        return S.gather(-1, column[:, None].expand(*S.shape[:3], -1))

    def sinusoids(self, d_model: int) -> Tensor:
        """sin and cos of −reach … reach -> [2 · reach + 1, d_model], made once for all layers."""
        if self._sinusoids is None:
            steps = torch.arange(-self.reach, self.reach + 1, device=self.between.device)
            self._sinusoids = sinusoidal(steps, d_model)
        return self._sinusoids


class Shaw(nn.Module):
    """S_ij = q_i · (k_j + a^K_{j−i}) / √d_k and z_i = Σ_j A_ij (v_j + a^V_{j−i}), distances clipped to ±max_distance.
    Shaw et al. 2018, arXiv:1803.02155. The tables a are shared by the heads of a layer.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.k = config.max_distance
        self.a_K = nn.Embedding.from_pretrained(torch.empty(2 * self.k + 1, config.d_head), freeze=False)
        self.a_V = nn.Embedding.from_pretrained(torch.empty(2 * self.k + 1, config.d_head), freeze=False)

    def scores(self, Q: Tensor, distances: Distances, factor: float) -> Tensor:
        """q_i · a^K · factor.   Q [batch, head, query, d_head] -> [batch, head, query, key]."""
        return distances.pick((Q * factor) @ self.a_K.weight.flip(0).T, -self.k)

    def values(self, A: Tensor, distances: Distances) -> Tensor:
        """Σ_j A_ij a^V.   A [batch, head, query, key] -> [batch, head, query, d_head]."""
        column = (distances.between + self.k).clamp(0, 2 * self.k)[:, None].expand_as(A)
        at_distance = A.new_zeros(*A.shape[:3], 2 * self.k + 1).scatter_add(-1, column, A)
        return at_distance @ self.a_V.weight.flip(0)


class XL(nn.Module):
    """S_ij = ((q_i + u) · k_j + (q_i + v) · W_R R_{i−j}) / √d_k, R sinusoidal. Dai et al. 2019, arXiv:1901.02860

    u and v, one vector a head, stand for the query's own place, which relative positions do not know.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.d_model, self.n_heads = config.d_model, config.n_heads
        self.W_R = nn.Linear(config.d_model, config.n_heads * config.d_head, bias=False)
        self.u = nn.Parameter(torch.empty(config.n_heads, config.d_head))
        self.v = nn.Parameter(torch.empty(config.n_heads, config.d_head))

    def query(self, Q: Tensor) -> Tensor:
        """q + u, what meets the keys' content."""
        return Q + self.u[:, None]

    def scores(self, Q: Tensor, distances: Distances, factor: float) -> Tensor:
        """(q_i + v) · W_R R_{i−j} · factor.   Q [batch, head, query, d_head] -> [batch, head, query, key]."""
        R = self.W_R(distances.sinusoids(self.d_model).to(Q.dtype)).unflatten(-1, (self.n_heads, -1))
        by_distance = ((Q + self.v[:, None]) * factor) @ R.permute(1, 2, 0)  # [batch, head, query, distance]
        return distances.pick(by_distance, -distances.reach)


RELATIVE = {"shaw": Shaw, "xl": XL}
