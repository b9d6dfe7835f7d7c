"""One real head put through every approximation: weights by size, errors with their spread over draws, means, a state.

``approximation`` has the single steps; here they are repeated over sizes, seeds and lengths of q and k.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer import kernels, masks
from transformer.experiments import approximation
from transformer.attention import masked_softmax
from transformer.kernels import random_rows


class Head(NamedTuple):
    """One head's vectors on one text."""

    Q: Tensor  # [query, d_k]
    K: Tensor  # [key, d_k]
    V: Tensor  # [key, d_v]
    mask: Tensor | None  # [query, key]; None where every token sees all

    def longer(self, factor: float) -> "Head":
        """The same with q and k multiplied by ``factor``."""
        return Head(self.Q * factor, self.K * factor, self.V, self.mask)

    def unmasked(self) -> "Head":
        return self._replace(mask=None)

    @classmethod
    def of(cls, Q: Tensor, K: Tensor, V: Tensor, head: int, *, causal: bool, words: int | None = None) -> "Head":
        """A query head of one run, on its first ``words``, with the keys and values that it reads (and may share).

        Q [head, query, d_k], K and V [kv_head, key, d]; ``causal``: no token sees the future.
        """
        shared, n = head * len(K) // len(Q), min(words or Q.shape[1], Q.shape[1])
        return cls(Q[head, :n], K[shared, :n], V[shared, :n], masks.past(n) if causal else None)

    @property
    def A(self) -> Tensor:
        return approximation.exact(self.Q, self.K, self.mask)


class Weights(NamedTuple):
    """The n × n weights that each stands for, [size, query, key], and the exact ones, [query, key]; and what they are
    computed of: scores of the same shapes, or Linformer's two factors [size, query, row] and [size, row, key]."""

    masked: Tensor
    unmasked: Tensor
    scores: Tensor
    performer: Tensor
    performer_scores: Tensor
    linear: Tensor
    linear_scores: Tensor
    fitted: Tensor
    fitted_factors: tuple[Tensor, Tensor]
    drawn: Tensor
    drawn_factors: tuple[Tensor, Tensor]
    best: Tensor


class Means(NamedTuple):
    """Running means over draws, [length, features, point]: of the kernel over its truth, and of the weight."""

    kernel: Tensor
    weight: Tensor
    sampling_error: Tensor  # of the kernel's mean, one standard deviation, by lemma 2 of arXiv:2009.14794
    weight_error: Tensor  # of the weight's mean, from the draws
    true_weight: Tensor  # [length]


class States(NamedTuple):
    """Linear attention as a recurrence; [token, ...]."""

    phi_Q: Tensor
    phi_K: Tensor
    V: Tensor
    S: Tensor
    z: Tensor
    read: Tensor  # φ(q) S, which divided by φ(q)·z is
    out: Tensor  # the output
    pairs: Tensor  # the same from all pairs


def draws(count: int, m: int, d: int, orthogonal: bool = True) -> Tensor:
    """ω of the seeds 0, 1, 2 …   -> [seed, feature, d]"""
    return torch.stack([random_rows(m, d, torch.Generator().manual_seed(seed), orthogonal=orthogonal)
                        for seed in range(count)])  # fmt: skip


def fit(head: Head, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """E and F of ``approximation.fitted`` for each size as the rank (at most n), of the head without its mask."""
    Q, K, V, _ = head.unmasked()
    ranks, which = torch.tensor([min(size, len(K)) for size in sizes]).unique(return_inverse=True)
    E, F = approximation.fitted(Q, K, V, ranks=ranks)
    return E[which], F[which]


def weights(head: Head, sizes: Sequence[int], seed: int, fit: tuple[Tensor, Tensor]) -> Weights:
    """With so many features, or of such a rank (at most n). Linformer stands beside the head without its mask; ``fit``:
    its E and F, which no seed changes."""
    free, n = head.unmasked(), len(head.K)
    generator = torch.Generator().manual_seed(seed)
    omega = random_rows(max(sizes), head.Q.shape[1], generator)
    R = torch.randn(n, n, generator=generator)
    ranks = torch.tensor([min(size, n) for size in sizes])
    there = (torch.arange(n) < ranks[:, None])[..., None]  # [size, row, 1]
    scores = torch.stack([approximation.log_estimates(head.Q, head.K, omega[:m]) for m in sizes])
    E, F = fit
    fitted = approximation.squeezed(free.Q, free.K, E)
    R = R * there * ranks[:, None, None] ** -0.5  # [size, row, key]
    drawn = approximation.squeezed(free.Q, free.K, R)
    return Weights(
        masked=head.A, unmasked=free.A, scores=approximation.scores(head.Q, head.K),
        performer=masked_softmax(scores, head.mask), performer_scores=scores,
        linear=approximation.linear(head.Q, head.K, head.mask),
        linear_scores=approximation.linear_scores(head.Q, head.K),
        fitted=fitted @ F, fitted_factors=(fitted, F), drawn=drawn @ R, drawn_factors=(drawn, R),
        best=approximation.best_ranks(free.A)[ranks - 1],
    )  # fmt: skip


def errors(made: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Of the weights and of the output they give.   made [.., query, key] -> [..], [..]"""
    return approximation.error(made, head.A), approximation.error(made @ head.V, head.A @ head.V)


def by_features(head: Head, omega: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Performer's errors.   omega [seed, feature, d_k] -> [size, seed] each"""
    made = [approximation.performer(head.Q, head.K, omega[:, :m], head.mask) for m in sizes]
    return errors(torch.stack(made), head)


def by_rank(head: Head, R: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Errors at the ranks 1 … n: the best of each rank, Linformer fitted, pooled and drawn, and the random projection
    of its proof.   R [seed, n, n] of N(0, 1) -> [rank, seed], [rank, seed] by name
    """
    Q, K, V, _ = head = head.unmasked()
    A, ranks = head.A, range(1, len(K) + 1)
    pooled = approximation.pooled(len(K))
    E, F = approximation.fitted(Q, K, V)
    drawn = [R[:, :k] * k**-0.5 for k in ranks]
    made = {
        "best": approximation.best_ranks(A)[:, None],  # [rank, seed, query, key]
        "fitted": (approximation.squeezed(Q, K, E) @ F)[:, None],
        "pooled": (approximation.squeezed(Q, K, pooled) @ pooled)[:, None],
        "projected": torch.stack([approximation.projected(A, of_rank) for of_rank in drawn]),
        "drawn": torch.stack([approximation.squeezed(Q, K, of_rank) @ of_rank for of_rank in drawn]),
    }  # fmt: skip
    return {name: errors(of, head) for name, of in made.items()}


def means(
    head: Head, omega: Tensor, query: int, key: int, lengths: Sequence[float], features: Sequence[int], points: Tensor
) -> Means:  # fmt: skip
    """One pair's kernel and weight, averaged over the first draws.   omega [draw, feature, d_k], points: how many"""
    seen = None if head.mask is None else head.mask[query, None]
    kernel, weight, sampling, spread, true = [], [], [], [], []
    for factor in lengths:
        q, K = head.Q[query, None] * factor, head.K * factor
        exact = approximation.scores(q, K)[0, key].exp()
        variance = approximation.log_relative_variance(q, K[key, None])[0, 0].exp()
        true.append(approximation.exact(q, K, seen)[0, key])
        for m in features:
            estimates = approximation.log_estimates(q, K, omega[:, :m])  # [draw, 1, key]
            made = masked_softmax(estimates, seen)[:, 0, key]
            kernel.append(_running(estimates[:, 0, key].exp() / exact, points))
            weight.append(_running(made, points))
            sampling.append((variance / (m * points)).sqrt())
            spread.append(made.std().clamp(min=1e-9) / points.sqrt())  # a single key has all weight in every draw
    shape = (len(lengths), len(features))
    return Means(*(torch.stack(x).unflatten(0, shape) for x in (kernel, weight, sampling, spread)), torch.stack(true))


def states(head: Head) -> States:
    """Linear attention token by token, and the same from all pairs: read from left to right, whatever the mask."""
    Q, K, V, _ = head
    phi_Q, phi_K = (kernels.log_elu_features(x).exp() for x in (Q, K))
    S, z = approximation.recurrence(phi_K, V)
    read = (phi_Q[:, None] @ S)[:, 0]
    pairs = approximation.linear(Q, K, masks.past(len(Q))) @ V
    return States(phi_Q, phi_K, V, S, z, read, approximation.read_states(phi_Q, S, z), pairs)


def _running(values: Tensor, points: Tensor) -> Tensor:
    """Mean of the first N, at each of the points."""
    return values.double().cumsum(0)[points - 1].div(points).float()


def band(errors: Tensor, low: float, high: float) -> tuple[Tensor, Tensor, Tensor]:
    """The middle over the seeds, and the quantiles between which a band lies.   errors [.., seed] -> three of [..]"""
    return errors.median(-1).values, errors.quantile(low, -1), errors.quantile(high, -1)
