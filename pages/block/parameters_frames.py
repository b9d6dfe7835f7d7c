"""Configs as frames of the picture of weights (pages/block/parameters.py, sharing.py), and the sizes that it varies."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from charts.parameters import Block, Frame, Shown, Vary
from transformer import Config, cost, weights

LAYERS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96)
FACTORS = {"÷ 4": (1, 4), "÷ 3": (1, 3), "÷ 2": (1, 2), "× 1": (1, 1), "× 2": (2, 1), "× 3": (3, 1), "× 4": (4, 1)}
TABLES = (1000, 8000, 16_000, 32_000, 50_257, 64_000, 128_256, 256_000)
WIDER = ((1, 1), (2, 1), (8, 3), (4, 1), (6, 1), (8, 1))  # d_ff / d


def size(count: float) -> str:
    """Bytes as people say them: 538 MB."""
    units, unit = ("bytes", "kB", "MB", "GB", "TB"), 0
    while count >= 999.5 and unit < len(units) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g} {units[unit]}" if count < 100 else f"{count:.0f} {units[unit]}"


def blocks(config: Config) -> list[Block]:
    return [
        Block(one.name, one.part, one.section, one.shape, one.axes, one.times, one.total)
        for one in weights.weights(config)
    ]


def columns(config: Config) -> dict[str, int]:
    return {"layers": config.n_layers, "encoder": config.n_encoder_layers or 0}


def frame(config: Config) -> Frame:
    """The weights of one config, and the rule of thumb beside them."""
    terms = weights.rule_of_thumb(config)
    total = sum(terms.values())
    off = terms["rule"] / total - 1
    active = sum(cost.parameters(config, active=True).values())
    notes = [f"12 · layers · d² = {terms['rule']:,} ({off:+.1%})".replace("-", "−")]
    if active != total:
        notes.append(f"{active:,} of them for one token")
    notes.append(" · ".join(f"{bits} bits {size(weights.bytes_at(config, bits))}" for bits in weights.BITS))
    once = ("layers", "encoder") if config.share_layers and config.n_layers > 1 else ()
    return Frame(blocks(config), columns(config), terms, notes, once)


def _sized(label: str, config: Config, made: dict[str, dict[str, int]]) -> Vary:
    """Every value that makes a model, and among them the config's own."""
    found: dict[str, Frame] = {}
    own = 0
    for value, fields in made.items():
        if all(getattr(config, name) == number for name, number in fields.items()):
            own = len(found)
        try:
            found[value] = frame(replace(config, **fields))
        except ValueError:  # heads that do not divide, more distances than dimensions: there is no such model
            continue
    return Vary(label, list(found), own, list(found.values()))


def _with(own: int, values: tuple[int, ...]) -> list[int]:
    return sorted({*values, own})


@st.cache_data(max_entries=64, show_spinner=False)
def varied(config: Config) -> list[Vary]:
    """Each size alone, the others kept: layers, the whole width, d_ff, key/value heads, vocabulary."""
    stacks = ["n_layers"] + (["n_encoder_layers"] if config.kind == "encoder-decoder" else [])
    depths = {str(n): dict.fromkeys(stacks, n) for n in _with(config.n_layers, LAYERS)}
    found = [_sized("layers", config, depths)]
    widths = {}
    for label, (up, down) in FACTORS.items():
        fields = {name: getattr(config, name) for name in ("d_model", "n_heads", "n_kv_heads", "d_ff")}
        if config.d_embed == config.d_model:
            fields["d_embed"] = config.d_embed
        if all(number * up % down == 0 for number in fields.values()):
            wide = {name: number * up // down for name, number in fields.items()}
            widths[f"{label}: d = {wide['d_model']:,}"] = wide
    found.append(_sized("width: d, heads and d_ff", config, widths))
    ffs = _with(config.d_ff, tuple(config.d_model * up // down for up, down in WIDER))
    found.append(_sized("d_ff", config, {f"{n:,} = {n / config.d_model:.3g} d": {"d_ff": n} for n in ffs}))
    if config.n_heads > 1 and config.kind != "vision":
        shared = [n for n in range(1, config.n_heads + 1) if config.n_heads % n == 0]
        found.append(_sized("key/value heads", config, {f"{n} of {config.n_heads}": {"n_kv_heads": n} for n in shared}))
    if config.kind != "vision":
        tables = {f"{n:,}": {"vocab_size": n} for n in _with(config.vocab_size, TABLES)}
        found.append(_sized("vocabulary", config, tables))
    return found


def shown(name: str, config: Config, with_sizes: bool) -> Shown:
    """One model of the picture; what can be varied comes with the one that is looked at."""
    return Shown(name, [frame(config)], varied(config) if with_sizes else ())
