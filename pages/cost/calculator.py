"""The cost calculator: any model, anything done with it, any machine; parameters, bytes, FLOPs and seconds by part."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import calculator as charts
from charts.ahead import Box, ahead
from charts.calculator import BITS
from pages.cost import calculator_words as words
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.known_models import NAMES
from pages.shared.lesson import Lesson, inert
from pages.shared.own_numbers import OWN, as_python, last_good, own_config, with_neighbours
from pages.shared.training import Training
from transformer import PRESETS, Config, calculator, memory, roofline
from transformer.experiments import clocked
from transformer.pretrained.config_file import LONGEST, compact, config_of
from transformer.roofline import MACHINES, Machine

FIRST, TINY, FILE = "Llama 3 8B", "Tiny model (ours)", "A config.json of yours"
DOINGS = {"read n tokens": "read", "write the next": "write", "write it without a cache": "write anew", "train a step": "train"}
LENGTHS = tuple(2**k for k in range(4, 18))
BATCHES = tuple(2**k for k in range(9))
MOST_TOKENS, MOST_TEXTS = 2**20, 4096  # that may be typed
RECORDED, MINE = "this project's server", "a machine of yours"
TITLES, PLACES = [*NAMES, TINY, OWN, FILE], [*MACHINES, RECORDED, MINE]
CLOCKED = "smollm2-135m"
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "clock.json"


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    doing: str
    n: int
    batch: int
    weights: str
    cache: str
    part: str


@functools.cache
def recorded() -> dict:
    return json.loads(MEASURED.read_text("utf-8"))


def recorded_machine() -> Machine:
    of = recorded()["measured"][CLOCKED]
    return Machine(RECORDED, of["flops"], of["bandwidth"])


def can(config: Config) -> list[str]:
    """What can be done with this model, as the picture calls it."""
    return [name for name, doing in DOINGS.items() if doing in calculator.doings(config)]


def patches(config: Config) -> int:
    """Tokens of an image: its patches and the class token."""
    return (config.image_size // config.patch_size) ** 2 + 1


def usual(config: Config) -> Stand:
    """What a link that says nothing shows."""
    doing = "write the next" if "write the next" in can(config) else "read n tokens"
    return Stand(doing, patches(config) if config.kind == "vision" else 8192, 8, "bfloat16", "bfloat16", "")


def stand(config: Config) -> Stand:
    at = usual(config)
    return Stand(
        url.url_state("do", at.doing, str, can(config).__contains__),
        at.n if config.kind == "vision" else url.url_state("n", at.n, int, range(1, MOST_TOKENS + 1).__contains__),
        url.url_state("batch", at.batch, int, range(1, MOST_TEXTS + 1).__contains__),
        url.url_state("bits", at.weights, str, BITS.__contains__),
        url.url_state("cache", at.cache, str, BITS.__contains__),
        url.url_state("part", at.part, str, ["", *charts.PARTS].__contains__),
    )


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("costs", "stand")) is None:
        return
    config = config_now()
    allowed = {"doing": can(config), "n": range(1, MOST_TOKENS + 1), "batch": range(1, MOST_TEXTS + 1), "weights": BITS,
               "cache": BITS, "part": ["", *charts.PARTS]}  # fmt: skip
    for field, start in usual(config)._asdict().items():
        if said.get(field) in allowed[field] and not (field == "n" and config.kind == "vision"):
            url.set_url_state({"doing": "do", "weights": "bits"}.get(field, field), said[field], start)
    held.reported("costs", stand(config))


# ---- whose cost, and on what ----


def config_now() -> Config:
    """The chosen model's config; of the learner's own numbers and file the last good one."""
    if title == OWN:
        return last_good()
    if title == FILE:
        return url.url_state("config", PRESETS[NAMES[FIRST]], config_of, shown=FIRST)
    return models.loaded("tiny")[0].config if title == TINY else PRESETS[NAMES[title]]


def take(text: str) -> None:
    """A pasted or uploaded config into the link, or one sentence why it is none; the last good one stays."""
    st.session_state.pop("_calculator_problem", None)
    try:
        found = config_of(text)
    except ValueError as problem:
        st.session_state["_calculator_problem"] = str(problem)
    else:
        st.query_params["config"] = compact(found)


def take_pasted() -> None:
    if text := st.session_state["pasted"].strip():
        take(text)


def take_uploaded() -> None:
    if (file := st.session_state["uploaded"]) is not None:
        take(file.getvalue()[: LONGEST + 1].decode("utf-8", "replace"))


def ask_for_a_config() -> None:
    """A box, and a place to drop a file, whose config goes into the link."""
    with st.expander("A config.json of yours: paste it, or drop the file", expanded="config" not in st.query_params):
        st.text_area("Paste a config.json", key="pasted", on_change=take_pasted, height=120, max_chars=LONGEST,
                     placeholder='{"model_type": "llama", "hidden_size": 4096, …}')
        st.file_uploader("or drop the file", type="json", key="uploaded", on_change=take_uploaded)
        st.caption("Of a family that can be opened here (gpt2, llama, mistral, mixtral, qwen2, bert), or our own "
                   "Config.to_dict(). It is read as data, nothing in it runs, and the link keeps it.")  # fmt: skip
    if problem := st.session_state.get("_calculator_problem"):
        st.warning(f"That config was not taken: {inert(problem)}", icon=":material/info:")


def measuring() -> Iterator[Machine]:
    yield roofline.measure()


def machine_of(name: str) -> Machine:
    """The chosen machine; one of the learner's is two boxes, which measuring fills."""
    if name != MINE:
        return recorded_machine() if name == RECORDED else MACHINES[name]
    job = live.run("here")
    if job is not None and job.state == "done" and st.session_state.get("_calculator_measured") != id(job):
        st.session_state["_calculator_measured"] = id(job)
        st.session_state["peak"], st.session_state["bandwidth"] = (
            float(f"{at:.4g}") for at in (job.reports[0].flops / 1e9, job.reports[0].bandwidth / 1e9)
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        peak = st.number_input("Peak, GFLOP/s", 0.001, 1e9, 1000.0, key="peak", bind="query-params", width=180)
        bandwidth = st.number_input("Bandwidth, GB/s", 0.001, 1e6, 50.0, key="bandwidth", bind="query-params", width=180)
        live.watch(lambda: live.panel("Measure this machine · about 1 s", {"here": measuring}, 1, "machine"))()
    return Machine(MINE, peak * 1e9, bandwidth * 1e9)


# ---- counting ----


@st.cache_resource(max_entries=64, show_spinner="Counting what autograd keeps…")
def law_of(config: Config) -> tuple[memory.Law | None, str]:
    """(what training keeps for the backward pass, a note); None where that follows no law. A window saves nothing here."""
    try:
        return memory.activation_law(replace(config, attention="full", window=None) if config.attention == "window" else config), ""
    except ValueError as problem:
        return None, f"Activations are left out: {problem}"


@st.cache_resource(max_entries=128, show_spinner=False)
def surveyed(config: Config, doing: str, lengths: tuple[int, ...], batches: tuple[int, ...], counted: bool) -> calculator.Survey:
    """Every setting of one thing to do; read-only. counted: with what training keeps."""
    return calculator.survey(config, doing, lengths, batches, law_of(config)[0] if counted else None)


@st.cache_resource(max_entries=128, show_spinner=False)
def products(config: Config, doing: str, lengths: tuple[int, ...]) -> list[list[tuple[str, int, int, int, int]]]:
    """The matrix products of one text at each length, named as the picture names its parts."""
    return [[(calculator.called(p.part), *p[1:5]) for p in calculator.products(config, doing, n)] for n in lengths]


def passes(config: Config, doing: str) -> list[int]:
    """How many products each of ``products`` stands for: with its backward pass, up to three."""
    return [1 + (p.backward if doing == "train" else 0) for p in calculator.products(config, doing, 1)]


@st.cache_resource(max_entries=32, show_spinner=False)
def message(config: Config, title: str, machine: Machine, shown: Stand, lengths: tuple[int, ...], batches: tuple[int, ...],
            counted: bool, epoch: int) -> bytes:  # fmt: skip
    done = []
    for name in can(config):
        doing = DOINGS[name]
        of = surveyed(config, doing, lengths, batches, counted and doing == "train")
        seconds, by_memory = of.seconds(machine)
        note = ""
        if doing == "train":
            note = law_of(config)[1] if counted else "What the backward pass looks back at is being counted…"
            note += " Weights below 16 bits are trained as 16."
        elif config.attention == "window":
            note = f"Its window of {config.window:,} keys bounds the cache; scores of a text read at once are counted n × n."
        done.append(charts.Done(name, of.flops.numpy(), of.moved.numpy(), of.held.numpy(), seconds.numpy(), by_memory.numpy(),
                                products(config, doing, lengths), calculator.keeps(config, doing), note.strip(),
                                words.OF_TRAINING if doing == "train" else words.OF_PASSING, passes(config, doing)))  # fmt: skip
    vision, plain = config.kind == "vision", config.kind == "decoder" and config.attention in ("full", "window")
    return charts.message(
        title, calculator.PARTS, of.parameters.numpy(), done, charts.Machine(*machine), lengths, batches, **shown._asdict(),
        context=None if title == OWN else config.max_len,
        cached=[config.n_kv_heads, config.d_head, config.n_layers] if plain else [], unit="image" if vision else "text",
        longest=0 if vision else MOST_TOKENS, most=MOST_TEXTS, epoch=epoch,
    )  # fmt: skip


def made_of(title: str, config: Config) -> str:
    """The config as Python."""
    if title in NAMES:
        return f'PRESETS["{NAMES[title]}"]'
    if title == TINY:
        return 'load("tiny")[0].config'
    return as_python(config) if title == OWN else f"Config(**{json.loads(compact(config))})"


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when the picture's own change."""
    if title == FILE:
        ask_for_a_config()
    config = own_config() if title == OWN else config_now()
    if title == FILE and "config" in st.query_params:
        st.caption(words.taken(config))
    whose = FIRST if title == FILE and "config" not in st.query_params else title  # until there is one
    here = stand(config)
    shown, epoch = held.to_send("costs", here)
    lengths = (here.n,) if config.kind == "vision" else tuple(sorted({*LENGTHS, here.n, shown.n}))
    batches = tuple(sorted({*BATCHES, here.batch, shown.batch}))
    counted = DOINGS[here.doing] == "train"

    def picture(config: Config, whose: str, machine: Machine) -> bytes:
        return message(config, whose, machine, shown, lengths, batches, counted, epoch)

    def of(name: str, where: str) -> bytes | None:
        """Of another model where the picture stands as it does now, and on a machine that is known."""
        one = config if name == title else PRESETS.get(NAMES.get(name))
        if one is None or where == MINE != on or (can(one), usual(one)) != (can(config), usual(config)):
            return None
        return picture(one, whose if name == title else name, machine if where == on else machine_of(where))

    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        charts.mount(
            key="costs", on_stand_change=keep,
            data=with_neighbours(lambda own: picture(own, OWN, machine)) if title == OWN
            else ahead(of, Box("arch", TITLES, title), Box("machine", PLACES, on)),
        )  # fmt: skip
    doing, bits, cache = DOINGS[here.doing], BITS[here.weights], BITS[here.cache]
    parts = calculator.bill(config, doing, here.n, here.batch, bits, cache, law_of(config)[0] if counted else None)
    lesson.formula(words.formula(config, doing), numbers=lambda: words.numbers(parts, machine))
    if lesson.shows("formula"):
        st.caption(words.symbols(config, doing), text_alignment="center")
    of_window = 'replace(config, attention="full", window=None)' if config.attention == "window" else "config"
    with code_place:
        lesson.code(
            [calculator.bill, calculator.work, calculator.held, roofline.values, roofline.measure],
            words.SNIPPET.format(
                config=made_of(title, config), machine=machine.name, flops=machine.flops, bandwidth=machine.bandwidth, doing=doing, n=here.n,
                batch=here.batch, weights=bits, cache=cache, law=f"memory.activation_law({of_window})" if counted and law_of(config)[0] else None,
            ),
        )  # fmt: skip
    least = {name: (part.seconds, part.bound) for name, part in calculator.seconds(parts, machine).items()}
    lesson.downloads(
        table=lambda: charts.table(parts, least),
        config={"model": title, "config": config.to_dict(), "machine": machine._asdict()} | here._asdict(),
    )


@st.cache_data(show_spinner=False)
def agreement() -> tuple[str, dict[str, list]]:
    """What the calculator's seconds are worth: the real model on the clock beside them."""
    of, on = recorded()["measured"][CLOCKED], recorded_machine()
    table, mean, times = {"n": of["n"]}, {}, {}
    for what in ("read", "write"):
        bills = [calculator.bill(PRESETS[CLOCKED], what, n, 1, 32, 32) for n in of["n"]]
        least = [roofline.seconds(calculator.seconds(parts, on)) for parts in bills]
        mean[what], times[what] = clocked.error(of[what], least), [took / low for took, low in zip(of[what], least, strict=True)]
        table |= {f"{what}, least ms": [1e3 * s for s in least], f"{what}, measured ms": [1e3 * s for s in of[what]],
                  f"{what}, times": times[what]}  # fmt: skip
    said = (f"SmolLM2-135M, float32, on {RECORDED} ({recorded()['machine']}, {recorded()['date']}), n = {of['n'][0]} … {of['n'][-1]:,}. "
            f"Measured ÷ least: **{mean['read']:.2f} ×** to read (from {min(times['read']):.2f} to {max(times['read']):.2f}), "
            f"**{mean['write']:.2f} ×** to write (from {min(times['write']):.2f} to {max(times['write']):.2f}); means are geometric. "
            f"So a second of the calculator's was {min(map(min, times.values())):.1f} to {max(map(max, times.values())):.1f} real "
            "ones here.")  # fmt: skip
    if below := [n for n, ratio in zip(of["n"], times["read"], strict=True) if ratio < 1]:
        said += (f" Where reading comes out below 1 (n ≥ {min(below)}), the bound was too high: the peak was measured on a product of "
                 "1,024 rows, which others can beat, and a causal kernel can skip products that are counted here.")  # fmt: skip
    return said, table


def show_agreement() -> None:
    said, table = agreement()
    st.markdown("## Predicted against measured")
    st.markdown(said)
    forms = {name: "%.2f" if name.endswith("times") else "%.1f" for name in table if name != "n"}
    st.dataframe(table, hide_index=True, width="stretch", key="agreement", row_height=36,
                 column_config={name: st.column_config.NumberColumn(format=form) for name, form in forms.items()})  # fmt: skip


lesson, live = Lesson("G5"), Training("G5")
lesson.header(words.LOOK_FOR)
with st.container(horizontal=True, vertical_alignment="bottom"):
    with st.container(width=300):
        title = choose("Whose cost", TITLES, FIRST, "arch")
    with st.container(width=240):
        on = choose("On", PLACES, "A100", "machine")
machine = machine_of(on)
stage, below, measured, code_place, more = (st.container() for _ in range(5))
with stage:
    draw(code_place)
with below:
    lesson.prose(**words.PROSE)
    lesson.predict(**words.PREDICT)
with measured:
    show_agreement()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
