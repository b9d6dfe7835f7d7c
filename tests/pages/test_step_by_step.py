"""Attention, step by step: every matrix is the model's own, every way to score is the library's, the snippets agree."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from tests.messages import sent
from transformer import recording, stepwise

PAGE = "pages/attention/step_by_step.py"
REAL = {"view": "A real head"}
CAPITAL = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-capital.safetensors.xz")
NO_MASK, NO_SCALE = "without the mask", "without 1/√d_k"


def said(app, snippet: str) -> str:
    """What the notebook prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(snippet, "notebook", "exec"), {})
    return out.getvalue()


@pytest.fixture(scope="module")
def small():
    return transformer.load("readable")


def traced(small, text: str, n: int = 8) -> dict[str, torch.Tensor]:
    model, tokenizer = small
    return model.run(tokenizer.encode(text)[:n], record=("*.norm_1", "*.attention.*")).trace


def test_every_number_is_the_models(open_page, small):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    trace = traced(small, "The king and the queen")
    for frame in range(4):
        layer, head = divmod(frame, 2)
        at = f"layers.{layer}.attention."
        np.testing.assert_allclose(arrays["X"][frame], trace[f"layers.{layer}.norm_1"][0].numpy(), atol=1e-6)
        for key, name in (("Q", "Q"), ("K", "K"), ("V", "V"), ("A", "A"), ("z", "z"), ("S", "scores"), ("M", "scores")):
            np.testing.assert_allclose(arrays[key][frame], trace[at + name][0, head].numpy(), atol=1e-5)
        np.testing.assert_allclose(arrays["out"][frame], trace[at + "out"][0].numpy(), atol=1e-5)
        np.testing.assert_allclose(arrays["Q"][frame], arrays["X"][frame] @ arrays["W_Q"][frame], atol=1e-5)
        np.testing.assert_allclose(arrays["out"][frame], arrays["Z"][frame] @ arrays["W_O"][frame], atol=1e-5)
    assert header["frames"]["at"] == "layer 0, head 1" and header["at"] == ["S", 4, 1]
    assert (header["step"], len(header["steps"])) == (7, 8)
    np.testing.assert_array_equal(arrays["M barred"][1].astype(bool), np.triu(np.ones((5, 5), dtype=bool), 1))
    assert "S barred" not in arrays, "the scores stand beside the masked scores"


def test_the_default_shows_what_the_page_says(open_page):
    header, arrays = sent(open_page(PAGE), "matrices")
    A = arrays["A"][1]
    assert A[4].argmax() == 1 and A[4, 1] == pytest.approx(0.59, abs=0.005)  # “queen” reads “king”


def test_scale_and_mask_change_the_tensors(open_page):
    header, arrays = sent(open_page(PAGE, scores=NO_MASK), "matrices")
    assert header["picks"]["at"] == NO_MASK
    Q, K, V = (torch.from_numpy(arrays[key].copy()) for key in "QKV")
    past = torch.ones(5, 5, dtype=torch.bool).tril()
    for name, allowed, factor in ((NO_MASK, None, None), (NO_SCALE, past, 1.0)):
        expected = stepwise.read(Q, K, V, allowed, factor)
        for key in ("S", "A", "z"):
            np.testing.assert_allclose(arrays[f"{key}, {name}"], getattr(expected, key).numpy(), atol=1e-5)
    assert not np.allclose(arrays[f"A, {NO_MASK}"], arrays["A"], atol=0.01)
    assert not np.allclose(arrays[f"out, {NO_SCALE}"], arrays["out"], atol=0.01)


def test_of_a_long_text_the_first_tokens_are_drawn_and_are_what_they_are(open_page, small):
    text = "My lord, the king of France is dead and gone"
    app = open_page(PAGE, text=text)
    header, arrays = sent(app, "matrices")
    assert arrays["A"].shape == (4, 8, 8) and any("first 8 tokens" in one.value for one in app.caption)
    whole = traced(small, text, 99)["layers.1.attention.A"][0, 1]
    np.testing.assert_allclose(arrays["A"][3], whole[:8, :8].numpy(), atol=1e-5)


def test_a_real_head_is_the_recorded_one(open_page):
    app = open_page(PAGE, **REAL)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    assert header["frames"]["at"] == 4 and header["at"] == ["S", 4, 3]
    trace = {name: CAPITAL[f"layers.23.attention.{name}"][0] for name in ("Q", "K", "V", "scores", "A", "z", "out")}
    np.testing.assert_allclose(arrays["Q"], trace["Q"].numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["K"], trace["K"].repeat_interleave(3, 0).numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["S"], trace["scores"].numpy(), atol=1e-4)
    np.testing.assert_allclose(arrays["A"], trace["A"].numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays["z"], trace["z"].numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays["out"], trace["out"].numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["X"], CAPITAL["layers.23.norm_1"][0].numpy(), atol=1e-6)
    app.selectbox(key="layer").set_value(3).run()
    np.testing.assert_allclose(sent(app, "matrices")[1]["Q"], CAPITAL["layers.3.attention.Q"][0].numpy(), atol=1e-6)


def test_an_encoder_has_no_mask_and_may_be_given_one(open_page):
    text = "The animal didn't cross the street because it was too tired"
    header, arrays = sent(open_page(PAGE, model="minilm-l6", sentence=text, **REAL), "matrices")
    assert "S barred" not in arrays and "Mask" not in [step["title"] for step in header["steps"]]
    assert "S, with a causal mask barred" in arrays
    A = arrays["A, with a causal mask"]
    assert (A[:, np.triu_indices(A.shape[-1], 1)[0], np.triu_indices(A.shape[-1], 1)[1]] == 0).all()


@pytest.mark.parametrize(("query", "head"), [({}, "layers.0"), ({"head": "layer 1, head 0", "scores": NO_MASK}, "1"),
                                             (REAL | {"scores": NO_SCALE, "model": "tiny"}, "2")])  # fmt: skip
def test_the_snippet_gives_the_numbers_of_the_page(open_page, query, head):
    app = open_page(PAGE, **query)
    header, arrays = sent(app, "matrices")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    numbers = [float(x) for x in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", said(app, snippet))]
    frame = header["frames"]["values"].index(header["frames"]["at"])
    way = query.get("scores")
    S, A = (arrays[f"{key}, {way}" if way else key][frame].flatten() for key in "SA")
    np.testing.assert_allclose(numbers[:len(S)], S, atol=2e-4)
    np.testing.assert_allclose(numbers[len(S):2 * len(S)], A, atol=2e-4)


def test_the_weights_have_the_papers_shapes(open_page):
    table = next(one.value for one in open_page(PAGE).markdown if "W_O" in one.value and "|" in one.value)
    assert table.count("`[8, 8]` | 64") == 4 and "$W_O$ is square" in table
    table = next(one.value for one in open_page(PAGE, **REAL).markdown if "W_O" in one.value and "|" in one.value)
    assert "`[576, 192]` | 110,592" in table and "9 query heads share 3" in table


def test_the_prediction_is_answered_by_the_pages_numbers(open_page):
    app = open_page(PAGE)
    _, arrays = sent(app, "matrices")
    app.radio(key="prediction").set_value("It grows").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
    told = next(one.value for one in app.markdown if "It becomes" in one.value)
    assert f"It becomes {arrays[f'A, {NO_SCALE}'][1, 4].max():.2f}" in told


def test_the_catch_is_said_and_numbers_are_put_in(open_page):
    app = open_page(PAGE)
    app.toggle(key="numbers").set_value(True).run()
    catch = next(one.value for one in app.markdown if "The catch." in one.value)
    assert "before" in catch and "-\\infty" in catch and "row" in catch
    _, arrays = sent(app, "matrices")
    assert any(f"{arrays['A'][1, 4, 1]:.3f}" in one.value for one in app.latex)


@pytest.mark.parametrize("query", [{"head": "layer 9, head 9"}, {"step": "99"}, {"scores": "none"}, {"weights": "maybe"},
                                   {"cell": "S.x.y"}])  # fmt: skip
def test_a_link_that_cannot_be_gets_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1 and next(iter(query)) in app.warning[0].value


def test_a_cell_of_another_text_is_left_alone(open_page):
    header, _ = sent(open_page(PAGE, cell="S.7.7"), "matrices")
    assert header["at"] is None


def test_a_text_that_is_too_long_keeps_the_last_picture(open_page):
    app = open_page(PAGE, **REAL)
    app.text_input(key="sentence").set_value("word " * 60).run()
    assert not app.exception and len(app.warning) == 1 and "Shorten it" in app.warning[0].value
    assert sent(app, "matrices")[1]["A"].shape == (9, 5, 5)
