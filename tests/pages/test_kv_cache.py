"""The KV cache: the picture is the trace, steps follow the text, both readings agree, the snippet gives the numbers."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import transformer
from pages.attention import kv_cache_words as words
from tests.messages import sent
from transformer import recording
from transformer.experiments import cached_steps

PAGE = "pages/attention/kv_cache.py"
ASSETS = Path(__file__).parents[2] / "assets" / "recorded"
MEASURED = ASSETS.parent / "measured"
PRONOUN = recording.load(ASSETS / "smollm2-135m-pronoun.safetensors.xz")
TINY = {"model": "tiny", "text": "To be, or not"}


def test_it_opens_on_smollm2s_recorded_head(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "kv_cache")
    assert header["tokens"] == list(PRONOUN.pieces) and header["prompt"] == 6 and header["steps"]["at"] == "3"
    for part, head in (("Q", 8), ("K", 2), ("V", 2), ("A", 8)):  # three query heads share a key head
        np.testing.assert_array_equal(arrays[part], PRONOUN[f"layers.13.attention.{part}"][0, head].numpy())
    flops = [cached_steps.step_flops(PRONOUN.config, n) for n in range(6, 13)]
    np.testing.assert_allclose(arrays["without"], [f.without for f in flops], rtol=1e-6)
    np.testing.assert_allclose(arrays["kept"], [flops[0].without] + [f.kept for f in flops[1:]], rtol=1e-6)
    assert header["next"] == [*PRONOUN.pieces[6:], None] and not header["apart"]


def test_the_tiny_model_writes_and_both_readings_agree(open_page):
    app = open_page(PAGE, **TINY, new="4", layer="1", head="3")
    header, arrays = sent(app, "kv_cache")
    model, tokenizer = transformer.load("tiny")
    prompt = tokenizer.encode(TINY["text"])
    grown = cached_steps.grow(model, prompt, 4)
    assert header["tokens"] == tokenizer.pieces(list(grown.ids)) and header["prompt"] == len(prompt)
    trace = model.run(list(grown.ids), record="layers.1.attention.[QKVA]").trace
    for part in "QKVA":
        np.testing.assert_allclose(arrays[part], trace[f"layers.1.attention.{part}"][0, 3].numpy(), atol=1e-5)
    assert arrays["apart"].max() < 1e-5
    assert float(app.metric[0].value) == pytest.approx(arrays["apart"].max(), rel=0.5)


def test_more_new_tokens_are_more_steps_and_a_new_text_forgets_the_step(open_page):
    app = open_page(PAGE, **TINY, new="4", step="4")
    assert sent(app, "kv_cache")[0]["steps"]["at"] == "4"
    app.select_slider(key="new").set_value(12).run()
    assert len(sent(app, "kv_cache")[0]["steps"]["values"]) == 13
    app.text_input(key="text").set_value("Once more").run()
    assert "step" not in app.query_params and not app.exception


@pytest.mark.parametrize("query", [{"step": "99"}, {"step": "x"}, {"layer": "30"}, {"view": "All"}])
def test_what_a_link_cannot_mean_is_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1
    assert sent(app, "kv_cache")[0]["tokens"] == list(PRONOUN.pieces)


@pytest.mark.parametrize("query",
                         [{"view": "FLOPs and time", "n": "65"}, {"view": "Bytes", "batch": "3"},
                          {"view": "Bytes", "of": "GPT-9"}])
def test_nor_in_the_other_pictures(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1 and sent(app, "curves")


def test_costs_are_the_librarys_and_the_recorded_times_say_when(open_page):
    app = open_page(PAGE, view="FLOPs and time")
    header, arrays = sent(app, "curves")
    about = json.loads((MEASURED / "kv-cache.json").read_text("utf-8"))
    flops, ms = ([arrays[line["y"]] for line in panel["series"]] for panel in header["panels"])
    expected = [cached_steps.step_flops(PRONOUN.config, n) for n in about["measured"]["smollm2-135m"]["n"]]
    np.testing.assert_allclose(flops[0], [f.without / 1e9 for f in expected], rtol=1e-6)
    np.testing.assert_allclose(flops[1], [f.kept / 1e9 for f in expected], rtol=1e-6)
    np.testing.assert_allclose(ms[1], np.array(about["measured"]["smollm2-135m"]["kept"]) * 1e3, rtol=1e-5)
    assert about["date"] in header["panels"][1]["note"] and about["machine"] in header["panels"][1]["note"]
    assert (ms[0] > ms[1]).all() and (flops[0] / flops[1])[-1] > (ms[0] / ms[1])[-1]  # the page says so


def test_times_can_be_measured_here(open_page, monkeypatch):
    monkeypatch.setattr(cached_steps, "timings", lambda model, lengths, **_: [
        cached_steps.Timing(n, cached_steps.Both(n / 1e3, 1e-3)) for n in lengths])  # fmt: skip
    app = open_page(PAGE, view="FLOPs and time", model="tiny", measure="true")
    header, arrays = sent(app, "curves")
    np.testing.assert_allclose(arrays[header["panels"][1]["series"][0]["y"]], range(64, 513, 64), rtol=1e-6)
    assert "measured here" in header["panels"][1]["note"]


def test_bytes_are_the_closed_form(open_page):
    header, arrays = sent(open_page(PAGE, view="Bytes", batch="16", n="4096"), "curves")
    lines = {line["pick"]: arrays[line["y"]] for line in header["panels"][0]["series"] if not line["plain"]}
    at = arrays["x"].tolist().index(4096)
    assert lines["Llama-2-7B"][2, at] == pytest.approx(2 * 4096 * 32 * 128 * 32 * 16 * 2 / 1e9)
    assert lines["Llama-3-8B"][0, at] == pytest.approx(2 * 4096 * 8 * 128 * 32 * 2 / 1e9)


def test_an_encoder_keeps_nothing_and_the_page_says_so(open_page):
    app = open_page(PAGE, model="minilm-l6")
    assert len(app.info) == 1 and "reads both ways" in app.info[0].value and not app.exception


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, **TINY, new="8", step="2")
    header, arrays = sent(app, "kv_cache")
    (snippet,) = [code.value for code in app.code if code.value.startswith("import torch")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    first, shape, flops, n_bytes = out.getvalue().splitlines()
    assert header["next"][2] in first and float(first.split()[-1]) < 1e-5
    n = header["prompt"] + 2
    assert eval(shape) == (1, 4, n, 24)
    found = [float(x) for x in re.findall(r"=(\d+)", flops)]
    assert found == pytest.approx([arrays["without"][2], arrays["kept"][2]], rel=1e-6)
    assert int(n_bytes) == 2 * n * 4 * 24 * 4 * 2


def test_the_prediction_is_answered_by_this_models_numbers_and_the_catch_is_there(open_page):
    app = open_page(PAGE)
    ratio = cached_steps.step_flops(PRONOUN.config, 512)
    app.radio(key="prediction").set_value(words.OPTIONS[2]).run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
    assert any(f"{ratio.without / ratio.kept:,.0f} times" in m.value for m in app.markdown)
    assert any("does not make a step free of" in m.value for m in app.markdown)


def test_a_layer_that_another_model_lacks_is_forgotten(open_page):
    """After the learner's own words the tiny model reads, which has fewer layers; the box may hold it as it stood in the link."""
    page = open_page("pages/attention/kv_cache.py", layer="13")
    page.session_state["layer"] = "13"
    page.text_input(key="text").set_value("one two three one two").run()
    assert not page.exception and page.selectbox(key="layer").value in range(4)
