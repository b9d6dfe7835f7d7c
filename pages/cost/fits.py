"""G2, What fits in memory: bytes by part while a model writes and while it learns, against the card that must hold them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import fits as charts
from pages.cost import fits_words as words
from pages.cost.fits_words import KINDS, RUN, TRAIN, VIEWS
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.known_models import TEXT
from pages.shared.lesson import Lesson
from pages.shared.own_numbers import OWN, as_python, own_config, with_others
from transformer import PRESETS, Config, cost, memory

FIRST = "Llama 3 8B"
LENGTHS = [2**k * quarter // 4 for k in range(7, 20) for quarter in range(4, 8)] + [2**20]
BATCHES = [1, 2, 4, 8, 16, 32, 64]
BITS = [32, 16, 8, 4]
CARDS = {"8 GB": 8, "16 GB": 16, "24 GB": 24, "48 GB": 48, "80 GB": 80, "8 × 80 GB": 640}  # 2³⁰ bytes each
PRECISIONS = {"float32": (4, False), "16 bits": (2, True)}
KEPT = {"fused": "fused", "n × n kept": "textbook", "recomputed": "recomputed"}
TRAINED = {"weights": "residual", "gradients": "ffn", "AdamW": "query", "activations": "attention"}
GROUPS = 8  # key/value heads of the drawn GQA, where the model itself has as many as query heads
LATENT = 512  # DeepSeek-V2's rank


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    n: int
    batch: int
    card: str
    bits: int
    precision: str
    kept: str
    kind: str


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    numbers: str


def stand(kinds: list[str] | None = None) -> Stand:
    kinds = kinds or []
    return Stand(
        view,
        url.url_state("n", 8192, int, LENGTHS.__contains__),
        url.url_state("batch", 1, int, BATCHES.__contains__),
        url.url_state("card", "24 GB", str, CARDS.__contains__),
        url.url_state("bits", 16, int, BITS.__contains__) if view == RUN else 16,
        url.url_state("precision", "float32", str, PRECISIONS.__contains__) if view == TRAIN else "float32",
        url.url_state("kept", "fused", str, KEPT.__contains__) if view == TRAIN else "fused",
        url.url_state("kind", kinds[0], str, kinds.__contains__) if kinds else "",
    )


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("curves", "stand")) is None:
        return
    if said.get("cursor") in LENGTHS:
        url.set_url_state("n", int(said["cursor"]), 8192)
    names = {RUN: ("batch", "bits", "card"), TRAIN: ("batch", "precision", "kept", "card"), KINDS: ("batch", "card")}[view]
    usual = {"batch": 1, "bits": 16, "precision": "float32", "kept": "fused", "card": "24 GB"}
    allowed = {"batch": BATCHES, "bits": BITS, "precision": PRECISIONS, "kept": KEPT, "card": CARDS}
    for name, value in zip(names, said.get("frames") or (), strict=False):
        if value in allowed[name]:
            url.set_url_state(name, value, usual[name])
    if view == KINDS and said.get("pick") in kinds_of(config):
        url.set_url_state("kind", said["pick"], next(iter(kinds_of(config))))
    held.reported("curves", stand(list(kinds_of(config)) if view == KINDS else None))


def budgets() -> np.ndarray:
    return np.array([gb * 2**30 for gb in CARDS.values()])


@st.cache_data(max_entries=32, show_spinner="Counting…")
def served(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [bits], bytes of keys and of values [2, batch, length], longest text [batch, bits, card])."""
    weights = np.array([memory.serving(config, 1, weight_bits=bits).weights for bits in BITS], float)
    cache = np.array([[memory.serving(config, n, batch)[1:] for n in LENGTHS] for batch in BATCHES], float)
    longest = [[[memory.longest_served(config, int(budget), batch, bits) for budget in budgets()] for bits in BITS]
               for batch in BATCHES]  # fmt: skip
    return weights, cache.transpose(2, 0, 1), np.array(longest)


@st.cache_data(max_entries=32, show_spinner="Counting what autograd keeps…")
def trained(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(bytes [part, batch, precision, way to keep activations, length], longest text [batch, precision, way, card]).

    A window is counted as if each token saw the whole past.
    """
    full = replace(config, attention="full", window=None)
    laws = [memory.activation_law(full, kept) for kept in KEPT.values()]
    held = [[[[memory.training(full, n, batch, width, master, law) for n in LENGTHS] for law in laws]
             for width, master in PRECISIONS.values()] for batch in BATCHES]  # fmt: skip
    longest = [[[[memory.longest_trained(full, int(budget), law, batch, width, master) for budget in budgets()]
                 for law in laws] for width, master in PRECISIONS.values()] for batch in BATCHES]  # fmt: skip
    return np.moveaxis(np.array(held, float), -1, 0), np.array(longest)


@st.cache_data(max_entries=32, show_spinner=False)
def kinds_of(config: Config) -> dict[str, Config]:
    """The decoder with other kinds of attention, its own among them; none for an encoder, which keeps no cache."""
    if config.kind != "decoder":
        return {}
    h = config.n_heads
    plain = replace(config, n_kv_heads=h, window=None, attention="full")
    found = {f"MHA, {h} heads": plain}
    shared = config.n_kv_heads if config.n_kv_heads < h else GROUPS
    if h % shared == 0 and 1 < shared < h:
        found[f"GQA, {shared}"] = replace(plain, n_kv_heads=shared)
    found["MQA, 1"] = replace(plain, n_kv_heads=1)
    if config.position == "rope" and config.d_head % 4 == 0:
        found[f"latent, {LATENT}"] = replace(plain, attention="latent", rank=LATENT)
    return found


@st.cache_data(max_entries=32, show_spinner=False)
def compared(config: Config) -> tuple[dict, dict, dict, np.ndarray]:
    """(gigabytes [batch, 1, length] and kB a token of each kind's cache, longest text [batch, card, 1], gigabytes that each
    card has left for it)."""
    kinds, room = kinds_of(config), budgets() - memory.serving(config, 1).weights
    gigabytes = {name: np.array([[[cost.kv_cache_bytes(kind, n, batch) / charts.GB for n in LENGTHS]] for batch in BATCHES])
                 for name, kind in kinds.items()}  # fmt: skip
    longest = {name: np.array([[[memory.longest_cached(kind, int(free), batch)] for free in room] for batch in BATCHES])
               for name, kind in kinds.items()}  # fmt: skip
    each = {name: cost.kv_cache_bytes(kind, 1) / 1e3 for name, kind in kinds.items()}
    return gigabytes, each, longest, room.reshape(1, -1, 1) / charts.GB


def show_run(picture: DeltaGenerator) -> Shown:
    here = stand()
    shown, epoch = held.to_send("curves", here)
    axis = (1, len(BITS), 1, 1)

    def message(config: Config, title: str) -> bytes:
        weights, cache, longest = served(config)
        layers = [
            charts.Layer("weights", "residual", np.broadcast_to((weights / charts.GB).reshape(axis), (*axis[:3], len(LENGTHS)))),
            *(charts.Layer(name, role, cache[i][:, None, None] / charts.GB)
              for i, (name, role) in enumerate((("keys", "key"), ("values", "value")))),
        ]  # fmt: skip
        return charts.stack(
            "memory-writing", "Gigabytes while the model writes, against the length of the text; left and right arrows move "
            "the length", f"GB to write with {title}", np.array(LENGTHS), layers,
            curves.Choice("Card", list(CARDS), shown.card), budgets() / charts.GB,
            others=[curves.Choice("Texts at once", BATCHES, shown.batch), curves.Choice("Bits a weight", BITS, shown.bits)],
            longest=longest[..., None], cursor=shown.n, epoch=epoch,
        )  # fmt: skip

    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=with_others(message, title))
    weights, cache, _ = served(config)
    now = memory.serving(config, here.n, here.batch, here.bits)
    P = sum(cost.parameters(config).values())
    kept = (rf"2 \cdot {tex(here.n)} \cdot \key{{{config.n_kv_heads}}} \cdot {config.d_head} \cdot {config.n_layers} \cdot "
            rf"{here.batch} \cdot 2" if now.keys else "0")  # fmt: skip
    b, p = BATCHES.index(here.batch), BITS.index(here.bits)
    return Shown(
        {"n": LENGTHS, "weights": np.full(len(LENGTHS), weights[p]), "keys": cache[0, b], "values": cache[1, b]},
        rf"\residual{{{tex(P)} \cdot \tfrac{{{here.bits}}}{{8}}}} + {kept} = {sum(now) / charts.GB:.2f}\text{{ GB}}",
    )


def show_train(picture: DeltaGenerator) -> Shown:
    here = stand()
    shown, epoch = held.to_send("curves", here)
    bytes_of, longest = trained(config)
    layers = [charts.Layer(name, role, of[:, :, :, None] / charts.GB)
              for (name, role), of in zip(TRAINED.items(), bytes_of, strict=True)]  # fmt: skip
    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=charts.stack(
            "memory-training", "Gigabytes while the model learns, against the length of the texts; left and right arrows move "
            "the length", f"GB to train {title}", np.array(LENGTHS), layers,
            curves.Choice("Card", list(CARDS), shown.card), budgets() / charts.GB,
            others=[curves.Choice("Texts a step", BATCHES, shown.batch),
                    curves.Choice("Precision", list(PRECISIONS), shown.precision),
                    curves.Choice("Attention", list(KEPT), shown.kept)],
            longest=longest[..., None], cursor=shown.n, epoch=epoch,
        ))  # fmt: skip
    b, p, k = BATCHES.index(here.batch), list(PRECISIONS).index(here.precision), list(KEPT).index(here.kept)
    row = [layer.gigabytes[b, p, k, 0] for layer in layers]
    at = LENGTHS.index(here.n)
    if config.window:
        picture.caption(f"Its window of {config.window:,} keys saves nothing here: activations are counted as if each token saw "
                        "the whole past.")  # fmt: skip
    return Shown(
        {"n": LENGTHS} | {f"{layer.name} GB": values for layer, values in zip(layers, row, strict=True)},
        " + ".join(rf"\{layer.role}{{{values[at]:.2f}}}" for layer, values in zip(layers, row, strict=True))
        + rf" = {sum(values[at] for values in row):.2f}\text{{ GB}}",
    )


def show_kinds(picture: DeltaGenerator) -> Shown:
    kinds = kinds_of(config)
    if not kinds:
        picture.info(f"{title} reads its whole text at once and keeps no cache: there is nothing to compare. A decoder has "
                     "one.", icon=":material/info:")  # fmt: skip
        return Shown({}, "")
    here = stand(list(kinds))
    shown, epoch = held.to_send("curves", here)

    def message(one: Config, title: str) -> bytes | None:
        if list(kinds_of(one)) != list(kinds):
            return None  # another choice of kinds: the picture would stand elsewhere
        return charts.kinds(
            np.array(LENGTHS), *compared(one), curves.Choice("Card", list(CARDS), shown.card),
            curves.Choice("Texts at once", BATCHES, shown.batch), curves.Picks("Attention", list(kinds), shown.kind, role="key"),
            model=title, cursor=shown.n, epoch=epoch,
        )  # fmt: skip

    with picture:
        curves.mount(key="curves", on_stand_change=keep, data=with_others(message, title))
    gigabytes, each, *_ = compared(config)
    b = BATCHES.index(here.batch)
    return Shown(
        {"n": LENGTHS} | {name: values[b, 0] for name, values in gigabytes.items()},
        rf"\text{{{here.kind}: }} {tex(here.n)} \cdot {each[here.kind]:.1f}\text{{ kB}} \cdot {here.batch} = "
        rf"{cost.kv_cache_bytes(kinds[here.kind], here.n, here.batch) / charts.GB:.3f}\text{{ GB}}",
    )


def tex(number: int) -> str:
    return f"{number:,}".replace(",", r"\,")


SHOW = {RUN: show_run, TRAIN: show_train, KINDS: show_kinds}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"):
        found = SHOW[view](st.container(key="gf-picture"))
    here = stand(list(kinds_of(config)) if view == KINDS else None)
    lesson.formula(
        r"\begin{gathered}" + r"\\[.5em]".join(words.FORMULAS[view]) + r"\end{gathered}",
        shapes=[(symbol, (here.batch, config.n_layers, f"kv_head {config.n_kv_heads}", f"key {here.n}", config.d_head), role)
                for symbol, role in (("K", "key"), ("V", "value")) if view == RUN],
        numbers=found.numbers or None,
    )  # fmt: skip
    width, master = PRECISIONS[here.precision]
    made = f'PRESETS["{TEXT[title]}"]' if title in TEXT else as_python(config)
    with code_place:
        lesson.code(
            [memory.serving, memory.longest_served, memory.training, memory.activation_law, memory.activation_bytes],
            words.SNIPPET.format(config=made, n=here.n, batch=here.batch, bits=here.bits, card=CARDS[here.card],
                                 kept=KEPT[here.kept], width=width, master=master),
        )  # fmt: skip
    lesson.downloads(table=found.table or None, config={"model": title, "config": config.to_dict()} | here._asdict())


def predict() -> None:
    big = PRESETS["llama-3-8b"]
    fits = memory.longest_served(big, 24 * 2**30)
    eight = memory.longest_served(big, 24 * 2**30, batch=8)
    heads = big.n_heads // big.n_kv_heads
    mha = replace(big, n_kv_heads=big.n_heads)
    lesson.predict(
        "Llama 3 8B in 16 bits on a 24 GB card writes **one** text of at most "
        f"{fits:,} tokens before the card is full. How long may each be when it writes eight at once?",
        ["as long: the weights are shared", "an eighth as long", "half as long", "1/64 as long: attention is quadratic"],
        "an eighth as long",
        f"{eight:,} tokens each: the cache is bytes a token, whoever's token it is. With a key/value head for each of the "
        f"{big.n_heads} query heads ({heads} times as many) a token's cache would be {heads} times as large, and one text could have "
        f"{memory.longest_served(mha, 24 * 2**30):,}.",
    )


lesson = Lesson("G2")
lesson.header(words.LOOK_FOR)
with st.container(horizontal=True, vertical_alignment="bottom"):
    view = lesson.view(VIEWS)
    with st.container(width=260):
        title = choose("Whose memory", [*TEXT, OWN], FIRST, "arch")
config = own_config() if title == OWN else PRESETS[TEXT[title]]
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with below:
    lesson.prose(**words.PROSE[view])
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
