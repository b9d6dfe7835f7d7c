"""Gated activations as maps over (g, u): what comes out, what flows back, and where the real pairs lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import matrices
from charts.curves import Choice, Picks
from charts.matrices import Matrix

TITLES = {"bilinear": "bilinear", "glu": "GLU", "reglu": "ReGLU", "geglu": "GEGLU", "swiglu": "SwiGLU"}
SIGMAS = {"bilinear": "g", "glu": "sigmoid(g)", "reglu": "ReLU(g)", "geglu": "GELU(g)", "swiglu": "SiLU(g)"}


def surfaces(
    axis: np.ndarray, opened: Mapping[str, np.ndarray], a: Mapping[str, np.ndarray], to_gate: Mapping[str, np.ndarray],
    density: np.ndarray | None, notes: Mapping[str, Sequence[str]], layers: Choice, gates: Picks, *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """axis [g]: the middles of the cells, of u too, which runs upwards; opened: gate -> σ(g) [g]; a and to_gate = ∂a/∂g: gate ->
    [u, g]; density [layer, u, g], None where the model has no gate; notes: gate -> a sentence for each layer; layers: the
    frames; gates: by TITLES."""
    rows, cols = [f"{v:.2f}" for v in axis[::-1]], [f"{v:.2f}" for v in axis]
    common = dict(rows=rows, cols=cols, row_axis="u", col_axis="g")
    above, below = [], []
    for name in a:
        sums = np.array([[f"u = {rows[i]}: {SIGMAS[name]} × u = {opened[name][j]:.3f} × {rows[i]} = {a[name][i, j]:.3f}"
                          for j in range(len(cols))] for i in range(len(rows))])  # fmt: skip
        through = np.repeat(opened[name][None], len(rows), 0)
        above.append(Matrix(f"{name} a", f"a = {SIGMAS[name]} · u", a[name], "ffn", signed=True, says=sums,
                            note=notes[name], symbol="a", pick=TITLES[name], top=6, **common))  # fmt: skip
        below += [
            Matrix(f"{name} to g", "∂a/∂g = σ′(g) · u: back to the gate", to_gate[name], "ffn", signed=True,
                   symbol="∂a/∂g", top=4, says="at g = {col}, u = {row}: σ′(g) · u = {value}", pick=TITLES[name], **common),
            Matrix(f"{name} to u", f"∂a/∂u = {SIGMAS[name]}: back to u", through, "ffn", signed=True,
                   symbol="∂a/∂u", top=4, says="at g = {col}: {value}, whatever u is", pick=TITLES[name], **common),
        ]  # fmt: skip
    if density is not None:
        above.append(Matrix(
            "real", [f"Where the real pairs (g, u) of layer {layer} lie" for layer in layers.values],
            np.log10(1 + 1e5 * density), "ffn", symbol="log₁₀(1 + 10⁵ · share)",
            says="of the real pairs near g = {col}, u = {row}, on a logarithmic scale: {value}", **common))  # fmt: skip
    return matrices.message(
        "gates", "Gated activations over g and u; arrows move the cell, Page Up and Page Down the map", [above, below],
        frames=layers, picks=gates, height=900, epoch=epoch,
    )  # fmt: skip
