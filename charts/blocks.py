"""What the browser component "blocks" draws: blocks that differ in where their norms stand, with the size of each tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import component
from charts.curves import Choice
from charts.theme import Role

Nodes = Sequence[tuple[str, float]]  # name of a tensor of the block and its size, in the order of computation


def message(
    layers: Choice, found: Mapping[str, Sequence[Nodes]], roles: Mapping[str, Role], *, epoch: int = 0
) -> bytes:  # fmt: skip
    """For the component: found: place of the norm -> layer -> its tensors. The layer is taken up when epoch differs from
    the last one. ValueError where a place has not its tensors at every layer."""
    most = max(len(of[0]) for of in found.values())
    sizes = np.full((len(found), len(layers.values), most), np.nan, dtype=np.float32)
    places = []
    for i, (place, of) in enumerate(found.items()):
        names = [name for name, _ in of[0]]
        if len(of) != len(layers.values) or any([name for name, _ in nodes] != names for nodes in of):
            raise ValueError(f"{place} has not the same tensors at each of {len(layers.values)} layers.")
        sizes[i, :, : len(names)] = [[size for _, size in nodes] for nodes in of]
        places.append({"title": f"{place}-norm" if place != "sandwich" else "sandwich", "role": roles[place], "names": names})
    header = {
        "name": "blocks", "label": "Blocks with the norm in different places. Arrow keys choose the layer.",
        "layers": layers.header(), "places": places, "epoch": epoch,
    }  # fmt: skip
    return component.pack(header, {"sizes": sizes})


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("blocks", "plot.js")(**where)
