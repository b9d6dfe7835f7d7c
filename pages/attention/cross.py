"""Cross-attention: what the decoder looks at in the source while it writes, token by token."""

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import alignment as charts
from charts import curves
from charts.ahead import Box, ahead
from pages.attention import cross_uses, cross_words, translators
from pages.attention.cross_arrays import Look, drawn_of, looks, which_head
from pages.attention.cross_words import DEFAULTS, EXAMPLES, WAYS
from pages.shared import held, url
from pages.shared.lesson import Lesson
from transformer import ssru, translation
from transformer.attention import Attention
from transformer.translation import Translation, crossings, links, words

NOTHING = "nothing"


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    subject: tuple
    head: str
    step: int
    cell: tuple[int, int] | None


def chosen() -> str:
    """What is hidden from the decoder, as its control says it."""
    token = st.session_state.get("hide_token", NOTHING)
    return token if token in hideable and translators.loaded(name) is not None else NOTHING


def away(token: str) -> tuple[int, ...]:
    """The source tokens that this hides."""
    return () if token == NOTHING else (hideable.index(token) - 1,)


def written(token: str) -> Translation:
    """What is written with that hidden; the page's own where nothing is."""
    return said if token == NOTHING else translators.say(name, said.text, away(token)).translation


def cell_in(written: str, now: Translation) -> tuple[int, int] | None:
    """ "3,2" as a step and a source token of this text."""
    try:
        row, col = map(int, written.split(","))
    except ValueError:
        return None
    return (row, col) if 0 <= row < len(now.target) and 0 <= col < len(now.source) else None


def stand(now: Translation) -> Stand:
    last, texts = len(now.target) - 1, list(map(str, looks(said)))
    head = url.url_state("head", telling, str, texts.__contains__)
    step = url.url_state("step", last, int, lambda step: 0 <= step <= last)
    cell = url.url_state("cell", "", str, lambda cell: not cell or cell_in(cell, now) is not None, shown="no cell")
    return Stand((name, said.text, now.hidden), head, step, cell_in(cell, now))


def keep() -> None:
    if (report := held.said("alignment", "stand")) is None:
        return
    now = written(chosen())
    last, cell = len(now.target) - 1, report.get("at")
    if report.get("head") in map(str, looks(said)):
        url.set_url_state("head", report["head"], telling)
    if isinstance(step := report.get("step"), int) and 0 <= step <= last:
        url.set_url_state("step", step, last)
    url.set_url_state("cell", ",".join(map(str, cell)) if isinstance(cell, list) else "", "")
    held.reported("alignment", stand(now))


def forget(*parameters: str) -> None:
    """Places in a text belong to that text: with another, the picture shows all of it."""
    for parameter in parameters:
        st.query_params.pop(parameter, None)


def choose_hidden() -> None:
    if translators.loaded(name) is None:
        url.url_state("hide_token", NOTHING, str)  # a link may say it: once Marian is here, the control takes it up
        st.caption("A recording cannot be written anew. With Marian here, or with dates, you can hide a token from the decoder "
                   "and see what it writes without it.")  # fmt: skip
        return
    st.selectbox("Hide from the decoder", hideable, key="hide_token", bind="query-params", on_change=forget,
                 args=("step", "cell"),
                 help="The encoder still reads it; no query of cross-attention may see its key: its score becomes −∞.")  # fmt: skip


@st.fragment
def draw(uses_place: DeltaGenerator, code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    picture, controls = lesson.stage(0.26)
    with controls:
        choose_hidden()
        if name != translators.DATES:
            busy = translators.shelf().status(name).busy
            st.fragment(translators.state, run_every=0.5 if busy else None)(name, busy)
        st.caption(cross_words.CREDIT if name != translators.DATES else cross_words.trained(translators.made()))
    token, every = chosen(), looks(said)
    now, texts = written(token), list(map(str, every))
    here = stand(now)
    held.to_send("alignment", here)

    def message(one: str) -> bytes:
        now, stands = written(one), here
        if one != token:  # what is hidden anew leaves no step and no cell in the link
            stands = Stand((name, said.text, now.hidden), here.head, len(now.target) - 1, None)
        drawn, (shown, epoch) = drawn_of(stands.subject + (label,), now), held.would_send("alignment", stands)
        return charts.message(
            "cross-attention",
            f"What the decoder reads while it writes: {now.text} becomes {now.written}. Arrow keys choose a cell of the "
            "map, space plays, page up and page down step.",
            now.written, now.source, now.target, now.before, now.probabilities,
            heads=curves.Choice("Cross-attention of", texts, shown.head), layers=[look.layer for look in every],
            of=[which_head(look, now) for look in every],
            weights=drawn.weights, scores=drawn.scores, Q=drawn.Q, K=drawn.K, words=drawn.words, links=drawn.links,
            source_words=words(now.source), target_words=words(now.target), hidden=now.hidden,
            step=shown.step, at=shown.cell, epoch=epoch,
        )  # fmt: skip

    offered = hideable if translators.loaded(name) is not None else [NOTHING]
    with picture:
        charts.mount(key="alignment", on_stand_change=keep, data=ahead(message, Box("hide_token", offered, token)))
    drawn = drawn_of(here.subject + (label,), now)
    look, A = every[texts.index(here.head)], drawn.weights[texts.index(here.head)]
    source, target, d = len(now.source), len(now.target), now.config.d_head
    heads = f"head {now.config.n_heads}"
    lesson.formula(
        cross_words.FORMULA,
        [("Q", (heads, f"step {target}", d), "query"), ("K", (heads, f"source {source}", d), "key"),
         ("V", (heads, f"source {source}", d), "value"), ("A", (heads, f"step {target}", f"source {source}"), "attention")],
        lambda: cross_words.numbers(now, look, drawn, here.cell, A),
    )  # fmt: skip
    with uses_place:
        cross_uses.draw(lesson, now, (*here.subject, label))
    setting = {"model": name, "text": now.text, "hidden": list(now.hidden), "most": translators.MOST_WRITTEN.get(name, 80),
               "layer": look.layer, "head": look.head}  # fmt: skip
    with code_place:
        lesson.code(
            [Attention.project, translation.alignment, translation.links, translation.crossings, ssru.SSRU.forward],
            cross_words.SNIPPET.format_map({key: repr(value) for key, value in setting.items()}),
        )
    lesson.downloads(
        lambda: charts.figure(A, now.source, now.target, f"Cross-attention, {look}", lesson.palette),
        lambda: charts.table(A, now.source, now.target),
        setting | {"written": now.written},
    )


lesson = Lesson("B10")
lesson.header()
way = st.segmented_control("What is turned into what", list(WAYS), default=next(iter(WAYS)), required=True, key="way",
                           bind="query-params", label_visibility="collapsed", on_change=forget,
                           args=("step", "cell", "head", "hide_token"))  # fmt: skip
name = WAYS[way]
default, key = DEFAULTS[name]
typed = lesson.text(default, EXAMPLES[name], key=key, follows=translators.loaded(name) is not None and key == "text")
last = f"_cross_{name}"
try:
    with st.spinner("Writing…", show_time=True):
        found = translators.say(name, typed)
except ValueError as problem:
    st.warning(str(problem), icon=":material/info:")
    found = st.session_state.get(last) or translators.say(name, default)
else:
    st.session_state[last] = found
said, label = found
if st.session_state.setdefault("_cross_text", said.text) != said.text:
    st.session_state["_cross_text"] = said.text
    forget("step", "cell")
hideable = [NOTHING, *(f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(said.source))]
if len(said.source) == 1:
    del hideable[1:]  # the decoder needs one token to look at
if st.session_state.get("hide_token") not in (None, *hideable):
    del st.session_state["hide_token"]
telling = str(Look(said.config.n_layers - 1, 0))  # the head that was trained to align
lesson.show_model("Date model, trained by us" if name == translators.DATES else "Marian tiny", label)
telling_links = links(said.A(said.config.n_layers - 1, 0), said.source, said.target)
lesson.look(cross_words.look(said, crossings(telling_links)))

stage, uses_place, words_place, code_place, more = (st.container() for _ in range(5))
with stage:
    draw(uses_place, code_place)
with words_place:
    lesson.prose(**cross_words.prose(name, said, translators.made()))
    lesson.predict(**cross_words.predict(said))
with more:
    lesson.interview(cross_words.INTERVIEW)
    lesson.sources(cross_words.SOURCES)
