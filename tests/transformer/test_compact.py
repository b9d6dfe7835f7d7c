"""Tensors in few bits: every number within half a step, huge ones and all, and sums better than that."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from transformer import compact

SHARE = 0.1
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def steps(kept):
    e = kept["x.step"]
    return torch.exp2((e.mT if e.dim() > 1 else e).double() / compact.STEPS)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 1e4]))
def test_every_number_is_within_half_a_step(size, seed, scale):
    x = scale * torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    kept = compact.pack("x", x, SHARE)
    assert all(part.dtype == torch.int8 for part in kept.values())
    back = compact.unpack(kept, "x")
    assert back.shape == x.shape and back.dtype == torch.float32
    assert ((back - x).abs() <= 0.5001 * steps(kept) + 1e-6 * x.abs()).all()
    wanted = SHARE * x.abs().median(-1, keepdim=True).values
    assert (steps(kept) / wanted < 2**0.126).all() and (steps(kept) / wanted > 2**-0.126).all()


def test_one_huge_number_costs_the_others_nothing():
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    huge = x.clone()
    huge[2, 5] = 900.0
    kept = compact.pack("x", huge, SHARE)
    assert "x.high" in kept and "x.high" not in compact.pack("x", x, SHARE)
    torch.testing.assert_close(compact.unpack(kept, "x"), huge, atol=0.06, rtol=1e-6)


def test_nothing_stays_nothing_and_sparse_vectors_have_a_step():
    x = torch.zeros(3, 8)
    x[1, 2] = 4.0
    torch.testing.assert_close(compact.unpack(compact.pack("x", x, SHARE), "x"), x, atol=0.03, rtol=0)


def test_averages_hold_better_than_single_numbers():
    x = torch.linspace(-1, 1, 4096)[None] ** 3
    apart = compact.unpack(compact.pack("x", x, step=0.5), "x") - x
    assert apart.abs().max() > 0.2
    assert apart.view(64, 64).mean(-1).abs().max() < 0.02


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="x spans more than 32000 steps; give it a larger share"):
        compact.pack("x", torch.tensor([[1.0, 1.0, 1e6]]), SHARE)
