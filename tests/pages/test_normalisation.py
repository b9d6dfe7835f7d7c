"""Normalisation: the cube holds the model's own tensors, each norm is the library's, and companions count for one alone."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import transformer
from tests.messages import sent
from tests.pages.test_pool import settled
from tests.pages.test_step_by_step import said
from transformer import recording
from transformer.experiments import normalised
from transformer.training import normed

PAGE = "pages/block/normalisation.py"
COMPANIONS, TRAINED, LAYERS, SIZE = "Companions", "Trained with it", "In the model", "ε, size and shift"
FIRST = ["The capital of France is", "My cat Zibbo loves fish", "Water boils at one hundred degrees", "She sold her "
    "old car"]


@pytest.fixture(scope="module")
def tiny():
    return transformer.load("tiny")


def streams(tiny, texts=FIRST, layer=1) -> list[torch.Tensor]:
    model, tokenizer = tiny
    name = f"layers.{layer}.resid_pre"
    return [model.run(tokenizer.encode(text), record=name).trace[name][0].double() for text in texts]


def test_the_cube_holds_the_stream_and_every_norm_of_it(open_page, tiny):
    header, arrays = sent(open_page(PAGE), "norm_cube")
    x = torch.stack([one[:5] for one in streams(tiny)])
    shown = header["features"]
    np.testing.assert_allclose(arrays["x"], x[..., shown].numpy(), rtol=1e-5, atol=1e-6)
    eps, d = header["eps"], x.shape[-1]
    layer = F.layer_norm(x, (d,), eps=eps)[..., shown]
    np.testing.assert_allclose(arrays["layer y"][0], layer.numpy(), rtol=1e-4, atol=1e-5)
    batch = F.batch_norm(x.flatten(0, 1), None, None, training=True, eps=eps).view_as(x)[..., shown]
    np.testing.assert_allclose(arrays["batch y"][-1], batch.numpy(), rtol=1e-4, atol=1e-5)
    model, tokenizer = tiny
    for b, text in enumerate(FIRST):  # with γ this is what the model itself computed
        own = model.run(tokenizer.encode(text), record="layers.1.norm_1").trace["layers.1.norm_1"][0, :5, shown]
        np.testing.assert_allclose(arrays["rms y"][0, b], own.numpy(), rtol=1e-3, atol=1e-4)


def test_a_smaller_batch_changes_batch_norm_alone(open_page):
    header, arrays = sent(open_page(PAGE), "norm_cube")
    assert len(arrays["batch y"]) == 20 and len(arrays["layer y"]) == 1
    moved = arrays["batch moved"]
    assert moved[0] == pytest.approx(1) and moved[-1] == 0 and (moved[:-1] > 0.01).all()
    assert np.nanmax(np.abs(arrays["batch y"][0])) == 0  # one token: nothing is left
    for kind in ("layer", "rms", "running"):
        assert not arrays[f"{kind} moved"].any()
    assert np.isnan(arrays["batch y"][0][1:]).all()  # what is not in the batch has no y


def test_companions_join_one_by_one(open_page, tiny):
    app = open_page(PAGE, view=COMPANIONS, count="3")
    header, arrays = sent(app, "curves")
    every = streams(tiny)
    last = every[0][-1:]
    x = torch.cat([last, every[0][:-1], *every[1:]])[:32]
    moved = normalised.moved(normalised.companions("batch", x, 1e-5)).numpy()
    cells = [arrays[row["cells"][0]] for row in header["table"]["rows"]]
    np.testing.assert_allclose(cells[0], moved, atol=1e-5)
    assert not cells[1].any() and not cells[2].any() and not cells[3].any()
    assert header["cursor"] == 3 and cells[0][1] > 0.5
    lines = [arrays[s["y"]] for s in header["panels"][0]["series"]]
    assert all(line[0] == 0 and abs(line[1]) <= 1 for line in lines)  # erased
    assert np.median([abs(line[1]) for line in lines]) > 0.999  # then signs alone, but where two numbers are nearly one
    assert any("Expected more than 1 value" in one.value for one in app.caption)


def test_the_layers_are_the_recorded_models(open_page):
    header, arrays = sent(open_page(PAGE, view=LAYERS, depth="20"), "curves")
    capital = recording.load(f"{__file__.rsplit('/tests/', 1)[0]}/assets/recorded/smollm2-135m-capital.safetensors.xz")
    stream = torch.stack([capital[f"layers.{i}.resid_pre"][0] for i in range(30)]).double()
    rms, _, top, mean = (arrays[cell] for cell in header["table"]["rows"][0]["cells"])
    np.testing.assert_allclose(rms, stream.square().mean(-1).sqrt().T, rtol=1e-4)
    np.testing.assert_allclose(top, (stream.square().amax(-1) / stream.square().sum(-1)).T, rtol=1e-4)
    assert rms[0, 20] > 30 * rms[1:, 20].max() and top[0, 20] > 0.9 and mean.max() < 0.15


def test_where_epsilon_and_the_mean_count(open_page):
    app = open_page(PAGE, view=SIZE)
    header, arrays = next((h, a) for h, a in both(app) if h["name"] == "epsilon")
    layer, rms, outside = (arrays[row["cells"][0]] for row in header["table"]["rows"])
    assert (layer[:60] < 0.9 * outside[:60]).all() and layer[-1] == pytest.approx(1, abs=1e-6)
    header, arrays = next((h, a) for h, a in both(app) if h["name"] == "shift")
    layer, rms = (arrays[row["cells"][0]] for row in header["table"]["rows"])
    assert layer.max() < 1e-6 and rms[-1] > 0.5
    assert any("15.5% more" in one.value and "0.087% more" in one.value for one in app.caption)  # d = 4 and d = 576


def both(app):
    from tests.messages import unpack

    return [unpack(e.proto.bytes) for e in app.get("bidi_component") if e.proto.component_name == "glassformer_curves"]


def test_other_sentences_and_another_layer_change_the_tensors(open_page):
    app = open_page(PAGE)
    before = sent(app, "norm_cube")[1]["x"]
    app.selectbox(key="layer").set_value(2).run()
    assert not np.array_equal(sent(app, "norm_cube")[1]["x"], before)
    app.text_input(key="text").set_value("one | two").run()
    header, arrays = sent(app, "norm_cube")
    assert len(header["sentences"]) == 2 and not app.exception and not app.warning
    app.text_input(key="text").set_value("a | b | c | d | e").run()
    assert len(sent(app, "norm_cube")[0]["sentences"]) == 4 and len(app.warning) == 1
    app.text_input(key="text").set_value(" | ").run()
    assert len(app.warning) == 1 and "nothing to read" in app.warning[0].value and not app.exception


@pytest.mark.parametrize("view", ["Who shares a mean", COMPANIONS])
def test_a_batch_of_one_token_stands(open_page, view):
    app = open_page(PAGE, text="a", view=view)
    assert not app.exception


def test_the_snippet_gives_the_numbers_of_the_page(open_page):
    app = open_page(PAGE)
    header, arrays = sent(app, "norm_cube")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    printed = said(app, snippet)
    b, t, f = header["at"]
    for kind in ("layer", "batch"):
        mean, variance, y = map(float, re.search(rf"^{kind} (\S+) (\S+) (\S+)$", printed, re.MULTILINE).groups())
        found = [arrays[f"{kind} {part}"][-1, b, t, f] for part in ("mean", "variance", "y")]
        np.testing.assert_allclose([mean, variance, y], found, rtol=1e-3, atol=1e-5)


def test_the_prediction_the_catch_and_the_numbers(open_page, tiny):
    app = open_page(PAGE)
    catch = next(one.value for one in app.markdown if "The catch." in one.value)
    assert "inside" in catch and "biased" in catch and "15.5%" in catch and "0.087%" in catch and "centre" in catch
    model, tokenizer = tiny
    x = streams(tiny, FIRST[:1], 2 * model.config.n_layers // 3)[0][0]
    loudest = (x / x.square().mean().sqrt()).abs().max().item()
    (mine,) = [option for option in app.radio(key="prediction").options if option == f"{loudest:.3g}"]
    app.radio(key="prediction").set_value(mine).run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
    app.toggle(key="numbers").set_value(True).run()
    assert any(r"\sqrt{" in one.value and "10^{-5}" in one.value for one in app.latex)


@pytest.mark.parametrize("query", [{"norm": "GroupNorm"}, {"sentences": "9"}, {"cell": "1.2"}, {"layer": "99"},
                                   {"view": COMPANIONS, "count": "x"}, {"view": LAYERS, "word": "77"}])  # fmt: skip
def test_a_link_that_cannot_be_gets_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1


def test_models_trained_with_each_norm_stand_recorded_and_train_here(open_page, monkeypatch):
    whole = normed.live

    def short(norm, count, seed):
        return whole(norm, count, seed, steps=4, every=4)

    monkeypatch.setattr(normed, "live", short)
    app = open_page(PAGE, view=TRAINED)
    header, arrays = sent(app, "curves")
    recorded = normed.load()
    for row, norm in zip(header["table"]["rows"], normed.NORMS, strict=True):
        for cell, field in zip(row["cells"], ("unseen", "batch_of_one"), strict=True):
            mean = np.mean([[getattr(report, field) for report in seed] for seed in recorded[norm, 1]], axis=0)
            np.testing.assert_allclose(arrays[cell], mean, rtol=1e-5)
    lines = len(header["panels"][0]["series"])
    app.button(key="train_D1").click().run()
    settled(app)
    header, arrays = sent(app, "curves")
    mine = [arrays[s["y"]] for s in header["panels"][0]["series"] if s.get("dash") == [5, 3]]
    assert len(header["panels"][0]["series"]) == lines + 9 and not app.exception
    assert mine[0][0] == pytest.approx(next(normed.live("layer", 1, 0)).unseen, abs=1e-4)
    app.selectbox(key="passages").set_value(48).run()
    assert len(sent(app, "curves")[0]["panels"][0]["series"]) == lines and not app.exception
