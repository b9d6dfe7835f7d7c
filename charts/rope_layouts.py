"""Rotary position in both layouts of coordinates: the same scores, and what a loader that mixes them up computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charts import matrices
from charts.curves import Choice
from charts.matrices import Matrix

HALF, NEIGHBOURS = "Halves: i turns with i + d/2", "Neighbours: 2i turns with 2i + 1"


def message(
    Q_half: np.ndarray, Q_interleaved: np.ndarray, S_half: np.ndarray, S_interleaved: np.ndarray,
    S_forgotten: np.ndarray, words: Sequence[str], heads: Choice, *, causal: bool, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Q [head, word, d_head], turned, each in its layout's own order; S [head, query, key], divided by √d_k."""
    heads_, n, d = Q_half.shape
    to = np.arange(d).reshape(2, d // 2).T.ravel()  # where the neighbours' coordinate stood among the halves
    barred = np.broadcast_to(~np.tri(n, dtype=bool), S_half.shape) if causal else None
    seen = slice(None) if barred is None else ~barred[0]
    top = float(max(np.abs(S[:, seen]).max() for S in (S_half, S_forgotten)))

    def apart(S: np.ndarray, digits: int) -> list[str]:
        most = [np.abs(one - half)[seen].max() for one, half in zip(S, S_half, strict=True)]
        return [f"at most {one:.{digits}g} away from the first" for one in most]

    def scores(key: str, title: str, S: np.ndarray, note: str | list[str]) -> Matrix:
        return Matrix(key, title, S, "scores", words, words, signed=True, top=top, barred=barred, note=note,
                      says="query {row}, key {col}: score {value}")  # fmt: skip

    def turned(key: str, title: str, Q: np.ndarray, of: np.ndarray, named: str) -> Matrix:
        where = [f"coordinate {j}: turned with {_partner(j, d, key)}; coordinate {of[j]} {named}" for j in range(d)]
        said = np.array([[f"{word}, {one}" for one in where] for word in words], dtype=object)
        cols = [str(j) for j in range(d)]
        return Matrix(key, title, Q, "query", words, cols, "word", "coordinate", signed=True, says=said)

    back = np.argsort(to)
    grid = [
        [scores("half", HALF, S_half, "what the model computes"),
         scores("neighbours", "Neighbours, permuted first", S_interleaved, apart(S_interleaved, 1)),
         scores("forgotten", "Neighbours, not permuted", S_forgotten, apart(S_forgotten, 3))],
        [turned("turned halves", f"q turned. {HALF}", Q_half, back, "in the other layout"),
         turned("turned neighbours", f"The same q. {NEIGHBOURS}", Q_interleaved, to, "in the other layout")],
    ]  # fmt: skip
    return matrices.message("rope-layouts", "One head in both layouts of RoPE; arrow keys choose a cell", grid,
                            frames=heads, height=300, epoch=epoch)  # fmt: skip


def _partner(j: int, d: int, key: str) -> int:
    return (j + d // 2) % d if key == "turned halves" else j ^ 1


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return matrices.mount(**where)
