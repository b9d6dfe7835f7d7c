"""F5, Learning rates and dropout: the schedule itself, and what it and dropout do to runs trained while the learner looks on."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import schedules as charts
from charts.ahead import Box, ahead
from pages.shared import held, url
from pages.shared.lesson import Lesson
from pages.shared.pool import Job
from pages.shared.training import Training
from pages.training import schedules_words as words
from pages.training.schedules_words import DROP, RATE, VIEWS, WARM
from transformer import schedule
from transformer.block import Block
from transformer.training import loop, rates

STEPS = np.arange(50, 20_001, 50)  # of the drawn schedule
WIDTHS, WARMUPS = [128, 256, 512, 1024, 2048], [500, 1000, 2000, 4000, 8000]
WIDTH, WARMUP = 512, 4000
KINDS = {"noam": "2017", "cosine": "cosine", "constant": "constant"}
NAMES = {title: kind for kind, title in KINDS.items()}
FLOOR_STEPS = int(STEPS[-1])
USUAL = {RATE: "2017", WARM: "constant"}  # what each picture opens with
WAYS = {f"warm-up {w}" if w else "no warm-up": w for w in rates.WARMUPS}


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    step: float
    kind: str
    width: int
    warmup: int
    way: str


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: Mapping
    numbers: str | None
    snippet: Mapping


def steps_of(view: str) -> np.ndarray:
    if view == RATE:
        return STEPS
    last, every = (rates.STEPS, rates.EVERY) if view == WARM else (rates.DROP_STEPS, rates.DROP_EVERY)
    return np.arange(every, last + 1, every)


def ways_of(view: str) -> list[str]:
    return list(WAYS) if view == WARM else [f"dropout {share:g}" for share in rates.DROPOUTS]


def stand() -> Stand:
    steps = steps_of(view)
    usual = WARMUP if view == RATE else int(steps[-1])
    return Stand(
        view,
        url.url_state("step", float(usual), float, lambda t: steps[0] <= t <= steps[-1]),
        url.url_state("kind", USUAL[view], str, NAMES.__contains__) if view != DROP else "",
        url.url_state("d", WIDTH, int, WIDTHS.__contains__) if view == RATE else WIDTH,
        url.url_state("warmup", WARMUP, int, WARMUPS.__contains__) if view == RATE else WARMUP,
        url.url_state("way", ways_of(view)[-1], str, ways_of(view).__contains__) if view != RATE else "",
    )


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("curves", "stand")) is None:
        return
    steps = steps_of(view)
    if isinstance(at := said.get("cursor"), int | float) and steps[0] <= at <= steps[-1]:
        url.set_url_state("step", float(at), float(WARMUP if view == RATE else steps[-1]))
    if view == RATE:
        for name, value, allowed, usual in zip(("d", "warmup"), said.get("frames") or (), (WIDTHS, WARMUPS), (WIDTH, WARMUP),
                                               strict=False):  # fmt: skip
            if value in allowed:
                url.set_url_state(name, value, usual)
        if said.get("pick") in NAMES:
            url.set_url_state("kind", said["pick"], USUAL[view])
    elif said.get("pick") in ways_of(view):
        url.set_url_state("way", said["pick"], ways_of(view)[-1])
    held.reported("curves", stand())


def made(kind: str, width: int, warmup: int) -> schedule.Schedule:
    """The three kinds with one warm-up; cosine and constant rise to the peak that the 2017 schedule has."""
    first = schedule.noam(width, warmup)
    if kind == "noam":
        return first
    return schedule.cosine(first(warmup), FLOOR_STEPS, warmup) if kind == "cosine" else schedule.constant(first(warmup), warmup)


@st.cache_data(show_spinner=False)
def drawn() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """kind -> lr [width, warm-up, step], and its peak [width, warm-up, 1]."""
    lr = {title: np.array([[[of(int(t)) for t in STEPS] for of in (made(kind, d, w) for w in WARMUPS)] for d in WIDTHS])
          for kind, title in KINDS.items()}  # fmt: skip
    return lr, {title: values.max(-1, keepdims=True) for title, values in lr.items()}


@functools.cache
def recorded() -> dict:
    return json.loads(rates.FILE.read_text("utf-8"))


def recorded_runs(name: str, field: str) -> np.ndarray:
    """[seed, report]"""
    return np.array([[np.nan if x is None else x for x in run[field]] for run in recorded()["runs"][name]], np.float32)


def own_runs(runs: Mapping[tuple, Job], key: Callable[[tuple], str], field: str) -> dict[str, list[np.ndarray]]:
    """way -> the learner's runs so far [report]."""
    found: dict[str, list[np.ndarray]] = {}
    for name, job in runs.items():
        found.setdefault(key(name), []).append(np.array([getattr(report, field) for report in job.reports], np.float32))
    return found


def show_rate(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption("Drawn by the very schedules that `fit` trains with. All three rise over the same warm-up to the same peak; the "
                   f"cosine ends at step {FLOOR_STEPS:,}, at a tenth of it.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    lr, peaks = drawn()
    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=charts.rates(
            STEPS, lr, peaks, widths=curves.Choice("d, width", WIDTHS, shown.width),
            warmups=curves.Choice("Warm-up w", WARMUPS, shown.warmup), picks=curves.Picks("Schedule", list(NAMES), shown.kind),
            cursor=shown.step, epoch=epoch,
        ))  # fmt: skip
    d, w, t = here.width, here.warmup, int(here.step)
    first = schedule.noam(d, w)
    return Shown(
        {"step": STEPS} | {title: values[WIDTHS.index(d), WARMUPS.index(w)] for title, values in lr.items()},
        rf"lr({t}) = {d}^{{-1/2}} \cdot \min({t**-0.5:.3g},\ {t * w**-1.5:.3g}) = {first(t):.3g}\qquad "
        rf"lr({w}) = \frac{{1}}{{\sqrt{{{d} \cdot {w}}}}} = {first(w):.3g}",
        {"d": d, "warmup": w, "t": t, "steps": FLOOR_STEPS},
    )  # fmt: skip


def works_of(kind: str) -> dict[tuple, Callable]:
    return {(kind, w, seed): functools.partial(rates.with_rate, kind, w, seed) for seed in rates.SEEDS for w in rates.WARMUPS}


def show_warm(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand()
    kind = NAMES[here.kind]
    with controls:
        st.radio("Schedule", list(NAMES), list(NAMES).index(here.kind), key="kind_box", horizontal=True, on_change=choose_kind)
        live.panel("Train 3 seeds with and 3 without · about 15 s", works_of(kind), rates.STEPS // rates.EVERY, "measurement")
        st.caption(f"{rates.LAYERS} layers, norm behind the sum, peak {rates.PEAK:g}, AdamW without clipping, one play. Bands: "
                   f"recorded, {len(rates.SEEDS)} seeds, from the lowest to the highest. Your runs lie over them, dashed."
                   + (" Without warm-up the 2017 rate falls as 1/√t from its first step on." if kind == "noam" else ""))  # fmt: skip
    here = stand()
    held.to_send("curves", here)
    titles = dict(zip(rates.WARMUPS, WAYS, strict=True))

    def ways_with(kind: str) -> dict[str, tuple[str, np.ndarray]]:
        return {way: (role, recorded_runs(f"{kind} {w}", "loss"))
                for (way, w), role in zip(WAYS.items(), ("negative", "positive"), strict=True)}  # fmt: skip

    def message(title: str) -> bytes:
        kind, ways = NAMES[title], ways_with(NAMES[title])
        shown, epoch = held.would_send("curves", here._replace(kind=title))
        rate = {way: 1e3 * recorded_runs(f"{kind} {w}", "lr") for way, w in WAYS.items()}
        panels = [("Training loss, nats a character", "training loss", {way: of for way, (_, of) in ways.items()}),
                  ("Learning rate, in units of 10⁻³", "rate, 10⁻³", rate)]  # fmt: skip
        mine = {name: job for name in works_of(kind) if (job := live.run(name)) is not None}
        own = {panels[0][0]: own_runs(mine, lambda name: titles[name[1]], "loss")}
        return charts.runs(
            "warm-up", steps_of(WARM), ways, panels, own, picks=curves.Picks("Read out", list(WAYS), shown.way), cursor=shown.step,
            sentence="step {x}, {pick}: {0} nats a character, the middle of 3 seeds", epoch=epoch,
        )  # fmt: skip

    ways = ways_with(kind)
    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=ahead(message, Box("kind_box", list(NAMES), here.kind, buttons=True)))
        final = {way: recorded_runs(f"{kind} {w}", "held_out")[:, -1] for way, w in WAYS.items()}
        st.markdown("Held out, recorded: " + " · ".join(f"{way} **{ends(of)}**" for way, of in final.items()) + ".")
    table = {"step": steps_of(WARM)} | {f"{way} seed {s}": run for way, (_, of) in ways.items() for s, run in enumerate(of)}
    return Shown(table, rf"lr(1) = {rates.schedule(kind, rates.WARMUPS[1])(1):.3g}\ \text{{with, }}"
                 rf"{rates.schedule(kind, 0)(1):.3g}\ \text{{without}}", {"kind": kind})  # fmt: skip


def show_drop(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    works = {(share, seed): functools.partial(rates.with_dropout, share, seed)
             for seed in rates.SEEDS[:1] for share in rates.DROPOUTS}  # fmt: skip
    with controls:
        runs = live.panel("Train one of each · about 35 s", works, rates.DROP_STEPS // rates.DROP_EVERY, "measurement")
        st.caption(f"Two layers that read the same {rates.KNOWN:,} characters again and again. Both losses are measured with nothing "
                   f"dropped. Bands: recorded, {len(rates.SEEDS)} seeds. Your runs lie over them, dashed.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    titles = [f"dropout {share:g}" for share in rates.DROPOUTS]
    roles = ("negative", "value", "attention", "positive")
    values = {field: {way: recorded_runs(f"dropout {share}", field) for way, share in zip(titles, rates.DROPOUTS, strict=True)}
              for field in ("known", "unseen")}  # fmt: skip
    panels = [("Loss on the rest of the play, unseen", "unseen", values["unseen"]),
              ("Loss on the text that it learns from", "known", values["known"])]  # fmt: skip
    own = {title: own_runs(runs, lambda name: f"dropout {name[0]:g}", field) for title, field, _ in panels}
    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=charts.runs(
            "dropout", steps_of(DROP), {way: (role, values["unseen"][way]) for way, role in zip(titles, roles, strict=True)}, panels,
            own, picks=curves.Picks("Read out", titles, shown.way), cursor=shown.step,
            sentence="step {x}, {pick}: {0} nats a character on what it has not seen, the middle of 3 seeds", epoch=epoch,
        ))  # fmt: skip
        best = {way: of.min(-1) for way, of in values["unseen"].items()}
        st.markdown("Lowest loss on the unseen part, recorded: " + " · ".join(f"{way} **{ends(of)}**" for way, of in best.items()) + ".")
    p = float(here.way.split()[1])
    table = {"step": steps_of(DROP)} | {f"{way} {field} seed {s}": run for field, of in values.items() for way, runs_ in of.items()
                                        for s, run in enumerate(runs_)}  # fmt: skip
    return Shown(table, rf"p = {p:g}:\quad \tilde x_i = {1 / (1 - p):.3g}\,x_i \text{{ or }} 0", {"share": p or 0.1})


def ends(values: np.ndarray) -> str:
    return f"{values.min():.2f}–{values.max():.2f}"


def choose_kind() -> None:
    url.set_url_state("kind", st.session_state["kind_box"], USUAL[view])


SHOW = {RATE: show_rate, WARM: show_warm, DROP: show_drop}
CODE = {
    RATE: [schedule.noam, schedule.cosine, schedule.constant],
    WARM: [rates.with_rate, rates.schedule, loop.fit],
    DROP: [rates.with_dropout, Block],
}


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change, or when a run reports."""
    found = SHOW[view](*lesson.stage(0.34))
    lesson.formula(r"\begin{gathered}" + r"\\[.8em]".join(words.FORMULAS[view]) + r"\end{gathered}", numbers=found.numbers)
    with code_place:
        lesson.code(CODE[view], words.SNIPPET[view].format(**found.snippet))
    lesson.downloads(table=found.table, config=dict(found.snippet) | stand()._asdict())


def predict() -> None:
    short, long = schedule.noam(512, 4000), schedule.noam(512, 16_000)
    options = ["the same", "half", "a quarter", "twice"]
    lesson.predict(
        "The 2017 schedule for d = 512 warms up over 4,000 steps. Somebody makes that 16,000 and changes nothing else. How "
        "high is the peak now, beside what it was?",
        options, options[1],
        f"{short(4000):.2e} becomes {long(16_000):.2e}, {long(16_000) / short(4000):.2f} times: the peak is "
        "$(d\\,w)^{-1/2}$, so four times the warm-up is half the peak, four times as late.",
    )  # fmt: skip


lesson, live = Lesson("F5"), Training("F5")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    live.watch(draw)(code_place)
with below:
    lesson.prose(**words.PROSE[view])
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
