"""Learning rates over the steps, and what they and dropout do to a run: messages for the component "curves"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import curves
from charts.curves import Band, Choice, Line, Panel, Picks, Row, Tone

DASH = (6, 4)


def rates(
    steps: np.ndarray, of: Mapping[str, np.ndarray], peaks: Mapping[str, np.ndarray], *, widths: Choice, warmups: Choice,
    picks: Picks, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """kind -> lr [width, warm-up, step]; peaks: kind -> [width, warm-up, 1]; drawn in units of 10⁻⁴."""
    of, peaks = ({kind: 1e4 * values for kind, values in found.items()} for found in (of, peaks))
    top = np.maximum.reduce([values.max(-1) for values in of.values()]) * 1.08  # [width, warm-up]
    lines = [Line(values, "muted", kind, width=2, pick=kind, quiet=True) for kind, values in of.items()]
    rows = [Row(kind, "muted", [values, peaks[kind], values / peaks[kind]], pick=kind) for kind, values in of.items()]
    return curves.message(
        "schedules", "Learning rate by step for each schedule; left and right arrows move the step", steps, "training step", "t",
        [Panel("Learning rate, in units of 10⁻⁴", np.stack([np.zeros_like(top), top], -1), lines, short="rate, in 10⁻⁴")], cursor=cursor,
        columns=["rate, 10⁻⁴", "peak, 10⁻⁴", "of its peak%"], rows=rows, height=400, gutter=96, frames=[widths, warmups], picks=picks,
        sentence="{pick} at step {x}: {0} · 10⁻⁴", values=[of], epoch=epoch,
    )  # fmt: skip


def runs(
    name: str, steps: np.ndarray, ways: Mapping[str, tuple[Tone, np.ndarray]], panels: Sequence[tuple[str, str, Mapping[str, np.ndarray]]],
    own: Mapping[str, Mapping[str, Sequence[np.ndarray]]], *, picks: Picks, cursor: float, sentence: str, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Recorded runs as bands, the learner's own as dashed lines over them.

    ways: way -> (role, loss [seed, step]), whose middle seed is read out; panels: (title, short title, way -> values
    [seed, step]); own: title -> way -> runs so far [step], shorter than steps while they run.
    """
    drawn = []
    for title, short, of in panels:
        series: list[Band | Line] = []
        for way, values in of.items():
            role = ways[way][0]
            series += [Band(values.min(0), values.max(0), role, 0.2),
                       Line(np.median(values, axis=0), role, way, width=2, dot=True, pick=way, plain=True)]
            for one in own.get(title, {}).get(way, ()):
                there = np.full(len(steps), np.nan, np.float32)
                there[: len(one)] = one
                series.append(Line(there, role, width=1.5, dash=DASH))
        whole = np.concatenate([values.ravel() for values in of.values()])
        drawn.append(Panel(title, curves.padded(whole[np.isfinite(whole)]), series, short=short))
    rows = [Row(way, role, [np.median(of[way], axis=0) for _, _, of in panels], pick=way, plain=True)
            for way, (role, _) in ways.items()]
    return curves.message(
        name, "Runs over the training steps; left and right arrows move the step", steps, "training step", "t", drawn,
        cursor=cursor, columns=[short for _, short, _ in panels], rows=rows, height=220 + 180 * len(drawn), gutter=130, picks=picks,
        sentence=sentence, values=[{way: np.median(loss, axis=0) for way, (_, loss) in ways.items()}], epoch=epoch,
    )  # fmt: skip
