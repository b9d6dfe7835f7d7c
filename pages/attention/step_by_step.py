"""Attention, step by step: X → Q, K, V → S → mask → A → z → W_O, each number with the sum that made it."""

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import matrices, step_by_step
from charts.ahead import Box, ahead
from charts.curves import Choice
from charts.step_by_step import Stand, Way
from pages.attention import small
from pages.attention import step_by_step_words as words
from pages.attention.step_by_step_words import CAUSAL, NO_MASK, NO_SCALE, REAL, SMALL, TRAINED, VIEWS
from pages.shared import held, models, recorded, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson, inert
from transformer import masks, recording, stepwise
from transformer.recording import CAPITAL, PRONOUN, REPEAT

QUEEN = "The king and the queen"
SMALL_EXAMPLES = {"a pair": QUEEN, "Hamlet": "To be, or not to be", "a refusal": "I love thee not, my lord"}
REAL_EXAMPLES = {"a fact": CAPITAL, "a pronoun": PRONOUN, "a repeated name": REPEAT}
TELLING = "layer 0, head 1"  # of the small model: “queen” reads “king”
MOST = 32  # tokens of the real head's picture
BASE, WHOLE = ("layers.*.attention.[QKV]",), ("layers.*.attention.out",)


class Shown(NamedTuple):
    """What the picture leaves for the parts around it."""

    layer: int
    head: int
    way: Way
    parts: dict[str, np.ndarray]


def ways_of(causal: bool) -> dict[str, tuple[bool, bool]]:
    """Name of a way to score -> is it scaled, is it masked."""
    if causal:
        return {TRAINED: (True, True), NO_SCALE: (False, True), NO_MASK: (True, False)}
    return {TRAINED: (True, False), NO_SCALE: (False, False), CAUSAL: (True, True)}


def way(name: str, found: dict[str, np.ndarray], d_k: int, scaled: bool, masked: bool) -> Way:
    n = found["S"].shape[-1]
    return Way(
        name, found["S"], found["A"], found["z"], d_k**-0.5 if scaled else 1.0, f"/ √{d_k}" if scaled else "",
        "Q Kᵀ / √d_k" if scaled else "Q Kᵀ, not scaled", ~masks.past(n).numpy() if masked else None,
        found.get("Z"), found.get("out"),
    )  # fmt: skip


@st.cache_data(max_entries=64, show_spinner=False)
def small_ways(ids: tuple[int, ...]) -> list[tuple[Way, dict[str, np.ndarray]]]:
    """Each way to score with all tensors of it, a frame for each head of each layer."""
    found = []
    for name, (scaled, masked) in ways_of(True).items():
        steps = small.steps_of(ids, scaled, masked)
        layers, heads = steps["Q"].shape[:2]
        apart = {letter: torch.stack([stepwise.split(W, heads) for W in steps[letter]])
                 for letter in ("W_Q", "W_K", "W_V")}  # [layer, head, model, d_k]
        shared = {letter: steps[letter][:, None].expand(-1, heads, -1, -1) for letter in ("X", "W_O", "Z", "out")}
        frames = {letter: tensor.flatten(0, 1).numpy() for letter, tensor in (steps | apart | shared).items()}
        found.append((way(name, frames, frames["Q"].shape[-1], scaled, masked), frames))
    return found


@st.cache_data(max_entries=64, show_spinner=False)
def real_ways(subject: tuple, layer: int) -> tuple[list[Way], dict[str, np.ndarray]]:
    """Each way to score the heads of this layer, and what comes before and after."""
    at = f"layers.{layer}.attention."
    Q, K, V = (torch.tensor(reading[at + letter][0]) for letter in "QKV")  # [head, token, d_k]
    K, V = (x.repeat_interleave(len(Q) // len(x), 0) for x in (K, V))
    past = masks.past(len(reading.ids))
    found = []
    for name, (scaled, masked) in ways_of(causal).items():
        steps = stepwise.read(Q, K, V, past if masked else None, None if scaled else 1.0)
        found.append(way(name, {k: v.numpy() for k, v in steps._asdict().items()}, Q.shape[-1], scaled, masked))
    parts = {"Q": Q.numpy(), "K": K.numpy(), "V": V.numpy()}
    for name, of in (("X", f"layers.{layer}.{came_in}"), ("out", at + "out")):
        if of in reading.arrays:
            parts[name] = reading[of][0]
    return found, parts


class Choices(NamedTuple):
    """What the picture may stand at, and where it starts."""

    heads: list
    telling: object
    ways: list[str]
    steps: list[matrices.Step]
    cell: tuple | None


def stand(of: Choices) -> Stand:
    """Where the picture stands, by the link."""
    last = len(of.steps) - 1
    names = {str(head): head for head in of.heads}
    head = url.url_state("head", str(of.telling), str, names.__contains__)
    pick = url.url_state("scores", TRAINED, str, of.ways.__contains__)
    step = url.url_state("step", last, int, lambda i: 0 <= i <= last)
    shown = url.url_state("weights", "false", str.lower, ("true", "false").__contains__) == "true"
    cell = url.url_state("cell", spelled(of.cell), str, lambda text: read_cell(text) is not False)
    return Stand(names[head], pick, step, shown, read_cell(cell) or None)


def spelled(cell: tuple | list | None) -> str:
    return "none" if cell is None else ".".join(map(str, cell))


def read_cell(text: str) -> tuple[str, int, int] | None | bool:
    """("S", 4, 3) of "S.4.3"; None of "none"; False where it is no cell."""
    name, *place = text.rsplit(".", 2)
    if text == "none":
        return None
    return (name, *map(int, place)) if len(place) == 2 and all(map(str.isdigit, place)) else False


def keep(component: str, of: Choices) -> None:
    """What the picture says that it stands at: into the link."""
    if (said := held.said(component, "stand")) is None:
        return
    if said.get("frame") in of.heads:
        url.set_url_state("head", said["frame"], of.telling)
    if said.get("pick") in of.ways:
        url.set_url_state("scores", said["pick"], TRAINED)
    if isinstance(step := said.get("step"), int):
        url.set_url_state("step", step, len(of.steps) - 1)
    url.set_url_state("weights", "true" if said.get("switch") else "false", "false")
    url.set_url_state("cell", spelled(said.get("at")), spelled(of.cell))
    held.reported(component, (reading.text, stand(of)))


def show_small() -> Shown:
    config, n = reading.config, len(reading.ids)
    heads = [f"layer {i}, head {j}" for i in range(config.n_layers) for j in range(config.n_heads)]
    found = small_ways(reading.ids)
    ways, parts = [one for one, _ in found], found[0][1]
    of = Choices(heads, TELLING, [one.name for one in ways], words.STEPS, ("S", n - 1, min(1, n - 1)))
    here = stand(of)
    (_, shown), epoch = held.to_send("steps_small", (reading.text, here))
    matrices.mount(
        key="steps_small", on_stand_change=lambda: keep("steps_small", of),
        data=step_by_step.small_message(
            names, Choice("Layer and head", heads, shown.frame), parts, ways, of.steps, shown, d_k=config.d_head,
            h=config.n_heads, epoch=epoch,
        ),
    )  # fmt: skip
    frame = heads.index(here.frame)
    chosen = next(one for one in ways if one.name == here.pick)
    return Shown(frame // config.n_heads, frame % config.n_heads, chosen, {k: v[frame] for k, v in parts.items()})


def show_real() -> Shown:
    config = reading.config
    layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.Q" in reading.arrays]
    known = {(one.model, one.text): one for one in recording.DEFAULTS.values()}
    one = known.get((reading.model, reading.text))
    layer, head = (one.layer, one.head) if one else (layers[len(layers) // 2], 0)
    with st.container(width=220):
        layer = choose("Layer", layers, layer, "layer")
    subject = reading.model, reading.label, reading.text
    ways, parts = real_ways(subject, layer)
    heads = list(range(config.n_heads))
    of = Choices(heads, head, [one.name for one in ways], words.steps(causal, "X" in parts),
                 ("S", one.query, one.key) if one else None)
    here = stand(of)
    (_, shown), epoch = held.to_send("steps_real", (reading.text, here))
    turned = ", then turned by its position (RoPE)" if config.position == "rope" else ""

    def message(layer: int) -> bytes:
        ways, parts = real_ways(subject, layer)
        return step_by_step.real_message(
            names, Choice("Head", heads, shown.frame), parts, ways, of.steps, shown, epoch=epoch,
            projected=f"{{row}}'s {config.d_model} numbers of X times column {{col}} of {{W}}{turned}: {{value}}",
        )  # fmt: skip

    matrices.mount(key="steps_real", on_stand_change=lambda: keep("steps_real", of),
                   data=ahead(message, Box("layer", layers, layer)))
    chosen = next(one for one in ways if one.name == here.pick)
    return Shown(layer, here.frame, chosen, {k: v[here.frame] if v.ndim == 3 else v for k, v in parts.items()})


def numbers(shown: Shown) -> str:
    """The last query's row, and the largest of its weights, with this picture's numbers."""
    frame = shown.layer * reading.config.n_heads + shown.head if view == SMALL else shown.head
    A, S, z = shown.way.A[frame], shown.way.S[frame], shown.way.z[frame]
    i, j = len(A) - 1, int(A[-1].argmax())
    q, k = shown.parts["Q"][i], shown.parts["K"][j]
    terms = " + ".join(rf"\query{{{signed(a)}}}\cdot\key{{{signed(b)}}}" for a, b in list(zip(q, k, strict=True))[:4])
    more, rest = (r" + \dots" if long else "" for long in (len(q) > 4, i > 2))
    below = rf"\sqrt{{{len(q)}}}" if shown.way.factor != 1 else "1"
    values = " + ".join(rf"\attention{{{A[i, m]:.2f}}}\cdot\value{{{signed(shown.parts['V'][m, 0])}}}"
                        for m in range(min(i + 1, 3)))  # fmt: skip
    return (
        rf"\begin{{gathered}}\scores{{S_{{{i},{j}}}}} = \frac{{{terms}{more}}}{{{below}}} = "
        rf"\scores{{{S[i, j]:.3f}}}\\[.4em] \attention{{A_{{{i},{j}}}}} = \attention{{{A[i, j]:.3f}}}, \quad \sum_j "
        rf"\attention{{A_{{{i},j}}}} = {A[i].sum():.3f}\\[.4em]\value{{z_{{{i},0}}}} = {values}{rest} = "
        rf"\value{{{z[i, 0]:.3f}}}\end{{gathered}}"
    )


def signed(value: float) -> str:
    """A factor of a product, a negative one in brackets."""
    return f"{value:.2f}" if value >= 0 else f"({value:.2f})"


def shapes_table() -> str:
    d, h, d_k = reading.config.d_model, reading.config.n_heads, reading.config.d_head
    h_kv = reading.config.n_kv_heads
    rows = [("W_Q", "[d, h·d_k]", (d, h * d_k)), ("W_K", "[d, h_kv·d_k]", (d, h_kv * d_k)),
            ("W_V", "[d, h_kv·d_v]", (d, h_kv * d_k)), ("W_O", "[h·d_v, d]", (h * d_k, d))]  # fmt: skip
    lines = [f"| ${name}$ | `{shape}` | `[{size[0]}, {size[1]}]` | {size[0] * size[1]:,} "
             f"|" for name, shape, size in rows]
    same = "" if h_kv == h else f" {h} query heads share {h_kv} key and value heads: $W_K$ and $W_V$ are narrower."
    return "\n".join([
        f"| matrix | shape | here | numbers |\n|---|---|---|---:|\n{chr(10).join(lines)}",
        "\n$d$ is the width, $h$ counts the heads, $h_{kv}$ those of keys and values. One head takes a slice: $W_Q, "
        "W_K$ "
        f"`[d, d_k]` = `[{d}, {d_k}]`, $W_V$ `[d, d_v]`. As $d_v = d/h$ = {d_k}, $W_O$ is square.{same}",
    ])  # fmt: skip


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        shown = show_small() if view == SMALL else show_real()
        if view == SMALL:
            st.caption(small.about())
    config, n = reading.config, len(reading.ids)
    h, d_k = config.n_heads, config.d_head
    lesson.formula(
        words.FORMULA,
        shapes=[("X", (f"token {n}", f"model {config.d_model}"), "residual"),
                ("Q", (f"head {h}", f"query {n}", d_k), "query"),
                ("K", (f"head {config.n_kv_heads}", f"key {n}", d_k), "key"),
                ("V", (f"head {config.n_kv_heads}", f"key {n}", d_k), "value"),
                ("S", (f"head {h}", f"query {n}", f"key {n}"), "scores"),
                ("A", (f"head {h}", f"query {n}", f"key {n}"), "attention"),
                ("z", (f"head {h}", f"query {n}", d_k), "value")],
        numbers=lambda: numbers(shown),
    )  # fmt: skip
    if lesson.shows("formula"):
        st.markdown(shapes_table())
    setting = {"model": reading.model, "text": reading.text, "layer": shown.layer, "head": shown.head}
    masked = shown.way.barred is not None
    factor = None if shown.way.factor != 1 else 1.0
    with code_place:
        lesson.code([stepwise.attend, stepwise.read, stepwise.masked_softmax],
                    words.SNIPPETS[view].format(**setting, n=n, allowed="past" if masked else None, factor=factor))
    frame = shown.layer * h + shown.head if view == SMALL else shown.head
    lesson.downloads(
        table={"query": np.repeat(names, n), "key": np.tile(names, n), "S": shown.way.S[frame].flatten(),
               "A": shown.way.A[frame].flatten()},
        config=setting | {"scores": shown.way.name},
    )  # fmt: skip


def predict() -> None:
    """What the scale does to the sharpest row, by this page's numbers."""
    ways = [one for one, _ in small_ways(tuple(small.ids_of(QUEEN)))]
    scaled, plain = (one.A[1][-1].max() for one in ways[:2])  # of the telling head
    d_k = ways[0].factor ** -2
    options = ("It grows", "It stays", "It shrinks")
    answer = options[0 if plain > scaled else 2 if plain < scaled else 1]
    lesson.predict(
        f"In “{inert(QUEEN)}” “queen” gives “king” its largest weight in {TELLING}, {scaled:.2f}. What happens to it "
        f"if the scores are not divided by $\\sqrt{{d_k}} = \\sqrt{{{d_k:.0f}}}$?",
        options, answer,
        f"It becomes {plain:.2f}: without the division every difference between scores is $\\sqrt{{{d_k:.0f}}} = "
        f"{d_k**0.5:.0f}$ times as large, so the softmax is sharper, here as in any row that is not flat. With "
        "$d_k = 64$ it would be 8 times. Choose “without 1/√d_k” above the picture to see it.",
    )  # fmt: skip


lesson = Lesson("B1")
opened = st.session_state.get("view") or st.query_params.get("view")
lesson.header(words.LOOK_FOR.get(opened, words.LOOK_FOR[SMALL]), None if opened == REAL else small.any_reading())
view = lesson.view(VIEWS)
if view == SMALL:
    reading = small.read(lesson, lesson.text(QUEEN, SMALL_EXAMPLES))
else:
    text = lesson.text(CAPITAL, REAL_EXAMPLES, key="sentence")
    asked = models.chosen()
    kept = recorded.of(asked, text) if models.loaded(asked) is None else None
    encoder = asked in models.ENCODERS
    came_in = "resid_pre" if encoder else "norm_1"
    wanted = (*BASE, *WHOLE, f"layers.*.{came_in}")
    kept_all = kept is None or "layers.0.attention.out" in kept
    reading = lesson.read(text, wanted if kept_all else BASE, most=MOST)
    causal = reading.config.kind == "decoder"
names = [piece.replace("\n", "⏎") for piece in reading.pieces]
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with after:
    lesson.prose(**words.PROSE)
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
