"""How well a key answers a query: the score functions.

Four of them are a dot product of vectors that they prepare, so that one fused kernel serves them all; the other two are
not, and are computed in full. Shapes throughout: Q [batch, head, query, d_head], K [batch, head, key, d_head] -> S
[batch, head, query, key].
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import Config


def scale(config: Config) -> float:
    """The factor on q·k: 1/√d_k for "scaled_dot" (Vaswani et al. 2017), 1 for the others.

    For q, k with independent coordinates of mean 0 and variance 1, Var(q·k) = d_k; the factor brings it back to 1.
    """
    return 1 / math.sqrt(config.d_head) if config.score == "scaled_dot" else 1.0


def dot(Q: Tensor, K: Tensor, factor: float = 1.0) -> Tensor:
    """S = Q Kᵀ · factor.   Q [..., query, d_head], K [..., key, d_head] -> [..., query, key]."""
    return (Q * factor) @ K.mT


class Dot(nn.Module):
    """S = Q Kᵀ ("dot": Luong et al. 2015, arXiv:1508.04025), or Q Kᵀ / √d_k ("scaled_dot": Vaswani et al. 2017)."""

    is_product = True

    def __init__(self, config: Config):
        super().__init__()
        self.factor = scale(config)

    def vectors(self, Q: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
        """The two whose dot product, times ``factor``, is the score."""
        return Q, K

    def forward(self, Q: Tensor, K: Tensor, k_pos: Tensor) -> Tensor:
        Q, K = self.vectors(Q, K)
        return dot(Q, K, self.factor)


class General(Dot):
    """S = Q W Kᵀ with a learned W [head, d_head, d_head] ("general", Luong et al. 2015)."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.W = nn.Parameter(torch.empty(config.n_heads, config.d_head, config.d_head))

    def vectors(self, Q: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
        return Q @ self.W, K


class Cosine(Dot):
    """S = β cos(q, k) = β q·k / (‖q‖ ‖k‖), β learned for each head (content addressing: Graves et al. 2014, arXiv:1410.5401).

    β starts at √d_k, about the spread of scaled dot products times what softmax needs to choose.
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.beta = nn.Parameter(torch.empty(config.n_heads))

    def vectors(self, Q: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(Q, dim=-1) * self.beta[:, None, None], F.normalize(K, dim=-1)


class Additive(nn.Module):
    """S_ij = v · tanh(q_i + k_j + b): one hidden layer for each pair (Bahdanau et al. 2015, arXiv:1409.0473).

    W_Q and W_K are the paper's W and U. Every pair of tokens needs d_k tanhs, where a dot product needs one matrix
    multiplication for all pairs.
    """

    is_product = False

    def __init__(self, config: Config):
        super().__init__()
        self.v = nn.Parameter(torch.empty(config.n_heads, config.d_head))
        self.b = nn.Parameter(torch.empty(config.n_heads, config.d_head))

    def forward(self, Q: Tensor, K: Tensor, k_pos: Tensor) -> Tensor:
        pairs = Q[:, :, :, None] + K[:, :, None] + self.b[:, None, None]  # [batch, head, query, key, d_head]
        return (pairs.tanh() @ self.v[:, None, :, None])[..., 0]


class Location(nn.Module):
    """S_ij = w_j · q_i: where to look is read off the query alone, without keys ("location", Luong et al. 2015).

    W [head, max_len, d_head] has a row for each place, so that a text cannot be longer. K is still made, and goes unread.
    """

    is_product = False

    def __init__(self, config: Config):
        super().__init__()
        self.W = nn.Parameter(torch.empty(config.n_heads, config.max_len, config.d_head))

    def forward(self, Q: Tensor, K: Tensor, k_pos: Tensor) -> Tensor:
        S = Q @ self.W.mT  # [batch, head, query, place]
        at = k_pos[:, None, None].expand(Q.shape[0], *S.shape[1:3], -1)  # [batch, head, query, key]
        return S.gather(-1, at)


SCORES = {
    "scaled_dot": Dot, "dot": Dot, "general": General, "cosine": Cosine, "additive": Additive, "location": Location,
}  # fmt: skip
