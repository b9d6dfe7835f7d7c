"""Every weight of a model by name and shape, counted without holding one, and the rule of thumb 12 · layers · d².

    for weight in weights(PRESETS["llama-3-70b"]):
        weight.name, weight.shape, weight.times, weight.total

Names and shapes are those of the model itself: one layer of it is built on the meta device, which has shapes and no
values, and stands for all its layers. So 70 billion parameters take a millisecond and no memory.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Literal, NamedTuple

import torch

from transformer import cost
from transformer.build import MODELS
from transformer.config import Config
from transformer.norms import BatchNorm, LayerNorm, RMSNorm

Section = Literal["embedding", "encoder", "layers", "end"]
NORMS = (BatchNorm, LayerNorm, RMSNorm)
SECTIONS: tuple[Section, ...] = ("embedding", "encoder", "layers", "end")  # as data meets them
BITS = (32, 16, 8, 4)
# The axes of a weight in the paper's symbols, rows (what comes out) first.
AXES: Mapping[str, tuple[str, ...]] = {
    "W_E": ("V", "d_E"), "W_P": ("n_max", "d_E"), "W_G": ("segments", "d_E"), "W_X": ("d", "d_E"), "W_U": ("V", "d"),
    "W_patch": ("d_E", "pixels"), "W_Q": ("h·d_k", "d"), "W_K": ("h_kv·d_k", "d"), "W_V": ("h_kv·d_k", "d"),
    "W_O": ("d", "h·d_k"), "W_1": ("d_ff", "d"), "W_g": ("d_ff", "d"), "W_2": ("d", "d_ff"), "W_r": ("experts", "d"),
    "W_C": ("classes", "d"),
}  # fmt: skip
PARTS = {  # what a module is called -> the part of ``cost.parameters``; of attention, its projections one by one
    "W_E": "embedding", "W_X": "embedding", "W_patch": "embedding", "cls": "embedding", "W_P": "positions",
    "W_G": "segments", "W_Q": "Q", "W_K": "K", "W_V": "V", "W_O": "out", "W_1": "ffn", "W_g": "ffn", "W_2": "ffn",
    "W_r": "ffn", "W_U": "unembedding", "b_U": "unembedding",
}  # fmt: skip


class Weight(NamedTuple):
    """One parameter tensor, and how often the model has one like it."""

    name: str  # as in the state dict, with {i} for the layer, {e} for the expert
    part: str
    section: Section
    shape: tuple[int, ...]
    times: int  # layers, times experts

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def total(self) -> int:
        return self.times * self.count

    @property
    def axes(self) -> tuple[str, ...]:
        """The shape in symbols, () where there are none. A bias has the rows of its matrix."""
        owner, _, last = self.name.rpartition(".")
        found = AXES.get(owner.rpartition(".")[2], ()) if last in ("weight", "bias") else ()
        return found[: len(self.shape)]


def sizes(config: Config) -> dict[str, int]:
    """What the symbols of ``AXES`` stand for in this config."""
    pixels = (config.channels or 0) * (config.patch_size or 0) ** 2
    return {
        "V": config.vocab_size, "d": config.d_model, "d_E": config.d_embed, "n_max": config.max_len,
        "segments": config.n_segments, "pixels": pixels, "h": config.n_heads, "h_kv": config.n_kv_heads,
        "d_k": config.d_head, "d_ff": config.d_ff, "experts": config.experts, "classes": config.n_classes or 0,
    }  # fmt: skip


@lru_cache(maxsize=512)
def weights(config: Config) -> tuple[Weight, ...]:
    """Every parameter tensor, each kind once, embedding first. Σ total = what ``cost.parameters`` adds up to.

    A tied table and a shared layer are there once, as they are in memory.
    """
    layers = {"layers": 1 if config.share_layers else config.n_layers}
    one_layer = replace(config, n_layers=1)
    if config.kind == "encoder-decoder":
        layers["encoder"] = 1 if config.share_layers else config.n_encoder_layers
        one_layer = replace(config, n_layers=1, n_encoder_layers=1)
    with torch.device("meta"):
        model = MODELS[config.kind](one_layer)
    modules, found = dict(model.named_modules()), []
    for name, parameter in model.named_parameters():  # a shared one comes once
        path = name.split(".")
        if "experts" in path and path[path.index("experts") + 1] != "0":
            continue
        section = _section(path)
        owner = modules[name.rpartition(".")[0]]
        part = "norms" if isinstance(owner, NORMS) else _part(path, section)
        times = layers.get(section, 1) * (config.experts if "experts" in path else 1)
        found.append(Weight(_generic(path), part, section, tuple(parameter.shape), times))
    return tuple(sorted(found, key=lambda weight: SECTIONS.index(weight.section)))


def rule_of_thumb(config: Config) -> dict[str, int]:
    """12 · layers · d², and what it is off by, term by term: together the exact number of parameters.

    A plain layer has 4d² in attention (Q, K, V, O) and 8d² in the FFN (d → 4d → d), so N ≈ 12 · layers · d². It leaves
    out tables over the vocabulary and positions, biases and norms, and it is wrong where keys are shared (GQA), where
    heads are not d wide together, where d_ff ≠ 4d, where a gate adds a third matrix, and for experts; layers that share
    one set of weights are counted as often as they run.
    """
    layers = config.n_layers + (config.n_encoder_layers or 0)
    own = 1 if config.share_layers else config.n_layers
    own += (1 if config.share_layers else config.n_encoder_layers) if config.kind == "encoder-decoder" else 0
    d, of = config.d_model, {"tables": 0, "attention": 0, "ffn": 0, "small": 0, "cross": 0, "end": 0}
    for weight in weights(config):
        if ".cross." in weight.name:
            of["cross"] += weight.total
        elif weight.part == "norms" or (len(weight.shape) == 1 and weight.section in ("encoder", "layers")):
            of["small"] += weight.total
        elif weight.section == "embedding":
            of["tables"] += weight.total
        elif weight.section == "end":
            of["end"] += weight.total
        else:
            of["ffn" if weight.part == "ffn" else "attention"] += weight.total
    return {
        "rule": 12 * layers * d * d,
        "shared": 12 * (own - layers) * d * d,
        "attention": of["attention"] - 4 * own * d * d,
        "ffn": of["ffn"] - 8 * own * d * d,
        "cross": of["cross"],
        "tables": of["tables"],
        "end": of["end"],
        "small": of["small"],
    }


def bytes_at(config: Config, bits: int) -> int:
    """Memory of the weights alone at so many bits each (formats of 8 and 4 bits add their scales to it)."""
    return sum(cost.parameters(config).values()) * bits // 8


def _section(path: list[str]) -> Section:
    if "blocks" in path:
        return "encoder" if path[0] == "encoder" else "layers"
    return "embedding" if "embedding" in path or path[0] == "bias" else "end"


def _part(path: list[str], section: Section) -> str:
    if section == "end":
        return "unembedding"
    if "cross" in path:
        return "cross"
    if "ffn" in path:
        return "ffn"
    known = [PARTS[word] for word in path if word in PARTS]
    return known[0] if known else "positions" if path[0] == "bias" else "attention"


def _generic(path: list[str]) -> str:
    """stack.blocks.0.attention.W_Q.weight -> stack.blocks.{i}.attention.W_Q.weight."""
    marks = {"blocks": "{i}", "experts": "{e}"}
    return ".".join(marks.get(path[k - 1], word) if k and word == "0" else word for k, word in enumerate(path))
