"""Prefix caching: texts that share a beginning share its keys and values, so a step on, back or aside is cheap."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.cache import Cache
from transformer.models import Model


class _Read(NamedTuple):
    logits: Tensor  # [vocab]
    cache: Cache


class PrefixCache:
    """The next token's logits after a prompt and whatever has been written behind it.

    A prompt is read at once and each written token by a step of its own, just as ``generate`` does, so the logits are
    its logits bit for bit, whichever way one came here. Every beginning met lately is remembered: writing one token
    costs one step, taking it back costs nothing, and another token in its place one step again. The least recently used
    beginnings are dropped when all together hold more than ``most_bytes``. Safe to share between threads.

    (Serving engines do the same: Kwon et al. 2023, arXiv:2309.06180; Zheng et al. 2023, arXiv:2312.07104.)
    """

    def __init__(self, model: Model, most_bytes: int = 128 * 2**20):
        if model.config.kind != "decoder":
            raise ValueError("only a decoder has a next token: an encoder gives each token a vector in its context.")
        self.model, self.most_bytes = model, most_bytes
        self._kept: OrderedDict[tuple[tuple[int, ...], tuple[int, ...]], _Read] = OrderedDict()
        self._lock = threading.Lock()

    def logits(self, prompt: Sequence[int], written: Sequence[int] = ()) -> Tensor:
        """ℓ of the token that follows prompt + written, [vocab]; shared, so not to be changed in place.

        Raises ValueError as ``Model.run`` does: no token, an id outside the vocabulary, a text beyond the positions.
        """
        prompt, written = tuple(prompt), tuple(written)
        self.model.batch(list(prompt + written) if prompt else [])  # refuse bad ids before anything is read
        with self._lock, torch.no_grad():
            known = next((t for t in range(len(written), -1, -1) if (prompt, written[:t]) in self._kept), -1)
            for t in range(known + 1, len(written) + 1):
                self._read(prompt, written[:t])
            # The path here counts as used: its earlier steps are what a learner goes back to.
            for t in range(len(written) + 1):
                if (prompt, written[:t]) in self._kept:
                    self._kept.move_to_end((prompt, written[:t]))
            found = self._kept[prompt, written].logits
            while len(self._kept) > 1 and self.nbytes > self.most_bytes:
                self._kept.popitem(last=False)
        return found

    @property
    def nbytes(self) -> int:
        """Memory held: logits, and each store of keys and values once, however many beginnings share it."""
        reads = list(self._kept.values())
        held = {id(tensor): tensor for read in reads for layer in read.cache.layers for tensor in layer.held}
        return sum(tensor.nbytes for tensor in held.values()) + sum(read.logits.nbytes for read in reads)

    def _read(self, prompt: tuple[int, ...], written: tuple[int, ...]) -> None:
        if written:
            ids, cache = written[-1:], self._kept[prompt, written[:-1]].cache
        else:
            ids, cache = prompt, Cache.empty(self.model.config.n_layers)
        ids, _ = self.model.batch(list(ids))
        logits, cache = self.model.extend(ids, cache, last_only=True)
        self._kept[prompt, written] = _Read(logits[0, -1], cache)
