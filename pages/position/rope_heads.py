"""One head's queries and keys before they are turned, and their scores at every distance, beside drawn vectors'."""

from dataclasses import replace
from typing import NamedTuple

import streamlit as st
import torch

from charts.rope import Spread
from pages.shared.models import Reading
from transformer import rope, scores
from transformer.config import Config

TRAINED = "as trained"
BASES = [TRAINED, "100", "1,000", "10,000", "100,000", "1,000,000"]
FARTHEST = 1024  # distances that scores are computed at: 0 … 1024
LIKENESS = [round(0.1 * i, 1) for i in range(11)]
DRAWN = 400  # pairs of random vectors
MOST_PAIRS = 400  # pairs of words in the band of the real head


class Head(NamedTuple):
    """One head on this text, and how fast it is turned."""

    layer: int
    head: int
    Q: torch.Tensor  # [query, d_head], unrotated
    K: torch.Tensor  # [key, d_head]
    turning: Config
    theta: torch.Tensor  # [pair]
    scale: float  # on q·k

    @property
    def name(self) -> str:
        return f"layer {self.layer}, head {self.head}"

    def by_distance(self, q: torch.Tensor, k: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
        return rope.scores_by_distance(q, k, self.theta, distance, self.turning.rope_layout) * self.scale


def turned(reading: Reading, layer: int, head: int, base: str) -> Head:
    """The head's vectors, and the speeds that the base asks for."""
    config = reading.config
    Q, K = (torch.tensor(reading[f"layers.{layer}.attention.{letter}_unrotated"][0]) for letter in "QK")
    shared = head * config.n_kv_heads // config.n_heads
    return Head(layer, head, Q[head], K[shared], *_speeds(config, base))


@st.cache_data(max_entries=64, show_spinner=False)
def real_spread(model: str, label: str, text: str, layer: int, head: int, base: str,
                _reading: Reading) -> tuple[Spread, int]:  # fmt: skip
    """The head's scores at every distance, and of how many pairs of words."""
    one, n = turned(_reading, layer, head, base), len(_reading.ids)
    later, earlier = torch.tril_indices(n, n)
    if n > 2:  # the first word's key is where heads rest, unlike any other
        later, earlier = later[earlier > 0], earlier[earlier > 0]
    step = -(-len(later) // MOST_PAIRS)
    found = one.by_distance(one.Q[later[::step]], one.K[earlier[::step]], torch.arange(FARTHEST + 1.0))
    return Spread.of(found.numpy()), len(found)


@st.cache_data(max_entries=32, show_spinner=False)
def drawn_spread(model: str, base: str, seed: int, _config: Config) -> Spread:
    """The scores of drawn vectors at every distance, a frame for each likeness."""
    turning, theta, scale = _speeds(_config, base)
    found = rope.scores_by_alignment(DRAWN, turning.d_head, LIKENESS, seed, theta, torch.arange(FARTHEST + 1.0),
                                     turning.rope_layout)  # fmt: skip
    return Spread.of(found.numpy() * scale)


def _speeds(config: Config, base: str) -> tuple[Config, torch.Tensor, float]:
    """The config with this base, its θ [pair], and the factor on q·k."""
    turning = config if base == TRAINED else replace(config, rope_base=float(base.replace(",", "")))
    theta, on_cos_and_sin = rope.scaled_frequencies(turning)
    return turning, theta, scores.scale(config) * on_cos_and_sin**2
