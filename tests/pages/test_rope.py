"""Rotary position: what the browser gets follows from the trace, controls change what they should, the snippet runs."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from tests.charts.test_component import unpack
from transformer import positions, recording, rope

PAGE = "pages/position/rope.py"
PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
Q = PRONOUN["layers.16.attention.Q_unrotated"][0, 0]
K = PRONOUN["layers.16.attention.K_unrotated"][0, 0]
THETA = rope.frequencies(64, 100_000.0)


def sent(app, component: str) -> tuple[dict, dict[str, np.ndarray]]:
    protos = [element.proto for element in app.get("bidi_component")]
    (message,) = [proto.bytes for proto in protos if proto.component_name == f"glassformer_{component}"]
    return unpack(message)


def drawn(app) -> list[dict]:
    """The panels of the curves, each series with its arrays put in."""
    header, arrays = sent(app, "curves")
    for panel in header["panels"]:
        for series in panel["series"]:
            series |= {key: arrays[series[key]] for key in ("y", "lo", "hi", "edges") if key in series}
    return header["panels"]


def shown(app, view: str):
    app.button_group(key="view").set_value(view).run()
    assert not app.exception
    return app


def test_it_opens_on_a_head_that_reads_one_word_back(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "rope_pair")
    assert (header["query"], header["key"], header["m"], header["n"]) == ("tired", "too", 11, 10)
    q, k = Q[11], K[10]
    np.testing.assert_array_equal(arrays["q"], torch.stack((q[:32], q[32:]), -1).numpy())
    np.testing.assert_array_equal(arrays["k"], torch.stack((k[:32], k[32:]), -1).numpy())
    assert header["bases"]["at"] == "as trained"
    np.testing.assert_array_equal(arrays["theta"][0], THETA.numpy())
    assert arrays["curve"][0].argmax() == 1  # the telling default: by far the highest one word back
    recorded = PRONOUN["layers.16.attention.scores"][0, 0, 11, 10].item()
    assert arrays["curve"][0, 1] == pytest.approx(recorded, abs=5e-3)  # the model's own score at the words' own places


def test_every_base_goes_out_and_a_link_says_which(open_page):
    app = open_page(PAGE, base="100")
    header, arrays = sent(app, "rope_pair")
    assert header["bases"]["at"] == "100"
    for i, base in enumerate((100_000.0, 100.0, 1e3, 1e4, 1e5, 1e6)):
        theta = rope.frequencies(64, base)
        np.testing.assert_array_equal(arrays["theta"][i], theta.numpy())
        expected = rope.scores_by_distance(Q[11], K[10], theta, torch.arange(65.0)) / 8
        np.testing.assert_allclose(arrays["curve"][i], expected.numpy(), rtol=1e-5, atol=1e-5)


def test_the_base_is_one_for_all_pictures(open_page):
    app = open_page(PAGE, view="Score by distance")
    app.select_slider(key="base_slider").set_value("100").run()
    assert app.query_params["base"] == ["100"] or app.query_params["base"] == "100"
    aligned = drawn(app)[2]["series"][1]["y"]
    expected = rope.aligned_decay(rope.frequencies(64, 100.0), torch.arange(1025.0))
    np.testing.assert_array_equal(aligned, expected.numpy())
    shown(app, "One pair turns")
    assert sent(app, "rope_pair")[0]["bases"]["at"] == "100"


def test_another_head_and_other_words(open_page):
    app = open_page(PAGE, layer="13", head="8", query="8 it", key="1 animal")
    header, arrays = sent(app, "rope_pair")
    q = PRONOUN["layers.13.attention.Q_unrotated"][0, 8, 8]
    k = PRONOUN["layers.13.attention.K_unrotated"][0, 2, 1]  # three query heads share a key head
    np.testing.assert_array_equal(arrays["q"][:, 0], q[:32].numpy())
    np.testing.assert_array_equal(arrays["k"][:, 1], k[32:].numpy())
    assert (header["m0"], header["n0"]) == (8, 1)
    assert arrays["curve"][0, 7] == pytest.approx(PRONOUN["layers.13.attention.scores"][0, 8, 8, 1].item(), abs=5e-3)


def test_a_link_says_where_the_words_stand_until_other_words_are_chosen(open_page):
    app = open_page(PAGE, m="40", n="37", pair="5")
    header, _ = sent(app, "rope_pair")
    assert (header["m"], header["n"], header["pair"]) == (40, 37, 5)
    app.selectbox(key="query").set_value("8 it").run()
    header, _ = sent(app, "rope_pair")
    assert (header["query"], header["m"], header["n"]) == ("it", 8, 7)
    assert "m" not in app.query_params


@pytest.mark.parametrize("query", [
    {"m": "-1"}, {"m": "x"}, {"pair": "32"}, {"base": "7"}, {"view": "All of them"}, {"layer": "30"},
])  # fmt: skip
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "rope_pair")[0]["query"] == "tired"


@pytest.mark.parametrize("query", [{"rho": "0.35"}, {"rho": "much"}, {"at": "-1"}, {"at": "1025"}])
def test_nor_what_the_curves_cannot_hold(open_page, query):
    app = open_page(PAGE, view="Score by distance", **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    header, _ = sent(app, "curves")
    assert (header["frames"]["at"], header["zooms"]["at"], header["cursor"]) == (1.0, 256, 1)


def test_the_numbers_in_the_formula_add_up_to_the_score(open_page):
    app = open_page(PAGE)
    app.toggle(key="numbers").set_value(True).run()
    score = PRONOUN["layers.16.attention.scores"][0, 0, 11, 10].item()
    said = re.findall(r"-?\d+\.\d+", app.latex[1].value)
    assert float(said[-1]) == pytest.approx(score, abs=5e-3)
    parts = rope.pair_scores(Q[11], K[10], THETA, torch.tensor([1.0]))[0] / 8
    assert [float(x) for x in said[:4]] == pytest.approx(parts[:4].tolist(), abs=1e-3)


def test_scores_by_distance_are_the_heads_and_the_seeds(open_page):
    app = shown(open_page(PAGE), "Score by distance")
    real, random, bound = drawn(app)
    later, earlier = torch.tril_indices(12, 12)
    pairs = earlier > 0
    distance = torch.arange(1025.0)
    expected = rope.scores_by_distance(Q[later[pairs]], K[earlier[pairs]], THETA, distance) / 8
    np.testing.assert_allclose(real["series"][-1]["y"], expected.mean(0).numpy(), rtol=1e-4, atol=1e-4)
    high = np.quantile(expected.numpy(), 0.95, axis=0)
    np.testing.assert_allclose(real["series"][0]["hi"], high, rtol=1e-4, atol=1e-4)
    assert "66 pairs of words in layer 16, head 0" in real["title"]
    q, k = rope.random_pairs(400, 64, 1.0, 0)
    expected = rope.scores_by_distance(q, k, THETA, distance).mean(0) / 8
    np.testing.assert_allclose(random["series"][-1]["y"][-1], expected.numpy(), rtol=1e-4)
    assert "seed 0" in random["title"][-1]
    np.testing.assert_array_equal(bound["series"][0]["y"], rope.decay_envelope(THETA, distance).numpy())
    np.testing.assert_array_equal(bound["series"][1]["y"], rope.aligned_decay(THETA, distance).numpy())
    assert (bound["series"][0]["y"] > bound["series"][1]["y"]).all()


def test_every_likeness_goes_out_and_a_link_says_which(open_page):
    app = open_page(PAGE, view="Score by distance", rho="0.3", up_to="64")
    assert not app.warning
    header, _ = sent(app, "curves")
    assert (header["frames"]["at"], header["zooms"]["at"]) == (0.3, 64)
    assert header["frames"]["values"] == [round(0.1 * i, 1) for i in range(11)]
    random = drawn(app)[1]
    for i, rho in enumerate(header["frames"]["values"]):
        scores = rope.scores_by_distance(*rope.random_pairs(400, 64, rho, 0), THETA, torch.arange(1025.0)) / 8
        np.testing.assert_allclose(random["series"][-1]["y"][i], scores.mean(0).numpy(), rtol=1e-3, atol=1e-4)
        low, high = np.quantile(scores.numpy(), (0.05, 0.95), axis=0)
        np.testing.assert_allclose(random["series"][0]["lo"][i], low, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(random["series"][0]["hi"][i], high, rtol=1e-3, atol=1e-3)
        assert f"ρ = {rho:g}" in random["title"][i]
    assert abs(random["series"][-1]["y"][0]).max() < 0.2  # no likeness, no decay: nothing there


def test_the_table_is_that_of_the_link(open_page, downloads):
    open_page(PAGE, view="Score by distance", rho="0.3")
    scores = rope.scores_by_distance(*rope.random_pairs(400, 64, 0.3, 0), THETA, torch.arange(1025.0)) / 8
    np.testing.assert_allclose(downloads["table"]["drawn mean"], scores.mean(0).numpy(), rtol=1e-3, atol=1e-4)
    open_page(PAGE, view="Longer texts", factor="8")
    expected = rope.wavelengths(THETA / 8).numpy()
    np.testing.assert_allclose(downloads["table"]["linear wavelength"], expected, rtol=1e-5)


def test_the_seed_changes_the_drawn_vectors_alone(open_page):
    app = shown(open_page(PAGE), "Score by distance")
    before = drawn(app)
    app.number_input(key="seed").set_value(3).run()
    real, random, _ = drawn(app)
    np.testing.assert_array_equal(real["series"][-1]["y"], before[0]["series"][-1]["y"])
    expected = rope.scores_by_distance(*rope.random_pairs(400, 64, 1.0, 3), THETA, torch.arange(1025.0)).mean(0) / 8
    np.testing.assert_allclose(random["series"][-1]["y"][-1], expected.numpy(), rtol=1e-3, atol=1e-4)
    assert "seed 3" in random["title"][-1]


def test_beside_sinusoids_without_weights_says_what_is_missing(open_page):
    app = shown(open_page(PAGE), "Beside sinusoids")
    raw, turned = drawn(app)
    starts, distance = torch.tensor([0, 64, 256, 1024, 4096]), torch.arange(129)
    expected = positions.similarity(starts, distance, 576)
    for line, row in zip(raw["series"], expected, strict=True):
        np.testing.assert_allclose(line["y"], row.numpy(), rtol=1e-5)
    assert raw["note"] == turned["note"] == "the distance explains 100.0%"
    np.testing.assert_allclose(turned["series"][0]["y"], turned["series"][-1]["y"], atol=5e-3)
    assert any("come with the download" in box.value for box in app.info)


def test_beside_sinusoids_the_weights_undo_it(open_page):
    app = shown(open_page(PAGE, model="tiny"), "Beside sinusoids")
    raw, mixed, turned = drawn(app)
    assert raw["note"] == turned["note"] == "the distance explains 100.0%"
    share = float(re.search(r"([\d.]+)%", mixed["note"])[1])
    assert share < 90
    model, tokenizer = transformer.load("tiny")
    attention = model.stack.blocks[2].attention
    W_Q, W_K = positions.of_head(attention.W_Q.weight, attention.W_K.weight, model.config, 3)
    nothing = torch.zeros(model.config.d_model)
    starts, distance = torch.tensor([0, 64, 256, 1024, 4096]), torch.arange(129)
    expected = positions.mixed_scores(W_Q, W_K, nothing, nothing, starts, distance)
    for line, row in zip(mixed["series"], expected, strict=True):
        np.testing.assert_allclose(line["y"], row.numpy(), rtol=1e-4, atol=1e-4)
    app.toggle(key="words").set_value(True).run()
    assert not app.exception
    assert "words + sinusoids" in drawn(app)[1]["title"]
    assert not np.allclose(drawn(app)[1]["series"][0]["y"], mixed["series"][0]["y"])


def test_longer_texts_are_the_librarys_scalings(open_page):
    app = open_page(PAGE, view="Longer texts", factor="8", scaling="linear")
    assert not app.warning
    header, _ = sent(app, "curves")
    assert (header["frames"]["at"], header["picks"]["at"]) == (8, "linear")
    wave, kept = drawn(app)
    config = transformer.PRESETS["smollm2-135m"]
    by_label = {series["label"]: series["y"] for series in kept["series"]}
    names = {"as trained": "none", "linear": "linear", "NTK-aware": "ntk", "YaRN": "yarn", "Llama 3": "llama3"}
    for label, name in names.items():
        for i, factor in enumerate((2.0, 4.0, 8.0, 16.0, 32.0)):
            scaled = dataclasses.replace(config, rope_scaling=name, rope_factor=factor, rope_original_len=8192)
            theta, _ = rope.scaled_frequencies(scaled)
            np.testing.assert_allclose(by_label[label][i], (theta / THETA).numpy(), rtol=1e-6)
    assert "8,192 trained" in {series["label"] for series in wave["series"]}


def test_a_scaling_that_is_none_is_one_sentence(open_page):
    app = open_page(PAGE, view="Longer texts", scaling="magic")
    assert len(app.warning) == 1 and "scaling" in app.warning[0].value
    assert sent(app, "curves")[0]["picks"]["at"] == "YaRN"


def test_an_encoder_is_answered_by_a_model_that_turns(open_page):
    app = open_page(PAGE, model="minilm-l6")
    assert "learned positions" in app.info[0].value
    assert sent(app, "rope_pair")[0]["query"] == "tired"


@pytest.mark.parametrize("text", ["a", "é", "🙂 ok", "אבג", "aa aa aa"])
def test_short_and_strange_texts_have_every_view(open_page, text):
    app = open_page(PAGE, model="tiny")
    app.text_input(key="text").set_value(text).run()
    for view in ("Score by distance", "Beside sinusoids", "Longer texts", "One pair turns"):
        shown(app, view)


def test_a_text_it_cannot_take_is_one_sentence_over_the_last_picture(open_page):
    app = open_page(PAGE)
    app.text_input(key="text").set_value(" ").run()
    assert not app.exception
    assert ["nothing to read" in box.value for box in app.warning] == [True]
    assert sent(app, "rope_pair")[0]["query"] == "tired"


@pytest.mark.parametrize("model", ["tiny", "smollm2-135m"])
def test_the_snippet_gives_the_pages_numbers(open_page, model, capsys, monkeypatch, request):
    app = open_page(PAGE, model=model)
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    monkeypatch.undo()  # the snippet may use the weights that are there
    if model != "tiny":
        request.getfixturevalue("smollm2_folder")
    names: dict = {}
    exec(snippet, names)
    curve = sent(app, "rope_pair")[1]["curve"][0]
    near = 1e-4 if model == "tiny" else 0.1  # the snippet reads live; a recording keeps fewer bits
    np.testing.assert_allclose(names["curve"].numpy(), curve, atol=near, rtol=1e-3 if model == "tiny" else 0.01)
    assert str(names["curve"][:4]) in capsys.readouterr().out
    own = names["trace"]["layers.{}.attention.scores".format(re.search(r"layers\.(\d+)", snippet)[1])]
    head = int(re.search(r"head = .*, (\d+)", snippet)[1])
    assert curve[1] == pytest.approx(own[0, head, -1, -2].item(), abs=near)  # the last word and the one before it


def test_the_prediction_is_revealed_after_the_choice(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("It stays exactly the same").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
