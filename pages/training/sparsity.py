"""F3, Sparsity: weights that training makes small or exactly 0, what can be pruned, and the zeros that a ReLU makes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import sparsity as charts
from charts.ahead import Box, ahead
from pages.shared import held, url
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from pages.training import sparsity_numbers as numbers
from pages.training import sparsity_words as words
from pages.training import sparsity_zeros as zeros
from pages.training.sparsity_words import PRUNE, SAVES, VIEWS, WEIGHTS, WHY, ZEROS
from transformer import sparsity
from transformer.experiments import sparse_matmul
from transformer.recording import CAPITAL
from transformer.training import loop, sparse_weights
from transformer.training.sparse_weights import LAMBDAS, OWN_SEED, TELLING, TRACED, TRACED_AT, WAYS

PROBLEMS = {"Digits, Adam": "digits", "Digits, SGD": "digits, SGD", "Characters, Adam": "characters"}
TRACES = {"SGD": "digits, SGD", "Adam": "digits"}
MODELS = {"Digits": "digits", "Characters": "characters", "SmolLM2-135M": numbers.REAL}
NAMES = {LAMBDAS[0]: "10⁻⁵", LAMBDAS[1]: "3·10⁻⁵", LAMBDAS[2]: "10⁻⁴", LAMBDAS[3]: "3·10⁻⁴"}
STEPS = list(range(sparse_weights.EVERY, sparse_weights.STEPS + 1, sparse_weights.EVERY))
TRAINED = {short: way for way, short in words.SHORT.items()}
SCOPES = {title: scope for scope, title in words.SCOPES.items()}
TOKENS = list(sparse_matmul.TOKENS)
BOXES = {WEIGHTS: ("Model and optimiser", PROBLEMS), WHY: ("Optimiser", TRACES), PRUNE: ("Model", MODELS)}
EXAMPLES = {
    "a fact": CAPITAL,
    "a play": "What light through yonder window breaks?",
    "story": "Once upon a time, there was a little girl",
}


class Stand(NamedTuple):
    """Where the picture stands, by the link; each picture uses its part."""

    view: str
    box: str = ""
    at: float = 0.0  # the cursor
    lam: float = TELLING
    step: int = STEPS[-1]
    weight: int = 0
    way: str = "plain"
    scope: str = words.SCOPES["global"]
    layer: int = 0
    tokens: int = TOKENS[0]


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: Mapping
    numbers: str | None
    snippet: Mapping


def box() -> str:
    options = BOXES[view][1]
    return url.url_state("of", next(iter(options)), str, options.__contains__)


def cursor(usual: float, low: float, high: float) -> float:
    return url.url_state("at", usual, float, lambda at: low <= at <= high)


def usual_share(of: str) -> float:
    """Where the model's curves part: the large one has long left the picture where the small ones do."""
    return 50.0 if MODELS[of] == numbers.REAL else 80.0


def stand() -> Stand:
    match view:
        case "With and without L1":
            return Stand(view, box(), cursor(-3.0, -10, 1),
                         url.url_state("lambda", TELLING, float, LAMBDAS.__contains__),
                         url.url_state("step", STEPS[-1], int, STEPS.__contains__))  # fmt: skip
        case "Why it is not 0":
            of = box()
            usual = numbers.telling(TRACES[of])
            return Stand(view, of, cursor(sparse_weights.STEPS, 1, sparse_weights.STEPS),
                         weight=url.url_state("weight", usual, int, range(TRACED).__contains__))  # fmt: skip
        case "Pruning":
            scope = url.url_state("scope", "global", str, words.SCOPES.__contains__)
            of = box()
            return Stand(view, of, cursor(usual_share(of), 0, 100), scope=words.SCOPES[scope],
                         way=url.url_state("trained", "plain", str, WAYS.__contains__))  # fmt: skip
        case "Zeros of a ReLU":
            return Stand(view, "", cursor(-3.0, -7, 1), layer=url.url_state("layer", 0, int, layers.__contains__))
    return Stand(view, "", cursor(10.0, 1, 100), tokens=url.url_state("tokens", TOKENS[0], int, TOKENS.__contains__))


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("curves", "stand")) is None:
        return
    at, (first, second, *_) = said.get("cursor"), [*(said.get("frames") or ()), None, None]
    usual = {WEIGHTS: -3.0, WHY: float(sparse_weights.STEPS), ZEROS: -3.0, SAVES: 10.0}
    if isinstance(at, int | float):
        url.set_url_state("at", round(float(at), 3), usual_share(box()) if view == PRUNE else usual[view])
    if view == WEIGHTS:
        for lam, name in NAMES.items():
            if name == first:
                url.set_url_state("lambda", f"{lam:g}", f"{TELLING:g}")
        if second in STEPS:
            url.set_url_state("step", second, STEPS[-1])
    elif view == WHY and first in range(TRACED):
        url.set_url_state("weight", first, numbers.telling(TRACES[box()]))
    elif view == PRUNE:
        url.set_url_state("trained", TRAINED.get(first, "plain"), "plain")
        url.set_url_state("scope", SCOPES.get(said.get("pick"), "global"), "global")
    elif view == ZEROS and first in layers:
        url.set_url_state("layer", first, 0)
    elif view == SAVES and first in TOKENS:
        url.set_url_state("tokens", first, TOKENS[0])
    held.reported("curves", stand())


def choose() -> None:
    url.set_url_state("of", st.session_state[f"box_{view}"], next(iter(BOXES[view][1])))
    for name in ("weight", "trained"):
        st.query_params.pop(name, None)


def ask(here: Stand) -> None:
    label, options = BOXES[view]
    st.radio(label, list(options), list(options).index(here.box), key=f"box_{view}", on_change=choose)


def would_stand(here: Stand, of: str) -> Stand:
    """Where the picture will stand with another box chosen."""
    match view:
        case "Why it is not 0":
            return here._replace(box=of, weight=numbers.telling(TRACES[of]))
        case "Pruning":
            return here._replace(box=of, way="plain", at=here.at if "at" in st.query_params else usual_share(of))
    return here._replace(box=of)


def mount(picture: DeltaGenerator, here: Stand, message: Callable[[str, Stand, int], bytes]) -> None:
    """The picture, and sent ahead that of the next box; message(box, what is pressed, epoch)."""
    pressed = held.to_send("curves", here)

    def of(one: str) -> bytes:
        shown = pressed if one == here.box else held.would_send("curves", would_stand(here, one))
        return message(one, *shown)

    with picture:
        curves.mount(key="curves", on_stand_change=keep,
                     data=ahead(of, Box(f"box_{view}", list(BOXES[view][1]), here.box, buttons=True)))  # fmt: skip


def works_of(problem: str, lam: float) -> dict[tuple, Callable]:
    settings = [(problem, way, lam if way != "plain" else 0.0) for way in WAYS]
    return {of: functools.partial(sparse_weights.train, *of, OWN_SEED) for of in settings}


def show_weights(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        ask(stand())
        here = stand()
        problem = PROBLEMS[here.box]
        works = works_of(problem, here.lam)
        seconds = numbers.seconds(problem, here.lam)
        runs = live.panel(
            f"Train all three, λ = {NAMES[here.lam]} · about {seconds:.0f} s", works, len(STEPS), "measurement"
        )
        st.caption(words.COUNTED)

    def message(one: str, shown: Stand, epoch: int) -> bytes:
        found = numbers.weights(PROBLEMS[one])
        mine = {of: job for of in works_of(PROBLEMS[one], here.lam) if (job := live.run(of)) is not None}
        return charts.weights(
            sparse_weights.EDGES.numpy(), words.WAYS, found.counts, found.zeros, found.notes, found.cells,
            ["below 10⁻³%", "exactly 0%", found.measure], numbers.own_counts(mine, found.total),
            lambdas=curves.Choice("λ", list(NAMES.values()), NAMES[shown.lam]),
            steps=curves.Choice("Step", STEPS, shown.step), cursor=shown.at, epoch=epoch,
        )  # fmt: skip

    mount(picture, here, message)
    found = numbers.weights(problem)
    with picture:
        st.markdown(numbers.said(problem, here.lam))
        if ended := numbers.said_own(runs):
            st.markdown(ended)
    row, at = LAMBDAS.index(here.lam), STEPS.index(here.step)
    bins = {f"{way}": of[min(row, len(of) - 1), at] for way, of in found.counts.items()}
    zero = {way: int(of[min(row, len(of) - 1), at]) for way, of in found.zeros.items()}
    edges = sparse_weights.EDGES.numpy()
    share = {way: rf"\tfrac{{{of:,}}}{{{found.total:,}}} = {of / found.total:.4f}" for way, of in zero.items()}
    return Shown(
        {"from": edges[:-1], "to": edges[1:]} | bins,
        rf"\text{{share of }} w = 0:\quad \text{{in the loss }} {share['loss']},"
        rf"\qquad \text{{soft threshold }} {share['proximal']}",
        {"problem": problem, "lam": here.lam},
    )  # fmt: skip


def show_why(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        ask(stand())
        here = stand()
        problem = TRACES[here.box]
        st.caption(
            f"Real updates, recorded at every step: {TRACED} weights, spread over layer 0's W₁, digits, λ = "
            f"{NAMES[TRACED_AT]}, seed 0. {words.NO_BAND if problem == 'digits' else ''}"
        )
        st.markdown(numbers.said_traces(problem))

    def message(one: str, shown: Stand, epoch: int) -> bytes:
        of, traced = TRACES[one], numbers.traces(TRACES[one])
        return charts.trace(
            np.arange(1, sparse_weights.STEPS + 1), traced, {way: words.SHORT[way] for way in traced},
            numbers.reach(of), sparse_weights.ALONE, numbers.NEAR[of],
            choice=curves.Choice("Weight", list(range(TRACED)), shown.weight), cursor=shown.at, epoch=epoch,
        )  # fmt: skip

    mount(picture, here, message)
    traced = numbers.traces(problem)
    t, w = int(here.at), {way: values[here.weight] for way, values in traced.items()}
    return Shown(
        {"step": np.arange(1, sparse_weights.STEPS + 1)} | w,
        numbers.update_formula(problem, t, float(w["loss"][t - 1]), float(w["proximal"][t - 1])),
        {"problem": problem, "lam": TRACED_AT, "weight": here.weight, "step": t},
    )


def show_prune(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        ask(stand())
        here = stand()
        name = MODELS[here.box]
        st.caption(numbers.about_pruned(name))
        st.markdown(numbers.said_knees(name, SCOPES[here.scope]))

    def message(one: str, shown: Stand, epoch: int) -> bytes:
        found = numbers.pruned(MODELS[one])
        return charts.pruning(
            found.shares, found.kept, words.SCOPES, found.y, found.y_range, found.percent,
            picks=curves.Picks("Remove", list(SCOPES), shown.scope), cursor=shown.at, epoch=epoch,
            ways=curves.Choice("Trained", list(TRAINED), words.SHORT[shown.way]) if found.ways else None,
        )  # fmt: skip

    mount(picture, here, message)
    found = numbers.pruned(name)
    share = round(here.at / 100, 4)
    with picture:
        if found.ways:
            now = numbers.pruned_now(name, here.way, SCOPES[here.scope], share)
            curves.mount(
                key="left",
                data=charts.left(
                    sparse_weights.EDGES.numpy(), now.before, now.after, "This model's weights, pruned now", now.note
                ),
            )
            st.caption(
                f"Live: the model of seed 0, {words.SHORT[here.way]}, pruned here (grey: what was there) and measured "
                "on what it has not seen."
            )
        else:
            thin = numbers.thinned()
            curves.mount(
                key="thinned",
                data=charts.thinned(np.array(numbers.real()["neurons"]), thin, found.y_range[1], cursor=here.at),
            )
            st.caption(words.THINNED)
    row = list(WAYS).index(here.way) if found.ways else 0
    table = {"share": found.shares} | {
        f"{scope} seed {s}": run for scope, of in found.kept.items() for s, run in enumerate(of[row])
    }
    return Shown(table, numbers.cut_formula(name, here.way, SCOPES[here.scope], share),
                 {"problem": name, "way": here.way, "share": share, "scope": SCOPES[here.scope]})  # fmt: skip


def show_zeros(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption(about_zeros)
        here = stand()
        st.markdown(zeros.said_cut(curves_of, here.at))
    shown, epoch = held.to_send("curves", here)
    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=charts.cuts(
            sparse_weights.CUTS.numpy(), curves_of, "", layers=curves.Choice("Layer", layers, shown.layer),
            cursor=shown.at, epoch=epoch,
        ))  # fmt: skip
        at = zeros.nearest_cut(here.at)
        curves.mount(key="layers", data=charts.by_layer(
            {name: (role, values[:, at]) for name, (role, values) in by_layer.items()},
            f"Layer by layer: neurons of size {zeros.cut_name(at)}", here.layer))  # fmt: skip
    table = {"cut": sparse_weights.CUTS.numpy()} | {
        name: values[min(here.layer, len(values) - 1)] for name, (_, values) in curves_of.items()
    }
    return Shown(table, None, {"text": text})


def show_saves(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        works = {n: functools.partial(sparse_matmul.timed, (n,)) for n in TOKENS}
        runs = live.panel(
            f"Measure here · about {max(1.0, zeros.seconds()):.0f} s", works, len(sparse_matmul.SHARES), "share"
        )
        rows, cols = sparse_matmul.SHAPE
        st.caption(f"W [{rows}, {cols}], float32, one thread. Lines: recorded on {zeros.product()['machine']}, torch "
                   f"{zeros.product()['torch']}. Dashed: this machine.")  # fmt: skip
        here = stand()
        st.markdown(zeros.said_product(here.tokens))
    shown, epoch = held.to_send("curves", here)
    ms, kilobytes = zeros.product_curves()
    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=charts.product(
            zeros.left_one(), ms, kilobytes, words.PRODUCTS, zeros.own_product(runs), "",
            tokens=curves.Choice("Tokens", TOKENS, shown.tokens), cursor=shown.at, epoch=epoch,
        ))  # fmt: skip
    row = TOKENS.index(here.tokens)
    table = {"share": sparse_matmul.SHARES} | {f"{way} ms": of[row] for way, of in ms.items()}
    table |= {f"{way} kB": of for way, of in kilobytes.items()}
    return Shown(table, zeros.bytes_formula(), {"tokens": here.tokens})


SHOW = {WEIGHTS: show_weights, WHY: show_why, PRUNE: show_prune, ZEROS: show_zeros, SAVES: show_saves}
CODE = {
    WEIGHTS: [sparsity.soft_threshold, sparsity.proximal_step, sparsity.reach, sparse_weights.with_l1,
              sparse_weights.steps_of],
    WHY: [sparsity.soft_threshold, sparse_weights.traced, sparse_weights.steps_of, loop.fit],
    PRUNE: [sparsity.keep, sparsity.pruned, sparse_weights.curve],
    ZEROS: [sparsity.share_up_to, sparse_weights.neurons, sparsity.largest],
    SAVES: [sparse_matmul.kept_as, sparse_matmul.timed, sparse_matmul.size],
}  # fmt: skip


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change, or when a run reports."""
    found = SHOW[view](*lesson.stage(0.34))
    rows = words.WHY_ADAM if view == WHY and stand().box == "Adam" else words.FORMULAS[view]
    lesson.formula(
        r"\begin{gathered}" + r"\\[.8em]".join(rows) + r"\end{gathered}",
        numbers.shapes(view, stand().box),
        found.numbers,
    )
    with code_place:
        lesson.code(CODE[view], numbers.snippet(view, found.snippet))
    lesson.downloads(table=found.table, config=dict(found.snippet) | stand()._asdict())


def predict() -> None:
    small, zero, total = numbers.last("digits", "loss", TELLING)
    options = ["hardly any", "about a tenth", "about half", "all of those"]
    answer = (
        options[0] if zero < 0.01 else options[1] if zero < 0.25 else options[2] if zero < 0.9 * small else options[3]
    )
    lesson.predict(
        f"The digits' model is trained by Adam with λ‖W‖₁ in its loss, λ = 10⁻⁴. In the end {small:.0%} of its "
        f"{total:,} weights are smaller than 10⁻³. How many are exactly 0?",
        options, answer,
        f"{round(zero * total):,} of {total:,}, the mean of 3 seeds. The soft threshold with the same λ: "
        f"{numbers.last('digits', 'proximal', TELLING)[1]:.0%}. Small is not 0: a push that is as strong close to 0 as "
        "far away carries a weight past it.",
    )  # fmt: skip


lesson, live = Lesson("F3"), Training("F3")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
if view == ZEROS:
    text = lesson.text(CAPITAL, examples=EXAMPLES)
    reading = lesson.read(text, record=("*.ffn.????",))  # post and, where there is one, gate
    layers = list(range(reading.config.n_layers))
    curves_of, by_layer, about_zeros = zeros.zeros(reading)
    text = reading.text
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    live.watch(draw)(code_place)
with below:
    lesson.prose(**words.PROSE[view])
    predict()
with more:
    lesson.interview([(question, answer.format(**zeros.winning())) for question, answer in words.INTERVIEW])
    lesson.sources(words.SOURCES)
