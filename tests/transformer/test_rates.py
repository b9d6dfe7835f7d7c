"""Schedules and dropout as their lesson trains with them."""

import json
import math

import pytest
import torch

import transformer
from transformer import schedule
from transformer.training import rates


@pytest.mark.parametrize("kind", rates.KINDS)
@pytest.mark.parametrize("warmup", [0, 7, 60])
def test_every_kind_reaches_the_same_peak_at_the_end_of_its_warm_up(kind, warmup):
    rate = rates.schedule(kind, warmup, steps=200)
    values = [rate(t) for t in range(1, 201)]
    assert max(values) == pytest.approx(rates.PEAK) and values[max(warmup, 1) - 1] == pytest.approx(rates.PEAK)
    if warmup:
        assert values[: warmup - 1] == pytest.approx([rates.PEAK * t / warmup for t in range(1, warmup)])


@pytest.mark.parametrize("d, warmup", [(512, 4000), (64, 10), (1024, 1)])
def test_noams_peak_is_at_step_warm_up(d, warmup):
    rate = schedule.noam(d, warmup)
    assert max(range(1, 4 * warmup + 2), key=rate) == warmup
    assert rate(warmup) == pytest.approx((d * warmup) ** -0.5)


def test_a_run_is_the_same_for_the_same_seed_and_reports_its_rate():
    first, again = (list(rates.with_rate("cosine", 4, 1, steps=8, every=4)) for _ in range(2))
    assert first[-1] == again[-1] and math.isnan(first[0].held_out)
    assert [one.step for one in first] == [4, 8] and first[0].lr == pytest.approx(rates.PEAK)


def test_dropout_keeps_the_mean_and_drops_nothing_in_use():
    model = transformer.build(rates.small(0.3), seed=0)
    ids = torch.randint(10, (1, 5), generator=torch.Generator().manual_seed(0))
    model.eval()
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))
    torch.manual_seed(0)
    mean = torch.stack([model.embedding.dropout(torch.ones(4000)) for _ in range(50)]).mean()
    assert mean.item() == pytest.approx(1, abs=0.01)


def test_dropout_is_measured_with_nothing_dropped():
    (report,) = rates.with_dropout(0.5, seed=0, steps=1, every=1)
    assert report.step == 1 and 2 < report.known < 5 and 2 < report.unseen < 5


def test_the_recorded_runs_say_what_the_page_says():
    runs = json.loads(rates.FILE.read_text("utf-8"))["runs"]
    ends = {name: [seed["held_out"][-1] for seed in of] for name, of in runs.items() if not name.startswith("dropout")}
    for kind in rates.KINDS:  # the middle of three seeds, and the best, with warm-up
        assert sorted(ends[f"{kind} {rates.WARMUPS[1]}"])[1] < sorted(ends[f"{kind} 0"])[1]
    best = {share: sorted(min(seed["unseen"]) for seed in runs[f"dropout {share}"])[1] for share in rates.DROPOUTS}
    last = {share: sorted(seed["unseen"][-1] for seed in runs[f"dropout {share}"])[1] for share in rates.DROPOUTS}
    assert last[0.0] > best[0.0] + 0.2  # learning by heart: the unseen loss turns up again
    assert last[0.3] < last[0.0]
