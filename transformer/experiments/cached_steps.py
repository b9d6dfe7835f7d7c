"""Decoding with and without the KV cache, side by side: what a step costs, how long it takes, and that both agree.

A step gives the next token of a text of n tokens. Without a cache all n are read again; with one only the newest is, and
the n − 1 before it are there as keys and values.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from transformer import cost
from transformer.cache import Cache
from transformer.config import Config
from transformer.device import wait
from transformer.generate import generate
from transformer.models import Model


class Both(NamedTuple):
    """One number of a step, both ways."""

    without: float
    kept: float


def step_flops(config: Config, n: int) -> Both:
    """FLOPs until the logits that follow token n, of matrix products (``cost.flops``).

    without  all n tokens through all layers:  N·2·n + 4·n²·h·d_k·layers, and one row of logits
    kept     one token, n − 1 in the cache:    N·2   + 4·n·h·d_k·layers,  and one row of logits

    N: the weights that a token meets. Nobody needs the logits of earlier tokens, so neither side computes them. Scores
    and z are counted as a dense n × n. Raises ValueError as ``cost.flops`` does.
    """
    whole, newest = cost.flops(config, n), cost.flops(config, 1, cached=n - 1)
    return Both(sum(whole.values()) - whole["logits"] + newest["logits"], sum(newest.values()))


def rows(n: int, kept: bool) -> tuple[int, int]:
    """(rows of Q, K and V that a layer computes, scores that a head keeps) in a step of n tokens; causal: n (n + 1) / 2."""
    return (1, n) if kept else (n, n * (n + 1) // 2)


@dataclass(frozen=True)
class Grown:
    """A prompt, what the model made of it, and the same text read both ways."""

    ids: tuple[int, ...]
    prompt: int  # how many of the ids were given
    next: tuple[int, ...]  # [step]: the most probable token after the prompt and after each later token
    apart: tuple[float, ...]  # [step]: max |logits with the cache − logits without| / max |logits|


@torch.no_grad()
def grow(model: Model, ids: Iterable[int], new: int) -> Grown:
    """``new`` greedy tokens after the prompt, then every step once more, with the cache and from the start.

    Raises ValueError as ``generate`` does.
    """
    prompt = list(ids)
    made = [step.token for step in generate(model, prompt, max_new_tokens=new, temperature=0, exact=True)]
    return Grown(tuple(prompt + made), len(prompt), *_both(model, prompt + made, len(prompt)))


def _both(model: Model, ids: list[int], prompt: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    text, _ = model.batch(ids)
    cache, best, apart = Cache.empty(model.config.n_layers), [], []
    start = 0
    for end in range(prompt, len(ids) + 1):  # step 0 reads the whole prompt at once
        kept, cache = model.extend(text[:, start:end], cache, last_only=True)
        without = model(text[:, :end])[:, -1:]  # [batch, 1, vocab]
        best.append(int(kept[0, -1].argmax()))
        apart.append(float((kept - without).abs().max() / without.abs().max()))
        start = end
    return tuple(best), tuple(apart)


class Timing(NamedTuple):
    """Seconds until the next token of a text of n tokens: the fastest of the rounds, as other work can only add."""

    n: int
    seconds: Both


@torch.no_grad()
def timings(model: Model, lengths: Iterable[int], rounds: int = 5, budget: float = 20.0) -> list[Timing]:
    """Measured here and now, both ways, in the model's own precision, the tokens being 1, 2, 3 …

    The lengths take turns, so that a busy moment does not fall on one of them alone; after the first round no new one is
    begun once ``budget`` seconds are over. Raises ValueError for a length that the model cannot read.
    """
    lengths = list(lengths)
    text = torch.arange(1, max(lengths) + 1)[None] % model.config.vocab_size
    text = text.to(next(model.parameters()).device)
    caches = {n: model.extend(text[:, : n - 1], Cache.empty(model.config.n_layers), last_only=True)[1] for n in lengths}
    taken: dict[int, list[Both]] = {n: [] for n in lengths}
    started = time.perf_counter()
    for turn in range(rounds):
        if turn and time.perf_counter() - started > budget:
            break
        for n in lengths:
            whole = _seconds(model, text[:, :n], Cache.empty(model.config.n_layers))
            taken[n].append(Both(whole, min(_seconds(model, text[:, n - 1 : n], caches[n]) for _ in range(3))))
    return [Timing(n, Both(*(min(column) for column in zip(*taken[n], strict=True)))) for n in lengths]


def _seconds(model: Model, text: Tensor, cache: Cache) -> float:
    started = time.perf_counter()
    model.extend(text, cache, last_only=True)
    wait(text.device)
    return time.perf_counter() - started
