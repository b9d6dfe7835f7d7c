"""Masking before and after the softmax, and who can feel whose token."""

import pytest
import torch

from transformer import Config, build
from transformer.experiments import leaks
from transformer.attention import masked_softmax

CAUSAL = torch.ones(7, 7, dtype=torch.bool).tril()


def test_zeroing_after_the_softmax_loses_weight_and_renormalising_gives_it_back():
    S = torch.randn(2, 3, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before, after = masked_softmax(S, CAUSAL), leaks.zeroed_after(S, CAUSAL)
    torch.testing.assert_close(before.sum(-1), torch.ones_like(S[..., 0]))
    assert (after.sum(-1)[..., :-1] < 0.999).all()  # only the last row hides nothing
    torch.testing.assert_close(leaks.renormalised(after), before, rtol=1e-12, atol=1e-14)


def test_a_row_zeroed_too_late_tells_of_the_future():
    S = torch.zeros(1, 1, 7, 7)
    other = S.clone()
    other[..., 0, 6] = 5.0  # what query 0 would think of the last key
    assert torch.equal(masked_softmax(S, CAUSAL), masked_softmax(other, CAUSAL))
    assert leaks.zeroed_after(S, CAUSAL)[0, 0, 0].sum() > 10 * leaks.zeroed_after(other, CAUSAL)[0, 0, 0].sum()


@pytest.mark.parametrize("dtype, gap", [(torch.float32, 120.0), (torch.float16, 20.0)])
def test_renormalising_fails_where_the_hidden_score_is_far_above(dtype, gap):
    S = torch.tensor([[0.0, gap]], dtype=dtype)
    mask = torch.tensor([[True, False]])
    assert leaks.renormalised(leaks.zeroed_after(S, mask)).isnan().any()
    assert masked_softmax(S[None, None], mask)[0, 0].tolist() == [[1.0, 0.0]]


def test_a_row_that_sees_nobody_gives_zeros():
    mask = CAUSAL.clone()
    mask[:, :2] = False  # two padded tokens in front
    A = masked_softmax(torch.randn(1, 1, 7, 7), mask)
    assert (A[0, 0, :2] == 0).all() and not A.isnan().any()


def test_an_empty_rows_gradient_where_minus_infinity_was_added_and_replaced():
    """What the lesson says of it: NaN flows back through S + log M, and not through masked_fill."""
    S = torch.randn(1, 1, 7, 7, requires_grad=True)
    mask = CAUSAL.clone()
    mask[:, :2] = False
    (S + mask.float().log()).softmax(-1).masked_fill(~mask, 0.0).square().sum().backward()
    assert S.grad[0, 0, :2].isnan().any()
    S.grad = None
    masked_softmax(S, mask).square().sum().backward()
    assert not S.grad.isnan().any() and S.grad.abs().max() > 0


def test_only_a_broken_mask_feels_a_later_token():
    ids, token = [3, 1, 4, 1, 5, 9, 2, 6], 7
    for kind in ("decoder", "encoder"):
        model = build(Config(kind=kind, head="lm", vocab_size=16, d_model=16, n_heads=2), seed=0).eval()
        felt = leaks.influence(model, ids, token)  # [changed, position]
        earlier = felt.tril(-1)
        assert (felt.diagonal() > 0).all() and (felt.triu() > 0).sum() == 36
        assert (earlier == 0).all() if kind == "decoder" else (earlier[1:] > 0).any(1).all()
    with pytest.raises(ValueError, match="no token 8"):
        leaks.changes(model, ids, 8, token)
