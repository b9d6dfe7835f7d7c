"""The KV cache: what generation computes again without it, and what it keeps instead."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import kv_cache as charts
from charts.ahead import Box, ahead
from pages.attention import kv_cache_words as words
from pages.attention.kv_cache_words import BYTES, COST, STEPS, VIEWS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import PRESETS, Cache, cost, scores
from transformer.experiments import cached_steps
from transformer.attention import Attention
from transformer.cache import KeyValues
from transformer.recording import CAPITAL, PRONOUN, REPEAT

EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "a fact": CAPITAL,
            "a play": "To be, or not to be, that is the"}
RECORD = ("layers.*.attention.[QKVA]",)
NEW = (4, 8, 12)  # tokens that the model writes
MOST = 40  # tokens of the prompt: rows that can still be told apart
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "kv-cache.json"
LENGTHS = list(range(64, 513, 64))
CONTEXTS = np.arange(512, 32_769, 512)
KNOWN = {
    "SmolLM2-135M": "smollm2-135m", "Qwen2-7B": "qwen2-7b", "Llama-3-8B": "llama-3-8b", "Llama-2-7B": "llama-2-7b",
    "Mixtral-8x7B": "mixtral-8x7b", "Llama-2-70B": "llama-2-70b",
}  # fmt: skip
BATCHES = [1, 4, 16, 64]
START = {COST: 512, BYTES: 4096}


class Text(NamedTuple):
    """A prompt and what follows it, read at once."""

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    prompt: int
    following: tuple[str | None, ...]
    apart: tuple[float, ...] | None
    trace: Mapping[str, np.ndarray]  # Q, K, V and A of every layer
    note: str

    def head(self, layer: int, head: int) -> dict[str, np.ndarray]:
        """Q, K, V [token, d_head] and A [query, key] of one query head."""
        at = {"Q": head, "K": shared(head), "V": shared(head), "A": head}
        return {part: self.trace[f"layers.{layer}.attention.{part}"][0, of] for part, of in at.items()}


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    at: int
    batch: int
    model: str


@st.cache_data(max_entries=64, show_spinner="The model writes, and every step is done twice…")
def grown(model: str, text: str, new: int, _model, _tokenizer) -> cached_steps.Grown:
    return cached_steps.grow(_model, _tokenizer.encode(text)[:MOST], new)


@st.cache_resource(max_entries=4, show_spinner=False)
def traced(model: str, ids: tuple[int, ...], _model) -> dict[str, np.ndarray]:
    return {name: x.float().numpy() for name, x in _model.run(list(ids), record=RECORD).trace.items()}


def shared(head: int) -> int:
    """The key/value head of a query head."""
    return head * config.n_kv_heads // config.n_heads


def written(new: int) -> Text:
    """The text with what the model adds to it; of a recording, its own second half."""
    if reading.label == "recorded":
        prompt = max(1, len(reading.ids) // 2)
        return Text(reading.ids, reading.pieces, prompt, (*reading.pieces[prompt:], None), None, reading.arrays,
                    f"{reading.title} is not here to write, so the second half of its recorded text stands for what it "
                    "writes. Fetch it in the sidebar, and it writes on.")  # fmt: skip
    model, tokenizer = models.loaded(reading.model)
    found = grown(reading.model, reading.text, new, model, tokenizer)
    pieces = tokenizer.pieces(list(found.ids))
    following = tuple(tokenizer.pieces([token])[0] for token in found.next)
    note = f"{reading.title} chooses the most probable token each time."
    if len(reading.ids) > MOST:
        note += f" The picture has room for the first {MOST} tokens of your text."
    return Text(found.ids, tuple(pieces), found.prompt, following, found.apart,
                traced(reading.model, found.ids, model), note)  # fmt: skip


def stand(steps: int = 1) -> Stand:
    if view == STEPS:
        return Stand(view, url.url_state("step", min(3, steps - 1), int, lambda step: 0 <= step < steps), 0, "")
    allowed = LENGTHS if view == COST else CONTEXTS.tolist()
    at, batch, model = url.url_state("n", START[view], int, allowed.__contains__), 1, "Llama-2-7B"
    if view == BYTES:
        batch = url.url_state("batch", 1, int, BATCHES.__contains__)
        model = url.url_state("of", model, str, KNOWN.__contains__)
    return Stand(view, at, batch, model)


def keep_step() -> None:
    said, steps = held.said("cache", "stand"), st.session_state["_kv_steps"]
    if said is not None and isinstance(said.get("step"), int) and 0 <= said["step"] < steps:
        url.set_url_state("step", said["step"], min(3, steps - 1))
        held.reported("cache", stand(steps))


def keep_curves() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    if isinstance(at := said.get("cursor"), int | float):
        url.set_url_state("n", int(at), START[view])
    if view == BYTES and said.get("frame") in BATCHES:
        url.set_url_state("batch", said["frame"], 1)
    if view == BYTES and said.get("pick") in KNOWN:
        url.set_url_state("of", said["pick"], "Llama-2-7B")
    held.reported("curves", stand())


def show_steps(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[Text, int, dict, str]:
    with controls:
        left, right = st.columns(2)
        telling = {"smollm2-135m": (13, 8), "tiny": (2, 2)}.get(reading.model, (0, 0))
        layers, heads = range(config.n_layers), range(config.n_heads)
        with left:
            layer = choose("Layer", layers, telling[0], "layer")
        with right:
            head = choose("Query head", heads, telling[1], "head")
        new = NEW[1]
        if reading.label != "recorded":
            new = st.select_slider("Tokens the model writes", NEW, NEW[1], key="new", bind="query-params")
    text = written(new)
    steps = len(text.ids) - text.prompt + 1
    st.session_state["_kv_steps"] = steps
    if st.session_state.setdefault("_kv_text", text.ids) != text.ids:  # a step belongs to one text
        st.session_state["_kv_text"] = text.ids
        st.query_params.pop("step", None)
    here = stand(steps)
    shown, epoch = held.to_send("cache", here)
    flops = [cached_steps.step_flops(config, text.prompt + step) for step in range(steps)]
    kept = [flops[0].without, *(step.kept for step in flops[1:])]  # the prompt is read once, either way
    n, d_k = text.prompt + here.at, config.d_head
    with controls:
        st.caption(text.note)
        st.caption("In Q, K and V blue is below 0, rust above. Small grids: a row a step, a square a token; full: read "
                   "for the first time, half: again, faint: kept.")  # fmt: skip
        if text.apart is None:
            model, tokenizer = models.loaded("tiny")
            other = grown("tiny", reading.text, NEW[0], model, tokenizer)
            st.metric("Logits differ by", f"{max(other.apart):.1e}",
                      help="With the cache and without it: the largest difference at any step, as a share of the largest logit. Below "
                           "1e-5 is rounding.")
            st.caption("Checked on the tiny model, live, on the same text.")
        else:
            st.metric("Logits differ by", f"{max(text.apart):.1e}",
                      help="With the cache and without it: the largest difference at any step, as a share of the largest logit. Below "
                           "1e-5 is rounding.")
            st.caption(f"The largest of {steps} steps, as a share of the largest logit: rounding.")
        st.metric(f"The cache after {n} tokens", size(cost.kv_cache_bytes(config, n)),
                  help="2 · n · h_kv · d_k · layers · 2 bytes")  # fmt: skip

    def message(layer: int, head: int) -> bytes:
        return charts.message(
            text.pieces, text.prompt, text.following, **text.head(layer, head),
            without=np.array([f.without for f in flops]), kept=np.array(kept),
            apart=None if text.apart is None else np.array(text.apart), step=min(shown.at, steps - 1),
            scale=scores.scale(config), scale_text=f"/ √{d_k}", epoch=epoch,
            where=f"layer {layer}, query head {head}, key/value head {shared(head)}",
        )  # fmt: skip

    with picture:
        charts.mount(key="cache", on_stand_change=keep_step,
                     data=ahead(message, Box("layer", layers, layer), Box("head", heads, head)))
    step = flops[here.at]
    numbers = (
        rf"n = {n}:\quad \key{{K_{{\le {n}}}}}\ [{n}, {d_k}]\ \text{{in each of }} {config.n_kv_heads} \times "
        rf"{config.n_layers}"
        rf"\text{{ caches}},\quad \frac{{{step.without:,.0f}}}{{{kept[here.at]:,.0f}}} = "
        rf"{step.without / kept[here.at]:.1f}"
        r"\text{ times fewer FLOPs}"
    ).replace(",", r"{,}")
    table = {"step": range(steps), "tokens": [text.prompt + s for s in range(steps)],
             "FLOPs without": [f.without for f in flops],
             "FLOPs with cache": kept, "reads": [None, *text.pieces[text.prompt:]], "next": text.following}  # fmt: skip
    return text, layer, table, numbers


def three_digits(value: float) -> str:
    return f"{value:,.0f}".replace(",", "{,}") if value >= 100 else f"{value:.3g}"


def size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.1f} kB"


@st.cache_data(show_spinner=False)
def recorded_times() -> dict:
    return json.loads(MEASURED.read_text("utf-8"))


@st.cache_data(max_entries=4, ttl=3600, show_spinner="Measuring each length both ways, for some seconds…")
def measured_here(model: str, _model) -> tuple[list[float], list[float]]:
    found = cached_steps.timings(_model, LENGTHS, rounds=5, budget=3.0)
    return [t.seconds.without for t in found], [t.seconds.kept for t in found]


def times(live: str | None) -> tuple[charts.Step, str]:
    """Seconds of this page's model, and where they were measured: here, or as recorded."""
    if live is not None:
        without, kept = measured_here(live, models.loaded(live)[0])
        return charts.Step(np.array(without), np.array(kept)), "measured here, just now"
    about = recorded_times()
    of = about["measured"][reading.model]
    return charts.Step(np.array(of["without"]), np.array(of["kept"])), f"{about['machine']}, {about['date']}"


def show_cost(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[dict, str]:
    with controls:
        can = models.loaded(reading.model) is not None
        if st.toggle("Measure on this machine", key="measure", bind="query-params", disabled=not can,
                     help="Every length both ways; the tiny model takes some 3 seconds, SmolLM2 about half a minute."):
            seconds, where = times(reading.model if can else None)
        else:
            seconds, where = times(None)
        st.metric("Time gained at 512 tokens", f"{seconds.without[-1] / seconds.kept[-1]:.0f} ×")
        st.caption(f"Lengths 64 to 512, float32, fastest of the rounds, {where}. `{recorded_times()['command']}` "
                   f"makes the recorded "
                   "numbers anew.")  # fmt: skip
    flops = [cached_steps.step_flops(config, n) for n in LENGTHS]
    both = charts.Step(np.array([f.without for f in flops], float), np.array([f.kept for f in flops], float))
    here = stand()
    shown, epoch = held.to_send("curves", here)
    cached = np.array([cost.kv_cache_bytes(config, n) for n in LENGTHS], float)
    with picture:
        curves.mount(key="curves", on_stand_change=keep_curves, data=charts.cost_message(
            np.array(LENGTHS), both, seconds, cached, model=reading.title, measured=where, cursor=shown.at, epoch=epoch,
        ))  # fmt: skip
    i = LENGTHS.index(here.at)
    numbers = (rf"n = {here.at}:\quad \frac{{{both.without[i] / 1e9:.3g}}}{{{both.kept[i] / 1e9:.3g}}}\text{{ GFLOP}} "
               rf"= "
               rf"{both.without[i] / both.kept[i]:.0f}\times,\quad \frac{{{three_digits(seconds.without[i] * 1e3)}}}"
               rf"{{{three_digits(seconds.kept[i] * 1e3)}}}\text{{ ms}} = {seconds.without[i] / seconds.kept[i]:.0f}\times")  # fmt: skip
    table = {"n": LENGTHS, "FLOPs without": both.without, "FLOPs with cache": both.kept,
             "seconds without": seconds.without,
             "seconds with cache": seconds.kept, "cache bytes": cached}  # fmt: skip
    return table, numbers


def show_bytes(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[dict, str]:
    with controls:
        st.caption("32/8: query heads and key/value heads. Keys and values in 16 bits, by `cost.kv_cache_bytes`; where "
                   "a model was trained on shorter texts, as if it went on. Mixtral's experts share one attention: they weigh in the weights alone.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("curves", here)
    presets = {title: PRESETS[name] for title, name in KNOWN.items()}
    gigabytes = {title: np.array([[cost.kv_cache_bytes(preset, int(n),
                                                       batch) / 1e9 for n in CONTEXTS] for batch in BATCHES])
                 for title, preset in presets.items()}  # fmt: skip
    weights = {title: 2 * sum(cost.parameters(preset).values()) / 1e9 for title, preset in presets.items()}
    with picture:
        curves.mount(key="curves", on_stand_change=keep_curves, data=charts.bytes_message(
            CONTEXTS, gigabytes, {title: cost.kv_cache_bytes(preset, 1) / 1e3 for title,
                                  preset in presets.items()}, weights,
            {title: f"{p.n_heads}/{p.n_kv_heads}" for title, p in presets.items()},
            batches=curves.Choice("Texts at once", BATCHES, shown.batch), cursor=shown.at, epoch=epoch,
            picks=curves.Picks("Model", list(KNOWN), shown.model, role="key"),
        ))  # fmt: skip
    one = presets[here.model]
    n_bytes = cost.kv_cache_bytes(one, here.at, here.batch)
    numbers = (rf"\text{{{here.model}: }} 2 \cdot {here.at} \cdot \key{{{one.n_kv_heads}}} \cdot {one.d_head} \cdot "
               rf"{one.n_layers}"
               rf" \cdot {here.batch} \cdot 2 = {n_bytes / 1e9:.3f}\text{{ GB}}")  # fmt: skip
    return {"n": CONTEXTS} | {title: of[BATCHES.index(here.batch)] for title, of in gigabytes.items()}, numbers


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    places, layer, ids, n = lesson.stage(0.28), 0, list(reading.ids)[:MOST], min(len(reading.ids), MOST)
    if view == STEPS:
        text, layer, table, numbers = show_steps(*places)
        ids, n = list(text.ids), text.prompt + stand(len(text.ids) - text.prompt + 1).at
    else:
        table, numbers = (show_cost if view == COST else show_bytes)(*places)
    h_kv, d_k, L = config.n_kv_heads, config.d_head, config.n_layers
    lesson.formula(
        r"\begin{gathered}" + r"\\[.5em]".join(words.FORMULAS[view]) + r"\end{gathered}",
        shapes=[("q_n", (f"head {config.n_heads}", 1, d_k), "query"),
                ("K", (f"layer {L}", f"kv_head {h_kv}", f"key {n}", d_k), "key"),
                ("V", (f"layer {L}", f"kv_head {h_kv}", f"key {n}", d_k), "value"),
                ("A_n", (f"head {config.n_heads}", 1, f"key {n}"), "attention")],
        numbers=numbers,
    )  # fmt: skip
    at = {"model": reading.model, "ids": ids, "n": max(2, n), "layer": layer}
    with code_place:
        lesson.code([KeyValues.append, Attention.forward, cached_steps.step_flops, cost.kv_cache_bytes, Cache.empty],
                    words.SNIPPET.format_map({name: repr(value) for name, value in at.items()}))  # fmt: skip
    lesson.downloads(table=table, config=at | {"view": view})


lesson = Lesson("B11")
lesson.header(words.LOOK_FOR)
asked = models.decoder()
if asked != models.chosen():
    st.info(f"{models.TITLES[models.chosen()]} reads both ways: each new token changes all earlier rows, so an "
            f"encoder has "
            f"nothing to keep. {models.TITLES[asked]} reads here.", icon=":material/info:")  # fmt: skip
typed = lesson.text(PRONOUN, EXAMPLES)
view = lesson.view(VIEWS)
reading = lesson.read(typed, RECORD, name=asked)
config = reading.config
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with below:
    lesson.prose(**words.PROSE)
    far, recorded = LENGTHS[-1], recorded_times()["measured"][reading.model]
    step = cached_steps.step_flops(config, far)
    lesson.predict(**words.predict(reading.title, far, step.without / step.kept,
                                   recorded["without"][-1] / recorded["kept"][-1]))
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
