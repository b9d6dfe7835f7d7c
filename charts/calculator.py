"""What a pass costs by part, for the browser component "calculator": five aligned bars, parameters to seconds.

All settings of one model on one machine go out at once, as the library computed them: moving length, batch, precision or
what is done asks nobody. An array has the axes [weight bits, cache bits, batch, length], of length 1 along those that
change nothing; what is 0 throughout is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from charts import component
from charts.curves import Tone

PARTS: dict[str, tuple[str, str, Tone, float]] = {  # of transformer.calculator: name, short name, colour, how full
    "embedding": ("tokens, W_E", "W_E", "muted", 0.5),
    "encoder": ("encoder", "enc", "negative", 0.5),
    "Q": ("queries, W_Q", "Q", "query", 0.62),
    "K": ("keys, W_K", "K", "key", 0.62),
    "V": ("values, W_V", "V", "value", 0.62),
    "scores": ("S = Q Kᵀ", "S", "scores", 0.55),
    "z": ("z = A V", "z", "attention", 0.7),
    "out": ("output, W_O", "O", "residual", 0.7),
    "cross": ("cross-attention", "cross", "positive", 0.55),
    "ffn": ("FFN", "FFN", "ffn", 0.6),
    "norms": ("norms", "norms", "residual", 0.3),
    "logits": ("logits, W_U", "ℓ", "output", 0.75),
    "keys": ("keys kept", "K kept", "key", 0.32),
    "values": ("values kept", "V kept", "value", 0.32),
    "activations": ("activations", "act.", "attention", 0.3),
    "gradients": ("gradients", "grad", "ffn", 0.3),
    "optimiser": ("AdamW", "AdamW", "query", 0.32),
}
BITS = {"float32": 32, "bfloat16": 16, "int8": 8, "4 bits": 4}


@dataclass(frozen=True)
class Done:
    """One thing that is done with the model, at every setting.

    flops [part, 1, 1, batch, length]; moved [weights, cache or passing; part, weight bits, cache bits, batch, length];
    held and seconds [part, …] likewise; by_memory, where memory is the bound. products: for each length the matrix
    products of one text, (part, rows, inner, columns, times). note: one sentence, "" for none.
    """

    name: str
    flops: np.ndarray
    moved: np.ndarray
    held: np.ndarray
    seconds: np.ndarray
    by_memory: np.ndarray
    products: Sequence[Sequence[tuple[str, int, int, int, int]]]
    caches: bool
    note: str = ""
    words: Mapping[str, str] = field(default_factory=dict)  # part -> what its bytes are, where no product says it
    passes: Sequence[int] = ()  # how many products each of ``products`` stands for, as backward adds to it; empty: 1


@dataclass(frozen=True)
class Machine:
    """FLOPs and bytes a second, and the bytes that it has room for, 0 where that is not known."""

    name: str
    flops: float
    bandwidth: float
    memory: float = 0.0


def message(
    title: str, parts: Sequence[str], parameters: np.ndarray, done: Sequence[Done], machine: Machine, lengths: Sequence[int],
    batches: Sequence[int], *, doing: str, n: int, batch: int, weights: str, cache: str, part: str = "",
    context: int | None = None, cached: Sequence[int] = (), unit: str = "text", longest: int = 0, most: int = 0, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component.

    parts: names of the rows of all arrays; parameters [part]; context: the length that the model was made for; cached: sizes whose product a
    token adds to the keys, and to the values; unit: what a
    batch is made of; longest, most: the largest length and batch that may be typed, 0 where there is one length only.
    doing, n, batch, weights, cache (of ``BITS``) and part are taken up when epoch differs from the last one, and are the
    learner's after that. ValueError where they name nothing that is there.
    """
    for value, among in ((doing, [one.name for one in done]), (n, lengths), (batch, batches), (weights, BITS), (cache, BITS),
                         (part, ["", *parts])):  # fmt: skip
        if value not in among:
            raise ValueError(f"{value!r} is not among the settings.")
    arrays: dict[str, np.ndarray] = {}
    for d, one in enumerate(done):
        for name, values in (("flops", one.flops), ("held", one.held), ("seconds", one.seconds), ("bound", one.by_memory),
                             *zip(("weights", "cache", "passing"), one.moved, strict=True)):  # fmt: skip
            for p, row in enumerate(values):
                if row.any():
                    arrays[f"{name}.{d}.{p}"] = trimmed(row).astype(np.uint8 if name == "bound" else np.float32)
        arrays[f"products.{d}"] = np.array([[product[1:5] for product in at] for at in one.products], np.int32)
    header = {
        "title": title, "epoch": epoch, "lengths": list(lengths), "batches": list(batches), "bits": BITS, "unit": unit,
        "context": context, "cached": list(cached), "longest": longest, "most": most,
        "machine": {"name": machine.name, "flops": machine.flops, "bandwidth": machine.bandwidth, "memory": machine.memory},
        "parts": [dict(zip(("key", "label", "short", "role", "full"), (key, *PARTS[key]), strict=True)) for key in parts],
        "parameters": [float(count) for count in parameters],
        "done": [{"name": one.name, "products": [product[0] for product in one.products[0]], "caches": one.caches, "note": one.note,
                  "words": dict(one.words), "passes": list(one.passes) or [1] * len(one.products[0])}
                 for one in done],
        "at": {"doing": doing, "n": n, "batch": batch, "weights": weights, "cache": cache, "part": part},
    }  # fmt: skip
    return component.pack(header, arrays)


def trimmed(array: np.ndarray) -> np.ndarray:
    """One value for each axis along which nothing changes."""
    for axis in range(array.ndim):
        first = array.take([0], axis)
        array = first if (array == first).all() else array
    return array


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=...

    It reports stand: epoch, doing, n, batch, weights, cache, part.
    """
    return component.declare("calculator", "plot.js", "table.css", "calculator/paint.js")(**where)


def table(parts: Mapping[str, Sequence[float]], seconds: Mapping[str, tuple[float, str]]) -> dict[str, list]:
    """Columns of the CSV: a row for each part that costs anything. parts: name -> parameters, FLOPs, bytes moved, bytes held;
    seconds: name -> (seconds, what bounds it)."""
    kept = {name: numbers for name, numbers in parts.items() if any(numbers)}
    columns = zip(*kept.values(), strict=True)
    found = dict(zip(("parameters", "FLOPs", "bytes moved", "bytes held"), map(list, columns), strict=True))
    bound = [seconds.get(name, (0.0, "")) for name in kept]
    return {"part": list(kept)} | found | {"least seconds": [at[0] for at in bound], "bound by": [at[1] for at in bound]}
