"""What the lesson on biases of position draws: slopes, buckets, what each way costs; a real head's scores taken apart."""

import numpy as np
import streamlit as st
import torch

from charts.biases import Parts
from pages.position import trained_ways as trained
from pages.shared.models import Reading
from transformer import PRESETS, biases, masks
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


@st.cache_data(max_entries=32, show_spinner=False)
def real_parts(subject: tuple, layer: int, _reading: Reading) -> dict[str, Parts]:
    """A layer's scores as they would be without positions, with its own, and with ALiBi in their place."""
    Q, K = (torch.tensor(_reading[f"layers.{layer}.attention.{name}_unrotated"][0]) for name in "QK")
    found = added_positions.on_head(Q, K, _reading.config, masks.past(len(_reading.ids)))
    return {way: Parts(*(part.numpy() for part in of[:4])) for way, of in found.items()}


def of_parts(of: Parts, head: int, names: list[str]) -> tuple[dict, list]:
    """A head's table, and the shapes."""
    n = len(names)
    table = {"query": [q for q in names for _ in names], "key": names * n}
    table |= {name: getattr(of, name)[head].flatten() for name in ("content", "position", "scores", "A")}
    h = len(of.A)
    axes = (f"head {h}", f"query {n}", f"key {n}")
    return table, [("S", axes, "scores"), ("b", axes, "key"), ("A", axes, "attention")]


def numbers(of: Parts, head: int, cell: tuple[str, int, int]) -> str:
    """The pinned pair's score and weight."""
    _, i, j = cell
    content, position, score, weight = (part[head, i, j] for part in (of.content, of.position, of.scores, of.A))
    return (rf"\scores{{S_{{{i},{j}}}}} = {content:.3f} + ({position:.3f}) = {score:.3f},\qquad "
            rf"\attention{{A_{{{i},{j}}}}} = {weight:.3f}")  # fmt: skip
