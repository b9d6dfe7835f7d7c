"""Marian's small translation students, read from their own binary files. Junczys-Dowmunt et al. 2018, arXiv:1804.00344

    model, tokenizer = transformer.load("marian-en-pt")
    source = tokenizer.encode("The black cat sleeps.")
    generate(model, [tokenizer.start_id], source=source, temperature=0, stop=tokenizer.end_id)

An encoder of six post-norm layers, as in 2017, and a decoder of two, whose self-attention is an SSRU (see ``ssru``). The
decoder begins with a vector of zeros: here one more entry of the vocabulary, ``start_id``, that is never said.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import tokenizers
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained.checkpoint import assemble, refuse, translate
from transformer.tokenizers import Ids, Wrapped

WAYS = {"marian-en-pt": "enpt", "marian-pt-en": "pten"}  # both lie in the archive "marian-en-pt"
ARCHIVE = "marian-en-pt"

VERSION = 1
FLOAT32, INT8 = 0x404, 0x4101  # the types of items that our files have; the second is intgemm's
NEVER = -1e4  # the start token's logit: e^−10000 is 0


class Marian(Wrapped):
    """SentencePiece units of both languages; every text ends in ``end_id``, as the models were trained with."""

    def __init__(self, inner: tokenizers.Tokenizer):
        super().__init__(inner, end_id=0)
        self.start_id = inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return [*super().encode(text), self.end_id]

    def token_bytes(self, ids: Ids) -> list[bytes]:
        special = {self.start_id: "‹start›".encode(), self.end_id: "‹end›".encode()}
        return [special.get(i) or self._bytes(i) for i in ids]

    def decode(self, ids: Ids) -> str:
        return super().decode([i for i in ids if i not in (self.start_id, self.end_id)]).strip()


def load(name: str, folder: Path) -> tuple[Model, Marian]:
    """(model in eval mode, float32; tokenizer) of one of ``WAYS`` from the fetched archive's folder."""
    way = WAYS[name]
    (file,) = folder.glob(f"{way}-*/model.{way}.intgemm.alphas.bin")
    tensors = read_items(file.read_bytes())
    ours = config(tensors)
    model = assemble(ours, weights(tensors, ours))
    return model, Marian(tokenizers.Tokenizer.from_file(str(file.parent / "tokenizer.json")))


def read_items(data: bytes) -> dict[str, Tensor]:
    """The tensors of a binary file by name, float32, as they are stored. Nothing in the file is run.

    Layout, all little-endian: version and count (uint64); for each item the lengths of its name, type, number of axes and
    bytes (uint64); the names, each ending in 0; the axes (int32); an uint64 of padding, and so many bytes; the items.
    An int8 item is its values, then one float32 by which they were multiplied (the rest of 256 bytes is empty); stored
    as [out, in] but for the embedding table, whatever its axes say.
    Raises ValueError for another version or type, and for a file that is cut short.
    """
    try:
        return _items(data)
    except (struct.error, UnicodeDecodeError, ValueError) as problem:
        raise ValueError(f"this Marian file is damaged, cut short or of another kind: {problem}.") from problem


def _items(data: bytes) -> dict[str, Tensor]:
    version, count = struct.unpack_from("<QQ", data)
    if version != VERSION or count * 32 > len(data):
        raise ValueError(f"its version is {version} and it lists {count} items")
    heads = [struct.unpack_from("<QQQQ", data, 16 + 32 * i) for i in range(count)]
    at, labels, shapes = 16 + 32 * count, [], []
    for length, *_ in heads:
        labels.append(data[at : at + length - 1].decode())
        at += length
    for _, _, axes, _ in heads:
        shapes.append(struct.unpack_from(f"<{axes}i", data, at))
        at += 4 * axes
    at += 8 + struct.unpack_from("<Q", data, at)[0]
    found = {}
    for (_, kind, _, n_bytes), name, shape in zip(heads, labels, shapes, strict=True):
        if at + n_bytes > len(data):
            raise ValueError(f"{name} ends beyond the file")
        if not name.startswith("special:") and not name.endswith("_QuantMultA"):  # the latter are for int8 activations
            found[name] = _tensor(data[at : at + n_bytes], kind, shape, name)
        at += n_bytes
    return found


def _tensor(raw: bytes, kind: int, shape: tuple[int, ...], name: str) -> Tensor:
    size = int(np.prod(shape))
    if kind == FLOAT32:
        return torch.from_numpy(np.frombuffer(raw, "<f4", size).reshape(shape).copy())
    if kind != INT8:
        raise ValueError(f"{name} has the type {kind:#x}")
    values = np.frombuffer(raw, np.int8, size).astype(np.float32)
    (scale,) = np.frombuffer(raw, "<f4", 1, offset=size)
    return torch.from_numpy(values / scale).reshape(shape if name == "Wemb" else shape[::-1])


def config(tensors: dict[str, Tensor]) -> Config:
    """What the items' names and shapes say. ValueError for a model with other parts."""
    refuse("Wemb" not in tensors, "it has no embedding table for both languages")
    refuse("decoder_l1_rnn_Wf" not in tensors, "its decoder has no SSRU")
    vocab_size, d_model = tensors["Wemb"].shape
    layers = {side: sum(name.startswith(f"{side}_l") and name.endswith("_ffn_W1") for name in tensors)
              for side in ("encoder", "decoder")}  # fmt: skip
    return Config(
        kind="encoder-decoder", vocab_size=vocab_size + 1, d_model=d_model, n_heads=8,
        n_layers=layers["decoder"], n_encoder_layers=layers["encoder"], d_ff=tensors["encoder_l1_ffn_W1"].shape[0],
        attention="ssru", position="sinusoidal", sinusoid_layout="half", scale_embeddings=True, logit_bias=True,
        norm="layer", norm_eps=1e-6, norm_place="post", activation="relu",
        qkv_bias=True, out_bias=True, ffn_bias=True, init="xavier",
    )  # fmt: skip


def weights(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Marian's tensors under our names; the table and the bias get a row for the start."""
    tensors = {name: w[0] if w.dim() == 2 and len(w) == 1 else w for name, w in tensors.items()}  # biases are [1, n]
    tensors["Wemb"] = torch.cat((tensors["Wemb"], torch.zeros(1, config.d_model)))
    bias = "decoder_ff_logit_out_b"
    tensors[bias] = torch.cat((tensors[bias], torch.tensor([NEVER])))
    names = {"embedding.W_E.weight": "Wemb", "encoder.embedding.W_E.weight": "Wemb", "b_U": bias}
    for i in range(config.n_encoder_layers):
        ours, theirs = f"encoder.stack.blocks.{i}", f"encoder_l{i + 1}"
        names |= _attention(f"{ours}.attention", f"{theirs}_self") | _ffn(ours, theirs)
        names |= _norm(f"{ours}.norm_1", f"{theirs}_self_Wo_ln")
    for i in range(config.n_layers):
        ours, theirs = f"stack.blocks.{i}", f"decoder_l{i + 1}"
        names |= _attention(f"{ours}.cross", f"{theirs}_context") | _ffn(ours, theirs)
        names |= _norm(f"{ours}.norm_1", f"{theirs}_rnn_ffn_ln") | _norm(f"{ours}.norm_cross", f"{theirs}_context_Wo_ln")
        names |= {
            f"{ours}.attention.W.weight": f"{theirs}_rnn_W",
            f"{ours}.attention.W_f.weight": f"{theirs}_rnn_Wf",
            f"{ours}.attention.W_f.bias": f"{theirs}_rnn_bf",
        }
    return translate(tensors, names, config, harmless=r"$^")


def _attention(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.W_{part}.{kind}": f"{theirs}_{letter}{part.lower()}"
            for part in "QKVO" for kind, letter in (("weight", "W"), ("bias", "b"))}  # fmt: skip


def _ffn(ours: str, theirs: str) -> dict[str, str]:
    names = {f"{ours}.ffn.W_{i}.{kind}": f"{theirs}_ffn_{letter}{i}"
             for i in (1, 2) for kind, letter in (("weight", "W"), ("bias", "b"))}  # fmt: skip
    return names | _norm(f"{ours}.norm_2", f"{theirs}_ffn_ffn_ln")


def _norm(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.gamma": f"{theirs}_scale", f"{ours}.beta": f"{theirs}_bias"}
