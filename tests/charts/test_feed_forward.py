"""The feed-forward pictures' messages are the arrays they were given."""

import numpy as np
import pytest

from charts import feed_forward as charts, memories
from charts.curves import Choice, Picks
from charts.memories import Neuron
from tests.messages import unpack

DICE = np.random.default_rng(0)


@pytest.mark.parametrize("n, shape", [(576, (24, 24)), (1536, (32, 48)), (96, (8, 12)), (7, (1, 7))])
def test_features_are_folded_in_their_order(n, shape):
    values = DICE.normal(size=(3, n))
    found = charts.folded(values)
    assert found.shape == (3, *shape)
    np.testing.assert_array_equal(found.reshape(3, n), values)


def test_the_way_holds_every_number():
    (x, out, after), (g, u, a) = DICE.normal(size=(3, 3, 6)), DICE.normal(size=(3, 3, 12))
    words = Choice("Word", ["a", "b", "c"], "c")
    header, arrays = unpack(charts.way(x, {"SiLU(g)": g, "u": u}, a, out, after, words, sigma="SiLU", at=("a", 1, 2)))
    for key, values in {"x̂′": x, "SiLU(g)": g, "u": u, "a": a, "out": out, "x″": after}.items():
        np.testing.assert_allclose(arrays[key].reshape(values.shape), values, rtol=1e-6)
    of_a = next(m for row in header["grid"] for m in row if m["key"] == "a")
    assert of_a["says"] == {"kind": "times", "of": ["SiLU(g)", "u"]}
    header, _ = unpack(charts.way(x, {"u": u}, a, out, after, words, sigma="GELU"))
    assert next(m for row in header["grid"] for m in row if m["key"] == "a")["says"]["kind"] == "sentence"


def test_changes_are_parted_by_layer():
    places = ["layers.3.norm_2", "layers.3.ffn.out", "layers.4.attention.out"]
    delta = DICE.random((2, 2, 3))
    header, arrays = unpack(charts.changes(places, delta, ["a", "b"], Choice("Changed", ["a", "b"], "b"), 3))
    np.testing.assert_allclose(arrays["here"], delta[..., :2], rtol=1e-6)
    np.testing.assert_allclose(arrays["next"], delta[..., 2:], rtol=1e-6)
    header, arrays = unpack(charts.changes(places[:2], delta[..., :2], ["a", "b"], Choice("Changed", ["a", "b"], "b"), 3))
    assert "next" not in arrays


def test_firing_and_widths_are_the_measured_numbers():
    shares = {field: DICE.random((2, 4)) for field in ("open", "half", "most")}
    write = DICE.random((2, 4)) + 0.1
    header, arrays = unpack(charts.firing(np.arange(4), shares, write, Choice("Word", ["a", "mean"], "mean"), gated=True, cursor=1))
    drawn = [arrays[series["y"]] for panel in header["panels"] for series in panel["series"]]
    for got, expected in zip(drawn, (shares["open"], shares["most"], shares["half"], write), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    steps, recorded = np.arange(0, 90, 10), {times: 2 + DICE.random((3, 9)) for times in (1, 4)}
    live = {4: [recorded[4][0, :3]]}
    header, arrays = unpack(charts.widths(steps, recorded, live, {1: (10, 20), 4: (40, 80)}, Picks("Width", ["1×", "4×"], "4×"), cursor=0))
    dashed = [s for s in header["panels"][0]["series"] if s["kind"] == "line" and s["dash"]]
    np.testing.assert_allclose(arrays[dashed[0]["y"]], [*recorded[4][0, :3], *[np.nan] * 6], rtol=1e-6)
    cells = [arrays[name].ravel() for name in header["table"]["rows"][1]["cells"]]
    assert [cells[1][0], cells[2][0]] == [40, 80] and cells[3][0] == pytest.approx(recorded[4][:, -1].mean())


def test_memories_are_listed_as_they_are():
    one = Neuron(5, -1.5, 0.25, [(" Paris", 1.0)], [("x", -0.5)])
    words, orders = Choice("Word", ["a"], "a"), Picks("Neurons", ["loud", "speaking"], "loud")
    header, _ = unpack(memories.message("label", words, orders, [" is"], [[[one], [one]]]))
    assert header["neurons"][0][1][0] == {"neuron": 5, "a": -1.5, "target": 0.25, "up": [[" Paris", 1.0]], "down": [["x", -0.5]]}
    with pytest.raises(ValueError, match="neurons for"):
        memories.message("label", words, orders, [" is"], [[[one]]])
