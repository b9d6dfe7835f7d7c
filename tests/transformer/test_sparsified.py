"""A pattern on a head that was trained without it: against weights written out by hand, and buckets against directions."""

import pytest
import torch

from transformer import Config
from transformer.experiments.sparsified import allowed, same_bucket, sparsified


def test_everything_allowed_is_exact_and_a_pattern_is_the_exact_rows_renormalised():
    g = torch.Generator().manual_seed(0)
    S, V = torch.randn(3, 9, 9, generator=g).double(), torch.randn(3, 9, 4, generator=g).double()
    causal, window = allowed(Config(), 9), allowed(Config(attention="window", window=3), 9)
    exact, near = sparsified(S, V, causal), sparsified(S, V, window)
    assert exact.error.max() == 0 and torch.allclose(exact.kept, torch.ones(3).double())
    by_hand = exact.A * window
    torch.testing.assert_close(near.A, by_hand / by_hand.sum(-1, keepdim=True))
    torch.testing.assert_close(near.kept, by_hand.sum((1, 2)) / 9)
    for h in range(3):
        z, z_exact = near.A[h] @ V[h], exact.A[h] @ V[h]
        assert near.error[h].item() == pytest.approx(((z - z_exact).square().sum() / z_exact.square().sum()).sqrt().item())


def test_the_bound_of_the_error_by_what_is_not_kept():
    """‖a′ − a‖₁ = 2 (1 − kept) for each row, so the error of z is at most that times the largest ‖v‖."""
    g = torch.Generator().manual_seed(1)
    S, V = torch.randn(1, 12, 12, generator=g), torch.randn(1, 12, 5, generator=g)
    near = sparsified(S, V, allowed(Config(attention="window", window=2), 12))
    exact = sparsified(S, V, allowed(Config(), 12))
    lost = 1 - (exact.A * (near.A > 0)).sum(-1)
    torch.testing.assert_close((near.A - exact.A).abs().sum(-1), 2 * lost)
    assert ((near.z - exact.z).norm(dim=-1) <= 2 * lost * V.norm(dim=-1).max() + 1e-6).all()


def test_buckets_hold_what_points_the_same_way():
    g = torch.Generator().manual_seed(2)
    Q = torch.randn(2, 40, 16, generator=g)
    met = same_bucket(Q, 3 * Q, buckets=8)
    assert met.diagonal(dim1=1, dim2=2).all() and not met.triu(1).any()
    cos = torch.nn.functional.cosine_similarity(Q[:, :, None], Q[:, None], dim=-1)
    pairs = torch.ones(40, 40, dtype=torch.bool).tril(-1)
    assert cos[:, pairs][met[:, pairs]].mean() > cos[:, pairs][~met[:, pairs]].mean() + 0.1
    assert same_bucket(Q, Q, 8, hashes=4).sum() > met.sum()  # more rounds, more meetings
    opposite = same_bucket(Q, -Q, 8)
    assert not opposite[:, pairs][met[:, pairs]].any()
    with pytest.raises(ValueError, match="power of two"):
        same_bucket(Q, Q, 6)
