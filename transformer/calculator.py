"""What a model costs, part by part: parameters, FLOPs, bytes moved and bytes held, for anything that is done with it.

    parts = bill(PRESETS["llama-3-8b"], "write", n=8192, batch=4, weight_bits=4, cache_bits=8)
    parts["ffn"].flops, sum(part.moved for part in parts.values())
    roofline.seconds(seconds(parts, MACHINES["A100"]))

``survey`` is the same for many lengths, batches and all precisions at once. Nothing is allocated: these are the closed
forms of ``cost``, ``roofline`` and ``memory``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import prod
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from transformer import cost, roofline, weights
from transformer.config import Config
from transformer.cost_of_attention import Matmul
from transformer.memory import Law
from transformer.roofline import Machine, Part, Work

Doing = Literal["read", "write", "write anew", "train"]
BITS = (32, 16, 8, 4)
# As data meets them; then what is held beside the weights.
PARTS = ("embedding", "encoder", "Q", "K", "V", "scores", "z", "out", "cross", "ffn", "norms", "logits",
         "keys", "values", "activations", "gradients", "optimiser")  # fmt: skip
SORTS = ("weights", "cache", "passing")  # what is moved; keys and values are the cache's where one is kept
_CALLED = {"embed": "embedding", "positions": "embedding", "segments": "embedding", "attention": "scores", "unembedding": "logits"}


class Cost(NamedTuple):
    """One part's share of a pass."""

    parameters: int
    flops: int
    moved: int  # bytes between memory and arithmetic
    held: int  # bytes that memory must have room for


class Numbers(NamedTuple):
    """What is moved or held, as numbers that have a width of their own each; ``fixed`` are bytes whatever the width."""

    weights: float = 0
    kept: float = 0  # keys and values
    passing: float = 0
    fixed: float = 0


class Survey(NamedTuple):
    """``bill`` for many settings at once: float64, a row for each of ``PARTS``; bits as in ``BITS``."""

    parameters: Tensor  # [part]
    flops: Tensor  # [part, 1, 1, batch, length]
    moved: Tensor  # [sort, part, weight bits, cache bits, batch, length], sorts as in ``SORTS``; their sum is the bill's
    held: Tensor  # [part, weight bits, cache bits, batch, length]

    def seconds(self, machine: Machine) -> tuple[Tensor, Tensor]:
        """The least seconds of each part, and whether memory is what bounds it: both [part, …] as ``moved``."""
        compute, memory = self.flops / machine.flops, self.moved.sum(0) / machine.bandwidth
        return torch.maximum(compute, memory), memory > compute


def doings(config: Config) -> tuple[Doing, ...]:
    """What can be done with such a model: an encoder reads and learns, and writes nothing."""
    return ("read", "train") if config.kind in ("encoder", "vision") else get_args(Doing)


def bill(
    config: Config, doing: Doing, n: int, batch: int = 1, weight_bits: int = 16, cache_bits: int = 16, law: Law | None = None
) -> dict[str, Cost]:
    """Cost by part of one pass over ``batch`` texts.

    read        n tokens at once (prefill); a decoder keeps their keys and values
    write       the next token, n in the cache
    write anew  the next token without a cache: all n + 1 are read again
    train       forward, backward and AdamW on n tokens; ``law`` (``memory.activation_law``) says what the backward pass
                looks back at; without it that counts 0

    An encoder–decoder has n tokens of source beside. FLOPs and bytes moved are those of matrix products
    (``roofline.values``, fused: no n × n table leaves the chip). What passes from product to product has 32 bits beside
    32-bit weights, else 16. Held are the weights, the cache, and of a forward pass its stream and the widest result of
    one part of one layer: the least that must be there at once. Training below 16 bits is counted as 16, with float32
    copies of the weights in the optimiser, as in ``memory.training``.
    Raises ValueError for bits that are not in ``BITS`` and for what such a model cannot do.
    """
    for bits in (weight_bits, cache_bits):
        if bits not in BITS:
            raise ValueError(f"{bits} bits a value are not counted here; there are {', '.join(map(str, BITS))}.")
    own, widths = parameters(config), widths_of(config, doing, weight_bits, cache_bits)
    done, bytes_held = work(config, doing, n, batch), held(config, doing, n, batch, law)
    nothing = (0, Numbers())
    return {
        part: Cost(own.get(part, 0), done.get(part, nothing)[0], _bytes(done.get(part, nothing)[1], widths),
                   _bytes(bytes_held.get(part, Numbers()), widths))
        for part in PARTS
    }  # fmt: skip


def seconds(parts: dict[str, Cost], machine: Machine) -> dict[str, Part]:
    """The least time of each part that moves anything, and what bounds it; ``roofline.seconds`` adds them up."""
    return roofline.on(machine, {name: Work(part.flops, part.moved) for name, part in parts.items() if part.moved})


def survey(config: Config, doing: Doing, lengths: Sequence[int], batches: Sequence[int], law: Law | None = None) -> Survey:
    """``bill`` over a grid. Bytes are linear in the widths, so that numbers are counted once for all precisions; and in the
    batch, so that two are enough, but for experts, which a larger batch reads more of, and XL's distances, which it shares."""
    straight = config.experts == 1 and config.position != "xl"
    counted = (1, 2) if straight else batches
    done = [[work(config, doing, n, batch) for n in lengths] for batch in counted]
    kept = [[held(config, doing, n, batch, law) for n in lengths] for batch in counted]
    nothing, own = (0, Numbers()), parameters(config)
    flops = _tensor([[[at.get(part, nothing)[0] for at in row] for row in done] for part in PARTS])
    moved = _tensor([[[at.get(part, nothing)[1] for at in row] for row in done] for part in PARTS])
    stays = _tensor([[[at.get(part, Numbers()) for at in row] for row in kept] for part in PARTS])
    if straight:
        flops, moved, stays = (_at(batches, of) for of in (flops, moved, stays))
    widths = _tensor([[widths_of(config, doing, weight, cache) for cache in BITS] for weight in BITS])
    sorts = torch.einsum("pbnk,wck->kpwcbn", moved, widths)
    sorts = torch.stack((sorts[0], sorts[1], sorts[2] + sorts[3]))
    return Survey(_tensor([own.get(part, 0) for part in PARTS]), flops[:, None, None], sorts,
                  torch.einsum("pbnk,wck->pwcbn", stays, widths).round())  # fmt: skip


def _at(batches: Sequence[int], two: Tensor) -> Tensor:
    """[part, batch 1 and 2, …] -> the same straight line at all ``batches``."""
    more = _tensor(batches).sub(1).reshape(1, -1, *(1,) * (two.dim() - 2))
    return two[:, :1] + more * (two[:, 1:] - two[:, :1])


@lru_cache(64)
def parameters(config: Config) -> Mapping[str, int]:
    """``cost.parameters`` with attention's matrices one by one, read from the model's own weights."""
    found: dict[str, int] = {}
    for weight in weights.weights(config):
        part = "encoder" if weight.section == "encoder" else called(weight.part)
        found[part] = found.get(part, 0) + weight.total
    return MappingProxyType(found)


def widths_of(config: Config, doing: Doing, weight_bits: int, cache_bits: int) -> Numbers:
    """Bytes of one number of each sort; of what is fixed, 1."""
    passing = 4 if weight_bits == 32 else 2
    if doing == "train":
        return Numbers(passing, passing, passing, 1)
    return Numbers(weight_bits / 8, cache_bits / 8 if keeps(config, doing) else passing, passing, 1)


def keeps(config: Config, doing: Doing) -> bool:
    """Whether keys and values stay for the next token."""
    return doing in ("read", "write") and "write" in doings(config)


def work(config: Config, doing: Doing, n: int, batch: int) -> dict[str, tuple[int, Numbers]]:
    """FLOPs and numbers moved by part. A training step is ``roofline.training_work``: backward products move twice what
    forward ones did, and AdamW some 28 bytes a parameter for 12 FLOPs."""
    new, cached, source = _tokens(config, doing, n)
    found = {called(part): v for part, v in roofline.values(config, new, batch, cached, source, fused=True).items()}
    if doing != "train":
        return {part: (v.flops, Numbers(v.weights, v.kept, v.passing)) for part, v in found.items()}
    backward = {called(part): more for part, more in cost.backward_flops(config, n, batch, source).items()}
    P = sum(parameters(config).values())
    steps = {part: (v.flops + backward[part], Numbers(3 * v.weights, 3 * v.kept, 3 * v.passing)) for part, v in found.items()}
    return steps | {"optimiser": (12 * P, Numbers(fixed=28 * P))}


def products(config: Config, doing: Doing, n: int) -> list[Matmul]:
    """The matrix products of a pass over one text, forward: what its FLOPs are the sum of."""
    new, cached, source = _tokens(config, doing, n)
    return cost.matmuls(config, new, 1, cached, source)


def called(part: str) -> str:
    """What ``PARTS`` calls a part of ``cost``."""
    return _CALLED.get(part, part)


def _tokens(config: Config, doing: Doing, n: int) -> tuple[int, int, int | None]:
    """New tokens, cached ones, and those of the source."""
    if doing not in doings(config):
        raise ValueError(f"such a model cannot {doing}; it can {' and '.join(doings(config))}.")
    new, cached = {"write": (1, n), "write anew": (n + 1, 0)}.get(doing, (n, 0))
    return new, cached, n if config.kind == "encoder-decoder" else None


def held(config: Config, doing: Doing, n: int, batch: int, law: Law | None = None) -> dict[str, Numbers]:
    """What memory must have room for: weights, and beside them the cache, or what training keeps."""
    own = parameters(config)
    found = {part: Numbers(weights=count) for part, count in own.items()}
    if doing == "train":
        P = sum(own.values())
        return found | {
            "gradients": Numbers(passing=P),
            "optimiser": Numbers(passing=-2 * P, fixed=16 * P),  # 8 bytes beside 4-byte weights, 12 beside 2-byte ones
            "activations": Numbers(passing=law(n, batch) / 4 if law else 0),  # a law counts bytes of float32
        }
    found["activations"] = Numbers(passing=passing(config, doing, n, batch))
    if keeps(config, doing):
        both = cost.kv_cache_bytes(config, n, batch, 1)
        if config.kind == "encoder-decoder":  # cross-attention keeps the source's
            both += 2 * n * config.n_kv_heads * config.d_head * config.n_layers * batch
        values = 0 if config.attention == "latent" else both // 2
        found |= {"keys": Numbers(kept=both - values), "values": Numbers(kept=values)}
    return found


def passing(config: Config, doing: Doing, n: int, batch: int) -> int:
    """Numbers of the stream of all new tokens, batch · n · d, and of the widest result of one part of one layer."""
    new, cached, source = _tokens(config, doing, n)
    made: dict[str, int] = {}
    for product in cost.matmuls(_one_layer(config), new, batch, cached, source):
        if product.table != "result" and product.part != "encoder":
            made[product.part] = made.get(product.part, 0) + product.rows * product.columns * product.times
    return batch * new * config.d_model + max(made.values())


@lru_cache(64)
def _one_layer(config: Config) -> Config:
    return replace(config, n_layers=1, **({"n_encoder_layers": 1} if config.kind == "encoder-decoder" else {}))


def _bytes(numbers: Numbers, widths: Numbers) -> int:
    return round(sum(map(prod, zip(numbers, widths, strict=True))))


def _tensor(values: Sequence) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
