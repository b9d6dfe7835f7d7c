"""The views of F2 on distillation: students trained with a teacher and without, what the teacher knows, and why T²."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import distillation as charts
from charts.curves import Choice
from charts.distillation import ALONE, TAUGHT, TEACHER
from pages.shared import held, url
from pages.shared.lesson import Lesson
from pages.shared.pool import Job
from pages.shared.training import Training
from pages.training import distillation_words as words
from pages.training.distillation_words import DARK, DIGITS, LETTERS, SCALE
from transformer import losses, sampling
from transformer.experiments import softened
from transformer.training import distil, objectives
from transformer.training.distil import Task

CLOCK = distil.FILE.with_name("students.json")
STEPS = np.arange(0, distil.STEPS + 1, distil.EVERY)
TASK: dict[str, Task] = {DIGITS: "digits", LETTERS: "letters"}
AMOUNT = {"digits": "Digits whose class is told", "letters": "Letters of text"}
T, MIX = distil.SHIPPED
LIVE_SEEDS = 3
MEASURES = "accuracy", "loss"
SHOWN, FIRST = 24, 2  # the second: the teacher is right and nearly unsure, the student alone is wrong
WHO = {"before training": "untrained", "alone": "alone", "with the teacher": "taught"}
BOTH = {"digits": "digits", "letters": "letters"}
HEATS = np.geomspace(0.5, 50, 61)
HEAT = 5.0


class RunsStand(NamedTuple):
    """Where the picture of the runs stands, by the link."""

    view: str
    step: float
    amount: int
    temperature: float
    mix: float


@functools.cache
def recorded() -> dict:
    return json.loads(distil.FILE.read_text("utf-8"))


@functools.cache
def clock() -> dict:
    return json.loads(CLOCK.read_text("utf-8"))


def seeds_of(task: Task, amount: int, temperature: float, mix: float, field: str) -> np.ndarray:
    """[seed, step]"""
    found = recorded()["runs"][distil.name_of(task, amount, temperature, mix)]
    return np.array([run[field] for run in found], np.float32)


@functools.cache
def grid(task: Task) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, float]]:
    """By field: the runs alone [amount, 1, 1, seed, step], taught [amount, T, λ, seed, step], and the teacher."""
    fields, amounts = ("accuracy", "loss", "agreement"), distil.AMOUNTS[task]
    alone = {f: np.stack([seeds_of(task, a, 1.0, 0.0, f) for a in amounts])[:, None, None] for f in fields}
    taught = {f: np.array([[[seeds_of(task, a, t, mix, f) for mix in distil.MIXES] for t in distil.TEMPERATURES]
                           for a in amounts]) for f in fields}  # fmt: skip
    at = distil.look(distil.teacher(task)[0], task, 0)
    return alone, taught, {"accuracy": at.accuracy, "loss": at.loss}


def runs_stand(view: str) -> RunsStand:
    amounts = distil.AMOUNTS[TASK[view]]
    return RunsStand(
        view,
        url.url_state("step", float(STEPS[-1]), float, lambda t: 0 <= t <= STEPS[-1]),
        url.url_state("told", amounts[0], int, amounts.__contains__),
        url.url_state("T", T, float, distil.TEMPERATURES.__contains__),
        url.url_state("mix", MIX, float, distil.MIXES.__contains__),
    )


def keep_runs(view: str) -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("curves", "stand")) is None:
        return
    if isinstance(at := said.get("cursor"), int | float) and 0 <= at <= STEPS[-1]:
        url.set_url_state("step", float(at), float(STEPS[-1]))
    amounts = distil.AMOUNTS[TASK[view]]
    ways = ("told", amounts, amounts[0]), ("T", distil.TEMPERATURES, T), ("mix", distil.MIXES, MIX)
    for (key, allowed, usual), value in zip(ways, said.get("frames") or (), strict=False):
        if value in allowed:
            url.set_url_state(key, allowed[allowed.index(value)], usual)
    held.reported("curves", runs_stand(view))


def works_of(task: Task, here: RunsStand) -> dict:
    ways = dict.fromkeys([(1.0, 0.0), (here.temperature, here.mix) if here.mix else (1.0, 0.0)])
    return {(task, here.amount, t, mix, seed): functools.partial(distil.train, task, here.amount, t, mix, seed)
            for seed in range(LIVE_SEEDS) for t, mix in ways}  # fmt: skip


def core_seconds(task: Task, works: Mapping) -> float:
    """What the same runs took when they were recorded."""
    runs = recorded()["runs"]
    return sum(np.mean([run["core_seconds"] for run in runs[distil.name_of(*key[:4])]]) for key in works)


def own_runs(runs: Mapping[tuple, Job]) -> dict[str, list[dict[str, np.ndarray]]]:
    found: dict[str, list[dict[str, np.ndarray]]] = {ALONE: [], TAUGHT: []}
    for (*_, mix, _seed), job in runs.items():
        if job.reports:
            columns = {field: np.array([getattr(at, field) for at in job.reports], np.float32) for field in MEASURES}
            found[TAUGHT if mix else ALONE].append(columns)
    return found


def sizes(task: Task) -> str:
    """Parameters, bytes and time of both, as a list in Markdown."""
    teacher, student = (clock()["measured"][f"{task} {who}"] for who in ("teacher", "student"))
    one = "one digit" if task == "digits" else f"{distil.LENGTH} letters"
    rows = [("parameters", "parameters", "{:,}", 1), ("kB in float16", "parameters", "{:,.0f}", 2e-3),
            (f"ms for {one}", "one", "{:.2f}", 1e3), ("ms for 24 such at once", "many", "{:.2f}", 1e3)]  # fmt: skip
    return "**Teacher → student**\n" + "\n".join(
        f"- {form.format(teacher[key] * unit)} → {form.format(student[key] * unit)} {name}: "
        f"**{teacher[key] / student[key]:.0f}×** less"
        for name, key, form, unit in rows
    )


def draw_runs(lesson: Lesson, live: Training, view: str, code_place: DeltaGenerator) -> None:
    """All that follows the controls of the runs: it alone runs again when they change, or when a run reports."""
    task, here = TASK[view], runs_stand(view)
    alone, taught, teacher = grid(task)
    amounts, made = distil.AMOUNTS[task], recorded()["made"]
    picture, controls = lesson.stage(0.34)
    with controls:
        works = works_of(task, here)
        label = f"Train {LIVE_SEEDS} of each yourself · about {core_seconds(task, works):.0f} s of a processor core"
        runs = live.panel(label, works, len(STEPS), "report")
        st.markdown(sizes(task))
        st.caption(
            f"Bands: recorded, {len(distil.SEEDS[task])} seeds, lines their middle; yours lie over them, dashed. "
            f"`{made['command']}`, {made['date']}; times on {clock()['machine']}, the quickest of many."
        )
    shown, epoch = held.to_send("curves", here)
    with picture:
        curves.mount(key="curves", on_stand_change=functools.partial(keep_runs, view), data=charts.runs(
            f"distillation-{task}", STEPS, alone, taught, teacher, own_runs(runs),
            [Choice(AMOUNT[task], list(amounts), shown.amount),
             Choice("T", list(distil.TEMPERATURES), shown.temperature),
             Choice("λ, weight of the teacher", list(distil.MIXES), shown.mix)],
            what=task, cursor=shown.step, epoch=epoch,
        ))  # fmt: skip
        at = amounts.index(here.amount), distil.TEMPERATURES.index(here.temperature), distil.MIXES.index(here.mix)
        ends = {f: (alone[f][at[0], 0, 0, :, -1].tolist(), taught[f][*at, :, -1].tolist()) for f in MEASURES}
        outcomes = {f: distil.compare(*of, more_is_better=f == "accuracy") for f, of in ends.items()}
        measure, other = ("accuracy", "loss") if task == "digits" else ("loss", "accuracy")
        form = "{:.0%} right" if measure == "accuracy" else "{:.2f} nats"
        reach = [tuple(form.format(end) for end in (min(of), max(of))) for of in ends[measure]]
        st.markdown(words.verdict(outcomes[measure], outcomes[other], *reach, len(distil.SEEDS[task]),
                                  "loss" if other == "loss" else "the share that is right"))
    last = {who: float(np.median(of)) for who, of in zip((ALONE, TAUGHT), ends["accuracy"], strict=True)}
    lesson.formula(
        words.FORMULAS[view],
        shapes=[("v", ("batch", classes_of(task)), "attention"), ("z", ("batch", classes_of(task)), "value")],
        numbers=rf"\lambda = {here.mix:g},\ T = {here.temperature:g},\ "
                rf"\lambda T^2 = {here.mix * here.temperature**2:g}:\quad "
                rf"\text{{right, middle seed: }} {last[ALONE]:.3f} \to {last[TAUGHT]:.3f}",
    )  # fmt: skip
    with code_place:
        lesson.code([losses.distillation, objectives.distilled, distil.train], words.SNIPPET[view].format(
            task=task, amount=here.amount, T=here.temperature, mix=here.mix))  # fmt: skip
    shown_runs = (ALONE, alone, (at[0], 0, 0)), (TAUGHT, taught, at)
    table = {"step": STEPS} | {f"{who} {field} seed {seed}": run for who, of, place in shown_runs for field in of
                               for seed, run in enumerate(of[field][place])}  # fmt: skip
    lesson.downloads(table=table, config={"task": task, "told": here.amount, "T": here.temperature, "lambda": here.mix})


def classes_of(task: Task) -> int:
    return distil.unseen(task).teacher.shape[-1]


@functools.cache
def known_answers() -> tuple[np.ndarray, dict[str, np.ndarray], list[str], list[int]]:
    """images [digit, row, col], shares who -> [digit, T, class], what each shows, and their places among the unseen."""
    unseen, at = distil.unseen("digits"), distil.telling(SHOWN)
    with torch.no_grad():
        logits = {TEACHER: unseen.teacher[at]} | {who: distil.shipped("digits", name)(unseen.read[at])
                                                  for who, name in ((ALONE, "alone"), (TAUGHT, "taught"))}  # fmt: skip
    shares = {who: torch.stack([sampling.tempered(of, heat) for heat in distil.TEMPERATURES], 1).numpy()
              for who, of in logits.items()}  # fmt: skip
    titles = [f"A {true}, in truth" for true in unseen.target[at].tolist()]
    return unseen.read[at, 0].numpy(), shares, titles, at.tolist()


def keep_dark() -> None:
    if (said := held.said("matrices", "stand")) is None:
        return
    if said.get("frame") in range(1, SHOWN + 1):
        url.set_url_state("digit", said["frame"], FIRST)
    held.reported("matrices", dark_stand())


def dark_stand() -> int:
    return url.url_state("digit", FIRST, int, range(1, SHOWN + 1).__contains__)


@st.fragment
def draw_dark(lesson: Lesson, code_place: DeltaGenerator) -> None:
    images, shares, titles, places = known_answers()
    hottest = distil.TEMPERATURES[-1]
    frame, epoch = held.to_send("matrices", dark_stand())
    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        matrices.mount(key="matrices", on_stand_change=keep_dark, data=charts.answers(
            images, shares, distil.alike(hottest).numpy(), distil.TEMPERATURES, titles, hottest,
            frames=Choice("Digit, the one that the teacher doubts most first", list(range(1, SHOWN + 1)), frame),
            epoch=epoch,
        ))  # fmt: skip
        true, answer, least = distil.nearest(hottest)
        mean = distil.alike(hottest)
        st.caption(
            f"The nearest pair on average: a true {true} is a {answer} with {mean[true, answer]:.2f}, and a {least} "
            f"with only {mean[true, least]:.3f}; the lower colours are full from {2 * mean[true, answer]:.2f} on. "
            f"{SHOWN} of the {len(distil.unseen('digits').target)} digits that neither has learnt from. Alone and "
            f"taught: {distil.AMOUNTS['digits'][0]} digits told, seed 0, the taught one at T = {T:g}, λ = {MIX:g}."
        )
    i = dark_stand() - 1
    q = shares[TEACHER][i]  # [T, class]
    classes, second = q.shape[-1], int(np.argsort(q[0])[-2])
    told = (rf"q_{{{second}}}^{{({heat:g})}} = {q[t, second]:.3g}" for t, heat in enumerate(distil.TEMPERATURES))
    lesson.formula(
        words.FORMULAS[DARK], shapes=[("v", (classes,), "attention"), ("q", (classes,), "attention")],
        numbers=r",\quad ".join(told),
    )  # fmt: skip
    true, temperatures = distil.unseen("digits").target[places[i]].item(), list(distil.TEMPERATURES)
    with code_place:
        lesson.code([sampling.tempered, distil.telling, distil.alike],
                    words.SNIPPET[DARK].format(digit=places[i], true=true, temperatures=temperatures))
    table = {f"{who}: {c}": of[i, :, c] for who, of in shares.items() for c in range(classes)}
    lesson.downloads(table={"temperature": temperatures} | table, config={"digit": places[i]})


@functools.cache
def all_lengths() -> softened.Lengths:
    """kept, bare [task, student, T], limit, hard [task, student, 1]"""
    found = []
    for task in BOTH.values():
        unseen = distil.unseen(task)
        for who in WHO.values():
            with torch.no_grad():
                z = distil.shipped(task, who)(unseen.read).flatten(0, -2)
            teacher, target = unseen.teacher.flatten(0, -2), unseen.target.flatten()
            found.append(softened.gradient_lengths(z, teacher, target, HEATS.tolist()))
    shape = len(BOTH), len(WHO), -1
    return softened.Lengths(*(torch.stack(of).reshape(shape) for of in zip(*found, strict=True)))


def scale_stand() -> tuple[str, str, float]:
    return (url.url_state("task", "digits", str, BOTH.__contains__),
            url.url_state("student", list(WHO)[0], str, WHO.__contains__),
            url.url_state("heat", HEAT, float, lambda t: HEATS[0] <= t <= HEATS[-1]))  # fmt: skip


def keep_scale() -> None:
    if (said := held.said("lengths", "stand")) is None:
        return
    if isinstance(at := said.get("cursor"), int | float) and HEATS[0] <= at <= HEATS[-1]:
        url.set_url_state("heat", float(f"{at:.4g}"), HEAT)
    ways = ("task", BOTH, "digits"), ("student", WHO, list(WHO)[0])
    for (key, allowed, usual), value in zip(ways, said.get("frames") or (), strict=False):
        if value in allowed:
            url.set_url_state(key, value, usual)
    held.reported("lengths", scale_stand())


@st.fragment
def draw_scale(lesson: Lesson, code_place: DeltaGenerator) -> None:
    found = all_lengths()
    here = scale_stand()
    (task, who, heat), epoch = held.to_send("lengths", here)
    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        curves.mount(key="lengths", on_stand_change=keep_scale, data=charts.lengths(
            HEATS, *(of.numpy() for of in found), cursor=heat, epoch=epoch,
            frames=[Choice("Both read", list(BOTH), task), Choice("Student", list(WHO), who)],
        ))  # fmt: skip
        st.caption(
            "Autograd's, through the very loss that trains, at λ = 1: lengths of the gradient with respect to the "
            "student's logits, mean over what is held out. Both students learnt from "
            f"{distil.AMOUNTS['digits'][0]} told digits or {distil.AMOUNTS['letters'][0]:,} letters."
        )
    at = list(BOTH).index(here[0]), list(WHO).index(here[1])
    i = int(np.abs(HEATS - here[2]).argmin())
    axes = "example", classes_of(BOTH[here[0]])
    lesson.formula(
        words.FORMULAS[SCALE], shapes=[("z", axes, "value"), ("v", axes, "attention")],
        numbers=rf"T = {HEATS[i]:.3g}:\quad {found.bare[*at, i]:.3g} \cdot {HEATS[i]:.3g}^2 = "
                rf"{found.kept[*at, i]:.3g},\qquad "
                rf"T \to \infty:\ {found.limit[*at, 0]:.3g}",
    )  # fmt: skip
    with code_place:
        lesson.code([softened.gradient_lengths, losses.distillation],
                    words.SNIPPET[SCALE].format(task=BOTH[here[0]], who=WHO[here[1]], T=HEATS[i]))
    lesson.downloads(table={"T": HEATS, "with T²": found.kept[at].numpy(), "without": found.bare[at].numpy()},
                     config={"task": here[0], "student": here[1]})


def predict(lesson: Lesson) -> None:
    """On what temperature does to the gradient, answered by the student before training."""
    z, unseen = distil.shipped("digits", "untrained"), distil.unseen("digits")
    with torch.no_grad():
        logits = z(unseen.read)
    found = softened.gradient_lengths(logits, unseen.teacher, unseen.target, [10.0, 50.0])
    lesson.predict(
        "A student is taught at $T = 10$ and somebody has forgotten the factor $T^2$. Now $T$ is raised to 50. What "
        "becomes of the length of the teacher's gradient?",
        words.T2_OPTIONS, words.T2_OPTIONS[2],
        f"{found.bare[0]:.2g} becomes {found.bare[1]:.2g}, {found.bare[0] / found.bare[1]:.0f} times less: it "
        f"shrinks as "
        f"$1/T^2$ once $T$ is high. With the factor it is {found.kept[0]:.2g} and {found.kept[1]:.2g}.", key="_soft",
    )  # fmt: skip


def show(lesson: Lesson, live: Training, view: str) -> None:
    """One of the views, with all that stands around it."""
    lesson.show_model("Our own teacher and students", "tiny")
    stage, below, code_place, more = (st.container() for _ in range(4))
    with stage:
        if view in TASK:
            live.watch(draw_runs)(lesson, live, view, code_place)
        else:
            {DARK: draw_dark, SCALE: draw_scale}[view](lesson, code_place)
    with below:
        lesson.prose(**words.PROSE[view])
        predict(lesson)
    with more:
        lesson.interview(words.INTERVIEW)
        lesson.sources(words.SOURCES)
