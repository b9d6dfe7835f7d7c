"""One text, longer than a model was trained on: what each token costs, what the far part is worth, where heads look.

The far part is told apart from the near one by reading every token twice: with all that stands before it, and with no
more before it than training ever showed. The difference is what the far text gives (below 0) or spoils (above).
"""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.models import Model
from transformer.rope import frequencies
from transformer.training.longer import LENGTH, stretched


class Read(NamedTuple):
    """−log p(x_{t+1} | …) of every token but the first, in nats, [token − 1]; NaN where the model cannot be asked."""

    whole: Tensor  # … with all tokens before it
    near: Tensor  # … with the last ``LENGTH`` of them alone


def reader(model: Model, scaling: str, n: int) -> Model:
    """The model as it is asked for a text of n tokens: RoPE stretched by ``scaling``, where that is not "none"."""
    return model if scaling == "none" else stretched(model, scaling, n)


def read(model: Model, ids: Sequence[int], scaling: str = "none") -> Read:
    """Every token's surprise, with the whole text before it and with its end alone.

    Raises ValueError for a text of fewer than two tokens.
    """
    return Read(whole(model, ids, scaling), near(model, ids))


@torch.no_grad()
def whole(model: Model, ids: Sequence[int], scaling: str = "none") -> Tensor:
    """With all tokens before it. A learned table ends at ``LENGTH``; behind that there is NaN.   -> [token − 1]"""
    n, target = len(ids), _targets(ids)
    asked = min(n - 1, LENGTH) if model.config.position == "learned" else n - 1
    found = torch.full((n - 1,), math.nan)
    logits = reader(model, scaling, n)(torch.tensor([ids[:asked]]))[0]
    found[:asked] = F.cross_entropy(logits, target[:asked], reduction="none")
    return found


@torch.no_grad()
def near(model: Model, ids: Sequence[int]) -> Tensor:
    """With the last ``LENGTH`` tokens before it alone, whose places are counted from 0 in each piece: a window that
    slides.   -> [token − 1]"""
    n, target = len(ids), _targets(ids)
    head = min(n - 1, LENGTH)
    found = F.cross_entropy(model(torch.tensor([ids[:head]]))[0], target[:head], reduction="none")
    if n - 1 == head:
        return found
    pieces = torch.tensor(ids[:-1]).unfold(0, LENGTH, 1)[1:]  # [piece, token]: each ends one later
    last = torch.cat([model(part)[:, -1] for part in pieces.split(32)])
    return torch.cat((found, F.cross_entropy(last, target[LENGTH:], reduction="none")))


class Slowed(NamedTuple):
    """RoPE's pairs, and what slowing some of them down does to a text that is too long."""

    theta: Tensor  # radians a token [pair]
    loss: Tensor  # nats a token behind ``LENGTH`` with the pairs i, i + 1, … slowed by n / ``LENGTH`` [pair + 1]


@torch.no_grad()
def slowed(model: Model, ids: Sequence[int]) -> Slowed:
    """Which pairs break a text of n tokens: only the slowest ones are divided, from pair i on; the last entry: none.

    Raises ValueError for a model without RoPE and for a text that ends within the trained length.
    """
    n, target = len(ids), _targets(ids)
    if n - 1 <= LENGTH:
        raise ValueError(f"a text of {n} tokens ends within the {LENGTH} that were trained.")
    theta = frequencies(model.config.d_head, model.config.rope_base)
    turns = (theta * LENGTH / (2 * math.pi)).tolist()
    loss = []
    at = copy.copy(model)  # the same weights with a config of its own
    for low, high in zip([*turns, turns[-1] / 2], [turns[0] * 2, *turns], strict=True):  # from here on: divided, kept
        at.config = dataclasses.replace(model.config, rope_low_freq_factor=low, rope_high_freq_factor=high)
        logits = stretched(at, "llama3", n)(torch.tensor([ids[:-1]]))[0]
        loss.append(F.cross_entropy(logits[LENGTH:], target[LENGTH:]))
    return Slowed(theta, torch.stack(loss))


def _targets(ids: Sequence[int]) -> Tensor:
    if len(ids) < 2:
        raise ValueError("a text needs two tokens: the second is the first that can be a surprise.")
    return torch.tensor(ids[1:])


def running(x: Tensor, width: int) -> Tensor:
    """The mean of the last ``width`` values, of fewer at the beginning; NaN stays NaN.   x [token] -> [token]"""
    total = torch.cat((x.new_zeros(1), x.nan_to_num().cumsum(0)))
    at = torch.arange(1, len(x) + 1)
    start = (at - width).clamp(min=0)
    return ((total[at] - total[start]) / (at - start)).where(~x.isnan(), math.nan)


class Seen(NamedTuple):
    """Where heads look, on one text."""

    rows: Tensor  # A of the last queries [layer · head, query, key]
    by_distance: Tensor  # their mean weight at each distance [layer · head, distance]
    beyond: Tensor  # the share of it at distances that were never trained [layer · head]


@torch.no_grad()
def seen(model: Model, ids: Sequence[int], scaling: str = "none", last: int = 32) -> Seen:
    """The attention weights of the ``last`` queries of a text."""
    n = len(ids)
    last = min(last, n)
    trace = reader(model, scaling, n).run(ids, record="*.attention.A").trace
    A = torch.cat([A[0] for A in trace.values()])[:, -last:]  # [layer · head, query, key]
    distance = torch.arange(n - last, n)[:, None] - torch.arange(n)  # [query, key]
    real = (distance >= 0).expand_as(A)
    index = distance.clamp(min=0).expand_as(A).flatten(1)
    total = A.new_zeros(len(A), n).scatter_add(1, index, A.where(real, 0.0).flatten(1))
    count = A.new_zeros(len(A), n).scatter_add(1, index, real.to(A.dtype).flatten(1))
    return Seen(A, total / count, A.where(distance >= LENGTH, 0.0).sum(-1).mean(-1))
