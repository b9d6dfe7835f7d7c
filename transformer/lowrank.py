"""Low-rank attention: n keys and values are squeezed to k rows before any query looks (Linformer)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.attention import Attention
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.tap import Tap


class Linformer(Attention):
    """softmax(Q (E K)ᵀ / √d_k) (F V): time and memory grow as n · k instead of n². Wang et al. 2020, arXiv:2006.04768

    E and F [rank, max_len] are learned, one pair a layer, shared by the layer's heads (the paper's "headwise" sharing;
    with ``share_layers`` all layers have one pair). The token at position p is weighed by column p, so a shorter text
    uses the first n columns, and padding enters as zeros. Every row of E K holds something of every token, the future
    too, so that there is no causal Linformer and no cache: encoders only.

    x [batch, token, d_model] -> [batch, token, d_model]; A is [batch, head, query, rank].
    Raises ValueError when a text is longer than ``max_len``.
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.E = nn.Parameter(torch.empty(config.rank, config.max_len))
        self.F = nn.Parameter(torch.empty(config.rank, config.max_len))

    def read(self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry, tap: Tap) -> Tensor:
        """z = A (F V), A = softmax(Q (E K)ᵀ / √d_k).   Q, K, V [batch, head, token, d_head] -> the same shape."""
        self._check_length(max(K.shape[2], geometry.reach + 1))
        if geometry.real is not None:
            padding = ~geometry.real[:, None, :, None]
            K, V = K.masked_fill(padding, 0), V.masked_fill(padding, 0)
        K = tap("K_squeezed", self._columns(self.E, geometry.k_pos) @ K)  # [batch, head, rank, d_head]
        V = tap("V_squeezed", self._columns(self.F, geometry.k_pos) @ V)
        if not tap.wants("scores", "A"):
            return F.scaled_dot_product_attention(
                Q, K, V, dropout_p=self.config.dropout if self.training else 0.0, scale=self.scale
            )
        S = tap("scores", Q @ K.mT * self.scale)  # [batch, head, query, rank]
        A = tap("A", S.softmax(-1))
        return F.dropout(A, self.config.dropout, self.training) @ V

    def _columns(self, W: Tensor, k_pos: Tensor) -> Tensor:
        """Each token's column.   W [rank, max_len], k_pos [batch or 1, key] -> [batch or 1, 1, rank, key]."""
        return W[:, k_pos].transpose(0, 1)[:, None]

    def _check_length(self, n: int) -> None:
        if n > self.config.max_len:
            raise ValueError(f"the text has {n} tokens; this Linformer squeezes at most {self.config.max_len}.")
