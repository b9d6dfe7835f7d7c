"""Matrices side by side for the browser component "matrices": numbers where they can be read, pixels where not.

Hover a cell and the picture says how its number came about: which row of which matrix met which other, written out.
Values are [row, col], or [frame, row, col] where a slider in the picture chooses the frame without a round trip. With
steps the matrices appear in the order of computation. The arrays go out as they are, so the test that compares them
with the trace compares what is drawn. A NaN is a cell that is not there (yet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charts import component
from charts.curves import Choice, Picks, Switch, Tone, Words

PARTS = (
    "plot.js", "player.js", "player.css", "sticky.css", "matrices/surface.js", "matrices/layout.js", "matrices/paint.js",
    "matrices/sums.js",
)  # fmt: skip
SOFTMAX, SUM, TIMES = "softmax:", "sum:", "times:"


@dataclass(frozen=True)
class Product:
    """How a cell came about: scale · Σ_k left[row, k] · right[col, k]; with right_rows False, right[k, col].

    left, right: keys of matrices in the same message; symbol, scale_text: as the sum is written, "q·k" and "/ √64".
    """

    left: str
    right: str
    right_rows: bool = True
    scale: float = 1.0
    symbol: str = "q·k"
    scale_text: str = ""


@dataclass(frozen=True)
class Matrix:
    """One matrix. `key` names it for products and steps, and is its name in the sum unless `symbol` gives another.

    signed: diverging colours about 0, else 0 vanishes into the background; top: where the colours end, None for the
    largest of all frames; barred: cells that may not attend, hatched; says: a Product, "softmax:<key of the scores>",
    "sum:<key>+<key>" and "times:<key>×<key>" of matrices of its own shape, a sentence with {row}, {col}, {value}, or an array of sentences, one a cell; pick, switched: only there while that name
    is picked, or while the switch is on (True) or off (False); share: its part of the width beside its number of columns.
    """

    key: str
    title: Words
    values: np.ndarray
    role: Tone
    rows: Sequence[str]
    cols: Sequence[str]
    row_axis: str = "query"
    col_axis: str = "key"
    signed: bool = False
    top: float | None = None
    barred: np.ndarray | None = None
    says: Product | str | np.ndarray | None = None
    note: Words = ""
    pick: str | None = None
    switched: bool | None = None
    share: float = 1.0
    symbol: str = ""


@dataclass(frozen=True)
class Step:
    """One step of the computation: the matrices it lights; the rest is dimmed, and what comes later is still empty."""

    title: str
    sentence: str
    shows: tuple[str, ...]


def message(
    name: str, label: str, grid: Sequence[Sequence[Matrix]], *, frames: Choice | None = None,
    picks: Picks | None = None, steps: Sequence[Step] = (), switch: Switch | None = None,
    at: tuple[str, int, int] | None = None, step: int = 0, height: int = 520, epoch: int = 0,
    sentence: Words = "", plays_frames: bool = False,
) -> bytes:  # fmt: skip
    """The message for the component.

    name: stem of saved files; label: for screen readers; grid: rows of matrices, which wrap where they do not fit; at:
    the pinned cell (key, row, column); step: which of `steps` it opens at; height: what it aims at; sentence: above the
    picture, for all frames or one each; plays_frames: play, step and reset go through the frames. Frame, pick, step,
    switch and pinned cell are taken up when epoch differs from the last one and belong to the browser after that.
    ValueError, one sentence, where shapes, keys, picks or steps do not fit together.
    """
    matrices = [matrix for row in grid for matrix in row]
    count = len(frames.values) if frames else 1
    _check(matrices, count, frames is not None, picks, steps)
    if at is not None:
        _check_place(at, {matrix.key: matrix for matrix in matrices})
    if steps and not 0 <= step < len(steps):
        raise ValueError(f"There is no step {step}: the steps are 0 to {len(steps) - 1}.")
    if plays_frames and frames is None:
        raise ValueError("There are no frames to play.")
    arrays: dict[str, np.ndarray] = {}

    def said(words: Words) -> str | list[str]:
        if not isinstance(words, str) and len(words) != count:
            raise ValueError(f"There are {len(words)} titles for {count} frames.")
        return words if isinstance(words, str) else list(words)

    def drawn(m: Matrix) -> dict[str, object]:
        arrays[m.key] = np.asarray(m.values, dtype=np.float32)
        if m.barred is not None:
            arrays[f"{m.key} barred"] = np.asarray(m.barred, dtype=np.uint8)
        return {
            "key": m.key, "symbol": m.symbol or m.key, "title": said(m.title), "note": said(m.note), "role": m.role,
            "rows": list(m.rows), "cols": list(m.cols), "rowAxis": m.row_axis, "colAxis": m.col_axis,
            "signed": m.signed, "top": _top(m), "barred": m.barred is not None, "pick": m.pick, "switched": m.switched,
            "share": m.share, "says": _says(m.says),
        }  # fmt: skip

    header = {
        "name": name, "label": label, "height": height, "epoch": epoch, "at": list(at) if at else None, "step": step,
        "grid": [[drawn(matrix) for matrix in row] for row in grid], "sentence": said(sentence),
        "frames": frames.header() if frames else None, "playsFrames": plays_frames,
        "picks": picks.header() if picks else None,
        "switch": {"label": switch.label, "on": switch.on, "taller": switch.taller} if switch else None,
        "steps": [{"title": one.title, "sentence": one.sentence, "shows": list(one.shows)} for one in steps],
    }  # fmt: skip
    return component.pack(header, arrays)


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=...

    It reports stand: epoch, frame, pick, step, switch, and at ([key, row, col], or null).
    """
    return component.declare("matrices", *PARTS)(**where)


def _top(m: Matrix) -> float:
    """The end of the colour range: of all frames, barred cells and those that are not there left out."""
    if m.top is not None:
        return float(m.top)
    values = np.asarray(m.values, dtype=np.float64)
    seen = np.isfinite(values) if m.barred is None else np.isfinite(values) & ~np.asarray(m.barred, dtype=bool)
    return float(np.max(np.abs(values), where=seen, initial=0.0)) or 1.0


def _says(says: Product | str | np.ndarray | None) -> dict[str, object] | None:
    match says:
        case Product():
            return {"kind": "product", "left": says.left, "right": says.right, "rightRows": says.right_rows,
                    "scale": says.scale, "symbol": says.symbol, "scaleText": says.scale_text}
        case str() if says.startswith(SOFTMAX):
            return {"kind": "softmax", "of": says.removeprefix(SOFTMAX)}
        case str() if says.startswith(SUM):
            return {"kind": "sum", "of": says.removeprefix(SUM).split("+")}
        case str() if says.startswith(TIMES):
            return {"kind": "times", "of": says.removeprefix(TIMES).split("×")}
        case str():
            return {"kind": "sentence", "text": says}
        case np.ndarray():
            return {"kind": "each", "text": says.tolist(), "framed": says.ndim == 3}
    return None


def _check(
    matrices: Sequence[Matrix], count: int, framed: bool, picks: Picks | None, steps: Sequence[Step]
) -> None:  # fmt: skip
    known = {m.key: m for m in matrices}
    if len(known) < len(matrices):
        raise ValueError("Two matrices have the same key.")
    for m in matrices:
        shape = (len(m.rows), len(m.cols))
        fitting = [shape, (count, *shape)] if framed else [shape]
        each = m.says if isinstance(m.says, np.ndarray) else None
        for what, array in (("values", m.values), ("barred", m.barred), ("says", each)):
            if array is not None and array.shape not in fitting:
                raise ValueError(f"{m.key}: {what} has shape {list(array.shape)}; rows, columns and frames ask for "
                                 f"{list(fitting[-1])}.")  # fmt: skip
        if m.pick is not None and (picks is None or m.pick not in picks.values):
            raise ValueError(f"“{m.pick}” is not among what can be picked.")
        if isinstance(m.says, Product):
            _check_product(m, m.says, known)
        elif isinstance(m.says, str) and m.says.startswith(SOFTMAX):
            of = m.says.removeprefix(SOFTMAX)
            if of not in known or known[of].values.shape[-2:] != shape:
                raise ValueError(f"{m.key} is said to be the softmax of {of!r}, which is not here in its shape.")
        elif isinstance(m.says, str) and m.says.startswith(SUM):
            for of in m.says.removeprefix(SUM).split("+"):
                if of not in known or known[of].values.shape[-2:] != shape:
                    raise ValueError(f"{m.key} is said to be a sum with {of!r}, which is not here in its shape.")
    for one in steps:
        if missing := [key for key in one.shows if key not in known]:
            raise ValueError(f"The step “{one.title}” shows {missing[0]!r}, which is not in the picture.")


def _check_product(m: Matrix, product: Product, known: dict[str, Matrix]) -> None:
    for key in (product.left, product.right):
        if key not in known:
            raise ValueError(f"{m.key} is said to be a product with {key!r}, which is not in the picture.")
    left, right = (known[key].values.shape[-2:] for key in (product.left, product.right))
    if product.right_rows:
        right = right[::-1]
    if left[1] != right[0] or (left[0], right[1]) != (len(m.rows), len(m.cols)):
        raise ValueError(f"{m.key} [{len(m.rows)}, {len(m.cols)}] cannot be the product of {list(left)} and "
                         f"{list(right)}.")  # fmt: skip


def _check_place(at: tuple[str, int, int], known: dict[str, Matrix]) -> None:
    key, row, col = at
    if key not in known or not (0 <= row < len(known[key].rows) and 0 <= col < len(known[key].cols)):
        raise ValueError(f"There is no cell {at}.")
