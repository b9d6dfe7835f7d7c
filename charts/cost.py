"""Where the FLOPs of a forward pass go: shares by part against the length of the text.

`stack_data` is what the component assets/components/flops draws, `areas` the same picture as an Altair figure for
downloads and notebooks, `table` its numbers. All take what transformer.cost computed: FLOPs by part for each n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from charts.component import pack
from charts.theme import Palette, Role

if TYPE_CHECKING:
    import altair as alt


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


@dataclass(frozen=True)
class Counted:
    """One model's cost at every length of LENGTHS.

    costs [n]: FLOPs by part. products [n][product]: (part, rows, inner, columns, times), the matrix products they are
    the sum of, for the arithmetic under the pointer. context: how long a text the model was made for, or None.
    """

    name: str
    costs: Sequence[Mapping[str, int]]
    products: Sequence[Sequence[tuple[str, int, int, int, int]]]
    layers: int
    heads: int
    markers: Sequence[Marker] = ()
    context: int | None = None
    context_label: str = ""

    def header(self) -> dict[str, object]:
        """As it goes to the browser. ValueError when costs or products are not one for each length."""
        if not len(self.costs) == len(self.products) == len(LENGTHS):
            raise ValueError(f"costs and products need one entry for each of the {len(LENGTHS)} lengths.")
        return {
            "name": self.name, "context": self.context, "context_label": self.context_label,
            "parts": [{"key": p.key, "label": p.label, "short": p.short, "role": p.role,
                       "flops": [cost[p.key] for cost in self.costs]} for p in PARTS if self.costs[0][p.key]],
            "product_parts": [product[0] for product in self.products[0]],
            "often": [_often(product[0], product[4], self.layers, self.heads) for product in self.products[0]],
            "markers": [{"n": m.n, "label": m.label, "value": m.value} for m in self.markers],
        }  # fmt: skip

    def sizes(self) -> np.ndarray:
        """rows, inner, columns, times of each product: [n, product, 4]."""
        return np.array([[product[1:5] for product in at_n] for at_n in self.products], dtype=np.int32)


def stack_data(
    models: Sequence[Counted], *, arch: str, chosen: int, show: str = "shares", logits: bool = False, epoch: int = 0,
) -> bytes:  # fmt: skip
    """One message for the component: every model that can be chosen.

    arch (a model's name), chosen (n), show ("shares" or "per token") and logits are taken up when epoch differs from the
    last one, and are the learner's after that. ValueError when there is no such model.
    """
    if arch not in [model.name for model in models]:
        raise ValueError(f"{arch!r} is not among the models.")
    header = {
        "n": LENGTHS, "arch": arch, "chosen": chosen, "show": show, "logits": logits, "epoch": epoch,
        "attention": ATTENTION, "models": [model.header() for model in models],
    }  # fmt: skip
    return pack(header, {f"products_{i}": model.sizes() for i, model in enumerate(models)})


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
    import altair as alt  # 30 MB and a tenth of a second: for a download, not for whoever opens the page

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
