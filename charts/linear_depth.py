"""Deep linear stacks as curves: how their modes are learned, and the singular values of a head's W_O W_V."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charts import curves
from charts.curves import Band, Choice, Line, Mark, Panel, Row

TONES = ("ffn", "positive", "negative", "muted")  # of the modes, the strongest first


def learning(
    steps: np.ndarray, strength: np.ndarray, loss: np.ndarray, exact: np.ndarray, s: np.ndarray, names: Sequence[str],
    depths: Choice, starts: Choice, *, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """How strongly W_eff holds each mode of the target, and the loss, against the steps of gradient descent.

    steps [point]; strength [depth, start, seed, mode, point]; loss [depth, start, seed, point]; exact, the closed form,
    NaN where there is none [depth, start, mode, point]; s [mode] of the target; names of the modes; depths and starts: the
    two sliders. The line is the seeds' mean, the band from the lowest to the highest of them.
    """
    series, rows = [], []
    for i, name in enumerate(names):
        own = strength[..., i, :]
        mean = own.mean(2)
        series += [
            Band(own.min(2), own.max(2), TONES[i]),
            Line(exact[..., i, :], "ink", width=1.5, dash=(2, 4)),
            Line(mean, TONES[i], label=name, width=2.5, dot=True),
        ]  # fmt: skip
        rows.append(Row(f"{name}: s = {s[i]:.2f}", TONES[i], [mean, mean / s[i]]))
    drop = loss.mean(2)
    panels = [
        Panel("How much of each mode has been learned: aᵢ = uᵢᵀ W_eff vᵢ; dotted: closed form", (-0.15, float(s.max()) * 1.08),
              series, share=1.5, short="Strength aᵢ of each mode"),
        Panel("Loss, ½‖Y − W_eff‖²", (-0.2, float(loss.max()) * 1.04),
              [Band(loss.min(2), loss.max(2), "output"), Line(drop, "output", width=2.5, dot=True)]),
    ]  # fmt: skip
    first = strength[..., 0, :].mean(2)
    return curves.message(
        "linear-modes", "Strength of each mode of a deep linear network and its loss against the steps; arrow keys move the step",
        steps, "step of gradient descent", "step", panels, cursor=cursor, columns=["learned, aᵢ", "share of sᵢ%"], rows=rows,
        sentence="Step {x}: loss {0}; the strongest mode stands at {1}", values=[drop, first], step=2, height=560,
        gutter=130, frames=[depths, starts], epoch=epoch,
    )  # fmt: skip


def heads(singular: np.ndarray, of: Choice, layer: int, d_head: int, *, cursor: float, epoch: int = 0) -> bytes:
    """Singular values of W_O W_V, relative to the largest, on a logarithmic scale.

    singular [head, index], the largest first; of: the heads, a slider; layer: whose.
    """
    shown = min(singular.shape[-1], 2 * d_head)
    share = np.maximum(singular / singular[:, :1], 1e-18)[:, :shown]
    held = (np.cumsum(singular**2, -1) / (singular**2).sum(-1, keepdims=True))[:, :shown]
    panels = [
        Panel(f"Layer {layer}: singular values of a head's W_O W_V, as a share of the largest", (3e-19, 3),
              [Line(share, "value", width=2.5, dot=True)], log=True, share=1.5, short="Singular values, share of the largest",
              marks=[Mark(float(d_head), f"d_head = {d_head}", "ink")]),
        Panel("Share of the whole (sum of squares) in the first so many", (0, 1.03), [Line(held, "value", width=2.5, dot=True)],
              percent=True, short="Share in the first so many"),
    ]  # fmt: skip
    return curves.message(
        "value-output", "Singular values of a head's W_O W_V; arrow keys move along them, the slider changes the head",
        np.arange(1, shown + 1), "number of the singular value, the largest first", "i", panels, cursor=cursor,
        sentence="Singular value {x}: {0}; the first {x} hold {1%} of the whole", values=[singular[:, :shown], held],
        height=500, gutter=40, frames=of, epoch=epoch,
    )  # fmt: skip
