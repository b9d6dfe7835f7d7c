"""From logits to a choice: against Hugging Face's processors, and the laws that the pages show."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from transformer import sampling


def logits_of(seed: int, vocab: int = 500, spread: float = 3.0) -> torch.Tensor:
    return torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * spread


def huggingface(logits, temperature, top_k, top_p, min_p):
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k is not None:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p is not None:
        warpers.append(TopPLogitsWarper(top_p))
    if min_p is not None:
        warpers.append(MinPLogitsWarper(min_p))
    return warpers(None, logits.double()[None])[0].softmax(-1)


temperatures = st.floats(0.05, 20)
top_ks = st.none() | st.integers(1, 600)
top_ps = st.none() | st.floats(0.01, 0.999)
min_ps = st.none() | st.floats(0, 1)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), temperatures, top_ks, top_ps, min_ps)
def test_same_probabilities_as_huggingface(seed, temperature, top_k, top_p, min_p):
    logits = logits_of(seed)
    ours = sampling.probabilities(logits, temperature, top_k, top_p, min_p)
    theirs = huggingface(logits, temperature, None if top_k is None else min(top_k, 500), top_p, min_p)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 5), st.lists(st.integers(0, 499), min_size=1, max_size=40))
def test_penalised_as_huggingface_does(seed, penalty, read):
    logits, read = logits_of(seed), torch.tensor(read)
    before = logits.clone()
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(read[None], logits.clone()[None])[0]
    torch.testing.assert_close(sampling.penalised(logits, read, penalty), theirs, rtol=0, atol=0)
    assert torch.equal(logits, before)


def test_each_filter_alone_keeps_what_its_definition_says():
    logits = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05]).log()
    kept = lambda **setting: (sampling.probabilities(logits, **setting) > 0).tolist()  # noqa: E731
    assert kept(top_k=2) == [True, True, False, False, False]
    assert kept(top_p=0.6) == [True, True, False, False, False]
    assert kept(top_p=0.4) == [True, False, False, False, False]
    assert kept(min_p=0.25) == [True, True, True, False, False]
    assert kept(top_p=1.0) == kept(min_p=0.0) == [True] * 5
    # top-p counts the shares that top-k left: 0.5 / 0.7 is already above 0.7
    assert kept(top_k=2, top_p=0.7) == [True, False, False, False, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), temperatures, temperatures)
def test_order_never_changes_with_temperature(seed, one, other):
    logits = logits_of(seed)
    p, q = sampling.tempered(logits, one), sampling.tempered(logits, other)
    order = logits.argsort(descending=True)
    assert (p[order].diff() <= 0).all() and (q[order].diff() <= 0).all()


def test_zero_temperature_is_argmax_and_its_limit():
    logits = logits_of(1)
    spike = sampling.probabilities(logits, 0)
    assert spike.argmax() == logits.argmax() and spike.sum() == 1 and spike.max() == 1
    torch.testing.assert_close(sampling.probabilities(logits, 1e-6), spike)
    assert sampling.probabilities(logits * 1e4, 1e-30).isfinite().all()


def test_infinite_temperature_is_uniform():
    p = sampling.probabilities(logits_of(2), 1e9)
    torch.testing.assert_close(p, torch.full_like(p, 1 / len(p)))
    assert sampling.entropy(p).item() == pytest.approx(math.log(500), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), temperatures, temperatures)
def test_entropy_grows_with_temperature(seed, one, other):
    logits = logits_of(seed)
    low, high = sorted((one, other))
    assert sampling.entropy(sampling.tempered(logits, low)) <= sampling.entropy(sampling.tempered(logits, high)) + 1e-12


def test_a_sweep_is_each_temperature_by_itself_and_entropy_rises_by_the_variance_of_the_logits():
    logits, h = logits_of(5), 1e-4
    temperatures = [0.3, 1.0, 1.0 + h, 4.0]
    entropy, largest = sampling.sweep(logits, temperatures)
    for i, T in enumerate(temperatures):
        p = sampling.tempered(logits, T)
        assert entropy[i] == pytest.approx(sampling.entropy(p).item(), abs=1e-6)
        assert largest[i] == pytest.approx(p.max().item(), rel=1e-6)
    p = sampling.tempered(logits, 1.0)
    mean = (p * logits).sum()
    assert (entropy[2] - entropy[1]).item() / h == pytest.approx((p * (logits - mean) ** 2).sum().item(), rel=1e-3)


def test_batch_equals_rows():
    logits = torch.stack([logits_of(s) for s in range(6)]).view(2, 3, -1)
    batched = sampling.probabilities(logits, 0.8, 50, 0.9, 0.01)
    for i in range(2):
        for j in range(3):
            assert torch.equal(batched[i, j], sampling.probabilities(logits[i, j], 0.8, 50, 0.9, 0.01))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), top_ks, top_ps, min_ps)
def test_cuts_count_what_is_left_after_each_filter(seed, top_k, top_p, min_p):
    logits = logits_of(seed)
    ranked = sampling.tempered(logits, 1.0).sort(descending=True).values
    cuts = sampling.cuts(ranked, top_k, top_p, min_p)
    for count, setting in zip(cuts, [(top_k, None, None), (top_k, top_p, None), (top_k, top_p, min_p)], strict=True):
        assert count == (sampling.probabilities(logits, 1.0, *setting) > 0).sum()
    assert 1 <= cuts.kept == cuts.min_p <= cuts.top_p <= cuts.top_k <= 500


def test_equal_entries_rank_by_index():
    assert (sampling.probabilities(torch.zeros(8), top_k=3) > 0).tolist() == [True] * 3 + [False] * 5


def test_pick_lays_the_entries_end_to_end_the_most_probable_first():
    p = torch.tensor([0.2, 0.5, 0.0, 0.3])
    assert [int(sampling.pick(p, u)) for u in (0, 0.49, 0.51, 0.79, 0.81, 1 - 2**-53)] == [1, 1, 3, 3, 0, 0]
    assert sampling.pick(torch.stack([p, p]), torch.tensor([0.1, 0.9])).tolist() == [1, 0]


def test_draws_have_their_probabilities():
    p = sampling.probabilities(logits_of(3, vocab=12, spread=1.0))
    draws = sampling.draw(p.expand(40_000, -1), torch.Generator().manual_seed(0))
    share = torch.bincount(draws, minlength=12) / len(draws)
    sigma = (p * (1 - p) / len(draws)).sqrt()
    assert ((share - p).abs() < 5 * sigma).all()


def test_an_entry_that_was_cut_is_never_drawn():
    p = sampling.probabilities(logits_of(4), top_k=5)
    draws = sampling.draw(p.expand(5_000, -1), torch.Generator().manual_seed(1))
    assert set(draws.tolist()) == set(p.nonzero().flatten().tolist())


def test_dice_are_rolled_one_after_another():
    generator = torch.Generator().manual_seed(7)
    one_by_one = [torch.rand((), generator=generator, dtype=torch.float64).item() for _ in range(30)]
    assert sampling.dice(7, 30).tolist() == one_by_one
    assert sampling.dice(7, 12).tolist() == one_by_one[:12] != sampling.dice(8, 12).tolist()


@pytest.mark.parametrize("setting, said", [
    ({"temperature": -0.1}, "temperature"), ({"temperature": math.inf}, "temperature"),
    ({"temperature": math.nan}, "temperature"), ({"top_k": 0}, "top_k"), ({"top_k": 2.5}, "top_k"),
    ({"top_k": True}, "top_k"), ({"top_p": 0.0}, "top_p"), ({"top_p": 1.1}, "top_p"), ({"min_p": -0.1}, "min_p"),
    ({"min_p": 1.5}, "min_p"),
])  # fmt: skip
def test_a_setting_that_means_nothing_is_refused_in_one_sentence(setting, said):
    with pytest.raises(ValueError, match=rf"^{said} is .*\.$"):
        sampling.probabilities(torch.zeros(4), **setting)
