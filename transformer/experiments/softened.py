"""What temperature does to the gradient that a teacher gives its student, and why it is multiplied by T².

With p = softmax(z / T) of the student and q = softmax(v / T) of the teacher, ∂KL(q ‖ p) / ∂z = (p − q) / T. For high T
p − q itself tends to (z − z̄ − (v − v̄)) / (N T), so that the gradient shrinks as 1/T². Hinton et al. 2015, section 2.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer import losses


class Lengths(NamedTuple):
    """How long an example's gradient with respect to the student's logits is, mean over the examples."""

    kept: Tensor  # of T² KL [temperature]
    bare: Tensor  # of KL [temperature]
    limit: Tensor  # what the first tends to for T → ∞: ‖z − z̄ − (v − v̄)‖ / N  []
    hard: Tensor  # of the cross-entropy with the true classes  []


def gradient_lengths(student: Tensor, teacher: Tensor, target: Tensor, temperatures: Sequence[float]) -> Lengths:
    """Autograd's, through ``losses.distillation`` with λ = 1 (and λ = 0 for the last).

    student, teacher [example, class] logits, target [example].
    """
    soft = [_length(student, teacher, target, T, 1.0) for T in temperatures]
    apart = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    return Lengths(
        torch.stack(soft), torch.stack([one / T**2 for one, T in zip(soft, temperatures, strict=True)]),
        (apart / student.shape[-1]).norm(dim=-1).mean(), _length(student, teacher, target, 1.0, 0.0),
    )  # fmt: skip


def _length(student: Tensor, teacher: Tensor, target: Tensor, temperature: float, mix: float) -> Tensor:
    z = student.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.distillation(z, teacher, target, temperature=temperature, mix=mix), z)
    return (gradient * len(z)).norm(dim=-1).mean()  # the loss is a mean over the examples
