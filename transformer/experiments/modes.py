"""How deep linear networks learn: the same maps as one matrix, by another way (Saxe et al. 2014, arXiv:1312.6120)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

ITEMS = ("canary", "salmon", "oak", "rose")
PROPERTIES = ("grows", "moves", "has roots", "flies", "sings", "swims", "has scales", "has bark", "has petals")
HAS = torch.tensor([  # [property, item], after the example of Saxe, McClelland & Ganguli 2019, arXiv:1810.10531
    [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0],
    [0, 0, 0, 1],
], dtype=torch.float64)  # fmt: skip
MODES = ("all that lives", "animal or plant", "canary or salmon", "oak or rose")  # what each tells apart
RATE, EVERY = 0.02, 5  # of gradient descent; steps between two points of the curves
HIDDEN, STEPS = 8, 800


class Course(NamedTuple):
    """A course of training, every seed by itself."""

    steps: Tensor  # [point]
    strength: Tensor  # [seed, mode, point]: u_iᵀ W_eff v_i, how much of the target's mode i has been learned
    loss: Tensor  # [seed, point]


def target_modes() -> tuple[Tensor, Tensor, Tensor]:
    """U [property, mode], s [mode], Vᵀ [mode, item] of the table: what there is to learn, the strongest first."""
    U, s, Vt = torch.linalg.svd(HAS, full_matrices=False)
    sign = Vt.gather(1, Vt.abs().argmax(1, keepdim=True)).sign()[:, 0]  # the largest entry of each points up
    return U * sign, s, Vt * sign[:, None]


@torch.no_grad()
def course(depth: int, start: float, seeds: int = 3, steps: int = STEPS) -> Course:
    """Plain gradient descent on L = ½‖Y − W_L … W_1‖², items as unit vectors, from W_eff of size ``start``.

    Every layer begins as ``start``^(1/depth) times a seeded orthogonal matrix, so that W_eff has all singular values
    equal to ``start`` at any depth. ValueError for a depth or start out of range.
    """
    if depth < 1 or not 0 < start <= 1:
        raise ValueError(f"a course needs at least 1 layer and a start in (0, 1], not {depth} and {start}.")
    sizes = [len(ITEMS), *[HIDDEN] * (depth - 1), len(PROPERTIES)]
    layers = []
    for at in range(depth):  # [seed, out, in] each
        drawn = [torch.empty(sizes[at + 1], sizes[at], dtype=torch.float64) for _ in range(seeds)]
        for seed, W in enumerate(drawn):
            torch.nn.init.orthogonal_(W, generator=torch.Generator().manual_seed(1000 * seed + at))
        layers.append(torch.stack(drawn) * start ** (1 / depth))
    U, _, Vt = target_modes()
    strengths, losses = [], []
    for step in range(steps + 1):
        before = [torch.eye(sizes[0], dtype=torch.float64).expand(seeds, -1, -1)]  # W_{l−1} … W_1 for each l
        for W in layers:
            before.append(W @ before[-1])
        error = before[-1] - HAS  # dL/dW_eff [seed, property, item]
        if step % EVERY == 0:
            strengths.append((U.T @ before[-1] @ Vt.T).diagonal(dim1=-2, dim2=-1))  # [seed, mode]
            losses.append(0.5 * error.square().sum((-2, -1)))
        back = error  # (W_L … W_{l+1})ᵀ dL/dW_eff
        for at in reversed(range(depth)):
            gradient = back @ before[at].mT
            back = layers[at].mT @ back
            layers[at] = layers[at] - RATE * gradient
    return Course(torch.arange(0, steps + 1, EVERY), torch.stack(strengths, -1), torch.stack(losses, -1))


def closed_form(depth: int, s: Tensor, start: float, steps: Tensor) -> Tensor:
    """a(t) of a mode of strength s that starts at ``start``, in the limit of small steps; known for one and two layers.

    1 layer    s + (start − s) e^{−ηt}                             every mode at the same rate, no plateau
    2 layers   s e^{2sηt} / (e^{2sηt} − 1 + s / start)             a plateau, then a jump, at about ln(s/start) / 2s
    s [mode], steps [point] -> [mode, point]. ValueError for another depth.
    """
    s, t = s[:, None], RATE * steps.to(s.dtype)
    if depth == 1:
        return s + (start - s) * torch.exp(-t)
    if depth == 2:
        grown = torch.expm1(2 * s * t)  # e^{2st} − 1
        return s * (grown + 1) / (grown + s / start)
    raise ValueError(f"there is no closed form here for {depth} layers; there is for 1 and 2.")


def half_way(strength: Tensor, s: Tensor, steps: Tensor) -> Tensor:
    """The first recorded step at which each mode has half its strength, NaN where it never does.

    strength [..., mode, point], s [mode] -> [..., mode]
    """
    there = strength >= 0.5 * s[:, None]
    first = steps[there.int().argmax(-1)].to(s.dtype)
    return torch.where(there.any(-1), first, math.nan)
