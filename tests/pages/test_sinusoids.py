"""Sinusoids: the matrices that the library computes, heads and trainings as measured, and snippets that agree."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
import torch

import transformer
from charts.sinusoids import LAYOUTS
from pages.position import sinusoid_arrays
from pages.position.sinusoids_words import HEADS, PRODUCTS, SCALE, VIEWS
from tests.messages import sent, unpack
from transformer import positions
from transformer.training import order

PAGE = "pages/position/sinusoids.py"


def printed(app) -> str:
    (snippet,) = [c.value for c in app.code if c.value.startswith("import")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue()


def test_it_opens_on_the_matrix_of_every_width_base_and_layout(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "sinusoid")
    assert (header["d"]["at"], header["base"]["at"], header["pos"], header["k"], header["pair"]) == (32, 10_000, 5, 7, 2)
    at = torch.arange(header["positions"])
    for d in header["d"]["values"]:
        for i, layout in enumerate(LAYOUTS):
            for j, base in enumerate(header["base"]["values"]):
                np.testing.assert_array_equal(arrays[f"PE {d}"][i, j], positions.sinusoidal(at, d, base, layout))
    assert sum(array.nbytes for array in arrays.values()) < 1e6


def test_the_link_says_where_it_stands_and_the_snippet_gives_the_pair(open_page):
    app = open_page(PAGE, d="8", base="100", layout="half", pos="20", k="9", pair="3")
    header, arrays = sent(app, "sinusoid")
    assert [header[name]["at"] for name in ("d", "base", "layouts")] == [8, 100, LAYOUTS["half"]]
    assert (header["pos"], header["k"], header["pair"]) == (20, 9, 3) and not app.warning
    out = printed(app)
    first, second = (np.array([float(x) for x in re.findall(r"-?\d+\.\d+", part)[:2]]) for part in out.split("tensor")[1:3])
    PE = arrays["PE 8"][1, 0]
    np.testing.assert_allclose(first, PE[20, [3, 7]], atol=1e-4)
    np.testing.assert_allclose(second, PE[29, [3, 7]], atol=1e-4)
    assert float(out.split()[-1]) < 1e-5


@pytest.mark.parametrize("layout, column", [("interleaved", "pos, 2i)"), ("half", "pos, i)")])
def test_the_formula_is_that_of_the_layout(open_page, layout, column):
    app = open_page(PAGE, layout=layout)
    (formula,) = [m.value for m in app.markdown if "once round" in m.value] or [m.value for m in app.latex]
    assert column in formula and ("d/2-1" in formula) == (layout == "half")


def test_products_know_the_offset_alone(open_page):
    app = open_page(PAGE, view=PRODUCTS, d="32", base="100", up_to="256", at="12")
    header, arrays = sent(app, "curves")
    assert [frame["at"] for frame in header["frames"]] == [32, 100] and header["zooms"]["at"] == 256
    lines = [arrays[line["y"]] for line in header["panels"][0]["series"]]
    expected = (12 * positions.speeds(32, 100)).cos().mean()
    for line in lines:
        np.testing.assert_allclose(line[1, 0, 12], expected, atol=1e-4)
    assert "differ by at most" in printed(app)


def test_heads_are_the_models_own_scores(open_page):
    app = open_page(PAGE, view=HEADS, head="layer 1, head 2", text="My lord is dead", cell="S,2,1")
    header, arrays = sent(app, "matrices")
    model, tokenizer = transformer.load(order.FOLDER / "decoder")
    ids = tokenizer.encode("My lord is dead")
    S = model.run(ids, record="layers.1.attention.scores").trace["layers.1.attention.scores"][0, 2]
    past = torch.ones_like(S, dtype=torch.bool).tril()
    seen = S[past]
    np.testing.assert_allclose(arrays["S"][6], (S - seen.mean()) / seen.std(correction=0), atol=1e-4)
    share = positions.explained_by_offset(S, past)
    assert header["frames"]["at"] == "layer 1, head 2" and header["at"] == ["S", 2, 1]
    assert header["grid"][0][2]["note"][6] == f"the offset explains {share:.0%}"
    assert float(printed(app).split()[-1]) == pytest.approx(share, abs=1e-6)
    app.selectbox(key="word").set_value(app.selectbox(key="word").options[2]).run()
    assert np.abs(sent(app, "matrices")[1]["S alone"] - arrays["S alone"]).max() > 0.01


def test_trainings_are_drawn_with_all_their_seeds_and_the_table_is_the_recorded_one(open_page):
    app = open_page(PAGE, view=SCALE)
    header, arrays = sent(app, "curves")
    runs = json.loads((order.FOLDER / "curves.json").read_text())["runs"]
    without = np.array([run["curve"]["share"][1:] for run in runs if run["row"] == "decoder-unscaled"])
    assert len(without) == 3
    np.testing.assert_allclose(arrays[header["panels"][0]["series"][3]["y"]], without.mean(0), rtol=1e-5)
    found = sinusoid_arrays.measured()["marian-en-pt"]
    prose = " ".join(m.value for m in app.markdown)
    assert f"{found['share_with']:.0%}" in prose and f"{without[:, -1].mean():.0%}" in prose
    shares = [float(x) for x in re.findall(r"0\.\d+", printed(app))]
    _, words = unpack(next(e.proto.bytes for e in app.get("bidi_component") if e.proto.component_name == "glassformer_matrices"))
    np.testing.assert_allclose(shares, words["share"].flatten(), atol=1e-4)


@pytest.mark.parametrize("key, value", [("d", "33"), ("base", "7"), ("pos", "96"), ("k", "95"), ("pair", "16"), ("layout", "x")])
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, key, value):
    app = open_page(PAGE, **{key: value})
    assert len(app.warning) == 1 and not app.exception
    assert sent(app, "sinusoid")[0]["pos"] == 5


@pytest.mark.parametrize("text", ["a", "🙂 né 日本", "x " * 300])
def test_any_text_is_read(open_page, text):
    for view in VIEWS[2:]:
        app = open_page(PAGE, text=text, view=view)
        assert not app.exception and not app.warning, view


def test_no_text_keeps_the_last_picture(open_page):
    app = open_page(PAGE, view=HEADS)
    app.text_input(key="text").set_value("").run()
    assert len(app.warning) == 1 and not app.exception and "1 king" in str(sent(app, "matrices")[0]["grid"])


def test_the_catch_and_the_answer_are_on_the_page(open_page):
    app = open_page(PAGE)
    assert any("attention never computes PE·PE" in m.value and "rope?view=Beside" in m.value for m in app.markdown)
    count = sum(2 * np.pi * 10_000 ** (2 * i / 128) <= 512 for i in range(64))
    app.radio(key="prediction").set_value(str(count)).run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
