"""Mixture of experts: several feed-forward networks side by side, of which each token is read by a few."""

import dataclasses
import math

import torch
from torch import Tensor, nn

from transformer.config import Config
from transformer.feedforward import FeedForward
from transformer.tap import OFF, Tap


def make_ffn(config: Config) -> nn.Module:
    """The feed-forward part that ``config`` asks for: one network, or a mixture of them."""
    return FeedForward(config) if config.experts == 1 else MixtureOfExperts(config)


class MixtureOfExperts(nn.Module):
    """y = Σ_{e ∈ top-k} g_e · E_e(x) + E_shared(x),   p = softmax(x W_r),   g_e = p_e / Σ_{top-k} p

    Shazeer et al. 2017 (arXiv:1701.06538), with the gates as Mixtral has them (Jiang et al. 2024, arXiv:2401.04088):
    the k largest shares, scaled to sum to 1. Each expert computes for its own tokens only, so a token pays for k
    experts, however many there are. Shared experts read every token (DeepSeekMoE: Dai et al. 2024, arXiv:2401.06066); being
    added up without gates, several of them are one wide network.

    ``config.capacity`` c: an expert takes at most ⌈c · tokens · k / experts⌉ tokens of a text; those that come later
    get nothing from it, and keep their other gates as they are (Fedus et al. 2021, arXiv:2101.03961). Earlier tokens
    come first, so nothing leaks from the future; but what a token gets then hangs on how much was read at once, and a text
    read piece by piece loses fewer.

    With k = 1 the gate is always 1, so only a balance loss teaches the router.

    x [batch, token, d_model] -> [batch, token, d_model].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.k = config.experts_per_token or 1
        self.capacity = config.capacity
        self.W_r = nn.Linear(config.d_model, config.experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(config) for _ in range(config.experts))
        wide = dataclasses.replace(config, d_ff=config.shared_experts * config.d_ff) if config.shared_experts else None
        self.shared = None if wide is None else FeedForward(wide)

    def forward(self, x: Tensor, tap: Tap) -> Tensor:
        router = tap("router", self.W_r(x))  # [batch, token, expert]
        gates = tap("gates", limited(top_gates(router, self.k), self.k, self.capacity))  # [batch, token, expert]
        tokens, g = x.flatten(0, 1), gates.flatten(0, 1)  # [batch · token, …]
        out = torch.zeros_like(tokens) if self.shared is None else self.shared(tokens, OFF)
        for e, expert in enumerate(self.experts):
            its = self._tokens_of(e, g)
            out = out.index_add(0, its, expert(tokens[its], OFF) * g[its, e, None])
        return out.view_as(x)  # [batch, token, model]

    def _tokens_of(self, e: int, g: Tensor) -> Tensor:
        """Which tokens expert ``e`` reads: those whose gate for it is open."""
        if g.is_meta:  # has shapes and no values: let each expert read an even share
            n, experts = g.shape
            return torch.arange(n * self.k * e // experts, n * self.k * (e + 1) // experts, device=g.device) % n
        return g[:, e].nonzero()[:, 0]


def top_gates(router: Tensor, k: int) -> Tensor:
    """g_e = p_e / Σ_{top-k} p with p = softmax(router) for the k largest, 0 for the others; rows sum to 1.

    router [..., expert] logits -> [..., expert].
    """
    p = router.softmax(-1)
    top = p.topk(k, dim=-1)
    return torch.zeros_like(p).scatter(-1, top.indices, top.values / top.values.sum(-1, keepdim=True))


def limited(gates: Tensor, k: int, capacity: float | None) -> Tensor:
    """Zero the gates of tokens that come to an expert after ⌈capacity · tokens · k / experts⌉ others of their text.

    gates [batch, token, expert] -> the same shape.
    """
    if capacity is None:
        return gates
    n, experts = gates.shape[-2:]
    most = math.ceil(capacity * n * k / experts)
    arrived = (gates > 0).cumsum(-2)  # [batch, token, expert]: 1 for an expert's first token, 2 for its second …
    return gates.masked_fill(arrived > most, 0.0)


def load(gates: Tensor) -> Tensor:
    """The share of tokens that each expert reads; they sum to k where nothing was dropped.

    gates [..., token, expert], as recorded -> [..., expert].
    """
    return (gates > 0).to(gates.dtype).mean(-2)


def balance_parts(router: Tensor, k: int, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What the balance loss multiplies: f [expert], the share of tokens that send one of their k choices to each expert,
    and p̄ [expert], the mean of p = softmax(router). Arguments as ``balance_loss``."""
    experts = router.shape[-1]
    if not 1 <= k <= experts:
        raise ValueError(f"k is {k}; it must be from 1 to the number of experts, {experts}.")
    p = router.softmax(-1)
    chosen = torch.zeros_like(p).scatter(-1, p.topk(k, dim=-1).indices, 1.0)
    counts = p.new_ones(p.shape[:-1]) if real is None else real.to(p).expand(p.shape[:-1])  # [...]
    counts = counts[..., None] / counts.sum()
    f, mean_p = ((x * counts).flatten(0, -2).sum(0) for x in (chosen, p))  # [expert]
    return f, mean_p


def balance_loss(router: Tensor, k: int, real: Tensor | None = None) -> Tensor:
    """L = E · Σ_e f_e · p̄_e: f_e the share of tokens that send one of their k choices to e, p̄_e the mean of p_e.

    Fedus et al. 2021 (arXiv:2101.03961, eq. 4), with k choices and all layers counted together as Mixtral has it. It is
    k where both are even, and more where the crowded experts are the probable ones; f has no gradient, p̄ spreads.

    router [..., expert] logits, of one layer or several stacked; real [...], broadcast to the leading axes, is False at
    tokens that do not count -> []. Raises ValueError for a k that is not 1 … E.
    """
    f, mean_p = balance_parts(router, k, real)
    return router.shape[-1] * (f * mean_p).sum()


def z_loss(router: Tensor) -> Tensor:
    """L = mean over tokens of (log Σ_e exp r_e)²: keeps the router's logits r small, where softmax is exact.

    Zoph et al. 2022 (ST-MoE), arXiv:2202.08906, eq. 5.   router [..., expert] -> [].
    """
    return router.logsumexp(-1).square().mean()
