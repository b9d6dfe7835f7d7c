"""The lesson on losses: curves are the library's, bands the recorded runs, sentences say what the numbers say."""

import contextlib
import functools
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pages.training import losses_numbers as numbers, losses_words as words
from tests.messages import sent
from tests.pages.test_pool import until
from transformer.experiments import loss_curves
from transformer.training import digits, imbalanced as im, smoothing

PAGE = "pages/training/losses.py"


def series(header, panel, kind) -> list[dict]:
    """Without what only the picked loss has besides."""
    return [one for one in header["panels"][panel]["series"] if one["kind"] == kind and not one["switched"]]


def said(app) -> str:
    return " ".join(m.value for m in app.markdown)


def test_the_curves_are_the_librarys_at_every_position_of_the_sliders(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    gammas, alphas, epsilons = (choice["values"] for choice in header["frames"])
    p = torch.tensor(arrays["x"]).double()
    for panel in (0, 1):
        of = {one["label"]: arrays[one["y"]] for one in series(header, panel, "line")}
        np.testing.assert_allclose(of["cross-entropy"][0, 0, 0], loss_curves.cross_entropy(p)[panel], atol=1e-5)
        for i, gamma in enumerate(gammas):
            for j, alpha in enumerate(alphas):
                np.testing.assert_allclose(of["focal"][i, j, 0], loss_curves.focal(p, gamma, alpha)[panel], atol=1e-4)
                np.testing.assert_allclose(of["class-weighted"][0, j, 0], loss_curves.weighted(p, alpha)[panel], atol=1e-4)
        for k, epsilon in enumerate(epsilons):
            np.testing.assert_allclose(of["label smoothing"][0, 0, k], loss_curves.smoothed(p, epsilon)[panel], atol=1e-5)
    np.testing.assert_array_equal(of["focal"][0, alphas.index(1)], of["cross-entropy"][0, 0])  # γ = 0, α = 1


def test_easy_beside_hard_is_said_in_numbers(open_page):
    app = open_page(PAGE)
    header, arrays = sent(app, "curves")
    counts = header["sum"]["arrays"][1]
    at = header["frames"][0]["values"].index(2)
    hard, easy = loss_curves.focal(torch.tensor([0.1, 0.9]), 2.0)[1].abs().tolist()
    assert arrays[counts["focal"]][at, 0, 0, 0] == pytest.approx(hard / easy)
    assert arrays[counts["cross-entropy"]].item() == pytest.approx(9)
    np.testing.assert_array_equal(np.isnan(arrays[counts["label smoothing"]].ravel()), [0, 0, 0, 1, 1])  # q_t = 0.9 and 0.85
    assert f"one hard example weighs as {hard / easy:.0f} easy ones" in said(app)
    hard, easy = loss_curves.focal(torch.tensor([0.1, 0.9]), 1.0)[1].abs().tolist()
    app.radio(key="prediction").set_value(f"about {hard / easy:.0f}").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]


@pytest.mark.parametrize("view, settings, group", [
    (words.RARE, [(ratio, 0.0) for ratio in im.RATIOS], 2), (words.NOISE, [(im.NOISY_RATIO, noise) for noise in im.NOISES], 3),
])  # fmt: skip
def test_recorded_runs_are_bands(open_page, view, settings, group):
    app = open_page(PAGE, view=view)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    metrics = list(numbers.METRICS)
    for upper, lower, name in zip(series(header, 0, "band"), series(header, 1, "band"), numbers.TITLES, strict=True):
        for s, setting in enumerate(settings):
            runs = numbers.recorded()["runs"][im.key(name, *setting)]
            for m, metric in enumerate(metrics):
                np.testing.assert_allclose(arrays[upper["hi"]][s, m], np.max([run[metric] for run in runs], 0), rtol=1e-6)
            shares = np.array([run["shares"] for run in runs])[..., group]
            np.testing.assert_allclose(arrays[lower["lo"]][s, 0], shares.min(0), rtol=1e-6)
    assert len(header["table"]["columns"]) == len(metrics)


def test_who_pulls_is_what_was_recorded(open_page):
    app = open_page(PAGE, view=words.PULLS, problem="9 to 1, 20 % flipped", step="200", loss="focal")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "carriers")
    assert not arrays["wrong"][: len(im.RATIOS)].any() and arrays["wrong"][len(im.RATIOS) :].any()
    assert (header["settings"]["at"], header["steps"]["at"], header["pick"]) == ("9 to 1, 20 % flipped", 200, "focal")
    s, t, n = header["settings"]["values"].index("9 to 1, 20 % flipped"), 4, header["names"].index("focal")
    key = im.key("focal", 9, 0.2)
    runs = np.array([run["shares"][t] for run in numbers.recorded()["runs"][key]])
    np.testing.assert_allclose(arrays["shares"][s, t, n], runs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["hi"][s, t, n], runs.max(0), rtol=1e-5)
    known, found = digits.load().known, im.problem(9, 0.2)
    for place, (index, label, p, share) in enumerate(numbers.recorded()["carriers"][key][t]):
        image = arrays["at"][s, t, n, place]
        np.testing.assert_allclose(arrays["digits"][image] / 255, known.x[index, 0], atol=1 / 255)
        assert arrays["true"][image] == known.y[index] and arrays["told"][s, t, n, place] == label
        assert label == found.label[found.index == index] and arrays["p"][s, t, n, place] == pytest.approx(p)
        assert arrays["wrong"][s, t, n, place] == (found.label != found.y)[found.index == index]
        assert arrays["share"][s, t, n, place] == pytest.approx(share)


def test_smoothing_shows_both_data_and_all_seeds(open_page):
    app = open_page(PAGE, view=words.SMOOTH, data="characters")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    for panel, field in enumerate(("held_out", "accuracy")):
        for band, epsilon in zip(series(header, panel, "band"), smoothing.EPSILONS, strict=True):
            for d, data in enumerate(smoothing.DATA):
                runs = [run[field] for run in numbers.recorded()["smoothing"][smoothing.key(data, epsilon)]]
                np.testing.assert_allclose(arrays[band["lo"]][d], np.min(runs, 0)[numbers.FIRST:], rtol=1e-6)


def test_a_live_run_lies_over_the_problem_it_is_of(open_page, monkeypatch):
    short = functools.partial(im.train, steps=8, every=8)
    monkeypatch.setattr(im, "train", lambda *setting: short(*setting))
    monkeypatch.setattr(im, "pulls", lambda model, x, *_: torch.ones(len(x)))  # which take longest, and are not drawn
    app = open_page(PAGE, view=words.NOISE, noise="40")
    before = len(series(sent(app, "curves")[0], 0, "line"))
    app.button(key="train_F1").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    app.run()
    header, arrays = sent(app, "curves")
    own = [arrays[one["y"]] for one in series(header, 0, "line") if one["dash"]]
    assert not app.exception and len(own) == len(im.NAMES) == len(series(header, 0, "line")) - before
    for one in own:  # [noise, metric, step]: at 40 %, as far as it got
        assert np.isfinite(one[3, :, :2]).all() and np.isnan(one[:3]).all() and np.isnan(one[3, :, 2:]).all()


def test_the_table_is_the_recorded_numbers(open_page):
    app = open_page(PAGE, view=words.TABLE, rarity="99")
    assert not app.exception and not app.warning
    (table,) = [m.value for m in app.markdown if m.value.startswith("| Loss")]
    rows = {row.split("**")[1]: row for row in table.splitlines()[2:]}
    for name, title in numbers.TITLES.items():
        shown = re.findall(r"\| \**([\d.]+)\** :gray\[([\d.]+)–\u2060([\d.]+)\]", rows[title])
        for field, cell in zip(("precision", "recall", "f1", "average_precision", "calibration"), shown, strict=False):
            of = numbers.last(name, 99, 0.0, field)
            assert [float(x) for x in cell] == pytest.approx([of.mean(), of.min(), of.max()], abs=0.0051)
        noisy = numbers.last(name, im.NOISY_RATIO, 0.4, "average_precision")
        assert float(shown[5][0]) == pytest.approx(noisy.mean(), abs=0.0051)
        assert words.WHEN[name] in rows[title]
    style = (Path(__file__).parents[2] / "assets" / "style.css").read_text("utf-8")  # on a phone it names the columns
    heads = [head.strip() for head in table.splitlines()[0].split("|")[2:8]]
    assert [re.search(rf'losses-table td:nth-child\({i}\)::before {{ content: "(.*)"', style)[1].lower() for i in range(2, 8)] \
        == [head.lower() for head in heads]


def test_what_the_page_says_of_each_loss_is_what_was_measured():
    """The sentences that stand there as words; the others compare the numbers themselves."""
    recall, precision, ranking, calibration = ({name: np.stack([numbers.last(name, ratio, 0.0, field) for ratio in im.RATIOS])
                                       for name in im.NAMES} for field in ("recall", "precision", "average_precision", "calibration"))  # [ratio, seed]  # fmt: skip
    others = [name for name in im.NAMES if name != "cross-entropy"]
    # "calibration (cross-entropy)" keeps its winner, "its p is the best calibrated"; to the digits that are shown
    shown = {name: of.mean(1).round(2) for name, of in calibration.items()}
    assert all((shown["cross-entropy"] <= shown[name]).all() for name in others)
    # "smoothing and focal loss cost calibration": at every ratio the error is more than twice as large
    assert all((2 * calibration["cross-entropy"].mean(1) < calibration[name].mean(1)).all() for name in ("smoothed", "focal"))
    # "a weight raises focal's recall", and who wins which column
    assert (recall["focal weighted"].mean(1) > recall["focal"].mean(1)).all()
    winners = [{max(im.NAMES, key=lambda name: of[name][i].mean()) for i in range(len(im.RATIOS))} for of in (recall, precision, ranking)]
    assert winners[0] == {"focal weighted"} and len(winners[1]) > 1 and len(winners[2]) > 1
    # "a class weight: the calibration error shows it least where the digits are easy"
    cost = (calibration["weighted"] - calibration["cross-entropy"]).mean(1)
    assert cost.argmin() == 0 and cost.argmax() == len(im.RATIOS) - 1
    # "Move the step from 0 to 400: with every loss their share shrinks", and they are the largest group
    for setting in numbers.SETTINGS.values():
        counts = numbers.column("cross-entropy", *setting, "counts")[0, 0]
        assert counts.argmax() == 2
        for name in im.NAMES:
            share = numbers.column(name, *setting, "shares")[..., 2].mean(0)
            assert share[-1] < share[0]
    # "every loss listens to wrong labels more than to as many right ones", after the first step
    for noise in filter(None, im.NOISES):
        for name in im.NAMES:
            assert (numbers.column(name, im.NOISY_RATIO, noise, "shares")[:, 1:, 3].mean(0) > noise).all()
    # "precision, F1 and average precision change their winner": F1 is the third
    f1 = {name: [numbers.last(name, ratio, 0.0, "f1").mean() for ratio in im.RATIOS] for name in im.NAMES}
    assert len({max(im.NAMES, key=lambda name: f1[name][i]) for i in range(len(im.RATIOS))}) > 1
    # where focal finds no 8 at all the page says so
    assert "Not one 8** is found with focal, by any seed" in numbers.rare(99) and "Not one" not in numbers.rare(49)
    assert "Focal even leaves them **more**" in numbers.pulled((99, 0.0)) and "Focal even" not in numbers.pulled((49, 0.0))
    assert "not let go of" in numbers.pulled((im.NOISY_RATIO, 0.4))
    # "easy negatives lead the gradient to the end, which they did not here"
    assert all(numbers.column(name, ratio, 0.0, "shares")[:, -1, 2].mean() < 0.5 for name in im.NAMES for ratio in im.RATIOS)
    assert "lead only at first" in numbers.pulled((49, 0.0))
    # "in this page's runs it was no clear loser by it", 10 % of the labels flipped
    assert "It hurts focal more" not in numbers.noisy(0.1)


def test_what_a_loss_did_is_said_beside_cross_entropy():
    assert numbers.here("cross-entropy", 49) == ""
    one, plain = (numbers.last(name, 49, 0.0, "calibration").mean() for name in ("focal", "cross-entropy"))
    assert f"calibration error **{one - plain:+.2f}**" in numbers.here("focal", 49)
    assert numbers.beside(np.array([3.0, 4.0]), np.array([1.0, 2.0]), "its") == "every seed above every one of its 1.50 (1.00–\u20602.00)"
    assert numbers.beside(np.array([0.0, 1.5]), np.array([1.0, 2.0]), "its").endswith("with 2 of 2 seeds, but the ranges overlap")


def test_the_verdict_on_noise_follows_the_numbers(monkeypatch):
    drop = {"focal": np.array([0.30, 0.35]), "cross-entropy": np.array([0.10, 0.20])}
    monkeypatch.setattr(numbers, "loss_by_noise", lambda name, _: drop[name])
    assert "It hurts focal more" in numbers.noisy(0.2)
    drop["focal"] = np.array([0.15, 0.35])
    assert "do not say" in numbers.noisy(0.2) and "more on average" in numbers.noisy(0.2)
    drop["focal"] = np.array([0.01, 0.02])
    assert "hurts focal less" in numbers.noisy(0.2)
    assert "No label" in numbers.noisy(0.0)


def test_the_verdict_on_smoothing_follows_the_numbers(monkeypatch):
    ends = {0.0: {"held_out": np.array([0.1, 0.2]), "accuracy": np.array([0.95, 0.97])},
            0.1: {"held_out": np.array([0.3, 0.4]), "accuracy": np.array([0.96, 0.98])}}  # fmt: skip
    monkeypatch.setattr(numbers, "smooth_last", lambda _, epsilon, field: ends[epsilon][field])
    found = numbers.smoothing_found("digits")
    assert "**higher**, all seeds of it beyond all of those; accuracy" in found
    assert found.endswith("higher on average, with 2 of 2 seeds, but **the ranges overlap**.")


@pytest.mark.parametrize("view, catch", [
    (words.CURVES, "is **not** $(1-p_t)^"), (words.RARE, "**lower threshold**"), (words.PULLS, "not where to"),
    (words.NOISE, "cannot tell a hard example from a wrong one"), (words.SMOOTH, "no perplexity"), (words.TABLE, "One problem"),
])  # fmt: skip
def test_the_catch_is_on_the_page_and_every_word_is_filled_in(open_page, view, catch):
    app = open_page(PAGE, view=view)
    assert not app.exception and catch in said(app)
    assert not re.search(r"\{(found|ce|focal|seeds|ratio|digits|characters)\}", said(app))


def test_a_link_that_cannot_be_gets_a_sentence_each(open_page):
    app = open_page(PAGE, view=words.PULLS, problem="7 to 1", step="3")
    assert not app.exception
    assert ["it shows 49 to 1" in w.value or "it shows 400" in w.value for w in app.warning] == [True, True]


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, gamma="5.0", p="0.5")
    (snippet,) = [code.value for code in app.code if code.value.startswith("import torch")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    value, slope = loss_curves.focal(torch.tensor([0.1, 0.5, 0.9]), 5.0)
    assert f"focal {[round(x, 4) for x in value.tolist()]} {[round(x, 4) for x in slope.tolist()]}" in out.getvalue()


def test_the_snippet_of_the_table_prints_the_recorded_numbers(open_page):
    app = open_page(PAGE, view=words.TABLE)
    (snippet,) = [code.value for code in app.code if code.value.startswith("import json")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    assert f"focal F1 {numbers.last('focal', 49, 0.0, 'f1').mean():.3f}".rstrip("0") in out.getvalue()


@pytest.mark.parametrize("view", [words.RARE, words.PULLS, words.NOISE, words.SMOOTH])
def test_the_training_snippets_call_the_same_work(open_page, monkeypatch, view):
    app = open_page(PAGE, view=view)
    (snippet,) = [code.value for code in app.code if code.value.startswith("from transformer.training")]
    module = smoothing if view == words.SMOOTH else im
    whole = module.train
    monkeypatch.setattr(module, "train", lambda *setting, **more: whole(*setting, **more, steps=4, every=4))
    snippet = snippet.replace("at.step == 400", "at.step == 4")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    assert {words.RARE: "average_precision", words.PULLS: "pulls most: Carrier(", words.NOISE: "flipped labels pull",
            words.SMOOTH: "nats, accuracy"}[view] in out.getvalue()  # fmt: skip
