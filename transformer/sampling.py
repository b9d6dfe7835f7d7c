"""From logits to a choice: temperature, truncation, and the draw."""

import torch
from torch import Tensor


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
    entry always stays.

    logits [..., vocab] -> [..., vocab], rows sum to 1, float32.
    Raises ValueError for a temperature below 0, top_k below 1, top_p outside (0, 1] or min_p outside [0, 1].
    """
    check(temperature, top_k, top_p, min_p)
    logits = logits.float()
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    # Shifting by the largest first keeps ℓ / T finite for tiny temperatures.
    p = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
    if top_k is None and top_p is None and min_p is None:
        return p
    ranked, order = p.sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(ranked, dtype=torch.bool)
    if top_k is not None:
        keep[..., top_k:] = False
    if top_p is not None:
        kept = ranked.where(keep, 0.0)
        before = kept.cumsum(-1) - kept
        keep &= before < top_p * kept.sum(-1, keepdim=True)
    if min_p is not None:
        keep &= ranked >= min_p * ranked[..., :1]
    keep[..., 0] = True
    ranked = ranked.where(keep, 0.0)
    ranked = ranked / ranked.sum(-1, keepdim=True)
    return torch.empty_like(p).scatter(-1, order, ranked)


def entropy(p: Tensor) -> Tensor:
    """H = −Σ p_i ln p_i, in nats, with 0 ln 0 = 0.   p [..., vocab] -> [...]."""
    return torch.special.entr(p).sum(-1)


def draw(p: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One index a row, each with its probability.   p [..., vocab] -> [...]."""
    return torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator).view(p.shape[:-1])


def check(temperature: float, top_k: int | None, top_p: float | None, min_p: float | None) -> None:
    """Raise ValueError, in one sentence, for a setting that means nothing."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}; it must be 0 (greedy) or a positive number.")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"top_k is {top_k}; it must be a whole number of at least 1, or None for all.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1, or None for all.")
    if min_p is not None and not 0 <= min_p <= 1:
        raise ValueError(f"min_p is {min_p}; it must be between 0 and 1, or None for none.")
