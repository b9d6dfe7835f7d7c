"""The model whose numbers can all be read (transformer/training/readable.py), reading the learner's text."""

from __future__ import annotations

import json
from dataclasses import dataclass

import streamlit as st
import torch

import transformer
from pages.shared.lesson import Lesson
from pages.shared.models import Reading
from transformer import masks, stepwise
from transformer.pretrained import ASSETS

NAME = "readable"
MOST = 8  # tokens that are drawn: a decoder's first tokens are what they are, whatever follows


@dataclass(frozen=True)
class Small(Reading):
    """A reading of a model that is not in the sidebar: it belongs to one lesson."""

    @property
    def title(self) -> str:
        return "Readable model · trained by us"


@st.cache_resource(show_spinner=False)
def model() -> tuple:
    return transformer.load(NAME)


def any_reading() -> Small:
    """For the page's head, which says the model before the text is there."""
    return Small(NAME, "tiny", "", model()[0].config, (), (), {})


@st.cache_data(show_spinner=False)
def about() -> str:
    """What the model is, by the record that its training left."""
    made = json.loads((ASSETS / NAME / "config.json").read_text("utf-8"))["made"]
    return (
        "Two layers of two heads, 8 numbers a token, trained by us on Shakespeare's plays "
        f"(`{made['command']}`, {made['minutes_a_seed']:g} minutes on one thread). On two unseen plays it loses "
        f"{made['held_out_loss']:.2f} nats a token; frequencies of tokens alone lose "
        f"{made['held_out_loss_of_frequencies_alone']:.2f}. Too small to write well, large enough that its heads have "
        f"learned "
        "what to look for."
    )


@st.cache_data(max_entries=256, show_spinner=False)
def ids_of(text: str) -> list[int]:
    return model()[1].encode(text[: 64 * MOST])[:MOST]


def steps_of(ids: tuple[int, ...], scaled: bool, masked: bool) -> dict[str, torch.Tensor]:
    """Every step of both layers; a field of `stepwise.Steps`, or X, or a weight -> [layer, …]."""
    decoder, _ = model()
    config, n = decoder.config, len(ids)
    trace = decoder.run(list(ids), record="layers.*.norm_1").trace
    past = masks.past(n)
    found: dict[str, list[torch.Tensor]] = {}
    for layer in range(config.n_layers):
        x, weights = trace[f"layers.{layer}.norm_1"][0], stepwise.weights(decoder, layer)
        steps = stepwise.attend(x, weights, config.n_heads, past if masked else None, None if scaled else 1.0)
        for name, tensor in (("X", x), *weights._asdict().items(), *steps._asdict().items()):
            found.setdefault(name, []).append(tensor)
    return {name: torch.stack(tensors) for name, tensors in found.items()}


def read(lesson: Lesson, text: str) -> Small:
    """The reading, or the last good one and a sentence."""
    if text.strip():
        ids = ids_of(text)
        pieces = model()[1].pieces(ids)
        st.session_state["_last_small"] = Small(NAME, "tiny", text, model()[0].config, tuple(ids), tuple(pieces), {})
        most = len(model()[1].encode(text[: 64 * MOST]))
        if most > MOST:
            st.caption(f"The first {MOST} tokens are drawn, so that every number can be read. In a decoder they do not "
                       "depend on what follows.")  # fmt: skip
    else:
        st.warning("There is nothing to read yet: type a word or a sentence.", icon=":material/info:")
        if "_last_small" not in st.session_state:
            st.stop()
    return st.session_state["_last_small"]
