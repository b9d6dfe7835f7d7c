"""Norms: the cube of a batch and which entries share a mean; what companions change; the stream before the norms; ε."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves
from charts.curves import Band, Choice, Line, Mark, Panel, Row

TITLES = {"layer": "LayerNorm", "rms": "RMSNorm", "batch": "BatchNorm, training", "running": "BatchNorm, eval"}
OVER = {"layer": "features", "rms": "features", "batch": "batch", "running": "nothing"}
SHARED = {  # what one number is the mean of, beside the sum and under the cube
    "layer": ("over this token's {n} features", "{n} numbers share a mean"),
    "rms": ("over this token's {n} features", "{n} numbers share a mean square"),
    "batch": ("over feature {feature} in the batch's {n} tokens", "{n} numbers share a mean"),
    "running": ("of feature {feature}, remembered from training", "no number of this batch counts"),
}
FIGURES = 2.5  # |y| at which the colour of what comes out is full


@dataclass(frozen=True)
class Norm:
    """One norm of the batch. mean, variance, y [frame, batch, token, feature], a frame for each number of sentences times
    each number of tokens, or one for all; gamma [feature]; moved [frame]: how far the first token's y is from the whole
    batch's, as a share of its length."""

    mean: np.ndarray
    variance: np.ndarray
    y: np.ndarray
    gamma: np.ndarray
    moved: np.ndarray


def cube(
    sentences: Sequence[tuple[str, Sequence[str]]], features: Sequence[int], width: int, x: np.ndarray,
    norms: Mapping[str, Norm], eps: float, *, pick: str, batch: int, tokens: int, at: tuple[int, int, int],
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "norm_cube". sentences: title and tokens; features: the few of ``width`` that are shown;
    x [batch, token, feature]. ValueError where a shape does not fit."""
    shape = (len(sentences), len(sentences[0][1]), len(features))
    if x.shape != shape:
        raise ValueError(f"x has shape {list(x.shape)}; sentences, tokens and features ask for {list(shape)}.")
    arrays = {"x": x.astype(np.float32)}
    for key, norm in norms.items():
        for part in ("mean", "variance", "y"):
            values = getattr(norm, part)
            if values.shape[1:] != shape or len(values) not in (1, shape[0] * shape[1]):
                raise ValueError(f"{part} of {key} has shape {list(values.shape)}; it must be [frame, "
                                 f"{', '.join(map(str, shape))}].")
            arrays[f"{key} {part}"] = values.astype(np.float32)
        arrays[f"{key} gamma"], arrays[f"{key} moved"] = norm.gamma.astype(np.float32), norm.moved.astype(np.float32)
    header = {
        "label": "A batch of token vectors before and after a norm; arrow keys choose token and feature, Page Up and "
                 "Down "
                 "the sentence.",
        "epoch": epoch, "pick": pick, "batch": batch, "tokens": tokens, "at": list(at), "eps": eps,
        "epsText": f"{eps:g}",
        "sentences": [{"title": title, "tokens": list(pieces)} for title, pieces in sentences],
        "features": list(features), "width": width, "topX": float(np.quantile(np.abs(x), 0.95)) or 1.0, "topY": FIGURES,
        "norms": [{"key": key, "title": TITLES[key], "over": OVER[key], "of": SHARED[key][0], "count": SHARED[key][1],
                   "frames": len(norm.y)} for key, norm in norms.items()],
    }  # fmt: skip
    return component.pack(header, arrays)


def mount_cube(**where: object) -> object:
    """Put the cube on the page: data=cube(...), key=..., on_stand_change=..."""
    return component.declare("norm_cube", "plot.js", "sticky.css")(**where)


def companions(
    features: Sequence[int], words: Sequence[str], token: str, rows: Mapping[str, np.ndarray],
    moved: Mapping[str, np.ndarray],
    cursor: int, *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One token's y as others join its batch. rows: norm -> [count, feature] of the features shown; moved: norm -> [count];
    words: the tokens in the order in which they join."""
    counts = np.arange(1, len(words) + 1)
    def lines(values: np.ndarray) -> list[Line]:  # loud and ordinary features, apart in colour and dash
        return [Line(values[:, i], ("positive", "negative", "ink")[i % 3], str(feature), points=True,
                     dash=(6, 4) if i >= 3 else None) for i, feature in enumerate(features)]  # fmt: skip

    panels = [
        Panel(f"BatchNorm: y of “{token}”, {len(features)} of its features", curves.padded(rows["batch"]),
              lines(rows["batch"]), share=1.4, short="BatchNorm: y of the first token"),
        Panel(f"LayerNorm: y of “{token}”", curves.padded(rows["layer"]),
              lines(rows["layer"])),
        Panel("how far y is from what the whole batch gives", (0, max(1.05, float(moved["batch"].max()) * 1.05)),
              [Line(moved["batch"], "positive", "BatchNorm", points=True, width=3),
               Line(moved["running"], "negative", "eval", points=True, dash=(6, 4), quiet=True),
               Line(moved["layer"], "residual", "LayerNorm", points=True)], percent=True, short="distance from the "
               "whole batch"),
    ]  # fmt: skip
    return curves.message(
        "companions", f"The first token's normalised numbers as companions join the batch; features {features}", counts,
        "tokens in the batch", "tokens", panels, cursor=cursor, epoch=epoch, height=640,
        columns=("y moved by%",),
        rows=[Row("BatchNorm, training", "positive", (moved["batch"],), width=3),
              Row("BatchNorm, eval", "negative", (moved["running"],), dash=(6, 4)),
              Row("LayerNorm", "residual", (moved["layer"],)),
              Row("RMSNorm", "residual", (moved["rms"],), dash=(2, 3))],
        sentence="{x} tokens in the batch: BatchNorm's y for the same first token is {0%} of its length away from what "
                 "the "
                 "whole batch gives; LayerNorm's {1%}.",
        values=[moved["batch"], moved["layer"]],
    )  # fmt: skip


def layers(
    words: Sequence[str], at: str, rms: np.ndarray, mean: np.ndarray, top: np.ndarray, after: np.ndarray, cursor: int,
    *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The stream before each layer's norm, token by token: rms, mean, top and after [layer, token]."""
    count = np.arange(len(rms))
    every = [Line(rms[:, i], "residual", opacity=0.3) for i in range(len(words))]
    lo, hi = float(min(rms.min(), after.min())) * 0.7, float(rms.max()) * 1.5
    panels = [
        Panel([f"rms of “{word}” before the norm, thin: the other tokens" for word in words], (lo, hi),
              [*every, Line(rms.T, "positive", "before", width=3, dot=True),
              Line(after.T, "residual", "after γ", width=2, dash=(6, 4), dot=True)], log=True,
              share=1.5, short=[f"rms of “{word}”" for word in words]),
        Panel([f"share of Σ x² in the largest feature of “{word}”" for word in words], (0, 1.02),
              [Line(top.T, "positive", "one feature", width=3, dot=True)], percent=True, short="share of the largest "
              "feature"),
        Panel("|mean| / rms: all that centring would take away", (0, max(0.1, float(mean.max()) * 1.1)),
              [Line(mean.T, "negative", "mean", width=2, dot=True)], percent=True, short="|mean| / rms"),
    ]  # fmt: skip
    return curves.message(
        "norm-by-layer", "What the norm of each layer is given, by layer", count, "layer", "layer", panels,
        cursor=cursor,
        frames=Choice("Token", list(words), at), epoch=epoch, height=640,
        columns=("rms", "rms after γ", "largest feature%", "|mean|/rms%"),
        rows=[Row("this token", "positive", (rms.T, after.T, top.T, mean.T), width=3)],
        sentence="Layer {x}: rms {0} before the norm, {1} after γ; one feature alone holds {2%} of Σ x².",
        values=[rms.T, after.T, top.T],
    )  # fmt: skip


def epsilon(
    powers: np.ndarray, layer: np.ndarray, outside: np.ndarray, rms: np.ndarray, eps: float, sigma: float,
    cursor: float,
    *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One vector times 10^x: how large what comes out of the norm is."""
    turn = float(np.log10(np.sqrt(eps) / sigma))
    wrong = float(np.log10(eps / sigma))
    panels = [
        Panel("size of y: 1 where ε does not count", (-0.04, 1.1), [
            Line(outside, "muted", "ε outside", dash=(6, 4), dot=True),
            Line(rms, "negative", "RMSNorm", dash=(2, 3), dot=True),
            Line(layer, "residual", "LayerNorm", width=3, dot=True)],
            marks=[Mark(turn, "σ = √ε"), Mark(wrong, "σ = ε", left=True)]),
    ]  # fmt: skip
    return curves.message(
        "epsilon", "Size of the normalised vector against the size of what comes in", powers,
        "log₁₀ of the factor on x", "log₁₀ s", panels,
        cursor=cursor, epoch=epoch, height=380, step=5, columns=("size of y",),
        rows=[Row("LayerNorm, √(σ² + ε)", "residual", (layer,), width=3),
        Row("RMSNorm, √(mean x² + ε)", "negative", (rms,), dash=(2, 3)),
              Row("σ + ε, as it is not", "muted", (outside,), dash=(6, 4))],
        sentence="x times 10^{x}: LayerNorm's y has the size {0}; with ε outside the root it would have {1}.",
        values=[layer, outside],
    )  # fmt: skip


def shift_and_bessel(
    shifts: np.ndarray, by_layer: np.ndarray, by_rms: np.ndarray, cursor: float, *, epoch: int = 0
) -> bytes:  # fmt: skip
    """What adding one number to all features does."""
    panels = [Panel("how far y moves when c is added to every feature", (-0.02, max(0.1, float(by_rms.max()) * 1.1)), [
        Line(by_rms, "negative", "RMSNorm", dash=(2, 3), width=2.5, dot=True),
        Line(by_layer, "residual", "LayerNorm", width=3, dot=True)],
        percent=True, short="how far y moves")]  # fmt: skip
    return curves.message(
        "shift", "What adding one number to all features does to the normalised vector", shifts, "c, in units of the "
        "vector's rms", "c",
        panels, cursor=cursor, epoch=epoch, height=300, columns=("y moves by%",), step=2,
        rows=[Row("LayerNorm centres", "residual", (by_layer,), width=3),
        Row("RMSNorm does not", "negative", (by_rms,), dash=(2, 3))],
        sentence="c = {x} rms: RMSNorm's y moves by {0%} of its length, LayerNorm's by {1%}.",
        values=[by_rms, by_layer],
    )  # fmt: skip


def training(
    steps: np.ndarray, recorded: Mapping[str, tuple[np.ndarray, np.ndarray]],
    live: Mapping[str, tuple[np.ndarray, np.ndarray]],
    cursor: float, *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Held-out loss in training, as the model is used and with each passage's own averages: [seed, report] each, by norm;
    live runs NaN where they have not come yet."""
    tones = {"LayerNorm": "residual", "RMSNorm": "negative", "BatchNorm": "positive"}
    used, own, rows = [], [], []
    for title, (unseen, alone) in recorded.items():
        for drawn, values in ((used, unseen), (own, alone)):
            drawn += [Band(values.min(0), values.max(0), tones[title]),
                Line(values.mean(0), tones[title], title, width=2.5, dot=True)]
        rows.append(Row(title, tones[title], (unseen.mean(0), alone.mean(0)), width=2.5))
    for title, (unseen, alone) in live.items():
        used += [Line(one, tones[title], width=2, dash=(5, 3)) for one in unseen]
        own += [Line(one, tones[title], width=2, dash=(5, 3)) for one in alone]
    every = np.concatenate([values[np.isfinite(values)] for pair in (*recorded.values(), *live.values())
    for values in pair])
    y = (float(every.min()) * 0.95, float(every.max()) * 1.1)
    panels = [
        Panel("held out, as the model is used (BatchNorm: running averages)", y, used, log=True,
        note="nats a character", short="held out, eval mode", share=1.2),
        Panel("held out, with the averages of each passage alone", (y[0], 5.0), own, short="held out, own averages"),
    ]  # fmt: skip
    return curves.message(
        "norms-live", "Held-out loss in training by norm", steps, "step", "step", panels, cursor=cursor, epoch=epoch,
        height=520,
        columns=("eval mode", "own averages"), rows=rows, gutter=110,
        values=[unseen.mean(0) for unseen, _ in recorded.values()],
        sentence="Step {x}: " + ", ".join(f"{title} {{{i}}}" for i, title in enumerate(recorded)) + " nats a character "
        "held out, mean of 3 seeds.",
    )  # fmt: skip
