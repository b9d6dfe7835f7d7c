"""Masks: who may attend to whom. True = may attend.

Each is a function of absolute positions, so that a cached step sees the very row that the whole text would give it.
``q_pos`` [batch or 1, query] and ``k_pos`` [batch or 1, key] -> bool [batch or 1, query, key].
"""

from torch import Tensor

from transformer.config import Config


def distance(q_pos: Tensor, k_pos: Tensor) -> Tensor:
    """How far back the key lies: q − k; negative for the future."""
    return q_pos[:, :, None] - k_pos[:, None, :]


def causal(q_pos: Tensor, k_pos: Tensor) -> Tensor:
    """k ≤ q: no token sees the future."""
    return distance(q_pos, k_pos) >= 0


def window(q_pos: Tensor, k_pos: Tensor, width: int) -> Tensor:
    """|q − k| < w: the w nearest keys on each side, itself included (Mistral; Beltagy et al. 2020, arXiv:2004.05150)."""
    return distance(q_pos, k_pos).abs() < width


def dilated(q_pos: Tensor, k_pos: Tensor, r: int, width: int | None = None) -> Tensor:
    """q − k divisible by r: every r-th key; with ``width``, the w nearest of those on each side (arXiv:2004.05150)."""
    steps = distance(q_pos, k_pos)
    hit = steps % r == 0
    return hit if width is None else hit & (steps.abs() < width * r)


def strided(q_pos: Tensor, k_pos: Tensor, r: int) -> Tensor:
    """|q − k| < r, or q − k divisible by r: neighbours, and every r-th key (Child et al. 2019, arXiv:1904.10509)."""
    return window(q_pos, k_pos, r) | dilated(q_pos, k_pos, r)


def prefix(q_pos: Tensor, k_pos: Tensor, length: int) -> Tensor:
    """k < p: the first p tokens are seen by all, so that they see one another (prefix LM: Raffel et al. 2020, §3.2.1)."""
    return (k_pos < length)[:, None, :].expand(-1, q_pos.shape[-1], -1)


def same_segment(q_segment: Tensor, k_segment: Tensor) -> Tensor:
    """Query and key belong to one text of several that share a row. Segments [batch, token], as positions."""
    return q_segment[:, :, None] == k_segment[:, None, :]


DENSE = ("full", "recurrent", "latent", "lsh", "linformer", "performer", "linear")  # no pattern beyond the past


def mask(
    config: Config, q_pos: Tensor, k_pos: Tensor, real: Tensor | None = None, segments: Tensor | None = None
) -> Tensor | None:
    """The mask of a whole forward pass: [batch or 1, 1, query, key], or None where every query sees every key.

    ``real`` [batch, key]: False marks padding, which no query reads. ``segments`` [batch, token]: other segments are hidden.
    """
    allowed = None
    match config.attention:
        case "window":
            allowed = window(q_pos, k_pos, config.window)
        case "dilated":
            allowed = dilated(q_pos, k_pos, config.dilation, config.window)
        case "strided":
            allowed = strided(q_pos, k_pos, config.dilation)
    if config.kind == "decoder":
        past = causal(q_pos, k_pos)
        allowed = past if allowed is None else allowed & past
    if config.prefix:
        allowed = allowed | prefix(q_pos, k_pos, config.prefix)
    if segments is not None:
        own = same_segment(segments, segments)
        allowed = own if allowed is None else allowed & own
    if real is not None:
        read = real[:, None, :]
        allowed = read if allowed is None else allowed & read
    return None if allowed is None else allowed[:, None]
