"""A model with its tables tied or not and its layers shared or not, as frames of the picture of weights."""

from __future__ import annotations

from math import prod

import streamlit as st

from charts.curves import Switch
from charts.parameters import Block, Frame, Shown
from pages.shared.known_models import NAMES
from pages.shared.own_numbers import OWN
from pages.block.parameters_frames import blocks, columns
from transformer import PRESETS, Config, cost, weights
from transformer.experiments.tying import variant

MODELS = ("GPT-2", "SmolLM2-135M", "Qwen2 0.5B", "Llama 3.2 1B", "Llama 3 8B", "Transformer base (2017)",
          "ALBERT base", "BERT base")  # fmt: skip
SWITCHES = ("Last matrix = the table", "Source and target share one", "All layers share one block")
READ = 128  # tokens, for the FLOPs


def settings(config: Config) -> tuple[bool, bool, bool]:
    """How the switches stand in this config."""
    return (config.head == "lm" and config.tie_embeddings, config.kind == "encoder-decoder" and config.share_embeddings,
            config.share_layers)  # fmt: skip


def able(config: Config) -> tuple[bool, bool, bool]:
    """Which switches mean something for it."""
    return config.head == "lm", config.kind == "encoder-decoder", config.n_layers > 1


def frame(config: Config, tied: bool, one_table: bool, shared: bool) -> Frame:
    """What is stored, and what is used without being stored again."""
    made, apart = variant(config, tied, shared, one_table), variant(config, False, False, one_table=False)
    found, table = blocks(made), (config.vocab_size, config.d_embed)
    if config.head == "lm" and tied:
        found.append(Block("W_U.weight", "unembedding", "end", table, ("V", "d_E"), 1, prod(table), False))
    if config.kind == "encoder-decoder" and one_table:
        name = "encoder.embedding.W_E.weight"
        found.append(Block(name, "embedding", "embedding", table, ("V", "d_E"), 1, prod(table), False))
    most, total = (sum(cost.parameters(one).values()) for one in (apart, made))
    work = sum(cost.flops(made, n=READ).values())
    notes = [f"{most - total:,} saved of {most:,}: {(most - total) / most:.1%}" if most > total else "nothing is "
        "shared",
             f"{work / 1e9:,.1f} GFLOPs to read {READ} tokens"]  # fmt: skip
    once = ("layers", "encoder") if shared and config.n_layers > 1 else ()
    return Frame(found, columns(config), weights.rule_of_thumb(made), notes, once)


def shown(name: str, config: Config) -> Shown:
    """Every setting of the switches, bit i for switch i."""
    frames = [frame(config, bool(bits & 1), bool(bits & 2), bool(bits & 4)) for bits in range(8)]
    return Shown(name, frames, able=able(config), at=settings(config))


@st.cache_resource(show_spinner=False)
def known() -> list[Shown]:
    return [shown(name, PRESETS[NAMES[name]]) for name in MODELS]


def switches(on: tuple[bool, bool, bool]) -> list[Switch]:
    return [Switch(label, is_on) for label, is_on in zip(SWITCHES, on, strict=True)]


def config_named(name: str, own: Config) -> Config:
    return own if name == OWN else PRESETS[NAMES[name]]
