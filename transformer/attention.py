"""Attention: every token asks, every token answers. The file to read first."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer import scores
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.rope import Rotation, rotate
from transformer.tap import Tap


class Geometry(NamedTuple):
    """Where the tokens of one forward pass stand and who may see whom; computed once, used by every layer."""

    mask: Tensor | None  # bool [batch or 1, 1, query, key]; None = every query sees every key
    padded: bool  # some keys are padding, so that a query may see no key at all
    is_causal: bool  # the mask is exactly the lower triangle, which the fused kernel knows without being told
    rotation: Rotation | None  # RoPE's cos and sin at the new tokens' positions


def masked_softmax(S: Tensor, mask: Tensor | None, padded: bool = True) -> Tensor:
    """A = softmax(S + log mask) over the keys: −∞ before the softmax, never after.

    S [batch, head, query, key], mask bool or None -> A of S's shape. A row whose keys are all masked gives zeros;
    ``padded=False`` promises that there is none, which saves a pass.
    """
    if mask is None:
        return S.softmax(-1)
    A = S.masked_fill(~mask, -torch.inf).softmax(-1)
    return A.masked_fill(~mask, 0.0) if padded else A  # the NaN of an empty row becomes zeros


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d_k + mask) V, in h heads side by side, mixed by W_O. Vaswani et al. 2017, arXiv:1706.03762

    Key/value heads may be fewer than query heads: h_kv = h is multi-head attention, 1 multi-query (Shazeer 2019,
    arXiv:1911.02150), between them grouped-query (Ainslie et al. 2023, arXiv:2305.13245): query head i reads
    key/value head i // (h / h_kv).

    x [batch, token, d_model] -> [batch, token, d_model], and this layer's keys and values when a cache is kept.
    """

    READ_TOGETHER = "W_Q", "W_K", "W_V"  # ``decoding`` lays them into one matrix

    def __init__(self, config: Config):
        super().__init__()
        d, d_head = config.d_model, config.d_head
        self.d_head, self.groups = d_head, config.n_heads // config.n_kv_heads
        self.scale = scores.scale(config)
        self.dropout = config.dropout
        self.W_Q = nn.Linear(d, config.n_heads * d_head, bias=config.qkv_bias)
        self.W_K = nn.Linear(d, config.n_kv_heads * d_head, bias=config.qkv_bias)
        self.W_V = nn.Linear(d, config.n_kv_heads * d_head, bias=config.qkv_bias)
        self.W_O = nn.Linear(config.n_heads * d_head, d, bias=config.out_bias)
        self.joint = None

    def forward(
        self, x: Tensor, geometry: Geometry, past: KeyValues | None, tap: Tap
    ) -> tuple[Tensor, KeyValues | None]:
        projected = (self.W_Q(x), self.W_K(x), self.W_V(x)) if self.joint is None else self.joint(x)
        Q, K, V = map(self.split, projected)  # Q [batch, head, query, d_head]; K, V [batch, kv_head, key, d_head]
        if geometry.rotation is not None:
            Q = rotate(tap("Q_unrotated", Q), geometry.rotation)
            K = rotate(tap("K_unrotated", K), geometry.rotation)
        Q, K, V = tap("Q", Q), tap("K", K), tap("V", V)
        if past is not None:
            past = past.append(K, V)
            K, V = past.K, past.V  # now with every earlier key and value in front
        z = tap("z", self.read(Q, K, V, geometry, tap))  # [batch, head, query, d_head]
        out = self.W_O(z.transpose(1, 2).flatten(2))  # [batch, query, model]
        return tap("out", F.dropout(out, self.dropout, self.training)), past

    def read(self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry, tap: Tap) -> Tensor:
        """z = A V: step by step when someone looks at the steps, fused when nobody does; the answer is the same."""
        if tap.wants("scores", "A"):
            K, V = self.share(K), self.share(V)  # [batch, head, key, d_head]
            S = tap("scores", scores.dot(Q, K, self.scale))  # [batch, head, query, key]
            A = tap("A", masked_softmax(S, geometry.mask, geometry.padded))
            return F.dropout(A, self.dropout, self.training) @ V
        p = self.dropout if self.training else 0.0
        mask = None if geometry.is_causal else geometry.mask
        return F.scaled_dot_product_attention(
            Q, K, V, mask, p, geometry.is_causal, scale=self.scale, enable_gqa=self.groups > 1
        )

    def split(self, x: Tensor) -> Tensor:
        """[batch, token, heads · d_head] -> [batch, heads, token, d_head]."""
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)

    def share(self, x: Tensor) -> Tensor:
        """Each key/value head stands before the h / h_kv query heads that read it."""
        return x if self.groups == 1 else x.repeat_interleave(self.groups, dim=1)
