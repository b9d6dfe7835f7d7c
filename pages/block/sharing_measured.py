"""What the lesson on tied and shared weights measures: storages, two gradients, a table read out by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from charts.sharing import Use
from pages.shared import models
from transformer import Config, build
from transformer.experiments import tying
from transformer.models import Model

SMALL = {"vocab_size": 64, "d_model": 32, "n_layers": 4, "n_heads": 4}
LIVE = {  # what the storages are looked at in
    "nothing shared": SMALL | {"tie_embeddings": False},
    "tied": SMALL,
    "tied, layers shared": SMALL | {"share_layers": True},
    "three-way tie": SMALL | {"kind": "encoder-decoder", "position": "sinusoidal", "n_layers": 2},
}
ROWS = 40  # of a gradient
RECORDED = Path(__file__).parents[2] / "assets" / "measured" / "tied-table.json"


class Built(NamedTuple):
    """Models that stay as long as the process does, so that their addresses hold."""

    models: dict[str, Model]
    uses: dict[str, list[Use]]
    changed: dict[str, tuple[float, float]]


@st.cache_resource(show_spinner=False)
def live() -> Built:
    made = {name: build(Config(**fields), seed=0).eval() for name, fields in LIVE.items()}
    uses = {name: [Use(*read) for read in tying.reads(model, [1, 2, 3])] for name, model in made.items()}
    return Built(made, uses, {name: tying.change_one(model) for name, model in made.items()})


class Two(NamedTuple):
    """The gradient of the tiny model's table on one text, by use: the rows that are drawn."""

    parts: dict[str, np.ndarray]  # "in", "out", "whole" -> [row, dimension]
    lengths: dict[str, np.ndarray]  # -> [row]
    rows: list[str]  # tokens
    occurs: int  # rows that the look-up touches
    loss: float
    norms: list[float]  # of the three parts, all rows
    apart: float  # how far input + output is from the whole


@st.cache_data(max_entries=16, show_spinner=False)
def two_gradients(text: str) -> Two:
    """ValueError for a text of fewer than two tokens, or a longer one than the model takes."""
    model, tokenizer = models.loaded("tiny")
    ids = tokenizer.encode(text)
    if len(ids) > model.config.max_len:
        raise ValueError(f"This text is {len(ids)} tokens long; the tiny model takes {model.config.max_len}. Shorten "
                         f"it.")
    found = tying.gradients(model, ids)
    occurs = list(dict.fromkeys(ids[:-1]))
    loudest = found.whole.norm(dim=1).argsort(descending=True).tolist()
    rows = (occurs[: ROWS // 2] + [i for i in loudest if i not in occurs])[:ROWS]
    parts = {"in": found.input, "out": found.output, "whole": found.whole}
    return Two(
        {key: part[rows].numpy() for key, part in parts.items()},
        {key: part[rows].norm(dim=1).numpy() for key, part in parts.items()},
        [seen(piece) for piece in tokenizer.pieces(rows)], len(occurs), found.loss,
        [part.norm().item() for part in parts.values()], (found.input + found.output - found.whole).abs().max().item(),
    )  # fmt: skip


def seen(piece: str) -> str:
    return piece.replace("\n", "⏎").strip() or "␣"


RECORDED = Path(__file__).parents[2] / "assets" / "measured" / "tied-table.json"


class Alone(NamedTuple):
    """`tying.alone` as arrays and words."""

    pieces: list[str]  # [token]
    dots: np.ndarray  # [token, token]
    rank: np.ndarray  # [token]
    near: list[str]  # [token], the nearest rows in words
    norm: float  # mean length of a row
    depth: list[int]
    own: np.ndarray  # [depth, token]
    answer: np.ndarray  # [depth, token]
    answers: list[str]  # [token]


@st.cache_data(show_spinner=False)
def recorded_alone(text: str) -> Alone | None:
    """SmolLM2's own table and stream, recorded of the examples for those who have not fetched it."""
    found = json.loads(RECORDED.read_text("utf-8"))["texts"].get(text)
    return found and _arranged(tying.Alone(**found))


@st.cache_data(max_entries=16, show_spinner=False)
def alone(model: str, text: str) -> Alone:
    """Of a model that is here."""
    return _arranged(tying.alone(*models.loaded(model), text))


def _arranged(found: tying.Alone) -> Alone:
    near = ["  ".join(f"“{seen(piece)}” {cosine:.2f}" for piece, cosine in zip(*row, strict=True))
            for row in zip(found.near, np.asarray(found.cosines), strict=True)]  # fmt: skip
    dots, rank, own, answer = map(np.asarray, (found.dots, found.rank, found.own, found.answer))
    return Alone([seen(piece) for piece in found.pieces], dots, rank, near, found.norm, found.depth, own, answer,
                 [seen(piece) for piece in found.answers])  # fmt: skip
