"""Learning rates and dropout: curves are the schedules', bands the recorded runs, live runs lie over them."""

import contextlib
import functools
import io
import json

import numpy as np
import pytest

from pages.training import schedules_words as words
from tests.messages import sent
from tests.pages.test_pool import until
from transformer import schedule
from transformer.training import rates

PAGE = "pages/training/schedules.py"
RUNS = json.loads(rates.FILE.read_text("utf-8"))["runs"]


def series(header, panel, kind) -> list[dict]:
    return [one for one in header["panels"][panel]["series"] if one["kind"] == kind]


def test_the_curve_is_the_schedule_that_trains(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    of = {one["label"]: arrays[one["y"]] for one in series(header, 0, "line")}
    steps = arrays["x"]
    for i, d in enumerate(header["frames"][0]["values"]):
        for j, w in enumerate(header["frames"][1]["values"]):
            np.testing.assert_allclose(of["2017"][i, j] / 1e4, [schedule.noam(d, w)(int(t)) for t in steps], rtol=1e-6)
            for kind in of:  # the peak is at step = warm-up exactly
                assert steps[of[kind][i, j].argmax()] == w and of[kind][i, j].max() == pytest.approx(1e4 * (d * w) ** -0.5)


@pytest.mark.parametrize("kind, name", [("2017", "noam"), ("cosine", "cosine"), ("constant", "constant")])
def test_recorded_runs_with_and_without_warm_up_are_bands(open_page, kind, name):
    app = open_page(PAGE, view=words.WARM, kind=kind)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    for band, warmup in zip(series(header, 0, "band"), rates.WARMUPS, strict=True):
        losses = np.array([seed["loss"] for seed in RUNS[f"{name} {warmup}"]])
        np.testing.assert_allclose(arrays[band["lo"]], losses.min(0), rtol=1e-6)
        np.testing.assert_allclose(arrays[band["hi"]], losses.max(0), rtol=1e-6)


def test_dropout_shows_both_losses(open_page):
    app = open_page(PAGE, view=words.DROP)
    assert not app.exception
    header, arrays = sent(app, "curves")
    for panel, field in enumerate(("unseen", "known")):
        for band, share in zip(series(header, panel, "band"), rates.DROPOUTS, strict=True):
            losses = np.array([seed[field] for seed in RUNS[f"dropout {share}"]])
            np.testing.assert_allclose(arrays[band["lo"]], losses.min(0), rtol=1e-6)


def test_a_live_run_lies_over_them(open_page, monkeypatch):
    short = functools.partial(rates.with_rate, steps=2 * rates.EVERY)
    monkeypatch.setattr(rates, "with_rate", lambda *setting: short(*setting))
    app = open_page(PAGE, view=words.WARM)
    before = len(series(sent(app, "curves")[0], 0, "line"))
    app.button(key="train_F5").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    app.run()
    header, arrays = sent(app, "curves")
    lines = series(header, 0, "line")
    assert not app.exception and len(lines) == before + 2 * len(rates.SEEDS)
    own = arrays[lines[1]["y"]]
    assert np.isfinite(own[:2]).all() and np.isnan(own[2:]).all()
    assert own[0] == pytest.approx(RUNS["constant 0"][0]["loss"][0], abs=0.02)  # the same run as the recorded one


@pytest.mark.parametrize("view", words.VIEWS)
def test_the_catch_is_on_the_page(open_page, view):
    said = " ".join(m.value for m in open_page(PAGE, view=view).markdown)
    assert {words.RATE: "at step = warm-up **exactly**", words.WARM: "not a law of nature",
            words.DROP: "mostly trained **without** it"}[view] in said  # fmt: skip


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, d="1024", warmup="2000")
    (snippet,) = [code.value for code in app.code if code.value.startswith("from transformer.schedule")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    assert f"peak at step 2000 {schedule.noam(1024, 2000)(2000)}" in out.getvalue()


@pytest.mark.parametrize("view, work", [(words.WARM, "with_rate"), (words.DROP, "with_dropout")])
def test_the_training_snippets_call_the_same_work(open_page, monkeypatch, view, work):
    app = open_page(PAGE, view=view)
    (snippet,) = [code.value for code in app.code if code.value.startswith("from transformer.training")]
    whole = getattr(rates, work)
    monkeypatch.setattr(rates, work, lambda *setting, seed: whole(*setting, seed, steps=8, every=8))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    assert out.getvalue().count("\n") == 2
