"""Attention by tiles is the plain formula, for every tile, mask and shape; and what it keeps is what it says."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from transformer import stepwise, tiled


def drawn(seed: int, n_q: int, n_k: int, d_k: int, d_v: int, dtype=torch.float32, lead=(2,),
          size=2.0) -> list[torch.Tensor]:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    return [size * torch.randn(*lead, n, d, generator=generator, dtype=dtype)
            for n, d in ((n_q, d_k), (n_k, d_k), (n_k, d_v))]  # fmt: skip


def mask(seed: int, n_q: int, n_k: int, share: float) -> torch.Tensor:
    """Some rows may read nothing."""
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.rand(n_q, n_k, generator=generator) < share


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 999), n_q=st.integers(1, 20), n_k=st.integers(1, 20), d=st.sampled_from([1, 4, 8]),
       rows=st.integers(1, 22), columns=st.integers(1, 22), share=st.sampled_from([None, 0.0, 0.15, 0.6]))  # fmt: skip
def test_it_is_the_plain_formula(seed, n_q, n_k, d, rows, columns, share):
    allowed = None if share is None else mask(seed, n_q, n_k, share)
    for dtype, size, close in ((torch.float32, 1.0, 1e-6), (torch.float64, 3.0, 1e-12)):
        Q, K, V = drawn(seed, n_q, n_k, d, 3, dtype, size=size)
        z, L = tiled.attention(Q, K, V, rows, columns, allowed)
        expected = stepwise.read(Q, K, V, allowed)
        torch.testing.assert_close(z, expected.z, rtol=close, atol=close)
        S = expected.S if allowed is None else expected.S.masked_fill(~allowed, -torch.inf)
        torch.testing.assert_close(L, S.logsumexp(-1), rtol=close, atol=close)
        assert z.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_it_is_torchs_own(causal):
    Q, K, V = drawn(3, 33, 33, 16, 16, torch.float64, lead=(2, 3))
    allowed = torch.ones(33, 33, dtype=torch.bool).tril() if causal else None
    z, _ = tiled.attention(Q, K, V, 8, 5, allowed)
    torch.testing.assert_close(z, F.scaled_dot_product_attention(Q, K, V, is_causal=causal), rtol=1e-12, atol=1e-12)


def test_scores_that_would_overflow_do_not():
    Q, K, V = drawn(0, 6, 6, 4, 4)
    Q = 300 * Q  # e^S is far beyond float32
    z, L = tiled.attention(Q, K, V, 2, 2)
    assert z.isfinite().all() and L.isfinite().all() and L.max() > 200
    torch.testing.assert_close(z, F.scaled_dot_product_attention(Q, K, V), rtol=1e-5, atol=1e-5)


def test_every_tile_holds_what_the_docstring_says():
    Q, K, V = drawn(5, 7, 7, 4, 2, torch.float64, lead=())
    allowed = torch.ones(7, 7, dtype=torch.bool).tril()
    S = (Q @ K.T / 2).masked_fill(~allowed, -torch.inf)
    seen = {}
    for tile in tiled.tiles(Q, K, V, 3, 2, allowed):
        part, so_far = S[tile.queries, tile.keys], S[tile.queries, :tile.keys.stop]
        torch.testing.assert_close(tile.S, part)
        torch.testing.assert_close(tile.m, so_far.amax(-1))
        torch.testing.assert_close(tile.l, (so_far - tile.m[:, None]).exp().sum(-1))
        torch.testing.assert_close(tile.O, (so_far - tile.m[:, None]).exp() @ V[:tile.keys.stop])
        torch.testing.assert_close(tile.l, tile.rescale * tile.l_before + tile.P.sum(-1))
        assert (tile.rescale <= 1).all() and (tile.P <= 1).all()
        seen.setdefault(tile.queries.start, []).append(tile.keys.start)
    assert seen == {0: [0, 2], 3: [0, 2, 4], 6: [0, 2, 4, 6]}, "tiles above the diagonal are passed over"


def test_one_tile_is_the_plain_softmax_and_the_order_of_keys_does_not_matter():
    Q, K, V = drawn(7, 5, 9, 4, 4, torch.float64)
    (tile,) = list(tiled.tiles(Q, K, V, 5, 9))
    assert (tile.rescale == 0).all() and (tile.m_before == -torch.inf).all()
    torch.testing.assert_close(tile.P / tile.l[..., None], stepwise.read(Q, K, V).A)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    again, _ = tiled.attention(Q, K[:, order], V[:, order], 2, 4)
    torch.testing.assert_close(again, tiled.finished(tile.O, tile.l))


@pytest.mark.parametrize(("n", "d", "rows", "columns"), [(12, 4, 4, 3), (10, 8, 4, 4), (5, 2, 8, 8)])
def test_memory_is_that_of_the_tensors(n, d, rows, columns):
    """Counted on the tiles themselves: the largest of each kind, and what is read of K and V."""
    Q, K, V = drawn(1, n, n, d, d, lead=())
    found = list(tiled.tiles(Q, K, V, rows, columns))
    alive = max(t.S.numel() + t.m.numel() + t.l.numel() + t.O.numel() for t in found)
    _, L = tiled.attention(Q, K, V, rows, columns)
    assert tiled.tiled_memory(n, d, rows, columns).kept == L.numel() + alive
    read = sum(K[t.keys].numel() + V[t.keys].numel() for t in found)
    assert tiled.tiled_memory(n, d, rows, columns).moved == Q.numel() + V.numel() + L.numel() + read
    S, A, z = stepwise.read(Q, K, V)
    plain = tiled.plain_memory(n, d)
    assert plain.kept == S.numel() + A.numel()
    assert plain.moved == Q.numel() + K.numel() + V.numel() + z.numel() + 2 * S.numel() + 2 * A.numel()


def test_memory_grows_with_n_and_not_with_its_square():
    kept = [tiled.tiled_memory(n, 64, 128, 64).kept for n in (4096, 8192, 16384)]
    assert kept[2] - kept[1] == 2 * (kept[1] - kept[0]) == 8192
    plain = [tiled.plain_memory(n, 64).kept for n in (4096, 8192)]
    assert plain[1] == 4 * plain[0]


def test_gradients_flow_through_the_tiles():
    Q, K, V = (x.requires_grad_() for x in drawn(2, 6, 6, 4, 4, torch.float64, lead=()))
    O, l = None, None
    for tile in tiled.tiles(Q, K, V, 6, 2):
        O, l = tile.O, tile.l
    ours = torch.autograd.grad(tiled.finished(O, l).square().sum(), (Q, K, V))
    theirs = torch.autograd.grad(stepwise.read(Q, K, V).z.square().sum(), (Q, K, V))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_largest_score_is_where_e_overflows(dtype):
    at = tiled.largest_score(dtype)
    e = torch.tensor([at - 0.1, at + 0.1], dtype=torch.float64).exp().to(dtype)
    assert e.isfinite().tolist() == [True, False]


def test_a_tile_without_rows_is_refused():
    Q, K, V = drawn(0, 3, 3, 2, 2)
    with pytest.raises(ValueError, match="at least one row and one column, not 0 × 4"):
        next(tiled.tiles(Q, K, V, 0, 4))
