"""Cheaper attentions on one head: what they claim of themselves, against closed forms and the layers that use them."""

import math

import pytest
import torch

from transformer import Config, build, kernels
from transformer.experiments import approximation
from transformer.cache import Cache
from transformer.kernels import random_rows

N, D = 9, 16
CAUSAL = torch.ones(N, N, dtype=torch.bool).tril()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vectors(seed: int = 0, length: float = 1.0) -> tuple[torch.Tensor, ...]:
    return tuple(x * length for x in torch.randn(3, N, D, generator=seeded(seed), dtype=torch.float64))


def test_the_estimates_mean_over_draws_is_the_kernel_and_the_ratios_is_not_the_weight():
    """The Check and the Catch: within 4 standard errors of exp(q·k/√d), and far outside of A at few features."""
    Q, K, _ = vectors(length=0.5)
    draws, m = 6000, 4
    omega = torch.stack([random_rows(m, D, seeded(s)) for s in range(draws)]).double()  # [draw, feature, d_k]
    kernel = approximation.log_estimates(Q, K, omega).exp()
    true = (Q @ K.T / math.sqrt(D)).exp()
    off = (kernel.mean(0) - true).abs() / (kernel.std(0) / math.sqrt(draws))
    assert off.max() < 4.5
    weights = approximation.performer(Q, K, omega)
    off = (weights.mean(0) - approximation.exact(Q, K)).abs() / (weights.std(0) / math.sqrt(draws))
    assert off.median() > 4 and off.max() > 8


def test_with_many_features_the_weights_converge():
    Q, K, _ = vectors(length=0.4)
    A = approximation.exact(Q, K, CAUSAL)
    few, many = (
        torch.stack([approximation.error(approximation.performer(Q, K, random_rows(m, D, seeded(s)).double(), CAUSAL),
                                         A)
                     for s in range(40)]).median().item() for m in (64, 1024))  # fmt: skip
    assert 3 < few / many < 5  # 16 times the features, a quarter of the error
    assert many < 0.05


def test_the_variance_is_lemma_2():
    q, k = torch.randn(2, 3, 4, generator=seeded(1), dtype=torch.float64)
    draws, m = 40_000, 1
    omega = torch.randn(draws, m, 4, generator=seeded(2), dtype=torch.float64)
    found = approximation.log_estimates(q * 0.4, k * 0.4, omega).exp().var(0)
    claimed = approximation.log_relative_variance(q * 0.4, k * 0.4).exp() * (2 * 0.16 * q @ k.T / 4**0.5).exp() / m
    torch.testing.assert_close(found, claimed, rtol=0.2, atol=0)


def test_the_layers_weights_are_these():
    for attention, of in (("linear", approximation.linear), ("performer", None)):
        config = Config(d_model=D, n_heads=1, n_layers=1, attention=attention, features=7 if of is None else None)
        model = build(config, seed=0).double()
        run = model.run(list(range(N)), record=("*.Q", "*.K", "*.A"))
        Q, K, A = (run.trace[f"layers.0.attention.{x}"][0, 0] for x in "QKA")
        omega = model.stack.blocks[0].attention.omega.double() if of is None else None
        made = approximation.performer(Q, K, omega, CAUSAL) if of is None else of(Q, K, CAUSAL)
        torch.testing.assert_close(made, A, atol=1e-9, rtol=1e-9)


def test_the_recurrence_is_the_parallel_form_and_the_layers_state():
    Q, K, V = vectors()
    phi_Q, phi_K = (kernels.log_elu_features(x).exp() for x in (Q, K))
    S, z = approximation.recurrence(phi_K, V)
    out = approximation.read_states(phi_Q, S, z)
    torch.testing.assert_close(out, approximation.linear(Q, K, CAUSAL) @ V, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(S[-1], phi_K.T @ V)
    torch.testing.assert_close(z[-1], phi_K.sum(0))
    model = build(Config(d_model=D, n_heads=1, n_layers=1, attention="linear"), seed=0).double()
    run = model.run(list(range(N)), record=("*.K", "*.V"), cache=Cache.empty(1))
    K, V = (run.trace[f"layers.0.attention.{x}"][0, 0] for x in "KV")
    S, z = approximation.recurrence(kernels.log_elu_features(K).exp(), V)
    state = run.cache.layers[0]
    torch.testing.assert_close(state.S[0, 0] * state.size[0, 0].exp(), S[-1])
    torch.testing.assert_close(state.z[0, 0] * state.size[0, 0].exp(), z[-1])


def test_no_matrix_of_a_rank_comes_closer_than_the_best():
    Q, K, V = vectors(length=1.5)
    A = approximation.exact(Q, K)
    best = approximation.best_ranks(A)
    assert [int(torch.linalg.matrix_rank(one, rtol=1e-9)) for one in best] == list(range(1, N + 1))
    sigma = torch.linalg.svdvals(A)
    left = torch.stack([sigma[k:].norm() for k in range(1, N + 1)]) / sigma.norm()
    bound = approximation.error(best, A)
    torch.testing.assert_close(bound, left, atol=1e-9, rtol=1e-6)
    E, F = approximation.fitted(Q, K, V, steps=60)
    learned = approximation.error(approximation.squeezed(Q, K, E) @ F, A)
    R = torch.randn(N, N, generator=seeded(0), dtype=torch.float64)
    drawn = torch.stack([approximation.error(approximation.projected(A, R[:k] / k**0.5), A) for k in range(1, N + 1)])
    assert (learned >= bound - 1e-9).all() and (drawn >= bound - 1e-9).all()


def test_a_random_projection_is_the_matrix_in_the_mean():
    A = approximation.exact(*vectors()[:2])
    made = torch.stack([approximation.projected(A, torch.randn(3, N, generator=seeded(s), dtype=A.dtype) / 3**0.5)
                        for s in range(4000)])  # fmt: skip
    off = (made.mean(0) - A).abs() / (made.std(0) / 4000**0.5)
    assert off.max() < 4.5


def test_fitting_comes_closer_than_pooling_and_rank_n_needs_no_fitting():
    Q, K, V = vectors(length=1.5)
    z, E = approximation.exact(Q, K) @ V, approximation.pooled(N).double()
    pooled = approximation.error(approximation.squeezed(Q, K, E) @ E @ V, z)
    fit_E, fit_F = approximation.fitted(Q, K, V)
    learned = approximation.error(approximation.squeezed(Q, K, fit_E) @ fit_F @ V, z)
    assert pooled[-1] < 1e-6 and torch.equal(E[-1], torch.eye(N).double())
    assert (learned[:-1] < pooled[:-1]).all() and learned[N // 2] < 0.5 * pooled[N // 2]
    assert (fit_E[2, 3:] == 0).all()


def test_a_fit_takes_the_steps_that_autograd_would():
    Q, K, V = vectors(length=1.5)
    z, E = approximation.exact(Q, K) @ V, approximation.pooled(N).double().requires_grad_()
    F = E.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam((E, F), 0.02)
    for _ in range(20):
        loss = (approximation.squeezed(Q, K, E) @ (F @ V) - z).square().sum() / z.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = approximation.fitted(Q, K, V, steps=20)
    torch.testing.assert_close(found[0][:-1], E[:-1].detach(), atol=1e-6, rtol=0)  # of rank n there is nothing to fit:
    torch.testing.assert_close(found[1][:-1], F[:-1].detach(), atol=1e-6, rtol=0)  # rounding alone moves it
    some = approximation.fitted(Q, K, V, steps=20, ranks=torch.tensor([2, 5]))
    torch.testing.assert_close(some[0], found[0][[1, 4]])
    torch.testing.assert_close(some[1], found[1][[1, 4]])


def test_squeezed_is_the_layers_equation():
    config = Config(kind="encoder", d_model=D, n_heads=1, n_layers=1, attention="linformer", rank=4, max_len=N)
    model = build(config, seed=0).double()
    run = model.run(list(range(N)), record=("*.Q", "*.K", "*.A"))
    Q, K, A = (run.trace[f"layers.0.attention.{x}"][0, 0] for x in "QKA")
    torch.testing.assert_close(approximation.squeezed(Q, K, model.stack.blocks[0].attention.E.double()), A)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_error_is_relative(scale):
    A = approximation.exact(*vectors()[:2]) * scale
    assert approximation.error(A, A) == 0 and approximation.error(torch.zeros_like(A), A) == pytest.approx(1.0)


def test_a_state_costs_the_same_for_ever():
    full, elu, performer = (Config(d_model=64, n_heads=2, max_len=4096, **options) for options in (
        {}, {"attention": "linear"}, {"attention": "performer", "features": 100},
    ))  # fmt: skip
    for n in (64, 1024):
        assert approximation.flops_a_token(full, n) == 4 * n * 2 * 32
        assert approximation.flops_a_token(elu, n) == pytest.approx(4 * 32 * 2 * 32, rel=0.1)
        assert approximation.flops_a_token(performer, n) == pytest.approx(2 * 4 * 100 * 2 * 32, rel=0.1)
    squeezed = Config(kind="encoder", attention="linformer", d_model=64, n_heads=2, rank=16, max_len=4096)
    assert approximation.flops_a_token(squeezed, 1024) == 8 * 16 * 2 * 32
