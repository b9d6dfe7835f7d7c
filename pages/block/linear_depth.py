"""Depth without bend: linear layers, however many, are one; trained live beside the same stack with an activation."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from charts import boundary as charts, curves, linear_depth
from charts.ahead import Box, ahead
from charts.curves import Choice
from pages.block import linear_depth_words as words
from pages.block.linear_depth_words import BOUNDARY, HEADS, LEARNING, VIEWS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from transformer.experiments import collapse, modes
from transformer.training import boundary
from transformer.training.boundary import BEND, REPORTS, SEEDS, WIDTH, Report, Stack

DATA = {"spiral": "Spiral", "two moons": "Two moons", "circles": "Circles", "xor": "XOR", "three clusters": "Three clusters"}
BY_TITLE = {title: name for name, title in DATA.items()}
BENDS = {"tanh": "tanh", "relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}
BY_BEND = {title: name for name, title in BENDS.items()}
LAYERS, DEEP, WIDTHS = [2, 3, 4, 6, 8, 12, 16, 20], 20, [2, 4, 8, 16, 32]
LAST = REPORTS - 1
DEPTHS, STARTS = [1, 2, 3, 4, 6], [0.001, 0.01, 0.1, 0.5]
DEPTH, START, STEP = 4, 0.01, 200
HEAD, INDEX = 0, 1


class Setting(NamedTuple):
    """What is trained."""

    data: str
    depth: int
    bend: str
    width: int
    narrowest: int


class Found(NamedTuple):
    """What there is of a run, as it is drawn, and where it comes from."""

    reports: list[Report]
    run: charts.Run
    source: str


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    frame: int
    seed: int


@st.cache_resource(show_spinner=False)
def recorded() -> tuple[dict, dict]:
    return boundary.load()


def stand() -> Stand:
    return Stand(url.url_state("frame", LAST, int, range(REPORTS).__contains__),
                 url.url_state("seed", SEEDS[0], int, SEEDS.__contains__))  # fmt: skip


def keep_boundary() -> None:
    if (said := held.said("boundary", "stand")) is None:
        return
    if said.get("frame") in range(REPORTS):
        url.set_url_state("frame", said["frame"], LAST)
    if said.get("seed") in SEEDS:
        url.set_url_state("seed", said["seed"], SEEDS[0])
    held.reported("boundary", stand())


def boxes() -> list[Box]:
    def box(label: str, values: list, default: object, key: str, place: Callable = st.select_slider) -> Box:
        return Box(key, values, choose(label, values, default, key, place))

    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        data = box("Points", list(BY_TITLE), DATA["spiral"], "data", st.selectbox)
        depth = box("Layers of the deep stacks", LAYERS, DEEP, "layers")
        bend = box("Activation of the bent ones", list(BY_BEND), BENDS[BEND], "activation", st.selectbox)
        width = box("Width of each layer", WIDTHS, WIDTH, "width")
        narrow = [1, *(w for w in WIDTHS if w <= width.at)]
        return [data, depth, bend, width, box("Narrowest layer (the middle one)", narrow, width.at, "narrowest")]


def setting(data: str, depth: int, bend: str, width: int, narrowest: int) -> Setting:
    """As the boxes say it; what no longer fits into a narrower stack's box falls back to its width."""
    return Setting(BY_TITLE[data], depth, BY_BEND[bend], width, min(narrowest, width))


def variants(here: Setting) -> list[tuple[int, str]]:
    return [(depth, bend) for bend in ("linear", here.bend) for depth in dict.fromkeys((2, here.depth))]


def works(here: Setting) -> dict:
    return {(here.data, depth, bend, here.width, here.narrowest, seed):
            functools.partial(boundary.train, here.data, depth, bend, seed, width=here.width, narrowest=here.narrowest)
            for seed in SEEDS for depth, bend in variants(here)}  # fmt: skip


def shown_of(reports: list[Report]) -> charts.Run:
    """Reports as the picture takes them."""
    p = torch.stack([r.p for r in reports]).numpy()
    loss, accuracy = (np.array([getattr(r, field) for r in reports]) for field in ("loss", "accuracy"))
    if reports[0].W is None:
        return charts.Run(p, loss, accuracy)
    singular = np.array([r.singular for r in reports])
    return charts.Run(
        p, loss, accuracy, torch.stack([r.W for r in reports]).numpy(), torch.stack([r.b for r in reports]).numpy(), singular,
        np.array([r.gap for r in reports]), np.array([collapse.rank(torch.tensor(one)) for one in singular]),
    )  # fmt: skip


@st.cache_resource(max_entries=256, show_spinner=False)
def at_rest(data: str, depth: int, bend: str, width: int, narrowest: int, seed: int) -> Found:
    if (width, narrowest) == (WIDTH, WIDTH) and (reports := recorded()[0].get((data, depth, bend, seed))):
        return Found(reports, shown_of(reports), "recorded")
    reports = [next(boundary.train(data, depth, bend, seed, width=width, narrowest=narrowest))]
    return Found(reports, shown_of(reports), "first weights")


def found_of(here: Setting) -> dict[tuple[int, str, int], Found]:
    """What there is of each run, (depth, bend, seed): live, else recorded, else its first weights."""
    found = {}
    for seed in SEEDS:
        for depth, bend in variants(here):
            key = here.data, depth, bend, here.width, here.narrowest, seed
            job = live.run(key)
            reports = list(job.reports) if job is not None else []
            found[depth, bend, seed] = Found(reports, shown_of(reports), "live") if reports else at_rest(*key)
    return found


def maps(here: Setting, stand: Stand, growing: bool, epoch: int) -> bytes:
    """The picture of all runs of a setting."""
    found, points = found_of(here), boundary.points(here.data)
    named = {bend: "linear" if bend == "linear" else BENDS[bend] for _, bend in variants(here)}
    tiles = [charts.Tile(
        f"{depth} layers, {named[bend]}", f"{depth} {named[bend]}", "muted" if bend == "linear" else "ffn",
        [found[depth, bend, seed].run for seed in SEEDS], None if depth == here.depth else (6, 4))
        for depth, bend in variants(here)]  # fmt: skip
    return charts.message(
        f"What each stack says of every point of the plane, “{DATA[here.data]}”; left and right: step, up and down: seed, "
        "space: play", tiles, SEEDS, np.array(boundary.report_steps()), points.x.numpy(), points.y.numpy(),
        classes=points.classes, reach=boundary.REACH, frame=stand.frame, seed=stand.seed, growing=growing, epoch=epoch,
        source="training" if growing else " + ".join(sorted({of.source for of in found.values()})),
    )  # fmt: skip


def draw_boundary() -> None:
    """All that follows the controls: it alone runs again when they change, and while anything trains."""
    with st.container(key="gf-stage"):
        chosen = boxes()
        here = setting(*(box.at for box in chosen))
        jobs = works(here)
        runs = live.panel(f"Train these {len(jobs)} stacks, {len(SEEDS)} seeds each of {len(variants(here))} · about "
                          f"{sum(0.3 + 0.065 * depth for _, depth, *_ in jobs):.0f} s", jobs, total=REPORTS, unit="report")  # fmt: skip
        growing = any(job.busy for job in runs.values())
        shown, epoch = held.to_send("boundary", stand())

        def message(*at: object) -> bytes | None:
            there = setting(*at)
            return None if growing and there != here else maps(there, shown, growing, epoch)

        with st.container(key="gf-picture"):
            charts.mount(key="boundary", on_stand_change=keep_boundary, data=ahead(message, *chosen))
        about = recorded()[1]
        st.caption(f"Colour: the class that the stack names, the paler the less sure. Thick line: where its answer "
                   f"changes; "
                   f"thin ones: the other seeds. Curves: dashed 2 layers, gold with an activation. Only the differences "
                   f"between the rows of W_eff decide, so unlike matrices can draw the same line. Largest "
                   f"difference: between what the stack says and W_eff x + b_eff, anywhere on the map. Recorded: "
                   f"`{about['command']}`, {about['date']}, "
                   f"{about['steps']} steps, "
                   f"width {about['width']}, {about['minutes']} min for all point sets.")  # fmt: skip
    seed = stand().seed
    found = found_of(here)
    reports = found[here.depth, "linear", seed].reports
    last = reports[min(stand().frame, len(reports) - 1)]
    classes = f"class {boundary.points(here.data).classes}"
    lesson.formula(
        words.FORMULA[BOUNDARY],
        shapes=[("x", ("point", 2), "residual"), (r"W_1", (here.width if here.depth > 2 else here.narrowest, 2), "output"),
                (r"W_{\text{eff}}", (classes, 2), "ffn"), (r"b_{\text{eff}}", (classes,), "ffn")],
        numbers=lambda: numbers(last),
    )  # fmt: skip
    given = {"data": here.data, "depth": here.depth, "bend": here.bend, "seed": seed, "width": here.width,
             "narrowest": here.narrowest}  # fmt: skip
    with code_place:
        lesson.code([Stack, collapse.collapse, boundary.train],
                    words.SNIPPET[BOUNDARY].format_map({k: repr(v) for k, v in given.items()}))
    rows = [(depth, bend, s, r) for (depth, bend, s), of in found.items() for r in of.reports]
    lesson.downloads(
        table={"layers": [d for d, *_ in rows], "activation": [b for _, b, *_ in rows], "seed": [s for *_, s, _ in rows],
               "step": [r.step for *_, r in rows], "loss": [r.loss for *_, r in rows],
               "accuracy": [r.accuracy for *_, r in rows]},
        config=given,
    )  # fmt: skip


def numbers(report: Report) -> str:
    """W_eff and b_eff of the deep linear stack, put in."""
    rows = r" \\ ".join(" & ".join(f"{v:.3f}" for v in row) for row in report.W.tolist())
    bias = r" \\ ".join(f"{v:.3f}" for v in report.b.tolist())
    return (
        rf"\begin{{gathered}}\output{{y}} = \begin{{pmatrix}}{rows}\end{{pmatrix}}\residual{{x}} + "
        rf"\begin{{pmatrix}}{bias}\end{{pmatrix}}\\[.4em]"
        rf"\max\,\lvert\text{{stack}} - (W_{{\text{{eff}}}}x + b_{{\text{{eff}}}})\rvert = "
        rf"{report.gap:.1e}\end{{gathered}}"
    )


@st.cache_data(show_spinner="Training 5 depths from 4 sizes of first weights…")
def courses() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """steps; strength [depth, start, seed, mode, point]; loss [depth, start, seed, point]; closed form; the modes' s."""
    found = [[modes.course(depth, start) for start in STARTS] for depth in DEPTHS]
    steps, s = found[0][0].steps, modes.target_modes()[1]
    none = torch.full((len(s), len(steps)), torch.nan)
    exact = [[modes.closed_form(depth, s, start, steps) if depth <= 2 else none for start in STARTS] for depth in DEPTHS]
    return (steps.numpy(), np.stack([[c.strength.numpy() for c in of] for of in found]),
            np.stack([[c.loss.numpy() for c in of] for of in found]),
            np.stack([[e.numpy() for e in of] for of in exact]), s.numpy())  # fmt: skip


@st.cache_data(show_spinner=False)
def half_learned(depth: int) -> list[float]:
    """The step at which each mode is half learned, mean of the seeds."""
    course = modes.course(depth, START)
    return modes.half_way(course.strength, modes.target_modes()[1], course.steps).nanmean(0).tolist()


def learning_stand() -> tuple[int, float, int]:
    return (url.url_state("linear", DEPTH, int, DEPTHS.__contains__),
            url.url_state("start", START, float, STARTS.__contains__),
            url.url_state("step", STEP, int, lambda step: 0 <= step <= modes.STEPS))  # fmt: skip


def keep_learning() -> None:
    said = held.said("modes", "stand")
    if said is None or not isinstance(said.get("cursor"), int | float) or len(said.get("frames", ())) != 2:
        return
    for key, value, default, allowed in zip(("linear", "start"), said["frames"], (DEPTH, START), (DEPTHS, STARTS), strict=True):
        if value in allowed:
            url.set_url_state(key, value, default)
    url.set_url_state("step", int(said["cursor"]), STEP)
    held.reported("modes", learning_stand())


@st.fragment
def draw_learning() -> None:
    """The modes of a small regression."""
    here = learning_stand()
    (depth, start, step), epoch = held.to_send("modes", here)
    steps, strength, loss, exact, s = courses()
    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        curves.mount(
            key="modes", on_stand_change=keep_learning,
            data=linear_depth.learning(steps, strength, loss, exact, s, modes.MODES, Choice("Linear layers", DEPTHS, depth),
                                       Choice("Size of the first W_eff", STARTS, start), cursor=step, epoch=epoch),
        )  # fmt: skip
        st.caption(f"Trained on this machine just now: plain gradient descent at rate {modes.RATE}, 3 seeds (band: "
                   f"lowest to "
                   f"highest). The table to be learned says which of {len(modes.PROPERTIES)} properties each of "
                   f"{', '.join(modes.ITEMS)} has; its singular vectors are the modes. W_eff starts at the same size "
                   f"at every "
                   "depth. The closed form, for 1 and 2 layers, is for first weights that already point along the "
                   "modes.")  # fmt: skip
    at, size = DEPTHS.index(here[0]), STARTS.index(here[1])
    point = int(np.abs(steps - here[2]).argmin())
    a = strength[at, size, :, :, point].mean(0)
    lesson.formula(
        words.FORMULA[LEARNING],
        shapes=[("Y", (f"property {len(modes.PROPERTIES)}", f"item {len(modes.ITEMS)}"), "output"),
                ("W_l", (modes.HIDDEN, modes.HIDDEN), "ffn"), ("a", (f"mode {len(s)}",), "ffn")],
        numbers=rf"\begin{{gathered}}s = ({', '.join(f'{v:.2f}' for v in s)})\\[.3em] a = ({', '.join(f'{v:.2f}' for v in a)})"
                rf"\\[.3em] \text{{after }}{steps[point]}\text{{ steps}}\end{{gathered}}",
    )  # fmt: skip
    with code_place:
        lesson.code([modes.course, modes.closed_form, modes.target_modes],
                    words.SNIPPET[LEARNING].format(depth=here[0], start=here[1]))
    lesson.downloads(
        table={"step": steps} | {f"{name}, mean": strength[at, size, :, i].mean(0) for i, name in enumerate(modes.MODES)}
        | {"loss, mean": loss[at, size].mean(0)},
        config={"layers": here[0], "start": here[1], "rate": modes.RATE},
    )  # fmt: skip


@st.cache_data(max_entries=64, show_spinner="Singular values of every head…")
def heads_of(name: str, layer: int) -> np.ndarray:
    return collapse.value_output(models.loaded(name)[0], layer).numpy()


def heads_stand(heads: int, most: int) -> tuple[int, int]:
    return (url.url_state("head", HEAD, int, range(heads).__contains__),
            url.url_state("i", INDEX, int, range(1, most + 1).__contains__))  # fmt: skip


def keep_heads(heads: int, most: int) -> None:
    if (said := held.said("heads", "stand")) is None:
        return
    if said.get("frame") in range(heads):
        url.set_url_state("head", said["frame"], HEAD)
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("i", int(at), INDEX)
    held.reported("heads", heads_stand(heads, most))


@st.fragment
def draw_heads() -> None:
    """A real head's two linear layers."""
    name = models.chosen() if models.loaded(models.chosen()) is not None else "tiny"
    config = models.loaded(name)[0].config
    lesson.show_model(models.TITLES[name], "tiny" if name == "tiny" else "live")
    most = min(config.d_model, 2 * config.d_head)
    with st.container(key="gf-stage"):
        with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
            layers = list(range(config.n_layers))
            layer = choose("Layer", layers, config.n_layers // 2, "layer")
        singular = heads_of(name, layer)
        here = heads_stand(config.n_heads, most)
        (head, index), epoch = held.to_send("heads", here)

        def message(one: int) -> bytes:
            return linear_depth.heads(heads_of(name, one), Choice("Head", list(range(config.n_heads)), head), one,
                                      config.d_head, cursor=index, epoch=epoch)  # fmt: skip

        with st.container(key="gf-picture"):
            curves.mount(key="heads", on_stand_change=lambda: keep_heads(config.n_heads, most),
                         data=ahead(message, Box("layer", layers, layer)))
        own = singular[here[0]]
        st.caption(f"{models.TITLES[name]}: W_O W_V of a head is a matrix of {config.d_model} × {config.d_model}, "
                   f"made of two "
                   f"of {config.d_model} × {config.d_head}. Computed whole, in float64: its rank is "
                   f"{collapse.rank(torch.tensor(own))}; what stands beyond {config.d_head} is rounding.")  # fmt: skip
    lesson.formula(
        words.FORMULA[HEADS],
        shapes=[("W_V", (config.d_head, config.d_model), "value"), ("W_O", (config.d_model, config.d_head), "output"),
                ("W_O W_V", (config.d_model, config.d_model), "value")],
        numbers=rf"\operatorname{{rank}}(W_O W_V) = {collapse.rank(torch.tensor(own))} \le {config.d_head},\quad "
                rf"\sigma_1 = {own[0]:.3f},\ \sigma_{{{config.d_head}}} = {own[config.d_head - 1]:.3g}",
    )  # fmt: skip
    given = {"model": name, "layer": layer, "head": here[0]}
    with code_place:
        lesson.code([collapse.value_output, collapse.rank],
                    words.SNIPPET[HEADS].format_map({k: repr(v) for k, v in given.items()}))
    table = {"index": np.arange(1, len(own) + 1)} | {f"head {h}": of for h, of in enumerate(singular)}
    lesson.downloads(table=table, config=given)


lesson, live = Lesson("D5"), Training("D5")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    if view == BOUNDARY:
        lesson.show_model("Our own stacks", "tiny")
        live.watch(draw_boundary)()
    else:
        {LEARNING: draw_learning, HEADS: draw_heads}[view]()
with after:
    ends = {(depth, bend): float(np.mean([recorded()[0]["spiral", depth, bend, seed][-1].accuracy for seed in SEEDS]))
            for depth in boundary.DEPTHS for bend in ("linear", BEND)}  # fmt: skip
    half = {depth: half_learned(depth) for depth in (1, DEPTH)}
    lesson.prose(**words.prose(ends[2, "linear"], ends[DEEP, "linear"], ends[2, BEND], ends[DEEP, BEND], data=DATA["spiral"],
                               depth=DEEP, bend=BENDS[BEND], seeds=len(SEEDS), half=half))  # fmt: skip
    lesson.predict(**words.predict(ends[2, "linear"], ends[DEEP, "linear"], DATA["spiral"], DEEP))
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
