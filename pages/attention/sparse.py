"""Sparse patterns: who may meet whom, how far it reaches, what it leaves of a real head, what it costs and learns."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import sparse as charts
from charts.ahead import Box, ahead
from pages.attention import cells, patterns, sparse_words
from pages.attention.patterns import DEPTHS, FIXED, LSH, NAMES
from pages.attention.sparse_words import COST, HEAD, PATTERN, TRAINED, VIEWS
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import cost, hashing, masks, sparse
from transformer.experiments import sparsified, timing
from transformer.recording import CAPITAL, PRONOUN, REPEAT
from transformer.training import patterns as training

EXAMPLES = {
    "a pronoun": PRONOUN,
    "a repeated name": REPEAT,
    "a fact": CAPITAL,
    "a play": "King:\nWhat news, my lord? What news from the king?",
}
TELLING = {"smollm2-135m": (13, 8), "minilm-l6": (3, 1), "tiny": (2, 3)}  # model -> layer and head
R, W, N = range(1, 9), range(2, 9), [12, 16, 24, 48]
PICK, DEPTH = "dilated", 2  # the pattern, and the layers that the reach opens with


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    pattern: str
    depth: int | None = None
    head: int | None = None
    kind: str | None = None
    cursor: float = 0.0
    cell: cells.Cell | None = None


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    snippet: str
    config: dict
    numbers: str | None = None


KINDS = ("causal", "both ways")


def choices() -> list[str]:
    """What can be picked in this view."""
    if view == COST:
        return list(patterns.recorded_cost()["options"])
    if view == TRAINED:
        return list(patterns.on_text(text)[2])
    return list(NAMES if view == PATTERN else NAMES[:-1])


def heads() -> list:
    if view == TRAINED:
        layers, per = training.BASE["n_layers"], training.BASE["n_heads"]
        return [f"layer {i}, head {j}" for i in range(layers) for j in range(per)]
    return list(range(reading.config.n_heads))


def default_head() -> object:
    return heads()[0] if view == TRAINED else min(TELLING[reading.model][1], reading.config.n_heads - 1)


def stand() -> Stand:
    options = choices()
    pick = url.url_state("pattern", PICK, str, options.__contains__)
    if view == PATTERN:
        return Stand(view, pick, depth=url.url_state("depth", DEPTH, int, DEPTHS.__contains__), cell=cells.in_link())
    if view == COST:
        log_n = patterns.costs()[0]
        at = url.url_state("at", log_n[-2], float, lambda at: log_n[0] <= at <= log_n[-1])
        return Stand(view, pick, kind=url.url_state("kind", KINDS[0], str, KINDS.__contains__), cursor=at)
    kind = int if view == HEAD else str
    head = url.url_state("head", default_head(), kind, heads().__contains__)
    return Stand(view, pick, head=head, cell=cells.in_link())


def component() -> str:
    """The key of what draws this view."""
    return "curves" if view == COST else "matrices"


def keep() -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(component(), "stand")) is None:
        return
    if said.get("pick") in choices():
        url.set_url_state("pattern", said["pick"], PICK)
    frame = said.get("frame")
    if view == PATTERN and frame in DEPTHS:
        url.set_url_state("depth", frame, DEPTH)
    if view in (HEAD, TRAINED) and frame in heads():
        url.set_url_state("head", frame, default_head())
    if view == COST:
        if frame in KINDS:
            url.set_url_state("kind", frame, KINDS[0])
        if isinstance(at := said.get("cursor"), int | float):
            url.set_url_state("at", float(at), patterns.costs()[0][-2])
    else:
        cells.keep(said.get("at"))
    held.reported(component(), stand())


def sliders() -> tuple[Box, Box]:
    """r and w, the two numbers that the patterns hang on."""
    r = st.slider("r: step of the dilation", R[0], R[-1], 3, key="r", bind="query-params")
    w = st.slider("w: width of the window; stride", W[0], W[-1], 4, key="w", bind="query-params")
    return Box("r", R, r), Box("w", W, w)


def sizes_of(found: dict[str, charts.Pattern]) -> dict[str, tuple[int, int]]:
    """The matrices of the first view."""
    return {f"{name} {part}": (len(of.tokens),) * 2 for name, of in found.items() for part in ("pattern", "reach")}


def show_pattern(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        boxes = sliders()
        n = st.select_slider("Tokens", N, 16, key="n", bind="query-params")
        both = st.toggle("An encoder: both ways", key="both", bind="query-params")
    layer, head = TELLING[reading.model]
    head = min(head, reading.config.n_heads - 1)
    r, w = (box.at for box in boxes)
    found = patterns.patterns_of(subject, head, r, w, n, both, reading)
    cells.know(sizes_of(found))
    here = stand()
    held.to_send(component(), here)

    def message(r: int, w: int, both: bool, n: int) -> bytes:
        found = patterns.patterns_of(subject, head, r, w, n, both, reading)
        there = here._replace(cell=cells.would_be_in_link(sizes_of(found)))
        shown, epoch = held.would_send(component(), there)
        return charts.patterns_message(
            found, curves.Picks("Pattern", list(NAMES), shown.pattern, role="attention"),
            curves.Choice("Layers", DEPTHS, shown.depth), at=cells.if_there(shown.cell, sizes_of(found)), epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key=component(), on_stand_change=keep,
                       data=ahead(message, *boxes, Box("both", (False, True), both), Box("n", N, n)))
    of = found[here.pattern]
    within = [int(((of.reach[-1] >= 0) & (of.reach[-1] <= depth)).sum()) for depth in DEPTHS]
    with controls:
        st.caption(f"**{here.pattern}**: {patterns.in_words(here.pattern, r, w)}. The last token after 1 … "
                   f"{DEPTHS[-1]} "
                   f"layers holds something of {', '.join(map(str, within))} of {len(of.tokens)} tokens. LSH hashes "
                   f"your text with head {head} of {reading.title}, one layer after the other.")  # fmt: skip
    tokens = of.tokens
    table = {"query": [q for q in tokens for _ in tokens], "key": list(tokens) * len(tokens),
             "allowed": of.allowed.flatten(), "fewest_layers": of.reach.flatten()}  # fmt: skip
    kind = "encoder" if both else "decoder"
    arrows = r" \to ".join(map(str, within))
    fixed = here.pattern if here.pattern in FIXED else "full"
    config = patterns.config_of(fixed, r, w, kind)
    options = ", ".join(f"{name}={value!r}" for name, value in patterns.options_of(config).items())
    shapes = [("M", (f"query {n}", f"key {n}"), "attention"), ("R_l", (f"token {n}", f"token {n}"), "residual")]
    return Shown(
        table, shapes, sparse_words.SNIPPETS[PATTERN].format(options=options, n=n),
        {"pattern": here.pattern, "r": r, "w": w, "n": n, "kind": kind, "layers": here.depth},
        rf"\begin{{gathered}}\text{{{here.pattern}: }} {int(of.allowed.sum())} / {len(tokens)}^2 = "
        rf"{of.allowed.mean():.3f}"
        rf"\text{{ of all pairs}}\\[.4em] \text{{reach: }} {arrows} \text{{ tokens}}\end{{gathered}}",
    )  # fmt: skip


def show_head(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    layers = patterns.layers_of(reading)
    with controls:
        default = TELLING[reading.model][0]
        layer = choose("Layer", layers, default, "layer")
        boxes = sliders()
    r, w = (box.at for box in boxes)
    exact, found = patterns.on_heads(subject, layer, r, w, reading)
    n = exact.shape[-1]
    sizes = {"exact": (n, n), "error": (len(found), len(exact)), "kept": (len(found), len(exact))}
    sizes |= {f"{name} A": (n, n) for name in found}
    cells.know(sizes)
    here = stand()
    shown, epoch = held.to_send(component(), here)

    def message(layer: int, r: int, w: int) -> bytes:
        exact, found = patterns.on_heads(subject, layer, r, w, reading)
        return charts.heads_message(
            exact, found, curves.Picks("Pattern", list(found), shown.pattern, role="attention"),
            curves.Choice("Head", heads(), shown.head), patterns.words_of(reading),
            at=cells.if_there(shown.cell, sizes), epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key=component(), on_stand_change=keep,
                       data=ahead(message, Box("layer", layers, layer), *boxes))
    of = found[here.pattern]
    best = min(found, key=lambda name: found[name].error[here.head])
    both_ways = ", both ways; here it reads as if it could not look ahead" if reading.config.kind == "encoder" else ""
    with controls:
        st.caption(f"**{here.pattern}**: {patterns.in_words(here.pattern, r, w)}. In head {here.head} it keeps "
                   f"{of.kept[here.head]:.0%} of the weight. Nearest to exact in this head: {best}. "
                   f"{reading.title} was trained with full attention{both_ways}.")  # fmt: skip
    tokens = patterns.words_of(reading)
    table = {"query": [q for q in tokens for _ in tokens], "key": tokens * n, "exact": exact[here.head].flatten(),
             "pattern": of.A[here.head].flatten()}  # fmt: skip
    if here.pattern == LSH:
        pairs = f"same_bucket(Q, K, {patterns.BUCKETS}, {patterns.ROUNDS})"
    else:
        options = patterns.options_of(patterns.config_of(here.pattern, r, w))
        pairs = f"allowed(Config({', '.join(f'{name}={value!r}' for name, value in options.items())}), len(ids))"
    h = len(exact)
    return Shown(
        table, [("A", (f"head {h}", f"query {n}", f"key {n}"), "attention"),
                ("V", (f"head {h}", f"key {n}", reading.config.d_head), "value")],
        sparse_words.SNIPPETS[HEAD].format(model=repr(reading.model), text=repr(reading.text), most=patterns.MOST,
                                           layer=layer, pairs=pairs),
        {"model": reading.model, "text": reading.text, "layer": layer, "head": here.head, "pattern": here.pattern,
         "r": r, "w": w},
        rf"\text{{head {here.head}, {here.pattern}: kept }} {of.kept[here.head]:.3f}, \quad \text{{error of }} z: "
        rf"{of.error[here.head]:.3f}",
    )  # fmt: skip


def show_cost(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    found, (log_n, costs) = patterns.recorded_cost(), patterns.costs()
    here = stand()
    with controls:
        names = list(dict.fromkeys(("full", here.pattern)))
        if st.button(f"Measure {' and '.join(names)} here", key="measure", icon=":material/timer:",
                     help="n = 256 to 2,048 on the machine that runs this app: a second or two."):  # fmt: skip
            with st.spinner("Measuring…"):
                st.session_state["_sparse_here"] = patterns.measure_here(tuple(names))
        st.caption(f"Recorded on {found['made']['date']}: {found['made']['machine']}; {found['made']['what']}. "
                   "Dashed: one n × n table of scores, which full attention's fused kernel never writes; and what you "
                   "measured here, on the wall clock.")  # fmt: skip
    own = st.session_state.get("_sparse_here", {})
    shown, epoch = held.to_send(component(), here)
    with picture:
        curves.mount(
            key=component(), on_stand_change=keep,
            data=charts.cost_message(
                log_n, costs, patterns.written_out(), own,
                curves.Picks("Pattern", list(costs), shown.pattern, role="attention"),
                curves.Choice("Direction", list(KINDS), shown.kind), cursor=shown.cursor, epoch=epoch,
            ),
        )  # fmt: skip
    i, j = KINDS.index(here.kind), int(np.abs(log_n - here.cursor).argmin())
    of, full, n = costs[here.pattern], costs["full"], 2 ** int(log_n[j])
    mine, its = of.milliseconds[i, j], full.milliseconds[i, j]
    growth = np.log2(of.milliseconds[i, -1] / of.milliseconds[i, -2])
    table = {"n": found["sizes"]} | {
        f"{name}, {kind}, {part}": getattr(one, part)[k]
        for name, one in costs.items() for k, kind in enumerate(KINDS) for part in ("milliseconds", "megabytes")
    }  # fmt: skip
    return Shown(
        table, [("Q", ("batch 1", "head 8", "query n", 64), "query"), ("K", ("batch 1", "head 8", "key n", 64), "key")],
        sparse_words.SNIPPETS[COST].format(options=repr(found["options"][here.pattern]), base=repr(found["base"])),
        {"pattern": here.pattern, "direction": here.kind, **found["made"]},
        rf"n = {n}:\quad \frac{{{mine:.2f} \text{{ ms}}}}{{{its:.2f} \text{{ ms full}}}} = {mine / its:.3f} \qquad "
        rf"\text{{last doubling: }} \times {2**growth:.2f} = n^{{{growth:.2f}}}",
    )  # fmt: skip


def show_trained(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    tokens, surprise, maps = patterns.on_text(text)
    runs = {row: [run["held_out_loss"] for run in of["runs"]] for row, of in patterns.table()["rows"].items()}
    made = patterns.table()["made"]
    with controls:
        st.markdown(patterns.markdown(
            ("trained with", "held-out loss"),
            [(row, f"{np.mean(L):.2f} ± {(max(L) - min(L)) / 2:.2f}")
             for row, L in sorted(runs.items(), key=lambda of: np.mean(of[1]))],
        ))  # fmt: skip
        st.caption(f"Nats a token on plays that none of them read ({', '.join(made['held_out'])}): mean ± half the "
                   f"range of {len(runs['full'])} seeds, {made['steps']} steps each, trained by us. Differences within "
                   "the seeds' range mean nothing, and these models are small and briefly trained: they show what a "
                   "pattern makes easy to learn, not what it could learn.")  # fmt: skip
    n = len(tokens)
    sizes = {"surprise": (len(surprise), n - 1)} | {f"{row} A": (n, n) for row in maps}
    cells.know(sizes)
    here = stand()
    shown, epoch = held.to_send(component(), here)
    with picture:
        if n < 2:
            st.info("One token leaves nothing to guess: type a longer text.", icon=":material/info:")
        else:
            matrices.mount(
                key=component(), on_stand_change=keep,
                data=charts.trained_message(
                    surprise, maps, tokens, curves.Picks("Attention of", list(maps), shown.pattern, role="attention"),
                    curves.Choice("Layer and head", heads(), shown.head), at=cells.if_there(shown.cell, sizes),
                    epoch=epoch,
                ),
            )  # fmt: skip
    table = {"token": tokens[1:]} | surprise
    L = training.BASE["n_layers"]
    mean = {row: of.mean() if len(of) else 0.0 for row, of in surprise.items()}
    return Shown(
        table, [("A", (f"layer {L}", f"head {training.BASE['n_heads']}", f"query {n}", f"key {n}"), "attention")],
        sparse_words.SNIPPETS[TRAINED].format(text=repr(text), most=patterns.LONGEST),
        {"text": text, "models": list(surprise)},
        r"\begin{gathered}\text{nats a token, your text:}\\" + r"\\".join(
            r",\ ".join(rf"\text{{{row} }} {value:.2f}" for row, value in list(mean.items())[i : i + 2])
            for i in range(0, len(mean), 2)
        ) + r"\end{gathered}",
    )  # fmt: skip


SHOW = {PATTERN: show_pattern, HEAD: show_head, COST: show_cost, TRAINED: show_trained}
CODE = {
    PATTERN: [masks.dilated, masks.window, masks.strided, masks.longformer, masks.draws, masks.bigbird, masks.reach],
    HEAD: [sparsified.sparsified, sparsified.same_bucket, hashing.LSH.hash],
    COST: [sparse.read, sparse.plan, timing.measured, cost.pairs, cost.scored],
    TRAINED: [training.train, training.surprise],
}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view](*lesson.stage(0.34 if view == TRAINED else 0.26))
    formula = r"\begin{gathered}" + r"\\[.6em]".join(sparse_words.FORMULAS[view]) + r"\end{gathered}"
    lesson.formula(formula, shown.shapes, shown.numbers)
    with code_place:
        lesson.code(CODE[view], shown.snippet)
    lesson.downloads(table=shown.table, config=shown.config | {"view": view})


lesson = Lesson("B6")
lesson.header(sparse_words.LOOK_FOR)
text = lesson.text(PRONOUN, EXAMPLES)
reading = lesson.read(text, record=tuple(f"layers.*.attention.{part}" for part in ("Q", "K", "V", "scores")))
text = reading.text  # the last good one
subject = (reading.model, reading.label, reading.text)
view = lesson.view(VIEWS)
if view == TRAINED:
    lesson.show_model("Nine small decoders · trained by us", "tiny")
cells.belong_to("B6", view, reading.model, reading.text)
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words:
    r, w = st.session_state.get("r", 3), st.session_state.get("w", 4)
    lesson.prose(
        sparse_words.WHAT,
        sparse_words.WHY.format(table=patterns.pairs_table(r, w, 4096)),
        sparse_words.CATCH,
    )
    taken, scored, n = patterns.window_beside_full()
    OPTIONS = ("under 4 %, like the pairs", "4 % to 20 %", "20 % to 60 %", "more")
    right = OPTIONS[[taken < most for most in (0.04, 0.2, 0.6, np.inf)].index(True)]
    lesson.predict(
        f"One layer, causal, {n:,} tokens. A window of 128 has {scored:.1%} of full attention's pairs. How much of its "
        "time did it take when we measured?", OPTIONS, right,
        f"{taken:.1%}. A block of 128 queries meets all 255 keys that any of them can reach, so about twice the "
        "window's pairs are multiplied, in many small products instead of a few large ones. Still the time grows as "
        "$n$: at twice the length it would be about half this share.",
    )  # fmt: skip
with more:
    lesson.interview(sparse_words.INTERVIEW)
    lesson.sources(sparse_words.SOURCES)
