"""Heads that share keys: the wiring is the config's, maps follow from the trace, copies change nothing, bytes are exact."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

import transformer
from pages.attention import heads_words as words
from tests.messages import sent
from transformer import cost, recording
from transformer.experiments import sharing

PAGE = "pages/attention/heads.py"
ASSETS = Path(__file__).parents[2] / "assets" / "recorded"
MEASURED = ASSETS.parent / "measured"
PRONOUN = recording.load(ASSETS / "smollm2-135m-pronoun.safetensors.xz")
AT = "layers.13.attention."


def test_it_opens_on_smollm2s_own_grouping(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "wiring")
    assert (header["heads"], header["own"], header["choices"]["values"], header["choices"]["at"]) == (9, 3, [9, 3, 1],
        3)
    assert header["head"] == 8 and header["cell"] == {"i": 8, "j": 1}  # “it” reads “animal”
    np.testing.assert_array_equal(arrays["Q"], PRONOUN[AT + "Q"][0].numpy())
    np.testing.assert_array_equal(arrays["K3"], PRONOUN[AT + "K"][0].numpy())
    np.testing.assert_allclose(arrays["A3"], PRONOUN[AT + "A"][0].numpy(), atol=1e-6)


def test_copies_are_the_same_and_means_are_means(open_page):
    header, arrays = sent(open_page(PAGE), "wiring")
    np.testing.assert_array_equal(arrays["A9"], arrays["A3"])  # MHA with the same weights
    assert (arrays["moved9"] == 0).all() and (arrays["moved3"] == 0).all() and (arrays["moved1"] > 0.02).all()
    K = PRONOUN[AT + "K"][0].mean(0, keepdim=True)
    np.testing.assert_allclose(arrays["K1"], K.numpy(), atol=1e-6)
    A = sharing.weights_of(PRONOUN[AT + "Q"][0], K, PRONOUN.config)
    np.testing.assert_allclose(arrays["A1"], A.numpy(), atol=1e-6)
    assert header["bytes"] == [2 * h_kv * 64 * 30 * 2 for h_kv in (9, 3, 1)]


def test_an_encoder_shares_twelve_ways_and_says_that_it_keeps_no_cache(open_page):
    app = open_page(PAGE, model="minilm-l6")
    header, arrays = sent(app, "wiring")
    assert header["choices"]["values"] == [12, 6, 4, 3, 2, 1] and not header["causal"] and header["encoder"]
    assert any("An encoder keeps no cache" in caption.value for caption in app.caption)
    assert arrays["A12"][0][0, -1] > 0  # both triangles


def test_controls_and_links(open_page):
    app = open_page(PAGE, model="tiny", text="To be, or not", kv_heads="1", head="3", layer="1")
    header, arrays = sent(app, "wiring")
    assert (header["choices"]["at"], header["head"]) == (1, 3)
    model, tokenizer = transformer.load("tiny")
    trace = model.run(tokenizer.encode("To be, or not"), record="layers.1.*.A").trace
    np.testing.assert_allclose(arrays["A4"], trace["layers.1.attention.A"][0].numpy(), atol=1e-5)
    before = arrays["Q"]
    app.selectbox(key="layer").set_value(0).run()
    assert not np.array_equal(sent(app, "wiring")[1]["Q"], before)


@pytest.mark.parametrize("query", [{"kv_heads": "2"}, {"head": "9"}, {"layer": "x"}, {"view": "All"}])
def test_what_a_link_cannot_mean_is_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1 and sent(app, "wiring")[0]["heads"] == 9


def test_bytes_of_real_models(open_page):
    header, arrays = sent(open_page(PAGE, view="Bytes in real models"), "cache_bars")
    of = {name: row for (name, _), row in zip(header["models"], arrays["bytes"], strict=True)}
    own = {name: header["own"][i] for i, (name, _) in enumerate(header["models"])}
    assert of["Llama-2-7B"][0] == cost.kv_cache_bytes(transformer.PRESETS["llama-2-7b"],
                                                      1) == 524_288 and own["Llama-2-7B"] == 0
    assert of["Llama-3-8B"][1] == of["Mixtral-8x7B"][1] == 131_072 and own["Llama-3-8B"] == 1
    assert of["SmolLM2-135M"][1] == 23_040
    assert of["DeepSeek-V2"][3] == (512 + 64) * 60 * 2 and own["DeepSeek-V2"] == 3
    assert of["DeepSeek-V2"][0] == 2 * 128 * 128 * 60 * 2


def test_the_price_is_the_recorded_one_and_can_be_measured_on_the_text(open_page):
    app = open_page(PAGE, view="What it costs")
    header, arrays = sent(app, "curves")
    about = json.loads((MEASURED / "shared-heads.json").read_text("utf-8"))["measured"]["smollm2-135m"]
    np.testing.assert_allclose(arrays[header["panels"][0]["series"][0]["y"]], about["latent"]["kl"], rtol=1e-5)
    at = about["kept"].index(2 * 64)
    assert about["latent"]["kl"][at] < about["grouped"]["1"]["kl"]  # what the page tells to look for
    app = open_page(PAGE, view="What it costs", model="tiny", text="To be, or not to be", mine="true")
    header, arrays = sent(app, "curves")
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode("To be, or not to be")
    before = model.run(ids).output[0]
    kl = arrays[header["panels"][0]["series"][0]["y"]]
    assert kl[1] == pytest.approx(sharing.effect(before, sharing.squeezed(model, 32), ids).kl, rel=1e-3, abs=1e-5)
    dots = arrays[header["panels"][0]["series"][1]["y"]]
    assert dots[2] == pytest.approx(sharing.effect(before, sharing.regrouped(model, 1), ids).kl, rel=1e-3)


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, model="tiny", text="To be, or not", kv_heads="2", layer="1")
    _, arrays = sent(app, "wiring")
    (snippet,) = [code.value for code in app.code if code.value.startswith("import transformer")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    moved, shape, n_bytes = out.getvalue().splitlines()
    np.testing.assert_allclose(eval(moved), arrays["moved2"], atol=1.1e-4)
    assert shape.startswith("2 ") and n_bytes.split()[0] == str(2 * 2 * 24 * 4 * 2)


def test_the_prediction_and_the_catch(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value(words.OPTIONS[1]).run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
    scores = cost.flops(transformer.PRESETS["smollm2-135m"], 1024)["scores"]
    assert any(f"{scores / 1e6:,.0f} MFLOP" in m.value for m in app.markdown)
    assert any("MQA is not “one head”" in m.value for m in app.markdown)
