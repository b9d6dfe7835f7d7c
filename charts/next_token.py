"""What the next-token component draws: one step's logits, the text around it, the die."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from charts import component

NAMED = 200  # entries whose piece is sent along; the others are known by their rank
PARTS = ("plot.js", "sampling.js", "filters.js", "sampling.css", "next_token/paint.js", "next_token/controls.js")


@dataclass(frozen=True)
class Token:
    """One token that was written: its share of the model's own distribution (T = 1, nothing cut), how open that was."""

    id: int
    piece: str
    p: float
    rank: int      # from 0
    bits: float    # entropy of the distribution it stood in
    forced: bool = False


@dataclass(frozen=True)
class Tape:
    """The text of the page: what was given, what was written, and which step is looked at."""

    prompt: Sequence[str]
    written: Sequence[Token]
    at: int  # 0 … len(written); the last is the token to come
    greedy: Sequence[Token] | None = None


@dataclass(frozen=True)
class Limits:
    """What the learner may do now, and why not more."""

    can_write: bool = True
    why_not: str = ""
    ended: str = ""


def mount(**options) -> object:
    """The component on the page: `data=message(...)`, `key`, `on_act_change`."""
    return component.declare("next_token", *PARTS)(**options)


def by_rank(logits: np.ndarray) -> np.ndarray:
    """Ids in descending order of their logits, equal ones by id.   [vocab] -> [vocab]"""
    return np.argsort(-logits, kind="stable")


def message(logits: np.ndarray, order: np.ndarray, names: Sequence[str], tape: Tape, limits: Limits, *, u: float,
            seed: int, settings: Mapping[str, float | int | None], epoch: int) -> bytes:
    """All that the component needs of one step.

    logits [vocab] go along whole, sorted, so that the browser's probabilities are exact for every setting; order is
    `by_rank(logits)`; names are the pieces of its first entries. u is this step's die. The settings are taken up when
    epoch differs from the last one, and belong to the browser after that, so that moving a slider sends nothing here.
    """
    header = {
        "names": list(names), "ids": order[: len(names)].tolist(), "prompt": list(tape.prompt),
        "written": [asdict(token) for token in tape.written], "at": tape.at,
        "greedy": None if tape.greedy is None else [asdict(token) for token in tape.greedy],
        "u": u, "seed": seed, "settings": dict(settings), "epoch": epoch, **asdict(limits),
    }  # fmt: skip
    return component.pack(header, {"ranked": logits[order].astype(np.float32)})
