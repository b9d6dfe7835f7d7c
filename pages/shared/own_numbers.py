"""Boxes for the learner's own decoder, for the lessons that count weights, FLOPs, bytes and seconds."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from transformer import Config

OWN = "My own numbers"
FIRST = Config(d_model=512, n_heads=8, n_layers=6, vocab_size=32_000, position="none", max_len=2**20)
_LAST_GOOD = "_own_numbers"
Beside = Literal["", "tie", "table"]


def last_good() -> Config:
    """The last config that the boxes made."""
    return st.session_state.get(_LAST_GOOD, FIRST)


def own_config(beside: Beside = "") -> Config:
    """The boxes, in the link, and the config that they make; the last good one where they make none, with one sentence
    why. beside: what is offered as well: experts and the "tie" of the tables, or how wide the "table" is (ALBERT)."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="gf-own"):

        def number(label: str, most: int, default: int, key: str) -> int:
            return st.number_input(label, 1, most, default, key=key, bind="query-params", width=130)

        layers = number("Layers", 256, FIRST.n_layers, "layers")
        d = number("d, width", 32_768, FIRST.d_model, "d")
        heads = number("Query heads", 256, FIRST.n_heads, "heads")
        kv_heads = number("K/V heads", 256, FIRST.n_kv_heads, "kv_heads")
        d_ff = number("d_ff", 131_072, FIRST.d_ff, "d_ff")
        vocab = number("Vocabulary", 1_000_000, FIRST.vocab_size, "vocab")
        experts = number("Experts", 256, 1, "experts") if beside == "tie" else 1
        table = 0
        if beside == "table":
            table = st.number_input("Table's width, 0 = d", 0, 32_768, 0, key="table", bind="query-params", width=150)
        gated = st.toggle("Gated FFN", key="gated", bind="query-params")
        tied = st.toggle("Tied tables", True, key="tied", bind="query-params") if beside == "tie" else True
    try:
        config = Config(
            d_model=d, n_layers=layers, n_heads=heads, n_kv_heads=kv_heads, d_ff=d_ff, vocab_size=vocab, gated=gated,
            tie_embeddings=tied, experts=experts, experts_per_token=min(2, experts) if experts > 1 else None,
            d_embed=table or None, position="none", max_len=2**20,
        )  # fmt: skip
    except ValueError as problem:
        st.warning(str(problem), icon=":material/info:")
        return last_good()
    st.session_state[_LAST_GOOD] = config
    return config


def as_python(config: Config) -> str:
    """The config as a learner would type it."""
    fields = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "vocab_size", "gated", "tie_embeddings",
              "share_layers", "experts", "d_embed")  # fmt: skip
    return f"Config({', '.join(f'{name}={getattr(config, name)}' for name in fields)}, position=\"none\")"
