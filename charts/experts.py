"""Mixtures of experts: who reads which token, the balance loss term by term, training with and without it, and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves, matrices
from charts.curves import Band, Choice, Line, Panel, Picks, Row
from charts.matrices import Matrix

LETTERS = "ABCDEFGHIJKLMNOP"


def routing(
    tokens: Sequence[str], models: Sequence[str], k: int, capacities: Sequence[str], room: Sequence[int | None],
    p: np.ndarray, wanted: np.ndarray, gates: np.ndarray, loss: np.ndarray, favourites: Sequence, *, pick: str,
    layer: int,
    capacity: str, token: int, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "routing". p, wanted, gates [capacity, model, layer, token, expert]; loss [capacity, model];
    room: tokens that an expert takes at each capacity, None for all; favourites [model][layer][expert]: (piece, share).
    ValueError where a shape does not fit."""
    experts = p.shape[-1]
    layers = p.shape[2]
    shape = (len(capacities), len(models), layers, len(tokens), experts)
    for name, array in (("p", p), ("wanted", wanted), ("gates", gates)):
        if array.shape != shape:
            raise ValueError(f"{name} has shape {list(array.shape)}; it must be {list(shape)}.")
    header = {
        "label": "A text read by a mixture of experts; left and right choose a token, up and down a layer.",
        "epoch": epoch,
        "tokens": list(tokens), "models": list(models), "layers": layers, "k": k, "capacities": list(capacities),
        "room": list(room), "letters": list(LETTERS[:experts]), "favourites": favourites, "pick": pick, "layer": layer,
        "capacity": capacity, "token": token,
    }  # fmt: skip
    return component.pack(header, {name: np.asarray(array, dtype=np.float32) for name, array in (
        ("p", p), ("wanted", wanted), ("gates", gates), ("loss", loss))})  # fmt: skip


def mount_routing(**where: object) -> object:
    """Put it on the page: data=routing(...), key=..., on_stand_change=..."""
    return component.declare("routing", "plot.js", "sticky.css")(**where)


def told(layers: int, shares: Mapping[str, np.ndarray], spread: Mapping[str, np.ndarray], rows: Sequence[str]) -> bytes:
    """What a token's first expert can be told from. shares, spread: model -> [feature, layer], mean and half range over
    the seeds."""
    names = [str(i) for i in range(layers)]
    grid = [[
        Matrix(name, name, share, "ffn", rows, names, "knowing", "layer", top=1.0,
               says=_said(share, spread[name], rows, names), symbol="I / H")
        for name, share in shares.items()
    ]]  # fmt: skip
    first = next(iter(shares))
    return matrices.message("specialities", "What tells which expert reads a token", grid, height=230,
        at=(first, 0, layers - 1), epoch=1,
                            sentence="How much of “which expert reads it?” is answered by knowing the token, the one "
                                     "before it, its place, the play: 1 is all, 0 nothing.")


def _said(share: np.ndarray, spread: np.ndarray, rows: Sequence[str], names: Sequence[str]) -> np.ndarray:
    return np.array([[f"Knowing the {row} answers {share[i, j]:.1%} (± {spread[i, j]:.1%} over the seeds) of which "
                      f"expert reads a token in layer {name}"
                      for j, name in enumerate(names)] for i, row in enumerate(rows)], dtype=object)  # fmt: skip


def auxiliary(
    f: Mapping[str, np.ndarray], mean_p: Mapping[str, np.ndarray], losses: Mapping[str, np.ndarray], k: int, pick: str,
    layer: str,
    at: tuple[str, int, int] | None, *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The balance loss of one text, term by term. f, mean_p: model -> [layer, expert]; losses: model -> [layer]."""
    first = next(iter(f.values()))
    layers, experts = first.shape
    letters, names = list(LETTERS[:experts]), [str(i) for i in range(layers)]
    of_f, of_p, of_term = (f"{name:\u00a0>10}" for name in ("f", "p̄", f"{experts} · f · p̄"))  # rows below one another
    grid = []
    for name in f:
        term = experts * f[name] * mean_p[name]
        says = np.array([[[f"{experts} · f · p̄ = {experts} · {f[name][i, e]:.3f} · {mean_p[name][i, e]:.3f} = "
                           f"{term[i, e]:.3f}"
                           for e in range(experts)]] for i in range(layers)], dtype=object)  # fmt: skip
        grid += [
            [Matrix(f"f {name}", f"f: share of the tokens that choose it (they sum to {k})", f[name][:, None], "ffn",
            [of_f], letters, "", "expert", top=1.0,
                    says="{value} of the tokens send one of their choices to expert {col}; counted, so it has no "
                         "gradient", pick=name, symbol="f")],
            [Matrix(f"p {name}", "p̄: the router's mean probability (they sum to 1)", mean_p[name][:, None], "scores",
            [of_p], letters, "", "expert", top=1.0,
                    says="the router gives expert {col} {value} of its probability on average; the gradient goes "
                         "through here", pick=name, symbol="p̄")],
            [Matrix(f"t {name}", [f"{experts} · f · p̄, which add up to L = {value:.3f}" for value in losses[name]],
            term[:, None], "attention", [of_term], letters, "", "expert",
                    top=float(term.max()), says=says, pick=name, symbol="term",
                    note=[f"even: {k}" for _ in names])],
        ]  # fmt: skip
    return matrices.message("balance-loss", "The balance loss of this text, expert by expert", grid,
    frames=Choice("Layer", names, layer),
                            picks=Picks("Trained", list(f), pick), at=at, height=330, epoch=epoch)  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """Runs of one setting, each [seed, report]."""

    unseen: np.ndarray
    crowding: np.ndarray | None  # the busiest expert over an even share; None of a dense model


def training(
    steps: np.ndarray, recorded: Mapping[str, Runs], live: Mapping[str, Runs], unit: str, cursor: float, name: str, *,
    epoch: int = 0, height: int = 520,
) -> bytes:  # fmt: skip
    """Held-out loss and crowding against steps: recorded as bands from the lowest to the highest seed with their mean, live
    runs over them, NaN where they have not come yet."""
    tones = ("ffn", "positive", "residual", "ink", "negative")
    every = [*recorded.values(), *live.values()]
    floor, start = (f(f(runs.unseen[np.isfinite(runs.unseen)]) for runs in every if np.isfinite(runs.unseen).any())
        for f in (min, max))
    most = max(float(np.nanmax(runs.crowding)) for runs in every if runs.crowding is not None)
    loss, crowd, rows, said = [], [], [], []
    for i, (title, runs) in enumerate(recorded.items()):
        tone, mean = tones[i % len(tones)], runs.unseen.mean(0)
        loss += [Band(runs.unseen.min(0), runs.unseen.max(0), tone), Line(mean, tone, title, width=2.5, dot=True)]
        cells = [mean, np.full_like(mean, np.nan)]
        if runs.crowding is not None:
            middle = runs.crowding.mean(0)
            crowd += [Band(runs.crowding.min(0), runs.crowding.max(0), tone),
                Line(middle, tone, title, width=2.5, dot=True)]
            cells[1] = middle
        rows.append(Row(title, tone, cells, width=2.5))
        said.append(mean)
    for title, runs in live.items():
        tone = tones[list(recorded).index(title) % len(tones)] if title in recorded else "ink"
        loss += [Line(one, tone, width=2, dash=(5, 3)) for one in runs.unseen]
        if runs.crowding is not None:
            crowd += [Line(one, tone, width=2, dash=(5, 3)) for one in runs.crowding]
    panels = [
        Panel("held-out loss of language, mean and range of 3 seeds" + (", yours dashed" if live else ""),
        curves.padded(np.array([floor, start])), loss, note=unit, share=1.3,
              short="held-out loss, 3 seeds"),
        Panel("the busiest expert's load over an even one (most crowded layer)", (0.9, most * 1.06), crowd,
        short="busiest expert × even"),
    ]  # fmt: skip
    return curves.message(name, "Held-out loss and load of the busiest expert in training", steps, "step", "step",
        panels, cursor=cursor, epoch=epoch,
                          height=height, columns=("held-out loss", "busiest × even"), rows=rows, gutter=176,
                          sentence="Step {x}: " + ", ".join(f"{title} {{{i}}}" for i, title in enumerate(recorded))
                          + " nats held out.", values=said)  # fmt: skip


def ranks(loads: Mapping[str, np.ndarray], layer: int, *, epoch: int = 0) -> bytes:
    """Load of the experts from the busiest to the idlest. loads: title -> [layer, seed, expert], shares."""
    first = next(iter(loads.values()))
    layers, _, experts = first.shape
    x = np.arange(1, experts + 1, dtype=float)
    series, rows = [Line(np.full(experts, 1 / experts, dtype=np.float32), "muted", "even", dash=(3, 4), quiet=True)], []
    for i, (title, load) in enumerate(loads.items()):
        tone = ("ffn", "negative", "positive", "residual")[i % 4]
        ordered = -np.sort(-load, axis=-1)  # [layer, seed, expert]
        series += [Band(ordered.min(1), ordered.max(1), tone), Line(ordered.mean(1), tone, title, width=3, points=True)]
        rows.append(Row(title, tone, (ordered.mean(1),), width=3))
    top = max(float(load.max()) for load in loads.values()) * 1.08
    return curves.message(
        "load", "Share of all readings by expert, the busiest first", x, "expert, the busiest first", "rank",
        [Panel("share of all readings on held-out text, mean and range of 3 seeds", (0, top), series, percent=True,
        short="share of all readings")],
        cursor=1.0, frames=Choice("Layer", list(range(layers)), layer), height=340, columns=("share%",), rows=rows,
        gutter=176, epoch=epoch,
        sentence="Rank {x}: " + ", ".join(f"{title} {{{i}%}}" for i, title in enumerate(loads)) + ".",
        values=[-np.sort(-load, axis=-1).mean(1) for load in loads.values()],
    )  # fmt: skip


def sizes(
    experts: np.ndarray, total: np.ndarray, active: np.ndarray, flops: np.ndarray, ks: Sequence[int], k: int,
    cursor: int, *, epoch: int = 0
) -> bytes:  # fmt: skip
    """The same model with E experts in each layer. total [E]; active, flops [k, E], NaN where E < k; in billions."""
    panels = [
        Panel("parameters, billions", (0, float(total.max()) * 1.05), [
            Line(np.broadcast_to(total, active.shape).copy(), "residual", "in memory", width=3, dot=True),
            Line(active, "ffn", "active", width=3, dot=True)], share=1.3),
        Panel("FLOPs a token, billions", (0, float(np.nanmax(flops)) * 1.2),
        [Line(flops, "ffn", "FLOPs", width=3, dot=True)]),
    ]  # fmt: skip
    return curves.message(
        "experts-size", "Parameters and FLOPs a token against the number of experts", experts, "experts in each layer",
        "E", panels,
        cursor=cursor, frames=Choice("Experts that read a token", list(ks), k), height=470,
        columns=("billions", "GB in 16 bits"),
        rows=[Row("in memory", "residual", (np.broadcast_to(total, active.shape).copy(),
        np.broadcast_to(2 * total, active.shape).copy()), width=3),
              Row("active", "ffn", (active, 2 * active), width=3)],
        sentence="{x} experts: {0} billion parameters in memory, {1} billion of them active, {2} billion FLOPs a token.",
        values=[np.broadcast_to(total, active.shape).copy(), active, flops], epoch=epoch,
    )  # fmt: skip
