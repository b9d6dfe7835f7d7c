"""One storage used more than once: which step reads which storage, the two gradients of a tied table, what the table
says without any layer, and the stream that walks from one row of it to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from charts import curves, matrices
from charts.curves import Choice, Line, Panel, Picks, Row
from charts.matrices import Matrix


class Use(NamedTuple):
    """A weight as one step of the forward pass reads it."""

    use: str
    weight: str
    address: int
    shape: tuple[int, ...]


def storages_message(
    models: Mapping[str, Sequence[Use]], changed: Mapping[str, tuple[float, float]], chosen: Picks, *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Rows: the steps of a forward pass; columns: weights; a cell: the number of the storage that is read there. Equal
    numbers are one storage.

    models: name -> its uses in order; changed: name -> the last matrix's first number before and after the table's
    first number grew by one.
    """
    found = []
    for i, (name, uses) in enumerate(models.items()):
        rows = list(dict.fromkeys(use.use for use in uses))
        cols = list(dict.fromkeys(use.weight for use in uses))
        numbers: dict[int, int] = {}
        first: dict[int, Use] = {}
        values = np.full((len(rows), len(cols)), np.nan, np.float32)
        said = np.full(values.shape, "", dtype=object)
        for use in uses:
            number = numbers.setdefault(use.address, len(numbers) + 1)
            begun = first.setdefault(use.address, use)
            at = rows.index(use.use), cols.index(use.weight)
            values[at] = number
            size = " × ".join(f"{n:,}" for n in use.shape)
            again = "" if begun is use else f", the same numbers as {begun.weight} of {begun.use}"
            said[at] = f"{use.use} reads {use.weight} [{size}] at address {use.address:#x}: storage {number}{again}"
        before, after = changed[name]
        found.append(Matrix(
            f"storages{i}", f"{len(numbers)} storages for {len(uses)} uses", values, "key", rows, cols, "step",
            "weight",
            top=len(numbers) * 1.6, says=said, pick=name,
            note=f"Add 1 to the first number of W_E, and the first of the last matrix goes from {before:.4f} to "
                 f"{after:.4f}.",
        ))  # fmt: skip
    return matrices.message(
        "storages", "Which storage each step reads; equal numbers are the same memory; arrow keys choose a cell",
        [found], picks=chosen, epoch=epoch, height=440,
    )  # fmt: skip


def gradients_message(
    parts: Mapping[str, np.ndarray], rows: Sequence[str], occurs: int, vocabulary: int, *, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The gradient of a tied table, a row a token: from the look-up, from the last product, and their sum.

    parts: "in", "out", "whole" -> [row, dimension], the shown rows; occurs: how many rows the look-up touches, of so
    many in the vocabulary.
    """
    top = float(np.quantile(np.abs(parts["whole"]), 0.995)) or 1.0
    dims = [str(i) for i in range(parts["whole"].shape[1])]
    titles = {"in": ("As input: Σ ∂L/∂e, where a token is looked up", f"{occurs} of {vocabulary:,} rows: those that "
        f"occur"),
              "out": ("As output: Σ (p − y) hᵀ", f"all {vocabulary:,} rows: each token competes"),
              "whole": ("In the one table: their sum", "what autograd leaves in .grad")}  # fmt: skip
    says = {"in": "{row}, number {col}: {value} from being read in", "out": "{row}, number {col}: {value} from being "
        "predicted or not",
            "whole": "sum:in+out"}  # fmt: skip
    roles = {"in": "residual", "out": "output", "whole": "attention"}
    return matrices.message(
        "tied-gradients", "The gradient of a tied table, by use; arrow keys choose a cell",
        [[Matrix(key, title, parts[key], roles[key], rows, dims, "row of E", "dimension", signed=True, top=top,
                 says=says[key], note=note) for key, (title, note) in titles.items()]], epoch=epoch, height=560,
    )  # fmt: skip


def alone_message(
    dots: np.ndarray, rank: np.ndarray, pieces: Sequence[str], near: Sequence[str], *, epoch: int = 0
) -> bytes:
    """E Eᵀ for the text's own tokens: what a tied model's logits would be if it had no layer.

    dots [token, token]; rank [token]: how many rows of the whole table beat its own; near: its nearest rows, in words.
    """
    said = np.array([
        [f"E[{a}] · E[{b}] = {dots[i, j]:.2f}, as E[{b}] · E[{a}]" if i != j else
         f"‖E[{a}]‖² = {dots[i, i]:.2f}; {rank[i]} rows of the table score higher; nearest rows: {near[i]}"
         for j, b in enumerate(pieces)] for i, a in enumerate(pieces)
    ], dtype=object)  # fmt: skip
    first = int((rank == 0).sum())
    return matrices.message(
        "table-alone", "Dot products of the table's own rows; arrow keys choose a cell",
        [[Matrix("dots", "No layers at all: logits = E Eᵀ", dots, "attention", pieces, pieces, "token read",
                 "token predicted",
                 signed=True, says=said, note=f"symmetric; {first} of {len(pieces)} tokens predict themselves above "
                     f"all others")]],
        epoch=epoch, height=470,
    )  # fmt: skip


def walk_message(
    depth: Sequence[int], own: np.ndarray, answer: np.ndarray, answers: Sequence[str], tokens: Choice, cursor: float, *,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """What the head reads off the stream after so many layers. own, answer [depth, token]; tokens: frames."""
    x = np.asarray(depth, dtype=np.float64)
    mine, theirs = np.ascontiguousarray(own.T), np.ascontiguousarray(answer.T)  # [token, depth]
    titles = [f"Read out by the table: “{name.split(' ', 1)[-1]}” itself, or what the model answers, “{said}”"
              for name, said in zip(tokens.values, answers, strict=True)]  # fmt: skip
    return curves.message(
        "stream-walk", "Probability of the token itself and of the model's answer, by depth; left and right arrows "
                       "choose the depth",
        x, "layers done", "layer", [
            Panel(titles, (0, 1.03), [Line(mine, "residual", "itself", width=3, points=True, dot=True),
                                      Line(theirs, "attention", "the answer", width=3, points=True, dot=True)],
                  short="By the same table", percent=True)],
        cursor=cursor, epoch=epoch, frames=tokens, columns=["probability%"],
        rows=[Row("the token itself", "residual", [mine]), Row("the model's answer", "attention", [theirs])],
        sentence="after {x} layers: itself {0%}, the answer {1%}", values=[mine, theirs], height=330, gutter=92,
    )  # fmt: skip
