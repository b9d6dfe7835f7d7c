"""Activations: the curves are the library's, the neurons are the trace's, and the snippet gives the same numbers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from pages.shared import models
from tests.messages import sent
from transformer import recording
from transformer.experiments import gates
from transformer.feedforward import ACTIVATIONS, census, derivative, histogram, let_through, share_below

PAGE = "pages/block/activations.py"
CAPITAL = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-capital.safetensors.xz")
GATE = CAPITAL["layers.5.ffn.gate"][0]


def rows(app) -> dict[str, list[np.ndarray]]:
    """The table under the curves: activation -> its columns."""
    header, arrays = sent(app, "curves")
    return {row["name"]: [arrays[cell] for cell in row["cells"]] for row in header["table"]["rows"]}


def shown(app, view: str):
    app.button_group(key="view").set_value(view).run()
    assert not app.exception
    return app


def test_it_opens_on_curves_over_real_neurons(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "curves")
    u = torch.from_numpy(arrays["x"].copy()).double()
    titles = {"ReLU": "relu", "GELU": "gelu", "GELU (tanh)": "gelu_tanh", "SiLU": "silu"}
    for title, columns in rows(app).items():
        name = titles[title]
        np.testing.assert_allclose(columns[0], let_through(name, u).numpy(), atol=2e-7 + (0.5 if name == "relu" else 0))
        np.testing.assert_allclose(columns[1], ACTIVATIONS[name](u).numpy(), atol=1e-6)
        counted = census(name, GATE)
        assert columns[3][5, 0] == pytest.approx(counted.zero) and columns[4][5, 0] == pytest.approx(counted.asleep)
        away = np.abs(arrays["x"]) > 1e-3  # ReLU's corner
        np.testing.assert_allclose(columns[2][away], derivative(name, u).numpy()[away], atol=1e-6)
    bars = header["panels"][-1]["series"][0]
    edges, share = histogram(GATE, -16.0, 16.0, 512)
    np.testing.assert_allclose(arrays[bars["edges"]], edges.numpy(), atol=1e-6)
    np.testing.assert_array_equal(arrays[bars["y"]][5], share.numpy())
    below = arrays[header["sum"]["arrays"][3]][5]
    np.testing.assert_allclose(below, share_below(GATE, torch.linspace(-16, 16, 1601)).numpy(), atol=2 / GATE.numel())
    assert f"{(GATE < 0).float().mean():.0%} below 0" == header["panels"][-1]["marks"][0]["text"][5]
    assert header["frames"] == {"label": "Layer", "values": list(range(30)), "at": 5}
    assert header["cursor"] == -1.28 and not header["switch"]["on"]
    assert [panel["switched"] for panel in header["panels"]] == [False, False, True, False]


def test_the_models_own_activation_stands_out_until_a_link_says_another(open_page):
    assert sent(open_page(PAGE), "curves")[0]["picks"]["at"] == "SiLU"
    app = open_page(PAGE, activation="ReLU")
    assert not app.warning and sent(app, "curves")[0]["picks"]["at"] == "ReLU"
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    assert "ACTIVATIONS['relu'](at)" in snippet and "max(0, u)" in app.latex[0].value
    assert sent(shown(app, "What they leave"), "curves")[0]["picks"]["at"] == "ReLU"


def test_every_layer_goes_out_and_a_link_says_which_is_shown(open_page):
    app = open_page(PAGE, layer="28")
    header, arrays = sent(app, "curves")
    assert header["frames"]["at"] == 28
    panel = header["panels"][-1]
    for layer in (0, 11, 28, 29):
        u = CAPITAL[f"layers.{layer}.ffn.gate"][0]
        _, share = histogram(u, -16.0, 16.0, 512)
        np.testing.assert_array_equal(arrays[panel["series"][0]["y"]][layer], share.numpy())
        assert f"layer {layer} " in panel["title"][layer]
        for i, reach in enumerate((2, 3, 4, 8, 16)):
            outside = (u.abs() > reach).float().mean().item()
            assert f"{outside:.1%} lie outside" in panel["note"][layer][i] or outside < 0.0006
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    assert "layers.28.ffn." in snippet


def test_the_gap_between_the_two_gelus_is_magnified(open_page):
    app = open_page(PAGE, gap="true")
    header, arrays = sent(app, "curves")
    assert header["switch"]["on"]
    gap = arrays[header["panels"][2]["series"][0]["y"]]
    assert 0.4 < np.abs(gap).max() < 0.5  # thousandths
    u = torch.from_numpy(arrays["x"].copy()).double()
    expected = torch.nn.functional.gelu(u) - torch.nn.functional.gelu(u, approximate="tanh")
    np.testing.assert_allclose(gap, expected.numpy() * 1000, atol=1e-3)


def test_the_axis_reaches_as_far_as_asked(open_page):
    header, arrays = sent(open_page(PAGE), "curves")
    assert header["zooms"] == {"label": "u up to ±", "values": [2, 3, 4, 8, 16], "at": 3}
    assert (header["x"]["lo"], header["x"]["hi"]) == (-16, 16)
    assert np.allclose(np.diff(arrays["x"]), 0.02, atol=1e-5)
    header, _ = sent(open_page(PAGE, reach="2", u="9"), "curves")
    assert (header["zooms"]["at"], header["cursor"]) == (2, 2)


def test_what_each_activation_leaves(open_page):
    app = shown(open_page(PAGE), "What they leave")
    header, arrays = sent(app, "curves")
    assert [panel["title"] for panel in header["panels"]] == ["ReLU", "GELU", "GELU (tanh)", "SiLU"]
    for panel, (name, sigma) in zip(header["panels"], ACTIVATIONS.items(), strict=True):
        counted = census(name, GATE)
        assert panel["note"][5] == f"{counted.zero:.2%} exactly 0, {counted.negative:.2%} negative"
        edges = arrays[panel["series"][0]["edges"]]
        a = sigma(GATE).numpy()
        expected = np.histogram(a[a != 0], bins=edges.astype(np.float64))[0] / a.size
        np.testing.assert_allclose(arrays[panel["series"][0]["y"]][5], expected, atol=2 / a.size)
        assert arrays[panel["series"][1]["y"]][5, 0] == pytest.approx(counted.zero)
    relu = arrays[header["panels"][0]["series"][1]["y"]]
    assert relu[5, 0] == pytest.approx((GATE <= 0).float().mean().item())


def test_single_neurons_are_the_traces(open_page):
    header, arrays = sent(shown(open_page(PAGE), "Single neurons"), "strips")
    assert (header["layers"]["at"], header["words"]["at"]) == (5, "4 is")
    assert header["words"]["values"] == ["0 The", "1 capital", "2 of", "3 France", "4 is"]
    assert header["parts"] == ["SiLU(g)", "u", "a"]
    for layer in (0, 5, 29):
        gate, pre, post = (CAPITAL[f"layers.{layer}.ffn.{part}"][0] for part in ("gate", "pre", "post"))
        for word in range(5):
            loud = post[word].abs().topk(5).indices
            assert arrays["ids"][layer, word].tolist() == loud.tolist()
            expected = ACTIVATIONS["silu"](gate[:, loud]), pre[:, loud], post[:, loud]  # [token, neuron]
            for found, part in zip(arrays["values"][:, layer, word], expected, strict=True):
                np.testing.assert_allclose(found, part.T.numpy(), rtol=1e-5)
            np.testing.assert_allclose(arrays["values"][2, layer, word],
                                       arrays["values"][0, layer, word] * arrays["values"][1, layer, word], rtol=1e-4)


def test_a_link_says_which_neurons(open_page):
    app = open_page(PAGE, view="Single neurons", layer="28", word="3 France")
    assert not app.warning
    header, _ = sent(app, "strips")
    assert (header["layers"]["at"], header["words"]["at"]) == (28, "3 France")
    app = open_page(PAGE, view="Single neurons", word="3 Spain")
    assert len(app.warning) == 1 and "word" in app.warning[0].value
    assert sent(app, "strips")[0]["words"]["at"] == "4 is"


def test_the_table_and_the_figure_are_those_of_the_link(open_page, downloads):
    open_page(PAGE, view="Single neurons", layer="28", word="3 France")
    pre, post = (CAPITAL[f"layers.28.ffn.{part}"][0] for part in ("pre", "post"))
    loud = post[3].abs().topk(5).indices
    table = downloads["table"]
    assert table["token"] == [i for i in range(5) for _ in loud] and table["neuron"] == loud.tolist() * 5
    np.testing.assert_allclose(table["u"], pre[:, loud].flatten().numpy(), rtol=1e-5)
    np.testing.assert_allclose(table["a"], post[:, loud].flatten().numpy(), rtol=1e-5)
    assert downloads["config"]["layer"] == 28
    (cells,) = downloads["figure"]().to_dict()["datasets"].values()
    found = {(cell["row"], cell["token"]): cell["value"] for cell in cells}
    assert found[f"{loud[0]}  a", "3 France"] == pytest.approx(post[3, loud[0]].item(), rel=1e-5)


def test_neurons_without_a_gate_pass_a_share_of_themselves(open_page, monkeypatch):
    _, tokenizer = transformer.load("tiny")
    config = transformer.Config(d_model=16, n_layers=2, n_heads=2, activation="gelu", vocab_size=tokenizer.vocab_size)
    model = transformer.build(config, seed=0)
    monkeypatch.setattr(models, "_tiny", lambda: (model, tokenizer))
    monkeypatch.setattr(models, "_limit", lambda name, record: 64)
    app = shown(open_page(PAGE, model="tiny", text="no gate here"), "Single neurons")
    header, arrays = sent(app, "strips")
    assert header["parts"] == ["u", "GELU(u)/u", "a"]
    u = model.run(tokenizer.encode("no gate here"), record="layers.1.ffn.pre").trace["layers.1.ffn.pre"][0]
    found = u[:, arrays["ids"][1, 2].tolist()]
    np.testing.assert_allclose(arrays["values"][0, 1, 2], found.T.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays["values"][1, 1, 2], let_through("gelu", found).T.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays["values"][2], arrays["values"][0] * arrays["values"][1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("query", [{"u": "99"}, {"u": "x"}, {"reach": "5"}, {"activation": "tanh"}, {"layer": "30"}])
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert len(rows(app)) == 4


@pytest.mark.parametrize("text", ["a", "é", "🙂 ok", "x = 1\n\ty", "אבג"])
def test_short_and_strange_texts_have_every_view(open_page, text):
    app = open_page(PAGE, model="tiny")
    app.text_input(key="text").set_value(text).run()
    for view in ("What they leave", "Gated variants", "Single neurons", "The curves"):
        shown(app, view)


def test_a_text_it_cannot_take_is_one_sentence_over_the_last_picture(open_page):
    app = open_page(PAGE)
    app.text_input(key="text").set_value("word " * 9000).run()
    assert not app.exception
    assert ["too long" in box.value for box in app.warning] == [True]
    assert len(rows(app)) == 4


def test_the_numbers_in_the_formula_are_the_librarys(open_page):
    app = open_page(PAGE, u="0.5", activation="GELU")
    app.toggle(key="numbers").set_value(True).run()
    said = [float(x) for x in re.findall(r"-?\d+\.\d+", app.latex[1].value)]
    half = torch.tensor(0.5, dtype=torch.float64)
    assert said[2] == pytest.approx(let_through("gelu", half).item(), abs=1e-4)
    assert said[3] == pytest.approx(ACTIVATIONS["gelu"](half).item(), abs=1e-4)
    assert said[-1] == pytest.approx(derivative("gelu", half).item(), abs=1e-4)


def test_the_snippet_gives_the_pages_numbers(open_page, monkeypatch, capsys):
    app = open_page(PAGE, model="tiny")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    monkeypatch.undo()
    names: dict = {}
    exec(snippet, names)
    layer = int(re.search(r"layers\.(\d+)", snippet)[1])
    relu = census("relu", names["u"])
    assert rows(app)["ReLU"][3][layer, 0] == pytest.approx(relu.zero, abs=1e-6)
    assert f"zero={relu.zero}" in capsys.readouterr().out
    model, tokenizer = transformer.load("tiny")
    name = f"layers.{layer}.ffn.gate"
    assert torch.equal(names["u"], model.run(tokenizer.encode("The capital of France is"), record=name).trace[name][0])


def test_gates_stand_over_the_real_pairs(open_page, downloads):
    app = open_page(PAGE, view="Gated variants", gate="ReGLU", layer="7")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    assert (header["picks"]["at"], header["frames"]["at"]) == ("ReGLU", 7)
    axis = torch.tensor([float(v) for v in header["grid"][0][0]["cols"]], dtype=torch.float64)
    assert axis.tolist() == pytest.approx([-3.5 + 0.25 * i for i in range(29)])
    u, g = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    for name in gates.GATES:
        np.testing.assert_allclose(arrays[f"{name} a"], gates.gated(name, g, u), rtol=1e-4, atol=1e-5)
        to_g, to_u = gates.slopes(name, g, u)
        np.testing.assert_allclose(arrays[f"{name} to g"], to_g, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(arrays[f"{name} to u"], to_u, rtol=1e-4, atol=1e-5)
    g, u = CAPITAL["layers.7.ffn.gate"][0], CAPITAL["layers.7.ffn.pre"][0]
    np.testing.assert_allclose(arrays["real"][7], np.log10(1 + 1e5 * gates.density(g, u, 3.625, 29).numpy()), rtol=1e-4, atol=1e-5)
    notes = {m["key"]: m["note"] for row in header["grid"] for m in row}
    assert f"{gates.left('reglu', g, u).zero:.1%} exactly 0" in notes["reglu a"][7]
    assert "1,536; this model's is 1,536" in " ".join(one.value for one in app.caption)
    assert len(downloads["table"]["ReGLU"]) == 29 * 29 and r"\operatorname{ReGLU}" in app.latex[0].value


def test_the_gates_snippet_gives_the_pages_numbers(open_page, monkeypatch, capsys):
    app = open_page(PAGE, model="tiny", view="Gated variants")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    notes = {m["key"]: m["note"] for row in sent(app, "matrices")[0]["grid"] for m in row}
    monkeypatch.undo()
    names: dict = {}
    exec(snippet, names)
    layer, found = int(re.search(r"layers\.(\d+)", snippet)[1]), gates.left("swiglu", names["g"], names["u"])
    assert str(found) in capsys.readouterr().out and f"mean |a| {found.mean:.3g}" in notes["swiglu a"][layer]


def test_a_link_with_a_gate_that_is_none_is_one_sentence(open_page):
    app = open_page(PAGE, view="Gated variants", gate="TanhGLU")
    assert len(app.warning) == 1 and "gate" in app.warning[0].value and sent(app, "matrices")[0]["picks"]["at"] == "SwiGLU"
