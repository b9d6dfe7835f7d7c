"""Depth without bend: the recorded runs before a press, live ones after it, and what the numbers say."""

import time

import numpy as np
import pytest
import torch

import transformer
from tests.messages import sent
from transformer.experiments import collapse, modes
from transformer.training import boundary

PAGE = "pages/block/linear_depth.py"


def settled(app):
    """Once nothing trains any more."""
    for _ in range(300):
        app.run()
        if not any(job.busy for job in app.session_state["_runs"].values()):
            return app.run()
        time.sleep(0.3)
    raise AssertionError("the training did not end.")


def test_it_opens_with_the_recorded_runs(open_page, downloads):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "boundary")
    assert header["source"] == "recorded" and [tile["title"] for tile in header["tiles"]] == [
        "2 layers, linear", "20 layers, linear", "2 layers, tanh", "20 layers, tanh"]
    assert (arrays["count"] == boundary.REPORTS).all()
    runs, _ = boundary.load()
    for i, (depth, bend) in enumerate(((2, "linear"), (20, "linear"), (2, "tanh"), (20, "tanh"))):
        for seed in boundary.SEEDS:
            reports = runs["spiral", depth, bend, seed]
            np.testing.assert_allclose(arrays["accuracy"][i, seed], [r.accuracy for r in reports], rtol=1e-6)
            np.testing.assert_array_equal(arrays[f"maps {i} {seed}"][:, 0], torch.stack([r.p[1] for r in reports]))
            if bend == "linear":
                np.testing.assert_allclose(arrays["W"][i, seed, -1, :, :2], reports[-1].W, rtol=1e-6)
    assert len(downloads["table"]["loss"]) == 12 * boundary.REPORTS
    catch = " ".join(box.value for box in app.markdown)
    assert "nothing about what can be expressed" in catch and "plateaus" in catch


def test_it_trains_what_is_set_and_keeps_it(open_page):
    app = open_page(PAGE, data="Three clusters", layers="3", width="4", narrowest="1")
    header, arrays = sent(app, "boundary")
    assert header["source"] == "first weights" and (arrays["count"] == 1).all()  # its first weights
    app.button(key="train_D5").click().run()
    settled(app)
    assert not app.exception and not app.error
    header, arrays = sent(app, "boundary")
    assert header["source"] == "live" and not header["growing"] and (arrays["count"] == boundary.REPORTS).all()
    *_, last = boundary.train("three clusters", 3, "linear", 1, width=4, narrowest=1)
    np.testing.assert_allclose(arrays["W"][1, 1, -1, :, :2], last.W, rtol=1e-4, atol=1e-5)
    assert (arrays["rank"][:2, :, -1] == 1).all() and (arrays["gap"][:2] < 1e-3).all()
    app.switch_page("pages/block/activations.py").run()
    app.switch_page(PAGE)
    for key, value in {"data": "Three clusters", "layers": "3", "width": "4", "narrowest": "1"}.items():
        app.query_params[key] = value
    assert sent(app.run(), "boundary")[0]["source"] == "live"


def test_the_numbers_in_the_formula_are_the_pictures(open_page):
    app = open_page(PAGE, seed="2", frame="5")
    app.toggle(key="numbers").set_value(True).run()
    report = boundary.load()[0]["spiral", 20, "linear", 2][5]
    said = app.latex[1].value
    assert all(f"{v:.3f}" in said for v in report.W.flatten().tolist() + report.b.tolist())


def test_how_it_learns_is_measured_here(open_page):
    app = open_page(PAGE, view="How it learns", linear="3", start="0.1", step="100")
    header, arrays = sent(app, "curves")
    assert [choice["at"] for choice in header["frames"]] == [3, 0.1] and header["cursor"] == 100
    course = modes.course(3, 0.1)
    line = next(s for s in header["panels"][0]["series"] if s.get("label") == modes.MODES[1])
    np.testing.assert_allclose(arrays[line["y"]][2, 2], course.strength[:, 1].mean(0), rtol=1e-5, atol=1e-6)


def test_a_real_head_has_its_rank(open_page):
    app = open_page(PAGE, view="In a real model", model="tiny", layer="1", head="2")
    header, arrays = sent(app, "curves")
    expected = collapse.value_output(transformer.load("tiny")[0], 1).numpy()
    share = arrays[header["panels"][0]["series"][0]["y"]]
    np.testing.assert_allclose(share[:, :24], (expected / expected[:, :1])[:, :24], rtol=1e-4)
    assert "its rank is 24" in " ".join(one.value for one in app.caption)


@pytest.mark.parametrize("query", [{"frame": "99"}, {"seed": "3"}, {"data": "moon"}, {"layers": "5"}, {"narrowest": "16"}])
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "boundary")[0]["source"] == "recorded"


@pytest.mark.parametrize("view, expected", [
    ("Decision boundary", "accuracy"), ("How it learns", "tensor"), ("In a real model", "rank 24 of 96"),
])  # fmt: skip
def test_the_snippets_give_the_pages_numbers(open_page, capsys, view, expected):
    app = open_page(PAGE, view=view, model="tiny", data="Circles", layers="3")
    (snippet,) = [block.value for block in app.code if "import" in block.value and "def " not in block.value]
    names: dict = {}
    exec(snippet, names)
    assert expected in capsys.readouterr().out
    if view == "How it learns":
        course = modes.course(4, 0.01)
        torch.testing.assert_close(names["half"], modes.half_way(course.strength, modes.target_modes()[1], course.steps),
                                   equal_nan=True)
