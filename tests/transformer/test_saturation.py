"""Saturation: the variance law within its sampling error, and slopes against autograd."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from transformer.experiments import saturation
from transformer.experiments.saturation import drawn, jacobian, jacobian_norm, look, multiplied, slope_to_query, spread

WIDTHS = [1, 2, 8, 64, 256, 1024]


@pytest.mark.parametrize("seed", range(4))
def test_the_variance_of_a_dot_product_is_its_width(seed):
    found = drawn(WIDTHS, rows=400, keys=16, seed=seed)
    away = (found.variance - torch.tensor(WIDTHS)).abs() / found.error
    assert (away < 4).all(), away  # in standard errors
    assert (found.error / found.variance)[2:].max() < 0.05  # and the ruler is a fine one
    scaled = found.raw / torch.tensor(WIDTHS).sqrt()[:, None, None]
    torch.testing.assert_close(scaled.var((1, 2)), torch.ones(len(WIDTHS)), atol=0.4, rtol=0)


def test_a_seed_is_a_draw_and_a_larger_width_adds_coordinates():
    first, second = drawn([4, 64], 10, 5, seed=3), drawn([4], 10, 5, seed=3)
    assert torch.equal(first.raw[0], second.raw[0]) and not torch.equal(first.raw[0], drawn([4], 10, 5, seed=4).raw[0])
    added = first.raw[1] - first.raw[0]
    assert added.var().item() == pytest.approx(60, rel=0.6)
    with pytest.raises(ValueError, match="ascend"):
        drawn([8, 4], 10, 5, seed=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.floats(0.01, 30), st.integers(0, 10**6))
def test_jacobian_and_its_norm_are_autograds(n, size, seed):
    s = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * size
    true = torch.autograd.functional.jacobian(lambda s: s.softmax(-1), s)
    torch.testing.assert_close(jacobian(s.softmax(-1)), true, atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(jacobian_norm(s.softmax(-1)), true.norm(), atol=1e-7, rtol=1e-6)


def test_the_slope_that_reaches_the_query_is_autograds():
    generator = torch.Generator().manual_seed(0)
    q, K = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((6,), (4, 6)))
    for factor in (1.0, 6**-0.5):
        true = torch.autograd.functional.jacobian(lambda q: (factor * K @ q).softmax(-1), q)
        torch.testing.assert_close(slope_to_query((factor * K @ q).softmax(-1), K, factor), true.norm())


def test_the_norms_ends():
    assert jacobian_norm(torch.tensor([0.0, 1.0, 0.0])) == 0
    assert jacobian_norm(torch.tensor([0.5, 0.5, 0.0])).item() == pytest.approx(0.5)
    for n in (2, 7, 100):
        assert jacobian_norm(torch.full((n,), 1 / n)).item() == pytest.approx(math.sqrt(n - 1) / n, rel=1e-5)


def test_without_the_scale_rows_get_stuck_and_with_it_they_do_not():
    found = drawn(WIDTHS, rows=400, keys=16, seed=0)
    plain = look(found.raw.softmax(-1))
    scaled = look((found.raw / torch.tensor(WIDTHS).sqrt()[:, None, None]).softmax(-1))
    assert (plain.entropy.diff() < 0).all() and plain.median[-1] < 1e-3 and plain.stuck[-1] > 0.6
    assert scaled.entropy[3:].std() < 0.02 and (scaled.median[3:] - scaled.median[3]).abs().max() < 0.01
    assert scaled.stuck.max() == 0
    # To the query itself: the keys are long, so that the mean slope without the scale does not fall; its median does.
    mean, median = found.slope.mean(-1), found.slope.median(-1).values  # [2, width]
    assert mean[0, -1] > 1 and median[0, -1] < 0.01 * mean[0, -1]
    assert median[1, -1].item() == pytest.approx(mean[1, -1].item(), rel=0.05)


def test_factors_lie_between_uniform_and_one_key():
    S = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    scores, total, (cold, own, hot) = multiplied(S, [1e-6, 1.0, 1e4], mask)
    torch.testing.assert_close(cold, mask / mask.sum(-1, keepdim=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(own, S.masked_fill(~mask, -torch.inf).softmax(-1))
    torch.testing.assert_close(hot.amax(-1), torch.ones(5))
    torch.testing.assert_close(scores[1].exp().where(mask, 0.0).sum(-1), total[1])
    torch.testing.assert_close(multiplied(S[None] * torch.ones(2, 1, 1), torch.tensor([1.0, 2.0])).A[1], (2 * S).softmax(-1))


def test_spread_looks_at_each_row_and_only_at_what_it_sees():
    S = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    expected = torch.stack([torch.stack([S[h, i, : i + 1].std() for i in range(1, 6)]).mean() for h in range(3)])
    torch.testing.assert_close(spread(S, mask), expected)
    torch.testing.assert_close(spread(S + 7 * torch.randn(3, 6, 1), mask), expected, atol=1e-4, rtol=1e-4)
    assert saturation.STUCK == 0.01
