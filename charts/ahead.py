"""Pictures one step away, sent along: a box beside a component (a layer, a seed) moves it without waiting for the server.

A press on one of Streamlit's own boxes takes a round trip and several renderings of the page before a new picture comes.
`ahead` packs what the boxes' neighbouring values would show into the same message; assets/components/ahead.js draws it as
soon as the box shows that value. The server answers as always, and finds its picture drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from charts import component


@dataclass(frozen=True)
class Box:
    """A box on the page: the `key` of its widget, what it offers in order, and where it is at. A box inside the picture
    has a name of its own, and the component says by `ask` where it was moved. buttons: each value is one press away."""

    key: str
    values: Sequence
    at: object
    buttons: bool = False

    def near(self) -> list:
        """The values one step before and after, of buttons all others."""
        if self.buttons:
            return [value for value in self.values if value != self.at]
        i = self.values.index(self.at)
        return [self.values[j] for j in (i - 1, i + 1) if 0 <= j < len(self.values)]


def ahead(draw: Callable[..., bytes | None], *boxes: Box) -> bytes:
    """The message draw(*(box.at for box in boxes)), and with it that of each neighbour, one box moved by one step.

    draw: the component's message (`component.pack`) for a value of each box; None where there is nothing to draw. What
    the messages have in common is sent once.
    """
    at = [box.at for box in boxes]
    header, body = component.opened(draw(*at))
    arrays = _Arrays()
    merged = header | {"arrays": arrays.keep(header["arrays"], body)}
    others = []
    for i, box in enumerate(boxes):
        for value in box.near():
            there = [*at[:i], value, *at[i + 1 :]]
            if (message := draw(*there)) is None:
                continue
            other, body = component.opened(message)
            other["arrays"] = arrays.keep(other["arrays"], body)
            others.append({
                "at": _shown(there), "gone": [key for key in merged if key not in other],
                "header": {key: value for key, value in other.items() if key not in merged or merged[key] != value},
            })  # fmt: skip
    near = {"boxes": [box.key for box in boxes], "at": _shown(at), "others": others}
    return component.closed(merged | {"ahead": near}, arrays.pieces)


def _shown(values: Sequence) -> list[str]:
    return [str(value) for value in values]  # as Streamlit writes an option


@dataclass
class _Arrays:
    """The arrays of several messages, equal ones kept once."""

    pieces: list[bytes] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)
    length: int = 0

    def keep(self, table: dict[str, dict], body: memoryview) -> dict[str, dict]:
        """The table of a message's arrays, with their places among those kept."""
        return {name: about | {"offset": self._place(about, body)} for name, about in table.items()}

    def _place(self, about: dict, body: memoryview) -> int:
        count = math.prod(about["shape"]) * np.dtype(about["dtype"]).itemsize
        raw = bytes(body[about["offset"] : about["offset"] + count])
        if raw not in self.places:
            self.places[raw] = self.length
            self.pieces.append(component.padded(raw))
            self.length += len(self.pieces[-1])
        return self.places[raw]
