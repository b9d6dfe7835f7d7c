"""Tensors in few bits, for files that ship with the project: whole multiples of a step, one step a vector.

    kept = pack("Q", Q, share=0.05)   # {"Q": int8, "Q.step": int8, "Q.high": int8 where a multiple needs it}
    unpack(kept, "Q")                 # float32; every number within half a step of what it was

A step is ``share`` of the vector's middling size (the median of |x|), so that one huge number costs the others nothing. What
is rounded is x / step + d, with d in [-1/2, 1/2) known from the place of the number: errors are as good as independent, so
sums and averages hold better than single numbers do, and a histogram shows no comb.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

STEPS = 4  # to a doubling: a step is 2^(e/4)
SMALLEST = -100  # e of the smallest step, 3e-8


def pack(name: str, x: Tensor, share: float = 0.0, step: float = 0.0) -> dict[str, Tensor]:
    """x [..., vector, number] as int8 tensors, the last two axes swapped: alike numbers side by side pack better.

    share: of each vector's median |x|, or of its mean where that is 0; step: the same for every vector. Raises
    ValueError where a number is beyond 32 000 steps.
    """
    x = x.double()
    size = x.abs().median(-1, keepdim=True).values
    size = torch.where(size > 0, size, x.abs().mean(-1, keepdim=True))
    wanted = torch.full_like(size, step) if step else share * size
    e = (STEPS * wanted.clamp_min(1e-30).log2()).round().clamp(SMALLEST, 127)
    multiple = (x / torch.exp2(e / STEPS) + _offsets(x)).round()
    if multiple.abs().max() > 32_000:
        raise ValueError(f"{name} spans more than 32000 steps; give it a larger share.")
    high = ((multiple + 128) / 256).floor()
    kept = {name: multiple - 256 * high, f"{name}.step": e} | ({f"{name}.high": high} if high.any() else {})
    return {key: _swapped(part.to(torch.int8)).contiguous() for key, part in kept.items()}


def unpack(kept: Mapping[str, Tensor], name: str) -> Tensor:
    """What ``pack`` made of a tensor, as float32."""
    multiple, e = _swapped(kept[name]).double(), _swapped(kept[f"{name}.step"]).double()
    if f"{name}.high" in kept:
        multiple = multiple + 256 * _swapped(kept[f"{name}.high"]).double()
    return ((multiple - _offsets(multiple)) * torch.exp2(e / STEPS)).float()


def _swapped(x: Tensor) -> Tensor:
    return x.mT if x.dim() > 1 else x


def _offsets(x: Tensor) -> Tensor:
    """The golden ratio's multiples, without their whole part: spread evenly however many there are."""
    return (torch.arange(x.numel(), dtype=torch.float64) * 0.6180339887498949 % 1 - 0.5).view(x.shape)
