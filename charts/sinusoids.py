"""Sinusoids: the matrix with its turning pairs, its products against the offset, what a real head makes of them, and
how much of what a model reads is position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves, matrices
from charts.curves import Band, Choice, Line, Panel, Picks, Row
from charts.matrices import Matrix

LAYOUTS = {"interleaved": "sin, cos, sin, cos", "half": "all sines, then all cosines"}


@dataclass(frozen=True)
class Place:
    """Which position is looked at, how far it is shifted, and which pair."""

    pos: int
    k: int
    pair: int


def columns(pair: int, d: int, layout: str) -> tuple[int, int]:
    """Where the sine and the cosine of a pair stand."""
    return (pair, pair + d // 2) if layout == "half" else (2 * pair, 2 * pair + 1)


def turn_message(
    PE: Mapping[int, np.ndarray], theta: Mapping[int, np.ndarray], widths: Choice, bases: Choice, layouts: Picks,
    place: Place, words: Sequence[str] = (), *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "sinusoid".

    PE: width d -> [layout, base, position, d]; theta: d -> [layout, base, pair]; layouts by LAYOUTS' names;
    words: what stands at the first positions. Place and the
    choices are taken up when epoch differs from the last one. ValueError where the shapes do not fit.
    """
    positions = next(iter(PE.values())).shape[2]
    arrays = {}
    for d in widths.values:
        wanted = (len(layouts.values), len(bases.values))
        if PE[d].shape != (*wanted, positions, d) or theta[d].shape != (*wanted, d // 2):
            raise ValueError(f"PE {list(PE[d].shape)} and theta {list(theta[d].shape)} do not fit d = {d} and "
                             f"{list(wanted)}.")
        arrays |= {f"PE {d}": PE[d].astype(np.float32), f"theta {d}": theta[d].astype(np.float32)}
    header = {
        "label": "The matrix of sinusoids, one pair of its columns as a turning hand and as waves; left and right "
                 "arrows move the position, up and down the pair, with Shift the shift",
        "positions": positions, "pos": place.pos, "k": place.k, "pair": place.pair, "epoch": epoch,
        "words": list(words), "d": widths.header(), "base": bases.header(), "layouts": layouts.header(),
    }  # fmt: skip
    return component.pack(header, arrays)


def mount_turn(**where: object) -> object:
    """Put the component on the page: data=turn_message(...), key=..., on_stand_change=..."""
    return component.declare("sinusoid", "plot.js")(**where)


def products_message(
    offset: np.ndarray, starts: Sequence[int], products: np.ndarray, apart: np.ndarray, widths: Choice,
    bases: Choice, *, reach: Choice, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """PE(n)·PE(n + k) over d/2 against k from several starts n.

    products [width, base, start, offset]; apart [width, base, offset]: the most that two starts differ by.
    """
    shades = np.linspace(0.5, 1.0, len(starts))
    each = [products[:, :, i] for i in range(len(starts))]
    lines = [Line(of, "attention", "" if i < len(starts) - 1 else "all starts", width=6 - i, shade=shade, dot=True)
             for i, (of, shade) in enumerate(zip(each, shades, strict=True))]  # fmt: skip
    largest = float(apart.max())
    panels = [
        Panel("PE(n) · PE(n + k), as a share of PE(n) · PE(n) = d/2", (-0.5, 1.08), lines, share=2.2,
              short="PE(n)·PE(n + k) / (d/2)", note=f"n = {', '.join(f'{n:,}' for n in starts)}: one curve"),
        Panel("How far the starts differ", (0, max(largest * 1.3, 1e-7)), [Line(apart, "muted", width=2)],
              note="rounding of float32"),
    ]  # fmt: skip
    rows = [Row(f"from n = {n:,}", "attention", [of], shade=shade)
            for n, of, shade in zip(starts, each, shades, strict=True)]  # fmt: skip
    return curves.message(
        "sinusoid-products", "The dot product of two positions' sinusoids against their offset; arrow keys move it",
        offset, "offset k", "k", panels, cursor=cursor, frames=[widths, bases], zooms=reach,
        columns=("PE·PE / (d/2)",), rows=rows,
        sentence="k = {x}: {0} from n = " + f"{starts[0]:,}" + ", {1} from n = " + f"{starts[-1]:,}",
        values=[each[0], each[-1]], height=440, gutter=90, epoch=epoch,
    )  # fmt: skip


@dataclass(frozen=True)
class Maps:
    """Maps as they are and as they are drawn (in spreads from their mean) [map, row, col], and how much of each the
    offset explains."""

    raw: np.ndarray
    drawn: np.ndarray
    explained: Sequence[float]

    @property
    def notes(self) -> list[str]:
        return [f"the offset explains {share:.0%}" for share in self.explained]


def heads_message(
    products: Maps, alone: Maps, mixed: Maps, tokens: Sequence[str], word: str, heads: Choice, scale_text: str, *,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """products: one map, PE·PE; alone: each head's scores of one word repeated; mixed: of the text; scale_text: of q·k."""
    places = [str(i) for i in range(products.raw.shape[-1])]

    def score(of: Maps, names: Sequence[str]) -> dict[str, object]:
        n = len(names)
        past = np.tril(np.ones((n, n), dtype=bool))
        says = np.full(of.raw.shape, "", dtype=object)
        for h, q, k in zip(*np.nonzero(np.broadcast_to(past, of.raw.shape)), strict=True):
            says[h, q, k] = (f"query {names[q]}, key {names[k]}: q·k {scale_text} = {of.raw[h, q, k]:.3g}, "
                             f"{of.drawn[h, q, k]:.2f} spreads from the mean").replace("-", "−")  # fmt: skip
        return {"rows": names, "cols": names, "says": says, "note": of.notes, "symbol": "S",
                "barred": np.broadcast_to(~past, of.raw.shape)}  # fmt: skip

    look = {"role": "scores", "signed": True, "top": 3.0}
    grid = [
        Matrix("PE·PE", "PE·PE: every diagonal one number", products.drawn[0], rows=places, cols=places,
               row_axis="position m", col_axis="position n", note=products.notes[0], **look,
               says=np.array([[f"PE({m}) · PE({n}) = {value:.3f}".replace("-", "−") for n, value in enumerate(row)]
                              for m, row in enumerate(products.raw[0])])),
        Matrix("S alone", f"Scores of a real head, “{word}” at every place", alone.drawn, **score(alone, places),
               **look),
        Matrix("S", "Scores of this head on your text", mixed.drawn, share=1.25, **score(mixed, tokens), **look),
    ]  # fmt: skip
    return matrices.message(
        "sinusoid-heads", "Products of sinusoids, and a real head's scores of one word repeated and of your text; "
                          "arrow keys move from cell to cell",
        [grid], frames=heads, at=at, height=430, epoch=epoch,
        sentence="Each map in spreads (standard deviations) from its own mean; “explains”: a share of its variance. "
                 "The middle one has one and the same word at every place, so that only places differ.",
    )  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """Trainings that differ in one thing: loss and share of position [seed, step]."""

    name: str
    role: str
    loss: np.ndarray
    share: np.ndarray


def scale_message(steps: np.ndarray, runs: Sequence[Runs], *, cursor: float, epoch: int = 0) -> bytes:
    """The position's share of the sum while models learn, with and without √d; lines are means, bands all seeds."""

    def panel(which: str, title: str, short: str, y: tuple[float, float], note: str, percent: bool = False) -> Panel:
        series: list[Band | Line] = []
        for run in runs:
            of = getattr(run, which)
            series += [Band(of.min(0), of.max(0), run.role, opacity=0.25),
                       Line(of.mean(0), run.role, run.name, width=3, dot=True)]  # fmt: skip
        return Panel(title, y, series, short=short, note=note, percent=percent)

    losses = np.concatenate([run.loss for run in runs])
    seeds = len(runs[0].loss)
    rows = [Row(run.name, run.role, [run.share.mean(0), run.loss.mean(0), run.loss.max(0) - run.loss.min(0)])
            for run in runs]  # fmt: skip
    return curves.message(
        "sinusoid-scale", "Share of the position in what the model reads, and its held-out loss, while it learns; "
                          "arrow keys move the step", steps, "training steps", "step",
        [panel("share", "Share of the sum's squared length that is position", "Share that is position", (0, 1.02),
               f"band: {seeds} seeds", percent=True),
         panel("loss", "Held-out loss, nats a token", "Held-out loss",
               (float(losses.min()) * 0.98, float(losses.max()) * 1.01), "recorded")],
        cursor=cursor, rows=rows, columns=("position's share%", "loss", "spread"),
        sentence="step {x}: position is {0%} of what is read with √d, {1%} without",
        values=[run.share.mean(0) for run in runs], height=400, gutter=110, epoch=epoch,
    )  # fmt: skip


def words_message(lengths: Mapping[str, np.ndarray], tokens: Sequence[str], *, epoch: int = 0) -> bytes:
    """Position's share in each token of the text.   lengths: model -> [3, token]: share, ‖E‖², ‖PE‖²"""
    names = list(lengths)
    says = np.array([[f"‖PE‖² / (‖E‖² + ‖PE‖²) = {p:.1f} / ({e:.1f} + {p:.1f})" for _, e, p in lengths[name].T]
                     for name in names])  # fmt: skip
    matrix = Matrix("share", "Position's share in each of your tokens", np.stack([lengths[name][0] for name in names]),
                    "residual", names, tokens, "model", "token", top=1.0, says=says)  # fmt: skip
    return matrices.message("sinusoid-words", "Position's share in each token of the text; arrow keys move the cell",
                            [[matrix]], height=150, epoch=epoch)  # fmt: skip
