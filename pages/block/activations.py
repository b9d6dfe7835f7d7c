"""Activations: the curve that every neuron goes through, over the neurons that really go through it."""

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import activations, curves, gates as gate_charts, matrices, strips
from pages.block import activations_words
from pages.block.activations_words import AFTER, CURVES, GATED, NEURONS, VIEWS
from pages.shared import held, url
from pages.shared.lesson import Lesson
from transformer.experiments import gates
from transformer.feedforward import (
    ACTIVATIONS, Census, FeedForward, census, derivative, gelu_gap, histogram, left_over, let_through, loudest,
    share_below,
)  # fmt: skip
from transformer.recording import CAPITAL

EXAMPLES = {
    "a fact": CAPITAL,
    "story": "Once upon a time, there was a little girl who lived in a",
    "code": "for i in range(10):\n    print(i)",
    "noise": "xq zzv kkj wpt qqx vbn",
}
TITLES = activations.TITLES
BY_TITLE = {title: name for name, title in TITLES.items()}
CURSOR = -1.28  # where SiLU is at its lowest
REACHES, REACH = [2, 3, 4, 8, 16], 3  # how far the u axis may reach
STEP, BINS = 0.02, 512  # between its points; of its histogram: 16 for each unit of u
CHOOSE = "Layer"
GATE_OF = {"relu": "reglu", "gelu": "geglu", "gelu_tanh": "geglu", "silu": "swiglu"}  # what a gate with this σ is called
BY_GATE = {title: name for name, title in gate_charts.TITLES.items()}
FAR, CELLS = 3.625, 29  # the maps over (g, u) go from −FAR to FAR: a cell is 0.25 wide
MOST_WORDS, LOUDEST = 16, 5  # columns of the strips, and how many neurons they show


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    activation: str
    layer: int
    cursor: float
    reach: int
    gap: bool
    word: str
    gate: str = ""


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    layer: int
    chosen: str  # the activation
    table: dict
    numbers: str | None = None
    figure: object = None
    gate: str = ""  # where the picture is of gates


def stand() -> Stand:
    activation, cursor, reach, gap, word = own, CURSOR, REACH, False, names[-1]
    if view in (CURVES, AFTER):
        activation = BY_TITLE[url.url_state("activation", TITLES[own], str, BY_TITLE.__contains__)]
    layer = url.url_state("layer", telling, int, layers.__contains__)
    if view == CURVES:
        reach = url.url_state("reach", reach, int, REACHES.__contains__)
        cursor = url.url_state("u", cursor, float, lambda u: -REACHES[-1] <= u <= REACHES[-1])
        cursor = max(-reach, min(reach, cursor))
        gap = url.url_state("gap", "false", str.lower, ("true", "false").__contains__) == "true"
    elif view == NEURONS:
        word = url.url_state("word", word, str, names.__contains__)
    if view == GATED:
        gate = BY_GATE[url.url_state("gate", own_gate, str, BY_GATE.__contains__)]
        return Stand(view, activation, layer, cursor, reach, gap, word, gate)
    return Stand(view, activation, layer, cursor, reach, gap, word)


def keep_curves() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    if said.get("pick") in BY_TITLE:
        url.set_url_state("activation", said["pick"], TITLES[own])
    if said.get("frame") in layers:
        url.set_url_state("layer", said["frame"], telling)
    if view == CURVES and isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("u", round(float(at), 2), CURSOR)
        if said.get("zoom") in REACHES:
            url.set_url_state("reach", said["zoom"], REACH)
        url.set_url_state("gap", "true" if said.get("switch") else "false", "false")
    held.reported("curves", stand())


def keep_neurons() -> None:
    if (said := held.said("strips", "stand")) is None:
        return
    if said.get("layer") in layers:
        url.set_url_state("layer", said["layer"], telling)
    if said.get("word") in names:
        url.set_url_state("word", said["word"], names[-1])
    held.reported("strips", stand())


def keep_gates() -> None:
    if (said := held.said("gates", "stand")) is None:
        return
    if said.get("frame") in layers:
        url.set_url_state("layer", said["frame"], telling)
    if said.get("pick") in BY_GATE:
        url.set_url_state("gate", said["pick"], own_gate)
    held.reported("gates", stand())


def picks(shown: Stand) -> curves.Picks:
    return curves.Picks("Activation", list(BY_TITLE), TITLES[shown.activation], role="ffn")


def neurons_of(layer: int) -> torch.Tensor:
    """What the activation is given: [token, ff]."""
    return torch.tensor(reading[f"layers.{layer}.ffn.{part}"][0])


@st.cache_data(max_entries=64, show_spinner=False)
def spread_of(subject: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """edges [bin + 1], share [layer, bin], and the share below each point of the axis [layer, point]."""
    most = REACHES[-1]
    found = [(*histogram(u, -most, most, BINS), share_below(u, axis())) for u in map(neurons_of, layers)]
    edges, share, below = zip(*found, strict=True)
    return edges[0].numpy(), torch.stack(share).numpy(), torch.stack(below).numpy()


@st.cache_data(max_entries=64, show_spinner=False)
def counts_of(subject: tuple) -> dict[str, list[Census]]:
    """activation -> its census of every layer."""
    return {name: [census(name, neurons_of(layer)) for layer in layers] for name in ACTIVATIONS}


@st.cache_data(max_entries=64, show_spinner=False)
def left_of(subject: tuple) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """edges [bin + 1], and activation -> the share of the neurons that it puts in each bin, 0 left out [layer, bin]."""
    found = {name: [] for name in ACTIVATIONS}
    for u in map(neurons_of, layers):
        for name in ACTIVATIONS:
            edges, share = left_over(name, u, -0.4, 3.0, 102)
            found[name].append(share)
    return edges.numpy(), {name: torch.stack(shares).numpy() for name, shares in found.items()}


@st.cache_data(max_entries=32, show_spinner=False)
def loud_of(subject: tuple) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The loudest neurons at every word [layer, word, neuron], and part -> its numbers [layer, word, neuron, token]."""
    ids, parts = [], {}
    for layer in layers:
        u, post = neurons_of(layer)[columns], torch.tensor(reading[f"layers.{layer}.ffn.post"][0])[columns]
        loud = torch.stack([loudest(a[None], LOUDEST) for a in post])  # [word, neuron]
        if config.gated:
            up = torch.tensor(reading[f"layers.{layer}.ffn.pre"][0])[columns]
            found = {f"{TITLES[own]}(g)": ACTIVATIONS[own](u), "u": up, "a": post}  # [token, ff] each
        else:
            found = {"u": u, f"{TITLES[own]}(u)/u": let_through(own, u), "a": post}
        ids.append(loud)
        for name, values in found.items():
            parts.setdefault(name, []).append(values[:, loud].permute(1, 2, 0))
    return torch.stack(ids).numpy(), {name: torch.stack(values).numpy() for name, values in parts.items()}


def column(counts: dict[str, list[Census]], field: str) -> dict[str, np.ndarray]:
    """activation -> one number of its census, layer by layer."""
    return {name: np.array([getattr(one, field) for one in of]) for name, of in counts.items()}


def axis() -> torch.Tensor:
    most = REACHES[-1]
    return torch.linspace(-most, most, round(2 * most / STEP) + 1, dtype=torch.float64)


def show_curves(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption(f"This model's own activation is {TITLES[own]}. "
                   + ("u is what the curve is given: here a gate, g. " if config.gated else "") +
                   "“passes” is σ(u)/u, the share of u that gets through. “made 0” and “slope ≈ 0” (below 0.01, so "
                   "hardly any gradient comes back) count this layer's real neurons.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    counts, grid = counts_of(subject), axis()
    edges, share, below = spread_of(subject)
    values = {name: sigma(grid).numpy() for name, sigma in ACTIVATIONS.items()}
    slopes = {name: derivative(name, grid).numpy() for name in ACTIVATIONS}
    passed = {name: let_through(name, grid).numpy() for name in ACTIVATIONS}
    with picture:
        curves.mount(
            key="curves", on_stand_change=keep_curves,
            data=activations.over_neurons(
                grid.numpy(), values, slopes, passed, picks(shown), curves.Choice(CHOOSE, layers, shown.layer), edges,
                share, below, reaches=curves.Choice("u up to ±", REACHES, shown.reach), zeros=column(counts, "zero"),
                flat=column(counts, "asleep"), cursor=shown.cursor, epoch=epoch,
                neurons=f"the {n * config.d_ff:,} {'gates' if config.gated else 'neurons'}",
                gap=gelu_gap(grid).numpy(), magnify=curves.Switch("Magnify exact − tanh GELU", shown.gap, taller=120),
            ),
        )  # fmt: skip
    at = torch.tensor(here.cursor, dtype=torch.float64)
    return Shown(
        here.layer, here.activation, {"u": grid} | values | {f"{name} slope": slope for name, slope in slopes.items()},
        rf"\begin{{gathered}}\sigma({at:.2f}) = {at:.2f} \times {let_through(here.activation, at):.4f} = "
        rf"\ffn{{{ACTIVATIONS[here.activation](at):.4f}}}\\ \sigma'({at:.2f}) = "
        rf"{derivative(here.activation, at):.4f}\end{{gathered}}",
    )  # fmt: skip


def show_after(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption(f"This model's own activation is {TITLES[own]}. "
                   "The share of the neurons in each bin. The one tall bar is what is exactly 0. The scale is "
                   "logarithmic: each grid line is ten times the one below.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    edges, shares = left_of(subject)
    counts = counts_of(subject)
    with picture:
        curves.mount(
            key="curves", on_stand_change=keep_curves,
            data=activations.after(
                edges, shares, curves.Choice(CHOOSE, layers, shown.layer), picks(shown), zeros=column(counts, "zero"),
                negatives=column(counts, "negative"), flat=column(counts, "asleep"), means=column(counts, "mean"),
                epoch=epoch,
            ),
        )  # fmt: skip
    table = {name: share[layers.index(here.layer)] for name, share in shares.items()}
    return Shown(here.layer, here.activation, {"from": edges[:-1], "to": edges[1:]} | table)


def show_neurons(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption("The gate decides, word by word, how much of u passes. Hover a cell for the product." if config.gated
                   else "This model has no gate: each neuron passes the share of itself that the curve lets through.")
    here = stand()
    shown, epoch = held.to_send("strips", here)
    ids, parts = loud_of(subject)
    with picture:
        strips.mount(
            key="strips", on_stand_change=keep_neurons,
            data=strips.message(
                curves.Choice("Layer", layers, shown.layer), curves.Choice("Loudest at the word", names, shown.word),
                ids, parts, epoch=epoch,
            ),
        )  # fmt: skip
    at = layers.index(here.layer), names.index(here.word)
    loud, cells = ids[at].tolist(), {name: values[at] for name, values in parts.items()}  # [neuron, token] each
    table = {"token": [i for i in columns for _ in loud], "neuron": loud * len(columns)}
    return Shown(here.layer, own, table | {name: values.T.flatten() for name, values in cells.items()},
                 figure=lambda: strips.figure(names, loud, cells, lesson.palette))  # fmt: skip


def pair_of(layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What opens the gate and what goes through it: [token, ff] each."""
    return neurons_of(layer), torch.tensor(reading[f"layers.{layer}.ffn.pre"][0])


@st.cache_data(show_spinner=False)
def maps() -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The axis, and of every gate σ(g) [g], a and ∂a/∂g [u, g]."""
    axis = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS * 2 * FAR - FAR
    u, g = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    found = {name: (gates.slopes(name, axis, axis)[1], gates.gated(name, g, u), gates.slopes(name, g, u)[0])
             for name in gates.GATES}  # fmt: skip
    return axis.numpy(), *({name: of[i].numpy() for name, of in found.items()} for i in range(3))


@st.cache_data(max_entries=32, show_spinner=False)
def pairs_of(subject: tuple) -> tuple[np.ndarray, dict[str, list[gates.Left]]]:
    """Where the real pairs lie [layer, u, g], and what every gate leaves of them, layer by layer."""
    pairs = [pair_of(layer) for layer in layers]
    return (np.stack([gates.density(g, u, FAR, CELLS).numpy() for g, u in pairs]),
            {name: [gates.left(name, g, u) for g, u in pairs] for name in gates.GATES})  # fmt: skip


def show_gated(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    d, wide = config.d_model, 4 * config.d_model
    with controls:
        whose = f"This model's own is {own_gate}." if config.gated else "This model has no gate: no real pairs are shown."
        st.caption(whose + f" A gate costs a third matrix. Two of {d} × {wide:,} hold {2 * d * wide:,} parameters; three "
                     f"hold as many "
                   f"at a width of {gates.matched_width(wide):,.0f}"
                   + (f"; this model's is {config.d_ff:,}. Real pairs: the darker, the more of them, on a "
                      "logarithmic scale." if config.gated else "."))  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("gates", here)
    axis, opened, a, to_gate = maps()
    density, kept = pairs_of(subject) if config.gated else (None, {})
    notes = {name: [f"layer {layer}: {one.zero:.1%} exactly 0, {one.faint:.0%} below 0.01, mean |a| {one.mean:.3g}"
                    for layer, one in zip(layers, kept[name], strict=True)] if kept else "" for name in gates.GATES}  # fmt: skip
    with picture:
        matrices.mount(
            key="gates", on_stand_change=keep_gates,
            data=gate_charts.surfaces(
                axis, opened, a, to_gate, density, notes, curves.Choice(CHOOSE, layers, shown.layer),
                curves.Picks("Gate", list(BY_GATE), gate_charts.TITLES[shown.gate], role="ffn"), epoch=epoch,
            ),
        )  # fmt: skip
    table = {"g": np.tile(axis, CELLS), "u": np.repeat(axis[::-1], CELLS)} | {
        gate_charts.TITLES[name]: values.flatten() for name, values in a.items()}  # fmt: skip
    return Shown(here.layer, own, table, gate=here.gate)


SHOW = {CURVES: show_curves, AFTER: show_after, GATED: show_gated, NEURONS: show_neurons}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view](*lesson.stage(0.3))
    ff = (f"token {n}", f"ff {config.d_ff}")
    if view == GATED:
        lines, shapes = activations_words.family(shown.gate), [("g", ff, "ffn"), ("u", ff, "ffn"), ("a", ff, "ffn")]
    elif view == NEURONS and config.gated:
        lines, shapes = activations_words.gate(TITLES[own]), [
            (r"\hat{x}'", (f"token {n}", f"model {config.d_model}"), "residual"), ("g", ff, "ffn"), ("u", ff, "ffn"),
            ("W_g", (config.d_model, config.d_ff), "output"), ("a", ff, "ffn"),
        ]  # fmt: skip
    else:
        lines = activations_words.FORMULAS[shown.chosen]
        shapes = [(symbol, ff, "ffn"), (rf"\sigma({symbol})", ff, "ffn")]
    lesson.formula(r"\begin{gathered}" + r"\\[.5em]".join(lines) + r"\end{gathered}", shapes, shown.numbers)
    at = {"model": reading.model, "text": reading.text, "layer": shown.layer, "tensor": part,
          "activation": shown.chosen}  # fmt: skip
    words_of = activations_words.FAMILY_SNIPPET if view == GATED and config.gated else activations_words.SNIPPET
    snippet = words_of.format_map({name: repr(value) for name, value in at.items()})
    with code_place:
        functions = [gates.gated, gates.slopes, gates.left] if view == GATED else [let_through, derivative, gelu_gap, census]
        lesson.code([FeedForward.forward, *functions], snippet)
    lesson.downloads(shown.figure, shown.table, config=at | {"view": view})


lesson = Lesson("D4")
lesson.header(activations_words.LOOK_FOR)
text = lesson.text(CAPITAL, EXAMPLES)
reading = lesson.read(text, record=("layers.*.ffn.[gp]*",))  # gate (where there is one), pre and post
config, own, n = reading.config, reading.config.activation, len(reading.ids)
own_gate = gate_charts.TITLES[GATE_OF[own]]
part, symbol = ("gate", "g") if config.gated else ("pre", "u")
layers = [i for i in range(config.n_layers) if f"layers.{i}.ffn.{part}" in reading.arrays]
subject = (reading.model, reading.label, reading.text)  # what the surveys below are kept by
telling = min(layers, key=lambda i: abs(i - config.n_layers // 6))  # early layers keep most neurons low
columns = list(range(max(0, n - MOST_WORDS), n))  # of the strips
names = [f"{i} {reading.pieces[i].strip() or '␣'}" for i in columns]
view = lesson.view(VIEWS)
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words:
    seen = {name: of[layers.index(telling)] for name, of in counts_of(subject).items()}
    lesson.prose(**activations_words.prose(TITLES[own], config.gated, telling, seen["relu"], seen["gelu"], seen[own]))
    lesson.predict(**activations_words.predict(telling, seen["relu"], seen["gelu"], seen["silu"]))
with more:
    lesson.interview(activations_words.INTERVIEW)
    lesson.sources(activations_words.SOURCES)
