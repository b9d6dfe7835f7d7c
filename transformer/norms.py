"""Normalisation of each token's vector over its features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import Config


class LayerNorm(nn.Module):
    """γ · (x − μ) / √(σ² + ε) + β, with μ and the biased σ² over the features of one token. Ba et al. 2016, arXiv:1607.06450

    x [..., d_model] -> the same shape.
    """

    def __init__(self, d_model: int, eps: float):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(d_model))
        self.beta = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta, self.eps)


class RMSNorm(nn.Module):
    """γ · x / √(mean(x²) + ε), over the features of one token. Zhang & Sennrich 2019, arXiv:1910.07467

    x [..., d_model] -> the same shape.
    """

    def __init__(self, d_model: int, eps: float):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gamma.shape, self.gamma, self.eps)


NORMS = {"layer": LayerNorm, "rms": RMSNorm}


def make_norm(config: Config) -> nn.Module | None:
    """The norm that ``config`` asks for, or None for "none"."""
    return None if config.norm == "none" else NORMS[config.norm](config.d_model, config.norm_eps)
