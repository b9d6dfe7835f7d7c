"""Normalisation: of each token's vector over its features, or, for contrast, of each feature over the batch."""

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


class BatchNorm(nn.Module):
    """γ · (x − μ) / √(σ² + ε) + β, with μ and the biased σ² of each feature over all tokens of the batch while training,
    and running averages of them afterwards. Ioffe & Szegedy 2015, arXiv:1502.03167

    Here for contrast: a token's output depends on its neighbours in the batch, padding counts as data, and in training
    the future reaches the past through the averages. torch refuses to train it on a single token, whose σ is 0.
    x [..., d_model] -> the same shape.
    """

    def __init__(self, d_model: int, eps: float):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(d_model))
        self.beta = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("mean", torch.zeros(d_model))
        self.register_buffer("variance", torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, -2)  # [batch · token, model]
        return F.batch_norm(
            flat, self.mean, self.variance, self.gamma, self.beta, self.training, momentum=0.1, eps=self.eps
        ).view_as(x)


NORMS = {"layer": LayerNorm, "rms": RMSNorm, "batch": BatchNorm}


def make_norm(config: Config, width: int | None = None) -> nn.Module | None:
    """The norm that ``config`` asks for, over d_model features unless another ``width`` is given; None for "none"."""
    return None if config.norm == "none" else NORMS[config.norm](width or config.d_model, config.norm_eps)
