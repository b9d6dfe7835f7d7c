"""Recorded traces: a real run of a real model, shipped so that the first picture does not wait for a download.

assets/recorded/*.safetensors, one file a sentence: the tensors under their trace names, and in the header's metadata
"model", "text", "ids", "pieces" and "config" (the last three as JSON). A script in the repository makes them.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

FOLDER = Path(__file__).parents[2] / "assets" / "recorded"


@dataclass(frozen=True)
class Recording:
    """One recorded run: what was read, by which model, and where its tensors lie."""

    model: str
    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    config: dict[str, object]
    names: tuple[str, ...]
    file: Path

    def arrays(self, names: list[str]) -> dict[str, np.ndarray]:
        """The named tensors as float32, as they were computed but for float16's rounding where the file keeps that."""
        with safe_open(self.file, framework="numpy") as opened:
            return {name: opened.get_tensor(name).astype(np.float32, copy=False) for name in names}


@functools.cache
def recordings(folder: Path = FOLDER) -> dict[tuple[str, str], Recording]:
    """(model, text) -> recording, for every file in the folder."""
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as opened:
            meta, names = opened.metadata(), tuple(opened.keys())
        recording = Recording(
            model=meta["model"], text=meta["text"], ids=tuple(json.loads(meta["ids"])),
            pieces=tuple(json.loads(meta["pieces"])), config=json.loads(meta["config"]), names=names, file=file,
        )
        found[recording.model, recording.text] = recording
    return found
