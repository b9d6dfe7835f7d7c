"""Attention in the order of computation, for the component "matrices": a small head in numbers, a real one as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import matrices
from charts.curves import Choice, Picks, Switch
from charts.matrices import Matrix, Product, Step

SEPARATE = 8  # up to so many tokens the masked scores stand beside the scores; of more, the scores are hatched


@dataclass(frozen=True)
class Way:
    """One way to score: as trained, or with something changed. Arrays have a frame for each head first."""

    name: str
    S: np.ndarray  # [frame, query, key]
    A: np.ndarray
    z: np.ndarray  # [frame, query, d_v]
    factor: float
    factor_text: str  # as it is written behind q·k
    formula: str  # of S, in the title
    barred: np.ndarray | None  # [query, key]: may not attend
    Z: np.ndarray | None = None  # [frame, query, heads · d_v]: all heads of the layer side by side
    out: np.ndarray | None = None  # [frame, query, model]


@dataclass(frozen=True)
class Stand:
    """Where the picture stands: what the browser holds, and the link keeps."""

    frame: object
    pick: str
    step: int
    switch: bool
    at: tuple[str, int, int] | None


def small_message(
    words: Sequence[str], heads: Choice, parts: Mapping[str, np.ndarray], ways: Sequence[Way], steps: Sequence[Step],
    stand: Stand, *, d_k: int, h: int, epoch: int,
) -> bytes:  # fmt: skip
    """A head whose numbers can all be read.

    parts: X [frame, token, model], W_Q, W_K, W_V [frame, model, d_k], Q, K, V [frame, token, d_k], W_O
    [frame, heads · d_v, model]; steps name the matrices by their plain keys.
    """
    model, dims = numbered(parts["X"].shape[-1]), numbered(d_k)
    side = [f"{head}:{i}" for head in range(h) for i in range(d_k)]

    def made(letter: str, axis: str, role: str) -> Matrix:
        return Matrix(letter, f"{letter} = X W_{letter}", parts[letter], role, words, dims, axis, "dimension",
                      signed=True, says=Product("X", f"W_{letter}", False, symbol="x·w"))  # fmt: skip

    def weight(letter: str, role: str) -> Matrix:
        return Matrix(f"W_{letter}", f"W_{letter} of this head", parts[f"W_{letter}"], role, model, dims, "model",
                      "dimension", signed=True, switched=True)  # fmt: skip

    X = Matrix("X", "X, what the layer reads", parts["X"], "residual", words, model, "token", "model", signed=True)
    W_O = Matrix("W_O", "W_O, square", parts["W_O"], "output", side, model, "head : dimension", "model", signed=True)
    grid = [
        [X, made("Q", "query", "query"), made("K", "key", "key"), made("V", "key", "value")],
        [weight("Q", "query"), weight("K", "key"), weight("V", "value")],
        [matrix for way in ways for matrix in _scored(way, words, dims, way is ways[0])],
        [Matrix(key(way, ways, "Z"), "Z = all heads side by side", way.Z, "value", words, side, "query",
                "head : dimension", signed=True, pick=way.name, symbol="Z") for way in ways]
        + [W_O]
        + [Matrix(key(way, ways, "out"), "Z W_O, added to the stream", way.out, "residual", words, model, "query",
                  "model", signed=True, pick=way.name, symbol="out",
                  says=Product(key(way, ways, "Z"), "W_O", False, symbol="z·w")) for way in ways],
    ]  # fmt: skip
    return _message("attention-steps", words, grid, heads, ways, steps, stand, epoch,
                    Switch("Show W_Q, W_K, W_V", stand.switch, taller=240), height=610)  # fmt: skip


def real_message(
    words: Sequence[str], heads: Choice, parts: Mapping[str, np.ndarray], ways: Sequence[Way], steps: Sequence[Step],
    stand: Stand, *, projected: str, epoch: int,
) -> bytes:  # fmt: skip
    """A head of a real model: Q, K, V [frame, token, d_k] as pixels, scores in numbers while they can be read.

    parts may have X [token, model] and out [token, model], which all heads share; projected: what stands behind a
    number of Q, K or V, with {row} and {col}.
    """
    dims = numbered(parts["Q"].shape[-1])

    def made(letter: str, axis: str, role: str) -> Matrix:
        return Matrix(letter, f"{letter} = X W_{letter}", parts[letter], role, words, dims, axis, "dimension",
                      signed=True, says=projected.replace("{W}", f"W_{letter}"))  # fmt: skip

    def wide(name: str, title: str) -> list[list[Matrix]]:
        values = parts.get(name)
        return [] if values is None else [[Matrix(
            name, title, values, "residual", words, numbered(values.shape[-1]), "token", "model", signed=True,
        )]]  # fmt: skip

    scored = [matrix for way in ways for matrix in _scored(way, words, dims, way is ways[0])]
    out = wide("out", "all heads through W_O, added to the stream, as trained")
    grid = [
        *wide("X", "X, what the layer reads"),
        [made("Q", "query", "query"), made("K", "key", "key"), made("V", "key", "value")],
        [matrix for matrix in scored if matrix.symbol != "z"],
        [matrix for matrix in scored if matrix.symbol == "z"] + [matrix for row in out for matrix in row],
    ]
    return _message("attention-steps-real", words, grid, heads, ways, steps, stand, epoch, None, height=600)


def key(way: Way, ways: Sequence[Way], name: str) -> str:
    """The first way's matrices have plain keys; the others' say whose they are."""
    return name if way is ways[0] else f"{name}, {way.name}"


def numbered(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def _scored(way: Way, words: Sequence[str], dims: Sequence[str], first: bool) -> list[Matrix]:
    """S, the masked S where there is room for it, A and z."""
    of = lambda name: name if first else f"{name}, {way.name}"  # noqa: E731
    product = Product("Q", "K", scale=way.factor, scale_text=way.factor_text)
    separate = way.barred is not None and len(words) <= SEPARATE
    masked = np.broadcast_to(way.barred, way.S.shape) if way.barred is not None else None
    shared = {"pick": way.name, "rows": words}
    S = Matrix(of("S"), f"S = {way.formula}", way.S, "scores", cols=words, signed=True, symbol="S", says=product,
               barred=None if separate else masked, **shared)  # fmt: skip
    M = Matrix(of("M"), "S, masked", way.S, "scores", cols=words, signed=True, symbol="S", says=product,
               barred=masked, **shared)  # fmt: skip
    A = Matrix(of("A"), "A = softmax of each row", way.A, "attention", cols=words, top=1, symbol="A",
               says=f"softmax:{M.key if separate else S.key}", barred=masked, **shared)  # fmt: skip
    z = Matrix(of("z"), "z = A V", way.z, "value", cols=dims, col_axis="dimension", signed=True, symbol="z",
               says=Product(A.key, "V", False, symbol="Σ a·v"), **shared)  # fmt: skip
    return [S, M, A, z] if separate else [S, A, z]


def _message(
    name: str, words: Sequence[str], grid: list[list[Matrix]], heads: Choice, ways: Sequence[Way],
    steps: Sequence[Step], stand: Stand, epoch: int, switch: Switch | None, height: int,
) -> bytes:  # fmt: skip
    here = {matrix.key: matrix.values.shape[-2:] for row in grid for matrix in row}

    def shows(step: Step) -> tuple[str, ...]:
        wanted = (name if way is ways[0] else f"{name}, {way.name}" for name in step.shows for way in ways)
        return tuple(key for key in wanted if key in here)

    found = [Step(step.title, step.sentence, shows(step)) for step in steps if shows(step)]
    at = stand.at
    if at is not None and not (at[0] in here and at[1] < here[at[0]][0] and at[2] < here[at[0]][1]):
        at = None  # of another text, or of a model that has no such matrix
    return matrices.message(
        name, "Attention in the order of computation. Space plays it, full stop and comma step, the arrow keys move the "
              "cell, Page Down goes to the next matrix.",
        grid, frames=heads, picks=Picks("Scores", [way.name for way in ways], stand.pick), steps=found,
        step=min(stand.step, len(found) - 1), at=at, switch=switch, height=height, epoch=epoch,
    )  # fmt: skip
