"""What a document classifier says when a word or a sentence is taken out: the test of an attention weight.

A weight says how much of a vector went into a sum. Whether the answer hangs on it is another question, and this is how it
is asked: remove, run again, compare. Jain & Wallace 2019, arXiv:1902.10186; Serrano & Smith 2019, arXiv:1906.03731.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.hierarchy import Document, Hierarchical
from transformer.tap import Edit, RecordingTap


class Part(NamedTuple):
    """A sentence of a document, or one word of it."""

    sentence: int
    word: int | None = None


@dataclass(frozen=True)
class Removals:
    """The document as it is (variant 0), and without each of ``parts`` (variant 1 + i).

    Numbers stand where the parts stand in the whole document; what is taken out, or was never there, has 0. Scores are
    what the softmax was given: u · tanh(W h + b).
    """

    parts: tuple[Part, ...]
    p: Tensor  # [variant, class]
    sentences: Tensor  # β: the weight of each sentence [variant, sentence]
    sentence_scores: Tensor
    words: Tensor  # α: the weight of each word in its sentence [variant, sentence, word]
    word_scores: Tensor

    def effect(self, label: int) -> Tensor:
        """How much of the class's probability goes with each part: p(whole) − p(without).   [part]"""
        return self.p[0, label] - self.p[1:, label]

    def share(self) -> Tensor:
        """How much of the document each part is by its weights: β, or β α for a word.   [part]"""
        sentence = torch.tensor([at.sentence for at in self.parts], dtype=torch.long)
        word = torch.tensor([-1 if at.word is None else at.word for at in self.parts], dtype=torch.long)
        beta = self.sentences[0, sentence]
        return torch.where(word < 0, beta, beta * self.words[0, sentence, word.clamp_min(0)])


def parts_of(document: Document) -> tuple[Part, ...]:
    """Every sentence and every word that can be taken out so that something is left; sentences first."""
    lengths = [len(sentence) for sentence in document]
    whole = [Part(i) for i in range(len(document))] if len(document) > 1 else []
    words = [Part(i, j) for i, n in enumerate(lengths) for j in range(n)] if sum(lengths) > 1 else []
    return (*whole, *words)


def without(document: Document, part: Part) -> list[list[int]]:
    """The document without the part; a sentence that loses its only word goes, too."""
    left = [list(sentence) for sentence in document]
    if part.word is None or len(left[part.sentence]) == 1:
        del left[part.sentence]
    else:
        del left[part.sentence][part.word]
    return left


def even(A: Tensor) -> Tensor:
    """The weights that know nothing: 1/n to each of the n parts that have any. For ``model.run(…, edit={…: even})``."""
    there = (A > 0).to(A.dtype)
    return there / there.sum(-1, keepdim=True).clamp_min(1)


EVEN = {"words": "words.pool.A", "sentences": "segments.pool.A"}  # level -> whose weights ``even`` replaces


@torch.no_grad()
def removals(model: Hierarchical, document: Document, levels: Sequence[str] = (), most: int = 512) -> Removals:
    """Runs the document whole and without each part; ``levels`` of EVEN share evenly.

    A sentence's vector knows nothing of the others: each sentence is read once whole and once without each of its words,
    ``most`` at once, and the variants are put together from these.
    """
    parts, n_sentences = parts_of(document), len(document)
    sentences = [list(sentence) for sentence in document]  # and from there on those without a word
    rows = [list(range(n_sentences))]  # of each variant: which of the sentences it is made of
    for sentence, word in parts:
        row = list(range(n_sentences))
        if word is None or len(document[sentence]) == 1:
            del row[sentence]
        else:
            row[sentence] = len(sentences)
            sentences.append([*document[sentence][:word], *document[sentence][word + 1 :]])
        rows.append(row)
    s, of_words, real = _read(model, sentences, levels, most)
    tap = RecordingTap("segments.pool.*", _edit(levels), names=model.names())
    there = torch.tensor([[i < len(row) for i in range(n_sentences)] for row in rows], device=s.device)
    made_of = torch.tensor([row + [0] * (n_sentences - len(row)) for row in rows], device=s.device)
    p = model.read_documents(s[made_of], there, tap).softmax(-1)
    of_sentences = torch.stack([tap.trace["segments.pool.A"], tap.trace["segments.pool.scores"]])
    by_sentence = s.new_zeros(2, len(rows), n_sentences)  # weights, scores
    by_word = (of_words * real)[:, None, :n_sentences].repeat(1, len(rows), 1, 1)  # [2, variant, sentence, word]
    for v, (row, (sentence, word)) in enumerate(zip(rows, [Part(-1), *parts], strict=True)):
        kept = [j for j in range(n_sentences) if len(row) == n_sentences or j != sentence]
        by_sentence[:, v, kept] = of_sentences[:, v, : len(row)]
        if v:
            by_word[:, v, sentence] = 0
        if v and len(row) == n_sentences:
            left = [t for t in range(len(document[sentence])) if t != word]
            by_word[:, v, sentence, left] = of_words[:, row[sentence], : len(left)]
    return Removals(parts, p, *by_sentence, *by_word)


def _read(model: Hierarchical, sentences: Document, levels: Sequence[str], most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each sentence by itself: vectors [sentence, d_model], weights and scores [2, sentence, word], and which are real."""
    ids, real = (x[:, 0] for x in model.batch([[sentence] for sentence in sentences]))
    s, found = [], []
    for some, there in zip(ids.split(most), real.split(most), strict=True):
        tap = RecordingTap("words.pool.*", _edit(levels), names=model.names())
        s.append(model.read_segments(some, there, tap))
        found.append(torch.stack([tap.trace["words.pool.A"], tap.trace["words.pool.scores"]]))
    return torch.cat(s), torch.cat(found, 1), real


def _edit(levels: Sequence[str]) -> dict[str, Edit]:
    return {EVEN[level]: even for level in levels}


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's ρ: the correlation of the ranks; nan where one of them is constant.   a, b [item]"""
    ranks = torch.stack([_ranks(a), _ranks(b)])
    return torch.corrcoef(ranks)[0, 1].item() if len(a) > 1 else float("nan")


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 0, equal values sharing their mean rank."""
    below = (x[:, None] > x).sum(-1)
    equal = (x[:, None] == x).sum(-1)
    return below + (equal - 1) / 2


def summary(found: Sequence[Removals]) -> dict[str, float]:
    """Over documents: how well a part's weight ranks what its removal changes in the predicted class, in size.

    The mean of Spearman's ρ over the documents, of sentences among themselves and of words among themselves; and how
    often the heaviest sentence is the one whose removal changes most.
    """
    sentences, words, hits = [], [], []
    for one in found:
        change, weight = one.effect(int(one.p[0].argmax())).abs(), one.share()
        whole = torch.tensor([part.word is None for part in one.parts])
        if whole.sum() > 2:
            sentences.append(rank_correlation(weight[whole], change[whole]))
            hits.append(float(weight[whole].argmax() == change[whole].argmax()))
        words.append(rank_correlation(weight[~whole], change[~whole]))
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    return {"documents": len(found), "sentences": mean(sentences), "words": mean(words), "heaviest_is_decisive": mean(hits)}
