"""The causal model and the broken one of assets/cheat: their recorded training, and what they make of a text."""

import json
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

import transformer
from charts.masks import Runs
from transformer.experiments import leaks
from transformer.training import cheat

MOST = 22  # tokens that a map of theirs shows
SAID = 40  # tokens that they write


class Cheat(NamedTuple):
    """The recorded training."""

    steps: np.ndarray
    runs: dict[str, Runs]
    made: dict

    def last(self, mask: str, which: str) -> np.ndarray:
        """The final losses of all seeds."""
        return getattr(self.runs[mask], which)[:, -1]


@st.cache_resource(show_spinner=False)
def recorded() -> Cheat:
    found = json.loads((cheat.FOLDER / "curves.json").read_text("utf-8"))
    first = 1  # the step before any training is not at an even distance from the others

    def of(mask: str, which: str) -> np.ndarray:
        return np.array([run["curve"][which][first:] for run in found["runs"] if run["mask"] == mask])

    runs = {mask: Runs(of(mask, "whole"), of(mask, "cut")) for mask in cheat.MASKS}
    return Cheat(np.array(found["runs"][0]["curve"]["step"][first:], dtype=float), runs, found["made"])


def likelihoods(runs: dict[str, Runs]) -> dict[str, Runs]:
    """The probability that each mean loss stands for [step]."""
    of = np.vectorize(cheat.likelihood)
    return {mask: Runs(of(run.whole.mean(0)), of(run.cut.mean(0))) for mask, run in runs.items()}


@st.cache_resource(show_spinner=False)
def pair() -> dict[str, tuple]:
    """mask -> (model, tokenizer)."""
    return {mask: transformer.load(cheat.FOLDER / mask) for mask in cheat.MASKS}


def tokens_of(text: str) -> tuple[list[int], list[str]]:
    """The first ``MOST`` tokens as these models read them, and how each is shown: numbered, so that none repeats."""
    _, tokenizer = pair()["causal"]
    ids = tokenizer.encode(text)[:MOST]
    return ids, [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(tokenizer.pieces(ids))]


@st.cache_data(max_entries=32, show_spinner=False)
def maps_of(text: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """mask -> A [layer · head, query, key], and the weight on key = query + 1 [layer, head]."""
    maps, ahead = {}, {}
    for mask, (model, tokenizer) in pair().items():
        trace = model.run(tokenizer.encode(text)[:MOST], record="*.attention.A").trace
        A = torch.cat(list(trace.values()))  # [layer, head, query, key]
        maps[mask], ahead[mask] = A.flatten(0, 1).numpy(), leaks.ahead(A).numpy()
    return maps, ahead


@st.cache_data(max_entries=32, show_spinner=False)
def changes_of(text: str, token: int) -> dict[str, np.ndarray]:
    """mask -> ``leaks.influence`` of the text's tokens becoming this one."""
    return {
        mask: leaks.influence(model, tokenizer.encode(text)[:MOST], token).numpy()
        for mask, (model, tokenizer) in pair().items()
    }


@st.cache_data(max_entries=32, show_spinner=False)
def written(text: str) -> dict[str, str]:
    """mask -> what the model writes behind the text, always taking the likeliest token."""
    return {
        mask: tokenizer.decode(cheat.continued(model, tokenizer.encode(text)[-200:], SAID))
        for mask, (model, tokenizer) in pair().items()
    }
