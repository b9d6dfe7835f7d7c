"""What the lesson on low rank and kernels draws of one head, each computed once for a text."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from charts.approximations import METHODS, RANKED
from pages.shared.models import Reading
from transformer.experiments import approximation, one_head
from transformer.config import Config
from transformer.experiments.one_head import Head, Means, States, Weights
from transformer.pretrained import ASSETS

MOST_WORDS, STATE_WORDS = 32, 20
LENGTHS = [0.25, 0.35, 0.5, 0.7, 1.0]  # of q and k, beside what the head makes them
SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 64, 256, 1024, 4096]  # features, or rank
LOG_SIZES = list(range(13))  # features 1 … 4,096
SEEDS = 16
DRAWS, FEW = 1000, [1, 4, 16, 64]  # of the running means, and their features
POINTS = torch.arange(10, DRAWS + 1, 10)  # at which they are drawn
REACH = 0.1, 0.9  # where among the seeds a band begins and ends


class Errors(NamedTuple):
    """Of A or of z: the middle over the seeds and the band about it, each [.., point]."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


Curves = dict[str, Errors]  # by the name of a method


def head_of(reading: Reading, layer: int, head: int, words: int = MOST_WORDS) -> Head:
    """The head on the first words of this text."""
    Q, K, V = (torch.tensor(reading[f"layers.{layer}.attention.{letter}"][0]) for letter in "QKV")
    return Head.of(Q, K, V, head, causal=reading.config.kind == "decoder", words=words)


@st.cache_resource(max_entries=4, show_spinner=False)
def draws(count: int, m: int, d: int, orthogonal: bool = True) -> Tensor:
    """ω [seed, feature, d_k] of the seeds 0, 1, 2 …"""
    return one_head.draws(count, m, d, orthogonal)


@st.cache_data(max_entries=64, show_spinner=False)
def fit(key: tuple, length: float, _head: Head) -> tuple[Tensor, Tensor]:
    return one_head.fit(_head.longer(length), SIZES)


@st.cache_data(max_entries=64, show_spinner=False)
def weights(key: tuple, length: float, seed: int, _head: Head) -> Weights:
    """As ``one_head.Weights``, in arrays."""
    made = one_head.weights(_head.longer(length), SIZES, seed, fit(key, length, _head))
    return Weights(*(tuple(part.numpy() for part in one) if isinstance(one, tuple) else one.numpy() for one in made))


def by_method(found: Weights) -> tuple[dict[str, np.ndarray], dict, dict[str, np.ndarray]]:
    """By the methods' names: the weights, what they are made of, and how far they are off."""
    made = dict(zip(METHODS, (found.performer, found.linear, found.fitted, found.drawn, found.best), strict=True))
    of = dict(zip(METHODS, (found.performer_scores, found.linear_scores, found.fitted_factors, found.drawn_factors)))
    return made, of, {name: error_of(values, exact_of(found, name)) for name, values in made.items()}


def exact_of(found: Weights, method: str) -> np.ndarray:
    """What the method stands beside: Linformer cannot hide the future."""
    return found.unmasked if method in RANKED else found.masked


def error_of(weights: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """‖Ã − A‖ / ‖A‖ for each frame."""
    return np.atleast_1d(approximation.error(torch.tensor(weights), torch.tensor(exact)).numpy())


@st.cache_data(max_entries=16, show_spinner=False)
def by_features(key: tuple, _head: Head) -> tuple[Curves, Curves]:
    """Of A and of z, [length, log₂ features], for orthogonal and independent features; elu + 1 has [length, 1]."""
    heads, sizes = [_head.longer(factor) for factor in LENGTHS], [2**e for e in LOG_SIZES]
    found = {}
    for name, orthogonal in (("orthogonal", True), ("independent", False)):
        omega = draws(SEEDS, sizes[-1], _head.Q.shape[1], orthogonal)
        each = [one_head.by_features(head, omega, sizes) for head in heads]
        found[name] = tuple(_spread(torch.stack(of)) for of in zip(*each, strict=True))
    each = [one_head.errors(approximation.linear(head.Q, head.K, head.mask), head) for head in heads]
    return _apart(found | {"elu": tuple(_spread(torch.stack(of)[:, None, None]) for of in zip(*each, strict=True))})


@st.cache_data(max_entries=64, show_spinner=False)
def by_rank(key: tuple, length: float, _head: Head) -> tuple[Curves, Curves]:
    """Of A and of z, [rank], by the names of ``one_head.by_rank``."""
    R = draws(SEEDS, MOST_WORDS, MOST_WORDS, False)[:, :, : len(_head.K)]
    found = one_head.by_rank(_head.longer(length), R)
    return _apart({name: (_spread(of_A), _spread(of_z)) for name, (of_A, of_z) in found.items()})


@st.cache_data(max_entries=64, show_spinner=False)
def means(key: tuple, query: int, word: int, _head: Head) -> Means:
    """As ``one_head.Means``, in arrays."""
    omega = draws(DRAWS, FEW[-1], _head.Q.shape[1])
    return Means(*(x.numpy() for x in one_head.means(_head, omega, query, word, LENGTHS, FEW, POINTS)))


@st.cache_data(max_entries=16, show_spinner=False)
def states(key: tuple, _head: Head) -> States:
    """As ``one_head.States``, in arrays."""
    return States(*(x.numpy() for x in one_head.states(_head)))


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


def _apart(found: dict[str, tuple[Errors, Errors]]) -> tuple[Curves, Curves]:
    of_A, of_z = ({name: pair[i] for name, pair in found.items()} for i in (0, 1))
    return of_A, of_z


def _spread(errors: Tensor) -> Errors:
    """errors [.., point, seed]."""
    return Errors(*(x.numpy() for x in one_head.band(errors, *REACH)))
