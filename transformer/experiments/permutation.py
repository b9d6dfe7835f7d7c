"""Does a model see order at all? The same tokens in another order, and where each token's vectors went."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.models import Model
from transformer.pretrained.checkpoint import assemble, shapes

Order = tuple[int, ...]  # at place i stands the token that was at place order[i]


def without_positions(model: Model) -> Model:
    """The same weights, none copied, in a model that adds, turns and biases nothing by position. In eval mode.

    For positions that are added, setting "embed.positions" to zeros by an edit gives the same numbers.
    """
    config = dataclasses.replace(
        model.config, position="none", rope_dims=None, rope_scaling="none", rope_factor=1.0, rope_original_len=None,
        max_distance=None, buckets=None,
    )  # fmt: skip
    kept = shapes(config)
    return assemble(config, {name: w for name, w in model.state_dict().items() if name in kept})


def in_double(model: Model, ids: Sequence[int]) -> tuple[Model, list[int]]:
    """(a copy in float64 that knows these tokens alone and has no head, the tokens as it numbers them).

    To see whether a small difference is rounding: rounding shrinks with the precision. Without the rest of its table the
    copy of an encoder is small.
    """
    table = "embedding.W_E.weight"
    config = dataclasses.replace(model.config, vocab_size=len(ids), head="none", logit_bias=False, tie_embeddings=True)
    weights = model.state_dict()
    weights = {name: (weights[name][list(ids)] if name == table else weights[name]).double() for name in shapes(config)}
    return assemble(config, weights), list(range(len(ids)))


def orders(sort_by: Sequence, swap: tuple[int, int], seed: int, fixed: Sequence[int] = ()) -> dict[str, Order]:
    """Some orders of n tokens: as they stand, two swapped, reversed, sorted by ``sort_by`` [token], shuffled.

    ``fixed``: tokens that stay where they are, such as BERT's [CLS] and [SEP]. ValueError for one that is not there.
    """
    n = len(sort_by)
    if not all(0 <= i < n for i in (*swap, *fixed)):
        raise ValueError(f"there are tokens 0 to {n - 1}; {tuple(swap)} cannot be swapped with {tuple(fixed)} fixed.")
    free = [i for i in range(n) if i not in set(fixed)]
    a, b = swap
    dice = torch.randperm(len(free), generator=torch.Generator().manual_seed(seed)).tolist()

    def placed(moved: Sequence[int]) -> Order:
        found = list(range(n))
        for place, token in zip(free, moved, strict=True):
            found[place] = token
        return tuple(found)

    return {
        "as it stands": placed(free),
        "two swapped": placed([{a: b, b: a}.get(i, i) for i in free]),
        "reversed": placed(free[::-1]),
        "sorted": placed(sorted(free, key=lambda i: sort_by[i])),
        "shuffled": placed([free[i] for i in dice]),
    }


def all_orders(pieces: Sequence[Sequence[int]]) -> list[list[int]]:
    """The ids of some words in each of their orders, a word's pieces staying together; the first as given."""
    return [[i for word in order for i in pieces[word]] for order in itertools.permutations(range(len(pieces)))]


def back(order: Sequence[int]) -> Tensor:
    """The order that undoes this one: where each token went.   -> [token]"""
    return torch.tensor(order).argsort()


class Reading(NamedTuple):
    """One model's reading of one text in several orders, each as that order has it."""

    streams: Tensor  # [layer + 1, order, token, model]: what enters the first block, and what each hands on
    A: Tensor  # [order, head, query, key] of the layer that was asked for, or [layer, order, …] of all
    output: Tensor  # [order, token, model]: the last stream, normalised where the model does that

    def pooled(self) -> Tensor:
        """The mean over the tokens, which is a sentence encoder's vector.   -> [order, model]"""
        return self.output.mean(1)


@torch.no_grad()
def read(model: Model, ids: Sequence[int], of: Sequence[Order], layer: int | None = None) -> Reading:
    """All orders in one batch, with the maps of a layer or of all. ValueError where the model has no such layer."""
    maps = [f"layers.{i}.attention.A" for i in (range(model.config.n_layers) if layer is None else [layer])]
    final = ["final_norm"] if model.config.final_norm else []
    rows, names = torch.tensor([[ids[i] for i in order] for order in of]), stream_names(model)
    trace = model.run(rows, record=(*names, *final, *maps)).trace
    A = trace[maps[0]] if layer is not None else torch.stack([trace[name] for name in maps])
    return Reading(torch.stack([trace[name] for name in names]), A, trace[(final or names[-1:])[0]])


def stream_names(model: Model) -> list[str]:
    """What enters the first block, and what each block hands on."""
    config = model.config
    normed = config.norm_place == "post" and config.norm != "none"
    return ["embed", *(f"layers.{i}.{'norm_2' if normed else 'resid_post'}" for i in range(config.n_layers))]


def put_back(x: Tensor, of: Sequence[Order], dims: Sequence[int]) -> Tensor:
    """Every token where it was in the first place.

    x [order, …]; dims: its axes that go over tokens, two for a map (its queries and its keys).
    """
    dims = [dim - 1 for dim in dims]
    return torch.stack([_reordered(one, back(order), dims) for one, order in zip(x, of, strict=True)])


def _reordered(x: Tensor, order: Tensor, dims: Sequence[int]) -> Tensor:
    for dim in dims:
        x = x.index_select(dim, order)
    return x


def moved(streams: Tensor, of: Sequence[Order]) -> Tensor:
    """How far each token's vector is from what it is in the first order: ‖x' − x‖ over the longer of both, every layer.

    (The longer: a decoder's first token, whichever it is, can be a hundred times as long as elsewhere.)
    streams [layer + 1, order, token, model] -> [order, token, layer + 1]; 0 for all where a model does not see order.
    """
    home = torch.stack([put_back(x, of, (1,)) for x in streams])  # [layer + 1, order, token, model]
    first = home[:, :1]
    longer = home.norm(dim=-1).maximum(first.norm(dim=-1))
    return ((home - first).norm(dim=-1) / longer).permute(1, 2, 0)


def largest_difference(reading: Reading, of: Sequence[Order]) -> Tensor:
    """max |Δ| over all tokens and coordinates of the output, put back.   -> [order]"""
    home = put_back(reading.output, of, (1,))
    return (home - home[0]).abs().amax((1, 2))


def angles(vectors: Tensor) -> Tensor:
    """Between each two of them, in degrees; by an arctangent, since an arc cosine cannot tell small angles from 0.

    vectors [vector, model] -> [vector, vector].
    """
    unit = vectors.double() / vectors.double().norm(dim=-1, keepdim=True)
    apart, along = (unit[:, None] - unit).norm(dim=-1), (unit[:, None] + unit).norm(dim=-1)
    return 2 * torch.atan2(apart, along).rad2deg()


class Place(NamedTuple):
    """Where a token stands, read off its vector after each layer."""

    said: Tensor  # [layer + 1, window, token]: ln(1 + place)
    explained: Tensor  # [layer + 1]: R² of it, 1 when every place is told, about 0 when none is


@torch.no_grad()
def place_read_off(model: Model, learn: Tensor, test: Tensor, squares: bool = True, ridge: float = 10.0) -> Place:
    """Fit ln(1 + place) = xᵀ W x + w · x + b on the vectors of ``learn``; read it off those of ``test``.

    Without ``squares`` W = 0: a straight line. It takes squares to see that a mean of many vectors is shorter than a
    mean of few, which is what a causal mask leaves of the place (Chi et al. 2023, arXiv:2305.13571). Least squares with
    a little ridge, every feature in units of its spread.   learn, test: ids [window, token].
    """
    there = (1 + torch.arange(learn.shape[1], dtype=torch.float64)).log()
    said = []
    for name in stream_names(model):
        spread = features(model, learn[:32], name, squares).flatten(0, 1).std(0).clamp_min(1e-6)

        def of(ids: Tensor, name: str = name, spread: Tensor = spread) -> Tensor:
            x = features(model, ids, name, squares) / spread
            return torch.cat((x, torch.ones_like(x[..., :1])), -1)  # [window, token, feature]

        gram, along = 0.0, 0.0
        for part in learn.split(32):  # never all of them at once
            x = of(part).flatten(0, 1)
            gram, along = gram + x.mT @ x, along + x.mT @ there.repeat(len(part))
        w = torch.linalg.solve(gram + ridge * torch.eye(len(along), dtype=along.dtype), along)
        said.append(torch.cat([of(part) @ w for part in test.split(32)]))
    found = torch.stack(said)
    missed = (found - there).square().mean((1, 2))
    return Place(found.float(), (1 - missed / there.var(correction=0)).float())


def features(model: Model, ids: Tensor, name: str, squares: bool) -> Tensor:
    """The coordinates of every token's vector and, with ``squares``, all products of two: [window, token, feature]."""
    x = model.run(ids, record=name).trace[name].double()
    if not squares:
        return x
    i, j = torch.triu_indices(x.shape[-1], x.shape[-1])
    return torch.cat((x, x[..., i] * x[..., j]), -1)
