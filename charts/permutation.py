"""The same tokens in several orders: outputs and attention maps that move with them or do not, angles between what
whole sentences come to, and where a token stands by its own vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Panel, Picks, Row, Switch
from charts.matrices import Matrix

POSITIONS = "Positions on"
SHOWN = 12  # coordinates of the output that are drawn
MOST_LAYERS = 8  # of many, those drawn: the first ones and the rest evenly


@dataclass(frozen=True)
class Orders:
    """One model, with its positions on or off: every array has an order as its first axis.

    Y [order, token, model] the outputs as that order has them; moved [order, token, layer + 1]: ‖Δ‖ / the longer ‖x‖,
    put back; A [order, query, key]; home [order, query, key]: A with its rows and columns put back.
    """

    Y: np.ndarray
    moved: np.ndarray
    A: np.ndarray
    home: np.ndarray
    largest: np.ndarray  # [order]: max |Δ| of the outputs


def orders_message(
    readings: Mapping[bool, Orders], tokens: Sequence[str], orders: Mapping[str, Sequence[int]], chosen: Picks,
    on: bool, *, head: str, causal: bool, at: tuple[str, int, int] | None = None, epoch: int = 0,
) -> bytes:  # fmt: skip
    """readings: positions on (True) and off; orders: name -> at place i stands token order[i], the first as written."""
    n = len(tokens)
    of_any = next(iter(readings.values()))
    dims, layers = [str(j) for j in range(min(SHOWN, of_any.Y.shape[-1]))], drawn_layers(of_any.moved.shape[-1])
    barred = np.triu(np.ones((n, n), dtype=bool), 1) if causal else None
    top = max(float(np.abs(of.Y[..., : len(dims)]).max()) for of in readings.values())
    above: list[Matrix] = []
    below: list[Matrix] = []
    for positions, of in readings.items():
        mark, where = (" on" if positions else ""), {"switched": positions}
        outputs = {"role": "residual", "cols": dims, "row_axis": "token", "col_axis": "coordinate", "signed": True,
                   "top": top}  # fmt: skip
        share = 2.4 if len(layers) < 5 else 1.4
        compared = "Put back: ‖Δ‖ / ‖x‖" + (", at most 2" if of.moved.max() > 1 else "")
        maps = {"role": "attention", "top": 1.0}
        above.append(Matrix(f"Y{mark}", "Outputs, in your order", of.Y[0, :, : len(dims)], rows=tokens, symbol="Y",
                            says="coordinate {col} of the output at {row}", **outputs, **where))
        below.append(Matrix(f"A{mark}", f"Weights of {head}", of.A[0], rows=tokens, cols=tokens, symbol="A",
                            barred=barred, says="{row} reads {col} with {value}", **maps, **where))
        for i, (name, order) in enumerate(orders.items()):
            now, how = [tokens[j] for j in order], where | {"pick": name}
            above += [
                Matrix(f"Y {name}{mark}", f"Outputs, {name}", of.Y[i, :, : len(dims)], rows=now, symbol="Y'",
                       says="coordinate {col} of the output at {row}, where it stands now", **outputs, **how),
                Matrix(f"Δ {name}{mark}", compared, of.moved[i][:, layers], "output", tokens,
                       ["in", *(str(j - 1) for j in layers[1:])], "token", "after layer", top=1.0,
                       symbol="Δ", share=share,
                       says="after layer {col}, the vector of {row} differs from the one in your order by {value} of "
                            "the longer one's length",
                       note=f"largest |Δ| of the outputs: {_small(of.largest[i])}", **how),
            ]  # fmt: skip
            below += [
                Matrix(f"A {name}{mark}", f"Weights, {name}", of.A[i], rows=now, cols=now, symbol="A'", barred=barred,
                       says="{row} reads {col} with {value}", **maps, **how),
                Matrix(f"ΔA {name}{mark}", "Rows, columns put back, minus yours", of.home[i] - of.A[0], rows=tokens,
                       cols=tokens, signed=True, symbol="A' − A", says="how {row} reads {col} differs by {value}",
                       note=f"largest: {_small(float(np.abs(of.home[i] - of.A[0]).max()))}", **maps, **how),
            ]  # fmt: skip
    return matrices.message(
        "permutation", "Outputs and attention weights of the same tokens in two orders; arrow keys move the cell",
        [above, below], picks=chosen, switch=Switch(POSITIONS, on), at=at, height=520, epoch=epoch,
    )  # fmt: skip


def drawn_layers(count: int) -> list[int]:
    """Which of what enters and every layer's vectors are drawn: what enters, the first two, the rest evenly."""
    if count <= MOST_LAYERS:
        return list(range(count))
    return [0, 1, 2, *np.linspace(3, count - 1, MOST_LAYERS - 3).round().astype(int).tolist()]


def angles_message(
    on: np.ndarray, off: np.ndarray, sentences: Sequence[Sequence[str]], *, at: tuple[str, int, int] | None = None,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """Degrees between the pooled vectors of every two orders, positions on and off.   on, off [order, order];
    sentences: the words of each order."""
    short = _short(sentences[0])
    names = [" ".join(short[word] for word in words) for words in sentences]
    whole = [" ".join(words) for words in sentences]
    top = max(float(on.max()), 1e-6)
    grid = [
        Matrix(key, title, of, "output", names, names, "order", "order", top=top, symbol="angle", note=note,
               says=np.array([
            [f"“{one}” and “{other}” come to vectors {_small(of[i, j])}° apart" for j, other in enumerate(whole)]
            for i, one in enumerate(whole)
        ]))
        for key, title, of, note in (
            ("on", "Positions on: degrees between sentence vectors", on, f"up to {on.max():.1f}°"),
            ("off", "Positions off", off, f"all the same vector: at most {_small(off.max())}°, rounding"),
        )
    ]  # fmt: skip
    return matrices.message(
        "orders", "Angles between the vectors of one bag of words in all its orders, with positions and without; arrow "
                  "keys move from cell to cell", [grid], at=at, height=440, epoch=epoch,
    )  # fmt: skip


def _short(words: Sequence[str], room: int = 12) -> dict[str, str]:
    """Each word as a label has room for it beside the others: the longest lose letters first, and say so by a dot."""
    letters = [len(word) for word in words]
    while sum(letters) + len(words) - 1 > room:
        letters[letters.index(max(letters))] -= 1
    return {word: word if n == len(word) else word[: n - 1] + "." if n > 2 else word[:n]
            for word, n in zip(words, letters, strict=True)}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """One model's places as read off its vectors: [layer + 1, place] median and band; R² [layer + 1], a line's too."""

    title: str
    role: str
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    explained: np.ndarray
    by_a_line: np.ndarray


def places_message(models: Sequence[Told], layers: Choice, *, cursor: int, epoch: int = 0) -> bytes:
    """Told against true place; layers: the frames, the first being the embeddings."""
    n = models[0].middle.shape[-1]
    x = np.arange(n, dtype=float)
    panels = [
        Panel(f"{of.title}: the place that its vectors tell", (-0.05 * n, 1.25 * n),
              [Line(x, "muted", "", width=1.5, dash=(3, 4)), Band(of.low, np.minimum(of.high, 1.25 * n), of.role),
               Line(of.middle, of.role, "median", width=3, dot=True)],
              note=[f"R²: {_share(r)}; by a straight line {_share(line)}"
                    for r, line in zip(of.explained, of.by_a_line, strict=True)], short=f"{of.title}: place told")
        for of in models
    ]  # fmt: skip
    rows = [Row(of.title, of.role, [of.low, of.middle, of.high]) for of in models]
    return curves.message(
        "places", "Where each token's vector says that it stands, against where it stands; arrow keys move the place",
        x, "true place in the window", "place", panels, cursor=cursor, frames=layers, epoch=epoch,
        columns=("told: 1 in 20 below", "median", "1 in 20 above"), rows=rows, height=165 * len(panels), gutter=70,
        sentence="place {x}: " + "; ".join(f"{of.title.lower()} says {{{i}}}" for i, of in enumerate(models)),
        values=[of.middle for of in models],
    )  # fmt: skip


def _share(r: float) -> str:
    return f"{max(float(r), 0.0):.0%}"


def _small(value: float) -> str:
    return f"{value:.2g}".replace("e-0", "e-").replace("-", "−")
