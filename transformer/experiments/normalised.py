"""What the norms do to real vectors: which entries share a mean, what a token's companions change, where ε and d count.

The norms themselves are ``transformer.norms``; here their parts are laid open, and a test holds the two together.
x is [batch, token, feature] throughout, in float64 so that rounding shows nothing of its own.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer.norms import BatchNorm

Kind = Literal["layer", "rms", "batch"]
OVER = {"layer": (-1,), "rms": (-1,), "batch": (0, 1)}  # the axes whose entries share a mean
MOMENTUM = 0.1  # of BatchNorm's running averages


class Parts(NamedTuple):
    """x̂ = (x − mean) / root, all of x's shape: what each entry is normalised with, and the result, without γ and β."""

    mean: Tensor  # 0 for RMSNorm, which does not centre
    variance: Tensor  # biased: divided by the count; for RMSNorm the mean square
    root: Tensor  # √(variance + ε)
    out: Tensor


def parts(kind: Kind, x: Tensor, eps: float) -> Parts:
    """LayerNorm and RMSNorm over the features of each token, BatchNorm (in training) of each feature over all tokens."""
    x = x.double()
    axes = OVER[kind]
    mean = torch.zeros_like(x) if kind == "rms" else x.mean(axes, keepdim=True).expand_as(x)
    variance = (x - mean).square().mean(axes, keepdim=True).expand_as(x)
    root = (variance + eps).sqrt()
    return Parts(mean, variance, root, (x - mean) / root)


def running(x: Tensor, eps: float, batches: int) -> BatchNorm:
    """BatchNorm in eval mode, after it has read x [batch, token, feature] ``batches`` times in training.

    Its running averages start at mean 0 and variance 1 and go a tenth of the way to what each batch says. torch puts
    the *unbiased* variance into them, though it normalises with the biased one.
    """
    norm = BatchNorm(x.shape[-1], eps).double().train()
    with torch.no_grad():
        for _ in range(batches):
            norm(x.double())
    return norm.eval()


def by_running(x: Tensor, norm: BatchNorm) -> Parts:
    """BatchNorm in eval mode: every batch is normalised with the same running averages."""
    x = x.double()
    mean, variance = norm.mean.expand_as(x), norm.variance.expand_as(x)
    root = (variance + norm.eps).sqrt()
    return Parts(mean, variance, root, (x - mean) / root)


def companions(kind: Kind, tokens: Tensor, eps: float) -> Tensor:
    """What the first token's normalised vector is when 1, 2, 3 … of the tokens are in the batch.

    tokens [token, feature] -> [count, feature]. LayerNorm and RMSNorm give the same row each time. BatchNorm gives 0
    for a batch of one, whose σ is 0, and ±1 for two, whatever the numbers are (ε aside).
    """
    return torch.stack([parts(kind, tokens[None, :count], eps).out[0, 0] for count in range(1, len(tokens) + 1)])


def moved(rows: Tensor) -> Tensor:
    """‖row − last row‖ / ‖last row‖: how far each is from what the whole batch gives.   [count, feature] -> [count]"""
    return (rows - rows[-1]).norm(dim=-1) / rows[-1].norm()


class Scaled(NamedTuple):
    """One vector times a factor, normalised: [factor] each."""

    layer: Tensor  # the standard deviation of LayerNorm's output: σ / √(σ² + ε)
    outside: Tensor  # what it would be with ε outside the root: σ / (σ + ε)
    rms: Tensor  # the root mean square of RMSNorm's output


def scaled(x: Tensor, factors: Tensor, eps: float) -> Scaled:
    """Where ε begins to count: as soon as σ² of what comes in is not far above ε.   x [feature], factors [factor]"""
    every = x.double() * factors.double()[:, None]  # [factor, feature]
    sigma = every.var(-1, correction=0).sqrt()
    layer = parts("layer", every, eps).out
    rms = parts("rms", every, eps).out
    return Scaled(layer.var(-1, correction=0).sqrt(), sigma / (sigma + eps), rms.square().mean(-1).sqrt())


def shifted(kind: Kind, x: Tensor, shifts: Tensor, eps: float) -> Tensor:
    """How far adding one number to all features moves the normalised vector, ‖N(x + c) − N(x)‖ / ‖N(x)‖: 0 for a norm
    that centres.   x [feature], shifts [shift] -> [shift]"""
    before = parts(kind, x[None, None], eps).out[0, 0]
    after = parts(kind, x.double() + shifts.double()[:, None], eps).out
    return (after - before).norm(dim=-1) / before.norm()


def bessel(d: int) -> float:
    """σ with 1 / (d − 1) over σ with 1 / d: √(d / (d − 1)). Infinite at d = 1."""
    return math.sqrt(d / (d - 1)) if d > 1 else math.inf


class Profile(NamedTuple):
    """The stream before each layer's norm, [layer, token] each."""

    rms: Tensor  # √mean(x²)
    mean: Tensor  # |mean(x)| / rms: what centring would take away
    top: Tensor  # the share of Σ x² that the largest feature holds
    feature: Tensor  # which one that is


def profile(stream: Tensor) -> Profile:
    """stream [layer, token, feature]."""
    squared = stream.double().square()
    rms = squared.mean(-1).sqrt()
    top, feature = squared.max(-1)
    return Profile(rms, stream.double().mean(-1).abs() / rms, top / squared.sum(-1), feature)


def gamma_of(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """γ of an RMSNorm that made y of x: Σ x̂ y / Σ x̂² over the tokens.   [token, feature] each -> [feature]"""
    x_hat = parts("rms", x[None], eps).out[0]
    return (x_hat * y.double()).sum(0) / x_hat.square().sum(0).clamp_min(1e-30)


def telling(x: Tensor, count: int) -> list[int]:
    """Features to look at, in order: the loudest half, and ordinary ones.   x [batch, token, feature]"""
    order = x.double().square().mean((0, 1)).argsort(descending=True)
    loud = order[: count // 2]
    middle = order[len(order) // 2 : len(order) // 2 + count - len(loud)]
    return sorted(torch.cat((loud, middle)).tolist())
