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

Forward = Callable[[Tensor], Tensor]
Clock = Callable[[], float]


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
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.02)
    for buffer in module.buffers():  # Performer's features
        nn.init.normal_(buffer)
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        if getattr(module, name, None) is not None:
            setattr(module, name, nn.Identity())
    return module


def forward_of(config: Config) -> Forward:
    """One forward pass of that attention as a function of x [batch, token, d_model], its masks and tables included."""
    module = attention_of(config)

    def forward(x: Tensor) -> Tensor:
        at = torch.arange(x.shape[1])[None]
        return module(x, Geometry(config, at, at, reach=x.shape[1] - 1), None, OFF)[0]

    return forward


def peak(forward: Forward, x: Tensor) -> int:
    """The most bytes that a pass over x has allocated at once, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        forward(x)
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


@torch.no_grad()
def measured(config: Config, n: int, rounds: int = 3, clock: Clock = time.perf_counter) -> Measured:
    """One layer's attention over n random tokens; the pass whose memory is counted warms up.

    clock: ``time.process_time`` counts this process's own processor time, where others use the machine as well.
    """
    forward = forward_of(config)
    x = torch.randn(1, n, config.d_model, generator=torch.Generator().manual_seed(n))  # [batch, token, model]
    most = peak(forward, x)
    taken = []
    for _ in range(rounds):
        start = clock()
        forward(x)
        taken.append(clock() - start)
    return Measured(sorted(taken)[rounds // 2], most)
