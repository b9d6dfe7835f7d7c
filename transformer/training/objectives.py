"""What ``fit`` can make small, beside the plain next-token loss: each function makes a loss of a model and a batch of ids."""

from collections.abc import Callable

import torch
from torch import Tensor

from transformer import losses, names
from transformer.experts import balance_loss, z_loss
from transformer.models import Model
from transformer.tap import RecordingTap
from transformer.training.loop import Examples, Loss, Metrics


def smoothed(smoothing: float = 0.1, ignore: int | None = None) -> Loss:
    """Next-token loss with label smoothing (``losses.cross_entropy``); ``ignore``: the id that pads short rows, on the
    right, which is neither read nor asked for. Reports the cross-entropy without smoothing."""

    def loss(model: Model, ids: Tensor) -> tuple[Tensor, Metrics]:
        read, target = ids[:, :-1], ids[:, 1:]  # [batch, token]
        logits = model(read, real=None if ignore is None else read != ignore).float()
        plain = losses.cross_entropy(logits.detach(), target, ignore=ignore)
        return losses.cross_entropy(logits, target, smoothing=smoothing, ignore=ignore), {"cross_entropy": plain}

    return loss


def with_experts(balance: float = 0.01, z: float = 0.001) -> Loss:
    """Next-token loss + balance · L_balance + z · L_z, read from the routers of all layers; reports each part.

    0.01 is Switch's weight for the balance (Fedus et al. 2021), 0.001 ST-MoE's for z (Zoph et al. 2022).
    """

    def loss(model: Model, ids: Tensor) -> tuple[Tensor, Metrics]:
        tap = RecordingTap("*.ffn.router", names=names.of(model.config), gradients=True)
        logits = model(ids[:, :-1], tap=tap)  # [batch, token, vocab]
        router = torch.stack(list(tap.trace.values()))  # [layer, batch, token, expert]
        parts = {
            "cross_entropy": losses.cross_entropy(logits.float(), ids[:, 1:]),
            "balance": balance_loss(router, model.config.experts_per_token),
            "z": z_loss(router),
        }
        return parts["cross_entropy"] + balance * parts["balance"] + z * parts["z"], parts

    return loss


def distilled(
    teacher: Callable[[Tensor], Tensor] | None = None, temperature: float = 2.0, mix: float = 0.5,
    unlabelled: int | None = None,
) -> Loss:  # fmt: skip
    """``losses.distillation`` from a teacher of the same classes or vocabulary, which is not trained.

    A batch is ids, whose targets are the next ids, or (what is read, its classes), or both with the teacher's logits
    for them, so that it need not be asked again. ``unlabelled``: the class of examples of which nothing but the
    teacher's answer is known. Reports the cross-entropy, and the share of positions at which both would say the same;
    at λ = 0, which is plain training, the teacher is not asked.
    """

    def loss(model: Model, examples: Examples) -> tuple[Tensor, Metrics]:
        read, target, *said = examples if isinstance(examples, tuple) else (examples[:, :-1], examples[:, 1:])
        logits = model(read).float()  # [..., class]
        if mix == 0:
            plain = losses.cross_entropy(logits, target, ignore=unlabelled)
            return plain, {"cross_entropy": plain.detach()}
        with torch.no_grad():
            soft = (said[0] if said else teacher(read)).float()
        metrics = {"agreement": (logits.detach().argmax(-1) == soft.argmax(-1)).float().mean()}
        if mix < 1:
            metrics["cross_entropy"] = losses.cross_entropy(logits.detach(), target, ignore=unlabelled)
        L = losses.distillation(logits, soft, target, temperature=temperature, mix=mix, unlabelled=unlabelled)
        return L, metrics

    return loss


def classified(of: Callable[[Tensor, Tensor], Tensor] = losses.cross_entropy) -> Loss:
    """A loss ``of`` logits [example, class] and classes [example], for a model that reads one batch and names a class: an
    image or a text. Reports the share that is right."""

    def loss(model: Model, examples: tuple[Tensor, Tensor]) -> tuple[Tensor, Metrics]:
        read, target = examples
        logits = model(read)  # [example, class]
        return of(logits, target), {"accuracy": (logits.detach().argmax(-1) == target).float().mean()}

    return loss
