"""Saturation's messages: what was given is what is sent; a row's keys are those with the largest scores."""

import numpy as np
import pytest

from charts import saturation as charts
from charts.curves import Choice, Switch
from tests.messages import unpack

SIZES, ROWS = Choice("d_k", [1, 4], 4), Choice("Query", [1, 2, 3], 2)
SCORES = np.arange(2 * 2 * 3 * 5, dtype=float).reshape(2, 2, 3, 5)


def bars(**changes) -> charts.Bars:
    values = {"names": [f"key {j}" for j in range(5)], "keys": np.tile(np.arange(5), (3, 1)), "raw": SCORES[0], "scores": SCORES,
              "weights": SCORES / 60, "total": SCORES.sum(-1), "said": [["", ""], ["/ √1", "/ √4"]]}  # fmt: skip
    return charts.Bars(**(values | changes))


def message(of: charts.Bars, curve=np.array([1.0, 2.0])) -> bytes:
    plots = [charts.Plot("p", (0, 3), [charts.Curve(curve, "attention", variant=1), charts.Range(curve, curve + 1, "key")])]
    return charts.message("n", "l", SIZES, np.array([0.0, 2.0]), "d_k", "axis", plots, ROWS, of,
                          [charts.Fact("f", np.ones((2, 2)), percent=True)], columns=("a", "b"), marks=[(1.0, "here")],
                          switch=Switch("÷", True), epoch=3)  # fmt: skip


def test_everything_comes_back():
    header, arrays = unpack(message(bars()))
    np.testing.assert_allclose(arrays["scores"], SCORES)
    np.testing.assert_allclose(arrays["weights"], SCORES / 60, rtol=1e-6)
    np.testing.assert_allclose(arrays["raw"], SCORES[0])
    line, band = header["plots"][0]["series"]
    np.testing.assert_allclose(arrays[line["y"]], [1, 2])
    np.testing.assert_allclose(arrays[band["hi"]], [2, 3])
    assert (line["variant"], band["variant"], header["switch"]["on"], header["epoch"]) == (1, None, True, 3)
    assert header["sizes"]["at"] == 4 and header["rows"]["at"] == 2 and header["facts"][0]["percent"]


@pytest.mark.parametrize("changes", [{"weights": SCORES[:1]}, {"total": SCORES}, {"keys": np.zeros((2, 5))}])
def test_shapes_that_do_not_fit_are_refused(changes):
    with pytest.raises(ValueError):
        message(bars(**changes))
    with pytest.raises(ValueError, match="A curve has"):
        message(bars(), np.ones(3))


def test_of_many_keys_those_with_the_largest_scores_are_drawn_in_the_order_of_the_text():
    n = 50
    raw = np.where(np.tri(n), np.cos(np.arange(n) * 2.0)[None] * np.ones((n, 1)), -np.inf)
    factors, values = Choice("Scores times", ["1", "2"], "1"), np.array([1.0, 2.0])
    scores = np.stack([np.where(np.isfinite(raw), raw * c, 0.0) for c in values])
    one = np.ones(2)
    header, arrays = unpack(charts.head_message(
        factors, values, [str(i) for i in range(n)], Choice("Query", [str(i) for i in range(n)], "3"), raw, scores, scores,
        scores.sum(-1), entropy=one, others=np.ones((2, 2)), largest=one, low=one, median=one, high=one, stuck=one, spread=1.5,
        d_head=16, head="layer 0, head 0", epoch=0))  # fmt: skip
    assert arrays["keys"].shape == (n, charts.MOST_KEYS)
    assert arrays["keys"][3].tolist() == [0, 1, 2, 3] + [-1] * 36
    best = np.sort(np.argsort(-raw[49])[:40])
    assert arrays["keys"][49].tolist() == best.tolist()
    np.testing.assert_allclose(arrays["scores"][0, 1, 49], scores[1, 49, best], rtol=1e-6)
    assert header["said"] == [["/ √16", "/ √16 × 2"]] and header["marks"][1]["x"] == 2.0
    np.testing.assert_allclose(arrays[header["facts"][0]["values"]], [[1.5, 3.0]])
