"""The position-wise feed-forward network: expand, activate, contract; each token on its own."""

import math
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import Activation, Config
from transformer.tap import Tap

ACTIVATIONS = {
    "relu": F.relu,  # max(0, u)
    "gelu": F.gelu,  # u · Φ(u), exact
    "gelu_tanh": partial(F.gelu, approximate="tanh"),  # ½u (1 + tanh(√(2/π)(u + 0.044715 u³)))
    "silu": F.silu,  # u · sigmoid(u)
}


class FeedForward(nn.Module):
    """σ(x W_1 + b_1) W_2 + b_2, or gated: (σ(x W_g) ⊙ x W_1) W_2 (GEGLU, SwiGLU: Shazeer 2020, arXiv:2002.05202).

    x [batch, token, d_model] -> [batch, token, d_model]; d_ff neurons between.
    """

    READ_TOGETHER = "W_1", "W_g"  # ``decoding`` lays them into one matrix

    def __init__(self, config: Config):
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.W_1 = nn.Linear(config.d_model, config.d_ff, bias=config.ffn_bias)
        self.W_g = nn.Linear(config.d_model, config.d_ff, bias=config.ffn_bias) if config.gated else None
        self.W_2 = nn.Linear(config.d_ff, config.d_model, bias=config.ffn_bias)
        self.gated = config.gated
        self.joint = None

    def forward(self, x: Tensor, tap: Tap) -> Tensor:
        if self.gated:
            u, g = (self.W_1(x), self.W_g(x)) if self.joint is None else self.joint(x)
            u, g = tap("pre", u), tap("gate", g)  # [batch, token, ff] each
            a = tap("post", self.activation(g) * u)
        else:
            u = tap("pre", self.W_1(x))  # [batch, token, ff]
            a = tap("post", self.activation(u))
        return self.W_2(a)  # [batch, token, model]


# What the lesson on activations looks at. The forward pass above does not need it.


def let_through(name: Activation, u: Tensor) -> Tensor:
    """σ(u) / u, the share of a neuron that passes: each activation is u times a gate that u opens itself.

    relu [u > 0] · gelu Φ(u), the normal distribution function · gelu_tanh its approximation · silu sigmoid(u).
    u [...] -> [...], in 0 … 1 (the tanh form too).
    """
    match name:
        case "relu":
            return (u > 0).to(u.dtype)
        case "gelu":
            return torch.special.ndtr(u)
        case "gelu_tanh":
            return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
        case "silu":
            return torch.sigmoid(u)
    raise ValueError(f"There is no activation {name!r}; it must be one of {', '.join(ACTIVATIONS)}.")


def derivative(name: Activation, u: Tensor) -> Tensor:
    """σ'(u), the factor that a neuron lets its gradient through with.   u [...] -> [...].

    relu       1 where u > 0, else 0 (the corner at 0 counts as 0, as in torch)
    gelu       Φ(u) + u φ(u)
    gelu_tanh  ½(1 + t) + ½u (1 − t²) √(2/π)(1 + 3 · 0.044715 u²),   t = tanh(√(2/π)(u + 0.044715 u³))
    silu       s (1 + u (1 − s)),   s = sigmoid(u)
    """
    match name:
        case "relu":
            return (u > 0).to(u.dtype)
        case "gelu":
            return torch.special.ndtr(u) + u * torch.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
        case "gelu_tanh":
            c = math.sqrt(2 / math.pi)
            t = torch.tanh(c * (u + 0.044715 * u**3))
            return 0.5 * (1 + t) + 0.5 * u * (1 - t * t) * c * (1 + 3 * 0.044715 * u * u)
        case "silu":
            s = torch.sigmoid(u)
            return s * (1 + u * (1 - s))
    raise ValueError(f"There is no activation {name!r}; it must be one of {', '.join(ACTIVATIONS)}.")


def gelu_gap(u: Tensor) -> Tensor:
    """GELU(u) − its tanh form, in float64 so that rounding does not hide it: below 5·10⁻⁴ everywhere.

    u [...] -> [...].
    """
    return ACTIVATIONS["gelu"](u.double()) - ACTIVATIONS["gelu_tanh"](u.double())


class Census(NamedTuple):
    """What an activation does to neurons that were really computed, as shares of their number."""

    positive: float
    negative: float
    zero: float  # exactly 0.0
    asleep: float  # σ'(u) below 0.01 in size: hardly any gradient passes
    mean: float  # of σ(u)


def census(name: Activation, u: Tensor) -> Census:
    """Count σ(u) over all neurons and tokens.

    u [...], as recorded before the activation. ValueError when it is empty.
    """
    if not u.numel():
        raise ValueError("there is no neuron to count.")
    a = ACTIVATIONS[name](u)

    def share(hit: Tensor) -> float:
        return hit.double().mean().item()

    asleep = derivative(name, u).abs() < 0.01
    return Census(share(a > 0), share(a < 0), share(a == 0), share(asleep), a.double().mean().item())


def histogram(x: Tensor, lo: float, hi: float, bins: int) -> tuple[Tensor, Tensor]:
    """How x spreads over [lo, hi]: edges [bin + 1], the share of all of x in each bin [bin]; the rest is outside."""
    counts = torch.histc(x.float(), bins, lo, hi)
    return torch.linspace(lo, hi, bins + 1, device=x.device), counts / max(1, x.numel())


def left_over(name: Activation, u: Tensor, lo: float, hi: float, bins: int) -> tuple[Tensor, Tensor]:
    """How σ(u) spreads over [lo, hi] where it is not exactly 0: edges [bin + 1], the share of all neurons in each bin
    [bin], so that what ReLU puts out is missing from the sum."""
    a = ACTIVATIONS[name](u)
    passed = a[a != 0]
    edges, share = histogram(passed, lo, hi, bins)
    return edges, share * (passed.numel() / max(1, a.numel()))


def share_below(x: Tensor, at: Tensor) -> Tensor:
    """The share of x that is smaller than each value of ``at``: the distribution function of what was measured."""
    return torch.searchsorted(x.flatten().sort().values, at.to(x.dtype)) / x.numel()


def loudest(a: Tensor, count: int) -> Tensor:
    """The neurons that reach the largest |a| on some token, loudest first.   a [token, ff] -> ids [count]."""
    return a.abs().amax(0).topk(min(count, a.shape[-1])).indices
