"""The KV cache: what each layer must remember of the tokens it has read, so that none is read twice."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transformer.config import Config


class _Store:
    """Room for keys and values, shared by the caches that grew from one another; ``filled`` says how far it is written."""

    def __init__(self, K: Tensor, V: Tensor, room: int):
        self.K = K.new_empty((*K.shape[:2], room, K.shape[3]))
        self.V = V.new_empty((*V.shape[:2], room, V.shape[3]))
        self.filled = 0

    def write(self, start: int, K: Tensor, V: Tensor) -> None:
        self.filled = start + K.shape[2]
        self.K[:, :, start : self.filled] = K
        self.V[:, :, start : self.filled] = V


@dataclass(frozen=True)
class KeyValues:
    """One layer's keys and values: a value, never changed. ``append`` returns a longer one, ``last`` a shorter.

    K, V [batch, kv_head, key, d_head], K after its rotation. Appending writes into spare room behind the known part, so
    a step costs the new tokens only; when two continuations grow from the same value, the second gets a copy.
    """

    end: int = 0
    store: _Store | None = None
    start: int = 0

    @property
    def length(self) -> int:
        """How many tokens it keeps."""
        return self.end - self.start

    @property
    def K(self) -> Tensor:
        return self.store.K[:, :, self.start : self.end]

    @property
    def V(self) -> Tensor:
        return self.store.V[:, :, self.start : self.end]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it knows, spare room left out."""
        return self.K, self.V

    @property
    def held(self) -> tuple[Tensor, ...]:
        """What stays in memory for it, spare room too; values that grew from one another hold the same."""
        return () if self.store is None else (self.store.K, self.store.V)

    def append(self, K: Tensor, V: Tensor) -> "KeyValues":
        start, end, store = self.start, self.end + K.shape[2], self.store
        if store is None or store.filled != self.end or end > store.K.shape[2]:
            start, end = 0, self.length + K.shape[2]
            store = _Store(K, V, room=max(64, 2 * end))
            if self.length:
                store.write(0, self.K, self.V)
        store.write(end - K.shape[2], K, V)
        return KeyValues(end, store, start)

    def last(self, n: int) -> "KeyValues":
        """The ``n`` newest tokens only; the room of the others is given back when the store is next made anew."""
        return self if self.length <= n else KeyValues(self.end, self.store, self.end - n)

    def rows(self, index: Tensor) -> "KeyValues":
        """Those texts of the batch that ``index`` names, in its order, each as often as it stands there."""
        if self.store is None:
            return self
        store = _Store(self.K[index], self.V[index], room=max(64, 2 * self.length))
        store.write(0, self.K[index], self.V[index])
        return KeyValues(self.length, store)


@dataclass(frozen=True)
class Cache:
    """The state of a text read so far: what every layer keeps, and where each kept token stands.

    length: how many tokens have been read. k_pos [batch or 1, key]; real [batch, key] is False at padding, or None when
    there is none; key counts the tokens that are kept. across: each layer's keys and values of the source, which
    cross-attention reads; source_real [batch, key] is False at the source's padding.
    """

    layers: tuple[KeyValues, ...]
    k_pos: Tensor | None = None
    real: Tensor | None = None
    length: int = 0
    across: tuple[KeyValues, ...] | None = None
    source_real: Tensor | None = None

    @classmethod
    def empty(cls, n_layers: int) -> "Cache":
        return cls((KeyValues(),) * n_layers)

    def last(self, n: int | None) -> "Cache":
        """The same, with the ``n`` newest tokens kept; None keeps all."""
        if n is None or self.k_pos is None or self.k_pos.shape[1] <= n:
            return self
        first = self.k_pos.shape[1] - n
        real = None if self.real is None else self.real[:, first:]
        return replace(self, layers=tuple(kv.last(n) for kv in self.layers), k_pos=self.k_pos[:, first:], real=real)

    def rows(self, index: Tensor) -> "Cache":
        """Those texts of the batch that ``index`` names: beams that live on, rows that are not done."""
        layers = tuple(layer.rows(index) for layer in self.layers)
        across = None if self.across is None else tuple(layer.rows(index) for layer in self.across)
        k_pos = self.k_pos if self.k_pos is None or len(self.k_pos) == 1 else self.k_pos[index]  # one row stands for all
        real, source_real = (None if x is None else x[index] for x in (self.real, self.source_real))
        return replace(self, layers=layers, across=across, k_pos=k_pos, real=real, source_real=source_real)

    def positions_with(self, new: Tensor) -> Tensor:
        """k_pos with the new tokens' positions behind it."""
        return new if self.k_pos is None else torch.cat((self.k_pos, new), 1)

    def real_with(self, new: Tensor | None, batch: int, n: int) -> Tensor | None:
        """``real`` with the new tokens' flags behind it; None stays None while nothing was ever padded."""
        if new is None and self.real is None:
            return None
        device = (new if new is not None else self.real).device
        if new is None:
            new = torch.ones(batch, n, dtype=torch.bool, device=device)
        old = self.real
        if old is None:
            old = torch.ones(batch, 0 if self.k_pos is None else self.k_pos.shape[1], dtype=torch.bool, device=device)
        return torch.cat((old, new), 1)


def kept(config: Config) -> int | None:
    """How many tokens a cache must keep: None for all, less where nobody looks further back."""
    match config.attention:
        case "window" if not config.prefix:
            return config.window - 1
        case "recurrent":
            return config.memory
        case "linear" | "performer" | "ssru":
            return 0  # a sum stands for all of them
    return None
