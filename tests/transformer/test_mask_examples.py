"""The lesson's masks against their definitions, and what becomes of a head's weights under each."""

import pytest
import torch

from transformer.experiments.mask_examples import KINDS, example, masked, parts

RULES = {
    "causal": lambda q, k, n, m: k <= q,
    "padding": lambda q, k, n, m: k <= q and k < n - m,
    "padding in front": lambda q, k, n, m: m <= k <= q,
    "prefix": lambda q, k, n, m: k <= q or k < m,
    "sliding window": lambda q, k, n, m: 0 <= q - k < m,
    "cross": lambda q, k, n, m: k < max(1, n // 2) - m + 1,
    "none": lambda q, k, n, m: True,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n, m", [(9, 3), (8, 1), (5, 6), (1, 1)])
def test_each_is_its_definition_and_its_rows_sum_to_one_or_are_empty(kind, n, m):
    queries, keys = parts(kind, n)
    expected = torch.tensor([[RULES[kind](q, k, n, m) for k in keys] for q in queries])
    assert torch.equal(example(kind, n, m), expected)
    S = torch.randn(n, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    found = masked(S, kind, m)
    assert torch.equal(found.mask, expected)
    assert torch.allclose(found.A.sum(-1), expected.any(-1).double())
    assert (found.A[~expected] == 0).all() and (found.late[~expected] == 0).all() and not found.A.isnan().any()
    seen = expected.any(-1)
    torch.testing.assert_close(found.again[seen], found.A[seen])
    assert found.again[~seen].isnan().all()  # 0 / 0: what a row that sees nobody would be without the rule


def test_what_is_not_there_is_said():
    with pytest.raises(ValueError, match="no mask 'future'"):
        example("future", 4, 1)
    with pytest.raises(ValueError, match="m is 0"):
        example("causal", 4, 0)
