"""F2's views on distillation: bands are the recorded runs, words and snippets give their numbers."""

import contextlib
import io
import json

import numpy as np
import pytest

from pages.training import distillation as page
from pages.training import distillation_words as words
from tests.messages import sent
from tests.pages.test_pool import until
from transformer import sampling
from transformer.experiments import softened
from transformer.training import distil

PAGE = "pages/training/temperature.py"
RUNS = json.loads(distil.FILE.read_text("utf-8"))["runs"]


def run_snippet(app, start: str) -> str:
    (snippet,) = [code.value for code in app.code if code.value.startswith(start)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue()


@pytest.mark.parametrize("view, task", page.TASK.items())
def test_bands_are_the_recorded_runs_of_every_setting(open_page, view, task):
    app = open_page(PAGE, view=view)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    alone, taught = [one for one in header["panels"][0]["series"] if one["kind"] == "band"]
    for i, amount in enumerate(distil.AMOUNTS[task]):
        of = np.array([run["accuracy"] for run in RUNS[distil.name_of(task, amount, 1.0, 0.0)]])
        np.testing.assert_allclose(arrays[alone["hi"]][i, 0, 0], of.max(0), rtol=1e-6)
        for j, T in enumerate(distil.TEMPERATURES):
            np.testing.assert_allclose(arrays[taught["hi"]][i, j, 0], of.max(0), rtol=1e-6)  # λ = 0 is the same run
            for k, mix in enumerate(distil.MIXES):
                of_taught = np.array([run["accuracy"] for run in RUNS[distil.name_of(task, amount, T, mix)]])
                np.testing.assert_allclose(arrays[taught["lo"]][i, j, k], of_taught.min(0), rtol=1e-6)


@pytest.mark.parametrize(
    "told, mix, said", [("100", "0.9", "helps by more than the seeds differ"),
                        ("1347", "0.9", "makes no difference|hurts"), ("100", "0.0", "the same run, bit for bit")],
)  # fmt: skip
def test_the_verdict_follows_from_the_runs(open_page, told, mix, said):
    app = open_page(PAGE, view=words.DIGITS, told=told, mix=mix)
    shown = " ".join(m.value for m in app.markdown)
    assert not app.warning and any(one in shown for one in said.split("|"))
    ends = [run["accuracy"][-1] for run in RUNS[distil.name_of("digits", int(told), distil.SHIPPED[0], float(mix))]]
    assert f"{min(ends):.0%} right to {max(ends):.0%} right with the teacher" in shown


def test_of_letters_the_loss_decides(open_page):
    for told, T, said in (("2000", "2.0", "**The teacher helps"), ("120000", "5.0", "**The teacher hurts")):
        app = open_page(PAGE, view=words.LETTERS, told=told, T=T)
        assert not app.warning and said in " ".join(m.value for m in app.markdown)


def test_what_the_lesson_says_of_2000_letters_is_in_the_runs():
    """The student alone is best before the end, and there more than half of its lag behind the taught one is gone."""
    alone, taught = (np.median([run["loss"] for run in RUNS[distil.name_of("letters", 2_000, *of)]], 0)
                     for of in ((1.0, 0.0), distil.SHIPPED))  # fmt: skip
    assert alone[-1] - alone.min() > (alone[-1] - taught[-1]) / 2 and taught[-1] - taught.min() < 0.01


def test_worse_at_five_with_all_the_text():
    for mix in (0.5, 0.9):
        alone, taught = ([run["loss"][-1] for run in RUNS[distil.name_of("letters", 120_000, *of)]]
                         for of in ((1.0, 0.0), (5.0, mix)))  # fmt: skip
        assert min(taught) > max(alone)


def test_both_train_while_one_looks_on(open_page, monkeypatch):
    monkeypatch.setattr(distil.train, "__defaults__", (2 * distil.EVERY, distil.EVERY, None))
    app = open_page(PAGE, view=words.DIGITS)
    app.button(key="train_F2").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 90)
    app.run()
    header, arrays = sent(app, "curves")
    own = [arrays[one["y"]] for one in header["panels"][0]["series"] if one.get("dash") == [6, 4]]
    assert not app.exception and len(own) == 2 * page.LIVE_SEEDS
    assert all(np.isfinite(one[:3]).all() and np.isnan(one[3:]).all() for one in own)
    first = RUNS[distil.name_of("digits", 100, 1.0, 0.0)][0]["accuracy"][0]
    assert own[0][0] == pytest.approx(first, abs=0.01)  # the same first weights as the recorded run's


def test_what_the_teacher_knows_is_what_it_answers(open_page):
    app = open_page(PAGE, view=words.DARK, digit="3")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    place, unseen = distil.telling(page.SHOWN)[2], distil.unseen("digits")
    np.testing.assert_allclose(arrays["image"][2], unseen.read[place, 0].numpy())
    for t, T in enumerate(distil.TEMPERATURES):
        q = sampling.tempered(unseen.teacher[place], T)
        np.testing.assert_allclose(arrays["answers"][2, t], q.numpy(), atol=1e-5)
    z = distil.shipped("digits", "taught")(unseen.read[place][None])[0].detach()
    np.testing.assert_allclose(arrays["answers"][2, 7], sampling.tempered(z, 2.0).numpy(), atol=1e-5)
    assert header["frames"]["at"] == 3
    told = [eval(line.split(" ", 1)[1]) for line in run_snippet(app, "from transformer import sampling").splitlines()]
    np.testing.assert_allclose(arrays["answers"][2, :3], told, atol=6e-4)


def test_the_gradients_length_is_the_librarys(open_page):
    app = open_page(PAGE, view=words.SCALE, task="letters", student="alone", heat="5")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    lines = {one["label"]: arrays[one["y"]] for one in header["panels"][0]["series"]}
    unseen = distil.unseen("letters")
    z = distil.shipped("letters", "alone")(unseen.read).detach().flatten(0, -2)
    teacher, target = unseen.teacher.flatten(0, -2), unseen.target.flatten()
    found = softened.gradient_lengths(z, teacher, target, [float(arrays["x"][20])])
    assert lines["with T²"][1, 1, 20] == pytest.approx(found.kept[0].item(), rel=1e-4)
    assert lines["without T²"][1, 1, 20] == pytest.approx(found.bare[0].item(), rel=1e-4)
    out = run_snippet(app, "from transformer.experiments").splitlines()
    assert [float(line.split()[0]) for line in out[:3]] == [1, 2, 5] and len(out) == 4
    T, kept, bare = map(float, out[3].split())
    assert kept == pytest.approx(bare * T**2, rel=0.02)


def test_the_snippet_trains_the_pages_runs(open_page, monkeypatch):
    monkeypatch.setattr(distil.train, "__defaults__", (20, 20, None))
    out = run_snippet(open_page(PAGE, view=words.DIGITS), "from transformer.training import distil").splitlines()
    assert [line.split()[2] for line in out] == ["0.0", "0.9"]
    recorded = [RUNS[distil.name_of("digits", 100, *setting)][0] for setting in ((1.0, 0.0), distil.SHIPPED)]
    for line, of in zip(out, recorded, strict=True):
        right = float(line.split("right: ")[1].split()[0])
        assert 0 < right <= 1 and of["accuracy"][0] <= 1


@pytest.mark.parametrize(
    "view, key", [(words.DIGITS, "told"), (words.LETTERS, "T"), (words.DARK, "digit"), (words.SCALE, "heat")]
)
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, view, key):
    app = open_page(PAGE, view=view, **{key: "-7"})
    assert len(app.warning) == 1 and not app.exception
    assert app.get("bidi_component")


def test_each_question_of_the_page_is_its_own(open_page):
    app = open_page(PAGE, view=words.SCALE)
    app.radio(key="prediction_soft").set_value(words.T2_OPTIONS[2]).run()
    app.button(key="commit_soft").click().run()
    assert app.success[0].value == "Right."
    app.session_state["view"] = words.TEMPERATURE
    assert not app.run().success and app.radio(key="prediction").value is None
