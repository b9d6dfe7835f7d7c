"""Curves over one shared x for the browser component "curves": panels one above the other, one cursor through all.

An array is [point], or [frame, point] where a slider in the picture chooses the frame (a layer, a factor) without a
round trip, or has one such axis for each of several sliders, of length 1 where that slider changes nothing. Words may be
one for all frames or nested alike, innermost one for each zoom. A switch in the picture shows and hides what is
`switched`; of several that are picked from, the picked one stands out. The arrays go out as they are, so the test that compares them
with the trace compares what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component
from charts.theme import Role

Tone = Role | str  # a role, or "ink", "muted", "line", "negative", "positive"
Words = str | Sequence["Words"]  # for all frames, or one for each; nested where several sliders or a zoom choose


@dataclass(frozen=True)
class Choice:
    """A slider in the picture: what it is called, its positions, and where it starts."""

    label: str
    values: Sequence[float | str]
    at: float | str

    def header(self) -> dict[str, object]:
        """As it goes to the browser. ValueError where it starts at none of its positions."""
        if self.at not in self.values:
            raise ValueError(f"{self.label} cannot start at {self.at}.")
        return {"label": self.label, "values": list(self.values), "at": self.at}


@dataclass(frozen=True)
class Picks(Choice):
    """Buttons in the picture: what has the picked name as its `pick` stands out, in this role, undashed and on top."""

    role: Tone = "ink"

    def header(self) -> dict[str, object]:
        return super().header() | {"role": self.role}


@dataclass(frozen=True)
class Switch:
    """A switch in the picture: what it is called, and whether it starts on. On, it makes the picture `taller`."""

    label: str
    on: bool
    taller: int = 0


@dataclass(frozen=True)
class Line:
    """One curve: `values` at each x. `label` stands at its right end; `shade` mixes the colour with the background."""

    values: np.ndarray
    role: Tone
    label: str = ""
    width: float = 2
    dash: tuple[int, int] | None = None
    shade: float | None = None
    opacity: float = 1
    dot: bool = False  # ride along with the cursor
    quiet: bool = False  # the label in muted ink
    points: bool = False  # the x are few and whole: show each
    switched: bool = False  # only there while the switch is on, or when picked
    pick: str | None = None
    plain: bool = False  # picked, it appears, but keeps its own look


@dataclass(frozen=True)
class Band:
    """The space between two curves; `pick`, `switched` and `plain` as a line's."""

    lo: np.ndarray
    hi: np.ndarray
    role: Tone
    opacity: float = 0.16
    switched: bool = False
    pick: str | None = None
    plain: bool = False


@dataclass(frozen=True)
class Bars:
    """A histogram: `values` [bin] over `edges` [bin + 1]. `lit`: the bin under the cursor stands out."""

    edges: np.ndarray
    values: np.ndarray
    role: Tone
    shade: float | None = None
    lit: bool = True
    pick: str | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical dashed line at x with a word."""

    x: float
    text: Words
    role: Tone = "muted"
    left: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. `share`: its part of the height; `y`: lowest and highest value drawn, or one such pair for each
    frame and zoom, [..., 2], its axes as those of words."""

    title: Words
    y: tuple[float, float] | np.ndarray
    series: Sequence[Line | Band | Bars]
    share: float = 1
    short: Words = ""  # the title on a phone
    note: Words = ""  # at the right of the title
    log: bool = False
    percent: bool = False
    marks: Sequence[Mark] = ()
    switched: bool = False  # only there while the switch is on
    replaced: bool = False  # only there while it is off


@dataclass(frozen=True)
class Row:
    """One row of the table under the picture: the cells are read at the cursor; one number is the same everywhere."""

    name: str
    role: Tone
    cells: Sequence[np.ndarray]
    width: float = 2
    dash: tuple[int, int] | None = None
    shade: float | None = None
    pick: str | None = None
    plain: bool = False  # picked, it stands out, but keeps its line's colour


def message(
    name: str, label: str, x: np.ndarray, x_label: str, symbol: str, panels: Sequence[Panel], *, cursor: float,
    columns: Sequence[str] = (), rows: Sequence[Row] = (), sentence: str = "",
    values: Sequence[np.ndarray | Mapping[str, np.ndarray]] = (),
    step: int = 1, height: int = 520, gutter: int = 96, frames: Choice | Sequence[Choice] | None = None,
    zooms: Choice | None = None, switch: Switch | None = None, picks: Picks | None = None, epoch: int = 0,
    log_x: bool = False, digits: int = 3, only: Sequence[int] | None = None,
) -> bytes:  # fmt: skip
    """The message for the component.

    name: stem of saved files; label: for screen readers; x [point], evenly spaced, or rising in any steps with log_x; symbol: how the cursor calls x;
    columns: titles of the table, one that ends in % shows shares; sentence: read out at the cursor, {x}, {pick} and
    {0}, {1%} … of `values`, where there may be one for each pick; step: points that an arrow key moves; gutter: room for the
    labels at the right; frames: which row of the arrays is drawn, one slider or several; zooms: how far x may go, to
    both sides where it begins below 0. Cursor, frames, zoom, switch and pick are taken up when epoch differs from the
    last one and belong to the browser after that, so that moving them sends nothing here again. only: where the sliders
    must stand for a picture that is sent ahead with no other frames. Arrays go out as float32, but for those that are
    float16; whole numbers are read out as such.
    ValueError when an array of a curve has not the length of x, or words or rows are not as many as the frames.
    """
    choices = [frames] if isinstance(frames, Choice) else list(frames or ())
    counts = [len(choice.values) for choice in choices]
    sizes = counts + ([len(zooms.values)] if zooms else [])  # what words may be one each for
    arrays: dict[str, np.ndarray] = {"x": x.astype(np.float32)}
    sent: dict[int, str] = {}  # id of an array -> its name
    whole: list[str] = []  # arrays of whole numbers, read out as such

    def keep(array: np.ndarray, length: int = len(x)) -> str:
        *lead, last = array.shape
        if last not in (length, 1) or (lead and not _fits(lead, counts)):
            many = " × ".join(map(str, counts or [1]))
            raise ValueError(f"A curve has {list(array.shape)} values for {length} points of x and {many} frames.")
        if id(array) not in sent:  # what is drawn and read out is sent once
            sent[id(array)] = f"a{len(arrays)}"
            half = array.dtype == np.float16
            if np.issubdtype(array.dtype, np.integer):
                whole.append(sent[id(array)])
            arrays[sent[id(array)]] = np.asarray(array, dtype=np.float16 if half else np.float32)
        return sent[id(array)]

    def said(words: Words, depth: int = 0) -> str | list:
        if isinstance(words, str):
            return words
        count = sizes[depth] if depth < len(sizes) else 1
        if len(words) not in (count, 1 if len(sizes) > 1 else count):
            raise ValueError(f"There are {len(words)} titles for {count} frames.")
        return [said(one, depth + 1) for one in words]

    def reaches(y: tuple[float, float] | np.ndarray) -> tuple[float | list, float | list]:
        low_high = np.asarray(y, dtype=float)
        if low_high.ndim > 1 and not _fits(low_high.shape[:-1], sizes[: low_high.ndim - 1]):
            raise ValueError(f"A panel's y has shape {list(low_high.shape)} for {sizes} frames and zooms.")
        return low_high[..., 0].tolist(), low_high[..., 1].tolist()

    def drawn(series: Line | Band | Bars) -> dict[str, object]:
        match series:
            case Line():
                look = {"kind": "line", "y": keep(series.values), "label": series.label, "width": series.width,
                        "dash": series.dash, "opacity": series.opacity, "dot": series.dot, "quiet": series.quiet,
                        "points": series.points, "switched": series.switched, "plain": series.plain}
            case Band():
                look = {"kind": "band", "lo": keep(series.lo), "hi": keep(series.hi), "opacity": series.opacity,
                        "switched": series.switched, "plain": series.plain}
            case Bars():
                bins = series.values.shape[-1]
                look = {"kind": "bars", "edges": keep(series.edges, bins + 1), "y": keep(series.values, bins),
                        "lit": series.lit}
        return look | _colour(series.role, getattr(series, "shade", None)) | picked(getattr(series, "pick", None))

    def picked(pick: str | None) -> dict[str, str]:
        if pick is None:
            return {}
        if picks is None or pick not in picks.values:
            raise ValueError(f"“{pick}” is not among what can be picked.")
        return {"pick": pick}

    def read(value: np.ndarray | Mapping[str, np.ndarray]) -> str | dict[str, str]:
        return keep(value) if isinstance(value, np.ndarray) else {pick: keep(array) for pick, array in value.items()}

    header = {
        "name": name, "label": label, "height": height, "gutter": gutter, "digits": digits, "cursor": cursor,
        "frames": frames.header() if isinstance(frames, Choice) else [choice.header() for choice in choices] or None,
        "zooms": zooms.header() if zooms else None, "epoch": epoch,
        "picks": picks.header() if picks else None, "only": list(only) if only else None,
        "switch": {"label": switch.label, "on": switch.on, "taller": switch.taller} if switch else None,
        "x": {"lo": float(x[0]), "hi": float(x[-1]), "label": x_label, "symbol": symbol, "step": step,
              "log": log_x, "integer": bool(np.all(x == np.round(x)))},
        "panels": [
            {"title": said(panel.title), "short": said(panel.short or panel.title), "note": said(panel.note),
             "share": panel.share, "switched": panel.switched, "replaced": panel.replaced,
             "y": dict(zip(("lo", "hi"), reaches(panel.y), strict=True)) | {"log": panel.log, "percent": panel.percent},
             "series": [drawn(series) for series in panel.series],
             "marks": [{"x": m.x, "text": said(m.text), "role": m.role, "left": m.left} for m in panel.marks]}
            for panel in panels
        ],
        "table": {
            "columns": [column.removesuffix("%") for column in columns],
            "percent": [column.endswith("%") for column in columns],
            "rows": [{"name": row.name, "width": row.width, "dash": row.dash,
                      "plain": row.plain, "cells": [keep(cell) for cell in row.cells]}
                     | _colour(row.role, row.shade) | picked(row.pick) for row in rows],
        },
        "sum": {"text": sentence, "arrays": [read(value) for value in values]},
        "whole": whole,
    }  # fmt: skip
    return component.pack(header, arrays)


def padded(*arrays: np.ndarray, share: float = 0.06) -> tuple[float, float]:
    """A range for y that holds all the arrays with some air."""
    lo, hi = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    air = (hi - lo or 1.0) * share
    return lo - air, hi + air


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("curves", "plot.js", "table.css")(**where)


def _colour(role: Tone, shade: float | None) -> dict[str, object]:
    return {"role": role} if shade is None else {"role": role, "shade": shade}


def _fits(shape: Sequence[int], counts: Sequence[int]) -> bool:
    """Whether each axis is as long as there are frames along it, or 1."""
    return len(shape) == len(counts) and all(n in (1, count) for n, count in zip(shape, counts, strict=True))
