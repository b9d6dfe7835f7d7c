"""Whole models: ids in, logits (or vectors) out, every tensor between them named."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer import masks, names, rope
from transformer.attention import Attention, Geometry
from transformer.cache import Cache
from transformer.config import Config
from transformer.embedding import Embedding
from transformer.feedforward import FeedForward
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

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.stack = Stack(config)
        self.final_norm = make_norm(config) if config.final_norm else None
        tied = config.head == "none" or config.tie_embeddings
        # [vocab, model]; a tied head is the embedding matrix itself
        self.W_U = None if tied else nn.Linear(config.d_model, config.vocab_size, bias=False)

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
        segments [batch, token] -> logits [batch, token, vocab], or without a head the last stream [batch, token, model].
        """
        return self._read(ids, positions, real, segments, None, tap)[0]

    def extend(
        self,
        ids: Tensor,
        cache: Cache,
        *,
        real: Tensor | None = None,
        last_only: bool = False,
        tap: Tap = OFF,
    ) -> tuple[Tensor, Cache]:
        """The tokens that follow what ``cache`` has read: the same logits as reading all of it, for the new tokens' cost.

        ``last_only``: logits of the last new token alone, [batch, 1, vocab].
        """
        if self.config.kind == "encoder":
            raise ValueError("an encoder reads its whole text at once: each token sees the later ones, so no cache holds.")
        return self._read(ids, None, real, None, cache, tap, last_only)

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
        tap = RecordingTap(record, edit, names=names.of(self.config), gradients=gradients)
        with torch.set_grad_enabled(gradients):
            if cache is None:
                output = self(ids, real=real, segments=segments, tap=tap)
            else:
                output, cache = self.extend(ids, cache, real=real, tap=tap)
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
    ) -> tuple[Tensor, Cache | None]:
        config, (batch, n) = self.config, ids.shape
        start = 0 if cache is None else cache.length
        if config.position == "learned" and start + n > config.max_len:
            raise ValueError(f"the text has {start + n} tokens; this model has positions for {config.max_len}.")
        if positions is None:
            positions = torch.arange(start, start + n, device=ids.device)[None]  # [1, token]
        k_pos, k_real = positions, real
        if cache is not None:
            k_pos, k_real = cache.positions_with(positions), cache.real_with(real, batch, n)
        geometry = self._geometry(positions, k_pos, k_real, sees_all=n == 1 and k_real is None)

        x = self.embedding(ids, positions, segments, tap)
        x, layers = self.stack(x, geometry, None if cache is None else cache.layers, tap)
        if last_only:
            x = x[:, -1:]
        if self.final_norm is not None:
            x = tap("final_norm", self.final_norm(x))
        if config.head == "lm":
            x = tap("logits", F.linear(x, self.embedding.W_E.weight) if self.W_U is None else self.W_U(x))
        return x, None if cache is None else replace(cache, layers=layers, k_pos=k_pos, real=k_real)

    def _geometry(self, q_pos: Tensor, k_pos: Tensor, real: Tensor | None, sees_all: bool) -> Geometry:
        config = self.config
        plain = config.kind == "decoder" and config.attention == "full" and real is None
        mask = None if plain and sees_all else masks.mask(config, q_pos, k_pos, real)
        is_causal = plain and q_pos is k_pos  # nothing was cached: the mask is square
        return Geometry(mask, real is not None, is_causal, rope.rotation(config, q_pos) if config.position == "rope" else None)


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


MODELS = {"decoder": Decoder, "encoder": Encoder}


def build(config: Config, seed: int | None = None) -> Model:
    """A model with random weights, in training mode; the same ``seed`` gives the same weights.

    Raises ValueError when ``config`` is not a Config.
    """
    if not isinstance(config, Config):
        raise ValueError(f"build takes a transformer.Config, not {type(config).__name__}.")
    model = MODELS[config.kind](config)
    initialise(model, seed)
    return model


@torch.no_grad()
def initialise(model: Model, seed: int | None = None) -> None:
    """All initialisation, as GPT-2 has it: N(0, 0.02²) for matrices, those that write into the residual stream divided
    by √(2 · layers), biases 0, γ = 1. (Radford et al. 2019, §2.3)"""
    device = model.embedding.W_E.weight.device
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    std = 0.02
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std, generator=generator)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
    for module in model.modules():
        writer = getattr(module, "W_O", None) if isinstance(module, Attention) else None
        writer = module.W_2 if isinstance(module, FeedForward) else writer
        if writer is not None:
            writer.weight.div_(math.sqrt(2 * model.config.n_layers))
