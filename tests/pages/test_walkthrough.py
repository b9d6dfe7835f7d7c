"""Walkthrough: the picture is the trace, the link holds the view, the text grows, and the snippet gives the numbers."""

import contextlib
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from pages.inside import walk
from pages.shared.models import Reading
from tests.messages import sent
from transformer import overview, recording
from transformer.presets import TEXT_MODELS

PAGE = "pages/inside/walkthrough.py"
CAPITAL = recording.load(Path(__file__).parents[2] / "assets" / "recorded" / "smollm2-135m-capital.safetensors.xz")
HOME = recording.DEFAULTS["smollm2-135m-capital"]


def test_it_opens_on_the_recorded_run_and_its_telling_head(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "walkthrough")
    assert [piece for _, piece in header["tokens"]] == list(CAPITAL.pieces) and header["label"] == "recorded"
    assert [header["view"][name] for name in ("layer", "head", "token")] == [HOME.layer, HOME.head, HOME.query]
    assert arrays["layer.attention.A"][HOME.layer, HOME.head, HOME.query, HOME.key] > 0.85
    assert header["candidates"][-1][0][1] == " Paris"
    assert "recorded run" in header["next_token"], "why the text cannot grow"
    for i in (0, 11, 29):
        np.testing.assert_array_equal(arrays["layer.attention.A"][i], CAPITAL[f"layers.{i}.attention.A"][0].numpy())
        lengths = CAPITAL[f"layers.{i}.ffn.out"][0].norm(dim=-1).numpy()
        np.testing.assert_allclose(arrays["length.ffn.out"][i], lengths, rtol=1e-5)


def looked_for(app) -> str:
    (said,) = [block.value for block in app.markdown if "What to look for" in block.value]
    return said


def test_what_to_look_for_is_what_the_shown_reading_does(open_page):
    said = looked_for(open_page(PAGE))
    A = CAPITAL["layers.23.attention.A"][0, 4, 4, 3].item()
    assert f"in layer 23, head 4 carries “France” into the row of “is” ({100 * A:.2g} % of its weight)" in said
    p = CAPITAL["logits"][0, -1].softmax(-1).max().item()
    assert f"“Paris” comes out ({100 * p:.2g} %)" in said


@pytest.mark.parametrize("text", ["To be, or not to be", "*a* $b$ :red[c] <d>", "a"])
def test_what_to_look_for_follows_text_and_model(open_page, text):
    app = open_page(PAGE, model="tiny", text=text)
    header, arrays = sent(app, "walkthrough")
    view, last = header["view"], len(header["tokens"]) - 1
    said = html.unescape(looked_for(app))
    weight = arrays["layer.attention.A"][view["layer"], view["head"], last].max()
    assert f"in layer {view['layer']}, head {view['head']} " in said and "France" not in said
    assert f"({'100' if weight > 0.995 else f'{100 * weight:.2g}'} % of its weight)" in said
    best, p = header["candidates"][last][0][1], arrays["odds.probabilities"][header["temperatures"].index(1.0), last, 0]
    assert best.strip() in said and f"({100 * p:.2g} %)" in said


def test_the_message_is_small_enough_to_send_at_once(open_page):
    header, arrays = sent(open_page(PAGE), "walkthrough")
    assert header["layers"] == list(range(30))
    assert sum(a.nbytes for a in arrays.values()) < 1_000_000


def test_own_text_is_read_by_what_is_here(open_page):
    app = open_page(PAGE)
    app.text_input(key="text").set_value("To be, or not to be").run()
    header, arrays = sent(app, "walkthrough")
    assert not app.exception and header["label"] == "tiny" and header["next_token"] == ""
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode("To be, or not to be")
    assert [i for i, _ in header["tokens"]] == ids
    trace = model.run(ids, record=("*.A",)).trace
    A = np.stack([trace[f"layers.{i}.attention.A"][0].numpy() for i in range(model.config.n_layers)])
    np.testing.assert_allclose(arrays["layer.attention.A"], A, atol=1e-6)


def test_an_empty_text_gets_one_sentence_and_the_picture_stays(open_page):
    app = open_page(PAGE)
    before = sent(app, "walkthrough")[0]["tokens"]
    app.text_input(key="text").set_value("   ").run()
    assert not app.exception
    assert [w.value for w in app.warning] == ["There is nothing to read yet: type a word or a sentence."]
    assert sent(app, "walkthrough")[0]["tokens"] == before


def test_a_link_opens_the_view_it_names(open_page):
    link = {"layer": "3", "head": "2", "token": "1", "temperature": "0.5", "show": "scores", "grown": "1"}
    header, _ = sent(open_page(PAGE, **link, part="attention.Q"), "walkthrough")
    view = header["view"] | {"home": None}
    assert view == {"layer": 3, "head": 2, "token": 1, "temperature": 0.5, "map": "scores", "big": True,
                    "part": "attention.Q", "tour": None, "home": None, "untouched": False}
    assert sent(open_page(PAGE, layer="none"), "walkthrough")[0]["view"]["layer"] is None
    assert sent(open_page(PAGE, tour="4"), "walkthrough")[0]["view"]["tour"] == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer", "30"), ("layer", "x"), ("head", "9"), ("token", "-1"), ("temperature", "nan"), ("show", "<b>"),
     ("grown", "2"), ("part", "nothing"), ("tour", "8")],
)
def test_a_link_that_cannot_be_is_one_sentence(open_page, name, value):
    app = open_page(PAGE, **{name: value})
    assert not app.exception and len(app.warning) == 1 and name in app.warning[0].value
    assert sent(app, "walkthrough")[0]["view"]["layer"] == HOME.layer


def test_a_long_text_sends_the_layers_around_the_open_one(open_page):
    app = open_page(PAGE, model="tiny", text="the " * 220, layer="2")
    header, arrays = sent(app, "walkthrough")
    assert header["layers"] == [1, 2, 3] and len(arrays["layer.attention.A"]) == 3


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_every_stage_has_its_line_of_code(name):
    from charts import walkthrough

    config = transformer.PRESETS[name]
    lines = walk.code_lines(config)
    stages = walkthrough.stages(config, 5, lines)
    assert all(stage["code"]["line"] for stage in stages.values()), [s for s in stages if "code" not in stages[s]]
    assert stages["attention.Q"]["code"]["line"].startswith("Q = ")
    assert ("g" in stages["ffn.post"]["code"]["line"].split("(")[2]) == config.gated


def test_a_token_joins_the_text():
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode("To be, or not to")
    best = int(model.run(ids).output[0, -1].argmax())
    longer = walk.grown("To be, or not to", best, tokenizer)
    assert tokenizer.encode(longer)[:len(ids)] == ids and len(tokenizer.encode(longer)) == len(ids) + 1


def test_a_token_that_is_no_text_is_refused_in_one_sentence():
    _, tokenizer = transformer.load("tiny")
    with pytest.raises(ValueError, match="ends its text"):
        walk.grown("a", tokenizer.end_id, tokenizer)
    with pytest.raises(ValueError, match="part of a character"):
        walk.grown("a", next(i for i in range(256) if tokenizer.token_bytes([i]) == [b"\xe6"]), tokenizer)
    with pytest.raises(ValueError, match="no such token"):
        walk.grown("a", tokenizer.vocab_size, tokenizer)


def test_a_full_page_says_so():
    model, tokenizer = transformer.load("tiny")
    most = transformer.cost.longest(model.config, overview.RECORD, 64 * 2**20)
    full = Reading("tiny", "tiny", "x", model.config, (0,) * most, ("a",) * most, {})
    assert walk.why_not_grow(full).startswith(f"The text has {most} tokens")
    assert walk.why_not_grow(Reading("tiny", "tiny", "x", model.config, (0,), ("a",), {})) == ""


def test_the_snippet_gives_the_numbers_of_the_page(open_page):
    app = open_page(PAGE, model="tiny", text="Shall I compare thee", layer="1", head="2", token="3")
    header, arrays = sent(app, "walkthrough")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), torch.no_grad():
        exec(compile(snippet, "snippet", "exec"), scope := {})
    row = arrays["layer.attention.A"][1, 2, 3]
    np.testing.assert_allclose(scope["weights"][3].numpy(), row, atol=1e-6)
    np.testing.assert_allclose(scope["written"][0].numpy(), arrays["length.attention.out"][1], rtol=1e-5)
    np.testing.assert_allclose(scope["written"][1].numpy(), arrays["length.ffn.out"][1], rtol=1e-5)
    shares = [float(x) for x in re.findall(r"(0\.\d+)$", said.getvalue(), re.M)][-5:]
    at_one = arrays["odds.probabilities"][header["temperatures"].index(1.0), 3, :5]
    np.testing.assert_allclose(shares, at_one, atol=6e-5)


def test_the_numbers_in_the_formula_are_the_trace(open_page):
    app = open_page(PAGE, numbers="true")
    latex = "\n".join(block.value for block in app.latex)
    for name in ("attention.out", "ffn.out", "resid_post"):
        assert f"{float(CAPITAL[f'layers.23.{name}'][0, 4].norm()):.4g}" in latex


def test_the_prediction_is_answered_from_the_trace(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("the first token's").run()
    app.button(key="commit").click().run()
    assert not app.exception and [box.value for box in app.success] == ["Right."]
    longest = max(float(CAPITAL[f"layers.{i}.ffn.out"].norm(dim=-1).max()) for i in range(30))
    assert any(f"{longest:.4g}" in block.value for block in app.markdown)
