"""One layer's queries and keys before they are turned, and their scores at every distance, beside drawn vectors'."""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from charts.rope import Fan, Spread
from pages.shared.models import Reading
from transformer import positions, rope, scores
from transformer.config import Config
from transformer.models import Decoder

BASES = (100, 1_000, 10_000, 100_000, 1_000_000)
FARTHEST = 512  # distances that scores are computed at: 0 … 512
LIKENESS = [round(0.1 * i, 1) for i in range(11)]
DRAWN = 200  # pairs of random vectors
MOST_PAIRS = 120  # pairs of words in the band of a real head
STARTS, BESIDE_TO = (0, 64, 256, 1024, 4096), 128
FACTORS = [2, 4, 8, 16, 32]
MOST_DRAWN = 24  # words of a map
HELD_BYTES = 200_000  # of queries and keys in one message


class Speeds(NamedTuple):
    """How fast a head of this config is turned."""

    config: Config
    theta: torch.Tensor  # [pair]
    scale: float  # on q·k


def trained(config: Config) -> str:
    """The model's own base, as links say it."""
    return f"{config.rope_base:,.0f}"


@functools.lru_cache(maxsize=16)
def speeds(config: Config) -> dict[str, Speeds]:
    """The bases that can be chosen, as links say them -> what each makes of the model."""
    turnings = [replace(config, rope_base=float(base)) for base in sorted({*BASES, config.rope_base})]
    found = {}
    for turning in turnings:
        theta, on_cos_and_sin = rope.scaled_frequencies(turning)
        found[trained(turning)] = Speeds(turning, theta, scores.scale(config) * on_cos_and_sin**2)
    return found


def unrotated(reading: Reading, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Q [head, query, d_head] and K [kv_head, key, d_head], as the layer's W_Q and W_K give them."""
    Q, K = (torch.tensor(reading[f"layers.{layer}.attention.{letter}_unrotated"][0]) for letter in "QK")
    return Q, K


def held(layers: list[int], at: int, bytes_each: int) -> list[int]:
    """The layers that go out together: those around `at`, so that a step to the next one finds it there, and as many as
    the message has room for. They change in blocks, so that most steps send nothing."""
    step = max(1, HELD_BYTES // bytes_each - 2)
    start = layers.index(at) // step * step
    return layers[max(0, start - 1) : start + step + 1]


def shared(config: Config, head: int) -> int:
    """The K/V head that this query head reads."""
    return head * config.n_kv_heads // config.n_heads


@st.cache_data(max_entries=64, show_spinner=False)
def real_spread(model: str, label: str, text: str, layer: int, _reading: Reading) -> tuple[Spread, int]:
    """The scores of every head at every distance under every base, [head, base, distance], and of how many pairs of
    words."""
    config, n = _reading.config, len(_reading.ids)
    Q, K = unrotated(_reading, layer)
    later, earlier = torch.tril_indices(n, n)
    if n > 2:  # the first word's key is where heads rest, unlike any other
        later, earlier = later[earlier > 0], earlier[earlier > 0]
    step = -(-len(later) // MOST_PAIRS)
    q, k = Q[:, later[::step]], K[:, earlier[::step]].repeat_interleave(config.n_heads // config.n_kv_heads, 0)
    found = torch.stack([
        rope.scores_by_distance(q, k, at.theta, torch.arange(FARTHEST + 1.0), config.rope_layout) * at.scale
        for at in speeds(config).values()
    ], 1)  # [head, base, pair of words, distance]  # fmt: skip
    return Spread.of(found.numpy()), found.shape[2]


@st.cache_data(max_entries=16, show_spinner=False)
def drawn_spread(model: str, seed: int, _config: Config) -> Spread:
    """The scores of drawn vectors at every distance, [base, likeness, distance]."""
    found = torch.stack([
        rope.scores_by_alignment(DRAWN, _config.d_head, LIKENESS, seed, at.theta, torch.arange(FARTHEST + 1.0),
                                 _config.rope_layout) * at.scale for at in speeds(_config).values()
    ])  # [base, likeness, pair, distance]  # fmt: skip
    return Spread.of(found.numpy())


def fans(subject: tuple, layer: int, query: int, key: int, reading: Reading, model: Decoder | None) -> list[Fan]:
    """Sinusoids as they are, through W_Q and W_K (where the model itself is here), with the words' vectors added, and
    RoPE: the scores from several starts, each [head or 1, base, start, distance]."""
    found = [raw_fan(reading.model, reading.config)]
    if model is not None:
        found += [mixed_fan(subject, layer, pair, reading, model) for pair in (None, (query, key))]
    return [*found, turned_fan(subject, layer, query, key, reading)]


@st.cache_data(max_entries=4, show_spinner=False)
def raw_fan(model: str, _config: Config) -> Fan:
    bases = [at.config.rope_base for at in speeds(_config).values()]
    S = [positions.similarity(*_fan_axes(), _config.d_model, base) for base in bases]
    return _fan(torch.stack(S)[None], "Sinusoids as they are: PE(n + r) · PE(n)", "PE · PE")


@st.cache_data(max_entries=16, show_spinner=False)
def mixed_fan(subject: tuple, layer: int, words: tuple[int, int] | None, _reading: Reading, _model: Decoder) -> Fan:
    """Sinusoids through every head's W_Q and W_K, alone or added to two words of the text."""
    config, attention = _reading.config, _model.stack.blocks[layer % len(_model.stack.blocks)].attention
    each = [positions.of_head(attention.W_Q.weight, attention.W_K.weight, config, h) for h in range(config.n_heads)]
    W_Q, W_K = (torch.stack(W) for W in zip(*each, strict=True))  # [head, d_head, model]
    x, y = torch.zeros(2, config.d_model)
    if words is not None:
        x, y = torch.tensor(_reading[f"layers.{layer}.norm_1"][0, list(words)])
    S = [positions.mixed_scores(W_Q, W_K, x, y, *_fan_axes(), at.config.rope_base) for at in speeds(config).values()]
    what, short = ("sinusoids", "through W") if words is None else ("words + sinusoids", "+ words")
    title = f"The same {what} through this head's W_Q and W_K"
    return _fan(torch.stack(S, 1), title, short, words is not None)


@st.cache_data(max_entries=16, show_spinner=False)
def turned_fan(subject: tuple, layer: int, query: int, key: int, _reading: Reading) -> Fan:
    """Every head's query and key of two words, turned at their places."""
    config, (Q, K) = _reading.config, unrotated(_reading, layer)
    S = [
        torch.stack([rope.scores_in_place(Q[head, query], K[shared(config, head), key], at.config, *_fan_axes())
                     for at in speeds(config).values()]) for head in range(config.n_heads)
    ]  # fmt: skip
    return _fan(torch.stack(S), "RoPE: this head, turned after W_Q and W_K", "RoPE")


def _fan_axes() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(STARTS), torch.arange(BESIDE_TO + 1)


def _fan(S: torch.Tensor, title: str, short: str, words: bool | None = None) -> Fan:
    """S [head or 1, base, start, distance]."""
    share = [[positions.share_of_distance(at_base) for at_base in of_head] for of_head in S]
    return Fan(S.numpy(), np.array(share), title, short, words)


@st.cache_data(max_entries=16, show_spinner=False)
def in_both_layouts(subject: tuple, layer: int, _reading: Reading) -> tuple[np.ndarray, ...]:
    """`rope.layouts` of the last words, scores divided by √d_k."""
    config, (Q, K) = _reading.config, unrotated(_reading, layer)
    found = rope.layouts(Q[:, -MOST_DRAWN:], K[:, -MOST_DRAWN:], config)
    scale = scores.scale(config)
    return (*(one.numpy() for one in found[:2]), *(one.numpy() * scale for one in found[2:]))


def scaled_speeds(config: Config, names: list[str]) -> dict[str, np.ndarray]:
    """scaling -> θ' [base, factor, pair]."""
    return {
        name: np.stack([
            [rope.scaled_frequencies(replace(at.config, rope_scaling=name, rope_factor=float(s),
                                             rope_original_len=config.max_len))[0].numpy() for s in FACTORS]
            for at in speeds(config).values()
        ]) for name in names
    }  # fmt: skip
