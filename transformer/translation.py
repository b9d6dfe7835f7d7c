"""One text turned into another by an encoder–decoder, greedily, with what the decoder looked at while it wrote.

    model, tokenizer = transformer.load("marian-en-pt")
    said = translate("marian-en-pt", model, tokenizer, "The black cat sleeps.")
    said.written, alignment(said.A(1, 0), said.source, said.target)

Row t of a map belongs to the token that is written at step t; its query was made from the token before it.

    python -m transformer.translation --out assets/recorded     # makes the shipped recordings; needs the fetched models
"""

import argparse
import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from transformer.attention import masked_softmax
from transformer.config import Config
from transformer.generate import generate
from transformer.models import Model
from transformer.pretrained import load as load_model
from transformer.ssru import shares
from transformer.tokenizers import Tokenizer

FORMAT = "glassformer translation 1"
CROSS = ("layers.*.cross.Q", "layers.*.cross.K")  # scores and weights follow from them
READ = "encoder.layers.*.attention.A"
RECORDED = {  # file -> model, text: what the page on cross-attention begins with
    "marian-en-pt-chair": ("marian-en-pt", "The black cat sleeps on the red chair."),
    "marian-en-pt-house": ("marian-en-pt", "I bought a small white house near the old bridge."),
    "marian-en-pt-letter": ("marian-en-pt", "The young doctor wrote a long letter to the president."),
    "marian-pt-en-cadeira": ("marian-pt-en", "O gato preto dorme na cadeira vermelha."),
    "marian-pt-en-politica": ("marian-pt-en", "A nova política econômica europeia não agrada ao governo francês."),
}


@dataclass(frozen=True, eq=False)
class Translation:
    """What was read, what was written, how sure each token was, and the tensors of the run by name, batch first."""

    model: str
    text: str
    written: str
    source: tuple[str, ...]  # pieces
    target: tuple[str, ...]  # pieces, one a step
    before: tuple[str, ...]  # the piece that each step's query was made from
    probabilities: tuple[float, ...]
    config: Config
    trace: Mapping[str, Tensor]
    hidden: tuple[int, ...] = ()  # source tokens that cross-attention could not see

    def Q(self, layer: int) -> Tensor:
        """[head, step, d_head]"""
        return self.trace[f"layers.{layer}.cross.Q"][0]

    def K(self, layer: int) -> Tensor:
        """[head, source, d_head]"""
        return self.trace[f"layers.{layer}.cross.K"][0]

    def scores(self, layer: int) -> Tensor:
        """S = Q Kᵀ / √d_k, [head, step, source]; −∞ where the source was hidden."""
        S = self.Q(layer) @ self.K(layer).mT / math.sqrt(self.config.d_head)
        return hide(self.hidden)(S)

    def A(self, layer: int, head: int | None = None) -> Tensor:
        """Cross-attention's weights [step, source] of a head, or of their mean."""
        A = masked_softmax(self.scores(layer), None)
        return A.mean(0) if head is None else A[head]

    def encoder_A(self, layer: int, head: int | None = None) -> Tensor:
        """The encoder's own weights [source, source], of a head or of their mean."""
        A = self.trace[f"encoder.layers.{layer}.attention.A"][0]
        return A.mean(0) if head is None else A[head]

    def own(self, layer: int, head: int | None = None) -> Tensor:
        """What the decoder reads of its own tokens [step, step]: attention's weights, or what an SSRU's state still
        holds (``ssru.shares``), which knows no heads."""
        if self.config.attention == "ssru":
            return shares(self.trace[f"layers.{layer}.attention.forget"])[0]
        A = self.trace[f"layers.{layer}.attention.A"][0]
        return A.mean(0) if head is None else A[head]


def translate(
    name: str, model: Model, tokenizer: Tokenizer, text: str, *, most: int = 80, hidden: Iterable[int] = ()
) -> Translation:
    """Write greedily until the end token, or ``most`` tokens. hidden: source tokens that no query of cross-attention may
    see, though the encoder has read them. ValueError for a text that the tokenizer cannot take, or all of it hidden."""
    source, hidden = tokenizer.encode(text), tuple(hidden)
    if source and len(set(hidden)) >= len(source):
        raise ValueError("every token of the source is hidden; leave the decoder one to look at.")
    edit = {"layers.*.cross.scores": hide(hidden)} if hidden else None
    start, stop = [tokenizer.start_id], () if tokenizer.end_id is None else tokenizer.end_id
    steps = list(generate(model, start, source=source, max_new_tokens=most, temperature=0, stop=stop, edit=edit, exact=True))
    written = [step.token for step in steps]
    record = (*CROSS, READ, "layers.*.attention.forget" if model.config.attention == "ssru" else "layers.*.attention.A")
    run = model.run(start + written[:-1], source, record=record, edit=edit)
    return Translation(
        name, text, tokenizer.decode(written), tuple(tokenizer.pieces(source)), tuple(tokenizer.pieces(written)),
        tuple(tokenizer.pieces(start + written[:-1])), tuple(step.probability for step in steps), model.config, run.trace,
        hidden,
    )  # fmt: skip


def hide(which: Sequence[int]):
    """An edit of scores [..., source]: those keys get −∞, so that no query can read them."""

    def edit(S: Tensor) -> Tensor:
        barred = torch.zeros(S.shape[-1], dtype=torch.bool, device=S.device)
        barred[list(which)] = True
        return S.masked_fill(barred, -torch.inf)

    return edit


def words(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """The pieces that make up each word, (begin, end). A word begins with a space, or where letters and digits begin or
    end; special pieces such as ‹end› are words of their own."""
    found: list[tuple[int, int]] = []
    kind = None
    for i, piece in enumerate(pieces):
        bare = piece.strip()
        now = "space" if not bare else "special" if bare.startswith("‹") else "word" if is_word([bare]) else "sign"
        if kind == "space" or (now == kind and now != "special" and not piece.startswith(" ")):
            found[-1] = (found[-1][0], i + 1)
        else:
            found.append((i, i + 1))
        kind = now
    return found


def alignment(A: Tensor, source: Sequence[str], target: Sequence[str]) -> Tensor:
    """Weights between words: summed over the pieces of a source word, averaged over those of a target word, so that
    rows still sum to 1.   A [step, source] -> [target word, source word]"""
    columns = torch.stack([A[:, begin:end].sum(1) for begin, end in words(source)], 1)
    return torch.stack([columns[begin:end].mean(0) for begin, end in words(target)])


def links(A: Tensor, source: Sequence[str], target: Sequence[str]) -> list[int]:
    """The source word that each target word reads most; −1 where one of the two is no word (a stop, the end).

    A [step, source].
    """
    W = alignment(A, source, target)
    says = [[is_word(pieces[a:b]) for a, b in words(pieces)] for pieces in (source, target)]
    best = W.argmax(1).tolist()
    return [j if says[1][i] and says[0][j] else -1 for i, j in enumerate(best)]


def is_word(pieces: Sequence[str]) -> bool:
    """Whether letters or digits are in it."""
    text = "".join(pieces)
    return "‹" not in text and re.search(r"[^\W_]", text) is not None


def crossings(links: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of target words i < j whose source words stand the other way round: links[i] > links[j]."""
    real = [(i, s) for i, s in enumerate(links) if s >= 0]
    return [(i, j) for n, (i, s) in enumerate(real) for j, t in real[n + 1 :] if s > t]


def save(said: Translation, file: Path) -> None:
    """Q and K of cross-attention, the encoder's weights and the decoder's own, as float16 safetensors."""
    about = {
        "model": said.model, "text": said.text, "written": said.written, "source": said.source, "target": said.target,
        "before": said.before, "probabilities": said.probabilities, "config": said.config.to_dict(),
        "command": "python -m transformer.translation", "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    metadata = {"format": FORMAT, "about": json.dumps(about, ensure_ascii=False)}
    save_file({name: t.half().contiguous() for name, t in said.trace.items()}, file, metadata)


def load(file: Path) -> Translation:
    """What ``save`` wrote, in float32. ValueError for another file."""
    with safe_open(file, "pt") as tensors:
        metadata = tensors.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{file} is no recorded translation.")
        about = json.loads(metadata["about"])
        trace = {name: tensors.get_tensor(name).float() for name in tensors.keys()}
    pieces = (tuple(about[field]) for field in ("source", "target", "before", "probabilities"))
    return Translation(about["model"], about["text"], about["written"], *pieces, Config(**about["config"]), trace)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "assets" / "recorded")
    folder = parser.parse_args().out
    for file, (name, text) in RECORDED.items():
        said = translate(name, *load_model(name), text)
        save(said, folder / f"{file}.safetensors")
        print(f"{file}: {said.text} -> {said.written}")


if __name__ == "__main__":
    main()
