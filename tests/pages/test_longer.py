"""Longer than trained: recorded runs as they were written, live readings as the library's, and what cannot be asked."""

import json
import math
import re

import numpy as np
import pytest

import transformer
from tests.messages import sent
from tests.pages.test_step_by_step import said
from transformer.experiments import beyond
from transformer.training import longer

PAGE = "pages/position/longer.py"
ROWS = json.loads((longer.FOLDER / "table.json").read_text("utf-8"))["rows"]
TITLES = {"rope": "RoPE", "rope_yarn": "RoPE, YaRN", "alibi": "ALiBi", "learned": "learned", "t5": "T5"}
SHORT = (
    "What's in a name? That which we call a rose By any other word would smell as sweet. So Romeo would, were he "
    "not Romeo call'd"
)


def line(header, arrays, panel: int, label: str) -> np.ndarray:
    return next(arrays[one["y"]] for one in header["panels"][panel]["series"] if one.get("label") == label)


def test_losses_are_the_means_of_the_recorded_runs(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    for way in ("rope", "rope_yarn", "alibi", "t5"):
        for panel, key in ((0, "loss_same_tokens"), (1, "loss")):
            expected = np.mean([[run[key][str(n)] for n in longer.LENGTHS] for run in ROWS[way]["runs"]], 0)
            np.testing.assert_allclose(line(header, arrays, panel, TITLES[way]), expected, rtol=1e-5)
    learned = line(header, arrays, 0, "learned")
    assert np.isfinite(learned[0]) and np.isnan(learned[1:]).all()
    bands = [one for one in header["panels"][0]["series"] if one["kind"] == "band" and one.get("pick") == "ALiBi"]
    least = np.min([[run["loss_same_tokens"][str(n)] for n in longer.LENGTHS] for run in ROWS["alibi"]["runs"]], 0)
    np.testing.assert_allclose(arrays[bands[0]["lo"]], least, rtol=1e-5)


def test_losses_by_place(open_page):
    header, arrays = sent(open_page(PAGE, view="Loss by place", way="alibi", zoom="true", place="204"), "curves")
    expected = np.mean([run["by_place"] for run in ROWS["alibi"]["runs"]], 0)
    np.testing.assert_allclose(line(header, arrays, 0, "ALiBi"), expected, rtol=1e-5)
    assert (header["picks"]["at"], header["frames"]["at"], header["cursor"]) == ("ALiBi", "near the best", 204)


def test_the_text_is_read_live(open_page):
    app = open_page(PAGE, view="Your text", passage=SHORT, way="rope_yarn")
    assert not app.exception
    header, arrays = sent(app, "curves")
    for way, (checkpoint, scaling) in {"rope_yarn": ("rope", "yarn"), "alibi": ("alibi", "none")}.items():
        model, tokenizer = transformer.load(longer.FOLDER / checkpoint)
        read = beyond.read(model, tokenizer.encode(SHORT), scaling)
        np.testing.assert_allclose(line(header, arrays, 0, TITLES[way]), beyond.running(read.whole, 16).numpy(),
                                   rtol=1e-4, atol=1e-5)
        change = beyond.running(read.whole - read.near, 16).numpy()
        np.testing.assert_allclose(line(header, arrays, 1, TITLES[way]), change, rtol=1e-3, atol=1e-4)
    assert np.isnan(line(header, arrays, 0, "learned")[64:]).all()


def test_the_learned_table_refuses_in_the_librarys_words(open_page):
    app = open_page(PAGE, view="Your text", passage=SHORT, way="learned")
    assert any("this model has positions for 64" in one.value for one in app.info)
    app.text_input(key="passage").set_value("To be, or not to be, that is the question").run()
    assert any("nothing in it is farther back" in one.value for one in app.info) and not app.exception


def test_heads_far_out(open_page):
    app = open_page(PAGE, view="A head out there", passage=SHORT, way="t5", head="5")
    header, arrays = sent(app, "curves")
    model, tokenizer = transformer.load(longer.FOLDER / "t5")
    seen = beyond.seen(model, tokenizer.encode(SHORT))
    np.testing.assert_allclose(line(header, arrays, 0, "T5"), np.maximum(seen.by_distance.numpy(), 1e-5), rtol=1e-3,
                               atol=1e-6)
    assert header["frames"]["at"] == "layer 1, head 1" and "learned" not in header["picks"]["values"]
    drawn, maps = sent(app, "matrices")
    np.testing.assert_allclose(maps["A"], seen.rows[5].numpy(), rtol=1e-4, atol=1e-6)
    assert drawn["grid"][0][0]["note"].startswith(f"{float(seen.beyond[5]):.0%} of the weight")


@pytest.mark.parametrize(("query", "expected"), [
    ({"way": "alibi", "n": "128"}, lambda: ROWS["alibi"]["runs"][1]["loss_same_tokens"]["128"]),
    ({"view": "Loss by place", "way": "xl"}, lambda: ROWS["xl"]["runs"][2]["by_place"][7]),
    ({"view": "Your text", "passage": SHORT, "way": "rope"}, lambda: read_rope()),
    ({"view": "A head out there", "passage": SHORT, "way": "shaw", "head": "3"}, lambda: seen_shaw()),
])  # fmt: skip
def test_the_snippet_gives_the_numbers(open_page, query, expected):
    app = open_page(PAGE, **query)
    (snippet,) = [block.value for block in app.code if block.value.startswith("import ") and "print(" in block.value]
    numbers = [float(x) for x in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", said(app, snippet))]
    assert any(math.isclose(x, expected(), rel_tol=2e-3, abs_tol=1e-4) for x in numbers), numbers


def read_rope() -> float:
    model, tokenizer = transformer.load(longer.FOLDER / "rope")
    return beyond.whole(model, tokenizer.encode(SHORT)).mean().item()


def seen_shaw() -> float:
    model, tokenizer = transformer.load(longer.FOLDER / "shaw")
    return beyond.seen(model, tokenizer.encode(SHORT)).beyond[3].item()


def test_the_prediction_is_answered_by_the_recorded_runs(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("YaRN: slow pairs divided").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]


def test_prose_says_what_the_runs_say_and_that_it_is_small(open_page):
    app = open_page(PAGE)
    catch = next(one.value for one in app.markdown if "The catch." in one.value)
    assert "tiny decoders" in catch and "not a law" in catch and "three seeds" in catch
    what = next(one.value for one in app.markdown if "## What happens" in one.value)
    rope = [np.mean([run["loss_same_tokens"][n] for run in ROWS["rope"]["runs"]]) for n in ("64", "256")]
    assert f"RoPE goes from {rope[0]:.2f} to {rope[1]:.2f}" in what and "cannot be asked at all" in what
    broken = re.search(r"Broken \(.*?\): (.*?)\. RoPE goes", what)[1]
    grown = {way: [run["loss_same_tokens"]["256"] - run["loss_same_tokens"]["64"] for run in of["runs"]]
             for way, of in ROWS.items() if way != "learned"}  # fmt: skip
    for way in ("sinusoidal", "alibi"):
        assert ({"alibi": "ALiBi"}.get(way, way) in broken) == (min(grown[way]) > 0.5)
    table = next(one.value for one in app.markdown if "weight beyond" in one.value)
    assert table.count("cannot be asked") == 2


@pytest.mark.parametrize("query",
                         [{"way": "abs"}, {"n": "-3"}, {"zoom": "maybe"}, {"view": "A head out there", "head": "8"}])
def test_a_link_that_cannot_be_gets_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1


def test_a_text_that_is_too_short_is_one_sentence(open_page):
    app = open_page(PAGE, view="Your text", passage="Ay")
    assert not app.exception and len(app.warning) == 1 and "the picture needs 8" in app.warning[0].value
    assert len(sent(app, "curves")[1]["x"]) > 200  # the page's own text stays


def test_of_a_book_that_is_pasted_the_beginning_is_read(open_page):
    app = open_page(PAGE, view="Your text")
    app.text_input(key="passage").set_value("Now is the winter of our discontent " * 20_000).run()
    assert not app.exception and len(sent(app, "curves")[1]["x"]) == longer.LENGTHS[-1]
    assert any("the first 257 tokens" in one.value for one in app.caption)
