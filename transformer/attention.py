"""Attention: every token asks, every token answers. The file to read first."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer import sparse
from transformer.biases import RELATIVE, Shaw, XL
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.geometry import Across, Geometry
from transformer.norms import RMSNorm
from transformer.rope import rotate
from transformer.scores import SCORES, scale
from transformer.tap import Tap


def masked_softmax(S: Tensor, mask: Tensor | None, padded: bool = True, sink: Tensor | None = None) -> Tensor:
    """A = softmax(S + log mask) over the keys: −∞ before the softmax, never after.

    S [batch, head, query, key], mask bool or None -> A of S's shape. A row whose keys are all masked gives zeros;
    ``padded=False`` promises that there is none, which saves a pass. ``sink`` [head]: one more score in each row, whose
    weight goes nowhere (gpt-oss; Xiao et al. 2023, arXiv:2309.17453), so that a row sums to less than 1.
    """
    if mask is not None:
        S = S.masked_fill(~mask, -torch.inf)
    if sink is not None:
        return torch.cat((S, sink[:, None, None].expand(*S.shape[:3], 1)), -1).softmax(-1)[..., :-1]
    A = S.softmax(-1)
    return A.masked_fill(~mask, 0.0) if mask is not None and padded else A  # the NaN of an empty row becomes zeros


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d_k + mask) V, in h heads side by side, mixed by W_O. Vaswani et al. 2017, arXiv:1706.03762

    Key/value heads may be fewer than query heads: h_kv = h is multi-head attention, 1 multi-query (Shazeer 2019,
    arXiv:1911.02150), between them grouped-query (Ainslie et al. 2023, arXiv:2305.13245): query head i reads
    key/value head i // (h / h_kv). In cross-attention keys and values come from ``source``, queries from x.

    x [batch, token, d_model] -> [batch, token, d_model], and this layer's keys and values when a cache is kept.
    """

    READ_TOGETHER = "W_Q", "W_K", "W_V"  # ``decoding`` lays them into one matrix

    def __init__(self, config: Config, cross: bool = False):
        super().__init__()
        d, d_head = config.d_model, config.d_head
        self.config, self.cross = config, cross
        self.d_head, self.groups = d_head, config.n_heads // config.n_kv_heads
        self.W_Q = nn.Linear(d, config.n_heads * d_head, bias=config.qkv_bias)
        self.W_K = nn.Linear(d, config.n_kv_heads * d_head, bias=config.qkv_bias)
        self.W_V = nn.Linear(d, config.n_kv_heads * d_head, bias=config.qkv_bias)
        self.W_O = nn.Linear(config.n_heads * d_head, d, bias=config.out_bias)
        self.W_gate = nn.Linear(d, config.n_heads) if config.gate else None
        self.joint = None
        self.score = SCORES[config.score](config)
        self.scale = scale(config)
        self.relative = None if cross or config.position not in RELATIVE else RELATIVE[config.position](config)
        self.q_norm = RMSNorm(d_head, config.norm_eps) if config.qk_norm != "none" else None
        self.k_norm = RMSNorm(d_head, config.norm_eps) if config.qk_norm != "none" else None
        self.sink = nn.Parameter(torch.empty(config.n_heads)) if config.sinks else None

    def forward(
        self, x: Tensor, geometry: Geometry | Across, past: KeyValues | None, tap: Tap, source: Tensor | None = None
    ) -> tuple[Tensor, KeyValues | None]:
        Q, K, V = self.project(x, geometry, past, tap, source)
        if past is not None:
            past = past if self.cross and past.length else past.append(K, V)
            K, V = past.K, past.V  # now with every earlier key and value in front
        z = tap("z", self.read(Q, K, V, geometry, tap))  # [batch, head, query, d_head]
        if self.W_gate is not None:
            z = z * tap("gate", self.W_gate(x).sigmoid().mT)[..., None]  # [batch, head, query]
        return self.W_O(z.transpose(1, 2).flatten(2)), past  # [batch, query, model]

    def project(
        self, x: Tensor, geometry: Geometry | Across, past: KeyValues | None, tap: Tap, source: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Q [batch, head, query, d_head]; K and V [batch, kv_head, key, d_head] of the new tokens: normalised and turned."""
        if self.cross and source is None:
            return self._project_query(x, past, tap)
        if self.joint is not None:
            Q, K, V = map(self.split, self.joint(x))
        else:
            seen = x if source is None else source
            Q = self.split(self.W_Q(x))
            K = self.split(self.W_K(seen))
            V = self.split(self.W_V(seen))
        if self.config.qk_norm == "before":
            Q, K = self.q_norm(Q), self.k_norm(K)
        if geometry.rotation is not None:
            Q = rotate(tap("Q_unrotated", Q), geometry.rotation)
            K = rotate(tap("K_unrotated", K), geometry.rotation)
        if self.config.qk_norm == "after":
            Q, K = self.q_norm(Q), self.k_norm(K)
        return tap("Q", Q), tap("K", K), tap("V", V)

    def _project_query(self, x: Tensor, past: KeyValues, tap: Tap) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-attention's later steps: the cache has the source's keys and values, which do not change."""
        Q = self.split(self.W_Q(x))
        return tap("Q", Q if self.q_norm is None else self.q_norm(Q)), tap("K", past.K), tap("V", past.V)

    def read(self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry | Across, tap: Tap) -> Tensor:
        """z = A V: step by step when someone looks at the steps, fused when nobody does; the answer is the same."""
        if not tap.wants("scores", "A") and self._fuses():
            return self._read_fused(Q, K, V, geometry)
        K, V = self.share(K), self.share(V)  # [batch, head, key, d_head]
        S = self.score(self._content(Q), K, geometry.k_pos)  # [batch, head, query, key]
        if self.relative is not None:
            S = S + self.relative.scores(Q, geometry.distances, self.scale)
        if geometry.bias is not None:
            S = S + geometry.bias.to(S.dtype)
        if self.config.soft_cap is not None:
            S = self.config.soft_cap * torch.tanh(S / self.config.soft_cap)
        S = tap("scores", S)
        A = tap("A", masked_softmax(S, geometry.mask, geometry.padded, self.sink))
        A = F.dropout(A, self.config.dropout, self.training)
        z = A @ V
        return z + self.relative.values(A, geometry.distances) if isinstance(self.relative, Shaw) else z

    def _fuses(self) -> bool:
        """Whether scores are a dot product plus something known beforehand, and no more."""
        return self.score.is_product and self.config.soft_cap is self.sink is None and not isinstance(self.relative, Shaw)

    def _read_fused(self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry | Across) -> Tensor:
        if not self.cross and self.relative is None and sparse.pays(geometry):
            Q, K = self.score.vectors(Q, K)
            return sparse.read(Q, K, V, geometry, self.scale, self.config.dropout if self.training else 0.0)
        mask, bias = None if geometry.is_causal else geometry.mask, geometry.bias
        if self.relative is not None:
            bias = self.relative.scores(Q, geometry.distances, self.scale)
        if bias is not None:
            bias = bias.to(Q.dtype)
            mask = bias if geometry.mask is None else bias.masked_fill(~geometry.mask, -torch.inf)
        Q, K = self.score.vectors(self._content(Q), K)
        return F.scaled_dot_product_attention(
            Q, K, V, mask, self.config.dropout if self.training else 0.0, bias is None and geometry.is_causal,
            scale=self.scale, enable_gqa=self.groups > 1,
        )  # fmt: skip

    def _content(self, Q: Tensor) -> Tensor:
        """What meets the keys: q, or with XL positions q + u."""
        return self.relative.query(Q) if isinstance(self.relative, XL) else Q

    def split(self, x: Tensor) -> Tensor:
        """[batch, token, heads · d_head] -> [batch, heads, token, d_head]."""
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)

    def share(self, x: Tensor) -> Tensor:
        """Each key/value head stands before the h / h_kv query heads that read it."""
        return x if self.groups == 1 else x.repeat_interleave(self.groups, dim=1)
