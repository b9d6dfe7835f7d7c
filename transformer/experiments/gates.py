"""The family of gated activations: a = σ(g) · u, with one σ or another, on any g and u."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.feedforward import ACTIVATIONS, derivative

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "bilinear": lambda g: g,  # no σ at all: still no linear layer, since two readings of x are multiplied
    "glu": torch.sigmoid,  # Dauphin et al. 2017, arXiv:1612.08083
    "reglu": ACTIVATIONS["relu"],  # this and the next two: Shazeer 2020, arXiv:2002.05202
    "geglu": ACTIVATIONS["gelu"],
    "swiglu": ACTIVATIONS["silu"],
}


def gated(name: str, g: Tensor, u: Tensor) -> Tensor:
    """a = σ(g) · u.   g, u [...] -> [...]. ValueError for a gate that is not there."""
    return _sigma(name)(g) * u


def slopes(name: str, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """∂a/∂g = σ'(g) · u and ∂a/∂u = σ(g): what flows back to the gate, and to what goes through it."""
    sigma = _sigma(name)(g)
    match name:
        case "bilinear":
            slope = torch.ones_like(g)
        case "glu":
            slope = sigma * (1 - sigma)
        case "reglu" | "geglu" | "swiglu":
            slope = derivative({"reglu": "relu", "geglu": "gelu", "swiglu": "silu"}[name], g)
    return slope * u, sigma.expand_as(slope * u)


class Left(NamedTuple):
    """What a gate leaves of real neurons, as shares of their number."""

    zero: float  # exactly 0.0
    faint: float  # below 0.01 in size
    mean: float  # of |a|


def left(name: str, g: Tensor, u: Tensor) -> Left:
    """Count a over all neurons and tokens. ValueError when there is none."""
    if not g.numel():
        raise ValueError("there is no neuron to count.")
    a = gated(name, g, u)
    share = lambda hit: hit.double().mean().item()  # noqa: E731
    return Left(share(a == 0), share(a.abs() < 0.01), a.abs().double().mean().item())


def density(g: Tensor, u: Tensor, reach: float, cells: int) -> Tensor:
    """Where pairs (g, u) lie: the share of them in each of cells × cells over −reach … reach, u upwards.   -> [u, g]"""
    inside = (g.abs() < reach) & (u.abs() < reach)
    at = lambda x: ((x[inside] + reach) / (2 * reach) * cells).long().clamp_max(cells - 1)  # noqa: E731
    counts = torch.bincount((cells - 1 - at(u)) * cells + at(g), minlength=cells * cells)
    return counts.reshape(cells, cells) / max(1, g.numel())


def matched_width(d_ff: int) -> float:
    """The width at which three matrices have as many parameters as two of width d_ff: 3 d x = 2 d d_ff."""
    return 2 * d_ff / 3


def _sigma(name: str) -> Callable[[Tensor], Tensor]:
    if name not in GATES:
        raise ValueError(f"there is no gate {name!r}; there is {', '.join(GATES)}.")
    return GATES[name]
