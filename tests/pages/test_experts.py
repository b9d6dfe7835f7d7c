"""Mixture of experts: the routes drawn are the models' own, capacity drops what it says, runs are recorded and trained."""

import json
import re

import numpy as np
import pytest
import torch

import transformer
from tests.messages import sent, unpack
from tests.pages.test_pool import settled
from tests.pages.test_step_by_step import said
from transformer import cost, experts
from transformer.experiments import routing
from transformer.presets import MIXTURES, TEXT_MODELS
from transformer.training import experts as training

PAGE = "pages/block/experts.py"
BALANCE, TRAIN, SIZES = "The balance loss", "Training", "Total and active"
TEXT = "Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day"


@pytest.fixture(scope="module")
def models():
    return [transformer.load("experts"), transformer.load(training.FOLDER / "free")]


def curves(app, name: str):
    messages = [unpack(e.proto.bytes) for e in app.get("bidi_component")
        if e.proto.component_name == "glassformer_curves"]
    return next((header, arrays) for header, arrays in messages if header["name"] == name)


def matrices(app, key: str):
    messages = [unpack(e.proto.bytes) for e in app.get("bidi_component")
        if e.proto.component_name == "glassformer_matrices"]
    return next((header, arrays) for header, arrays in messages if header["name"] == key)


def test_the_routes_are_the_models_own(open_page, models):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "routing")
    assert header["k"] == 2 and len(header["letters"]) == 8
    for m, (model, tokenizer) in enumerate(models):
        ids = tokenizer.encode(TEXT)
        assert header["tokens"] == list(tokenizer.pieces(ids))
        run = model.run(ids, record=("layers.*.ffn.router", "layers.*.ffn.gates"))
        for i in range(3):
            p = run.trace[f"layers.{i}.ffn.router"][0].softmax(-1)
            np.testing.assert_allclose(arrays["p"][0, m, i], p.numpy(), atol=1e-5)
            np.testing.assert_allclose(arrays["gates"][0, m, i], run.trace[f"layers.{i}.ffn.gates"][0].numpy(),
                atol=1e-5)
        loss = torch.nn.functional.cross_entropy(run.output[0, :-1], torch.tensor(ids[1:])).item()
        assert arrays["loss"][0, m] == pytest.approx(loss, abs=1e-4)
    np.testing.assert_allclose(arrays["gates"][0].sum(-1), 1, atol=1e-5)


def test_a_capacity_drops_readings_and_costs_loss(open_page, models):
    header, arrays = sent(open_page(PAGE, capacity="0.5"), "routing")
    c = header["capacities"].index("0.5")
    assert header["capacity"] == "0.5" and header["room"][0] is None and header["room"][c] == routing.room(len(header["tokens"]), 2, 8, 0.5)
    read = (arrays["gates"][c] > 0).sum(-2)
    assert read.max() == header["room"][c] and (arrays["gates"][c] > 0).sum() < (arrays["wanted"][c] > 0).sum()
    assert (arrays["loss"][c] > arrays["loss"][0]).all()


def test_another_text_changes_the_tensors_and_a_bad_one_does_not(open_page):
    app = open_page(PAGE)
    app.text_input(key="text").set_value("the king and the queen").run()
    header, arrays = sent(app, "routing")
    assert len(header["tokens"]) == arrays["p"].shape[3] < 12
    for bad, word in (("", "nothing to read"), ("word " * 200, "too long")):
        app.text_input(key="text").set_value(bad).run()
        assert len(app.warning) == 1 and word in app.warning[0].value and not app.exception
        assert sent(app, "routing")[0]["tokens"] == header["tokens"]


def test_the_balance_loss_is_the_librarys_term_by_term(open_page, models):
    app = open_page(PAGE, view=BALANCE, layer="1")
    header, arrays = matrices(app, "balance-loss")
    assert header["frames"]["at"] == "1"
    for title, (model, tokenizer) in zip(header["picks"]["values"], models, strict=True):
        router = model.run(tokenizer.encode(TEXT), record="layers.*.ffn.router").trace
        for i in range(3):
            L = experts.balance_loss(router[f"layers.{i}.ffn.router"], 2).item()
            assert arrays[f"t {title}"][i].sum() == pytest.approx(L, abs=1e-4)
            assert arrays[f"f {title}"][i].sum() == pytest.approx(2,
                abs=1e-5) and arrays[f"p {title}"][i].sum() == pytest.approx(1, abs=1e-5)
    header, arrays = curves(app, "load")
    balanced, joint, free = (arrays[row["cells"][0]] for row in header["table"]["rows"])
    assert (balanced[:, 0] < joint[:, 0]).all() and balanced[:, 0].max() < 0.2 < free[:, 0].max()


def test_recorded_runs_stand_before_anything_is_trained(open_page):
    app = open_page(PAGE, view=TRAIN)
    header, arrays = curves(app, "experts-live")
    runs = json.loads(training.RECORDED.read_text("utf-8"))["runs"]
    mean = np.mean([[report[2] for report in seed] for seed in runs["2/0.03"]], axis=0)
    np.testing.assert_allclose(arrays[header["table"]["rows"][1]["cells"][0]], mean, atol=1e-5)
    header, _ = curves(app, "experts-plays")
    assert [row["name"] for row in header["table"]["rows"]][-2:] == ["dense, same active", "dense, same total"]
    before = sent_live(app)
    app.selectbox(key="live_k").set_value(1).run()
    assert sent_live(app) != before and not app.exception


def sent_live(app) -> str:
    header, arrays = curves(app, "experts-live")
    return str([arrays[row["cells"][0]].tolist() for row in header["table"]["rows"]])


def test_a_run_trained_here_lies_over_the_recorded(open_page, monkeypatch):
    whole = training.live

    def short(k, alpha, seed):
        return whole(k, alpha, seed, steps=4, every=4)

    monkeypatch.setattr(training, "live", short)
    app = open_page(PAGE, view=TRAIN)
    lines = len(curves(app, "experts-live")[0]["panels"][0]["series"])
    app.button(key="train_D6").click().run()
    settled(app)
    header, arrays = curves(app, "experts-live")
    assert len(header["panels"][0]["series"]) == lines + 6 and not app.exception
    mine = [arrays[s["y"]] for s in header["panels"][0]["series"] if s.get("dash") == [5, 3]]
    assert len(mine) == 6 and all(np.isfinite(line[0]) and np.isnan(line[1:]).all() for line in mine)
    assert mine[0][0] == pytest.approx(next(training.live(2, 0.0, 0)).unseen, abs=1e-4)


def test_sizes_are_counted(open_page):
    app = open_page(PAGE, view=SIZES, k="1", experts="1")
    header, arrays = curves(app, "experts-size")
    total, active = (arrays[row["cells"][0]] for row in header["table"]["rows"])
    base = sum(cost.parameters(TEXT_MODELS["smollm2-135m"]).values()) / 1e9
    assert total[0, 0] == pytest.approx(base, rel=1e-6) == pytest.approx(active[0, 0],
        rel=1e-6)  # one expert is the dense model
    assert np.isnan(active[1, 0]) and total[0, 8] > 5 * active[0, 8] * 0.5
    table = next(one.value for one in app.markdown if "mixtral-8x7b" in one.value)
    assert "46.70 B" in table and "12.88 B" in table and all(name in table for name in MIXTURES)


def test_the_snippet_gives_the_numbers_of_the_page(open_page):
    app = open_page(PAGE, capacity="1")
    header, arrays = sent(app, "routing")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    printed = said(app, snippet)
    c, at = header["capacities"].index("1"), (0, header["layer"], header["token"])
    for name, key in (("p", "p"), ("gates", "gates")):
        values = [float(x) for x in re.search(rf"^{name} \[(.*)\]$", printed, re.MULTILINE)[1].split(",")]
        np.testing.assert_allclose(values, arrays[key][c][at], atol=1e-4)
    assert float(re.search(r"^loss (\S+)$", printed, re.MULTILINE)[1]) == pytest.approx(arrays["loss"][c, 0], abs=1e-3)


def test_the_prediction_the_catch_and_the_numbers(open_page, models):
    app = open_page(PAGE)
    catch = next(one.value for one in app.markdown if "The catch." in one.value)
    assert all(word in catch for word in ("memory", "compute", "not the language loss", "before or after top-k",
        "not topics"))
    model, tokenizer = models[0]
    ids = tokenizer.encode(TEXT)
    one = routing.read(model, ids, 1.0)
    lost = int((one.wanted[2] > 0).sum() - (one.gates[2] > 0).sum())
    app.radio(key="prediction").set_value(f"{lost} of {2 * len(ids)}").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
    app.toggle(key="numbers").set_value(True).run()
    assert any(r"g_{" in one.value and "frac" in one.value for one in app.latex)


@pytest.mark.parametrize("query", [{"layer": "9"}, {"token": "x"}, {"capacity": "3"}, {"trained": "badly"},
                                   {"view": SIZES, "experts": "x"}, {"view": TRAIN, "live_k": "7"}])  # fmt: skip
def test_a_link_that_cannot_be_gets_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1
