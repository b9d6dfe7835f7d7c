"""What the lesson on biases of position draws that no text changes: slopes, buckets, what each way costs."""

import numpy as np
import streamlit as st
import torch

from pages.position import trained_ways as trained
from transformer import PRESETS, biases
from transformer.experiments import added_positions

HEADS = [1, 2, 3, 4, 6, 8, 9, 12, 16, 32]
SLOPE_TO = 128
LOOK = ("past only (decoder)", "both directions (encoder)")
ROWS, FAR = [8, 16, 32, 64], [32, 64, 128, 256]
REACH = 160  # distances that buckets are drawn for


@st.cache_data(show_spinner=False)
def slopes() -> tuple[np.ndarray, np.ndarray]:
    """Bias and what is kept, [number of heads, head, distance], NaN where there are fewer heads."""
    both = np.full((2, len(HEADS), max(HEADS), SLOPE_TO + 1), np.nan)
    for i, count in enumerate(HEADS):
        for array, part in zip(both, added_positions.slopes_against_distance(count, torch.arange(SLOPE_TO + 1.0)),
                               strict=True):
            array[i, :count] = part.numpy()
    return both[0], both[1]


@st.cache_data(show_spinner=False)
def all_buckets() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Way to look -> the bucket of each distance and how many share it, [buckets, farthest, distance]."""
    distance = torch.arange(-REACH, REACH + 1)
    bucket, width = {}, {}
    for look, both in zip(LOOK, (False, True), strict=True):
        each = [[biases.t5_bucket(distance, both, rows, far) for far in FAR] for rows in ROWS]
        bucket[look] = torch.stack([torch.stack(row) for row in each]).float().numpy()
        shared = [torch.stack([added_positions.bucket_width(one) for one in row]) for row in each]
        width[look] = torch.stack(shared).float().numpy()
    return bucket, width


@st.cache_data(show_spinner=False)
def counts() -> dict[str, dict[str, int]]:
    """Learned numbers that each way adds to our decoders and to one of SmolLM2's shape."""
    ours = {way: sum(p.numel() for p in model.parameters()) for way, model in trained.models().items()}
    return {"ours": {way: count - ours["none"] for way, count in ours.items()},
            "smollm2": added_positions.extra_parameters(PRESETS["smollm2-135m"])}  # fmt: skip
