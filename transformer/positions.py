"""Absolute positions that are added to the embeddings. (RoPE turns queries and keys instead: see rope.py.)"""

import torch
from torch import Tensor


def sinusoidal(positions: Tensor, d_model: int) -> Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(the same). Vaswani et al. 2017, §3.5.

    ``positions`` [batch or 1, token] -> [batch or 1, token, d_model], float32.
    """
    i = torch.arange(0, d_model, 2, device=positions.device, dtype=torch.float32)
    angle = positions[..., None].float() / 10_000.0 ** (i / d_model)  # [batch or 1, token, d_model / 2]
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)
