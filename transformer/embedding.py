"""From token ids, or patches of an image, to the vectors that enter the first block."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import Config
from transformer.norms import make_norm
from transformer.positions import sinusoidal
from transformer.tap import Tap


def table(rows: int, width: int) -> nn.Embedding:
    """An embedding table [rows, width] without values: ``initialise`` or a checkpoint gives them.

    (nn.Embedding's own initialisation on the meta device imports sympy, a second on its own.)
    """
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)


class Embedding(nn.Module):
    """X = E[ids] (· √d) (+ P[positions]) (+ G[segments]), normalised where the config says so; where the tables are
    narrower than the model, widened by W_X at the end (ALBERT: Lan et al. 2019, arXiv:1909.11942).

    ids, positions, segments [batch, token] -> [batch, token, d_model].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width = config.d_embed
        self.W_E = table(config.vocab_size, width) if config.kind != "vision" else None
        self.W_P = table(config.max_len, width) if config.position == "learned" else None
        self.W_G = table(config.n_segments, width) if config.n_segments else None
        self.norm = make_norm(config, width) if config.embed_norm else None
        self.W_X = nn.Linear(width, config.d_model) if width != config.d_model else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor, segments: Tensor | None, tap: Tap) -> Tensor:
        x = self.W_E(ids)
        if self.config.scale_embeddings:
            x = x * math.sqrt(self.config.d_embed)
        return self.placed(tap("embed.tokens", x), positions, segments, tap)

    def placed(self, x: Tensor, positions: Tensor, segments: Tensor | None, tap: Tap) -> Tensor:
        """The vectors with their places and segments in them.   x [batch, token, d_embed] -> [batch, token, d_model]."""
        if self.W_P is not None:
            x = x + tap("embed.positions", self.W_P(positions))
        elif self.config.position == "sinusoidal":
            waves = sinusoidal(positions, x.shape[-1], layout=self.config.sinusoid_layout)
            x = x + tap("embed.positions", waves.to(x.dtype))
        if self.W_G is not None:
            segments = positions.new_zeros(x.shape[:2]) if segments is None else segments
            x = x + tap("embed.segments", self.W_G(segments))
        if self.norm is not None:
            x = self.norm(x)
        x = self.dropout(x)
        return tap("embed", x if self.W_X is None else self.W_X(x))

    def unembed(self, x: Tensor) -> Tensor:
        """x Eᵀ: the embedding table as the last matrix.   x [..., d_model] -> [..., vocab]; a narrow table is met after
        W_Xᵀ."""
        return F.linear(x if self.W_X is None else x @ self.W_X.weight, self.W_E.weight)


class Patches(Embedding):
    """An image as tokens: each patch's pixels times W_patch, behind one learned class token (ViT: Dosovitskiy et al.
    2021, arXiv:2010.11929). A convolution whose stride is its width does the same.

    images [batch, channel, pixel, pixel] -> [batch, 1 + patches, d_model].
    """

    def __init__(self, config: Config):
        super().__init__(config)
        self.W_patch = nn.Linear(config.channels * config.patch_size**2, config.d_embed)
        self.cls = nn.Parameter(torch.empty(config.d_embed))

    def forward(self, images: Tensor, positions: Tensor, segments: Tensor | None, tap: Tap) -> Tensor:
        p = self.config.patch_size
        rows = F.unfold(images, p, stride=p).mT  # [batch, patch, channel · p · p]
        x = self.W_patch(tap("embed.pixels", rows))
        if self.config.scale_embeddings:
            x = x * math.sqrt(self.config.d_embed)
        x = torch.cat((self.cls.expand(len(x), 1, -1), x), 1)
        return self.placed(tap("embed.tokens", x), positions, segments, tap)
