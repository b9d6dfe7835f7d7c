"""What a step of generation computes with the KV cache and without it; what it costs by length; what the cache weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from charts import component, curves
from charts.curves import Choice, Line, Panel, Picks, Row

DASH = (6, 4)


def message(
    tokens: Sequence[str], prompt: int, following: Sequence[str | None], Q: np.ndarray, K: np.ndarray, V: np.ndarray,
    A: np.ndarray, without: np.ndarray, kept: np.ndarray, apart: np.ndarray | None, *, scale: float, scale_text: str,
    where: str, step: int, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "kv_cache".

    tokens: the whole text, of which the first `prompt` were given; following: the token found after each step, None
    where nobody knows; Q, K, V [token, d_head] and A [query, key] of one head; without, kept [step]: FLOPs; apart
    [step]: how far the logits of both ways differ, as a share of the largest; where: which head this is. Step 0 reads
    the prompt, step s the token prompt + s − 1. The step is taken up when epoch differs from the last one. ValueError
    where the shapes do not fit.
    """
    n, steps = len(tokens), len(tokens) - prompt + 1
    for name, array, shape in (("Q", Q, (n, Q.shape[-1])), ("K", K, Q.shape), ("V", V, Q.shape), ("A", A, (n, n)),
                               ("without", without, (steps,)), ("kept", kept, (steps,))):  # fmt: skip
        if array.shape != shape:
            raise ValueError(f"{name} has shape {list(array.shape)} for {n} tokens and {steps} steps.")
    names = ["prefill", *(f"{s}" for s in range(1, steps))]
    header = {
        "label": "What is computed at each step of generation, without a cache and with it.", "tokens": list(tokens),
        "prompt": prompt, "next": list(following), "steps": Choice("Step", names, names[step]).header(),
        "top": {part: float(np.abs(array).max()) for part, array in (("Q", Q), ("K", K), ("V", V))},
        "d_head": Q.shape[-1], "scale": scale, "scale_text": scale_text, "where": where, "apart": apart is not None,
        "key": int(A[-1, 1:].argmax()) + 1 if n > 1 else 0, "epoch": epoch,
    }  # fmt: skip
    arrays = {"Q": Q, "K": K, "V": V, "A": A, "without": without, "kept": kept}
    if apart is not None:
        arrays["apart"] = apart
    return component.pack(header, {name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()})


def mount(**where: object) -> object:
    """Put the component on the page: data=message(...), key=..., on_stand_change=..."""
    return component.declare("kv_cache", "plot.js")(**where)


@dataclass(frozen=True)
class Step:
    """A number of a step by length, both ways: each [length]."""

    without: np.ndarray
    kept: np.ndarray


def cost_message(
    lengths: np.ndarray, flops: Step, seconds: Step, cached: np.ndarray, *, model: str, measured: str, cursor: float,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """FLOPs and measured time until the next token, by the length of the text, and the bytes that the cache holds then.

    cached [length]: bytes; model: whose; measured: where and when the seconds were measured.
    """

    def panel(step: Step, unit: float, title: str, note: str, short: str) -> Panel:
        low, high = step.kept.min() * unit, step.without.max() * unit
        return Panel(
            title, (low / 1.6, high * 1.6),
            [Line(step.without * unit, "ffn", "without", width=3, dot=True, points=True),
             Line(step.kept * unit, "key", "with cache", width=3, dot=True, points=True)],
            log=True, note=note, short=short,
        )  # fmt: skip

    panels = [
        panel(flops, 1e-9, f"GFLOPs until the next token, {model}", "closed form; logarithmic", "GFLOPs, next token"),
        panel(seconds, 1e3, "Milliseconds until the next token, measured", measured, "ms, next token"),
    ]  # fmt: skip
    rows = [
        Row("without a cache", "ffn", [flops.without / 1e9, seconds.without * 1e3, np.zeros(1)], width=3),
        Row("with the KV cache", "key", [flops.kept / 1e9, seconds.kept * 1e3, cached / 1e6], width=3),
    ]  # fmt: skip
    return curves.message(
        "kv-cache-cost", "FLOPs and milliseconds until the next token against the length of the text, with and without "
        "a KV cache; left and right arrows move the length", lengths, "tokens in the text", "n", panels, cursor=cursor,
        columns=["GFLOP", "ms", "MB kept"], rows=rows, height=470, gutter=104, epoch=epoch,
        sentence="n = {x}: {0} times fewer FLOPs with the cache, {1} times less time as measured",
        values=[flops.without / flops.kept, seconds.without / seconds.kept],
    )  # fmt: skip


def bytes_message(
    lengths: np.ndarray, gigabytes: Mapping[str, np.ndarray], per_token: Mapping[str, float],
    weights: Mapping[str, float], heads: Mapping[str, str], *, batches: Choice, picks: Picks, cursor: float,
    epoch: int = 0,
) -> bytes:  # fmt: skip
    """What the caches of known models weigh, by the length of the text.

    gigabytes: model -> [batch, length], for as many texts at once as `batches` says; per_token: kB; weights: GB; heads:
    what its heads are. The picked model stands out.
    """
    lines = [Line(values, "muted", name, width=2, pick=name, quiet=True) for name, values in gigabytes.items()]
    limits = [Line(np.full(len(lengths), weights[name]), "residual", width=2, dash=DASH, pick=name,
                   switched=True, plain=True)
              for name in gigabytes]  # fmt: skip
    top = max(values.max() for values in gigabytes.values())
    panel = Panel(
        "Gigabytes of cache, 16 bits a number", (0.01, float(top) * 1.3), [*lines, *limits], log=True,
        note="dashed: the weights of the picked model", short="GB of cache",
    )  # fmt: skip
    rows = [Row(f"{name} · {heads[name]}", "muted",
                [np.full(1, per_token[name]), values, values / weights[name]], pick=name)
            for name, values in gigabytes.items()]  # fmt: skip
    return curves.message(
        "kv-cache-bytes", "Bytes of the KV cache of known models against the length of the text; left and right arrows "
        "move the length", lengths, "tokens in each text", "n", [panel], cursor=cursor,
        columns=["kB / token", "GB", "× weights"], rows=rows, height=430, gutter=130, frames=batches, picks=picks,
        sentence="{pick}, {x} tokens: {0} GB of keys and values, {1} times the weights",
        values=[dict(gigabytes), {name: values / weights[name] for name, values in gigabytes.items()}], epoch=epoch,
    )  # fmt: skip
