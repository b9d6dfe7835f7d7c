"""Hierarchical attention: words make segments, segments make a document. Yang et al. 2016, "Hierarchical Attention
Networks for Document Classification" (NAACL), with Transformer layers where the paper has recurrent ones.

With segments of s words, attention scores n·s + (n/s)² pairs where one text of n words would score n².
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from transformer import names
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.initialise import initialise
from transformer.models import Encoder, Run
from transformer.stack import Stack
from transformer.tap import OFF, Edit, RecordingTap, Tap

Document = Sequence[Sequence[int]]  # segments of token ids


class Pool(nn.Module):
    """α = softmax(u · tanh(W h + b)),  s = Σ_t α_t h_t: attention whose one query u is learned ("what matters here?").

    h [batch, token, d_model], real [batch, token] -> s [batch, d_model]. Rows without a real token give zeros.
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.W = nn.Linear(d_model, d_model)
        self.u = nn.Linear(d_model, 1, bias=False)

    def forward(self, h: Tensor, real: Tensor, tap: Tap) -> Tensor:
        S = tap("scores", self.u(self.W(h).tanh())[..., 0])  # [batch, token]
        A = S.masked_fill(~real, -torch.inf).softmax(-1).masked_fill(~real, 0.0)
        return (tap("A", A)[..., None] * h).sum(1)


class Hierarchical(nn.Module):
    """ids → word layers within each segment → one vector a segment → segment layers → one vector a document → classes.

    ``config`` (kind "encoder", head "classify") describes the word layers; the segment layers are alike, n_segment_layers
    of them. Recorded names start with "words." (the batch axis runs over all segments of all documents) or "segments.";
    the pooling weights are "words.pool.A" [segment, token] and "segments.pool.A" [document, segment], the scores that the
    softmax was given "words.pool.scores" and "segments.pool.scores".
    """

    def __init__(self, config: Config, n_segment_layers: int = 1, seed: int | None = None):
        super().__init__()
        if config.kind != "encoder" or config.head != "classify":
            raise ValueError("hierarchical attention classifies: its config needs kind='encoder' and head='classify'.")
        self.config = config
        of_words = replace(config, head="none", n_classes=None)
        self.words = Encoder(of_words)
        self.segments = Stack(replace(of_words, n_layers=n_segment_layers))
        self.pool_words, self.pool_segments = Pool(config.d_model), Pool(config.d_model)
        self.W_C = nn.Linear(config.d_model, config.n_classes)
        initialise(self, seed)

    def forward(self, ids: Tensor, real: Tensor, tap: Tap = OFF) -> Tensor:
        """ids and real [document, segment, token], False at padding -> class logits [document, class]."""
        s = self.read_segments(ids.flatten(0, 1), real.flatten(0, 1), tap)
        return self.read_documents(s.unflatten(0, ids.shape[:2]), real.any(-1), tap)

    def read_segments(self, ids: Tensor, real: Tensor, tap: Tap = OFF) -> Tensor:
        """ids and real [segment, token] -> one vector for each [segment, d_model]."""
        h = self.words(ids, real=real, tap=tap / "words")
        return self.pool_words(h, real, tap / "words" / "pool")

    def read_documents(self, s: Tensor, real: Tensor, tap: Tap = OFF) -> Tensor:
        """The segments' vectors s [document, segment, d_model] and real [document, segment] -> [document, class]."""
        at = torch.arange(s.shape[1], device=s.device)[None]
        geometry = Geometry(self.segments.config, at, at, real, reach=s.shape[1] - 1)
        s, _ = self.segments(s, geometry, None, tap / "segments")
        d = tap("document", self.pool_segments(s, real, tap / "segments" / "pool"))
        return tap("class_logits", self.W_C(d))

    def run(
        self,
        documents: Sequence[Document],
        *,
        record: str | Iterable[str] = (),
        edit: Mapping[str, Edit] | None = None,
        gradients: bool = False,
    ) -> Run:
        """Documents as lists of segments as lists of ids; unequal ones are padded. Record and edit as in ``Model.run``."""
        ids, real = self.batch(documents)
        tap = RecordingTap(record, edit, names=self.names(), gradients=gradients)
        with torch.set_grad_enabled(gradients):
            output = self(ids, real, tap)
        return Run(output, tap.trace)

    def batch(self, documents: Sequence[Document]) -> tuple[Tensor, Tensor]:
        """ids and real [document, segment, token]. ValueError where there is no token, or one out of the vocabulary."""
        if not documents or not all(document and all(document) for document in documents):
            raise ValueError("each document needs a segment, and each segment a token.")
        n_segments = max(map(len, documents))
        n = max(len(segment) for document in documents for segment in document)
        ids = torch.zeros(len(documents), n_segments, n, dtype=torch.long)
        real = torch.zeros_like(ids, dtype=torch.bool)
        for i, document in enumerate(documents):
            for j, segment in enumerate(document):
                ids[i, j, : len(segment)] = torch.tensor(segment)
                real[i, j, : len(segment)] = True
        if ids.min() < 0 or ids.max() >= self.config.vocab_size:
            raise ValueError(f"a token id is outside the vocabulary of {self.config.vocab_size} entries.")
        device = self.W_C.weight.device
        return ids.to(device), real.to(device)

    def names(self) -> list[str]:
        """Every name that a run can record."""
        of_words = names.of(self.words.config)
        of_segments = [
            name for name in names.of(replace(self.segments.config, final_norm=False)) if name.startswith("layers.")
        ]
        words = [f"words.{name}" for name in (*of_words, "pool.scores", "pool.A")]
        segments = [f"segments.{name}" for name in (*of_segments, "pool.scores", "pool.A")]
        return [*words, *segments, "document", "class_logits"]


def scored_pairs(n: int, s: int) -> tuple[int, int]:
    """Pairs of tokens that one head scores at each level for n words in segments of s: n·s and ⌈n/s⌉².

    The last segment is counted as if it were full, which it is once padded. One text of n words scores n².
    """
    segments = -(-n // s)
    return segments * s * s, segments**2


def best_segment(n: int) -> float:
    """The s where n·s + (n/s)² is least: its derivative n − 2n²/s³ is 0 at s = ∛(2n), where the sum is 1.89 n^(4/3)."""
    return (2 * n) ** (1 / 3)
