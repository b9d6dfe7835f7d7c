"""Removal: every variant is a run of its own, and weights stand where their words stand."""

import math

import pytest
import torch

from tests.transformer.test_hierarchy import LONG, model
from transformer.experiments import removal
from transformer.hierarchy import best_segment, scored_pairs
from transformer.experiments.removal import Part, parts_of, rank_correlation, removals, without


def test_parts_are_sentences_and_words_of_which_something_is_left():
    assert parts_of([[1, 2], [3]]) == (Part(0), Part(1), Part(0, 0), Part(0, 1), Part(1, 0))
    assert parts_of([[1, 2]]) == (Part(0, 0), Part(0, 1))
    assert parts_of([[1]]) == ()
    assert without([[1, 2], [3]], Part(0, 1)) == [[1], [3]] and without([[1, 2], [3]], Part(1, 0)) == [[1, 2]]
    assert without([[1, 2], [3]], Part(0)) == [[3]]


@pytest.mark.parametrize("most", [1, 4, 64])
def test_every_variant_is_its_own_run(most):
    hierarchy = model()
    found = removals(hierarchy, LONG, most=most)
    assert found.p.shape == (1 + 3 + 9, 3) and found.words.shape == (13, 3, 4)
    torch.testing.assert_close(found.p[0], hierarchy.run([LONG]).output[0].softmax(-1))
    for i, part in enumerate(found.parts):
        left = without(LONG, part)
        run = hierarchy.run([left], record=("*.pool.*",))
        torch.testing.assert_close(found.p[1 + i], run.output[0].softmax(-1))
        there = found.sentences[1 + i][found.sentences[1 + i] > 0]
        torch.testing.assert_close(there, run.trace["segments.pool.A"][0])
        words = found.words[1 + i][found.words[1 + i] > 0]
        torch.testing.assert_close(words, torch.cat([a[: len(s)] for a, s in zip(run.trace["words.pool.A"], left)]))
        if part.word is not None:
            assert found.words[1 + i, part.sentence, part.word] == 0
        else:
            assert found.sentences[1 + i, part.sentence] == 0
    torch.testing.assert_close(found.share()[:3], found.sentences[0])
    torch.testing.assert_close(found.share()[3:].sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(found.effect(1), found.p[0, 1] - found.p[1:, 1])


def test_scores_are_what_the_softmax_was_given():
    found = removals(model(), LONG)
    torch.testing.assert_close(found.sentence_scores[0].softmax(-1), found.sentences[0])
    torch.testing.assert_close(found.word_scores[0, 0].softmax(-1), found.words[0, 0])


def test_even_weights_are_even_and_change_the_answer():
    hierarchy = model()
    found = removals(hierarchy, LONG, levels=("words", "sentences"))
    torch.testing.assert_close(found.sentences[0], torch.full((3,), 1 / 3).double())
    torch.testing.assert_close(found.words[0, 1, :2], torch.tensor([0.5, 0.5]).double())
    assert not torch.allclose(found.p[0], removals(hierarchy, LONG).p[0])


def test_rank_correlation_is_spearmans():
    stats = pytest.importorskip("scipy.stats")
    for seed in range(5):
        a, b = torch.randint(0, 6, (2, 30), generator=torch.Generator().manual_seed(seed)).double()
        assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-6)
    assert rank_correlation(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([-3.0, 0.0, 100.0])) == pytest.approx(1)
    assert math.isnan(rank_correlation(torch.tensor([1.0]), torch.tensor([1.0])))


def test_a_summary_counts_how_often_the_heaviest_decides():
    found = [removals(model(), LONG), removals(model(), [[1, 2], [3, 4], [5]])]
    said = removal.summary(found)
    hits = [float(one.share()[:3].argmax() == one.effect(int(one.p[0].argmax())).abs()[:3].argmax()) for one in found]
    assert said["documents"] == 2 and said["heaviest_is_decisive"] == sum(hits) / 2


def test_pairs_are_those_that_the_model_scores():
    hierarchy = model()
    document = [[1 + (i + j) % 9 for j in range(4)] for i in range(6)]  # 24 words in segments of 4
    run = hierarchy.run([document], record=("words.layers.0.attention.scores", "segments.layers.0.attention.scores"))
    words, sentences = (run.trace[f"{level}.layers.0.attention.scores"][:, 0].numel() for level in ("words", "segments"))
    assert scored_pairs(24, 4) == (words, sentences) == (96, 36)
    assert scored_pairs(25, 4) == (7 * 16, 49)  # the last segment is padded


@pytest.mark.parametrize("n", [64, 1000, 4096, 100_000])
def test_the_best_segment_has_the_fewest_pairs(n):
    cost = lambda s: n * s + (n / s) ** 2  # noqa: E731
    best = best_segment(n)
    assert all(cost(best) <= cost(best * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))
    assert cost(best) == pytest.approx(1.8899 * n ** (4 / 3), rel=1e-4)
