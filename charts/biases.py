"""Positions added to the scores: a trained head taken apart, by distance, ALiBi's slopes, T5's buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Mark, Panel, Picks, Row, Tone
from charts.matrices import Matrix, Step

TITLES = {
    "none": "none", "learned": "learned", "sinusoidal": "sinusoidal", "rope": "RoPE", "alibi": "ALiBi", "t5": "T5",
    "shaw": "Shaw", "xl": "Transformer-XL",
}  # fmt: skip
TERMS = {
    "a": "word meets word", "b": "query's word meets key's place", "c": "query's place meets key's word",
    "d": "place meets place",
}  # fmt: skip
XL_TERMS = TERMS | {"c": "u, for the query's place, meets key's word",
                    "d": "v, for the query's place, meets the distance",
                    "b": "query's word meets the distance"}  # fmt: skip
LOOKS: dict[str, tuple[Tone, tuple[int, int] | None]] = {  # what belongs together has one colour, in the next lesson too
    "none": ("muted", None), "learned": ("ffn", None), "sinusoidal": ("key", None), "rope": ("query", None),
    "rope_linear": ("query", (10, 4)), "rope_ntk": ("query", (5, 3)), "rope_yarn": ("query", (2, 3)),
    "alibi": ("attention", None), "t5": ("value", None), "shaw": ("value", (10, 4)), "xl": ("value", (2, 3)),
}  # fmt: skip
LOWEST = -24.0  # of what is added: e^−24 of a weight is nothing
SAYS = {
    "none": "nothing is added: {value}",
    "learned": "b + c + d of {row} and {col}: all that places have to do with",
    "sinusoidal": "b + c + d of {row} and {col}: all that places have to do with",
    "rope": "turned by their places q · k changes by {value}; with other words it would change by something else",
    "alibi": "−m · |i − j| of {row} and {col}, no matter which words stand there",
    "t5": "the table's number for the bucket of the distance from {row} to {col}",
    "shaw": "q · a^K / √d_k: the query of {row} meets the vector of its distance to {col}",
    "xl": "b + d of {row} and {col}: (q + v) meets the distance",
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Scores of every head taken apart: [head, query, key] each; terms [term, head, query, key], or None."""

    content: np.ndarray
    position: np.ndarray
    scores: np.ndarray
    A: np.ndarray
    terms: np.ndarray | None = None


@dataclass(frozen=True)
class Table:
    """A trained table of positions: [row, column], or [head, row, column] where each head has its own."""

    name: str
    title: str
    values: np.ndarray
    rows: Sequence[str]
    cols: Sequence[str]
    axes: tuple[str, str]


def parts_message(
    parts: Mapping[str, Parts], tables: Mapping[str, Sequence[Table]], words: Sequence[str], barred: np.ndarray | None,
    *,
    titles: Mapping[str, str], picks: Picks, heads: Choice, about: str, step: int,
    at: tuple[str, int, int] | None = None,
    says: Mapping[str, str] = SAYS, epoch: int = 0, height: int = 380,
) -> bytes:  # fmt: skip
    """Content + position = scores, and the weights: for each way its own model's. A frame a head. Keys of the matrices
    are "<way> <part>"; under them the four terms where there are four, and the trained tables."""
    top_row, under, below = [], [], []
    shows: list[list[str]] = [[], [], [], []]
    for way, of in parts.items():
        # The future may be large, and is not seen.
        read = np.ones(of.A.shape[1:], dtype=bool) if barred is None else ~barred
        both = max(float(np.abs(part[:, read]).max()) for part in (of.content, of.position, of.scores)) or 1.0
        where = {"rows": words, "cols": words, "pick": titles[way], "barred": barred}
        drawn = (
            ("q·k", "Scores without positions", of.content, "scores",
             "q · k / √d_k of {row} and {col}, as if places were unknown"),
            ("position", "What positions add", of.position, "key", says[way]),
            ("S", "Sum: the scores", of.scores, "scores", f"sum:{way} q·k+{way} position"),
        )  # fmt: skip
        for i, (symbol, title, values, role, said) in enumerate(drawn):
            top_row.append(Matrix(f"{way} {symbol}", title, values, role, signed=True, top=both, says=said,
                                  symbol="q·k/√d_k" if symbol == "q·k" else symbol, **where))
            shows[i].append(f"{way} {symbol}")
        top_row.append(Matrix(f"{way} A", "Weights", of.A, "attention", top=1.0, says=f"softmax:{way} S", symbol="A",
                              **where))
        shows[3].append(f"{way} A")
        if of.terms is not None:
            named = XL_TERMS if way == "xl" else TERMS
            for letter, values in zip("abcd", of.terms, strict=True):
                role = "scores" if letter == "a" or (letter == "c" and way == "xl") else "key"
                under.append(Matrix(f"{way} {letter}", f"({letter}) {named[letter]}", values, role, signed=True,
                                    top=both,
                                    says=f"{named[letter]}: {{row}} and {{col}}", symbol=letter, **where))  # fmt: skip
                shows[0 if role == "scores" else 1].append(f"{way} {letter}")
        for table in tables.get(way, ()):
            key = f"{way} {table.name}"
            below.append(Matrix(key, table.title, table.values, "key", table.rows, table.cols, *table.axes, signed=True,
                                says=f"as training left it: {table.name} at {{row}}, {{col}}", symbol=table.name,
                                pick=titles[way]))  # fmt: skip
            shows[1].append(key)
    sentences = (
        ("Words alone", "Every query meets every key, and nobody knows where they stand."),
        ("Places", "What this way to tell positions adds to each pair."),
        ("Sum", "Both are added before the softmax; what may not be read is hatched."),
        ("Softmax", "Each row shares out 1: what was added multiplies a key's share by its exponential, and what all "
                    "keys of a row were given alike drops out."),
    )
    steps = [Step(title, sentence, tuple(key for part in shows[: i + 1] for key in part))
             for i, (title, sentence) in enumerate(sentences)]  # fmt: skip
    return matrices.message(
        "position-biases", f"{about}, taken apart into words and positions; the arrow keys move from cell to cell",
        [row for row in (top_row, under, below) if row], frames=heads, picks=picks, steps=steps, at=at, step=step,
        height=height, epoch=epoch,
    )  # fmt: skip


@dataclass(frozen=True)
class Against:
    """What is added at each distance, [head, distance]: mean, least and most of all cases; NaN where there is none."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def distance_message(
    found: Mapping[str, Against], *, titles: Mapping[str, str], picks: Picks, heads: Choice, up_to: Choice,
    trained: int,
    cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """What each way adds to a score against distance, a frame a head; the picked one with all its cases as a band."""
    distance = np.arange(len(next(iter(found.values())).mean[0]), dtype=float)
    centred = {way: _centred(of) for way, of in found.items()}
    means = np.stack([of.mean for of in centred.values()])  # [way, head, distance]
    low, high = np.nanmin(means, (0, 2)), np.nanmax(means, (0, 2))  # [head]
    low = np.maximum(low, LOWEST)
    y = np.stack((low - 0.12 * (high - low) - 0.5, high + 0.12 * (high - low) + 0.5), -1)  # [head, 2]
    series, rows = [], []
    for way, of in centred.items():
        title, (role, dash) = titles[way], LOOKS[way]
        series.append(Band(of.low, of.high, role, opacity=0.22, pick=title, switched=True))
        series.append(Line(of.mean, role, title, width=2, dash=dash, opacity=0.8, pick=title))
        rows.append(Row(title, role, [of.mean, of.low, of.high], dash=dash, pick=title))
    panel = Panel(
        "What is added to a score, by the distance back to the key", y, series,
        short="Added to a score, by distance", note="mean; band: least and most",
        marks=[Mark(trained, f"{trained} tokens: trained up to here")],
    )  # fmt: skip
    return curves.message(
        "bias-against-distance", "What each way to tell positions adds to a score, against distance; arrow keys move "
                                 "the distance",
        distance, "distance back, tokens", "r", [panel], cursor=cursor, columns=("mean", "least", "most"), rows=rows,
        frames=heads, zooms=up_to, picks=picks, height=440, gutter=134, epoch=epoch,
        sentence="at distance {x}, {pick} adds {0} on average to what it adds at distance 0, between {1} and {2}",
        values=[{titles[way]: getattr(of, part) for way, of in centred.items()} for part in ("mean", "low", "high")],
    )  # fmt: skip


def _centred(of: Against) -> Against:
    """Less the mean at distance 0: what all keys of a row share is no matter to its softmax."""
    start = of.mean[:, :1]
    return Against(of.mean - start, of.low - start, of.high - start)


def slopes_message(
    distance: np.ndarray, bias: np.ndarray, kept: np.ndarray, heads: Choice, *, cursor: float, epoch: int = 0
) -> bytes:
    """ALiBi's slopes for each number of heads: bias and kept [choice, head, distance], NaN for the heads it has not."""
    most = bias.shape[1]

    def lines(of: np.ndarray) -> list[Line]:
        return [Line(of[:, h], "attention", f"head {h}" if h < 4 else "", width=2.5, shade=1 - 0.75 * h / most,
                     dot=h < 4)
                for h in range(most)]  # fmt: skip

    head = Choice(heads.label, heads.values, heads.at)
    return curves.message(
        "alibi-slopes", "ALiBi's bias and what it leaves of a weight, against distance, for each head; arrow keys move "
                        "the distance",
        distance, "distance back, tokens", "r",
        [Panel("Bias −m r", (-16.0, 0.6), lines(bias), note="one line a head; head 0 the steepest"),
         Panel("What a key keeps of its weight, e^(−m r)", (0, 1.05), lines(kept), percent=True,
               note="against a key at distance 0 with the same q·k")],
        cursor=cursor, columns=("bias", "keeps%"), frames=head, height=460, gutter=80, epoch=epoch,
        rows=[Row(f"head {h}", "attention", [bias[:, h], kept[:, h]], shade=1 - 0.75 * h / most) for h in range(4)],
        sentence="{x} tokens back head 0 adds {0} and a key keeps {1%} of its weight",
        values=[bias[:, 0], kept[:, 0]],
    )  # fmt: skip


def buckets_message(
    distance: np.ndarray, bucket: Mapping[str, np.ndarray], width: Mapping[str, np.ndarray], *, picks: Picks,
    choices: Sequence[Choice], cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """T5's buckets against distance, {way to look: [buckets, farthest, distance]}, and how many share each."""
    top = max(float(of.max()) for of in bucket.values())
    wide = max(float(of.max()) for of in width.values())

    def lines(of: Mapping[str, np.ndarray], label: str) -> list[Line]:
        return [Line(values, "value", label, width=3, pick=way, switched=True, dot=True) for way, values in of.items()]

    rows = [Row(way, "value", [bucket[way], width[way]], pick=way) for way in bucket]
    return curves.message(
        "t5-buckets", "Which row of T5's table a distance reads; arrow keys move the distance",
        distance, "distance q − k; below 0 the key comes later", "q − k",
        [Panel("Bucket: the row of the table that is read", (-1, top + 2), lines(bucket, "bucket"), share=1.5,
               short="Bucket"),
         Panel("Distances that share it", (0.8, wide * 1.4), lines(width, "shared by"), log=True, note="logarithmic")],
        cursor=cursor, columns=("bucket", "distances in it"), rows=rows, frames=choices, picks=picks, height=440,
        epoch=epoch,
        digits=0, sentence="{pick}: distance {x} reads bucket {0}, which {1} of the distances drawn share",
        values=[dict(bucket), dict(width)],
    )  # fmt: skip
