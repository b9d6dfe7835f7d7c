"""What a score function costs: parameters, FLOPs, what lies in memory while it is computed, and measured time."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transformer import cost
from transformer.build import build
from transformer.config import Config, Score
from transformer.device import wait
from transformer.scores import SCORES


class Work(NamedTuple):
    """The scores of one layer for a text of n tokens."""

    parameters: int  # of the function itself
    flops: int  # of matrix products (``cost.flops``)
    tanhs: int  # which no FLOP count of matrix products sees
    memory: int  # bytes of the largest tensor made on the way, float32


def work(score: Score, config: Config, n: int) -> Work:
    """Closed forms, for one layer of ``config``.

    Dot products make [head, n, n] and no more. Additive makes v · tanh(·) over [head, n, n, d_head]: the same number of
    multiplications, n² h d_k, and as many tanhs, and a tensor d_k times as large. Location multiplies by a row for each of
    max_len places.
    """
    one = replace(config, n_layers=1, score=score)
    plain = replace(one, score="dot")
    own = sum(cost.parameters(one).values()) - sum(cost.parameters(plain).values())
    pairs = config.n_heads * n * n
    wide = {"additive": pairs * config.d_head, "location": config.n_heads * n * max(n, config.max_len)}
    return Work(own, cost.flops(one, n)["scores"], pairs * config.d_head if score == "additive" else 0,
                4 * wide.get(score, pairs))


class Timed(NamedTuple):
    """Seconds for S of one layer: the fastest of the rounds, as other work can only add."""

    n: int
    seconds: dict[Score, float]


@torch.no_grad()
def timings(config: Config, lengths: Iterable[int], rounds: int = 7, budget: float = 10.0) -> list[Timed]:
    """Measured here and now on normal random Q and K [1, head, n, d_head], all functions in turn at each length.

    After the first round no new one is begun once ``budget`` seconds are over. Raises ValueError for a text longer than
    ``config.max_len``, where location has no places.
    """
    lengths = list(lengths)
    if max(lengths) > config.max_len:
        raise ValueError(f"{max(lengths)} tokens are more than the {config.max_len} places that location scores know.")
    modules = {score: _module(config, score) for score in SCORES}
    generator = torch.Generator().manual_seed(0)
    started, found = time.perf_counter(), []
    inputs = {n: torch.randn(2, 1, config.n_heads, n, config.d_head, generator=generator) for n in lengths}
    taken: dict[int, dict[Score, list[float]]] = {n: {score: [] for score in SCORES} for n in lengths}
    for turn in range(rounds):
        if turn and time.perf_counter() - started > budget:
            break
        for n in lengths:
            for score, module in modules.items():
                taken[n][score].append(_seconds(module, *inputs[n]))
    for n in lengths:
        found.append(Timed(n, {score: min(taken[n][score]) for score in SCORES}))
    return found


def _module(config: Config, score: Score) -> nn.Module:
    return build(replace(config, n_layers=1, score=score), seed=0).eval().stack.blocks[0].attention.score


def _seconds(module: nn.Module, Q: Tensor, K: Tensor) -> float:
    at = torch.arange(Q.shape[2], device=Q.device)[None]
    started = time.perf_counter()
    module(Q, K, at)
    wait(Q.device)
    return time.perf_counter() - started
