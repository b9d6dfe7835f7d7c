"""Where the FLOPs of a forward pass go: shares by part against the length of the text.

`stack_data` is what the component assets/components/flops draws, `areas` the same picture as an Altair figure for
downloads and notebooks, `table` its numbers. All take what transformer.cost computed: FLOPs by part for each n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from charts.component import pack
from charts.theme import Palette, Role


@dataclass(frozen=True)
class Part:
    """One band of the stack: a key of transformer.cost.flops, how it is called on a wide and on a narrow screen."""

    key: str
    label: str
    short: str
    role: Role


@dataclass(frozen=True)
class Marker:
    """A length worth a line of its own."""

    n: float
    label: str
    value: str


# From the ground up: what grows as n² first, so that its wedge stands on the axis; then what attention adds to it.
PARTS: tuple[Part, ...] = (
    Part("z", "z = A V", "z", "attention"),
    Part("scores", "S = Q Kᵀ", "S", "scores"),
    Part("out", "output, W_O", "O", "residual"),
    Part("V", "values, W_V", "V", "value"),
    Part("K", "keys, W_K", "K", "key"),
    Part("Q", "queries, W_Q", "Q", "query"),
    Part("ffn", "FFN", "FFN", "ffn"),
    Part("logits", "logits, W_U", "ℓ", "output"),
)
ATTENTION = ("z", "scores", "out", "V", "K", "Q")

# All lengths that can be chosen: eight round numbers an octave, 128 … 32 768.
LENGTHS: tuple[int, ...] = tuple(2**k * eighth // 8 for k in range(7, 15) for eighth in range(8, 16)) + (32_768,)


def stack_data(
    costs: Sequence[Mapping[str, int]],
    products: Sequence[Sequence[tuple[str, int, int, int, int]]],
    *,
    chosen: int,
    layers: int,
    heads: int,
    show: str = "shares",
    logits: bool = False,
    markers: Sequence[Marker] = (),
    context: int | None = None,
    context_label: str = "",
) -> bytes:
    """One message for the component, at every length of LENGTHS.

    costs [n]: FLOPs by part. products [n][product]: (part, rows, inner, columns, times), the matrix products they are
    the sum of, for the arithmetic under the pointer. chosen, show ("shares" or "per token") and logits: the view to
    start with. context: how long a text the model was made for, or None. ValueError when costs or products are not one
    for each length.
    """
    if not len(costs) == len(products) == len(LENGTHS):
        raise ValueError(f"costs and products need one entry for each of the {len(LENGTHS)} lengths.")
    there = [part for part in PARTS if costs[0][part.key]]
    first = products[0]
    header = {
        "n": LENGTHS, "chosen": chosen, "show": show, "logits": logits, "context": context,
        "context_label": context_label, "attention": ATTENTION,
        "parts": [
            {"key": p.key, "label": p.label, "short": p.short, "role": p.role, "flops": [cost[p.key] for cost in costs]}
            for p in there
        ],
        "product_parts": [product[0] for product in first],
        "often": [_often(product[0], product[4], layers, heads) for product in first],
        "markers": [{"n": m.n, "label": m.label, "value": m.value} for m in markers],
    }  # fmt: skip
    sizes = np.array([[product[1:5] for product in at_n] for at_n in products], dtype=np.int32)  # [n, product, 4]
    return pack(header, {"products": sizes})


def table(costs: Sequence[Mapping[str, int]], lengths: Sequence[int] = LENGTHS) -> pd.DataFrame:
    """One row a length: FLOPs of each part and their sum."""
    frame = pd.DataFrame({part.key: [cost[part.key] for cost in costs] for part in PARTS})
    frame.insert(0, "n", list(lengths))
    frame["total"] = frame.drop(columns="n").sum(axis=1)
    return frame


def areas(
    costs: Sequence[Mapping[str, int]], palette: Palette, *, logits: bool, chosen: int, markers: Sequence[Marker] = (),
    title: str = "",
) -> alt.LayerChart:  # fmt: skip
    """The stack of shares over LENGTHS as an Altair figure, with the chosen length and the markers."""
    shown = [part for part in PARTS if logits or part.key != "logits"]
    rows = pd.DataFrame([
        {"n": n, "part": part.label, "order": order, "FLOPs": cost[part.key],
         "share": cost[part.key] / sum(cost[p.key] for p in shown)}
        for n, cost in zip(LENGTHS, costs) for order, part in enumerate(shown)
    ])  # fmt: skip
    x = alt.X("n:Q", scale=alt.Scale(type="log", base=2, domain=[LENGTHS[0], LENGTHS[-1]], nice=False),
              axis=alt.Axis(values=[2**k for k in range(7, 16)], format="d", title="n, tokens in the text"))
    colour = alt.Color("part:N", sort=None, scale=alt.Scale(
        domain=[part.label for part in reversed(shown)], range=[palette.role(part.role) for part in reversed(shown)],
    ), legend=alt.Legend(orient="right", title=None, symbolType="square"))  # fmt: skip
    stack = alt.Chart(rows).mark_area(line={"strokeWidth": 1.5}, fillOpacity=0.4).encode(
        x=x, y=alt.Y("share:Q", stack="zero", axis=alt.Axis(format="%", title="share of the FLOPs"),
                     scale=alt.Scale(domain=[0, 1])),
        color=colour, order="order:Q", tooltip=["part", "n", alt.Tooltip("FLOPs:Q", format=".3s"),
                                                alt.Tooltip("share:Q", format=".1%")],
    )  # fmt: skip
    inside = [m for m in markers if LENGTHS[0] <= m.n <= LENGTHS[-1]]
    lines = pd.DataFrame({
        "n": [m.n for m in inside] + [chosen],
        "label": [f"{m.label}: {m.value}" for m in inside] + [f"n = {chosen}"],
        "dash": [True] * len(inside) + [False],
    })  # fmt: skip
    rules = alt.Chart(lines).mark_rule(color=palette.ink, strokeWidth=1.5).encode(
        x="n:Q", strokeDash=alt.condition("datum.dash", alt.value([3, 4]), alt.value([1, 0]))
    )
    names = alt.layer(*(
        alt.Chart(lines.iloc[[k]]).mark_text(
            color=palette.ink, baseline="bottom", dy=-6 - 18 * k, align="center", fontSize=13,
            fontWeight=400 if dash else 600,
        ).encode(x="n:Q", y=alt.value(0), text="label:N")
        for k, dash in enumerate(lines["dash"])
    ))  # fmt: skip
    return alt.layer(stack, rules, names).properties(
        width=900, height=480, title=alt.TitleParams(title, offset=12) if title else alt.Undefined
    )


def _often(part: str, times: int, layers: int, heads: int) -> str:
    """How a matrix product comes to be done ``times`` times, in words."""
    if part == "logits":
        return "once"
    each = f"in {layers} layers" if layers > 1 else "in 1 layer"
    if part in ("scores", "z"):
        return f"in {heads} heads {each}" if heads > 1 else f"in 1 head {each}"
    return each if times == layers else f"twice (W₁ and W_g) {each}"
