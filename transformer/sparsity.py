"""Weights that are 0: what makes them so in training, and what is left when the small ones are taken away.

    for at in fit(model, batch, steps, state=state, lr=rate):
        proximal_step(state.optimiser, matrices(model).values(), at.lr, lam)   # exact zeros

    model = pruned(model, share=0.9)                                           # a copy without its 90 % smallest weights

Tibshirani 1996 (the lasso); Beck & Teboulle 2009 (ISTA: gradient step, then soft threshold); Han et al. 2015,
arXiv:1506.02626 (pruning by magnitude); Yun et al. 2020, arXiv:2007.07714 (the proximal step behind Adam).
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from transformer.models import Model

Scope = Literal["global", "matrix", "random"]


def matrices(model: nn.Module) -> dict[str, Tensor]:
    """The matrices that linear layers multiply with, by name; embeddings, biases and norms are left alone."""
    return {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}


def soft_threshold(z: Tensor, t: Tensor | float) -> Tensor:
    """prox(z) = argmin_u ½(u − z)² + t·|u| = sign(z)·max(|z| − t, 0): whatever is within t of 0 becomes 0.

    z [...], t a number or of z's shape, at least 0 -> [...].
    """
    return z.sign() * (z.abs() - t).clamp(min=0)


def l1(weights: Iterable[Tensor]) -> Tensor:
    """‖W‖₁ = Σ |w|, over all of them.   -> []"""
    return torch.stack([W.abs().sum() for W in weights]).sum()


@torch.no_grad()
def proximal_step(optimiser: torch.optim.Optimizer, weights: Iterable[Tensor], lr: float, lam: float) -> None:
    """w ← prox(w) with t = λ·reach, after the optimiser's step on the loss alone: the other half of minimising
    L + λ‖W‖₁, done exactly instead of by a slope."""
    for W in weights:
        W.copy_(soft_threshold(W, lam * reach(optimiser, W, lr)))


def reach(optimiser: torch.optim.Optimizer, W: Tensor, lr: float) -> Tensor | float:
    """How far a steady gradient of 1 moves each weight in one step: η, and under Adam η / (√v̂ + ε).

    v̂ is Adam's running mean of squared gradients, corrected for its start at 0: the optimiser's own yardstick for each
    weight, which the threshold has to use as well for λ to mean the same. -> a number or [as W].
    """
    state = optimiser.state.get(W, {})
    if "exp_avg_sq" not in state:
        return lr
    group = next(g for g in optimiser.param_groups if any(p is W for p in g["params"]))
    v_hat = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
    return lr / (v_hat.sqrt() + group["eps"])


def share_zero(values: Iterable[Tensor]) -> float:
    """The share that is exactly 0."""
    return _share(values, lambda x: x == 0)


def share_small(values: Iterable[Tensor], below: float = 1e-3) -> float:
    """The share whose size is smaller than ``below``, exact zeros among them."""
    return _share(values, lambda x: x.abs() < below)


def magnitudes(values: Iterable[Tensor], edges: Tensor) -> tuple[Tensor, int]:
    """(how many have |w| between two edges [bin], how many are exactly 0); what lies outside goes into the last bin on
    its side.   edges [bin + 1], rising, above 0."""
    sizes = torch.cat([x.detach().flatten() for x in values]).abs().float()
    zero = int((sizes == 0).sum())
    where = torch.bucketize(sizes[sizes > 0], edges[1:-1].float(), right=True)
    return torch.bincount(where, minlength=len(edges) - 1), zero


def share_up_to(a: Tensor, thresholds: Tensor) -> Tensor:
    """The share of a whose size is at most each threshold: what a cut there would make 0.   thresholds [point] -> [point]"""
    sizes = a.abs().flatten().float().sort().values
    return torch.searchsorted(sizes, thresholds.to(sizes), right=True) / len(sizes)


def keep(weights: Mapping[str, Tensor], share: float, scope: Scope = "global", seed: int = 0) -> dict[str, Tensor]:
    """name -> True where a weight stays. Removed are the smallest ⌊share·N⌉ in size: of all matrices together
    ("global"), or of each by itself ("matrix"); or as many anywhere ("random").

    Raises ValueError for a share outside [0, 1] and for another scope.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share to prune is {share}; it must be between 0 and 1.")
    if scope not in get_args(Scope):
        raise ValueError(f"there is no scope {scope!r}; it is one of {', '.join(get_args(Scope))}.")
    dice = torch.Generator().manual_seed(seed)
    sizes = {
        name: torch.rand(W.shape, generator=dice) if scope == "random" else W.detach().abs()
        for name, W in weights.items()
    }
    if scope == "matrix":
        return {name: _largest(size.flatten(), share).view(size.shape) for name, size in sizes.items()}
    stays = _largest(torch.cat([size.flatten() for size in sizes.values()]), share)
    parts = stays.split([size.numel() for size in sizes.values()])
    return {name: part.view(size.shape) for (name, size), part in zip(sizes.items(), parts, strict=True)}


def cut(weights: Mapping[str, Tensor], share: float) -> float:
    """τ: the size of the largest weight that ``keep`` removes from all matrices together; 0 where it removes none."""
    stays = keep(weights, share)
    return max((float(W.detach()[~stays[name]].abs().max()) for name, W in weights.items() if not stays[name].all()), default=0.0)


def pruned(model: Model, share: float, scope: Scope = "global", seed: int = 0) -> Model:
    """A copy of ``model`` in which so large a share of the weights in ``matrices`` is 0; nothing is trained again."""
    thinner = copy.deepcopy(model)
    weights = matrices(thinner)
    with torch.no_grad():
        for name, stays in keep(weights, share, scope, seed).items():
            weights[name].mul_(stays)
    return thinner


def largest(a: Tensor, share: float) -> Tensor:
    """a without the smallest ⌊share·n⌉ of each row, which become 0.   a [..., n] -> [..., n]"""
    drop = round(share * a.shape[-1])
    if not drop:
        return a
    least = a.abs().topk(drop, dim=-1, largest=False).indices
    return a.scatter(-1, least, 0.0)


def knee(shares: Iterable[float], kept: Iterable[float], floor: float) -> float:
    """The largest share up to which all that is ``kept`` (accuracy, or minus a loss) is at least ``floor``; 0 where none."""
    last = 0.0
    for share, value in zip(shares, kept, strict=True):
        if value < floor:
            break
        last = share
    return last


def _largest(sizes: Tensor, share: float) -> Tensor:
    """False for the smallest ⌊share·n⌉ exactly; of equals the first.   sizes [n] -> [n]"""
    drop = round(share * len(sizes))
    stays = torch.ones(len(sizes), dtype=torch.bool)
    if drop:
        cut = sizes.kthvalue(drop).values
        stays = sizes > cut
        equal = (sizes == cut).nonzero()[:, 0]
        stays[equal[drop - int((sizes < cut).sum()) :]] = True
    return stays


def _share(values: Iterable[Tensor], hit: Callable[[Tensor], Tensor]) -> float:
    counted = [(int(hit(x.detach()).sum()), x.numel()) for x in values]
    if not (total := sum(n for _, n in counted)):
        raise ValueError("there is nothing to count.")
    return sum(k for k, _ in counted) / total
