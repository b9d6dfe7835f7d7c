"""Lanes of blocks over one axis of time, for the browser component "timeline"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charts import component
from charts.curves import Choice, Tone


@dataclass(frozen=True)
class Block:
    """One step: what it makes, when (in microseconds), and what it waited for."""

    name: str
    start: float
    end: float
    role: Tone
    waits: str = ""


@dataclass(frozen=True)
class Lane:
    """One way to do it: its blocks for each frame, in the order of time."""

    title: str
    frames: Sequence[Sequence[Block]]


def message(
    name: str, label: str, lanes: Sequence[Lane], frames: Choice, *, lane: int = 0, block: int = 0,
    axis: str = "microseconds", epoch: int = 0,
) -> bytes:  # fmt: skip
    """name: stem of saved files; label: for screen readers; frames: a slider; lane and block: where it stands. All are taken
    up when epoch differs from the last one.

    ValueError where a lane has not one list of blocks, none of them empty, for each frame, or starts at no lane.
    """
    if not 0 <= lane < len(lanes):
        raise ValueError(f"There are {len(lanes)} lanes, and none is number {lane}.")
    arrays = {}
    for i, one in enumerate(lanes):
        if len(one.frames) != len(frames.values) or not all(one.frames):
            raise ValueError(f"{one.title} needs blocks for each of the {len(frames.values)} frames.")
        for j, blocks in enumerate(one.frames):
            arrays[f"start_{i}_{j}"] = np.array([b.start for b in blocks], np.float32)
            arrays[f"end_{i}_{j}"] = np.array([b.end for b in blocks], np.float32)
    header = {
        "name": name, "label": label, "axis": axis, "epoch": epoch, "frames": frames.header(), "lane": lane, "block": block,
        "lanes": [{"title": one.title, "names": [[b.name for b in blocks] for blocks in one.frames],
                   "roles": [[b.role for b in blocks] for blocks in one.frames],
                   "waits": [[b.waits for b in blocks] for blocks in one.frames]} for one in lanes],
    }  # fmt: skip
    return component.pack(header, arrays)


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("timeline", "plot.js")(**where)
