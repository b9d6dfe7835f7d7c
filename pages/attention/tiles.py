"""Attention by tiles: the softmax in pieces, exact, and without the n × n table."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices, tiles as charts
from charts.ahead import Box, ahead
from charts.curves import Choice
from pages.attention import tiles_words as words
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import PRESETS, scores, stepwise, tiled
from transformer.experiments.one_head import Head
from transformer.recording import CAPITAL, PRONOUN, REPEAT

EXAMPLES = {"a repeated name": REPEAT, "a pronoun": PRONOUN, "a fact": CAPITAL}
SIZES, SIZE = [2, 3, 4, 6, 8, 12, 24], 4
TELLING = {"smollm2-135m": (11, 4)}  # a head that reads broadly: sums grow, and shrink when a larger score turns up
MOST = 24  # tokens: numbers that can still be read
LENGTHS = np.arange(256, 32_769, 256)
LENGTH = 8192
ON_CHIP = (128, 64)  # queries and keys of a tile, as GPU kernels take them
BYTES = 2  # a value in 16 bits
SHOWN = "smollm2-135m"  # the model whose memory is drawn


class Stand(NamedTuple):
    """Where the tiles stand, by the link."""

    text: str
    size: int
    tile: int
    cell: tuple[str, int, int] | None


def head_of(layer: int, head: int) -> Head:
    Q, K, V = (torch.tensor(reading[f"layers.{layer}.attention.{letter}"][0]) for letter in "QKV")
    return Head.of(Q, K, V, head, causal=reading.config.kind == "decoder")


@st.cache_data(max_entries=64, show_spinner=False)
def tiles_of(subject: tuple, layer: int, head: int, size: int) -> tuple[list[charts.Tile], np.ndarray]:
    """Every tile as it is drawn, and the plain formula's output."""
    Q, K, V, past = head_of(layer, head)
    found = []
    for tile in tiled.tiles(Q, K, V, size, size, past):
        names = ("S", "P", "m_before", "l_before", "rescale", "m", "l")
        arrays = {name: getattr(tile, name).numpy() for name in names}
        z = tiled.finished(tile.O, tile.l).numpy()
        found.append(charts.Tile(tile.queries, tile.keys, **arrays, z=z))
    return found, stepwise.read(Q, K, V, past).z.numpy()


@st.cache_data(show_spinner=False)
def memory() -> dict[str, dict[str, np.ndarray]]:
    """MiB of one layer against n: "kept" and "moved", each whole and by tiles."""
    config = PRESETS[SHOWN]
    a_value = BYTES * config.n_heads / 2**20
    found = {"plain": [tiled.plain_memory(int(n), config.d_head) for n in LENGTHS],
             "tiled": [tiled.tiled_memory(int(n), config.d_head, *ON_CHIP) for n in LENGTHS]}  # fmt: skip
    return {field: {name: np.array([getattr(one, field) for one in of], dtype=float) * a_value
                    for name, of in found.items()} for field in ("kept", "moved")}  # fmt: skip


def cell_in(text: str) -> tuple[str, int, int] | None:
    """("S", 4, 3) of "S.4.3", None of "none"; ValueError for anything else."""
    if text == "none":
        return None
    key, row, col = text.split(".")
    return key, int(row), int(col)


def names_of(found: list[charts.Tile]) -> list[str]:
    return [f"{i + 1} of {len(found)}" for i in range(len(found))]


def stand(size: int, found: list[charts.Tile], state: Callable = url.url_state) -> Stand:
    tile, row = charts.most_telling(found)
    at = state("tile", tile + 1, int, lambda i: 1 <= i <= len(found)) - 1
    cell = state("cell", ("l", row, 0), cell_in, shown=f"l.{row}.0")
    n, sizes = len(reading.ids), {"S": 0, "m": 1, "r": 1, "l": 1} | dict.fromkeys("QKVz", reading.config.d_head)
    if cell is not None and not (cell[0] in sizes and 0 <= cell[1] < n and 0 <= cell[2] < (sizes[cell[0]] or n)):
        cell = None  # of another text
    return Stand(reading.text, size, at, cell)


def keep_tiles(size: int, found: list[charts.Tile]) -> None:
    if (said := held.said("tiles", "stand")) is None:
        return
    (tile, row), names = charts.most_telling(found), names_of(found)
    if said.get("frame") in names:
        url.set_url_state("tile", names.index(said["frame"]) + 1, tile + 1)
    at = said.get("at")
    url.set_url_state("cell", "none" if at is None else ".".join(map(str, at)), f"l.{row}.0")
    held.reported("tiles", stand(size, found))


def keep_length() -> None:
    said = held.said("memory", "stand")
    if said is not None and isinstance(n := said.get("cursor"), int | float):
        url.set_url_state("n", int(n), LENGTH)
        held.reported("memory", length())


def length() -> int:
    return url.url_state("n", LENGTH, int, lambda n: LENGTHS[0] <= n <= LENGTHS[-1])


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    config, n, heads = reading.config, len(reading.ids), range(reading.config.n_heads)
    with st.container(key="gf-stage"):
        with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
            layer = choose("Layer", layers, telling_layer, "layer")
            head = choose("Head", heads, telling_head, "head")
            sizes = [size for size in SIZES if size < n] + [next((size for size in SIZES if size >= n), SIZES[-1])]
            size = choose("Queries and keys a tile", sizes, SIZE if SIZE in sizes else sizes[-1], "size")
        found, _ = tiles_of(subject, layer, head, size)
        here = stand(size, found)
        held.to_send("tiles", here)

        def message(*at: int) -> bytes:
            found, exact = tiles_of(subject, *at)
            shown, epoch = held.would_send("tiles", stand(at[2], found, url.would_state))
            names, one = names_of(found), head_of(*at[:2])
            return charts.message(
                pieces, found, {letter: getattr(one, letter).numpy() for letter in "QKV"}, exact, scores.scale(config),
                f"/ √{config.d_head}", None if one.mask is None else ~one.mask.numpy(),
                Choice("Tile", names, names[shown.tile]), shown.cell, epoch=epoch,
            )  # fmt: skip

        with st.container(key="gf-picture"):
            matrices.mount(
                key="tiles", on_stand_change=lambda: keep_tiles(size, found),
                data=ahead(message, Box("layer", layers, layer), Box("head", heads, head), Box("size", sizes, size)),
            )  # fmt: skip
        sizes_, (cursor, epoch) = memory(), held.to_send("memory", length())
        curves.mount(key="memory", on_stand_change=keep_length,
                     data=charts.memory_message(LENGTHS, sizes_["kept"], sizes_["moved"], cursor, epoch=epoch))
        drawn = PRESETS[SHOWN]
        st.caption(f"One layer of SmolLM2-135M: {drawn.n_heads} heads of {drawn.d_head}, {BYTES} bytes a value, tiles "
                   f"of {ON_CHIP[0]} queries × {ON_CHIP[1]} keys, counted, not timed: on this processor nothing is "
                   f"gained, since "
                   "its memory is not split into a large slow and a small fast one in the same way.")  # fmt: skip
    tile = found[here.tile]
    lesson.formula(
        words.FORMULA,
        shapes=[("S", (f"query ≤ {size}", f"key ≤ {size}"), "scores"), ("m", (f"query {n}",), "output"),
                ("l", (f"query {n}",), "attention"), ("O", (f"query {n}", config.d_head), "value"),
                ("z", (f"query {n}", config.d_head), "value")],
        numbers=lambda: numbers(tile),
    )  # fmt: skip
    setting = {"model": reading.model, "text": reading.text, "layer": layer, "head": head, "size": size}
    with code_place:
        past = "None" if config.kind == "encoder" else "torch.ones(len(ids), len(ids), dtype=torch.bool).tril()"
        lesson.code([tiled.tiles, tiled.attention, tiled.tiled_memory], words.SNIPPET.format(**setting, past=past))
    rows = [(i, t) for i, t in enumerate(found, 1) for _ in range(len(t.m))]
    lesson.downloads(
        table={"tile": [i for i, _ in rows],
               "query": [q for t in found for q in range(t.queries.start, t.queries.stop)],
               "first key": [t.keys.start for _, t in rows]}
        | {name: np.concatenate([getattr(t, name) for t in found]) for name in ("m_before", "rescale", "m", "l")},
        config=setting,
    )  # fmt: skip


def numbers(tile: charts.Tile) -> str:
    """The last query of the tile that is looked at."""
    i, row = -1, tile.queries.stop - 1
    old = rf"{tile.m_before[i]:.3f}" if np.isfinite(tile.m_before[i]) else r"-\infty"
    return (
        rf"\begin{{gathered}}m_{{{row}}} = \max({old},\ {np.max(tile.S[i]):.3f}) = {tile.m[i]:.3f}\\[.3em]"
        rf"l_{{{row}}} = {tile.rescale[i]:.4f}\cdot {tile.l_before[i]:.4f} + {tile.P[i].sum():.4f} = {tile.l[i]:.4f}"
        r"\end{gathered}"
    )


def predict() -> None:
    """How often the last word's maximum rises, on the page's own text at its own head."""
    found, _ = tiles_of(subject, telling_layer, telling_head, SIZE)
    own = [tile for tile in found if tile.queries.stop == len(reading.ids)]
    rises = sum(bool(tile.m[-1] > tile.m_before[-1]) for tile in own[1:])
    options = [str(i) for i in range(max(len(own), 2))]
    maxima = ", then ".join(f"{tile.m[-1]:.2f}" for tile in own)
    lesson.predict(
        f"By tiles of {SIZE}, in layer {telling_layer}, head {telling_head}, the last word meets its keys in "
        f"{len(own)} tile{'s' if len(own) != 1 else ''}. After the first of them, how many times does its running "
        f"maximum still rise, so "
        "that what it has summed must shrink?",
        options, str(rises),
        f"Its maximum is {maxima}. Only where it rises is the factor $e^{{m-m'}}$ below 1; elsewhere a tile is simply "
        "added. Heads that rest on the first token have their largest score in the first tile, and hardly ever "
        "rescale.",
    )  # fmt: skip


lesson = Lesson("B12")
lesson.header(words.LOOK_FOR)
text = lesson.text(REPEAT, EXAMPLES)
reading = lesson.read(text, record=("layers.*.attention.[QKV]",), most=MOST)
subject = (reading.model, reading.label, reading.text)
pieces = [piece.replace("\n", "⏎") for piece in reading.pieces]
layers = [i for i in range(reading.config.n_layers) if f"layers.{i}.attention.Q" in reading.arrays]
telling_layer, telling_head = TELLING.get(reading.model, (layers[len(layers) // 2], 0))
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with after:
    lesson.prose(**words.PROSE)
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
