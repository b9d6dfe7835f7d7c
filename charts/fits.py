"""What a model holds in memory while it writes and while it learns, as bands of gigabytes over the length of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from charts import curves
from charts.curves import Band, Choice, Line, Panel, Picks, Row, Tone

GB = 1e9
DASH = (6, 4)


class Layer(NamedTuple):
    """One band of the stack: gigabytes [.., length], an axis for each slider."""

    name: str
    role: Tone
    gigabytes: np.ndarray


def stack(
    name: str, label: str, title: str, lengths: np.ndarray, layers: Sequence[Layer], cards: Choice, card_gb: Sequence[float],
    *, others: Sequence[Choice], longest: np.ndarray, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Bands on top of one another, and the card that they must fit on.

    lengths [length]; each layer's gigabytes [other, …, 1, length], sliders of `others` first and the card's last; card_gb: what
    each card holds; longest [other, …, card, 1]: the longest text that fits.
    """
    tops = np.cumsum(np.stack(np.broadcast_arrays(*[layer.gigabytes for layer in layers])), axis=0)
    ones = (1,) * len(others)
    limit = np.asarray(card_gb, float).reshape(*ones, -1, 1)  # [1, …, card, 1]
    ceiling = 1.25 * np.maximum(limit, tops[-1][..., :1])  # [other, …, card, 1]: the card and the shortest text are in sight
    series: list[Band | Line] = []
    for i, layer in enumerate(layers):
        below = tops[i - 1] if i else np.zeros_like(tops[0])
        series += [Band(*(np.minimum(edge, ceiling).astype(np.float16) for edge in (below, tops[i])), layer.role, 0.55),
                   Line(tops[i].astype(np.float32), layer.role, layer.name, width=1.5)]
    series.append(Line(np.broadcast_to(limit, (*ones, len(card_gb), len(lengths))).copy(), "ink", "the card", dash=DASH))
    y = np.concatenate([np.zeros_like(ceiling), ceiling], -1)  # [other, …, card, 2]
    rows = [Row(layer.name, layer.role, [layer.gigabytes, layer.gigabytes / tops[-1]], width=6) for layer in layers]
    total = Row("together", "ink", [tops[-1], np.ones(1)])
    return curves.message(
        name, label, lengths, "tokens in each text", "n", [Panel(title, y, series, short="GB, and what the card holds")],
        cursor=cursor, columns=["GB", "share%"], rows=[*rows, total], height=430, gutter=104,
        frames=[*others, cards], sentence="n = {x}: {0} GB of {1} on the card. The longest text that fits: {2} tokens",
        values=[tops[-1], limit, longest], epoch=epoch, log_x=True,
    )  # fmt: skip


def kinds(
    lengths: np.ndarray, gigabytes: Mapping[str, np.ndarray], per_token: Mapping[str, float], longest: Mapping[str, np.ndarray],
    free: np.ndarray, cards: Choice, batches: Choice, picks: Picks, *, model: str, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The cache of one model, had it been built with other kinds of attention, against what its weights leave free.

    gigabytes: kind -> [batch, 1, length]; per_token: kB; longest: kind -> [batch, card, 1]; free [1, card, 1]: GB of the
    card that the weights leave.
    """
    lines = [Line(values, "key", kind, width=2, pick=kind, quiet=True) for kind, values in gigabytes.items()]
    room = np.broadcast_to(np.maximum(free, 1e-3), (1, free.shape[1], len(lengths))).copy()
    whole = np.stack(list(gigabytes.values()))  # [kind, batch, 1, length]
    panel = Panel(
        f"GB of cache, {model}, 16 bits a number", np.stack([whole.min((0, 3)), whole.max((0, 3))], -1), [*lines, Line(room, "ink", "room", dash=DASH)],
        log=True, note="dashed: what the weights leave of the card", short="GB of cache",
    )  # fmt: skip
    rows = [Row(kind, "key", [np.full(1, per_token[kind]), values, longest[kind]], pick=kind)
            for kind, values in gigabytes.items()]  # fmt: skip
    return curves.message(
        "cache-by-kind", "Gigabytes of KV cache against the length of the text for several kinds of attention; left and "
        "right arrows move the length", lengths, "tokens in each text", "n", [panel], cursor=cursor,
        columns=["kB / token", "GB", "longest text"], rows=rows, height=430, gutter=120, frames=[batches, cards], picks=picks,
        sentence="{pick}, n = {x}: {0} GB of cache; at most {1} tokens fit beside the weights",
        values=[dict(gigabytes), dict(longest)], epoch=epoch, log_x=True,
    )  # fmt: skip
