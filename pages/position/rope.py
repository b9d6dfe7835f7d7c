"""Rotary position: queries and keys are turned by their place, and what remains is the distance between them."""

import functools
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import rope as charts, rope_layouts as layouts
from charts.ahead import Box, ahead
from charts.curves import Choice
from pages.position import rope_words
from pages.position.rope_heads import (
    BESIDE_TO, FACTORS, FARTHEST, LIKENESS, MOST_DRAWN, STARTS, Speeds, drawn_spread, fans, held as held_layers,
    in_both_layouts, real_spread, scaled_speeds, shared, speeds, trained, unrotated,
)  # fmt: skip
from pages.position.rope_link import Link, forget, names_of, told
from pages.position.rope_words import BESIDE, DISTANCE, LAYOUTS, LONGER, TURN, VIEWS
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from transformer import rope
from transformer.recording import CAPITAL, PRONOUN, REPEAT

EXAMPLES = {
    "a pronoun": PRONOUN,
    "a repeated name": REPEAT,
    "a fact": CAPITAL,
    "code": "for i in range(10):\n    print(i)",
}
TELLING = {"smollm2-135m": (16, 0), "tiny": (2, 3)}  # model -> layer and head; these read one word back by rotation
CURSORS = {DISTANCE: ("at", 1), BESIDE: ("at", 1), LONGER: ("i", 20)}  # what the pictures' cursors are called in the URL
SEEDS = 10_000
UP_TO, REACHES = [64, 256, FARTHEST], [64, 512, 4096]
SCALINGS = list(charts.SCALINGS.values())


class Chosen(NamedTuple):
    """The head, by the link; the layer by its box."""

    layer: int
    head: int
    Q: torch.Tensor  # [head, query, d_head], unrotated
    K: torch.Tensor  # [kv_head, key, d_head]

    @property
    def q(self) -> torch.Tensor:  # [query, d_head]
        return self.Q[self.head]

    @property
    def k(self) -> torch.Tensor:  # [key, d_head]
        return self.K[shared(config, self.head)]


class Stand(NamedTuple):
    """Where the curves stand, by the link."""

    view: str
    cursor: int
    head: int
    base: str
    words: bool
    likeness: float
    up_to: int
    factor: int
    scaling: str


class PairStand(NamedTuple):
    """Where the two words stand and how fast they turn, by the link."""

    layer: int
    head: int
    query: str
    key: str
    place: charts.Place
    base: str
    reach: int


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    numbers: str | None = None


def stand() -> Stand:
    last = {DISTANCE: FARTHEST, BESIDE: BESIDE_TO, LONGER: config.d_head // 2 - 1}[view]
    name, start = CURSORS[view]
    cursor = url.url_state(name, min(start, last), int, lambda at: 0 <= at <= last)
    head, base, words, rho = telling[1], link.base(), "False", 1.0
    up_to, factor, scaling = 256, 4, charts.SCALINGS["yarn"]
    if view != LONGER:
        head = link.head()
    if view == DISTANCE:
        rho, up_to = told("rho", rho, LIKENESS), told("up_to", up_to, UP_TO)
    elif view == BESIDE:
        words = url.url_state("words", words, str.capitalize, ("True", "False").__contains__)
    else:
        factor, scaling = told("factor", factor, FACTORS), told("scaling", scaling, SCALINGS)
    return Stand(view, cursor, head, base, words == "True", rho, up_to, factor, scaling)


def keep_curves() -> None:
    if (said := held.said("curves", "stand")) is None or view not in CURSORS:
        return
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state(CURSORS[view][0], int(at), CURSORS[view][1])
    frames = said.get("frames")
    names_of = {DISTANCE: ("head", "base", "rho"), BESIDE: ("head", "base"), LONGER: ("base", "factor")}[view]
    if isinstance(frames, list) and len(frames) == len(names_of):
        found = dict(zip(names_of, frames, strict=True))
        link.keep(found.get("head"), found.get("base"))
        if found.get("rho") in LIKENESS:
            url.set_url_state("rho", float(found["rho"]), 1.0)
        if found.get("factor") in FACTORS:
            url.set_url_state("factor", found["factor"], 4)
    if view == DISTANCE and said.get("zoom") in UP_TO:
        url.set_url_state("up_to", said["zoom"], 256)
    if view == LONGER and said.get("pick") in SCALINGS:
        url.set_url_state("scaling", said["pick"], charts.SCALINGS["yarn"])
    if view == BESIDE and weights is not None:
        url.set_url_state("words", bool(said.get("switch")), False)
    held.reported("curves", stand())


def keep_pair() -> None:
    said = held.said("pair", "stand")
    if said is None or not all(isinstance(said.get(key), int) for key in ("m", "n", "pair")):
        return
    link.keep_layer(said.get("layer"))
    link.keep(said.get("head"), said.get("base"))
    link.keep_words(said.get("query"), said.get("key"))
    query, key = map(link.number, link.words())
    url.set_url_state("m", said["m"], query)
    url.set_url_state("n", said["n"], key)
    url.set_url_state("pair", said["pair"], 0)
    if said.get("reach") in REACHES:
        url.set_url_state("reach", said["reach"], REACHES[0])
    held.reported("pair", pair_stand())


def pair_stand() -> PairStand:
    query, key = link.words()
    m = url.url_state("m", link.number(query), int, lambda m: 0 <= m <= REACHES[-1])
    n = url.url_state("n", link.number(key), int, lambda n: 0 <= n <= REACHES[-1])
    pair = url.url_state("pair", 0, int, lambda i: 0 <= i < config.d_head // 2)
    reach = told("reach", next(reach for reach in REACHES if reach >= min(max(m, n), REACHES[-1])), REACHES)
    return PairStand(link.layer(), link.head(), query, key, charts.Place(max(m, n), n, pair), link.base(), reach)


def head_of(layer: int, head: int) -> Chosen:
    return Chosen(layer, head, *unrotated(reading, layer))


def show_turn(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Chosen, Speeds, Shown]:
    with controls:
        st.caption(rope_words.TURN_SAYS.format(d=config.d_head))
    here = pair_stand()
    shown, epoch = held.to_send("pair", here)
    chosen, at = head_of(here.layer, here.head), at_base[here.base]
    per_layer = 4 * len(link.names) * (config.n_heads + config.n_kv_heads) * config.d_head
    near = held_layers(layers, here.layer, per_layer)
    Q, K = zip(*(unrotated(reading, layer) for layer in near), strict=True)
    with picture:
        charts.mount_pair(
            key="pair", on_stand_change=keep_pair,
            data=charts.pair_message(
                *(rope.pairs(torch.stack(vectors)[:, :, link.first:], config.rope_layout).numpy() for vectors in (Q, K)),
                torch.stack([one.theta for one in at_base.values()]).numpy(), held=near,
                layers=Choice("Layer", layers, shown.layer if shown.layer in near else near[0]),
                heads=link.heads(shown.head),
                queries=Choice("Query word", link.names, shown.query), keys=Choice("Key word", link.names, shown.key),
                bases=link.bases(shown.base), reaches=Choice("Positions up to", REACHES, shown.reach),
                words=[name.split(" ", 1)[1] for name in link.names], first=link.first, place=shown.place, epoch=epoch,
                d_head=config.d_head, scale=at.scale,
                label="A query and a key, turned by their positions.",
            ),
        )  # fmt: skip
    m, n = here.place.m, here.place.n
    q, k = chosen.q[link.number(here.query)], chosen.k[link.number(here.key)]
    parts = rope.pair_scores(q, k, at.theta, torch.tensor([float(m - n)]), config.rope_layout)[0] * at.scale
    distance = torch.arange(here.reach + 1.0)
    return chosen, at, Shown(
        {"distance": distance} | {
            f"score, base {base}": rope.scores_by_distance(q, k, one.theta, distance, config.rope_layout) * one.scale
            for base, one in at_base.items()
        },
        rf"\query{{q}}_{{{m}}} \cdot \key{{k}}_{{{n}}} / \sqrt{{{config.d_head}}} = "
        + " ".join(f"{value:+.3f}" for value in parts[:4].tolist())
        + rf" + \dots = \scores{{{parts.sum().item():.3f}}}",
    )  # fmt: skip


def show_distance(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Chosen, Speeds, Shown]:
    with controls:
        layer = link.choose_layer()
        seed = st.number_input("Seed of the drawn vectors", 0, SEEDS - 1, 0, key="seed", bind="query-params")
        st.caption(rope_words.DISTANCE_SAYS)
    here, boxes = stand(), (subject, layer, seed)
    shown, epoch = held.to_send("curves", here, anew=st.session_state.get("_rope_boxes") != boxes)
    st.session_state["_rope_boxes"] = boxes
    distance = torch.arange(FARTHEST + 1.0)
    envelope, aligned = (np.stack([of(one.theta, distance).numpy() for one in at_base.values()])
                         for of in (rope.decay_envelope, rope.aligned_decay))  # fmt: skip

    pressed = shown.head, list(at_base).index(shown.base), LIKENESS.index(shown.likeness)

    def message(*box: int) -> bytes:
        real, pairs = real_spread(*subject, box[0], reading)
        return charts.distance_message(
            distance.numpy(), real, drawn_spread(reading.model, box[1], config), envelope, aligned, layer=box[0],
            pairs=pairs, seed=box[1], heads=link.heads(shown.head), bases=link.bases(shown.base),
            likeness=Choice("Likeness ρ of drawn q and k", LIKENESS, shown.likeness),
            up_to=Choice("Distances up to", UP_TO, shown.up_to), cursor=shown.cursor, epoch=epoch,
            only=None if box == (layer, seed) else pressed,
        )  # fmt: skip

    with picture:
        curves.mount(key="curves", on_stand_change=keep_curves,
                     data=ahead(message, Box("layer_box", layers, layer), Box("seed", range(SEEDS), seed)))
    real, drawn = real_spread(*subject, layer, reading)[0], drawn_spread(reading.model, seed, config)
    b = list(at_base).index(here.base)
    table = {"distance": distance, "real mean": real.mean[here.head, b],
             "drawn mean": drawn.mean[b, LIKENESS.index(here.likeness)]}  # fmt: skip
    return head_of(layer, here.head), at_base[here.base], Shown(table | {"q = k": aligned[b], "bound": envelope[b]})


def show_beside(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Chosen, Speeds, Shown]:
    with controls:
        layer = link.choose_layer()
        query, key = link.choose_words()
        if weights is None:
            st.info(f"The panel between needs {reading.title}'s own W_Q and W_K, which come with the download in the "
                    f"sidebar.", icon=":material/info:")  # fmt: skip
        st.caption(rope_words.BESIDE_SAYS.format(title=reading.title))
    here = stand()
    shown, epoch = held.to_send("curves", here)
    distance = np.arange(BESIDE_TO + 1)
    words = link.words()
    fans_of = functools.partial(fans, subject, reading=reading, model=weights and weights[0])

    def message(layer: int, key: str) -> bytes:
        return charts.fans_message(
            distance, STARTS, fans_of(layer, query, link.number(key)), heads=link.heads(shown.head),
            bases=link.bases(shown.base), cursor=shown.cursor, epoch=epoch,
            switch=curves.Switch("Add the words' own vectors too", shown.words) if weights else None,
        )  # fmt: skip

    with picture:
        curves.mount(key="curves", on_stand_change=keep_curves, data=ahead(
            message, Box("layer_box", layers, layer), Box("key_box", link.keys(words[0]), words[1])))
    found = fans_of(layer, query, key)
    b = list(at_base).index(here.base)
    return head_of(layer, here.head), at_base[here.base], Shown({"distance": distance} | {
        f"{one.short}, n = {start}": one.scores[here.head % len(one.scores), b, i]
        for one in found for i, start in enumerate(STARTS)
    })  # fmt: skip


def show_layouts(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Chosen, Speeds, Shown]:
    with controls:
        layer = link.choose_layer()
        st.caption(rope_words.LAYOUTS_SAYS)
    head, at = link.head(), at_base[trained(config)]
    shown, epoch = held.to_send("layouts", head)
    chosen = head_of(layer, head)

    def message(layer: int) -> bytes:
        return layouts.message(
            *in_both_layouts(subject, layer, reading), [name.split(" ", 1)[1] for name in link.names][-MOST_DRAWN:],
            link.heads(shown), causal=config.kind == "decoder", epoch=epoch)  # fmt: skip

    with picture:
        layouts.mount(key="layouts", on_stand_change=keep_layouts, data=ahead(message, Box("layer_box", layers, layer)))
    turned = in_both_layouts(subject, layer, reading)
    half, neighbours, forgotten = (S[head, -1, 0] for S in turned[2:])
    return chosen, at, Shown(
        {"word": link.names[-MOST_DRAWN:], "halves": turned[2][head, -1], "neighbours": turned[3][head, -1],
         "not permuted": turned[4][head, -1]},
        rf"\scores{{S}}:\quad {half:.4f}\ \text{{(halves)}} = {neighbours:.4f}\ \text{{(neighbours)}} \ne "
        rf"{forgotten:.4f}\ "
        r"\text{(not permuted)}",
    )  # fmt: skip


def keep_layouts() -> None:
    if (said := held.said("layouts", "stand")) is not None and said.get("frame") in range(config.n_heads):
        link.keep(said["frame"], None)
        held.reported("layouts", link.head())


def show_longer(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Chosen, Speeds, Shown]:
    with controls:
        st.caption(rope_words.LONGER_SAYS.format(title=reading.title, most=config.max_len))
    here = stand()
    shown, epoch = held.to_send("curves", here)
    scaled = scaled_speeds(config, list(charts.SCALINGS))
    theta = np.stack([one.theta.numpy() for one in at_base.values()])[:, None]  # [base, 1, pair]
    waves = {name: rope.wavelengths(torch.from_numpy(speed)).numpy() for name, speed in scaled.items()}
    with picture:
        curves.mount(
            key="curves", on_stand_change=keep_curves,
            data=charts.scalings_message(
                waves, {name: speed / theta for name, speed in scaled.items()},
                curves.Picks("Scaling", SCALINGS, shown.scaling, role="attention"), config.max_len,
                bases=link.bases(shown.base), factors=Choice("How many times as long", FACTORS, shown.factor),
                cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
    at = list(at_base).index(here.base), FACTORS.index(here.factor)
    return head_of(*telling), at_base[here.base], Shown(
        {"pair": range(config.d_head // 2)} | {f"{name} wavelength": wave[at] for name, wave in waves.items()}
    )


SHOW = {TURN: show_turn, DISTANCE: show_distance, BESIDE: show_beside, LAYOUTS: show_layouts, LONGER: show_longer}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    chosen, at, shown = SHOW[view](*lesson.stage(0.22 if view == TURN else 0.3))
    d_k, h, h_kv = config.d_head, config.n_heads, config.n_kv_heads
    query, key = f"query {n_words}", f"key {n_words}"
    lesson.formula(
        r"\begin{gathered}" + r"\\[.6em]".join(rope_words.FORMULAS[view]) + r"\end{gathered}",
        shapes=[("Q", (f"head {h}", query, d_k), "query"), ("K", (f"kv_head {h_kv}", key, d_k), "key"),
                (r"\theta", (f"pair {d_k // 2}",), "output"), ("S", (f"head {h}", query, key), "scores")],
        numbers=shown.numbers,
    )  # fmt: skip
    setting = {"model": reading.model, "text": reading.text, "layer": chosen.layer, "head": chosen.head,
               "rope_base": at.config.rope_base}  # fmt: skip
    with code_place:
        lesson.code([rope.frequencies, rope.rotation, rope.rotate, rope.interleave, rope.scores_by_distance,
                     rope.scaled_frequencies],
                    rope_words.SNIPPET.format_map({name: repr(value) for name, value in setting.items()}))  # fmt: skip
    lesson.downloads(table=shown.table, config=setting | {"view": view})


lesson = Lesson("C3")
lesson.header(rope_words.LOOK_FOR)
asked = models.decoder()
if asked != models.chosen():
    st.info(f"{models.TITLES[models.chosen()]} adds learned positions and turns nothing. {models.TITLES[asked]} "
            f"does, so it "
            "reads here.", icon=":material/info:")  # fmt: skip
text = lesson.text(PRONOUN, EXAMPLES)
view = lesson.view(VIEWS)
wanted = ("layers.*.attention.[QK]_unrotated",)
if view == BESIDE and models.loaded(asked) is not None:
    wanted += ("layers.*.norm_1",)  # a word's vector as the head reads it
reading = lesson.read(text, wanted, name=asked)
config, n_words = reading.config, len(reading.ids)
subject = (reading.model, reading.label, reading.text)  # what is cached belongs to it
weights = models.loaded(reading.model) if reading.label != "recorded" else None
at_base = speeds(config)
layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.Q_unrotated" in reading.arrays]
telling = TELLING.get(reading.model, (layers[0], 0))
link = Link(config, at_base, *names_of(reading), telling[1], layers, telling[0])
forget(reading)
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words:
    lesson.prose(**rope_words.PROSE)
    lesson.predict(**rope_words.PREDICT)
with more:
    lesson.interview(rope_words.INTERVIEW)
    lesson.sources(rope_words.SOURCES)
