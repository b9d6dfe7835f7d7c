"""The KV cache: what each layer must remember of the tokens it has read, so that none is read twice."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
    """One layer's keys and values: a value, never changed. ``append`` returns a longer one.

    K, V [batch, kv_head, key, d_head], K after its rotation. Appending writes into spare room behind the known part, so
    a step costs the new tokens only; when two continuations grow from the same value, the second gets a copy.
    """

    length: int = 0
    store: _Store | None = None

    @property
    def K(self) -> Tensor:
        return self.store.K[:, :, : self.length]

    @property
    def V(self) -> Tensor:
        return self.store.V[:, :, : self.length]

    def append(self, K: Tensor, V: Tensor) -> "KeyValues":
        length, store = self.length + K.shape[2], self.store
        if store is None or store.filled != self.length or length > store.K.shape[2]:
            store = _Store(K, V, room=max(64, 2 * length))
            if self.length:
                store.write(0, self.K, self.V)
        store.write(self.length, K, V)
        return KeyValues(length, store)


@dataclass(frozen=True)
class Cache:
    """The state of a text read so far: keys and values of every layer, and where each token stands.

    k_pos [batch, key]; real [batch, key] is False at padding, or None when there is none.
    """

    layers: tuple[KeyValues, ...]
    k_pos: Tensor | None = None
    real: Tensor | None = None

    @classmethod
    def empty(cls, n_layers: int) -> "Cache":
        return cls((KeyValues(),) * n_layers)

    @property
    def length(self) -> int:
        """How many tokens have been read."""
        return self.layers[0].length

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
            old = torch.ones(batch, self.length, dtype=torch.bool, device=device)
        return torch.cat((old, new), 1)
