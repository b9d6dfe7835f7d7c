"""Learning-rate schedules against torch's schedulers, the paper's formula, and their own shapes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.schedule import constant, cosine, noam


def torchs(make, steps: int) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = make(optimiser), []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return rates


def test_the_2017_models_rate():
    rate = noam(512)
    assert rate(4000) == pytest.approx(512**-0.5 * 4000**-0.5) == pytest.approx(6.987712e-4)
    assert rate(1) == pytest.approx(512**-0.5 * 4000**-1.5)
    assert rate(16_000) == pytest.approx(rate(4000) / 2)


@given(st.integers(1, 2048), st.integers(1, 500))
def test_noam_rises_straight_to_its_peak_at_the_end_of_warm_up_and_falls_as_the_root(d_model, warmup):
    rate = noam(d_model, warmup, factor=2.0)
    rates = [rate(t) for t in range(1, 3 * warmup + 2)]
    assert max(rates) == pytest.approx(rates[warmup - 1]) == pytest.approx(2 / math.sqrt(d_model * warmup))
    assert all(rates[t - 1] == pytest.approx(rates[warmup - 1] * t / warmup) for t in range(1, warmup + 1))
    assert rate(4 * warmup) == pytest.approx(rate(warmup) / 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.integers(1, 60), st.floats(0, 1))
def test_cosine_is_torchs(warmup, after, floor):
    def make(optimiser):
        rise = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / warmup, 1.0, total_iters=warmup - 1)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, after, eta_min=floor)
        return torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, fall], [warmup])

    rate = cosine(1.0, warmup + after, warmup, floor)
    ours = [rate(t) for t in range(1, warmup + after + 1)]
    assert ours == pytest.approx(torchs(make, warmup + after), abs=1e-9)
    assert rate(warmup + after + 1) == pytest.approx(floor) == rate(10_000)


def test_constant():
    assert [constant(0.3)(t) for t in (1, 5, 500)] == [0.3] * 3
    assert [constant(0.3, 3)(t) for t in (1, 2, 3, 4)] == pytest.approx([0.1, 0.2, 0.3, 0.3])


@pytest.mark.parametrize(
    "call",
    [
        lambda: noam(0), lambda: noam(512, 0), lambda: noam(512, factor=math.nan), lambda: cosine(0.0, 10),
        lambda: cosine(1.0, 0), lambda: cosine(1.0, 10, -1), lambda: cosine(1.0, 10, 0, 1.5), lambda: constant(-1.0),
        lambda: constant(1.0, -1),
    ],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()
