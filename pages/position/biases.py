"""Biases of position: what each way adds to a head's scores, against distance, and on a head that never had it."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import biases as charts
from charts import curves, matrices
from charts.ahead import Box, ahead
from charts.biases import TITLES
from charts.curves import Choice, Picks
from pages.position import biases_words as words
from pages.position import trained_ways as trained
from pages.position.biases_arrays import (
    FAR, HEADS, LOOK, REACH, ROWS, SLOPE_TO, all_buckets, counts, numbers, of_parts, real_parts, slopes,
)  # fmt: skip
from pages.position.biases_words import BUCKETS, DISTANCE, HEAD, REAL, SLOPES, VIEWS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import biases, masks
from transformer.experiments import added_positions
from transformer.recording import CAPITAL, PRONOUN, REPEAT
from transformer.training import longer

EXAMPLES = {"a repeated name": REPEAT, "a pronoun": PRONOUN, "a fact": CAPITAL}
SAID = "To be, or not to be, that is"
LINES = {"a play": SAID, "a name twice": "Romeo, O Romeo, my", "a rhyme": "double, double toil"}
MOST, MOST_REAL = 15, 24  # tokens in a picture of four matrices
UP_TO = [32, 64, 128, trained.FARTHEST - 1]
REAL_TITLES = {"none": "rotation undone", "rope": "RoPE, as trained", "alibi": "ALiBi in its place"}
REAL_SAYS = charts.SAYS | {"alibi": "−m · |i − j|: what ALiBi would add, in a model that was trained without it"}
TELLING = {"smollm2-135m": (16, 0), "tiny": (2, 3)}  # layer and head: they read one word back by rotation
FOUR = ("learned", "sinusoidal", "xl")  # ways that make four terms of one
STEPS = 4
LAYERS = list(range(longer.BASE["n_layers"]))
PARTS = {"content": "q·k", "position": "position", "S": "S", "A": "A"} | {term: term for term in "abcd"}  # by the link
CURSORS = {DISTANCE: ("at", 20, 0, trained.FARTHEST - 1), SLOPES: ("r", 10, 0, SLOPE_TO), BUCKETS: ("d", 50, -REACH, REACH)}


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    way: str = "alibi"
    head: int = 0
    step: int = STEPS - 1
    cell: tuple[str, int, int] = ("S", 0, 0)
    cursor: int = 0
    up_to: int = 128
    heads: int = 8
    look: str = LOOK[0]
    rows: int = 32
    far: int = 128


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    setting: dict
    numbers: str


def tokens() -> int:
    """How many words the matrices have."""
    return len(reading.ids) if view == REAL else len(ids)


def cell_in(text: str) -> tuple[str, int, int]:
    """("S", 4, 3) of "S.4.3". ValueError where there is none."""
    part, row, col = text.split(".")
    if part not in PARTS or not (row + col).isdecimal():
        raise ValueError(text)
    return part, int(row), int(col)


def written(cell: tuple[str, int, int]) -> str:
    return ".".join(map(str, cell))


def pinned(shown: Stand) -> tuple[str, int, int]:
    """The cell as the picture calls it."""
    part, row, col = shown.cell
    return f"{shown.way} {PARTS[part]}", row, col


def titles(layer: int = 0) -> dict[str, str]:
    return REAL_TITLES if view == REAL else {way: TITLES[way] for way in trained.ways_of(layer)}


def stand(layer: int = 0, heads: int = longer.BASE["n_heads"]) -> Stand:
    here = Stand(view)
    if view in CURSORS:
        name, start, low, high = CURSORS[view]
        here = here._replace(cursor=url.url_state(name, start, int, lambda at: low <= at <= high))
    if view in (HEAD, DISTANCE, REAL):
        default = telling[1] if view == REAL else 0
        way = url.url_state("way", "alibi", str, TITLES.__contains__)
        here = here._replace(way=way if way in titles(layer) else "alibi",  # another view or layer has it
                             head=url.url_state("head", default, int, range(heads).__contains__))  # fmt: skip
    if view == DISTANCE:
        return here._replace(up_to=url.url_state("up_to", 128, int, UP_TO.__contains__))
    if view in (HEAD, REAL):
        n, own = tokens(), ("S", tokens() - 1, 0)
        part, row, col = cell = url.url_state("cell", own, cell_in, shown=written(own))
        fits = row < n and col < n and (part not in added_positions.TERMS or here.way in FOUR and view == HEAD)
        return here._replace(step=url.url_state("step", STEPS, int, range(1, STEPS + 1).__contains__) - 1,
                             cell=cell if fits else own)  # fmt: skip
    if view == SLOPES:
        return here._replace(heads=url.url_state("heads", 8, int, HEADS.__contains__))
    if view == BUCKETS:
        return here._replace(
            look=LOOK[url.url_state("both", "false", str.lower, ("true", "false").__contains__) == "true"],
            rows=url.url_state("buckets", 32, int, ROWS.__contains__), far=url.url_state("far", 128, int, FAR.__contains__),
        )  # fmt: skip
    return here


def keep(layer: int = 0, heads: int = longer.BASE["n_heads"]) -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(NAMES[view], "stand")) is None:
        return
    if view in CURSORS and isinstance(at := said.get("cursor"), int | float):
        url.set_url_state(CURSORS[view][0], int(at), CURSORS[view][1])
    if view in (HEAD, DISTANCE, REAL):
        if (way := {title: way for way, title in titles(layer).items()}.get(said.get("pick"))) is not None:
            url.set_url_state("way", way, "alibi")
        if (head := said.get("frame")) in range(heads):
            url.set_url_state("head", head, telling[1] if view == REAL else 0)
    if view in (HEAD, REAL):
        if isinstance(said.get("step"), int):
            url.set_url_state("step", said["step"] + 1, STEPS)
        names = {name: part for part, name in PARTS.items()}
        if isinstance(at := said.get("at"), list) and len(at) == 3 and all(isinstance(i, int) for i in at[1:]):
            if (part := names.get(str(at[0]).split(" ", 1)[-1])) in PARTS:
                url.set_url_state("cell", written((part, at[1], at[2])), written(("S", tokens() - 1, 0)))
    if view == DISTANCE and said.get("zoom") in UP_TO:
        url.set_url_state("up_to", said["zoom"], 128)
    if view == SLOPES and said.get("frame") in HEADS:
        url.set_url_state("heads", said["frame"], 8)
    if view == BUCKETS:
        url.set_url_state("both", "true" if said.get("pick") == LOOK[1] else "false", "false")
        if isinstance(frames := said.get("frames"), list) and len(frames) == 2:
            for name, value, options, default in (("buckets", frames[0], ROWS, 32), ("far", frames[1], FAR, 128)):
                if value in options:
                    url.set_url_state(name, value, default)
    held.reported(NAMES[view], stand(layer, heads))


NAMES = {HEAD: "parts", DISTANCE: "distance", SLOPES: "slopes", BUCKETS: "buckets", REAL: "real"}  # of the components


def layer_box(place: DeltaGenerator, layers: list[int], default: int) -> tuple[Box, DeltaGenerator]:
    """The box, and the place beside it where something is said."""
    box, said = place.columns([0.14, 1], gap="medium", vertical_alignment="center")
    with box:
        layer = choose("Layer", layers, default, "layer")
    if layer and view != REAL:
        said.caption("Learned and sinusoidal places were added before the first layer; here they are mixed into the "
                     "vectors, and cannot be told from the words.")  # fmt: skip
    return Box("layer", layers, layer), said


def show_head(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    box, said = layer_box(controls, LAYERS, 0)
    layer, heads = box.at, longer.BASE["n_heads"]
    with said:
        st.caption(f"Eight decoders of {longer.BASE['n_layers']} layers and {longer.BASE['n_heads']} heads, trained by "
                   f"us on "
                   f"Shakespeare's plays with {longer.LENGTH} tokens at a time; nothing differs but the way to tell "
                   f"positions. They "
                   f"read the first {len(ids)} tokens of your text, of about 1.5 characters each.")  # fmt: skip
    here = stand(layer)
    held.to_send("parts", here)

    def message(one: int) -> bytes:
        shown, epoch = held.would_send(NAMES[view], stand(one))  # the way may be one that this layer lacks
        return charts.parts_message(
            trained.parts_of(ids, one), trained.tables_of(one), pieces, ~masks.past(len(ids)).numpy(), titles=titles(one),
            picks=Picks("Positions", list(titles(one).values()), TITLES[shown.way], role="ink"),
            heads=Choice("Head", list(range(heads)), shown.head), about="A trained head's scores", step=shown.step,
            at=pinned(shown), epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key="parts", on_stand_change=lambda: keep(layer), data=ahead(message, box))
    of = trained.parts_of(ids, layer)[here.way]
    return Shown(*of_parts(of, here.head, pieces), {"way": here.way, "layer": layer, "head": here.head},
                 numbers(of, here.head, here.cell))  # fmt: skip


def show_distance(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    box, said = layer_box(controls, LAYERS, 0)
    layer, heads = box.at, longer.BASE["n_heads"]
    with said:
        st.caption("ALiBi and T5: the one bias. Shaw, Transformer-XL: over the queries of your text. RoPE: over its "
                   "pairs of query "
                   "and key. Learned, sinusoidal: place against place, over all places, as if there were no words. "
                   "Each less its "
                   "mean at distance 0, since what all keys share is no matter to a softmax.")  # fmt: skip
    here = stand(layer)
    held.to_send("distance", here)

    def message(one: int) -> bytes:
        shown, epoch = held.would_send(NAMES[view], stand(one))  # the way may be one that this layer lacks
        return charts.distance_message(
            trained.against_distance(ids, one), titles=titles(one),
            picks=Picks("Positions", list(titles(one).values()), TITLES[shown.way], role="ink"),
            heads=Choice("Head", list(range(heads)), shown.head), up_to=Choice("Distances up to", UP_TO, shown.up_to),
            trained=longer.LENGTH, cursor=shown.cursor, epoch=epoch,
        )  # fmt: skip

    with picture:
        curves.mount(key="distance", on_stand_change=lambda: keep(layer), data=ahead(message, box))
    found = trained.against_distance(ids, layer)
    way, r = here.way, here.cursor
    of = found[way]
    mean = of.mean[here.head] - of.mean[here.head, 0]
    table = {"distance": np.arange(len(mean))} | {
        f"{TITLES[name]}, {part}": getattr(one, part)[here.head]
        for name, one in found.items() for part in ("mean", "low", "high")
    }  # fmt: skip
    value = f"{mean[r]:.3f}" if np.isfinite(mean[r]) else r"\text{not there: the table has ended}"
    return Shown(table, [("b", (f"head {heads}", f"distance {len(mean)}"), "key")],
                 {"way": way, "layer": layer, "head": here.head},
                 rf"\text{{{TITLES[way]}: }} \bar b({r}) - \bar b(0) = {value}")  # fmt: skip


def show_slopes(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand()
    shown, epoch = held.to_send("slopes", here)
    bias, kept = slopes()
    with picture:
        curves.mount(key="slopes", on_stand_change=keep,
                     data=charts.slopes_message(np.arange(SLOPE_TO + 1.0), bias, kept,
                                                Choice("Number of heads", HEADS, shown.heads), cursor=shown.cursor, epoch=epoch))  # fmt: skip
    i, r = HEADS.index(here.heads), here.cursor
    m = biases.alibi_slopes(here.heads).numpy()
    with controls:
        more = " …" if len(m) > 12 else ""
        slopes_said, halves = (", ".join(f"{x:.3g}" for x in values[:12]) + more for values in (m, np.log(2) / m))
        st.caption(f"Slopes of {here.heads} head{'s' if here.heads > 1 else ''}: {slopes_said}. After ln 2 / m tokens "
                   f"a key keeps half of its weight: {halves}.")  # fmt: skip
    return Shown({"head": np.arange(here.heads), "slope": m}, [("m", (f"head {here.heads}",), "attention")],
                 {"heads": here.heads, "at": r},
                 rf"m_1 = {m[0]:.4g},\quad -m_1\cdot {r} = {bias[i, 0, r]:.3f},\quad e^{{{bias[i, 0, r]:.3f}}} = "
                 rf"{kept[i, 0, r]:.3g}")


def show_buckets(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand()
    shown, epoch = held.to_send("buckets", here)
    bucket, width = all_buckets()
    with picture:
        curves.mount(
            key="buckets", on_stand_change=keep,
            data=charts.buckets_message(
                np.arange(-REACH, REACH + 1.0), bucket, width, picks=Picks("Sees", list(LOOK), shown.look, role="ink"),
                choices=[Choice("Buckets", ROWS, shown.rows), Choice("Farthest distance of its own", FAR, shown.far)],
                cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
    own = longer.POSITIONS["t5"]
    with controls:
        st.caption("r: distance back; B: buckets; D: the farthest, past which all share the last row. In both "
                   "directions each has half of B. "
                   f"T5's own setting is B = 32, D = 128. Our small T5 has {own['buckets']} and "
                   f"{own['max_distance']}, so that "
                   f"{longer.LENGTH} tokens of training reach every row. A decoder reads a later key, which its mask "
                   f"hides, as distance 0.")  # fmt: skip
    i, j, at = ROWS.index(here.rows), FAR.index(here.far), here.cursor + REACH
    of = bucket[here.look][i, j]
    return Shown({"distance": np.arange(-REACH, REACH + 1), "bucket": of, "shared by": width[here.look][i, j]},
                 [("table", (f"bucket {here.rows}", "head"), "key")],
                 {"at": here.cursor, "both": here.look == LOOK[1], "buckets": here.rows, "farthest": here.far},
                 rf"\text{{bucket}}({here.cursor}) = {of[at]:.0f},\quad \text{{shared by }} "
                 rf"{width[here.look][i, j, at]:.0f}")  # fmt: skip


def show_real(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    config = reading.config
    layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.Q_unrotated" in reading.arrays]
    box, said = layer_box(controls, layers, telling[0])
    layer = box.at
    with said:
        st.caption(f"{reading.title} was trained with RoPE. Its queries and keys before they are turned know nothing "
                   f"of places; ALiBi "
                   f"is put in RoPE's place as a what-if, with the slopes of {config.n_heads} heads: a model trained "
                   f"with it would have other queries and keys.")  # fmt: skip
    subject = (reading.model, reading.label, reading.text)
    here = stand(heads=config.n_heads)
    shown, epoch = held.to_send("real", here)
    names = [piece.replace("\n", "⏎").strip() or "␣" for piece in reading.pieces]

    def message(one: int) -> bytes:
        return charts.parts_message(
            real_parts(subject, one, reading), {}, names, ~masks.past(len(names)).numpy(), titles=REAL_TITLES,
            picks=Picks("Positions", list(REAL_TITLES.values()), REAL_TITLES[shown.way], role="ink"), says=REAL_SAYS,
            heads=Choice("Head", list(range(config.n_heads)), shown.head), about=f"A head of {reading.title}",
            step=shown.step, at=pinned(shown), epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key="real", on_stand_change=lambda: keep(heads=config.n_heads), data=ahead(message, box))
    of = real_parts(subject, layer, reading)[here.way]
    return Shown(*of_parts(of, here.head, names),
                 {"model": reading.model, "way": here.way, "layer": layer, "head": here.head},
                 numbers(of, here.head, here.cell))  # fmt: skip


SHOW = {HEAD: show_head, DISTANCE: show_distance, SLOPES: show_slopes, BUCKETS: show_buckets, REAL: show_real}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"):
        picture, controls = st.container(key="gf-picture"), st.container(key="gf-controls")
        shown = SHOW[view](picture, controls)
    lesson.formula(words.FORMULA[view], shapes=shown.shapes, numbers=shown.numbers)
    setting = shown.setting | ({} if view in (SLOPES, BUCKETS) else {"text": reading.text if view == REAL else text})
    with code_place:
        lesson.code(
            [biases.alibi_slopes, biases.t5_bucket, biases.Shaw, biases.XL, added_positions.added,
             added_positions.four_terms,
             added_positions.by_distance],
            words.SNIPPET[view].format_map({"most": MOST, "farthest": trained.FARTHEST} | setting),
        )  # fmt: skip
    lesson.downloads(table=shown.table, config=setting | {"view": view})


def compare() -> None:
    """What each costs, and how far it reaches."""
    added = counts()
    lines = ["| added to | learned numbers: here · in SmolLM2's shape | a place or distance never seen |",
             "|---|---|---|"]
    lines += [f"| **{TITLES[way]}**: {where} | {added['ours'][way]:,} · {added['smollm2'][way]:,} | {says} |"
              for way, (where, says) in words.KNOWS.items()]  # fmt: skip
    with st.container(key="gf-ways"):
        st.markdown("\n".join(lines))
    made = trained.recorded()["made"]
    st.caption(f"“Here”: our decoders, made by `{made['command']}` from {made['data']}. How they do on longer texts: "
               f"the next lesson.")  # fmt: skip


def predict() -> None:
    """Whose bias would be the same with other words? Answered by the page's own parts."""
    found = trained.against_distance(ids, 0)
    width = {way: float(np.nanmax(of.high - of.low)) for way, of in found.items()}
    answer = [TITLES[way] for way in ("alibi", "t5", "shaw", "xl") if width[way] < 1e-4]
    options = ["ALiBi", "ALiBi and T5", "ALiBi, T5 and Shaw", "all four"]
    said = options[len(answer) - 1] if answer else options[0]
    lesson.predict(
        "ALiBi, T5, Shaw, Transformer-XL: all four work by distance. For which of them is what is added at one "
        "distance the same number whatever the words are?",
        options, said,
        "Largest difference between two cases at one distance in the first layer, on this text: " + ", ".join(
            f"{TITLES[way]} {width[way]:.2g}" for way in ("alibi", "t5", "shaw", "xl"))
        + ". Shaw's vector and Transformer-XL's $W_R R$ meet the query, so the query has its say; only $v\\cdot W_R R$, term (d), is free of it.",
    )  # fmt: skip


lesson = Lesson("C4")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
telling = (0, 0)
if view == REAL:
    if models.decoder() != models.chosen():
        st.info(f"{models.TITLES[models.chosen()]} turns nothing. {models.TITLES[models.decoder()]} does, so it reads "
                f"here.",
                icon=":material/info:")  # fmt: skip
    text = lesson.text(REPEAT, EXAMPLES)
    reading = lesson.read(text, ("layers.*.attention.[QK]_unrotated",), name=models.decoder(), most=MOST_REAL)
    telling = TELLING.get(reading.model, (0, 0))
else:
    text = SAID
    if view in (HEAD, DISTANCE):
        text = lesson.text(SAID, LINES, key="words", follows=False)
    if not text.strip():
        st.warning("There is nothing to read yet: type a word or a sentence.", icon=":material/info:")
        text = SAID
    lesson.show_model("Eight small decoders, trained here", "tiny")
ids, pieces = trained.pieces_of(SAID if view == REAL else text, MOST)
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with after:
    if lesson.shows("table"):
        compare()
    lesson.prose(**words.PROSE)
    predict()
with more:
    lesson.interview(words.interview(counts()["smollm2"], "A learned table of 8,192 places, 32 buckets, Shaw's ±16"))
    lesson.sources(words.SOURCES)
