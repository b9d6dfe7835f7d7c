"""Sparse patterns: who may meet whom, what is within reach after some layers, what it costs and leaves of a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves, matrices
from charts.curves import Choice, Line, Mark, Panel, Picks, Row
from charts.matrices import Matrix


@dataclass(frozen=True)
class Pattern:
    """allowed bool [query, key] of one layer; reach [query, key]: the fewest layers, −1 for never; its tokens."""

    allowed: np.ndarray
    reach: np.ndarray
    tokens: Sequence[str]


def patterns_message(
    patterns: Mapping[str, Pattern], chosen: Picks, layers: Choice, *, at: tuple[str, int, int] | None = None,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """Each pattern as one layer has it, and beside it what each token holds something of after as many layers as the
    slider says: the number in a cell is the fewest layers that it takes."""
    grid = []
    for name, pattern in patterns.items():
        n, tokens = len(pattern.tokens), pattern.tokens
        frames = np.stack([
            np.where((pattern.reach >= 0) & (pattern.reach <= depth), pattern.reach, np.nan) for depth in layers.values
        ]).astype(np.float32)  # fmt: skip
        within = [int(np.isfinite(frame[-1]).sum()) for frame in frames]
        grid += [
            Matrix(
                f"{name} pattern", f"One layer: {int(pattern.allowed.sum())} of {n * n} pairs are scored",
                pattern.allowed.astype(np.float32), "attention", tokens, tokens, top=1.3, pick=name, symbol="M",
                barred=~pattern.allowed, says="{row} may read {col}",
            ),
            Matrix(
                f"{name} reach",
                [f"After {depth} layer{'s' if depth > 1 else ''}: the last token reaches {of} of {n}"
                 for depth, of in zip(layers.values, within, strict=True)],
                frames, "residual", tokens, tokens, top=max(1, int(pattern.reach.max())) + 0.5, pick=name,
                symbol="layers",
                row_axis="token", col_axis="is made of",
                says="it takes at least {value} layers until {row} holds something of {col}; 0: it is {col} itself",
            ),
        ]  # fmt: skip
    return matrices.message(
        "patterns",
        "A sparse pattern as a matrix, and what is within its reach after some layers; arrow keys move from "
        "cell to cell", [grid], frames=layers, picks=chosen, plays_frames=True, at=at, height=440, epoch=epoch,
    )  # fmt: skip


@dataclass(frozen=True)
class OnHead:
    """What one pattern makes of the heads of a layer: A [head, query, key], barred alike, error and kept [head]."""

    A: np.ndarray
    barred: np.ndarray
    error: np.ndarray
    kept: np.ndarray


def heads_message(
    exact: np.ndarray, found: Mapping[str, OnHead], chosen: Picks, heads: Choice, tokens: Sequence[str], *,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The exact weights of a real head beside what each pattern leaves of them, and over all heads what that costs."""
    n = len(tokens)
    future = np.triu(np.ones((n, n), dtype=bool), 1)
    first = [Matrix("exact", [f"Exact: all earlier keys, head {h}" for h in heads.values], exact, "attention", tokens,
                    tokens, top=1.0, barred=future, symbol="A",
                    says="without the pattern {row} lays {value} of its weight on {col}")]  # fmt: skip
    for name, of in found.items():
        first.append(Matrix(
            f"{name} A",
            [f"{name}: {kept:.0%} of the weight was here, z is {error:.0%} off"
             for kept, error in zip(of.kept, of.error, strict=True)],
            of.A, "attention", tokens, tokens, top=1.0, barred=of.barred, pick=name, symbol="A′",
            says="softmax over what the pattern leaves: {row} lays {value} on {col}",
        ))  # fmt: skip
    rows, cols = list(found), [str(h) for h in heads.values]
    error, kept = (np.stack([getattr(of, part) for of in found.values()]) for part in ("error", "kept"))
    second = [
        Matrix("error", "Error of z: ‖z′ − z‖ / ‖z‖", error, "output", rows, cols, row_axis="pattern", col_axis="head",
               top=max(1.0, float(error.max())) * 1.3, symbol="error",
               says="{row}, head {col}: what the head writes is {value} times its own length away from the exact one"),
        Matrix("kept", "Share of the exact weight on allowed pairs", kept, "attention", rows, cols,
               row_axis="pattern", col_axis="head", top=1.3, symbol="kept",
               says="{row}, head {col}: {value} of the exact weight lies where the pattern allows it"),
    ]  # fmt: skip
    return matrices.message(
        "patterns-on-a-head",
        "A real head's exact weights beside a sparse pattern's, and the error over all heads of the "
        "layer; arrow keys move from cell to cell", [first, second], frames=heads, picks=chosen, at=at, height=640,
        epoch=epoch,
    )  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Milliseconds and megabytes at each n, [n], or [frame, n]."""

    milliseconds: np.ndarray
    megabytes: np.ndarray


def cost_message(
    log_n: np.ndarray, costs: Mapping[str, Cost], written_out: np.ndarray, here: Mapping[str, Cost], chosen: Picks,
    kinds: Choice, *, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Time and memory against n, both logarithmic: a slope of 2 is n², of 1 is n.

    written_out [n]: the megabytes of one n × n table of scores for all heads, which the fused kernel never writes;
    here: measured by the learner's own press, NaN where nothing was measured.
    """

    def panel(part: str, title: str, short: str) -> Panel:
        of = {name: getattr(cost, part) for name, cost in costs.items()}
        lo, hi = min(v.min() for v in of.values()), max(v.max() for v in of.values())
        lines = [
            Line(values, "attention" if name == "full" else "muted", name, width=2.5 if name == "full" else 1.75,
                 quiet=name != "full", pick=name, points=True)
            for name, values in of.items()
        ]  # fmt: skip
        if part == "megabytes":
            hi = max(hi, float(written_out[-1]))
            lines.append(Line(written_out, "scores", "n × n table", width=2, dash=(6, 4), quiet=True))
        own = [Line(getattr(cost, part), "positive", f"{name}, here", width=2, dash=(3, 3), points=True)
               for name, cost in here.items()]  # fmt: skip
        return Panel(title, (lo / 1.6, hi * 1.6), [*lines, *own], short=short, log=True,
                     note="a step right: × 4 is n², × 2 is n", marks=[Mark(12, "n = 4,096")])  # fmt: skip

    full = costs["full"]
    rows = [
        Row(name, "attention" if name == "full" else "muted",
            [cost.milliseconds, cost.megabytes, cost.milliseconds / full.milliseconds, cost.megabytes / full.megabytes],
            pick=name)
        for name, cost in costs.items()
    ]  # fmt: skip
    return curves.message(
        "cost-of-patterns",
        "Time and memory of each pattern against the length of the text; arrow keys move the length",
        log_n, f"log₂ n: {log_n[0]:.0f} is {2 ** log_n[0]:,.0f} tokens, {log_n[-1]:.0f} is {2 ** log_n[-1]:,.0f}",
        "log₂ n",
        [panel("milliseconds", "Time of one layer's attention, ms", "Time, ms"),
         panel("megabytes", "Memory allocated at most, MB", "Memory, MB")],
        cursor=cursor, rows=rows, columns=("ms", "MB", "time of full%", "memory of full%"),
        frames=kinds, picks=chosen, height=470, gutter=100, epoch=epoch,
    )  # fmt: skip


def trained_message(
    surprise: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], tokens: Sequence[str], chosen: Picks,
    heads: Choice, *, at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """How surprised each trained decoder is by each token of the text, and one of its heads.

    surprise: row -> nats [token − 1], of the tokens behind the first; maps: row -> A [layer · head, query, key].
    """
    rows = list(surprise)
    values = np.stack(list(surprise.values()))
    top = [Matrix(
        "surprise", "Surprise of each trained model at each token, nats", values, "output", rows, tokens[1:],
        row_axis="trained with", col_axis="token to be guessed", top=float(values.max()) * 1.15, symbol="−log p",
        says="the model trained with {row} is {value} nats surprised by {col}",
    )]  # fmt: skip
    bottom = [
        Matrix(
            f"{name} A", f"What the model trained with {name} really reads", A, "attention", tokens, tokens, top=1.0,
            pick=name, symbol="A", says="{row} lays {value} of its weight on {col}", barred=A == 0,
        )
        for name, A in maps.items()
    ]  # fmt: skip
    return matrices.message(
        "trained-patterns", "Surprise of every trained model at every token of your text, and the attention of one of "
        "them; arrow keys move from cell to cell", [top, bottom], frames=heads, picks=chosen, at=at, height=640,
        epoch=epoch,
    )  # fmt: skip
