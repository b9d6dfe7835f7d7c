"""Heads that share keys: the wiring in real tensors, the caches of known models, and what sharing costs a trained one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import component, curves
from charts.curves import Choice, Line, Mark, Panel, Row


def wiring_message(
    tokens: Sequence[str], Q: np.ndarray, K: Mapping[int, np.ndarray], V: Mapping[int, np.ndarray],
    A: Mapping[int, np.ndarray], moved: Mapping[int,
                                                np.ndarray], n_bytes: Sequence[int], *, own: int, at: int, head: int,
    cell: tuple[int, int], causal: bool, scale: float, scale_text: str, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "wiring".

    Q [head, token, d_head]; for each number of key/value heads h_kv that the slider has: K, V [h_kv, token, d_head], A
    [head, query, key] and moved [head], the share of weight that lies elsewhere than in the trained model, which has
    `own` of them; n_bytes: of cache a token, for each choice. at and head are taken up when epoch differs from the last
    one. ValueError where the shapes do not fit.
    """
    heads, n, d_head = Q.shape
    choices = list(K)
    for h_kv in choices:
        expected = {"K": (h_kv, n, d_head), "V": (h_kv, n, d_head), "A": (heads, n, n), "moved": (heads,)}
        for name, of in (("K", K), ("V", V), ("A", A), ("moved", moved)):
            if of[h_kv].shape != expected[name]:
                raise ValueError(f"{name} of {h_kv} heads has shape {list(of[h_kv].shape)}, not {list(expected[name])}.")
    header = {
        "label": "Which query head reads which key/value head.", "tokens": list(tokens), "heads": heads, "d_head": d_head,
        "choices": Choice("Key/value heads", choices, at).header(), "own": own, "head": head, "causal": causal,
        "cell": {"i": cell[0], "j": cell[1]}, "bytes": list(n_bytes), "scale": scale, "scale_text": scale_text,
        "top": {"K": float(np.abs(K[own]).max()),
                "V": float(np.abs(V[own]).max())}, "encoder": not causal, "epoch": epoch,
    }  # fmt: skip
    arrays = {"Q": Q.astype(np.float32)}
    for h_kv in choices:
        arrays |= {f"K{h_kv}": K[h_kv].astype(np.float32), f"V{h_kv}": V[h_kv].astype(np.float16),
                   f"A{h_kv}": A[h_kv].astype(np.float32), f"moved{h_kv}": moved[h_kv].astype(np.float32)}  # fmt: skip
    return component.pack(header, arrays)


def mount_wiring(**where: object) -> object:
    """Put the component on the page: data=wiring_message(...), key=..., on_stand_change=..."""
    return component.declare("wiring", "plot.js")(**where)


WAYS = ("multi-head", "grouped", "one head", "latent")


def bars_message(
    models: Sequence[tuple[str, str]], n_bytes: np.ndarray, own: Sequence[int], formulas: Sequence[Sequence[str]], *,
    lengths: Choice, epoch: int = 0,
) -> bytes:  # fmt: skip
    """For the component "cache_bars".

    models: (name, what its heads are); n_bytes [model, way of WAYS]: of one token, NaN where there is no such way; own:
    which way each model has; formulas: how each number comes about. ValueError where they are not as many.
    """
    if n_bytes.shape != (len(models),
                         len(WAYS)) or len(own) != len(models) or any(len(row) != len(WAYS) for row in formulas):
        raise ValueError(f"bytes have shape {list(n_bytes.shape)} for {len(models)} models and {len(WAYS)} ways.")
    header = {
        "label": "Bytes of the KV cache of known models, by the way that heads share keys.", "models": [list(m) for m in models],
        "ways": list(WAYS), "own": list(own), "formulas": [list(row) for row in formulas], "lengths": lengths.header(),
        "epoch": epoch,
    }  # fmt: skip
    return component.pack(header, {"bytes": n_bytes.astype(np.float32)})


def mount_bars(**where: object) -> object:
    """Put the component on the page: data=bars_message(...), key=..., on_stand_change=..."""
    return component.declare("cache_bars", "plot.js")(**where)


def effect_message(
    kept: np.ndarray, latent: Mapping[str, np.ndarray], grouped: Mapping[int, Mapping[str, float]],
    at: Mapping[int, int], *,
    own: int, whose: str, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """What is lost against the numbers kept of a token in a layer: a latent of that rank, and averaged heads beside it.

    kept [rank], evenly spaced; latent: field of `sharing.Effect` -> [rank]; grouped: h_kv -> fields; at: h_kv -> numbers
    kept; own: the trained number of heads; whose: model and text.
    """
    step = float(kept[1] - kept[0])

    def points(field: str) -> np.ndarray:
        values = np.full(len(kept), np.nan)
        for h_kv, of in grouped.items():
            values[int(np.argmin(np.abs(kept - at[h_kv])))] = of[field]
        return values

    def panel(field: str, title: str, short: str, *, percent: bool = False, note: str = "") -> Panel:
        dots = points(field)
        y = (-0.04, 1.08) if percent else curves.padded(latent[field], dots[np.isfinite(dots)], np.zeros(1))
        marks = [Mark(float(at[h_kv]),
                      f"{h_kv} head{'s' if h_kv > 1 else ''}, " + ("as trained" if h_kv == own else "averaged"),
                      "key", left=bool(at[h_kv] > kept[-1] - 3 * step)) for h_kv in grouped]  # fmt: skip
        return Panel(title, y, [Line(latent[field], "value", "latent (SVD)", width=3, dot=True, points=True),
                                Line(dots, "key", "", width=7, points=True)],
                     percent=percent, marks=marks if field == "kl" else (), short=short, note=note)  # fmt: skip

    panels = [
        panel("kl", "KL from the trained model's next token, nats", "KL, nats", note=whose),
        panel("same", "Positions whose most probable token stays", "same first choice", percent=True),
    ]  # fmt: skip
    rows = [Row("latent of this rank", "value", [latent["kl"], latent["same"], latent["loss"]], width=3)]
    rows += [Row(f"h_kv = {h_kv}, {'as trained' if h_kv == own else 'averaged'} ({at[h_kv]} numbers)", "key",
                 [np.full(1, of["kl"]), np.full(1, of["same"]), np.full(1, of["loss"])], width=7)
             for h_kv, of in grouped.items()]  # fmt: skip
    return curves.message(
        "shared-heads-effect", "What is lost when keys and values are squeezed into a latent or averaged, against the numbers "
        "kept of a token; left and right arrows move along", kept, "numbers kept of a token in each layer", "kept",
        panels, cursor=cursor, columns=["KL", "same%", "loss"], rows=rows, height=430, gutter=108, epoch=epoch,
        sentence="{x} numbers a token: a latent of this rank is {0} nats away, and {1%} of first choices stay",
        values=[latent["kl"], latent["same"]],
    )  # fmt: skip
