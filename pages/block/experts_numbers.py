"""What the lesson on mixtures of experts shows of the models of assets/experts, and of the recorded runs."""

import dataclasses
import json
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

import transformer
from charts.experts import Runs
from transformer import cost
from transformer.config import Config
from transformer.experiments import routing
from transformer.experts import balance_parts
from transformer.presets import MIXTURES, TEXT_MODELS
from transformer.training import experts as made

TITLES = {"balanced": "with the balance loss", "free": "without it"}
CAPACITIES = {"all that come": None, "2": 2.0, "1.5": 1.5, "1.25": 1.25, "1": 1.0, "0.75": 0.75, "0.5": 0.5}
MOST = 64  # tokens of a text
BEGIN = 9  # reports of the recorded training that are left out of its picture
VARIANTS = {"balanced": "balanced", "joint": "layers counted together", "free": "without balancing",
    "dense": "dense, same active",
            "wide": "dense, same total"}  # fmt: skip


class Read(NamedTuple):
    """A text as both models read it: [capacity, model, layer, token, expert], loss [capacity, model]."""

    p: np.ndarray
    wanted: np.ndarray
    gates: np.ndarray
    loss: np.ndarray


@st.cache_resource(show_spinner=False)
def models() -> dict[str, tuple]:
    """variant -> (model, tokenizer)."""
    return {"balanced": transformer.load("experts"), "free": transformer.load(made.FOLDER / "free")}


def config() -> Config:
    return models()["balanced"][0].config


def tokens_of(text: str) -> tuple[list[int], list[str]]:
    """ids and pieces. ValueError, one sentence, for an empty text and one that is too long."""
    if not text.strip():
        raise ValueError("There is nothing to read yet: type a word or a sentence.")
    _, tokenizer = models()["balanced"]
    if len(text) > 40 * MOST or len(ids := tokenizer.encode(text)) > MOST:
        raise ValueError(f"This text is too long: the picture takes {MOST} tokens. Shorten it.")
    return ids, list(tokenizer.pieces(ids))


@st.cache_data(max_entries=32, show_spinner=False)
def reading(ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of ``Read``."""
    found = [[routing.read(model, list(ids), capacity) for model, _ in models().values()]
        for capacity in CAPACITIES.values()]
    p, wanted, gates = (np.stack([[getattr(one, part).numpy() for one in row] for row in found])
        for part in ("p", "wanted", "gates"))
    return p, wanted, gates, np.nan_to_num(np.array([[one.loss for one in row] for row in found]))


def room(n: int) -> list[int | None]:
    """Tokens that an expert takes at each capacity."""
    return [None if c is None else routing.room(n, config().experts_per_token, config().experts, c)
        for c in CAPACITIES.values()]


@st.cache_data(max_entries=32, show_spinner=False)
def balance(ids: tuple[int, ...]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """By title: f and p̄ [layer, expert], L [layer]."""
    f, p, losses = {}, {}, {}
    for variant, (model, _) in models().items():
        trace = model.run(list(ids), record=routing.ROUTERS).trace
        parts = [balance_parts(router, model.config.experts_per_token) for router in trace.values()]
        f[TITLES[variant]], p[TITLES[variant]] = (torch.stack(of).numpy() for of in zip(*parts, strict=True))
        losses[TITLES[variant]] = np.array([model.config.experts * float((a * b).sum()) for a, b in parts])
    return f, p, losses


@st.cache_resource(show_spinner=False)
def runs() -> dict:
    """assets/experts/runs.json: what all seeds of all variants came to."""
    return json.loads((made.FOLDER / "runs.json").read_text("utf-8"))


@st.cache_resource(show_spinner=False)
def favourites() -> list:
    """[model][layer][expert]: (piece, share)."""
    found = json.loads((made.FOLDER / "favourites.json").read_text("utf-8"))
    return [found[variant] for variant in TITLES]


def told() -> tuple[list[str], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Features; by title the share of "which expert?" that each answers [feature, layer], mean and half range of the seeds."""
    mean, half, names = {}, {}, []
    for variant, title in TITLES.items():
        every = [run["told_by"] for run in runs()["variants"][variant]]
        names = list(every[0])
        values = np.array([[one[name] for name in names] for one in every])  # [seed, feature, layer]
        mean[title], half[title] = values.mean(0), (values.max(0) - values.min(0)) / 2
    return names, mean, half


def held_out(variant: str) -> np.ndarray:
    """The final held-out losses of all seeds."""
    return np.array([run["held_out_loss"] for run in runs()["variants"][variant]])


def crowded(variant: str) -> np.ndarray:
    """The busiest expert over an even share, on held-out text [seed, layer]."""
    return np.array([run["crowding"] for run in runs()["variants"][variant]])


def shipped() -> tuple[np.ndarray, dict[str, Runs]]:
    """Steps, and the recorded training on the plays by title, without its steep beginning."""
    found = {}
    for variant, title in VARIANTS.items():
        curves = [run["curve"] for run in runs()["variants"][variant]]
        crowding = np.array([one["crowding"][BEGIN:] for one in curves]) if "crowding" in curves[0] else None
        found[title] = Runs(np.array([one["unseen"][BEGIN:] for one in curves]), crowding)
    return np.array(curves[0]["step"][BEGIN:], dtype=float), found


def loads() -> dict[str, np.ndarray]:
    """By title: shares of all readings on held-out text [layer, seed, expert]."""
    return {VARIANTS[variant]: np.array([run["load"] for run in runs()["variants"][variant]]).transpose(1, 0, 2)
            for variant in ("balanced", "joint", "free")}  # fmt: skip


def as_runs(every: list[list[made.Report]]) -> Runs:
    """Reports of some seeds, of which some may not have come yet."""
    steps = made.LIVE_STEPS // made.LIVE_EVERY
    unseen, crowding = np.full((2, len(every), steps), np.nan)
    for i, reports in enumerate(every):
        for j, report in enumerate(reports[:steps]):
            unseen[i, j] = report.unseen
            crowding[i, j] = routing.crowding(torch.tensor(report.load)).max().item() if report.load else np.nan
    return Runs(unseen, None if np.isnan(crowding).all() else crowding)


@st.cache_resource(show_spinner=False)
def recorded() -> dict[tuple[int, float], list[list[made.Report]]]:
    """(k, α) -> the recorded reports of each seed."""
    found = json.loads(made.RECORDED.read_text("utf-8"))["runs"]
    return {(int(key.split("/")[0]), float(key.split("/")[1])): [[made.Report(*report) for report in seed]
        for seed in seeds]
            for key, seeds in found.items()}  # fmt: skip


@st.cache_resource(show_spinner=False)
def recorded_runs(k: int, alpha: float) -> Runs:
    return as_runs(recorded()[k, alpha])


class Size(NamedTuple):
    """A model's size with E experts, in billions: total [E], active and flops [k, E]."""

    experts: np.ndarray
    total: np.ndarray
    active: np.ndarray
    flops: np.ndarray


KS, MANY = [1, 2, 4, 8], np.arange(1, 65)


@st.cache_data(max_entries=16, show_spinner=False)
def size_of(name: str) -> Size:
    """Of a dense model whose FFN stands there E times."""
    base = TEXT_MODELS[name]
    total, active, flops = np.zeros(len(MANY)), np.full((len(KS), len(MANY)), np.nan), np.full((len(KS), len(MANY)),
        np.nan)
    for j, E in enumerate(MANY.tolist()):
        for i, k in enumerate(KS):
            if k > E:
                continue
            mix = dataclasses.replace(base, experts=E, experts_per_token=k) if E > 1 else base
            total[j] = sum(cost.parameters(mix).values()) / 1e9
            active[i, j] = sum(cost.parameters(mix, active=True).values()) / 1e9
            flops[i, j] = sum(cost.flops(mix, 1).values()) / 1e9
    return Size(MANY, total, active, flops)


def known() -> list[dict[str, str]]:
    """Published mixtures: experts, size in memory and at work."""
    rows = []
    for name, one in MIXTURES.items():
        total, active = sum(cost.parameters(one).values()), sum(cost.parameters(one, active=True).values())
        rows.append({"model": name, "experts": f"{one.experts_per_token} of {one.experts}",
            "total": f"{total / 1e9:.2f} B",
                     "active": f"{active / 1e9:.2f} B", "share": f"{active / total:.0%}",
                     "memory": f"{2 * total / 1e9:,.0f} GB",
                     "flops": f"{sum(cost.flops(one, 1).values()) / 1e9:.1f} G"})  # fmt: skip
    return rows
