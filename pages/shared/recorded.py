"""Recorded traces: real runs of real models, shipped so that the first picture does not wait for a download."""

from __future__ import annotations

import functools
from pathlib import Path

from safetensors import safe_open

from transformer import recording

FOLDER = Path(__file__).parents[2] / "assets" / "recorded"


def of(model: str, text: str) -> recording.Recording | None:
    """The recording of this model reading exactly this text, if there is one."""
    file = _files().get((model, text))
    return _load(file) if file else None


@functools.cache
def _files() -> dict[tuple[str, str], Path]:
    found = {}
    for file in sorted(FOLDER.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            about = opened.metadata()
        found[about["model"], about["text"]] = file
    return found


@functools.cache
def _load(file: Path) -> recording.Recording:
    return recording.load(file)
