"""Recorded traces: real runs of real models, shipped so that the first picture does not wait for a download."""

from __future__ import annotations

import functools
from pathlib import Path

from transformer import recording

FOLDER = Path(__file__).parents[2] / "assets" / "recorded"
FILES = {(default.model, default.text): file for file, default in recording.DEFAULTS.items()} | {
    subject: file for file, subject in recording.LOGITS.items()
}


def of(model: str, text: str) -> recording.Recording | None:
    """The recording of this model reading exactly this text, if there is one."""
    file = FILES.get((model, text))
    return _load(file) if file else None


@functools.cache
def _load(file: str) -> recording.Recording:
    return recording.load(FOLDER / f"{file}{recording.SUFFIX}")
