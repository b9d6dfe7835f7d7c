"""What the temperature component draws: one position's logits at several temperatures, and a sweep over all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charts import component

PARTS = ("plot.js", "sampling.js", "filters.js", "sampling.css", "temperature/paint.js")
FIXED = (0.5, 1.0, 2.0, 5.0)
NAMED = 12


def mount(**options) -> object:
    """The component on the page: `data=message(...)`, `key`, `on_act_change`."""
    return component.declare("temperature", *PARTS)(**options)


def message(
    logits: np.ndarray, order: np.ndarray, names: Sequence[str], pieces: Sequence[str], position: int, *,
    temperatures: np.ndarray, entropy: np.ndarray, largest: np.ndarray, temperature: float, epoch: int,
) -> bytes:  # fmt: skip
    """All that the component needs of one position.

    logits [vocab] go along whole, sorted; order are the ids by rank, names the pieces of the first of them. pieces are
    the text's, and position says behind which of them the next token stands. entropy (in bits) and largest are the
    sweep over temperatures. temperature is taken up when epoch differs from the last one.
    """
    header = {
        "names": list(names), "ids": order[: len(names)].tolist(), "pieces": list(pieces), "position": position,
        "fixed": list(FIXED), "temperature": temperature, "epoch": epoch,
    }  # fmt: skip
    return component.pack(header, {
        "ranked": logits[order].astype(np.float32), "temperatures": temperatures.astype(np.float32),
        "entropy": entropy.astype(np.float32), "largest": largest.astype(np.float32),
    })
