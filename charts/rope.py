"""Rotary position: a pair that turns, scores against distance, sinusoids beside it, and the scalings for long texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves
from charts.curves import Band, Choice, Line, Panel, Picks, Row

SCALINGS = {"none": "as trained", "linear": "linear", "ntk": "NTK-aware", "yarn": "YaRN", "llama3": "Llama 3"}
DASHES: dict[str, tuple[int, int] | None] = {
    "none": None, "linear": (10, 4), "ntk": (6, 3), "yarn": (2, 3), "llama3": (12, 3),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the two tokens stand, and which pair is looked at."""

    m: int
    n: int
    pair: int = 0


def pair_message(
    q: np.ndarray, k: np.ndarray, bases: Choice, theta: np.ndarray, curve: np.ndarray, *, query: str, key: str,
    own: Place, place: Place, epoch: int, d_head: int, scale: float, label: str,
) -> bytes:  # fmt: skip
    """For the component "rope_pair".

    q, k [pair, 2]: the real query and key of two tokens, not yet turned; bases: what the slider chooses from; theta
    [base, pair]; curve [base, distance]: their score at distance 0, 1, 2 …, scaled; query, key: the tokens as shown;
    own: where the text has them; scale: of q·k. place and the base are taken up when epoch differs from the last one,
    and are the learner's after that.
    """
    lo, hi = curves.padded(curve, np.zeros(1))
    header = {
        "query": query, "key": key, "m0": own.m, "n0": own.n, "m": place.m, "n": place.n, "pair": place.pair,
        "epoch": epoch, "d_head": d_head, "scale": scale, "label": label, "reach": curve.shape[1] - 1,
        "range": [lo, hi], "bases": bases.header(),
    }  # fmt: skip
    arrays = {"q": q, "k": k, "theta": theta, "curve": curve}
    return component.pack(header, {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()})


def mount_pair(**where: object) -> object:
    """Put the component on the page: data=pair_message(...), key=..., on_stand_change=..."""
    return component.declare("rope_pair", "plot.js")(**where)


@dataclass(frozen=True)
class Spread:
    """Many scores at each distance: their mean, the band that holds 90 % of them, and some of them one by one.

    Each [distance], or [frame, distance] where a slider in the picture chooses the frame.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    some: Sequence[np.ndarray]

    @classmethod
    def of(cls, scores: np.ndarray) -> Spread:
        """scores [pair of words, distance], or [frame, pair of words, distance]."""
        low, high = np.quantile(scores, (0.05, 0.95), axis=-2)
        step = max(1, scores.shape[-2] // 6)
        return cls(scores.mean(-2), low, high, [scores[..., i, :] for i in range(0, scores.shape[-2], step)][:6])


def distance_message(
    distance: np.ndarray, real: Spread, drawn: Spread, envelope: np.ndarray, aligned: np.ndarray, *, head: str,
    pairs: int, seed: int, likeness: Choice, up_to: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Scores against distance: a real head's, drawn vectors', and aligned ones under their envelope; each [distance].

    drawn [frame, distance]: a frame for each ρ of `likeness`; aligned: `rope.aligned_decay`; envelope:
    `rope.decay_envelope`, in the same units; head: what the real ones are called, from so many pairs of words; seed: of
    the drawn ones; up_to: how far the axis goes.
    """

    def panel(spread: Spread, share: float, title: str | list[str], short: str | list[str]) -> Panel:
        lines = [Line(one, "scores", width=1, opacity=0.35) for one in spread.some]
        return Panel(
            title, curves.padded(spread.low, spread.high, *spread.some),
            [Band(spread.low, spread.high, "scores"), *lines, Line(spread.mean, "attention", width=3.5, dot=True)],
            share=share, short=short, note="mean, 90 % band, six single pairs",
        )  # fmt: skip

    bound = Panel(
        "If q = k, in units of its score at distance 0, under RoFormer's bound (logarithmic)", (0.04, 30),
        [Line(envelope, "muted", "the bound", width=2.5, dash=(6, 4), quiet=True),
         Line(aligned, "attention", "q = k", width=3, dot=True)], log=True, short="If q = k, and the bound",
    )  # fmt: skip
    panels = [
        panel(real, 1.25, f"Real: {pairs} pairs of words in {head}", f"Real: {head}"),
        panel(drawn, 1.0, [f"Drawn at random, seed {seed}: k resembles q by ρ = {rho:g}" for rho in likeness.values],
              [f"Drawn: ρ = {rho:g}" for rho in likeness.values]),
        bound,
    ]  # fmt: skip
    return curves.message(
        "rope-distance", "Scores against relative distance for a real head, for drawn vectors, and their envelope; "
                         "left and right arrows move the distance", distance, "distance m − n", "m − n",
        panels, cursor=cursor, epoch=epoch, frames=likeness,
        sentence="distance {x}: real head {0} on average, drawn {1}, q = k {2}, bound {3}",
        values=[real.mean, drawn.mean, aligned, envelope], height=510, gutter=84, zooms=up_to,
    )  # fmt: skip


@dataclass(frozen=True)
class Fan:
    """One score at every distance from several starts: scores [start, distance], and how much the distance explains."""

    scores: np.ndarray
    share: float
    title: str
    short: str


def fans_message(
    distance: np.ndarray, starts: Sequence[int], fans: Sequence[Fan], *, cursor: float, epoch: int = 0
) -> bytes:
    """The same distances from several starts, a panel a scheme: one curve where only distance counts, else a fan."""
    shades = np.linspace(0.55, 1.0, len(starts))

    def panel(fan: Fan) -> Panel:
        one = fan.share > 0.9995  # the curves lie on each other: one name for all
        names = [""] * (len(starts) - 1) + ["all starts"] if one else [f"n = {start:,}" for start in starts]
        lines = [Line(scores, "attention", name, width=2.5, shade=shade, dot=True)
                 for name, scores, shade in zip(names, fan.scores, shades, strict=True)]  # fmt: skip
        return Panel(fan.title, curves.padded(fan.scores), lines, short=fan.short,
                     note=f"the distance explains {fan.share:.1%}")  # fmt: skip

    rows = [
        Row(f"key at n = {start:,}", "attention", [fan.scores[i] for fan in fans], shade=shade)
        for i, (start, shade) in enumerate(zip(starts, shades, strict=True))
    ]
    return curves.message(
        "rope-fans", "The same distance from different starts: sinusoids, sinusoids through real weights, and RoPE",
        distance, "distance m − n", "m − n", [panel(fan) for fan in fans], cursor=cursor, epoch=epoch,
        columns=[fan.short for fan in fans], rows=rows, height=180 * len(fans), gutter=84,
    )  # fmt: skip


def scalings_message(
    waves: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray], chosen: Picks, trained: int, factors: Choice, *,
    cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """How long each pair takes for one turn, and how much of its speed it keeps, under every scaling.

    waves, kept: scaling -> [factor, pair]; chosen: which one stands out, by SCALINGS' titles; trained: the length that
    the model was trained on; factors: the frames.
    """
    pairs = np.arange(waves["none"].shape[1], dtype=np.float64)

    def tone(name: str) -> str:
        return "ink" if name == "none" else "muted"

    def lines(of: Mapping[str, np.ndarray], label: bool) -> list[Line]:
        return [
            Line(of[name], tone(name), SCALINGS[name] if label else "", dash=DASHES[name], quiet=True, points=True,
                 pick=SCALINGS[name])
            for name in waves
        ]  # fmt: skip

    length = np.full_like(pairs, trained)
    lo, hi = min(w.min() for w in waves.values()), max(w.max() for w in waves.values())
    rows = [
        Row(SCALINGS[name], tone(name), [waves[name], kept[name]], dash=DASHES[name], pick=SCALINGS[name])
        for name in waves
    ]  # fmt: skip
    return curves.message(
        "rope-scalings", "Wavelength and kept speed of every pair under each scaling; left and right arrows choose "
                         "the pair",
        pairs, "pair i, from the fastest to the slowest", "pair", [
            Panel("Positions for one full turn, 2π/θ (logarithmic)", (float(lo) * 0.6, float(max(hi, trained)) * 1.8),
                  [Line(length, "positive", f"{trained:,} trained", width=1.5, dash=(3, 3)), *lines(waves, False)],
                  share=1.4, log=True, short="Positions for one turn"),
            Panel("How much of its speed each pair keeps, θ′/θ", (0, 1.08), lines(kept, True), short="Speed kept, θ′/θ",
                  note=[f"1/{s} = squeezed as much as the text is longer" for s in factors.values]),
        ], cursor=cursor, epoch=epoch, columns=["positions for one turn", "speed kept%"], rows=rows, frames=factors,
        sentence="pair {x}: a turn takes {0} positions as trained, {1} scaled; it keeps {2%} of its speed",
        values=[waves["none"], *({SCALINGS[name]: of[name] for name in of} for of in (waves, kept))],
        height=470, gutter=120, picks=chosen,
    )  # fmt: skip
