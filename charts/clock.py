"""How long a pass takes at least, part by part, and how far a real model is from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charts import curves
from charts.curves import Choice, Line, Panel, Row, Tone

DASH = (6, 4)


def least(
    lengths: np.ndarray, parts: Sequence[tuple[str, Tone]], ms: np.ndarray, intensity: np.ndarray, whole: np.ndarray,
    ridge: np.ndarray, frames: Sequence[Choice], *, model: str, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Milliseconds by part over the length, and FLOPs a byte beside the machine's ridge.

    ms and intensity [part, …, length] with an axis for each slider, NaN where a pass has no such part; whole […, length]:
    FLOPs a byte of the pass; ridge […, 1] likewise.
    """
    total = np.nansum(ms, axis=0)  # […, length]
    lines = [Line(of, role, name, width=2) for (name, role), of in zip(parts, ms, strict=True)]
    low, high = np.nanmin(np.where(ms > 0, ms, np.nan), axis=(0, -1)), total.max(-1)
    time = np.stack([np.maximum(low, high / 1e5), high * 1.4], -1)  # […, 2]
    edge = np.broadcast_to(ridge, (*ridge.shape[:-1], len(lengths))).copy()
    asks = [Line(of, role, name, width=2, quiet=True) for (name, role), of in zip(parts, intensity, strict=True)]
    rows = [Row(name, role, [of, of / total, asked])
            for (name, role), of, asked in zip(parts, ms, intensity, strict=True)]  # fmt: skip
    return curves.message(
        "least-time", "Least milliseconds of each part of a pass against the length of the text, and its FLOPs a byte "
        "beside the machine's ridge; left and right arrows move the length", lengths, "tokens in each text", "n",
        [Panel(f"Least milliseconds, {model}", time, [*lines, Line(total, "ink", "all", width=3.5, dot=True)], log=True,
               note="both axes logarithmic", short="least ms"),
         Panel("FLOPs for each byte moved", (0.3, 3e4), [*asks, Line(whole, "ink", "all", width=3.5, dot=True),
               Line(edge, "positive", "ridge", width=2, dash=DASH)], log=True,
               note="above the ridge arithmetic is the bound, below it memory", short="FLOPs a byte")],
        cursor=cursor, columns=["ms", "share%", "FLOPs / byte"],
        rows=[*rows, Row("all", "ink", [total, np.ones(1), whole], width=3.5)], height=500, gutter=110, frames=list(frames),
        sentence="n = {x}: at least {0} ms; {1} FLOPs a byte, and the machine's ridge is {2}", values=[total, whole, ridge],
        epoch=epoch, log_x=True,
    )  # fmt: skip


def measured(
    lengths: np.ndarray, read: np.ndarray, read_least: np.ndarray, write: np.ndarray, write_least: np.ndarray, *, model: str,
    where: str, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Measured milliseconds beside the least ones: to read n tokens, and to write one after them. NaN: not measured yet."""

    def panel(title: str, short: str, found: np.ndarray, low: np.ndarray, note: str = "") -> Panel:
        both = np.concatenate([found, low])
        return Panel(title, (float(np.nanmin(both)) / 1.6, float(np.nanmax(both)) * 1.6),
                     [Line(low, "muted", "least", width=2.5, dash=DASH, dot=True),
                      Line(found, "output", "measured", width=3, points=True, dot=True)],
                     log=True, note=note, short=short)  # fmt: skip

    rows = [Row("to read n tokens", "output", [read, read_least, read / read_least]),
            Row("to write one more", "output", [write, write_least, write / write_least])]  # fmt: skip
    return curves.message(
        "measured-time", "Measured milliseconds to read n tokens and to write one after them, beside the least that the "
        "machine would need; left and right arrows move the length", lengths, "tokens in the text", "n",
        [panel(f"Milliseconds to read n tokens, {model}", "ms to read", read, read_least, where),
         panel("Milliseconds to write one token after them", "ms to write", write, write_least)],
        cursor=cursor, columns=["measured ms", "least ms", "times"], rows=rows, height=520, gutter=96,
        sentence="n = {x}: reading takes {0} times the least time, writing {1} times",
        values=[read / read_least, write / write_least], epoch=epoch, log_x=True,
    )  # fmt: skip
