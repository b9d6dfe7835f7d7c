"""What a decoder looks at while it writes, for the browser component "alignment": words, links that cross, and the map.

`message` is what assets/components/alignment draws: every layer and head at once, so that its slider and its player need
no round trip; `figure` is one map as an Altair figure for downloads and notebooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from charts import component, theme
from charts.curves import Choice

if TYPE_CHECKING:
    import altair as alt

PARTS = ("plot.js", "player.js", "player.css", "matrices/surface.js", "alignment/layout.js", "alignment/paint.js")
Words = Sequence[tuple[int, int]]  # of each word, the pieces that it is made of: (begin, end)


def message(
    name: str, label: str, written: str, source: Sequence[str], target: Sequence[str], before: Sequence[str],
    probabilities: Sequence[float], *, heads: Choice, of: Sequence[int], layers: Sequence[int], weights: np.ndarray,
    scores: np.ndarray, Q: np.ndarray, K: np.ndarray, source_words: Words, target_words: Words, words: np.ndarray,
    links: np.ndarray, hidden: Sequence[int] = (), step: int | None = None, at: tuple[int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    written: all of the target as text; source, target: pieces; before: the piece that each step's query was made from; heads: what can be looked at ("layer 1,
    head 0", "layer 1, mean"), each of a layer; of: which head's q, k and scores belong to it, −1 for a mean.
    weights [look, step, source]; scores [head, step, source], −∞ where hidden; Q [head, step, d_head]; K [head, source,
    d_head]; words [look, target word, source word]; links [look, target word]: the source word that it reads most, or −1.
    step: how much is written at first, all unless given; at: the pinned cell (step, source). ValueError where shapes do not
    fit.
    """
    n, m, count = len(source), len(target), len(heads.values)
    step = m - 1 if step is None else step
    wanted = {
        "weights": (weights, (count, m, n)), "scores": (scores, (len(Q), m, n)), "Q": (Q, (len(Q), m, Q.shape[-1])),
        "K": (K, (len(Q), n, Q.shape[-1])), "words": (words, (count, len(target_words), len(source_words))),
        "links": (links, (count, len(target_words))),
    }  # fmt: skip
    for key, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ValueError(f"{key} has shape {list(array.shape)}; pieces, words and heads ask for {list(shape)}.")
    if len(of) != count or len(layers) != count or len(before) != m or len(probabilities) != m:
        raise ValueError("Each look needs its layer and head, each step its piece before and its probability.")
    if not 0 <= step < m or (at is not None and not (0 <= at[0] < m and 0 <= at[1] < n)):
        raise ValueError(f"There is no step {step} or no cell {at}.")
    header = {
        "name": name, "label": label, "written": written, "source": _shown(source), "target": _shown(target), "before": _shown(before),
        "probabilities": [float(p) for p in probabilities], "heads": heads.header(), "of": list(of), "layers": list(layers),
        "sourceWords": [_word(source, word, hidden) for word in source_words],
        "targetWords": [_word(target, word, ()) for word in target_words],
        "hidden": list(hidden), "step": step, "at": list(at) if at else None, "epoch": epoch,
    }  # fmt: skip
    arrays = {key: array.astype(np.int32 if key == "links" else np.float32) for key, (array, _) in wanted.items()}
    return component.pack(header, arrays)


def _shown(pieces: Sequence[str]) -> list[str]:
    return [piece.strip() or "␣" for piece in pieces]


def _word(pieces: Sequence[str], word: tuple[int, int], hidden: Sequence[int]) -> dict[str, object]:
    begin, end = word
    return {"text": "".join(pieces[begin:end]).strip() or "␣", "begin": begin, "end": end,
            "hidden": all(i in hidden for i in range(begin, end))}  # fmt: skip


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("alignment", *PARTS)(**where)


def table(weights: np.ndarray, source: Sequence[str], target: Sequence[str]) -> dict[str, list]:
    """One map, a row a cell: step, written, position, read, weight.   weights [step, source]"""
    cells = [(i, j) for i in range(len(target)) for j in range(len(source))]
    return {
        "step": [i for i, _ in cells], "written": [target[i] for i, _ in cells], "position": [j for _, j in cells],
        "read": [source[j] for _, j in cells], "weight": [float(weights[i, j]) for i, j in cells],
    }  # fmt: skip


def figure(weights: np.ndarray, source: Sequence[str], target: Sequence[str], title: str, p: theme.Palette) -> alt.LayerChart:
    """One map as an Altair figure: rows are written, columns read.   weights [step, source]"""
    import altair as alt

    columns, rows = (
        [f"{i} {piece}" for i, piece in enumerate(_shown(pieces))] for pieces in (source, target)
    )  # numbered, since a text may say a word twice
    cells = [{"written": row, "read": column, "weight": float(weights[i, j])}
             for i, row in enumerate(rows) for j, column in enumerate(columns)]  # fmt: skip
    base = alt.Chart(alt.Data(values=cells)).encode(
        x=alt.X("read:N", sort=columns, title="read (keys)", axis=alt.Axis(labelAngle=-55, orient="top")),
        y=alt.Y("written:N", sort=rows, title="written (queries)"),
    )  # fmt: skip
    colour = alt.Color("weight:Q", scale=alt.Scale(domain=[0, 0.5, 1], range=[c for _, c in theme.sequential(p)]))
    boxes = base.mark_rect(stroke=p.line).encode(color=colour)
    numbers = base.mark_text(fontSize=12).encode(
        text=alt.Text("weight:Q", format=".2f"),
        color=alt.condition("datum.weight > 0.6", alt.value(p.background), alt.value(p.ink)),
    )
    return alt.layer(boxes, numbers.transform_filter("datum.weight >= 0.01")).properties(
        title=title, width=44 * len(columns), height=30 * len(rows)
    )
