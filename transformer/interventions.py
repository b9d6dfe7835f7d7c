"""Interventions in bulk: switch off each part in turn, or give it what it saw in another text, and measure the change.

    measure = logit(paris)
    for effect in ablations(model, ids, measure): effect.heads - baseline(model, ids, measure)

A layer's interventions run side by side, as the rows of one batch; each is what ``model.run(ids, edit=…)`` would give.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer.models import Ids, Model
from transformer.tap import Edit

Measure = Callable[[Tensor], Tensor]  # output [row, token, vocab] -> [row]


def logit(token: int, against: int | None = None, at: int = -1) -> Measure:
    """ℓ_token (− ℓ_against) at a position."""
    if against is None:
        return lambda logits: logits[:, at, token]
    return lambda logits: logits[:, at, token] - logits[:, at, against]


def probability(token: int, at: int = -1) -> Measure:
    """p(token) at a position."""
    return lambda logits: logits[:, at].softmax(-1)[:, token]


def next_token_loss(ids: Ids) -> Measure:
    """Mean −log p of each token of ``ids`` after those before it, in nats."""
    target = torch.as_tensor(ids).flatten()[1:, None]  # [token, 1]

    def measure(logits: Tensor) -> Tensor:
        log_p = logits[:, :-1].log_softmax(-1)  # [row, token, vocab]
        return -log_p.gather(-1, target.to(log_p.device).expand(len(log_p), -1, 1)).mean((1, 2))

    return measure


def baseline(model: Model, ids: Ids, measure: Measure, source: Ids | None = None) -> float:
    """The measure with nothing changed."""
    return float(measure(_run(model, ids, source, 1, {})))


class Ablated(NamedTuple):
    """The measure with parts of one layer switched off, each alone."""

    layer: int
    heads: Tensor  # [head]
    attention: Tensor  # []: all heads, and their bias
    ffn: Tensor  # []
    both: Tensor  # []: the layer adds nothing


def ablations(
    model: Model, ids: Ids, measure: Measure, *, how: Literal["zero", "mean"] = "zero", source: Ids | None = None
) -> Iterator[Ablated]:
    """Switch off each head, each attention, each FFN and each layer in turn; yields layer by layer, a run a layer.

    "zero" puts zeros for what it says; "mean" its mean over the text's tokens, so that what it always says is left
    (Wang et al. 2022, arXiv:2211.00593). Other parts may make up for what is missing, so a small effect does not say
    that a part does nothing (McGrath et al. 2023, arXiv:2307.15771).
    Raises ValueError for another ``how``, and for ids as ``Model.run`` does.
    """
    if how not in ("zero", "mean"):
        raise ValueError(f"how is {how!r}; it must be 'zero' or 'mean'.")
    heads = model.stack.config.n_heads

    def silent(x: Tensor, token_axis: int) -> Tensor:
        return torch.zeros_like(x) if how == "zero" else x.mean(token_axis, keepdim=True).expand_as(x)

    def without_heads(z: Tensor) -> Tensor:  # [row, head, query, d_head]: row i loses head i
        mute = torch.zeros(z.shape[:2], dtype=torch.bool, device=z.device)
        mute[:heads].fill_diagonal_(True)
        return torch.where(mute[:, :, None, None], silent(z, 2), z)

    def without(*rows: int) -> Edit:
        def edit(out: Tensor) -> Tensor:  # [row, token, model]
            mute = torch.zeros(len(out), dtype=torch.bool, device=out.device)
            mute[list(rows)] = True
            return torch.where(mute[:, None, None], silent(out, 1), out)

        return edit

    for layer in range(model.stack.config.n_layers):
        edit = {
            f"layers.{layer}.attention.z": without_heads,
            f"layers.{layer}.attention.out": without(heads, heads + 2),
            f"layers.{layer}.ffn.out": without(heads + 1, heads + 2),
        }
        values = measure(_run(model, ids, source, heads + 3, edit))  # [row]
        yield Ablated(layer, values[:heads], *values[heads:])


What = Literal["stream", "attention", "ffn", "heads"]
PLACES = {"stream": "resid_pre", "attention": "attention.out", "ffn": "ffn.out", "heads": "attention.z"}


class Patched(NamedTuple):
    """The measure on the corrupt text with a piece of one layer's clean run put in, for each piece."""

    layer: int
    values: Tensor  # [token], or [head]


def patches(model: Model, clean: Ids, corrupt: Ids, measure: Measure, what: What = "stream") -> Iterator[Patched]:
    """Activation patching: run ``corrupt``, but let one piece be what it was in ``clean`` (Meng et al. 2022,
    arXiv:2202.05262; Wang et al. 2022, arXiv:2211.00593). Where that brings the clean answer back, what the texts
    differ in passed through there.

    what: "stream", "attention" or "ffn": what enters a layer, or what one of its parts adds, at one token at a time;
    "heads": what one head says at all tokens. Yields layer by layer, a run a layer.
    Raises ValueError for texts of different lengths, another ``what``, and an encoder–decoder.
    """
    if what not in PLACES:
        raise ValueError(f"what is {what!r}; it must be one of {', '.join(PLACES)}.")
    if model.config.kind == "encoder-decoder":
        raise ValueError("patching compares two texts, and an encoder–decoder reads two a run; use model.run(edit=…).")
    clean, corrupt = (model.batch(ids)[0] for ids in (clean, corrupt))
    if clean.shape != corrupt.shape or len(clean) != 1:
        shapes = f"{list(clean.shape)} and {list(corrupt.shape)}"
        raise ValueError(f"the texts are {shapes} tokens; they must be one each, as long as the other.")
    names = [f"layers.{layer}.{PLACES[what]}" for layer in range(model.stack.config.n_layers)]
    trace = model.run(clean, record=names).trace

    def put_in(good: Tensor) -> Edit:
        def edit(x: Tensor) -> Tensor:  # row i gets piece i, a head or a token: both are axis 1
            this = torch.eye(len(x), dtype=torch.bool, device=x.device).view(len(x), -1, *[1] * (x.dim() - 2))
            return torch.where(this, good, x)

        return edit

    for layer, name in enumerate(names):
        good = trace[name]  # [1, token, model] or [1, head, query, d_head]
        values = measure(_run(model, corrupt, None, good.shape[1], {name: put_in(good)}))
        yield Patched(layer, values)


def recovered(values: Tensor, clean: float, corrupt: float) -> Tensor:
    """(v − corrupt) / (clean − corrupt): 0 where patching changed nothing, 1 where it brought the clean answer back.

    Raises ValueError when the texts do not differ in the measure.
    """
    if clean == corrupt:
        raise ValueError(f"both texts measure {clean}, so there is nothing to recover; choose texts with other answers.")
    return (values - corrupt) / (clean - corrupt)


def _run(model: Model, ids: Ids, source: Ids | None, rows: int, edit: dict[str, Edit]) -> Tensor:
    """The output of ``rows`` copies of one text, edited.   -> [row, token, vocab]"""
    text, _ = model.batch(ids)
    if len(text) != 1:
        raise ValueError(f"an intervention is on one text, and got {len(text)}.")
    if source is None:
        return model.run(text.expand(rows, -1), edit=edit).output
    return model.run(text.expand(rows, -1), model.encoder.batch(source)[0].expand(rows, -1), edit=edit).output
