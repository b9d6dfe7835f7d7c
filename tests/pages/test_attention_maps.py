"""Attention maps: the browser is given the trace, links say where to look, and the snippet gives the numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.messages import sent
from transformer import analysis, recording

PAGE = "pages/inside/attention_maps.py"
RECORDED = Path(__file__).parents[2] / "assets" / "recorded"
REPEAT = recording.load(RECORDED / "smollm2-135m-repeat.safetensors.xz")
DEFAULT = recording.DEFAULTS["smollm2-135m-repeat"]


def stacked(trace, name: str, layers: int) -> torch.Tensor:
    return torch.stack([trace[f"layers.{i}.attention.{name}"][0] for i in range(layers)])


def with_its_own_text(app):
    """The runner keeps the text of the page it came from where a browser would not."""
    app.text_input(key="text").set_value(REPEAT.text)
    return app


def words(app) -> str:
    return "\n".join(block.value for block in app.markdown)


def test_it_opens_on_the_head_that_tells_the_most(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, _ = sent(app, "attention_maps")
    assert header["tokens"] == list(REPEAT.pieces) and header["causal"]
    assert header["start"] == {"layer": DEFAULT.layer, "head": DEFAULT.head, "pin": f"{DEFAULT.query}-{DEFAULT.key}",
                               "tells": DEFAULT.tells}
    assert sent(app, "attention_layer")[0]["layer"] == DEFAULT.layer


def test_every_head_in_small_is_the_trace(open_page):
    header, arrays = sent(open_page(PAGE), "attention_maps")
    A, V = stacked(REPEAT, "A", 30), stacked(REPEAT, "V", 30)
    np.testing.assert_array_equal(arrays["weights"], np.rint(255 * A.sqrt().numpy()))
    valued = analysis.value_weighted(A, V).numpy()
    np.testing.assert_allclose(arrays["most"], valued.max(axis=(2, 3)), rtol=1e-6)
    mask = torch.ones(13, 13, dtype=torch.bool).tril()
    np.testing.assert_array_equal(arrays["mask"], mask.numpy())
    scores = analysis.pattern_scores(A, REPEAT.ids, mask)
    for i, pattern in enumerate(header["patterns"]):
        np.testing.assert_array_equal(arrays["scores"][i], scores[pattern["id"]].numpy())
    np.testing.assert_array_equal(arrays["labels"], analysis.label_heads(scores).numpy())
    targets = analysis.targets(REPEAT.ids)
    for i, pattern in enumerate(header["patterns"]):
        if pattern["id"] in targets:
            np.testing.assert_array_equal(arrays["targets"] >> i & 1, targets[pattern["id"]].numpy())
            assert pattern["aims"]


def test_a_link_chooses_the_layer_whose_tensors_are_sent(open_page):
    header, arrays = sent(open_page(PAGE, layer="5", head="6"), "attention_layer")
    assert header["layer"] == 5
    at = "layers.5.attention."
    A, V = REPEAT[at + "A"][0], REPEAT[at + "V"][0]
    for name in "AQK":
        np.testing.assert_array_equal(arrays[name], REPEAT[at + name][0].numpy())
    np.testing.assert_allclose(arrays["norms"], V.norm(dim=-1).repeat_interleave(3, 0).numpy(), rtol=1e-6)
    np.testing.assert_allclose(arrays["average"], A.mean(0).numpy(), rtol=1e-6)
    np.testing.assert_allclose(arrays["average_valued"], analysis.value_weighted(A, V).mean(0).numpy(), rtol=1e-5)
    rollout = analysis.rollout(stacked(REPEAT, "A", 30))[5].numpy()
    np.testing.assert_allclose(arrays["rollout"], rollout, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("query", [
    {"layer": "30"}, {"layer": "x"}, {"head": "-1"}, {"pin": "4-11"}, {"pin": "99-0"}, {"pin": "1-2-3"}, {"pin": "²-0"},
    {"scope": "everything"}, {"measure": "feelings"}, {"form": "song"}, {"pattern": "genius"},
])  # fmt: skip
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "attention_layer")[0]["layer"] == DEFAULT.layer


def test_another_text_changes_every_tensor_and_lets_go_of_the_pair(open_page):
    app = open_page(PAGE, pin="3-1", layer="2")
    app.text_input(key="text").set_value("To be, or not to be").run()
    header, arrays = sent(app, "attention_maps")
    assert "".join(header["tokens"]).strip() == "To be, or not to be"
    assert arrays["weights"].shape[-1] == len(header["tokens"]) == header["side"]
    assert "pin" not in app.query_params
    assert not app.exception and not app.warning


def test_a_text_of_this_page_is_shown_at_its_own_head(open_page):
    app = open_page(PAGE, layer="5", head="6")
    app.button(key="text_a pronoun").click().run()
    assert "layer" not in app.query_params and "head" not in app.query_params
    start = sent(app, "attention_maps")[0]["start"]
    pronoun = recording.DEFAULTS["smollm2-135m-pronoun"]
    assert start == {"layer": pronoun.layer, "head": pronoun.head, "pin": f"{pronoun.query}-{pronoun.key}",
                     "tells": pronoun.tells}


@pytest.mark.parametrize("text, said", [("", "nothing to read"), ("word " * 9000, "too long")])
def test_a_text_it_cannot_take_is_one_sentence_over_the_last_picture(open_page, text, said):
    app = open_page(PAGE)
    app.text_input(key="text").set_value(text).run()
    assert not app.exception
    assert [said in box.value for box in app.warning] == [True]
    assert sent(app, "attention_maps")[0]["tokens"] == list(REPEAT.pieces)


@pytest.mark.parametrize("text", ["a", "é", "🙂 ok", "def f(x):\n    return x", "אבג", "aa aa aa aa aa"])
def test_short_and_strange_texts_have_maps(open_page, text):
    app = open_page(PAGE, model="tiny")
    app.text_input(key="text").set_value(text).run()
    header, arrays = sent(app, "attention_maps")
    n = len(header["tokens"])
    assert not app.exception and arrays["weights"].shape == (header["layers"], header["heads"], n, n)
    assert "nan" not in words(app)


def test_an_encoder_fills_both_triangles(open_page):
    app = open_page(PAGE, model="minilm-l6")
    header, arrays = sent(app, "attention_maps")
    assert not header["causal"] and arrays["mask"].all() and (header["layers"], header["heads"]) == (6, 12)
    assert header["divisor"] == "/√32" and header["factor"] == pytest.approx(32**-0.5)
    start = recording.DEFAULTS["minilm-l6-repeat"]
    assert header["start"]["pin"] == f"{start.query}-{start.key}" and start.key > start.query
    layer = sent(app, "attention_layer")[1]
    assert layer["A"][start.head, start.query, start.key] > 0.9


def test_the_numbers_in_the_formula_are_the_pairs(open_page):
    app = with_its_own_text(open_page(PAGE))
    app.toggle(key="numbers").set_value(True).run()
    said = app.latex[1].value
    at = f"layers.{DEFAULT.layer}.attention."
    S = float(REPEAT[at + "scores"][0, DEFAULT.head, DEFAULT.query, DEFAULT.key])
    A = float(REPEAT[at + "A"][0, DEFAULT.head, DEFAULT.query, DEFAULT.key])
    norm = float(REPEAT[at + "V"][0, DEFAULT.head // 3, DEFAULT.key].norm())
    assert f"{8 * S:.4g}" in said and f"= {S:.4g}" in said and f"= {A:.3g}" in said and f"= {A * norm:.3g}" in said
    app.query_params["pin"] = "none"
    assert "Click a cell" in app.run().latex[1].value


def test_the_formula_follows_the_scope(open_page):
    assert "tilde A" in open_page(PAGE, scope="rollout").latex[0].value
    assert "bar A" in open_page(PAGE, scope="average").latex[0].value


def test_the_prediction_is_what_was_measured(open_page):
    A, V = stacked(REPEAT, "A", 30), stacked(REPEAT, "V", 30)
    W = analysis.value_weighted(A, V)
    before, after = (float(x[..., 1:, 0].mean()) for x in (A, W / W.sum(-1, keepdim=True)))
    assert after < 0.9 * before
    app = with_its_own_text(open_page(PAGE))
    app.radio(key="prediction").set_value("shrinks").run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
    assert f"from {before:.1%} of the weights to {after:.1%}" in words(app)


def run_snippet(app) -> dict:
    snippet = next(block.value for block in app.code if "transformer.load" in block.value)
    space: dict = {}
    exec(snippet, space)  # noqa: S102: it is ours, and that it runs is the point
    return space


def test_the_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, model="tiny", text="To be, or not to be, that is to be", layer="1", head="2", pin="9-3")
    space = run_snippet(app)
    _, layer = sent(app, "attention_layer")
    _, overview = sent(app, "attention_maps")
    assert float(space["weight"]) == pytest.approx(float(layer["A"][2, 9, 3]), rel=1e-5)
    assert float(space["valued"]) == pytest.approx(float(layer["A"][2, 9, 3] * layer["norms"][2, 3]), rel=1e-5)
    np.testing.assert_allclose(list(space["scores"].values()), overview["scores"][:, 1, 2], rtol=1e-5, atol=1e-7)


def test_the_snippet_of_the_default_gives_the_recorded_numbers(smollm2_folder, open_page, monkeypatch):
    app = open_page(PAGE)
    monkeypatch.undo()  # the snippet may use the weights that are there
    space = run_snippet(app)
    _, layer = sent(app, "attention_layer")
    shown = float(layer["A"][DEFAULT.head, DEFAULT.query, DEFAULT.key])
    assert float(space["weight"]) == pytest.approx(shown, abs=2e-3)


def test_the_code_is_the_librarys(open_page):
    shown = "\n".join(block.value for block in open_page(PAGE).code)
    for name in ("masked_softmax", "pattern_scores", "value_weighted", "rollout"):
        assert re.search(rf"def {name}\(", shown)


@pytest.mark.parametrize("part", ["filters", "views", "details"])
def test_a_link_hides_parts_of_the_picture(open_page, part):
    app = open_page(PAGE, hide=part)
    assert not app.warning and sent(app, "attention_maps")[0]["hide"] == [part]
