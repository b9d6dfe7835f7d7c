"""The layers, one after the other."""

from torch import Tensor, nn

from transformer.attention import Geometry
from transformer.block import Block
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.tap import Tap


class Stack(nn.Module):
    """x ← block_i(x) for i = 0 … layers − 1. With shared layers (ALBERT: Lan et al. 2019, arXiv:1909.11942) it is one
    block at every depth, and its tensors still have one name a depth."""

    def __init__(self, config: Config):
        super().__init__()
        self.n_layers = config.n_layers
        self.blocks = nn.ModuleList(Block(config) for _ in range(1 if config.share_layers else config.n_layers))

    def forward(
        self, x: Tensor, geometry: Geometry, past: tuple[KeyValues, ...] | None, tap: Tap
    ) -> tuple[Tensor, tuple[KeyValues, ...] | None]:
        """x [batch, token, d_model] -> the same shape; ``past`` holds one entry a layer, and comes back longer."""
        grown = []
        for i in range(self.n_layers):
            block = self.blocks[i % len(self.blocks)]
            x, kept = block(x, geometry, None if past is None else past[i], tap / "layers" / i)
            grown.append(kept)
        return x, None if past is None else tuple(grown)
