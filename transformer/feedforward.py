"""The position-wise feed-forward network: expand, activate, contract; each token on its own."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import Config
from transformer.tap import Tap

ACTIVATIONS = {
    "relu": F.relu,  # max(0, u)
    "gelu": F.gelu,  # u · Φ(u), exact
    "gelu_tanh": partial(F.gelu, approximate="tanh"),  # ½u (1 + tanh(√(2/π)(u + 0.044715 u³)))
    "silu": F.silu,  # u · sigmoid(u)
}


class FeedForward(nn.Module):
    """σ(x W_1 + b_1) W_2 + b_2, or gated: (σ(x W_g) ⊙ x W_1) W_2 (GEGLU, SwiGLU: Shazeer 2020, arXiv:2002.05202).

    x [batch, token, d_model] -> [batch, token, d_model]; d_ff neurons between.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.W_1 = nn.Linear(config.d_model, config.d_ff, bias=config.ffn_bias)
        self.W_g = nn.Linear(config.d_model, config.d_ff, bias=config.ffn_bias) if config.gated else None
        self.W_2 = nn.Linear(config.d_ff, config.d_model, bias=config.ffn_bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, tap: Tap) -> Tensor:
        u = tap("pre", self.W_1(x))  # [batch, token, ff]
        if self.W_g is None:
            a = tap("post", self.activation(u))
        else:
            g = tap("gate", self.W_g(x))  # [batch, token, ff]
            a = tap("post", self.activation(g) * u)
        return tap("out", self.dropout(self.W_2(a)))  # [batch, token, model]
