"""Latent attention: one short vector a token, from which every head makes its key and its value (DeepSeek)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.attention import masked_softmax
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.norms import RMSNorm
from transformer.rope import rotate, turned_dims
from transformer.tap import Tap


class Latent(nn.Module):
    """Multi-head latent attention (MLA). DeepSeek-V2 2024, arXiv:2405.04434, §2.1

        c_KV = norm(x W_DKV),   K^C = c_KV W_UK,   V = c_KV W_UV,   k^R = RoPE(x W_KR), one for all heads
        c_Q  = norm(x W_DQ),    Q^C = c_Q W_UQ,    Q^R = RoPE(c_Q W_QR)        (without ``q_rank`` c_Q is x itself)
        S = (Q^C·K^C + Q^R·k^R) / √(d_k + d_R)

    What is kept of a token is c_KV [rank] and k^R [d_R], however many heads there are. Positions turn a part of their
    own, of d_R = ``rope.turned_dims`` coordinates, because a rotation between W_UQ and W_UK would keep the two from
    becoming one matrix. That they do in decoding: Q^C·K^C = (Q^C W_UKᵀ)·c_KV and A V = (A c_KV) W_UV, so that queries
    read the latents themselves and no key or value is made. Without RoPE there is no such part, and d_R = 0.

    The norms are RMSNorm, as DeepSeek has them. ``qkv_bias`` puts biases on the matrices that read x.

    x [batch, token, d_model] -> [batch, token, d_model]; and when a cache is kept, the latents as its "K",
    [batch, 1, key, rank], and the turned keys as its "V", [batch, 1, key, d_R].
    """

    def __init__(self, config: Config):
        super().__init__()
        d, heads, d_head, bias = config.d_model, config.n_heads, config.d_head, config.qkv_bias
        self.config, self.d_head = config, d_head
        self.turned = turned_dims(config) if config.position == "rope" else 0  # d_R
        self.scale = (d_head + self.turned) ** -0.5
        squeezed, asked = config.q_rank is not None, config.q_rank or d
        self.W_DQ = nn.Linear(d, config.q_rank, bias=bias) if squeezed else None
        self.q_norm = RMSNorm(config.q_rank, config.norm_eps) if squeezed else None
        self.W_UQ = nn.Linear(asked, heads * d_head, bias=bias and not squeezed)
        self.W_QR = nn.Linear(asked, heads * self.turned, bias=bias and not squeezed) if self.turned else None
        self.W_DKV = nn.Linear(d, config.rank, bias=bias)
        self.kv_norm = RMSNorm(config.rank, config.norm_eps)
        self.W_KR = nn.Linear(d, self.turned, bias=bias) if self.turned else None
        self.W_UK = nn.Linear(config.rank, heads * d_head, bias=False)
        self.W_UV = nn.Linear(config.rank, heads * d_head, bias=False)
        self.W_O = nn.Linear(heads * d_head, d, bias=config.out_bias)
        self.W_gate = nn.Linear(d, heads) if config.gate else None

    def forward(
        self, x: Tensor, geometry: Geometry, past: KeyValues | None, tap: Tap, source: Tensor | None = None
    ) -> tuple[Tensor, KeyValues | None]:
        Q, Q_rope = self.queries(x, geometry, tap)  # [batch, head, query, d_head], [.., d_R]
        c_KV = tap("c_KV", self.kv_norm(self.W_DKV(x)))[:, None]  # [batch, 1, key, rank]
        K_rope = self.shared_key(x, geometry, tap)  # [batch, 1, key, d_R]
        if past is not None:
            past = past.append(c_KV, K_rope)
            c_KV, K_rope = past.K, past.V
        if tap.wants("Q", "K", "V", "scores", "A") or not self._absorbs(x.shape[1], c_KV.shape[2]):
            z = self._read_heads(Q, Q_rope, c_KV, K_rope, geometry, tap)
        else:
            z = self._read_latents(Q, Q_rope, c_KV, K_rope, geometry)
        z = tap("z", z)  # [batch, head, query, d_head]
        if self.W_gate is not None:
            z = z * tap("gate", self.W_gate(x).sigmoid().mT)[..., None]  # [batch, head, query]
        return self.W_O(z.transpose(1, 2).flatten(2)), past

    def queries(self, x: Tensor, geometry: Geometry, tap: Tap) -> tuple[Tensor, Tensor]:
        """Q^C [batch, head, query, d_head] and Q^R [batch, head, query, d_R], turned."""
        c_Q = x if self.W_DQ is None else tap("c_Q", self.q_norm(self.W_DQ(x)))  # [batch, query, q_rank]
        Q = self.split(self.W_UQ(c_Q))
        if self.W_QR is None:
            return Q, Q[..., :0]
        return Q, rotate(self.split(self.W_QR(c_Q)), geometry.rotation)

    def shared_key(self, x: Tensor, geometry: Geometry, tap: Tap) -> Tensor:
        """k^R [batch, 1, key, d_R], turned; every head reads the same."""
        if self.W_KR is None:
            return x[:, None, :, :0]
        return tap("K_rope", rotate(self.W_KR(x)[:, None], geometry.rotation)[:, 0])[:, None]

    def _read_heads(
        self, Q: Tensor, Q_rope: Tensor, c_KV: Tensor, K_rope: Tensor, geometry: Geometry, tap: Tap
    ) -> Tensor:
        """The formula as it stands: keys and values of every head, and attention over them."""
        K, V = self.split(self.W_UK(c_KV[:, 0])), self.split(self.W_UV(c_KV[:, 0]))  # [batch, head, key, d_head]
        Q = tap("Q", torch.cat((Q, Q_rope), -1))  # [batch, head, query, d_head + d_R]
        K = tap("K", torch.cat((K, K_rope.expand(-1, K.shape[1], -1, -1)), -1))
        V = tap("V", V)
        if not tap.wants("scores", "A"):
            V = F.pad(V, (0, self.turned))  # the fused kernel wants values as wide as keys
            z = F.scaled_dot_product_attention(
                Q, K, V, None if geometry.is_causal else geometry.mask,
                self.config.dropout if self.training else 0.0, geometry.is_causal, scale=self.scale,
            )  # fmt: skip
            return z[..., : self.d_head]
        S = tap("scores", Q @ K.mT * self.scale)  # [batch, head, query, key]
        A = tap("A", masked_softmax(S, geometry.mask, geometry.padded))
        return F.dropout(A, self.config.dropout, self.training) @ V

    def _read_latents(
        self, Q: Tensor, Q_rope: Tensor, c_KV: Tensor, K_rope: Tensor, geometry: Geometry
    ) -> Tensor:
        """The same with W_UK taken into the query and W_UV into the output: latents are read as they are kept."""
        W_UK, W_UV = (W.weight.unflatten(0, (-1, self.d_head)) for W in (self.W_UK, self.W_UV))  # [head, d_head, rank]
        Q = torch.cat(((Q.to(W_UK.dtype) @ W_UK).to(Q.dtype), Q_rope), -1)  # [batch, head, query, rank + d_R]
        heads, n = Q.shape[1:3]
        Q, K = Q.flatten(1, 2), torch.cat((c_KV, K_rope), -1)[:, 0]  # all heads' queries read one set of keys
        S = (Q @ K.mT * self.scale).unflatten(1, (heads, n))  # [batch, head, query, key]
        A = masked_softmax(S, geometry.mask, geometry.padded)
        A = F.dropout(A, self.config.dropout, self.training)
        c = (A.flatten(1, 2) @ c_KV[:, 0]).unflatten(1, (heads, n))  # [batch, head, query, rank]
        return (c.to(W_UV.dtype) @ W_UV.mT).to(c.dtype)

    def _absorbs(self, n: int, keys: int) -> bool:
        """Whether reading latents takes fewer products than making ``keys`` keys and values for n queries to read."""
        d_head, rank = self.d_head, self.config.rank
        return n < keys and n * rank * (d_head + keys) < d_head * keys * (rank + n)

    def split(self, x: Tensor) -> Tensor:
        """[batch, token, heads · width] -> [batch, heads, token, width]."""
        return x.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)
