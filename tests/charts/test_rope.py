"""What the pictures of RoPE send: bands and means of what was given, one name where the curves are one."""

import numpy as np

from charts import rope
from charts.curves import Choice, Picks
from tests.charts.test_component import unpack

R = np.arange(5.0)


def test_the_pair_goes_out_as_it_is():
    q, k = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    theta = np.array([[1.0, 0.1], [1.0, 0.2]])
    bases, curve = Choice("Base", ["100", "10"], "10"), np.stack((R - 2, R))
    header, arrays = unpack(rope.pair_message(
        q, k, bases, theta, curve, query="it", key="cat", own=rope.Place(4, 1), place=rope.Place(3, 3, 1),
        epoch=2, d_head=4, scale=0.5, label="l"))  # fmt: skip
    np.testing.assert_array_equal(arrays["q"], q)
    np.testing.assert_array_equal(arrays["k"], k)
    np.testing.assert_array_equal(arrays["curve"], curve)
    np.testing.assert_array_equal(arrays["theta"], np.float32(theta))
    assert header["bases"] == {"label": "Base", "values": ["100", "10"], "at": "10"}
    assert (header["m0"], header["n0"], header["m"], header["n"], header["pair"], header["reach"]) == (4, 1, 3, 3, 1, 4)
    assert header["range"][0] < -2 and header["range"][1] > 4


def test_a_spread_holds_ninety_percent():
    scores = np.random.default_rng(0).standard_normal((1000, 5))
    spread = rope.Spread.of(scores)
    inside = (scores >= spread.low) & (scores <= spread.high)
    assert abs(inside.mean() - 0.9) < 0.005
    np.testing.assert_allclose(spread.mean, scores.mean(0))
    assert len(spread.some) == 6 and all((one == scores).all(1).any() for one in spread.some)
    assert len(rope.Spread.of(scores[:2]).some) == 2


def test_a_spread_of_frames_is_the_spreads_of_each():
    scores = np.random.default_rng(1).standard_normal((3, 20, 5))
    spread = rope.Spread.of(scores)
    for i in range(3):
        one = rope.Spread.of(scores[i])
        for name in ("mean", "low", "high"):
            np.testing.assert_allclose(getattr(spread, name)[i], getattr(one, name))
        np.testing.assert_array_equal([line[i] for line in spread.some], one.some)


def test_the_likeness_is_a_slider_of_the_picture():
    real, drawn = rope.Spread.of(np.stack((R, -R))), rope.Spread.of(np.arange(30.0).reshape(2, 3, 5))
    header, arrays = unpack(rope.distance_message(
        R, real, drawn, R + 9, R, head="layer 1, head 2", pairs=2, seed=7, likeness=Choice("ρ", [0.0, 0.5], 0.5),
        up_to=Choice("Up to", [2, 4], 2), cursor=1, epoch=3))  # fmt: skip
    assert (header["frames"]["at"], header["zooms"]["at"], header["epoch"]) == (0.5, 2, 3)
    first, second, _ = header["panels"]
    assert first["title"] == "Real: 2 pairs of words in layer 1, head 2"
    assert second["title"] == [f"Drawn at random, seed 7: k resembles q by ρ = {rho}" for rho in ("0", "0.5")]
    np.testing.assert_array_equal(arrays[second["series"][-1]["y"]], drawn.mean.astype(np.float32))
    np.testing.assert_array_equal(arrays[second["series"][0]["hi"]], drawn.high.astype(np.float32))
    assert second["y"]["lo"] < 0 and second["y"]["hi"] > 29  # one range for all frames: what is gone is seen to be gone


def test_equal_curves_have_one_name_and_a_fan_has_one_each():
    one, fan = np.tile(R, (2, 1)), np.stack((R, R + 3))
    fans = [rope.Fan(one, 1.0, "one", "o"), rope.Fan(fan, 0.2, "fan", "f")]
    header, arrays = unpack(rope.fans_message(R, [0, 64], fans, cursor=1))
    names = [[series["label"] for series in panel["series"]] for panel in header["panels"]]
    assert names == [["", "all starts"], ["n = 0", "n = 64"]]
    assert [panel["note"][-6:] for panel in header["panels"]] == ["100.0%", " 20.0%"]
    np.testing.assert_array_equal(arrays[header["panels"][1]["series"][1]["y"]], R + 3)
    np.testing.assert_array_equal(arrays[header["table"]["rows"][1]["cells"][1]], R + 3)


def test_each_scaling_can_be_picked():
    waves = {name: (i + 1) * np.array([[6.0, 60.0, 600.0], [7.0, 70.0, 700.0]]) for i, name in enumerate(rope.SCALINGS)}
    kept = {name: np.ones((2, 3)) / (i + 1) for i, name in enumerate(rope.SCALINGS)}
    picks = Picks("Scaling", list(rope.SCALINGS.values()), "NTK-aware", role="attention")
    header, arrays = unpack(rope.scalings_message(waves, kept, picks, 100, Choice("Factor", [2, 4], 4), cursor=2))
    assert (header["picks"]["at"], header["picks"]["role"]) == ("NTK-aware", "attention")
    by_pick = {series["pick"]: series for series in header["panels"][0]["series"][1:]}
    for name, title in rope.SCALINGS.items():
        np.testing.assert_array_equal(arrays[by_pick[title]["y"]], np.float32(waves[name]))
        np.testing.assert_array_equal(arrays[header["sum"]["arrays"][1][title]], np.float32(waves[name]))
        np.testing.assert_array_equal(arrays[header["sum"]["arrays"][2][title]], np.float32(kept[name]))
    assert [row["pick"] for row in header["table"]["rows"]] == list(rope.SCALINGS.values())
