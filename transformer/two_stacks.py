"""Encoder and decoder together: one text is read both ways, another written from left to right while looking at it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from transformer.cache import Cache
from transformer.config import Config, source_side, target_side
from transformer.geometry import Across
from transformer.models import Encoder, Ids, Model, Run
from transformer.tap import OFF, Edit, Tap


class EncoderDecoder(Model):
    """The Transformer of 2017 (Vaswani et al., arXiv:1706.03762; T5, BART, Marian): the decoder's queries read keys and
    values that the encoder's last stream gives.

    ``model(ids, source)``: source [batch, key] is what is read, ids [batch, token] what is written. The encoder's
    tensors are recorded under "encoder.", cross-attention's under "layers.<i>.cross.".
    With ``share_embeddings`` source and target look up one table, which with ``tie_embeddings`` is the last matrix too.
    """

    def __init__(self, config: Config):
        super().__init__(target_side(config), cross=True)
        self.config = config
        self.encoder = Encoder(source_side(config))
        self.tie()

    def tie(self) -> None:
        """One table for both sides, where the config says so: again after ``load_state_dict(assign=True)``, which gives
        each name a parameter of its own."""
        if self.config.share_embeddings:
            self.encoder.embedding.W_E = self.embedding.W_E

    def encode(self, source: Tensor, source_real: Tensor | None = None, tap: Tap = OFF) -> Tensor:
        """source [batch, key] -> the encoder's last stream [batch, key, d_model]."""
        return self.encoder(source, real=source_real, tap=tap / "encoder")

    def forward(
        self,
        ids: Tensor,
        source: Tensor,
        *,
        real: Tensor | None = None,
        source_real: Tensor | None = None,
        tap: Tap = OFF,
    ) -> Tensor:
        """ids [batch, token], source [batch, key], real and source_real False at their padding -> logits [batch, token, vocab]."""
        seen = self.encode(source, source_real, tap)
        across = _across(seen.shape[1], source_real, ids.device)
        return self._read(ids, None, real, None, None, tap, source=seen, across=across)[0]

    def extend(
        self,
        ids: Tensor,
        cache: Cache,
        source: Tensor | None = None,
        *,
        real: Tensor | None = None,
        source_real: Tensor | None = None,
        last_only: bool = False,
        tap: Tap = OFF,
    ) -> tuple[Tensor, Cache]:
        """The target's next tokens. The source comes with the first call; the cache keeps its keys and values."""
        if (source is None) == (cache.across is None):
            raise ValueError("the source is read once: give it with the first piece of the target, and not again.")
        if source is not None:
            seen = self.encode(source, source_real, tap)
            cache = replace(cache, source_real=source_real)
        else:
            seen = None
        n = cache.across[0].length if seen is None else seen.shape[1]
        across = _across(n, cache.source_real, ids.device)
        return self._read(ids, None, real, None, cache, tap, last_only, seen, across)

    def run(
        self,
        ids: Ids,
        source: Ids | None = None,
        *,
        record: str | Iterable[str] = (),
        edit: Mapping[str, Edit] | None = None,
        real: Tensor | None = None,
        source_real: Tensor | None = None,
        cache: Cache | None = None,
        gradients: bool = False,
    ) -> Run:
        """Compute with the tap on, as ``Model.run`` does; with a cache the source is given at the first call only."""
        ids, real = self.batch(ids, real)
        if source is not None:
            source, source_real = self.encoder.batch(source, source_real)
        elif cache is None:
            raise ValueError("an encoder–decoder needs a source to read; give model.run(ids, source).")

        def compute(tap: Tap) -> tuple[Tensor, Cache | None]:
            if cache is None:
                return self(ids, source, real=real, source_real=source_real, tap=tap), None
            return self.extend(ids, cache, source, real=real, source_real=source_real, tap=tap)

        return self.recorded(compute, record, edit, gradients)


def _across(n: int, real: Tensor | None, device: torch.device) -> Across:
    return Across(torch.arange(n, device=device)[None], real)
