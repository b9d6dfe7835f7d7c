"""What the browser component "memories" lists: neurons of a layer at each word, and the words that each raises and lowers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from charts import component
from charts.curves import Choice, Picks


@dataclass(frozen=True)
class Neuron:
    """a: how loud it is; target: what it adds to the logit of the word's own answer; up, down: (piece, added logits)."""

    neuron: int
    a: float
    target: float
    up: Sequence[tuple[str, float]]
    down: Sequence[tuple[str, float]]


def message(
    label: str, words: Choice, orders: Picks, targets: Sequence[str], neurons: Sequence[Sequence[Sequence[Neuron]]], *,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    words: of the text, a slider; orders: which neurons are listed; targets: each word's most probable next piece; neurons:
    [word][order][neuron]. Word and order are taken up when epoch differs from the last one. ValueError where they do not fit.
    """
    if len(neurons) != len(words.values) or any(len(of) != len(orders.values) or not all(of) for of in neurons):
        raise ValueError(f"There are neurons for {len(neurons)} words; {len(words.values)} words in {len(orders.values)} "
                         "orders are to be shown.")  # fmt: skip
    return component.pack(
        {"label": label, "words": words.header(), "orders": orders.header(), "targets": list(targets), "epoch": epoch,
         "neurons": [[[asdict(one) for one in of] for of in at] for at in neurons]}, {})  # fmt: skip


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("memories", "plot.js")(**where)
