"""Masks: who may attend to whom. True = may attend.

Each is a function of absolute positions, so that a cached step sees the very row that the whole text would give it.
``q_pos`` [batch or 1, query] and ``k_pos`` [batch or 1, key] -> bool [batch or 1, query, key].
"""

import torch
from torch import Tensor

from transformer.config import Config


def distance(q_pos: Tensor, k_pos: Tensor) -> Tensor:
    """How far back the key lies: q − k; negative for the future."""
    return q_pos[:, :, None] - k_pos[:, None, :]


def causal(q_pos: Tensor, k_pos: Tensor) -> Tensor:
    """k ≤ q: no token sees the future."""
    return distance(q_pos, k_pos) >= 0


def past(n: int) -> Tensor:
    """The causal mask of one text of n tokens, for work outside a model.   -> bool [query, key]"""
    at = torch.arange(n)[None]
    return causal(at, at)[0]


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


def longformer(q_pos: Tensor, k_pos: Tensor, width: int, g: int) -> Tensor:
    """|q − k| < w, or k < g, or q < g: a window, and g global tokens that see all and are seen (arXiv:2004.05150)."""
    all_seen = (k_pos < g)[:, None, :] | (q_pos < g)[:, :, None]
    return window(q_pos, k_pos, width) | all_seen


def scramble(x: Tensor) -> Tensor:
    """A whole number of 0 … 2³² − 1 from each whole number, without visible order (a multiply-xorshift hash)."""
    x = x & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def draws(q_pos: Tensor, width: int, first: int, r: int, past_only: bool) -> Tensor:
    """BigBird's random keys: r for each query, −1 for one that is not there.   [..., query] -> [..., query, r]

    They come from the m keys between ``first`` and the window, and without ``past_only`` from q + 1 keys behind the
    window as well (which may lie beyond the text). These are laid in r equal parts and one key of each is taken: none
    is drawn twice, and none that the query sees anyway. What is drawn hangs on q's own position alone: no later
    token, no length of the text and no cache can change it.
    """
    behind = (q_pos - width + 1 - first).clamp(min=0)[..., None]
    choice = behind if past_only else behind + q_pos[..., None] + 1
    part = torch.arange(r, device=q_pos.device)
    low, high = choice * part // r, choice * (part + 1) // r
    picked = low + scramble(q_pos[..., None] * r + part) % (high - low).clamp(min=1)
    ahead = (q_pos + width).clamp(min=first)[..., None]
    key = torch.where(picked < behind, first + picked, ahead + picked - behind)
    return torch.where(high > low, key, -1)


def bigbird(q_pos: Tensor, k_pos: Tensor, width: int, g: int, drawn: Tensor) -> Tensor:
    """Longformer's pattern, and a few keys drawn at random for each query (Zaheer et al. 2020, arXiv:2007.14062).

    drawn [batch or 1, query, r]: see ``draws``.
    """
    hit = longformer(q_pos, k_pos, width, g)
    for key in drawn.unbind(-1):
        hit = hit | (k_pos[:, None, :] == key[..., None])
    return hit


def drawn(config: Config, q_pos: Tensor) -> Tensor:
    """The random keys of a config's BigBird.   [..., query] -> [..., query, r]"""
    first = max(config.global_tokens, config.prefix)
    return draws(q_pos, config.window, first, config.random_keys, past_only=config.kind == "decoder")


def prefix(q_pos: Tensor, k_pos: Tensor, length: int) -> Tensor:
    """k < p: the first p tokens are seen by all, so that they see one another (prefix LM: Raffel et al. 2020, §3.2.1)."""
    return (k_pos < length)[:, None, :].expand(-1, q_pos.shape[-1], -1)


def same_segment(q_segment: Tensor, k_segment: Tensor) -> Tensor:
    """Query and key belong to one text of several that share a row. Segments [batch, token], as positions."""
    return q_segment[:, :, None] == k_segment[:, None, :]


def reach(layers: Tensor) -> Tensor:
    """The fewest layers after which a query's vector has something of a key's token in it, 0 for its own, −1 for never.

    layers bool [layer, query, key]: who may attend to whom, from the first layer up -> int [query, key]. A block adds to
    the stream what it reads, so that a token keeps what it had: R_l[q, k] = R_{l−1}[q, k] or, for some j that q attends
    to in layer l, R_{l−1}[j, k]. A causal window of w reaches l (w − 1) tokens back; dilation by the same r in every
    layer never leaves its residue class, however deep.
    """
    n = layers.shape[-1]
    seen = torch.eye(n, dtype=torch.bool, device=layers.device)
    after = torch.where(seen, 0, -1)
    for depth, allowed in enumerate(layers, start=1):
        now = seen | ((allowed.float() @ seen.float()) > 0)
        after = torch.where(now & ~seen, depth, after)
        seen = now
    return after


DENSE = ("full", "recurrent", "latent", "lsh", "linformer", "performer", "linear", "ssru")  # no pattern beyond the past


def mask(
    config: Config,
    q_pos: Tensor,
    k_pos: Tensor,
    real: Tensor | None = None,
    segments: Tensor | None = None,
    with_drawn: bool = True,
) -> Tensor | None:
    """The mask of a whole forward pass: [batch or 1, 1, query, key], or None where every query sees every key.

    ``real`` [batch, key]: False marks padding, which no query reads. ``segments`` [batch, token]: other segments are hidden.
    ``with_drawn``: BigBird's random keys are in it; ``sparse`` looks those up by themselves.
    """
    allowed = None
    match config.attention:
        case "window":
            allowed = window(q_pos, k_pos, config.window)
        case "dilated":
            allowed = dilated(q_pos, k_pos, config.dilation, config.window)
        case "strided":
            allowed = strided(q_pos, k_pos, config.dilation)
        case "bigbird" if with_drawn:
            allowed = bigbird(q_pos, k_pos, config.window, config.global_tokens, drawn(config, q_pos))
        case "longformer" | "bigbird":
            allowed = longformer(q_pos, k_pos, config.window, config.global_tokens)
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
