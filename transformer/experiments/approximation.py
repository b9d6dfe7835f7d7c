"""One head's weights, exact and as cheaper attentions make them of the same q, k and v, and how far apart the two are.

What a trained head would lose by each can be seen on its own vectors. The kinds of attention themselves, which never
make an n × n matrix, are in ``kernels`` and ``lowrank``; here the matrix that they stand for is written out.
"""

import torch
from torch import Tensor

from transformer import cost, kernels
from transformer.attention import masked_softmax
from transformer.config import Config


def exact(Q: Tensor, K: Tensor, mask: Tensor | None = None) -> Tensor:
    """A = softmax(Q Kᵀ / √d_k), masked.   Q [query, d_k], K [key, d_k], mask bool or None -> [query, key]"""
    return masked_softmax(scores(Q, K), mask)


def scores(Q: Tensor, K: Tensor) -> Tensor:
    """S = Q Kᵀ / √d_k.   -> [query, key]"""
    return Q @ K.mT * Q.shape[-1] ** -0.5


def error(approximate: Tensor, true: Tensor) -> Tensor:
    """‖approximate − true‖ / ‖true‖, Frobenius, over the last two axes: 0 where equal, 1 for all zeros.   -> [..]"""
    return torch.linalg.matrix_norm(approximate - true) / torch.linalg.matrix_norm(true)


# ---- random features ----


def log_estimates(Q: Tensor, K: Tensor, omega: Tensor) -> Tensor:
    """ln φ(q)·φ(k), Performer's scores: exp of it has the mean exp(q·k / √d_k) over draws of ω. arXiv:2009.14794

    Q [query, d_k], K [key, d_k], omega [.., feature, d_k] -> [.., query, key]
    """
    root = Q.shape[-1] ** -0.25
    phi_Q, phi_K = (kernels.scaled(kernels.log_random_features(x * root, omega)) for x in (Q, K))
    return kernels.log_products(phi_Q, phi_K)


def performer(Q: Tensor, K: Tensor, omega: Tensor, mask: Tensor | None = None) -> Tensor:
    """A_ij = φ(q_i)·φ(k_j) / Σ_l φ(q_i)·φ(k_l): a ratio of two estimates, each of them unbiased, the ratio not.

    Arguments as ``log_estimates``, and the mask -> [.., query, key]
    """
    return masked_softmax(log_estimates(Q, K, omega), mask)


def log_relative_variance(Q: Tensor, K: Tensor) -> Tensor:
    """ln(m Var(φ(q)·φ(k)) / exp(q·k / √d_k)²) = ln(exp(|q + k|² / √d_k) − 1) for independent ω (lemma 2 there): the
    logarithm of how many features it takes until the spread is as large as the estimate itself.   -> [query, key]

    It grows with the square of the vectors' length, and that is what random features cannot do.
    """
    squared = (Q[:, None] + K[None]).square().sum(-1) * Q.shape[-1] ** -0.5
    return squared + torch.log1p(-torch.exp(-squared))


# ---- linear attention ----


def linear(Q: Tensor, K: Tensor, mask: Tensor | None = None) -> Tensor:
    """A_ij = φ(q_i)·φ(k_j) / Σ_l φ(q_i)·φ(k_l) with φ(x) = elu(x) + 1 (arXiv:2006.16236).   Arguments as ``exact``."""
    return masked_softmax(linear_scores(Q, K), mask)


def linear_scores(Q: Tensor, K: Tensor) -> Tensor:
    """ln φ(q)·φ(k), what stands in the place of q·k / √d_k.   -> [query, key]"""
    phi_Q, phi_K = (kernels.scaled(kernels.log_elu_features(x)) for x in (Q, K))
    return kernels.log_products(phi_Q, phi_K)


def recurrence(phi_K: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """S_t = S_{t−1} + φ(k_t) v_tᵀ and z_t = z_{t−1} + φ(k_t), from nothing: all that the future will know of the past.

    phi_K [token, feature], V [token, d_v] -> S [token, feature, d_v], z [token, feature]
    """
    S, z, states = phi_K.new_zeros(phi_K.shape[1], V.shape[1]), phi_K.new_zeros(phi_K.shape[1]), []
    for phi_k, v in zip(phi_K, V, strict=True):
        S = S + phi_k[:, None] * v
        z = z + phi_k
        states.append((S, z))
    return torch.stack([S for S, _ in states]), torch.stack([z for _, z in states])


def read_states(phi_Q: Tensor, S: Tensor, z: Tensor) -> Tensor:
    """o_t = φ(q_t) S_t / φ(q_t)·z_t: each token reads the state as it then was.   -> [token, d_v]"""
    values = (phi_Q[:, None] @ S)[:, 0]  # [token, d_v]
    return values / (phi_Q * z).sum(-1, keepdim=True)


# ---- low rank ----


def best_ranks(A: Tensor) -> Tensor:
    """A_k = Σ_{i ≤ k} σ_i u_i v_iᵀ for k = 1 … n: no matrix of rank k is closer to A (Eckart & Young 1936), so that no
    squeezing of the keys to k rows can be.   A [query, key] -> [k, query, key]
    """
    U, sigma, Vh = torch.linalg.svd(A, full_matrices=False)
    return torch.cumsum(sigma[:, None, None] * U.mT[:, :, None] * Vh[:, None, :], 0)


def projected(A: Tensor, R: Tensor) -> Tensor:
    """A Rᵀ R, which for R [k, key] of N(0, 1/k) is A in the mean and has rank k: the step of Linformer's proof that
    leans on Johnson and Lindenstrauss (theorem 1 of arXiv:2006.04768).   A [query, key] -> [query, key]
    """
    return A @ R.mT @ R


def squeezed(Q: Tensor, K: Tensor, E: Tensor) -> Tensor:
    """Linformer's own weights, softmax(Q (E K)ᵀ / √d_k), on rows that each mix all keys.

    Q [query, d_k], K [key, d_k], E [.., rank, key] -> [.., query, rank]. A row of E that is all zeros is no row: it
    gets no weight, so that projections of several ranks can stand in one tensor.
    """
    return masked_softmax(scores(Q, E @ K), E.abs().sum(-1).gt(0)[..., None, :])


def pooled(n: int) -> Tensor:
    """E for k = 1 … n, each row the mean of about n / k neighbours: the paper's projection without parameters (§4).

    -> [k, n, n], rows from k on are zeros
    """
    k, row, key = torch.arange(1, n + 1)[:, None, None], torch.arange(n)[:, None], torch.arange(n)
    members = (key * k // n == row).float()
    return members / members.sum(-1, keepdim=True).clamp(min=1)


@torch.no_grad()
def fitted(
    Q: Tensor, K: Tensor, V: Tensor, steps: int = 300, lr: float = 0.02, ranks: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """E and F that make softmax(Q (E K)ᵀ / √d_k) F V come close to A V for this one text, for every rank 1 … n (or those
    of ``ranks``), by ``steps`` of Adam from ``pooled``. More than a trained Linformer can do, which has one E and F for
    all texts.

    With S = Q Kᵀ / √d_k, P = softmax(S Eᵀ) and D = P F − A the loss is ‖D V‖² / ‖A V‖², and its gradients

        dF = Pᵀ dD        dE = dSᵀ S        dS = P ⊙ (dP − Σ_row P ⊙ dP)        dP = dD Fᵀ        dD = 2 D V Vᵀ / ‖A V‖²

    are written out: they need n × n matrices alone, and take a quarter of autograd's time. So are Adam's steps
    (arXiv:1412.6980), since the first of torch.optim's takes a second of imports.

    -> E, F [k, n, n], rows from k on are zeros
    """
    start = pooled(len(K)).to(Q)[... if ranks is None else ranks - 1]
    none = (start.sum(-1) == 0)[:, None]  # [k, 1, row]
    S, A = scores(Q, K), exact(Q, K)
    inner = 2 * V @ V.mT / (A @ V).square().sum()
    E, F = both = torch.stack((start, start))
    m, v = torch.zeros_like(both), torch.zeros_like(both)
    for step in range(1, steps + 1):
        P = (S @ E.mT).masked_fill(none, -torch.inf).softmax(-1)
        dD = (P @ F - A) @ inner
        dP = dD @ F.mT
        dS = P * (dP - (P * dP).sum(-1, keepdim=True))
        g = torch.stack((dS.mT @ S, P.mT @ dD))
        m.lerp_(g, 1 - 0.9)
        v.lerp_(g.square(), 1 - 0.999)
        both.addcdiv_(m, (v / (1 - 0.999**step)).sqrt().add_(1e-8), value=-lr / (1 - 0.9**step))
    return E, F


# ---- cost ----


def flops_a_token(config: Config, n: int) -> float:
    """What one layer's heads multiply for one more token with n − 1 before it, beside the projections to Q, K, V and
    back; for an encoder, which reads all at once, the nth part of the whole text.

    Full attention 4 n h d_k; a state of m features 4 m h d_k, as much again for Performer's ω, and a little more,
    whatever n.
    """
    if config.kind == "encoder":
        parts = cost.flops(config, n)
        projections = 2 * 2 * n * config.d_model * config.n_kv_heads * config.d_head * config.n_layers
        return (parts["scores"] + parts["z"] + parts["K"] + parts["V"] - projections) / (n * config.n_layers)
    parts = cost.flops(config, 1, cached=n - 1)
    return (parts["scores"] + parts["z"]) / config.n_layers
