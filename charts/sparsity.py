"""Weights and neurons that are 0 or nearly so: messages for the component "curves"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import curves
from charts.curves import Band, Bars, Choice, Line, Mark, Panel, Picks, Row, Tone, Words

ROLES: dict[str, Tone] = {"plain": "residual", "loss": "negative", "proximal": "positive"}
SCOPES: dict[str, Tone] = {"global": "ffn", "matrix": "query", "random": "muted"}
DASH = (6, 4)
MOST = 4.9  # log₁₀ of the highest count that a histogram shows
AIR = 9  # bins between what is exactly 0 and the smallest size that has a bin


def sizes(edges: np.ndarray) -> np.ndarray:
    """The axis of a histogram: log₁₀|w| in the middle of each bin, after a place for what is exactly 0 and some air."""
    step = np.log10(edges[1] / edges[0])
    first = np.log10(edges[0]) + step / 2 - AIR * step
    return first + step * np.arange(AIR + len(edges) - 1)


def _bars(edges: np.ndarray, counts: np.ndarray, zeros: np.ndarray, role: Tone, **look: float) -> list[Bars]:
    """counts [..., bin], and what is exactly 0 [...] as a bar of its own."""
    place, step = sizes(edges)[0], np.log10(edges[1] / edges[0])
    return [Bars(np.log10(edges), counts, role, **look),
            Bars(np.array([place - step, place + step]), zeros[..., None], role, lit=False, **look)]  # fmt: skip


def _marks(edges: np.ndarray) -> list[Mark]:
    return [Mark(-3.0, "10⁻³", "ink"), Mark(sizes(edges)[0] + 0.15, "exactly 0", "muted")]


def weights(
    edges: np.ndarray, ways: Mapping[str, str], counts: Mapping[str, np.ndarray], zeros: Mapping[str, np.ndarray],
    notes: Mapping[str, Sequence[Sequence[str]]], cells: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str],
    own: Mapping[str, np.ndarray], *, lambdas: Choice, steps: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One histogram for each way of training, over λ and the step of the training.

    edges [bin + 1] of |w|; ways: way -> title; counts: way -> [λ, step, bin]; zeros: way -> how many are exactly 0
    [λ, step]; notes: way -> a sentence for each λ and step; cells: way -> what the table says, [λ, step] each; own: way ->
    what the learner's own run counted, exact zeros first [λ, step, 1 + bin], NaN where there is none.
    """
    x, panels, below = sizes(edges), [], []
    for way, title in ways.items():
        series: list[Bars | Line] = list(_bars(edges, counts[way], zeros[way], ROLES[way]))
        if way in own:
            there = np.full((*own[way].shape[:2], len(x)), np.nan, np.float32)
            there[..., 0], there[..., AIR:] = own[way][..., 0], own[way][..., 1:]
            series.append(Line(there, "ink", width=1.5, dash=DASH))
        panels.append(Panel(title, (0.7, 10**MOST), series, note=notes[way], log=True, marks=_marks(edges)))
        whole = np.concatenate((zeros[way][..., None], np.zeros((*zeros[way].shape, AIR - 1)), counts[way]), -1)
        below.append((whole.cumsum(-1) / whole.sum(-1, keepdims=True)).astype(np.float32))
    rows = [Row(title, ROLES[way], [cell[..., None] for cell in cells[way]]) for way, title in ways.items()]
    return curves.message(
        "weights", "Histograms of the sizes of a model's weights; left and right arrows read off the share below a size", x,
        "log₁₀ |w|", "log₁₀|w|", panels, cursor=cursor, columns=columns, rows=rows, height=560, gutter=24,
        frames=[lambdas, steps], epoch=epoch, values=below,
        sentence="of this size or smaller: {0%} without a penalty, {1%} with it in the loss, {2%} with the soft threshold",
    )  # fmt: skip


def trace(
    steps: np.ndarray, traced: Mapping[str, np.ndarray], titles: Mapping[str, str], reach: np.ndarray | None,
    from_step: int, near: float, *, choice: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One weight through training, by both ways: as a whole, and close to 0.

    traced: way -> [weight, step]; reach: how far λ alone moves a weight in one step [step], None where that differs from
    weight to weight; near: the height of the close view, to both sides.
    """
    whole = np.stack(list(traced.values()))
    top = np.abs(whole).max((0, 2)) * 1.1 + 1e-6  # [weight]
    lines = [
        Line(values, ROLES[way], titles[way], width=2.5 if way == "proximal" else 1.75, dot=True)
        for way, values in traced.items()
    ]
    band = [] if reach is None else [Band(-reach, reach, "negative", 0.14)]
    close = Panel(f"Close to 0, magnified: ±{near:g}", (-near, near), [*band, *lines], share=1.3,
                  note="" if reach is None else "shaded: ±ηλ, one step of the penalty")  # fmt: skip
    panels = [
        Panel("One weight through its training", np.stack((-top, top), -1), lines, short="One weight",
              marks=[Mark(from_step, "λ begins")]),
        close,
    ]  # fmt: skip
    flips = {
        way: np.cumsum(np.diff(np.sign(values), axis=-1, prepend=np.sign(values[:, :1])) != 0, -1)
        for way, values in traced.items()
    }
    rows = [Row(titles[way], ROLES[way], [values, flips[way]]) for way, values in traced.items()]
    return curves.message(
        "trace", "One weight by training step; left and right arrows move the step", steps, "training step", "step",
        panels, cursor=cursor, columns=["w", "changes of sign"], rows=rows, height=520, gutter=120, frames=choice, epoch=epoch,
        sentence="step {x}: w = {0} with λ in the loss, {1} behind the soft threshold",
        values=list(traced.values()), digits=6,
    )  # fmt: skip


def pruning(
    shares: np.ndarray, kept: Mapping[str, np.ndarray], titles: Mapping[str, str], y: str, y_range: tuple[float, float],
    percent: bool, *, picks: Picks, ways: Choice | None, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """kept: scope -> accuracy or loss [way, seed, share]; titles: scope -> what its button and its line say."""
    series: list[Band | Line] = []
    rows, middle = [], {}
    for scope, values in kept.items():
        lo, mid, hi = (np.quantile(values, q, axis=1).astype(np.float32) for q in (0, 0.5, 1))
        lo, mid, hi = (of if ways else of[0] for of in (lo, mid, hi))
        role, title = SCOPES[scope], titles[scope]
        series += [Band(lo, hi, role, 0.2), Line(mid, role, title, width=2.5, dot=True, pick=title, plain=True)]
        rows.append(Row(title, role, [mid, lo, hi], pick=title, plain=True))
        middle[title] = mid
    mark = "%" if percent else ""
    return curves.message(
        "pruning", "What a model still can when a share of its weights is removed; left and right arrows move the share",
        np.round(100 * shares, 6), "weights removed, %", "pruned", [Panel(y, y_range, series, percent=percent)],
        cursor=cursor, columns=["middle" + mark, "lowest" + mark, "highest" + mark], rows=rows, height=380, gutter=150,
        frames=ways, picks=picks,
        sentence=f"{{x}} % removed, {{pick}}: {{0{mark}}}", values=[middle], epoch=epoch,
    )  # fmt: skip


def left(
    edges: np.ndarray, before: tuple[np.ndarray, int], after: tuple[np.ndarray, int], title: str, note: str
) -> bytes:
    """The sizes of a model's weights before and after pruning: (counts [bin], how many are exactly 0) each."""
    (whole, no), (stays, gone) = before, after
    series = _bars(edges, whole, np.array(no), "muted", shade=0.35) + _bars(edges, stays, np.array(gone), "ffn")
    series = [series[0], series[2], series[3], series[1]]  # of the zeros, those that were there before lie on top
    x = sizes(edges)
    return curves.message(
        "pruned-weights", "Histogram of the sizes of the weights that are left", x, "log₁₀ |w|", "log₁₀|w|",
        [Panel(title, (0.7, 10 ** (MOST + 0.1)), series, note=note, log=True, marks=_marks(edges))],
        cursor=-3.0, height=250, gutter=24,
    )  # fmt: skip


def cuts(
    cut: np.ndarray, of: Mapping[str, tuple[Tone, np.ndarray]], notes: Words, *,
    layers: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The share of the neurons that are at most so large. cut [point], 0 first; of: name -> (role, [layer or 1, point])."""
    x = np.log10(
        np.maximum(cut, cut[1] / 10 ** (np.log10(cut[2] / cut[1])))
    )  # exact zeros one step before the smallest
    series = [Line(values, role, name, dot=True, width=2.5) for name, (role, values) in of.items()]
    rows = [Row(name, role, [values[:, :1], values]) for name, (role, values) in of.items()]
    return curves.message(
        "cuts", "The share of neurons up to a size; left and right arrows move the size", x,
        "log₁₀ of the cut: |a| at most this", "log₁₀",
        [Panel("Share of the neurons that a cut here would make 0", (0, 1.02), series, percent=True, note=notes,
               short="Share up to a size", marks=[Mark(float(x[0]), "exactly 0", "ink"), Mark(-3.0, "10⁻³", "muted")])],
        cursor=cursor, columns=["exactly 0%", "up to the cut%"], rows=rows, height=400, gutter=190, frames=layers,
        epoch=epoch,
    )  # fmt: skip


def by_layer(of: Mapping[str, tuple[Tone, np.ndarray]], title: str, layer: int) -> bytes:
    """name -> (role, share [layer]); models with fewer layers end earlier."""
    count = max(len(values) for _, values in of.values())
    series = []
    for name, (role, values) in of.items():
        there = np.full(count, np.nan, np.float32)
        there[: len(values)] = values
        series.append(Line(there, role, name, points=True, dot=True))
    rows = [Row(line.label, line.role, [line.values]) for line in series]
    return curves.message(
        "by-layer", "The share of neurons below the cut, layer by layer", np.arange(count), "layer", "layer",
        [Panel(title, (0, 1.02), series, percent=True)], cursor=layer, columns=["share%"], rows=rows,
        height=280, gutter=190,
    )  # fmt: skip


def thinned(shares: np.ndarray, of: Mapping[str, tuple[Tone, np.ndarray]], y_top: float, *, cursor: float) -> bytes:
    """A real model's loss by the share of its neurons, or weights, set to 0: name -> (role, loss [share])."""
    series = [Line(values, role, name, width=2.5, dot=True) for name, (role, values) in of.items()]
    low = min(float(values.min()) for _, values in of.values())
    rows = [Row(name, role, [values]) for name, (role, values) in of.items()]
    return curves.message(
        "thinned", "Loss by the share that is set to 0", np.round(100 * shares, 6), "set to 0, %", "share",
        [Panel("Neurons set to 0 at each token instead: loss, nats a token", (low - 0.15, y_top), series)],
        cursor=cursor, columns=["nats a token"], rows=rows, height=300, gutter=190,
    )  # fmt: skip


def product(
    left_one: np.ndarray, ms: Mapping[str, np.ndarray], kilobytes: Mapping[str, np.ndarray], titles: Mapping[str, str],
    own: Mapping[str, np.ndarray], notes: Words, *, tokens: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Time and size of one product: left_one [share]: weights for each that is left; ms: way -> [tokens, share]; kilobytes:
    way -> [share]; own: way -> what was measured here, NaN where nothing was."""
    roles: dict[str, Tone] = {"dense": "residual", "sparse": "negative", "rows gone": "positive"}
    lines = [Line(values, roles[way], titles[way], width=2.5, points=True, dot=True) for way, values in ms.items()]
    lines += [Line(values, roles[way], width=1.75, dash=DASH) for way, values in own.items()]
    every = np.concatenate([v[np.isfinite(v)].ravel() for v in (*ms.values(), *own.values())])
    panels = [
        Panel("Milliseconds of the product, one thread", (float(every.min()) / 1.5, float(every.max()) * 1.5), lines,
              log=True, note=notes, share=1.5, short="Milliseconds"),
        Panel("Kilobytes of the matrix", (5, 20_000),
              [Line(v, roles[way], titles[way], width=2, points=True) for way, v in kilobytes.items()], log=True),
    ]  # fmt: skip
    rows = [Row(titles[way], roles[way], [ms[way], ms["dense"] / ms[way], kilobytes[way]]) for way in ms]
    return curves.message(
        "product", "Time and size of a matrix product by its zeros; left and right arrows move the share", left_one,
        "weights for each one left, 1/(1 − s): at 10, 90 % are zeros", "1/(1 − s)", panels, cursor=cursor,
        columns=["ms", "× as fast", "kB"], rows=rows, height=520, gutter=150, frames=tokens, log_x=True, epoch=epoch,
    )  # fmt: skip
