"""The layers, one after the other."""

from dataclasses import replace

from torch import Tensor, nn

from transformer.block import Block
from transformer.cache import Cache, KeyValues
from transformer.config import Config
from transformer.geometry import Across, Geometry
from transformer.tap import Tap


class Stack(nn.Module):
    """x ← block_i(x) for i = 0 … layers − 1. With shared layers (ALBERT: Lan et al. 2019, arXiv:1909.11942) it is one
    block at every depth, and its tensors still have one name a depth."""

    def __init__(self, config: Config, cross: bool = False):
        super().__init__()
        self.config = config
        self.n_layers = config.n_layers
        self.blocks = nn.ModuleList(Block(config, cross) for _ in range(1 if config.share_layers else config.n_layers))

    def forward(
        self,
        x: Tensor,
        geometry: Geometry,
        cache: Cache | None,
        tap: Tap,
        source: Tensor | None = None,
        across: Across | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """x [batch, token, d_model] -> the same shape, and the cache with every layer's new part in it. ``source``
        [batch, key, d_model]: what cross-attention reads."""
        layers, crossed = [], []
        for i in range(self.n_layers):
            past = None if cache is None else cache.layers[i]
            past_across = KeyValues() if cache is not None and source is not None else None
            if cache is not None and cache.across is not None:
                past_across = cache.across[i]
            block = self.blocks[i % len(self.blocks)]
            x, past, past_across = block(x, geometry, past, tap / "layers" / i, source, across, past_across)
            layers.append(past)
            crossed.append(past_across)
        if cache is None:
            return x, None
        return x, replace(cache, layers=tuple(layers), across=None if across is None else tuple(crossed))
