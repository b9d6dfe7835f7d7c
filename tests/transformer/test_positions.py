"""Sinusoids: the shift that is a rotation, the dot product that knows only the distance, and what takes that away."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from transformer import positions, rope

BASES = st.sampled_from([500.0, 10_000.0, 1_000_000.0])


def test_as_in_the_paper():
    PE = positions.sinusoidal(torch.tensor([[3.0]]), 8)[0, 0]
    angles = [3.0 / 10_000 ** (2 * i / 8) for i in range(4)]
    expected = torch.tensor([f(angle) for angle in angles for f in (math.sin, math.cos)])
    torch.testing.assert_close(PE, expected)


LAYOUTS = st.sampled_from(["interleaved", "half"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([4, 8, 64]), BASES, LAYOUTS)
def test_a_shift_is_a_rotation(pos, k, d_model, base, layout):
    """C2's check, in both layouts: one matrix for every position."""
    R = positions.shift(k, d_model, base, layout)
    PE = positions.sinusoidal(torch.tensor([pos, pos + k]), d_model, base, layout)
    torch.testing.assert_close(R @ PE[0], PE[1], rtol=0, atol=2e-4)
    torch.testing.assert_close(R @ R.T, torch.eye(d_model), rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(-300, 300), st.sampled_from([8, 64, 576]), BASES)
def test_similarity_depends_on_distance_alone(r, d_model, base):
    starts, distance = torch.tensor([0, 1, 50, 300]) + 300, torch.tensor([r])
    S = positions.similarity(starts, distance, d_model, base)
    expected = rope.aligned_decay(rope.frequencies(d_model, base), distance.float()) * d_model / 2
    torch.testing.assert_close(S, expected.expand(4, 1), rtol=0, atol=d_model * 1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(-200, 200), st.sampled_from([8, 64]), LAYOUTS)
def test_products_depend_on_the_offset_alone_in_both_layouts(n, other, k, d_model, layout):
    starts = torch.tensor([n, other]) + 200
    S = positions.similarity(starts, torch.tensor([k]), d_model, layout=layout)
    expected = (k * positions.speeds(d_model, layout=layout)).cos().sum()
    torch.testing.assert_close(S, expected.expand(2, 1), rtol=0, atol=d_model * 1e-4)


def test_speeds_and_pairs_are_those_of_the_table():
    for layout in ("interleaved", "half"):
        theta = positions.speeds(16, 1000.0, layout)
        pairs = positions.of_pairs(positions.sinusoidal(torch.tensor([3]), 16, 1000.0, layout)[0], layout)
        torch.testing.assert_close(pairs, torch.stack(((3 * theta).sin(), (3 * theta).cos()), -1))
    assert positions.speeds(16, 1000.0)[-1] > 1e-3 and positions.speeds(16, 1000.0, "half")[-1] == pytest.approx(1e-3)


def test_what_the_offset_explains_of_a_map():
    PE = positions.sinusoidal(torch.arange(24), 32)
    S = positions.gram(PE)
    past = torch.ones(24, 24, dtype=torch.bool).tril()
    assert positions.explained_by_offset(S) == pytest.approx(1, abs=1e-9)
    assert positions.explained_by_offset(S.masked_fill(~past, 99.0), past) == pytest.approx(1, abs=1e-9)
    W = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    assert positions.explained_by_offset(PE @ W @ PE.mT, past) < 0.9
    turned = torch.block_diag(*[torch.tensor([[a, b], [-b, a]]) for a, b in torch.randn(16, 2, generator=torch.Generator().manual_seed(1))])
    assert positions.explained_by_offset(PE @ turned @ PE.mT) == pytest.approx(1, abs=1e-6)  # it commutes with every R(k)
    torch.testing.assert_close(turned @ positions.shift(5, 32), positions.shift(5, 32) @ turned)
    column = torch.arange(24.0).expand(24, 24)  # query by query the same: the offset says half of it
    assert positions.explained_by_offset(column) == pytest.approx(0.5, abs=0.01)
    assert positions.explained_by_offset(torch.ones(3, 3)) == 1
    drawn = positions.in_spreads(PE @ W @ PE.mT, past)
    assert drawn[past].mean().abs() < 1e-5 and drawn[past].std(correction=0) == pytest.approx(1, abs=1e-5)
    assert positions.explained_by_offset(drawn, past) == pytest.approx(
        positions.explained_by_offset(PE @ W @ PE.mT, past), abs=1e-4)  # fmt: skip
    assert positions.in_spreads(torch.ones(3, 3)).abs().max() == 0


def test_positions_share_of_a_sum():
    """A fresh table has rows of length 1, a position √(d/2): a third with √d, nearly all without."""
    d = 256
    E = torch.randn(500, d, generator=torch.Generator().manual_seed(0)) / d**0.5
    P = positions.sinusoidal(torch.arange(500), d)
    torch.testing.assert_close(P.norm(dim=-1), torch.full((500,), (d / 2) ** 0.5))
    assert positions.share(E * d**0.5, P).mean().item() == pytest.approx(1 / 3, abs=0.01)
    assert positions.share(E, P).mean().item() == pytest.approx(128 / 129, abs=1e-3)


def test_weights_and_tokens_take_the_property_away():
    starts, distance, d_model = torch.tensor([0, 40, 700]), torch.arange(0, 65), 64
    generator = torch.Generator().manual_seed(0)
    W_Q, W_K = torch.randn(2, 16, d_model, generator=generator)
    x, y = torch.randn(2, d_model, generator=generator)
    nothing = torch.zeros(d_model)
    same = torch.eye(d_model)
    kept = positions.mixed_scores(same, same, nothing, nothing, starts, distance)
    torch.testing.assert_close(kept, positions.similarity(starts, distance, d_model) / 8)  # W = I changes nothing
    assert positions.share_of_distance(kept) == pytest.approx(1, abs=1e-5)
    assert positions.share_of_distance(positions.mixed_scores(W_Q, W_K, nothing, nothing, starts, distance)) < 0.8
    assert positions.share_of_distance(positions.mixed_scores(same, same, x, y, starts, distance)) < 0.999


def test_mixed_scores_are_the_products_written_out():
    generator = torch.Generator().manual_seed(1)
    W_Q, W_K = torch.randn(2, 4, 8, generator=generator)
    x, y = torch.randn(2, 8, generator=generator)
    S = positions.mixed_scores(W_Q, W_K, x, y, torch.tensor([5, 9]), torch.tensor([0, 3]))
    PE = positions.sinusoidal(torch.arange(20), 8)
    for i, n in enumerate((5, 9)):
        for j, r in enumerate((0, 3)):
            assert S[i, j].item() == pytest.approx(((W_Q @ (x + PE[n + r])) @ (W_K @ (y + PE[n]))).item() / 2, rel=1e-4)


def test_mixed_scores_of_several_heads_are_those_of_each():
    generator = torch.Generator().manual_seed(2)
    W_Q, W_K = torch.randn(2, 3, 4, 8, generator=generator)  # [head, d_head, model]
    x, y = torch.randn(2, 8, generator=generator)
    starts, distance = torch.tensor([5, 9]), torch.tensor([0, 3, 4])
    S = positions.mixed_scores(W_Q, W_K, x, y, starts, distance, 100.0)
    each = [positions.mixed_scores(W_Q[h], W_K[h], x, y, starts, distance, 100.0) for h in range(3)]
    torch.testing.assert_close(S, torch.stack(each))


def test_of_head_gives_the_rows_that_make_a_heads_scores():
    config = transformer.Config(d_model=24, n_heads=6, n_kv_heads=2, n_layers=1, qkv_bias=False)
    model = transformer.build(config, seed=0).eval()
    names = ("layers.0.norm_1", "layers.0.attention.Q_unrotated", "layers.0.attention.K_unrotated")
    x, Q, K = (model.run([1, 2, 3], record=names).trace[name][0] for name in names)
    attention = model.stack.blocks[0].attention
    for head in range(6):
        W_Q, W_K = positions.of_head(attention.W_Q.weight, attention.W_K.weight, model.config, head)
        torch.testing.assert_close(x @ W_Q.T, Q[head])
        torch.testing.assert_close(x @ W_K.T, K[head // 3])


def test_share_of_distance():
    curve = torch.linspace(0, 1, 9)
    assert positions.share_of_distance(curve.expand(4, -1)) == 1
    assert positions.share_of_distance(torch.stack((curve, curve.flip(0)))) == pytest.approx(0, abs=1e-6)
    fan = curve + torch.tensor([[-1.0], [1.0]])
    spread = curve.var(correction=0).item()
    assert positions.share_of_distance(fan) == pytest.approx(spread / (spread + 1))
