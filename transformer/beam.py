"""Beam search: several continuations grow side by side, and the likeliest text wins, not the likeliest next token."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.cache import Cache
from transformer.device import widest_float
from transformer.generate import most_new, one_text, stop_set
from transformer.models import Ids, Model


@dataclass(frozen=True)
class Beam:
    """One continuation: its tokens, Σ log p of them, and that over length^α, which decides between ended ones."""

    tokens: tuple[int, ...]
    log_probability: float
    score: float


class Beams(NamedTuple):
    """All that is held after a step, each part the best first."""

    live: tuple[Beam, ...]  # by log_probability: all have one length
    done: tuple[Beam, ...]  # by score


def beam_search(
    model: Model,
    ids: Ids,
    *,
    source: Ids | None = None,
    width: int = 4,
    max_new_tokens: int = 20,
    length_penalty: float = 1.0,
    stop: int | Iterable[int] = (),
) -> Iterator[Beams]:
    """Yield the beams after each step; the last one's ``done[0]`` is the answer.

    Each step grows every live beam by every token and keeps the ``width`` likeliest. One that ends, with a token of
    ``stop`` or at ``max_new_tokens``, is done if it is among them, and has the score  Σ log p / length^α  (Wu et al.
    2016, arXiv:1609.08144, without their constant): α = ``length_penalty``; 0 prefers short texts, which have fewer
    factors below 1, and more favours long ones. The search ends when no live beam can still beat the worst of ``width`` ended ones.
    width 1 is greedy; width ≥ the number of all texts finds the best of them all.

    Raises ValueError at the call for a width below 1, an α that is no number, and as ``generate`` does.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"width is {width}; it must be a whole number of at least 1.")
    if not abs(length_penalty) < float("inf"):
        raise ValueError(f"length_penalty is {length_penalty}; it must be a number.")
    ids, source = one_text(model, ids, source)
    limit = most_new(model, ids.shape[1], max_new_tokens)
    return _search(model, ids, source, width, limit, length_penalty, stop_set(stop))


def _search(
    model: Model, ids: Tensor, source: Tensor | None, width: int, limit: int, alpha: float, stop: set[int]
) -> Iterator[Beams]:
    live, done = [Beam((), 0.0, 0.0)], []
    cache, read = Cache.empty(model.config.n_layers), () if source is None else (source,)
    for length in range(1, limit + 1):
        with torch.no_grad():
            logits, cache = model.extend(ids, cache, *read, last_only=True)
        candidates = _best(logits[:, -1], live, width * (1 + len(stop)))  # enough to live on if all the best end
        grown, parents = [], []
        for rank, (total, parent, token) in enumerate(candidates):
            beam = Beam((*live[parent].tokens, token), total, total / length**alpha)
            if token in stop or length == limit:
                done += [beam] if rank < width else []
            elif len(grown) < width:
                grown.append(beam)
                parents.append(parent)
        live, done = grown, sorted(done, key=lambda beam: -beam.score)[:width]
        yield Beams(tuple(live), tuple(done))
        if not live or (len(done) == width and _at_most(live[0], length, limit, alpha) <= done[-1].score):
            return
        cache, read = cache.rows(ids.new_tensor(parents)), ()
        ids = ids.new_tensor([[beam.tokens[-1]] for beam in live])  # [beam, 1]


def _best(logits: Tensor, live: list[Beam], n: int) -> list[tuple[float, int, int]]:
    """The n likeliest continuations by one token: (Σ log p, which beam grew, by which token).   logits [beam, vocab]"""
    log_p = logits.to(widest_float(logits.device)).log_softmax(-1)
    total = log_p + log_p.new_tensor([beam.log_probability for beam in live])[:, None]  # [beam, vocab]
    top = total.flatten().topk(min(n, total.numel()))
    best = zip(top.values.tolist(), top.indices.tolist(), strict=True)
    return [(value, *divmod(place, logits.shape[-1])) for value, place in best]


def _at_most(beam: Beam, length: int, limit: int, alpha: float) -> float:
    """A score that no continuation of ``beam`` can exceed: Σ log p only falls, and is spread over ``limit`` at best."""
    return beam.log_probability / (limit if alpha > 0 else length) ** alpha
