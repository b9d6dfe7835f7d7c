"""How fast a machine can be at best: a part takes as long as its arithmetic or as its traffic with memory, whichever is
longer. Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785
"""

import time
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

import torch

from transformer import cost
from transformer.config import Config
from transformer.device import pick_device, wait


class Machine(NamedTuple):
    """Peak arithmetic in FLOP/s and memory bandwidth in bytes/s, as its maker states them or as ``measure`` finds them;
    memory in bytes, 0 where it is not known."""

    name: str
    flops: float
    bandwidth: float
    memory: float = 0.0

    @property
    def ridge(self) -> float:
        """FLOPs a byte from which on arithmetic is the bound."""
        return self.flops / self.bandwidth


# Dense 16-bit matrix products, memory bandwidth and memory (their GB are 2³⁰ bytes), from the makers' data sheets.
MACHINES = {
    "T4": Machine("NVIDIA T4", 65e12, 0.32e12, 16 * 2**30),
    "RTX 4090": Machine("NVIDIA RTX 4090", 165.2e12, 1.008e12, 24 * 2**30),
    "A100": Machine("NVIDIA A100 80 GB SXM", 312e12, 2.039e12, 80 * 2**30),
    "H100": Machine("NVIDIA H100 SXM", 989.4e12, 3.35e12, 80 * 2**30),
}


class Part(NamedTuple):
    """One part of a pass on one machine."""

    flops: int
    traffic: int  # bytes
    seconds: float  # max(flops / peak, traffic / bandwidth)
    bound: str  # "compute" or "memory"


class Work(NamedTuple):
    """What a part of a pass asks of any machine."""

    flops: int
    traffic: int  # bytes

    @property
    def intensity(self) -> float:
        """FLOPs a byte; above the machine's ridge arithmetic is the bound, below it memory."""
        return self.flops / self.traffic


class Values(NamedTuple):
    """What a part reads and writes, in numbers rather than bytes: a precision for each makes bytes of them."""

    flops: int
    weights: float  # parameters
    kept: int  # keys and values, written once and read
    passing: int  # all else: what goes from product to product


def values(
    config: Config, n: int, batch: int = 1, cached: int = 0, source: int | None = None, fused: bool = False
) -> dict[str, Values]:
    """FLOPs and numbers moved by part of a forward pass: n tokens at once (prefill), or n = 1 with ``cached`` (decoding).

    Each matrix product reads its two operands and writes its result once. A weight is read once for the whole batch,
    and so are keys and values once for all query heads of their group; of experts those that are needed
    (``cost.experts_read``). Scores and A are written and read as on the textbook path, or, ``fused``, never leave the
    chip. Norms, softmax, activations and look-ups are not counted: no part of them is a product. Keys as in ``cost.flops``.
    """
    found: dict[str, Values] = {}
    for product in cost.matmuls(config, n, batch, cached, source):
        part, rows, inner, columns, times, _, right, rights, table = product
        left = 0 if fused and table == "left" else times * rows * inner
        made = 0 if fused and table == "result" else times * rows * columns
        matrix = inner * columns * (times if rights is None else rights)
        flops, weights, kept, passing = found.get(part, (0, 0, 0, 0))
        stored = part in ("K", "V") and right == "weight"  # what they make is what the cache keeps
        found[part] = Values(
            flops + product.flops, weights + matrix * (right == "weight"),
            kept + matrix * (right == "kept") + made * stored,
            passing + left + made * (not stored) + matrix * (right == "passing"),
        )  # fmt: skip
    return found


def work(
    config: Config, n: int, batch: int = 1, cached: int = 0, bytes_per_value: float = 2, source: int | None = None,
    weight_bits: int | None = None, cache_bits: int | None = None, fused: bool = False,
) -> dict[str, Work]:  # fmt: skip
    """FLOPs and bytes moved by part, what ``values`` counts at so many bytes a value; weights and cache may have bits of
    their own."""
    weight = bytes_per_value if weight_bits is None else weight_bits / 8
    cache = bytes_per_value if cache_bits is None else cache_bits / 8
    return {
        part: Work(v.flops, round(v.weights * weight + v.kept * cache + v.passing * bytes_per_value))
        for part, v in values(config, n, batch, cached, source, fused).items()
    }


def training_work(config: Config, n: int, batch: int = 1, bytes_per_value: int = 2) -> dict[str, Work]:
    """The same for a training step: forward, backward and AdamW's update ("optimiser").

    Each product C = A B is followed by ∂A = ∂C Bᵀ and ∂B = Aᵀ ∂C, which together move what C's did twice over; the
    update reads weight, gradient and both moments and writes all but the gradient back, 7 float32 values a parameter, for
    some 12 FLOPs each.
    """
    forward, backward = work(config, n, batch, 0, bytes_per_value), cost.backward_flops(config, n, batch)
    P = sum(cost.parameters(config).values())
    steps = {part: Work(w.flops + backward[part], 3 * w.traffic) for part, w in forward.items()}
    return steps | {"optimiser": Work(12 * P, 28 * P)}


def together(parts: Iterable[Work]) -> Work:
    """Several parts as one."""
    flops, traffic = zip(*parts, strict=True)
    return Work(sum(flops), sum(traffic))


def roofline(
    config: Config,
    n: int,
    machine: Machine,
    batch: int = 1,
    cached: int = 0,
    bytes_per_value: int = 2,
    source: int | None = None,
) -> dict[str, Part]:
    """The least time of each part of a forward pass, what it asks for by ``work``.

        seconds = max(FLOPs / peak, bytes / bandwidth)
    """
    return on(machine, work(config, n, batch, cached, bytes_per_value, source))


def on(machine: Machine, parts: dict[str, Work]) -> dict[str, Part]:
    """What each part takes on this machine at least."""
    return {part: _bounded(w.flops, w.traffic, machine) for part, w in parts.items()}


def seconds(parts: dict[str, Part]) -> float:
    """The whole pass: parts follow one another."""
    return sum(part.seconds for part in parts.values())


def measure(device: torch.device | None = None, size: int = 1024, rounds: int = 7) -> Machine:
    """This machine's float32 peak by a square matrix product, and its bandwidth by a copy of 128 MB; medians."""
    device = pick_device() if device is None else device
    A, B = torch.randn(2, size, size, device=device)
    here, there = torch.zeros(2, 2**25, device=device)  # 128 MB each
    per_product = _median_seconds(lambda: A @ B, device, rounds)
    per_copy = _median_seconds(lambda: there.copy_(here), device, rounds)
    return Machine("this machine", 2 * size**3 / per_product, 2 * here.nbytes / per_copy)


def _median_seconds(work, device: torch.device, rounds: int) -> float:
    taken = []
    for _ in range(rounds + 1):  # the first warms up
        start = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def _bounded(flops: int, traffic: int, machine: Machine) -> Part:
    compute, memory = flops / machine.flops, traffic / machine.bandwidth
    return Part(flops, traffic, max(compute, memory), "compute" if compute >= memory else "memory")
