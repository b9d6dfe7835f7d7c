"""Depth: what reaches each layer of a stack before training, the signal on its way up and the gradient on its way down.

One reading of one text by an untrained model, and one backward pass of its next-token loss. Where the norm stands
(Xiong et al. 2020, arXiv:2002.04745) and whether there is a skip connection (He et al. 2016, arXiv:1512.03385) decide
what is left at the far end.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer import names
from transformer.build import build
from transformer.config import Config, NormKind, NormPlace
from transformer.models import Model
from transformer.tap import Edit

DEPTHS = [2, 4, 8, 16, 24, 32, 48]
SEEDS = 0, 1, 2
WIDTH, HEADS, BYTES = 32, 2, 256  # of the models that are measured; they read a text in bytes


class Layers(NamedTuple):
    """What reaches each layer. The stream has layers + 1 places: before the first layer, and after each."""

    stream: Tensor  # root mean square of the stream's entries [place]
    signal: Tensor  # ‖∂L/∂x‖, L's gradient with respect to the whole stream there [place]
    weights: Tensor  # ‖∂L/∂W‖ over all weights of the layer's FFN and attention [layer]
    turned: Tensor  # 1 − cos(x before the layer, x after it), mean over the tokens [layer]
    apart: Tensor  # ‖X − 1 x̄ᵀ‖ / ‖X‖, x̄ the mean token: 0 where all tokens are one and the same [place]
    alike: Tensor  # mean cosine between two different tokens [place]
    loss: Tensor  # []


def config(layers: int, place: NormPlace = "pre", norm: NormKind = "layer") -> Config:
    """The decoder that is measured: small, in bytes, its matrices drawn by Glorot's rule, as in the 2017 model."""
    return Config(
        vocab_size=BYTES, d_model=WIDTH, n_layers=layers, n_heads=HEADS, position="learned", norm=norm, norm_place=place,
        activation="relu", init="xavier",
    )  # fmt: skip


def bytes_of(text: str, most: int = 64) -> list[int]:
    """The text's first bytes (UTF-8), which these models read as tokens. ValueError where there are fewer than two."""
    ids = list(text.encode("utf-8")[:most])
    if len(ids) < 2:
        raise ValueError("A gradient needs a next token to predict: give at least two characters.")
    return ids


def residual(share: float, layers: Sequence[int] | None = None, parts: Sequence[str] = ("attention", "ffn")) -> dict[str, Edit]:
    """Edits for ``Model.run`` that scale the skip connection: x + F(x) becomes share · x + F(x); at 0 it is gone.

    F(x) is what the sublayer adds, so the edit is F(x) ↦ F(x) + (share − 1) x, and holds wherever the norm stands; only
    with the norm behind the sum would taking the sum's place not do. Forward and backward are then those of the block
    without the skip, but for the rounding of x − x. ``layers``: of which layers (None: all), ``parts``: of which of
    their two sums. The edits of one call keep what came in between two of them: give them to one run at a time.
    """
    came_in: dict[str, Tensor] = {}
    edits: dict[str, Edit] = {}

    def keeps(part: str) -> Edit:
        def keep(x: Tensor) -> Tensor:
            came_in[part] = x
            return x

        return keep

    def adds(part: str) -> Edit:
        return lambda out: out + (share - 1) * came_in.pop(part)

    for layer in ["*"] if layers is None else layers:
        for part in parts:
            edits[f"layers.{layer}.{'resid_pre' if part == 'attention' else 'resid_mid'}"] = keeps(part)
            edits[f"layers.{layer}.{part}.out"] = adds(part)
    return edits


def measure(model: Model, ids: Sequence[int], share: float = 1.0) -> Layers:
    """One reading of ``ids``, each byte to be told from those before it, and one backward pass.

    share: of the stream that skips each sublayer, 1 as built, 0 without residual connections. Leaves no gradient on the
    model. Raises ValueError as ``Model.run`` does.
    """
    text = torch.tensor([list(ids)])
    n_layers = model.config.n_layers
    places = [f"layers.{i}.resid_pre" for i in range(n_layers)] + [f"layers.{n_layers - 1}.resid_post"]
    edit = {} if share == 1 else residual(share)
    run = model.run(text[:, :-1], record=("layers.*.resid_pre", places[-1]), edit=edit, gradients=True)
    X = [run.trace[name] for name in places]  # each [1, token, model]
    L = F.cross_entropy(run.output[0], text[0, 1:])
    weights = [list(block.parameters()) for block in model.stack.blocks]
    matrices = [[w for w in of if w.dim() > 1] for of in weights]
    flat = [w for of in matrices for w in of]
    found = torch.autograd.grad(L, [*X, *flat])
    of_stream, of_weights = found[: len(X)], list(found[len(X) :])
    lengths = [torch.stack([of_weights.pop(0).norm() for _ in of]).norm() for of in matrices]
    X = torch.cat(X).detach()  # [place, token, model]
    unit = F.normalize(X, dim=-1, eps=1e-300)
    return Layers(
        stream=X.square().mean((1, 2)).sqrt(),
        signal=torch.stack([g.norm() for g in of_stream]),
        weights=torch.stack(lengths),
        turned=1 - (unit[:-1] * unit[1:]).sum(-1).mean(-1),
        apart=apart(X),
        alike=alike(X),
        loss=L.detach(),
    )


def apart(X: Tensor) -> Tensor:
    """‖X − 1 x̄ᵀ‖_F / ‖X‖_F with the mean token x̄: how much of the tokens is not shared by all of them.

    Dong et al. 2021, arXiv:2103.03404, follow the same remainder (in another norm). X [..., token, model] -> [...]
    """
    return (X - X.mean(-2, keepdim=True)).norm(dim=(-2, -1)) / X.norm(dim=(-2, -1)).clamp_min(1e-300)


def alike(X: Tensor) -> Tensor:
    """Mean cosine between two different tokens; 1 where all point one way. X [..., token, model] -> [...]"""
    unit, n = F.normalize(X, dim=-1, eps=1e-300), X.shape[-2]
    pairs = unit.sum(-2).square().sum(-1) - unit.square().sum((-2, -1))  # Σ_{i ≠ j} cos
    return pairs / max(1, n * (n - 1))


class Depth(NamedTuple):
    """One depth's ``Layers`` over the seeds: [seed, place], [seed, layer] or [seed] each."""

    layers: int
    of: Layers


def sweep(
    ids: Sequence[int], place: NormPlace = "pre", norm: NormKind = "layer", share: float = 1.0,
    depths: Sequence[int] = DEPTHS, seeds: Sequence[int] = SEEDS,
) -> Iterator[Depth]:  # fmt: skip
    """``measure`` for stacks of every depth and seed, depth by depth.

    In float64: what grows or fades by the layer soon leaves float32.
    """
    for depth in depths:
        of = [measure(build(config(depth, place, norm), seed).double(), ids, share) for seed in seeds]
        yield Depth(depth, Layers(*(torch.stack(values) for values in zip(*of, strict=True))))


class Spread(NamedTuple):
    """A quantity over the seeds: the middle one, the lowest and the highest [depth, place]; nan above a stack's top."""

    middle: Tensor
    low: Tensor
    high: Tensor


def spread(found: Iterable[Depth], field: str, depths: Sequence[int] = DEPTHS) -> Spread:
    """One field of ``Layers`` over the seeds at every depth; nan at depths that have not been measured (yet)."""
    rows = torch.full((3, len(depths), max(depths) + 1), torch.nan)
    for one in found:
        values = getattr(one.of, field).float()  # [seed, place]
        row = rows[:, list(depths).index(one.layers), : values.shape[1]]
        row[:] = torch.stack((values.median(0).values, values.amin(0), values.amax(0)))
    return Spread(*rows)


class Flow(NamedTuple):
    """What the layers of a model do to each token's stream."""

    stream: Tensor  # root mean square of its entries [token, place]
    written: Tensor  # ‖x_{l+1} − x_l‖ / ‖x_l‖ [token, layer]
    turned: Tensor  # 1 − cos(x_l, x_{l+1}) [token, layer]


def flow(X: Tensor) -> Flow:
    """X [place, token, model]: the stream before the first layer, and after each."""
    X = X.double()  # 1 − cos of what hardly moves is lost in float32
    before, after = X[:-1], X[1:]
    written = (after - before).norm(dim=-1) / before.norm(dim=-1)
    return Flow(X.square().mean(-1).sqrt().T, written.T, 1 - F.cosine_similarity(before, after, dim=-1).T)


class Node(NamedTuple):
    """A tensor on the way through a block, and how large its entries are, root mean square over all tokens."""

    name: str  # as recorded, without the layer: "norm_1", "attention.out"
    size: float


@torch.no_grad()
def block_sizes(model: Model, ids: Sequence[int], layer: int) -> list[Node]:
    """What a run of this config records on the way through a layer's two sublayers, in the order of computation.

    With the norm behind the sum the sum itself has no name of its own: "sum_1" and "sum_2" are what enters these norms.
    """
    here = f"layers.{layer}."
    wanted = ("resid_pre", "norm_1", "attention.raw", "attention.out", "resid_mid", "norm_2", "ffn.raw", "ffn.out", "resid_post")
    found = [name for name in names.of(model.config) if name.startswith(here) and name.removeprefix(here) in wanted]
    trace = model.run(torch.tensor([list(ids)[:-1]]), record=found).trace
    tensors = {name.removeprefix(here): tensor for name, tensor in trace.items()}
    nodes = []
    for name in (name.removeprefix(here) for name in found):
        if model.config.norm_place == "post" and name in ("norm_1", "norm_2"):
            added = tensors["resid_pre"] + tensors["attention.out"] if name == "norm_1" else tensors["resid_mid"] + tensors["ffn.out"]
            nodes.append(Node(name.replace("norm", "sum"), _rms(added)))
        nodes.append(Node(name, _rms(tensors[name])))
    return nodes


def _rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()
