"""What the lesson on memory draws: our trained Transformer-XL on the learner's text, and what its training measured."""

import json
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

import transformer
from transformer import segments
from transformer.models import Model
from transformer.pretrained import ASSETS
from transformer.tokenizers import Tokenizer

MOST = 80  # tokens that are read
NONE, ALL = "none", "all"
MEMORIES = [NONE, "4", "8", "16", "32", ALL]


class Tokens(NamedTuple):
    """The text as the model reads it."""

    ids: tuple[int, ...]
    words: list[str]  # each with its number, so that none repeats
    left_out: int


class Read(NamedTuple):
    """The text read with every memory; the last one is as if at once. Each [memory, ...]."""

    A: np.ndarray  # [memory, layer, head, query, key]
    scores: np.ndarray  # the same, not a number where nothing is in sight
    distance: np.ndarray  # of the scores, what the distance adds
    apart: np.ndarray  # [memory, layer + 1, token]: from all at once, after each layer and in the logits
    surprise: np.ndarray  # [memory, token], NaN at the last
    whole: np.ndarray  # [token]


class Made(NamedTuple):
    """The recorded training."""

    runs: dict[str, np.ndarray]  # with and without memory: loss [seed, place]
    memories: list[int]
    by_memory: np.ndarray  # [seed, memory]
    about: dict


@st.cache_resource(show_spinner=False)
def ours() -> tuple[Model, Tokenizer]:
    return transformer.load("segments")


@st.cache_resource(show_spinner=False)
def made() -> Made:
    about = json.loads((ASSETS / "segments" / "config.json").read_text("utf-8"))["made"]
    runs = {kind: np.array(found) for kind, found in about["loss_by_position"].items()}
    return Made(runs, about["memories"], np.array(about["loss_by_memory"]), about)


def tokens_of(text: str) -> Tokens:
    """ValueError, one sentence, where there is nothing to read."""
    if not text.strip():
        raise ValueError("There is nothing to read yet: type a word or a sentence.")
    _, tokenizer = ours()
    ids = tokenizer.encode(text[: 20 * MOST])  # no token of ours is longer
    words = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(tokenizer.pieces(ids[:MOST]))]
    return Tokens(tuple(ids[:MOST]), words, len(ids) - len(words))


def tokens_held(memory: str, n: int) -> int:
    return {NONE: 0, ALL: n}.get(memory) if memory in (NONE, ALL) else int(memory)


@st.cache_data(max_entries=8, show_spinner=False)
def read(ids: tuple[int, ...], segment: int) -> Read:
    model, _ = ours()
    n, record = len(ids), ("A", "scores", "Q", "resid_post")
    whole = segments.read(model, ids, n, 0, record)
    found = [segments.read(model, ids, segment, tokens_held(memory, n), record) for memory in MEMORIES]
    nothing = torch.full((1,), torch.nan)
    apart = [torch.cat((segments.differences(one.trace["resid_post"], whole.trace["resid_post"]),
                        segments.differences(one.logits, whole.logits)[None])) for one in found]  # fmt: skip
    surprise = [torch.cat((segments.surprise(one.logits, ids), nothing)) for one in [*found, whole]]
    distance = [torch.stack([segments.by_distance(model, i, Q) for i, Q in enumerate(one.trace["Q"])]) for one in found]
    A, scores = (torch.stack([one.trace[part] for one in found]).numpy() for part in ("A", "scores"))
    unseen = np.isinf(scores)
    return Read(A, np.where(unseen, np.nan, scores), np.where(unseen, np.nan, torch.stack(distance).numpy()),
                torch.stack(apart).numpy(),
                torch.stack(surprise[:-1]).numpy(), surprise[-1].numpy())  # fmt: skip


@st.cache_data(max_entries=64, show_spinner=False)
def reach(n: int, segment: int, layers: int) -> np.ndarray:
    """After how many layers, −1 for never: [memory, query, key]."""
    return torch.stack([segments.reach(n, segment, tokens_held(m, n), layers) for m in MEMORIES]).numpy()


@st.cache_data(max_entries=16, show_spinner=False)
def allowed(n: int, segment: int) -> np.ndarray:
    """Who is in segment or memory: [memory, query, key]."""
    return torch.stack([segments.mask(n, segment, tokens_held(m, n)) for m in MEMORIES]).numpy()
