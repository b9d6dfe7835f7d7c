"""Hierarchical attention: words make sentences, sentences make a document, with both levels' weights on the text."""

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import documents as charts
from charts.ahead import Box, ahead
from charts.curves import Choice, Picks
from charts.documents import IN_SENTENCE, TINTS, Shown
from pages.attention import hierarchy_words
from pages.attention.hierarchy_words import COST, DOCUMENT, VIEWS
from pages.shared import held, url
from pages.shared.lesson import Lesson
from transformer import documents
from transformer.experiments import removal
from transformer.hierarchy import Hierarchical, Pool, best_segment, scored_pairs

MOST_WORDS, MOST_SENTENCES = 240, 30  # what can be read on a page, and taken out one by one in a moment
LENGTHS, LENGTH = [64, 256, 1024, 4096, 16384], 4096
MOST_S, S = 128, 64
WEIGHTS = {
    "as learnt": (), "words of a sentence share evenly": ("words",), "sentences share evenly": ("sentences",),
    "both share evenly": ("words", "sentences"),
}  # fmt: skip


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    part: int  # the variant: 0 is the whole document
    tint: str
    s: int
    n: int


class Taken(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    values: dict  # for the snippet
    numbers: str


@st.cache_resource(show_spinner=False)
def opened() -> documents.Classifier:
    return documents.load()


@st.cache_data(show_spinner=False)
def held_out() -> dict[str, tuple[str, str]]:
    """Name of the chip -> (text, class)."""
    found: dict[str, tuple[str, str]] = {}
    for passage in documents.passages():
        same = sum(name.split(" · ")[0] == passage["play"] for name in found)
        found[passage["play"] + (f" · {same + 1}" if same else "")] = passage["text"], passage["label"]
    return found


def checked(text: str) -> str:
    """The text, or with one sentence of warning the last one that could be read."""
    problem = None
    sentences = documents.split(text[: 40 * MOST_WORDS])
    words = sum(map(len, sentences))
    if not words:
        problem = "There is no word in this text: type a sentence or two."
    elif words > MOST_WORDS or len(sentences) > MOST_SENTENCES or len(text) > 40 * MOST_WORDS:
        problem = (f"This text is too long: the page takes {MOST_WORDS} words in {MOST_SENTENCES} sentences. Shorten it.")
    if problem is None:
        st.session_state["_document_last"] = text
        return text
    st.warning(problem, icon=":material/info:")
    return st.session_state.get("_document_last", default)


@st.cache_data(max_entries=32, show_spinner=False)
def read(text: str, levels: tuple[str, ...]) -> tuple[charts.Removals, tuple[float, float], int]:
    """The document whole and without each part, as the chart takes it; rank correlations; the class that it says."""
    classifier = opened()
    ids = classifier.read(text)
    found = removal.removals(classifier.model, ids, levels)
    real = torch.cat([torch.arange(found.words.shape[-1]) < len(sentence) for sentence in ids])  # [sentence · word]
    flat = lambda of: of.flatten(1)[:, real].numpy()  # noqa: E731
    parts = np.array([(at.sentence, -1 if at.word is None else at.word) for at in found.parts], dtype=int).reshape(-1, 2)
    label = int(found.p[0].argmax())
    change, weight, whole = found.effect(label).abs(), found.share(), torch.tensor(parts[:, 1] < 0)
    rho = tuple(removal.rank_correlation(weight[of], change[of]) for of in (whole, ~whole))
    return charts.Removals(
        parts, found.p.numpy(), flat(found.words), flat(found.word_scores), found.sentences.numpy(),
        found.sentence_scores.numpy(),
    ), rho, label  # fmt: skip


def on_the_page(text: str, ids: list[list[int]]) -> list[list[Shown]]:
    """Every word with what stands behind it, up to the next one."""
    words = [word for sentence in documents.split(text) for word in sentence]
    ends = [word.begin for word in words[1:]] + [len(text)]
    shown = iter([
        Shown(word.text, text[word.end : end].rstrip() + (" " if i + 1 < len(words) else ""), known != 0)
        for i, (word, end, known) in enumerate(zip(words, ends, (i for sentence in ids for i in sentence), strict=True))
    ])  # fmt: skip
    return [[next(shown) for _ in sentence] for sentence in ids]


def written(part: int) -> str:
    """As a link has it: 3 is the third sentence, 3.5 its fifth word."""
    if part == 0:
        return ""
    sentence, word = found.parts[part - 1].tolist()
    return f"{sentence + 1}" if word < 0 else f"{sentence + 1}.{word + 1}"


def part_of(link: str) -> int:
    sentence, _, word = link.partition(".")
    at = [int(sentence) - 1, int(word) - 1 if word else -1]
    return found.parts.tolist().index(at) + 1  # ValueError where there is no such part


def stand() -> Stand:
    part, tint, s, n = 0, IN_SENTENCE, S, LENGTH
    if view == DOCUMENT:
        part = url.url_state("without", 0, part_of, shown="the whole document")
        tint = url.url_state("tint", tint, str, TINTS.__contains__)
    else:
        s = url.url_state("s", s, int, range(2, MOST_S + 1).__contains__)
        n = url.url_state("n", n, int, LENGTHS.__contains__)
    return Stand(view, part, tint, s, n)


def keep() -> None:
    """What the document reports goes into the link."""
    if (said := held.said("document", "stand")) is None:
        return
    part = said.get("without")
    if isinstance(part, int) and 0 <= part <= len(found.parts):
        url.set_url_state("without", written(part), "")
    if said.get("tint") in TINTS:
        url.set_url_state("tint", said["tint"], IN_SENTENCE)
    held.reported("document", stand())


def keep_cost() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    if isinstance(s := said.get("cursor"), int | float):
        url.set_url_state("s", int(s), S)
    if said.get("frame") in LENGTHS:
        url.set_url_state("n", said["frame"], LENGTH)
    held.reported("curves", stand())


def show_document() -> Taken:
    here = stand()
    shown, epoch = held.to_send("document", here)
    sentences = on_the_page(text, ids)

    def message(weights: str) -> bytes:
        found, rho, _ = read(text, WEIGHTS[weights])
        return charts.message(
            sentences, classifier.classes, found, tint=Picks("Words are tinted by", list(TINTS), shown.tint),
            without=shown.part, truth=truth, rho=rho, epoch=epoch,
        )  # fmt: skip

    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        charts.mount(key="document", on_stand_change=keep, data=ahead(message, Box("weights", list(WEIGHTS), weights)))
    words = [word for sentence in sentences for word in sentence]
    of = [i for i, sentence in enumerate(ids) for _ in sentence]
    effect = found.p[0, label] - found.p[1:, label]
    by_word = dict(zip(map(tuple, found.parts.tolist()), effect.tolist(), strict=True))
    place = [(i, j) for i, sentence in enumerate(ids) for j in range(len(sentence))]
    table = {"sentence": [i + 1 for i in of], "word": [word.text for word in words], "alpha": found.alpha[0],
             "beta": found.beta[0, of], "effect of removal": [by_word.get(at, 0.0) for at in place]}  # fmt: skip
    top = int(found.beta[0].argmax())
    best = max((w for w, i in enumerate(of) if i == top), key=lambda w: found.alpha[0, w])
    lines = (
        rf"\attention{{\beta_{{{top + 1}}}}} = {found.beta[0, top]:.3f},\quad "
        rf"\attention{{\alpha\beta}} = {found.alpha[0, best] * found.beta[0, top]:.4f}",
        rf"\attention{{\alpha}}_{{\text{{heaviest word there}}}} = {found.alpha[0, best]:.3f}",
        *(rf"\output{{p}}_{{\text{{{name}}}}} = {p:.3f}" for name, p in zip(classifier.classes, found.p[0])),
    )
    numbers = r"\begin{gathered}" + r"\\[.3em]".join(lines) + r"\end{gathered}"
    return Taken(table, {"text": text, "levels": levels}, numbers)


def show_cost(picture: DeltaGenerator, controls: DeltaGenerator) -> Taken:
    with controls:
        st.caption("Both levels counted for one head, in pairs of query and key; the last segment is padded to full length. "
                   "Drag s in the curves or use the arrow keys; the dot is the lowest point.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    s = np.arange(2, MOST_S + 1)
    pairs = np.array([[scored_pairs(n, int(one)) if one <= n else (np.nan, np.nan) for one in s] for n in LENGTHS])
    with picture:
        charts.curves.mount(
            key="curves", on_stand_change=keep_cost,
            data=charts.cost_message(
                s, Choice("n, words in the text", LENGTHS, shown.n), pairs[..., 0], pairs[..., 1],
                np.array([best_segment(n) for n in LENGTHS]), cursor=shown.s, epoch=epoch,
            ),
        )  # fmt: skip
    words, sentences = scored_pairs(here.n, here.s)
    numbers = (
        rf"\begin{{gathered}}n = {here.n},\ s = {here.s}\\[.3em]{words} + {sentences} = {words + sentences}\\[.3em]"
        rf"= {100 * (words + sentences) / here.n**2:.2f}\,\%\text{{ of }}n^2,\quad \sqrt[3]{{2n}} = "
        rf"{best_segment(here.n):.1f}\end{{gathered}}"
    )
    at = LENGTHS.index(here.n)
    return Taken({"s": s, "words": pairs[at, :, 0], "sentences": pairs[at, :, 1]}, {"n": here.n}, numbers)


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    taken = show_document() if view == DOCUMENT else show_cost(*lesson.stage(0.22))
    d = classifier.model.config.d_model
    sentences, words = len(ids), max(map(len, ids))
    lesson.formula(
        hierarchy_words.FORMULAS[view],
        shapes=[] if view == COST else [
                ("h", (f"sentence {sentences}", f"word {words}", d), "value"), ("u", (d,), "query"),
                (r"\alpha", (f"sentence {sentences}", f"word {words}"), "attention"), (r"\beta", (f"sentence {sentences}",), "attention"),
                ("d", (d,), "residual"), ("p", (f"class {len(classifier.classes)}",), "output")],
        numbers=taken.numbers,
    )  # fmt: skip
    with code_place:
        lesson.code(
            [Hierarchical.forward, Pool, removal.removals, scored_pairs, best_segment],
            hierarchy_words.SNIPPET[view].format_map({name: repr(value) for name, value in taken.values.items()}),
        )  # fmt: skip
    lesson.downloads(table=taken.table, config={"view": view, "weights": weights} | taken.values)


classifier = opened()
made = classifier.made
passages = held_out()
first = hierarchy_words.OPENS if hierarchy_words.OPENS in passages else next(iter(passages))
default = passages[first][0]
lesson = Lesson("B9")
lesson.header(hierarchy_words.LOOK_FOR)
lesson.show_model("Classifier of plays · trained by us", "tiny")
text = lesson.text(default, {name: of[0] for name, of in passages.items()}, follows=False)
text = checked(text)
with st.container(horizontal=True, vertical_alignment="bottom"):
    view = lesson.view(VIEWS)
    weights = "as learnt"
    if view == DOCUMENT:
        weights = st.selectbox("Weights that pool the vectors", list(WEIGHTS), key="weights", bind="query-params", width=300)
levels = WEIGHTS[weights]
ids = classifier.read(text)
truth = next((label for of, label in passages.values() if of == text), None)
if st.session_state.setdefault("_document_text", text) != text:  # a part belongs to its text
    st.session_state["_document_text"] = text
    st.query_params.pop("without", None)
found, _, label = read(text, levels)
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
    st.caption(
        f"Trained by us on Shakespeare’s plays; held-out accuracy {hierarchy_words.accuracy(made)}, bag of words "
        f"{hierarchy_words.share(made['bag_of_words_accuracy'])}, commonest class "
        f"{hierarchy_words.share(made['commonest_class_accuracy'])}. The chips are passages of plays that it never read, drawn by "
        "dice, wrong ones included."
    )
with words:
    lesson.prose(**hierarchy_words.prose(made))
    lesson.predict(**hierarchy_words.predict(made))
with more:
    lesson.interview(hierarchy_words.INTERVIEW)
    lesson.sources(hierarchy_words.SOURCES)
