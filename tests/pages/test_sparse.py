"""Sparse patterns: masks and reach are the library's, heads are the trace's, costs and losses are the recorded ones."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
import torch

import transformer
from pages.attention import patterns
from pages.attention.patterns import FIXED, LSH, NAMES
from pages.attention.sparse_words import COST, HEAD, TRAINED, VIEWS
from tests.messages import sent
from transformer import Config, masks, recording
from transformer.attention import masked_softmax
from transformer.experiments.sparsified import allowed, same_bucket
from transformer.training import patterns as training
from transformer.training.loop import evaluate

PAGE = "pages/attention/sparse.py"
PRONOUN = recording.load("assets/recorded/smollm2-135m-pronoun.safetensors.xz")


def printed(app) -> str:
    (snippet,) = [code.value for code in app.code if "from transformer" in code.value and "print(" in code.value]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue()


def test_it_opens_on_dilation_by_three_and_every_pattern_is_its_mask(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "matrices")
    assert header["picks"]["at"] == "dilated" and header["picks"]["values"] == list(NAMES)
    q, k = np.indices((16, 16))
    np.testing.assert_array_equal(arrays["dilated pattern"], (k <= q) & ((q - k) % 3 == 0) & (q - k < 12))
    for name in FIXED:
        one = allowed(patterns.config_of(name, 3, 4), 16)
        np.testing.assert_array_equal(arrays[f"{name} pattern"], one)
        deep = masks.reach(one.expand(6, 16, 16)).numpy()
        for depth, frame in enumerate(arrays[f"{name} reach"], start=1):
            np.testing.assert_array_equal(np.isfinite(frame), (deep >= 0) & (deep <= depth))
    Q, K = PRONOUN["layers.0.attention.Q"][0], PRONOUN["layers.0.attention.K"][0].repeat_interleave(3, 0)
    met = same_bucket(Q, K, patterns.BUCKETS, patterns.ROUNDS)[8]
    np.testing.assert_array_equal(arrays[f"{LSH} pattern"], met)


def test_a_cell_that_was_unpinned_is_not_asked_for_where_it_is_not(open_page):
    app = open_page(PAGE, cell="dilated reach,15,0")
    stand = app.session_state["_held_matrices"]
    app.session_state["_held_matrices"] = stand._replace(cell=None)  # as the picture reports it
    del app.query_params["cell"]
    app.session_state["matrices"] = {}  # a browser has it there
    app.select_slider(key="n").set_value(12).run()
    assert not app.exception and sent(app, "matrices")[0]["at"] is None


def test_the_controls_change_the_pattern(open_page):
    app = open_page(PAGE, pattern="window", depth="5", cell="window reach,9,3")
    header, before = sent(app, "matrices")
    assert (header["picks"]["at"], header["frames"]["at"], header["at"]) == ("window", 5, ["window reach", 9, 3])
    app.slider(key="w").set_value(2).run()
    _, narrower = sent(app, "matrices")
    assert narrower["window pattern"].sum() < before["window pattern"].sum()
    app.toggle(key="both").set_value(True).run()
    _, both = sent(app, "matrices")
    np.testing.assert_array_equal(both["window pattern"], both["window pattern"].T)
    app.slider(key="r").set_value(5).run()
    assert not np.array_equal(sent(app, "matrices")[1]["dilated pattern"], both["dilated pattern"])
    assert not app.exception and not app.warning


@pytest.mark.parametrize(
    "key, value", [("pattern", "routing"), ("depth", "99"), ("cell", "window pattern,99,0"), ("r", "0"), ("n", "7")]
)
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, key, value):
    app = open_page(PAGE, **{key: value})
    assert len(app.warning) == 1 and not app.exception
    assert sent(app, "matrices")[0]["picks"]["at"] == "dilated"


def test_the_snippet_counts_the_pages_pairs_and_reach(open_page):
    app = open_page(PAGE, pattern="bigbird", r="2", w="3")
    header, arrays = sent(app, "matrices")
    out = printed(app)
    assert f"{int(arrays['bigbird pattern'].sum())} of 256 pairs" in out
    within = [int(n) for n in re.findall(r"layers: (\d+) tokens", out)]
    assert within == [int(np.isfinite(frame[-1]).sum()) for frame in arrays["bigbird reach"]]


def test_a_real_head_under_each_pattern(open_page):
    app = open_page(PAGE, view=HEAD)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    S, V = PRONOUN["layers.13.attention.scores"][0], PRONOUN["layers.13.attention.V"][0].repeat_interleave(3, 0)
    np.testing.assert_allclose(arrays["exact"], PRONOUN["layers.13.attention.A"][0].numpy(), atol=1e-6)
    exact = torch.from_numpy(arrays["exact"].copy())
    rows = header["grid"][1][0]["rows"]
    for name in FIXED[:-1]:
        one = allowed(patterns.config_of(name, 3, 4), S.shape[-1])
        A = masked_softmax(S[None], one)[0]
        np.testing.assert_allclose(arrays[f"{name} A"], A, atol=1e-6)
        np.testing.assert_allclose(arrays["kept"][rows.index(name)], (exact * one).sum((1, 2)) / S.shape[-1], atol=1e-5)
        error = ((A @ V - exact @ V).flatten(1).norm(dim=1) / (exact @ V).flatten(1).norm(dim=1)).numpy()
        np.testing.assert_allclose(arrays["error"][rows.index(name)], error, rtol=1e-4)
    error = arrays["error"].mean(1)
    assert error[rows.index("longformer")] < error[rows.index("window")]  # the first token
    app.selectbox(key="layer").set_value(20).run()
    assert np.abs(sent(app, "matrices")[1]["exact"] - arrays["exact"]).max() > 0.3


def test_the_heads_snippet_gives_the_errors(open_page):
    for pattern in ("strided", LSH):
        app = open_page(PAGE, model="tiny", text="To be, or not to be, that is", view=HEAD, pattern=pattern)
        header, arrays = sent(app, "matrices")
        out = printed(app)
        numbers = [float(x) for x in re.findall(r"\d+\.\d*(?:e-\d+)?", out.split("error")[1])]
        i = header["grid"][1][0]["rows"].index(pattern)
        np.testing.assert_allclose(numbers, arrays["error"][i], atol=2e-4)


def test_the_recorded_costs_are_drawn_and_can_be_measured_here(open_page, monkeypatch):
    monkeypatch.setattr(patterns, "HERE", (256,))
    app = open_page(PAGE, view=COST)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    found = json.loads((training.FOLDER / "cost.json").read_text())
    row = {row["name"]: [arrays[cell] for cell in row["cells"]] for row in header["table"]["rows"]}
    for name in found["options"]:
        for i, kind in enumerate(("decoder", "encoder")):
            np.testing.assert_allclose(row[name][0][i], found["kinds"][kind][name]["milliseconds"], rtol=1e-5)
    assert any(found["made"]["machine"] in c.value and found["made"]["date"] in c.value for c in app.caption)
    time = {name: found["kinds"]["decoder"][name]["milliseconds"] for name in ("full", "window")}
    assert time["full"][-1] / time["full"][-2] > 3 > 2.6 > time["window"][-1] / time["window"][-2]  # n² and n
    assert time["window"][-1] < 0.2 * time["full"][-1]
    app.button(key="measure").click().run()
    assert not app.exception
    header, arrays = sent(app, "curves")
    own = [line for line in header["panels"][0]["series"] if line["label"].endswith(", here")]
    assert [line["label"] for line in own] == ["full, here", "dilated, here"]
    assert np.isfinite(arrays[own[0]["y"]][:, 0]).all() and (arrays[own[0]["y"]][:, 0] > 0).all()


def test_the_trained_models_read_the_learners_text(open_page):
    app = open_page(PAGE, view=TRAINED, text="My lord, what news?")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    rows = header["grid"][0][0]["rows"]
    assert rows == list(training.PATTERNS)
    for row in ("full", "dilated", "lsh", "linear"):
        model, tokenizer = transformer.load(training.FOLDER / row)
        ids = tokenizer.encode("My lord, what news?")
        logits = model.run(ids).output[0]
        by_hand = -logits[:-1].log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
        np.testing.assert_allclose(arrays["surprise"][rows.index(row)], by_hand, atol=1e-4)
    assert not np.isnan(arrays["dilated A"]).any()
    q, k = np.indices(arrays["dilated A"].shape[1:])
    assert (arrays["dilated A"][:, (q - k) % 3 != 0] == 0).all()
    for row in rows:
        mean = float(re.search(rf"^{row} ([\d.]+) nats", printed(app), re.MULTILINE)[1]) if row == "full" else None
        assert mean is None or mean == pytest.approx(arrays["surprise"][rows.index(row)].mean(), abs=1e-3)


def test_every_trained_row_has_three_seeds_its_spread_and_a_small_checkpoint(open_page):
    app = open_page(PAGE, view=TRAINED)
    table = json.loads((training.FOLDER / "table.json").read_text())
    (shown,) = [m.value for m in app.markdown if m.value.startswith("| trained with")]
    for row, of in table["rows"].items():
        L = [run["held_out_loss"] for run in of["runs"]]
        assert len({run["seed"] for run in of["runs"]}) >= 3
        assert f"| {row} | {np.mean(L):.2f} ± {(max(L) - min(L)) / 2:.2f} |" in shown
        file = training.FOLDER / row / "model.safetensors"
        assert file.stat().st_size <= 150_000
        model, _ = transformer.load(training.FOLDER / row)
        assert model.config == training.config_of(row)
    mean = {row: np.mean([run["held_out_loss"] for run in of["runs"]]) for row, of in table["rows"].items()}
    worst = max(run["held_out_loss"] for run in table["rows"]["full"]["runs"])
    assert mean["dilated"] > worst
    assert mean["dilated"] == max(mean[row] for row in ("full", "window", "dilated", "strided", "bigbird"))


def test_a_shipped_checkpoint_gives_its_recorded_loss(plays):
    table = json.loads((training.FOLDER / "table.json").read_text())
    _, tokenizer = transformer.load(training.FOLDER / "full")
    test = training.held_out(training.unseen_plays(tokenizer)[0])
    for row in ("dilated", "window"):
        (run,) = [run for run in table["rows"][row]["runs"] if run["seed"] == 0]
        model, _ = transformer.load(training.FOLDER / row)
        assert evaluate(model, test) == pytest.approx(run["held_out_loss"], abs=2e-3)


@pytest.mark.parametrize("text", ["a", "🙂 né 日本"])
def test_any_text_is_read_in_every_view(open_page, text):
    for view in VIEWS:
        app = open_page(PAGE, model="tiny", text=text, view=view)
        assert not app.exception and not app.warning, view


def test_unknown_rows_are_refused():
    with pytest.raises(ValueError, match="no row 'routing'"):
        training.config_of("routing")
    assert training.config_of("linear") == Config(**training.BASE, attention="linear")


def test_the_catch_and_the_prediction(open_page):
    app = open_page(PAGE)
    assert any("A mask saves nothing" in m.value for m in app.markdown)
    assert any("Routing" in m.value and "not built here" in m.value for m in app.markdown)
    found = json.loads((training.FOLDER / "cost.json").read_text())["kinds"]["decoder"]
    taken = found["window"]["milliseconds"][-1] / found["full"]["milliseconds"][-1]
    assert 0.04 < taken < 0.2
    assert not any(f"{taken:.1%}" in m.value for m in app.markdown)
    app.radio(key="prediction").set_value("4 % to 20 %").run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right." and any(f"{taken:.1%}" in m.value for m in app.markdown)
