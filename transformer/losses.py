"""What training makes small. Every loss is a mean over the positions that count, in nats."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    smoothing: float = 0.0,
    weight: Tensor | None = None,
    ignore: int | None = None,
) -> Tensor:
    """L = −Σ_c q_c log p_c, averaged, with p = softmax(ℓ) and q = (1 − ε)·[c = target] + ε / V.

    Label smoothing ε (Szegedy et al. 2016, arXiv:1512.00567; 0.1 in Vaswani et al. 2017) keeps the model from growing
    its logits without end: perplexity gets worse, accuracy often better. ``weight`` [class] multiplies each class's
    share, and the mean divides by the targets' weights, so that a rare class can count as much as a common one.
    ``ignore``: targets with this value (padding) count in neither sum nor mean.

    logits [..., class], target [...] whole numbers -> [].
    Raises ValueError for ε outside [0, 1), for shapes that do not match, and when no position counts.
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}; it must be at least 0 and below 1.")
    target, logits = _counting(target, ignore, logits)
    log_p = logits.log_softmax(-1)  # [position, class]
    alpha = torch.ones_like(log_p[0]) if weight is None else weight.to(log_p)
    hit = alpha[target] * log_p.gather(-1, target[:, None])[:, 0]  # [position]
    spread = (alpha * log_p).mean(-1)  # the ε part: every class alike
    return -((1 - smoothing) * hit + smoothing * spread).sum() / alpha[target].sum()


def focal(
    logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: Tensor | None = None, ignore: int | None = None
) -> Tensor:
    """L = −α_t (1 − p_t)^γ log p_t, averaged over positions. Lin et al. 2017, arXiv:1708.02002

    An example that is already right (p_t near 1) fades by (1 − p_t)^γ, so that many easy ones cannot drown a few hard
    ones; γ = 0 is cross-entropy weighted by α, but for the mean, which here divides by the number of positions.

    logits [..., class], target [...], alpha [class] or None for ones; ``ignore`` as in ``cross_entropy`` -> [].
    Raises ValueError for γ below 0, for shapes that do not match, and when no position counts.
    """
    if gamma < 0:
        raise ValueError(f"gamma is {gamma}; it must be at least 0.")
    target, logits = _counting(target, ignore, logits)
    log_p = logits.log_softmax(-1).gather(-1, target[:, None])[:, 0]  # [position]
    share = torch.ones_like(log_p) if alpha is None else alpha.to(log_p)[target]
    # 1 − p by expm1 keeps its digits, and the clamp its gradient, where p is 1 to the last bit.
    miss = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
    return -(share * miss**gamma * log_p).mean()


def distillation(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float, mix: float, ignore: int | None = None,
    unlabelled: int | None = None,
) -> Tensor:  # fmt: skip
    """L = (1 − λ)·CE(student, target) + λ·T²·KL(teacher_T ‖ student_T). Hinton et al. 2015, arXiv:1503.02531

    Both distributions are softened by T. Their difference's gradient shrinks as 1/T², which the factor T² undoes, so λ
    means the same at every T. λ = 0 is plain training, λ = 1 asks for no label.

    student, teacher [..., class] logits, target [...]; ``ignore`` as in ``cross_entropy``; ``unlabelled``: targets with
    this value are unknown, so that the teacher alone says something about these positions -> []. The teacher gets no
    gradient. Raises ValueError for T not above 0, λ outside [0, 1], and shapes that do not match.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    if not 0 <= mix <= 1:
        raise ValueError(f"mix is {mix}; it must be between 0 and 1.")
    target, student, teacher = _counting(target, ignore, student, teacher.detach())
    if mix == 0:
        return cross_entropy(student, target, ignore=unlabelled)
    log_p = (student / temperature).log_softmax(-1)  # [position, class]
    log_q = (teacher / temperature).log_softmax(-1)
    soft = temperature**2 * F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    return soft if mix == 1 else (1 - mix) * cross_entropy(student, target, ignore=unlabelled) + mix * soft


def _counting(target: Tensor, ignore: int | None, *logits: Tensor) -> tuple[Tensor, ...]:
    """The positions that count, in one row: target [position], and each of the logits [position, class]."""
    for each in logits:
        if each.shape[:-1] != target.shape or each.shape != logits[0].shape:
            shapes = ", ".join(str(list(x.shape)) for x in logits)
            raise ValueError(f"logits are {shapes}, targets {list(target.shape)}; they must agree but for the classes.")
    target, logits = target.flatten(), [each.flatten(0, -2) for each in logits]
    if ignore is None:
        return target, *logits
    counts = target != ignore
    if not counts.is_meta and not counts.any():
        raise ValueError("no position counts: every target is to be ignored.")
    return target[counts], *(each[counts] for each in logits)
