"""Curves over the layers of a stack, a frame for each depth, and curves of training: for the lessons on depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves
from charts.curves import Band, Choice, Line, Panel, Picks, Row, Switch, Tone, Words

Spread = tuple[np.ndarray, np.ndarray, np.ndarray]  # middle, lowest, highest over the seeds [frame, place]


@dataclass(frozen=True)
class Field:
    """A panel: its title and how it is read at the cursor; `switched`: only there while the switch is on."""

    title: str
    short: str
    column: str
    share: float = 1
    switched: bool = False


def by_layer(
    name: str, label: str, depths: Choice, variants: Mapping[str, Tone], found: Mapping[str, Mapping[str, Spread]],
    fields: Mapping[str, Field], picks: Picks, sentence: str, *, cursor: float, switch: Switch | None = None,
    height: int = 640, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "curves": each quantity over the layers, a curve for each variant with the spread of its seeds.

    depths: the frames, how many layers; variants: name -> colour; found: variant -> field -> spread, nan where a stack has
    no such layer; sentence: read out at the cursor, {i} for field i. ValueError where shapes do not fit.
    """
    places = max(depths.values) + 1
    panels = []
    for key, field in fields.items():
        series: list[Band | Line] = []
        for variant, role in variants.items():
            if (spread := found.get(variant, {}).get(key)) is None:
                continue
            middle, low, high = spread
            series += [Band(low, high, role, opacity=0.13),
                       Line(middle, role, label=variant, pick=variant, dot=True, points=True)]  # fmt: skip
        values = np.stack([edge for of in found.values() if key in of for edge in of[key]], 1)  # [frame, curve, place]
        y = np.array([_reach(frame) for frame in values])
        panels.append(Panel(field.title, y, series, share=field.share, short=field.short, log=True, switched=field.switched))
    rows = [Row(variant, role, [found[variant][key][0] for key in fields], pick=variant)
            for variant, role in variants.items() if variant in found]  # fmt: skip
    return curves.message(
        name, label, np.arange(places, dtype=float), "layer, counted from the text", "layer", panels, cursor=cursor,
        columns=[field.column for field in fields.values()], rows=rows, sentence=sentence,
        values=[{variant: found[variant][key][0] for variant in found} for key in fields], frames=depths, picks=picks,
        switch=switch, height=height, gutter=150, epoch=epoch,
    )  # fmt: skip


def _reach(values: np.ndarray) -> tuple[float, float]:
    """A range for a logarithmic axis that holds what is there with some air, and at least a decade."""
    there = values[np.isfinite(values) & (values > 0)]
    if not there.size:
        return 0.1, 1.0
    lo, hi = float(there.min()) / 1.4, float(there.max()) * 1.4
    return (lo, hi) if hi / lo > 10 else ((lo * hi) ** 0.5 / 10**0.5, (lo * hi) ** 0.5 * 10**0.5)


@dataclass(frozen=True)
class Trained:
    """One way to train: its recorded curve over the seeds, and the learner's own runs, a curve each."""

    role: Tone
    recorded: Spread  # [..., report]
    live: Sequence[np.ndarray] = ()  # [..., report] each
    dash: tuple[int, int] | None = None
    apart: np.ndarray | None = None  # what tells tokens apart at the top, recorded [..., report]
    live_apart: Sequence[np.ndarray] = ()


def training(
    name: str, label: str, steps: np.ndarray, ways: Mapping[str, Trained], frames: Choice | Sequence[Choice], *,
    rates: Mapping[str, np.ndarray] | None = None, blind: float, cursor: float, sentence: str, y: tuple[float, float],
    height: int = 500, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "curves": the loss as training goes on, recorded with the spread of its seeds, live over it.

    rates: way -> learning rate at each report, a panel of its own; blind: the loss of knowing only how often each
    character occurs.
    """
    level = np.full(len(steps), blind)
    series: list[Band | Line] = [Line(level, "muted", "frequencies alone", width=1.5, dash=(2, 4), quiet=True)]
    for way, of in ways.items():
        middle, low, high = of.recorded
        series += [Band(low.clip(*y), high.clip(*y), of.role), Line(middle, of.role, way, width=3, dash=of.dash, dot=True)]
    for of in ways.values():
        series += [Line(run, "ink", width=1.5, dash=of.dash, opacity=0.9, points=True) for run in of.live]
    panels = [Panel("Loss on the play, nats a character", y, series, short="Loss, nats a character")]
    if any(of.apart is not None for of in ways.values()):
        lines = [Line(of.apart, of.role, width=3, dash=of.dash, dot=True) for of in ways.values() if of.apart is not None]
        lines += [Line(run, "ink", width=1.5, dash=of.dash, points=True) for of in ways.values() for run in of.live_apart]
        floor = min(float(np.nanmin(of.apart)) for of in ways.values() if of.apart is not None)
        panels.append(Panel("What still tells the tokens apart at the top, ‖X − 1x̄ᵀ‖ / ‖X‖", (max(floor / 2, 1e-12), 1.5), lines,
                            share=0.6,
                            short="What tells tokens apart", log=True, note=_absent(ways)))  # fmt: skip
    if rates is not None:
        lines = [Line(rate, ways[way].role, dash=ways[way].dash, width=2) for way, rate in rates.items()]
        top = max(float(rate.max()) for rate in rates.values()) * 1.1
        panels.append(Panel("Learning rate", (0.0, top), lines, share=0.25))
    rows = [Row(way, of.role, list(of.recorded), dash=of.dash) for way, of in ways.items()]
    return curves.message(
        name, label, steps, "step", "step", panels, cursor=cursor, columns=["middle of 3 seeds", "lowest", "highest"], rows=rows,
        sentence=sentence, values=[of.recorded[0] for of in ways.values()], frames=frames, height=height, gutter=170,
        epoch=epoch,
    )  # fmt: skip


def _absent(ways: Mapping[str, Trained]) -> Words:
    """For each frame a word where nothing was recorded of what tells tokens apart."""
    there = np.any([np.isfinite(of.apart).any(-1) for of in ways.values() if of.apart is not None], 0)

    def said(found: np.ndarray) -> Words:
        return [said(one) for one in found] if found.ndim else "" if found else "not recorded here: train it to see"

    return said(there)


def in_a_model(
    title: str, places: int, tokens: Choice, stream: np.ndarray, written: np.ndarray, turned: np.ndarray, *,
    cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "curves": what one token's stream does in a trained model, the other tokens behind it.

    tokens: the frames; stream, written, turned [token, place]: written and turned are the layer's above the place.
    """
    def panel(name: str, short: str, values: np.ndarray) -> Panel:
        others = [Line(np.ascontiguousarray(one), "muted", width=1, opacity=0.35) for one in values]
        return Panel(name, _reach(values), [*others, Line(values, "residual", width=3.5, dot=True)], short=short, log=True)

    return curves.message(
        "in-a-model", f"One token's stream in {title}, layer by layer. Arrow keys move along the layers.",
        np.arange(places, dtype=float), "layer", "layer",
        [panel("Stream, root mean square of its entries", "Stream, root mean square", stream),
         panel("What the layer adds, ‖Δx‖ / ‖x‖", "‖Δx‖ / ‖x‖", written),
         panel("How far the layer turns the token, 1 − cos", "1 − cos", turned)],
        cursor=cursor, sentence="layer {x}: stream {0}; the layer adds {1} of its length and turns it by {2}",
        values=[stream, written, turned], frames=tokens, height=620, gutter=24, epoch=epoch,
    )  # fmt: skip


def by_length(
    stacks: Choice, share: np.ndarray, size: np.ndarray, count: np.ndarray, title: Sequence[str], *, cursor: float,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "curves": how many paths have each length, and what the gradient owes to them.

    stacks: the frames; share, size [frame, 3, length]: middle, lowest and highest over seeds; count [frame, length].
    """
    lengths = np.arange(share.shape[-1], dtype=float)
    edges = np.append(lengths - 0.5, lengths[-1] + 0.5)

    def band(values: np.ndarray, y: np.ndarray) -> Band:  # y [frame, 2]: it stays within its panel
        return Band(values[:, 1].clip(y[:, :1], y[:, 1:]), values[:, 2].clip(y[:, :1], y[:, 1:]), "value")

    of_size, of_share = np.ascontiguousarray(size[:, 0]), np.ascontiguousarray(share[:, 0])
    reach = np.array([_both(frame) for frame in share])
    sizes = np.where(size > 0, size, np.nan)
    tall = np.array([_reach(np.maximum(one, 1e-6)) for one in sizes])
    return curves.message(
        "paths", "Paths through a residual stack by their length. Arrow keys move along the lengths.", lengths,
        "sublayers that a path goes through", "length",
        [Panel("How many of all paths", np.array([(0.0, 1.1 * np.nanmax(one)) for one in count]),
               [curves.Bars(edges, np.nan_to_num(count), "residual")], percent=True, share=0.6),
         Panel("Share of the gradient at the embedding, ⟨G_k, G⟩ / ‖G‖²", reach,
               [band(share, reach), Line(of_share, "value", width=3, points=True, dot=True)],
               short="Share of the gradient", percent=True),
         Panel("Size of what they carry, ‖G_k‖ / ‖G‖", tall,
               [band(sizes, tall), Line(of_size, "value", width=3, points=True, dot=True)], short="‖G_k‖ / ‖G‖", log=True,
               note=list(title))],
        cursor=cursor, sentence="paths through {x} sublayers: {0%} of all paths, {1%} of the gradient, size {2}",
        values=[count, of_share, of_size], frames=stacks, height=620, gutter=24, epoch=epoch,
    )  # fmt: skip


def _both(values: np.ndarray) -> tuple[float, float]:
    there = values[np.isfinite(values)]
    lo, hi = min(0.0, float(there.min())), float(there.max())
    return lo - 0.06 * (hi - lo), hi + 0.06 * (hi - lo)


def collapse(
    title: str, shares: Choice, apart: np.ndarray, alike: np.ndarray, stream: np.ndarray, loss: np.ndarray, *,
    cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "curves": how alike the tokens of a text become when only a share of the stream skips.

    shares: the frames, the last of them the model as it is; apart, alike, stream [share, place], loss [share].
    """
    def panel(name: str, short: str, values: np.ndarray, role: Tone, log: bool = True) -> Panel:
        y = np.array([_reach(np.stack((one, values[-1]))) for one in values]) if log else (-0.05, 1.05)
        lines = [Line(np.ascontiguousarray(values[-1]), "ink", width=1.5, dash=(5, 4)),
                 Line(values, role, width=3, dot=True, points=True)]  # fmt: skip
        said = [f"loss {one:.2f} nats a token" for one in loss] if values is apart else ""
        return Panel(name, y, lines, short=short, log=log, note=said)

    return curves.message(
        "tokens-alike", f"How alike the tokens are along the stream of {title}. Arrow keys move along the layers.",
        np.arange(apart.shape[1], dtype=float), "layer", "layer",
        [panel("What tells the tokens apart, ‖X − 1x̄ᵀ‖ / ‖X‖", "What tells tokens apart", apart, "key"),
         panel("Mean cosine between two tokens", "Mean cosine", alike, "query", log=False),
         panel("Stream, root mean square of its entries", "Stream, root mean square", stream, "residual")],
        cursor=cursor, sentence="layer {x}: apart {0}, mean cosine {1}, stream {2}; as trained {3}, {4}, {5}",
        values=[apart, alike, stream, *(np.ascontiguousarray(v[-1]) for v in (apart, alike, stream))], frames=shares,
        height=620, gutter=24, epoch=epoch,
    )  # fmt: skip
