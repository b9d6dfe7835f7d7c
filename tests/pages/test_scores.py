"""Score functions: six weights of the same vectors, the plane's numbers, costs; links, the snippet, the words."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pages.attention import scores_words as words
from tests.messages import sent
from transformer import Config
from transformer.experiments import score_costs, six_scores
from transformer.scores import SCORES

PAGE = "pages/attention/scores.py"
RECORDED = json.loads((Path(__file__).parents[2] / "assets/measured/score-functions.json").read_text("utf-8"))
TEXT = "To be, or not to be, that is the"


@pytest.fixture(scope="module")
def six():
    return six_scores.load()


def expected(six, text: str, layer: int) -> dict[str, torch.Tensor]:
    models, tokenizer, _ = six
    ids = tokenizer.encode(text)[:14]
    at = f"layers.{layer}.attention."
    trace = models["scaled_dot"].run(ids, record=at + "*").trace
    return {score: model.stack.blocks[layer].attention.score(trace[at + "Q"], trace[at + "K"],
        torch.arange(len(ids))[None])[0]
            for score, model in models.items()} | {"A": trace[at + "A"][0]}  # fmt: skip


def test_all_six_weigh_the_same_vectors(open_page, six):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "matrices")
    S = expected(six, TEXT, 1)
    for score in SCORES:
        np.testing.assert_allclose(arrays[f"S {score}"], S[score].numpy(), atol=1e-5)
        A = S[score].masked_fill(torch.ones(S[score].shape[-2:]).triu(1).bool(), -torch.inf).softmax(-1)
        np.testing.assert_allclose(arrays[f"A {score}"], A.numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["A scaled_dot"], S["A"].numpy(), atol=1e-6)  # as the model itself reads
    assert header["frames"]["values"] == [0, 1, 2, 3] and header["frames"]["at"] == 3
    largest = {score: arrays[f"A {score}"][3, 3:].max(-1).mean() for score in SCORES}  # as it says what to look for
    assert max(largest, key=largest.get) == "dot" and min(largest, key=largest.get) == "location"


def test_location_does_not_look_at_the_keys(open_page, six):
    """In the first layer a changed word changes its own row and no other; with dot products later rows too."""
    _, before = sent(open_page(PAGE, text="To be or not to go", layer="0"), "matrices")
    _, after = sent(open_page(PAGE, text="To be or but to go", layer="0"), "matrices")
    changed = {score: np.abs(before[f"A {score}"] - after[f"A {score}"]).max(axis=(0, 2)) > 1e-6 for score in SCORES}
    assert changed["location"].tolist() == [False, False, False, True, False, False]
    assert changed["dot"][4:].all() and changed["additive"][4:].all()


def test_layer_head_and_cell_come_from_the_link(open_page, six):
    app = open_page(PAGE, layer="0", head="2", cell="additive.3.1", before="true")
    header, arrays = sent(app, "matrices")
    assert header["frames"]["at"] == 2 and header["at"] == ["S additive", 3, 1] and header["switch"]["on"]
    np.testing.assert_allclose(arrays["S additive"], expected(six, TEXT, 0)["additive"].numpy(), atol=1e-5)
    app.text_input(key="text").set_value("Romeo, Romeo").run()
    assert "cell" not in app.query_params and not app.exception


@pytest.mark.parametrize("query", [{"head": "9"}, {"cell": "dot.1.5"}, {"cell": "x"}, {"before": "7"}, {"layer": "4"},
                                   {"view": "Two vectors by hand", "q": "9,9"},
                                   {"view": "Two vectors by hand", "k": "a"},
                                   {"view": "Cost", "n": "65"}, {"view": "Cost", "score": "best"}])  # fmt: skip
def test_what_a_link_cannot_mean_is_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1


def test_the_plane_is_the_librarys(open_page):
    header, arrays = sent(open_page(PAGE, view="Two vectors by hand", q="1.5,-2", score="cosine"), "two_vectors")
    points = torch.from_numpy(arrays["points"].copy())
    assert points[header["q"]].tolist() == [1.5, -2.0] and points[header["k"]].tolist() == [1.0,
        2.0] and header["picks"]["at"] == "cosine"
    for score in SCORES:
        S = six_scores.on_plane(score, points)
        np.testing.assert_allclose(arrays[score].astype(np.float32), S.numpy(), rtol=1e-3,
                                   atol=1e-3)  # float16 on the way


def test_costs_are_closed_forms_and_the_recorded_measurement(open_page):
    header, arrays = sent(open_page(PAGE, view="Cost"), "curves")
    config = Config(vocab_size=256, d_model=128, n_heads=2, n_layers=1, max_len=512, position="none")
    for i, score in enumerate(("scaled_dot", "dot", "general", "cosine", "additive", "location")):
        flops, memory, ms = (arrays[panel["series"][i]["y"]] for panel in header["panels"])
        work = [score_costs.work(score, config, n) for n in range(64, 513, 64)]
        np.testing.assert_allclose(flops, [w.flops / 1e6 for w in work], rtol=1e-6)
        np.testing.assert_allclose(memory, [w.memory / 1e6 for w in work], rtol=1e-6)
        np.testing.assert_allclose(ms, np.array(RECORDED["seconds"][score]) * 1e3, rtol=1e-5)
    assert RECORDED["date"] in header["panels"][2]["note"] and RECORDED["machine"] in header["panels"][2]["note"]
    assert min(np.array(RECORDED["seconds"]["additive"]) / RECORDED["seconds"]["scaled_dot"]) > 10


def test_it_can_be_measured_here(open_page, monkeypatch):
    monkeypatch.setattr(score_costs, "timings", lambda config, lengths, **_: [
        score_costs.Timed(n, {score: n / 1e6 for score in SCORES}) for n in lengths])  # fmt: skip
    header, arrays = sent(open_page(PAGE, view="Cost", measure="true"), "curves")
    np.testing.assert_allclose(arrays[header["panels"][2]["series"][4]["y"]], np.arange(64, 513, 64) / 1e3, rtol=1e-5)


def test_the_notebook_snippet_gives_the_pages_numbers(open_page):
    app = open_page(PAGE, layer="1", head="2")
    _, arrays = sent(app, "matrices")
    (snippet,) = [code.value for code in app.code if code.value.startswith("import torch")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    for line, score in zip(out.getvalue().splitlines(), SCORES, strict=True):
        name, weights = line.split(" ", 1)
        assert name == score
        np.testing.assert_allclose(eval(weights), arrays[f"A {score}"][2, -1], atol=1.1e-4)


def test_the_words_say_what_was_measured(open_page, six):
    app = open_page(PAGE)
    said = " ".join(m.value for m in app.markdown)
    for losses in six[2]["held_out_loss"]["alone"].values():
        assert f"{sum(losses) / 3:.2f}" in said
    assert "it says that they cost the same" in said  # the Catch
    losses = six[2]["held_out_loss"]  # and what is claimed of them holds
    mean = lambda of: [sum(values) / 3 for values in of.values()]  # noqa: E731
    assert max(mean(losses["together"])) < min(mean(losses["alone"]))
    assert max(mean(losses["together"])) < six[2]["held_out_loss_uniform"]
    app.radio(key="prediction").set_value(words.OPTIONS[2]).run()
    app.button(key="commit").click().run()
    assert app.success[0].value == "Right."
