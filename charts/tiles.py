"""Attention by tiles: one tile of scores after the other, what is kept of them, and what it saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves, matrices
from charts.curves import Choice, Line, Panel, Row
from charts.matrices import Matrix, Product


@dataclass(frozen=True)
class Tile:
    """One tile, and what stands after it: S and P [query, key] of the tile, the rest [query of the tile]."""

    queries: slice
    keys: slice
    S: np.ndarray
    P: np.ndarray
    m_before: np.ndarray
    l_before: np.ndarray
    rescale: np.ndarray
    m: np.ndarray
    l: np.ndarray
    z: np.ndarray  # [query of the tile, d_v]: what the output would be if nothing followed


def message(
    words: Sequence[str], tiles: Sequence[Tile], read: Mapping[str, np.ndarray], exact: np.ndarray, factor: float,
    factor_text: str, barred: np.ndarray | None, at: Choice, cell: tuple[str, int, int] | None, *, epoch: int,
) -> bytes:  # fmt: skip
    """A frame for each tile. read: Q, K, V [token, d]; exact [query, d_v]: the plain formula's output; barred
    [query, key] or None."""
    n, count = len(words), len(tiles)
    S = np.full((count, n, n), np.nan)
    m, l, rescale = np.full((3, count, n, 1), np.nan)
    said = np.full((3, count, n, 1), "", dtype=object)
    z = np.full((count, *exact.shape), np.nan)
    loaded = {name: np.full((count, *array.shape), np.nan) for name, array in read.items()}
    last = {tile.queries.start: frame for frame, tile in enumerate(tiles)}  # when a row of tiles is done
    sentences, gaps, done = [], [], np.zeros(n, dtype=bool)
    for frame, tile in enumerate(tiles):
        if frame:  # what earlier tiles left
            m[frame], l[frame], z[frame] = m[frame - 1], l[frame - 1], z[frame - 1]
        rows = tile.queries
        S[frame, rows, tile.keys] = tile.S
        m[frame, rows, 0], l[frame, rows, 0], rescale[frame, rows, 0] = tile.m, tile.l, tile.rescale
        z[frame, rows] = tile.z
        for i, row in enumerate(range(rows.start, rows.stop)):
            said[:, frame, row, 0] = _arithmetic(tile, i)
        for name, part in (("Q", rows), ("K", tile.keys), ("V", tile.keys)):
            loaded[name][frame, part] = read[name][part]
        done[rows] |= last[rows.start] == frame
        sentences.append(_sentence(tile, words))
        gaps.append(f"{done.sum()} of {n} rows are done; they differ from the plain formula by at most "
                    f"{np.abs(z[frame] - exact)[done].max():.1g}" if done.any() else "no row is done yet")  # fmt: skip
    masked = None if barred is None else barred & ~np.isnan(S)  # in the tile that is looked at
    S = np.where(np.isinf(S), np.nan, S)
    tall = {"rows": words, "row_axis": "query"}
    one = {"cols": [""], "col_axis": "one number a query", "share": 1.2} | tall

    def wide(key: str, title: str, values: np.ndarray, role: str, axis: str, note: str | list[str] = "") -> Matrix:
        dims = [str(i) for i in range(values.shape[-1])]
        return Matrix(key, title, values, role, words, dims, axis, "dimension", signed=True, note=note)

    grid = [
        [Matrix("S", "S, this tile alone", S, "scores", cols=words, signed=True, barred=masked, **tall,
                says=Product("Q", "K", scale=factor, scale_text=factor_text)),
         Matrix("m", "m, largest yet", m, "scores", signed=True, says=said[0], **one),
         Matrix("r", "factor", rescale, "muted", top=1, says=said[1], **one),
         Matrix("l", "l, sum yet", l, "attention", says=said[2], **one)],
        [wide("Q", "Q, what is on the chip", loaded["Q"], "query", "query"),
         wide("K", "K, what is on the chip", loaded["K"], "key", "key"),
         wide("V", "V, what is on the chip", loaded["V"], "value", "key"),
         wide("z", "z = O / l so far", z, "value", "query", gaps)],
    ]  # fmt: skip
    return matrices.message(
        "attention-by-tiles", "One tile of attention scores after the other. Space plays, full stop and comma step, the "
                              "arrow keys move the cell, Page Down goes to the next matrix.",
        grid, frames=at, at=cell, sentence=sentences, plays_frames=True, height=560, epoch=epoch,
    )  # fmt: skip


def most_telling(tiles: Sequence[Tile]) -> tuple[int, int]:
    """The tile that corrects the most, and its query: a larger maximum came after much had been summed."""
    mended = [tile.l_before * (1 - tile.rescale) for tile in tiles]
    tile = int(np.argmax([one.max() for one in mended]))
    return tile, tiles[tile].queries.start + int(mended[tile].argmax())


def memory_message(
    n: np.ndarray, kept: Mapping[str, np.ndarray], moved: Mapping[str, np.ndarray], cursor: int, *, epoch: int
) -> bytes:
    """MiB beside Q, K, V and z, and MiB moved, against n; each mapping has "plain" and "tiled"."""
    looks = {"plain": ("attention", "S and A whole"), "tiled": ("value", "by tiles")}

    def panel(title: str, short: str, of: Mapping[str, np.ndarray]) -> Panel:
        lo, hi = min(v.min() for v in of.values()) * 0.6, max(v.max() for v in of.values()) * 1.8
        lines = [Line(of[name], role, label, width=3, dot=True) for name, (role, label) in looks.items()]
        return Panel(title, (float(lo), float(hi)), lines, short=short, log=True, note="logarithmic")

    rows = [Row(label, role, [kept[name], moved[name]]) for name, (role, label) in looks.items()]
    return curves.message(
        "attention-memory", "Memory of attention against the length of the text, whole and by tiles; arrow keys move n",
        n, "tokens n", "n", [panel("MiB kept beside Q, K, V and z, one layer", "MiB kept", kept),
                             panel("MiB moved to and from the large memory, one layer", "MiB moved", moved)],
        cursor=cursor, columns=["kept, MiB", "moved, MiB"], rows=rows, height=430, gutter=110, epoch=epoch,
        sentence="n = {x}: {0} MiB kept whole, {1} MiB by tiles",
        values=[kept["plain"], kept["tiled"]],
    )  # fmt: skip


def _sentence(tile: Tile, words: Sequence[str]) -> str:
    rows, keys = tile.queries, tile.keys
    risen = int(((tile.m > tile.m_before) & np.isfinite(tile.m_before)).sum())
    count = tile.S.shape[0]
    first = not np.isfinite(tile.m_before).any()
    then = ("Their first tile: nothing is summed yet, so the factor is 0." if first else
            f"For {risen} of {count} queries the maximum rises, and what they had summed shrinks by the factor."
            if risen else "No maximum rises, so every factor is 1: the tile is simply added.")  # fmt: skip
    return f"Queries {_span(rows, words)} meet keys {_span(keys, words)}. {then}"


def _span(part: slice, words: Sequence[str]) -> str:
    first, last = (words[i].strip() or "␣" for i in (part.start, part.stop - 1))
    return f"{part.start}–{part.stop - 1} ({first} … {last})"


def _arithmetic(tile: Tile, i: int) -> tuple[str, str, str]:
    """How m, the factor and l of one query came about."""
    old, new = _number(tile.m_before[i]), _number(tile.m[i])
    here = [score for score in tile.S[i] if np.isfinite(score)]
    m = f"m = max(before {old}, this tile's {', '.join(map(_number, here)) or 'nothing'}) = {new}"
    factor = f"e^(m_old − m) = e^({old} − {new}) = {_number(tile.rescale[i])}"
    terms = " + ".join(_number(p) for p in tile.P[i] if p > 0) or "0"
    return m, factor, (f"l = factor · l_old + Σ e^(S − m) = {_number(tile.rescale[i])} · {_number(tile.l_before[i])} + "
                       f"({terms}) = {_number(tile.l[i])}")  # fmt: skip


def _number(value: float) -> str:
    return ("∞" if value > 0 else "−∞") if np.isinf(value) else f"{value:.3g}".replace("-", "−")
