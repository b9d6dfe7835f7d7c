"""Activations: the curves, the real neurons under them, and what is left of these."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from charts import curves
from charts.curves import Bars, Choice, Line, Mark, Panel, Picks, Row, Switch

TITLES = {"relu": "ReLU", "gelu": "GELU", "gelu_tanh": "GELU (tanh)", "silu": "SiLU"}
DASHES: dict[str, tuple[int, int] | None] = {"relu": None, "gelu": (7, 4), "gelu_tanh": (2, 4), "silu": (12, 4)}


def over_neurons(
    u: np.ndarray, values: Mapping[str, np.ndarray], slopes: Mapping[str, np.ndarray], passed: Mapping[str, np.ndarray],
    chosen: Picks, layers: Choice, edges: np.ndarray, share: np.ndarray, below: np.ndarray, *, reaches: Choice,
    zeros: Mapping[str, np.ndarray], flat: Mapping[str, np.ndarray], neurons: str, cursor: float, gap: np.ndarray,
    magnify: Switch, epoch: int = 0,
) -> bytes:  # fmt: skip
    """σ(u) and σ'(u) of every activation over the histogram of real pre-activations, all on one u axis.

    u [point]; values, slopes, passed: activation -> [point], the last being σ(u)/u; chosen: which one stands out, by
    TITLES; layers: the frames; edges [bin + 1], share [layer, bin] of the neurons; below [layer, point], the share of
    them under u; reaches: how far to both sides the axis goes; zeros, flat: activation -> share of the neurons that it makes exactly 0, or where its slope is nearly
    0 [layer]; neurons: what was counted, in words; gap [point]: exact − tanh GELU, drawn 1,000 times as large in a
    panel of its own while the switch magnify is on.
    """

    def lines(of: Mapping[str, np.ndarray], label: bool) -> list[Line]:
        return [
            # The two GELUs lie on each other at any size that fits a screen: tanh is drawn where it is the topic.
            Line(of[name], "muted", label=TITLES[name] if label else "", width=1.75, dash=DASHES[name], quiet=True,
                 switched=name == "gelu_tanh", pick=TITLES[name])
            for name in values
        ]  # fmt: skip

    middle, tops = len(u) // 2, np.array(reaches.values, dtype=float)
    inside = [share[:, (edges[:-1] >= -top) & (edges[1:] <= top)].sum(1) for top in tops]
    outside = np.maximum(0.0, 1 - np.stack(inside, 1))  # [layer, reach]
    heights = np.stack((-0.15 * tops - 0.2, tops), 1)[None]  # [1, reach, 2]: the same for every layer
    panels = [
        Panel("The function σ(u)", heights, lines(values, True), share=1.5),
        Panel("Its slope σ′(u): what the gradient is multiplied with", (-0.25, 1.25), lines(slopes, False),
              short="Its slope σ′(u)"),
        Panel("Exact GELU − tanh GELU, magnified 1,000 times", (-0.55, 0.55),
              [Line(gap * 1000, "ffn", width=3, dot=True)], share=0.8, short="Exact − tanh GELU, × 1,000",
              note="never beyond ±0.5, that is 5·10⁻⁴", switched=True),
        Panel([f"Where {neurons} of layer {layer} really are (share per bin)" for layer in layers.values],
              (0, float(share.max()) * 1.15), [Bars(edges, share, "ffn", shade=0.75)], percent=True,
              short=[f"Where layer {layer} really is" for layer in layers.values],
              note=[[f"{out:.1%} lie outside this axis" if out >= 0.0005 else "" for out in row] for row in outside],
              marks=[Mark(0.0, [f"{b:.0%} below 0" for b in below[:, middle]], "ink", left=True)]),
    ]  # fmt: skip
    rows = [
        Row(TITLES[name], "muted",
            [passed[name], values[name], slopes[name], zeros[name][:, None], flat[name][:, None]],
            dash=DASHES[name], pick=TITLES[name])
        for name in values
    ]  # fmt: skip
    each = [{TITLES[name]: of[name] for name in of} for of in (passed, values, slopes)]
    label = "Activation functions and their slopes over the histogram of real pre-activations; arrow keys move u"
    return curves.message(
        "activations", label, u, "u, the neuron before the activation", "u", panels, cursor=cursor,
        columns=["passes", "σ(u)", "σ′(u)", "made 0%", "slope ≈ 0%"], rows=rows,
        sentence="{pick}({x}) = {x} × {0} = {1}   slope {2}   {3%} of the real ones lie below",
        values=[*each, below], step=2, height=470, gutter=104, frames=layers, zooms=reaches,
        switch=magnify, picks=chosen, epoch=epoch,
    )  # fmt: skip


def after(
    edges: np.ndarray, shares: Mapping[str, np.ndarray], layers: Choice, chosen: Picks, *,
    zeros: Mapping[str, np.ndarray], negatives: Mapping[str, np.ndarray], flat: Mapping[str, np.ndarray],
    means: Mapping[str, np.ndarray], epoch: int = 0,
) -> bytes:  # fmt: skip
    """What each activation makes of the same neurons: histograms of σ(u), with what is exactly 0 as a bar of its own.

    edges [bin + 1], evenly spaced; layers: the frames; chosen: which one stands out, by TITLES; shares: activation ->
    share of the neurons [layer, bin], exact zeros left out; zeros, negatives, flat (slope nearly 0): activation ->
    share of the neurons [layer]; means [layer].
    """
    width, floor = float(edges[1] - edges[0]), 1e-4
    at_zero = np.array([-0.4, 0.4], dtype=np.float32) * width
    panels = [
        Panel(TITLES[name], (floor, 1),
              [Bars(edges, values, "muted", shade=0.8, lit=False, pick=TITLES[name]),
               Bars(at_zero, zeros[name][:, None], "ink", lit=False)], log=True, percent=True,
              note=[f"{zero:.2%} exactly 0, {low:.2%} negative"
                    for zero, low in zip(zeros[name], negatives[name], strict=True)])
        for name, values in shares.items()
    ]  # fmt: skip
    rows = [
        Row(TITLES[name], "muted", [of[name][:, None] for of in (zeros, negatives, flat, means)], pick=TITLES[name])
        for name in shares
    ]  # fmt: skip
    return curves.message(
        "after-activation", "Histograms of the same real neurons after each activation, on a logarithmic scale", edges,
        "σ(u), the neuron after the activation", "σ", panels, cursor=0.0,
        columns=["exactly 0%", "negative%", "slope ≈ 0%", "mean"], rows=rows, height=560, gutter=20, frames=layers,
        picks=chosen, epoch=epoch,
    )  # fmt: skip
