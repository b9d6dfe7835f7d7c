"""A loss and its gradient against p_t, the probability that the model gives the right class."""

from collections.abc import Callable

import torch
from torch import Tensor

from transformer import losses

Loss = Callable[[Tensor, Tensor], Tensor]  # logits [1, class], target [1] -> []


def logits_of(p: Tensor, classes: int) -> Tensor:
    """Logits whose softmax gives the right class, the first, p, and each other one an equal part of the rest.

    p [point], inside (0, 1) -> [point, class]. ValueError for a p outside, and for fewer than 2 classes.
    """
    if classes < 2 or not bool(((p > 0) & (p < 1)).all()):
        raise ValueError("a curve needs at least 2 classes and every p_t inside (0, 1).")
    rest = ((1 - p) / (classes - 1)).log()
    return torch.cat((p.log()[:, None], rest[:, None].expand(-1, classes - 1)), -1)


def curve(loss: Loss, p: Tensor, classes: int = 2) -> tuple[Tensor, Tensor]:
    """L(p_t) and ∂L/∂z_t, by autograd, of one example at a time.   p [point] -> [point], [point]

    z_t is the logit of the right class. Cross-entropy: −log p_t and p_t − 1.
    """
    z = logits_of(p.double(), classes).requires_grad_()
    right = torch.zeros(1, dtype=torch.long)
    values = torch.vmap(lambda one: loss(one[None], right))(z)  # the losses are means over a batch: each is one of its own
    (slope,) = torch.autograd.grad(values.sum(), z)
    return values.detach(), slope[:, 0]


def cross_entropy(p: Tensor, classes: int = 2) -> tuple[Tensor, Tensor]:
    """−log p_t"""
    return curve(losses.cross_entropy, p, classes)


def smoothed(p: Tensor, smoothing: float, classes: int = 2) -> tuple[Tensor, Tensor]:
    """−Σ_c q_c log p_c with q_t = 1 − ε + ε / V: the gradient p_t − q_t changes its sign where the model is surer than q_t."""
    return curve(lambda z, t: losses.cross_entropy(z, t, smoothing=smoothing), p, classes)


def weighted(p: Tensor, alpha: float, classes: int = 2) -> tuple[Tensor, Tensor]:
    """−α log p_t. By ``focal`` with γ = 0: the mean of ``cross_entropy`` divides by the weights, and so by α for a single
    example."""
    return focal(p, 0.0, alpha, classes)


def focal(p: Tensor, gamma: float, alpha: float = 1.0, classes: int = 2) -> tuple[Tensor, Tensor]:
    """−α (1 − p_t)^γ log p_t"""
    weights = torch.full((classes,), alpha, dtype=torch.float64)
    return curve(lambda z, t: losses.focal(z, t, gamma=gamma, alpha=weights), p, classes)
