"""One rare digit against the rest: what is drawn, what is measured, and what the recorded runs say."""

import itertools
import json

import numpy as np
import pytest
import torch
from sklearn import metrics

import transformer
from transformer import losses
from transformer.experiments.pulls import pulls
from transformer.training import digits, imbalanced as im, smoothing, verdicts

RECORDED = json.loads(im.FILE.read_text("utf-8"))


def test_a_verdict_is_scikit_learns():
    dice = torch.Generator().manual_seed(0)
    positive = torch.rand(200, generator=dice) < 0.3
    p = (torch.rand(200, generator=dice) * 20).round() / 20  # with ties
    weight = torch.where(positive, 0.2, 1.0)
    ours, called = verdicts.judge(p, positive, weight), p >= 0.5
    expected = [of(positive, called, sample_weight=weight)
                for of in (metrics.precision_score, metrics.recall_score, metrics.f1_score)]  # fmt: skip
    expected += [metrics.average_precision_score(positive, p, sample_weight=weight),
                 metrics.accuracy_score(positive, called, sample_weight=weight)]  # fmt: skip
    assert list(ours[:5]) == pytest.approx(expected, abs=1e-6)


def test_calibration_is_its_definition_bin_by_bin():
    dice = torch.Generator().manual_seed(1)
    p, happened = torch.rand(300, generator=dice).double(), torch.rand(300, generator=dice) < 0.5
    bins = [(p >= lo / 10) & (p < (lo + 1) / 10) for lo in range(10)]
    expected = sum(abs((p[b].mean() - happened[b].double().mean()).item()) * b.sum().item() / 300 for b in bins)
    assert verdicts.calibration(p, happened) == pytest.approx(expected)
    assert verdicts.calibration(torch.tensor([1.0, 0.0]), torch.tensor([True, False])) == 0


def test_nothing_called_and_nothing_there():
    none = verdicts.judge(torch.zeros(4), torch.tensor([True, False, False, False]))
    assert (none.precision, none.recall, none.f1, none.accuracy) == (0, 0, 0, 0.75)
    with pytest.raises(ValueError, match="at least one"):
        verdicts.judge(torch.zeros(4), torch.zeros(4, dtype=torch.bool))


@pytest.mark.parametrize("ratio", im.RATIOS)
def test_the_problem_has_its_ratio_and_its_noise(ratio):
    clean, noisy = im.problem(ratio, seed=1), im.problem(ratio, 0.4, seed=1)
    known = digits.load().known
    assert torch.equal(known.x[clean.index], clean.x) and torch.equal((known.y[clean.index] == im.DIGIT).long(), clean.y)
    assert (clean.y == 0).sum() == (known.y != im.DIGIT).sum()  # every other digit is there
    assert (clean.y == 0).sum() / clean.y.sum() == pytest.approx(ratio, rel=0.1)
    assert torch.equal(clean.y, clean.label) and torch.equal(clean.y, noisy.y)
    assert (noisy.y != noisy.label).float().mean() == pytest.approx(0.4, abs=0.05)
    alpha = im.balance(clean.label)
    assert alpha[clean.label].mean() == pytest.approx(1) and (alpha * clean.label.bincount()).diff() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("noise, ratio", [(0.5, 9), (-0.1, 9), (0.0, 10_000), (0.0, 0)])
def test_a_problem_that_cannot_be_is_refused(noise, ratio):
    with pytest.raises(ValueError):
        im.problem(ratio, noise)


def test_the_verdict_weighs_positives_into_the_ratio():
    positive = digits.load().unseen.y == im.DIGIT
    p = torch.where(positive, 0.6, 0.6)  # everything is called positive: precision is the share of positives
    assert im.held_out(p, 99).precision == pytest.approx(0.01)
    assert im.held_out(torch.zeros_like(p), 99).accuracy == pytest.approx(0.99)  # and nothing: accuracy is the rest


@pytest.fixture(scope="module")
def model():
    return transformer.build(im.small(), 3)


@pytest.mark.parametrize("name", im.NAMES)
def test_a_pull_is_autograds_gradient_of_that_example(name, model):
    found = im.problem(49)
    alpha, some = im.balance(found.label), [0, 1, 40, 500]
    lengths = pulls(model, found.x[some], found.label[some], im.term(name, alpha))
    for i, length in zip(some, lengths, strict=True):
        value = im.term(name, alpha)(model(found.x[i, None]), found.label[i, None])
        gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
        whole = torch.cat([g.flatten() for g in gradients if g is not None])
        torch.testing.assert_close(length, whole.norm(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", im.NAMES)
def test_the_terms_of_a_batch_are_its_loss_but_for_one_factor(name):
    logits = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    label, alpha = torch.arange(12) % 5 // 4, torch.tensor([0.6, 4.0])
    (whole,) = torch.autograd.grad(im.loss(name, alpha)(logits, label), logits)
    terms = sum(im.term(name, alpha)(logits[i, None], label[i, None]) for i in range(12))
    (parts,) = torch.autograd.grad(terms, logits)
    ratio = parts / whole
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))


def test_without_gamma_focal_is_the_weighted_loss():
    logits, label = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
    alpha = torch.tensor([0.5, 2.0])
    weighted = im.loss("weighted", alpha)(logits, label) * alpha[label].sum() / 8
    torch.testing.assert_close(losses.focal(logits, label, gamma=0.0, alpha=alpha), weighted)


def test_a_report_counts_everyone_once(model):
    found = im.problem(9, 0.2)
    at = im.report(model, 0, found, 9, im.term("focal", im.balance(found.label)))
    flipped = int((found.label != found.y).sum())
    assert sum(at.counts) == len(found.y) and at.counts[3] == flipped
    assert at.counts[1] == round(im.HARD * (at.counts[1] + at.counts[2]))
    assert sum(at.shares) == pytest.approx(1)
    shares = [c.share for c in at.carriers]
    assert shares == sorted(shares, reverse=True) and len(shares) == im.TOP


def test_hard_negatives_are_those_with_the_lowest_p():
    found = im.problem(9)
    p_t = torch.rand(len(found.y), generator=torch.Generator().manual_seed(0))
    group = im.groups(found, p_t)
    assert p_t[group == 1].max() < p_t[group == 2].min() and torch.equal(group == 0, found.y == 1)


def test_a_run_is_the_recorded_one():
    """The first reports of one of each kind: the file is reproduced by the command that it names, on a like processor to the
    last digit; others round differently, and a training run magnifies it."""
    for name, ratio, noise in (("cross-entropy", 99, 0.0), ("focal weighted", 9, 0.4)):
        first, second = itertools.islice(im.train(name, ratio, 1, noise), 2)
        run = RECORDED["runs"][im.key(name, ratio, noise)][1]
        for at, one in enumerate((first, second)):
            assert [run[field][at] for field in verdicts.Verdict._fields] == pytest.approx(list(one.verdict), abs=0.02)
            assert run["shares"][at] == pytest.approx(list(one.shares), abs=0.02)
            assert run["counts"][at] == list(one.counts)


def test_every_setting_is_recorded_whole():
    reports = im.STEPS // im.EVERY + 1
    settings = [(ratio, 0.0) for ratio in im.RATIOS] + [(im.NOISY_RATIO, noise) for noise in im.NOISES if noise]
    assert set(RECORDED["runs"]) == {im.key(name, *setting) for name in im.NAMES for setting in settings}
    for runs in RECORDED["runs"].values():
        assert len(runs) == len(im.SEEDS) and all(len(column) == reports for run in runs for column in run.values())
        assert all(sum(shares) == pytest.approx(1, abs=1e-3) for run in runs for shares in run["shares"])
    for name, reports_ in RECORDED["carriers"].items():
        assert len(reports_) == reports and all(len(top) == im.TOP for top in reports_), name


@pytest.mark.parametrize("data", smoothing.DATA)
def test_smoothing_trains_and_measures_by_the_plain_loss(data):
    (plain,) = smoothing.train(data, 0.0, 0, steps=5, every=5)
    (again,) = smoothing.train(data, 0.0, 0, steps=5, every=5)
    (smooth,) = smoothing.train(data, 0.3, 0, steps=5, every=5)
    assert plain == again and plain.held_out != smooth.held_out
    assert abs(plain.held_out - smooth.held_out) < 0.5  # ε of log V is not in it


@pytest.mark.parametrize("data", smoothing.DATA)
def test_smoothing_is_recorded_whole(data):
    for epsilon in smoothing.EPSILONS:
        runs = RECORDED["smoothing"][smoothing.key(data, epsilon)]
        assert np.array([run["accuracy"] for run in runs]).shape == (len(smoothing.SEEDS[data]), smoothing.STEPS // smoothing.EVERY)
