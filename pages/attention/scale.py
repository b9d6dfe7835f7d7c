"""Why divide by √d_k: what the size of the scores does to the softmax, on drawn vectors and in a trained head."""

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import saturation as charts
from charts.ahead import Box, ahead
from charts.curves import Choice
from pages.attention import scale_words
from pages.attention.scale_words import DRAWN, FACTORS, HEAD, ROWS, VIEWS, WIDTHS, Found
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import masks, scores
from transformer.experiments import saturation
from transformer.attention import masked_softmax
from transformer.recording import CAPITAL, DEFAULTS, PRONOUN, REPEAT

EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "a fact": CAPITAL}
TELLING = {(d.model, d.text): (d.layer, d.head, d.query) for d in DEFAULTS.values()}
WIDTH, SHOWN_ROWS = 64, 8  # where it opens; queries whose weights are shown
KEYS = [4, 8, 16, 32]
SEEDS = range(10_000)
TIMES = [f"{factor:.2g}" for factor in FACTORS]
MOST_QUERIES = 48  # of the text, its last ones
BITS = np.log(2)


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    size: int | str
    row: int | str
    scaled: bool


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    numbers: str
    values: dict  # for the snippet


def stand() -> Stand:
    if view == DRAWN:
        return Stand(
            view, url.url_state("width", WIDTH, int, WIDTHS.__contains__),
            url.url_state("row", 1, int, range(1, SHOWN_ROWS + 1).__contains__),
            url.url_state("scaled", "false", str.lower, ("true", "false").__contains__) == "true",
        )  # fmt: skip
    times = url.url_state("times", "1", str, TIMES.__contains__)
    return Stand(view, times, url.url_state("query", names[telling[2]], str, asked.__contains__), False)


def keep() -> None:
    """What the picture reports goes into the link."""
    if (said := held.said("saturation", "stand")) is None:
        return
    if view == DRAWN:
        if said.get("size") in WIDTHS:
            url.set_url_state("width", said["size"], WIDTH)
        if said.get("row") in range(1, SHOWN_ROWS + 1):
            url.set_url_state("row", said["row"], 1)
        url.set_url_state("scaled", "true" if said.get("switch") else "false", "false")
    else:
        if said.get("size") in TIMES:
            url.set_url_state("times", said["size"], "1")
        if said.get("row") in asked:
            url.set_url_state("query", said["row"], names[telling[2]])
    held.reported("saturation", stand())


@st.cache_data(max_entries=16, show_spinner=False)
def drawn(keys: int, seed: int) -> Found:
    found = saturation.drawn(WIDTHS, ROWS, keys, seed)
    factors = torch.ones(len(WIDTHS)), torch.tensor(WIDTHS) ** -0.5
    each = [saturation.multiplied(found.raw, factor) for factor in factors]
    looks = [saturation.look(one.A) for one in each]
    shown = [torch.stack(parts)[:, :, :SHOWN_ROWS].numpy() for parts in zip(*each, strict=True)]
    return Found(
        found.raw[:, :SHOWN_ROWS].numpy(), shown[0], shown[2], shown[1], found.variance.numpy(), found.error.numpy(),
        saturation.Look(*(torch.stack(pair).numpy() for pair in zip(*looks, strict=True))), found.slope.numpy(),
        saturation.look(saturation.multiplied(found.raw, 1 / torch.tensor(WIDTHS)).A).largest.numpy(),
    )  # fmt: skip


def show_drawn(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        keys = st.select_slider("Keys that share each row", KEYS, 16, key="keys", bind="query-params")
        seed = st.number_input("Seed of the drawn vectors", SEEDS[0], SEEDS[-1], 0, key="seed", bind="query-params")
        st.caption(f"{ROWS} queries with {keys} keys each; every coordinate is drawn from a normal distribution of mean 0 and "
                   "variance 1. A larger $d_k$ adds coordinates to the same vectors. Drag in the curves or use the arrow "
                   "keys.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("saturation", here)

    def message(seed: int) -> bytes:
        found = drawn(keys, seed)
        return charts.drawn_message(
            Choice("d_k, the width of a head", WIDTHS, shown.size), found.raw, found.scores, found.weights, found.total,
            variance=found.variance, error=found.error, entropy=found.look.entropy / BITS, largest=found.look.largest,
            low=found.look.low, median=found.look.median, high=found.look.high, stuck=found.look.stuck,
            slope_median=np.median(found.slope, -1), slope_mean=found.slope.mean(-1), row=shown.row,
            scaled=shown.scaled, epoch=epoch,
        )  # fmt: skip

    with picture:
        charts.mount(key="saturation", on_stand_change=keep, data=ahead(message, Box("seed", SEEDS, seed)))
    found = drawn(keys, seed)
    at = WIDTHS.index(here.size)
    table = {"d_k": WIDTHS, "variance": found.variance, "standard error": found.error}
    for v, how in enumerate(("not divided", "divided")):
        table |= {f"entropy, bits, {how}": found.look.entropy[v] / BITS, f"slope, median, {how}": found.look.median[v],
                  f"slope to the query, median, {how}": np.median(found.slope[v], -1),
                  f"slope to the query, mean, {how}": found.slope[v].mean(-1)}  # fmt: skip
    numbers = (
        rf"\begin{{gathered}}\operatorname{{Var}}(\query{{q}}\cdot\key{{k}}) = {found.variance[at]:.1f} \pm "
        rf"{found.error[at]:.1f}\approx {here.size}\\[.3em]\text{{entropy }}{found.look.entropy[0, at] / BITS:.2f}"
        rf"\text{{ bits; divided: }}{found.look.entropy[1, at] / BITS:.2f}\\[.3em]"
        rf"\lVert\partial \attention{{a}}/\partial \scores{{s}}\rVert_F = "
        rf"{found.look.median[0, at]:.3g}\text{{; divided: }}{found.look.median[1, at]:.3g}\end{{gathered}}"
    )
    return Shown(table, numbers, {"keys": keys, "seed": seed, "width": here.size})


@st.cache_data(max_entries=64, show_spinner=False)
def looks_of(subject: tuple, layer: int) -> saturation.Look:
    """How every head of a layer looks at every factor: arrays [head, factor]."""
    looks = [saturation.look(saturation.multiplied(S, FACTORS, mask).A[:, judged]) for S in S_of(layer)]
    return saturation.Look(*(torch.stack(parts).numpy() for parts in zip(*looks, strict=True)))


@st.cache_data(max_entries=64, show_spinner=False)
def spreads_of(subject: tuple) -> np.ndarray:
    """How far the scores of a row spread, every head: [layer, head]."""
    return torch.stack([saturation.spread(S_of(layer), mask) for layer in layers]).numpy()


def S_of(layer: int) -> torch.Tensor:
    return torch.tensor(reading[f"layers.{layer}.attention.scores"][0])  # [head, query, key]


def multiplied(layer: int, head: int) -> saturation.Multiplied:
    return saturation.multiplied(S_of(layer)[head], FACTORS, mask)


def show_head(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        left, right = st.columns(2)
        with left:
            layer = choose("Layer", layers, telling[0], "layer")
        with right:
            head = choose("Head", list(range(config.n_heads)), telling[1], "head")
        spreads = spreads_of(subject)
        st.caption(f"“×1” is the head as it was trained, “×{config.d_head**0.5:.2g}” takes the division by "
                   f"√{config.d_head} away again. The spread of its scores within a row, their standard deviation, is "
                   f"{spreads[layers.index(layer), head]:.2f}; over all {spreads.size} heads on this text it runs from "
                   f"{spreads.min():.2f} to {spreads.max():.2f}, with a median of {np.median(spreads):.2f}. Independent unit coordinates would "
                   "give 1.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("saturation", here)

    def message(layer: int, head: int) -> bytes:
        S, looks, times = S_of(layer)[head], looks_of(subject, layer), multiplied(layer, head)
        own = saturation.Look(*(part[head] for part in looks))
        rows = [names.index(query) for query in asked]
        raw = (S * config.d_head**0.5).where(mask, -torch.inf)[rows].numpy()
        return charts.head_message(
            Choice("Scores times", TIMES, shown.size), np.array(FACTORS), names, Choice("Query", asked, shown.row), raw,
            times.scores[:, rows].numpy(), times.A[:, rows].numpy(), times.total[:, rows].numpy(),
            entropy=own.entropy / BITS, others=np.delete(looks.entropy, head, 0) / BITS, largest=own.largest,
            low=own.low, median=own.median, high=own.high, stuck=own.stuck,
            spread=float(spreads[layers.index(layer), head]), d_head=config.d_head, head=f"layer {layer}, head {head}",
            epoch=epoch,
        )  # fmt: skip

    with picture:
        charts.mount(key="saturation", on_stand_change=keep,
                     data=ahead(message, Box("layer", layers, layer), Box("head", range(config.n_heads), head)))
    of_head = saturation.Look(*(part[head] for part in looks_of(subject, layer)))
    at = TIMES.index(here.size)
    row = multiplied(layer, head).A[at, names.index(here.row)]
    numbers = (
        rf"\begin{{gathered}}\text{{times }}{here.size}\text{{: entropy }}{of_head.entropy[at] / BITS:.2f}"
        rf"\text{{ bits, mean of the rows}}\\[.3em]"
        rf"\max_j \attention{{a_j}} = {row.max():.3f}\text{{ in the chosen row}}\\[.3em]"
        rf"\lVert\partial \attention{{a}}/\partial \scores{{s}}\rVert_F = {of_head.median[at]:.3g}"
        rf"\text{{, median row}}\end{{gathered}}"
    )
    table = {"factor": FACTORS, "entropy, bits": of_head.entropy / BITS, "largest weight": of_head.largest,
             "slope, median": of_head.median}  # fmt: skip
    return Shown(table, numbers, {"layer": layer, "head": head})


SHOW = {DRAWN: show_drawn, HEAD: show_head}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view](*lesson.stage(0.26))
    d_k = f"d_k {config.d_head}" if view == HEAD else f"d_k {shown.values['width']}"
    key = "key" if view == HEAD else f"key {shown.values['keys']}"
    lesson.formula(
        scale_words.FORMULA,
        shapes=[("q", (d_k,), "query"), ("k", (key, d_k), "key"), ("s", (key,), "scores"), ("a", (key,), "attention"),
                (r"\partial a/\partial s", (key, key), "attention")],
        numbers=shown.numbers,
    )  # fmt: skip
    at = {"model": reading.model, "text": reading.text, "widths": WIDTHS, "rows": ROWS, "keys": 16, "seed": 0,
          "layer": telling[0], "head": telling[1], "factors": FACTORS} | shown.values  # fmt: skip
    with code_place:
        lesson.code(
            [saturation.drawn, saturation.jacobian_norm, saturation.slope_to_query, saturation.multiplied, scores.scale,
             masked_softmax],
            scale_words.SNIPPET[view].format_map({name: repr(value) for name, value in at.items()}),
        )  # fmt: skip
    lesson.downloads(table=shown.table, config=at | {"view": view})


lesson = Lesson("B2")
lesson.header(scale_words.LOOK_FOR)
view = lesson.view(VIEWS)
above, stage, words, code_place, more = (st.container() for _ in range(5))
with above if view == HEAD else words:  # drawn vectors know no text: only the catch reads it then
    reading = lesson.read(lesson.text(PRONOUN, EXAMPLES), ("layers.*.attention.scores",))
if view == DRAWN:
    lesson.show_model("Drawn vectors", "tiny")
config, n = reading.config, len(reading.ids)
layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.scores" in reading.arrays]
subject = (reading.model, reading.label, reading.text)  # what is cached belongs to it
places = torch.arange(n)[None]
allowed = masks.mask(config, places, places)
mask = torch.ones(n, n, dtype=torch.bool) if allowed is None else allowed[0, 0]
names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(reading.pieces)]
first = min(1, n - 1)  # a query that sees one key has nothing to choose
judged = slice(first, n)
asked = names[max(first, n - MOST_QUERIES) :]
telling = TELLING.get((reading.model, reading.text), (min(2, config.n_layers - 1), min(2, config.n_heads - 1), n - 1))
with stage:
    draw(code_place)
with words:
    base = drawn(16, 0)
    lesson.prose(**scale_words.prose(base, spreads_of(subject), reading.title, config.d_head))
    lesson.predict(**scale_words.predict(base))
with more:
    lesson.interview(scale_words.interview(base))
    lesson.sources(scale_words.SOURCES)
