"""Longer than trained: recorded losses against length and place, a text's surprises, and where heads look out there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves, matrices
from charts.biases import LOOKS
from charts.curves import Band, Choice, Line, Mark, Panel, Picks, Row, Switch
from charts.matrices import Matrix

TITLES = {
    "none": "none", "learned": "learned", "sinusoidal": "sinusoidal", "rope": "RoPE", "rope_linear": "RoPE, linear",
    "rope_ntk": "RoPE, NTK", "rope_yarn": "RoPE, YaRN", "alibi": "ALiBi", "t5": "T5", "shaw": "Shaw", "xl": "XL",
}  # fmt: skip
FLOOR = 1e-5  # of a weight: less is not drawn
TOPS = ("all losses", "near the best")  # how far their axis goes


@dataclass(frozen=True)
class Runs:
    """Losses of all seeds, [seed, point]; NaN where a model cannot be asked."""

    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(0)

    @property
    def low(self) -> np.ndarray:
        return self.values.min(0)

    @property
    def high(self) -> np.ndarray:
        return self.values.max(0)


def _drawn(runs: Mapping[str, Runs], points: bool) -> list[Band | Line]:
    """A band of all seeds and a line of their mean for each way."""
    series: list[Band | Line] = []
    for way, of in runs.items():
        role, dash = LOOKS[way]
        series += [
            Band(of.low, of.high, role, opacity=0.12),
            Band(of.low, of.high, role, opacity=0.3, switched=True, pick=TITLES[way]),
            Line(of.mean, role, TITLES[way], width=2, dash=dash, opacity=0.85, pick=TITLES[way], points=points),
        ]
    return series


def _ranges(*parts: Mapping[str, Runs]) -> np.ndarray:
    """[top, 2]: all that is drawn, and what lies near the best."""
    seen = np.concatenate([of.values[np.isfinite(of.values)] for runs in parts for of in runs.values()])
    return np.array([[seen.min() - 0.05, seen.max() + 0.1], [seen.min() - 0.03, seen.min() + 0.6]])


def length_message(
    lengths: np.ndarray, loss: Mapping[str, Runs], same: Mapping[str, Runs], *, picks: Picks, tops: Choice,
    trained: int,
    words: int, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Held-out loss against the number of tokens read: of all of them, and of the same last tokens at every length."""
    marks = [Mark(trained, "trained at this length")]
    rows = [Row(TITLES[way], LOOKS[way][0], [loss[way].mean, same[way].mean, same[way].low, same[way].high],
                dash=LOOKS[way][1],
                pick=TITLES[way]) for way in loss]  # fmt: skip
    return curves.message(
        "longer-than-trained",
        "Held-out loss against the number of tokens read, for each way to tell positions; arrow keys move the length",
        lengths, "tokens read at once", "n",
        [Panel(f"The same last {words} tokens, with more and more before them: nats a token", _ranges(same),
               _drawn(same, True), 1.5,
               short=f"The same last {words} tokens", note="band: three seeds", marks=marks),
         Panel("All tokens of the window: nats a token", _ranges(loss), _drawn(loss, True), short="All tokens",
               note="band: three seeds")],
        cursor=cursor, columns=("all tokens", f"last {words}", "least", "most"), rows=rows, frames=tops, picks=picks,
        height=580,
        gutter=134, epoch=epoch,
        sentence="reading {x} tokens, {pick} loses {0} nats on the last of them, between {1} and {2} over the seeds",
        values=[{TITLES[way]: getattr(of, part) for way, of in same.items()} for part in ("mean", "low", "high")],
    )  # fmt: skip


def place_message(
    places: np.ndarray, runs: Mapping[str, Runs], *, picks: Picks, tops: Choice, trained: int, cursor: float,
    epoch: int = 0
) -> bytes:
    """Held-out loss of each place in windows of four times the trained length."""
    rows = [Row(TITLES[way], LOOKS[way][0], [of.mean, of.low, of.high], dash=LOOKS[way][1], pick=TITLES[way])
            for way, of in runs.items()]  # fmt: skip
    return curves.message(
        "loss-by-place", "Held-out loss by place in a long window, for each way to tell positions; arrow keys move the "
                         "place",
        places, "place in the window", "t",
        [Panel("Loss at each place: nats a token", _ranges(runs), _drawn(runs, False), short="Loss at each place",
               note="mean of 8 places and all windows; band: three seeds",
               marks=[Mark(trained, "trained up to here")])],
        cursor=cursor, columns=("mean", "least", "most"), rows=rows, frames=tops, picks=picks, height=520, gutter=134,
        epoch=epoch,
        sentence="around place {x} {pick} loses {0} nats a token, between {1} and {2} over the seeds",
        values=[{TITLES[way]: getattr(of, part) for way, of in runs.items()} for part in ("mean", "low", "high")],
    )  # fmt: skip


@dataclass(frozen=True)
class Surprise:
    """One text's surprises by one way, [token − 1]: smoothed; what the far text changes, smoothed; and as they are."""

    smooth: np.ndarray
    change: np.ndarray
    raw: np.ndarray


def text_message(
    found: Mapping[str, Surprise], words: Sequence[str], *, picks: Picks, trained: int, width: int, cursor: float,
    epoch: int = 0
) -> bytes:
    """Each token's surprise in the learner's text, and what reading more than the trained length changes."""
    place = np.arange(1, len(words), dtype=float)
    smooth, change, rows = [], [], []
    for way, of in found.items():
        role, dash = LOOKS[way]
        look = {"dash": dash, "opacity": 0.85, "pick": TITLES[way]}
        smooth += [Line(of.raw, role, width=1, opacity=0.4, switched=True, pick=TITLES[way], plain=True),
                   Line(of.smooth, role, TITLES[way], **look)]  # fmt: skip
        change.append(Line(of.change, role, TITLES[way], **look))
        rows.append(Row(TITLES[way], role, [of.raw, of.smooth, of.change], dash=dash, pick=TITLES[way]))
    settled = width if len(words) > 2 * width else 0  # before that a mean is of a few tokens
    seen = np.concatenate([of.smooth[settled:][np.isfinite(of.smooth[settled:])] for of in found.values()])
    moved = np.concatenate([of.change[np.isfinite(of.change)] for of in found.values()])
    changes = min(-0.3, float(moved.min())) * 1.1, max(0.3, float(moved.max())) * 1.1
    marks = [Mark(trained, f"{trained}: trained up to here")] if len(words) > trained else []
    return curves.message(
        "your-text-longer", "Surprise at each token of your text, for each way to tell positions; arrow keys move from "
                            "token to token",
        place, "token of your text", "token",
        [Panel(f"Surprise, mean of the last {width} tokens: nats", (0, float(seen.max()) * 1.1), smooth, 1.4,
               short="Surprise",
               note="thin: each token, of the picked way", marks=marks),
         Panel(f"What the tokens more than {trained} back change", changes, change, short="Change by the far text",
               note="above 0: spoilt; below 0: they helped", marks=marks)],
        cursor=cursor, columns=("this token", f"last {width}", "change"), rows=rows, picks=picks, height=560,
        gutter=134, epoch=epoch,
        sentence="token {x}: {pick} is surprised by {0} nats; over the last tokens {1}, of which the far text's doing "
                 "{2}",
        values=[{TITLES[way]: getattr(of, part) for way, of in found.items()} for part in ("raw", "smooth", "change")],
    )  # fmt: skip


def distance_message(
    by_distance: Mapping[str, np.ndarray], *, picks: Picks, heads: Choice, switch: Switch, trained: int, last: int,
    cursor: float,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """Mean weight at each distance, [layer · head, distance] for each way, a frame a head; with the switch all."""
    distance = np.arange(next(iter(by_distance.values())).shape[-1], dtype=float)
    series = [Line(np.maximum(of, FLOOR), LOOKS[way][0], TITLES[way], width=1.5, dash=LOOKS[way][1], opacity=0.7,
                   pick=TITLES[way],
                   switched=True) for way, of in by_distance.items()]  # fmt: skip
    even = np.full(len(distance), 1 / len(distance))
    marks = [Mark(trained, "never seen in training →")] if len(distance) > trained else []
    return curves.message(
        "weight-by-distance", "Mean attention weight against distance, for each way to tell positions; arrow keys move "
                              "the distance",
        distance, "distance back, tokens", "r",
        [Panel(f"Mean weight of the last {last} queries at each distance", (FLOOR, 1.2),
               [Line(even, "muted", "even", width=1.5, dash=(2, 4), quiet=True), *series],
               short="Mean weight at each distance",
               log=True, note="logarithmic; dotted: an even share", marks=marks)],
        cursor=cursor, frames=heads, picks=picks, switch=switch, height=360, gutter=134, epoch=epoch,
        sentence="{pick}: a key {x} tokens back gets {0%} of the weight on average",
        values=[{TITLES[way]: of for way, of in by_distance.items()}],
    )  # fmt: skip


def map_message(A: np.ndarray, words: Sequence[str], *, head: str, share: float, trained: int, epoch: int = 0) -> bytes:
    """A head's weights of the last queries, [query, key]; share: of them that lies farther back than training went."""
    n, last = len(words), len(A)
    back = np.arange(n - last, n)[:, None] - np.arange(n)  # [query, key]
    return matrices.message(
        "map-out-there", f"Attention of the last {last} tokens of your text, {head}; arrow keys move from cell to cell",
        [[Matrix("A", f"{head}: weights of the last {last} tokens", A, "attention", words[n - last :], words, top=1.0,
                 barred=back < 0, note=f"{share:.0%} of the weight lies {trained} or more tokens back",
                 says="{row} lays {value} of its weight on {col}")]],
        height=330, epoch=epoch,
    )  # fmt: skip
