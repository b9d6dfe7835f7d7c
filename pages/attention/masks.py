"""Masks: which keys a query may read, −∞ before the softmax, and what a model learns when the mask is broken."""

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import masks as charts
from charts import curves, matrices
from charts.ahead import Box, ahead
from pages.attention import cells, cheating, masks_words
from pages.attention.masks_words import CHANGE, LOSS, MAPS, MASKS, VIEWS
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer.experiments import leaks, mask_examples
from transformer import masks as library
from transformer.attention import masked_softmax
from transformer.experiments.mask_examples import KINDS
from transformer.recording import CAPITAL, DEFAULTS, PRONOUN, REPEAT
from transformer.training import cheat

EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "a fact": CAPITAL}
TELLING = {(d.model, d.text): (d.layer, d.head) for d in DEFAULTS.values()} | {("tiny", PRONOUN): (2, 3)}
MOST = 16  # tokens whose pairs are shown, so that the numbers can be read
SIZES, SIZE = list(range(1, 7)), 3
WORD = "I"  # what stands in the place of a changed token
STEPS = ("score", "mask", "softmax")


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    kind: str | None = None
    m: int | None = None
    late: bool = False
    step: int = 0
    cursor: float = 0.0
    frame: str | None = None
    cell: tuple[str, int, int] | None = None


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    values: dict  # for the snippet
    numbers: str | None = None


def heads() -> list[str]:
    return [f"layer {i}, head {j}" for i in range(cheat.CAUSAL.n_layers) for j in range(cheat.CAUSAL.n_heads)]


def stand() -> Stand:
    if view == MASKS:
        return Stand(
            view, url.url_state("mask", "causal", str, KINDS.__contains__),
            url.url_state("m", SIZE, int, SIZES.__contains__),
            url.url_state("late", "false", str.lower, ("true", "false").__contains__) == "true",
            STEPS.index(url.url_state("step", STEPS[-1], str, STEPS.__contains__)), cell=cells.in_link(),
        )  # fmt: skip
    if view == LOSS:
        steps = cheating.recorded().steps
        return Stand(view, cursor=url.url_state("at", steps[-1], float, lambda at: steps[0] <= at <= steps[-1]))
    if view == MAPS:
        ours = url.url_state("head_of_ours", brightest(), str, heads().__contains__)
        return Stand(view, frame=ours, cell=cells.in_link())
    return Stand(view, cell=cells.in_link())


def brightest() -> str:
    """The broken model's head that looks ahead most, on this text."""
    return heads()[int(cheating.maps_of(text)[1]["broken"].argmax())]


def component() -> str:
    """The key of what draws this view."""
    return "curves" if view == LOSS else "matrices"


def keep() -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(component(), "stand")) is None:
        return
    if view == MASKS:
        if said.get("pick") in KINDS:
            url.set_url_state("mask", said["pick"], "causal")
        if said.get("frame") in SIZES:
            url.set_url_state("m", said["frame"], SIZE)
        if isinstance(step := said.get("step"), int) and 0 <= step < len(STEPS):
            url.set_url_state("step", STEPS[step], STEPS[-1])
        url.set_url_state("late", "true" if said.get("switch") else "false", "false")
    if view == LOSS and isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("at", float(at), cheating.recorded().steps[-1])
    if view == MAPS and said.get("frame") in heads():
        url.set_url_state("head_of_ours", said["frame"], brightest())
    if view != LOSS:
        cells.keep(said.get("at"))
    held.reported(component(), stand())


def scores_of(layer: int, head: int) -> torch.Tensor:
    """All pairs of the first tokens, the future's too: [token, token]."""
    return torch.tensor(reading[f"layers.{layer}.attention.scores"][0, head, :MOST, :MOST])


@st.cache_data(max_entries=64, show_spinner=False)
def kinds_of(subject: tuple, layer: int, head: int) -> dict[str, charts.Kind]:
    S, found = scores_of(layer, head), {}
    for kind in KINDS:
        queries, keys = mask_examples.parts(kind, len(S))
        each = [mask_examples.masked(S, kind, m) for m in SIZES]
        mask, A, late, again = (torch.stack(parts).numpy() for parts in zip(*each, strict=True))
        found[kind] = charts.Kind(
            mask, S[queries.start :, : keys.stop].numpy(), A, late, again,
            [words[i] for i in queries], [words[i] for i in keys],
        )  # fmt: skip
    return found


def show_masks(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    layers = [i for i in range(reading.config.n_layers) if f"layers.{i}.attention.scores" in reading.arrays]
    heads_there = list(range(reading.config.n_heads))
    with controls:
        layer, head = TELLING.get((reading.model, reading.text), (layers[len(layers) // 2], 0))
        layer = choose("Layer", layers, layer, "layer")
        head = choose("Head whose scores are masked", heads_there, head, "head")
        st.caption("The scores are this head's own, before any mask. "
                   f"{reading.title} was trained "
                   f"{'with the causal mask' if reading.config.kind == 'decoder' else 'with none but padding'}; "
                   "the other masks show what they would leave of it. “cross” lets the second half of the text ask the "
                   "first, in the shape of a translation; a model that does it has a lesson of its own.")  # fmt: skip
        if len(reading.ids) > MOST:
            st.caption(f"The first {MOST} of {len(reading.ids)} tokens.")
    kinds = kinds_of(subject, layer, head)
    sizes = {f"{name} {part}": (len(kind.rows), 1 if "Σ" in part else len(kind.cols))
             for name, kind in kinds.items() for part in charts.PARTS}  # fmt: skip
    cells.know(sizes)
    here = stand()
    shown, epoch = held.to_send(component(), here)

    def message(layer: int, head: int) -> bytes:
        return charts.kinds_message(
            kinds_of(subject, layer, head), curves.Picks("Mask", list(KINDS), shown.kind, role="attention"),
            curves.Choice(charts.SIZE, SIZES, shown.m), curves.Switch(charts.LATE, shown.late),
            head=f"layer {layer}, head {head}", step=shown.step, at=cells.if_there(shown.cell, sizes), epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key=component(), on_stand_change=keep,
                       data=ahead(message, Box("layer", layers, layer), Box("head", heads_there, head)))
    kind, frame = kinds[here.kind], SIZES.index(here.m)
    A, late = kind.A[frame], kind.late[frame]
    sums = late.sum(-1)
    row = int(np.abs(A.sum(-1) - sums).argmax())
    numbers = (
        rf"\begin{{gathered}}\text{{row “{kind.rows[row].replace('%', '')}”: }} "
        rf"\sum_k \attention{{A}} = {A[row].sum():.3f}"
        rf"\\ \sum_k \attention{{A}}_{{\text{{zeros after}}}} = {sums[row]:.3f}"
        rf"\\ \text{{lost to hidden keys: }} {1 - sums[row]:.1%}\end{{gathered}}".replace("%", r"\%")
    )
    q, k = f"query {len(kind.rows)}", f"key {len(kind.cols)}"
    table = {"query": [w for w in kind.rows for _ in kind.cols], "key": list(kind.cols) * len(kind.rows),
             "allowed": kind.mask[frame].flatten(), "score": kind.scores.flatten(), "weight": A.flatten(),
             "zeroed_after": late.flatten()}  # fmt: skip
    return Shown(table, [("M", (q, k), "residual"), ("S", (q, k), "scores"), ("A", (q, k), "attention")],
                 {"model": reading.model, "text": reading.text, "most": MOST, "layer": layer, "head": head,
                  "kind": here.kind, "m": here.m}, numbers)  # fmt: skip


def show_loss(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    found, here = cheating.recorded(), stand()
    said = cheating.written(text)
    with controls:
        st.markdown("##### What each writes after your text")
        for mask, words in said.items():
            st.caption(f"{mask}: always the likeliest token")
            st.code(words.replace("\n", "⏎"), language=None, wrap_lines=True)
        made = found.made
        st.caption(f"Trained by us: {len(found.runs['causal'].whole)} seeds each, {made['steps']} steps of "
                   f"{made['tokens_a_step']:,} tokens of the plays; measured on {' and '.join(made['held_out'])}, "
                   "which none of them read.")  # fmt: skip
    shown, epoch = held.to_send(component(), here)
    with picture:
        curves.mount(
            key=component(), on_stand_change=keep,
            data=charts.losses_message(found.steps, found.runs, cheating.likelihoods(found.runs), blind=cheat.BLIND,
                                       cursor=shown.cursor, epoch=epoch),
        )  # fmt: skip
    at = int(np.abs(found.steps - here.cursor).argmin())
    parts = ("whole", "cut")
    L = {(mask, which): getattr(run, which)[:, at].mean() for mask, run in found.runs.items() for which in parts}
    looking, writing, honest = (L[key] for key in (("broken", "whole"), ("broken", "cut"), ("causal", "whole")))
    numbers = (
        rf"\begin{{gathered}}\text{{step }}{found.steps[at]:.0f}: e^{{-{looking:.3f}}} = "
        rf"{cheat.likelihood(looking):.3f}"
        r"\text{ looking ahead}\\[.4em] "
        rf"e^{{-{writing:.3f}}} = {cheat.likelihood(writing):.4f} \text{{ when it cannot}}\\[.4em]"
        rf"\text{{causal: }} e^{{-{honest:.3f}}} = {cheat.likelihood(honest):.3f}\end{{gathered}}"
    )
    table = {"step": found.steps} | {
        f"{mask} {which}, seed {seed}": row
        for mask, run in found.runs.items() for which in parts for seed, row in enumerate(getattr(run, which))
    }  # fmt: skip
    config = cheat.CAUSAL
    shapes = [("x", ("batch 12", f"token {cheat.LENGTH}"), "residual"),
              ("p", ("batch 12", f"token {cheat.LENGTH}", f"vocab {config.vocab_size}"), "output")]  # fmt: skip
    return Shown(table, shapes, {"text": text}, numbers)


def show_maps(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    maps, ahead = cheating.maps_of(text)
    with controls:
        best, honest = ahead["broken"].max(), ahead["causal"].max()
        st.metric("Broken, brightest head", f"{best:.0%}")
        st.metric("Causal, brightest head", f"{honest:.0%}")
        st.caption("The mean weight on key = query + 1. "
                   f"Your text as these two read it, the first {cheating.MOST} tokens; the same byte-level BPE of "
                   f"{cheat.CAUSAL.vocab_size} entries for both. The broken model's last token has nothing to its "
                   f"right.")  # fmt: skip
    n, layers, per = len(tokens), cheat.CAUSAL.n_layers, cheat.CAUSAL.n_heads
    sizes = {"causal": (n, n), "broken": (n, n), "causal ahead": (layers, per), "broken ahead": (layers, per)}
    cells.know(sizes)
    here = stand()
    shown, epoch = held.to_send(component(), here)
    with picture:
        matrices.mount(
            key=component(), on_stand_change=keep,
            data=charts.maps_message(maps, ahead, tokens, curves.Choice("Head of both models", heads(), shown.frame),
                                     at=cells.if_there(shown.cell, sizes), epoch=epoch),
        )  # fmt: skip
    i = heads().index(here.frame)
    table = {"query": [w for w in tokens for _ in tokens], "key": tokens * n} | {
        mask: A[i].flatten() for mask, A in maps.items()
    }
    of = ahead["broken"].flatten()[i], ahead["causal"].flatten()[i]
    return Shown(table, [("A", (f"head {per}", f"query {n}", f"key {n}"), "attention")],
                 {"text": text, "most": cheating.MOST},
                 rf"\text{{{here.frame}:}}\ \text{{broken }} {of[0]:.3f},\ \text{{causal }} {of[1]:.3f}")  # fmt: skip


def show_change(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    tokenizer = cheating.pair()["causal"][1]
    with controls:
        word = st.text_input("The token that takes the changed one's place", WORD, key="word", bind="query-params",
                             max_chars=40)
        ids = tokenizer.encode(word)
        if not ids:
            st.warning(f"There is nothing to put in its place; “{WORD}” stands in.", icon=":material/info:")
            word, ids = WORD, tokenizer.encode(WORD)
        token, piece = ids[-1], tokenizer.pieces(ids)[-1].strip() or "␣"
        if len(ids) > 1:
            st.caption(f"“{piece}”, the last of the {len(ids)} tokens that these models make of it.")
        felt = cheating.changes_of(text, token)
        st.metric("Causal: earlier outputs", f"{np.tril(felt['causal'], -1).max():g}")
        st.metric("Broken: earlier outputs", f"{np.tril(felt['broken'], -1).max():.3g}")
        st.caption("The most that a logit before the changed token moved, whichever token it was. Logits of our two "
                   "small models, on your text. SmolLM2 and all other decoders of the library keep the "
                   "same law; a test holds them to it.")  # fmt: skip
    n = len(tokens)
    sizes = dict.fromkeys(felt, (n, n))
    cells.know(sizes)
    here = stand()
    shown, epoch = held.to_send(component(), here._replace(cell=here.cell or ("broken", n - 1, max(0, n - 2))))
    with picture:
        at = cells.if_there(shown.cell, sizes)
        matrices.mount(key=component(), on_stand_change=keep,
                       data=charts.changes_message(felt, tokens, piece, at=at, epoch=epoch))  # fmt: skip
    table = {"changed": [w for w in tokens for _ in tokens], "output_at": tokens * n} | {
        mask: of.flatten() for mask, of in felt.items()
    }
    return Shown(
        table, [(r"\Delta", (f"changed {n}", f"output at {n}"), "output")],
        {"text": text, "most": cheating.MOST, "token": token},
        rf"\text{{the last token becomes “{piece}”: }}\max_{{i < {n - 1}}} \Delta_i = "
        rf"{felt['causal'][-1, :-1].max(initial=0):g} \text{{ (causal)}},\quad "
        rf"{felt['broken'][-1, :-1].max(initial=0):.3g} \text{{ (broken)}}",
    )  # fmt: skip


SHOW = {MASKS: show_masks, LOSS: show_loss, MAPS: show_maps, CHANGE: show_change}
CODE = {
    MASKS: [masked_softmax, library.causal, library.window, library.prefix, library.mask, leaks.zeroed_after],
    LOSS: [cheat.losses, cheat.continued],
    MAPS: [masked_softmax, library.causal],
    CHANGE: [leaks.changes, leaks.influence],
}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view](*lesson.stage(0.2))
    formula = r"\begin{gathered}" + r"\\[.6em]".join(masks_words.FORMULAS[view]) + r"\end{gathered}"
    lesson.formula(formula, shown.shapes, shown.numbers)
    snippet = masks_words.SNIPPETS[view].format_map({name: repr(value) for name, value in shown.values.items()})
    with code_place:
        lesson.code(CODE[view], snippet)
    lesson.downloads(table=shown.table, config=shown.values | {"view": view})


lesson = Lesson("B5")
lesson.header(masks_words.LOOK_FOR)
text = lesson.text(PRONOUN, EXAMPLES)
reading = lesson.read(text, record=("layers.*.attention.scores",))
text = reading.text  # the last good one
view = lesson.view(VIEWS)
if view != MASKS:
    lesson.show_model("Two small decoders · trained by us", "tiny")
words = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(reading.pieces[:MOST])]
_, tokens = cheating.tokens_of(text)
subject = (reading.model, reading.label, reading.text)  # what is cached belongs to it
cells.belong_to(view, reading.model, reading.text)
stage, words_place, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words_place:
    found = cheating.recorded()
    whole = found.last("broken", "whole")
    lesson.prose(
        masks_words.WHAT,
        masks_words.WHY.format(
            whole=f"{whole.mean():.3f}", spread=f"{len(whole)} seeds: {whole.min():.3f} to {whole.max():.3f}",
            honest=f"{found.last('causal', 'whole').mean():.2f}", cut=f"{found.last('broken', 'cut').mean():.1f}",
            vocab=cheat.CAUSAL.vocab_size, blind=f"{cheat.BLIND:.2f}",
        ),
        masks_words.CATCH,
    )  # fmt: skip
    at = TELLING.get((reading.model, reading.text), (0, 0))
    if f"layers.{at[0]}.attention.scores" not in reading.arrays:
        at = (int(next(iter(reading.arrays)).split(".")[1]), 0)
    lost = 1 - leaks.zeroed_after(S := scores_of(*at), mask_examples.example("causal", len(S), 1)).sum(-1).mean().item()
    OPTIONS = ("nothing", "under a quarter of it", "a quarter to a half", "more than a half")
    right = OPTIONS[0 if lost == 0 else 1 if lost < 0.25 else 2 if lost <= 0.5 else 3]
    lesson.predict(
        f"{masks_words.QUESTION} (Layer {at[0]}, head {at[1]}.)", OPTIONS, right,
        f"On average {lost:.1%} of a row's weight: the model never learned to score the future low, since nothing ever "
        "punished it there. What an untrained score takes is anyone's guess, and it changes with the future's words. "
        "Turn the switch on above and read the column of sums.",
    )  # fmt: skip
with more:
    lesson.interview(masks_words.INTERVIEW)
    lesson.sources(masks_words.SOURCES)
