"""What the lesson on the feed-forward network (pages/block/feed_forward.py) shows beside its reading: recorded numbers, and
tokens changed one at a time."""

import json
import lzma

import numpy as np
import streamlit as st

from pages.shared import models
from transformer.experiments import neurons
from transformer.tap import Trace
from transformer.training import widths

RECORDED = widths.FILE.parent / "feed-forward-memories.json.xz"


@st.cache_resource(show_spinner=False)
def recorded_memories() -> dict:
    return json.loads(lzma.decompress(RECORDED.read_bytes()))


@st.cache_resource(show_spinner=False)
def recorded_widths() -> dict:
    return json.loads(widths.FILE.read_text("utf-8"))


def recorded_losses() -> dict[int, np.ndarray]:
    """times -> loss on unseen text [seed, point]."""
    kept = recorded_widths()
    return {times: np.array([kept["unseen"][f"{times}/{seed}"] for seed in kept["seeds"]]) for times in widths.TIMES}


def cell_in(text: str) -> tuple[str, int, int] | None:
    """("a", 4, 3) of "a.4.3", None of "none"; ValueError for anything else."""
    if text == "none":
        return None
    key, row, col = text.rsplit(".", 2)
    return key, int(row), int(col)


@st.cache_resource(max_entries=4, show_spinner=False)
def streams_of(name: str, text: str) -> Trace:
    """What enters each layer."""
    model, tokenizer = models.loaded(name)
    return model.run(tokenizer.encode(text), record="*.resid_pre").trace


@st.cache_data(max_entries=64, show_spinner=False)
def changes_of(name: str, text: str, layer: int) -> tuple[list[str], np.ndarray, list[str]]:
    model, tokenizer = models.loaded(name)
    ids = tokenizer.encode(text)
    places, delta = neurons.changed_rows(model, ids, layer, stream=streams_of(name, text)[f"layers.{layer}.resid_pre"])
    return places, delta.numpy(), [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(tokenizer.pieces(ids))]


@st.cache_data(max_entries=64, show_spinner=False)
def one_change(text: str) -> tuple[int, np.ndarray]:
    """The token changed, in the tiny model's middle layer, and max |Δ| [token, 2] of that FFN and of the attention after it."""
    model, tokenizer = models.loaded("tiny")
    ids = tokenizer.encode(text)
    if len(ids) < 2:
        return 0, np.zeros((len(ids), 2))
    places, delta = neurons.changed_rows(model, ids, 1, [len(ids) // 2])
    return len(ids) // 2, delta[0][:, [places.index("layers.1.ffn.out"), places.index("layers.2.attention.out")]].numpy()
