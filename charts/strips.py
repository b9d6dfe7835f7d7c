"""A few real neurons over the tokens of the text: what each lets through, what goes through it, their product.

`message` is what the component assets/components/strips draws, out of frames that its sliders choose from; `figure` is
one frame as an Altair figure for downloads and notebooks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from charts import component, theme
from charts.curves import Choice

if TYPE_CHECKING:
    import altair as alt


def message(
    layers: Choice, words: Choice, ids: np.ndarray, parts: Mapping[str, np.ndarray], *, epoch: int = 0
) -> bytes:
    """For the component "strips".

    layers: frames; words: the tokens as shown, each with its number, which are frames too: those of whose loudest
    neurons there are ids [layer, word, neuron]; parts: name -> [layer, word, neuron, token], the last being what the
    others multiply to. Layer and word are taken up when epoch differs from the last one. ValueError where the shapes do
    not fit.
    """
    tokens = len(words.values)
    if ids.shape[:2] != (len(layers.values), tokens):
        raise ValueError(f"ids has shape {list(ids.shape)} for {len(layers.values)} layers and {tokens} words.")
    for name, values in parts.items():
        if values.shape != (*ids.shape, tokens):
            raise ValueError(f"{name} has shape {list(values.shape)}; the ids ask for {[*ids.shape, tokens]}.")
    header = {
        "label": "Single neurons over the words of the text; arrow keys choose a cell", "parts": list(parts),
        "layers": layers.header(), "words": words.header(), "epoch": epoch,
    }  # fmt: skip
    values = np.stack(list(parts.values())).astype(np.float32)  # [part, layer, word, neuron, token]
    return component.pack(header, {"ids": ids.astype(np.int32), "values": values})


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("strips", "plot.js")(**where)


def figure(columns: Sequence[str], neurons: Sequence[int], parts: Mapping[str, np.ndarray],
           p: theme.Palette) -> alt.LayerChart:  # fmt: skip
    """One layer's neurons: a row of numbers for each part, coloured by its own largest size.

    columns: the tokens as shown, each with its number, so that none repeats; neurons: ids; parts: name ->
    [neuron, token], the last being what the others multiply to.
    """
    import altair as alt  # a second that the page need not wait for: it draws with the component
    import pandas as pd

    rows, records = [], []
    for j, neuron in enumerate(neurons):
        for part, values in parts.items():
            rows.append(f"{neuron}  {part}")
            most = np.abs(values[j]).max() or 1.0
            records += [
                {"row": rows[-1], "token": column, "value": float(value), "share": float(value / most)}
                for column, value in zip(columns, values[j], strict=True)
            ]  # fmt: skip
        rows.append(" " * (j + 1))  # an empty row between neurons
    base = alt.Chart(pd.DataFrame(records)).encode(
        x=alt.X("token:N", title=None, scale=alt.Scale(domain=columns), axis=alt.Axis(
            labelAngle=-55, orient="top", domain=False, ticks=False, labelColor=p.ink, labelLimit=96)),
        y=alt.Y("row:N", title=None, scale=alt.Scale(domain=rows[:-1]), axis=alt.Axis(
            domain=False, ticks=False, labelColor=p.ink, labelLimit=170)),
    )  # fmt: skip
    cells = base.mark_rect(stroke=p.line, strokeWidth=1).encode(color=alt.Color(
        "share:Q", scale=alt.Scale(domain=[-1, 0, 1], range=[p.negative, p.background, p.positive],
                                 interpolate="rgb"),
        title="as a share of the row's largest size",
        legend=alt.Legend(values=[-1, 0, 1], gradientLength=240, titleLimit=400, titleFontWeight=400)))  # fmt: skip
    numbers = base.mark_text(fontSize=13).encode(
        text=alt.Text("value:Q", format=".2f"),
        color=alt.condition("abs(datum.share) > 0.6", alt.value(p.background), alt.value(p.ink)),
    )  # fmt: skip
    return alt.layer(cells, numbers).properties(height=27 * (len(rows) - 1), width=56 * len(columns))
