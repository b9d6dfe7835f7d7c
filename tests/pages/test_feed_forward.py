"""The feed-forward network: five pictures of one text, all from its trace, and live training of a width."""

import json
import lzma
import re

import numpy as np
import pytest
import torch

import transformer
from pages.block import feed_forward_words as words
from tests.messages import sent
from tests.pages.test_linear_depth import settled
from transformer import recording
from transformer.experiments import neurons
from transformer.training import widths

PAGE = "pages/block/feed_forward.py"


def tiny(text: str, record: tuple[str, ...]):
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode(text)
    return model, ids, model.run(ids, record=record).trace


def test_it_opens_with_the_recorded_sentence(open_page, downloads):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    kept = recording.load(recording.Path(__file__).parents[2] / "assets/recorded/smollm2-135m-capital.safetensors.xz")
    for key, name in {"x̂′": "norm_2", "u": "ffn.pre", "a": "ffn.post", "out": "ffn.out", "x″": "resid_post"}.items():
        expected = kept[f"layers.24.{name}"][0].numpy()
        np.testing.assert_allclose(arrays[key].reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays["SiLU(g)"] * arrays["u"], arrays["a"], rtol=1e-4, atol=1e-5)
    key, row, col = header["at"]
    assert (key, row * 48 + col) == ("a", kept["layers.24.ffn.post"][0, -1].abs().argmax().item())
    assert len(downloads["table"]["a"]) == 1536
    said = " ".join(one.value for one in app.markdown)
    assert "mixes features, not tokens" in said and "75%" in said


@pytest.mark.parametrize("view", words.VIEWS)
@pytest.mark.parametrize("query", [{"model": "tiny", "text": "a"}, {"model": "minilm-l6", "text": "🙂 ok\n\tso"}])
def test_every_view_takes_short_and_strange_texts(open_page, view, query):
    app = open_page(PAGE, view=view, **query)
    assert not app.exception and not app.error


def test_who_fires_is_counted_from_the_trace(open_page):
    app = open_page(PAGE, view=words.FIRING, model="tiny", text="to be or not")
    header, arrays = sent(app, "curves")
    _, ids, trace = tiny("to be or not", ("*.ffn.*", "*.resid_mid"))
    u, a, out, x = (trace[f"layers.1.{name}"][0] for name in ("ffn.gate", "ffn.post", "ffn.out", "resid_mid"))
    found = neurons.firing(u, a, out, x)
    opened, most, half, write = (arrays[series["y"]] for panel in header["panels"] for series in panel["series"])
    for got, expected in ((opened, found.open), (half, found.half), (most, found.most), (write, found.write)):
        np.testing.assert_allclose(got[:, 1], [*expected, expected.mean()], rtol=1e-4)


def test_recorded_and_live_memories_are_the_librarys(open_page):
    header, _ = sent(open_page(PAGE, view=words.MEMORIES), "memories")
    kept = json.loads(lzma.decompress((widths.FILE.parent / "feed-forward-memories.json.xz").read_bytes()))
    assert header["targets"][-1] == " Paris"
    assert header["neurons"][1][1][0]["neuron"] == kept["memories"][24][1][1][0][0]
    app = open_page(PAGE, view=words.MEMORIES, model="tiny", text="to be or not", layer="3")
    header, _ = sent(app, "memories")
    model, ids, trace = tiny("to be or not", ("*.ffn.post", "*.resid_post", "logits"))
    target = trace["logits"][0, -1].argmax().item()
    expected = neurons.memories(model, 3, trace, len(ids) - 1, target, loudest=False, count=6, words=5)
    found = header["neurons"][-1][1]
    assert [one["neuron"] for one in found] == [m.neuron for m in expected]
    assert [one["target"] for one in found] == pytest.approx([m.target for m in expected], rel=1e-4)


def test_no_token_hears_of_another_in_the_ffn(open_page):
    app = open_page(PAGE, view=words.MIXING)
    header, arrays = sent(app, "matrices")  # with the weights at hand: a recording has none
    here, after = arrays["here"], arrays["next"]
    n = len(here)
    for j in range(n):
        assert [row.any() for row in here[j]] == [i == j for i in range(n)]
        assert [bool(v) for v in after[j, :, 0]] == [i >= j for i in range(n)]


def test_a_width_is_trained_live_over_its_recorded_curve(open_page, monkeypatch):
    monkeypatch.setattr(widths.train, "__defaults__", (0, widths.EVERY))
    app = open_page(PAGE, view=words.WIDTHS, width="1×")
    header, _ = sent(app, "curves")
    assert header["picks"]["at"] == "1×" and len(header["table"]["rows"]) == len(widths.TIMES)
    assert "d_ff = 1 d" in app.button(key="train_D3").label
    app.button(key="train_D3").click().run()
    settled(app)
    assert not app.exception and not app.error
    header, arrays = sent(app, "curves")
    kept = json.loads(widths.FILE.read_text())["unseen"]
    dashed = [arrays[s["y"]] for s in header["panels"][0]["series"] if s["kind"] == "line" and s["dash"]]
    assert len(dashed) == 3
    for seed, line in enumerate(dashed):
        np.testing.assert_allclose(line[:2], kept[f"1/{seed}"][:2], rtol=0.01)


@pytest.mark.parametrize("query", [{"word": "9 what"}, {"cell": "x"}, {"layer": "30"}, {"view": "Else"}])
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "matrices")[1]["a"].shape == (5, 32, 48)


def test_a_text_that_is_too_long_keeps_the_picture(open_page):
    app = open_page(PAGE, model="tiny")
    app.text_input(key="text").set_value("word " * 40).run()
    assert not app.exception and ["takes 24" in box.value for box in app.warning] == [True]
    assert sent(app, "matrices")


def test_the_numbers_in_the_formula_are_the_traces(open_page):
    app = open_page(PAGE, model="tiny", text="to be", layer="2")
    app.toggle(key="numbers").set_value(True).run()
    _, _, trace = tiny("to be", ("layers.2.ffn.post",))
    a = trace["layers.2.ffn.post"][0, -1]
    assert f"= {a[a.abs().argmax()].item():.3f}" in app.latex[1].value


@pytest.mark.parametrize("view", words.VIEWS)
def test_the_snippets_give_the_pages_numbers(open_page, monkeypatch, capsys, view):
    app = open_page(PAGE, view=view, model="tiny", text="to be or not", layer="2")
    (snippet,) = [block.value for block in app.code if "import" in block.value and "def " not in block.value]
    monkeypatch.undo()
    monkeypatch.setattr(widths.train, "__defaults__", (0, widths.EVERY))
    names: dict = {}
    exec(snippet, names)
    out = capsys.readouterr().out
    match view:
        case words.WAY:
            loud = sent(app, "matrices")[0]["at"]
            assert int(re.search(r"neuron (\d+)", out)[1]) == loud[1] * sent(app, "matrices")[1]["a"].shape[2] + loud[2]
        case words.MEMORIES:
            assert out.startswith(str(sent(app, "memories")[0]["neurons"][-1][1][0]["neuron"]))
        case words.MIXING:
            assert torch.equal(names["change"][..., :4] > 0, torch.tensor(sent(app, "matrices")[1]["here"] > 0))
        case words.FIRING:
            assert out.startswith("Firing(open=tensor(")
        case words.WIDTHS:
            assert str(widths.costs(4)[0]) in out and "Report(step=20" in out


def test_the_prediction_is_counted_on_the_pages_text(open_page):
    app = open_page(PAGE, text="to be or not to be", model="tiny")
    _, ids, _ = tiny("to be or not to be", ("layers.0.ffn.out",))
    n = len(ids)
    answer = f"1 there, {n - n // 2} after"
    assert answer in app.radio(key="prediction").options
    app.radio(key="prediction").set_value(answer).run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
