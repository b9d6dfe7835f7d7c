"""What training needs to hold, in bytes: weights, gradients, AdamW's moments, and what the backward pass looks back at."""

import bisect
import functools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from transformer import cost, names
from transformer.build import build
from transformer.config import Config
from transformer.tap import RecordingTap


Law = Callable[[int, int], int]  # (n, batch) -> bytes
Kept = Literal["fused", "textbook", "recomputed"]  # what the backward pass finds of a forward pass


class TrainingMemory(NamedTuple):
    """Bytes by purpose; their sum is what a step needs beside the libraries' own workspace."""

    weights: int
    gradients: int
    optimiser: int
    activations: int


class ServingMemory(NamedTuple):
    """Bytes by purpose while a model writes; a layer's passing tensors and the libraries' workspace come on top."""

    weights: int
    keys: int
    values: int


def serving(config: Config, n: int, batch: int = 1, weight_bits: int = 16, bytes_per_value: int = 2) -> ServingMemory:
    """``batch`` texts of ``n`` tokens in the KV cache, with P parameters:

        weights P · bits / 8,  keys and values n · h_kv · d_k · layers · batch · b each

    Quantised weights count their bits alone, without the scales. A latent is kept once and counts as keys; an encoder
    keeps nothing. ``bytes_per_value`` b: of a key or value.
    """
    P = sum(cost.parameters(config).values())
    kept = 0 if config.kind in ("encoder", "vision") else cost.kv_cache_bytes(config, n, batch, bytes_per_value)
    values = 0 if config.attention == "latent" else kept // 2
    return ServingMemory(P * weight_bits // 8, kept - values, values)


def longest_served(config: Config, budget: int, batch: int = 1, weight_bits: int = 16, bytes_per_value: int = 2,
                   most: int = 2**24) -> int:  # fmt: skip
    """The most tokens for which ``serving`` stays within ``budget`` bytes: 0 when the weights alone do not, ``most`` when
    more would fit than anyone asks for (a window or an encoder holds no more for longer texts)."""
    room = budget - serving(config, 1, batch, weight_bits, bytes_per_value).weights
    return longest_cached(config, room, batch, bytes_per_value, most)


def longest_cached(config: Config, room: int, batch: int = 1, bytes_per_value: int = 2, most: int = 2**24) -> int:
    """The most tokens whose cache stays within ``room`` bytes, 0 where not even one's does."""

    def kept(n: int) -> int:
        held = serving(config, n, batch, bytes_per_value=bytes_per_value)
        return held.keys + held.values

    return bisect.bisect_right(range(1, most + 1), room, key=kept)


def training(
    config: Config, n: int, batch: int = 1, bytes_per_value: int = 4, master: bool = False, law: Law | None = None
) -> TrainingMemory:
    """A step of AdamW on ``batch`` texts of ``n`` tokens, with P parameters:

        weights P·b,  gradients P·b,  optimiser 8P (two float32 moments; with ``master`` 12P: float32 weights beside 16-bit
        ones),  activations as ``activation_bytes`` counts them, or as a ``law`` of ``activation_law`` says at once.

    ``bytes_per_value`` b: 4 for float32, 2 for 16 bits.
    """
    P = sum(cost.parameters(config).values())
    held = law(n, batch) if law else activation_bytes(config, n, batch)
    return TrainingMemory(P * bytes_per_value, P * bytes_per_value, P * (12 if master else 8), held * bytes_per_value // 4)


def longest_trained(
    config: Config, budget: int, law: Law, batch: int = 1, bytes_per_value: int = 4, master: bool = False, most: int = 2**24
) -> int:
    """The most tokens, at least 2, for which a step of ``training`` stays within ``budget`` bytes; 0 where 2 do not."""

    def held(n: int) -> int:
        return sum(training(config, n, batch, bytes_per_value, master, law))

    fit = bisect.bisect_right(range(2, most + 1), budget, key=held)  # how many of 2, 3, …
    return fit + 1 if fit else 0


def activation_bytes(config: Config, n: int, batch: int = 1, textbook: bool = False) -> int:
    """What the forward pass of a float32 model keeps for the backward pass, parameters not counted.

    Counted, not derived: the model is built and run with fake tensors, which have shapes and no memory, and what autograd
    saves is added up, a tensor that several operations save once. ``textbook``: with scores and A formed, as
    when they are recorded; else through the fused attention, which keeps no n × n tensor.
    A plain pre-norm layer with RoPE, GELU and d_ff = 4d comes to 18 n·d values, and h·n² or more on top on the textbook
    path; Korthikanti et al. 2022 (arXiv:2205.05198) count n·d·(34 + 5·h·n/d) bytes a layer for 16 bits with dropout.
    """
    with FakeTensorMode():
        model = build(config)
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        if config.kind == "vision":
            inputs = (torch.empty(batch, config.channels, config.image_size, config.image_size),)
        else:
            ids = torch.zeros(batch, n, dtype=torch.long)
            inputs = (ids, ids) if config.kind == "encoder-decoder" else (ids,)
        tap = RecordingTap("*.A" if textbook else (), names=names.of(config))
        return _saved(lambda: model(*inputs, tap=tap), own)


def activation_law(config: Config, kept: Kept = "fused") -> Law:
    """(n, batch) -> bytes that a float32 model keeps for the backward pass, for any n ≥ 2 and batch at once.

    Layers are alike, texts too, and no operation pairs more than two tokens, so bytes = Σ over i ≤ 1, j ≤ 1, k ≤ 2 of
    c_ijk · layers^i · batch^j · n^k: twelve small countings by ``activation_bytes`` give the twelve coefficients, and all
    else follows exactly.
    "fused", "textbook": as there. "recomputed" (gradient checkpointing, Chen et al. 2016, arXiv:1604.06174): 4·n·d a text
    for the input of each layer, and one layer's own activations, which are made again when its turn comes.
    Images have one length, whatever n says. Raises ValueError for attention whose cost is no such polynomial, full and
    latent have one; and for experts, whose share of the tokens nobody knows beforehand.
    """
    if kept not in get_args(Kept):
        raise ValueError(f"there is no {kept!r} way to keep activations; there is {', '.join(get_args(Kept))}.")
    if config.attention not in ("full", "latent"):
        raise ValueError(f"the activations of {config.attention} attention follow no law in n; activation_bytes counts them.")
    if config.experts > 1:
        raise ValueError("what experts keep for the backward pass depends on the tokens that each of them gets.")
    stacks = ("n_layers", "n_encoder_layers") if config.kind == "encoder-decoder" else ("n_layers",)
    if len({getattr(config, stack) for stack in stacks}) > 1:
        raise ValueError("the law takes an encoder as deep as its decoder; activation_bytes counts any.")
    h = min(16, config.max_len // 3) if config.position == "learned" and config.kind != "vision" else 16
    at = {
        (layers, batch): [
            _counted(replace(config, **dict.fromkeys(stacks, layers)), n, batch, kept == "textbook")
            for n in (h, 2 * h, 3 * h)
        ]
        for layers in (1, 2)
        for batch in (1, 2)
    }

    def bytes_of(n: int, batch: int = 1) -> int:
        x = 0 if config.kind == "vision" else Fraction(n, h) - 1  # Newton's forward differences, x = 0, 1, 2 at the three lengths
        (a, b), (c, d) = (
            [y[0] + x * (y[1] - y[0]) + x * (x - 1) / 2 * (y[2] - 2 * y[1] + y[0]) for y in (at[layers, 1], at[layers, 2])]
            for layers in (1, 2)
        )
        one, two = a + (batch - 1) * (b - a), c + (batch - 1) * (d - c)  # with one layer, and with two
        if kept == "recomputed":
            return round(one) + 4 * n * config.d_model * batch * config.n_layers
        return round(one + (config.n_layers - 1) * (two - one))

    return bytes_of


_counted = functools.lru_cache(256)(activation_bytes)  # "recomputed" asks for the same as "fused"


def _saved(forward: Callable[[], Tensor], parameters: set[int]) -> int:
    """Bytes of all storages that autograd keeps while ``forward`` runs."""
    storages: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            storages[storage._cdata] = tensor  # held, so that its address is not given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward()
    del output
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())
