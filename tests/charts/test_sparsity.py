"""Sparsity's pictures: what goes to the browser is what was counted, exact zeros apart."""

import numpy as np
import pytest

from charts import sparsity
from charts.curves import Choice, Picks
from tests.messages import unpack

EDGES = np.logspace(-3, 0, 7)
LAMBDAS, STEPS = Choice("λ", ["a", "b"], "a"), Choice("Step", [1, 2, 3], 3)


def of(header, panel, kind):
    return [one for one in header["panels"][panel]["series"] if one["kind"] == kind]


def test_histograms_stand_over_their_sizes_and_zeros_apart():
    counts = {"plain": np.arange(18).reshape(1, 3, 6), "loss": np.arange(36).reshape(2, 3, 6)}
    zeros = {"plain": np.full((1, 3), 2), "loss": np.full((2, 3), 5)}
    own = {"loss": np.full((2, 3, 7), np.nan, np.float32)}
    own["loss"][1, 0] = np.arange(7)
    cells = {way: [np.zeros(zero.shape)] for way, zero in zeros.items()}
    notes = {way: [["n"] * 3] * len(zero) for way, zero in zeros.items()}
    header, arrays = unpack(sparsity.weights(EDGES, {"plain": "p", "loss": "l"}, counts, zeros, notes, cells, ["zero%"], own,
                                             lambdas=LAMBDAS, steps=STEPS, cursor=-3.0))  # fmt: skip
    sized, zero = of(header, 1, "bars")
    np.testing.assert_allclose(arrays[sized["edges"]], np.log10(EDGES), atol=1e-6)
    np.testing.assert_array_equal(arrays[sized["y"]], counts["loss"])
    np.testing.assert_array_equal(arrays[zero["y"]][..., 0], zeros["loss"])
    assert arrays[zero["edges"]].max() < np.log10(EDGES[0])
    x = arrays["x"]
    np.testing.assert_allclose(x[-6:], (np.log10(EDGES[:-1]) + np.log10(EDGES[1:])) / 2, atol=1e-5)  # a bin's middle
    (line,) = of(header, 1, "line")
    assert arrays[line["y"]][1, 0, 0] == 0 and arrays[line["y"]][1, 0, -1] == 6 and np.isnan(arrays[line["y"]][0]).all()
    below = arrays[header["sum"]["arrays"][1]]
    np.testing.assert_allclose(below[0, 0, 0], 5 / (5 + counts["loss"][0, 0].sum()))
    np.testing.assert_allclose(below[..., -1], 1)


def test_a_trace_counts_its_changes_of_sign():
    traced = {"loss": np.array([[1.0, -1.0, 1.0, 1.0]]), "proximal": np.array([[1.0, 0.5, 0.0, 0.0]])}
    header, arrays = unpack(sparsity.trace(np.arange(1, 5), traced, {"loss": "l", "proximal": "p"}, np.full(4, 0.1), 2, 0.5,
                                           choice=Choice("Weight", [0], 0), cursor=4))  # fmt: skip
    flips = [arrays[row["cells"][1]][0].tolist() for row in header["table"]["rows"]]
    assert flips == [[0, 1, 2, 2], [0, 0, 1, 1]]
    (band,) = of(header, 1, "band")
    np.testing.assert_allclose(arrays[band["hi"]], 0.1)
    assert not of(header, 0, "band")


def test_pruning_bands_hold_all_seeds():
    kept = {"global": np.random.default_rng(0).random((2, 3, 5)), "random": np.zeros((2, 3, 5))}
    titles = {"global": "together", "random": "chance"}
    header, arrays = unpack(sparsity.pruning(np.linspace(0, 1, 5), kept, titles, "y", (0, 1), True, cursor=50,
                                             picks=Picks("Remove", list(titles.values()), "together"), ways=Choice("Trained", ["a", "b"], "b")))  # fmt: skip
    band = of(header, 0, "band")[0]
    np.testing.assert_allclose(arrays[band["lo"]], kept["global"].min(1), rtol=1e-6)
    np.testing.assert_allclose(arrays[band["hi"]], kept["global"].max(1), rtol=1e-6)
    line = of(header, 0, "line")[0]
    np.testing.assert_allclose(arrays[line["y"]], np.median(kept["global"], 1), rtol=1e-6)
    assert line["pick"] == "together" and arrays["x"].tolist() == [0, 25, 50, 75, 100]


def test_what_is_left_and_what_was_there():
    before, after = (np.arange(6), 1), (np.arange(6)[::-1], 7)
    header, arrays = unpack(sparsity.left(EDGES, before, after, "t", "n"))
    bars = of(header, 0, "bars")
    np.testing.assert_array_equal(arrays[bars[0]["y"]], before[0])
    np.testing.assert_array_equal(arrays[bars[1]["y"]], after[0])
    assert {float(arrays[one["y"]][0]) for one in bars[2:]} == {1.0, 7.0}


def test_cuts_begin_at_what_is_exactly_zero():
    cut = np.concatenate([[0], np.logspace(-3, 0, 7)])
    header, arrays = unpack(
        sparsity.cuts(
            cut, {"relu": ("key", np.linspace(0.8, 1, 8)[None])}, "", layers=Choice("Layer", [0], 0), cursor=-3
        )
    )
    np.testing.assert_allclose(arrays["x"], np.linspace(-3.5, 0, 8), atol=1e-5)
    assert arrays[header["table"]["rows"][0]["cells"][0]].tolist() == [[pytest.approx(0.8)]]


def test_models_of_unlike_depth_share_one_axis():
    header, arrays = unpack(sparsity.by_layer({"deep": ("ffn", np.ones(4)), "flat": ("key", np.ones(2))}, "t", 1))
    deep, flat = (arrays[one["y"]] for one in of(header, 0, "line"))
    assert np.isfinite(deep).all() and np.isnan(flat[2:]).all() and header["cursor"] == 1


def test_a_product_is_timed_by_what_is_left():
    ms = {way: np.full((2, 3), float(i + 1)) for i, way in enumerate(("dense", "sparse", "rows gone"))}
    kb = {way: np.full(3, 10.0) for way in ms}
    own = {"sparse": np.array([[1.0, np.nan, np.nan], [np.nan] * 3])}
    header, arrays = unpack(sparsity.product(np.array([1.0, 2.0, 10.0]), ms, kb, {way: way for way in ms}, own, "",
                                             tokens=Choice("Tokens", [1, 64], 1), cursor=10))  # fmt: skip
    assert header["x"]["log"] and len(of(header, 0, "line")) == 4 and len(of(header, 1, "line")) == 3
    assert arrays[header["table"]["rows"][1]["cells"][1]].tolist() == [[0.5] * 3] * 2  # dense 1 ms, sparse 2
    assert header["panels"][0]["y"]["lo"] < 1
