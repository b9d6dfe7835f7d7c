"""Kernel attention: the weight of a key is φ(q)·φ(k), so that keys and values add up before any query looks.

    Σ_j φ(q)·φ(k_j) v_j / Σ_j φ(q)·φ(k_j)  =  φ(q) S / φ(q)·z,     S = Σ_j φ(k_j) v_jᵀ,   z = Σ_j φ(k_j)

The left side is attention with n² weights. The right is the same by the associative law, in time and memory that grow
as n; and a text that is read on needs S and z alone, however long it has become.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.attention import Attention, masked_softmax
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.tap import Tap

CHUNK = 64  # tokens that meet one another directly: enough to keep a matrix product busy, few enough for the cache
BLOCK = 4 * CHUNK  # tokens whose features are held at once


class Scaled(NamedTuple):
    """φ(x) = rows · e^size: features of any size, held without overflow."""

    rows: Tensor  # [batch, head, token, feature], the largest of each row is 1
    size: Tensor  # [batch, head, token]; −∞ where a token counts for nothing


def scaled(log_phi: Tensor) -> Scaled:
    """e^log_phi with each row's largest entry taken out.   log_phi [batch, head, token, feature]."""
    size = log_phi.detach().amax(-1)  # it cancels, so no gradient has to pass
    return Scaled((log_phi - size[..., None]).exp_(), size)


def log_products(phi_Q: Scaled, phi_K: Scaled) -> Tensor:
    """S_ij = ln φ(q_i)·φ(k_j), finite even where a product has underflowed.   -> [batch, head, query, key]

    For random features it estimates q_i·k_j / √d_k, so that softmax(S) stands beside the exact weights.
    """
    return _log(phi_Q.rows @ phi_K.rows.mT) + phi_K.size[..., None, :] + phi_Q.size[..., None]


@dataclass(frozen=True)
class State:
    """All that is kept of the tokens read so far: S and z, divided by e^size so that they cannot overflow.

    S [batch, head, feature, d_head], z [batch, head, feature], size [batch, head]. A value, never changed.
    """

    S: Tensor
    z: Tensor
    size: Tensor

    @classmethod
    def empty(cls, phi_K: Tensor, V: Tensor) -> "State":
        """Nothing read yet.   phi_K [batch, head, key, feature], V [batch, head, key, d_head]."""
        (batch, heads, _, m), d_head = phi_K.shape, V.shape[-1]
        size = V.new_full((batch, heads), _nothing(V))
        return cls(V.new_zeros(batch, heads, m, d_head), V.new_zeros(batch, heads, m), size)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it knows."""
        return self.S, self.z, self.size

    @property
    def held(self) -> tuple[Tensor, ...]:
        """What stays in memory for it."""
        return self.tensors

    def last(self, n: int) -> "State":
        """The state itself: of its tokens none can be taken out again."""
        return self

    def rows(self, index: Tensor) -> "State":
        """Those texts of the batch that ``index`` names."""
        return State(*(tensor[index] for tensor in self.tensors))

    def append(self, K: Scaled, V: Tensor) -> "State":
        """S + Σ φ(k) vᵀ and z + Σ φ(k) over new tokens, in their largest size.   V [batch, head, key, d_head]."""
        size = torch.maximum(self.size, K.size.amax(-1))  # [batch, head]
        weight = (K.size - size[..., None]).exp()  # [batch, head, key]
        old = (self.size - size).exp()[..., None]  # [batch, head, 1]
        S = self.S * old[..., None] + K.rows.mT @ (V * weight[..., None])
        z = self.z * old + (weight[..., None, :] @ K.rows)[..., 0, :]
        return State(S, z, size)

    def between(self, K: Scaled, V: Tensor) -> "State":
        """``append`` for several chunks at once: the state before each of them and after the last.

        K and V have an axis [chunk] before [token], and so has the state that comes back, one longer. Σ over earlier chunks
        is a product with a triangle of e^(size of the chunk − largest so far), so that no chunk has to wait for another.
        """
        own = K.size.amax(-1).clamp(min=_nothing(V))  # [batch, head, chunk]
        weight = (K.size - own[..., None]).exp()  # [batch, head, chunk, token]
        S = torch.cat((self.S[:, :, None], K.rows.mT @ (V * weight[..., None])), 2)
        z = torch.cat((self.z[:, :, None], (weight[..., None, :] @ K.rows)[..., 0, :]), 2)
        sizes = torch.cat((self.size[..., None], own), 2)
        size = sizes.cummax(-1).values  # [batch, head, chunk]
        share = (sizes[..., None, :] - size[..., None]).masked_fill(_future(V, size.shape[-1]), -torch.inf).exp()
        return State((share @ S.flatten(3)).view_as(S), share @ z, size)

    def read(self, phi_Q: Tensor) -> tuple[Tensor, Tensor]:
        """φ(q) S [batch, head, query, d_head] and φ(q)·z [batch, head, query, 1]: a sum of values, and of weights."""
        return phi_Q @ self.S, (self.z[..., None, :] @ phi_Q.mT).mT


def divided(values: Tensor, weights: Tensor) -> Tensor:
    """values / weights; nothing where nothing was read, or so little that its digits are lost."""
    least = torch.finfo(weights.dtype).tiny / torch.finfo(weights.dtype).eps
    return values / torch.where(weights > least, weights, 1)


class KernelAttention(Attention):
    """Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j), in time and memory that grow as n. RoPE turns q and k before φ.

    Written as softmax(S) V it has the scores S_ij = ln φ(q_i)·φ(k_j), which is how it is recorded. The cache is a
    ``State`` of constant size; of earlier tokens it knows the sum alone, so that with a cache A [batch, head, query, key]
    has the new tokens' columns only, and a row sums to less than 1 by what the past weighs.
    No dropout of A, which is never there to be dropped.

    x [batch, token, d_model] -> [batch, token, d_model], and the state when a cache is kept.
    """

    def log_features(self, x: Tensor) -> Tensor:
        """ln φ(x).   x [batch, head, token, d_head] -> [batch, head, token, feature]."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Scaled:
        """φ(x), where nobody asks for its logarithm."""
        return scaled(self.log_features(x))

    def forward(
        self, x: Tensor, geometry: Geometry, past: KeyValues | State | None, tap: Tap, source: Tensor | None = None
    ) -> tuple[Tensor, State | None]:
        Q, K, V = self.project(x, geometry, None, tap, None)
        state = past if isinstance(past, State) else None
        if tap.wants("log_phi_Q", "log_phi_K", "scores", "A"):
            z, state = self._read_pairs(Q, K, V, geometry, state, past is not None, tap)
        else:
            z, state = self._read_chunks(Q, K, V, geometry.real, state)
        z = tap("z", z)  # [batch, head, query, d_head]
        if self.W_gate is not None:
            z = z * tap("gate", self.W_gate(x).sigmoid().mT)[..., None]  # [batch, head, query]
        return self.W_O(z.transpose(1, 2).flatten(2)), None if past is None else state

    def _read_pairs(
        self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry, state: State | None, kept: bool, tap: Tap
    ) -> tuple[Tensor, State | None]:
        """The left side: every pair's weight; and, after a cache, the past as one more column."""
        phi_Q = scaled(tap("log_phi_Q", self.log_features(Q)))
        phi_K = scaled(tap("log_phi_K", self.log_features(K)))
        S = log_products(phi_Q, phi_K)
        mask = geometry.mask
        if state is None:
            z = tap("A", masked_softmax(tap("scores", S), mask, geometry.padded)) @ V  # [batch, head, query, key]
        else:
            values, weights = state.read(phi_Q.rows)
            S = tap("scores", S)
            S_past = _log(weights) + state.size[..., None, None] + phi_Q.size[..., None]  # [batch, head, query, 1]
            mask = None if mask is None else F.pad(mask, (1, 0), value=True)
            A_past, A = masked_softmax(torch.cat((S_past, S), -1), mask, False).split((1, S.shape[-1]), -1)
            z = tap("A", A) @ V + A_past * divided(values, weights)
        if not kept:
            return z, None
        return z, (state or State.empty(phi_K.rows, V)).append(_without_padding(phi_K, geometry.real), V)

    def _read_chunks(
        self, Q: Tensor, K: Tensor, V: Tensor, real: Tensor | None, state: State | None
    ) -> tuple[Tensor, State]:
        """The right side: what came before is in the state, and tokens of one chunk meet directly."""
        causal = self.config.kind == "decoder" and K.shape[2] > 1  # a single token has no future here
        read, lengths = [], _blocks(K.shape[2])
        reals = [None] * len(lengths) if real is None else real.split(lengths, 1)
        for q, k, v, r in zip(*(x.split(lengths, 2) for x in (Q, K, V)), reals, strict=True):
            phi_K = _without_padding(self.features(k), r)
            state = state or State.empty(phi_K.rows, v)
            if causal:
                z, state = _read_causally(self.features(q).rows, phi_K, v, state)
                read.append(z)
            else:
                state = state.append(phi_K, v)
        if not causal:
            read = [divided(*state.read(self.features(q).rows)) for q in Q.split(lengths, 2)]
        return torch.cat(read, 2), state


def _blocks(n: int) -> list[int]:
    """Lengths that add up to n: whole blocks, then whole chunks, then what is left."""
    rest = n % BLOCK
    return [length for length in [BLOCK] * (n // BLOCK) + [rest // CHUNK * CHUNK, rest % CHUNK] if length]


def _read_causally(phi_Q: Tensor, K: Scaled, V: Tensor, state: State) -> tuple[Tensor, State]:
    """One block's queries read the state before their chunk, and the chunk's keys up to their own. Each row is measured by
    the largest key it sees, so that no later token changes a bit of it.

    phi_Q [batch, head, token, feature] -> z [batch, head, token, d_head], and the state after the block.
    """
    n = min(CHUNK, V.shape[2])
    phi_Q, rows, V, key_size = (x.unflatten(2, (-1, n)) for x in (phi_Q, K.rows, V, K.size))  # [batch, head, chunk, token, ..]
    states = state.between(Scaled(rows, key_size), V)
    before = State(*(tensor[:, :, :-1] for tensor in states.tensors))
    size = torch.maximum(key_size.cummax(-1).values, before.size[..., None])[..., None]  # [batch, head, chunk, query, 1]
    W = (phi_Q @ rows.mT) * (key_size[..., None, :] - size).masked_fill(_future(V, n), -torch.inf).exp()
    values, weights = before.read(phi_Q)
    old = (before.size[..., None, None] - size).exp()
    z = divided(W @ V + old * values, W.sum(-1, keepdim=True) + old * weights)
    return z.flatten(2, 3), State(*(tensor[:, :, -1].clone() for tensor in states.tensors))  # the others can be forgotten


def _future(like: Tensor, n: int) -> Tensor:
    """True above the diagonal, [n, n]."""
    return torch.ones(n, n, dtype=torch.bool, device=like.device).triu(1)


def _nothing(like: Tensor) -> float:
    """The size of no key at all: finite, so that it can be taken from itself."""
    return torch.finfo(like.dtype).min / 4


def _without_padding(phi: Scaled, real: Tensor | None) -> Scaled:
    """Padding gets no size at all.   real [batch, token]."""
    return phi if real is None else Scaled(phi.rows, phi.size.masked_fill(~real[:, None], -torch.inf))


def _log(x: Tensor) -> Tensor:
    """ln x, finite where x has underflowed."""
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()


class LinearAttention(KernelAttention):
    """φ(x) = elu(x) + 1, coordinate by coordinate. Katharopoulos et al. 2020, arXiv:2006.16236

    Not scaled by √d_k, as in the paper; as many features as a head has coordinates.
    """

    def log_features(self, x: Tensor) -> Tensor:
        """ln (elu(x) + 1)."""
        return log_elu_features(x)


def log_elu_features(x: Tensor) -> Tensor:
    """ln (elu(x) + 1): x itself below 0, ln(1 + x) above.   x [..., token, d] -> the same shape."""
    return torch.where(x > 0, x.clamp(min=0).log1p(), x)


class Performer(KernelAttention):
    """Positive orthogonal random features (FAVOR+): φ(q)·φ(k) estimates exp(q·k / √d_k) without bias, so that attention
    becomes softmax attention as m grows (its weights are ratios of estimates: right in the limit, not on average).
    Choromanski et al. 2021, arXiv:2009.14794

    ω [feature, d_head] is drawn once, by ``initialise``, and is no parameter: one draw a layer, shared by its heads.
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.register_buffer("omega", torch.empty(config.features, config.d_head))

    def log_features(self, x: Tensor) -> Tensor:
        """ln φ(x / d_k^¼), so that φ(q)·φ(k) estimates exp(q·k / √d_k)."""
        return log_random_features(x * self.d_head**-0.25, self.omega)

    def features(self, x: Tensor) -> Scaled:
        """φ(x / d_k^¼): what all features of a token share goes straight into its size, which saves a pass over them."""
        x = x * self.d_head**-0.25
        phi = scaled(x @ self.omega.T)
        return Scaled(phi.rows, phi.size - _shared(x, len(self.omega))[..., 0])


def log_random_features(x: Tensor, omega: Tensor) -> Tensor:
    """ln φ(x),  φ(x) = exp(ω x − |x|²/2) / √m,  since E_ω[φ(x)·φ(y)] = exp(x·y) for ω ~ N(0, I) (lemma 1 there).

    x [..., token, d], ω [..., feature, d] -> [..., token, feature].
    """
    return x @ omega.mT - _shared(x, omega.shape[-2])


def _shared(x: Tensor, m: int) -> Tensor:
    """|x|²/2 + ln √m, which ln φ(x) lacks in every feature.   -> [..., token, 1]"""
    return x.square().sum(-1, keepdim=True) / 2 + math.log(m) / 2


def random_rows(
    m: int, d: int, generator: torch.Generator | None = None, device: torch.device | None = None,
    orthogonal: bool = True,
) -> Tensor:  # fmt: skip
    """ω [m, d]: rows that are each N(0, I), and in each d of them orthogonal, which lowers the estimate's variance
    (theorem 2 there). ``orthogonal=False``: independent ones, for contrast.
    """
    if not orthogonal:
        return torch.randn(m, d, generator=generator, device=device)
    blocks = []
    for _ in range(math.ceil(m / d)):
        U, R = torch.linalg.qr(torch.randn(d, d, generator=generator, device=device))
        blocks.append(U * R.diagonal().sign())  # uniform among rotations and reflections, whatever signs QR prefers
    length = torch.randn(m, d, generator=generator, device=device).norm(dim=1, keepdim=True)  # of a Gaussian row
    return torch.cat(blocks)[:m] * length
