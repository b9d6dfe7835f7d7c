"""What the lesson on low rank and kernels draws of one head, each computed once for a text."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from pages.shared.models import Reading
from transformer import approximation, kernels
from transformer.attention import masked_softmax
from transformer.config import Config
from transformer.kernels import random_rows
from transformer.pretrained import ASSETS

MOST_WORDS, STATE_WORDS = 32, 20
LENGTHS = [0.25, 0.35, 0.5, 0.7, 1.0]  # of q and k, beside what the head makes them
SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 64, 256, 1024, 4096]  # features, or rank
LOG_SIZES = list(range(13))  # features 1 … 4,096
SEEDS = 16
DRAWS, FEW = 1000, [1, 4, 16, 64]  # of the running means, and their features
POINTS = torch.arange(10, DRAWS + 1, 10)  # at which they are drawn
REACH = [10, 90]  # per cent of the seeds that a band holds


class Head(NamedTuple):
    """One head on the first words of this text."""

    Q: Tensor  # [query, d_k]
    K: Tensor  # [key, d_k]
    V: Tensor  # [key, d_v]
    mask: Tensor | None  # [query, key]; None where every word sees all

    def longer(self, factor: float) -> "Head":
        """The same with q and k multiplied by ``factor``."""
        return Head(self.Q * factor, self.K * factor, self.V, self.mask)

    def unmasked(self) -> "Head":
        return self._replace(mask=None)

    @property
    def A(self) -> Tensor:
        return approximation.exact(self.Q, self.K, self.mask)


class Weights(NamedTuple):
    """The n × n weights that each stands for, [size, query, key], and the exact ones, [query, key]; and what they are
    computed of: scores of the same shapes, or Linformer's two factors [size, query, row] and [size, row, key]."""

    masked: np.ndarray
    unmasked: np.ndarray
    scores: np.ndarray
    performer: np.ndarray
    performer_scores: np.ndarray
    linear: np.ndarray
    linear_scores: np.ndarray
    fitted: np.ndarray
    fitted_factors: tuple[np.ndarray, np.ndarray]
    drawn: np.ndarray
    drawn_factors: tuple[np.ndarray, np.ndarray]
    best: np.ndarray


class Errors(NamedTuple):
    """Of A or of z: the middle over the seeds and the band about it, each [.., point]."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Means(NamedTuple):
    """Running means over draws, [length, features, point]: of the kernel over its truth, and of the weight."""

    kernel: np.ndarray
    weight: np.ndarray
    sampling_error: np.ndarray  # of the kernel's mean, one standard deviation, by lemma 2
    weight_error: np.ndarray  # of the weight's mean, from the draws
    true_weight: np.ndarray  # [length]


class States(NamedTuple):
    """Linear attention as a recurrence; [token, ...]."""

    phi_Q: np.ndarray
    phi_K: np.ndarray
    V: np.ndarray
    S: np.ndarray
    z: np.ndarray
    out: np.ndarray  # read from the state
    pairs: np.ndarray  # the same from all pairs
    weights: np.ndarray  # [query, key]


def head_of(reading: Reading, layer: int, head: int, words: int = MOST_WORDS) -> Head:
    config, at = reading.config, f"layers.{layer}.attention."
    Q, K, V = (torch.tensor(reading[at + letter][0]) for letter in "QKV")
    shared, n = head * config.n_kv_heads // config.n_heads, min(words, Q.shape[1])
    causal = torch.ones(n, n, dtype=torch.bool).tril() if config.kind == "decoder" else None
    return Head(Q[head, :n], K[shared, :n], V[shared, :n], causal)


@st.cache_resource(max_entries=4, show_spinner=False)
def draws(count: int, m: int, d: int, orthogonal: bool = True) -> Tensor:
    """ω [seed, feature, d_k] of the seeds 0, 1, 2 …"""
    return torch.stack([random_rows(m, d, torch.Generator().manual_seed(seed), orthogonal=orthogonal)
                        for seed in range(count)])  # fmt: skip


@st.cache_data(max_entries=32, show_spinner=False)
def weights(key: tuple, length: float, seed: int, _head: Head) -> Weights:
    head = _head.longer(length)
    free, n = head.unmasked(), len(head.K)
    generator = torch.Generator().manual_seed(seed)
    omega = random_rows(max(SIZES), head.Q.shape[1], generator)
    R = torch.randn(n, n, generator=generator)
    ranks = torch.tensor([min(size, n) for size in SIZES])
    there = (torch.arange(n) < ranks[:, None])[..., None]  # [size, row, 1]
    scores = torch.stack([approximation.log_estimates(head.Q, head.K, omega[:m]) for m in SIZES])
    E, F = (x[ranks - 1] for x in approximation.fitted(free.Q, free.K, free.V))
    fitted = approximation.squeezed(free.Q, free.K, E)
    R = R * there * ranks[:, None, None] ** -0.5  # [size, row, key]
    drawn = approximation.squeezed(free.Q, free.K, R)
    made = Weights(
        masked=head.A, unmasked=free.A, scores=approximation.scores(head.Q, head.K),
        performer=masked_softmax(scores, head.mask), performer_scores=scores,
        linear=approximation.linear(head.Q, head.K, head.mask),
        linear_scores=approximation.linear_scores(head.Q, head.K),
        fitted=fitted @ F, fitted_factors=(fitted, F), drawn=drawn @ R, drawn_factors=(drawn, R),
        best=approximation.best_ranks(free.A)[ranks - 1],
    )  # fmt: skip
    return Weights(*(tuple(part.numpy() for part in one) if isinstance(one, tuple) else one.numpy() for one in made))


def error_of(weights: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """‖Ã − A‖ / ‖A‖ for each frame."""
    return np.atleast_1d(approximation.error(torch.tensor(weights), torch.tensor(exact)).numpy())


@st.cache_data(max_entries=16, show_spinner=False)
def by_features(key: tuple, _head: Head) -> dict[str, tuple[Errors, Errors]]:
    """Of A and of z, [length, log₂ features], for orthogonal and independent features; elu + 1 has [length, 1]."""
    found: dict[str, tuple[Errors, Errors]] = {}
    d = _head.Q.shape[1]
    for name, orthogonal in (("orthogonal", True), ("independent", False)):
        omega = draws(SEEDS, 2 ** LOG_SIZES[-1], d, orthogonal)
        of_A, of_z = [], []
        for factor in LENGTHS:
            head = _head.longer(factor)
            made = torch.stack([approximation.performer(head.Q, head.K, omega[:, : 2**e],
                head.mask) for e in LOG_SIZES])
            of_A.append(approximation.error(made, head.A))  # [log₂ features, seed]
            of_z.append(approximation.error(made @ head.V, head.A @ head.V))
        found[name] = _spread(torch.stack(of_A)), _spread(torch.stack(of_z))
    heads = [_head.longer(factor) for factor in LENGTHS]
    made = [approximation.linear(head.Q, head.K, head.mask) for head in heads]
    of_A = torch.stack([approximation.error(A, head.A) for A, head in zip(made, heads, strict=True)])
    of_z = torch.stack([approximation.error(A @ head.V, head.A @ head.V) for A, head in zip(made, heads, strict=True)])
    return found | {"elu": (_spread(of_A[:, None, None]), _spread(of_z[:, None, None]))}


@st.cache_data(max_entries=16, show_spinner=False)
def by_rank(key: tuple, length: float, _head: Head) -> dict[str, tuple[Errors, Errors]]:
    """Of A and of z, [rank]: the best of each rank, Linformer fitted, pooled and drawn, and Johnson–Lindenstrauss."""
    head = _head.unmasked().longer(length)
    (Q, K, V, _), A, n = head, head.A, len(head.K)
    pooled = approximation.pooled(n)
    E, F = approximation.fitted(Q, K, V)
    R = draws(SEEDS, MOST_WORDS, MOST_WORDS, False)[:, :, :n]
    kinds = {
        "best": approximation.best_ranks(A)[:, None],  # [rank, seed, query, key]
        "fitted": (approximation.squeezed(Q, K, E) @ F)[:, None],
        "pooled": (approximation.squeezed(Q, K, pooled) @ pooled)[:, None],
        "projected": torch.stack([approximation.projected(A, R[:, :k] * k**-0.5) for k in range(1, n + 1)]),
        "drawn": torch.stack([approximation.squeezed(Q, K, R[:, :k] * k**-0.5) @ R[:, :k] * k**-0.5
                              for k in range(1, n + 1)]),
    }  # fmt: skip
    return {name: (_spread(approximation.error(made, A)), _spread(approximation.error(made @ V, A @ V)))
            for name, made in kinds.items()}  # fmt: skip


@st.cache_data(max_entries=16, show_spinner=False)
def means(key: tuple, query: int, word: int, _head: Head) -> Means:
    """One pair's kernel and weight, averaged over 1 … DRAWS draws, for each length and number of features."""
    omega = draws(DRAWS, FEW[-1], _head.Q.shape[1])
    seen = None if _head.mask is None else _head.mask[query, None]
    kernel, weight, sampling, spread, true = [], [], [], [], []
    for factor in LENGTHS:
        q, K = _head.Q[query, None] * factor, _head.K * factor
        exact = (q @ K[word] * q.shape[-1] ** -0.5).exp()
        variance = approximation.log_relative_variance(q, K[word, None])[0, 0].exp()
        true.append(approximation.exact(q, K, seen)[0, word])
        for m in FEW:
            log_kernel = approximation.log_estimates(q, K, omega[:, :m])  # [draw, 1, key]
            made = approximation.performer(q, K, omega[:, :m], seen)[:, 0, word]
            kernel.append(_running(log_kernel[:, 0, word].exp() / exact))
            weight.append(_running(made))
            sampling.append((variance / (m * POINTS)).sqrt())
            spread.append(made.std().clamp(min=1e-9) / POINTS.sqrt())  # a single key has all the weight in every draw
    shaped = [torch.stack(x).unflatten(0, (len(LENGTHS), len(FEW))).numpy() for x in (kernel, weight, sampling, spread)]
    return Means(*shaped, torch.stack(true).numpy())


@st.cache_data(max_entries=16, show_spinner=False)
def states(key: tuple, _head: Head) -> States:
    Q, K, V, _ = _head
    phi_Q, phi_K = (kernels.log_elu_features(x).exp() for x in (Q, K))
    causal = torch.ones(len(Q), len(Q), dtype=torch.bool).tril()
    A = approximation.linear(Q, K, causal)
    S, z = approximation.recurrence(phi_K, V)
    out = approximation.read_states(phi_Q, S, z)
    return States(*(x.numpy() for x in (phi_Q, phi_K, V, S, z, out, A @ V, A)))


def cost_by_length(config: Config, log_n: Sequence[int], features: Sequence[int], rank: int) -> dict[str, np.ndarray]:
    """FLOPs a token of one layer's heads, by text length 2^log_n: [n], or [features, n] for Performer."""

    def of(**options: object) -> np.ndarray:
        plain = Config(d_model=config.n_heads * config.d_head, n_heads=config.n_heads, max_len=2 ** log_n[-1],
                       **options)
        return np.array([approximation.flops_a_token(plain, 2**e) for e in log_n])

    return {
        "full": of(), "elu": of(attention="linear"),
        "performer": np.stack([of(attention="performer", features=m) for m in features]),
        "linformer": of(kind="encoder", attention="linformer", rank=rank),
    }  # fmt: skip


@st.cache_data(show_spinner=False)
def trained() -> str:
    """What small decoders that were trained with each came to, as a sentence says it: the table of assets/patterns."""
    rows = json.loads((ASSETS / "patterns" / "table.json").read_text("utf-8"))["rows"]
    said = []
    for row, name in (("full", "full attention"), ("performer", "Performer"), ("linear", "elu + 1")):
        losses = [run["held_out_loss"] for run in rows[row]["runs"]]
        more = f", m = {rows[row]['options']['features']}" if row == "performer" else ""
        said.append(f"{name}{more} **{np.mean(losses):.2f}** ({min(losses):.2f}–{max(losses):.2f})")
    return ", ".join(said)


def _spread(errors: Tensor) -> Errors:
    """errors [.., point, seed]."""
    low, high = np.percentile(errors.numpy(), REACH, axis=-1)
    return Errors(errors.median(-1).values.numpy(), low, high)


def _running(values: Tensor) -> Tensor:
    """Mean of the first N, at each of POINTS."""
    return values.double().cumsum(0)[POINTS - 1].div(POINTS).float()
