"""Masks: real scores under each mask, the recorded cheat, exact zeros before a change, and snippets that agree."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
import torch

import transformer
from charts import masks as charts
from pages.attention.masks_words import CHANGE, LOSS, MAPS, VIEWS
from tests.messages import sent
from transformer import recording
from transformer.experiments import mask_examples
from transformer.experiments.mask_examples import KINDS, masked
from transformer.training import cheat
from transformer.training import patterns as training

PAGE = "pages/attention/masks.py"
SCORES = recording.load("assets/recorded/smollm2-135m-pronoun.safetensors.xz")["layers.13.attention.scores"][0, 8]


def printed(app) -> str:
    """What the page's notebook snippet prints."""
    (snippet,) = [c.value for c in app.code if "transformer.load" in c.value and c.value.startswith("import")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue()


def test_it_opens_on_a_real_heads_scores_under_every_mask(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "matrices")
    assert header["picks"] == {"label": "Mask", "values": list(KINDS), "at": "causal", "role": "attention"}
    for kind in KINDS:
        queries, keys = mask_examples.parts(kind, len(SCORES))
        np.testing.assert_array_equal(arrays[f"{kind} S"], SCORES[queries.start :, : keys.stop].numpy())
        for i, m in enumerate(header["frames"]["values"]):
            found = masked(SCORES, kind, m)
            np.testing.assert_array_equal(arrays[f"{kind} S barred"][i], ~found.mask)
            np.testing.assert_allclose(arrays[f"{kind} A"][i], found.A, atol=1e-6)
            np.testing.assert_allclose(arrays[f"{kind} A late"][i], found.late, atol=1e-6)
    sums = arrays["padding in front Σ"][2, :, 0]  # m = 3
    assert (sums[:3] == 0).all() and np.allclose(sums[3:], 1, atol=1e-6)


def test_another_head_has_other_scores_and_the_link_says_where_it_stands(open_page):
    app = open_page(PAGE, mask="prefix", m="5", late="true", step="mask", cell="prefix A,2,1")
    header, arrays = sent(app, "matrices")
    assert (header["picks"]["at"], header["frames"]["at"]) == ("prefix", 5)
    assert (header["switch"]["on"], header["step"]) == (True, 1)
    assert header["at"] == ["prefix A", 2, 1] and not app.warning
    app.selectbox(key="head").set_value(2).run()
    _, others = sent(app, "matrices")
    assert np.abs(others["causal S"] - arrays["causal S"]).max() > 0.5


@pytest.mark.parametrize(
    "key, value",
    [("mask", "future"), ("m", "9"), ("late", "x"), ("step", "4"), ("cell", "causal A,1"), ("cell", "causal A,99,0"),
     ("cell", "nothing,0,0")],
)  # fmt: skip
def test_a_link_that_means_nothing_gets_one_sentence_and_the_picture(open_page, key, value):
    app = open_page(PAGE, **{key: value})
    assert len(app.warning) == 1 and not app.exception
    assert sent(app, "matrices")[0]["picks"]["at"] == "causal"


def test_its_snippet_gives_the_sums(open_page):
    app = open_page(PAGE, model="tiny", text="To be, or not to be", mask="sliding window", m="2")
    header, arrays = sent(app, "matrices")
    out = printed(app)
    late = np.array([float(x) for x in re.findall(r"\d+\.\d*(?:e-\d+)?", out.split("tensor")[-1])])
    np.testing.assert_allclose(late, arrays["sliding window Σ late"][1, :, 0], atol=1e-4)


def test_the_recorded_curves_are_drawn_with_all_their_seeds_and_say_what_they_came_to(open_page):
    app = open_page(PAGE, view=LOSS)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    found = json.loads((cheat.FOLDER / "curves.json").read_text())
    assert len({run["seed"] for run in found["runs"]}) >= 3
    broken = np.array([run["curve"]["whole"][1:] for run in found["runs"] if run["mask"] == "broken"])
    cut = np.array([run["curve"]["cut"][1:] for run in found["runs"] if run["mask"] == "broken"])
    honest = np.array([run["curve"]["whole"][1:] for run in found["runs"] if run["mask"] == "causal"])
    row = {row["name"]: [arrays[cell] for cell in row["cells"]] for row in header["table"]["rows"]}
    np.testing.assert_allclose(row["broken"][0], broken.mean(0), rtol=1e-5)
    np.testing.assert_allclose(row["broken"][2], cut.mean(0), rtol=1e-5)
    assert broken[:, -1].max() < 0.1 < 2.5 < honest[:, -1].min() and cut[:, -1].min() > honest[:, -1].max() + 2
    assert any(f"{broken[:, -1].mean():.3f}" in m.value for m in app.markdown)
    printed(app)


def test_the_causal_models_two_losses_are_one_number_and_the_checkpoints_give_what_is_recorded(plays):
    """The recorded numbers come back from the shipped weights."""
    _, tokenizer = transformer.load(cheat.FOLDER / "causal")
    test = training.held_out(training.unseen_plays(tokenizer)[0], cheat.LENGTH, cheat.MEASURED)[:, 0]
    found = json.loads((cheat.FOLDER / "curves.json").read_text())
    runs = {run["mask"]: run for run in found["runs"] if run["seed"] == 0}
    for mask, run in runs.items():
        model, _ = transformer.load(cheat.FOLDER / mask)
        whole, cut = cheat.losses(model, test)
        assert (whole, cut) == pytest.approx((run["whole"], run["cut"]), abs=2e-3)
        if mask == "causal":
            assert whole == pytest.approx(cut, abs=1e-5)


def test_the_cheat_looks_one_token_ahead_on_the_learners_text(open_page):
    app = open_page(PAGE, view=MAPS, text="Now is the winter of our discontent")
    header, arrays = sent(app, "matrices")
    assert not app.exception
    model, tokenizer = transformer.load(cheat.FOLDER / "broken")
    ids = tokenizer.encode("Now is the winter of our discontent")[: arrays["broken"].shape[-1]]
    trace = model.run(ids, record="*.attention.A").trace
    A = torch.cat(list(trace.values())).flatten(0, 1)
    np.testing.assert_allclose(arrays["broken"], A.numpy(), atol=1e-6)
    ahead = A.diagonal(1, -2, -1).mean(-1)
    np.testing.assert_allclose(arrays["broken ahead"].flatten(), ahead, atol=1e-6)
    assert arrays["broken ahead"].max() > 0.9 and (arrays["causal ahead"] == 0).all()
    assert header["frames"]["at"] == header["frames"]["values"][int(ahead.argmax())]
    assert "0.9" in printed(app) or "1.0" in printed(app)


def test_a_changed_word_moves_no_earlier_output_of_the_causal_model_bit_for_bit(open_page):
    app = open_page(PAGE, view=CHANGE, text="My lord, the king is dead.")
    _, before = sent(app, "matrices")
    app.text_input(key="word").set_value("Romeo").run()
    _, arrays = sent(app, "matrices")
    assert not app.exception and not np.array_equal(arrays["broken"], before["broken"])
    assert (np.tril(arrays["causal"], -1) == 0).all() and (np.tril(arrays["broken"], -1).max(1)[1:] > 0).all()
    out = printed(app)
    assert "causal before the change: 0.0" in out
    moved = float(re.search(r"broken before the change: ([\d.]+)", out)[1])
    assert moved == pytest.approx(np.tril(arrays["broken"], -1).max(), rel=1e-4)
    app.text_input(key="word").set_value("").run()
    assert len(app.warning) == 1 and not app.exception


@pytest.mark.parametrize("text", ["a", "🙂 né 日本"])
def test_any_text_is_read_in_every_view(open_page, text):
    for view in VIEWS:
        app = open_page(PAGE, model="tiny", text=text, view=view)
        assert not app.exception and not app.warning, view


def test_the_catch_and_the_answer_are_on_the_page(open_page):
    app = open_page(PAGE)
    assert any("−∞ before the softmax, never zeros after it" in m.value for m in app.markdown)
    lost = 1 - masked(SCORES, "causal", 1).late.sum(-1).mean().item()
    right = "under a quarter of it" if lost < 0.25 else "a quarter to a half" if lost <= 0.5 else "more than a half"
    app.radio(key="prediction").set_value(right).run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right." and any(f"{lost:.1%}" in m.value for m in app.markdown)
    assert charts.LATE in str(sent(app, "matrices")[0]["switch"])
