"""Sparsity: what is drawn is what was recorded, counted and pruned; live runs lie over it; words follow the numbers."""

import contextlib
import functools
import io

import numpy as np
import pytest
import torch

from pages.training import sparsity_numbers, sparsity_words as words, sparsity_zeros
from tests.messages import sent, unpack
from tests.pages.test_pool import until
from transformer import sparsity
from transformer.experiments import sparse_matmul
from transformer.training import sparse_weights

PAGE = "pages/training/sparsity.py"
RUNS = sparse_weights.recorded()


def curves(app) -> list[tuple[dict, dict[str, np.ndarray]]]:
    """The page's pictures by the component "curves", in order."""
    protos = [element.proto for element in app.get("bidi_component")]
    return [unpack(proto.bytes) for proto in protos if proto.component_name == "glassformer_curves"]


def series(header, panel, kind) -> list[dict]:
    return [one for one in header["panels"][panel]["series"] if one["kind"] == kind]


def run_snippet(app, begins: str) -> str:
    (snippet,) = [code.value for code in app.code if code.value.startswith(begins)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue()


def test_histograms_are_the_recorded_counts(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    for panel, way in enumerate(sparse_weights.WAYS):
        sized, zero = (arrays[bars["y"]] for bars in series(header, panel, "bars"))
        for i, lam in enumerate(sparse_weights.LAMBDAS if way != "plain" else (0.0,)):
            run = RUNS["runs"][sparse_weights.key("digits", way, lam)][0]
            np.testing.assert_array_equal(sized[i], run["counts"])
            share = zero[i, :, 0] / (zero[i, :, 0] + sized[i].sum(-1))
            np.testing.assert_allclose(share, run["zero"], atol=1e-4)
    said = " ".join(m.value for m in app.markdown)
    assert "in the loss **none** exactly 0" in said


def test_another_model_is_another_recording(open_page):
    app = open_page(PAGE, of="Characters, Adam", **{"lambda": "0.0003"})
    assert not app.exception and not app.warning
    header, _ = sent(app, "curves")
    assert header["frames"][0]["at"] == "3·10⁻⁴" and "nats" in header["panels"][0]["note"][0][0]


def test_a_live_run_lies_over_them(open_page, monkeypatch):
    short = functools.partial(sparse_weights.train, steps=2, every=1)
    monkeypatch.setattr(sparse_weights, "train", lambda *setting: short(*setting))
    app = open_page(PAGE)
    app.button(key="train_F3").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    app.run()
    header, arrays = sent(app, "curves")
    assert not app.exception
    for panel, way in enumerate(sparse_weights.WAYS):
        (line,) = series(header, panel, "line")
        own = arrays[line["y"]]
        row = sparse_weights.LAMBDAS.index(sparse_weights.TELLING) if way != "plain" else 0
        assert np.nansum(own[row, 0]) == np.nansum(own[row, 1]) == 56_544 and np.isnan(own[row, 2:]).all()
    (own,) = [m.value for m in app.markdown if m.value.startswith("Yours, seed 3")]
    assert own.count("(step 2)") == 3  # it has not come to the last step, and says so


@pytest.mark.parametrize("of, problem", [("SGD", "digits, SGD"), ("Adam", "digits")])
def test_a_weight_is_followed_step_by_step(open_page, of, problem):
    app = open_page(PAGE, view=words.WHY, of=of, weight="3")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    loss, proximal = (arrays[line["y"]] for line in series(header, 0, "line"))
    np.testing.assert_allclose(loss, np.array(RUNS["traced"][f"{problem} loss"]), rtol=1e-6)
    assert header["frames"]["at"] == 3 and ((proximal == 0).any(-1)).sum() > 10 and not (loss[:, 80:] == 0).any()
    assert len(series(header, 1, "band")) == (of == "SGD")
    (formula,) = [latex.value for latex in app.latex if "in the loss: " in latex.value]
    assert (r"\hat m" in formula) == (of == "Adam")  # each optimiser's own update


def test_the_snippet_follows_the_same_weight(open_page, monkeypatch):
    app = open_page(PAGE, view=words.WHY, at="4")
    whole = sparse_weights.traced
    monkeypatch.setattr(sparse_weights, "traced", lambda *setting: whole(*setting, steps=4))
    header, arrays = sent(app, "curves")
    first = arrays[series(header, 0, "line")[0]["y"]][header["frames"]["at"], 3]
    said = run_snippet(app, "from transformer.training import sparse_weights")
    assert float(said.split("step 4: ")[1].split()[0]) == pytest.approx(
        float(first), rel=0.2
    )  # a shorter run's rate falls sooner


def test_it_prunes_the_model_that_ships(open_page):
    app = open_page(PAGE, view=words.PRUNE, at="70", trained="proximal", scope="matrix")
    assert not app.exception and not app.warning
    (header, arrays), (left, now) = curves(app)
    assert header["cursor"] == 70 and header["picks"]["at"] == words.SCOPES["matrix"]
    recorded = np.array([[run["matrix"] for run in RUNS["pruned"][f"digits {way}"]] for way in sparse_weights.WAYS])
    np.testing.assert_allclose(arrays[series(header, 0, "band")[1]["lo"]], recorded.min(1), rtol=1e-5)
    thin = sparsity.pruned(sparse_weights.load("digits", "proximal"), 0.7, "matrix")
    counts, zero = sparsity.magnitudes(sparsity.matrices(thin).values(), sparse_weights.EDGES)
    stays, gone = series(left, 0, "bars")[1:3]
    np.testing.assert_array_equal(now[stays["y"]], counts.numpy())
    assert int(now[gone["y"]][0]) == zero
    said = run_snippet(app, "from transformer import sparsity")
    assert f"kept: {sparse_weights.measured('digits', thin)}" in said


def test_the_large_model_is_pruned_too(open_page):
    app = open_page(PAGE, view=words.PRUNE, of="SmolLM2-135M", at="30")
    assert not app.exception and not app.warning
    (header, arrays), (thin, _) = curves(app)
    assert header["frames"] is None and len(thin["panels"][0]["series"]) == 2
    lines = [arrays[line["y"]] for line in series(header, 0, "line")]
    assert (
        all(line[0] == pytest.approx(lines[0][0]) for line in lines) and lines[2][4] > lines[0][4] + 1
    )  # at random, 20 %


def test_zeros_are_counted_on_the_learners_text(open_page):
    text = "Romeo and Juliet"
    app = open_page(PAGE, view=words.ZEROS, text=text)
    assert not app.exception
    (header, arrays), (layers, by_layer) = curves(app)
    read, _ = sparse_weights.neurons(text)
    table = {row["name"]: arrays[row["cells"][0]] for row in header["table"]["rows"]}
    np.testing.assert_allclose(
        table["our decoder, ReLU"][0, 0], np.mean([sparsity.share_zero([a]) for a in read]), atol=1e-6
    )
    assert table["Marian's encoder, ReLU"][0, 0] > 0.7 and table["SiLU(g)"].max() == 0
    assert f"exactly 0: {sparsity.share_zero([read[0]])}" in run_snippet(app, "from transformer import sparsity")
    assert len(layers["panels"][0]["series"]) == 4


def test_the_recorded_trace_is_not_counted(open_page):
    """Its neurons are rounded, and rounding makes zeros that the model has not."""
    app = open_page(PAGE, view=words.ZEROS)
    (header, arrays), _ = curves(app)
    (gate,) = [row for row in header["table"]["rows"] if row["name"] == "SiLU(g)"]
    assert arrays[gate["cells"][0]].shape == (30, 1) and arrays[gate["cells"][0]].max() == 0


def test_a_product_is_what_was_measured(open_page):
    app = open_page(PAGE, view=words.SAVES, tokens="64")
    assert not app.exception and not app.warning
    header, arrays = sent(app, "curves")
    assert header["frames"]["at"] == 64
    dense = arrays[series(header, 0, "line")[0]["y"]]
    assert dense.shape == (2, len(sparse_matmul.SHARES)) and dense.min() > 0


def test_it_is_measured_here(open_page, monkeypatch):
    whole = sparse_matmul.timed
    monkeypatch.setattr(sparse_matmul, "timed", lambda tokens: whole(tokens, shape=(32, 16), rounds=1))
    app = open_page(PAGE, view=words.SAVES)
    app.button(key="train_F3").click().run()
    until(lambda: not any(job.busy for job in app.run().session_state["_runs"].values()), 60)
    header, _ = sent(app.run(), "curves")
    assert not app.exception and len(series(header, 0, "line")) == 6
    assert run_snippet(app, "from transformer.experiments").count("rows gone") == 2 * len(sparse_matmul.SHARES)


def test_the_words_on_pruning_are_what_was_measured():
    knee = {(name, way, scope): sorted(sparsity_numbers.knees(name, way, scope))[1]
            for name in ("digits", "characters") for way in sparse_weights.WAYS for scope in sparsity_numbers.SCOPES}  # fmt: skip
    for name in ("digits", "characters"):
        for way in ("loss", "proximal"):  # trained towards zeros, one cut: far more
            assert knee[name, way, "global"] > knee[name, "plain", "global"] + 0.2
            assert knee[name, way, "global"] > knee[name, way, "matrix"]
        assert max(knee[name, way, "random"] for way in sparse_weights.WAYS) < 0.2
    assert (
        max(knee["digits", way, "matrix"] for way in ("loss", "proximal")) <= knee["digits", "plain", "matrix"] + 0.02
    )
    assert knee["digits", "plain", "global"] > knee["digits", "plain", "matrix"]
    assert knee["characters", "plain", "global"] < knee["characters", "plain", "matrix"]


def test_the_words_on_the_large_model_are_what_was_measured():
    real, large = sparsity_numbers.real(), sparsity_numbers.REAL
    assert max(sparsity_numbers.knees(large, "plain", "global")) < min(sparsity_numbers.knees("digits", "plain", "global"))
    assert max(sparsity_numbers.knees(large, "plain", "random")) == 0
    whole, thin = real["thinned"]["ffn.post"], real["thinned"]["ffn.gate"]
    half = real["neurons"].index(0.5)
    weights = real["pruned"]["global"][0][half]
    assert whole[half] < whole[0] + 0.1 < thin[half] < weights  # a is the better judge; both beat weights


def test_the_words_on_products_are_what_was_measured():
    ms, kilobytes = sparsity_zeros.product_curves()
    assert 0.7 <= sparsity_zeros.wins(64) < sparsity_zeros.wins(1) <= 0.95
    assert (ms["dense"].max(1) < 1.15 * ms["dense"].min(1)).all()  # zeros that it multiplies
    assert (
        ms["sparse"][:, sparse_matmul.SHARES.index(0.9)].min() > 0.1 * ms["dense"].min()
    )  # 90 % sparse is not ten times as fast
    half, most = sparse_matmul.SHARES.index(0.5), sparse_matmul.SHARES.index(0.7)
    assert kilobytes["sparse"][half] > kilobytes["dense"][half] and kilobytes["sparse"][most] < kilobytes["dense"][most]


def test_the_words_on_one_weight_are_what_was_recorded():
    for problem in ("digits", "digits, SGD", "characters"):
        assert sparsity_numbers.field(problem, "loss", "zero").max() == 0  # "yet none is 0"
    sgd, adam = (sparsity_numbers.traces(problem)["loss"][:, -100:] for problem in ("digits, SGD", "digits"))
    flips = [(np.diff(np.sign(w), axis=1) != 0).sum() for w in (sgd, adam)]
    assert flips[1] < flips[0] and np.abs(adam).max(1).mean() > 2 * np.abs(sgd).max(1).mean()  # slower and wider
    said = sparsity_numbers.update_formula("digits", 400, 6.77e-6, -0.0)
    assert r"6.77 \cdot 10^{-6}" in said and "-0" not in said


@pytest.mark.parametrize("view, catch", [
    (words.WEIGHTS, "what SGD or Adam leave behind"), (words.WHY, "not for ever"), (words.PRUNE, "belongs to **this** model"),
    (words.ZEROS, "Which number is cut decides"), (words.SAVES, "wrong twice"),
])  # fmt: skip
def test_the_catch_is_on_the_page(open_page, view, catch):
    assert catch in " ".join(m.value for m in open_page(PAGE, view=view).markdown)


def test_a_bad_link_gives_the_default_and_a_sentence(open_page):
    app = open_page(PAGE, **{"lambda": "7", "step": "x", "of": "Llama"})
    assert not app.exception and len(app.warning) == 3


def test_the_training_snippet_gives_the_recorded_numbers(open_page, monkeypatch):
    app = open_page(PAGE)
    whole = sparse_weights.train
    monkeypatch.setattr(sparse_weights, "train", lambda *setting, seed: whole(*setting, seed, steps=6, every=6))
    torch.set_num_threads(1)
    said = run_snippet(app, "from transformer.training import sparse_weights")
    assert [line.split()[0] for line in said.splitlines()] == list(sparse_weights.WAYS)
