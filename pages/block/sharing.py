"""Tied and shared: what one storage for several uses saves, its gradient, and what it makes of a trained model."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices, parameters, sharing as charts
from charts.curves import Choice, Picks
from pages.block import sharing_words as words
from pages.shared.known_models import NAMES
from pages.shared.own_numbers import OWN, as_python, last_good, own_config, with_neighbours
from pages.block.sharing_frames import MODELS, config_named, known, settings, shown, switches
from pages.block.sharing_measured import LIVE, alone, live, recorded_alone, two_gradients
from pages.block.sharing_words import GRADIENT, PARTS, STORAGE, TRAINED, VIEWS
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from transformer import Config, cost, weights
from transformer.embedding import Embedding
from transformer.experiments import tying
from transformer.recording import CAPITAL, PRONOUN, REPEAT
from transformer.stack import Stack

EXAMPLES = {"a fact": CAPITAL, "a pronoun": PRONOUN, "a repeated name": REPEAT}
FIRST, STORED, MOST = MODELS[0], "tied, layers shared", 20
CODE = {PARTS: (cost.parameters, tying.variant, Stack), STORAGE: (tying.reads, tying.change_one, Embedding),
        GRADIENT: (tying.gradients,), TRAINED: (tying.likeness, tying.walk)}  # fmt: skip


class Stand(NamedTuple):
    """What the picture of weights shows, by the link."""

    arch: str
    tied: bool
    one_table: bool
    shared: bool


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    setting: dict
    snippet: str
    numbers: str
    shapes: list


def flag(text: str) -> bool:
    """``True`` or ``False`` as a link spells it."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false.")
    return text.lower() == "true"


def stand() -> Stand:
    arch = url.url_state("arch", FIRST, str, [*MODELS, OWN].__contains__)
    on = settings(config_named(arch, last_good()))
    return Stand(arch, *(url.url_state(key, is_on, flag) for key, is_on in zip(Stand._fields[1:], on, strict=True)))


def keep_parts() -> None:
    if (said := held.said("weights", "stand")) is None or said.get("model") not in (*MODELS, OWN):
        return
    url.set_url_state("arch", said["model"], FIRST)
    on, given = settings(config_named(said["model"], last_good())), said.get("switches")
    if isinstance(given, list) and len(given) == len(on):
        for key, is_on, default in zip(Stand._fields[1:], given, on, strict=True):
            url.set_url_state(key, is_on is True, default)
    held.reported("weights", stand())


def show_parts() -> Shown:
    here = stand()
    pressed, epoch = held.to_send("weights", here)
    picture, boxes = st.container(key="gf-picture"), st.container()  # the picture first, on a phone too
    with boxes:
        own = own_config("table") if here.arch == OWN else last_good()

    def message(own: Config) -> bytes:
        return parameters.message(
            "sharing", "Weights as areas, hatched where they are used and not stored again; arrow keys walk through them",
            [*known(), shown(OWN, own)], model=pressed.arch, switches=switches(pressed[1:]), epoch=epoch)  # fmt: skip

    with picture:
        parameters.mount(key="weights", on_stand_change=keep_parts,
                         data=with_neighbours(message) if here.arch == OWN else message(own))  # fmt: skip
    config = config_named(here.arch, own)
    made = tying.variant(config, here.tied, here.shared, here.one_table)
    found, V, d = weights.weights(made), made.vocab_size, made.d_model
    text = f'PRESETS["{NAMES[here.arch]}"]' if here.arch != OWN else as_python(config)
    blocks = sum(one.total for one in found if one.section in ("layers", "encoder"))
    return Shown(
        {"weight": [one.name for one in found], "shape": [" × ".join(map(str, one.shape)) for one in found],
         "stored": [one.total for one in found]},
        here._asdict() | {"config": made.to_dict()},
        words.SNIPPETS[PARTS].format(made=text, tied=here.tied, shared=here.shared, one_table=here.one_table),
        rf"V d_E = {V:,} \cdot {made.d_embed:,} = {V * made.d_embed:,} \qquad N_{{\text{{blocks}}}} = {blocks:,}"
        rf"\qquad \text{{layers}} = {made.n_layers}".replace(",", r"\,"),
        [("E", (f"vocab {V}", made.d_embed), "residual"), ("W_U", (f"vocab {V}", d), "output")],
    )  # fmt: skip


def stored() -> str:
    return url.url_state("stored", STORED, str, LIVE.__contains__)


def keep_storages() -> None:
    if (said := held.said("storages", "stand")) is not None and said.get("pick") in LIVE:
        url.set_url_state("stored", said["pick"], STORED)
        held.reported("storages", stored())


def show_storages() -> Shown:
    here, built = stored(), live()
    pressed, epoch = held.to_send("storages", here)
    with st.container(key="gf-picture"):
        matrices.mount(
            key="storages", on_stand_change=keep_storages,
            data=charts.storages_message(built.uses, built.changed, Picks("Model", list(LIVE), pressed), epoch=epoch),
        )  # fmt: skip
        st.caption("Four small random models, built when the app first came here. A storage is what a look-up or a "
                   "matrix product was really handed; hover a cell for its address.")  # fmt: skip
    uses, config = built.uses[here], built.models[here].config
    before, after = built.changed[here]
    return Shown(
        {"step": [use.use for use in uses], "weight": [use.weight for use in uses],
         "address": [f"{use.address:#x}" for use in uses]},
        {"model": here, "config": LIVE[here]}, words.SNIPPETS[STORAGE].format(fields=LIVE[here]),
        rf"\residual{{E}}_{{0,0}} \leftarrow \residual{{E}}_{{0,0}} + 1 \ \Rightarrow\ "
        rf"\output{{W_U}}_{{0,0}}: {before:.4f} \to {after:.4f}",
        [("E", (f"vocab {config.vocab_size}", config.d_model), "residual"),
         (r"\text{logits}", ("token 3", f"vocab {config.vocab_size}"), "output")],
    )  # fmt: skip


def show_gradients() -> Shown:
    said = text
    try:
        two = two_gradients(said)
        st.session_state["_sharing_text"] = said
    except ValueError as problem:
        st.warning(str(problem), icon=":material/info:")
        said = st.session_state.get("_sharing_text", CAPITAL)
        two = two_gradients(said)
    config = models.loaded("tiny")[0].config
    _, epoch = held.to_send("gradients", said)
    with st.container(key="gf-picture"):
        matrices.mount(key="gradients",
                       data=charts.gradients_message(two.parts, two.rows, two.occurs, config.vocab_size, epoch=epoch))
        st.caption(
            f"The tiny model (ours, trained), next-token loss on your text: {two.loss:.3f} nats. Lengths: as input "
            f"{two.norms[0]:.2f}, as output {two.norms[1]:.2f}, whole {two.norms[2]:.2f}; input + output differs from "
            f"autograd's whole by at most {two.apart:.0g}. Rows: your text's tokens, then the loudest others, "
            f"{len(two.rows)} of {config.vocab_size:,}."
        )  # fmt: skip
    return Shown(
        {"token": two.rows} | {f"length, {key}": length for key, length in two.lengths.items()},
        {"model": "tiny", "text": said}, words.SNIPPETS[GRADIENT].format(text=said),
        rf"\Big\|\tfrac{{\partial L}}{{\partial E}}\Big\|:\quad {two.norms[0]:.3f}\ \text{{(input)}},\quad "
        rf"{two.norms[1]:.3f}\ \text{{(output)}},\quad {two.norms[2]:.3f}\ \text{{(whole)}}",
        [(r"\partial L/\partial E", (f"vocab {config.vocab_size}", config.d_model), "residual"),
         ("p - y", ("token", f"vocab {config.vocab_size}"), "output"), ("h", ("token", config.d_model), "attention")],
    )  # fmt: skip


def walked(tokens: list[str], depth: list[int]) -> tuple[str, int]:
    """Token and depth of the second picture."""
    token = url.url_state("token", tokens[-1], str, tokens.__contains__)
    return token, url.url_state("depth", depth[0], int, depth.__contains__)


def keep_walk(tokens: list[str], depth: list[int]) -> None:
    if (said := held.said("walk", "stand")) is None:
        return
    if isinstance(frames := said.get("frames"), list) and frames and frames[0] in tokens:
        url.set_url_state("token", frames[0], tokens[-1])
    if said.get("cursor") in depth:
        url.set_url_state("depth", int(said["cursor"]), depth[0])
    held.reported("walk", walked(tokens, depth))


def show_trained() -> Shown:
    reading = lesson.read(text, record=("layers.0.attention.V",), name=models.decoder(), most=MOST)
    found = recorded_alone(reading.text) if reading.label == "recorded" else None
    if found is None and reading.label == "recorded":  # a text that was recorded for another page
        reading = models.read(reading.text, ("layers.0.attention.V",), "tiny")
    found = found or alone(reading.model, reading.text)
    pieces = found.pieces
    tokens = [f"{i} {piece}" for i, piece in enumerate(pieces)]
    if st.query_params.get("token") not in (None, *tokens):
        st.query_params.pop("token")  # of another text
    here = walked(tokens, found.depth)
    (token, depth), epoch = held.to_send("walk", here)
    _, pressed = held.to_send("alone", (reading.model, reading.text))
    with st.container(key="gf-picture"):
        curves.mount(
            key="walk", on_stand_change=lambda: keep_walk(tokens, found.depth),
            data=charts.walk_message(found.depth, found.own, found.answer, found.answers,
                                     Choice("Token", tokens, token), depth, epoch=epoch),
        )  # fmt: skip
        matrices.mount(key="alone",
                       data=charts.alone_message(found.dots, found.rank, pieces, found.near, epoch=pressed))
        st.caption(f"{reading.title} is tied; the mean length of a row of its table is {found.norm:.2f}, of dimension "
                   f"{reading.config.d_model}. Hover the diagonal for each token's nearest rows. Where rows are of unequal "
                   "length, a longer one may score above the token's own: the tiny model's common tokens have short rows.")  # fmt: skip
    at, i = found.depth.index(here[1]), tokens.index(here[0])
    return Shown(
        {"layers done": found.depth} | {f"itself, {name}": found.own[:, j] for j, name in enumerate(tokens)}
        | {f"answer, {name}": found.answer[:, j] for j, name in enumerate(tokens)},
        {"model": reading.model, "text": reading.text, "token": here[0], "depth": here[1]},
        words.SNIPPETS[TRAINED].format(model=reading.model, text=reading.text, every=tying.every(reading.config)),
        rf"l = {here[1]}:\quad P(\text{{itself}}) = {found.own[at, i]:.4f},\quad P(\text{{answer}}) = "
        rf"{found.answer[at, i]:.4f}",
        [("E", (f"vocab {reading.config.vocab_size}", reading.config.d_model), "residual"),
         ("h", (f"token {len(pieces)}", reading.config.d_model), "attention")],
    )  # fmt: skip


SHOW = {PARTS: show_parts, STORAGE: show_storages, GRADIENT: show_gradients, TRAINED: show_trained}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"):
        found = SHOW[view]()
    lesson.formula(words.FORMULAS[view], shapes=found.shapes, numbers=found.numbers)
    with code_place:
        lesson.code(CODE[view], found.snippet)
    lesson.downloads(table=found.table, config=found.setting | {"view": view})


lesson = Lesson("D8")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
text = lesson.text(CAPITAL, EXAMPLES) if view in (GRADIENT, TRAINED) else CAPITAL
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with after:
    lesson.prose(**words.PROSE)
    lesson.predict(**words.PREDICT)
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
