"""What the lesson on the residual path shows of models (pages/block/residual.py): recorded, or from what was computed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from pages.block import depths
from pages.block.residual_words import stack
from pages.shared import models, recorded
from pages.shared.pool import Job
from transformer.experiments import paths, skipping
from transformer.recording import CAPITAL

FILE = "residual"
CUT_NUMBERS = "before", "after", "loss", "kl", "entropy"


class Cuts(NamedTuple):
    """The cuts of every layer, and the loss and the entropy as trained."""

    answers: depths.Answers
    loss: float
    entropy: float


class Subject(NamedTuple):
    """Whose numbers are drawn."""

    model: str
    text: str
    tokens: int
    width: int


def subject_of(recording: bool, reading: models.Reading) -> Subject:
    """The recorded run's own, where that is what is drawn, else the reading's."""
    of = recorded.of(models.DEFAULT, CAPITAL) if recording else reading
    return Subject(of.model, of.text, len(of.ids), of.config.d_model)


def cuts_recorded() -> Cuts:
    """SmolLM2's on the lesson's own sentence."""
    found = depths.measured(FILE)["cuts"]
    arrays = {name: depths.array(found[name]) for name in CUT_NUMBERS}
    return Cuts(depths.Answers(found["top"], arrays.pop("before"), arrays.pop("after"), arrays), found["whole"],
                found["entropy_whole"])  # fmt: skip


@st.cache_data(max_entries=16, show_spinner=False)
def _as_trained(model: str, ids: tuple[int, ...]) -> tuple[float, float]:
    return skipping.as_trained(models.loaded(model)[0], list(ids))


def cuts_of(reading: models.Reading, rows: Sequence[skipping.Skipped]) -> Cuts:
    """From what has been computed, a row for every layer."""
    arrays = {name: torch.stack([getattr(row, name) for row in rows]).numpy() for name in CUT_NUMBERS}
    tokens = [[models.vocabulary(reading, cut) for cut in row.ids.tolist()] for row in rows]
    return Cuts(depths.Answers(tokens, arrays.pop("before"), arrays.pop("after"), arrays), *_as_trained(reading.model, reading.ids))


@st.cache_data(max_entries=16, show_spinner="Reading without skip connections…")
def collapse(model: str, label: models.Label, ids: tuple[int, ...]) -> dict[str, np.ndarray]:
    """apart, alike, stream [share, place] and loss [share]."""
    if label == "recorded":
        found = depths.measured(FILE)["cuts"]["collapse"]
        return {name: np.array([found[str(share)][name] for share in skipping.SHARES]) for name in skipping.Collapse._fields}
    found = [skipping.collapse(models.loaded(model)[0], list(ids), share) for share in skipping.SHARES]
    return {name: np.array([np.asarray(getattr(one, name)) for one in found]) for name in skipping.Collapse._fields}


Found = dict[str, tuple[np.ndarray, np.ndarray]]  # stack -> share and size [seed, length]


def paths_recorded() -> Found:
    recorded = depths.measured(FILE)["paths"]
    found = {stack(int(n)): (depths.array(one["share"]), depths.array(one["size"])) for n, one in recorded["untrained"].items()}
    model = recorded["model"]
    return found | {models.TITLES[models.DEFAULT]: (depths.array([model["share"]]), depths.array([model["size"]]))}


def paths_of(runs: Mapping[tuple, Job], title: str) -> Found:
    """From what live runs have reported; the model's own run has its title as the first part of its key."""
    return {title if key[0] == title else stack(one.layers): (one.share.numpy(), one.size.numpy())
            for key, job in runs.items() for one in job.reports}  # fmt: skip


def one_model(model: object, ids: list[int]) -> Iterator[paths.Lengths]:
    """Work for the pool."""
    found = paths.split(model, ids)
    yield paths.Lengths(model.config.n_layers, found.share[None], found.size[None])


class Laid(NamedTuple):
    """Paths as they are drawn; nan beyond a stack's longest."""

    share: np.ndarray  # [stack, middle or lowest or highest, length]
    size: np.ndarray  # [stack, middle or lowest or highest, length]
    count: np.ndarray  # [stack, length]


def laid_out(found: Found) -> Laid:
    most = max(share.shape[1] for share, _ in found.values())

    def filled(values: np.ndarray) -> np.ndarray:
        edges = np.stack((np.median(values, 0), values.min(0), values.max(0)))
        return np.pad(edges, ((0, 0), (0, most - edges.shape[1])), constant_values=np.nan)

    counts = [paths.counts(share.shape[1] - 1).numpy() for share, _ in found.values()]
    return Laid(np.stack([filled(share) for share, _ in found.values()]), np.stack([filled(size) for _, size in found.values()]),
                np.stack([np.pad(one, (0, most - len(one)), constant_values=np.nan) for one in counts]))  # fmt: skip
