"""Biases of position: each picture holds what the library takes apart, links and bad input, the snippet's numbers."""

import math
import re

import numpy as np
import pytest
import torch

import transformer
from tests.messages import sent
from tests.pages.test_step_by_step import said
from transformer import biases
from transformer.experiments import added_positions
from transformer.training import longer

PAGE = "pages/position/biases.py"
TEXT = "To be, or not to be, that is"


def parts(way: str, layer: int = 0) -> added_positions.Added:
    model, tokenizer = transformer.load(longer.FOLDER / way)
    return added_positions.added(model, tokenizer.encode(TEXT)[:15], layer)


def test_every_ways_parts_are_drawn(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    assert header["picks"]["values"] == ["none", "learned", "sinusoidal", "RoPE", "ALiBi", "T5", "Shaw",
                                         "Transformer-XL"]
    for way in longer.POSITIONS:
        of = parts(way)
        for key, part in (("q·k", of.content), ("position", of.position), ("S", of.scores), ("A", of.A)):
            np.testing.assert_allclose(arrays[f"{way} {key}"], part.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(arrays["xl b"], parts("xl").terms[1].numpy(), rtol=1e-4, atol=1e-5)
    table = transformer.load(longer.FOLDER / "t5")[0].bias.table.weight.detach().numpy()
    np.testing.assert_allclose(arrays["t5 table"], table.T)


def test_another_layer_has_no_places_of_its_own(open_page):
    app = open_page(PAGE, layer="1", way="shaw", head="2", step="3")
    header, arrays = sent(app, "matrices")
    assert "learned" not in header["picks"]["values"] and header["picks"]["at"] == "Shaw"
    assert (header["frames"]["at"], header["step"]) == (2, 2)
    np.testing.assert_allclose(arrays["shaw position"], parts("shaw", 1).position.numpy(), rtol=1e-4, atol=1e-5)
    assert any("cannot be told from the words" in one.value for one in app.caption)
    assert not open_page(PAGE, layer="1", way="learned").exception  # which that layer lacks: it falls back


def test_the_pinned_cell_comes_from_the_link(open_page):
    header, _ = sent(open_page(PAGE, way="xl", cell="b.4.2"), "matrices")
    assert header["at"] == ["xl b", 4, 2]
    header, _ = sent(open_page(PAGE, way="alibi", cell="b.4.2"), "matrices")  # which has no such terms
    assert header["at"] == ["alibi S", 14, 0]


def test_against_distance(open_page):
    app = open_page(PAGE, view="Against distance", way="t5", at="200", up_to="255")
    header, arrays = sent(app, "curves")
    (panel,) = header["panels"]
    line = next(arrays[one["y"]] for one in panel["series"] if one.get("label") == "T5")
    table = transformer.load(longer.FOLDER / "t5")[0].bias.table.weight.detach()
    bucket = biases.t5_bucket(torch.arange(256), False, 16, 32)
    np.testing.assert_allclose(line, (table[bucket] - table[0]).T.numpy(), rtol=1e-4, atol=1e-5)
    assert (header["cursor"], header["zooms"]["at"], panel["marks"][0]["x"]) == (200, 255, 64)
    learned = next(arrays[one["y"]] for one in panel["series"] if one.get("label") == "learned")
    assert np.isnan(learned[:, 64:]).all() and np.isfinite(learned[:, :64]).all()


def test_slopes_and_buckets(open_page):
    header, arrays = sent(open_page(PAGE, view="ALiBi's slopes", heads="12"), "curves")
    frame = header["frames"]["values"].index(12)
    lines = [arrays[one["y"]][frame] for one in header["panels"][0]["series"]]
    np.testing.assert_allclose([-line[1] for line in lines[:12]], biases.alibi_slopes(12), rtol=1e-5)
    assert all(np.isnan(line).all() for line in lines[12:])
    app = open_page(PAGE, view="T5's buckets", both="true", d="-50", buckets="32", far="128")
    header, arrays = sent(app, "curves")
    line = arrays[header["panels"][0]["series"][1]["y"]][header["frames"][0]["values"].index(32),
                                                         header["frames"][1]["values"].index(128)]
    np.testing.assert_array_equal(line, biases.t5_bucket(torch.arange(-160, 161), True))
    assert header["picks"]["at"].startswith("both") and header["cursor"] == -50


def test_on_smollm2_as_recorded(open_page):
    app = open_page(PAGE, view="On SmolLM2", layer="16", head="4", way="rope")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    assert header["picks"]["at"] == "RoPE, as trained" and arrays["rope A"].shape[0] == 9
    np.testing.assert_allclose(arrays["rope q·k"], arrays["alibi q·k"])
    slopes = biases.alibi_slopes(9)
    np.testing.assert_allclose(arrays["alibi position"][:, 5, 2], -3 * slopes, rtol=1e-5)


@pytest.mark.parametrize(("query", "values"), [
    ({"way": "xl", "head": "1"}, lambda out: parts("xl").position[1, -1].tolist()),
    ({"view": "Against distance", "way": "alibi", "head": "2"},
     lambda out: (-biases.alibi_slopes(4)[2] * torch.arange(256)).tolist()),
    ({"view": "ALiBi's slopes", "heads": "6", "r": "7"}, lambda out: biases.alibi_slopes(6).tolist()),
    ({"view": "T5's buckets", "d": "99"}, lambda out: [float(biases.t5_bucket(torch.tensor(99), False))]),
])  # fmt: skip
def test_the_snippet_gives_the_numbers(open_page, query, values):
    app = open_page(PAGE, **query)
    (snippet,) = [block.value for block in app.code if block.value.startswith("import t") and "print(" in block.value]
    out = said(app, snippet)
    found = [[float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?",
                                           part)] for part in re.findall(r"tensor\(\[?([^\])]*)\]?", out)]
    expected = values(out)
    assert any(len(one) == len(expected) and np.allclose(one, expected, rtol=1e-3,
                                                         atol=2e-3) for one in found), (found, expected)


def test_the_prediction_is_answered_by_the_pages_numbers(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("ALiBi and T5").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]


def test_the_catch_the_table_and_the_numbers(open_page):
    app = open_page(PAGE)
    catch = next(one.value for one in app.markdown if "The catch." in one.value)
    assert "not** always free of the words" in catch and "no added bias at all" in catch and "causal mask leaks" in catch
    table = next(one.value for one in app.markdown if "learned numbers" in one.value)
    assert "| 64 · 288 |" in table and "| 2,048 · 4,718,592 |" in table  # 16 × 4, 32 × 9; 64 × 32, 8192 × 576
    app.toggle(key="numbers").set_value(True).run()
    of = parts("alibi")
    assert any(f"{of.scores[0, -1, 0]:.3f}" in one.value and f"{of.content[0, -1, 0]:.3f}" in one.value for one in app.latex)


@pytest.mark.parametrize("query", [{"way": "abs"}, {"head": "9"}, {"cell": "S.1"}, {"step": "0"},
                                   {"view": "Against distance", "at": "999"},
                                   {"view": "ALiBi's slopes", "heads": "5"},
                                   {"view": "T5's buckets", "far": "x"}])  # fmt: skip
def test_a_link_that_cannot_be_gets_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1


def test_no_text_is_one_sentence_and_the_picture_stays(open_page):
    app = open_page(PAGE)
    app.text_input(key="words").set_value("  ").run()
    assert not app.exception and [box.value for box in app.warning] == ["There is nothing to read yet: type a word or a sentence."]
    assert sent(app, "matrices")[1]["alibi S"].shape == (4, 15, 15)
    app.text_input(key="words").set_value("a").run()
    assert not app.exception and sent(app, "matrices")[1]["alibi S"].shape == (4, 1, 1)
    assert not math.isnan(sent(app, "matrices")[1]["rope A"].sum())
