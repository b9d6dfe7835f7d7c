"""Who reads on the page about order: MiniLM and SmolLM2 where they are here, else our own small pair."""

from __future__ import annotations

import functools
import itertools
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

import transformer
from charts.permutation import Orders, Told
from pages.shared import models
from pages.shared.models import Label
from transformer.experiments import permutation
from transformer.experiments.permutation import Order
from transformer.models import Model
from transformer.tokenizers import Tokenizer
from transformer.training import order

REAL = {"encoder": "minilm-l6", "decoder": "smollm2-135m"}
TELLING = {"minilm-l6": (2, 9), "smollm2-135m": (16, 0), "encoder": (1, 0), "decoder": (1, 0)}  # layer, head
MOST = 14  # tokens whose maps can still be read beside each other
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "why-position.json"


class Reader(NamedTuple):
    """A model with its positions, and the same weights without."""

    name: str  # what transformer.load takes, within the project's folder
    title: str
    label: Label
    on: Model
    off: Model
    tokenizer: Tokenizer

    @property
    def causal(self) -> bool:
        return self.on.config.kind == "decoder"


class Text(NamedTuple):
    """The first tokens of a text, and which of them stay where they are."""

    ids: tuple[int, ...]
    names: tuple[str, ...]  # numbered, so that none repeats
    fixed: tuple[int, ...]


class Measured(NamedTuple):
    """One text in all orders, positions on (True) and off."""

    readings: dict[bool, Orders]
    pooled: dict[bool, np.ndarray]  # [order]: degrees from the first


def reader(kind: str) -> Reader:
    """The sidebar's choice decides: ours for the tiny model, else the real one where it is here by now."""
    real = REAL[kind]
    if models.chosen() != "tiny" and (found := _soon(real)) is not None:
        return Reader(real, models.TITLES[real], "live", found[0], _off(real), found[1])
    model, tokenizer = ours(kind)
    title = f"Small {kind} · trained by us"
    return Reader(f"assets/order/{kind}", title, "tiny", model, _off(kind), tokenizer)


def _soon(name: str, patience: float = 20.0) -> tuple[Model, Tokenizer] | None:
    """The model, where it is on the disk and only has to be loaded: a second or two."""
    models.shelf().start(name, fetch=False)
    until = time.monotonic() + patience
    while models.loaded(name) is None and models.shelf().status(name).state == "loading" and time.monotonic() < until:
        time.sleep(0.05)
    return models.loaded(name)


@st.cache_resource(show_spinner=False)
def ours(row: str) -> tuple[Model, Tokenizer]:
    return transformer.load(order.FOLDER / row)


@st.cache_resource(show_spinner=False)
def _off(name: str) -> Model:
    model, _ = models.loaded(name) if name in REAL.values() else ours(name)
    return permutation.without_positions(model)


def text_of(who: Reader, text: str) -> Text:
    """ValueError, one sentence, where there are not two tokens to change places."""
    ids = who.tokenizer.encode(text[: 64 * MOST])
    ends = len(ids) > 1 and not who.causal and who.label == "live"  # BERT's [CLS] and [SEP]
    ids = [*ids[: MOST - 1], ids[-1]] if ends and len(ids) > MOST else ids[:MOST]
    n = len(ids)
    fixed = (0, n - 1) if ends else (n - 1,) if who.causal else ()
    if n - len(fixed) < 2:
        raise ValueError("There is nothing to put into another order yet: type a few words.")
    names = tuple(f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(who.tokenizer.pieces(ids)))
    return Text(tuple(ids), names, fixed)


def orders_of(text: Text, swap: tuple[int, int], seed: int) -> dict[str, Order]:
    return permutation.orders(sort_keys(text), swap, seed, text.fixed)


def sort_keys(text: Text) -> list[str]:
    """What the tokens are sorted by: their letters."""
    return [name.split(" ", 1)[1].lower() for name in text.names]


class One(NamedTuple):
    """One order beside the text as it stands, by one model."""

    Y: np.ndarray  # [token, model]
    moved: np.ndarray  # [token, layer + 1]
    A: torch.Tensor  # [layer, head, query, key]
    largest: float
    pooled: torch.Tensor  # [model]


@st.cache_resource(max_entries=48, show_spinner=False)
def one_order(name: str, label: str, text: Text, order: Order, _who: Reader) -> dict[bool, One]:
    """Positions on (True) and off."""
    of, read = [tuple(range(len(text.ids))), order], {}
    for on, model in ((True, _who.on), (False, _who.off)):
        found = permutation.read(model, text.ids, of)
        read[on] = One(found.output[1].numpy(), permutation.moved(found.streams, of)[1].numpy(), found.A[:, 1],
                       permutation.largest_difference(found, of)[1].item(), found.pooled()[1])  # fmt: skip
    return read


def measured(text: Text, swap: tuple[int, int], seed: int, layer: int, head: int, who: Reader) -> Measured:
    of = list(orders_of(text, swap, seed).values())
    every = [one_order(who.name, who.label, text, order, who) for order in of]
    readings, pooled = {}, {}
    for on in (True, False):
        Y, moved, maps, largest, vectors = zip(*(one[on] for one in every), strict=True)
        A = torch.stack([map_[layer, head] for map_ in maps])
        readings[on] = Orders(np.stack(Y), np.stack(moved), A.numpy(), permutation.put_back(A, of, (1, 2)).numpy(),
                              np.array(largest))  # fmt: skip
        pooled[on] = permutation.angles(torch.stack(vectors))[0].numpy()
    return Measured(readings, pooled)


@st.cache_data(max_entries=64, show_spinner=False)
def in_double(name: str, label: str, text: Text, swap: tuple[int, int], seed: int, _who: Reader) -> float:
    """What is left without positions in float64: the largest difference over all orders."""
    of = list(orders_of(text, swap, seed).values())
    double = permutation.read(*permutation.in_double(_who.off, text.ids), of, 0)
    return permutation.largest_difference(double, of).max().item()


@st.cache_data(max_entries=64, show_spinner=False)
def all_angles(
    name: str, label: str, words: tuple[str, ...], _who: Reader
) -> tuple[np.ndarray, np.ndarray, list[tuple]]:
    """(angles with positions [order, order], without, how each order reads)."""
    pieces, ends = pieces_of(_who, words)
    rows = [ends[:1] + row + ends[1:] for row in permutation.all_orders(pieces)]
    alone = [tuple(range(len(rows[0])))]
    on, off = (
        permutation.angles(torch.cat([permutation.read(model, row, alone, 0).pooled() for row in rows])).numpy()
        for model in (_who.on, _who.off)
    )
    return on, off, list(itertools.permutations(words))


def pieces_of(who: Reader, words: tuple[str, ...]) -> tuple[list[list[int]], list[int]]:
    """(the ids of each word within a sentence, the ids around all of them)."""
    each = [who.tokenizer.encode(" " + word) for word in words]
    if who.label == "live":
        return [ids[1:-1] for ids in each], [each[0][0], each[0][-1]]
    return each, []


@st.cache_data(show_spinner=False)
def losses() -> dict[str, list[float]]:
    """Row of assets/order -> held-out losses of all its seeds."""
    found: dict[str, list[float]] = {}
    for run in recorded()["runs"]:
        found.setdefault(run["row"], []).append(run["held_out_loss"])
    return found


@functools.cache
def recorded() -> dict:
    return json.loads((order.FOLDER / "curves.json").read_text("utf-8"))


@functools.cache
def places() -> tuple[list[Told], dict]:
    """Where our models' vectors say that the tokens of a play stand, and all else that benchmarks/places.py wrote."""
    found = json.loads(MEASURED.read_text("utf-8"))
    titles = {"decoder-none": ("A causal decoder without positions", "query"),
              "encoder-none": ("An encoder without positions", "key"),
              "decoder": ("A causal decoder with sinusoids", "residual")}  # fmt: skip
    fields = ("low", "middle", "high", "explained", "explained_by_a_line")
    told = [Told(*titles[row], *(np.array(of[field]) for field in fields)) for row, of in found["measured"].items()]
    return told, found
