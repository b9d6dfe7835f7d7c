"""What the pictures of the sparse patterns are sent."""

import numpy as np

from charts import sparse as charts
from charts.curves import Choice, Picks
from tests.messages import unpack

TOKENS = ["0", "1", "2", "3"]


def test_a_frame_shows_what_is_within_as_many_layers_and_counts_it():
    reach = np.array([[0, -1, -1, -1], [1, 0, -1, -1], [2, 1, 0, -1], [3, 2, 1, 0]])
    allowed = (reach >= 0) & (reach <= 1)
    header, arrays = unpack(charts.patterns_message(
        {"window": charts.Pattern(allowed, reach, TOKENS)}, Picks("Pattern", ["window"], "window"),
        Choice("Layers", [1, 2, 3], 2)))  # fmt: skip
    np.testing.assert_array_equal(arrays["window pattern"], allowed)
    np.testing.assert_array_equal(arrays["window pattern barred"], ~allowed)
    for depth, frame in zip((1, 2, 3), arrays["window reach"], strict=True):
        np.testing.assert_array_equal(np.isfinite(frame), (reach >= 0) & (reach <= depth))
        assert (frame[np.isfinite(frame)] == reach[np.isfinite(frame)]).all()
    _, drawn = header["grid"][0]
    assert [title.rsplit("reaches ", 1)[1] for title in drawn["title"]] == ["2 of 4", "3 of 4", "4 of 4"]
    assert header["playsFrames"] and header["grid"][0][0]["title"] == "One layer: 7 of 16 pairs are scored"


def test_a_real_heads_weights_and_errors_go_out_as_they_are():
    g = np.random.default_rng(0)
    exact, barred = g.random((2, 4, 4)), ~np.tril(np.ones((2, 4, 4), dtype=bool))
    found = {
        name: charts.OnHead(g.random((2, 4, 4)), barred, g.random(2), g.random(2)) for name in ("window", "dilated")
    }
    header, arrays = unpack(charts.heads_message(
        exact, found, Picks("Pattern", list(found), "dilated"), Choice("Head", [0, 1], 1), TOKENS))
    np.testing.assert_allclose(arrays["exact"], exact, rtol=1e-6)
    for i, (name, of) in enumerate(found.items()):
        np.testing.assert_allclose(arrays[f"{name} A"], of.A, rtol=1e-6)
        np.testing.assert_allclose(arrays["error"][i], of.error, rtol=1e-6)
        np.testing.assert_allclose(arrays["kept"][i], of.kept, rtol=1e-6)
    titles = {m["key"]: m["title"] for m in header["grid"][0]}
    assert f"{found['dilated'].kept[1]:.0%}" in titles["dilated A"][1]


def test_costs_of_both_directions_and_what_was_measured_here():
    g = np.random.default_rng(0)
    costs = {name: charts.Cost(1 + g.random((2, 3)), 2 + g.random((2, 3))) for name in ("full", "window")}
    here = {"full": charts.Cost(np.full((2, 3), np.nan), np.full((2, 3), np.nan))}
    here["full"].milliseconds[:, 0] = 1.5
    header, arrays = unpack(charts.cost_message(
        np.array([8.0, 9.0, 10.0]), costs, np.array([1.0, 4.0, 16.0]), here, Picks("Pattern", list(costs), "window"),
        Choice("Direction", ["causal", "both ways"], "causal"), cursor=9.0))
    time, memory = header["panels"]
    np.testing.assert_allclose(arrays[time["series"][1]["y"]], costs["window"].milliseconds, rtol=1e-6)
    np.testing.assert_allclose(arrays[memory["series"][1]["y"]], costs["window"].megabytes, rtol=1e-6)
    own = next(line for line in time["series"] if line["label"] == "full, here")
    assert arrays[own["y"]][0, 0] == 1.5 and np.isnan(arrays[own["y"]][0, 1:]).all()
    assert memory["y"]["hi"] > 16 and time["y"]["log"]


def test_surprise_has_a_row_for_each_model_and_a_column_for_each_token_but_the_first():
    g = np.random.default_rng(0)
    surprise = {name: g.random(3) for name in ("full", "linear")}
    maps = {"full": np.tril(g.random((2, 4, 4)))}
    header, arrays = unpack(charts.trained_message(
        surprise, maps, TOKENS, Picks("Attention of", ["full"], "full"), Choice("Head", ["a", "b"], "a")))
    np.testing.assert_allclose(arrays["surprise"], np.stack(list(surprise.values())), rtol=1e-6)
    np.testing.assert_allclose(arrays["full A"], maps["full"], rtol=1e-6)
    assert header["grid"][0][0]["cols"] == TOKENS[1:] and header["grid"][0][0]["rows"] == ["full", "linear"]
