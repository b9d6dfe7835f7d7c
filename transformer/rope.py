"""Rotary position embedding (RoPE) and its scalings. Su et al. 2021, https://arxiv.org/abs/2104.09864

Coordinates of a query or key are taken in pairs, and pair i is turned by the angle m·θ_i, where m is the token's
position. A rotation keeps lengths, and ⟨R_m q, R_n k⟩ depends on m − n alone.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.config import Config, RopeLayout


class Rotation(NamedTuple):
    """cos and sin of every pair's angle at the positions of one forward pass, laid out over all coordinates."""

    cos: Tensor  # [batch or 1, 1, token, d_head]
    sin: Tensor  # [batch or 1, 1, token, d_head]
    interleaved: bool


def frequencies(d_head: int, base: float = 10_000.0, device: torch.device | None = None) -> Tensor:
    """θ_i = base^(−2i / d_k), radians a position, for i = 0 … d_k/2 − 1.   Returns [d_head / 2], float32."""
    i = torch.arange(0, d_head, 2, device=device, dtype=torch.float32)
    return 1.0 / base ** (i / d_head)


def turned_dims(config: Config) -> int:
    """How many coordinates of a head are turned: all, unless the config says fewer. Latent attention has some beside the
    others for it, half as many as a head has."""
    if config.rope_dims is not None:
        return config.rope_dims
    return config.d_head if config.attention != "latent" else max(2, config.d_head // 4 * 2)


def scaled_frequencies(config: Config, device: torch.device | None = None) -> tuple[Tensor, float]:
    """The frequencies that ``config`` asks for, and the factor on cos and sin (1 but for YaRN).

    none    θ_i
    linear  θ_i / s: positions are squeezed into the trained range (Chen et al. 2023, arXiv:2306.15595)
    ntk     base' = base · s^(d_k / (d_k − 2)): slow pairs are stretched, fast ones hardly (bloc97, 2023)
    yarn    fast pairs kept, slow pairs θ_i / s, a ramp between; cos, sin · (0.1 ln s + 1) (Peng et al. 2023, arXiv:2309.00071)
    llama3  the same idea with the ramp set by wavelengths (Llama 3.1's reference code)

    Returns ([d_head / 2], float).
    """
    d_head, base, s = turned_dims(config), config.rope_base, config.rope_factor
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
    turned = rotation.cos.shape[-1]
    if turned < x.shape[-1]:  # partial: the other coordinates stay (GPT-NeoX)
        return torch.cat((rotate(x[..., :turned], rotation), x[..., turned:]), -1)
    if rotation.interleaved:
        partner = torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
    else:
        a, b = x.chunk(2, -1)
        partner = torch.cat((-b, a), -1)
    return x * rotation.cos.to(x.dtype) + partner * rotation.sin.to(x.dtype)


# What the lesson on RoPE looks at. The forward pass above does not need it.


def wavelengths(theta: Tensor) -> Tensor:
    """2π / θ_i: after how many positions pair i has turned once.   θ [pair] -> [pair]."""
    return 2 * math.pi / theta


def pairs(x: Tensor, layout: RopeLayout = "half") -> Tensor:
    """The pairs that turn together, (a_i, b_i).   x [..., d_head] -> [..., d_head / 2, 2]."""
    if layout == "interleaved":
        return x.unflatten(-1, (-1, 2))
    return torch.stack(x.chunk(2, -1), -1)


def interleave(x: Tensor) -> Tensor:
    """Layout "half" to layout "interleaved": coordinate i goes to 2i, its partner i + d_k/2 to 2i + 1.

    The permutation that makes the layouts agree, for q and k or for the rows of W_Q and W_K.
    x [..., d_head] -> the same shape.
    """
    return pairs(x, "half").flatten(-2)


class Layouts(NamedTuple):
    """The same head turned in both layouts, each in its own order of coordinates, and its scores, not divided by √d_k."""

    Q_half: Tensor  # [head, token, d_head], turned
    Q_interleaved: Tensor  # [head, token, d_head], permuted and turned
    S_half: Tensor  # [head, query, key]
    S_interleaved: Tensor  # [head, query, key]: the same numbers
    S_forgotten: Tensor  # [head, query, key]: turned as neighbours without being permuted, as a careless loader does


def layouts(Q: Tensor, K: Tensor, config: Config) -> Layouts:
    """Real queries and keys in both layouts: interleave(R_half q) = R_interleaved interleave(q), so every score agrees.

    Q [head, token, d_head], K [kv_head, token, d_head], unrotated, in the layout "half".
    """
    K = K.repeat_interleave(len(Q) // len(K), 0)
    half, neighbours = (
        rotation(dataclasses.replace(config, rope_layout=layout), torch.arange(Q.shape[1])[None])
        for layout in ("half", "interleaved")
    )
    q, k = (rotate(x[None], half)[0] for x in (Q, K))
    q_permuted, k_permuted = (rotate(interleave(x)[None], neighbours)[0] for x in (Q, K))
    q_wrong, k_wrong = (rotate(x[None], neighbours)[0] for x in (Q, K))
    return Layouts(q, q_permuted, q @ k.mT, q_permuted @ k_permuted.mT, q_wrong @ k_wrong.mT)


def pair_scores(q: Tensor, k: Tensor, theta: Tensor, distance: Tensor, layout: RopeLayout = "half") -> Tensor:
    """What pair i adds to ⟨R_m q, R_n k⟩ when r = m − n. Taking pairs as complex numbers q̃_i = a + ib,

        Re(q̃_i k̃_i* e^{i r θ_i}) = α_i cos(r θ_i) + β_i sin(r θ_i),   α = a_q a_k + b_q b_k,   β = a_q b_k − b_q a_k.

    m and n themselves fall out. Not divided by √d_k.   q, k [..., d_head] unrotated, theta [pair], distance [distance]
    -> [..., distance, pair]; summed over pairs it is the score.
    """
    alpha, beta = _parts(q, k, layout)
    angle = distance[:, None] * theta  # [distance, pair]
    return alpha[..., None, :] * angle.cos() + beta[..., None, :] * angle.sin()


def scores_by_distance(q: Tensor, k: Tensor, theta: Tensor, distance: Tensor, layout: RopeLayout = "half") -> Tensor:
    """⟨R_m q, R_n k⟩ for each r = m − n: ``pair_scores`` summed over the pairs, without holding them all.

    q, k [..., d_head] unrotated, theta [pair], distance [distance] -> [..., distance]. Not divided by √d_k.
    """
    alpha, beta = _parts(q, k, layout)
    angle = theta[:, None] * distance  # [pair, distance]
    return alpha @ angle.cos() + beta @ angle.sin()


def scores_in_place(q: Tensor, k: Tensor, config: Config, starts: Tensor, distance: Tensor) -> Tensor:
    """⟨R_{n+r} q, R_n k⟩ / √d_k, each vector really turned at its own absolute position, the long way round.

    q, k [d_head] unrotated; starts n [start], distance r [distance] -> [start, distance]; all rows agree.
    """
    m = (starts[:, None] + distance).flatten()[None]  # [1, start · distance]
    q = rotate(q.expand(1, 1, m.shape[1], -1), rotation(config, m)).unflatten(2, (len(starts), -1))[0, 0]
    k = rotate(k.expand(1, 1, len(starts), -1), rotation(config, starts[None]))[0, 0]  # [start, d_head]
    return (q @ k[..., None])[..., 0] / math.sqrt(config.d_head)


def aligned_decay(theta: Tensor, distance: Tensor) -> Tensor:
    """(2/d_k) Σ_i cos(r θ_i): the share of ⟨q, k⟩ that is left at distance r when q = k and every pair is equally long.

    theta [pair], distance [distance] -> [distance]; 1 at distance 0.
    """
    return (distance[:, None] * theta).cos().mean(-1)


def decay_envelope(theta: Tensor, distance: Tensor) -> Tensor:
    """(2/d_k) Σ_j |S_j(r)|, S_j(r) = Σ_{i<j} e^{i r θ_i}, j = 1 … d_k/2: the envelope of the RoFormer paper (§3.4.3).

    By summation by parts, with h_i = q̃_i k̃_i* and h_{d_k/2} = 0,

        |⟨R_m q, R_n k⟩| ≤ max_i |h_{i+1} − h_i| · Σ_j |S_j(r)|.

    It is an upper bound on what two vectors can reach, of use where neighbouring pairs are alike (aligned q and k); it
    says nothing about how a given head's scores change below it.   theta [pair], distance [distance] -> [distance].
    """
    angle = distance[:, None] * theta  # [distance, pair]
    return torch.polar(torch.ones_like(angle), angle).cumsum(-1).abs().mean(-1)


def random_pairs(count: int, d_head: int, alignment: float, seed: int) -> tuple[Tensor, Tensor]:
    """q ~ N(0, I) and k = ρ q + √(1 − ρ²) ε with ε ~ N(0, I): unit-variance vectors whose coordinates correlate by ρ.

    So E⟨R_m q, R_n k⟩ = ρ Σ_i 2 cos(r θ_i): the decay is the alignment's, not the rotation's alone.
    Returns q, k [count, d_head]. Raises ValueError when ρ is outside −1 … 1.
    """
    _check_alignment(alignment)
    generator = torch.Generator().manual_seed(seed)
    q, noise = torch.randn(2, count, d_head, generator=generator)
    return q, alignment * q + math.sqrt(1 - alignment**2) * noise


def scores_by_alignment(
    count: int, d_head: int, alignments: Sequence[float], seed: int, theta: Tensor, distance: Tensor,
    layout: RopeLayout = "half",
) -> Tensor:  # fmt: skip
    """The scores of ``random_pairs`` at every distance, for many ρ at the price of two: they are linear in k, so

        ⟨R_m q, R_n k⟩ = ρ ⟨R_m q, R_n q⟩ + √(1 − ρ²) ⟨R_m q, R_n ε⟩.

    theta [pair], distance [distance] -> [alignment, count, distance]. Not divided by √d_k. Raises ValueError when a ρ is
    outside −1 … 1.
    """
    for alignment in alignments:
        _check_alignment(alignment)
    (q, same), (_, other) = (random_pairs(count, d_head, alignment, seed) for alignment in (1.0, 0.0))
    like, unlike = (scores_by_distance(q, k, theta, distance, layout) for k in (same, other))
    rho = torch.tensor(alignments)[:, None, None]
    return rho * like + (1 - rho**2).sqrt() * unlike


def _check_alignment(alignment: float) -> None:
    if not -1 <= alignment <= 1:
        raise ValueError(f"alignment is {alignment}; a correlation lies between −1 and 1.")


def _parts(q: Tensor, k: Tensor, layout: RopeLayout) -> tuple[Tensor, Tensor]:
    """α and β of ``pair_scores``: [..., pair] each."""
    (a_q, b_q), (a_k, b_k) = pairs(q, layout).unbind(-1), pairs(k, layout).unbind(-1)
    return a_q * a_k + b_q * b_k, a_q * b_k - b_q * a_k
