"""What the browser component "saturation" draws: rows of attention weights as the scores behind them grow.

Left, curves over all sizes of the scores (the width d_k, or a factor on them) with one cursor; right, one row at the
cursor, its scores and its weights key by key. The sizes are frames that the server computed; a slider, the curves and the
arrow keys choose among them, a second slider chooses the row, a switch the variant (divided by √d_k or not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charts import component
from charts.curves import Choice, Switch, Tone


@dataclass(frozen=True)
class Curve:
    """`values` [size] at each size; `variant`: the switch's position that it belongs to, None for both."""

    values: np.ndarray
    role: Tone
    label: str = ""
    variant: int | None = None
    dash: tuple[int, int] | None = None
    quiet: bool = False  # one of many: thin, in muted ink


@dataclass(frozen=True)
class Range:
    """The space between two curves."""

    lo: np.ndarray
    hi: np.ndarray
    role: Tone
    variant: int | None = None


@dataclass(frozen=True)
class Plot:
    """One pair of axes over the sizes."""

    title: str
    y: tuple[float, float]
    series: Sequence[Curve | Range]
    log: bool = False
    short: str = ""


@dataclass(frozen=True)
class Bars:
    """Rows at every size: raw [1 or size, row, key] q·k before any factor, scores and weights [variant, size, row, key].

    keys [row, key]: which of `names` stand there; total [variant, size, row]: Σ exp(scores) over every key of the row.
    """

    names: Sequence[str]
    keys: np.ndarray
    raw: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    total: np.ndarray
    said: Sequence[Sequence[str]]  # [variant][size]: how the score comes from q·k: "/ √64"


@dataclass(frozen=True)
class Fact:
    """A line of the table: `values` [variant, size]."""

    name: str
    values: np.ndarray
    percent: bool = False


def message(
    name: str, label: str, sizes: Choice, at: np.ndarray, symbol: str, axis: str, plots: Sequence[Plot], rows: Choice,
    bars: Bars, facts: Sequence[Fact], *, columns: Sequence[str], marks: Sequence[tuple[float, str]] = (),
    switch: Switch | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    sizes: the frames, as written; at [size]: where each stands on the x axis (a logarithm); symbol, axis: how the size is
    called; rows: whose bars can be shown; columns: how each variant is called; marks: (x, words). Size, row and switch
    are taken up when epoch differs from the last one. ValueError where the shapes do not fit.
    """
    variants, count = len(columns), len(sizes.values)
    shape = (variants, count, len(rows.values), bars.keys.shape[1])
    for what, array, wanted in (("scores", bars.scores, shape), ("weights", bars.weights, shape),
                                ("total", bars.total, shape[:3]), ("keys", bars.keys, shape[2:])):  # fmt: skip
        if array.shape != wanted:
            raise ValueError(f"The {what} have shape {list(array.shape)}; {list(wanted)} are asked for.")
    arrays = {"at": at.astype(np.float32), "keys": bars.keys.astype(np.int16), "raw": bars.raw.astype(np.float32),
              "scores": bars.scores.astype(np.float32), "weights": bars.weights.astype(np.float32),
              "total": np.minimum(bars.total, 3e38).astype(np.float32)}  # fmt: skip

    def keep(values: np.ndarray, wanted: tuple[int, ...] = (count,)) -> str:
        if values.shape != wanted:
            raise ValueError(f"A curve has {list(values.shape)} values for {list(wanted)}.")
        key = f"a{len(arrays)}"
        arrays[key] = values.astype(np.float32)
        return key

    def drawn(series: Curve | Range) -> dict[str, object]:
        match series:
            case Curve():
                return {"kind": "line", "y": keep(series.values), "role": series.role, "label": series.label,
                        "variant": series.variant, "dash": series.dash, "quiet": series.quiet}
            case Range():
                return {"kind": "band", "lo": keep(series.lo), "hi": keep(series.hi), "role": series.role,
                        "variant": series.variant}

    header = {
        "name": name, "label": label, "sizes": sizes.header(), "symbol": symbol, "axis": axis, "rows": rows.header(),
        "columns": list(columns), "marks": [{"x": x, "text": text} for x, text in marks], "epoch": epoch,
        "switch": {"label": switch.label, "on": switch.on} if switch else None,
        "plots": [{"title": plot.title, "short": plot.short or plot.title, "lo": plot.y[0], "hi": plot.y[1],
                   "log": plot.log, "series": [drawn(series) for series in plot.series]} for plot in plots],
        "names": list(bars.names), "said": [list(of) for of in bars.said],
        "facts": [{"name": fact.name, "values": keep(fact.values, (variants, count)), "percent": fact.percent}
                  for fact in facts],
    }  # fmt: skip
    return component.pack(header, arrays)


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("saturation", "plot.js", "table.css")(**where)


WITHOUT, WITH = "not divided", "÷ √d_k"
MOST_KEYS = 40  # of a row's keys, that many are drawn: those with the largest scores, in the order of the text


def drawn_message(
    widths: Choice, raw: np.ndarray, scores: np.ndarray, weights: np.ndarray, total: np.ndarray, *,
    variance: np.ndarray, error: np.ndarray, entropy: np.ndarray, largest: np.ndarray, low: np.ndarray,
    median: np.ndarray, high: np.ndarray, stuck: np.ndarray, slope_median: np.ndarray, slope_mean: np.ndarray,
    row: int, scaled: bool, epoch: int,
) -> bytes:  # fmt: skip
    """Drawn queries and keys: widths are the sizes, the variants are WITHOUT and WITH the division by √d_k.

    raw [width, row, key]; scores, weights [2, width, row, key]; total [2, width, row]; variance, error [width] of q·k;
    the rest [2, width], entropies in bits.
    """
    d, keys = np.array(widths.values, dtype=float), raw.shape[-1]
    at, n = np.log2(d), raw.shape[1]
    tones: tuple[Tone, Tone] = ("positive", "attention")

    def pair(values: np.ndarray, labels: bool = False) -> list[Curve]:
        return [Curve(values[v], tones[v], label=(WITHOUT, WITH)[v] if labels else "", variant=v) for v in (0, 1)]

    plots = [
        Plot("Variance of the scores, measured; dashed: the law Var(q·k) = d_k", (0.5, 2 * d[-1]), [
            Range(variance - 2 * error, variance + 2 * error, tones[0], variant=0),
            Curve(d, "ink", dash=(5, 4)), *pair(np.stack((variance, variance / d)), True)],
            log=True, short="Variance of the scores"),
        Plot(f"Entropy of the weights, bits (at most log₂ {keys} = {np.log2(keys):.3g})", (0, np.log2(keys) * 1.02),
             pair(entropy), short="Entropy of the weights, bits"),
        Plot("Slope of the softmax ‖∂a/∂s‖: median row; band: 8 of 10 rows", (0, 0.5),
             [*(Range(low[v], high[v], tones[v], variant=v) for v in (0, 1)), *pair(median)],
             short="Slope ‖∂a/∂s‖, median and 8 of 10"),
    ]  # fmt: skip
    facts = [
        Fact("variance of the scores", np.stack((variance, variance / d))), Fact("entropy of the weights, bits", entropy),
        Fact("largest weight of a row, mean", largest, percent=True), Fact("slope ‖∂a/∂s‖, median row", median),
        Fact("rows that hardly move: slope below 0.01", stuck, percent=True),
        Fact("what reaches the query, ‖∂a/∂q‖: median row", slope_median),
        Fact("what reaches the query: mean of the rows", slope_mean),
    ]  # fmt: skip
    bars = Bars([f"key {j + 1}" for j in range(keys)], np.tile(np.arange(keys), (n, 1)), raw, scores, weights, total,
                [[""] * len(d), [f"/ √{width}" for width in widths.values]])
    return message(
        "scale", "Drawn queries and keys: variance, entropy and slope against the width of a head; arrows change width and row",
        widths, at, "d_k", "d_k, the width of a head", plots, Choice("Query", list(range(1, n + 1)), row), bars, facts,
        columns=(WITHOUT, WITH), switch=Switch("÷ √d_k", scaled), epoch=epoch,
    )  # fmt: skip


def head_message(
    factors: Choice, values: np.ndarray, names: Sequence[str], queries: Choice, raw: np.ndarray, scores: np.ndarray,
    weights: np.ndarray, total: np.ndarray, *, entropy: np.ndarray, others: np.ndarray, largest: np.ndarray,
    low: np.ndarray, median: np.ndarray, high: np.ndarray, stuck: np.ndarray, spread: float, d_head: int, head: str,
    epoch: int,
) -> bytes:  # fmt: skip
    """A real head's scores times a factor.

    values [factor], as numbers; raw [row, key] q·k (−∞ where a query may not look), scores, weights [factor, row, key];
    total [factor, row]; entropy (bits), largest, low, median, high, stuck [factor]; others [head, factor]: the entropy
    of the layer's other heads; spread of the trained scores within a row.
    """
    seen = np.isfinite(raw)
    most = min(MOST_KEYS, int(seen.sum(1).max()))
    keys = np.full((len(raw), most), -1)
    for i, row in enumerate(raw):
        best = np.sort(np.argsort(-row, kind="stable")[: min(most, int(seen[i].sum()))])
        keys[i, : len(best)] = best

    def taken(of: np.ndarray) -> np.ndarray:
        index = np.broadcast_to(np.maximum(keys, 0), (*of.shape[:-1], most))
        return np.where(keys < 0, 0.0, np.take_along_axis(of, index, -1))

    top = max(float(entropy.max()), float(others.max()) if others.size else 0.0, 0.1)
    plots = [
        Plot("Entropy of the weights, bits; thin: the layer's other heads", (0, top * 1.04),
             [*(Curve(of, "muted", quiet=True) for of in others), Curve(entropy, "attention", label="this head")],
             short="Entropy, bits; thin: other heads"),
        Plot("Largest weight of a row, mean", (0, 1), [Curve(largest, "attention")]),
        Plot("Slope of the softmax ‖∂a/∂s‖: median row; band: 8 of 10 rows", (0, 0.55),
             [Range(low, high, "attention"), Curve(median, "attention")], short="Slope ‖∂a/∂s‖, median and 8 of 10"),
    ]  # fmt: skip
    facts = [
        Fact("spread of the scores within a row", (spread * values)[None]),
        Fact("entropy of the weights, bits", entropy[None]), Fact("largest weight of a row, mean", largest[None], True),
        Fact("slope ‖∂a/∂s‖, median row", median[None]), Fact("rows that hardly move: slope below 0.01", stuck[None], True),
    ]  # fmt: skip
    said = [[f"/ √{d_head}" + ("" if value == 1 else f" × {shown}")
             for value, shown in zip(values, factors.values, strict=True)]]
    bars = Bars(names, keys, taken(np.where(seen, raw, 0.0))[None], taken(scores)[None], taken(weights)[None],
                total[None], said)
    return message(
        "scale-head", f"{head}: its scores times a factor; arrows change the factor and the query", factors,
        np.log2(values), "factor", "factor on the trained scores q·k / √d_k", plots, queries, bars, facts,
        columns=(head,), marks=[(0.0, "as trained"), (float(np.log2(d_head) / 2), "not divided")], epoch=epoch,
    )  # fmt: skip
