"""What the page on sinusoids draws: matrices of every width and base, products by offset, heads' scores, trainings."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

import transformer
from charts.sinusoids import LAYOUTS, Maps, Runs
from transformer import positions
from transformer.models import Model
from transformer.tokenizers import Tokenizer
from transformer.training import order

WIDTHS, BASES = [8, 32, 128], [100, 1_000, 10_000, 100_000]
POSITIONS = 96  # rows of the matrix
STARTS, FARTHEST = (0, 10, 100, 1_000), 256
REACHES = [32, 64, FARTHEST]
PLACES = 20  # of one word repeated
MOST = 14  # tokens of a text whose scores are drawn
MODEL, WITHOUT = "decoder", "decoder-unscaled"
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "sinusoids.json"


@st.cache_data(show_spinner=False)
def tables() -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Width d -> PE [layout, base, position, d], and -> θ [layout, base, pair]."""
    at, PE, theta = torch.arange(POSITIONS)[None], {}, {}
    for d in WIDTHS:
        PE[d] = np.stack([[positions.sinusoidal(at, d, base, layout)[0].numpy() for base in BASES]
                          for layout in LAYOUTS])  # fmt: skip
        theta[d] = np.stack([[positions.speeds(d, base, layout).numpy() for base in BASES] for layout in LAYOUTS])
    return PE, theta


@st.cache_data(show_spinner=False)
def products() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(offset k, PE(n)·PE(n + k) / (d/2) [width, base, start, offset], the most that starts differ by)."""
    offset = torch.arange(FARTHEST + 1)
    S = np.stack([[positions.similarity(torch.tensor(STARTS), offset, d, base).numpy() / (d / 2) for base in BASES]
                  for d in WIDTHS])  # fmt: skip
    return offset.numpy(), S, S.max(2) - S.min(2)


@st.cache_resource(show_spinner=False)
def ours(row: str) -> tuple[Model, Tokenizer]:
    return transformer.load(order.FOLDER / row)


def maps_of(S: torch.Tensor, mask: torch.Tensor | None) -> Maps:
    """S [map, query, key]."""
    drawn = torch.stack([positions.in_spreads(one, mask) for one in S])
    return Maps(S.numpy(), drawn.numpy(), [positions.explained_by_offset(one, mask) for one in S])


class Scores(NamedTuple):
    """All heads of our decoder, beside the products of positions alone."""

    names: list[str]
    products: Maps  # one map
    alone: Maps  # one word repeated
    mixed: Maps  # the text


@st.cache_data(max_entries=64, show_spinner=False)
def scores_of(ids: tuple[int, ...], word: int) -> Scores:
    """ids: the text; word: the token that is repeated."""
    model, _ = ours(MODEL)
    config = model.config
    raw = positions.gram(positions.sinusoidal(torch.arange(PLACES), config.d_model))

    def read(tokens: list[int]) -> Maps:
        trace = model.run(tokens, record="*.attention.scores").trace
        S = torch.cat([trace[f"layers.{i}.attention.scores"][0] for i in range(config.n_layers)])  # [head, query, key]
        return maps_of(S, torch.ones(S.shape[1:], dtype=torch.bool).tril())

    names = [f"layer {i}, head {j}" for i in range(config.n_layers) for j in range(config.n_heads)]
    return Scores(names, maps_of(raw[None], None), read([word] * PLACES), read(list(ids)))


@st.cache_data(max_entries=64, show_spinner=False)
def shares_of(ids: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Position's share in each token, with the squared lengths that make it, in both of our decoders: [3, token]."""
    found = {}
    for row, name in ((MODEL, "with √d"), (WITHOUT, "without")):
        trace = ours(row)[0].run(list(ids), record=("embed.tokens", "embed.positions")).trace
        E, P = trace["embed.tokens"][0], trace["embed.positions"][0]
        found[name] = torch.stack((positions.share(E, P), E.square().sum(-1), P.square().sum(-1))).numpy()
    return found


class Recorded(NamedTuple):
    """The trainings with √d and without, as transformer/training/order.py wrote them."""

    steps: np.ndarray  # from the first measurement after the start on
    runs: list[Runs]  # with, without
    start: float  # share of position without √d before any training


@functools.cache
def recorded() -> Recorded:
    found = json.loads((order.FOLDER / "curves.json").read_text("utf-8"))["runs"]
    curves = {row: [run["curve"] for run in found if run["row"] == row] for row in (MODEL, WITHOUT)}

    def of(row: str, name: str, role: str) -> Runs:
        return Runs(name, role, *(np.array([curve[part][1:] for curve in curves[row]]) for part in ("loss", "share")))

    start = float(np.mean([curve["share"][0] for curve in curves[WITHOUT]]))
    steps = np.array(curves[MODEL][0]["step"][1:], dtype=float)
    return Recorded(steps, [of(MODEL, "× √d", "residual"), of(WITHOUT, "without", "positive")], start)


@functools.cache
def measured() -> dict[str, dict]:
    """Lengths in trained tables, as benchmarks/sinusoids.py wrote them."""
    return json.loads(MEASURED.read_text("utf-8"))["measured"]
