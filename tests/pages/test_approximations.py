"""Low rank and kernels: what is drawn follows from the head's own q, k and v; links, limits, snippet."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pages.attention.approximations_words import COST, FEATURES, MEAN, RANK, STATE, VIEWS
from tests.messages import sent
from transformer import cost, recording
from transformer.experiments import approximation
from transformer.kernels import random_rows

PAGE = "pages/attention/approximations.py"
PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
CAUSAL = torch.ones(12, 12, dtype=torch.bool).tril()


def head(layer: int, head: int) -> tuple[torch.Tensor, ...]:
    at = f"layers.{layer}.attention."
    return PRONOUN[at + "Q"][0, head], PRONOUN[at + "K"][0, head // 3], PRONOUN[at + "V"][0, head // 3]


def drawn(app) -> list[dict]:
    """The panels of the curves, each series with its arrays put in."""
    header, arrays = sent(app, "curves")
    for panel in header["panels"]:
        for series in panel["series"]:
            series |= {key: arrays[series[key]] for key in ("y", "lo", "hi") if key in series}
    return header["panels"]


def line(panel: dict, label: str) -> np.ndarray:
    (found,) = [series["y"] for series in panel["series"] if series.get("label") == label]
    return found


def test_it_opens_on_the_exact_weights_beside_performers(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and not app.error
    header, arrays = sent(app, "matrices")
    Q, K, _ = head(0, 2)
    exact = PRONOUN["layers.0.attention.A"][0, 2]
    np.testing.assert_allclose(arrays["Performer exact"], exact.numpy(), atol=1e-5)
    omega = random_rows(4096, 64, torch.Generator().manual_seed(0))
    for i, m in enumerate(header["frames"]["values"]):
        x = 64**-0.25
        phi_Q, phi_K = ((y * x @ omega[:m].T - (y * x).square().sum(-1, keepdim=True) / 2).double().exp() for y in (Q,
            K))
        raw = (phi_Q @ phi_K.T).tril()
        np.testing.assert_allclose(arrays["Performer"][i], (raw / raw.sum(-1, keepdim=True)).numpy(), atol=2e-4)
    np.testing.assert_array_equal(arrays["Performer barred"], ~CAUSAL.numpy())
    np.testing.assert_allclose(arrays["Performer off"], arrays["Performer"] - arrays["Performer exact"], atol=1e-6)
    (shown,) = [m for row in header["grid"] for m in row if m["key"] == "Performer"]
    off = np.linalg.norm(arrays["Performer off"][8]) / np.linalg.norm(exact)
    assert shown["note"][8] == f"error {off:.0%}" and header["frames"]["at"] == 64


def test_linformers_weights_are_its_two_factors_and_no_closer_than_the_best_rank(open_page):
    header, arrays = sent(open_page(PAGE, method="Linformer, fitted", size="4", scores="true"), "matrices")
    assert (header["picks"]["at"], header["frames"]["at"], header["switch"]["on"]) == ("Linformer, fitted", 4, True)
    Q, K, V = head(0, 2)
    exact = (Q @ K.T / 8).softmax(-1).numpy()
    np.testing.assert_allclose(arrays["Linformer, fitted exact"], exact, atol=1e-5)
    for i, size in enumerate(header["frames"]["values"]):
        k = min(size, 12)
        for name in ("Linformer, fitted", "Linformer, drawn"):
            P, F = arrays[f"{name} P"][i], arrays[f"{name} F"][i]
            assert (P[:, k:] == 0).all() and (F[k:] == 0).all()
            np.testing.assert_allclose(P @ F, arrays[name][i], atol=1e-5)
            np.testing.assert_allclose(P.sum(-1), 1, atol=1e-5)
            best = np.linalg.norm(arrays["best of its rank"][i] - exact)
            assert best <= np.linalg.norm(arrays[name][i] - exact) + 1e-5
    says = [m["says"] for row in header["grid"] for m in row if m["key"] == "Linformer, fitted"][0]
    assert says["kind"] == "product" and says["left"] == "Linformer, fitted P"


def test_another_head_and_shorter_vectors_change_the_tensors(open_page):
    app = open_page(PAGE)
    _, before = sent(app, "matrices")
    app.selectbox(key="layer").set_value(13).run()
    app.selectbox(key="head").set_value(8).run()
    _, sharp = sent(app, "matrices")
    np.testing.assert_allclose(sharp["Performer exact"], PRONOUN["layers.13.attention.A"][0, 8].numpy(), atol=1e-5)
    app.select_slider(key="length_slider").set_value(0.5).run()
    _, shorter = sent(app, "matrices")
    Q, K, _ = head(13, 8)
    expected = approximation.exact(Q * 0.5, K * 0.5, CAUSAL)
    np.testing.assert_allclose(shorter["Performer exact"], expected.numpy(), atol=1e-5)
    assert app.query_params["length"] in ("0.5", ["0.5"])
    app.number_input(key="seed").set_value(3).run()
    assert np.abs(sent(app, "matrices")[1]["Performer"] - shorter["Performer"]).max() > 0.01


def test_the_error_falls_where_vectors_are_short_and_not_where_they_are_long(open_page):
    app = open_page(PAGE, view=FEATURES)
    curve = line(drawn(app)[0], "Performer")
    assert curve.shape == (5, 13)
    assert 8 < curve[0, 0] / curve[0, 8] < 32  # a quarter of the length: about √256 over 256-fold features
    assert curve[4, 12] > 0.2  # the head's own length: 4,096 features do not do
    Q, K, V = head(0, 2)
    A = approximation.exact(Q * 0.25, K * 0.25, CAUSAL)
    errors = [approximation.error(approximation.performer(Q * 0.25, K * 0.25, random_rows(4096, 64,
        torch.Generator().manual_seed(s))[:16],
                                                          CAUSAL), A).item() for s in range(16)]  # fmt: skip
    assert curve[0, 4] == pytest.approx(torch.tensor(errors).median().item(), rel=1e-3)
    q = PRONOUN["layers.13.attention.Q"][0, 8]
    k = PRONOUN["layers.13.attention.K"][0, 2]
    assert 28 < approximation.log_relative_variance(q, k).median().item() / math.log(10) < 32  # the 10³⁰ of the prose


def test_no_curve_lies_below_the_best_of_its_rank(open_page):
    of_A, of_z = drawn(open_page(PAGE, view=RANK))
    best = line(of_A, "best of rank k")
    sigma = torch.linalg.svdvals(approximation.exact(*head(0, 2)[:2]))
    left = [max(0.0101, (sigma[k:].norm() / sigma.norm()).item()) for k in range(1, 13)]
    np.testing.assert_allclose(best, left, rtol=1e-2)
    for label in ("fitted E, F", "pooled", "A RᵀR", "drawn E = F"):
        assert (line(of_A, label) >= best - 1e-4).all()
    assert (line(of_A, "A RᵀR")[:6] > 1).all() and (line(of_A, "fitted E, F")[3:] < 0.2).all()


def test_the_kernels_mean_is_the_truth_and_the_weights_is_not(open_page):
    """The Check and the Catch, on the page's own numbers."""
    app = open_page(PAGE, view=MEAN)
    kernel, weight = drawn(app)
    header, _ = sent(app, "curves")
    assert [choice["at"] for choice in header["frames"]] == [0.5, 16]
    i, j = 2, 2
    assert abs(line(kernel, "its mean")[i, j, -1] - 1) < kernel["series"][0]["hi"][i, j,
        -1] - 1  # within two standard errors
    band = weight["series"][1]
    truth = weight["series"][0]["y"][i, j, -1]
    q, K = head(0, 2)[0][8] * 0.5, head(0, 2)[1][:9] * 0.5
    assert truth == pytest.approx((K @ q / 8).softmax(-1)[1].item(), abs=1e-6)
    assert not band["lo"][i, j, -1] <= truth <= band["hi"][i, j, -1]
    bias = np.abs(line(weight, "its mean")[i, :, -1] - truth)
    assert bias[3] < 0.4 * bias[2] < 0.3 * bias[0]  # more features mend it
    assert any("they are only *consistent*" in m.value for m in app.markdown)
    app.selectbox(key="key").set_value("2 didn").run()
    assert "2 didn" in drawn(app)[1]["title"]


def test_the_state_is_a_sum_and_reads_as_all_pairs_do(open_page):
    app = open_page(PAGE, view=STATE)
    header, arrays = sent(app, "matrices")
    Q, K, V = (x.numpy().astype(float) for x in head(0, 2))
    phi_Q, phi_K = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (Q, K))
    for t in (0, 5, 11):
        np.testing.assert_allclose(arrays["S"][t], phi_K[: t + 1].T @ V[: t + 1], rtol=1e-3, atol=1e-4)
        weights = phi_Q[t] @ phi_K[: t + 1].T
        expected = weights / weights.sum() @ V[: t + 1]
        np.testing.assert_allclose(arrays["out"][t], np.stack([expected, expected]), rtol=1e-3, atol=1e-5)
    assert header["playsFrames"] and "4,160 numbers" in header["sentence"][-1]


def test_costs_are_the_librarys_and_cross_where_the_page_says(open_page):
    app = open_page(PAGE, view=COST)
    (panel,) = drawn(app)
    full = line(panel, "all pairs")
    assert full[-1] * 1e6 == pytest.approx(4 * 2**17 * 64 * 9)
    step = cost.flops(transformer_config("performer", 256), 1, cached=2**12 - 1)
    assert line(panel, "Performer")[2, 7] * 1e6 == pytest.approx(step["scores"] + step["z"])
    crossing = [metric.value for metric in app.metric]
    assert crossing[0] == f"{line(panel, 'elu + 1')[0] * 1e6 / (4 * 64 * 9):,.0f}"


def transformer_config(attention: str, features: int):
    from transformer import Config

    return Config(d_model=576, n_heads=9, n_layers=1, attention=attention, features=features)


@pytest.mark.parametrize("query", [{"method": "magic"}, {"size": "5"}, {"length": "2"}, {"scores": "maybe"},
                                   {"layer": "30"}])
def test_what_a_link_cannot_mean_is_one_sentence_and_the_page_stands(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception
    assert len(app.warning) == 1 and next(iter(query)) in app.warning[0].value
    assert sent(app, "matrices")[0]["picks"]["at"] == "Performer"


@pytest.mark.parametrize("text", ["a", "🙂 ok", "one two three " * 20])
def test_short_strange_and_long_texts_have_every_view(open_page, text):
    app = open_page(PAGE, model="tiny")
    app.text_input(key="text").set_value(text).run()
    for view in VIEWS[1:] + VIEWS[:1]:
        app.button_group(key="view").set_value(view).run()
        assert not app.exception
    _, arrays = sent(app, "matrices")
    assert max(array.nbytes for array in arrays.values()) <= 12 * 32 * 32 * 4


def test_the_trained_models_losses_are_the_tables(open_page):
    rows = json.loads((Path(__file__).parents[2] / "assets/patterns/table.json").read_text("utf-8"))["rows"]
    full, performer, elu = ([run["held_out_loss"] for run in rows[row]["runs"]] for row in ("full", "performer",
        "linear"))
    assert max(full) < min(performer) and max(full) < min(elu)  # what is lost, beyond the spread of the seeds
    (said,) = [m.value for m in open_page(PAGE).markdown if "Small decoders that we trained" in m.value]
    assert f"elu + 1 **{np.mean(elu):.2f}** ({min(elu):.2f}–{max(elu):.2f})" in said


def test_an_encoder_has_no_mask(open_page):
    header, arrays = sent(open_page(PAGE, model="minilm-l6"), "matrices")
    assert "Performer barred" not in arrays
    assert all(not matrix["barred"] for row in header["grid"] for matrix in row)


def test_the_snippet_gives_the_pages_numbers(open_page, capsys):
    app = open_page(PAGE, model="tiny", text="To be, or not to be", size="256")
    header, arrays = sent(app, "matrices")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    names: dict = {}
    exec(snippet, names)
    off = np.linalg.norm(arrays["Performer off"][9]) / np.linalg.norm(arrays["Performer exact"])
    assert names["performer"][256] == pytest.approx(off, rel=1e-3)
    off = np.linalg.norm(arrays["elu + 1 off"]) / np.linalg.norm(arrays["elu + 1 exact"])
    assert names["elu"] == pytest.approx(off, rel=1e-3)
    assert names["gap"] < 1e-5 and "recurrence and parallel form differ by" in capsys.readouterr().out


def test_the_prediction_is_revealed_after_the_choice(open_page):
    app = open_page(PAGE)
    app.radio(key="prediction").set_value("it depends on the head, exponentially").run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]
    exponent = approximation.log_relative_variance(*head(0, 2)[:2]).median().item()
    assert any(f"the exponent is {exponent:.1f}" in m.value for m in app.markdown)
