"""A real model on the clock, beside the least time that its machine would need."""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

import torch

from transformer import roofline
from transformer.cache import Cache
from transformer.config import Config
from transformer.device import wait
from transformer.models import Model
from transformer.roofline import Machine

LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
BYTES = 4  # a float32 value


class Clocked(NamedTuple):
    """Seconds of one length, medians: n tokens read at once, and one token written with n in the cache."""

    n: int
    read: float
    write: float


class Least(NamedTuple):
    """What the roofline says of the same two."""

    read: float
    write: float


def least(config: Config, n: int, machine: Machine) -> Least:
    """max(FLOPs / peak, bytes / bandwidth), summed over the parts, in float32."""
    return Least(
        roofline.seconds(roofline.roofline(config, n, machine, bytes_per_value=BYTES)),
        roofline.seconds(roofline.roofline(config, 1, machine, cached=n, bytes_per_value=BYTES)),
    )


def error(measured: Sequence[float], predicted: Sequence[float]) -> float:
    """The mean of measured / predicted, geometric: 1 where the roofline is reached, 2 where it takes twice as long."""
    ratios = torch.tensor(measured, dtype=torch.float64) / torch.tensor(predicted, dtype=torch.float64)
    return ratios.log().mean().exp().item()


def clock(model: Model, lengths: Sequence[int] = LENGTHS, rounds: int = 3) -> Iterator[Machine | Clocked]:
    """First this thread's machine (``roofline.measure``), then the model at each length, as they are measured."""
    device = next(model.parameters()).device
    yield roofline.measure(device)
    for n in lengths:
        yield _clocked(model, n, rounds)


@torch.inference_mode()
def _clocked(model: Model, n: int, rounds: int) -> Clocked:
    device = next(model.parameters()).device
    ids = torch.randint(model.config.vocab_size, (1, n + 1), generator=torch.Generator().manual_seed(n)).to(device)
    cache = model.run(ids[:, :n], cache=Cache.empty(model.config.n_layers)).cache  # it also warms up
    read = _seconds(lambda: model(ids[:, :n]), device, rounds)
    return Clocked(n, read, _seconds(lambda: model.run(ids[:, n:], cache=cache), device, 3 * rounds))


def _seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - start)
    return median(taken)
