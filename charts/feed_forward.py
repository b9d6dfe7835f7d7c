"""The feed-forward network: one token's way through it, who fires, who notices a change, what a width is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Panel, Picks, Row
from charts.matrices import Matrix


def folded(values: np.ndarray) -> np.ndarray:
    """[token, feature] as [token, row, col], as square as the number of features allows, wider than high."""
    n = values.shape[-1]
    rows = max(r for r in range(1, int(n**0.5) + 1) if n % r == 0)
    return values.reshape(len(values), rows, n // rows)


def way(
    x: np.ndarray, before: Mapping[str, np.ndarray], a: np.ndarray, out: np.ndarray, after: np.ndarray, words: Choice, *,
    sigma: str, at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One token through the FFN, every feature a cell: x̂′ → what is multiplied, or σ of what → a → out → x″.

    x, out, after (the stream with out added) [token, model]; before: name -> [token, ff], what a is made of; a [token,
    ff]; words: the frames; sigma: how the activation is called; at: the pinned cell.
    """

    def one(key: str, title: str, values: np.ndarray, role: curves.Tone, says: str, share: float) -> Matrix:
        grid = folded(values)
        starts = [str(i * grid.shape[2]) for i in range(grid.shape[1])]
        return Matrix(key, title, grid, role, starts, [f"+{j}" for j in range(grid.shape[2])], row_axis="index",
                      col_axis="+", signed=True, top=float(np.quantile(np.abs(values), 0.995)) or 1.0, says=says, share=share)

    wide, d, ff = len(before), x.shape[-1], a.shape[-1]
    parts = [
        one("x̂′", f"in: x̂′, {d} numbers", x, "residual", "feature {row}{col} of the normalised stream: {value}", 0.8),
    ]  # fmt: skip
    for name, values in before.items():
        says = f"neuron {{row}}{{col}}: {name} = {{value}}, a sum of {d} products"
        parts.append(one(name, f"expand: {name}, {ff}", values, "ffn", says, 1))
    made = f"times:{'×'.join(before)}" if wide > 1 else f"neuron {{row}}{{col}}: a = {sigma}(u) = {{value}}"
    folded_back = [
        one("a", f"activate: a, {ff}", a, "ffn", made, 1),
        one("out", f"contract: a W₂, {d}", out, "residual",
            f"what {ff:,} neurons add to feature {{row}}{{col}}: {{value}}", 0.8),
        one("x″", "add: x″ = x′ + a W₂", after, "residual",
            "feature {row}{col} of the stream, what the FFN wrote included: {value}", 0.8),
    ]  # fmt: skip
    return matrices.message(
        "feed-forward", 
        "One token on its way through the feed-forward network; arrows move the cell, Page Up and Down the matrix",
        [parts, folded_back], frames=words, at=at, height=620, epoch=epoch,
    )  # fmt: skip


def firing(
    layers: np.ndarray, shares: Mapping[str, np.ndarray], write: np.ndarray, words: Choice, *, gated: bool, cursor: float,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """Who fires, layer by layer: shares ("open", "half", "most") and write [word, layer]; words: the frames."""
    opened = "gates above 0" if gated else "neurons above 0"
    panels = [
        Panel(f"Share of {opened}", (0, 1.0), [Line(shares["open"], "ffn", width=2.5, dot=True, points=True)], percent=True),
        Panel("Share of the neurons that make up 90% and half of ‖a‖²", (0, max(0.1, float(shares["most"].max()) * 1.08)),
              [Line(shares["most"], "ffn", label="90%", width=2.5, dot=True, points=True),
               Line(shares["half"], "ink", label="half", width=2.5, dot=True, points=True)], percent=True,
              short="Neurons for 90% and half of ‖a‖²"),
        Panel("What the FFN adds, beside the stream it is added to: ‖out‖ / ‖x′‖",
              (float(write.min()) / 1.5, float(write.max()) * 1.5),
              [Line(write, "residual", width=2.5, dot=True, points=True)], log=True, short="‖out‖ / ‖x′‖"),
    ]  # fmt: skip
    return curves.message(
        "who-fires", "Who fires in each layer's feed-forward network; arrow keys move the layer", layers, "layer", "layer",
        panels, cursor=cursor, height=560, gutter=64, frames=words, epoch=epoch,
        sentence="Layer {x}: {0%} of the " + opened.replace("above", "are above") + "; {1%} of all neurons make up half of ‖a‖², "
        "{2%} make up 90%; the write is {3} times the stream", values=[shares["open"], shares["half"], shares["most"], write],
    )  # fmt: skip


PLACES = {"norm_2": "x̂′", "ffn.pre": "u", "ffn.post": "a", "ffn.out": "FFN out", "attention.out": "attention"}


def changes(
    places: Sequence[str], delta: np.ndarray, names: Sequence[str], words: Choice, layer: int, *,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Whose row changed: delta [changed token, token, place], max |Δ|; words: the frames, whose input was changed."""
    here = [i for i, place in enumerate(places) if place.startswith(f"layers.{layer}.")]
    then = [i for i in range(len(places)) if i not in here]

    def one(key: str, title: str, which: list[int], role: curves.Tone) -> Matrix:
        columns = [PLACES[places[i].split(".", 2)[2]] for i in which]
        return Matrix(key, title, delta[:, :, which], role, names, columns, row_axis="token", col_axis="max |Δ|",
                      says="largest change in the row of {row}: {value}, and 0 means bit for bit the same")

    grid = [one("here", f"the FFN of layer {layer}, token by token", here, "ffn")]
    grid += [one("next", f"layer {layer + 1}", then, "attention")] if then else []
    return matrices.message(
        "no-mixing", "Largest change of every token's row, place by place; the slider changes another token", [grid],
        frames=words, at=at, height=470, epoch=epoch,
    )  # fmt: skip


def widths(
    steps: np.ndarray, recorded: Mapping[int, np.ndarray], live: Mapping[int, Sequence[np.ndarray]],
    costs: Mapping[int, tuple[int, int]], chosen: Picks, *, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Loss on unseen text against the steps, by width.

    steps [point]; recorded: times -> [seed, point]; live: times -> a run [so far] for each seed; costs: times ->
    (parameters, FLOPs a token); chosen: which width stands out, as written in its values, "4×".
    """

    def whole(run: np.ndarray) -> np.ndarray:
        return np.concatenate([run, np.full(len(steps) - len(run), np.nan)])

    series, rows = [], []
    for times, runs in recorded.items():
        series += [Band(runs.min(0), runs.max(0), "ffn", opacity=0.1),
                   Line(runs.mean(0), "muted", label=f"{times}×", width=1.75, quiet=True, pick=f"{times}×")]  # fmt: skip
        series += [Line(whole(run), "output", width=1.5, dash=(4, 3)) for run in live.get(times, ())]
        parameters, flops = costs[times]
        last = runs[:, -1]
        fixed = [np.array([value]) for value in (parameters, flops, last.mean(), last.max() - last.min())]
        rows.append(Row(f"d_ff = {times} d", "muted", [runs.mean(0), *fixed], pick=f"{times}×"))
    every = np.concatenate(list(recorded.values()))
    later = max(1, len(steps) // 8)
    zoomed = every[:, later:]
    panels = [
        Panel("Loss on unseen text, nats a character: mean of 3 seeds; band: lowest to highest; dashed: trained here",
              (float(every.min()) - 0.05, float(every.max()) * 1.02), series, short="Loss on unseen text, nats"),
        Panel("The same, less the mean of all widths: what the width is worth",
              curves.padded(*(runs[:, later:] - zoomed.mean(0) for runs in recorded.values())),
              [part for times, runs in recorded.items() for part in (
                  Band(_later(runs.min(0) - every.mean(0), later), _later(runs.max(0) - every.mean(0), later), "ffn",
                       opacity=0.1),
                  Line(_later(runs.mean(0) - every.mean(0), later), "muted", label=f"{times}×", width=1.75, quiet=True,
                       pick=f"{times}×"))], short="Less the mean of all widths"),
    ]  # fmt: skip
    return curves.message(
        "ffn-widths", "Loss against steps for four widths of the feed-forward network; arrow keys move the step", steps,
        "step", "step", panels, cursor=cursor, rows=rows,
        columns=["loss here", "parameters", "FLOPs a character", "last loss", "spread"], height=560, gutter=50, picks=chosen, epoch=epoch,
    )  # fmt: skip


def _later(values: np.ndarray, start: int) -> np.ndarray:
    return np.where(np.arange(len(values)) >= start, values, np.nan)
