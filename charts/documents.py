"""A document with both levels of its attention on it, for the browser component "document", and what the levels cost.

Every word is tinted by its weight, every sentence has a bar; a word or a sentence that is clicked is taken out, and the
shares of the classes, all weights and the two scatters follow at once: the server ran the document without each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves
from charts.curves import Choice, Line, Panel, Picks, Row

TINTS = IN_SENTENCE, IN_DOCUMENT, EFFECT = ("weight in its sentence", "share of the document", "effect of removing it")


@dataclass(frozen=True)
class Shown:
    """A word as it stands in the text, what stands behind it up to the next one, and whether the model knows it."""

    text: str
    after: str
    known: bool


@dataclass(frozen=True)
class Removals:
    """The whole document (variant 0) and without each part: weights and the scores that they are the softmax of.

    parts [part, 2]: sentence, word or −1; p [variant, class]; alpha, word_scores [variant, word]; beta,
    sentence_scores [variant, sentence]; words are counted through the document.
    """

    parts: np.ndarray
    p: np.ndarray
    alpha: np.ndarray
    word_scores: np.ndarray
    beta: np.ndarray
    sentence_scores: np.ndarray


def message(
    sentences: Sequence[Sequence[Shown]], classes: Sequence[str], found: Removals, *, tint: Picks, without: int,
    truth: str | None, rho: tuple[float, float], note: str = "", epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    without: which variant is shown first, 0 for the whole document; truth: the class that the document really has, where
    that is known; rho: rank correlation of weight and size of effect, of sentences and of words. Tint and variant are
    taken up when epoch differs from the last one. ValueError where the shapes do not fit.
    """
    variants, n_words = len(found.parts) + 1, sum(map(len, sentences))
    for what, array, wanted in (
        ("p", found.p, (variants, len(classes))), ("alpha", found.alpha, (variants, n_words)),
        ("word_scores", found.word_scores, (variants, n_words)), ("beta", found.beta, (variants, len(sentences))),
        ("sentence_scores", found.sentence_scores, (variants, len(sentences))),
    ):  # fmt: skip
        if array.shape != wanted:
            raise ValueError(f"{what} has shape {list(array.shape)}; the document asks for {list(wanted)}.")
    header = {
        "sentences": [[{"text": w.text, "after": w.after, "known": w.known} for w in s] for s in sentences],
        "classes": list(classes), "truth": truth, "tint": tint.header(), "without": without, "epoch": epoch,
        "rho": [None if np.isnan(r) else float(r) for r in rho], "note": note,
    }  # fmt: skip
    return component.pack(header, {
        "parts": found.parts.reshape(-1, 2).astype(np.int16), "p": found.p.astype(np.float32),
        "alpha": found.alpha.astype(np.float32), "beta": found.beta.astype(np.float32),
        "wordScores": found.word_scores.astype(np.float32), "sentenceScores": found.sentence_scores.astype(np.float32),
    })  # fmt: skip


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("document", "plot.js")(**where)


def cost_message(
    s: np.ndarray, lengths: Choice, words: np.ndarray, segments: np.ndarray, least: np.ndarray, *, cursor: int, epoch: int,
) -> bytes:  # fmt: skip
    """Scored pairs against the words in a segment.

    s [point]; lengths: the frames, numbers n of words; words, segments [n, point]: pairs of both levels, NaN where a
    segment would be longer than the text; least [n]: the s where their sum is least.
    """
    n = np.array(lengths.values, dtype=float)[:, None]
    total = words + segments
    at_least = np.full_like(total, np.nan)
    for i, best in enumerate(least):
        where = int(np.nanargmin(total[i]))
        at_least[i, where] = total[i, where]
    flat = np.broadcast_to(n**2, total.shape).copy()
    notes = [f"least at s = {s[np.nanargmin(total[i])]:.0f} (∛(2n) = {best:.1f}): {np.nanmin(total[i]) / n[i, 0] ** 2:.1%} of n²"
             for i, best in enumerate(least)]  # fmt: skip
    top = float(n.max()) ** 2 * 1.5
    panels = [
        Panel("Pairs that one head scores, on a logarithmic scale", (float(np.nanmin(segments)) * 0.8, top), [
            Line(flat, "muted", label="n²", dash=(6, 4)), Line(words, "query", label="words: n·s", dot=True),
            Line(segments, "key", label="sentences: (n/s)²", dot=True),
            Line(total, "attention", label="both", width=3.5, dot=True),
            Line(at_least, "ink", points=True)], log=True, note=notes, short="Pairs that one head scores"),
        Panel("Both levels as a share of n², logarithmic, too", (5e-4, 1.2), [Line(total / n**2, "attention", width=3, dot=True)],
              share=0.6, log=True, percent=True, short="Share of n²"),
    ]  # fmt: skip
    k = 1e-3  # the table counts in thousands
    rows = [Row("words: n·s", "query", [k * words]), Row("sentences: (n/s)²", "key", [k * segments]),
            Row("both", "attention", [k * total], width=3.5), Row("one text: n²", "muted", [k * flat], dash=(6, 4))]  # fmt: skip
    return curves.message(
        "hierarchical-cost", "Scored pairs of hierarchical attention against the words in a segment; arrow keys move s", s,
        "s, words in a segment", "s", panels, cursor=cursor, columns=["thousand pairs"], rows=rows, height=500,
        sentence="s = {x}: {0} + {1} = {2} thousand pairs, {3%} of n²",
        values=[k * words, k * segments, k * total, total / n**2], gutter=132, frames=lengths, epoch=epoch,
    )  # fmt: skip
