"""Normalisation laid open: against the modules, torch and the closed forms; mean 0 and variance 1 where they should be."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from transformer.experiments.normalised import (
    bessel, by_running, companions, gamma_of, moved, parts, profile, running, scaled, shifted, telling,
)  # fmt: skip
from transformer.norms import NORMS
from transformer.training import normed

EPS = 1e-5


def cube(batch=3, n=4, d=16, seed=0, shift=2.0) -> torch.Tensor:
    return torch.randn(batch, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 + shift


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["layer", "rms", "batch"]), st.integers(1, 4), st.integers(1, 5), st.integers(2, 40),
    st.integers(0, 99))
def test_parts_are_the_modules(kind, batch, n, d, seed):
    if kind == "batch" and batch * n == 1:
        return
    x, norm = cube(batch, n, d, seed), NORMS[kind](d, EPS).double().train()
    with torch.no_grad():
        nn.init.normal_(norm.gamma)
        if kind != "rms":
            nn.init.normal_(norm.beta)
        expected = norm.gamma * parts(kind, x, EPS).out + (0 if kind == "rms" else norm.beta)
        torch.testing.assert_close(norm(x), expected, atol=1e-9, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 64), st.floats(0.1, 50), st.integers(0, 99))
def test_layer_norm_has_mean_0_and_variance_1_over_features_and_rms_norm_mean_square_1(batch, n, d, size, seed):
    x = cube(batch, n, d, seed) * size
    y = parts("layer", x, 0.0).out
    torch.testing.assert_close(y.mean(-1), torch.zeros(batch, n, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(y.var(-1, correction=0), torch.ones(batch, n, dtype=torch.float64), atol=1e-9, rtol=0)
    r = parts("rms", x, 0.0).out
    torch.testing.assert_close(r.square().mean(-1), torch.ones(batch, n, dtype=torch.float64), atol=1e-9, rtol=0)
    if batch * n > 1:
        b = parts("batch", x, 0.0).out.flatten(0, 1)
        torch.testing.assert_close(b.mean(0), torch.zeros(d, dtype=torch.float64), atol=1e-8, rtol=0)
        torch.testing.assert_close(b.var(0, correction=0), torch.ones(d, dtype=torch.float64), atol=1e-8, rtol=0)


def test_epsilon_sits_inside_the_root_and_sigma_is_biased():
    x = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]], dtype=torch.float64)  # mean 3, biased variance 14 / 4
    one = parts("layer", x, 0.5)
    assert one.root[0, 0, 0].item() == pytest.approx(math.sqrt(3.5 + 0.5))
    torch.testing.assert_close(F.layer_norm(x, (4,), eps=0.5), one.out)
    wrong = (x - 3) / math.sqrt(14 / 3)
    assert (one.out - wrong).abs().max() > 0.05
    assert bessel(4) == pytest.approx(x.std().item() / x.std(correction=0).item())
    assert bessel(4) - 1 == pytest.approx(0.1547, abs=1e-4) and bessel(576) - 1 == pytest.approx(8.69e-4, abs=1e-6)
    assert bessel(1) == math.inf


def test_a_batch_of_one_erases_and_a_batch_of_two_keeps_only_signs():
    x = cube(1, 6, 12)[0]
    rows = companions("batch", x, 1e-12)
    assert rows[0].abs().max() == 0
    torch.testing.assert_close(rows[1].abs(), torch.ones(12, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows[1], (x[0] - x[1]).sign(), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows[-1], parts("batch", x[None], 1e-12).out[0, 0])
    assert moved(rows)[0] == pytest.approx(1) and moved(rows)[-1] == 0 and (moved(rows)[1:-1] > 0.01).all()
    for kind in ("layer", "rms"):
        assert moved(companions(kind, x, EPS)).abs().max() == 0
    with pytest.raises(ValueError, match="more than 1 value"):
        NORMS["batch"](12, EPS).double().train()(x[:1])


def test_running_averages_go_a_tenth_of_the_way_and_hold_the_unbiased_variance():
    x = cube()
    norm = running(x, EPS, 60)
    flat, left = x.flatten(0, 1), 0.9**60
    torch.testing.assert_close(norm.mean, flat.mean(0) * (1 - left))
    torch.testing.assert_close(norm.variance, flat.var(0) * (1 - left) + left)
    with torch.no_grad():
        torch.testing.assert_close(by_running(x[:1], norm).out, norm(x[:1]))
        torch.testing.assert_close(by_running(x, norm).out[:1], by_running(x[:1], norm).out, atol=0, rtol=0)
    theirs = nn.BatchNorm1d(16, eps=EPS).double()
    for _ in range(60):
        theirs(flat)
    torch.testing.assert_close(theirs.running_var, norm.variance)


def test_scaling_leaves_both_alone_until_epsilon_counts_and_shifting_leaves_the_one_that_centres():
    x = cube()[0, 0]
    factors = torch.tensor([1e-6, 1.0, 1e4], dtype=torch.float64)
    found = scaled(x, factors, EPS)
    sigma = x.var(correction=0).sqrt() * factors
    torch.testing.assert_close(found.layer, sigma / (sigma.square() + EPS).sqrt())
    torch.testing.assert_close(found.outside, sigma / (sigma + EPS))
    assert found.layer[0] < 0.01 and found.rms[2] == pytest.approx(1, abs=1e-9)
    assert found.outside[0] > 10 * found.layer[0]  # √ε is far larger than ε
    shifts = torch.tensor([0.0, 1.0, 100.0])
    assert shifted("layer", x, shifts, EPS).abs().max() < 1e-9
    by_rms = shifted("rms", x, shifts, EPS)
    assert by_rms[0] == 0 and by_rms[2] > 0.3


def test_a_profile_and_gamma_and_what_to_look_at():
    x = cube(1, 5, 24)[0]
    x[2, 7] = 500.0
    found = profile(x[None])
    torch.testing.assert_close(found.rms[0], x.square().mean(-1).sqrt())
    assert found.feature[0, 2] == 7 and found.top[0, 2] > 0.99
    torch.testing.assert_close(found.mean[0], x.mean(-1).abs() / found.rms[0])
    norm = NORMS["rms"](24, EPS).double()
    with torch.no_grad():
        nn.init.normal_(norm.gamma)
        torch.testing.assert_close(gamma_of(x, norm(x), EPS), norm.gamma.data)
    shown = telling(x[None], 6)
    assert 7 in shown and shown == sorted(set(shown)) and len(shown) == 6


# ---- models trained with each norm

def test_a_run_is_repeatable_and_leaves_its_running_averages_alone():
    first, again = (list(normed.live("batch", 1, 0, steps=8, every=4)) for _ in range(2))
    assert first == again and [report.step for report in first] == [4, 8]
    layer = next(normed.live("layer", 1, 0, steps=4, every=4))
    assert layer.unseen == pytest.approx(layer.batch_of_one, abs=1e-5)  # one and the same function in both modes
    assert abs(first[-1].unseen - first[-1].batch_of_one) > 1e-3


def test_the_recorded_runs_are_this_functions_and_a_batch_of_one_breaks_batch_norm():
    recorded = normed.load()
    mine = [report for report, _ in zip(normed.live("batch", 1, 2), range(2), strict=False)]
    for kept, report in zip(recorded["batch", 1][2], mine):
        assert kept.step == report.step and kept.unseen == pytest.approx(report.unseen, abs=0.02)
    ends = {key: [seed[-1].unseen for seed in seeds] for key, seeds in recorded.items()}
    assert all(b > a for a, b in zip(ends["layer", 1], ends["batch", 1]))
    assert max(report.unseen for seed in recorded["batch", 1]
        for report in seed) > 10  # running averages of eight tokens each
    assert max(report.unseen for seed in recorded["layer", 1] for report in seed) < 5
