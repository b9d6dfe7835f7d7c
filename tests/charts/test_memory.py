"""Memory across segments: what goes to the browser is what was given."""

import numpy as np

from charts import memory as charts
from charts.curves import Choice, Switch
from tests.messages import unpack

MEMORIES = Choice("Memory", ["none", "2"], "2")
WORDS = ["a", "b", "c", "d"]


def test_levels_are_counted_from_the_top():
    needed = np.array([[-1, -1, 1, 0], [2, 1, 1, 0]])
    header, arrays = unpack(charts.reach_message(needed, WORDS, MEMORIES, token="d", layers=2, segment=2))
    np.testing.assert_array_equal(arrays["with"][1], [[0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(arrays["alone"], [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    assert header["grid"][1][0]["rows"] == ["layer 2", "layer 1", "embed"]
    assert header["grid"][1][0]["note"] == ["d has heard of 2 tokens", "d has heard of 4 tokens"]


def test_maps_hide_what_is_out_of_sight_and_say_what_scores_are_made_of():
    allowed = np.array([np.kron(np.eye(2), np.tri(2)), np.tri(4)]).astype(bool)
    A = allowed / allowed.sum(-1, keepdims=True)
    scores, distance = np.where(allowed, 3.0, np.nan), np.where(allowed, 1.0, np.nan)
    header, arrays = unpack(charts.map_message(A, scores, distance, allowed, WORDS, MEMORIES, Switch("more", False),
        head="head 0"))
    np.testing.assert_allclose(arrays["with"], A)
    np.testing.assert_array_equal(arrays["alone barred"], ~allowed[0])
    np.testing.assert_array_equal(arrays["content"], np.where(allowed, 2.0, np.nan))
    share = (A[1][2, :2].sum() + A[1][3, :2].sum()) / 2
    with_ = header["grid"][0][1]
    assert with_["note"][1].startswith(f"{share:.0%} of the later") and with_["says"] == {"kind": "softmax", "of": "S"}
    assert {m["top"] for m in header["grid"][1]} == {2.0}


def test_differences_and_surprise_go_out_for_every_memory():
    apart, surprise, whole = np.full((2, 3, 4), 0.5), np.arange(8.0).reshape(2, 4), np.arange(4.0)
    header, arrays = unpack(charts.same_message(apart, surprise, whole, [0, 2], WORDS, MEMORIES, cursor=3))
    labels = {series["label"]: arrays[series["y"]] for panel in header["panels"] for series in panel["series"]}
    np.testing.assert_array_equal(labels["logits"], apart[:, -1])
    np.testing.assert_array_equal(labels["layer 1"], apart[:, 1])
    np.testing.assert_array_equal(labels["by segments"], surprise)
    assert [mark["x"] for mark in header["panels"][0]["marks"]] == [0, 2]


def test_the_worth_is_the_seeds_mean_and_range():
    runs = {"with": np.array([[1.0, 2.0], [1.2, 2.2]]), "without": np.array([[2.0, 2.1], [2.4, 2.3]])}
    header, arrays = unpack(charts.worth_message(runs, cursor=1))
    series = [one for panel in header["panels"] for one in panel["series"] if "y" in one]
    labels = {one.get("label"): arrays[one["y"]] for one in series}
    np.testing.assert_allclose(labels["memory"], [1.1, 2.1])
    np.testing.assert_allclose(labels["saved"], [1.1, 0.1], rtol=1e-5)
    band = header["panels"][0]["series"][2]
    np.testing.assert_allclose(arrays[band["lo"]], [1.0, 2.0])
    np.testing.assert_allclose(arrays[band["hi"]], [1.2, 2.2], rtol=1e-6)
