"""Attention by tiles: the same answer as the plain formula, and never the whole n × n table.

    m ← max(m, max_j S_j)      l ← e^(m_old − m) · l + Σ_j e^(S_j − m)      O ← e^(m_old − m) · O + Σ_j e^(S_j − m) v_j

and in the end z = O / l. A softmax can be summed up in pieces because a later, larger maximum only asks for one common
factor on what is there already (Milakov & Gimelshein 2018, arXiv:1805.02867). FlashAttention keeps each piece in the
fast memory of a GPU (Dao et al. 2022, arXiv:2205.14135); dividing by l once, at the end, is from its second version
(Dao 2023, arXiv:2307.08691).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Tile(NamedTuple):
    """One tile of scores, and what is kept of all tiles of these queries so far; [...] are batch and head."""

    queries: slice
    keys: slice
    S: Tensor  # [..., query of the tile, key of the tile]; −∞ where the mask says so
    P: Tensor  # e^(S − m): weights before the division
    m_before: Tensor  # [..., query]: the running maximum before this tile; −∞ at first
    l_before: Tensor  # [..., query]: the running sum before it
    rescale: Tensor  # [..., query]: e^(m_before − m), the factor on all that was summed before
    m: Tensor  # [..., query]
    l: Tensor  # [..., query]
    O: Tensor  # [..., query, d_v]: not divided by l yet


class Memory(NamedTuple):
    """Values kept beside Q, K, V and the output, and values moved between the large memory and the chip; one head."""

    kept: int
    moved: int


def tiles(
    Q: Tensor, K: Tensor, V: Tensor, rows: int, columns: int, allowed: Tensor | None = None, factor: float | None = None
) -> Iterator[Tile]:
    """Yield after every tile of ``rows`` queries and ``columns`` keys; a tile that the mask empties is passed over.

    Q [..., query, d_k], K [..., key, d_k], V [..., key, d_v]; ``allowed`` bool [query, key] or None; ``factor`` on q·k,
    in place of 1/√d_k. Raises ValueError for tiles without rows or columns.
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"a tile has at least one row and one column, not {rows} × {columns}.")
    factor = Q.shape[-1] ** -0.5 if factor is None else factor
    for top in range(0, Q.shape[-2], rows):
        queries = slice(top, min(top + rows, Q.shape[-2]))
        q = Q[..., queries, :] * factor
        m = q.new_full(q.shape[:-1], -torch.inf)
        l = q.new_zeros(q.shape[:-1])
        O = q.new_zeros(*q.shape[:-1], V.shape[-1])
        for left in range(0, K.shape[-2], columns):
            keys = slice(left, min(left + columns, K.shape[-2]))
            S = q @ K[..., keys, :].mT
            if allowed is not None:
                open_ = allowed[queries, keys]
                if not open_.any():
                    continue
                S = S.masked_fill(~open_, -torch.inf)
            m_before, l_before = m, l
            m = torch.maximum(m, S.amax(-1))
            base = m.masked_fill(m == -torch.inf, 0.0)  # a row that has seen nothing yet: e^(−∞ − 0) = 0, and no NaN
            P = (S - base[..., None]).exp()
            rescale = (m_before - base).exp()
            l = rescale * l + P.sum(-1)
            O = rescale[..., None] * O + P @ V[..., keys, :]
            yield Tile(queries, keys, S, P, m_before, l_before, rescale, m, l, O)


def attention(
    Q: Tensor, K: Tensor, V: Tensor, rows: int, columns: int, allowed: Tensor | None = None, factor: float | None = None
) -> tuple[Tensor, Tensor]:
    """(z [..., query, d_v], L [..., query]): z = softmax(Q Kᵀ · factor + mask) V, and L = m + log l = log Σ e^S.

    L is all that the backward pass needs to make any tile of weights again, e^(S − L), instead of keeping them. A row
    that may read nothing gives zeros, and L = −∞.
    """
    z = Q.new_zeros(*Q.shape[:-1], V.shape[-1])
    L = Q.new_full(Q.shape[:-1], -torch.inf)
    for tile in tiles(Q, K, V, rows, columns, allowed, factor):  # the last tile of a row's has the last word
        z[..., tile.queries, :] = finished(tile.O, tile.l)
        L[..., tile.queries] = tile.m + tile.l.log()
    return z, L


def finished(O: Tensor, l: Tensor) -> Tensor:
    """z = O / l, zeros where nothing was summed."""
    return torch.where(l[..., None] > 0, O / l[..., None], 0.0)


def largest_score(dtype: torch.dtype) -> float:
    """The score from which on e^S is more than the number format holds: log of its largest number."""
    return math.log(torch.finfo(dtype).max)


def plain_memory(n: int, d: int) -> Memory:
    """One head by the formula: S and A are kept, and each is written and read once on the way; O(n²) both.

    Moved: Q, K read and S written, S read and A written, A, V read and z written.
    """
    return Memory(kept=2 * n * n, moved=4 * n * d + 4 * n * n)


def tiled_memory(n: int, d: int, rows: int, columns: int) -> Memory:
    """One head by tiles: L for the backward pass, one tile of S, m, l and O of one row of tiles; O(n) for a fixed tile.

    Moved: Q read once, z and L written once, K and V read once for every ⌈n / rows⌉ rows of tiles.
    """
    rows, columns = min(rows, n), min(columns, n)
    return Memory(kept=n + rows * columns + rows * (2 + d), moved=2 * n * d + n + 2 * n * d * -(-n // rows))
