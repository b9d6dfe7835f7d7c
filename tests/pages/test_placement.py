"""Where the norm goes: recorded numbers are the library's, live ones too, links are kept, the snippets give the same."""

import contextlib
import functools
import io
import time

import numpy as np
import pytest
import torch

import transformer
from pages.block.placement_words import BLOCKS, FINAL, MODEL, WARMUP
from tests.messages import sent
from transformer.experiments import depth, final_norm
from transformer.recording import CAPITAL
from transformer.training import depth as training

PAGE = "pages/block/placement.py"
LINE = "To be, or not to be"


def settled(app):
    end = time.monotonic() + 60
    while True:
        app.run()
        if not any(job.busy for job in app.session_state["_runs"].values()):
            return app.run()
        assert time.monotonic() < end, "it never came to rest"
        time.sleep(0.3)


def panel(header, arrays, title) -> dict[str, np.ndarray]:
    """label of a curve -> its values"""
    (found,) = [one for one in header["panels"] if str(one["title"]).startswith(title)]
    return {line["label"]: arrays[line["y"]] for line in found["series"] if line["kind"] == "line" and line["label"]}


def snippet(app) -> str:
    (code,) = [code.value for code in app.code if "import transformer\n" in code.value or "import depth" in code.value]
    return code


def run(code: str) -> list[str]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, {})
    return out.getvalue().splitlines()


def test_it_opens_on_recorded_gradients_that_are_the_librarys(open_page):
    header, arrays = sent(app := open_page(PAGE), "curves")
    assert not app.warning and header["frames"]["at"] == 48 and header["picks"]["at"] == "post"
    found = panel(header, arrays, "Gradient of each")
    frame = depth.DEPTHS.index(4)
    for place in ("pre", "post", "sandwich"):
        (of,) = depth.sweep(depth.bytes_of(CAPITAL), place, depths=[4])
        np.testing.assert_allclose(found[place][frame, :4], of.of.weights.median(0).values, rtol=6e-3)
        assert np.isnan(found[place][frame, 4:]).all()
    prose = " ".join(m.value for m in app.markdown)
    assert "late layers change it less and less" in prose and "near the output they are **large**" in prose  # the catch
    assert "is what the optimiser is given" in prose  # what "the norm of the gradient" is of
    assert f"{found['pre'][frame, 3]:.2f} to {found['pre'][-1, 47]:.2f}" in prose
    assert "4 layers at 0.01; 8 layers at 0.003" in prose


def test_another_text_is_measured_live(open_page, monkeypatch):
    sweep = depth.sweep

    @functools.wraps(sweep)
    def few(ids, place):
        return sweep(ids, place, depths=[2, 4], seeds=(0, 1))

    monkeypatch.setattr(depth, "sweep", few)
    app = open_page(PAGE, text=LINE)
    assert any("Recorded on" in c.value for c in app.caption)
    app.button(key="train_D2").click().run()
    settled(app)
    header, arrays = sent(app, "curves")
    found = panel(header, arrays, "Stream")
    (of,) = sweep(depth.bytes_of(LINE), "post", depths=[4], seeds=(0, 1))
    np.testing.assert_allclose(found["post"][depth.DEPTHS.index(4), :5], of.of.stream.median(0).values, rtol=1e-5)
    assert np.isnan(found["post"][-1]).all() and not any("Recorded on" in c.value for c in app.caption)


def test_the_blocks_are_drawn_from_their_configs(open_page):
    header, arrays = sent(open_page(PAGE, view=BLOCKS, text=LINE, block="3"), "blocks")
    assert header["layers"]["at"] == 3 and [place["title"] for place in header["places"]] == ["pre-norm", "post-norm", "sandwich"]
    for i, place in enumerate(("pre", "post", "sandwich")):
        nodes = depth.block_sizes(transformer.build(depth.config(12, place), 0), depth.bytes_of(LINE), 3)
        assert header["places"][i]["names"] == [node.name for node in nodes]
        np.testing.assert_allclose(arrays["sizes"][i, 3, : len(nodes)], [node.size for node in nodes], rtol=1e-5)


def test_training_shows_the_records_and_the_learners_own_runs(open_page, monkeypatch):
    train = training.train

    @functools.wraps(train)
    def short(*given, **named):
        return train(*given, **named, steps=10, every=5)

    monkeypatch.setattr(training, "train", short)
    app = open_page(PAGE, view=WARMUP, norm="pre", deep="4")
    header, arrays = sent(app, "curves")
    assert [choice["at"] for choice in header["frames"]] == ["pre", 4, 0.003]
    found = panel(header, arrays, "Loss")
    at = training.PLACES.index("post"), training.LAYERS.index(8), training.RATES.index(3e-3)
    assert found["without"][at][-1] > 3.15 and found["with warm-up"][at][-1] < 2.9
    assert "Both learn" in " ".join(m.value for m in app.markdown)
    app.button(key="train_D2").click().run()
    settled(app)
    header, arrays = sent(app, "curves")
    lines = [s for s in header["panels"][0]["series"] if s["kind"] == "line" and not s["label"]]
    assert len(lines) == 6
    expected = [report.loss for report in train(4, 3e-3, 100, 0, "pre", steps=10, every=5)]
    at = training.PLACES.index("pre"), 0, 1
    np.testing.assert_allclose(arrays[lines[0]["y"]][at][:2], expected, rtol=1e-4)
    assert np.isnan(arrays[lines[0]["y"]][at][2:]).all() and np.isnan(arrays[lines[0]["y"]][0]).all()


def test_a_setting_where_warm_up_decides_says_so(open_page):
    for query, words in (({}, "Warm-up decides."), ({"deep": "12"}, "Neither learns"), ({"rate": "0.001"}, "Both learn")):
        app = open_page(PAGE, view=WARMUP, **query)
        assert any(words in m.value for m in app.markdown), words


def test_the_final_norm_is_taken_out_of_the_model_that_reads(open_page):
    header, arrays = sent(open_page(PAGE, view=FINAL), "answers")  # SmolLM2, recorded
    assert header["tokens"][-1][0][0].strip() == "Paris" and header["kinds"]["at"] == "taken out"
    assert arrays["before"][-1, 0, 0] == pytest.approx(0.77, abs=0.01)
    assert arrays["after"][-1, 1, 0] > 0.999 and arrays["after"][-1, 3, 0] < 1e-3
    header, arrays = sent(open_page(PAGE, view=FINAL, model="tiny", text=LINE), "answers")
    model, tokenizer = transformer.load("tiny")
    for k, way in enumerate(final_norm.WAYS):
        said = final_norm.said(model, tokenizer.encode(LINE), way)
        np.testing.assert_allclose(arrays["curve"][:, k], said.entropy, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(arrays["after"][:, k].max(-1), said.p.max(-1).values, rtol=1e-4)


def test_a_trained_models_stream_is_the_recordings(open_page):
    header, arrays = sent(open_page(PAGE, view=MODEL, model="tiny", text=LINE), "curves")
    model, tokenizer = transformer.load("tiny")
    trace = model.run(tokenizer.encode(LINE), record="layers.*.resid_p*").trace
    X = torch.cat([trace[f"layers.{i}.resid_pre"] for i in range(4)] + [trace["layers.3.resid_post"]])
    flow = depth.flow(X)
    streams = [s for s in header["panels"][0]["series"] if s["width"] == 3.5]
    np.testing.assert_allclose(arrays[streams[0]["y"]], flow.stream, rtol=1e-5)
    header, _ = sent(open_page(PAGE, view=MODEL), "curves")
    assert header["x"]["hi"] == 30  # SmolLM2, recorded


@pytest.mark.parametrize("query", [{"layers": "3"}, {"place": "middle"}, {"view": WARMUP, "rate": "0.5"}, {"view": BLOCKS, "block": "12"},
                                   {"view": FINAL, "way": "halved"}])
def test_what_a_link_cannot_mean_is_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert len(app.warning) == 1 and list(query)[-1] in app.warning[0].value


@pytest.mark.parametrize(("view", "text"), [(None, "a"), (FINAL, "a"), (MODEL, "é 🙂"), (FINAL, "the of " * 60)])
def test_any_text_keeps_a_picture(open_page, view, text):
    app = open_page(PAGE, model="tiny", text=text, **({} if view is None else {"view": view}))
    assert not app.exception and app.get("bidi_component")


def test_the_snippets_give_the_pages_numbers(open_page):
    header, arrays = sent(app := open_page(PAGE, layers="4"), "curves")
    lines = run(snippet(app))
    assert sorted(float(line.split()[2]) for line in lines)[1] == pytest.approx(panel(header, arrays, "Gradient of each")["post"][1, 0], rel=6e-3)
    header, arrays = sent(app := open_page(PAGE, view=FINAL, model="tiny", text=LINE), "answers")
    lines = run(snippet(app))
    assert float(lines[2].split("entropy ")[1].split()[0]) == pytest.approx(arrays["curve"][-1, 3], rel=1e-3)
    app = open_page(PAGE, view=MODEL, model="tiny", text=LINE)
    assert "tensor" in run(snippet(app))[0]
    _, arrays = sent(app := open_page(PAGE, view=BLOCKS), "blocks")
    assert float(run(snippet(app))[0].split()[-1]) == pytest.approx(arrays["sizes"][0, 6, 0], rel=1e-4)


def test_the_prediction_is_answered_by_the_recorded_model(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("the same, nearly certain").run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."


@pytest.mark.parametrize("view", [None, FINAL, MODEL])
def test_the_pictures_numbers_can_be_put_in(open_page, view):
    app = open_page(PAGE, **({} if view is None else {"view": view}))
    app.toggle(key="numbers").set_value(True).run()
    assert not app.exception and len(app.latex) == 2
