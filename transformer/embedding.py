"""From token ids to the vectors that enter the first block."""

import math

import torch
from torch import Tensor, nn

from transformer.config import Config
from transformer.norms import make_norm
from transformer.positions import sinusoidal
from transformer.tap import Tap


def table(rows: int, d_model: int) -> nn.Embedding:
    """An embedding table [rows, d_model] without values: ``models.initialise`` or a checkpoint gives them.

    (nn.Embedding's own initialisation on the meta device imports sympy, a second on its own.)
    """
    return nn.Embedding.from_pretrained(torch.empty(rows, d_model), freeze=False)


class Embedding(nn.Module):
    """X = E[ids] (· √d) (+ P[positions]) (+ G[segments]), normalised where the config says so.

    ids, positions, segments [batch, token] -> [batch, token, d_model].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.W_E = table(config.vocab_size, config.d_model)
        self.W_P = table(config.max_len, config.d_model) if config.position == "learned" else None
        self.W_G = table(config.n_segments, config.d_model) if config.n_segments else None
        self.norm = make_norm(config) if config.embed_norm else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor, segments: Tensor | None, tap: Tap) -> Tensor:
        x = self.W_E(ids)
        if self.config.scale_embeddings:
            x = x * math.sqrt(self.config.d_model)
        x = tap("embed.tokens", x)
        if self.W_P is not None:
            x = x + tap("embed.positions", self.W_P(positions))
        elif self.config.position == "sinusoidal":
            x = x + tap("embed.positions", sinusoidal(positions, self.config.d_model).to(x.dtype))
        if self.W_G is not None:
            segments = ids.new_zeros(ids.shape) if segments is None else segments
            x = x + tap("embed.segments", self.W_G(segments))
        if self.norm is not None:
            x = self.norm(x)
        return tap("embed", self.dropout(x))
