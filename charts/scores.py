"""Six score functions: their weights on one head side by side, two vectors by hand, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import component, curves, matrices
from charts.curves import Choice, Line, Panel, Picks, Row, Switch
from charts.matrices import Matrix

TITLES = {
    "scaled_dot": "scaled dot", "dot": "dot", "general": "general", "cosine": "cosine", "additive": "additive",
    "location": "location",
}  # fmt: skip
FORMULAS = {
    "scaled_dot": "q·k / √d", "dot": "q·k", "general": "q W k", "cosine": "β cos(q, k)", "additive": "v·tanh(q + k + b)",
    "location": "w_j·q",
}  # fmt: skip
ROLES = {
    "scaled_dot": "attention", "dot": "query", "general": "key", "cosine": "value", "additive": "ffn", "location": "residual",
}  # fmt: skip
TERMS = {  # one coordinate of the sum, in words
    "scaled_dot": "q_d k_d / √d", "dot": "q_d k_d", "general": "(qW)_d k_d", "cosine": "β q_d k_d / ‖q‖‖k‖",
    "additive": "v_d tanh(q_d + k_d + b_d)", "location": "q_d w_jd",
}  # fmt: skip


def said(score: str, S: np.ndarray, A: np.ndarray, terms: np.ndarray, barred: np.ndarray) -> np.ndarray:
    """What a cell says of itself, [head, query, key]: the first terms of its sum, S and A; barred [query, key]."""
    found = np.full(A.shape, "barred: a later token", dtype=object)
    for h, i, j in zip(*np.nonzero(np.broadcast_to(~barred, A.shape)), strict=True):
        parts = " + ".join(f"{term:.2f}" for term in terms[h, i, j]).replace("+ -", "− ").replace("-", "−")
        found[h, i, j] = (f"S = Σ_d {TERMS[score]} = {parts} + … = {S[h, i, j]:.3f}; A = e^S / Σ e^S over "
                          f"{i + 1} keys = {A[h, i, j]:.4f}").replace("= -", "= −")  # fmt: skip
    return found


def weights_message(
    words: Sequence[str], S: Mapping[str, np.ndarray], A: Mapping[str, np.ndarray], says: Mapping[str, np.ndarray], *,
    heads: Choice, switch: Switch, barred: np.ndarray, at: tuple[str, int, int], epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "matrices": score -> S, A [head, query, key], and what each cell says (``said``).

    heads: which head the slider shows; switch: on, the scores are drawn in place of the weights; barred [query, key]:
    what a query may not see.
    """
    def drawn(score: str, scores: bool) -> Matrix:
        values = S[score] if scores else A[score]
        return Matrix(
            f"{'S' if scores else 'A'} {score}", f"{TITLES[score]}   {FORMULAS[score]}", values,
            "scores" if scores else "attention", words, words, signed=scores, top=None if scores else 1.0,
            barred=np.broadcast_to(barred,
                                   values.shape) if values.ndim == barred.ndim else np.stack([barred] * len(values)),
            says=says[score], switched=scores,
        )  # fmt: skip

    order, beside = list(TITLES), 2 if len(words) <= 10 else 3  # few columns are drawn wide, with numbers in them
    grid = [[drawn(score, scores) for score in order[i : i + beside]] for scores in (False, True) for i in range(0, 6,
        beside)]
    return matrices.message(
        "score-functions", "The same queries and keys of one head, weighed by six score functions.", grid, frames=heads,
        switch=switch, at=at, height=560, epoch=epoch,
    )  # fmt: skip


def plane_message(
    points: np.ndarray, fields: Mapping[str, np.ndarray], *, step: float, picks: Picks, q: int, k: int, epoch: int = 0
) -> bytes:
    """For the component "two_vectors".

    points [point, 2]: a square grid, row by row from below; fields: score -> S [query point, key point]. The pick and
    both vectors, as numbers of points, are taken up when epoch differs from the last one. ValueError where shapes do not fit.
    """
    side = round(len(points) ** 0.5)
    for score, S in fields.items():
        if S.shape != (len(points), len(points)) or side * side != len(points):
            raise ValueError(f"{score} has shape {list(S.shape)} for {len(points)} points of a square.")
    header = {
        "label": "A query and a key by hand; arrow keys move the key, with Shift the query.", "side": side, "step": step,
        "titles": {score: TITLES[score] for score in fields},
        "top": {s: float(np.abs(S).max()) for s, S in fields.items()},
        "picks": picks.header(), "q": q, "k": k, "epoch": epoch,
    }  # fmt: skip
    arrays = {"points": points.astype(np.float32)} | {score: S.astype(np.float16) for score, S in fields.items()}
    return component.pack(header, arrays)


def mount_plane(**where: object) -> object:
    """Put the component on the page: data=plane_message(...), key=..., on_stand_change=..."""
    return component.declare("two_vectors", "plot.js")(**where)


def cost_message(
    lengths: np.ndarray, flops: Mapping[str, np.ndarray], memory: Mapping[str, np.ndarray],
    seconds: Mapping[str, np.ndarray], parameters: Mapping[str, int], *, layer: str, measured: str, picks: Picks,
    cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """FLOPs of matrix products, memory on the way and measured time of one layer's scores: score -> [length]."""

    def panel(of: Mapping[str, np.ndarray], unit: float, title: str, short: str, note: str = "") -> Panel:
        low, high = min(v.min() for v in of.values()) * unit, max(v.max() for v in of.values()) * unit
        lines = [Line(v * unit, ROLES[score], TITLES[score], width=2.5, points=True, pick=TITLES[score]) for score,
                 v in of.items()]
        return Panel(title, (low / 1.6, high * 1.8), lines, log=True, short=short, note=note)

    panels = [
        panel(flops, 1e-6, f"MFLOPs of matrix products, {layer}", "MFLOPs of products"),
        panel(memory, 1e-6, "Megabytes of the largest tensor on the way", "MB on the way"),
        panel(seconds, 1e3, "Milliseconds, measured", "ms, measured", measured),
    ]  # fmt: skip
    rows = [Row(f"{TITLES[score]}: {FORMULAS[score]}", ROLES[score],
                [np.full(1, float(parameters[score])), flops[score] / 1e6, memory[score] / 1e6,
                 seconds[score] * 1e3], pick=TITLES[score])
            for score in flops]  # fmt: skip
    return curves.message(
        "score-costs", "FLOPs, memory and milliseconds of six score functions against the length of the text; left and right "
        "arrows move the length", lengths, "tokens n", "n", panels, cursor=cursor,
        columns=["parameters", "MFLOP", "MB", "ms"], rows=rows, height=560, gutter=100, picks=picks, epoch=epoch,
        sentence="n = {x}, {pick}: {0} ms, {1} times scaled dot's",
        values=[{TITLES[s]: v * 1e3 for s, v in seconds.items()},
                {TITLES[s]: v / seconds["scaled_dot"] for s, v in seconds.items()}],
    )  # fmt: skip
