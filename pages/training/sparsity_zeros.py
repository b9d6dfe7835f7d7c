"""What the lesson on sparsity says of neurons that are 0 or small, and of what zeros save a matrix product."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Mapping

import numpy as np
import streamlit as st
import torch

import transformer
from pages.shared.lesson import inert
from pages.shared.models import Reading
from pages.shared.pool import Job
from pages.training.sparsity_numbers import FOLDER, real
from transformer import sparsity
from transformer.experiments import relu_zeros, sparse_matmul
from transformer.feedforward import ACTIVATIONS
from transformer.pretrained.fetch import is_fetched
from transformer.pretrained.marian import ARCHIVE
from transformer.recording import CAPITAL
from transformer.training import sparse_weights
from transformer.training.sparse_weights import CUTS

OURS, MARIAN = "our decoder, ReLU", "Marian's encoder, ReLU"
TITLES = {"relu": "ReLU", "gelu": "GELU", "gelu_tanh": "GELU", "silu": "SiLU"}


@functools.cache
def product() -> dict:
    return json.loads((FOLDER / "sparse-matmul.json").read_text("utf-8"))


Curves = dict[str, tuple[str, np.ndarray]]  # name -> (role, share up to each cut [layer, point])


def zeros(reading: Reading) -> tuple[Curves, Curves, str]:
    """(the curves of the reading model layer by layer and of the two with ReLU as a whole; all of them layer by layer;
    what is said of them)."""
    sigma = TITLES[reading.config.activation]
    if reading.label == "recorded":  # its trace is rounded, which makes zeros: the shares were counted on the real one
        parts = {part: np.array(of) for part, of in real()["neurons_up_to"][reading.model].items()}
    else:
        parts = _counted(reading.model, reading.text, reading)
    names = {"gate": f"{sigma}(g)", "a": f"a = {sigma}(g)·u" if "gate" in parts else f"a = {sigma}(u)"}
    own: Curves = {names[part]: ("value" if part == "gate" else "ffn", of) for part, of in parts.items()}
    marian, whose = _marian(reading.text, is_fetched(ARCHIVE))
    layers, read = _relu(reading.text)
    relu: Curves = {MARIAN: ("key", marian)} | ({OURS: ("query", layers)} if layers is not None else {})
    ours = f"; {OURS}, live, on what it knows of the text (“{inert(read)}”)" if layers is not None else ""
    here = "recorded" if reading.label == "recorded" else "live"
    about = (
        f"{reading.title}, {here}, on your text{ours}; {MARIAN}, {whose}. Curves of the ReLUs are of all their layers."
    )
    whole = own | {name: (role, of.mean(0, keepdims=True)) for name, (role, of) in relu.items()}
    return whole, own | relu, about


@st.cache_data(max_entries=32, show_spinner=False)
def _counted(model: str, text: str, _reading: Reading) -> dict[str, np.ndarray]:
    layers = range(_reading.config.n_layers)
    found = {"a": [torch.tensor(_reading[f"layers.{i}.ffn.post"]) for i in layers]}
    if _reading.config.gated:
        sigma = ACTIVATIONS[_reading.config.activation]
        found = {"gate": [sigma(torch.tensor(_reading[f"layers.{i}.ffn.gate"])) for i in layers]} | found
    return {part: up_to(of) for part, of in found.items()}


@st.cache_data(max_entries=32, show_spinner="Loading the translator…")
def _marian(text: str, fetched: bool) -> tuple[np.ndarray, str]:
    """([layer, point], on what): live where the translator was fetched, else as recorded. Half a second for a new text,
    which is better than a tenth of a gigabyte kept for one view."""
    if fetched:
        with contextlib.suppress(ValueError):  # a text that it cannot read
            return up_to(relu_zeros.neurons(*transformer.load(relu_zeros.NAME), text)), "live"
    return np.array(real()["neurons_up_to"][relu_zeros.NAME]["a"]), f"recorded on “{CAPITAL}”"


@st.cache_data(max_entries=32, show_spinner=False)
def _relu(text: str) -> tuple[np.ndarray | None, str]:
    """([layer, point], what our decoder read of the text); None where it knows nothing in it."""
    try:
        layers, read = sparse_weights.neurons(text)
    except ValueError:
        return None, ""
    return up_to(layers), read if len(read) <= 60 else f"{read[:57]}…"


def up_to(layers: Iterable[torch.Tensor]) -> np.ndarray:
    """[layer, point]"""
    return np.stack([sparsity.share_up_to(a, CUTS).numpy() for a in layers])


def nearest_cut(at: float) -> int:
    """Which of CUTS the cursor stands at, log₁₀; what is left of the smallest is exactly 0."""
    step = float(torch.log10(CUTS[2] / CUTS[1]))
    return int(np.clip(round((at - float(torch.log10(CUTS[1]))) / step) + 1, 0, len(CUTS) - 1))


def cut_name(index: int) -> str:
    return "exactly 0" if not index else f"at most {float(CUTS[index]):.2g}"


def said_cut(of: Curves, at: float) -> str:
    """Exact zeros, and what a cut here would make of each."""
    index = nearest_cut(at)
    parts = [
        f"{name} **{values[:, 0].mean():.1%}** exactly 0, {values[:, index].mean():.0%} {cut_name(index)}"
        for name, (_, values) in of.items()
    ]
    half, whole = real()["neurons"].index(0.5), real()["thinned"]["ffn.post"]
    return ("Mean of all layers:\n" + "\n".join(f"- {part}" for part in parts)
            + "\n\nSmolLM2 with the smaller half of each token's a set to 0 in every layer, recorded on a play: "
            f"**{whole[half]:.2f}** nats a token, against {whole[0]:.2f} with all. "
            "[Other shares](?view=Pruning&of=SmolLM2-135M).")  # fmt: skip


def seconds() -> float:
    """Of one core, for measuring it all once: as often as ``sparse_matmul.timed`` does it."""
    return sum(s for row in product()["measured"] for s in row["seconds"].values()) * 5 * (sparse_matmul.ROUNDS + 2)


def left_one() -> np.ndarray:
    return np.array([1 / (1 - share) for share in sparse_matmul.SHARES])


def product_curves() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(way -> ms [tokens, share], way -> kB [share])"""
    shape = len(sparse_matmul.TOKENS), len(sparse_matmul.SHARES)
    rows = product()["measured"]
    ms = {way: np.array([1e3 * row["seconds"][way] for row in rows]).reshape(shape) for way in sparse_matmul.WAYS}
    return ms, {way: np.array([row["bytes"][way] / 1e3 for row in rows[: shape[1]]]) for way in sparse_matmul.WAYS}


def own_product(runs: Mapping[int, Job]) -> dict[str, np.ndarray]:
    """way -> ms measured here [tokens, share]"""
    found = {}
    for n, job in runs.items():
        for t, one in enumerate(job.reports):
            for way, s in one.seconds.items():
                there = found.setdefault(
                    way, np.full((len(sparse_matmul.TOKENS), len(sparse_matmul.SHARES)), np.nan, np.float32)
                )
                there[sparse_matmul.TOKENS.index(n), t] = 1e3 * s
    return found


def wins(tokens: int) -> float | None:
    """From which share of zeros on the sparse product is always the faster one."""
    ms, _ = product_curves()
    row = sparse_matmul.TOKENS.index(tokens)
    faster = ms["sparse"][row] < ms["dense"][row]
    first = len(faster) - int(np.argmin(faster[::-1])) if not faster.all() else 0
    return sparse_matmul.SHARES[first] if first < len(faster) else None


def winning() -> dict[str, float]:
    """Per cent of zeros from which the sparse product wins: where the tokens ask for fewest, and for most."""
    found = [100 * share for tokens in sparse_matmul.TOKENS if (share := wins(tokens)) is not None]
    return {"first": min(found), "last": max(found)}


def said_product(tokens: int) -> str:
    ms, kilobytes = product_curves()
    row, half, most = (
        sparse_matmul.TOKENS.index(tokens),
        sparse_matmul.SHARES.index(0.5),
        sparse_matmul.SHARES.index(0.9),
    )
    ratio = ms["sparse"][row, half] / ms["dense"][row, half]
    many = f"{tokens} token" + ("s" if tokens > 1 else "")
    won = wins(tokens)
    faster = "It is never the faster one." if won is None else f"It is the faster one from **{100 * won:.0f} %** on."
    return (f"With {many}: at 50 % zeros the sparse product takes **{ratio:.1f}×** the dense one's time, at 90 % "
            f"**{ms['sparse'][row, most] / ms['dense'][row, most]:.2f}×**. {faster} "
            f"With 90 % of the rows gone: {ms['rows gone'][row, most] / ms['dense'][row, most]:.2f}×. "
            f"At 50 % the sparse matrix takes {kilobytes['sparse'][half]:,.0f} kB, the dense one "
            f"{kilobytes['dense'][half]:,.0f} kB.")  # fmt: skip


def bytes_formula() -> str:
    m, n = sparse_matmul.SHAPE
    left = m * n - round(0.9 * m * n)
    return (
        rf"\text{{dense: }} 4 \cdot {m} \cdot {n} = {4 * m * n:,},\qquad s = 0.9:\ "
        rf"12 \cdot {left:,} + 8 \cdot {m + 1} = {12 * left + 8 * (m + 1):,}\ \text{{bytes}}"
    )
