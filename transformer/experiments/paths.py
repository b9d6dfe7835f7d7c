"""Paths: a residual stack of m sublayers is 2^m networks in one, a path for each choice of going through or around.

x_{s+1} = x_s + F_s(x_s), so the gradient at the bottom is (1 + J_1ᵀ)(1 + J_2ᵀ) … (1 + J_mᵀ) g with g the gradient at the top:
multiplied out, a term for each path. Veit et al. 2016, arXiv:1605.06431, sampled such paths; here the terms of each length
are added up exactly, all paths of one length at once.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.experiments.depth import SEEDS, config
from transformer.models import Ids, Model

DEPTHS = [1, 2, 4, 8, 16, 24]  # layers of the stacks whose paths are counted


class Paths(NamedTuple):
    """The gradient of the loss with respect to the embedding, by how many sublayers a path goes through: 0 … m."""

    gradient: Tensor  # G_k [length, token, model]; their sum is the gradient
    share: Tensor  # ⟨G_k, G⟩ / ‖G‖², which add up to 1; below 0 where it points the other way [length]
    size: Tensor  # ‖G_k‖ / ‖G‖ [length]
    count: Tensor  # of the 2^m paths, how many have this length, as a share [length]


def split(model: Model, ids: Ids) -> Paths:
    """One reading, one walk back: G^{(s)}_k = G^{(s+1)}_k + J_sᵀ G^{(s+1)}_{k−1}, a vector–Jacobian product a sublayer.

    Raises ValueError where the stream is no plain sum (post-norm), and for fewer than two tokens.
    """
    config = model.config
    if config.norm_place == "post" and config.norm != "none":
        raise ValueError("with the norm behind the sum no path goes around it; paths need pre-norm, sandwich or no norm.")
    text, _ = model.batch(ids)
    if text.shape[1] < 2:
        raise ValueError("A gradient needs a next token to predict: give at least two tokens.")
    sublayers = [(f"layers.{i}.{into}", f"layers.{i}.{part}.out") for i in range(config.n_layers)
                 for into, part in (("resid_pre", "attention"), ("resid_mid", "ffn"))]  # fmt: skip
    top = f"layers.{config.n_layers - 1}.resid_post"
    names = [*(name for pair in sublayers for name in pair), top, "*.attention.A"]  # A: the textbook path, whose backward
    run = model.run(text[:, :-1], record=names, edit={"embed": _leaf}, gradients=True)  # takes several vectors at once
    L = F.cross_entropy(run.output.flatten(0, 1), text[:, 1:].flatten())
    (g,) = torch.autograd.grad(L, run.trace[top], retain_graph=True)
    G = g  # [length, token, model]: the batch of one text is the length 0
    for into, out in reversed(sublayers):
        (through,) = torch.autograd.grad(
            run.trace[out], run.trace[into], G[:, None], retain_graph=True, is_grads_batched=True
        )  # [length, 1, token, model]
        none = torch.zeros_like(g)
        G = torch.cat((G, none)) + torch.cat((none, through[:, 0]))
    return Paths(G, *shares(G), counts(len(sublayers)))


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()  # nothing below the embedding is asked for


def shares(G: Tensor) -> tuple[Tensor, Tensor]:
    """⟨G_k, G⟩ / ‖G‖² and ‖G_k‖ / ‖G‖ with G = Σ_k G_k.   G [length, token, model] -> [length] twice"""
    total = G.sum(0)
    return (G * total).sum((1, 2)) / total.square().sum(), G.norm(dim=(1, 2)) / total.norm()


def counts(m: int) -> Tensor:
    """(m choose k) / 2^m of the 2^m paths through m sublayers go through k of them.   -> [m + 1], float64"""
    return torch.tensor([math.comb(m, k) / 2**m for k in range(m + 1)], dtype=torch.float64)


def mean_length(weights: Tensor | Sequence[float]) -> float:
    """Σ_k k w_k of weights that add up to 1."""
    w = torch.as_tensor(weights, dtype=torch.float64)
    return (torch.arange(len(w)) * w).sum().item()


class Lengths(NamedTuple):
    """One depth's paths over the seeds, and the share of the gradient that came by each length."""

    layers: int
    share: Tensor  # [seed, length]
    size: Tensor  # [seed, length]


def sweep(ids: Sequence[int], depths: Sequence[int] = DEPTHS, seeds: Sequence[int] = SEEDS) -> Iterator[Lengths]:
    """``split`` for untrained pre-norm stacks of every depth and seed, depth by depth."""
    for layers in depths:
        found = [split(build(config(layers), seed), ids) for seed in seeds]
        yield Lengths(layers, torch.stack([one.share for one in found]), torch.stack([one.size for one in found]))
