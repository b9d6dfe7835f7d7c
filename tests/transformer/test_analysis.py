"""Head patterns, rollout and friends against matrices whose answers are known by hand, and against invariances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from transformer import analysis

LOWER = torch.ones(8, 8, dtype=torch.bool).tril()


def attention(seed: int, *shape: int, causal: bool = True) -> torch.Tensor:
    n = shape[-1]
    S = torch.randn(*shape, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    return (S.masked_fill(~torch.ones(n, n, dtype=torch.bool).tril(), -torch.inf) if causal else S).softmax(-1)


def pure(key_of: list[int]) -> torch.Tensor:
    """The map of a head whose query i reads key key_of[i] alone."""
    return torch.eye(len(key_of), dtype=torch.float64)[key_of]


# tokens:   A  B  C  D  A  B  C  D
IDS = [1, 2, 3, 4, 1, 2, 3, 4]


def test_a_pure_head_scores_one_on_its_pattern_and_is_named_after_it():
    heads = {
        "previous": pure([0, 0, 1, 2, 3, 4, 5, 6]),
        "first": pure([0] * 8),
        "induction": pure([0, 0, 0, 0, 1, 2, 3, 4]),  # the A at 4 reads the B at 1
        "duplicate": pure([0, 0, 0, 0, 0, 1, 2, 3]),
        "self": pure(list(range(8))),
        "broad": LOWER / LOWER.sum(-1, keepdim=True),
    }
    A = torch.stack([heads[name].double() for name in analysis.PATTERNS])
    scores = analysis.pattern_scores(A, IDS, LOWER)
    for i, name in enumerate(analysis.PATTERNS):
        assert scores[name][i] == pytest.approx(1.0)
    assert analysis.label_heads(scores).tolist() == list(range(6))


def test_scores_are_the_means_worked_out_by_hand():
    #          keys: 0    1    2    3    4    5
    A = torch.tensor([
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.7, 0.3, 0.0, 0.0, 0.0, 0.0],
        [0.5, 0.3, 0.2, 0.0, 0.0, 0.0],
        [0.1, 0.6, 0.2, 0.1, 0.0, 0.0],
        [0.0, 0.2, 0.7, 0.1, 0.0, 0.0],
        [0.1, 0.0, 0.3, 0.4, 0.2, 0.0],
    ])  # fmt: skip
    ids = [9, 5, 7, 3, 5, 7]
    scores = {name: float(s) for name, s in analysis.pattern_scores(A, ids, LOWER[:6, :6]).items()}
    assert scores["previous"] == pytest.approx((0.7 + 0.3 + 0.2 + 0.1 + 0.2) / 5)
    assert scores["first"] == pytest.approx((0.7 + 0.5 + 0.1 + 0.0 + 0.1) / 5)
    assert scores["self"] == pytest.approx((0.3 + 0.2 + 0.1) / 5)  # row 0 sees one key: it had no choice
    assert scores["duplicate"] == pytest.approx((0.2 + 0.3) / 2)  # 5 at 4 → 5 at 1; 7 at 5 → 7 at 2
    assert scores["induction"] == pytest.approx((0.7 + 0.4) / 2)  # 5 at 4 → 7 at 2; 7 at 5 → 3 at 3
    entropies = [
        -sum(p * math.log(p) for p in row if p) / math.log(m) for m, row in enumerate(A.tolist(), start=1) if m > 1
    ]
    assert scores["broad"] == pytest.approx(sum(entropies) / 5)


def test_without_a_mask_both_triangles_count():
    ids = [0, 7, 8, 6, 7, 8]
    wanted = analysis.targets(ids)
    assert wanted["duplicate"].nonzero().tolist() == [[1, 4], [2, 5], [4, 1], [5, 2]]
    assert wanted["induction"].nonzero().tolist() == [[1, 5], [4, 2], [5, 3]]  # nothing follows the 8 at 5
    scores = analysis.pattern_scores(pure([0, 4, 5, 3, 1, 0]), ids)
    assert scores["duplicate"] == pytest.approx(3 / 4) and scores["induction"] == 0


def test_no_key_counts_for_a_place_and_for_content_both():
    for ids in ([5, 5, 5], [5, 6, 5, 6, 5], [5, 6, 7, 5]):
        wanted = analysis.targets(ids)
        place = wanted["previous"] | wanted["first"] | wanted["self"]
        assert not (place & (wanted["induction"] | wanted["duplicate"])).any()
    assert not analysis.targets([5, 6, 7, 5])["duplicate"].tril().any()  # its only earlier self is the first token
    assert (analysis.targets([5, 6, 5, 6, 5])["induction"].tril().nonzero()).tolist() == [[4, 1]]


def test_patterns_that_no_row_allows_are_nan_and_never_a_label():
    scores = analysis.pattern_scores(attention(0, 3, 5), [1, 2, 3, 4, 5], LOWER[:5, :5])
    assert scores["induction"].isnan().all() and scores["duplicate"].isnan().all()
    assert not any(scores[name].isnan().any() for name in ("previous", "first", "self", "broad"))
    one = analysis.pattern_scores(torch.ones(2, 1, 1), [1], LOWER[:1, :1])
    assert all(score.isnan().all() for score in one.values())
    assert analysis.label_heads(one).tolist() == [-1, -1]


def test_a_window_leaves_out_rows_that_cannot_see_the_target():
    band = LOWER & ~torch.ones(8, 8, dtype=torch.bool).tril(-3)  # three keys back at most
    A = (band / band.sum(-1, keepdim=True)).double()
    scores = analysis.pattern_scores(A, IDS, band)
    assert scores["first"] == pytest.approx((1 / 2 + 1 / 3) / 2)  # rows 1 and 2 alone still see token 0
    assert scores["broad"] == pytest.approx(1.0)
    assert scores["duplicate"].isnan()  # four back: out of sight
    assert scores["previous"] == pytest.approx((1 / 2 + 6 / 3) / 7)


def test_labels_look_for_content_then_place_then_breadth():
    def label(**given):
        return int(analysis.label_heads({name: torch.tensor([given.get(name, 0.1)]) for name in analysis.PATTERNS}))

    index = analysis.PATTERNS.index
    assert label(first=0.8, induction=0.6, broad=0.95) == index("induction")
    assert label(duplicate=0.7, induction=0.6) == index("duplicate")
    assert label(first=0.5, previous=0.45) == index("first")
    assert label(first=0.3, broad=0.95) == index("broad")
    assert label(first=analysis.THRESHOLD, broad=0.95) == index("first")
    assert label() == label(broad=math.nan) == -1
    assert label(induction=math.nan, duplicate=math.nan, self=0.8) == index("self")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 9), vocabulary=st.integers(1, 6), causal=st.booleans())
def test_scores_lie_in_the_unit_interval_and_do_not_care_what_the_ids_are_called(seed, n, vocabulary, causal):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (n,), generator=generator)
    A = attention(seed, 2, 3, n, causal=causal)
    mask = LOWER[:n, :n] if causal and n <= 8 else torch.ones(n, n, dtype=torch.bool).tril() if causal else None
    scores = analysis.pattern_scores(A, ids, mask)
    renamed = analysis.pattern_scores(A, (ids * 37 + 11).tolist(), mask)
    assert list(scores) == list(analysis.PATTERNS)
    for name, score in scores.items():
        assert score.shape == (2, 3)
        assert (score.isnan() | ((score >= 0) & (score <= 1 + 1e-12))).all()
        assert torch.equal(score.nan_to_num(-1), renamed[name].nan_to_num(-1))


def test_heads_are_scored_each_for_itself():
    A = attention(3, 4, 8)
    together = analysis.pattern_scores(A, IDS, LOWER)
    for h in range(4):
        alone = analysis.pattern_scores(A[h], IDS, LOWER)
        assert all(torch.allclose(together[name][h], alone[name]) for name in analysis.PATTERNS)


def test_lengths_that_differ_are_refused_with_one_sentence():
    with pytest.raises(ValueError, match="there are 3 ids"):
        analysis.pattern_scores(torch.ones(4, 4), [1, 2, 3])
    with pytest.raises(ValueError, match="mask"):
        analysis.pattern_scores(torch.ones(4, 4), [1, 2, 3, 4], LOWER)
    with pytest.raises(ValueError, match="at least one"):
        analysis.targets([])


def test_rollout_of_one_layer_and_of_two_by_hand():
    A = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])  # two heads: mean [[1, 0], [.5, .5]]
    one = analysis.rollout(A[None])
    assert torch.allclose(one[0], torch.tensor([[1.0, 0.0], [0.25, 0.75]]))
    two = analysis.rollout(torch.stack([A, A]))
    assert torch.allclose(two[0], one[0])
    assert torch.allclose(two[1], torch.tensor([[1.0, 0.0], [0.25 + 0.75 * 0.25, 0.75 * 0.75]]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), layers=st.integers(1, 6), n=st.integers(1, 9), causal=st.booleans())
def test_rollout_rows_sum_to_one_keep_the_triangle_and_ignore_the_order_of_heads(seed, layers, n, causal):
    A = attention(seed, layers, 3, n, causal=causal)
    R = analysis.rollout(A)
    assert R.shape == (layers, n, n)
    assert torch.allclose(R.sum(-1), torch.ones(layers, n, dtype=torch.float64))
    assert torch.allclose(R, analysis.rollout(A.flip(1)))
    if causal:
        assert (R.triu(1) == 0).all()
    assert torch.allclose(analysis.average(A), sum(A[:, h] for h in range(3)) / 3)
    assert torch.allclose(analysis.average(A).sum(-1), torch.ones(layers, n, dtype=torch.float64))


def test_rollout_of_heads_that_read_themselves_is_the_identity():
    assert torch.allclose(analysis.rollout(torch.eye(5).expand(4, 2, 5, 5)), torch.eye(5).expand(4, 5, 5))


@pytest.mark.parametrize("n_kv_heads", [1, 3, 9])
def test_value_weighted_shares_values_as_the_model_does(n_kv_heads):
    config = transformer.Config(vocab_size=40, d_model=36, n_layers=2, n_heads=9, n_kv_heads=n_kv_heads)
    trace = transformer.build(config, seed=1).eval().run([3, 1, 4, 1, 5], record="layers.1.attention.*").trace
    A, V, z = (trace[f"layers.1.attention.{name}"] for name in ("A", "V", "z"))
    W = analysis.value_weighted(A, V)
    group = 9 // n_kv_heads
    for h in range(9):
        taken = A[0, h, :, :, None] * V[0, h // group, None, :, :]  # [query, key, d_head]: what really is added up
        assert torch.allclose(taken.sum(1), z[0, h], atol=1e-6)
        assert torch.allclose(W[0, h], taken.norm(dim=-1), atol=1e-6)


def test_value_weighted_scales_with_the_values_and_refuses_uneven_heads():
    A, V = attention(5, 1, 4, 6), torch.randn(1, 2, 6, 3, dtype=torch.float64)
    assert torch.allclose(analysis.value_weighted(A, -2 * V), 2 * analysis.value_weighted(A, V))
    with pytest.raises(ValueError, match="evenly"):
        analysis.value_weighted(A, V[:, [0, 1, 0]])


@pytest.mark.parametrize("score", ["scaled_dot", "dot"])
def test_the_terms_of_a_score_add_up_to_it(score):
    config = transformer.Config(vocab_size=40, d_model=32, n_layers=1, n_heads=4, n_kv_heads=2, score=score)
    run = transformer.build(config, seed=2).eval().run([3, 1, 4, 1, 5, 9], record="layers.0.attention.*")
    Q, K, S = (run.trace[f"layers.0.attention.{name}"][0] for name in ("Q", "K", "scores"))
    factor = None if score == "scaled_dot" else 1.0
    terms = analysis.score_terms(Q[3, 5], K[3 // 2, 2], factor)
    assert terms.shape == (8,)
    assert float(terms.sum()) == pytest.approx(float(S[3, 5, 2]), rel=1e-5)
