"""What the lesson on the norm's place shows of models (pages/block/placement.py): recorded, or computed on the reading."""

import numpy as np
import streamlit as st
import torch

from pages.block import depths
from pages.shared import models
from transformer import Config
from transformer.experiments import depth, final_norm

NUMBERS = "entropy", "loss", "spread", "sigma"


def final_of(reading: models.Reading) -> depths.Answers:
    """The next token after each token [token, way of final_norm.WAYS]."""
    if reading.label != "recorded":
        return _final_live(reading.model, reading.ids, reading)
    ways = depths.measured("norm-placement")["final_norm"]["ways"]
    tokens = [[ways[way]["top"][i] for way in final_norm.WAYS] for i in range(len(reading.ids))]
    arrays = {name: np.stack([depths.array(ways[way][name]) for way in final_norm.WAYS], 1)
              for name in ("before", "after", *NUMBERS)}  # fmt: skip
    return depths.Answers(tokens, arrays.pop("before"), arrays.pop("after"), arrays)


@st.cache_data(max_entries=16, show_spinner="Reading without the final norm…")
def _final_live(name: str, ids: tuple[int, ...], _reading: models.Reading) -> depths.Answers:
    model, _ = models.loaded(name)
    found = [final_norm.said(model, list(ids), way) for way in final_norm.WAYS]
    tops = [final_norm.tops(found[0].p, one.p) for one in found]
    tokens = [[models.vocabulary(_reading, top.ids[i].tolist()) for top in tops] for i in range(len(ids))]
    numbers = {name: torch.stack([getattr(one, name) for one in found], 1).numpy() for name in NUMBERS}
    return depths.Answers(tokens, *(torch.stack([getattr(top, side) for top in tops], 1).numpy() for side in ("before", "after")),
                          numbers)  # fmt: skip


def streams_of(config: Config) -> list[str]:
    """The stream before the first layer, and after each."""
    return [f"layers.{i}.resid_pre" for i in range(config.n_layers)] + [f"layers.{config.n_layers - 1}.resid_post"]


def flow_of(reading: models.Reading) -> depth.Flow:
    """What each layer does to each token of the text."""
    X = torch.tensor(np.concatenate([reading[name] for name in streams_of(reading.config)]))  # [place, token, model]
    return depth.Flow(*(values.numpy() for values in depth.flow(X)))
