"""What the browser component "boundary" draws: maps of what a stack of layers says of every point of a plane, and how it
came to say it.

Tiles stand side by side, each a film of one stack's training; one slider moves them all through the steps, a second
choice picks the seed. Beside them accuracy and loss of every run; the line between the classes is drawn for every seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charts import component
from charts.curves import Tone


@dataclass(frozen=True)
class Run:
    """One run, frame by frame: p uint8 [frame, class, row, col] of 255 · probability, top row first; loss, accuracy [frame].

    W [frame, class, 2], b [frame, class], singular [frame, 2] and gap [frame] where the stack is one matrix, else None.
    """

    p: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    W: np.ndarray | None = None
    b: np.ndarray | None = None
    singular: np.ndarray | None = None
    gap: np.ndarray | None = None
    rank: np.ndarray | None = None  # [frame]


@dataclass(frozen=True)
class Tile:
    """One map: its title, how its curves look, and a run for each seed, None where there is none yet."""

    title: str
    short: str
    role: Tone
    runs: Sequence[Run | None]
    dash: tuple[int, int] | None = None


def message(
    label: str, tiles: Sequence[Tile], seeds: Sequence[int], steps: np.ndarray, x: np.ndarray, y: np.ndarray, *,
    classes: int, reach: float, frame: int, seed: int, source: str, growing: bool = False, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    label: for screen readers; steps [frame]: after which step each frame is; x [point, 2], y [point]: what is learned from;
    reach: the maps go from −reach to reach; frame, seed: where it stands, taken up when epoch differs from the last one;
    source: one word in the corner, "recorded" or "live"; growing: show the newest frame until the learner takes hold.
    ValueError where a run does not fit.
    """
    frames = len(steps)
    if seed not in seeds or not 0 <= frame < frames:
        raise ValueError(f"There is no seed {seed} or no frame {frame}; there are seeds {list(seeds)}, {frames} frames.")
    shape = (len(tiles), len(seeds), frames)
    arrays: dict[str, np.ndarray] = {
        "steps": steps.astype(np.int32), "x": x.astype(np.float32), "y": y.astype(np.uint8),
        "count": np.zeros(shape[:2], np.int32),
        "loss": np.full(shape, np.nan, np.float32), "accuracy": np.full(shape, np.nan, np.float32),
        "W": np.full((*shape, classes, 3), np.nan, np.float32), "singular": np.full((*shape, 2), np.nan, np.float32),
        "gap": np.full(shape, np.nan, np.float32), "rank": np.zeros(shape, np.int32),
    }  # fmt: skip
    side = 1
    for i, tile in enumerate(tiles):
        if len(tile.runs) != len(seeds):
            raise ValueError(f"{tile.title} has {len(tile.runs)} runs for {len(seeds)} seeds.")
        for j, run in enumerate(tile.runs):
            if run is None:
                continue
            n = len(run.loss)
            if n > frames or run.p.shape[:2] != (n, classes):
                raise ValueError(f"A run has {n} frames of {run.p.shape[1]} classes; {frames} of {classes} are shown.")
            side = run.p.shape[-1]
            arrays[f"maps {i} {j}"] = run.p[:, 1:]  # the first class has what the others leave
            arrays["count"][i, j] = n
            for name in ("loss", "accuracy"):
                arrays[name][i, j, :n] = getattr(run, name)
            if run.W is not None:
                arrays["W"][i, j, :n, :, :2], arrays["W"][i, j, :n, :, 2] = run.W, run.b
                for name in ("singular", "gap", "rank"):
                    arrays[name][i, j, :n] = getattr(run, name)
    header = {
        "name": "linear-depth", "label": label, "seeds": list(seeds), "classes": classes, "side": side, "reach": reach,
        "frame": frame, "seed": seed, "source": source, "growing": growing, "epoch": epoch,
        "tiles": [{"title": tile.title, "short": tile.short, "role": tile.role, "dash": tile.dash} for tile in tiles],
    }  # fmt: skip
    return component.pack(header, arrays)


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("boundary", "plot.js", "player.js", "player.css", "boundary/paint.js")(**where)
