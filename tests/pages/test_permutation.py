"""Why position at all: real readings in every order, exact off and broken on, and snippets that give the page's numbers."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from pages.position.permutation_words import BAG, DECODER, PLACE, VIEWS
from tests.messages import sent
from transformer.experiments import permutation
from transformer.training import order

PAGE = "pages/position/permutation.py"
TEXT = "The king is a good man"


def printed(app) -> str:
    (snippet,) = [c.value for c in app.code if "transformer.load" in c.value and c.value.startswith("import")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue()


def test_it_opens_on_an_encoder_whose_outputs_move_with_their_tokens(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "matrices")
    assert header["picks"]["at"] == "reversed" and not header["switch"]["on"]
    model, tokenizer = transformer.load(order.FOLDER / "encoder")
    ids = tokenizer.encode(TEXT)
    off = permutation.without_positions(model).run(ids[::-1], record=("final_norm", "layers.1.attention.A")).trace
    np.testing.assert_allclose(arrays["Y reversed"], off["final_norm"][0, :, :12], atol=1e-5)
    np.testing.assert_allclose(arrays["A reversed"], off["layers.1.attention.A"][0, 0], atol=1e-6)
    np.testing.assert_allclose(arrays["Y reversed"], arrays["Y"][::-1], atol=1e-5)
    np.testing.assert_allclose(arrays["A reversed"], arrays["A"][::-1, ::-1], atol=1e-6)
    drawn = {m["key"]: m for row in header["grid"] for m in row}
    assert drawn["Y reversed"]["rows"] == ["5 man", "4 good", "3 a", "2 is", "1 king", "0 The"]
    for name in header["picks"]["values"]:
        assert arrays[f"Δ {name}"].max() < 1e-5
        assert name == "as it stands" or arrays[f"Δ {name} on"][:, -1].max() > 0.1


def test_orders_follow_the_boxes_and_the_seed(open_page):
    app = open_page(PAGE, order="two swapped", positions="on", cell="A two swapped on,1,0")
    header, arrays = sent(app, "matrices")
    assert header["switch"]["on"] and header["at"] == ["A two swapped on", 1, 0]
    drawn = {m["key"]: m for row in header["grid"] for m in row}
    assert drawn["Y two swapped"]["rows"][1] == "5 man"
    app.selectbox(key="with").set_value("2 is").run()
    app.number_input(key="seed").set_value(5).run()
    app.selectbox(key="head").set_value(2).run()
    header, others = sent(app, "matrices")
    drawn_now = {m["key"]: m for row in header["grid"] for m in row}
    assert drawn_now["Y two swapped"]["rows"][1] == "2 is"
    assert drawn_now["Y shuffled"]["rows"] != drawn["Y shuffled"]["rows"]
    assert np.abs(others["A"] - arrays["A"]).max() > 0.05
    app.text_input(key="text").set_value("My lord is dead").run()
    assert not app.exception and "1 lord" in str(sent(app, "matrices")[0]["grid"])
    app.text_input(key="text").set_value("My lord sleeps").run()
    told = app.selectbox(key="with").proto  # the browser is told, or it would go on showing “2 is” of the other text
    assert told.set_value and told.raw_value == app.selectbox(key="with").value


def test_its_snippet_gives_the_largest_differences(open_page):
    app = open_page(PAGE)
    of = {m.label: m.value for m in app.metric}
    out = printed(app)
    none, rope = sorted(out.split("tensor")[:-1], key=lambda part: "rope" in part)
    largest = [max(float(x) for x in re.findall(r": ([\d.e-]+)", part)) for part in (none, rope)]
    assert largest[0] < 1e-4 and f"{largest[1]:.2g}" == of["Largest |Δ|, positions on"]
    assert float(of["the same in float64"]) < 1e-12


def test_a_decoder_without_positions_keeps_its_last_token_for_one_layer(open_page):
    app = open_page(PAGE, view=DECODER)
    _, arrays = sent(app, "matrices")
    delta = arrays["Δ reversed"]
    assert delta[:, 0].max() == 0 and delta[-1, 1] < 1e-5 < 0.01 < delta[-1, 2] and delta[:-1, 1].min() > 0.01
    assert "A reversed barred" in arrays
    assert "none" in printed(app)


def test_every_order_of_the_words_is_one_vector_without_positions(open_page):
    app = open_page(PAGE, view=BAG)
    _, arrays = sent(app, "matrices")
    assert arrays["on"].shape == (6, 6) and arrays["off"].max() < 0.01 < 1 < arrays["on"][0, 1:].min()
    angles = [float(line.split()[-1]) for line in printed(app).splitlines()]
    assert angles[0] == pytest.approx(arrays["on"].max(), rel=1e-4) and angles[1] < 0.01
    app.text_input(key="words").set_value("the king is dead").run()
    assert sent(app, "matrices")[1]["on"].shape == (24, 24) and not app.warning
    app.text_input(key="words").set_value("word").run()
    assert len(app.warning) == 1 and sent(app, "matrices")[1]["on"].shape == (6, 6)


def test_places_are_those_recorded_and_losses_have_their_seeds(open_page):
    app = open_page(PAGE, view=PLACE, layer_of="after layer 1", at="5")
    header, arrays = sent(app, "curves")
    assert header["frames"]["at"] == "after layer 1" and header["cursor"] == 5
    found = json.loads((Path(__file__).parents[2] / "assets/measured/why-position.json").read_text())["measured"]
    line = header["panels"][0]["series"][-1]
    np.testing.assert_allclose(arrays[line["y"]], found["decoder-none"]["middle"], rtol=1e-5)
    assert found["decoder-none"]["explained"][1] > 0.3 > 0.05 > max(found["encoder-none"]["explained"])
    assert any("3 seeds" in c.value for c in app.caption) and not app.exception and not app.warning
    worth = {m.label: float(m.value.split()[0]) for m in app.metric}
    assert worth["Encoder"] > 0.5 > worth["Decoder"] > 0


@pytest.mark.parametrize("key, value", [("order", "upwards"), ("positions", "half"), ("cell", "A,9,9"), ("cell", "A")])
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, key, value):
    app = open_page(PAGE, **{key: value})
    assert len(app.warning) == 1 and not app.exception
    assert sent(app, "matrices")[0]["picks"]["at"] == "reversed"


@pytest.mark.parametrize("text", ["a b c", "🙂 né 日本", "x " * 300])
def test_any_text_is_read_in_every_view(open_page, text):
    for view in VIEWS[:2]:
        app = open_page(PAGE, model="tiny", text=text, view=view)
        assert not app.exception and not app.warning, view


def test_a_text_of_one_token_keeps_the_last_picture(open_page):
    app = open_page(PAGE)
    app.text_input(key="text").set_value("I").run()
    assert len(app.warning) == 1 and not app.exception and "1 king" in str(sent(app, "matrices")[0]["grid"])


def test_the_catch_and_the_answer_are_on_the_page(open_page):
    app = open_page(PAGE)
    assert any("It holds for an encoder only" in m.value for m in app.markdown)
    app.radio(key="prediction").set_value("2").run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
    model, tokenizer = transformer.load(order.FOLDER / "decoder-none")
    ids = tokenizer.encode(TEXT)
    rows, names = torch.tensor([ids, [ids[1], ids[0], *ids[2:]]]), ["layers.0.resid_post", "layers.1.resid_post"]
    trace = model.run(rows, record=names).trace
    home = {name: x[1, [1, 0, *range(2, len(ids))]] for name, x in trace.items()}
    changed = [int(((home[name] - trace[name][0]).norm(dim=-1) > 1e-3).sum()) for name in names]
    assert changed[0] == 2 and any(f"it is {changed[1]} of {len(ids)}" in m.value for m in app.markdown)
