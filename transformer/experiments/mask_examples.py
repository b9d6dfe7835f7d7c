"""The masks of a lesson, on one text: each kind at one size m, from the functions of ``masks``."""

from typing import NamedTuple

import torch
from torch import Tensor

from transformer import masks
from transformer.attention import masked_softmax
from transformer.experiments.leaks import renormalised, zeroed_after

KINDS = ("causal", "padding", "padding in front", "prefix", "sliding window", "cross", "none")


def parts(kind: str, n: int) -> tuple[range, range]:
    """Which of n tokens ask, and which answer: all and all; of "cross" the second half and the first."""
    if kind != "cross":
        return range(n), range(n)
    half = max(1, n // 2)
    return range(min(half, n - 1), n), range(half)


def example(kind: str, n: int, m: int) -> Tensor:
    """bool [query, key] of ``parts(kind, n)``; m tokens are padding, the prefix, or the window's width.

    causal, padding (the last m are no words), padding in front (the first m), prefix and sliding window hide the
    future; cross hides padding alone, the last m − 1 of the source; none hides nothing. Raises ValueError for
    another kind and for m below 1.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no mask {kind!r}; there are {', '.join(KINDS)}.")
    if m < 1:
        raise ValueError(f"m is {m}; it must be at least 1.")
    q_pos, k_pos = (torch.tensor([list(part)]) for part in parts(kind, n))
    past = masks.causal(q_pos, k_pos)[0]
    match kind:
        case "padding":
            return past & (k_pos < n - m)
        case "padding in front":
            return past & (k_pos >= m)
        case "prefix":
            return past | masks.prefix(q_pos, k_pos, m)[0]
        case "sliding window":
            return past & masks.window(q_pos, k_pos, m)[0]
        case "cross":
            return (k_pos <= k_pos.shape[1] - m).expand(q_pos.shape[1], -1)
        case "none":
            return torch.ones_like(past)
    return past


class Masked(NamedTuple):
    """One head's scores under one mask, hidden in time and too late."""

    mask: Tensor  # bool [query, key]
    A: Tensor  # [query, key]: −∞ before the softmax
    late: Tensor  # [query, key]: 0 after the softmax
    again: Tensor  # [query, key]: the late ones over their sum


def masked(S: Tensor, kind: str, m: int) -> Masked:
    """S [token, token]: a head's scores of all pairs, the future's too. See ``example``."""
    n = len(S)
    queries, keys = parts(kind, n)
    S, mask = S[queries.start :, : keys.stop], example(kind, n, m)
    late = zeroed_after(S, mask)
    return Masked(mask, masked_softmax(S[None, None], mask)[0, 0], late, renormalised(late))
