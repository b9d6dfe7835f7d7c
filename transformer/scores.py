"""How well a key answers a query: the score functions."""

import math

from torch import Tensor

from transformer.config import Config


def scale(config: Config) -> float:
    """The factor on q·k: 1/√d_k for "scaled_dot" (Vaswani et al. 2017), 1 for "dot" (Luong et al. 2015).

    For q, k with independent coordinates of mean 0 and variance 1, Var(q·k) = d_k; the factor brings it back to 1.
    """
    return 1 / math.sqrt(config.d_head) if config.score == "scaled_dot" else 1.0


def dot(Q: Tensor, K: Tensor, factor: float) -> Tensor:
    """S = Q Kᵀ · factor.   Q [..., query, d_head], K [..., key, d_head] -> [..., query, key]."""
    return (Q * factor) @ K.mT
