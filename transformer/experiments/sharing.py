"""Fewer key/value heads for a model that is already trained: repeat them, average them, or squeeze them into a latent.

    regrouped(model, 1)   the mean of the groups, as GQA converts a multi-head checkpoint (Ainslie et al. 2023, §2.1)
    regrouped(model, 9)   more heads than there were: copies, and the very same output
    squeezed(model, 64)   W_K and W_V through a joint bottleneck of 64 numbers a token, the nearest one (SVD)

Nothing is trained again here; Ainslie et al. go on training for 5 % of the original steps, DeepSeek-V2 (2024,
arXiv:2405.04434) has its latent from the start. So these show what the step itself costs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from transformer import cost, scores
from transformer.attention import masked_softmax
from transformer.build import MODELS
from transformer.config import Config
from transformer.masks import mask
from transformer.models import Model


def choices(n_heads: int) -> list[int]:
    """How many key/value heads h query heads can share evenly, most first: h, …, 1."""
    return [h_kv for h_kv in range(n_heads, 0, -1) if n_heads % h_kv == 0]


def regroup(heads: Tensor, h_kv: int) -> Tensor:
    """[kv_head, …] -> [h_kv, …]: the mean of neighbours where there are fewer now, copies where there are more.

    Query head i reads key/value head i // (h / h_kv) before and after, so that only its own group goes into the mean.
    ValueError where the old number and the new do not divide.
    """
    old = heads.shape[0]
    if old % h_kv == 0:
        return heads.unflatten(0, (h_kv, old // h_kv)).mean(1)
    if h_kv % old == 0:
        return heads.repeat_interleave(h_kv // old, 0)
    raise ValueError(f"{old} key/value heads cannot become {h_kv}: one number must divide the other.")


def weights_of(Q: Tensor, K: Tensor, config: Config) -> Tensor:
    """A = softmax(Q Kᵀ/√d_k + mask) with whatever number of key heads K has.

    Q [head, query, d_head], K [kv_head, key, d_head] -> A [head, query, key].
    """
    at = torch.arange(Q.shape[1])[None]
    S = scores.dot(Q[None], K.repeat_interleave(Q.shape[0] // K.shape[0], 0)[None], scores.scale(config))
    return masked_softmax(S, mask(config, at, at))[0]


def moved(A: Tensor, B: Tensor) -> Tensor:
    """How much of a row's weight lies elsewhere now: ½ Σ_j |A_ij − B_ij|, the mean over queries. [..., query, key] -> [...]"""
    return (A - B).abs().sum(-1).mean(-1) / 2


def regrouped(model: Model, h_kv: int) -> Model:
    """The same model with h_kv key/value heads, ``regroup`` of its own; every other weight is shared with it.

    Raises ValueError for latent attention and others whose keys have no heads of their own, and as ``regroup`` does.
    """
    config = _plain(model.config)
    state = model.state_dict()
    for name in [name for name in state if ".attention.W_K." in name or ".attention.W_V." in name]:
        heads = state[name].unflatten(0, (config.n_kv_heads, config.d_head))
        state[name] = regroup(heads, h_kv).flatten(0, 1)
    return _assembled(replace(config, n_kv_heads=h_kv), state)


def bases(model: Model) -> dict[str, Tensor]:
    """Each layer's left singular vectors of [W_K; W_V], largest first: what ``squeezed`` needs, worked out once."""
    state = model.state_dict()
    names = [name for name in state if name.endswith(".attention.W_K.weight")]
    return {name: torch.linalg.svd(_stacked(state, name), full_matrices=False).U for name in names}


def _stacked(state: Mapping[str, Tensor], W_K: str) -> Tensor:
    return torch.cat((state[W_K], state[W_K.replace("W_K", "W_V")]))  # [2 · kv_head · d_head, model]


def squeezed(model: Model, rank: int, known: Mapping[str, Tensor] | None = None) -> Model:
    """The same model, its keys and values read off ``rank`` numbers a token: [W_K; W_V] -> U_r U_rᵀ [W_K; W_V].

    U_r: the first r left singular vectors, layer by layer, so that this is the nearest pair of matrices of that rank
    (Eckart & Young 1936). c = x (U_rᵀ[W_K; W_V])ᵀ is what a cache would keep; keys are turned after they are made from it.
    Biases stay. ``known``: the model's ``bases``, where several ranks are asked for. Raises ValueError for a rank that is none, and as ``regrouped`` does.
    """
    config, state = _plain(model.config), model.state_dict()
    if not 1 <= rank <= full_rank(config):
        raise ValueError(f"rank is {rank}; it must be from 1 to {full_rank(config)}.")
    for name, U in (known or bases(model)).items():
        U = U[:, :rank]
        state[name], state[name.replace("W_K", "W_V")] = (U @ (U.mT @ _stacked(state, name))).chunk(2)
    return _assembled(config, state)


def full_rank(config: Config) -> int:
    """The most that [W_K; W_V] can need: 2 · h_kv · d_k, or d_model."""
    return min(2 * config.n_kv_heads * config.d_head, config.d_model)


def numbers_kept(config: Config) -> int:
    """Numbers that a cache keeps of a token in each layer: 2 · h_kv · d_k, or latent attention's rank + d_R."""
    return cost.kv_cache_bytes(replace(config, kind="decoder", head=None), 1, bytes_per_value=1) // config.n_layers


class Effect(NamedTuple):
    """What became of a model's predictions on one text."""

    kl: float  # KL(before ‖ after) of the next token, nats, mean over positions
    same: float  # share of positions whose most probable token is still the same
    loss: float  # nats a token on the text itself


@torch.no_grad()
def effect(before: Tensor, model: Model, ids: Iterable[int]) -> Effect:
    """``before``: the original's logits [token, vocab] on these ids, ``model``: the converted one. Needs two tokens."""
    ids = list(ids)
    p, q = before.log_softmax(-1), model.run(ids).output[0].log_softmax(-1)  # [token, vocab]
    kl = (p.exp() * (p - q)).sum(-1).mean()
    same = (p.argmax(-1) == q.argmax(-1)).float().mean()
    loss = -q[:-1].gather(-1, torch.tensor(ids[1:])[:, None]).mean() if len(ids) > 1 else torch.tensor(torch.nan)
    return Effect(float(kl), float(same), float(loss))


def _plain(config: Config) -> Config:
    if config.attention in ("latent", "lsh") or config.kind not in ("decoder", "encoder"):
        raise ValueError(f"{config.attention} attention of a {config.kind} has no key/value heads that could be shared.")
    return config


def _assembled(config: Config, state: dict[str, Tensor]) -> Model:
    with torch.device("meta"):
        model = MODELS[config.kind](config).eval()
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False)
