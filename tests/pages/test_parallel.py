"""All at once or one by one: spans and seconds are measured ones, the snippet runs, the catch is there."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from pages.cost import parallel_words as words
from tests.messages import sent
from tests.pages.test_pool import until
from transformer.experiments import chains

PAGE = "pages/cost/parallel.py"
RECORDED = json.loads((Path(__file__).parents[2] / "assets" / "measured" / "parallel.json").read_text("utf-8"))["measured"]


def test_the_chain_has_a_step_for_each_token_and_attention_has_not(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "timeline")
    for i, n in enumerate(header["frames"]["values"]):
        recurrent, attention = (lane["names"][i] for lane in header["lanes"])
        assert recurrent == ["x W", *(f"h {t}" for t in range(1, n + 1))]
        assert attention == ["places", "Q, K, V", "scores", "A", "z", "out"]
        waits = header["lanes"][0]["waits"][i]
        assert waits[:3] == ["", "x W", "h 1"] and waits[-1] == f"h {n - 1}"
        for lane in (0, 1):
            start, end = arrays[f"start_{lane}_{i}"], arrays[f"end_{lane}_{i}"]
            assert (end >= start).all() and np.allclose(start[1:], end[:-1], rtol=1e-5) and end[-1] > 0


def test_timing_again_gives_another_measurement(open_page):
    app = open_page(PAGE)
    before = sent(app, "timeline")[1]["end_0_1"]
    next(b for b in app.button if b.label == "Time them again").click().run()
    assert not app.exception
    assert not np.array_equal(sent(app, "timeline")[1]["end_0_1"], before)


def test_recorded_seconds_are_drawn_and_their_quotients(open_page):
    app = open_page(PAGE, view=words.CLOCK)
    header, arrays = sent(app, "curves")
    assert not app.exception and "recorded" in header["panels"][0]["note"]
    shown = {s["label"]: arrays[s["y"]] for s in header["panels"][0]["series"]}
    for label, way in (("Recurrent layer", "chain"), ("One product", "one product"), ("Attention", "attention")):
        for p, field in enumerate(("forward", "both")):
            np.testing.assert_allclose(shown[label][p], [one[field][way] * 1e3 for one in RECORDED], rtol=1e-5)
    gain = {s["label"]: arrays[s["y"]] for s in header["panels"][1]["series"]}["as one product"]
    np.testing.assert_allclose(gain, shown["Recurrent layer"] / shown["One product"], rtol=1e-5)


def test_it_is_measured_here_when_asked(open_page, monkeypatch):
    monkeypatch.setattr(chains, "LENGTHS", (8, 16))
    monkeypatch.setattr(chains.timed, "__defaults__", ((8, 16), 1))
    app = open_page(PAGE, view=words.CLOCK, n="8")
    app.button(key="train_G4").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    app.run()
    header, arrays = sent(app, "curves")
    assert not app.exception and "just now" in header["panels"][0]["note"] and arrays["x"].tolist() == [8, 16]


def test_the_notebook_snippet_runs_and_counts_as_the_page(open_page):
    app = open_page(PAGE, n="32")
    (snippet,) = [code.value for code in app.code if code.value.startswith("import torch")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    assert "chain 33 steps" in out.getvalue() and "attention 6 steps" in out.getvalue() and "'chain': 33" in out.getvalue()


@pytest.mark.parametrize("view", words.VIEWS)
def test_the_catch_is_on_the_page(open_page, view):
    said = " ".join(m.value for m in open_page(PAGE, view=view).markdown)
    assert "a Transformer is a chain, too" in said
