"""Blocks of small integers back into float32, as llama.cpp's GGML defines them.

A quantised row is cut into blocks of 32 weights that share a scale d, and in some types an offset m.
Each function takes raw bytes, uint8 [block, bytes a block], and returns float32 [block, weights a block].
"""

import math

import torch
from torch import Tensor


def q4_0(raw: Tensor) -> Tensor:
    """w = d · (q − 8), q in 0 … 15; 18 bytes: d, then 16 bytes of two q each."""
    return _half(raw[:, :2]) * (_nibbles(raw[:, 2:]).to(torch.int8) - 8)


def q4_1(raw: Tensor) -> Tensor:
    """w = d · q + m, q in 0 … 15; 20 bytes: d, m, then 16 bytes of two q each."""
    return (_half(raw[:, :2]) * _nibbles(raw[:, 4:])).add_(_half(raw[:, 2:4]))


def q8_0(raw: Tensor) -> Tensor:
    """w = d · q, q in −128 … 127; 34 bytes: d, then 32 q."""
    return _half(raw[:, :2]) * raw[:, 2:].view(torch.int8)


def f32(raw: Tensor) -> Tensor:
    return raw.view(torch.float32).clone()  # a copy: weights must not live in a file that may be replaced


def f16(raw: Tensor) -> Tensor:
    return raw.view(torch.float16).float()


def bf16(raw: Tensor) -> Tensor:
    return raw.view(torch.bfloat16).float()


def _half(raw: Tensor) -> Tensor:
    return raw.contiguous().view(torch.float16).float()  # [block, 1]


def _nibbles(raw: Tensor) -> Tensor:
    """The low half of each byte holds the block's first 16 weights, the high half the last 16."""
    return torch.cat((raw & 15, raw >> 4), 1)


# GGML type id: (name, weights a block, bytes a block, function)
TYPES = {
    0: ("F32", 1, 4, f32),
    1: ("F16", 1, 2, f16),
    2: ("Q4_0", 32, 18, q4_0),
    3: ("Q4_1", 32, 20, q4_1),
    8: ("Q8_0", 32, 34, q8_0),
    30: ("BF16", 1, 2, bf16),
}


def block_size(kind: int) -> tuple[int, int]:
    """(weights, bytes) of a block. ValueError for a type that nobody here can read."""
    if kind in TYPES:
        return TYPES[kind][1:3]
    gguf = _gguf_package(kind)
    try:
        return gguf.constants.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
    except ValueError:
        raise ValueError(f"it holds tensors of the unknown type {kind}") from None


def dequantise(raw: Tensor, kind: int, shape: tuple[int, ...]) -> Tensor:
    """raw uint8 [bytes] of a tensor of GGML type ``kind`` -> float32 ``shape``."""
    if kind in TYPES:
        _, _, n_bytes, function = TYPES[kind]
        return function(raw.view(-1, n_bytes)).view(shape)
    gguf = _gguf_package(kind)
    try:
        weights = gguf.quants.dequantize(
            raw.numpy().reshape(math.prod(shape[:-1]), -1), gguf.GGMLQuantizationType(kind)
        )
    except NotImplementedError as error:
        raise ValueError(f"it holds tensors of a type that cannot be read: {error}") from error
    return torch.from_numpy(weights).float().view(shape)


def _gguf_package(kind: int):
    """The reference reader, for the rarer types."""
    try:
        import gguf
    except ImportError:
        raise ValueError(f"it holds tensors of type {kind}, which needs the package `gguf` to read") from None
    return gguf
