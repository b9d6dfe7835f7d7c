"""What the lesson on sparsity draws and says of what was recorded, and of what the learner trains, prunes and reads."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

import transformer
from pages.shared.pool import Job
from pages.training import sparsity_words as words
from pages.training.sparsity_words import PRUNE, WEIGHTS, WHY, ZEROS
from transformer import sparsity
from transformer.experiments import sparse_matmul
from transformer.training import sparse_weights
from transformer.training.sparse_weights import EDGES, LAMBDAS, OWN_SEED, SHARES, TRACED_AT, WAYS

FOLDER = Path(__file__).parents[2] / "assets" / "measured"
REAL = "smollm2-135m"
NEAR = {"digits, SGD": 1e-3, "digits": 2e-3}  # the close view of a weight, to both sides
SCOPES = ("global", "matrix", "random")


class Weights(NamedTuple):
    """What three ways of training left, by λ and step; one λ where there is none."""

    counts: dict[str, np.ndarray]  # way -> [λ, step, bin], seed 0
    zeros: dict[str, np.ndarray]  # way -> [λ, step]
    notes: dict[str, list[list[str]]]
    cells: dict[str, list[np.ndarray]]  # way -> below 10⁻³, exactly 0, what it is measured by: middle seeds [λ, step]
    measure: str
    total: int


class Pruned(NamedTuple):
    shares: np.ndarray
    kept: dict[str, np.ndarray]  # scope -> [way, seed, share]
    ways: tuple[str, ...]  # () where there is only one
    y: str
    y_range: tuple[float, float]
    percent: bool


class Now(NamedTuple):
    """A model pruned while the learner looks on: (counts, exactly 0) before and after."""

    before: tuple[np.ndarray, int]
    after: tuple[np.ndarray, int]
    note: str


@functools.cache
def recorded() -> dict:
    return sparse_weights.recorded()


@functools.cache
def real() -> dict:
    return json.loads((FOLDER / "prune.json").read_text("utf-8"))


def field(problem: str, way: str, name: str) -> np.ndarray:
    """[λ, seed, step]"""
    lambdas = LAMBDAS if way != "plain" else (0.0,)
    return np.array(
        [[run[name] for run in recorded()["runs"][sparse_weights.key(problem, way, lam)]] for lam in lambdas]
    )


def last(problem: str, way: str, lam: float) -> tuple[float, float, int]:
    """(share below 10⁻³, share exactly 0, weights), means over the seeds after the last step."""
    row = LAMBDAS.index(lam) if way != "plain" else 0
    small, zero = (float(field(problem, way, name)[row, :, -1].mean()) for name in ("small", "zero"))
    return small, zero, weights(problem).total


def percent(values: np.ndarray) -> str:
    """The range of shares over the seeds, finely enough that what is not 0 does not read as 0."""
    if values.max() == 0:
        return "none"
    low, high = (f"{100 * v:.{2 if 0 < v < 0.01 else 1}f}" for v in (values.min(), values.max()))
    return f"{low} %" if low == high else f"{low}–{high} %"


def performance(problem: str, values: np.ndarray) -> str:
    if problem.startswith("digits"):
        return f"{percent(values)} right"
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return f"{low if low == high else f'{low}–{high}'} nats"


@functools.cache
def weights(problem: str) -> Weights:
    counts = {way: _counts(problem, way) for way in WAYS}
    total = int(counts["plain"][0, -1].sum())  # where nothing is exactly 0
    zeros = {way: total - of.sum(-1) for way, of in counts.items()}
    notes, cells = {}, {}
    for way in WAYS:
        small, zero, kept = (field(problem, way, name) for name in ("small", "zero", "kept"))
        notes[way] = [
            [
                f"{percent(small[i, :, t])} below 10⁻³ · {percent(zero[i, :, t])} exactly 0 · "
                f"{performance(problem, kept[i, :, t])}"
                for t in range(small.shape[-1])
            ]
            for i in range(len(small))
        ]
        cells[way] = [np.median(of, axis=1).astype(np.float32) for of in (small, zero, kept)]
    return Weights(
        counts, zeros, notes, cells, "right, unseen%" if problem.startswith("digits") else "nats, unseen", total
    )


def _counts(problem: str, way: str) -> np.ndarray:
    lambdas = LAMBDAS if way != "plain" else (0.0,)
    return np.array([recorded()["runs"][sparse_weights.key(problem, way, lam)][0]["counts"] for lam in lambdas])


def seconds(problem: str, lam: float) -> float:
    """Of one core, for one run of each way."""
    return sum(float(np.median(recorded()["seconds"][sparse_weights.key(problem, way, lam)])) for way in WAYS)


def own_counts(runs: Mapping[tuple, Job], total: int) -> dict[str, np.ndarray]:
    """way -> what the learner's run counted, exact zeros first [λ, step, 1 + bin]."""
    found = {}
    steps = sparse_weights.STEPS // sparse_weights.EVERY
    for (_, way, lam), job in runs.items():
        there = np.full((1 if way == "plain" else len(LAMBDAS), steps, len(EDGES)), np.nan, np.float32)
        row = 0 if way == "plain" else LAMBDAS.index(lam)
        for t, report in enumerate(job.reports):
            there[row, t] = [total - sum(report.counts), *report.counts]
        found[way] = there
    return found


def said(problem: str, lam: float) -> str:
    """What three seeds came to."""
    row = LAMBDAS.index(lam)
    parts = []
    for way in WAYS:
        zero, kept = (field(problem, way, name)[row if way != "plain" else 0, :, -1] for name in ("zero", "kept"))
        parts.append(f"{words.SHORT[way]} **{percent(zero)}** exactly 0, {performance(problem, kept)}")
    return "After the last step, 3 seeds: " + " · ".join(parts) + "."


def said_own(runs: Mapping[tuple, Job]) -> str:
    """What the learner's run has come to, with its step where that is not the last."""
    parts = []
    for (problem, way, _), job in runs.items():
        if not job.reports:
            continue
        at = job.reports[-1]
        so_far = f" (step {at.step})" if at.step < sparse_weights.STEPS else ""
        zero, kept = percent(np.array([at.zero])), performance(problem, np.array([at.kept]))
        parts.append(f"{words.SHORT[way]}{so_far} {zero} exactly 0, {kept}")
    return f"Yours, seed {OWN_SEED}: " + " · ".join(parts) + "." if parts else ""


@functools.cache
def traces(problem: str) -> dict[str, np.ndarray]:
    """way -> [weight, step]"""
    return {way: np.array(recorded()["traced"][f"{problem} {way}"], np.float32) for way in ("loss", "proximal")}


def telling(problem: str) -> int:
    """Of the weights that the soft threshold held at 0 for the last quarter, and that dither as much as any in the
    loss, the one that came furthest."""
    found, since = traces(problem), sparse_weights.STEPS * 3 // 4
    held = (found["proximal"][:, since:] == 0).all(1)
    flips = (np.diff(np.sign(found["loss"]), axis=1) != 0).sum(1)
    far = np.abs(found["loss"][:, sparse_weights.ALONE - 1])
    return int(np.where(held & (flips >= np.median(flips)), far, -1).argmax())


@functools.cache
def reach(problem: str) -> np.ndarray | None:
    """ηλ at each step; 0 while there is no λ. None under Adam, where it differs from weight to weight."""
    if problem != "digits, SGD":
        return None
    lr = sparse_weights.rate(problem)
    return np.array(
        [lr(t) * TRACED_AT if t > sparse_weights.ALONE else 0.0 for t in range(1, sparse_weights.STEPS + 1)], np.float32
    )


def said_traces(problem: str) -> str:
    """How often these weights were 0 and crossed it, counted."""
    found = {way: values[:, sparse_weights.ALONE :] for way, values in traces(problem).items()}
    ends = {way: int((values[:, -1] == 0).sum()) for way, values in found.items()}
    hits = {way: bool((values == 0).any()) for way, values in found.items()}
    flips = {way: float((np.diff(np.sign(values), axis=1) != 0).sum(1).mean()) for way, values in found.items()}
    ever = "some were exactly 0 after one" if hits["loss"] else "none was exactly 0 after any of them"
    return (
        f"Of these {len(found['loss'])} weights, exactly 0 at the end: **{ends['loss']}** with λ in the loss, "
        f"**{ends['proximal']}** behind the soft threshold. In the {found['loss'].shape[1]} steps with λ in the loss a "
        f"weight changed its sign {flips['loss']:.0f} times on average, and {ever}."
    )


def update_formula(problem: str, step: int, loss: float, proximal: float) -> str:
    """One weight after a step, beside the rate of that step."""
    eta = sparse_weights.rate(problem)(step)
    pushed = problem == "digits, SGD" and step > sparse_weights.ALONE
    push = rf",\ \eta\lambda = {_power(eta * TRACED_AT)}" if pushed else ""
    return (
        rf"\text{{step {step}: }} \eta = {_power(eta)}{push},\qquad w = {_power(loss)}\ \text{{in the loss}},"
        rf"\quad {_power(proximal)}\ \text{{behind the threshold}}"
    )


def _power(value: float) -> str:
    """A number as one writes it by hand: 1.5 · 10⁻⁷, and 0 where it is exactly 0."""
    if value == 0 or abs(value) >= 1e-3:
        return f"{value + 0.0:.3g}"  # + 0: no "-0"
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


@functools.cache
def pruned(name: str) -> Pruned:
    if name == REAL:
        of = real()["pruned"]
        kept = {scope: np.array(of[scope])[None] for scope in SCOPES}
        top = float(min(kept["random"].max(), 3.5 * kept["global"].min()))
        return Pruned(
            np.array(real()["shares"]),
            kept,
            (),
            "SmolLM2: loss on a passage, nats a token",
            (float(kept["global"].min()) - 0.2, top),
            False,
        )
    kept = {
        scope: np.array([[run[scope] for run in recorded()["pruned"][f"{name} {way}"]] for way in WAYS])
        for scope in SCOPES
    }
    if name == "digits":
        return Pruned(np.array(SHARES), kept, WAYS, "Digits named rightly, of those it has not seen", (0.0, 1.02), True)
    every = np.concatenate([of.ravel() for of in kept.values()])
    return Pruned(
        np.array(SHARES),
        kept,
        WAYS,
        "Loss on unseen text, nats a character",
        (float(every.min()) - 0.05, float(np.quantile(every, 0.99))),
        False,
    )


LOST = {"digits": 0.01, "characters": 0.05, REAL: 0.1}  # what may be lost before it counts as the knee


def knees(name: str, way: str, scope: str) -> list[float]:
    """For each seed, the share up to which no more than ``LOST`` is lost."""
    found = pruned(name)
    sign = 1 if found.percent else -1
    runs = sign * found.kept[scope][WAYS.index(way) if found.ways else 0]
    return [sparsity.knee(found.shares, run, run[0] - LOST[name] - 1e-9) for run in runs]


def said_knees(name: str, scope: str) -> str:
    lost = {
        "digits": "more than 1 point of accuracy is",
        "characters": "more than 0.05 nats are",
        REAL: "more than 0.1 nats are",
    }[name]
    ways = WAYS if pruned(name).ways else ("plain",)
    parts = []
    for way in ways:
        low, high = min(knees(name, way, scope)), max(knees(name, way, scope))
        share = f"{100 * high:.0f} %" if low == high else f"{100 * low:.0f}–{100 * high:.0f} %"
        parts.append(f"**{share}**" + (f" {words.SHORT[way]}" if len(ways) > 1 else ""))
    return f"**The knee.** Removed {words.SCOPES[scope]} before {lost} lost: {', '.join(parts)}."


def about_pruned(name: str) -> str:
    if name == REAL:
        found = real()
        return (
            f"{found['weights'] / 1e6:.0f} million weights of its linear layers, recorded on {found['tokens']} tokens "
            "of a play; its embedding table is left alone. Random: 3 draws. A line ends where it leaves the picture."
        )
    return (
        "Adam; with a penalty λ = 10⁻⁴. Lines: the middle of 3 seeds, bands from the lowest to the highest, recorded; "
        "random is drawn anew for each."
    )


@st.cache_resource(show_spinner=False)
def _model(name: str, way: str) -> transformer.Model:
    return sparse_weights.load(name, way)


@st.cache_data(max_entries=1024, show_spinner=False)
def pruned_now(name: str, way: str, scope: str, share: float) -> Now:
    """The shipped model of seed 0, pruned and measured."""
    model = _model(name, way)
    thin = sparsity.pruned(model, share, scope)
    before, after = (sparsity.magnitudes(sparsity.matrices(m).values(), EDGES) for m in (model, thin))
    now = sparse_weights.measured(name, thin)
    note = (
        f"{sparsity.share_zero(sparsity.matrices(thin).values()):.1%} exactly 0 · {performance(name, np.array([now]))}"
    )
    return Now((before[0].numpy(), before[1]), (after[0].numpy(), after[1]), note)


def cut_formula(name: str, way: str, scope: str, share: float) -> str | None:
    """The cut that one pruning of all matrices together came to."""
    if name == REAL or scope != "global":
        return None
    W = sparsity.matrices(_model(name, way))
    N, tau = sum(w.numel() for w in W.values()), sparsity.cut(W, share)
    return rf"\text{{share}} = {share:g},\quad N = {N:,},\quad \tau = {tau:.3g}"


def thinned() -> dict[str, tuple[str, np.ndarray]]:
    """SmolLM2's loss by the share of its neurons set to 0."""
    of = real()["thinned"]
    return {"smallest a": ("ffn", np.array(of["ffn.post"])), "smallest SiLU(g)": ("value", np.array(of["ffn.gate"]))}


def shapes(view: str, box: str) -> list:
    if view in (WEIGHTS, WHY, PRUNE):
        problem = "characters" if box.startswith("Char") else "digits"
        config = transformer.PRESETS[REAL] if box.startswith("SmolLM2") else sparse_weights.setting(problem).config
        d, ff, kv = config.d_model, config.d_ff, config.n_kv_heads * config.d_head
        return [("W_Q", (d, d), "query"), ("W_K", (kv, d), "key"), ("W_1", (ff, d), "ffn"), ("W_2", (d, ff), "ffn")]
    if view == ZEROS:
        return [("a", ("token", "ff"), "ffn"), ("W_2", ("model", "ff"), "ffn")]
    return [("W", sparse_matmul.SHAPE, "ffn"), ("x", (sparse_matmul.SHAPE[1], "token"), "residual")]


def snippet(view: str, values: Mapping) -> str:
    if view == PRUNE and values["problem"] == REAL:
        return words.REAL_SNIPPET.format(**values, begin=real()["passage"][0], end=real()["passage"][1])
    return words.SNIPPET[view].format(**values)
