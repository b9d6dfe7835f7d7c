"""Memory across segments: what a token can reach, where it looks, what a short memory changes, what one is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Mark, Panel, Row, Switch, Words
from charts.matrices import Matrix

MEMORY = "Memory, in tokens"


def reach_message(
    layers_needed: np.ndarray, words: Sequence[str], memories: Choice, *, token: str, layers: int, segment: int,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Which vectors of which layer have something to say in one token's last vector, without and with a memory.

    layers_needed [memory, key]: how many layers a key's vector takes to the token, −1 where it never arrives; the first
    of the memories is none.
    """
    left = np.arange(layers, -1, -1)  # how many layers each level still has above it, the embedding first
    reached = (layers_needed[:, None] >= 0) & (layers_needed[:, None] <= left[:, None])  # [memory, level, key]
    reached = reached[:, ::-1]  # the last layer on top
    rows = [f"layer {i}" for i in range(layers, 0, -1)] + ["embed"]
    seen = [int(count) for count in reached[:, -1].sum(-1)]

    def cone(key: str, title: Words, values: np.ndarray, note: Words) -> Matrix:
        return Matrix(key, title, values.astype(np.float32), "residual", rows, words, row_axis="layer",
                      col_axis="token", top=1,
                      note=note, says=f"{{col}} as {{row}} leaves it: {{value}}, where 1 means that it enters the last "
                                      f"vector of {token}.")  # fmt: skip

    return matrices.message(
        "reach-of-a-token", "Vectors that enter one token's last vector, by layer and token, without a memory and with "
                            "one",
        [[cone("alone", f"without a memory, segments of {segment}", reached[0],
               f"{token} has heard of {seen[0]} tokens")],
         [cone("with", [f"with a memory of {m}" if m != "none" else "with no memory yet: pull the "
             "slider" for m in memories.values],
               reached, [f"{token} has heard of {count} tokens" for count in seen])]],
        frames=memories, at=at, height=430, epoch=epoch,
    )  # fmt: skip


def map_message(
    A: np.ndarray, scores: np.ndarray, distance: np.ndarray, allowed: np.ndarray, words: Sequence[str],
    memories: Choice,
    behind: Switch, *, head: str, at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One head's weights over the whole text, each segment read alone and with a memory.

    A, scores, distance, allowed [memory, query, key]; the first of the memories is none; distance: what of the scores
    is for the distance alone; the switch `behind` shows the two parts of the scores.
    """
    n = len(words)
    segment_of = allowed[0].argmax(-1)  # the first key of a query's own segment
    before = np.arange(n)[None] < segment_of[:, None]
    later = segment_of > 0
    shares = [weights[later][before[later]].sum() / max(1, later.sum()) for weights in A]
    top = float(np.nanmax(np.abs([scores - distance, distance])))

    def drawn(key: str, title: Words, values: np.ndarray, **look: object) -> Matrix:
        barred = ~allowed if values.ndim == 3 else ~allowed[0]
        return Matrix(key, title, values, rows=words, cols=words, barred=barred, **look)

    part = dict(role="scores", signed=True, top=top, switched=True)
    return matrices.message(
        "attention-over-memory", f"Attention weights of {head} over the whole text, without a memory and with one; "
                                 f"query rows, "
        "key columns",
        [[drawn("alone", "each segment alone", A[0], role="attention", top=1.0, symbol="A", note="grey: out of sight",
                says="{row} gives {value} of its weight to {col}, reading its segment alone."),
          drawn("with", [f"with a memory of {m}" if m != "none" else "with no memory yet" for m in memories.values], A,
                role="attention", top=1.0, symbol="A", says=f"{matrices.SOFTMAX}S",
                note=[f"{share:.0%} of the later segments' weight lies in the memory" for share in shares])],
         [drawn("content", "for what it is: (q + u)·k / √d_k", scores - distance, symbol="content",
                says="What {col} is adds {value} to the score of {row}.", **part),
          drawn("distance", "for where it is: (q + v)·W_R R / √d_k", distance, symbol="distance",
                says="How far back {col} lies adds {value} to the score of {row}.", **part)],
         [drawn("S", "their sum, the scores", scores, symbol="S", says="{row} scores {col} with {value}.", **part)]],
        frames=memories, switch=behind, at=at, height=470, epoch=epoch,
    )  # fmt: skip


def same_message(
    apart: np.ndarray, surprise: np.ndarray, whole: np.ndarray, starts: Sequence[int], words: Sequence[str],
    memories: Choice,
    *, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Segment by segment against the whole at once, token by token.

    apart [memory, layer + 1, token]: the largest difference after each layer, and of the logits; surprise
    [memory, token] and whole [token]: −ln p of the token after each, NaN at the last; starts: the segments' first
    tokens.
    """
    n, layers = len(words), apart.shape[1] - 1
    x, floor = np.arange(float(n)), 2e-8
    apart = np.maximum(apart, floor * 1.01)
    marks = [Mark(float(start), f"segment {i + 1}" if i == 0 or n / len(starts) > 9 and start < 0.93 * n else "") for i,
             start in enumerate(starts)]
    shades = np.linspace(0.4, 0.8, layers)
    lines = [Line(apart[:, i], "residual", f"layer {i}", width=2, shade=float(shades[i])) for i in range(layers)]
    span = float(np.max(np.nan_to_num(np.concatenate([surprise, whole[None]])))) or 1.0
    panels = [
        Panel("Largest difference from reading all at once", (floor, max(10.0, float(apart.max()) * 2)),
              [*lines, Line(apart[:, -1], "output", "logits", width=3, dot=True)], log=True, marks=marks, share=1.2,
              short="Difference from all at once", note="below 10⁻⁵: only the order of float32 sums"),
        Panel("Surprise at the next token, −ln p", (0, span * 1.05),
              [Line(whole, "muted", "all at once", width=2, dash=(6, 4), quiet=True),
               Line(surprise, "output", "by segments", width=2.5, dot=True)], short="Surprise, −ln p",
              marks=[Mark(m.x, "") for m in marks]),
    ]  # fmt: skip
    whole_rows = np.broadcast_to(whole, surprise.shape)
    return curves.message(
        "segments-against-all-at-once", "Difference between reading by segments and at once, and surprise, by token; "
                                        "arrows move "
        "along the text", x, "token", "token", panels, cursor=cursor, frames=memories, height=500, gutter=104,
        epoch=epoch,
        columns=["difference of logits", "surprise by segments", "all at once"],
        rows=[Row("at the cursor", "output", [apart[:, -1], surprise, whole_rows], width=3)],
        sentence="token {x}: the logits differ by {0}; the next token surprises by {1} nats, read all at once by {2}",
        values=[apart[:, -1], surprise, whole_rows],
    )  # fmt: skip


def worth_message(runs: Mapping[str, np.ndarray], *, cursor: float, epoch: int = 0) -> bytes:
    """Held-out loss by place in the segment, of models trained with and without a memory: [seed, place]."""
    with_, without = runs["with"], runs["without"]
    x = np.arange(1.0, with_.shape[1] + 1)
    lo, hi = curves.padded(with_, without)
    gain = without - with_

    def spread(of: np.ndarray, role: str, label: str, dash: tuple[int, int] | None) -> list[Band | Line]:
        return [Band(of.min(0), of.max(0), role, opacity=0.25),
                Line(of.mean(0), role, label, width=3.5, dash=dash, dot=True, points=True)]  # fmt: skip

    return curves.message(
        "loss-by-place", "Held-out loss by place in the segment, with and without a memory; arrows move along", x,
        "place of the token in its segment", "place", [
            Panel("Held-out loss, nats a token", (lo, hi),
                  [*spread(without, "muted", "no memory", (6, 4)), *spread(with_, "attention", "memory", None)],
                  share=1.3,
                  note=f"mean and range of {len(with_)} seeds each, trained by us"),
            Panel("What the memory saves", (min(-0.02, float(gain.min()) * 1.1), float(gain.max()) * 1.15),
                  spread(gain, "value", "saved", None), note="per seed, without − with"),
        ], cursor=cursor, columns=["loss", "lowest seed", "highest seed"], epoch=epoch, height=470, gutter=104,
        rows=[Row("without a memory", "muted", [without.mean(0), without.min(0), without.max(0)], dash=(6, 4)),
              Row("with one", "attention", [with_.mean(0), with_.min(0), with_.max(0)], width=3),
              Row("saved", "value", [gain.mean(0), gain.min(0), gain.max(0)])],
        sentence="place {x}: {0} nats without a memory, {1} with one, {2} saved", values=[without.mean(0),
            with_.mean(0), gain.mean(0)],
    )  # fmt: skip
