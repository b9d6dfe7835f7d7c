"""Where the tokens of one forward pass stand, and who may see whom."""

from functools import cached_property

import torch
from torch import Tensor, nn

from transformer import masks, rope
from transformer.biases import Distances
from transformer.config import Config


class Geometry:
    """Self-attention's geometry. Each table is made when a layer first asks for it, and all layers share it: whoever
    computes a sparse pattern sparsely never pays for an n × n mask.

    q_pos [batch or 1, query] and k_pos [batch or 1, key]: absolute positions; ``q_pos is k_pos`` where nothing is cached.
    real [batch, key]: False at padding. segments [batch, token]: hides other segments where the config is packed.
    bias: ALiBi or T5's table.
    """

    def __init__(
        self,
        config: Config,
        q_pos: Tensor,
        k_pos: Tensor,
        real: Tensor | None = None,
        segments: Tensor | None = None,
        bias: nn.Module | None = None,
        reach: int = 0,
    ):
        self.config, self.q_pos, self.k_pos, self.real, self.reach = config, q_pos, k_pos, real, reach
        self.segments = segments if config.packed else None
        self._bias = bias

    @property
    def padded(self) -> bool:
        """Some keys are padding, so that a query may see no key at all."""
        return self.real is not None

    @cached_property
    def _plain(self) -> bool:
        """Nothing but the past is asked of a key."""
        dense = self.config.attention in masks.DENSE
        return self.config.kind == "decoder" and dense and not self.config.prefix and self.real is self.segments is None

    @property
    def is_causal(self) -> bool:
        """The mask is exactly the lower triangle, which the fused kernel knows without being told."""
        return self._plain and self.q_pos is self.k_pos

    @cached_property
    def mask(self) -> Tensor | None:
        """bool [batch or 1, 1, query, key]; None = every query sees every key."""
        if self._plain and self.q_pos.shape[-1] == 1:
            return None  # the newest token sees all
        return masks.mask(self.config, self.q_pos, self.k_pos, self.real, self.segments)

    @cached_property
    def rotation(self) -> rope.Rotation | None:
        """RoPE's cos and sin at the new tokens' positions."""
        return rope.rotation(self.config, self.q_pos) if self.config.position == "rope" else None

    @cached_property
    def distances(self) -> Distances:
        """q − k of every pair."""
        return Distances(masks.distance(self.q_pos, self.k_pos), self.reach)

    @cached_property
    def counted(self) -> bool:
        """Nothing is cached and each row's positions are 0, 1, 2 …, so that a place in the text is a position."""
        if self.q_pos is not self.k_pos or len(self.q_pos) > 1:
            return False
        n = self.q_pos.shape[1]
        return self.q_pos.is_meta or torch.equal(self.q_pos[0], torch.arange(n, device=self.q_pos.device))

    @property
    def biased(self) -> bool:
        """A bias that depends on the distance is added to the scores."""
        return self._bias is not None

    def bias_at(self, distance: Tensor) -> Tensor | None:
        """What ALiBi or T5 adds at these distances.   [any, query, key] -> [any, head, query, key]"""
        return None if self._bias is None else self._bias(distance)

    @cached_property
    def bias(self) -> Tensor | None:
        """What ALiBi or T5 adds to the scores, [batch or 1, head, query, key]."""
        return None if self._bias is None else self._bias(self.distances.between)


class Across:
    """Cross-attention's geometry: every query sees the whole source, wherever either stands.

    real [batch, key]: False at the source's padding. k_pos [1, key] counts the source's tokens.
    """

    is_causal, rotation, bias, distances = False, None, None, None

    def __init__(self, k_pos: Tensor, real: Tensor | None):
        self.k_pos, self.padded = k_pos, real is not None
        self.mask = None if real is None else real[:, None, None]
