"""Softmax temperature: the picture is the model's, bad input gets a sentence, the snippet gives the page's numbers."""

import contextlib
import io
import json
import math
import struct

import numpy as np
import pytest
import torch

import transformer
from transformer import recording, sampling

FILE = "pages/training/temperature.py"
SUM = "assets/recorded/smollm2-135m-sum.safetensors.xz"


def drawn(page):
    (component,) = [c for c in page.get("bidi_component") if c.proto.component_name.endswith("glassformer_temperature")]
    data = component.proto.bytes
    (length,) = struct.unpack("<I", data[:4])
    header = json.loads(data[4 : 4 + length])
    arrays = {name: np.frombuffer(data, np.float32, a["shape"][0], 4 + length + a["offset"])
              for name, a in header["arrays"].items()}  # fmt: skip
    return header, arrays


def test_it_opens_on_smollm2s_recorded_logits(open_page):
    header, arrays = drawn(page := open_page(FILE))
    logits = recording.load(SUM)["logits"][0, -1]
    np.testing.assert_array_equal(arrays["ranked"], logits.sort(descending=True).values.numpy())
    assert header["position"] == 3 and header["names"][0] == " five"
    assert not page.exception and not page.warning
    for T, bits, largest in list(zip(arrays["temperatures"], arrays["entropy"], arrays["largest"], strict=True))[::9]:
        p = sampling.tempered(logits, float(T))
        assert bits == pytest.approx(sampling.entropy(p).item() / math.log(2), rel=1e-4)
        assert largest == pytest.approx(p.max().item(), rel=1e-4)
    assert (np.diff(arrays["entropy"]) >= 0).all() and (np.diff(arrays["largest"]) <= 0).all()
    assert arrays["entropy"][-1] == pytest.approx(math.log2(49_152), abs=0.01)


def test_every_position_can_be_looked_at(open_page):
    model, tokenizer = transformer.load("tiny")
    logits = model.run(tokenizer.encode("To be, or not")).output[0]
    for position in range(len(logits)):
        header, arrays = drawn(open_page(FILE, model="tiny", text="To be, or not", position=str(position)))
        np.testing.assert_allclose(arrays["ranked"], logits[position].sort(descending=True).values.numpy(), atol=1e-4)
        assert header["position"] == position


def test_another_text_is_looked_at_from_its_end(open_page):
    page = open_page(FILE, model="tiny", text="To be, or not", position="1")
    page.text_input(key="text").set_value("Once more").run()
    header, _ = drawn(page)
    assert header["position"] == len(header["pieces"]) - 1


@pytest.mark.parametrize(
    "key, value", [("temperature", "0"), ("temperature", "x"), ("position", "99"), ("position", "-1")]
)
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, key, value):
    page = open_page(FILE, **{key: value})
    assert len(page.warning) == 1 and not page.exception
    header, _ = drawn(page)
    assert header["position"] == 3 and header["temperature"] == 0.25


def test_an_encoder_has_no_logits_and_the_page_says_so(open_page):
    page = open_page(FILE, model="minilm-l6")
    assert len(page.info) == 1 and "is an encoder" in page.info[0].value and not page.exception


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    page = open_page(FILE, model="tiny", text="To be, or not", position="2", temperature="0.7")
    header, arrays = drawn(page)
    (snippet,) = [code.value for code in page.code if code.value.startswith("import math")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["0.7", "0.5", "1.0", "2.0", "5.0"]
    for line in lines:
        T, bits, _, top = line.split(" ", 3)
        p = sampling.tempered(torch.from_numpy(arrays["ranked"].copy()), float(T))
        assert float(bits) == pytest.approx(sampling.entropy(p).item() / math.log(2), abs=2e-3)
        assert eval(top)[0] == (header["names"][0], pytest.approx(p[0].item(), abs=1e-4))


def test_the_ratio_is_its_square_root_when_it_is_twice_as_hot(open_page):
    page = open_page(FILE)
    _, arrays = drawn(page)
    ratio = math.exp(arrays["ranked"][0] - arrays["ranked"][9])
    page.radio(key="prediction").set_value("it becomes its square root").run()
    page.button(key="commit").click().run()
    assert page.success[0].value == "Right."
    assert any(f"{ratio:.3g}" in m.value and f"{ratio**0.5:.3g}" in m.value for m in page.markdown)


def test_the_formula_takes_this_positions_numbers(open_page):
    page = open_page(FILE, position="1")
    assert len(page.latex) == 1
    logits = recording.load(SUM)["logits"][0, 1].sort(descending=True).values
    for on in (True, False, True):
        page.toggle(key="numbers").set_value(on).run()
        assert len(page.latex) == 1 + on and not page.exception
    assert f"{logits[0].item():.2f}" in page.latex[1].value
    assert "[position 1, 49152]" in " ".join(m.value for m in page.markdown)
