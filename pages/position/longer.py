"""Longer than trained: what each way to tell positions does at up to four times the length it was trained at."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import longer as charts
from charts.curves import Choice, Picks, Switch
from charts.longer import TITLES, TOPS, Runs, Surprise
from pages.position import longer_words as words
from pages.position import trained_ways as trained
from pages.position.longer_words import HEADS, LENGTHS, PLACE, TEXT, VIEWS
from pages.shared import held, url
from pages.shared.lesson import Lesson
from transformer import rope
from transformer.experiments import beyond
from transformer.training import longer

MOST = longer.LENGTHS[-1] + 1  # tokens of the learner's text
LEAST = 8
WIDTH = 16  # tokens that a smoothed surprise is the mean of
LAST = 32  # queries of the map
SHOWN = "rope"  # the way that stands out where the page opens
PER_LAYER = longer.BASE["n_heads"]
HEAD_NAMES = [f"layer {i // PER_LAYER}, head {i % PER_LAYER}" for i in range(PER_LAYER * longer.BASE["n_layers"])]
PLACES = np.arange(longer.BIN / 2, longer.LENGTHS[-1], longer.BIN)
BY_TITLE = {title: way for way, title in TITLES.items()}
SAID = ("true", "false")
NAMES = {LENGTHS: "length", PLACE: "place", TEXT: "text_curves", HEADS: "heads"}  # of the components


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    way: str = SHOWN
    top: str = TOPS[0]
    cursor: int = 0
    head: int = 0
    every: bool = False


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    setting: dict
    numbers: str


def cursor_of() -> tuple[str, int, list[int]]:
    """The cursor's name in the link, where it starts, and where it may stand."""
    match view:
        case "Loss against length":
            return "n", longer.LENGTHS[-1], list(longer.LENGTHS)
        case "Loss by place":
            return "place", int(PLACES[12]), PLACES.astype(int).tolist()
        case "Your text":
            return "token", len(ids) - 1, list(range(1, len(ids)))
    return "r", min(100, len(ids) - 1), list(range(len(ids)))


def stand() -> Stand:
    name, start, places = cursor_of()
    here = Stand(view, url.url_state("way", SHOWN, str, TITLES.__contains__),
                 cursor=url.url_state(name, start, int, lambda at: at >= 0))
    here = here._replace(cursor=here.cursor if here.cursor in places else start)  # of another text
    if view in (LENGTHS, PLACE):
        return here._replace(top=TOPS[url.url_state("zoom", "false", str.lower,
            ("true", "false").__contains__) == "true"])
    if view == HEADS:
        return here._replace(head=url.url_state("head", 0, int, range(len(HEAD_NAMES)).__contains__),
                             every=url.url_state("every", "false", str.lower, SAID.__contains__) == "true")  # fmt: skip
    return here


def keep() -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(NAMES[view], "stand")) is None:
        return
    name, start, places = cursor_of()
    if isinstance(at := said.get("cursor"), int | float) and int(at) in places:
        url.set_url_state(name, int(at), start)
    if said.get("pick") in BY_TITLE:
        url.set_url_state("way", BY_TITLE[said["pick"]], SHOWN)
    if view in (LENGTHS, PLACE):
        url.set_url_state("zoom", "true" if said.get("frame") == TOPS[1] else "false", "false")
    if view == HEADS and said.get("frame") in HEAD_NAMES:
        url.set_url_state("head", HEAD_NAMES.index(said["frame"]), 0)
        url.set_url_state("every", "true" if said.get("switch") else "false", "false")
    held.reported(NAMES[view], stand())


@st.cache_resource(show_spinner=False)
def recorded() -> tuple[dict[str, Runs], dict[str, Runs], dict[str, Runs], dict[str, np.ndarray]]:
    """Way -> losses by length, of the same words, by place [seed, point], and the weight beyond [seed]."""
    rows = trained.recorded()["rows"]

    def by_length(way: str, what: str) -> Runs:
        return Runs(np.array([[run[what].get(str(n), np.nan) for n in longer.LENGTHS] for run in rows[way]["runs"]]))

    def by_place(way: str) -> Runs:
        each = np.full((len(rows[way]["runs"]), len(PLACES)), np.nan)
        for i, run in enumerate(rows[way]["runs"]):
            each[i, : len(run["by_place"])] = run["by_place"]
        return Runs(each)

    return ({way: by_length(way, "loss") for way in TITLES},
            {way: by_length(way, "loss_same_tokens") for way in TITLES},
            {way: by_place(way) for way in TITLES},
            {way: np.array([run["weight_beyond"] for run in rows[way]["runs"]]) for way in TITLES})  # fmt: skip


def picks(way: str) -> Picks:
    return Picks("Positions", list(BY_TITLE), TITLES[way], role="ink")


def made() -> str:
    about = trained.recorded()["made"]
    rows = trained.recorded()["rows"]
    seconds = [run["processor_seconds"] for row in rows.values() for run in row["runs"]]
    return (f"Recorded: `{about['command']}`, {about['steps']:,} steps of {about['tokens_a_step']:,} tokens, three "
            f"seeds, "
            f"{min(seconds):.0f}–{max(seconds):.0f} s each; {about['held_out_windows']} windows of two plays that no "
            f"model read.")  # fmt: skip


def show_lengths(picture: DeltaGenerator) -> Shown:
    loss, same, _, _ = recorded()
    here = stand()
    shown, epoch = held.to_send("length", here)
    with picture:
        curves.mount(
            key="length", on_stand_change=keep,
            data=charts.length_message(
                np.array(longer.LENGTHS, dtype=float), loss, same, picks=picks(shown.way),
                tops=Choice("Axis shows", TOPS, shown.top),
                trained=longer.LENGTH, words=longer.LAST, cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
        st.caption(made())
        results()
    at = longer.LENGTHS.index(here.cursor)
    of = same[here.way].values
    table = {"n": longer.LENGTHS} | {f"{TITLES[way]}, seed {i}": run for way, one in same.items() for i,
                                     run in enumerate(one.values)}
    values = (r"\text{it cannot be asked}" if np.isnan(of[0, at]) else ",\\ ".join(f"{x:.3f}" for x in of[:, at])
              + rf"\quad\text{{at {longer.LENGTH}: }}" + ",\\ ".join(f"{x:.3f}" for x in of[:, 0]))  # fmt: skip
    return Shown(table, [("L", ("seed 3", f"length {len(longer.LENGTHS)}"), "output")],
                 {"way": here.way, "n": here.cursor},
                 rf"\text{{{TITLES[here.way]}: }} L({here.cursor}) = {values}")


def results() -> None:
    """The table of all ways: mean and range over the seeds."""
    loss, same, _, far = recorded()
    lines = [f"| | all tokens, {longer.LENGTH} | all tokens, {longer.LENGTHS[-1]} | last {longer.LAST}, "
             f"{longer.LENGTH} | last {longer.LAST}, "
             f"{longer.LENGTHS[-1]} | weight beyond {longer.LENGTH} |", "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for way, title in TITLES.items():
        cells = [words.span(of[way].values[:, at]) for of in (loss, same) for at in (0, -1)]
        if way == "learned":
            cells[1] = cells[3] = "cannot be asked"
        weight = "–" if way == "learned" else f"{far[way].mean():.0%}"
        lines.append(f"| **{title}** | {' | '.join(cells)} | {weight} |")
    with st.expander("All numbers: mean and range of three seeds", icon=":material/table:"):
        st.markdown("\n".join(lines))


def show_place(picture: DeltaGenerator) -> Shown:
    _, _, places, _ = recorded()
    here = stand()
    shown, epoch = held.to_send("place", here)
    with picture:
        curves.mount(
            key="place", on_stand_change=keep,
            data=charts.place_message(PLACES, places, picks=picks(shown.way),
                                      tops=Choice("Axis shows", TOPS, shown.top),
                                      trained=longer.LENGTH, cursor=shown.cursor, epoch=epoch),
        )  # fmt: skip
        st.caption(made())
    at = PLACES.astype(int).tolist().index(here.cursor)
    of = places[here.way].values[:, at]
    value = r"\text{not there}" if np.isnan(of[0]) else ",\\ ".join(f"{x:.3f}" for x in of)
    table = {"place": PLACES} | {f"{TITLES[way]}, seed {i}": run for way, one in places.items() for i,
                                 run in enumerate(one.values)}
    return Shown(table, [("L", ("seed 3", f"place {longer.LENGTHS[-1]}"), "output")], {"way": here.way},
                 rf"\text{{{TITLES[here.way]}, places around {here.cursor}: }} {value}")


def asked_as(way: str) -> tuple[str, str]:
    """(checkpoint, scaling) of a row of the table."""
    row = trained.recorded()["rows"][way]
    return row["checkpoint"], row["rope_scaling"]


@st.cache_data(max_entries=16, show_spinner="Reading your text eleven times…")
def surprises(ids: tuple[int, ...]) -> dict[str, Surprise]:
    near = {name: beyond.near(model, ids) for name, model in trained.models().items()}
    found = {}
    for way in TITLES:
        checkpoint, scaling = asked_as(way)
        whole = beyond.whole(trained.models()[checkpoint], ids, scaling)
        parts = beyond.running(whole, WIDTH), beyond.running(whole - near[checkpoint], WIDTH), whole
        found[way] = Surprise(*(part.numpy() for part in parts))
    return found


def show_text(picture: DeltaGenerator) -> Shown:
    found = surprises(ids)
    here = stand()
    shown, epoch = held.to_send("text_curves", here)
    with picture:
        curves.mount(
            key="text_curves", on_stand_change=keep,
            data=charts.text_message(found, pieces, picks=picks(shown.way), trained=longer.LENGTH, width=WIDTH,
                                     cursor=shown.cursor,
                                     epoch=epoch),
        )  # fmt: skip
        if len(ids) <= longer.LENGTH:
            st.info(f"Your text is {len(ids)} tokens long: nothing in it is farther back than these models were "
                    f"trained for. Give them "
                    f"more than {longer.LENGTH}.", icon=":material/info:")  # fmt: skip
        if len(ids) > longer.LENGTH and here.way == "learned":
            st.info(refusal(), icon=":material/info:")
    of, t = found[here.way], here.cursor - 1
    checkpoint, scaling = asked_as(here.way)
    value = r"\text{cannot be asked}" if np.isnan(of.raw[t]) else f"{of.raw[t]:.3f}"
    table = {"token": pieces[1:]} | {f"{TITLES[way]}, {part}": getattr(one, part) for way, one in found.items()
                                     for part in ("raw", "smooth", "change")}  # fmt: skip
    return Shown(table, [("-\\log p", (f"token {len(ids) - 1}",), "output")],
                 {"checkpoint": checkpoint, "scaling": scaling, "most": MOST, "width": WIDTH},
                 rf"\text{{{TITLES[here.way]}, token {here.cursor}: }} -\log p = {value}")  # fmt: skip


def refusal() -> str:
    """What the library says to a learned table that is asked for more than it has."""
    try:
        trained.models()["learned"].run(list(ids))
    except ValueError as problem:
        return f"The learned table, as the library puts it: “{problem}”"
    return ""


@st.cache_data(max_entries=16, show_spinner="Looking at eighty heads…")
def looked(ids: tuple[int, ...]) -> dict[str, beyond.Seen]:
    """Way -> where its heads look, as arrays; a learned table reads the end of the text alone."""
    found = {}
    for way in TITLES:
        checkpoint, scaling = asked_as(way)
        if way == "learned" and len(ids) > longer.LENGTH:
            continue
        of = beyond.seen(trained.models()[checkpoint], list(ids), scaling, LAST)
        found[way] = beyond.Seen(*(part.numpy() for part in of))
    return found


def show_heads(picture: DeltaGenerator) -> Shown:
    found = looked(ids)
    here = stand()
    here = here._replace(way=here.way if here.way in found else SHOWN)
    shown, epoch = held.to_send("heads", here)
    last = len(found[SHOWN].rows[0])
    with picture:
        curves.mount(
            key="heads", on_stand_change=keep,
            data=charts.distance_message(
                {way: of.by_distance for way, of in found.items()},
                picks=Picks("Positions", [TITLES[way] for way in found], TITLES[shown.way], role="ink"),
                heads=Choice("Head", HEAD_NAMES, HEAD_NAMES[shown.head]),
                switch=Switch("All ways at once", shown.every),
                trained=longer.LENGTH, last=last, cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
        of = found[here.way]
        matrices.mount(key="map", data=charts.map_message(
            of.rows[here.head], pieces, head=f"{TITLES[here.way]}, {HEAD_NAMES[here.head]}",
            share=float(of.beyond[here.head]),
            trained=longer.LENGTH, epoch=1,
        ))  # fmt: skip
        if "learned" not in found:
            st.caption("No line for the learned table: it cannot read this text at once.")
    one = found[here.way]
    checkpoint, scaling = asked_as(here.way)
    r = min(here.cursor, len(ids) - 1)
    table = {"distance": np.arange(len(ids))} | {TITLES[name]: of.by_distance[here.head] for name, of in found.items()}
    return Shown(table, [("A", (f"head {len(one.rows)}", f"query {last}", f"key {len(ids)}"), "attention")],
                 {"checkpoint": checkpoint, "scaling": scaling, "most": MOST, "last": LAST, "head": here.head},
                 rf"\text{{{TITLES[here.way]}, {HEAD_NAMES[here.head]}: }} \bar{{\attention{{A}}}}({r}) = "
                 rf"{one.by_distance[here.head, r]:.4f},\quad \text{{beyond {longer.LENGTH - 1}: }} "
                 rf"{one.beyond[here.head]:.3f}")  # fmt: skip


@st.cache_data(show_spinner=False)
def slowed() -> beyond.Slowed:
    """Which pairs break RoPE on the page's own text."""
    return beyond.slowed(trained.models()["rope"], trained.pieces_of(words.STAGE, MOST)[0])


SHOW = {LENGTHS: show_lengths, PLACE: show_place, TEXT: show_text, HEADS: show_heads}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"):
        shown = SHOW[view](st.container(key="gf-picture"))
    lesson.formula(words.FORMULA[view], shapes=shown.shapes, numbers=shown.numbers)
    setting = shown.setting | ({"text": text} if view in (TEXT, HEADS) else {})
    with code_place:
        lesson.code([longer.train, longer.asked, longer.stretched, rope.scaled_frequencies, beyond.read, beyond.seen],
                    words.SNIPPET[view].format_map(setting))  # fmt: skip
    lesson.downloads(table=shown.table, config=setting | {"view": view})


def predict() -> None:
    """Which way of reading RoPE longer costs least? Answered by the recorded runs."""
    _, same, _, _ = recorded()
    options = ["as it was trained", "linear: all angles divided", "NTK-aware: a larger base",
               "YaRN: slow pairs divided"]
    ways = ["rope", "rope_linear", "rope_ntk", "rope_yarn"]
    at = [same[way].mean[-1] for way in ways]
    lesson.predict(
        f"A RoPE decoder that was trained on {longer.LENGTH} tokens reads {longer.LENGTHS[-1]}, without any further "
        f"training. Which way to "
        "turn its queries and keys loses least on the same last tokens?",
        options, options[int(np.argmin(at))],
        f"Mean of three seeds, nats a token; {same['rope'].mean[0]:.2f} at {longer.LENGTH}: " + ", ".join(
            f"{option.split(':')[0]} {value:.2f}" for option, value in zip(options, at, strict=True))
        + ". Squeezing everything blurs which neighbour is which; squeezing nothing meets angles never seen.",
    )  # fmt: skip


lesson = Lesson("C5")
lesson.header(words.LOOK_FOR)
lesson.show_model("Small decoders, trained here", "tiny")
view = lesson.view(VIEWS)
text = words.STAGE
if view in (TEXT, HEADS):
    text = lesson.text(words.STAGE, words.EXAMPLES, key="passage", follows=False)
ids, pieces = trained.pieces_of(text, MOST)
if len(ids) < LEAST:
    st.warning(f"This text is {len(ids)} tokens long; the picture needs {LEAST}. Type a little more.",
               icon=":material/info:")
    text = words.STAGE
    ids, pieces = trained.pieces_of(text, MOST)
if len(ids) == MOST:
    st.caption(f"The models read the first {MOST} tokens of this text.")
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with after:
    _, on_same_words, _, weight_beyond = recorded()
    lesson.prose(**words.prose(on_same_words, weight_beyond, longer.LENGTHS[-1]))
    predict()
with more:
    lesson.interview(words.interview(on_same_words, slowed()))
    lesson.sources(words.SOURCES)
