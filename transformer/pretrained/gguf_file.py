"""GGUF, llama.cpp's one-file format: metadata, then tensors. Read here from the bytes up, and nothing in it is run.

Layout (little-endian): "GGUF", version u32, number of tensors u64, number of metadata entries u64; the entries
(name, type, value); the tensors' descriptions (name, dimensions innermost first, type, offset); padding; the data.
"""

import math
import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer.pretrained.dequantise import block_size, dequantise
from transformer.pretrained.gguf_tokenizer import tokenizer
from transformer.tokenizers import Tokenizer

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


@dataclass(frozen=True)
class Description:
    """Where one tensor lies in the file."""

    shape: tuple[int, ...]  # outermost first, as in torch
    kind: int  # GGML type
    start: int
    n_bytes: int


class GGUF:
    """One open file: ``metadata`` as plain values, ``tensors`` by name as descriptions; ``self[name]`` reads one.

    Raises ValueError, one sentence, for a file that is cut short or is no GGUF.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if self.path.stat().st_size < 24:
            raise ValueError(f"{path} is not a GGUF file: it has only {self.path.stat().st_size} bytes.")
        with self.path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # mapped, not read
        self._bytes = torch.frombuffer(self._data, dtype=torch.uint8)
        if self._data[:4] != b"GGUF":
            raise ValueError(f"{path} is not a GGUF file: it does not begin with the letters GGUF.")
        try:
            self._read_header()
        except (struct.error, UnicodeDecodeError, _Damaged) as error:
            raise ValueError(f"{path} is damaged or cut short; fetch or copy it again.") from error

    def __getitem__(self, name: str) -> Tensor:
        """float32, whatever it is stored as."""
        found = self.tensors[name]
        return dequantise(self._bytes[found.start : found.start + found.n_bytes], found.kind, found.shape)

    def _read_header(self) -> None:
        self._at = 4
        version = self._scalar("I")
        if version not in (2, 3):
            raise ValueError(f"{self.path} is GGUF version {version}; versions 2 and 3 can be read.")
        n_tensors, n_entries = self._scalar("Q"), self._scalar("Q")
        self.metadata: dict[str, Any] = {}
        for _ in range(n_entries):
            name = self._string()
            self.metadata[name] = self._value(self._scalar("I"))
        described = []
        for _ in range(n_tensors):
            name, n_dimensions = self._string(), self._scalar("I")
            if n_dimensions > 4:
                raise _Damaged
            shape = tuple(reversed([self._scalar("Q") for _ in range(n_dimensions)]))
            described.append((name, shape, self._scalar("I"), self._scalar("Q")))
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise _Damaged
        data = -(-self._at // alignment) * alignment
        self.tensors: dict[str, Description] = {}
        for name, shape, kind, offset in described:
            try:
                weights, n_bytes = block_size(kind)
            except ValueError as error:
                raise ValueError(f"{self.path} cannot be read: {error}.") from error
            found = Description(shape, kind, data + offset, math.prod(shape) // weights * n_bytes)
            if math.prod(shape) % weights or offset % alignment or found.start + found.n_bytes > len(self._data):
                raise _Damaged
            self.tensors[name] = found

    def _scalar(self, letter: str) -> Any:
        (value,) = struct.unpack_from("<" + letter, self._data, self._at)
        self._at += struct.calcsize(letter)
        # A float32 such as 1e-05 comes back as 9.999999747e-06; its shortest decimal is what was written.
        return float(f"{value:.7g}") if letter == "f" else value

    def _string(self) -> str:
        return str(self._take(self._scalar("Q")), "utf-8")

    def _take(self, n: int) -> bytes:
        if n > len(self._data) - self._at:
            raise _Damaged
        self._at += n
        return self._data[self._at - n : self._at]

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            of, n = self._scalar("I"), self._scalar("Q")
            if of == STRING:
                return [self._string() for _ in range(n)]
            letter = SCALARS.get(of)
            if letter is None:  # arrays of arrays are allowed on paper; no model has any
                raise _Damaged
            return list(struct.unpack(f"<{n}{letter}", self._take(n * struct.calcsize(letter))))
        if kind not in SCALARS:
            raise _Damaged
        return self._scalar(SCALARS[kind])


class _Damaged(Exception):
    pass


# llama.cpp's names -> Hugging Face's
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read(path: Path) -> tuple[str, dict[str, Any], dict[str, Tensor], Tokenizer]:
    """(family, Hugging Face style config, state dict under Hugging Face's names in float32, tokenizer).

    Raises ValueError for a damaged file and for what is not in it as a Llama or Qwen2 decoder.
    """
    file = GGUF(path)
    architecture = file.metadata.get("general.architecture")
    if architecture not in ("llama", "qwen2"):
        raise ValueError(
            f"{path} holds a model of type {architecture!r}; from GGUF files llama and qwen2 can be opened."
        )
    if "rope_freqs.weight" in file.tensors:
        raise ValueError(
            f"{path} keeps RoPE factors as a tensor, which cannot be read; open its safetensors checkpoint."
        )
    config = _config(file, architecture)
    heads = {".attn_q.": config["num_attention_heads"], ".attn_k.": config["num_key_value_heads"]}
    weights = {}
    for name in file.tensors:
        w = file[name]
        for part, n in heads.items():
            if architecture == "llama" and part in name:
                if w.shape[0] % (2 * n):
                    raise ValueError(f"{name} in {path} has {w.shape[0]} rows, which {n} heads cannot share.")
                w = _undo_interleave(w, n)
        weights[_name(name)] = w
    return architecture, config, weights, tokenizer(file.metadata, path)


def _undo_interleave(w: Tensor, heads: int) -> Tensor:
    """llama.cpp turns pairs (2i, 2i + 1), we turn (i, i + d_k/2): the same rotation once each head's rows are sorted.

    Forget it, and the text still looks plausible, at four times the perplexity.
    """
    rows = w.shape[0]
    return w.view(heads, rows // heads // 2, 2, *w.shape[1:]).transpose(1, 2).reshape(w.shape)


def _name(name: str) -> str:
    parts = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)  # "blk.3.attn_q.weight", "output_norm.weight"
    if parts is None or parts[2] not in NAMES:
        return name
    return ".".join([*(["model.layers", parts[1]] if parts[1] else []), NAMES[parts[2]], parts[3]])


def _config(file: GGUF, architecture: str) -> dict[str, Any]:
    def need(key: str) -> Any:
        value = file.metadata.get(f"{architecture}.{key}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ValueError(f"{file.path} has no proper {architecture}.{key}, so the model cannot be built.")
        return value

    def may(key: str, default: float) -> Any:
        return need(key) if f"{architecture}.{key}" in file.metadata else default

    heads, width = need("attention.head_count"), need("embedding_length")
    if "token_embd.weight" not in file.tensors:
        raise ValueError(f"{file.path} has no token_embd.weight, so it is not a whole model.")
    config = {
        "model_type": architecture,
        "hidden_size": width,
        "num_hidden_layers": need("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": may("attention.head_count_kv", heads),
        "head_dim": may("attention.key_length", width // heads),
        "intermediate_size": need("feed_forward_length"),
        "rms_norm_eps": need("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": need("context_length"),
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_act": "silu",
        "rope_theta": may("rope.freq_base", 10_000.0),
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    scaling = file.metadata.get(f"{architecture}.rope.scaling.type", "none")
    if scaling not in ("none", "linear", "yarn"):
        raise ValueError(f"{file.path} stretches RoPE by {scaling!r}; none, linear and yarn can be read.")
    if scaling != "none":
        config["rope_scaling"] = {"rope_type": scaling, "factor": need("rope.scaling.factor")}
        if scaling == "yarn":
            config["rope_scaling"]["original_max_position_embeddings"] = need("rope.scaling.original_context_length")
    return config
