"""Activations: closed forms against autograd and textbook formulas, and what is counted of real neurons."""

import math

import pytest
import torch

from transformer import feedforward
from transformer.feedforward import (
    ACTIVATIONS, census, derivative, gelu_gap, histogram, left_over, let_through, loudest, share_below,
)  # fmt: skip

U = torch.linspace(-12, 12, 4801, dtype=torch.float64)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_equals_autograd(name):
    u = U.clone().requires_grad_()
    (expected,) = torch.autograd.grad(ACTIVATIONS[name](u).sum(), u)
    torch.testing.assert_close(derivative(name, U), expected, rtol=0, atol=1e-12)
    assert derivative(name, U.float()).dtype == torch.float32


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_u_times_its_gate(name):
    gate = let_through(name, U)
    torch.testing.assert_close(U * gate, ACTIVATIONS[name](U), rtol=0, atol=1e-14)
    assert gate.min() >= 0
    assert gate.max() <= 1
    with pytest.raises(ValueError, match="relu, gelu"):
        let_through("tanh", U)


def test_derivative_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="relu, gelu, gelu_tanh, silu"):
        derivative("swish", U)


def test_gelu_is_u_times_the_normal_distribution_function():
    Phi = torch.distributions.Normal(0.0, 1.0).cdf(U)
    torch.testing.assert_close(ACTIVATIONS["gelu"](U), U * Phi, rtol=0, atol=1e-14)
    tanh = 0.5 * U * (1 + torch.tanh(math.sqrt(2 / math.pi) * (U + 0.044715 * U**3)))
    torch.testing.assert_close(ACTIVATIONS["gelu_tanh"](U), tanh, rtol=0, atol=1e-14)
    torch.testing.assert_close(ACTIVATIONS["silu"](U), U / (1 + torch.exp(-U)), rtol=0, atol=1e-14)
    torch.testing.assert_close(ACTIVATIONS["relu"](U), torch.maximum(U, torch.zeros(())), rtol=0, atol=0)


def test_gelu_forms_stay_within_5e_4():
    u = torch.linspace(-50, 50, 2_000_001)
    gap = gelu_gap(u)
    assert gap.dtype == torch.float64
    assert 4e-4 < gap.abs().max() < 5e-4
    assert 2 < u[gap.abs().argmax()].abs() < 3  # where the two differ most
    torch.testing.assert_close(gap, gelu_gap(-u), rtol=0, atol=1e-7)  # even: both forms satisfy σ(u) − σ(−u) = u


def test_census_counts():
    u = torch.tensor([[-6.0, -1.0, 0.0], [0.5, 2.0, 30.0]])
    relu = census("relu", u)
    assert (relu.positive, relu.negative, relu.zero) == (0.5, 0.0, 0.5)
    assert relu.asleep == 0.5
    assert relu.mean == pytest.approx(32.5 / 6)
    gelu = census("gelu", u)
    # −6 · Φ(−6) is −6e-9, but 1 + erf rounds to 0 in float32: a zero of the machine, not of the function.
    assert (gelu.positive, gelu.negative, gelu.zero) == pytest.approx((3 / 6, 1 / 6, 2 / 6))
    assert census("gelu", u.double()).zero == pytest.approx(1 / 6)
    silu = census("silu", u)
    assert (silu.positive, silu.negative, silu.zero) == pytest.approx((3 / 6, 2 / 6, 1 / 6))
    for counted in (relu, gelu, silu):
        assert counted.positive + counted.negative + counted.zero == pytest.approx(1)
    with pytest.raises(ValueError, match="no neuron"):
        census("relu", torch.empty(0))


def test_histogram_and_share_below():
    x = torch.tensor([[-9.0, -1.0, -0.5], [0.25, 0.75, 2.0]])
    edges, share = histogram(x, -1.0, 1.0, 4)
    assert edges.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    torch.testing.assert_close(share * 6, torch.tensor([1.0, 1.0, 1.0, 1.0]))  # −9 and 2 lie outside
    assert histogram(torch.empty(0), -1.0, 1.0, 4)[1].tolist() == [0, 0, 0, 0]
    below = share_below(x, torch.tensor([-20.0, -1.0, 0.0, 0.3, 99.0]))
    torch.testing.assert_close(below * 6, torch.tensor([0.0, 1.0, 3.0, 4.0, 6.0]))


def test_loudest():
    a = torch.tensor([[0.0, -9.0, 1.0, 2.0], [0.1, 0.0, 3.0, 2.5]])
    assert loudest(a, 3).tolist() == [1, 2, 3]
    assert len(loudest(a, 99)) == 4


def test_every_activation_has_a_derivative():
    for name in ACTIVATIONS:
        assert derivative(name, U).shape == U.shape
    assert set(ACTIVATIONS) == set(feedforward.Activation.__args__)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_left_over_and_what_is_zero_make_the_whole(name):
    u = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    edges, share = left_over(name, u, -10.0, 10.0, 50)
    assert len(edges) == 51
    assert share.sum().item() + census(name, u).zero == pytest.approx(1, abs=1e-5)
