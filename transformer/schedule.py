"""Learning rates over time. Each function gives a schedule: step t = 1, 2, … -> the rate of that step."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def noam(d_model: int, warmup: int = 4000, factor: float = 1.0) -> Schedule:
    """lr(t) = factor · d^−½ · min(t^−½, t · warmup^−3/2)   (Vaswani et al. 2017, eq. 3)

    A straight rise for ``warmup`` steps, then a fall as 1/√t; the peak, at t = warmup, is factor / √(d · warmup).
    Raises ValueError for a number that is not above 0.
    """
    _positive(d_model=d_model, warmup=warmup, factor=factor)
    return lambda t: factor * d_model**-0.5 * min(t**-0.5, t * warmup**-1.5)


def cosine(peak: float, steps: int, warmup: int = 0, floor: float = 0.1) -> Schedule:
    """A straight rise to ``peak`` over ``warmup`` steps, then half a cosine down to ``floor`` · peak at the last.

        lr(t) = peak · t / warmup                                                                        for t ≤ warmup
        lr(t) = peak · (floor + (1 − floor) · ½(1 + cos(π · (t − 1 − warmup) / (steps − warmup))))       after it

    Goyal et al. 2017, arXiv:1706.02677 (warm-up); Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine). Beyond ``steps``
    it stays at the floor. Raises ValueError for a number out of range.
    """
    _positive(peak=peak, steps=steps)
    if warmup < 0 or not 0 <= floor <= 1:
        raise ValueError(f"warmup is {warmup} and floor {floor}; they must be at least 0, and floor at most 1.")

    def rate(t: int) -> float:
        if t <= warmup:
            return peak * (t / warmup)
        done = min(1.0, (t - 1 - warmup) / max(1, steps - warmup))
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))

    return rate


def constant(peak: float, warmup: int = 0) -> Schedule:
    """lr(t) = peak · min(1, t / warmup).   Raises ValueError for a number out of range."""
    _positive(peak=peak)
    if warmup < 0:
        raise ValueError(f"warmup is {warmup}; it must be at least 0.")
    return lambda t: peak * min(1.0, t / warmup) if warmup else peak


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; it must be a number above 0.")
