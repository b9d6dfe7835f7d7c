"""G4, All at once or one by one: a recurrent layer's chain beside attention's few large products, on the clock."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves, timeline
from charts.curves import Choice, Line, Panel, Row
from charts.timeline import Block, Lane
from pages.cost import parallel_words as words
from pages.cost.parallel_words import CHAIN, CLOCK, VIEWS
from pages.shared import held, url
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from transformer import cost
from transformer.experiments import chains

SHORT = [8, 16, 32, 64, 128]  # tokens in the timeline
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "parallel.json"
TITLES = {"chain": "Recurrent layer", "torch.nn.RNN": "torch.nn.RNN", "one product": "One product", "attention": "Attention"}
ROLES = {"x W": "residual", "places": "residual", "Q, K, V": "query", "scores": "scores", "A": "attention", "z": "attention",
         "out": "output"}  # fmt: skip
AFTER = {"scores": "Q and K", "A": "the scores", "z": "A and V", "out": "z"}
PASSES = {"read": "forward", "read and learn": "both"}


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    n: int
    lane: int
    block: int
    passing: str


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    n: int
    table: dict
    numbers: str


def stand() -> Stand:
    if view == CLOCK:
        return Stand(view, url.url_state("n", 128, int, chains.LENGTHS.__contains__), 0, 0,
                     url.url_state("pass", "read", str, PASSES.__contains__))  # fmt: skip
    n = url.url_state("n", 16, int, SHORT.__contains__)
    lane = url.url_state("lane", 0, int, (0, 1).__contains__)
    return Stand(view, n, lane, url.url_state("block", 8, int, lambda i: 0 <= i <= max(SHORT)), "read")


def keep_chain() -> None:
    if (said := held.said("timeline", "stand")) is None:
        return
    if said.get("frame") in SHORT:
        url.set_url_state("n", said["frame"], 16)
    for name, usual in (("lane", 0), ("block", 8)):
        if isinstance(said.get(name), int):
            url.set_url_state(name, said[name], usual)
    held.reported("timeline", stand())


def keep_clock() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    if said.get("cursor") in chains.LENGTHS:
        url.set_url_state("n", int(said["cursor"]), 128)
    if said.get("frame") in PASSES:
        url.set_url_state("pass", said["frame"], "read")
    held.reported("curves", stand())


@st.cache_resource(show_spinner="Timing both layers…")
def measured_spans(round_: int) -> dict[str, list[list[chains.Span]]]:
    """Way -> its steps for each of SHORT, measured in this process; `round_`: how often the learner asked anew."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        layers = chains.layers_of()
        return {way: [chains.spans(layers[way], n) for n in SHORT] for way in ("chain", "attention")}
    finally:
        torch.set_num_threads(threads)


def blocks(spans: list[chains.Span]) -> list[Block]:
    found = []
    for span in spans:
        waits = AFTER.get(span.name, "")
        if span.name.startswith("h "):
            t = int(span.name[2:])
            waits = "x W" if t == 1 else f"h {t - 1}"
        found.append(Block(span.name, span.start * 1e6, span.end * 1e6, ROLES.get(span.name, "value"), waits))
    return found


@functools.cache
def recorded() -> dict:
    return json.loads(MEASURED.read_text("utf-8"))


def show_chain(picture: DeltaGenerator) -> Shown:
    here = stand()
    shown, epoch = held.to_send("timeline", here)
    with picture:
        again = st.session_state.get("_parallel_round", 0)
        spans = measured_spans(again)
        timeline.mount(key="timeline", on_stand_change=keep_chain, data=timeline.message(
            "chain", "Steps of a recurrent layer and of attention over time; arrow keys walk through them",
            [Lane(TITLES[way], [blocks(one) for one in of]) for way, of in spans.items()],
            Choice("Tokens", SHORT, shown.n), lane=shown.lane, block=shown.block, epoch=epoch + 1000 * again,
        ))  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Time them again", icon=":material/refresh:", type="tertiary", on_click=lambda: st.session_state.update(
                _parallel_round=again + 1))
            st.caption(f"One layer each, d = {chains.WIDTH}, one text, one processor core: measured on this machine, the pass of "
                       "median duration of nine. The text is n drawn vectors, n their seed: what they say is no matter to the "
                       "clock.")  # fmt: skip
    i = SHORT.index(here.n)
    ends = {way: of[i][-1].end * 1e6 for way, of in spans.items()}
    rows = [(way, span) for way, of in spans.items() for span in of[i]]
    return Shown(
        here.n,
        {"layer": [way for way, _ in rows], "step": [span.name for _, span in rows],
         "start µs": [span.start * 1e6 for _, span in rows], "end µs": [span.end * 1e6 for _, span in rows]},
        rf"n = {here.n}:\quad \frac{{{ends['chain']:.0f}\,\mu s}}{{{ends['attention']:.0f}\,\mu s}} = "
        rf"{ends['chain'] / ends['attention']:.2f}\qquad \frac{{{here.n + 1}}}{{4}} \text{{ products in a row}}",
    )  # fmt: skip


def show_clock(picture: DeltaGenerator) -> Shown:
    with picture:
        runs = live.panel("Measure on this machine · about 20 s", {"here": lambda: chains.timed(chains.layers_of())},
                          len(chains.LENGTHS), "length")  # fmt: skip
        reports = runs["here"].reports if runs else []
        if len(reports) > 1:
            where = "this machine, one thread, just now"
        else:
            reports = [chains.Timed(one["n"], one["forward"], one["both"]) for one in recorded()["measured"]]
            where = f"recorded: {recorded()['machine']}, {recorded()['date']}"
        here = stand()
        shown, epoch = held.to_send("curves", here)
        ns = np.array([one.n for one in reports])
        ms = {way: np.array([[getattr(one, field)[way] * 1e3 for one in reports] for field in PASSES.values()])
              for way in chains.WAYS}  # fmt: skip  [pass, length]
        curves.mount(key="curves", on_stand_change=keep_clock, data=clock_message(ns, ms, where, shown, epoch))
    i, p = int(np.abs(ns - here.n).argmin()), list(PASSES).index(here.passing)
    ratio = ms["chain"][p, i] / ms["attention"][p, i]
    return Shown(int(ns[i]), {"n": ns} | {f"{way} ms": of[p] for way, of in ms.items()},
                 rf"n = {ns[i]}:\quad \frac{{{ms['chain'][p, i]:.3g}}}{{{ms['attention'][p, i]:.3g}}} = {ratio:.2f}")  # fmt: skip


def clock_message(ns: np.ndarray, ms: dict[str, np.ndarray], where: str, shown: Stand, epoch: int) -> bytes:
    roles = {"chain": "value", "torch.nn.RNN": "residual", "one product": "ffn", "attention": "attention"}
    low, high = min(of.min() for of in ms.values()), max(of.max() for of in ms.values())
    lines = [Line(of, roles[way], TITLES[way], width=3, points=True, dot=True) for way, of in ms.items()]
    gain = {way: ms["chain"] / ms[way] for way in ("one product", "attention")}
    rows = [Row(TITLES[way], roles[way], [of, ms["chain"] / of, np.array([chains.products_in_a_row(int(n))[way] for n in ns])],
                width=3) for way, of in ms.items()]  # fmt: skip
    return curves.message(
        "parallel", "Milliseconds of a recurrent layer, of one product and of attention against the length of the text; left and "
        "right arrows move the length", ns, "tokens in the text", "n",
        [Panel("Milliseconds, one layer", (float(low) / 1.5, float(high) * 1.5), lines, log=True, note=where, short="ms, one layer"),
         Panel("How many times as long the recurrent layer takes", (0.2, float(max(g.max() for g in gain.values())) * 1.5),
               [Line(of, roles[way], f"as {TITLES[way].lower()}", width=3, points=True, dot=True) for way, of in gain.items()]
               + [Line(np.ones(len(ns)), "muted", dash=(6, 4))], log=True, share=0.7, short="the recurrent layer takes … times")],
        cursor=shown.n, columns=["ms", "recurrent ÷ it", "in a row"], rows=rows, height=500, gutter=124,
        frames=Choice("Pass", list(PASSES), shown.passing), epoch=epoch, log_x=True,
        sentence="n = {x}: the recurrent layer takes {0} times as long as one product, half of its FLOPs, {1} times as long as attention",
        values=[gain["one product"], gain["attention"]],
    )  # fmt: skip


def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change, or when a measurement comes in."""
    with st.container(key="gf-stage"):
        found = (show_chain if view == CHAIN else show_clock)(st.container(key="gf-picture"))
    d, n = chains.WIDTH, found.n
    lesson.formula(
        r"\begin{gathered}" + r"\\[.8em]".join(words.FORMULAS[view]) + r"\end{gathered}",
        shapes=[("x", (f"token {n}", d), "residual"), ("h_t", (d,), "value"), ("U", (d, d), "value"),
                ("Q", (f"head {chains.HEADS}", f"query {n}", d // chains.HEADS), "query"),
                ("S", (f"head {chains.HEADS}", n, n), "scores")],
        numbers=found.numbers,
    )  # fmt: skip
    with code_place:
        lesson.code([chains.Recurrent, chains.AllAtOnce, chains.Stopwatch, chains.spans, chains.timed],
                    words.SNIPPET.format(n=n))  # fmt: skip
    lesson.downloads(table=found.table, config={"d": d, "heads": chains.HEADS} | stand()._asdict())


def predict() -> None:
    n = 1024
    of = cost.flops(chains.AllAtOnce().config, n)
    attention, recurrent = sum(of[part] for part in cost.ATTENTION), 4 * n * chains.WIDTH**2
    lesson.predict(
        f"A text of {n:,} tokens, layers of width {chains.WIDTH}. Which layer does more arithmetic, and which has more steps that "
        "wait for one another?",
        ["attention: more arithmetic, fewer steps in a row", "the recurrent layer: more of both",
         "attention: more of both", "the recurrent layer: more arithmetic, fewer steps in a row"],
        "attention: more arithmetic, fewer steps in a row",
        f"{attention / 1e9:.2f} against {recurrent / 1e9:.2f} GFLOP, {attention / recurrent:.1f} times as much; and "
        f"{chains.products_in_a_row(n)['attention']} products in a row against {chains.products_in_a_row(n)['chain']:,}. With "
        "enough units to work side by side, the second number decides.",
    )  # fmt: skip


lesson, live = Lesson("G4"), Training("G4")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    live.watch(draw)(code_place)
with below:
    lesson.prose(**words.PROSE)
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
