"""Heads that share keys: multi-head, grouped, multi-query and latent attention, and what sharing does to a real model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import heads as charts
from charts.ahead import Box, ahead
from pages.attention import heads_words as words
from pages.attention.heads_words import BYTES, COST, VIEWS, WIRING
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import PRESETS, Config, cost, scores
from transformer.experiments import sharing
from transformer.attention import Attention
from transformer.latent import Latent
from transformer.recording import CAPITAL, DEFAULTS, PRONOUN, REPEAT

EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT, "a fact": CAPITAL,
            "a play": "To be, or not to be, that is the question"}
TELLING = {"smollm2-135m": (13, 8), "minilm-l6": (3, 1), "tiny": (2, 2)}  # model -> layer and head
MOST = 32  # tokens in the picture
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "shared-heads.json"
LENGTHS = [1, 1024, 4096, 32_768, 131_072]
# DeepSeek-V2's attention, by its report (§3.1.2); its experts are no part of a cache and are left out.
DEEPSEEK = Config(vocab_size=102_400, d_model=5120, n_layers=60, n_heads=128, d_head=128, attention="latent", rank=512,
                  q_rank=1536, max_len=131_072)  # fmt: skip
KNOWN = {
    "GPT-2 XL": PRESETS["gpt2-xl"], "SmolLM2-135M": PRESETS["smollm2-135m"], "Llama-2-7B": PRESETS["llama-2-7b"],
    "Llama-3-8B": PRESETS["llama-3-8b"], "Mixtral-8x7B": PRESETS["mixtral-8x7b"], "DeepSeek-V2": DEEPSEEK,
}  # fmt: skip


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    heads: int
    head: int
    at: int


class Shared(NamedTuple):
    """One layer with each number of key/value heads that there can be."""

    Q: np.ndarray
    K: dict[int, np.ndarray]
    V: dict[int, np.ndarray]
    A: dict[int, np.ndarray]
    moved: dict[int, np.ndarray]


@st.cache_data(max_entries=64, show_spinner=False)
def shared(subject: tuple, layer: int) -> tuple:
    """The fields of ``Shared``, from the trace's own Q, K and V, as `sharing.regroup` makes them fewer or more."""
    trace = {part: torch.tensor(reading[f"layers.{layer}.attention.{part}"][0][:, :MOST]) for part in "QKV"}
    own = sharing.weights_of(trace["Q"], trace["K"], config)
    found = Shared(trace["Q"].numpy(), {}, {}, {}, {})
    for h_kv in choices:
        K, V = sharing.regroup(trace["K"], h_kv), sharing.regroup(trace["V"], h_kv)
        A = sharing.weights_of(trace["Q"], K, config)
        found.K[h_kv], found.V[h_kv], found.A[h_kv] = K.numpy(), V.numpy(), A.numpy()
        found.moved[h_kv] = sharing.moved(own, A).numpy()
    return tuple(found)


def cache_of(h_kv: int) -> int:
    """Bytes of a token; an encoder keeps none, so it is asked as the decoder of its shape."""
    return 2 * config.n_layers * sharing.numbers_kept(replace(config, n_kv_heads=h_kv))


def stand(default: int | None = None, head: int = 0) -> Stand:
    at = {WIRING: 0, BYTES: 4096, COST: 0}[view]
    if view == WIRING:
        return Stand(view, url.url_state("kv_heads", default, int, choices.__contains__),
                     url.url_state("head", head, int, lambda i: 0 <= i < config.n_heads), at)  # fmt: skip
    if view == BYTES:
        return Stand(view, 0, 0, url.url_state("n", at, int, LENGTHS.__contains__))
    kept = st.session_state["_heads_kept"]
    return Stand(view, 0, 0, url.url_state("kept", kept[len(kept) // 3], int, kept.__contains__))


def keep_wiring() -> None:
    said, (default, head) = held.said("wiring", "stand"), st.session_state["_heads_default"]
    if said is None:
        return
    if said.get("heads") in choices:
        url.set_url_state("kv_heads", said["heads"], default)
    if isinstance(said.get("head"), int) and 0 <= said["head"] < config.n_heads:
        url.set_url_state("head", said["head"], head)
    held.reported("wiring", stand(default, head))


def keep_bars() -> None:
    if (said := held.said("bars", "stand")) is not None and said.get("n") in LENGTHS:
        url.set_url_state("n", said["n"], 4096)
        held.reported("bars", stand())


def keep_curves() -> None:
    said, kept = held.said("curves", "stand"), st.session_state["_heads_kept"]
    if said is not None and isinstance(at := said.get("cursor"), int | float) and int(at) in kept:
        url.set_url_state("kept", int(at), kept[len(kept) // 3])
        held.reported("curves", stand())


def show_wiring(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[int, int, dict, str]:
    layer, head = TELLING.get(reading.model, (0, 0))
    layers = range(config.n_layers)
    with controls:
        layer = choose("Layer", layers, layer, "layer")
    own = config.n_kv_heads
    default = own if own < config.n_heads else choices[len(choices) // 2]
    st.session_state["_heads_default"] = (default, head)
    found, here = Shared(*shared(subject, layer)), stand(default, head)
    shown, epoch = held.to_send("wiring", here)
    tokens, causal = reading.pieces[:MOST], config.kind == "decoder"
    row = next((of.query for of in DEFAULTS.values() if (of.model, of.text) == (reading.model, reading.text)),
               len(tokens) - 1)
    with controls:
        st.metric("Cache of a token", f"{cache_of(here.heads) / 1e3:.2f} kB", help="2 · h_kv · d_k · layers · 2 bytes")
        st.metric("Weight that moved", f"{found.moved[here.heads].mean():.1%}",
                  help="Share of each row of A that lies on other keys than in the trained model, mean of all heads.")  # fmt: skip
        gap = float(np.abs(found.A[config.n_heads] - found.A[own]).max())
        st.caption(f"{reading.title} was trained with {own} key/value heads for {config.n_heads} query heads. Written "
                   f"out as multi-head attention "
                   f"with copied heads, its maps {'are bit for bit the same' if gap == 0 else f'differ by {gap:.0e}'}. In K and V blue is below 0, rust above. Averaged heads are not trained further." + (
                       "" if causal else " An encoder keeps no cache; the bytes are a decoder's of its shape."))  # fmt: skip

    def message(layer: int) -> bytes:
        of = Shared(*shared(subject, layer))
        return charts.wiring_message(
            tokens, *of, [cache_of(h_kv) for h_kv in choices], own=own, at=shown.heads, head=shown.head,
            cell=(row, int(of.A[own][here.head, row].argmax())), causal=causal, scale=scores.scale(config),
            scale_text=f"/ √{config.d_head}", epoch=epoch,
        )  # fmt: skip

    with picture:
        charts.mount_wiring(key="wiring", on_stand_change=keep_wiring,
                            data=ahead(message, Box("layer", layers, layer)))
    numbers = (rf"h = {config.n_heads},\ \key{{h_{{kv}}}} = {here.heads}:\quad g({here.head}) = \lfloor {here.head} / "
               rf"{config.n_heads // here.heads} \rfloor = {here.head * here.heads // config.n_heads},\quad 2 \cdot "
               rf"{here.heads} \cdot "
               rf"{config.d_head} \cdot {config.n_layers} \cdot 2 = {cache_of(here.heads):,}\text{{ bytes a token}}").replace(",", r"{,}").replace(r"{,}\quad", r",\quad").replace(r"{,}\ ", r",\ ")  # fmt: skip
    table = {"query head": range(config.n_heads)} | {f"moved, h_kv = {h_kv}": found.moved[h_kv] for h_kv in choices}
    return layer, here.heads, table, numbers


def ways(known: Config) -> tuple[list[float], list[str], int]:
    """Bytes of a token by each way to share heads, how they come about, and which of them is the model's own."""
    h, d_k, L = known.n_heads, known.d_head, known.n_layers
    grouped = known.n_kv_heads if known.attention != "latent" and 1 < known.n_kv_heads < h else 8 if h % 8 == 0 else None
    rank, turned = (known.rank, d_k // 2) if known.attention == "latent" else (4 * d_k, d_k // 2)
    latent = Config(d_model=known.d_model, n_layers=L, n_heads=h, d_head=d_k, attention="latent", rank=rank)
    found, said = [], []
    for h_kv in (h, grouped, 1):
        plain = None if h_kv is None else Config(d_model=known.d_model, n_layers=L, n_heads=h, n_kv_heads=h_kv,
                                                 d_head=d_k)
        found.append(float("nan") if plain is None else cost.kv_cache_bytes(plain, 1))
        said.append(f"2 · {h_kv} · {d_k} · {L} layers · 2 bytes")
    found.append(cost.kv_cache_bytes(latent, 1))
    said.append(f"({rank} + {turned}) · {L} layers · 2 bytes")
    own = 3 if known.attention == "latent" else 0 if known.n_kv_heads == h else 2 if known.n_kv_heads == 1 else 1
    return found, said, own


def show_bytes(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[int, int, dict, str]:
    with controls:
        st.caption("Full colour: what the model really has; pale: what it would weigh with its other dimensions. The "
                   "latent of models that have "
                   "none is as wide as DeepSeek's, $4 d_k + d_k/2$, and those that do not group would by 8. 16 bits a number, `cost.kv_cache_bytes`.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("bars", here)
    found = {name: ways(known) for name, known in KNOWN.items()}
    notes = [f"{k.n_heads} heads, latent {k.rank} + {k.d_head // 2}" if k.attention == "latent" else f"{k.n_heads} / {k.n_kv_heads} heads, {k.n_layers} layers"
             for k in KNOWN.values()]  # fmt: skip
    with picture:
        charts.mount_bars(key="bars", on_stand_change=keep_bars, data=charts.bars_message(
            list(zip(KNOWN, notes, strict=True)), np.array([f for f, _, _ in found.values()]), [o for _, _,
                o in found.values()],
            [s for _, s, _ in found.values()], lengths=curves.Choice("Tokens n", LENGTHS, shown.at), epoch=epoch,
        ))  # fmt: skip
    table = {"model": list(found)} | {f"{way}, bytes at n = {here.at}": [f[i] * here.at for f, _, _ in found.values()]
                                      for i, way in enumerate(charts.WAYS)}  # fmt: skip
    n_bytes = cost.kv_cache_bytes(KNOWN["Llama-3-8B"], here.at)
    numbers = (rf"\text{{Llama-3-8B: }} 2 \cdot {here.at} \cdot \key{{8}} \cdot 128 \cdot 32 \cdot 2 = "
               rf"{n_bytes / 1e9:.4g}\text{{ GB}}"
               rf"\qquad \text{{DeepSeek-V2: }} {here.at} \cdot (\value{{512}} + 64) \cdot 60 \cdot 2 = {cost.kv_cache_bytes(DEEPSEEK, here.at) / 1e9:.4g}\text{{ GB}}")
    return TELLING.get(reading.model, (0, 0))[0], config.n_kv_heads, table, numbers


@st.cache_data(show_spinner=False)
def recorded_effects() -> dict:
    """Not called as on other pages: Streamlit keeps what functions of one name and one body give, page or no page."""
    return json.loads(MEASURED.read_text("utf-8"))


@st.cache_data(max_entries=16, show_spinner="Converting the model, rank by rank, and reading your text with each…")
def converted(model: str, ids: tuple[int, ...], _model) -> dict:
    """The same numbers as benchmarks/shared_heads.py, of this text."""
    before, widest, full = _model.run(list(ids)).output[0], sharing.numbers_kept(_model.config), sharing.full_rank(_model.config)
    kept, known = list(range(widest // 12, widest + 1, widest // 12)), sharing.bases(_model)
    latent = [sharing.effect(before, sharing.squeezed(_model, min(rank, full), known), ids) for rank in kept]
    grouped = {h_kv: sharing.effect(before, sharing.regrouped(_model, h_kv),
                                    ids) for h_kv in sharing.choices(_model.config.n_kv_heads)}
    return {"kept": kept, "full_rank": full,
            "latent": {f: [getattr(e, f) for e in latent] for f in sharing.Effect._fields},
            "grouped": {str(h_kv): e._asdict() for h_kv, e in grouped.items()}}  # fmt: skip


def show_cost(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[int, int, dict, str]:
    name = reading.model if config.kind == "decoder" else "tiny"
    live = models.loaded(name) if reading.label != "recorded" else None
    with controls:
        on_text = st.toggle("On my text", key="mine", bind="query-params", disabled=live is None,
                            help="Converts the whole model and reads your text with it; off: as recorded.")  # fmt: skip
        on_text = on_text and live is not None and len(reading.ids) > 1
        if on_text:
            model, tokenizer = live
            found, whose = converted(name, tuple(tokenizer.encode(reading.text)), model), "your text"
        else:
            about = recorded_effects()
            found, whose = about["measured"][name], about["text"]
        st.caption(f"{models.TITLES[name]}, all layers converted at once, {whose}." + ("" if on_text else
                   f" Recorded {recorded_effects()['date']}; `{recorded_effects()['command']}` makes it anew.") +  # fmt: skip
                   f" From {found['full_rank']} numbers on the latent holds all of [W_K; W_V] and loses nothing. "
                   "KL: how far the next token's probabilities have moved, 0 where they are the same; loss: of the "
                   "text itself; both in nats.")
    st.session_state["_heads_kept"] = found["kept"]
    here = stand()
    shown, epoch = held.to_send("curves", here)
    converted_config = config if name == reading.model else models.loaded(name)[0].config
    d_k, own = converted_config.d_head, converted_config.n_kv_heads
    grouped = {int(h_kv): of for h_kv, of in found["grouped"].items()}
    latent = {field: np.array(values) for field, values in found["latent"].items()}
    with picture:
        curves.mount(key="curves", on_stand_change=keep_curves, data=charts.effect_message(
            np.array(found["kept"]), latent, grouped, {h_kv: 2 * h_kv * d_k for h_kv in grouped}, own=own,
            whose=f"{models.TITLES[name]}, {whose}", cursor=shown.at, epoch=epoch,
        ))  # fmt: skip
    i, least = found["kept"].index(here.at), min(grouped)
    near = int(np.argmin([abs(k - 2 * least * d_k) for k in found["kept"]]))
    numbers = (rf"\value{{r}} = {here.at}:\ \text{{KL}} = {latent['kl'][i]:.3f},\quad \value{{r}} = "
               rf"{found['kept'][near]}:\ \text{{KL}} = {latent['kl'][near]:.3f},\quad "
               rf"\key{{h_{{kv}}}} = {least}\text{{, averaged}}:\ \text{{KL}} = {grouped[least]['kl']:.3f}")  # fmt: skip
    return TELLING.get(reading.model, (0, 0))[0], least, {"kept": found["kept"]} | {f"latent {f}": v for f,
        v in latent.items()}, numbers


SHOW = {WIRING: show_wiring, BYTES: show_bytes, COST: show_cost}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    layer, h_kv, table, numbers = SHOW[view](*lesson.stage(0.26))
    n, d_k, h = len(reading.ids), config.d_head, config.n_heads
    shown = h_kv if view == WIRING else config.n_kv_heads
    lesson.formula(
        r"\begin{gathered}" + r"\\[.5em]".join(words.FORMULAS[view]) + r"\end{gathered}",
        shapes=[("Q", (f"head {h}", f"query {n}", d_k), "query"), ("K", (f"kv_head {shown}", f"key {n}", d_k), "key"),
                ("V", (f"kv_head {shown}", f"key {n}", d_k), "value"), ("A", (f"head {h}", f"query {n}", f"key {n}"),
                    "attention"),
                ("W_K", (config.d_model, shown * d_k), "output")],
        numbers=numbers,
    )  # fmt: skip
    at = {"model": reading.model, "text": reading.text, "layer": layer, "h_kv": h_kv}
    with code_place:
        lesson.code([Attention.share, sharing.regroup, sharing.weights_of, sharing.moved, sharing.squeezed,
                     cost.kv_cache_bytes, Latent.forward],
                    words.SNIPPET.format_map({name: repr(value) for name, value in at.items()}))  # fmt: skip
    lesson.downloads(table=table, config=at | {"view": view})


lesson = Lesson("B4")
lesson.header(words.LOOK_FOR)
typed = lesson.text(PRONOUN, EXAMPLES)
view = lesson.view(VIEWS)
reading = lesson.read(typed, ("layers.*.attention.[QKV]",))
config = reading.config
choices = [h_kv for h_kv in sharing.choices(config.n_heads) if h_kv % config.n_kv_heads == 0 or config.n_kv_heads % h_kv == 0]
subject = (reading.model, reading.label, reading.text)  # what is cached belongs to it
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with below:
    lesson.prose(**words.PROSE)
    many, one = (cost.flops(replace(config, n_kv_heads=h_kv), 1024) for h_kv in (config.n_heads, 1))
    lesson.predict(**words.predict(config.n_heads, *(sum(f[part] for part in cost.ATTENTION) for f in (many, one)),
                                   one["scores"]))
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
