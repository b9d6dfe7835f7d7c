"""The logit lens: what the model would say if the layers stopped here."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.models import Model
from transformer.tap import OFF


def streams(model: Model) -> list[str]:
    """Where along its way the stream can be read: before the first layer, and after each sublayer."""
    layers = range(model.stack.config.n_layers)
    return ["layers.0.resid_pre", *(f"layers.{i}.{at}" for i in layers for at in ("resid_mid", "resid_post"))]


@torch.no_grad()
def read_early(model: Model, x: Tensor) -> Tensor:
    """ℓ = W_U · final_norm(x): the logits that the model's own head reads off any stream (nostalgebraist 2020).

    The head was trained for the last stream alone, so an early one may mean more than it says here. At the last layer
    it is the model's answer.   x [batch, token, d_model] -> [batch, token, vocab]
    Raises ValueError for a model without a head over the vocabulary.
    """
    if model.stack.config.head not in ("lm", "mlm"):
        raise ValueError(f"a head of {model.stack.config.head!r} names no tokens, so no stream can be read with it.")
    return model.read_off(x if model.final_norm is None else model.final_norm(x), None, OFF)


class Reading(NamedTuple):
    """What one stream says at each position; small, where the logits themselves would be large."""

    name: str  # of the stream
    tokens: Tensor  # [batch, token, k], the most probable first
    probabilities: Tensor  # [batch, token, k]
    entropy: Tensor  # [batch, token], nats
    target_probability: Tensor  # [batch, token], of the token that was asked for
    target_rank: Tensor  # [batch, token], 0 = the most probable


def logit_lens(model: Model, trace: Mapping[str, Tensor], target: Tensor | int, k: int = 5) -> Iterator[Reading]:
    """Read each recorded stream, in order of depth.

    trace: of a run with record=streams(model), or some of them; target: a token, or one for each position
    [batch, token], such as the one that the model chose. Raises ValueError when no stream was recorded.
    """
    recorded = [name for name in streams(model) if name in trace]
    if not recorded:
        raise ValueError("no stream was recorded; run the model with record=lens.streams(model).")
    for name in recorded:
        p = read_early(model, trace[name]).softmax(-1)  # [batch, token, vocab]
        top = p.topk(min(k, p.shape[-1]), dim=-1)
        asked = torch.as_tensor(target, device=p.device).expand(p.shape[:-1])[..., None]
        of_target = p.gather(-1, asked)  # [batch, token, 1]
        rank = (p > of_target).sum(-1)
        entropy = torch.special.entr(p).sum(-1)
        yield Reading(name, top.indices, top.values, entropy, of_target[..., 0], rank)
