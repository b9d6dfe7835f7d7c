"""Rotary position embedding (RoPE) and its scalings. Su et al. 2021, https://arxiv.org/abs/2104.09864

Coordinates of a query or key are taken in pairs, and pair i is turned by the angle m·θ_i, where m is the token's
position. A rotation keeps lengths, and ⟨R_m q, R_n k⟩ depends on m − n alone.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.config import Config


class Rotation(NamedTuple):
    """cos and sin of every pair's angle at the positions of one forward pass, laid out over all coordinates."""

    cos: Tensor  # [batch or 1, 1, token, d_head]
    sin: Tensor  # [batch or 1, 1, token, d_head]
    interleaved: bool


def frequencies(d_head: int, base: float = 10_000.0, device: torch.device | None = None) -> Tensor:
    """θ_i = base^(−2i / d_k), radians a position, for i = 0 … d_k/2 − 1.   Returns [d_head / 2], float32."""
    i = torch.arange(0, d_head, 2, device=device, dtype=torch.float32)
    return 1.0 / base ** (i / d_head)


def scaled_frequencies(config: Config, device: torch.device | None = None) -> tuple[Tensor, float]:
    """The frequencies that ``config`` asks for, and the factor on cos and sin (1 but for YaRN).

    none    θ_i
    linear  θ_i / s: positions are squeezed into the trained range (Chen et al. 2023, arXiv:2306.15595)
    ntk     base' = base · s^(d_k / (d_k − 2)): slow pairs are stretched, fast ones hardly (bloc97, 2023)
    yarn    fast pairs kept, slow pairs θ_i / s, a ramp between; cos, sin · (0.1 ln s + 1) (Peng et al. 2023, arXiv:2309.00071)
    llama3  the same idea with the ramp set by wavelengths (Llama 3.1's reference code)

    Returns ([d_head / 2], float).
    """
    d_head, base, s = config.d_head, config.rope_base, config.rope_factor
    theta = frequencies(d_head, base, device)
    match config.rope_scaling:
        case "linear":
            return theta / s, 1.0
        case "ntk":
            return frequencies(d_head, base * s ** (d_head / (d_head - 2)), device), 1.0
        case "yarn":
            # A pair that turns more than 32 times within the trained length is left alone, less than once is squeezed.
            def pair_turning(times: float) -> float:
                return d_head * math.log(config.rope_original_len / (times * 2 * math.pi)) / (2 * math.log(base))

            low, high = max(math.floor(pair_turning(32)), 0), min(math.ceil(pair_turning(1)), d_head - 1)
            i = torch.arange(d_head // 2, device=device, dtype=torch.float32)
            slow = ((i - low) / max(high - low, 0.001)).clamp(0, 1)
            return theta * (1 - slow) + theta / s * slow, 0.1 * math.log(s) + 1.0
        case "llama3":
            turns = config.rope_original_len * theta / (2 * math.pi)  # within the trained length
            low, high = config.rope_low_freq_factor, config.rope_high_freq_factor
            fast = ((turns - low) / (high - low)).clamp(0, 1)
            return theta * fast + theta / s * (1 - fast), 1.0
    return theta, 1.0


def rotation(config: Config, positions: Tensor) -> Rotation:
    """cos(m·θ_i) and sin(m·θ_i) for ``positions`` [batch or 1, token]; computed in float32 whatever the model's dtype."""
    theta, factor = scaled_frequencies(config, positions.device)
    angle = positions[:, None, :, None].float() * theta  # [batch or 1, 1, token, d_head / 2]
    interleaved = config.rope_layout == "interleaved"
    angle = angle.repeat_interleave(2, -1) if interleaved else torch.cat((angle, angle), -1)
    cos, sin = angle.cos(), angle.sin()
    if factor != 1.0:
        cos, sin = cos * factor, sin * factor
    return Rotation(cos, sin, interleaved)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """R_m x: each pair (a, b) becomes (a cos − b sin, a sin + b cos).   x [batch, head, token, d_head] -> the same shape.

    Layout "half" pairs coordinate i with i + d_k/2 (Llama, Hugging Face), "interleaved" pairs 2i with 2i + 1 (the paper);
    they agree when W_Q and W_K have their rows permuted alike.
    """
    if rotation.interleaved:
        partner = torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
    else:
        a, b = x.chunk(2, -1)
        partner = torch.cat((-b, a), -1)
    return x * rotation.cos.to(x.dtype) + partner * rotation.sin.to(x.dtype)
