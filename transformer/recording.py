"""Recorded traces: a real run of a real model in one small file, so that a picture need not wait for a download.

    recording = load("assets/recorded/smollm2-135m-capital.safetensors.xz")
    recording["layers.23.attention.A"]  # [batch, head, query, key], as model.run(ids, record=…) would give it

A file keeps what cannot be worked out without the weights: the embedding, Q, K and V, what each block writes into the
stream, the FFN's neurons, the logits. The rest is a step of known arithmetic away, and is made when asked for by the
functions of the forward pass: S and A from Q and K, z from A and V, the stream as a running sum, the norms.

What is kept is rounded (compact.py), each kind as finely as what is drawn of it needs: see ``SHARES``. Of the logits the
``TOP`` of every position are kept exactly, the rest to ±0.25, sharing what probability those leave.

    python -m transformer.recording --out assets/recorded     # makes the shipped files; needs the fetched weights
"""

import argparse
import datetime
import hashlib
import json
import lzma
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, torch as tensors
from torch import Tensor

from transformer import compact, masks, names, rope, scores
from transformer.attention import masked_softmax
from transformer.config import Config
from transformer.feedforward import ACTIVATIONS
from transformer.models import Model
from transformer.pretrained import load as load_model
from transformer.pretrained.archives import ARCHIVES
from transformer.pretrained.fetch import folder_of
from transformer.tokenizers import Tokenizer

FORMAT = "glassformer recording 2"
SUFFIX = ".safetensors.xz"
TOP = 256  # how many vocabulary entries a position, the most probable first, have their pieces and exact logits kept
REST = 0.5  # between two values of the other logits, nats
SHARES = (  # a rounding step as a share of the vector's middling number; the first pattern that matches counts
    ("*.attention.[QK]", 0.06),  # products of these go through a softmax
    ("*.attention.V", 0.1),
    ("*.ffn.[pg]*", 0.4),  # thousands of neurons, of which histograms and averages are drawn
    ("*.out", 0.2),
    ("*", 0.05),  # the embedding, the norms' weights
)

ATTENTION = ("*.attention.Q", "*.attention.K", "*.attention.V")  # everything inside attention follows from these
EVERYTHING = ("embed*", *ATTENTION, "*.attention.out", "*.ffn.pre", "*.ffn.[go]*", "logits")  # gate, where there is one; out


@dataclass(frozen=True, eq=False)
class Recording(Mapping[str, Tensor]):
    """One run of one model on one text: its trace by name, float32, batch first, within the rounding of ``SHARES``.

    Iterating gives the names that can be had, in the order of computation.
    """

    model: str  # what transformer.load takes
    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    config: Config
    vocabulary: dict[int, str]  # pieces of the ``TOP`` most probable entries at every position
    about: dict[str, str]  # command, date, sha256 of the weights
    kept: dict[str, Tensor]  # what the file holds
    _made: dict[str, Tensor] = field(default_factory=dict, repr=False)  # what has been asked for

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._made:
            if f"{name}.step" in self.kept:
                self._made[name] = compact.unpack(self.kept, name)
            elif name in self.kept:
                self._made[name] = self.kept[name].float()
            elif (found := recipe(name, self.config)) is None:
                raise KeyError(f"{name} is not in this recording of {self.model}, and does not follow from what is.")
            else:
                needed, make = found
                self._made[name] = make(*(self[other] for other in needed))
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        known = dict.fromkeys(self.kept, True)

        def follows(name: str) -> bool:
            if name not in known:
                found = recipe(name, self.config)
                known[name] = found is not None and all(map(follows, found[0]))
            return known[name]

        return tuple(name for name in names.of(self.config) if follows(name))


def recipe(name: str, config: Config) -> tuple[tuple[str, ...], Callable[..., Tensor]] | None:
    """How a tensor follows from others: (their names, a function of them); None for what only the weights can give."""
    if name == "logits":
        return ("logits.logsumexp", "logits.ids", "logits.likely", "logits.rest"), _logits
    if name == "final_norm":
        return _norm(f"layers.{config.n_layers - 1}.resid_post", name, config)
    if not name.startswith("layers."):
        return None
    layer, part = name.removeprefix("layers.").split(".", 1)
    here = f"layers.{layer}."
    Q, K, V, A = (f"{here}attention.{letter}" for letter in "QKVA")
    share = lambda x: x.repeat_interleave(config.n_heads // config.n_kv_heads, 1)  # noqa: E731
    match part:
        case "attention.scores":
            return (Q, K), lambda Q, K: scores.dot(Q, share(K), scores.scale(config))
        case "attention.A":
            return (f"{here}attention.scores",), lambda S: masked_softmax(S, _mask(config, S.shape[-1]))
        case "attention.z":
            return (A, V), lambda A, V: A @ share(V)
        case "attention.Q_unrotated":
            return (Q,), lambda Q: _turned_back(Q, config)
        case "attention.K_unrotated":
            return (K,), lambda K: _turned_back(K, config)
        case "ffn.post" if config.gated:
            return (f"{here}ffn.gate", f"{here}ffn.pre"), lambda g, u: ACTIVATIONS[config.activation](g) * u
        case "ffn.post":
            return (f"{here}ffn.pre",), ACTIVATIONS[config.activation]
    if config.norm_place != "pre":  # the stream is no plain sum
        return None
    match part:
        case "resid_pre":
            return ("embed" if layer == "0" else f"layers.{int(layer) - 1}.resid_post",), lambda x: x
        case "resid_mid":
            return (f"{here}resid_pre", f"{here}attention.out"), torch.add
        case "resid_post":
            return (f"{here}resid_mid", f"{here}ffn.out"), torch.add
        case "norm_1":
            return _norm(f"{here}resid_pre", name, config)
        case "norm_2":
            return _norm(f"{here}resid_mid", name, config)
    return None


def _logits(total: Tensor, ids: Tensor, likely: Tensor, rest: Tensor) -> Tensor:
    """ℓ: the likely ones as they were; the others below them, sharing what probability they leave."""
    ids = ids.long()
    rest = rest.scatter(-1, ids, -torch.inf)
    left = (1 - likely.exp().sum(-1, keepdim=True)).clamp_min(1e-12)
    rest = (rest + left.log() - rest.logsumexp(-1, keepdim=True)).minimum(likely[..., -1:] - 0.01)
    return total + rest.scatter(-1, ids, likely)


def _norm(of: str, name: str, config: Config) -> tuple[tuple[str, ...], Callable[..., Tensor]]:
    if config.norm == "rms":
        return (of, f"{name}.gamma"), lambda x, gamma: F.rms_norm(x, gamma.shape, gamma, config.norm_eps)
    return (of, f"{name}.gamma", f"{name}.beta"), (
        lambda x, gamma, beta: F.layer_norm(x, gamma.shape, gamma, beta, config.norm_eps)
    )


def _mask(config: Config, n: int) -> Tensor | None:
    positions = torch.arange(n)[None]
    return masks.mask(config, positions, positions)


def _turned_back(x: Tensor, config: Config) -> Tensor:
    """R_m^T x: what stood there before the rotation."""
    cos, sin, interleaved = rope.rotation(config, torch.arange(x.shape[-2])[None])
    squared = cos.square() + sin.square()  # 1, but for YaRN's factor
    return rope.rotate(x, rope.Rotation(cos / squared, -sin / squared, interleaved))


@torch.no_grad()
def record(
    model: Model, tokenizer: Tokenizer, text: str, *, name: str, keep: tuple[str, ...] = EVERYTHING, **about: str
) -> Recording:
    """Run ``model`` (called ``name``) on ``text``, and keep what matches ``keep``, rounded as a file would."""
    ids = tokenizer.encode(text)
    run = model.run(ids, record=keep)
    kept = dict(run.trace)
    if "embed" in kept:  # the stream will be summed up, and the norms along it need their weights
        for at, weight in model.state_dict().items():
            if "norm" in at and "embedding" not in at:
                kept[at.replace("stack.blocks.", "layers.")] = weight
    vocabulary: set[int] = set()
    whole: dict[str, Tensor] = {}
    packed: dict[str, Tensor] = {}
    if "logits" in kept:
        logits = kept.pop("logits")  # [batch, token, vocab]
        total = logits.logsumexp(-1, keepdim=True)
        likely, which = (logits - total).topk(min(TOP, logits.shape[-1]))
        whole |= {"logits.logsumexp": total, "logits.ids": which.int(), "logits.likely": likely}
        packed |= compact.pack("logits.rest", logits - total, step=REST)
        vocabulary = set(which.flatten().tolist())
    for at, tensor in kept.items():
        packed |= compact.pack(at, tensor, next(share for pattern, share in SHARES if fnmatchcase(at, pattern)))
    return Recording(
        model=name,
        text=text,
        ids=tuple(ids),
        pieces=tuple(tokenizer.pieces(ids)),
        config=model.config,
        vocabulary={i: tokenizer.pieces([i])[0] for i in sorted(vocabulary)},
        about=dict(about),
        kept=whole | packed,
    )


def save(path: Path, recording: Recording) -> None:
    """Write one safetensors file, compressed by xz: the kept tensors by name, everything else as JSON in its metadata."""
    metadata = {
        "format": FORMAT,
        "model": recording.model,
        "text": recording.text,
        "ids": json.dumps(recording.ids),
        "pieces": json.dumps(recording.pieces, ensure_ascii=False),
        "config": json.dumps(recording.config.to_dict()),
        "vocabulary": json.dumps(recording.vocabulary, ensure_ascii=False),
        "about": json.dumps(recording.about, ensure_ascii=False),
    }
    path.write_bytes(lzma.compress(tensors.save(recording.kept, metadata), preset=9 | lzma.PRESET_EXTREME))


def load(path: Path) -> Recording:
    """The recording in a file. Raises ValueError, one sentence, when it is something else."""
    try:
        data = lzma.decompress(Path(path).read_bytes())
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        kept = tensors.load(data)
    except (lzma.LZMAError, SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is not a whole recording; `python -m transformer.recording` makes them.") from error
    metadata = header.get("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is not a recording of this version; `python -m transformer.recording` makes them.")
    return Recording(
        model=metadata["model"],
        text=metadata["text"],
        ids=tuple(json.loads(metadata["ids"])),
        pieces=tuple(json.loads(metadata["pieces"])),
        config=Config(**json.loads(metadata["config"])),
        vocabulary={int(i): piece for i, piece in json.loads(metadata["vocabulary"]).items()},
        about=json.loads(metadata["about"]),
        kept=kept,
    )


@dataclass(frozen=True)
class Default:
    """A text that lessons open with, and where to look in it: the head, and the cell of its map, that tell the most."""

    model: str
    text: str
    layer: int
    head: int
    query: int  # row
    key: int  # column
    tells: str
    keep: tuple[str, ...] = ATTENTION


CAPITAL = "The capital of France is"
REPEAT = "My cat Zibbo loves fish. Every day Zibbo"
PRONOUN = "The animal didn't cross the street because it was too tired"

# File in assets/recorded -> what it shows. The numbers in the words are tested against the files.
DEFAULTS = {
    "smollm2-135m-capital": Default(
        "smollm2-135m", CAPITAL, layer=23, head=4, query=4, key=3, keep=EVERYTHING,
        tells="“is” reads “France” with 0.90 of its weight; of all 270 heads, what this one writes speaks most for “Paris”.",
    ),
    "smollm2-135m-repeat": Default(
        "smollm2-135m", REPEAT, layer=17, head=4, query=11, key=4,
        tells="Induction: each piece of the second “Zibbo” reads what came after it the first time (0.96, 0.99, 0.95); "
        "every other row rests on the first token.",
    ),
    "smollm2-135m-pronoun": Default(
        "smollm2-135m", PRONOUN, layer=13, head=8, query=8, key=1,
        tells="“it” reads “animal” (0.75), as “didn”, “'t” and “cross” do: on this text the head looks for the subject.",
    ),
    "minilm-l6-repeat": Default(
        "minilm-l6", REPEAT, layer=2, head=9, query=3, key=11,
        tells="Each piece of “Zibbo” reads its twin, ahead as well as back (0.94 and 0.96): an encoder fills both triangles.",
    ),
    "minilm-l6-pronoun": Default(
        "minilm-l6", PRONOUN, layer=3, head=1, query=10, key=2,
        tells="“it” reads “animal” (0.64), and “cross” reads ahead to “street” (0.59): an encoder has no causal mask.",
    ),
}  # fmt: skip

# File -> model, text: recorded for their logits alone, which the lessons about the next token open with.
LOGITS = {"smollm2-135m-sum": ("smollm2-135m", "Two plus two equals")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the sentences that the lessons open with.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "assets" / "recorded")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    jobs = {file: (default.model, default.text, default.keep) for file, default in DEFAULTS.items()}
    jobs |= {file: (model, text, ("logits",)) for file, (model, text) in LOGITS.items()}
    for name in dict.fromkeys(model for model, _, _ in jobs.values()):
        model, tokenizer = load_model(name)
        weights = next(folder_of(name) / file for file in ARCHIVES[name].files if file.endswith((".gguf", ".safetensors")))
        about = {
            "command": "python -m transformer.recording",
            "date": datetime.date.today().isoformat(),
            "weights": weights.name,
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        }
        for file, (reader, text, keep) in jobs.items():
            if reader == name:
                recording = record(model, tokenizer, text, name=name, keep=keep, **about)
                save(out / f"{file}{SUFFIX}", recording)
                size = (out / f"{file}{SUFFIX}").stat().st_size
                print(f"{file}: {len(recording.ids)} tokens, {len(recording)} tensors, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
