"""Rotary position: what the browser gets follows from the trace, controls change what they should, the snippet runs."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from tests.messages import sent
from transformer import positions, recording, rope
from transformer.recording import PRONOUN as PRONOUN_TEXT

PAGE = "pages/position/rope.py"
PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
Q = PRONOUN["layers.16.attention.Q_unrotated"][0, 0]
K = PRONOUN["layers.16.attention.K_unrotated"][0, 0]
THETA = rope.frequencies(64, 100_000.0)
Q_ALL, K_ALL = (PRONOUN[f"layers.16.attention.{letter}_unrotated"][0] for letter in "QK")
BASES = (100.0, 1e3, 1e4, 1e5, 1e6)
OWN = 3  # which of them SmolLM2 was trained with


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


def curve_of(app, reach: int = 64) -> np.ndarray:
    """The score at every distance of what is chosen, by the library from what the browser got."""
    header, arrays = sent(app, "rope_pair")
    now = {name: choice["values"].index(choice["at"]) for name, choice in header["choices"].items()}
    Q, K = (arrays[name][header["held"].index(header["choices"]["layer"]["at"])] for name in "QK")
    shared = now["head"] * len(K) // len(Q)
    q, k = Q[now["head"], now["query"]], K[shared, now["key"]]  # [pair, 2]
    flat = (torch.tensor(x.T.reshape(-1).copy()) for x in (q, k))
    theta = torch.tensor(arrays["theta"][now["base"]])
    return (rope.scores_by_distance(*flat, theta, torch.arange(reach + 1.0)) * header["scale"]).numpy()


def test_it_opens_on_a_head_that_reads_one_word_back(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "rope_pair")
    chosen = {name: choice["at"] for name, choice in header["choices"].items()}
    assert chosen == {"layer": 16, "head": 0, "query": "11 tired", "key": "10 too", "base": "100,000 trained", "reach": 64}
    assert (header["m"], header["n"], header["words"][10]) == (11, 10, "too")
    for name, letter in (("Q", Q_ALL), ("K", K_ALL)):
        at_16 = arrays[name][header["held"].index(16)]
        np.testing.assert_array_equal(at_16, torch.stack(letter.chunk(2, -1), -1).numpy())
    assert {15, 17} <= set(header["held"])  # the next layers are there before they are asked for
    assert curve_of(app).argmax() == 1  # the telling default: by far the highest one word back
    recorded = PRONOUN["layers.16.attention.scores"][0, 0, 11, 10].item()
    assert curve_of(app)[1] == pytest.approx(recorded, abs=5e-3)  # the model's own score at the words' own places


def test_every_base_goes_out_and_a_link_says_which(open_page):
    app = open_page(PAGE, base="100")
    header, arrays = sent(app, "rope_pair")
    assert header["choices"]["base"]["at"] == "100"
    for i, base in enumerate(BASES):
        np.testing.assert_array_equal(arrays["theta"][i], rope.frequencies(64, base).numpy())


def test_head_and_base_are_one_for_all_pictures(open_page, downloads):
    app = open_page(PAGE, view="Score by distance", base="100", head="2")
    header, _ = sent(app, "curves")
    assert [choice["at"] for choice in header["frames"]] == [2, "100", 1.0]
    for view in ("Beside sinusoids", "One pair turns"):
        shown(app, view)
        assert downloads["config"]["head"] == 2 and downloads["config"]["rope_base"] == 100
    choices = sent(app, "rope_pair")[0]["choices"]
    assert (choices["head"]["at"], choices["base"]["at"]) == (2, "100")


def test_another_head_and_other_words(open_page):
    app = open_page(PAGE, layer="13", head="8", query="8 it", key="1 animal")
    header, arrays = sent(app, "rope_pair")
    q = PRONOUN["layers.13.attention.Q_unrotated"][0, 8, 8]
    k = PRONOUN["layers.13.attention.K_unrotated"][0, 2, 1]  # three query heads share a key head
    at = header["held"].index(13)
    np.testing.assert_array_equal(arrays["Q"][at, 8, 8, :, 0], q[:32].numpy())
    np.testing.assert_array_equal(arrays["K"][at, 2, 1, :, 1], k[32:].numpy())
    assert (header["m"], header["n"]) == (8, 1)
    assert curve_of(app)[7] == pytest.approx(PRONOUN["layers.13.attention.scores"][0, 8, 8, 1].item(), abs=5e-3)


def test_every_layer_has_its_neighbours_with_it(open_page):
    for layer in (0, 2, 3, 29):
        header, arrays = sent(open_page(PAGE, layer=str(layer)), "rope_pair")
        assert {max(0, layer - 1), layer, min(29, layer + 1)} <= set(header["held"])
        assert arrays["Q"].shape[:3] == (len(header["held"]), 9, 12) and arrays["Q"].nbytes + arrays["K"].nbytes < 250_000


def test_the_layer_is_one_for_all_pictures(open_page, downloads):
    app = shown(open_page(PAGE, layer="13"), "Score by distance")
    assert app.select_slider(key="layer_box").value == 13
    app.select_slider(key="layer_box").set_value(14).run()
    assert app.query_params["layer"] in ("14", ["14"]) and drawn(app)[0]["title"][0].endswith("layer 14, head 0")
    shown(app, "One pair turns")
    assert sent(app, "rope_pair")[0]["choices"]["layer"]["at"] == 14


def test_two_layouts_give_one_score_and_a_mixed_up_one_another(open_page):
    app = open_page(PAGE, view="Two layouts", head="8", layer="13")
    header, arrays = sent(app, "matrices")
    assert header["frames"]["at"] == 8 and not app.warning
    recorded = PRONOUN["layers.13.attention.scores"][0].numpy()
    causal = np.tri(12, dtype=bool)
    np.testing.assert_allclose(arrays["half"][:, causal], recorded[:, causal], atol=5e-3)
    np.testing.assert_allclose(arrays["neighbours"], arrays["half"], atol=1e-4)
    assert np.abs(arrays["forgotten"] - arrays["half"])[:, causal].max() > 1
    np.testing.assert_allclose(arrays["forgotten"].diagonal(axis1=1, axis2=2), arrays["half"].diagonal(axis1=1, axis2=2), atol=1e-3)
    half, other = arrays["turned halves"], arrays["turned neighbours"]
    np.testing.assert_allclose(other[..., 0::2], half[..., :32], atol=1e-5)  # i goes to 2i
    np.testing.assert_allclose(other[..., 1::2], half[..., 32:], atol=1e-5)  # its partner i + 32 to 2i + 1
    says = {m["key"]: m["says"]["text"] for row in header["grid"] for m in row if m["key"].startswith("turned")}
    assert "coordinate 3: turned with 35; coordinate 6 " in says["turned halves"][0][3]
    assert "coordinate 6: turned with 7; coordinate 3 " in says["turned neighbours"][0][6]


def test_a_link_says_where_the_words_stand_until_other_words_are_chosen(open_page):
    app = open_page(PAGE, m="40", n="37", pair="5")
    header, _ = sent(app, "rope_pair")
    assert (header["m"], header["n"], header["pair"]) == (40, 37, 5)
    shown(app, "Beside sinusoids")
    app.select_slider(key="query_box").set_value("8 it").run()
    assert app.select_slider(key="key_box").value == "7 because"
    shown(app, "One pair turns")
    header, _ = sent(app, "rope_pair")
    assert (header["choices"]["query"]["at"], header["m"], header["n"]) == ("8 it", 8, 7)
    assert "m" not in app.query_params


def test_another_text_has_other_words_and_says_nothing_about_it(open_page):
    app = open_page(PAGE, query="8 it", key="1 animal", m="40", n="37", head="5")
    app.button(key="text_a fact").click().run()
    assert not app.exception and not app.warning
    header, _ = sent(app, "rope_pair")
    chosen = {name: choice["at"] for name, choice in header["choices"].items()}
    assert (chosen["query"], chosen["key"], chosen["head"], header["m"]) == ("4 is", "3 France", 5, 4)


def test_a_link_beyond_the_short_ruler_gets_a_longer_one(open_page):
    header, _ = sent(open_page(PAGE, m="300", n="290"), "rope_pair")
    assert (header["choices"]["reach"]["at"], header["m"]) == (512, 300)


@pytest.mark.parametrize("query", [
    {"m": "-1"}, {"m": "x"}, {"pair": "32"}, {"base": "7"}, {"view": "All of them"}, {"layer": "30"}, {"head": "9"},
    {"query": "99 nobody"}, {"reach": "65"},
])  # fmt: skip
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "rope_pair")[0]["choices"]["query"]["at"] == "11 tired"


@pytest.mark.parametrize("query", [{"rho": "0.35"}, {"rho": "much"}, {"at": "-1"}, {"at": "513"}])
def test_nor_what_the_curves_cannot_hold(open_page, query):
    app = open_page(PAGE, view="Score by distance", **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    header, _ = sent(app, "curves")
    assert (header["frames"][2]["at"], header["zooms"]["at"], header["cursor"]) == (1.0, 256, 1)


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
    distance = torch.arange(513.0)
    for head, b in ((0, OWN), (8, OWN), (4, 0)):
        q, k = Q_ALL[head, later[pairs]], K_ALL[head // 3, earlier[pairs]]
        expected = rope.scores_by_distance(q, k, rope.frequencies(64, BASES[b]), distance) / 8
        np.testing.assert_allclose(real["series"][-1]["y"][head, b, 0], expected.mean(0).numpy(), rtol=1e-4, atol=1e-4)
        high = np.quantile(expected.numpy(), 0.95, axis=0)
        np.testing.assert_allclose(real["series"][0]["hi"][head, b, 0], high, rtol=1e-3, atol=2e-3)  # float16
    assert real["title"][8] == "Real: 66 pairs of words in layer 16, head 8"
    q, k = rope.random_pairs(200, 64, 1.0, 0)
    expected = rope.scores_by_distance(q, k, THETA, distance).mean(0) / 8
    np.testing.assert_allclose(random["series"][-1]["y"][0, OWN, -1], expected.numpy(), rtol=1e-4)
    assert "seed 0" in random["title"][0][0][-1]
    for b, base in enumerate(BASES):
        theta = rope.frequencies(64, base)
        np.testing.assert_array_equal(bound["series"][0]["y"][0, b, 0], rope.decay_envelope(theta, distance).numpy())
        np.testing.assert_array_equal(bound["series"][1]["y"][0, b, 0], rope.aligned_decay(theta, distance).numpy())
    assert (bound["series"][0]["y"] > bound["series"][1]["y"]).all()


def test_every_likeness_goes_out_and_a_link_says_which(open_page):
    app = open_page(PAGE, view="Score by distance", rho="0.3", up_to="64")
    assert not app.warning
    header, _ = sent(app, "curves")
    assert (header["frames"][2]["at"], header["zooms"]["at"]) == (0.3, 64)
    assert header["frames"][2]["values"] == [round(0.1 * i, 1) for i in range(11)]
    random = drawn(app)[1]
    for i, rho in enumerate(header["frames"][2]["values"]):
        scores = rope.scores_by_distance(*rope.random_pairs(200, 64, rho, 0), THETA, torch.arange(513.0)) / 8
        line, band = random["series"][-1]["y"][0, OWN, i], random["series"][0]
        np.testing.assert_allclose(line, scores.mean(0).numpy(), rtol=1e-3, atol=1e-4)
        low, high = np.quantile(scores.numpy(), (0.05, 0.95), axis=0)
        np.testing.assert_allclose(band["lo"][0, OWN, i], low, rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(band["hi"][0, OWN, i], high, rtol=1e-3, atol=2e-3)
        assert f"ρ = {rho:g}" in random["title"][0][0][i]
    assert abs(random["series"][-1]["y"][0, OWN, 0]).max() < 0.3  # no likeness, no decay: nothing there


def test_the_message_stays_below_a_million_bytes(open_page):
    app = open_page(PAGE, view="Score by distance")
    (message,) = [e.proto.bytes for e in app.get("bidi_component") if e.proto.component_name == "glassformer_curves"]
    assert len(message) < 1_000_000


def test_the_table_is_that_of_the_link(open_page, downloads):
    open_page(PAGE, view="Score by distance", rho="0.3")
    scores = rope.scores_by_distance(*rope.random_pairs(200, 64, 0.3, 0), THETA, torch.arange(513.0)) / 8
    np.testing.assert_allclose(downloads["table"]["drawn mean"], scores.mean(0).numpy(), rtol=1e-3, atol=1e-4)
    open_page(PAGE, view="Longer texts", factor="8")
    expected = rope.wavelengths(THETA / 8).numpy()
    np.testing.assert_allclose(downloads["table"]["linear wavelength"], expected, rtol=1e-5)
    open_page(PAGE, query="8 it", key="1 animal", head="8", base="1,000")
    q, k = Q_ALL[8, 8], K_ALL[2, 1]
    expected = rope.scores_by_distance(q, k, rope.frequencies(64, 1e3), torch.arange(65.0)) / 8
    np.testing.assert_allclose(downloads["table"]["score, base 1,000"], expected.numpy(), rtol=1e-5, atol=1e-5)


def test_the_seed_changes_the_drawn_vectors_alone(open_page):
    app = shown(open_page(PAGE), "Score by distance")
    before = drawn(app)
    app.number_input(key="seed").set_value(3).run()
    real, random, _ = drawn(app)
    np.testing.assert_array_equal(real["series"][-1]["y"], before[0]["series"][-1]["y"])
    expected = rope.scores_by_distance(*rope.random_pairs(200, 64, 1.0, 3), THETA, torch.arange(513.0)).mean(0) / 8
    np.testing.assert_allclose(random["series"][-1]["y"][0, OWN, -1], expected.numpy(), rtol=1e-3, atol=1e-4)
    assert "seed 3" in random["title"][0][0][-1]


def test_beside_sinusoids_without_weights_says_what_is_missing(open_page):
    app = shown(open_page(PAGE), "Beside sinusoids")
    raw, turned = drawn(app)
    starts, distance = torch.tensor([0, 64, 256, 1024, 4096]), torch.arange(129)
    for b, base in enumerate(BASES):
        expected = positions.similarity(starts, distance, 576, base)
        for line, row in zip(raw["series"], expected, strict=True):
            np.testing.assert_allclose(line["y"][0, b], row.numpy(), rtol=1e-5)
    assert raw["note"][0][OWN] == turned["note"][8][OWN] == "the distance explains 100.0%"
    np.testing.assert_allclose(turned["series"][0]["y"], turned["series"][-1]["y"], atol=5e-3)
    q, k = Q_ALL[8, 11], K_ALL[2, 10]
    expected = rope.scores_by_distance(q, k, rope.frequencies(64, 1e3), distance.float()) / 8
    np.testing.assert_allclose(turned["series"][0]["y"][8, 1], expected.numpy(), atol=5e-3)
    assert any("come with the download" in box.value for box in app.info)
    assert sent(app, "curves")[0]["switch"] is None


def test_beside_sinusoids_the_weights_undo_it(open_page):
    app = shown(open_page(PAGE, model="tiny"), "Beside sinusoids")
    header, _ = sent(app, "curves")
    raw, mixed, with_words, turned = drawn(app)
    head, b = (choice["values"].index(choice["at"]) for choice in header["frames"])
    assert raw["note"][0][b] == turned["note"][head][b] == "the distance explains 100.0%"
    share = float(re.search(r"([\d.]+)%", mixed["note"][head][b])[1])
    assert share < 90
    model, tokenizer = transformer.load("tiny")
    attention = model.stack.blocks[2].attention
    W_Q, W_K = positions.of_head(attention.W_Q.weight, attention.W_K.weight, model.config, 3)
    x = model.run(tokenizer.encode(PRONOUN_TEXT), record="layers.2.norm_1").trace["layers.2.norm_1"][0, [-1, -2]]
    starts, distance = torch.tensor([0, 64, 256, 1024, 4096]), torch.arange(129)
    for panel, words in ((mixed, x * 0), (with_words, x)):
        expected = positions.mixed_scores(W_Q, W_K, *words, starts, distance, model.config.rope_base)
        for line, row in zip(panel["series"], expected, strict=True):
            np.testing.assert_allclose(line["y"][3, b], row.detach().numpy(), rtol=1e-4, atol=1e-4)
    assert (head, mixed["replaced"], with_words["switched"]) == (3, True, True)
    assert "words + sinusoids" in with_words["title"] and header["switch"]["on"] is False
    app = open_page(PAGE, model="tiny", view="Beside sinusoids", words="true")
    assert not app.warning and sent(app, "curves")[0]["switch"]["on"] is True


def test_longer_texts_are_the_librarys_scalings(open_page):
    app = open_page(PAGE, view="Longer texts", factor="8", scaling="linear")
    assert not app.warning
    header, _ = sent(app, "curves")
    assert ([choice["at"] for choice in header["frames"]], header["picks"]["at"]) == (["100,000 trained", 8], "linear")
    wave, kept = drawn(app)
    config = transformer.PRESETS["smollm2-135m"]
    by_label = {series["label"]: series["y"] for series in kept["series"]}
    names = {"as trained": "none", "linear": "linear", "NTK-aware": "ntk", "YaRN": "yarn", "Llama 3": "llama3"}
    for label, name in names.items():
        for b, i, factor in ((OWN, 0, 2.0), (OWN, 2, 8.0), (0, 4, 32.0), (4, 1, 4.0)):
            scaled = dataclasses.replace(config, rope_base=BASES[b], rope_scaling=name, rope_factor=factor,
                                         rope_original_len=8192)  # fmt: skip
            theta, _ = rope.scaled_frequencies(scaled)
            expected = theta / rope.frequencies(64, BASES[b])
            np.testing.assert_allclose(by_label[label][b, i], expected.numpy(), rtol=1e-6)
    assert "8,192 trained" in {series["label"] for series in wave["series"]}


def test_a_scaling_that_is_none_is_one_sentence(open_page):
    app = open_page(PAGE, view="Longer texts", scaling="magic")
    assert len(app.warning) == 1 and "scaling" in app.warning[0].value
    assert sent(app, "curves")[0]["picks"]["at"] == "YaRN"


def test_an_encoder_is_answered_by_a_model_that_turns(open_page):
    app = open_page(PAGE, model="minilm-l6")
    assert "learned positions" in app.info[0].value
    assert sent(app, "rope_pair")[0]["words"][-1] == "tired"


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
    assert sent(app, "rope_pair")[0]["words"][-1] == "tired"


@pytest.mark.parametrize("model", ["tiny", "smollm2-135m"])
def test_the_snippet_gives_the_pages_numbers(open_page, model, capsys, monkeypatch, request):
    app = open_page(PAGE, model=model)
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    monkeypatch.undo()  # the snippet may use the weights that are there
    if model != "tiny":
        request.getfixturevalue("smollm2_folder")
    names: dict = {}
    exec(snippet, names)
    curve = curve_of(app)
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
