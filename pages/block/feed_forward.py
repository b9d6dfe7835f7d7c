"""The feed-forward network: expand, activate, contract, each token by itself; what its neurons write; how wide."""

import functools

import numpy as np
import streamlit as st
import torch

from charts import curves, feed_forward as charts, matrices, memories as memory_charts
from charts.activations import TITLES
from charts.ahead import Box, ahead
from charts.curves import Choice, Picks
from charts.memories import Neuron
from pages.block import feed_forward_words as words
from pages.block.feed_forward_numbers import (
    cell_in, changes_of, one_change, recorded_losses, recorded_memories, recorded_widths,
)  # fmt: skip
from pages.block.feed_forward_words import FIRING, MEMORIES, MIXING, VIEWS, WAY, WIDTHS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from transformer import cost
from transformer.experiments import neurons
from transformer.feedforward import ACTIVATIONS, FeedForward
from transformer.recording import CAPITAL, PRONOUN, REPEAT
from transformer.training import widths

EXAMPLES = {"a fact": CAPITAL, "a repeated name": REPEAT, "a pronoun": PRONOUN}
RECORD = ("*.norm_2", "*.resid_mid", "*.resid_post", "*.ffn.[pgo]*", "logits")
TELLING = {"smollm2-135m": 24}  # where neurons speak of capitals and of the west, at “France is”
MOST, LISTED = 24, 12  # tokens of a text; of them, the last so many have their neurons listed
ORDERS = LOUDEST, SPEAKING = "the loudest", "those that speak most for the next word"
MEAN = "all, their mean"
TIMES = {f"{times}×": times for times in widths.TIMES}
WIDTH, STEP = "4×", 400


def part(layer: int, name: str) -> np.ndarray:
    return reading[f"layers.{layer}.{name}"][0]


def layer_control(most: int) -> int:
    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        return choose("Layer", list(range(most)), min(telling, most - 1), "layer")


def word_and_cell(shapes: dict[str, tuple[int, int]], start: tuple[str, int, int] | None, last: str,
                  known: list[str]) -> tuple[str, tuple[str, int, int] | None]:  # fmt: skip
    """Where a picture of matrices stands, by the link; a cell of another model is left out."""
    word = url.url_state("word", last, str, known.__contains__)
    at = url.url_state("cell", start, cell_in, shown="its own")
    inside = at is not None and at[0] in shapes and all(0 <= i < n for i, n in zip(at[1:], shapes[at[0]], strict=True))
    return word, at if inside else None


def keep_matrices(component: str, start: tuple[str, int, int] | None, stand: functools.partial) -> None:
    if (said := held.said(component, "stand")) is None:
        return
    if isinstance(said.get("frame"), str):
        url.set_url_state("word", said["frame"], names[-1])
    at = said.get("at")
    written, default = (None if one is None else ".".join(map(str, one)) for one in (at, start))
    url.set_url_state("cell", written or "none", default or "none")
    held.reported(component, stand())


def way_of(layer: int) -> dict[str, np.ndarray]:
    """What a layer's FFN computes on the way, each [token, feature]."""
    x, u, a, out, ended = (part(layer, name) for name in ("norm_2", "ffn.pre", "ffn.post", "ffn.out", "resid_post"))
    before = {"u": u}
    if config.gated:
        before = {f"{sigma}(g)": ACTIVATIONS[config.activation](torch.tensor(part(layer, given))).numpy(), "u": u}
    return {"x̂′": x} | before | {"a": a, "out": out, "x″": ended}


def show_way() -> tuple[int, dict, dict]:
    layer = layer_control(config.n_layers)
    drawn = way_of(layer)
    shapes = {key: charts.folded(values).shape[1:] for key, values in drawn.items()}
    wide = shapes["a"][1]

    def start_in(layer: int) -> tuple[str, int, int]:
        loud = int(np.abs(part(layer, "ffn.post")[-1]).argmax())
        return "a", loud // wide, loud % wide

    start = start_in(layer)
    stand = functools.partial(word_and_cell, shapes, start, names[-1], names)
    here = stand()
    held.to_send("way", here)

    def message(one: int) -> bytes:
        (word, at), epoch = held.would_send("way", word_and_cell(shapes, start_in(one), names[-1], names))
        x, *before, a, out, ended = way_of(one).items()
        return charts.way(x[1], dict(before), a[1], out[1], ended[1], Choice("Word", names, word), sigma=sigma, at=at,
                          epoch=epoch)

    matrices.mount(key="way", on_stand_change=lambda: keep_matrices("way", start, stand),
                   data=ahead(message, Box("layer", range(config.n_layers), layer)))
    st.caption("Each cell is one number, folded into a rectangle: its index is row + column. Blue is negative, rust "
               "positive, each "
               f"matrix by its own scale. All {n} tokens go through the same two or three matrices.")  # fmt: skip
    token = names.index(here[0])
    neurons_of = {name: of[token] for name, of in drawn.items() if name not in ("x̂′", "out", "x″")}
    table = {"neuron": np.arange(shapes["a"][0] * wide)} | neurons_of
    return layer, table, {"token": token, "layer": layer}


@st.cache_data(max_entries=32, show_spinner=False)
def firing_of(subject: tuple) -> dict[str, np.ndarray]:
    """Each field of Firing: [layer, token]."""
    found = [neurons.firing(*(torch.tensor(part(layer, name)) for name in (given, "ffn.post", "ffn.out", "resid_mid")))
             for layer in range(config.n_layers)]  # fmt: skip
    return {field: np.stack([getattr(one, field).numpy() for one in found]) for field in neurons.Firing._fields}


def firing_stand() -> tuple[str, int]:
    return (url.url_state("whose", MEAN, str, [*names, MEAN].__contains__),
            url.url_state("layer", telling, int, range(config.n_layers).__contains__))  # fmt: skip


def keep_firing() -> None:
    if (said := held.said("firing", "stand")) is None:
        return
    if said.get("frame") in (*names, MEAN):
        url.set_url_state("whose", said["frame"], MEAN)
    if isinstance(layer := said.get("cursor"), int | float):
        url.set_url_state("layer", int(layer), telling)
    held.reported("firing", firing_stand())


def show_firing() -> tuple[int, dict, dict]:
    here = firing_stand()
    (word, layer), epoch = held.to_send("firing", here)
    found = {field: np.concatenate([of.T, of.T.mean(0, keepdims=True)]) for field, of in firing_of(subject).items()}
    curves.mount(
        key="firing", on_stand_change=keep_firing,
        data=charts.firing(np.arange(config.n_layers), found, found["write"], Choice("Word", [*names, MEAN], word),
                           gated=config.gated, cursor=layer, epoch=epoch),
    )  # fmt: skip
    st.caption(f"Above 0 a {'gate' if config.gated else 'neuron'} is open, but below 0 {sigma} lets a little through "
               "too. So the second panel asks otherwise: sorted by loudness, how many neurons does it take to make up "
               "half, or 90%, of ‖a‖², the sum of all a²?")
    row = [*names, MEAN].index(here[0])
    return here[1], {"layer": np.arange(config.n_layers)} | {field: of[row] for field, of in found.items()}, {"layer": here[1]}


@st.cache_resource(max_entries=8, show_spinner=False)
def answers(subject: tuple) -> tuple[list[str], torch.Tensor]:
    """The next piece of each listed word, and the direction that raises it, the same in all layers."""
    model, tokenizer = models.loaded(reading.model)
    targets = reading["logits"][0].argmax(-1)[-LISTED:].tolist()
    return [tokenizer.pieces([i])[0] for i in targets], neurons.toward(model, targets)


@st.cache_data(max_entries=64, show_spinner=False)
def live_memories(subject: tuple, layer: int) -> tuple[list[str], list[list[list[Neuron]]]]:
    """(each listed word's next piece, [word][order][neuron])."""
    model, tokenizer = models.loaded(reading.model)
    needed = (f"layers.{layer}.ffn.post", f"layers.{config.n_layers - 1}.resid_post")
    trace = {name: torch.tensor(reading[name]) for name in needed}
    targets, to = answers(subject)

    def piece(of: tuple[tuple[int, float], ...]) -> list[tuple[str, float]]:
        return [(tokenizer.pieces([i])[0], effect) for i, effect in of]

    found = neurons.memories_at(model, layer, trace, range(max(0, n - LISTED), n), to, count=6, words=5)
    return targets, [[[Neuron(m.neuron, m.a, m.target, piece(m.up), piece(m.down)) for m in of] for of in at] for at in found]


def memories_of(layer: int) -> tuple[list[str], list[str], list[list[list[Neuron]]]]:
    """(the words listed, each one's next piece, [word][order][neuron])."""
    if reading.label == "recorded":
        kept = recorded_memories()
        return [names[at] for at in kept["words"]], kept["targets"], [
            [[Neuron(*one) for one in of] for of in at] for at in kept["memories"][layer]]  # fmt: skip
    return names[-LISTED:], *live_memories(subject, layer)


def memories_stand(known: list[str]) -> tuple[str, str]:
    return (url.url_state("word", names[-1], str, known.__contains__),
            url.url_state("order", SPEAKING, str, ORDERS.__contains__))  # fmt: skip


def keep_memories(known: list[str]) -> None:
    if (said := held.said("memories", "stand")) is None:
        return
    if said.get("word") in known:
        url.set_url_state("word", said["word"], names[-1])
    if said.get("order") in ORDERS:
        url.set_url_state("order", said["order"], SPEAKING)
    held.reported("memories", memories_stand(known))


def show_memories() -> tuple[int, dict, dict]:
    layer = layer_control(config.n_layers)
    known, _, found = memories_of(layer)
    here = memories_stand(known)
    (word, order), epoch = held.to_send("memories", here)

    def message(one: int) -> bytes:
        return memory_charts.message(
            f"Neurons of layer {one} and the words that they raise and lower", Choice("At the word", known, word),
            Picks("Neurons", ORDERS, order), *memories_of(one)[1:], epoch=epoch,
        )  # fmt: skip

    memory_charts.mount(key="memories", on_stand_change=lambda: keep_memories(known),
                        data=ahead(message, Box("layer", range(config.n_layers), layer)))
    st.caption("Loudest: by |a| · ‖w‖, how much they write. The numbers are what a neuron adds here to a word's logit "
               "by the direct "
               "way: its loudness a times its row w of W₂, read through the final norm (γ / rms, as it was scaled "
               "here) and the unembedding W_U.")  # fmt: skip
    listed = found[known.index(here[0])][ORDERS.index(here[1])]
    table = {"neuron": [m.neuron for m in listed], "a": [m.a for m in listed],
             "added to the next word": [m.target for m in listed],
             "raises": [" | ".join(p for p, _ in m.up) for m in listed],
             "lowers": [" | ".join(p for p, _ in m.down) for m in listed]}  # fmt: skip
    return layer, table, {"layer": layer, "token": names.index(here[0]), "loudest": here[1] == LOUDEST}


def with_weights() -> str:
    """The model to change tokens in: the one that read, or the tiny one where there is only a recording."""
    return "tiny" if reading.label == "recorded" else reading.model


def show_mixing() -> tuple[int, dict, dict]:
    name = with_weights()
    lesson.show_model(models.TITLES[name], "tiny" if name == "tiny" else "live")
    most = models.loaded(name)[0].config.n_layers - 1
    layer = layer_control(most)
    if n < 2:
        st.info("Type a second token: with one there is nobody to hear of a change.", icon=":material/info:")
        st.stop()
    places, delta, known = changes_of(name, reading.text, layer)
    middle = known[len(known) // 2]
    shapes = {"here": (len(known), len(neurons.MIXED)), "next": (len(known), len(neurons.NEXT))}
    stand = functools.partial(word_and_cell, shapes, None, middle, known)

    def keep() -> None:
        if (said := held.said("mixing", "stand")) is None:
            return
        if said.get("frame") in known:
            url.set_url_state("word", said["frame"], middle)
        at = said.get("at")
        url.set_url_state("cell", "none" if at is None else ".".join(map(str, at)), "none")
        held.reported("mixing", stand())

    here = stand()
    (word, at), epoch = held.to_send("mixing", here)

    def message(one: int) -> bytes:
        places, delta, known = changes_of(name, reading.text, one)
        return charts.changes(places, delta, known, Choice("Changed token", known, word), one, at=at, epoch=epoch)

    matrices.mount(key="mixing", on_stand_change=keep, data=ahead(message, Box("layer", range(most), layer)))
    st.caption("The vector that the changed token brings to the FFN is replaced by that of the token before it; "
               "nothing else is "
               "touched. Every number is the largest difference in that token's row, against the untouched run. A row "
               "that nothing reached is 0 exactly: hover it.")
    token = known.index(here[0])
    table = {"token": known} | {place: delta[token, :, i] for i, place in enumerate(places)}
    return layer, table, {"layer": layer, "token": token, "model": name}


def widths_stand() -> tuple[str, int]:
    return (url.url_state("width", WIDTH, str, TIMES.__contains__),
            url.url_state("step", STEP, int, lambda step: 0 <= step <= widths.RECORDED))  # fmt: skip


def keep_widths() -> None:
    if (said := held.said("widths", "stand")) is None:
        return
    if said.get("pick") in TIMES:
        url.set_url_state("width", said["pick"], WIDTH)
    if isinstance(step := said.get("cursor"), int | float):
        url.set_url_state("step", int(step), STEP)
    held.reported("widths", widths_stand())


def show_widths() -> tuple[int, dict, dict]:
    lesson.show_model("Our own decoders", "tiny")
    here = widths_stand()
    (pick, step), epoch = held.to_send("widths", here)
    chosen = TIMES[here[0]]
    live.panel(f"Train d_ff = {chosen} d, {len(widths.SEEDS)} seeds of {widths.STEPS} steps · about 15 s",
               {(chosen, seed): functools.partial(widths.train, chosen, seed) for seed in widths.SEEDS},
               total=widths.STEPS // widths.EVERY + 1, unit="report")  # fmt: skip
    kept = recorded_widths()
    steps = np.array(kept["steps"])
    recorded = recorded_losses()
    runs = {times: [np.array([report.unseen for report in job.reports]) for seed in widths.SEEDS
                    if (job := live.run((times, seed))) is not None] for times in widths.TIMES}  # fmt: skip
    costs = {times: widths.costs(times) for times in widths.TIMES}
    curves.mount(key="widths", on_stand_change=keep_widths, data=charts.widths(
        steps, recorded, runs, costs, Picks("Width", list(TIMES), pick, role="ffn"), cursor=step, epoch=epoch))
    st.caption(f"A decoder of 2 layers, d = {widths.D_MODEL}, on one play in characters; only d_ff differs. Recorded: "
               f"`{kept['command']}`, {kept['date']}, {len(kept['seeds'])} seeds, {kept['minutes']} min. What is "
               f"trained here takes "
               "the same first steps: same seeds, same batches.")  # fmt: skip
    table = {"step": steps} | {f"{times}×, seed {seed}": of for times, found in recorded.items()
                               for seed, of in zip(kept["seeds"], found, strict=True)}  # fmt: skip
    return telling, table, {"times": chosen}


SHOW = {WAY: show_way, FIRING: show_firing, MEMORIES: show_memories, MIXING: show_mixing, WIDTHS: show_widths}
FUNCTIONS = {
    WAY: [FeedForward], FIRING: [neurons.firing], MEMORIES: [neurons.memories_at, neurons.written, neurons.toward],
    MIXING: [neurons.changed_rows], WIDTHS: [widths.train, widths.config_of],
}  # fmt: skip


def draw() -> None:
    """All that follows the controls: it alone runs again when they change, and while anything trains."""
    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        layer, table, found = SHOW[view]()
    d, ff = config.d_model, config.d_ff
    token = f"token {n}"
    matrix = [("W_g", (d, ff), "output")] if config.gated else []
    lesson.formula(
        words.formula(config.gated, sigma),
        shapes=[(r"\hat{x}'", (token, d), "residual"), ("W_1", (d, ff), "output"), *matrix, ("a", (token, ff), "ffn"),
                ("W_2", (ff, d), "output"), (r"\Delta x", (token, d), "residual")],
        numbers=lambda: numbers(layer),
    )  # fmt: skip
    at = {"model": reading.model, "text": reading.text, "layer": layer, "token": n - 1, "given": given, "loudest": True,
          "times": 4} | found  # fmt: skip
    with code_place:
        lesson.code(FUNCTIONS[view], words.SNIPPET[view].format_map({name: repr(value) for name, value in at.items()}))
    lesson.downloads(table=table, config=at | {"view": view})


def numbers(layer: int) -> str:
    """The loudest neuron at the last token, put in."""
    a = part(layer, "ffn.post")[-1]
    j = int(np.abs(a).argmax())
    u = part(layer, "ffn.pre")[-1, j]
    of = (rf"\operatorname{{{sigma}}}({part(layer, given)[-1, j]:.3f}) \times {u:.3f}" if config.gated
          else rf"\operatorname{{{sigma}}}({u:.3f})")  # fmt: skip
    return rf"\ffn{{a_{{{j}}}}} = {of} = {a[j]:.3f} \quad\text{{at the last token, layer }}{layer}"


lesson, live = Lesson("D3"), Training("D3")
lesson.header(words.LOOK_FOR)
text = lesson.text(CAPITAL, EXAMPLES)
reading = lesson.read(text, RECORD, name=models.decoder(), most=MOST)
config, n = reading.config, len(reading.ids)
sigma, given = TITLES[config.activation], "ffn.gate" if config.gated else "ffn.pre"
subject = (reading.model, reading.label, reading.text)
names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(reading.pieces)]
telling = TELLING.get(reading.model, config.n_layers // 2)
view = lesson.view(VIEWS)
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    live.watch(draw)()
with after:
    parts = cost.parameters(config)
    half = firing_of(subject)["half"]
    lesson.prose(**words.prose(parts["ffn"] / (parts["ffn"] + parts["attention"]), config.d_model, config.d_ff, config.gated,
                               float(np.median(half)), round(float(half[telling, -1]) * config.d_ff), telling, reading.title,
                               {times: [run[-1] for run in runs] for times, runs in recorded_losses().items()}))  # fmt: skip
    changed, rows = one_change(reading.text)
    if len(rows) > 1:
        lesson.predict(**words.predict(len(rows), changed, *(rows > 0).sum(0).tolist()))
with more:
    lesson.interview(words.interview(config.d_model, config.d_ff))
    lesson.sources(words.SOURCES)
