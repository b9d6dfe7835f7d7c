"""From logits to a choice: temperature, truncation, and the draw."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.device import widest_float


def probabilities(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """p_i = exp(ℓ_i / T) / Σ_j exp(ℓ_j / T) over the entries that every filter keeps; 0 elsewhere.

    T → 0 puts everything on the largest logit (T = 0 does), T → ∞ is uniform, and the order never changes.
    top_k keeps the k most probable (Fan et al. 2018, arXiv:1805.04833); top_p the fewest whose probabilities reach p,
    the nucleus (Holtzman et al. 2020, arXiv:1904.09751); min_p those with at least min_p times the largest probability
    (Nguyen et al. 2024, arXiv:2407.01082). The filters apply in that order, after the temperature; the most probable
    entry always stays; of equal entries the one with the lower index ranks first.

    logits [..., vocab] -> [..., vocab], rows sum to 1; in float64 (but on mps, which has none), so that neither where a
    cut falls nor what a die hits hangs on rounding.
    Raises ValueError for a temperature below 0, top_k below 1, top_p outside (0, 1] or min_p outside [0, 1].
    """
    check(temperature, top_k, top_p, min_p)
    p = tempered(logits, temperature)
    if top_k is None and top_p is None and min_p is None:
        return p
    ranked, order = p.sort(dim=-1, descending=True, stable=True)
    kept = cuts(ranked, top_k, top_p, min_p).kept  # [...]
    ranks = torch.arange(p.shape[-1], device=p.device)
    ranked = ranked.where(ranks < kept[..., None], 0.0)
    ranked = ranked / ranked.sum(-1, keepdim=True)
    return torch.empty_like(p).scatter(-1, order, ranked)


def penalised(logits: Tensor, read: Tensor, penalty: float) -> Tensor:
    """ℓ_i / θ where ℓ_i > 0 and ℓ_i · θ where it is below, for every token i that was read; θ > 1 makes it rarer again.

    Keskar et al. 2019 (CTRL), arXiv:1909.05858, eq. 2, with both signs pushed down as Hugging Face does it. However
    often a token was read, it is penalised once.   logits [vocab], read [token] ids -> [vocab]
    """
    if penalty == 1:
        return logits
    heard = logits[read]  # [token]
    return logits.scatter(0, read, torch.where(heard > 0, heard / penalty, heard * penalty))


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """softmax(ℓ / T), nothing cut.   logits [..., vocab] -> [..., vocab], float64 (on mps float32)."""
    logits = _wide(logits)
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    # Shifting by the largest first keeps ℓ / T finite for tiny temperatures.
    return ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)


class Cuts(NamedTuple):
    """How many entries, counted from the most probable, are left after each filter in turn; each [...]."""

    top_k: Tensor
    top_p: Tensor
    min_p: Tensor

    @property
    def kept(self) -> Tensor:
        """How many are left in the end: each filter keeps a head of the ranking, so a number says it all."""
        return self.min_p


def cuts(ranked: Tensor, top_k: int | None = None, top_p: float | None = None, min_p: float | None = None) -> Cuts:
    """Where each filter cuts probabilities that are sorted in descending order.   ranked [..., vocab]"""
    ranks = torch.arange(ranked.shape[-1], device=ranked.device)
    after_k = after_p = after_m = torch.full(ranked.shape[:-1], ranked.shape[-1], device=ranked.device)
    if top_k is not None:
        after_k = after_p = after_m = after_k.clamp(max=top_k)
    if top_p is not None and top_p < 1:
        left = ranked.where(ranks < after_k[..., None], 0.0)
        before = left.cumsum(-1) - left  # what the more probable ones already hold
        reached = before >= top_p * left.sum(-1, keepdim=True)
        after_p = after_m = (~reached & (ranks < after_k[..., None])).sum(-1)
    if min_p is not None:
        after_m = ((ranked >= min_p * ranked[..., :1]) & (ranks < after_p[..., None])).sum(-1)
    return Cuts(after_k, after_p, after_m)


def entropy(p: Tensor) -> Tensor:
    """H = −Σ p_i ln p_i, in nats, with 0 ln 0 = 0.   p [..., vocab] -> [...]."""
    return torch.special.entr(p).sum(-1)


class Sweep(NamedTuple):
    """A distribution at many temperatures; each [temperature]."""

    entropy: Tensor  # nats; it never falls: dH/dT = Var(ℓ) / T³, the variance under the distribution at T
    largest: Tensor  # probability of the most probable entry


def sweep(logits: Tensor, temperatures: Sequence[float]) -> Sweep:
    """Entropy and largest probability of softmax(ℓ / T) for each T.   logits [vocab] -> float64, good to six digits.

    With z = ℓ − max ℓ and Z = Σ e^(z/T): the largest is 1 / Z, and H = ln Z − Σ e^(z/T) z / (T Z).
    """
    z = logits.float() - logits.amax()
    found = []
    for T in temperatures:
        e = (z / T).exp()
        Z = e.sum(dtype=torch.float64)
        found.append((Z.log() - (e * z).sum(dtype=torch.float64) / (T * Z), 1 / Z))
    entropies, largest = zip(*found, strict=True)
    return Sweep(torch.stack(entropies).clamp(min=0), torch.stack(largest))


def dice(seed: int, n: int) -> Tensor:
    """The first n numbers in [0, 1) that a seed rolls, float64 [n]: ``generate(seed=seed)`` spends one a token.

    Always rolled on the CPU, so a seed writes the same text on every device.
    """
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(p: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One index a row, each with its probability: a CPU generator rolls u, ``pick`` finds it. [..., vocab] -> [...]."""
    return pick(p, torch.rand(p.shape[:-1], generator=generator, dtype=torch.float64))


def pick(p: Tensor, u: Tensor | float) -> Tensor:
    """The entry that u in [0, 1) falls on when all are laid end to end on a ruler of length 1, the most probable first.

    p [..., vocab] (rows need not sum to exactly 1), u [...] -> [...]. An entry of probability 0 is never picked.
    """
    ranked, order = _wide(p).sort(dim=-1, descending=True, stable=True)
    ends = ranked.cumsum(-1)  # where each entry's piece of the ruler ends
    u = torch.as_tensor(u, dtype=ends.dtype, device=ends.device) * ends[..., -1]
    rank = torch.searchsorted(ends, u[..., None], right=True)
    last = (ranked > 0).sum(-1, keepdim=True) - 1  # u just under 1 may round up to the very end
    return order.gather(-1, rank.minimum(last)).squeeze(-1)


def _wide(x: Tensor) -> Tensor:
    return x.to(widest_float(x.device))


def check(
    temperature: float, top_k: int | None, top_p: float | None, min_p: float | None, repetition_penalty: float = 1.0
) -> None:
    """Raise ValueError, in one sentence, for a setting that means nothing."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}; it must be 0 (greedy) or a positive number.")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"top_k is {top_k}; it must be a whole number of at least 1, or None for all.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1, or None for all.")
    if min_p is not None and not 0 <= min_p <= 1:
        raise ValueError(f"min_p is {min_p}; it must be between 0 and 1, or None for none.")
    if not 0 < repetition_penalty < float("inf"):
        raise ValueError(f"repetition_penalty is {repetition_penalty}; it must be above 0, and 1 changes nothing.")
