"""Approximated attention: the matrix beside the exact one, its error, an estimate's mean, a state that grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Mark, Panel, Picks, Row, Switch
from charts.matrices import Matrix, Product

METHODS = PERFORMER, ELU, FITTED, DRAWN, BEST = (
    "Performer", "elu + 1", "Linformer, fitted", "Linformer, drawn", "best of its rank",
)  # fmt: skip
RANKED = (FITTED, DRAWN, BEST)
HOW = {
    PERFORMER: "Ã: φ random features", ELU: "Ã: φ = elu + 1", FITTED: "Ã = P F, E and F fitted to this text",
    DRAWN: "Ã = P F, E = F drawn at random", BEST: "Ã: the closest matrix of rank k",
}  # fmt: skip
PARTS = ("", " exact", " off", " S", " exact S", " P", " F")  # what a method's matrices are called behind its name
SIZE = "Size: features m, or rank k"
LENGTH = "Length of q and k"
Middle = tuple[np.ndarray, np.ndarray, np.ndarray]  # middle, low, high over the seeds


def weights_message(
    masked: np.ndarray, unmasked: np.ndarray, scores: np.ndarray, made: Mapping[str, np.ndarray],
    of: Mapping[str, np.ndarray | tuple[np.ndarray, np.ndarray]], errors: Mapping[str, np.ndarray],
    words: Sequence[str], sizes: Choice, chosen: Picks, behind: Switch, *, causal: bool,
    at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Exact weights, approximated ones, and their difference, for each method and size.

    masked, unmasked [query, key]: the exact ones, with and without the causal mask; scores: theirs; made: method ->
    [size, query, key], or [query, key] where size plays no part; of: method -> the scores that they are the softmax
    of, or the two factors that they are the product of, which the switch `behind` shows; errors: method -> relative
    error [size] or [1].
    """
    n = len(words)
    future = ~np.tri(n, dtype=bool) if causal else None
    grid: list[list[Matrix]] = [[], []]
    for method, values in made.items():
        of_rank = method in RANKED
        exact, barred = (unmasked, None) if of_rank or not causal else (masked, future)
        every = np.broadcast_to(values, (len(sizes.values), n, n))
        lowest = [f", lowest weight {low:.2f}" if low < -0.005 else "" for low in every.min((1, 2))]
        off = np.broadcast_to(errors[method], len(lowest))
        notes = [f"error {error:.0%}{low}".replace("-", "−") for error, low in zip(off, lowest, strict=True)]
        top = float(exact.max())
        axes = dict(rows=words, cols=words, barred=barred, pick=method)
        rows = [f"row {i}" for i in range(n)]
        parts, says = of.get(method), "Approximated: {row} gives {value} to {col}."
        if isinstance(parts, tuple):
            says = Product(f"{method} P", f"{method} F", right_rows=False, symbol="P·F")
            grid[1] += [
                Matrix(f"{method} P", "P = softmax(Q (EK)ᵀ / √d_k)", parts[0], "attention", words, rows, symbol="P",
                       col_axis="squeezed row", says="{row} gives {value} to squeezed {col}.", pick=method,
                       switched=True),
                Matrix(f"{method} F", "F, what a squeezed row is made of", parts[1], "value", rows, words, symbol="F",
                       row_axis="squeezed row", says="{row} takes {value} of {col}.", pick=method, switched=True,
                       signed=True),
            ]  # fmt: skip
        elif parts is not None:
            says = f"{matrices.SOFTMAX}{method} S"
            grid[1] += [
                Matrix(f"{method} exact S", "the exact scores q·k / √d_k", scores, "scores", signed=True, symbol="S",
                       switched=True, says="q·k / √d_k of {row} and {col} is {value}.", **axes),
                Matrix(f"{method} S", "in their place: ln φ(q)·φ(k)", parts, "scores", signed=True, symbol="Ŝ",
                       switched=True, says="ln φ(q)·φ(k) of {row} and {col} is {value}.", **axes),
            ]  # fmt: skip
        grid[0] += [
            Matrix(f"{method} exact", "exact weights A" + (", without the mask" if of_rank and causal else ""), exact,
                   "attention", top=top, symbol="A", says="The exact weight: {row} gives {value} to {col}.", **axes),
            Matrix(method, HOW[method], values, "attention", top=top, symbol="Ã", signed=method == DRAWN, note=notes,
                   says=says,
                   **axes),
            Matrix(f"{method} off", "Ã − A", values - exact, "attention", signed=True, top=top, symbol="Ã − A",
                   says="Off by {value} for {row} reading {col}.", **axes),
        ]  # fmt: skip
    grid[0].sort(key=lambda m: (0, 1, 2)[m.key.endswith(" off") + (not m.key.endswith(" exact"))])
    return matrices.message(
        "approximated-weights", "Exact attention weights, approximated ones, and their difference; query rows, key "
        "columns", grid, frames=sizes, picks=chosen, switch=behind, at=at, height=430, epoch=epoch,
    )  # fmt: skip


def features_message(
    log_sizes: Sequence[int], of_A: Mapping[str, Middle], of_z: Mapping[str, Middle], lengths: Choice, *, cursor: float,
    seeds: int, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Error by number of features: "orthogonal" and "independent" [length, point], "elu" [length, 1]."""
    x = np.asarray(log_sizes, dtype=float)

    def panel(found: Mapping[str, Middle], title: str, named: bool) -> Panel:
        middle, low, high = found["orthogonal"]
        top = max(1.5, float(found["independent"][0].max()) * 1.1)
        flat = np.broadcast_to(found["elu"][0], middle.shape)
        return Panel(title, (0.008, min(top, 4.0)), [
            Band(np.maximum(low, 0.0081), high, "attention"),
            Line(found["independent"][0], "muted", "independent" if named else "", width=2, dash=(6, 4), quiet=True),
            Line(flat, "ffn", "elu + 1" if named else "", width=2.5, dash=(2, 3)),
            Line(middle, "attention", "Performer" if named else "", width=3.5, dot=True, points=True),
        ], log=True, note=f"middle of {seeds} draws, band 10–90 %" if named else "")  # fmt: skip

    def cells(name: str) -> list[np.ndarray]:
        return [np.broadcast_to(found[name][0], of_A["orthogonal"][0].shape) for found in (of_A, of_z)]

    rows = [Row("Performer, orthogonal ω", "attention", cells("orthogonal"), width=3),
            Row("independent ω", "muted", cells("independent"), dash=(6, 4)),
            Row("elu + 1, no size", "ffn", cells("elu"), dash=(2, 3))]  # fmt: skip
    return curves.message(
        "error-by-features", "Relative error of attention weights and outputs by number of random features; arrows "
        "move along", x, "log₂ of the number of features m", "log₂ m",
        [panel(of_A, "Error of the weights, ‖Ã − A‖ / ‖A‖", True), panel(of_z, "Error of the output, ‖z̃ − z‖ / ‖z‖",
            False)],
        cursor=cursor, frames=lengths, columns=["weights%", "output%"], rows=rows, epoch=epoch, height=500, gutter=104,
        sentence="2^{x} features: the weights are off by {0%}, the output by {1%}; elu + 1 by {2%} and {3%}",
        values=[*cells("orthogonal"), *cells("elu")],
    )  # fmt: skip


RANK_LOOK = {  # method -> its name, role, dash
    "best": ("best of rank k", "ink", (7, 4)), "fitted": ("fitted E, F", "attention", None),
    "pooled": ("pooled", "key", (2, 3)), "projected": ("A RᵀR", "muted", (6, 4)), "drawn": ("drawn E = F", "ffn", None),
}  # fmt: skip


def rank_message(
    of_A: Mapping[str, Middle], of_z: Mapping[str, Middle], *, cursor: float, seeds: int, epoch: int = 0
) -> bytes:  # fmt: skip
    """Error by rank, [rank] from 1 on, of every way in RANK_LOOK."""
    n = len(of_A["best"][0])

    def panel(found: Mapping[str, Middle], title: str, named: bool) -> Panel:
        series: list[Line | Band] = []
        for name in ("projected", "drawn"):
            series.append(Band(found[name][1], found[name][2], RANK_LOOK[name][1]))
        for name, (label, role, dash) in RANK_LOOK.items():
            series.append(Line(np.maximum(found[name][0], 0.0101), role, label if named else "", width=3 if name in
                               ("best", "fitted") else 2, dash=dash, dot=name == "fitted", points=True,
                               quiet=role == "muted"))  # fmt: skip
        top = max(float(found[name][2].max()) for name in RANK_LOOK)
        return Panel(title, (0.01, top * 1.2), series, log=True,
                     note=f"middle of {seeds} draws, band 10–90 %; the floor of the axis is "
                          f"1 %" if named else "")  # fmt: skip

    rows = [Row(label, role, [of_A[name][0], of_z[name][0]], dash=dash, width=3 if dash is None else 2)
            for name, (label, role, dash) in RANK_LOOK.items()]  # fmt: skip
    return curves.message(
        "error-by-rank", "Relative error of attention weights and outputs by rank; arrows move along",
        np.arange(1.0, n + 1), "rank k: rows that keys and values are squeezed to", "k",
        [panel(of_A, "Error of the weights, ‖Ã − A‖ / ‖A‖", True), panel(of_z, "Error of the output, ‖z̃ − z‖ / ‖z‖",
            False)],
        cursor=cursor, columns=["weights%", "output%"], rows=rows, epoch=epoch, height=500, gutter=124,
        sentence="rank {x}: the best any rank can do is {0%}, E and F fitted to this text {1%}, drawn at random {2%}",
        values=[of_A[name][0] for name in ("best", "fitted", "drawn")],
    )  # fmt: skip


def means_message(
    counts: np.ndarray, kernel: np.ndarray, weight: np.ndarray, sampling: np.ndarray, weight_error: np.ndarray,
    true: np.ndarray, lengths: Choice, features: Choice, *, query: str, key: str, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Running means over draws, [length, features, point]: the kernel over its truth with ±2 standard errors about 1,
    and the normalised weight with the true one, true [length]."""
    x = np.asarray(counts, dtype=float)
    truth = np.broadcast_to(true[:, None, None], weight.shape)
    one = np.ones(1)
    low, high = np.clip(1 - 2 * sampling, 0, 2), np.clip(1 + 2 * sampling, 0, 2)
    off = np.abs(weight - truth) / weight_error
    spans = np.stack([np.minimum(weight.min(-1), true[:, None]), np.maximum(weight.max(-1), true[:, None])], -1)
    spans = np.maximum(spans + np.maximum(spans[..., 1] - spans[..., 0], 0.02)[..., None] * np.array([-0.25, 0.35]),
                       0.0)
    around = [np.clip(weight + side * weight_error, spans[..., :1], spans[..., 1:]) for side in (-2, 2)]
    panels = [
        Panel("The estimate of exp(q·k/√d_k), over its true value", (0.0, 2.0),
              [Band(low, high, "scores", opacity=0.25), Line(one, "ink", "the truth", width=1.5, dash=(6, 4)),
               Line(kernel, "attention", "its mean", width=3, dot=True)], share=1.1, short="Estimate over truth",
              note="shaded: two standard errors, by the closed form"),
        Panel(f"The weight “{query}” gives “{key}”: a ratio of estimates", spans,
              [Line(truth, "ink", "the truth", width=1.5, dash=(6, 4)),
               Band(*around, "attention", opacity=0.2),
               Line(weight, "attention", "its mean", width=3, dot=True)], short=f"The weight of “{key}”",
              note="shaded: two standard errors, from the draws"),
    ]  # fmt: skip
    rows = [Row("exp(q·k/√d_k), over the truth", "attention", [kernel, sampling, one, np.abs(kernel - 1) / sampling]),
            Row("the weight", "attention", [weight, weight_error, truth, off])]  # fmt: skip
    return curves.message(
        "mean-over-draws", "Running means of Performer's estimate over draws of its features; arrows move along", x,
        "draws of ω that are averaged", "draws", panels, cursor=cursor, frames=[lengths, features],
        columns=["mean", "standard error", "truth", "errors off"], rows=rows, epoch=epoch, height=470, gutter=84,
        sentence="{x} draws: the kernel's mean is {0} of its truth; the weight's mean is {1}, the truth {2}",
        values=[kernel, weight, truth],
    )  # fmt: skip


def states_message(
    phi_Q: np.ndarray, phi_K: np.ndarray, V: np.ndarray, S: np.ndarray, z: np.ndarray, read: np.ndarray,
    out: np.ndarray, pairs: np.ndarray, words: Choice, *, at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Linear attention as a recurrence, a frame for each token.

    phi_Q, phi_K, z [token, feature], V, out, pairs [token, d_v], S [token, feature, d_v]: the state after the token;
    read: φ(q) S; out: that, divided by φ(q)·z; pairs: the same output from all pairs at once.
    """
    m, d_v = S.shape[1:]
    features, values = [f"f{i}" for i in range(m)], [f"v{i}" for i in range(d_v)]
    added = phi_K[:, :, None] * V[:, None]
    gap = np.abs(out - pairs).max(-1)
    total = (phi_Q * z).sum(-1)
    axes = dict(row_axis="feature", col_axis="d_v")
    wide = dict(row_axis="", col_axis="d_v", signed=True)
    grid = [
        [Matrix("added", "+ φ(k) vᵀ", added, "key", features, values, signed=True, symbol="φ(k) vᵀ",
                says="φ(k) at {row} times v at {col}: {value} is added to S.", **axes),
         Matrix("S", "S = Σ φ(k) vᵀ, all that is kept", S, "value", features, values, signed=True,
                says="S at {row}, {col}: {value}, the sum over all tokens so far.", **axes),
         Matrix("z", "z = Σ φ(k)", z[:, :, None], "key", features, ["z"], row_axis="feature", col_axis="", share=5,
                says="z at {row}: {value}, the sum of φ(k) so far.")],
        [Matrix("φ(q)", "φ(q) asks", phi_Q[:, None], "query", ["φ(q)"], features, row_axis="", col_axis="feature",
                says="φ(q) at {row}, {col}: {value}."),
         Matrix("read", "φ(q) S", read[:, None], "output", ["φ(q) S"], values, symbol="numerator", note=[
                    f"divided by φ(q)·z = {one:.4g} it is the output" for one in total],
                says=Product("φ(q)", "S", right_rows=False, symbol="φ(q)·S"), **wide)],
        [Matrix("out", "the output, from the state and from all pairs", np.stack([out, pairs], 1), "output",
                ["state", "pairs"], values, note=[f"they differ by at most {one:.0e}" for one in gap],
                says="From the {row}: {value} at {col}.", **wide)],
    ]  # fmt: skip
    sentence = [f"{i + 1} token{'s' if i else ''} read, “{word}” the last: S and z are still "
                f"{m:,} × {d_v} + {m} = {m * (d_v + 1):,} numbers." for i, word in enumerate(words.values)]  # fmt: skip
    return matrices.message(
        "state-by-token", "Linear attention's state after each token, and what the token reads from it", grid,
        frames=words,
        plays_frames=True, sentence=sentence, at=at, height=640, epoch=epoch,
    )  # fmt: skip


def cost_message(
    log_n: Sequence[int], flops: Mapping[str, np.ndarray], features: Choice, rank: int, *, here: int, cursor: float,
    heads: str, epoch: int = 0,
) -> bytes:  # fmt: skip
    """FLOPs for one more token by text length; "full", "elu" and "linformer" [n], "performer" [features, n]."""
    x = np.asarray(log_n, dtype=float)
    looks = {"full": ("all pairs", "scores", None), "performer": ("Performer", "attention", None),
             "elu": ("elu + 1", "ffn", (2, 3)), "linformer": (f"Linformer, k = {rank}", "key", (6, 4))}  # fmt: skip
    million = {name: found / 1e6 for name, found in flops.items()}
    lines = [Line(million[name], role, label, width=3, dash=dash, dot=True) for name, (label, role,
        dash) in looks.items()]
    lowest, highest = min(float(f.min()) for f in million.values()), max(float(f.max()) for f in million.values())
    panel = Panel("Million FLOPs for one more token", (lowest / 2, highest * 2), lines, log=True,
                  note=f"scores and sums of {heads}", marks=[
                      Mark(float(np.log2(here)), f"your text, {here}")] if here >= 2 ** log_n[0] else [])  # fmt: skip
    rows = [Row(label, role, [million[name], flops["full"] / flops[name]], dash=dash)
            for name, (label, role, dash) in looks.items()]  # fmt: skip
    return curves.message(
        "cost-by-length", "FLOPs for one more token by the length of the text; arrows move along", x,
        "log₂ of the number of tokens n", "log₂ n", [panel], cursor=cursor, frames=features,
        columns=["million FLOPs", "times cheaper"], rows=rows, epoch=epoch, height=400, gutter=136,
        sentence="2^{x} tokens: {0} million FLOPs a token for all pairs, {1} for Performer",
        values=[million["full"], million["performer"]],
    )  # fmt: skip
