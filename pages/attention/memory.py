"""Memory across segments: Transformer-XL reads a text piece by piece, and each piece looks back at the last ones."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import memory as charts
from charts.ahead import Box, ahead
from charts.curves import Choice, Switch
from pages.attention import cells
from pages.attention import memory_numbers as numbers
from pages.attention import memory_words as say
from pages.attention.memory_numbers import MEMORIES, MOST
from pages.attention.memory_words import FOREST, MAP, REACH, SAME, TOMORROW, VIEWS, WORTH
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import biases, segments
from transformer.recording import PRONOUN
from transformer.training import segments as training

EXAMPLES = {"Macbeth": TOMORROW, "As you like it": FOREST, "a pronoun": PRONOUN}
LENGTHS, LAYERS = [4, 8, 12, 16, 24], [1, 2, 3, 4, 6, 12]
MEMORY, SEGMENT, DEPTH = "16", training.LENGTH, training.CONFIG.n_layers
TELLING = (0, 0)  # layer and head


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    memory: str = MEMORY
    scores: bool = False
    cursor: int = 0
    cell: cells.Cell | None = None


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    numbers: str | None = None


def stand() -> Stand:
    here = Stand(view)
    if view == WORTH:
        return here._replace(cursor=url.url_state("place", 1, int, range(1, training.LENGTH + 1).__contains__))
    here = here._replace(memory=url.url_state("memory", MEMORY, str, MEMORIES.__contains__))
    if view == MAP:
        here = here._replace(scores=url.url_state("scores", "false", str.lower, ("true",
            "false").__contains__) == "true")
    if view == SAME:
        return here._replace(cursor=url.url_state("at", guessed, int, range(n).__contains__))
    return here._replace(cell=cells.in_link())


def keep() -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(place, "stand")) is None:
        return
    at = said.get("cursor")
    if view == WORTH and isinstance(at, int | float):
        url.set_url_state("place", int(at), 1)
    if view == SAME and isinstance(at, int | float):
        url.set_url_state("at", int(at), guessed)
    if view == MAP:
        url.set_url_state("scores", "true" if said.get("switch") else "false", "false")
    if view != WORTH and said.get("frame") in MEMORIES:
        url.set_url_state("memory", said["frame"], MEMORY)
    if place == "matrices":
        cells.keep(said.get("at"))
    held.reported(place, stand())


def mount(picture: DeltaGenerator, kind: Callable, data: bytes) -> None:
    with picture:
        kind(key=place, on_stand_change=keep, data=data)


def choose_segment(controls: DeltaGenerator) -> int:
    with controls:
        return choose("Tokens in a segment", LENGTHS, SEGMENT, "segment", st.select_slider)


def levels(layers: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of the pictures of the reach."""
    return dict.fromkeys(("alone", "with"), (layers + 1, n))


def show_reach(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    segment = choose_segment(controls)
    with controls:
        layers = choose("Layers", LAYERS, DEPTH, "layers", st.select_slider)
        last = (n // segment * segment or n) - 1  # of the last whole segment
        token = tokens.words.index(choose("Token at the top", tokens.words, tokens.words[last], "token"))
        st.caption("Coloured: a vector that can have a say in the chosen token's last vector, be it through others. "
                   "From the products of the masks; a test changes every token in turn and finds just these outputs "
                   "moved.")  # fmt: skip
    cells.know(levels(layers))
    here = stand()
    held.to_send(place, here)

    def message(segment: int, layers: int, word: str) -> bytes:
        shown, epoch = held.would_send(place, here._replace(cell=cells.would_be_in_link(levels(layers))))
        return charts.reach_message(
            numbers.reach(n, segment, layers)[:, tokens.words.index(word)], tokens.words,
            Choice(charts.MEMORY, MEMORIES, shown.memory), token=f"“{word}”", layers=layers, segment=segment,
            at=shown.cell if cells.there(shown.cell, levels(layers)) else None, epoch=epoch,
        )  # fmt: skip

    mount(picture, matrices.mount, ahead(message, Box("segment", LENGTHS, segment), Box("layers", LAYERS, layers),
                                         Box("token", tokens.words, tokens.words[token])))  # fmt: skip
    needed = numbers.reach(n, segment, layers)[:, token]  # [memory, key]
    frame = MEMORIES.index(here.memory)
    M = numbers.tokens_held(here.memory, n)
    steps = [segments.farthest(token, segment, M, layer) for layer in range(layers + 1)]
    seen, alone = (int((needed[i] >= 0).sum()) for i in (frame, 0))
    return Shown(
        {"token": tokens.words, "layers_without_memory": needed[0], "layers_with_memory": needed[frame]},
        [("h", (f"layer {layers}", f"token {segment}", "d_model"), "residual"), (r"\text{memory}", (f"layer {layers}",
            f"token {M}", "K, V"), "key")],
        r"\text{first token heard of: } " + r" \to ".join(map(str, steps)) + rf"\qquad \text{{heard of }} {token} - "
            rf"{steps[-1]} + 1 = {seen}"
        rf"\text{{; without a memory }} {alone}",
    )  # fmt: skip


def show_map(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    segment = choose_segment(controls)
    with controls:
        left, right = st.columns(2)
        layers, heads = range(config.n_layers), range(config.n_heads)
        with left:
            layer = choose("Layer", layers, TELLING[0], "layer")
        with right:
            head = choose("Head", heads, TELLING[1], "head")
        st.caption(f"Our model, trained with segments and a memory of {training.LENGTH}. Other lengths are read with "
                   f"the same weights: relative "
                   "positions allow it.")  # fmt: skip
    cells.know(dict.fromkeys(("alone", "with", "content", "distance", "S"), (n, n)))
    here = stand()
    shown, epoch = held.to_send(place, here)

    def message(segment: int, layer: int, head: int) -> bytes:
        found = numbers.read(tokens.ids, segment)
        A, scores, distance = (x[:, layer, head] for x in (found.A, found.scores, found.distance))  # [memory, query, key]
        return charts.map_message(
            A, scores, distance, numbers.allowed(n, segment), tokens.words, Choice(charts.MEMORY, MEMORIES, shown.memory),
            Switch("Show the scores: what a key is, and where it is", shown.scores, taller=700),
            head=f"layer {layer}, head {head}", at=shown.cell, epoch=epoch,
        )  # fmt: skip

    mount(picture, matrices.mount, ahead(message, Box("segment", LENGTHS, segment), Box("layer", layers, layer),
                                         Box("head", heads, head)))  # fmt: skip
    A = numbers.read(tokens.ids, segment).A[:, layer, head]  # [memory, query, key]
    frame = MEMORIES.index(here.memory)
    M, row = min(numbers.tokens_held(here.memory, n), n), A[frame, -1]
    outside = row[: (n - 1) // segment * segment].sum()
    return Shown(
        {"query": np.repeat(tokens.words, n), "key": tokens.words * n, "alone": A[0].flatten(),
         "with_memory": A[frame].flatten()},
        [("Q", (f"head {config.n_heads}", f"query {segment}", config.d_head), "query"),
         ("K", (f"head {config.n_heads}", f"memory {M} + {segment}", config.d_head), "key"),
         ("R", (f"distance {2 * (n - 1) + 1}", config.d_model), "residual"), ("u, v", (f"head {config.n_heads}",
             config.d_head), "residual"),
         ("A", (f"head {config.n_heads}", f"query {segment}", f"memory {M} + {segment}"), "attention")],
        rf"\text{{the last token: }} \sum_{{\text{{memory}}}} \attention{{A}} = {outside:.3f} \qquad "
        rf"\sum_{{\text{{own segment}}}} "
        rf"\attention{{A}} = {row.sum() - outside:.3f}",
    )  # fmt: skip


def show_same(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    segment = choose_segment(controls)
    found, may = numbers.read(tokens.ids, segment), numbers.allowed(n, segment)
    here = stand()
    frame = MEMORIES.index(here.memory)
    whole = may[frame].sum(-1) == np.arange(1, n + 1)  # tokens that still see all of their past
    first = int(whole.argmin()) if not whole.all() else None
    with controls:
        st.metric("Mean surprise by segments", f"{np.nanmean(found.surprise[frame]) if n > 1 else 0:.2f} nats",
                  f"{np.nanmean(found.surprise[frame] - found.whole) if n > 1 else 0:+.2f} to all at once",
                  delta_color="inverse")  # fmt: skip
        st.caption("This memory covers the whole past of every token: nothing differs, but for the rounding of "
                   "sums." if first is None
                   else f"The first token whose past no longer fits is number {first}, and there the curve leaves the "
                        f"floor.")  # fmt: skip
        st.caption("All at once the text is read as one segment, farther back than the model was trained on.")
    shown, epoch = held.to_send(place, here)

    def message(segment: int) -> bytes:
        found = numbers.read(tokens.ids, segment)
        return charts.same_message(
            found.apart, found.surprise, found.whole, list(range(0, n, segment)), tokens.words,
            Choice(charts.MEMORY, MEMORIES, shown.memory), cursor=shown.cursor, epoch=epoch,
        )  # fmt: skip

    mount(picture, curves.mount, ahead(message, Box("segment", LENGTHS, segment)))
    covered = found.apart[frame, -1][whole].max()
    others = found.apart[frame, -1][~whole].max(initial=0)
    outside = "" if first is None else rf"\qquad \max_{{\text{{others}}}} \Delta = {others:.3g}"
    return Shown(
        {"token": tokens.words, "difference": found.apart[frame, -1], "surprise_by_segments": found.surprise[frame],
         "surprise_at_once": found.whole},
        [(r"\ell", (f"token {n}", config.vocab_size), "output"), ("h", (f"layer {config.n_layers}", f"token {n}",
            config.d_model), "residual")],
        rf"\max_{{\text{{all past in sight}}}} \Delta = {covered:.7f}" + outside,
    )  # fmt: skip


def show_worth(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    found = numbers.made()
    with controls:
        st.markdown("##### The same weights, read with another memory")
        lines = [f"| {m} | {of.mean():.3f} | {np.ptp(of) / 2:.3f} |" for m, of in zip(found.memories, found.by_memory.T,
            strict=True)]
        st.markdown("\n".join(["| memory | nats | ± seeds |", "|--:|--:|--:|", *lines]))
        st.caption(f"Trained by us with a memory of {found.about['segment']}: {len(found.by_memory)} seeds, "
                   f"{found.about['steps']:,} steps of "
                   f"{found.about['tokens_a_step']:,} tokens of the plays; measured on "
                   f"{' and '.join(found.about['held_out'])}, which they never read. "
                   "Recorded with the checkpoint; your text does not change it.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send(place, here)
    mount(picture, curves.mount, charts.worth_message(found.runs, cursor=shown.cursor, epoch=epoch))
    with_, without = (found.runs[kind][:, here.cursor - 1].mean() for kind in ("with", "without"))
    table = {"place": range(1, training.LENGTH + 1)} | {
        f"{kind}, seed {seed}": row for kind, rows in found.runs.items() for seed, row in enumerate(rows)
    }
    return Shown(
        table, [("X", (f"segment {training.SEGMENTS}", f"token {training.LENGTH}"), "residual"),
                (r"\mathcal{L}", (f"seed {len(found.by_memory)}", f"place {training.LENGTH}"), "output")],
        rf"\text{{place {here.cursor}: }} {without:.3f} - {with_:.3f} = {without - with_:.3f}\text{{ nats saved}}",
    )  # fmt: skip


SHOW = {REACH: show_reach, MAP: show_map, SAME: show_same, WORTH: show_worth}
CODE = {
    REACH: [segments.mask, segments.reach], MAP: [segments.read, biases.XL], SAME: [segments.read,
        segments.differences],
    WORTH: [training.losses, training.by_position],
}  # fmt: skip


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    picture, controls = lesson.stage(0.26)
    shown = SHOW[view](picture, controls)
    if tokens.left_out:
        controls.caption(f"The first {MOST} of {MOST + tokens.left_out} tokens.")
    formula = r"\begin{gathered}" + r"\\[.6em]".join(say.FORMULAS[view]) + r"\end{gathered}"
    lesson.formula(formula, shown.shapes, shown.numbers)
    at = {"text": text, "most": MOST, "segment": st.session_state.get("segment", SEGMENT),
          "layer": st.session_state.get("layer", TELLING[0]), "head": st.session_state.get("head",
              TELLING[1])}  # fmt: skip
    with code_place:
        lesson.code(CODE[view], say.SNIPPET.format_map({name: repr(value) for name, value in at.items()}))
    lesson.downloads(table=shown.table, config=at | {"view": view})


lesson = Lesson("B8")
lesson.header(say.LOOK_FOR)
lesson.show_model("Transformer-XL, trained by us", "tiny")
text = lesson.text(TOMORROW, EXAMPLES)
try:
    tokens = numbers.tokens_of(text)
except ValueError as problem:
    st.warning(str(problem), icon=":material/info:")
    text = st.session_state.get("_memory_text", TOMORROW)  # the last good one
    tokens = numbers.tokens_of(text)
st.session_state["_memory_text"] = text
config, n = numbers.ours()[0].config, len(tokens.ids)
guessed = max(0, n - 2)  # the last token that has a next one to be surprised by
view = lesson.view(VIEWS)
place = "matrices" if view in (REACH, MAP) else "curves"  # what draws it, by its key
cells.belong_to(view, text)
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words:
    found = numbers.made()
    with_, without = (found.runs[kind].mean(1) for kind in ("with", "without"))
    ranges = {f"{kind}_range": f"{of.min():.3f}–{of.max():.3f}" for kind, of in (("with", with_), ("without", without))}
    said = {"with_": with_.mean(), "without": without.mean(), "segment": found.about["segment"], "seeds": len(with_),
            "first": (found.runs["without"] - found.runs["with"])[:, 0].mean()}  # fmt: skip
    lesson.prose(say.PROSE["what"], say.PROSE["why"].format(**said, **ranges), say.PROSE["catch"].replace("{{",
        "{").replace("}}", "}"))
    half = SEGMENT // 2
    heard = int((segments.reach(20 * SEGMENT, SEGMENT, half, DEPTH)[-1] >= 0).sum())
    simple = SEGMENT + DEPTH * half
    fields = {"layers": DEPTH, "segment": SEGMENT, "memory": half, "simple": simple, "found": heard}
    options = [str(SEGMENT + half), str(simple), str(heard), "all there are"]
    lesson.predict(say.PREDICT["question"].format(**fields), options, str(heard),
                   say.PREDICT["reveal"].format(**fields))
with more:
    lesson.interview(say.INTERVIEW)
    lesson.sources(say.SOURCES)
