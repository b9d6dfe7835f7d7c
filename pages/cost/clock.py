"""G3, How long it takes: the roofline of a pass on any machine, and a real model on the clock beside it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import clock as charts
from charts import curves
from pages.cost import clock_words as words
from pages.cost.clock_words import ANY, HERE, VIEWS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.known_models import TEXT
from pages.shared.lesson import Lesson
from pages.shared.own_numbers import OWN, as_python, own_config, with_others
from pages.shared.training import Training
from transformer import PRESETS, Config, roofline
from transformer.experiments import clocked
from transformer.roofline import MACHINES, Machine, Work

FIRST = "Llama 2 7B"
LENGTHS = [2**k * half // 2 for k in range(7, 17) for half in (2, 3)] + [2**17]
PASSES = {"read n": "read", "write the next": "write", "train a step": "train"}
BATCHES = [1, 4, 16, 64, 256]
BITS = {"32": 4, "16": 2, "8": 1}  # of a value, and its bytes
PARTS = {  # bands of the picture -> the parts of roofline.work
    "projections": ("query", ("Q", "K", "V", "out")), "S and z": ("attention", ("scores", "z")), "FFN": ("ffn", ("ffn",)),
    "logits": ("output", ("logits",)), "AdamW": ("residual", ("optimiser",)),
}  # fmt: skip
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "clock.json"
CLOCKED = "smollm2-135m"


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    n: int
    passing: str
    machine: str
    batch: int
    bits: str


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    numbers: str


@functools.cache
def recorded() -> dict:
    return json.loads(MEASURED.read_text("utf-8"))


def recorded_machine(model: str) -> Machine:
    of = recorded()["measured"][model]
    return Machine(f"{recorded()['machine']}, float32", of["flops"], of["bandwidth"])


def machines() -> dict[str, Machine]:
    return MACHINES | {"this project's": recorded_machine(CLOCKED)}


def stand() -> Stand:
    if view == HERE:
        return Stand(view, url.url_state("n", 128, int, clocked.LENGTHS.__contains__), "read n", "", 1, "32")
    return Stand(
        view,
        url.url_state("n", 1024, int, LENGTHS.__contains__),
        url.url_state("pass", "read n", str, PASSES.__contains__),
        url.url_state("machine", "A100", str, machines().__contains__),
        url.url_state("batch", 1, int, BATCHES.__contains__),
        url.url_state("bits", "16", str, BITS.__contains__),
    )


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("curves", "stand")) is None:
        return
    lengths, usual = (clocked.LENGTHS, 128) if view == HERE else (LENGTHS, 1024)
    if said.get("cursor") in lengths:
        url.set_url_state("n", int(said["cursor"]), usual)
    if view == ANY:
        sliders = (("pass", PASSES, "read n"), ("machine", machines(), "A100"), ("batch", BATCHES, 1), ("bits", BITS, "16"))
        for (name, allowed, start), value in zip(sliders, said.get("frames") or (), strict=False):
            if value in allowed:
                url.set_url_state(name, value, start)
    held.reported("curves", stand())


def work_of(config: Config, passing: str, n: int, batch: int, width: int) -> dict[str, Work]:
    if passing == "train":
        return roofline.training_work(config, n, batch, width)
    if passing == "write" and config.kind == "decoder":
        return roofline.work(config, 1, batch, cached=n, bytes_per_value=width)
    return roofline.work(config, n, batch, bytes_per_value=width)


@st.cache_data(max_entries=16, show_spinner="Counting…")
def surveyed(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ms [part, pass, machine, batch, bits, length], FLOPs a byte likewise with one machine, and those of all parts)."""
    shape = (len(PASSES), len(BATCHES), len(BITS), len(LENGTHS))
    ms = np.full((len(PARTS), shape[0], len(machines()), *shape[1:]), np.nan)
    asked, whole = np.full((len(PARTS), *shape), np.nan), np.zeros(shape)
    for where in np.ndindex(shape):
        p, b, w, i = where
        found = work_of(config, list(PASSES.values())[p], LENGTHS[i], BATCHES[b], list(BITS.values())[w])
        whole[where] = roofline.together(found.values()).intensity
        for k, (_, names) in enumerate(PARTS.values()):
            one = {name: found[name] for name in names if name in found}
            if not one:
                continue
            asked[(k, *where)] = roofline.together(one.values()).intensity
            for m, machine in enumerate(machines().values()):
                ms[k, p, m, b, w, i] = 1e3 * roofline.seconds(roofline.on(machine, one))
    return ms, asked[:, :, None], whole[:, None]


def show_any(picture: DeltaGenerator) -> Shown:
    here = stand()
    shown, epoch = held.to_send("curves", here)
    ridge = np.array([machine.ridge for machine in machines().values()]).reshape(1, -1, 1, 1, 1)

    def message(one: Config, title: str) -> bytes:
        return charts.least(
            np.array(LENGTHS), [(name, role) for name, (role, _) in PARTS.items()], *surveyed(one), ridge,
            [curves.Choice("Pass", list(PASSES), shown.passing), curves.Choice("Machine", list(machines()), shown.machine),
             curves.Choice("Texts at once", BATCHES, shown.batch), curves.Choice("Bits a value", list(BITS), shown.bits)],
            model=title, cursor=shown.n, epoch=epoch,
        )  # fmt: skip

    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=with_others(message, title))
        st.caption("Peaks and bandwidths as the makers state them for 16-bit products; “this project's” was measured in "
                   f"float32 ({recorded()['machine']}). Fewer bits move fewer bytes; the arithmetic is counted at the same peak."
                   + ("" if config.kind == "decoder" else " An encoder writes nothing: “write the next” shows it reading."))  # fmt: skip
    machine, width = machines()[here.machine], BITS[here.bits]
    ms = surveyed(config)[0]
    found = roofline.on(machine, work_of(config, PASSES[here.passing], here.n, here.batch, width))
    lines = [rf"\text{{{part}: }} \max\!\left(\tfrac{{{tex(p.flops)}}}{{{tex(machine.flops)}}},\,"
             rf"\tfrac{{{tex(p.traffic)}}}{{{tex(machine.bandwidth)}}}\right) = {p.seconds * 1e3:.3g}\text{{ ms}}"
             for part, p in found.items()]  # fmt: skip
    at = (list(PASSES).index(here.passing), list(machines()).index(here.machine), BATCHES.index(here.batch),
          list(BITS).index(here.bits))  # fmt: skip
    return Shown({"n": LENGTHS} | {f"{name} ms": ms[(k, *at)] for k, name in enumerate(PARTS)},
                 r"\small\begin{gathered}" + r"\\".join(lines) + r"\end{gathered}")  # fmt: skip


def show_here(picture: DeltaGenerator) -> Shown:
    """Measured live where the model is here and the learner asks, else as recorded."""
    with picture:
        name = models.chosen() if models.loaded(models.chosen()) is not None else CLOCKED
        runs, ready = {}, models.loaded(name)
        if ready is not None:
            lengths = [n for n in clocked.LENGTHS if n < ready[0].config.max_len]
            runs = live.panel(f"Measure {models.TITLES[name]} on this machine · about 20 s",
                              {name: functools.partial(clocked.clock, ready[0], lengths)}, len(lengths) + 1, "length")  # fmt: skip
        reports = runs[name].reports if name in runs else []
        if len(reports) > 1:
            machine, *found = reports
            model_config, where = ready[0].config, "this machine, one thread, measured just now"
        else:
            name = name if name in recorded()["measured"] else CLOCKED
            of, machine = recorded()["measured"][name], recorded_machine(name)
            found = [clocked.Clocked(*row) for row in zip(of["n"], of["read"], of["write"], strict=True)]
            model_config = models.loaded("tiny")[0].config if name == "tiny" else PRESETS[name]
            where = f"recorded: {recorded()['machine']}, {recorded()['date']}"
        here = stand()
        shown, epoch = held.to_send("curves", here)
        low = [clocked.least(model_config, one.n, machine) for one in found]
        ns = np.array([one.n for one in found])
        read, write = (np.array([getattr(one, what) for one in found]) * 1e3 for what in ("read", "write"))
        read_least, write_least = (np.array([getattr(one, what) for one in low]) * 1e3 for what in ("read", "write"))
        if len(ns) > 1:
            curves.mount(key="curves", on_stand_change=keep, data=charts.measured(
                ns, read, read_least, write, write_least, model=models.TITLES[name], where=where, cursor=shown.n, epoch=epoch,
            ))  # fmt: skip
        ratios = clocked.error(read, read_least), clocked.error(write, write_least)
        st.markdown(f"Measured ÷ least, geometric mean over n = {ns[0]} … {ns[-1]}: **{ratios[0]:.2f} ×** to read, "
                    f"**{ratios[1]:.2f} ×** to write. The machine: {machine.flops / 1e9:.0f} GFLOP/s, "
                    f"{machine.bandwidth / 1e9:.1f} GB/s, ridge {machine.ridge:.1f} FLOPs a byte. The tokens are drawn from the "
                    "vocabulary, the length as seed: which they are is no matter to the clock.")  # fmt: skip
    i = int(np.abs(ns - here.n).argmin())
    return Shown(
        {"n": ns, "read ms": read, "read least ms": read_least, "write ms": write, "write least ms": write_least},
        rf"n = {ns[i]}:\quad \frac{{{read[i]:.3g}}}{{{read_least[i]:.3g}}} = {read[i] / read_least[i]:.2f} \text{{ to read}},\quad "
        rf"\frac{{{write[i]:.3g}}}{{{write_least[i]:.3g}}} = {write[i] / write_least[i]:.2f} \text{{ to write}}",
    )


def tex(number: float) -> str:
    mantissa, exponent = f"{number:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change, or when a measurement comes in."""
    with st.container(key="gf-stage"):
        found = (show_any if view == ANY else show_here)(st.container(key="gf-picture"))
    here = stand()
    lesson.formula(r"\begin{gathered}" + r"\\[.8em]".join(words.FORMULAS[view]) + r"\end{gathered}", numbers=found.numbers)
    machine = machines()[here.machine] if view == ANY else recorded_machine(CLOCKED)
    made = f'PRESETS["{TEXT[title]}"]' if view == ANY and title in TEXT else as_python(config)
    width = BITS[here.bits]
    call = {
        "read": f"roofline.work(config, {here.n}, {here.batch}, bytes_per_value={width})",
        "write": f"roofline.work(config, 1, {here.batch}, cached={here.n}, bytes_per_value={width})",
        "train": f"roofline.training_work(config, {here.n}, {here.batch}, {width})",
    }[PASSES[here.passing]]
    with code_place:
        lesson.code([roofline.work, roofline.training_work, roofline.roofline, roofline.measure, clocked.clock, clocked.least],
                    words.SNIPPET.format(config=made, machine_name=machine.name, flops=machine.flops,
                                         bandwidth=machine.bandwidth, work=call))  # fmt: skip
    lesson.downloads(table=found.table, config={"model": title, "config": config.to_dict()} | here._asdict())


def predict() -> None:
    llama, a100 = PRESETS["llama-2-7b"], MACHINES["A100"]
    one, many = (roofline.seconds(roofline.roofline(llama, 1, a100, batch=b, cached=128)) for b in (1, 16))
    lesson.predict(
        f"Llama 2 7B writes on an A100, 128 tokens behind it: {one * 1e3:.2f} ms a step for one text. How long does a step "
        "take for **sixteen** texts at once?",
        ["about as long", "four times as long", "sixteen times as long"],
        "about as long",
        f"{many * 1e3:.2f} ms, {many / one:.2f} times: the weights are read once for all of them, and only the caches are each "
        f"text's own. So sixteen users get {16 * one / many:.1f} times as many tokens a second from the same card.",
    )


lesson, live = Lesson("G3"), Training("G3")
lesson.header(words.LOOK_FOR)
with st.container(horizontal=True, vertical_alignment="bottom"):
    view = lesson.view(VIEWS)
    title, config = models.TITLES[CLOCKED], PRESETS[CLOCKED]
    if view == ANY:
        with st.container(width=260):
            title = choose("Whose time", [*TEXT, OWN], FIRST, "arch")
if view == ANY:
    config = own_config() if title == OWN else PRESETS[TEXT[title]]
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    live.watch(draw)(code_place)
with below:
    lesson.prose(**words.PROSE[view])
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
