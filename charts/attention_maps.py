"""What the attention-maps component is given: every head in small at once, and one layer in full.

`overview` goes out once a text and stays the same while the learner looks around; `layer` follows the selected layer.
The two are told apart so that choosing a head sends tens of kilobytes, not megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from charts import component

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

THUMBNAIL_BYTES = 1_300_000  # all heads in small, twice (weights, and weights × ‖value‖)
EXACT_TOKENS = 96            # up to here a layer's maps go out in float32; beyond, float16 keeps three digits
PARTS = tuple(
    f"attention_maps/{name}.js"
    for name in ("surface", "state", "matrix", "mosaic", "heatmap", "lines", "details", "controls")
)


def maps() -> ComponentRenderer:
    """The component: mosaic, one head large, and what the pinned token reads. Mount it with data=overview(...)."""
    return component.declare("attention_maps", *PARTS)


def layer_feed() -> ComponentRenderer:
    """The invisible component that hands data=layer(...) to the one above."""
    return component.declare("attention_layer")


def overview(
    header: Mapping[str, object],
    A: np.ndarray,
    valued: np.ndarray,
    mask: np.ndarray | None,
    targets: Sequence[np.ndarray],
    scores: np.ndarray,
    labels: np.ndarray,
) -> bytes:
    """Every head in small, with its measured patterns.

    A, valued [layer, head, query, key]: weights, and weights × ‖value‖; mask bool [query, key] or None, True = may
    attend; targets: bool [query, key] for each pattern that has some, in the order of scores; scores
    [pattern, layer, head], NaN where a pattern cannot show; labels [layer, head], index of a pattern or −1.

    Weights are sent as 255·√A, so that small ones survive the 8 bits; those × ‖value‖ as shares of the head's largest,
    which is sent beside them.
    """
    layers, heads, n, _ = A.shape
    side = min(n, max(8, int((THUMBNAIL_BYTES / (2 * layers * heads)) ** 0.5)))
    most = valued.max(axis=(2, 3))  # [layer, head]
    shares = valued / np.where(most > 0, most, 1.0)[:, :, None, None]
    bits = np.zeros((n, n), np.uint8)
    for i, target in enumerate(targets):
        bits |= target.astype(np.uint8) << i
    return component.pack(
        {**header, "layers": layers, "heads": heads, "n": n, "side": side},
        {
            "weights": _small(A, side), "valued": _small(shares, side), "most": most.astype(np.float32),
            "mask": (np.ones((n, n), bool) if mask is None else mask).astype(np.uint8), "targets": bits,
            "scores": scores.astype(np.float32), "labels": labels.astype(np.int8),
        },
    )  # fmt: skip


def layer(
    header: Mapping[str, object],
    A: np.ndarray,
    norms: np.ndarray,
    Q: np.ndarray,
    K: np.ndarray,
    average: np.ndarray,
    average_valued: np.ndarray,
    rollout: np.ndarray,
) -> bytes:
    """One layer in full: A [head, query, key], ‖value‖ [head, key], Q [head, query, d_head], K [kv_head, key, d_head],
    and the layer's maps over all heads [query, key]. `header` says which reading and which layer."""
    kind = np.float32 if A.shape[-1] <= EXACT_TOKENS else np.float16
    return component.pack(header, {
        "A": A.astype(kind), "norms": norms.astype(np.float32), "Q": Q.astype(np.float32), "K": K.astype(np.float32),
        "average": average.astype(kind), "average_valued": average_valued.astype(kind), "rollout": rollout.astype(kind),
    })


def table(patterns: Sequence[str], scores: np.ndarray, labels: np.ndarray) -> dict[str, list]:
    """Every head's measured patterns, one row a head: scores [pattern, layer, head], labels [layer, head]."""
    layers, heads = labels.shape
    return {
        "layer": np.repeat(np.arange(layers), heads).tolist(), "head": np.tile(np.arange(heads), layers).tolist(),
        "label": [patterns[i] if i >= 0 else "" for i in labels.ravel()],
        **{name: scores[i].ravel().tolist() for i, name in enumerate(patterns)},
    }  # fmt: skip


def _small(values: np.ndarray, side: int) -> np.ndarray:
    """uint8 [layer, head, side, side] of √values; a longer text is pooled to its largest weight a block, so that a thin
    diagonal stays in sight."""
    n = values.shape[-1]
    if side < n:
        starts = np.arange(side) * n // side
        values = np.maximum.reduceat(np.maximum.reduceat(values, starts, axis=-1), starts, axis=-2)
    return np.rint(255 * np.sqrt(values)).astype(np.uint8)
