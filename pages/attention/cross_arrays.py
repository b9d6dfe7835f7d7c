"""What the page on cross-attention draws of a translation, every layer and head at once."""

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from transformer.translation import Translation, alignment, links


class Look(NamedTuple):
    """A layer with one of its heads, or None for their mean."""

    layer: int
    head: int | None

    def __str__(self) -> str:
        return f"layer {self.layer}, " + ("mean" if self.head is None else f"head {self.head}")


class Drawn(NamedTuple):
    """The arrays of the picture."""

    weights: np.ndarray  # [look, step, source]
    scores: np.ndarray  # [head, step, source]
    Q: np.ndarray  # [head, step, d_head]
    K: np.ndarray  # [head, source, d_head]
    words: np.ndarray  # [look, target word, source word]
    links: np.ndarray  # [look, target word]


def looks(said: Translation) -> list[Look]:
    heads = [*range(said.config.n_heads), None]
    return [Look(layer, head) for layer in range(said.config.n_layers) for head in heads]


def which_head(look: Look, said: Translation) -> int:
    """Its place among the heads of all layers, −1 for a mean."""
    return -1 if look.head is None else look.layer * said.config.n_heads + look.head


@st.cache_data(max_entries=64, show_spinner=False)
def drawn_of(subject: tuple, _said: Translation) -> Drawn:
    """subject: what tells one translation from another."""
    layers, pieces = range(_said.config.n_layers), (_said.source, _said.target)
    maps = [_said.A(*look) for look in looks(_said)]
    return Drawn(
        torch.stack(maps).numpy(),
        torch.cat([_said.scores(layer) for layer in layers]).numpy(),
        torch.cat([_said.Q(layer) for layer in layers]).numpy(),
        torch.cat([_said.K(layer) for layer in layers]).numpy(),
        torch.stack([alignment(A, *pieces) for A in maps]).numpy(),
        np.array([links(A, *pieces) for A in maps]),
    )


@st.cache_data(max_entries=64, show_spinner=False)
def uses_of(subject: tuple, _said: Translation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The encoder's own weights, the decoder's own and those across, each in the last layer: [head and mean, query, key]."""
    layer, read = _said.config.n_layers - 1, _said.config.n_encoder_layers - 1
    heads = [*range(_said.config.n_heads), None]
    of_encoder = torch.stack([_said.encoder_A(read, head) for head in heads])
    of_decoder = torch.stack([_said.own(layer, head) for head in heads])
    return of_encoder.numpy(), of_decoder.numpy(), torch.stack([_said.A(layer, head) for head in heads]).numpy()
