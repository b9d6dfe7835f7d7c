"""Memory across segments: the trained model's own numbers, equal where the memory covers the past; snippet."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import transformer
from pages.attention.memory_words import MAP, SAME, TOMORROW, VIEWS, WORTH
from tests.messages import sent
from transformer import segments

PAGE = "pages/attention/memory.py"
MADE = json.loads((Path(__file__).parents[2] / "assets/segments/config.json").read_text("utf-8"))["made"]


@pytest.fixture(scope="module")
def ours():
    model, tokenizer = transformer.load("segments")
    return model, tokenizer.encode(TOMORROW)


def line(app, panel: int, label: str) -> np.ndarray:
    header, arrays = sent(app, "curves")
    (found,) = [series["y"] for series in header["panels"][panel]["series"] if series.get("label") == label]
    return arrays[found]


def test_it_opens_on_a_staircase(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "matrices")
    n = len(header["grid"][0][0]["cols"])
    top = n // 16 * 16 - 1
    assert header["frames"]["at"] == "16"
    for frame, memory in enumerate((0, 4, 8, 16, 32, n)):
        for row, left in enumerate((0, 1, 2, 3)):  # the last layer on top
            lowest = segments.farthest(top, 16, memory, left)
            expected = (np.arange(n) >= lowest) & (np.arange(n) <= top)
            np.testing.assert_array_equal(arrays["with"][frame, row], expected)
    np.testing.assert_array_equal(arrays["alone"], arrays["with"][0])
    assert (arrays["with"][3].sum(-1) == [1, 32, 48, 64]).all()  # a segment, and a memory more with each layer
    assert "has heard of 64 tokens" in header["grid"][1][0]["note"][3]


def test_segment_layers_and_token_change_the_reach(open_page):
    app = open_page(PAGE, segment="8", layers="2", memory="8")
    header, arrays = sent(app, "matrices")
    assert header["grid"][1][0]["note"][2].endswith("has heard of 24 tokens") and arrays["with"].shape[1] == 3
    token = app.selectbox(key="token").options[10]
    app.selectbox(key="token").set_value(token).run()
    assert sent(app, "matrices")[1]["with"][2, -1].sum() == 11 and sent(app, "matrices")[1]["alone"][-1].sum() == 3


def test_the_map_is_the_models(open_page, ours):
    model, ids = ours
    header, arrays = sent(open_page(PAGE, view=MAP, layer="1", head="2", memory="32"), "matrices")
    assert header["frames"]["at"] == "32"
    n = arrays["alone"].shape[0]
    A = segments.read(model, ids[:n], 16, 16, ("A",)).trace["A"][1, 2]
    np.testing.assert_allclose(arrays["with"][3], A.numpy(), atol=1e-6)
    np.testing.assert_array_equal(arrays["with barred"][3], ~segments.mask(n, 16, 16).numpy())
    at_once = model.run(ids[:n], record="layers.1.attention.A").trace["layers.1.attention.A"][0, 2]
    np.testing.assert_allclose(arrays["with"][-1], at_once.numpy(), atol=1e-5)  # all of the past in memory
    share = 100 * sum(A[16:][i, : (i // 16 + 1) * 16].sum().item() for i in range(n - 16)) / (n - 16)
    note = [m["note"] for row in header["grid"] for m in row if m["key"] == "with"][0]
    assert note[3].startswith(f"{share:.0f}% of the later segments' weight")
    S = arrays["S"][3]
    np.testing.assert_allclose(arrays["content"][3] + arrays["distance"][3], S, atol=1e-4)
    np.testing.assert_allclose(torch.tensor(S).nan_to_num(nan=-torch.inf).softmax(-1).numpy(), A.numpy(), atol=1e-5)


@pytest.mark.parametrize("segment", [4, 16])
def test_equal_where_the_memory_covers_the_past_and_not_beyond(open_page, segment):
    """The Check, on the page's own numbers: at every depth."""
    app = open_page(PAGE, view=SAME, segment=str(segment))
    header, _ = sent(app, "curves")
    for label in ("layer 0", "layer 1", "layer 2", "logits"):
        apart = line(app, 0, label)
        n = apart.shape[1]
        assert (apart[-1] < 1e-4).all()  # all
        for frame, memory in enumerate((0, 4, 8, 16, 32)):
            covered = segments.mask(n, segment, memory).sum(-1).numpy() == np.arange(1, n + 1)
            assert (apart[frame][covered] < 1e-4).all() and (apart[frame][~covered] > 1e-4).all() and (~covered).any()
    surprise = line(app, 1, "by segments")
    np.testing.assert_allclose(surprise[-1][:-1], line(app, 1, "all at once")[:-1], atol=1e-4)
    assert np.isnan(surprise[:, -1]).all()


def test_what_the_memory_is_worth_is_what_training_measured(open_page):
    app = open_page(PAGE, view=WORTH)
    with_, without = (np.array(MADE["loss_by_position"][kind]) for kind in ("with", "without"))
    assert with_.shape == without.shape == (3, 16)
    np.testing.assert_allclose(line(app, 0, "memory"), with_.mean(0), rtol=1e-6)
    np.testing.assert_allclose(line(app, 0, "no memory"), without.mean(0), rtol=1e-6)
    gain = without - with_
    np.testing.assert_allclose(line(app, 1, "saved"), gain.mean(0), rtol=1e-4)
    assert gain.mean(1).min() > 0.03 and (gain[:, 0] > 0.3).all()  # every seed; most at a segment's first token
    assert any(f"{with_.mean():.3f} nats a token with a memory" in m.value for m in app.markdown)
    assert any("relative" in m.value and "the forward pass; the gradient is cut" in m.value for m in app.markdown)


@pytest.mark.parametrize("query", [{"memory": "5"}, {"segment": "7"}, {"layers": "9"}, {"token": "99 x"}])
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "matrices")[0]["frames"]["at"] == "16"


@pytest.mark.parametrize("text", ["a", "é🙂", "word " * 400])
def test_short_strange_and_long_texts_have_every_view(open_page, text):
    app = open_page(PAGE)
    app.text_input(key="text").set_value(text).run()
    for view in VIEWS[1:] + VIEWS[:1]:
        app.button_group(key="view").set_value(view).run()
        assert not app.exception and not app.warning


def test_nothing_to_read_is_one_sentence_over_the_last_picture(open_page):
    app = open_page(PAGE)
    app.text_input(key="text").set_value(" ").run()
    assert not app.exception and ["nothing to read" in box.value for box in app.warning] == [True]
    assert len(sent(app, "matrices")[0]["grid"][0][0]["cols"]) > 60


def test_the_snippet_gives_the_pages_numbers(open_page, capsys):
    app = open_page(PAGE, view=SAME)
    apart = line(app, 0, "logits")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    exec(snippet, {})
    found = re.findall(r"memory (\d+) .*? of (\d+) tokens; largest difference ([\d.e-]+)  mean",
                       capsys.readouterr().out)
    assert [int(memory) for memory, _, _ in found[:2]] == [0, 16]
    for (_, _, largest), frame in zip(found, (0, 3, 5), strict=True):
        assert float(largest) == pytest.approx(apart[frame].max(), rel=1e-3, abs=1e-4)


def test_the_prediction_is_revealed_after_the_choice(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("56").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
