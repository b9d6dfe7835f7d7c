"""Hierarchical attention: two levels, padding at both, and the price of a pair."""

import pytest
import torch

from transformer import Config
from transformer.hierarchy import Hierarchical, Pool
from transformer.tap import OFF

CONFIG = Config(kind="encoder", head="classify", n_classes=3, d_model=16, n_heads=2, vocab_size=20, n_layers=1)
LONG = [[1, 2, 3, 4], [5, 6], [7, 8, 9]]
SHORT = [[3, 1], [2, 2, 2]]
CLOSE = dict(atol=1e-9, rtol=1e-9)


def model() -> Hierarchical:
    made = Hierarchical(CONFIG, seed=0).double().eval()
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.3, generator=torch.Generator().manual_seed(p.numel()))
    return made


def test_pooling_is_the_papers_sum():
    pool, h = Pool(6), torch.randn(2, 4, 6)
    weights = torch.softmax(torch.tanh(h @ pool.W.weight.T + pool.W.bias) @ pool.u.weight[0], -1)
    expected = torch.einsum("bt,btd->bd", weights, h)
    torch.testing.assert_close(pool(h, torch.ones(2, 4, dtype=torch.bool), OFF), expected)


def test_batched_equals_single_with_unequal_documents():
    hierarchy = model()
    together = hierarchy.run([LONG, SHORT]).output
    for row, document in zip(together, (LONG, SHORT), strict=True):
        torch.testing.assert_close(row[None], hierarchy.run([document]).output, **CLOSE)


def test_every_name_is_recorded_and_both_levels_weights_sum_to_one():
    hierarchy = model()
    run = hierarchy.run([LONG, SHORT], record="*")
    assert list(run.trace) == hierarchy.names()
    words, segments = run.trace["words.pool.A"], run.trace["segments.pool.A"]
    assert words.shape == (6, 4) and segments.shape == (2, 3)
    torch.testing.assert_close(words.sum(-1), torch.tensor([1.0, 1, 1, 1, 1, 0]).double())  # the last is padding
    torch.testing.assert_close(segments.sum(-1), torch.ones(2).double())
    assert segments[1, 2] == 0


def test_a_word_moves_only_its_own_segments_vector_before_segments_meet():
    hierarchy = model()
    before = hierarchy.run([LONG], record="segments.layers.0.resid_pre").trace["segments.layers.0.resid_pre"]
    other = [[1, 2, 3, 11], *LONG[1:]]
    after = hierarchy.run([other], record="segments.layers.0.resid_pre").trace["segments.layers.0.resid_pre"]
    assert torch.equal(before[:, 1:], after[:, 1:]) and not torch.equal(before[:, 0], after[:, 0])


def test_it_learns_a_rule_about_one_word():
    hierarchy = Hierarchical(CONFIG, seed=0)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 20, (64, 3, 4), generator=generator)
    target = torch.randint(3, (64,), generator=generator)
    ids[torch.arange(64), target % 3, 1] = target  # the class is the one id below 3, wherever it stands
    real = torch.ones_like(ids, dtype=torch.bool)
    optimiser = torch.optim.AdamW(hierarchy.parameters(), lr=1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(hierarchy(ids, real), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (hierarchy(ids, real).argmax(-1) == target).float().mean() > 0.95


@pytest.mark.parametrize("documents", [[], [[]], [[[]]], [[[1], []]], [[[99]]]])
def test_bad_documents_are_refused(documents):
    with pytest.raises(ValueError, match="token"):
        model().run(documents)


def test_a_config_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="classifies"):
        Hierarchical(Config())
