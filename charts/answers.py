"""What the browser component "answers" draws: what a model says next as it is and after a cut, for every place of it.

Left, a curve over the places for each kind of cut; right, the likeliest next tokens at the chosen place, before and after;
below, a table of facts. Slider, drag and arrow keys choose the place, buttons the kind, among what the server computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charts import component
from charts.curves import Choice
from charts.theme import Role


@dataclass(frozen=True)
class Fact:
    """A line of the table: before and after [place, kind]."""

    name: str
    before: np.ndarray
    after: np.ndarray


def message(
    name: str, label: str, places: Choice, kinds: Choice, roles: Sequence[Role], tokens: Sequence[Sequence[Sequence[str]]],
    before: np.ndarray, after: np.ndarray, curve: np.ndarray, title: str, y: tuple[float, float], facts: Sequence[Fact], *,
    columns: tuple[str, str], log: bool = False, whole: float | None = None, said: str = "", base: bool = False,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component.

    places, kinds: what the slider and the buttons choose; roles: the colour of each kind; tokens, before, after
    [place, kind, row]: the pieces and their probabilities; curve [place, kind] with its title and range; whole: its value
    without any cut, called `said`; base: the first kind is the model as it is. Place and kind are taken up when epoch
    differs from the last one. ValueError where the shapes do not fit.
    """
    shape = len(places.values), len(kinds.values)
    for what, array, wanted in [("before", before, (*shape, before.shape[-1])), ("after", after, before.shape),
                                ("curve", curve, shape),
                                *((f.name, a, shape) for f in facts for a in (f.before, f.after))]:  # fmt: skip
        if array.shape != wanted:
            raise ValueError(f"{what} has shape {list(array.shape)}; {list(wanted)} is asked for.")
    if any(len(row) != before.shape[-1] for of in tokens for row in of) or len(tokens) != shape[0]:
        raise ValueError("there must be a token for each probability.")
    arrays = {"before": before, "after": after, "curve": curve}
    for i, fact in enumerate(facts):
        arrays |= {f"before{i}": fact.before, f"after{i}": fact.after}
    header = {
        "name": name, "label": label, "places": places.header(), "kinds": kinds.header(), "roles": list(roles),
        "tokens": [[list(row) for row in of] for of in tokens], "columns": list(columns), "epoch": epoch,
        "curve": {"title": title, "lo": y[0], "hi": y[1], "log": log, "whole": whole, "said": said, "base": base},
        "facts": [{"name": f.name, "before": f"before{i}", "after": f"after{i}"} for i, f in enumerate(facts)],
    }  # fmt: skip
    return component.pack(header, {key: array.astype(np.float32) for key, array in arrays.items()})


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("answers", "plot.js", "table.css")(**where)
