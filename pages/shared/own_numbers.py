"""Boxes for the learner's own decoder, for the lessons that count weights, FLOPs, bytes and seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

from charts.ahead import Box, ahead
from pages.shared.known_models import TEXT
from transformer import PRESETS, Config

OWN = "My own numbers"
FIRST = Config(d_model=512, n_heads=8, n_layers=6, vocab_size=32_000, position="none", max_len=2**20)
_LAST_GOOD = "_own_numbers"
_BOXES = "_own_boxes"  # what the boxes of the last good config held, and which of them was moved last
Beside = Literal["", "tie", "table"]


def last_good() -> Config:
    """The last config that the boxes made."""
    return st.session_state.get(_LAST_GOOD, FIRST)


def own_config(beside: Beside = "") -> Config:
    """The boxes, in the link, and the config that they make; the last good one where they make none, with one sentence
    why. beside: what is offered as well: experts and the "tie" of the tables, or how wide the "table" is (ALBERT)."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="gf-own"):

        def number(label: str, most: int, default: int, key: str, least: int = 1, width: int = 130) -> int:
            return st.number_input(label, least, most, default, key=key, bind="query-params", width=width)

        boxes = {
            "layers": number("Layers", 256, FIRST.n_layers, "layers"),
            "d": number("d, width", 32_768, FIRST.d_model, "d"),
            "heads": number("Query heads", 256, FIRST.n_heads, "heads"),
            "kv_heads": number("K/V heads", 256, FIRST.n_kv_heads, "kv_heads"),
            "d_ff": number("d_ff", 131_072, FIRST.d_ff, "d_ff"),
            "vocab": number("Vocabulary", 1_000_000, FIRST.vocab_size, "vocab"),
        }
        if beside == "tie":
            boxes["experts"] = number("Experts", 256, 1, "experts")
        if beside == "table":
            boxes["table"] = number("Table's width, 0 = d", 32_768, 0, "table", least=0, width=150)
        boxes["gated"] = st.toggle("Gated FFN", key="gated", bind="query-params")
        if beside == "tie":
            boxes["tied"] = st.toggle("Tied tables", True, key="tied", bind="query-params")
    try:
        config = _made(**boxes)
    except ValueError as problem:
        st.warning(str(problem), icon=":material/info:")
        return last_good()
    before, _ = st.session_state.get(_BOXES, (boxes, ""))
    moved = [key for key, value in boxes.items() if before.get(key, value) != value]
    st.session_state[_BOXES] = boxes, moved[-1] if moved else st.session_state.get(_BOXES, (None, "d_ff"))[1]
    st.session_state[_LAST_GOOD] = config
    return config


def with_neighbours(message: Callable[[Config], bytes | None]) -> bytes:
    """The picture of the boxes' config, and sent ahead those one step away in the box that was moved last."""
    boxes, moved = st.session_state.get(_BOXES, ({}, ""))
    if moved not in boxes:
        return message(last_good())
    at = boxes[moved]
    values = [False, True] if isinstance(at, bool) else range(2**20)

    def draw(value: int) -> bytes | None:
        try:
            config = _made(**boxes | {moved: value})
        except ValueError:  # a neighbour that makes no model; where the learner goes there, the page says why
            return None
        return message(config)

    return ahead(draw, Box(moved, values, at))


def with_others(message: Callable[[Config, str], bytes | None], title: str) -> bytes:
    """The picture of the model that the page's box "arch" names, and sent ahead that of the one before and after."""
    if title == OWN:
        return with_neighbours(lambda own: message(own, OWN))
    return ahead(lambda name: message(PRESETS[TEXT[name]], name) if name in TEXT else None, Box("arch", [*TEXT, OWN], title))


def _made(
    layers: int, d: int, heads: int, kv_heads: int, d_ff: int, vocab: int, gated: bool, experts: int = 1, table: int = 0,
    tied: bool = True,
) -> Config:  # fmt: skip
    return Config(
        d_model=d, n_layers=layers, n_heads=heads, n_kv_heads=kv_heads, d_ff=d_ff, vocab_size=vocab, gated=gated,
        tie_embeddings=tied, experts=experts, experts_per_token=min(2, experts) if experts > 1 else None,
        d_embed=table or None, position="none", max_len=2**20,
    )  # fmt: skip


def as_python(config: Config) -> str:
    """The config as a learner would type it."""
    fields = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "vocab_size", "gated", "tie_embeddings",
              "share_layers", "experts", "d_embed")  # fmt: skip
    return f"Config({', '.join(f'{name}={getattr(config, name)}' for name in fields)}, position=\"none\")"
