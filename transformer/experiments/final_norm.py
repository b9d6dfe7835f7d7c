"""The final norm, taken out of a trained model: what it does to the logits that the head reads off the stream.

ℓ = W_U (γ ⊙ x / σ) with σ the root mean square of the last stream x (LayerNorm: of x − μ; and + β). The division is one number
a token, so without it the logits are σ times as large and their order stays: a temperature of 1/σ. γ weighs the features,
so without it the order changes.
"""

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.models import Ids, Model
from transformer.norms import LayerNorm
from transformer.sampling import entropy
from transformer.tap import Edit

Way = Literal["as trained", "not divided by σ", "without γ", "taken out"]
WAYS: tuple[Way, ...] = get_args(Way)


def edits(model: Model, way: Way) -> dict[str, Edit]:
    """For ``Model.run``: the final norm as ``way`` says. The edits of one call belong to one run.

    Raises ValueError for another way, and for a model that has no final norm, or one over the batch.
    """
    if way not in WAYS:
        raise ValueError(f"the way is {way!r}; it must be one of {', '.join(WAYS)}.")
    norm = model.final_norm
    if norm is None or not hasattr(norm, "eps") or hasattr(norm, "variance"):
        raise ValueError("this model has no final norm over the features of a token.")
    if way == "as trained":
        return {}
    stream: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        stream.append(x)
        return x

    def instead(_: Tensor) -> Tensor:
        x = stream.pop()
        if way == "taken out":
            return x
        centred = x - x.mean(-1, keepdim=True) if isinstance(norm, LayerNorm) else x
        beta = norm.beta if isinstance(norm, LayerNorm) else 0
        return norm.gamma * centred + beta if way == "not divided by σ" else centred / scale(model, x)

    return {f"layers.{model.config.n_layers - 1}.resid_post": keep, "final_norm": instead}


def scale(model: Model, x: Tensor) -> Tensor:
    """σ of each token: what the final norm divides by.   x [..., model] -> [..., 1]"""
    norm = model.final_norm
    centred = x - x.mean(-1, keepdim=True) if isinstance(norm, LayerNorm) else x
    return (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()


class Said(NamedTuple):
    """What the model says about each next token, the final norm as one way has it."""

    p: Tensor  # [token, vocab]
    entropy: Tensor  # nats [token]
    loss: Tensor  # −log p of the token that follows; nan at the last [token]
    spread: Tensor  # standard deviation of the logits over the vocabulary [token]
    sigma: Tensor  # what the norm divides by [token]


@torch.no_grad()
def said(model: Model, ids: Ids, way: Way) -> Said:
    """One reading. Raises ValueError as ``edits`` and ``Model.run`` do."""
    last = f"layers.{model.config.n_layers - 1}.resid_post"
    run = model.run(ids, record=last, edit=edits(model, way))
    return look(run.output[0], ids, scale(model, run.trace[last])[0, :, 0])


def look(logits: Tensor, ids: Ids, sigma: Tensor) -> Said:
    """logits [token, vocab], ids [token], σ [token]."""
    log_p = logits.log_softmax(-1)
    follows = torch.as_tensor(ids).flatten()[1:, None]  # [token − 1, 1]
    loss = F.pad(-log_p[:-1].gather(-1, follows)[:, 0], (0, 1), value=torch.nan)
    return Said(log_p.exp(), entropy(log_p.exp()), loss, logits.std(-1, correction=0), sigma)


class Tops(NamedTuple):
    """The likeliest tokens of two distributions over one vocabulary, side by side."""

    ids: Tensor  # [row, k]
    before: Tensor  # [row, k]
    after: Tensor  # [row, k]


def tops(before: Tensor, after: Tensor, own: int = 5, new: int = 3) -> Tops:
    """The ``own`` likeliest of ``before``, then the ``new`` likeliest of ``after`` that are not among them.

    before, after [row, vocab] -> Tops with k = own + new."""
    first = before.topk(own, -1).indices
    then = after.scatter(-1, first, -1.0).topk(new, -1).indices
    ids = torch.cat((first, then), -1)
    return Tops(ids, before.gather(-1, ids), after.gather(-1, ids))
