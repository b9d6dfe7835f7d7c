"""Time and memory of one layer's attention, measured here, without its projections, which all patterns have alike."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from transformer.attention import Attention
from transformer.block import ATTENTIONS
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.tap import OFF


class Measured(NamedTuple):
    """What one forward pass took."""

    seconds: float  # the median over the rounds
    bytes: int  # the most that was allocated at once, by torch's profiler


def attention_of(config: Config) -> Attention:
    """The attention of a config alone: W_Q, W_K, W_V and W_O are the identity, so that only its pattern costs.

    Raises ValueError where head and model do not have one width in all.
    """
    if config.n_heads * config.d_head != config.d_model or config.n_kv_heads != config.n_heads:
        raise ValueError("without projections the heads must share out d_model; leave d_head and n_kv_heads out.")
    module = ATTENTIONS.get(config.attention, Attention)(config).eval()
    for tensor in (*module.parameters(), *module.buffers()):  # buffers: Performer's features
        nn.init.normal_(tensor)
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        if getattr(module, name, None) is not None:
            setattr(module, name, nn.Identity())
    return module


@torch.no_grad()
def measured(
    config: Config, n: int, rounds: int = 3, clock: Callable[[], float] = time.perf_counter
) -> Measured:  # fmt: skip
    """One layer's attention over n random tokens, its masks and tables included; one pass to warm up goes before.

    clock: ``time.process_time`` counts this process's own processor time, where others use the machine as well.
    """
    module = attention_of(config)
    x = torch.randn(1, n, config.d_model, generator=torch.Generator().manual_seed(n))  # [batch, token, model]

    def once() -> Tensor:
        at = torch.arange(n)[None]
        return module(x, Geometry(config, at, at, reach=n - 1), None, OFF)[0]

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        once()
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    taken = []
    for _ in range(rounds):
        start = clock()
        once()
        taken.append(clock() - start)
    return Measured(sorted(taken)[rounds // 2], most)
