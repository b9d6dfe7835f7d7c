"""A whole run in one picture: vectors pooled to a few cells, the length of every write, the odds of the next token.

Pure functions of recorded tensors, for one text (the batch's first). Pooling keeps a picture of thirty layers at about
a megabyte; what is not pooled (scores, weights, queries, keys, lengths, probabilities) is what the model computed.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from transformer import masks, names
from transformer.config import Config

# What `overview` needs of a run, in patterns that match something in every model with one
# network a layer and weights over tokens (which is what can be drawn so): the first is resid_mid and the norms
# where there are any, the last every tensor outside the layers.
RECORD = (
    "*.[nr]*_[12m]*", "*.resid_post", "*.attention.[QKVAz]", "*.attention.scores", "*.attention.out", "*.ffn.post",
    "*.ffn.out", "?[!a]*",
)  # fmt: skip
CELLS = {"model": 24, "ff": 32, "d_head": 16}  # how many cells a vector along this axis is pooled to
WRITES = ("attention.out", "ffn.out")


def overview(
    trace: Mapping[str, Tensor], config: Config, temperatures: Sequence[float] = (1.0,), k: int = 12
) -> dict[str, Tensor]:
    """Everything that a picture of the whole run draws, by name.

    layer.<name>    every tensor inside the layers that was recorded, layers stacked, its last axis pooled:
                    [layer, (head,) token, cell]; scores and A whole: [layer, head, query, key]
    exact.<name>    attention.Q and attention.K whole: [layer, head, token, d_head]
    length.<name>   ‖·‖₂ of both writes and of the stream after each: [layer, token]; length.embed [token]
    mask            who may read whom, [query, key], bool
    end.<name>      embed, final_norm and, without a head, the vectors that come out, pooled: [token, cell]
    odds.<name>     ids and logits of the k likeliest next tokens of every row, [token, k], and their probabilities at
                    every temperature, [temperature, token, k]; only with a language-model head
    """
    last = f"layers.{config.n_layers - 1}.resid_post"
    x = trace["embed"][0]  # [token, model]
    positions = torch.arange(len(x))[None]
    mask = masks.mask(config, positions, positions)
    found = {"length.embed": x.norm(dim=-1), "end.embed": _pooled("embed", x)}
    found["mask"] = torch.ones(len(x), len(x), dtype=torch.bool) if mask is None else mask[0, 0]
    for key, entry in names.GLOSSARY.items():
        if not key.startswith("layers.") or key.replace("*", "0") not in trace:
            continue
        name = key.removeprefix("layers.*.")
        stacked = torch.stack([trace[key.replace("*", str(i))][0] for i in range(config.n_layers)])
        found[f"layer.{name}"] = stacked if entry.axes[-1] == "key" else _pooled(key, stacked)
        if name in ("attention.Q", "attention.K"):
            found[f"exact.{name}"] = stacked
        if name in (*WRITES, "resid_mid", "resid_post"):
            found[f"length.{name}"] = stacked.norm(dim=-1)
    if config.final_norm:
        found["end.final_norm"] = _pooled("final_norm", trace["final_norm"][0])
    if config.head == "none":
        found["end.vectors"] = _pooled("final_norm" if config.final_norm else last, trace[last][0])
        return found
    ids, logits, p = odds(trace["logits"][0], temperatures, min(k, config.vocab_size))
    return found | {"odds.ids": ids, "odds.logits": logits, "odds.probabilities": p}


def spans(width: int, cells: int) -> list[int]:
    """Where each cell of a pooled vector begins, and the end: cells + 1 numbers; cells differ by one entry at most.

    Raises ValueError when there are no cells, or more cells than entries.
    """
    if not 1 <= cells <= width:
        raise ValueError(f"a vector of {width} entries cannot be pooled to {cells} cells.")
    small, larger = divmod(width, cells)
    edges = [0]
    for cell in range(cells):
        edges.append(edges[-1] + small + (cell < larger))
    return edges


def pool(x: Tensor, cells: int) -> Tensor:
    """The mean of each of ``cells`` neighbouring spans: x [..., width] -> [..., cells]; see ``spans``."""
    edges = spans(x.shape[-1], cells)
    return torch.stack([x[..., a:b].mean(-1) for a, b in zip(edges, edges[1:])], -1)


def odds(logits: Tensor, temperatures: Sequence[float], k: int) -> tuple[Tensor, Tensor, Tensor]:
    """p = softmax(ℓ / T) over the whole vocabulary, of the k largest logits; T = 0 puts everything on the largest.

    logits [token, vocab] -> ids [token, k], logits [token, k], probabilities [temperature, token, k]; likeliest first.
    Raises ValueError for a temperature below 0 or k outside the vocabulary.
    """
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k is {k}; it must be between 1 and the vocabulary's {logits.shape[-1]} entries.")
    if min(temperatures) < 0:
        raise ValueError(f"temperature is {min(temperatures)}; it must be 0 or a positive number.")
    top, ids = logits.topk(k, dim=-1)  # [token, k]
    largest = top[:, :1]
    table = []
    for T in temperatures:
        if T == 0:
            p = torch.zeros_like(top)
            p[:, 0] = 1.0
        else:
            p = ((top - largest) / T - ((logits - largest) / T).logsumexp(-1, keepdim=True)).exp()
        table.append(p)
    return ids, top, torch.stack(table)


def _pooled(name: str, x: Tensor) -> Tensor:
    return pool(x, min(x.shape[-1], CELLS[names.lookup(name).axes[-1]]))
