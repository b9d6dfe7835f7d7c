"""What a mask keeps out, measured: whose output changes with whose token, and what masking too late lets through."""

import torch
from torch import Tensor

from transformer.models import Model


def zeroed_after(S: Tensor, mask: Tensor) -> Tensor:
    """The mistake: A = softmax(S) · mask. What hidden keys took is gone from the row, which sums to less than 1.

    S [..., query, key], mask bool -> A of S's shape. A row's sum says how large the hidden scores were: with a causal
    mask, something about the future.
    """
    return S.softmax(-1) * mask


def renormalised(A: Tensor) -> Tensor:
    """Each row over its sum: of ``zeroed_after`` it gives the right weights, as long as anything is left of the row.

    softmax(S) · mask / Σ = exp(S) · mask / Σ exp(S) · mask, but when a hidden score is some 100 nats above all that
    may be seen (17 in float16), every weight that may be seen has become 0 in float32 by then, and 0 / 0 is NaN.
    """
    return A / A.sum(-1, keepdim=True)


@torch.no_grad()
def changes(model: Model, ids: list[int], at: int, token: int) -> Tensor:
    """max |Δ| of the logits at every position when the token at ``at`` becomes ``token``.   -> [token]

    With a causal mask exactly 0 at every position before ``at``. Raises ValueError when there is no such position.
    """
    if not 0 <= at < len(ids):
        raise ValueError(f"there is no token {at} to change; the text has tokens 0 to {len(ids) - 1}.")
    other = [*ids[:at], token, *ids[at + 1 :]]
    before, after = model(torch.tensor([ids])), model(torch.tensor([other]))  # one shape, so one order of sums
    return (after - before).abs().amax(-1)[0]


def ahead(A: Tensor) -> Tensor:
    """The mean weight on key = query + 1, where a language model finds its answer.   A [.., query, key] -> [..]

    0 for a text of one token, which has none ahead.
    """
    next_one = A.diagonal(1, -2, -1)
    return next_one.mean(-1) if next_one.shape[-1] else next_one.sum(-1)


def influence(model: Model, ids: list[int], token: int) -> Tensor:
    """``changes`` for every position in turn.   -> [changed token, token]"""
    return torch.stack([changes(model, ids, at, token) for at in range(len(ids))])
