"""Masks: each over a real head's scores, the curves of two trainings, and what a broken mask lets through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Panel, Picks, Row, Switch
from charts.matrices import Matrix, Step

LATE = "Zero after the softmax instead"
SIZE = "m tokens: padding, prefix, window"
BROKEN, CAUSAL = "broken", "causal"
PARTS = ("M", "S", "S all", "A", "A late", "Σ", "Σ late")  # the matrices of each kind


@dataclass(frozen=True)
class Kind:
    """One mask over one head, a frame for each size m: all [frame, query, key], scores [query, key]."""

    mask: np.ndarray
    scores: np.ndarray
    A: np.ndarray
    late: np.ndarray
    again: np.ndarray
    rows: Sequence[str]
    cols: Sequence[str]


def kinds_message(
    kinds: Mapping[str, Kind], chosen: Picks, sizes: Choice, late: Switch, *, head: str, step: int,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Mask, scores and weights of each kind; with the switch on, what zeroing after the softmax makes instead."""
    grid: list[Matrix] = []
    shown: dict[str, list[str]] = {"S": [], "M": [], "A": []}
    for name, kind in kinds.items():
        barred, where = ~kind.mask, {"rows": kind.rows, "cols": kind.cols, "pick": name}
        top = float(np.abs(kind.scores).max()) or 1.0

        def add(part: str, key: str, title: str, values: np.ndarray, **how: object) -> None:
            shown[part].append(f"{name} {key}")
            grid.append(Matrix(f"{name} {key}", title, values, symbol=key, **where | how))  # noqa: B023

        add("M", "M", "Mask: 1 may be read", kind.mask.astype(np.float32), role="muted", top=1.6,
            says="{row} may attend to {col}: its score is left as it is", barred=barred, share=0.8)  # fmt: skip
        add("S", "S", "Scores S, the hidden ones −∞", kind.scores, role="scores", signed=True, top=top, barred=barred,
            says="q·k / √d_k of {row} and {col}", switched=False)  # fmt: skip
        add("S", "S all", "Scores S, none hidden", kind.scores, role="scores", signed=True, top=top,
            says="q·k / √d_k of {row} and {col}; hidden or not, it goes into the softmax", switched=True)  # fmt: skip
        add("A", "A", "Weights: the softmax of these", kind.A, role="attention", top=1.0, barred=barred,
            says=f"softmax:{name} S", switched=False)  # fmt: skip
        add("A", "A late", "Softmax of all, then zeros", kind.late, role="attention", top=1.0, barred=barred,
            says="the softmax over all keys gave {row} → {col} this much; what hidden keys took is gone",
            switched=True)  # fmt: skip
        total = {"cols": ("sum",), "col_axis": "", "role": "output", "top": 1.6, "share": 3.0}
        add("A", "Σ", "Sum", kind.A.sum(-1, keepdims=True), says="the weights of {row} add up to {value}",
            switched=False, **total)  # fmt: skip
        add("A", "Σ late", "Sum", kind.late.sum(-1, keepdims=True), switched=True,
            says="what {row} has left adds up to {value}: the rest went to keys that it may not read",
            **total)  # fmt: skip
    steps = [
        Step("Score", "Every query meets every key, allowed or not.",
             tuple(shown["S"])),
        Step("Mask", "What may not be read becomes −∞. The mask knows places, not words.",
             tuple(shown["S"] + shown["M"])),
        Step("Softmax", "Each row shares out 1; e to the −∞ is 0. Switch on: shared among all keys, and the "
                        "hidden part thrown away.", tuple(shown["S"] + shown["M"] + shown["A"])),
    ]  # fmt: skip
    return matrices.message(
        "masks", f"A mask, the scores of {head} under it, and the weights; arrow keys move from cell to cell", [grid],
        frames=sizes, picks=chosen, steps=steps, switch=late, at=at, step=step, height=400, epoch=epoch,
    )  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """Losses [seed, step] of the models of one mask: with the whole window in front of them, and with the text cut."""

    whole: np.ndarray
    cut: np.ndarray


def losses_message(
    steps: np.ndarray, runs: Mapping[str, Runs], likelihood: Mapping[str, Runs], *, blind: float, cursor: float,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """Held-out losses while the causal model and the broken one learn; lines are means, bands all seeds;
    likelihood: the probability that a mean loss stands for [step]; blind: the loss of a guess."""
    roles = {CAUSAL: "query", BROKEN: "positive"}
    top = max(of.max() for run in runs.values() for of in (run.whole, run.cut))

    def panel(which: str, title: str, short: str, note: str) -> Panel:
        series: list[Band | Line] = []
        for name, run in runs.items():
            of = getattr(run, which)
            series += [Band(of.min(0), of.max(0), roles[name], opacity=0.25),
                       Line(of.mean(0), roles[name], name, width=3, dot=True)]  # fmt: skip
        guess = Line(np.full(len(steps), blind), "muted", "blind guess", width=1.5, dash=(2, 4), quiet=True)
        return Panel(title, (0, 1.05 * top), [*series, guess], short=short, note=note)

    rows = [
        Row(name, roles[name], [run.whole.mean(0), likelihood[name].whole, run.cut.mean(0), likelihood[name].cut])
        for name, run in runs.items()
    ]
    seeds = len(next(iter(runs.values())).whole)
    return curves.message(
        "cheat",
        "Held-out loss of a causal model and of one whose mask is broken, while they learn; arrow keys move the "
        "step", steps, "training steps", "step",
        [panel("whole", "Loss in training: the whole window is in front of the model", "Loss in training",
               f"nats; band: {seeds} seeds"),
         panel("cut", "Loss in writing: the text ends before the answer", "Loss in writing", "the same models")],
        cursor=cursor, rows=rows, columns=("in training", "= probability%", "in writing", "= probability%"),
        sentence="after {x} steps the broken model's loss is {0} nats while it can look ahead, and {1} when it cannot; "
        "the causal model's is {2} either way",
        values=[runs[BROKEN].whole.mean(0), runs[BROKEN].cut.mean(0), runs[CAUSAL].whole.mean(0)],
        height=440, epoch=epoch,
    )  # fmt: skip


def maps_message(
    maps: Mapping[str, np.ndarray], ahead: Mapping[str, np.ndarray], tokens: Sequence[str], heads: Choice, *,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Both models' weights on the learner's text, a frame a head, and how much of it each head lays on the next token.

    maps: causal and broken -> A [layer · head, query, key]; ahead: -> [layer, head], the mean of A[q, q + 1].
    """
    n = len(tokens)
    future = np.triu(np.ones((n, n), dtype=bool), 1)
    top, bottom = [], []
    for name, A in maps.items():
        top.append(Matrix(
            name, f"{name.capitalize()}: who reads whom", A, "attention", tokens, tokens, top=1.0, symbol="A",
            barred=future if name == CAUSAL else None, says="{row} lays {value} of its weight on {col}",
        ))  # fmt: skip
        layers, per = ahead[name].shape
        bottom.append(Matrix(
            f"{name} ahead", f"{name.capitalize()}: weight on the very next token", ahead[name], "attention",
            [f"layer {i}" for i in range(layers)], [f"head {i}" for i in range(per)], row_axis="layer", col_axis="head",
            top=1.0,
            symbol="ahead", says="{row}, {col}: over all queries {value} of the weight lies on key = query + 1",
        ))  # fmt: skip
    return matrices.message(
        "cheat-maps",
        "Attention of a causal model and of one with a broken mask, on your text; arrow keys move from cell "
        "to cell", [top, bottom], frames=heads, at=at, height=500, epoch=epoch,
    )  # fmt: skip


def changes_message(
    felt: Mapping[str, np.ndarray], tokens: Sequence[str], word: str, *, at: tuple[str, int, int] | None = None,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """How far each position's logits move when one token becomes `word`: causal and broken -> [changed, position]."""
    top = float(max(of.max() for of in felt.values()))
    grid = [
        Matrix(
            name, f"{name.capitalize()}: largest change of the logits", of, "output", tokens, tokens, "changed token",
            "output at", top=top, symbol="max |Δ|", note=_earlier(of),
            says=f"with “{word}” in the place of {{row}}, the logits at {{col}} move by at most {{value}}",
        )
        for name, of in felt.items()
    ]  # fmt: skip
    return matrices.message(
        "changes",
        "How far the output at each position moves when one token is changed, for a causal model and a broken "
        "one; arrow keys move from cell to cell", [grid], at=at, height=480, epoch=epoch,
    )  # fmt: skip


def _earlier(felt: np.ndarray) -> str:
    earlier = np.tril(felt, -1).max(initial=0.0)
    return "before the change: exactly 0" if earlier == 0 else f"before the change: up to {earlier:.3g}"
