"""Reading a long text segment by segment, each with a memory of the last ones: Transformer-XL. arXiv:1901.02860

The memory is the cache of ``attention="recurrent"``: keys and values of the newest tokens, as their own segment
computed them. ``read`` drives a model so; ``mask`` and ``reach`` say which token that lets see which.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer import masks
from transformer.biases import Distances
from transformer.build import build
from transformer.cache import Cache
from transformer.models import Model


@dataclass(frozen=True)
class Reading:
    """A text read by segments: its logits [token, vocab], and the recorded tensors, put together for the whole text.

    A and scores are [layer, head, query, key] over all tokens, 0 and −∞ where a key was not in sight.
    """

    logits: Tensor
    trace: dict[str, Tensor]


def mask(n: int, segment: int, memory: int) -> Tensor:
    """Whom a token meets in one layer: its own segment up to itself, and the ``memory`` tokens before that segment.

    -> bool [query, key].   n tokens in segments of ``segment``; memory 0: none.
    """
    query, key = torch.arange(n)[:, None], torch.arange(n)
    return (key <= query) & (key >= query // segment * segment - memory)


def reach(n: int, segment: int, memory: int, layers: int) -> Tensor:
    """After how many layers a token's vector has something of an earlier one in it (``masks.reach``; −1: after none of
    them). Each layer carries what the last one carried, so that the past seeps further up with each: see
    ``farthest``.   -> int [query, key]
    """
    return masks.reach(mask(n, segment, memory).expand(layers, -1, -1))


def farthest(token: int, segment: int, memory: int, layers: int) -> int:
    """The first token that ``token`` can have heard of: p ↦ ⌊p / L⌋ L − M, once for each layer, and never below 0.

    Where the memory is a multiple of the segment these are layers · M tokens before the own segment; a shorter memory
    crosses one border a layer all the same, and finds whole segments behind it: (layers − 1) · L + M.
    """
    for _ in range(layers):
        token = max(0, token // segment * segment - memory)
    return token


def with_memory(model: Model, memory: int) -> Model:
    """The same weights in a model whose memory is ``memory`` tokens long, at least 1."""
    config = replace(model.config, memory=max(1, memory))
    other = build(config).to(next(model.parameters()).dtype).eval()
    other.load_state_dict(model.state_dict())
    return other


@torch.no_grad()
def read(model: Model, ids: Iterable[int], segment: int, memory: int, record: Iterable[str] = ()) -> Reading:
    """Read ``ids`` in segments, ``memory`` earlier tokens at hand; 0: each segment as if it were all there is.

    record: "A", "scores", "Q", "resid_post": of every layer, put together as ``Reading`` says, Q as
    [layer, head, token, d_head], resid_post as [layer, token, d].
    Raises ValueError when the model has no such memory, or there is nothing to read.
    """
    if model.config.attention != "recurrent":
        raise ValueError(f"attention={model.config.attention!r} has no memory of segments; build with 'recurrent'.")
    ids = list(ids)
    if not ids or segment < 1 or memory < 0:
        raise ValueError("give at least one token, segments of at least one, and a memory of at least none.")
    model = model if memory in (0, model.config.memory) else with_memory(model, memory)
    record, n, layers = tuple(record), len(ids), model.config.n_layers
    where = {part: "" if part == "resid_post" else "attention." for part in record}
    names = [f"layers.{i}.{where[part]}{part}" for part in record for i in range(layers)]
    cache, logits, found = Cache.empty(layers), [], {part: [] for part in record}
    for start in range(0, n, segment):
        run = model.run(ids[start : start + segment], record=names, cache=cache if memory else Cache.empty(layers))
        cache = run.cache
        logits.append(run.output[0])
        for part in record:
            found[part].append(torch.stack([run.trace[f"layers.{i}.{where[part]}{part}"][0] for i in range(layers)]))
    trace = {part: _placed(parts, n) if part in ("A", "scores") else torch.cat(parts, -2) for part,
             parts in found.items()}
    if "scores" in trace:
        trace["scores"] = trace["scores"].masked_fill(~mask(n, segment, memory), -torch.inf)
    return Reading(torch.cat(logits), trace)


@torch.no_grad()
def by_distance(model: Model, layer: int, Q: Tensor) -> Tensor:
    """(q_i + v) · W_R R_{i−j} / √d_k: what XL positions add to the scores for where a key stands; the rest of a score,
    (q_i + u) · k_j / √d_k, is for what it is.   Q [head, token, d_head] -> [head, query, key], all pairs
    """
    at = torch.arange(Q.shape[1])[None]
    attention = model.stack.blocks[layer].attention
    return attention.relative.scores(Q[None], Distances(masks.distance(at, at), Q.shape[1]), attention.scale)[0]


def _placed(parts: list[Tensor], n: int) -> Tensor:
    """Each segment's [layer, head, query, key] with its last key where its last query stands, side by side."""
    rows, start = [], 0
    for part in parts:
        queries, keys = part.shape[-2:]
        first = start + queries - keys
        rows.append(F.pad(part, (first, n - first - keys)))
        start += queries
    return torch.cat(rows, -2)


def surprise(logits: Tensor, ids: Iterable[int]) -> Tensor:
    """−ln p of each next token.   logits [token, vocab], ids of the same text -> [token − 1]"""
    after = torch.tensor(list(ids))[1:]
    return F.cross_entropy(logits[:-1].float(), after, reduction="none")


def differences(one: Tensor, other: Tensor) -> Tensor:
    """max |one − other| over the last axis: how far two readings of each token lie apart."""
    return (one - other).abs().amax(-1)
