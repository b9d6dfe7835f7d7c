"""What the lessons on depth show: recorded for their first sentence, live for any other; the runs a learner trains."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts.depth import Spread, Trained
from pages.shared.lesson import Lesson
from pages.shared.pool import Job
from transformer.experiments import depth
from transformer.recording import CAPITAL
from transformer.training import depth as training

MOST_BYTES = 64  # of a text that untrained stacks read
STEPS = np.arange(training.EVERY, training.STEPS + 1, training.EVERY, dtype=float)


@st.cache_resource(show_spinner=False)
def measured(file: str) -> dict:
    """assets/measured/<file>.json"""
    return json.loads((training.FOLDER / f"{file}.json").read_text("utf-8"))


def array(values: list) -> np.ndarray:
    """Numbers from JSON, None as nan; rows of unequal length are filled up with nan."""
    if values and isinstance(values[0], list) and len({len(row) for row in values}) > 1:
        most = max(map(len, values))
        values = [row + [None] * (most - len(row)) for row in values]
    return np.array(values, dtype=float)


@st.cache_resource(show_spinner=False)
def start(file: str) -> dict[str, dict[str, Spread]]:
    """variant -> field -> its spread [depth, place], on the lesson's own sentence."""
    return {variant: {field: tuple(array(spread[edge]) for edge in ("middle", "low", "high"))
                      for field, spread in fields.items()}
            for variant, fields in measured(file)["start"].items()}  # fmt: skip


def from_runs(runs: Mapping[str, Job], fields: Sequence[str]) -> dict[str, dict[str, Spread]]:
    """The same, from what live sweeps have reported so far."""
    found = {variant: job.reports[:] for variant, job in runs.items() if job.reports}
    return {variant: {field: tuple(x.numpy() for x in depth.spread(reports, field)) for field in fields}
            for variant, reports in found.items()}  # fmt: skip


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    numbers: str | None
    values: dict  # for the snippet
    shapes: list


def beside(lesson: Lesson, code_place: DeltaGenerator, shown: Shown, view: str, formula: str, functions: Sequence[Callable],
           snippet: str) -> None:  # fmt: skip
    """What stands around a picture of either lesson: its formula, code and downloads."""
    lesson.formula(formula, shapes=shown.shapes, numbers=shown.numbers)
    with code_place.container():
        lesson.code(functions, snippet.format_map({name: repr(value) for name, value in shown.values.items()}))
    lesson.downloads(table=shown.table, config=shown.values | {"view": view})


class Text(NamedTuple):
    """What the untrained stacks read."""

    text: str
    ids: tuple[int, ...]
    recorded: bool  # it is the lesson's own


def text_of(typed: str) -> Text:
    """The text's first bytes; the lesson's own sentence, with a word about it, where there are too few."""
    try:
        return Text(typed, tuple(depth.bytes_of(typed, MOST_BYTES)), typed == CAPITAL)
    except ValueError as problem:
        st.warning(str(problem), icon=":material/info:")
        return Text(CAPITAL, tuple(depth.bytes_of(CAPITAL, MOST_BYTES)), True)


def curve_of(file: str, setting: str) -> dict[str, np.ndarray]:
    """A recorded setting: loss, low, high [report], held_out [seed]."""
    run = measured(file)["runs"][setting]
    return {name: array(run[name]) for name in ("loss", "low", "high", "held_out")}


def recorded(file: str, settings: Sequence[str], shape: tuple[int, ...]) -> Spread:
    """The curves of these settings, laid out as frames [*shape, report]."""
    found = [curve_of(file, setting) for setting in settings]
    return tuple(np.stack([one[name] for one in found]).reshape(*shape, -1) for name in ("loss", "low", "high"))


def apart(file: str, settings: Sequence[str], shape: tuple[int, ...]) -> np.ndarray:
    """What tells tokens apart at the top in these settings, as frames [*shape, report]; nan where it was not recorded."""
    missing = [None] * len(STEPS)
    return np.stack([array(measured(file)["runs"][setting].get("apart", missing)) for setting in settings]).reshape(*shape, -1)


def live(job: Job, shape: tuple[int, ...], at: tuple[int, ...], field: str = "loss") -> np.ndarray:
    """What a run has reported so far, at its own frame; nan elsewhere [*shape, report]."""
    values = np.full((*shape, len(STEPS)), np.nan)
    reported = [getattr(report, field) for report in job.reports]
    values[at][: len(reported)] = reported
    return values


def with_live(trained: Trained, jobs: Sequence[Job], shape: tuple[int, ...], at: tuple[int, ...]) -> Trained:
    """The recorded curve with the learner's runs over it."""
    begun = [job for job in jobs if job.reports]
    return replace(trained, live=[live(job, shape, at) for job in begun],
                   live_apart=[live(job, shape, at, "apart") for job in begun])  # fmt: skip


class Answers(NamedTuple):
    """The likeliest next tokens before and after a cut, for every place and kind of it."""

    tokens: list  # pieces [place][kind][row]
    before: np.ndarray  # [place, kind, row]
    after: np.ndarray
    numbers: dict[str, np.ndarray]  # [place, kind] each


def text_key(text: Text) -> str:
    return text.text[:MOST_BYTES]


def power(x: float) -> str:
    """A number by its power of ten, in LaTeX."""
    digits, exponent = f"{x:.0e}".split("e")
    return rf"${digits} \cdot 10^{{{int(exponent)}}}$"
