"""Rotary position: a pair that turns, scores against distance, sinusoids beside it, and the scalings for long texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves
from charts.curves import Band, Choice, Line, Panel, Picks, Row, Switch

SCALINGS = {"none": "as trained", "linear": "linear", "ntk": "NTK-aware", "yarn": "YaRN", "llama3": "Llama 3"}
DASHES: dict[str, tuple[int, int] | None] = {
    "none": None, "linear": (10, 4), "ntk": (6, 3), "yarn": (2, 3), "llama3": (12, 3),
}  # fmt: skip
SINGLES = 4  # of many scores, how many are drawn one by one


@dataclass(frozen=True)
class Place:
    """Where the two tokens stand, and which pair is looked at."""

    m: int
    n: int
    pair: int = 0


def pair_message(
    Q: np.ndarray, K: np.ndarray, theta: np.ndarray, *, layers: Choice, held: Sequence[int], heads: Choice,
    queries: Choice, keys: Choice, bases: Choice, reaches: Choice, words: Sequence[str], first: int, place: Place, epoch: int, d_head: int, scale: float, label: str,
) -> bytes:  # fmt: skip
    """For the component "rope_pair".

    Q [layer, head, word, pair, 2], K [layer, kv_head, word, pair, 2]: the real queries and keys of the layers `held`, not
    yet turned; theta [base, pair]. What is chosen among them: layers (of which those not held come when they are asked
    for), heads, queries and keys (the words, as the sliders call them), bases, and
    reaches, how far the positions go. words: as shown on the ruler; first: where the text has the first of them; scale:
    of q·k. place and the choices are taken up when epoch differs from the last one, and are the learner's after that.
    ValueError where the shapes do not fit.
    """
    fits = Q.shape[:3] == (len(held), len(heads.values), len(words)) and K.shape[:3:2] == (len(held), len(words))
    if not fits or len(theta) != len(bases.values) or layers.at not in held:
        raise ValueError(f"Q {list(Q.shape)}, K {list(K.shape)} and theta {list(theta.shape)} do not fit the choices: "
                         f"layers {list(held)}, {len(heads.values)} heads, {len(words)} words, {len(bases.values)} bases.")  # fmt: skip
    choices = {"layer": layers, "head": heads, "query": queries, "key": keys, "base": bases, "reach": reaches}
    header = {
        "words": list(words), "first": first, "held": list(held), "m": place.m, "n": place.n, "pair": place.pair, "epoch": epoch,
        "d_head": d_head, "scale": scale, "label": label,
        "choices": {name: choice.header() for name, choice in choices.items()},
    }  # fmt: skip
    arrays = {"Q": Q, "K": K, "theta": theta}
    return component.pack(header, {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()})


def mount_pair(**where: object) -> object:
    """Put the component on the page: data=pair_message(...), key=..., on_stand_change=..."""
    return component.declare("rope_pair", "plot.js")(**where)


@dataclass(frozen=True)
class Spread:
    """Many scores at each distance: their mean, the band that holds 90 % of them, and some of them one by one.

    Each [..., distance], with an axis for each slider in the picture that chooses a frame. The band and the single
    ones are only drawn, so half the bits will do.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    some: Sequence[np.ndarray]

    @classmethod
    def of(cls, scores: np.ndarray) -> Spread:
        """scores [..., pair of words, distance]."""
        low, high = _quantiles(scores)
        step = max(1, scores.shape[-2] // SINGLES)
        some = [scores[..., i, :] for i in range(0, scores.shape[-2], step)][:SINGLES]
        return cls(scores.mean(-2), _half(low), _half(high), [_half(one) for one in some])

    def expanded(self, axis: int) -> Spread:
        """With an axis of length 1 for a slider that changes nothing here."""
        mean, low, high, *some = (np.expand_dims(one, axis) for one in (self.mean, self.low, self.high, *self.some))
        return Spread(mean, low, high, some)

    def reaches(self, axes: tuple[int, ...]) -> np.ndarray:
        """Lowest and highest value drawn, [..., 2], the same along these axes."""
        drawn = np.stack((self.low, self.high, *self.some)).astype(np.float32)
        axes = tuple(axis + 1 for axis in axes) + (drawn.ndim - 1,)
        lo, hi = drawn.min((0, *axes), keepdims=True)[0, ..., 0], drawn.max((0, *axes), keepdims=True)[0, ..., 0]
        air = 0.06 * (hi - lo + (hi == lo))
        return np.stack((lo - air, hi + air), -1)


def distance_message(
    distance: np.ndarray, real: Spread, drawn: Spread, envelope: np.ndarray, aligned: np.ndarray, *, layer: int,
    pairs: int, seed: int, heads: Choice, bases: Choice, likeness: Choice, up_to: Choice, cursor: float, epoch: int = 0,
    only: tuple[int, int, int] | None = None,
) -> bytes:  # fmt: skip
    """Scores against distance: a real head's, drawn vectors', and aligned ones under their envelope.

    real [head, base, distance], of so many pairs of words; drawn [base, ρ, distance], of that seed; aligned:
    `rope.aligned_decay`; envelope: `rope.decay_envelope`, in the same units, both [base, distance]; up_to: how far the
    axis goes; only: where head, base and ρ stand, for a picture that is sent ahead and need not have the others.
    """

    def kept(values: np.ndarray) -> np.ndarray:  # an axis of length 1 has nothing to choose from
        return values if only is None else values[tuple(
            slice(i, i + 1) if n > 1 else slice(None) for i, n in zip(only, values.shape, strict=False))]  # fmt: skip

    def panel(spread: Spread, y: np.ndarray, share: float, title: list, short: list) -> Panel:
        lines = [Line(kept(one), "scores", width=1, opacity=0.35) for one in spread.some]
        return Panel(
            title, y, [Band(kept(spread.low), kept(spread.high), "scores"), *lines,
                       Line(kept(spread.mean), "attention", width=3.5, dot=True)],
            share=share, short=short, note="mean, 90 % band, a few single pairs",
        )  # fmt: skip

    real, drawn = real.expanded(2), drawn.expanded(0)  # [head, base, ρ, distance]
    envelope, aligned = envelope[None, :, None], aligned[None, :, None]
    bound = Panel(
        "If q = k, in units of its score at distance 0, under RoFormer's bound (logarithmic)", (0.04, 30),
        [Line(envelope, "muted", "the bound", width=2.5, dash=(6, 4), quiet=True),
         Line(aligned, "attention", "q = k", width=3, dot=True)], log=True, short="If q = k, and the bound",
    )  # fmt: skip
    panels = [
        panel(real, real.reaches(()), 1.25, [f"Real: {pairs} pairs of words in layer {layer}, head {h}" for h in heads.values],
              [f"Real: layer {layer}, head {h}" for h in heads.values]),
        panel(drawn, drawn.reaches((1, 2)), 1.0,  # one range for all: what is gone is seen to be gone
              [[[f"Drawn at random, seed {seed}: k resembles q by ρ = {rho:g}" for rho in likeness.values]]],
              [[[f"Drawn: ρ = {rho:g}" for rho in likeness.values]]]),
        bound,
    ]  # fmt: skip
    return curves.message(
        "rope-distance", "Scores against relative distance for a real head, for drawn vectors, and their envelope; "
                         "left and right arrows move the distance", distance, "distance m − n", "m − n",
        panels, cursor=cursor, epoch=epoch, frames=[heads, bases, likeness],
        sentence="distance {x}: real head {0} on average, drawn {1}, q = k {2}, bound {3}",
        values=[kept(real.mean), kept(drawn.mean), aligned, envelope], height=500, gutter=84, zooms=up_to, only=only,
    )  # fmt: skip


@dataclass(frozen=True)
class Fan:
    """One score at every distance from several starts: scores [head or 1, base, start, distance], and how much of it
    the distance explains [head or 1, base]. `words`: shown only while the switch is on, or off."""

    scores: np.ndarray
    share: np.ndarray
    title: str
    short: str
    words: bool | None = None


def fans_message(
    distance: np.ndarray, starts: Sequence[int], fans: Sequence[Fan], *, heads: Choice, bases: Choice,
    switch: Switch | None, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The same distances from several starts, a panel a scheme: one curve where only distance counts, else a fan."""
    shades = np.linspace(0.55, 1.0, len(starts))

    def panel(fan: Fan, curves_of: list[np.ndarray]) -> Panel:
        one = fan.share.min() > 0.9995  # the curves lie on each other: one name for all
        names = [""] * (len(starts) - 1) + ["all starts"] if one else [f"n = {start:,}" for start in starts]
        lines = [Line(scores, "attention", name, width=2.5, shade=shade, dot=True)
                 for scores, name, shade in zip(curves_of, names, shades, strict=True)]  # fmt: skip
        y = np.array([[curves.padded(at_base) for at_base in of_head] for of_head in fan.scores])
        return Panel(fan.title, y, lines, short=fan.short, switched=fan.words is True, replaced=fan.words is False,
                     note=[[f"the distance explains {share:.1%}" for share in row] for row in fan.share])  # fmt: skip

    from_each = [[fan.scores[:, :, i] for i in range(len(starts))] for fan in fans]  # one object each: it goes out once
    rows = [
        Row(f"key at n = {start:,}", "attention", list(cells), shade=shade)
        for start, cells, shade in zip(starts, zip(*from_each, strict=True), shades, strict=True)
    ]
    return curves.message(
        "rope-fans", "The same distance from different starts: sinusoids, sinusoids through real weights, and RoPE",
        distance, "distance m − n", "m − n", [*map(panel, fans, from_each)], cursor=cursor, epoch=epoch,
        frames=[heads, bases], switch=switch, columns=[fan.short for fan in fans], rows=rows,
        height=180 * sum(fan.words is not True for fan in fans), gutter=84,
    )  # fmt: skip


def scalings_message(
    waves: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray], chosen: Picks, trained: int, *, bases: Choice,
    factors: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """How long each pair takes for one turn, and how much of its speed it keeps, under every scaling.

    waves, kept: scaling -> [base, factor, pair]; chosen: which one stands out, by SCALINGS' titles; trained: the length
    that the model was trained on; bases, factors: the frames.
    """
    pairs = np.arange(waves["none"].shape[-1], dtype=np.float64)

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
                  note=[[f"1/{s} = squeezed as much as the text is longer" for s in factors.values]]),
        ], cursor=cursor, epoch=epoch, columns=["positions for one turn", "speed kept%"], rows=rows,
        frames=[bases, factors],
        sentence="pair {x}: a turn takes {0} positions as trained, {1} scaled; it keeps {2%} of its speed",
        values=[waves["none"], *({SCALINGS[name]: of[name] for name in of} for of in (waves, kept))],
        height=470, gutter=120, picks=chosen,
    )  # fmt: skip


def _quantiles(scores: np.ndarray, tail: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """What np.quantile(scores, (tail, 1 − tail), axis=-2) gives, in a third of the time: only the four ranks that count
    are put in their places."""
    across = np.ascontiguousarray(np.swapaxes(scores, -1, -2))  # [..., distance, pair of words]
    last = across.shape[-1] - 1
    i = int(tail * last)
    near = min(i + 1, last)
    ranked = np.partition(across, sorted({i, near, last - i, last - near}), axis=-1)
    part = tail * last - i
    low, high = (ranked[..., a] + part * (ranked[..., b] - ranked[..., a]) for a, b in ((i, near), (last - i, last - near)))
    return low, high


def _half(scores: np.ndarray) -> np.ndarray:
    return scores.astype(np.float16)
