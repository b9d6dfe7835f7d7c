"""Why divide by √d_k: drawn numbers and the head's are the library's, links are kept, the snippets give the same."""

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from pages.attention.scale_words import FACTORS, ROWS, WIDTHS
from tests.messages import sent
from transformer import recording
from transformer.experiments import saturation

PAGE = "pages/attention/scale.py"
PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")


def fact(header, arrays, name) -> np.ndarray:
    (values,) = [arrays[one["values"]] for one in header["facts"] if one["name"].startswith(name)]
    return values


def run(app) -> list[str]:
    (snippet,) = [code.value for code in app.code if code.value.startswith("import math")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue().splitlines()


def test_it_opens_on_drawn_vectors_that_obey_the_law(open_page):
    header, arrays = sent(app := open_page(PAGE), "saturation")
    assert not app.warning and header["sizes"]["at"] == 64 and not header["switch"]["on"]
    found = saturation.drawn(WIDTHS, ROWS, 16, 0)
    np.testing.assert_allclose(arrays["raw"], found.raw[:, :8].numpy(), rtol=1e-5, atol=1e-5)
    for v, factor in enumerate((torch.ones(len(WIDTHS)), torch.tensor(WIDTHS) ** -0.5)):
        A = (found.raw * factor[:, None, None]).softmax(-1)
        np.testing.assert_allclose(arrays["weights"][v], A[:, :8].numpy(), atol=1e-5)
        entropy = torch.special.entr(A).sum(-1).mean(-1) / math.log(2)
        np.testing.assert_allclose(fact(header, arrays, "entropy")[v], entropy.numpy(), rtol=1e-4)
    law = fact(header, arrays, "variance")[0] / np.array(WIDTHS)
    assert np.abs(law - 1).max() < 0.25
    prose = " ".join(m.value for m in app.markdown)
    assert "initialisation" in prose and f"{found.variance[WIDTHS.index(64)]:.1f} ±" in prose


def test_seed_and_keys_draw_anew(open_page):
    app = open_page(PAGE)
    _, before = sent(app, "saturation")
    app.number_input(key="seed").set_value(5).run()
    _, after = sent(app, "saturation")
    assert not np.allclose(before["raw"], after["raw"])
    np.testing.assert_allclose(after["raw"], saturation.drawn(WIDTHS, ROWS, 16, 5).raw[:, :8].numpy(), rtol=1e-5, atol=1e-5)
    app.select_slider(key="keys").set_value(4).run()
    assert sent(app, "saturation")[1]["weights"].shape == (2, len(WIDTHS), 8, 4)


def test_a_trained_head_is_the_recordings(open_page):
    header, arrays = sent(open_page(PAGE, view="A trained head"), "saturation")
    assert header["sizes"]["at"] == "1" and header["rows"]["at"] == "8 it" and header["switch"] is None
    S = PRONOUN["layers.13.attention.scores"][0, 8]
    row = header["rows"]["values"].index("8 it")
    for i, factor in enumerate(FACTORS):
        expected = (S[8, :9] * factor).softmax(-1).numpy()
        np.testing.assert_allclose(arrays["weights"][0, i, row, :9], expected, atol=1e-6)
    assert arrays["keys"][row].tolist() == [*range(9), -1, -1, -1]
    np.testing.assert_allclose(arrays["raw"][0, row, :9], S[8, :9].numpy() * 8, rtol=1e-5)
    entropy = fact(header, arrays, "entropy")[0]
    assert (np.diff(entropy) < 0).all()
    app = open_page(PAGE, view="A trained head")
    app.selectbox(key="head").set_value(3).run()
    assert not np.allclose(sent(app, "saturation")[1]["weights"], arrays["weights"])


def test_links_say_where_the_picture_stands(open_page):
    header, _ = sent(open_page(PAGE, width="256", row="3", scaled="true"), "saturation")
    assert (header["sizes"]["at"], header["rows"]["at"], header["switch"]["on"]) == (256, 3, True)
    header, _ = sent(open_page(PAGE, view="A trained head", times="8", query="2 didn"), "saturation")
    assert (header["sizes"]["at"], header["rows"]["at"]) == ("8", "2 didn")


@pytest.mark.parametrize("query", [{"width": "63"}, {"row": "9"}, {"scaled": "maybe"}, {"keys": "5"},
                                   {"view": "A trained head", "times": "3"}])
def test_what_a_link_cannot_mean_is_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert len(app.warning) == 1 and list(query)[-1] in app.warning[0].value
    sent(app, "saturation")


@pytest.mark.parametrize("text", ["a", "é 🙂", "the of " * 60])
def test_any_length_of_text_has_a_head(open_page, text):
    header, arrays = sent(open_page(PAGE, view="A trained head", model="tiny", text=text), "saturation")
    assert arrays["keys"].shape[1] <= 40 and len(header["rows"]["values"]) <= 48
    assert np.isfinite(arrays["weights"]).all()


def test_the_snippets_give_the_pages_numbers(open_page):
    app = open_page(PAGE, width="16", seed="2")
    header, arrays = sent(app, "saturation")
    at = WIDTHS.index(16)
    lines = run(app)
    assert float(lines[0].split()[3]) == pytest.approx(fact(header, arrays, "variance")[0, at], rel=1e-4)
    for line, v in ((lines[1], 0), (lines[3], 1)):
        bits, slope = line.removeprefix("not ").split()[1], line.split("slope ")[1].split()[0]
        assert float(bits) == pytest.approx(fact(header, arrays, "entropy")[v, at], rel=1e-3)
        assert float(slope) == pytest.approx(fact(header, arrays, "slope")[v, at], rel=1e-3)
    app = open_page(PAGE, view="A trained head", model="tiny", text="To be, or not to be", layer="1", head="2")
    header, arrays = sent(app, "saturation")
    lines = run(app)
    model, tokenizer = transformer.load("tiny")
    assert len(lines) == 1 + len(FACTORS)
    for i, line in enumerate(lines[1:]):
        _, bits, largest, slope = map(float, line.split())
        assert bits == pytest.approx(fact(header, arrays, "entropy")[0, i], rel=1e-3)
        assert largest == pytest.approx(fact(header, arrays, "largest")[0, i], rel=1e-3)
        assert slope == pytest.approx(fact(header, arrays, "slope")[0, i], rel=1e-3, abs=1e-6)


def test_the_prediction_is_answered_by_the_drawn_vectors(open_page):
    app = open_page(PAGE)
    flat = (saturation.drawn(WIDTHS, ROWS, 16, 0).raw[WIDTHS.index(64)] / 64).softmax(-1).amax(-1).mean().item()
    assert 0.07 < flat < 0.1
    app.radio(key="prediction").set_value("8 %, nearly an even share").run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
