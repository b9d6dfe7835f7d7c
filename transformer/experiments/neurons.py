"""The FFN's neurons, one token at a time: who fires, what each writes, and that no token hears of another's."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.attribution import read_direction
from transformer.geometry import Geometry
from transformer.models import Model
from transformer.norms import RMSNorm
from transformer.tap import OFF, Tap

MIXED = ("norm_2", "ffn.pre", "ffn.post", "ffn.out")  # of the layer whose input is changed, in the order of computation
NEXT = ("attention.out", "ffn.out")  # of the layer after it


class Firing(NamedTuple):
    """Of one layer, token by token."""

    open: Tensor  # [token]: share of the neurons whose σ has something positive to pass on
    half: Tensor  # [token]: share of the neurons that make up half of ‖a‖², the loudest first
    most: Tensor  # [token]: 90 % of it
    write: Tensor  # [token]: ‖what the FFN adds‖ / ‖the stream it is added to‖


def firing(u: Tensor, a: Tensor, out: Tensor, stream: Tensor) -> Firing:
    """u: what the activation is given (the gate, where there is one), a: after it (and the gate) [token, ff]; out,
    stream [token, model]."""
    heard = a.square().sort(-1, descending=True).values.cumsum(-1)
    heard = heard / heard[:, -1:].clamp_min(1e-30)
    share = lambda part: ((heard < part).sum(-1) + 1).clamp_max(a.shape[-1]) / a.shape[-1]  # noqa: E731
    return Firing((u > 0).float().mean(-1), share(0.5), share(0.9), out.norm(dim=-1) / stream.norm(dim=-1))


class Memory(NamedTuple):
    """One neuron at one token: its column of W_2 read as a memory (Geva et al. 2021, arXiv:2012.14913)."""

    neuron: int
    a: float
    target: float  # what it adds to the logit of the word that is asked about
    up: tuple[tuple[int, float], ...]  # (token, what it adds to that token's logit here), the most raised first
    down: tuple[tuple[int, float], ...]  # the most lowered first


def check_readable(model: Model) -> None:
    """ValueError for a model whose neurons cannot be read through its end."""
    config = model.stack.config
    if config.head != "lm" or config.norm_place != "pre" or not isinstance(model.final_norm, RMSNorm):
        raise ValueError("what a neuron writes is read through a final RMSNorm and a matrix over the vocabulary; this "
                         "model has not both.")  # fmt: skip


@torch.no_grad()
def written(model: Model, layer: int, neurons: Tensor) -> Tensor:
    """W_U (γ ⊙ w_j): what one unit of each neuron adds to every logit, but for the final norm's scale.

    w_j is the neuron's column of W_2. The direct way alone: later layers may read it too. neurons [neuron] -> [neuron,
    vocab]. ValueError as ``check_readable``.
    """
    check_readable(model)
    w = columns(model, layer)[:, neurons].T  # [neuron, model]
    logits = model.read_off(w * model.final_norm.gamma, None, OFF)
    return logits if model.b_U is None else logits - model.b_U


@torch.no_grad()
def contributions(model: Model, layer: int, trace: Mapping[str, Tensor], token: int, target: int) -> Tensor:
    """What every neuron of a layer adds to one logit at a token: a_j · w_j · (γ ⊙ W_U[target]) / rms(x).   -> [ff]

    trace: with the layer's ffn.post and the last layer's resid_post, [batch, token, …]; x is the stream's end. They
    add up to the FFN's direct share, but for its bias. ValueError as ``check_readable``.
    """
    return _contributions(model, layer, trace, [token], toward(model, [target]))[0]


@torch.no_grad()
def memories(
    model: Model, layer: int, trace: Mapping[str, Tensor], token: int, target: int, *, loudest: bool = True,
    count: int = 6, words: int = 8,
) -> list[Memory]:  # fmt: skip
    """``count`` neurons of a layer at a token, and the words that each raises and lowers there the most.

    loudest: those that write most, |a_j| ‖w_j‖; else those that add most to the target's logit. Effects are in logits:
    a_j · W_U(γ ⊙ w_j) / rms(x). trace as for ``contributions``; ValueError as ``check_readable``.
    """
    found = memories_at(model, layer, trace, [token], toward(model, [target]), count=count, words=words)
    return found[0][0 if loudest else 1]


@torch.no_grad()
def memories_at(
    model: Model, layer: int, trace: Mapping[str, Tensor], tokens: Sequence[int], to: Tensor, *, count: int = 6,
    words: int = 8,
) -> list[tuple[list[Memory], list[Memory]]]:  # fmt: skip
    """``memories`` of several tokens in one product: for each (the loudest, those that speak for its target).

    to [token, model]: ``toward`` of each one's target, the same for all layers.
    """
    W_2, a = columns(model, layer), trace[f"layers.{layer}.ffn.post"][0, list(tokens)]  # [token, ff]
    own = _contributions(model, layer, trace, tokens, to)
    chosen = torch.stack((a.abs() * W_2.norm(dim=0), own), 1).topk(min(count, a.shape[-1])).indices
    every, place = chosen.unique(return_inverse=True)  # place [token, order, neuron]
    effects = a.gather(1, chosen.flatten(1)).view_as(chosen)[..., None] * written(model, layer, every)[place]
    effects *= _end_scale(model, trace, tokens)[:, None, None, None]  # [token, order, neuron, vocab]
    up, down = effects.topk(words), effects.topk(words, largest=False)

    def listed(t: int, order: int) -> list[Memory]:
        def side(of: torch.return_types.topk, i: int) -> tuple[tuple[int, float], ...]:
            return tuple(zip(of.indices[t, order, i].tolist(), of.values[t, order, i].tolist(), strict=True))

        return [Memory(j, a[t, j].item(), own[t, j].item(), side(up, i), side(down, i))
                for i, j in enumerate(chosen[t, order].tolist())]  # fmt: skip

    return [(listed(t, 0), listed(t, 1)) for t in range(len(tokens))]


def toward(model: Model, targets: Sequence[int]) -> Tensor:
    """γ ⊙ W_U[target]: the direction in the stream's end that raises each target.   -> [target, model]

    ValueError as ``check_readable``.
    """
    check_readable(model)
    return torch.stack([read_direction(model, target, None).detach() * model.final_norm.gamma.detach() for target in targets])


def _contributions(
    model: Model, layer: int, trace: Mapping[str, Tensor], tokens: Sequence[int], to: Tensor
) -> Tensor:  # fmt: skip
    a = trace[f"layers.{layer}.ffn.post"][0, list(tokens)]  # [token, ff]
    return a * (to @ columns(model, layer)) * _end_scale(model, trace, tokens)[:, None]


def columns(model: Model, layer: int) -> Tensor:
    """W_2 of a layer: its columns are what the neurons write.   -> [model, ff]"""
    return model.stack.blocks[layer % len(model.stack.blocks)].ffn.W_2.weight


def _end_scale(model: Model, trace: Mapping[str, Tensor], tokens: Sequence[int]) -> Tensor:
    end = trace[f"layers.{model.config.n_layers - 1}.resid_post"][0, list(tokens)]
    return (end.square().mean(-1) + model.config.norm_eps).rsqrt()  # [token]


@torch.no_grad()
def changed_rows(
    model: Model, ids: list[int], layer: int, tokens: Sequence[int] | None = None, stream: Tensor | None = None
) -> tuple[list[str], Tensor]:  # fmt: skip
    """Who notices when one token's input to the FFN of a layer is another's: max |Δ| of every row, place by place.

    Token j's vector is replaced by that of the token before it (the first by the last's), the rest of the text stays.
    Only this layer and the next are computed again, all in one shape: rows which nothing changed are equal bit for bit.
    tokens: which are changed, one at a time; all of them unless given. stream: the layer's "resid_pre" [1, token, model]
    where the text has been read already.
    -> the places' names in the order of computation, and [changed token, token, place].
    ValueError for a text of one token, or a model with a norm after the block.
    """
    config, here = model.config, f"layers.{layer}."
    if len(ids) < 2:
        raise ValueError("a second token is needed: with one there is nobody to hear of a change.")
    if config.norm_place != "pre":
        raise ValueError("the FFN's input is taken behind a norm in front of it; this model has its norms elsewhere.")
    places = [here + name for name in MIXED]
    if layer + 1 < config.n_layers:
        places += [f"layers.{layer + 1}.{name}" for name in NEXT]
    if stream is None:
        stream = model.run(ids, record=here + "resid_pre").trace[here + "resid_pre"]
    at = torch.arange(len(ids))[None]
    geometry = Geometry(model.stack.config, at, at, bias=model.bias)

    def read_on(tap: Tap) -> tuple[Tensor, None]:
        x = stream
        for i in range(layer, min(layer + 2, config.n_layers)):
            x, *_ = model.stack.blocks[i % len(model.stack.blocks)](x, geometry, None, tap / "layers" / i)
        return x, None

    plain, rows = model.recorded(read_on, places, None, gradients=False).trace, []
    for j in range(len(ids)) if tokens is None else tokens:
        def swap(x: Tensor, j: int = j) -> Tensor:
            other = x.clone()
            other[:, j] = x[:, j - 1]
            return other

        trace = model.recorded(read_on, places, {here + "norm_2": swap}, gradients=False).trace
        rows.append(torch.stack([(trace[place] - plain[place])[0].abs().amax(-1) for place in places], -1))
    return places, torch.stack(rows)
