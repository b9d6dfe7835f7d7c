"""Whole models: ids in, logits (or vectors) out, every tensor between them named."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from transformer import names
from transformer.biases import BIASES
from transformer.cache import Cache, kept
from transformer.config import Config
from transformer.embedding import Embedding, Patches
from transformer.geometry import Across, Geometry
from transformer.heads import Classifier, MaskedWord
from transformer.norms import make_norm
from transformer.stack import Stack
from transformer.tap import OFF, Edit, RecordingTap, Tap, Trace

Ids = Sequence[int] | Sequence[Sequence[int]] | Tensor


@dataclass(frozen=True)
class Run:
    """What ``Model.run`` gives back: the output, the recorded tensors by name, and the cache when one was passed in."""

    output: Tensor  # [batch, token, vocab]; without a head [batch, token, model]
    trace: Trace
    cache: Cache | None = None


class Model(nn.Module):
    """embedding → layers → final norm → head.

    ``model(ids)`` computes; ``model.run(ids, record=…, edit=…)`` computes, records and intervenes;
    ``model.extend(ids, cache)`` reads on where a cache stopped.
    """

    def __init__(self, config: Config, cross: bool = False):
        super().__init__()
        self.config = config
        self.embedding = Patches(config) if config.kind == "vision" else Embedding(config)
        self.bias = BIASES[config.position](config) if config.position in BIASES else None  # one for all layers
        self.stack = Stack(config, cross)
        self.final_norm = make_norm(config) if config.final_norm else None
        # [vocab, model]; a tied head is the embedding matrix itself
        untied = config.head == "lm" and not config.tie_embeddings
        self.W_U = nn.Linear(config.d_model, config.vocab_size, bias=False) if untied else None
        self.b_U = nn.Parameter(torch.empty(config.vocab_size)) if config.logit_bias else None
        heads = {"mlm": MaskedWord, "classify": Classifier}
        self.head = heads[config.head](config) if config.head in heads else None

    def forward(
        self,
        ids: Tensor,
        *,
        positions: Tensor | None = None,
        real: Tensor | None = None,
        segments: Tensor | None = None,
        tap: Tap = OFF,
    ) -> Tensor:
        """The whole text at once.

        ids [batch, token]; positions [batch or 1, token], default 0, 1, 2 …; real [batch, token] is False at padding;
        segments [batch, token] -> logits [batch, token, vocab], or class logits [batch, class], or without a head the
        last stream [batch, token, model].
        """
        return self._read(ids, positions, real, segments, None, tap)[0]

    def extend(
        self,
        ids: Tensor,
        cache: Cache,
        *,
        positions: Tensor | None = None,
        real: Tensor | None = None,
        last_only: bool = False,
        tap: Tap = OFF,
    ) -> tuple[Tensor, Cache]:
        """The tokens that follow what ``cache`` has read: the same logits as reading all of it, for the new tokens' cost.

        positions [batch or 1, token]: default the next ones. ``last_only``: logits of the last new token alone,
        [batch, 1, vocab].
        """
        if self.config.kind in ("encoder", "vision"):
            raise ValueError("an encoder reads its whole text at once: each token sees the later ones, so no cache holds.")
        return self._read(ids, positions, real, None, cache, tap, last_only)

    def run(
        self,
        ids: Ids,
        *,
        record: str | Iterable[str] = (),
        edit: Mapping[str, Edit] | None = None,
        real: Tensor | None = None,
        segments: Tensor | None = None,
        cache: Cache | None = None,
        gradients: bool = False,
    ) -> Run:
        """Compute with the tap on.

        ids: a list of ids, several lists (the shorter are padded on the right), or a tensor [batch, token].
        record: names or patterns, "*.A", "layers.3.*", "logits"; see ``transformer.names.of(model.config)``.
        edit: {name or pattern: function of the tensor}; runs before recording.
        gradients: keep autograd's graph; otherwise the run is free of it.
        Raises ValueError when ids are empty or out of the vocabulary, or a pattern matches nothing.
        """
        ids, real = self.batch(ids, real)

        def compute(tap: Tap) -> tuple[Tensor, Cache | None]:
            if cache is None:
                return self(ids, real=real, segments=segments, tap=tap), None
            return self.extend(ids, cache, real=real, tap=tap)

        return self.recorded(compute, record, edit, gradients)

    def recorded(
        self,
        compute: Callable[[Tap], tuple[Tensor, Cache | None]],
        record: str | Iterable[str],
        edit: Mapping[str, Edit] | None,
        gradients: bool,
    ) -> Run:
        """``compute`` with the tap on."""
        tap = RecordingTap(record, edit, names=names.of(self.config), gradients=gradients)
        with torch.set_grad_enabled(gradients):
            output, cache = compute(tap)
        return Run(output, tap.trace, cache)

    def batch(self, ids: Ids, real: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """ids as a tensor [batch, token] on the model's device, checked; and the padding mask, if rows are unequal."""
        device, vocab_size = self.embedding.W_E.weight.device, self.config.vocab_size
        if isinstance(ids, Tensor):
            if ids.is_floating_point() or ids.dtype == torch.bool or ids.dim() not in (1, 2):
                raise ValueError(f"ids are a {ids.dtype} tensor of shape {list(ids.shape)}; give whole numbers [batch, token].")
            rows, low, high = ids[None] if ids.dim() == 1 else ids, 0, 0
            if rows.numel() and not rows.is_meta:  # a meta tensor has no values to look at
                low, high = map(int, rows.aminmax())
            shortest = rows.shape[1] if len(rows) else 0
        else:
            rows = _rows(ids)
            low, high = min(map(min, filter(None, rows)), default=0), max(map(max, filter(None, rows)), default=0)
            shortest = min(map(len, rows), default=0)
        if not shortest:
            raise ValueError("there is no token to read; give at least one.")
        if low < 0 or high >= vocab_size:
            raise ValueError(f"token id {low if low < 0 else high} is outside the vocabulary of {vocab_size} entries.")
        if isinstance(rows, Tensor):
            return rows.to(device), real
        n = max(map(len, rows))
        if real is None and shortest < n:
            real = torch.tensor([[True] * len(row) + [False] * (n - len(row)) for row in rows], device=device)
        return torch.tensor([row + [0] * (n - len(row)) for row in rows], device=device), real

    def _read(
        self,
        ids: Tensor,
        positions: Tensor | None,
        real: Tensor | None,
        segments: Tensor | None,
        cache: Cache | None,
        tap: Tap,
        last_only: bool = False,
        source: Tensor | None = None,
        across: Across | None = None,
    ) -> tuple[Tensor, Cache | None]:
        config, batch, n = self.stack.config, ids.shape[0], self.length(ids)
        start = 0 if cache is None else cache.length
        if config.position == "learned" and start + n > config.max_len:
            raise ValueError(f"the text has {start + n} tokens; this model has positions for {config.max_len}.")
        if 0 < start < config.prefix:
            raise ValueError(f"the prefix of {config.prefix} tokens sees itself, so it must be read in one piece.")
        if cache is not None and config.packed:
            raise ValueError("several texts in one row cannot be read on; give each a row of its own.")
        reach = start + n - 1
        if positions is None:
            positions = torch.arange(start, start + n, device=ids.device)[None]  # [1, token]
        elif not positions.is_meta:
            reach = max(reach, int(positions.max()))
        k_pos, k_real = positions, real
        if cache is not None:
            k_pos, k_real = cache.positions_with(positions), cache.real_with(real, batch, n)
        geometry = Geometry(config, positions, k_pos, k_real, segments, self.bias, reach)

        x = self.embedding(ids, positions, segments, tap)
        x, cache = self.stack(x, geometry, cache, tap, source, across)
        if cache is not None:
            cache = replace(cache, k_pos=k_pos, real=k_real, length=start + n).last(kept(config))
        if last_only:
            x, real = x[:, -1:], None
        if self.final_norm is not None:
            x = tap("final_norm", self.final_norm(x))
        return self.read_off(x, real, tap), cache

    def read_off(self, x: Tensor, real: Tensor | None, tap: Tap) -> Tensor:
        """What the head makes of the last stream."""
        match self.stack.config.head:
            case "lm":
                x = self.embedding.unembed(x) if self.W_U is None else self.W_U(x)
                return tap("logits", x if self.b_U is None else x + self.b_U)
            case "mlm":
                return tap("logits", self.head(x, self.embedding.W_E.weight, tap))
            case "classify":
                return tap("class_logits", self.head(x, real, tap))
        return x

    def length(self, ids: Tensor) -> int:
        """How many tokens the model will see."""
        return ids.shape[1]


def _rows(ids: object) -> list[list[int]]:
    """One list of whole numbers, or several, as several."""
    if isinstance(ids, Sequence) and not isinstance(ids, str | bytes):
        several = [list(row) if isinstance(row, Sequence) else row for row in ids]
        rows = several if several and all(isinstance(row, list) for row in several) else [several]
        if all(isinstance(i, int) and not isinstance(i, bool) for row in rows for i in row):
            return rows
    raise ValueError(f"ids must be a list of whole numbers, or several such lists, not {ids!r:.60}.")


class Decoder(Model):
    """Reads left to right and predicts the next token at every position (GPT-2, Llama, SmolLM2)."""


class Encoder(Model):
    """Reads both ways and gives each token a vector in its context (BERT, MiniLM)."""
