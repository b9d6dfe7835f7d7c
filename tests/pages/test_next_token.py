"""Next token: what the link says is drawn, bad input gets one sentence, the snippet gives the page's numbers."""

import contextlib
import io

import numpy as np
import pytest
import torch

import transformer
from pages.inside.writing import MOST, SEED, Settings
from tests.messages import sent
from transformer import recording, sampling

FILE = "pages/inside/next_token.py"
SUM = "assets/recorded/smollm2-135m-sum.safetensors.xz"


def drawn(page):
    """What the component was given last: header, and the logits by rank."""
    header, arrays = sent(page, "next_token")
    return header, arrays["ranked"]


@pytest.fixture(scope="module")
def tiny():
    return transformer.load("tiny")


def of_tiny(open_page, **query):
    return open_page(FILE, model="tiny", **query)


def test_it_opens_on_smollm2s_recorded_answer(open_page):
    page = open_page(FILE)
    header, ranked = drawn(page)
    logits = recording.load(SUM)["logits"][0, -1].sort(descending=True, stable=True)
    np.testing.assert_array_equal(ranked, logits.values.numpy())
    assert header["ids"] == logits.indices[:200].tolist()
    assert header["names"][:2] == [" five", " four"] and header["prompt"] == ["Two", " plus", " two", " equals"]
    assert header["u"] == sampling.dice(SEED, 1)[0].item() and header["seed"] == SEED
    assert not header["can_write"] and "recorded" in header["why_not"]
    assert not page.exception and not page.warning


def test_a_written_text_is_read_by_the_model_on_the_page(open_page, tiny):
    model, tokenizer = tiny
    ids, written = tokenizer.encode("To be"), [300, 44, 7]
    header, ranked = drawn(of_tiny(open_page, text="To be", written="300.44f.7", step="2"))
    logits = model.run(ids + written[:2]).output[0, -1].sort(descending=True)
    np.testing.assert_allclose(ranked, logits.values.numpy(), atol=1e-4)
    assert [token["id"] for token in header["written"]] == written and header["at"] == 2
    assert [token["forced"] for token in header["written"]] == [False, True, False]
    assert header["u"] == sampling.dice(SEED, 3)[2].item() and header["can_write"]
    p = model.run(ids).output[0, -1].softmax(-1)[300].item()
    assert header["written"][0]["p"] == pytest.approx(p, rel=1e-4)


def test_greedy_beside_it_is_greedy(open_page, tiny):
    model, tokenizer = tiny
    header, _ = drawn(of_tiny(open_page, text="To be", written="300.44.7", greedy="1"))
    steps = transformer.generate(model, tokenizer.encode("To be"), max_new_tokens=3, temperature=0, exact=True)
    assert [token["id"] for token in header["greedy"]] == [step.token for step in steps]


def test_another_text_starts_afresh_and_keeps_the_setting(open_page):
    page = of_tiny(open_page, text="To be", written="300.44", temperature="0.5")
    page.text_input(key="text").set_value("Once more").run()
    header, _ = drawn(page)
    assert header["written"] == [] and header["settings"]["temperature"] == 0.5
    assert "written" not in page.query_params


def test_moving_a_slider_sends_no_logits(open_page):
    """The browser holds the setting; the page's message stays the same byte for byte, and is not sent again."""
    page = of_tiny(open_page, text="To be")
    (before,) = [c.proto.bytes for c in page.get("bidi_component") if "next_token" in c.proto.component_name]
    page.session_state["_held_next_token"] = Settings(0.5, 40)
    page.query_params["temperature"], page.query_params["top_k"] = "0.5", "40"
    page.run()
    (after,) = [c.proto.bytes for c in page.get("bidi_component") if "next_token" in c.proto.component_name]
    assert after == before
    page.query_params["temperature"] = "3"  # the back button: this one has to be pressed on the browser
    page.run()
    assert drawn(page)[0]["settings"]["temperature"] == 3.0


@pytest.mark.parametrize("key, value", [
    ("temperature", "-1"), ("temperature", "hot"), ("temperature", "nan"), ("temperature", "1e9"), ("top_k", "0"),
    ("top_k", "2.5"), ("top_p", "0"), ("top_p", "1.5"), ("min_p", "-0.1"), ("seed", "x"), ("seed", "-3"),
    ("step", "5"), ("written", "1.x"), ("written", "99999"), ("written", ".".join(["1"] * (MOST + 1))), ("greedy", "maybe"),
])  # fmt: skip
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, key, value):
    page = of_tiny(open_page, text="To be", **{key: value})
    assert len(page.warning) == 1 and "cannot take" in page.warning[0].value and not page.exception
    header, _ = drawn(page)
    assert header["written"] == []
    assert header["settings"] == {"temperature": 1.0, "top_k": None, "top_p": None, "min_p": None}


def test_an_encoder_has_no_next_token_and_the_page_says_so(open_page):
    page = open_page(FILE, model="minilm-l6")
    assert len(page.info) == 1 and "is an encoder" in page.info[0].value
    assert drawn(page)[0]["names"][0] == " five" and not page.exception


@pytest.mark.parametrize("text", ["   ", "x" * 400_000])
def test_a_text_that_cannot_be_read_gets_one_sentence_and_keeps_the_picture(open_page, text):
    page = of_tiny(open_page, text="To be")
    before = drawn(page)
    page.text_input(key="text").set_value(text).run()
    assert len(page.warning) == 1 and not page.exception
    assert drawn(page)[0]["names"] == before[0]["names"]


def test_any_script_and_one_token_work(open_page):
    for text in ("語", "🙂🙂", "a", "def f(x):\n\treturn x", "שלום"):
        page = of_tiny(open_page, text=text)
        assert not page.exception and not page.warning and drawn(page)[1].shape == (1024,)


def test_the_models_end_is_said(open_page, tiny):
    page = of_tiny(open_page, text="To be", written=str(tiny[1].end_id))
    assert "ended its text" in drawn(page)[0]["ended"]
    page = of_tiny(open_page, text="To be", written=".".join(["5"] * MOST))
    assert "all this page takes" in drawn(page)[0]["ended"]


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    page = of_tiny(open_page, text="To be", written="300.44", temperature="0.8", top_k="50", top_p="0.9", seed="3")
    header, ranked = drawn(page)
    (snippet,) = [code.value for code in page.code if code.value.startswith("import transformer")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    *top, last = out.getvalue().splitlines()
    q = sampling.probabilities(torch.from_numpy(ranked.copy()), 0.8, 50, 0.9)
    assert [line.rsplit(" ", 1)[1] for line in top] == [str(round(x.item(), 4)) for x in q[:5]]
    assert [line.rsplit(" ", 1)[0] for line in top] == [repr(name) for name in header["names"][:5]]
    assert last == f"drawn: {header['names'][int(sampling.pick(q, header['u']))]!r}"


def test_the_formula_takes_the_pages_numbers_in(open_page):
    page = of_tiny(open_page, text="To be", temperature="0.5", top_k="3")
    page.toggle(key="numbers").set_value(True).run()
    _, ranked = drawn(page)
    p, q = (sampling.probabilities(torch.from_numpy(ranked.copy()), 0.5, k)[0].item() for k in (None, 3))
    shown = page.latex[-1].value
    assert f"= {p:.4f}" in shown and f"= {q:.4f}" in shown and r"\text{over } 3\text{ kept}" in shown
    page.query_params["temperature"] = "0"
    assert r"T = 0" in page.run().latex[-1].value


def test_the_prediction_is_answered_by_the_picture(open_page):
    page = open_page(FILE)
    logits = recording.load(SUM)["logits"][0, -1]
    kept = [int((sampling.probabilities(logits, T, top_p=0.9) > 0).sum()) for T in (1.0, 2.0)]
    assert kept[1] > 10 * kept[0]
    page.radio(key="prediction").set_value("fewer than before").run()
    page.button(key="commit").click().run()
    said = " ".join(m.value for m in page.markdown) + " ".join(i.value for i in page.info)
    assert "more than ten times as many" in said and f"{kept[0]:,}" in said and f"{kept[1]:,}" in said
