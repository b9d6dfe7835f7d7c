"""Rotary position: queries and keys are turned by their place, and what remains is the distance between them."""

from dataclasses import replace
from typing import NamedTuple

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import rope as charts
from pages.position import rope_words
from pages.position.rope_heads import BASES, DRAWN, FARTHEST, LIKENESS, TRAINED, Head, drawn_spread, real_spread, turned
from pages.position.rope_words import BESIDE, DISTANCE, LONGER, TURN, VIEWS
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from transformer import positions, rope
from transformer.recording import CAPITAL, PRONOUN, REPEAT

EXAMPLES = {
    "a pronoun": PRONOUN,
    "a repeated name": REPEAT,
    "a fact": CAPITAL,
    "code": "for i in range(10):\n    print(i)",
}
TELLING = {"smollm2-135m": (16, 0), "tiny": (2, 3)}  # model -> layer and head; these read one word back by rotation
# What the pictures call what they hold: its name in the URL, and its default.
CURSORS = {DISTANCE: ("at", 1), BESIDE: ("at", 1), LONGER: ("i", 20)}
FRAMES = {DISTANCE: ("rho", 1.0), LONGER: ("factor", 4)}
BASE = "Base of the speeds θ"
UP_TO, FACTORS = [64, 256, FARTHEST], [2, 4, 8, 16, 32]
SCALINGS = list(charts.SCALINGS.values())
STARTS, BESIDE_TO = (0, 64, 256, 1024, 4096), 128


class Stand(NamedTuple):
    """Where the curves stand, by the link."""

    view: str
    cursor: int
    frame: float | None
    up_to: int
    scaling: str


class PairStand(NamedTuple):
    """Where the two words stand and how fast they turn, by the link."""

    words: str
    place: charts.Place
    base: str


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    numbers: str | None = None


def choose(label: str, options: list, default: object, key: str) -> object:
    """A select box that falls back to its default where another model or text lacks what was chosen."""
    if st.session_state.get(key) not in (None, *options):
        del st.session_state[key]
    return st.selectbox(label, options, options.index(default), key=key, bind="query-params")


def choose_head() -> tuple[int, int]:
    layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.Q_unrotated" in reading.arrays]
    layer, head = TELLING.get(reading.model, (0, 0))
    if view == LONGER:
        return layer, head
    left, right = st.columns(2)
    with left:
        layer = choose("Layer", layers, layer if layer in layers else layers[0], "layer")
    with right:
        head = choose("Head", list(range(config.n_heads)), head, "head")
    return layer, head


def choose_words() -> tuple[int, int]:
    """The numbers of the query's word and of the key's, which never stands after it."""
    names = [f"{i} {word(i)}" for i in range(n_words)]
    query = names.index(choose("Query: the word that looks", names, names[-1], "query"))
    key = names.index(choose("Key: the word that is found", names[: query + 1], names[max(0, query - 1)], "key"))
    return query, key


def word(i: int) -> str:
    return reading.pieces[i].strip() or "␣"


def base_in_link() -> str:
    return url.url_state("base", TRAINED, str, lambda base: base in BASES)


def choose_base() -> str:
    """The base, as a control beside the picture; in the first picture it is a slider of the picture's own."""
    st.select_slider(BASE, BASES, base_in_link(), key="base_slider", on_change=keep_base,
                     help=f"θ_i = base^(−2i/d). {reading.title} was trained with {config.rope_base:,.0f}.")  # fmt: skip
    return st.session_state["base_slider"]


def keep_base() -> None:
    url.set_url_state("base", st.session_state["base_slider"], TRAINED)


def stand() -> Stand:
    last = {DISTANCE: FARTHEST, BESIDE: BESIDE_TO, LONGER: config.d_head // 2 - 1}[view]
    name, start = CURSORS[view]
    cursor, frame = url.url_state(name, min(start, last), int, lambda at: 0 <= at <= last), None
    if view in FRAMES:
        name, start = FRAMES[view]
        frame = url.url_state(name, start, type(start), (LIKENESS if view == DISTANCE else FACTORS).__contains__)
    up_to, scaling = UP_TO[1], charts.SCALINGS["yarn"]
    if view == DISTANCE:
        up_to = url.url_state("up_to", up_to, int, UP_TO.__contains__)
    if view == LONGER:
        scaling = url.url_state("scaling", scaling, str, SCALINGS.__contains__)
    return Stand(view, cursor, frame, up_to, scaling)


def keep_curves() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state(CURSORS[view][0], int(at), CURSORS[view][1])
    if view in FRAMES and said.get("frame") in (LIKENESS if view == DISTANCE else FACTORS):
        url.set_url_state(FRAMES[view][0], said["frame"], FRAMES[view][1])
    if view == DISTANCE and said.get("zoom") in UP_TO:
        url.set_url_state("up_to", said["zoom"], UP_TO[1])
    if view == LONGER and said.get("pick") in SCALINGS:
        url.set_url_state("scaling", said["pick"], charts.SCALINGS["yarn"])
    held.reported("curves", stand())


def keep_pair() -> None:
    said, own = held.said("pair", "stand"), st.session_state["_rope_own"]
    if said is None or not all(isinstance(said.get(key), int) for key in ("m", "n", "pair")):
        return
    url.set_url_state("m", said["m"], own.m)
    url.set_url_state("n", said["n"], own.n)
    url.set_url_state("pair", said["pair"], 0)
    if said.get("base") in BASES:
        url.set_url_state("base", said["base"], TRAINED)
    held.reported("pair", pair_stand(st.session_state["_rope_words"], own))


def pair_stand(words: str, own: charts.Place) -> PairStand:
    m = url.url_state("m", own.m, int, lambda m: 0 <= m <= 4096)
    n = url.url_state("n", own.n, int, lambda n: 0 <= n <= 4096)
    pair = url.url_state("pair", 0, int, lambda i: 0 <= i < config.d_head // 2)
    return PairStand(words, charts.Place(max(m, n), n, pair), base_in_link())


def show_turn(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Head, Shown]:
    with controls:
        layer, head = choose_head()
        query, key = choose_words()
        chosen = turned(reading, layer, head, base_in_link())
        reach = st.select_slider("Positions up to", [64, 512, 4096], key="reach", bind="query-params")
        st.caption("The words keep their vectors; you move only their places. In the big dial the hands have their "
                   "true lengths and the dashed ones are not turned yet; the small dials show directions.")  # fmt: skip
    own = st.session_state["_rope_own"] = charts.Place(query, key)
    words = " ".join(map(str, (reading.model, reading.text, query, key)))
    if st.session_state.setdefault("_rope_words", words) != words:  # other words stand where their text has them
        st.session_state["_rope_words"] = words
        st.query_params.pop("m", None)
        st.query_params.pop("n", None)
    here = pair_stand(words, own)
    shown, epoch = held.to_send("pair", here)
    q, k, distance = chosen.Q[query], chosen.K[key], torch.arange(reach + 1.0)
    at_base = [turned(reading, layer, head, base) for base in BASES]
    curve = torch.stack([at.by_distance(q, k, distance) for at in at_base])
    with picture:
        charts.mount_pair(
            key="pair", on_stand_change=keep_pair,
            data=charts.pair_message(
                rope.pairs(q, config.rope_layout).numpy(), rope.pairs(k, config.rope_layout).numpy(),
                curves.Choice(BASE, BASES, shown.base), torch.stack([at.theta for at in at_base]).numpy(),
                curve.numpy(), query=word(query), key=word(key), own=own, place=shown.place,
                epoch=epoch, d_head=config.d_head, scale=chosen.scale,
                label=f"A query and a key of {chosen.name}, turned by their positions.",
            ),
        )  # fmt: skip
    m, n = here.place.m, here.place.n
    parts = rope.pair_scores(q, k, chosen.theta, torch.tensor([float(m - n)]), config.rope_layout)[0] * chosen.scale
    return chosen, Shown(
        {"distance": distance} | {f"score, base {base}": of for base, of in zip(BASES, curve, strict=True)},
        rf"\query{{q}}_{{{m}}} \cdot \key{{k}}_{{{n}}} / \sqrt{{{config.d_head}}} = "
        + " ".join(f"{value:+.3f}" for value in parts[:4].tolist())
        + rf" + \dots = \scores{{{parts.sum().item():.3f}}}",
    )


def show_distance(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Head, Shown]:
    with controls:
        layer, head = choose_head()
        chosen = turned(reading, layer, head, choose_base())
        seed = st.number_input("Seed of the drawn vectors", 0, 9999, 0, key="seed", bind="query-params")
        st.caption("The first panel is this head on your text: all pairs of its words, each moved to every "
                   f"distance. The second is {DRAWN} pairs of normal random vectors of your seed.")  # fmt: skip
    distance = torch.arange(FARTHEST + 1.0)
    real, pairs = real_spread(*subject, chosen.layer, chosen.head, base_in_link(), reading)
    drawn = drawn_spread(reading.model, base_in_link(), seed, config)
    envelope, aligned = rope.decay_envelope(chosen.theta, distance), rope.aligned_decay(chosen.theta, distance)
    here = stand()
    shown, epoch = held.to_send("curves", here)
    with picture:
        curves.mount(
            key="curves", on_stand_change=keep_curves,
            data=charts.distance_message(
                distance.numpy(), real, drawn, envelope.numpy(), aligned.numpy(), head=chosen.name, pairs=pairs,
                seed=seed, likeness=curves.Choice("Likeness ρ of drawn q and k", LIKENESS, shown.frame),
                up_to=curves.Choice("Distances up to", UP_TO, shown.up_to), cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
    table = {"distance": distance, "real mean": real.mean, "drawn mean": drawn.mean[LIKENESS.index(here.frame)]}
    return chosen, Shown(table | {"q = k": aligned, "bound": envelope})


def show_beside(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Head, Shown]:
    with controls:
        layer, head = choose_head()
        query, key = choose_words()
        chosen = turned(reading, layer, head, choose_base())
        words_too = st.toggle("Add the words' own vectors too", key="words", bind="query-params",
                              disabled=weights is None)  # fmt: skip
        if weights is None:
            st.info(f"The panel between needs {reading.title}'s own W_Q and W_K, which come with the download in the "
                    f"sidebar.",
                    icon=":material/info:")  # fmt: skip
        st.caption(f"{reading.title} was trained with RoPE; its weights stand in for any learned ones. A model "
                   f"trained with "
                   "sinusoids has others, but nothing makes them keep the property.")  # fmt: skip
    starts, distance = torch.tensor(STARTS), torch.arange(BESIDE_TO + 1)
    base = 10_000.0 if base_in_link() == TRAINED else chosen.turning.rope_base
    raw = positions.similarity(starts, distance, config.d_model, base)
    fans = [fan(raw, "Sinusoids as they are: PE(n + r) · PE(n)", "PE · PE")]
    if weights is not None:
        blocks = weights[0].stack.blocks
        attention = blocks[layer % len(blocks)].attention
        W_Q, W_K = positions.of_head(attention.W_Q.weight, attention.W_K.weight, config, head)
        x, y = torch.tensor(reading[f"layers.{layer}.norm_1"][0, [query, key]]) * float(words_too)
        mixed = positions.mixed_scores(W_Q, W_K, x, y, starts, distance, base)
        what = "words + sinusoids" if words_too else "sinusoids"
        fans.append(fan(mixed, f"The same {what} through W_Q and W_K of {chosen.name}", "through W"))
    last = rope.scores_in_place(chosen.Q[query], chosen.K[key], chosen.turning, starts, distance)
    fans.append(fan(last, f"RoPE: {chosen.name}, turned after W_Q and W_K", "RoPE"))
    shown, epoch = held.to_send("curves", stand())
    with picture:
        curves.mount(
            key="curves", on_stand_change=keep_curves,
            data=charts.fans_message(distance.numpy(), STARTS, fans, cursor=shown.cursor, epoch=epoch),
        )  # fmt: skip
    return chosen, Shown({"distance": distance} | {
        f"{one.short}, n = {start}": one.scores[i] for one in fans for i, start in enumerate(STARTS)
    })  # fmt: skip


def fan(S: torch.Tensor, title: str, short: str) -> charts.Fan:
    return charts.Fan(S.numpy(), positions.share_of_distance(S), title, short)


def show_longer(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Head, Shown]:
    with controls:
        layer, head = choose_head()
        chosen = turned(reading, layer, head, choose_base())
        st.caption(f"{reading.title} was trained on {config.max_len:,} positions. A pair above that line never "
                   "finished a turn: further on it shows angles that the model has not seen.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    scaled = {
        name: torch.stack([
            rope.scaled_frequencies(replace(chosen.turning, rope_scaling=name, rope_factor=float(s),
                                            rope_original_len=config.max_len))[0] for s in FACTORS
        ]) for name in charts.SCALINGS
    }  # fmt: skip
    waves = {name: rope.wavelengths(speed).numpy() for name, speed in scaled.items()}
    with picture:
        curves.mount(
            key="curves", on_stand_change=keep_curves,
            data=charts.scalings_message(
                waves, {name: (speed / chosen.theta).numpy() for name, speed in scaled.items()},
                curves.Picks("Scaling", SCALINGS, shown.scaling, role="attention"),
                config.max_len, curves.Choice("How many times as long", FACTORS, shown.frame),
                cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
    table = {f"{name} wavelength": wave[FACTORS.index(here.frame)] for name, wave in waves.items()}
    return chosen, Shown({"pair": range(config.d_head // 2)} | table)


SHOW = {TURN: show_turn, DISTANCE: show_distance, BESIDE: show_beside, LONGER: show_longer}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    chosen, shown = SHOW[view](*lesson.stage(0.3))
    d_k, h, h_kv = config.d_head, config.n_heads, config.n_kv_heads
    query, key = f"query {n_words}", f"key {n_words}"
    lesson.formula(
        r"\begin{gathered}" + r"\\[.6em]".join(rope_words.FORMULAS[view]) + r"\end{gathered}",
        shapes=[("Q", (f"head {h}", query, d_k), "query"), ("K", (f"kv_head {h_kv}", key, d_k), "key"),
                (r"\theta", (f"pair {d_k // 2}",), "output"), ("S", (f"head {h}", query, key), "scores")],
        numbers=shown.numbers,
    )  # fmt: skip
    at = {"model": reading.model, "text": reading.text, "layer": chosen.layer, "head": chosen.head,
          "rope_base": chosen.turning.rope_base}  # fmt: skip
    with code_place:
        lesson.code([rope.frequencies, rope.rotation, rope.rotate, rope.scores_by_distance, rope.scaled_frequencies],
                    rope_words.SNIPPET.format_map({name: repr(value) for name, value in at.items()}))  # fmt: skip
    lesson.downloads(table=shown.table, config=at | {"view": view})


lesson = Lesson("C3")
opened = st.session_state.get("view") or st.query_params.get("view")  # the control itself comes further down
lesson.header(rope_words.LOOK_FOR.get(opened, rope_words.LOOK_FOR[TURN]))
asked = models.decoder()
if asked != models.chosen():
    st.info(f"{models.TITLES[models.chosen()]} adds learned positions and turns nothing. {models.TITLES[asked]} "
            f"does, so it "
            "reads here.", icon=":material/info:")  # fmt: skip
text = lesson.text(PRONOUN, EXAMPLES)
view = st.segmented_control("Picture", VIEWS, default=TURN, required=True, key="view", bind="query-params",
                            label_visibility="collapsed", width="stretch")  # fmt: skip
wanted = ("layers.*.attention.[QK]_unrotated",)
if view == BESIDE and models.loaded(asked) is not None:
    wanted += ("layers.*.norm_1",)  # a word's vector as the head reads it
reading = lesson.read(text, wanted, name=asked)
config, n_words = reading.config, len(reading.ids)
subject = (reading.model, reading.label, reading.text)  # what is cached belongs to it
weights = models.loaded(reading.model) if reading.label != "recorded" else None
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words:
    lesson.prose(**rope_words.PROSE)
    lesson.predict(**rope_words.PREDICT)
with more:
    lesson.interview(rope_words.INTERVIEW)
    lesson.sources(rope_words.SOURCES)
