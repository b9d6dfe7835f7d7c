"""What the lesson on normalisation shows of a batch that a model has read, and of the recorded runs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from charts import normalisation as charts
from pages.shared.models import Reading
from transformer.experiments import normalised
from transformer.training import normed

TOKENS, FEATURES, JOINED = 5, 6, 32  # tokens and features of the cube; tokens that can join a batch
PASSES = 60  # batches that the running averages have seen: what they started at is gone
REPORTS = normed.STEPS // normed.EVERY
POWERS = np.arange(-120, 61) / 20  # of ten, that x is multiplied by
SHIFTS = np.arange(0, 101) / 20  # in units of the vector's rms


class Cube(NamedTuple):
    """The batch as it is drawn."""

    x: torch.Tensor  # [batch, token, feature], all features
    features: list[int]
    norms: dict[str, charts.Norm]


def stream(reading: Reading, layer: int) -> torch.Tensor:
    """What the norm before the layer's attention reads: [token, feature]."""
    return torch.tensor(reading[f"layers.{layer}.resid_pre"][0])


@st.cache_data(max_entries=32, show_spinner=False)
def cube_of(subject: tuple, layer: int, _batch: Sequence[Reading], tokens: int, eps: float) -> Cube:
    """Every norm of the batch, for every number of sentences and tokens."""
    x = torch.stack([stream(reading, layer)[:tokens] for reading in _batch])
    B, T, d = x.shape
    features = normalised.telling(x, FEATURES)
    gamma = normalised.gamma_of(stream(_batch[0], layer), torch.tensor(_batch[0][f"layers.{layer}.norm_1"][0]), eps)
    fresh, still = torch.ones(d, dtype=torch.float64), np.zeros(B * T)
    kept = normalised.running(x, eps, PASSES) if B * T > 1 else None

    def drawn(frames: list[normalised.Parts], weight: torch.Tensor, moved: np.ndarray) -> charts.Norm:
        mean, variance, y = (torch.stack([getattr(one, part)[..., features] for one in frames]).numpy()
                             for part in ("mean", "variance", "out"))  # fmt: skip
        return charts.Norm(mean, variance, y * weight[features].numpy(), weight[features].numpy(), moved)

    by_batch, first = [], []
    for b in range(1, B + 1):
        for t in range(1, T + 1):
            inside = normalised.parts("batch", x[:b, :t], eps)
            whole = [torch.full(x.shape, torch.nan, dtype=torch.float64) for _ in inside]
            for to, part in zip(whole, inside, strict=True):
                to[:b, :t] = part
            by_batch.append(normalised.Parts(*whole))
            first.append(inside.out[0, 0])
    norms = {
        "layer": drawn([normalised.parts("layer", x, eps)], fresh, still),
        "rms": drawn([normalised.parts("rms", x, eps)], gamma, still),
        "batch": drawn(by_batch, fresh, normalised.moved(torch.stack(first)).numpy() if B * T > 1 else still),
    }
    if kept is not None:
        norms["running"] = drawn([normalised.by_running(x, kept)], fresh, still)
    return Cube(x, features, norms)


@st.cache_data(max_entries=32, show_spinner=False)
def joined(subject: tuple, layer: int, _batch: Sequence[Reading], eps: float) -> tuple[list[str], list[int],
    dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tokens in the order in which they join, features shown, rows by norm [count, feature], moved by norm [count]."""
    every = [(piece, row) for reading in _batch for piece, row in zip(reading.pieces, stream(reading, layer),
        strict=True)]
    last = len(_batch[0].ids) - 1
    order = ([every[last]] + every[:last] + every[last + 1 :])[:JOINED]
    x = torch.stack([row for _, row in order])
    features = normalised.telling(x[None], FEATURES)
    rows = {kind: normalised.companions(kind, x, eps) for kind in ("batch", "layer", "rms")}
    if len(x) > 1:
        norm = normalised.running(x[None], eps, PASSES)
        rows["running"] = torch.stack([normalised.by_running(x[None, :n], norm).out[0, 0]
            for n in range(1, len(x) + 1)])
    else:
        rows["running"] = rows["layer"]
    moved = {kind: normalised.moved(of).nan_to_num(0.0).numpy() for kind, of in rows.items()}
    return [piece for piece, _ in order], features, {kind: of[:, features].numpy() for kind, of in rows.items()}, moved


@st.cache_data(max_entries=32, show_spinner=False)
def profile_of(subject: tuple, _reading: Reading) -> tuple[normalised.Profile, np.ndarray]:
    """The stream before every layer's norm, and the rms after it [layer, token]."""
    layers = range(_reading.config.n_layers)
    found = normalised.profile(torch.stack([stream(_reading, i) for i in layers]))
    after = normalised.profile(torch.stack([torch.tensor(_reading[f"layers.{i}.norm_1"][0]) for i in layers]))
    return normalised.Profile(*(part.numpy() for part in found)), after.rms.numpy()


@st.cache_data(max_entries=32, show_spinner=False)
def scaled_of(subject: tuple, layer: int, _reading: Reading, eps: float) -> tuple[normalised.Scaled, float]:
    """The last token's vector times each of POWERS, and its σ."""
    x = stream(_reading, layer)[-1].double()
    found = normalised.scaled(x, torch.tensor(10.0) ** torch.tensor(POWERS), eps)
    return normalised.Scaled(*(part.numpy() for part in found)), x.var(correction=0).sqrt().item()


@st.cache_data(max_entries=32, show_spinner=False)
def shifted_of(subject: tuple, layer: int, _reading: Reading, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """How far each of SHIFTS moves what LayerNorm and RMSNorm make of it."""
    x = stream(_reading, layer)[-1].double()
    shifts = torch.tensor(SHIFTS) * x.square().mean().sqrt()
    by_layer, by_rms = (normalised.shifted(kind, x, shifts, eps).numpy() for kind in ("layer", "rms"))
    return by_layer, by_rms


@st.cache_data(show_spinner=False)
def recorded_runs() -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    return {key: runs_of(every) for key, every in normed.load().items()}


def runs_of(every: list[list[normed.Report]]) -> tuple[np.ndarray, np.ndarray]:
    """Held-out losses of some seeds, of which some may not have come yet: in eval mode and with own averages."""
    found = np.full((2, len(every), REPORTS), np.nan)
    for i, reports in enumerate(every):
        for j, report in enumerate(reports[:REPORTS]):
            found[:, i, j] = report.unseen, report.batch_of_one
    return found[0], found[1]
