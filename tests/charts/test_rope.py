"""What the pictures of RoPE send: bands and means of what was given, one name where the curves are one."""

import numpy as np
import pytest

from charts import rope
from charts.curves import Choice, Picks, Switch
from tests.messages import unpack

R = np.arange(5.0)


RNG = np.random.default_rng(0)
HEADS, BASES, RHO = Choice("Head", [0, 1], 1), Choice("Base", ["100", "10", "1"], "10"), Choice("ρ", [0.0, 0.5], 0.5)


def pair_message(**changes):
    Q, K = RNG.standard_normal((1, 2, 3, 2, 2)), RNG.standard_normal((1, 1, 3, 2, 2))  # two heads share one K, three words
    given = {"Q": Q, "K": K, "theta": RNG.random((3, 2))}
    words = ["2 a", "3 b", "4 c"]
    choices = {"layers": Choice("Layer", [0, 5, 6], 5), "held": [5], "heads": HEADS, "queries": Choice("Query", words, "4 c"), "keys": Choice("Key", words, "2 a"), "bases": BASES,
               "reaches": Choice("Up to", [4, 64], 4)}  # fmt: skip
    message = rope.pair_message(*(given | changes).values(), **choices, words=["a", "b", "c"], first=2,
                                place=rope.Place(3, 3, 1), epoch=2, d_head=4, scale=0.5, label="l")  # fmt: skip
    return given, *unpack(message)


def test_the_pair_goes_out_as_it_is():
    given, header, arrays = pair_message()
    for name, array in given.items():
        np.testing.assert_array_equal(arrays[name], np.float32(array))
    assert header["choices"]["base"] == {"label": "Base", "values": ["100", "10", "1"], "at": "10"}
    assert header["held"] == [5]
    assert {name: choice["at"] for name, choice in header["choices"].items()} == {
        "layer": 5, "head": 1, "query": "4 c", "key": "2 a", "base": "10", "reach": 4}  # fmt: skip
    assert (header["words"], header["first"]) == (["a", "b", "c"], 2)
    assert (header["m"], header["n"], header["pair"], header["epoch"]) == (3, 3, 1, 2)


def test_a_pair_that_does_not_fit_its_choices_is_refused():
    for wrong in ({"Q": np.zeros((1, 3, 3, 2, 2))}, {"Q": np.zeros((2, 2, 3, 2, 2))}, {"K": np.zeros((1, 1, 2, 2, 2))}, {"theta": np.zeros((2, 2))}):
        with pytest.raises(ValueError, match="do not fit the choices"):
            pair_message(**wrong)


def test_a_spread_holds_ninety_percent():
    scores = np.random.default_rng(0).standard_normal((1000, 5))
    spread = rope.Spread.of(scores)
    inside = (scores >= spread.low) & (scores <= spread.high)
    assert abs(inside.mean() - 0.9) < 0.005
    np.testing.assert_allclose(spread.mean, scores.mean(0))
    assert len(spread.some) == 4 and all((one == scores.astype(np.float16)).all(1).any() for one in spread.some)
    assert len(rope.Spread.of(scores[:2]).some) == 2


def test_a_spread_of_frames_is_the_spreads_of_each():
    scores = np.random.default_rng(1).standard_normal((3, 2, 20, 5))
    spread = rope.Spread.of(scores)
    for i in range(3):
        one = rope.Spread.of(scores[i, 1])
        for name in ("mean", "low", "high"):
            np.testing.assert_allclose(getattr(spread, name)[i, 1], getattr(one, name))
        np.testing.assert_array_equal([line[i, 1] for line in spread.some], one.some)


def test_a_spreads_range_holds_what_is_drawn_along_the_axes_that_share_it():
    spread = rope.Spread.of(np.random.default_rng(1).standard_normal((3, 2, 20, 5)))
    each, shared = spread.reaches(()), spread.reaches((1,))
    assert each.shape == (3, 2, 2) and shared.shape == (3, 1, 2)
    drawn = np.stack((spread.low, spread.high, *spread.some))  # [curve, 3, 2, distance]
    assert (each[..., 0] < drawn.min((0, 3))).all() and (each[..., 1] > drawn.max((0, 3))).all()
    assert (shared[:, 0, 0] < drawn.min((0, 2, 3))).all() and (shared[:, 0, 1] > drawn.max((0, 2, 3))).all()


def test_head_base_and_likeness_are_sliders_of_the_picture():
    real = rope.Spread.of(RNG.standard_normal((2, 3, 6, 5)))  # [head, base, pair, distance]
    drawn = rope.Spread.of(RNG.standard_normal((3, 2, 6, 5)))  # [base, ρ, pair, distance]
    aligned = RNG.random((3, 5))
    header, arrays = unpack(rope.distance_message(
        R, real, drawn, aligned + 9, aligned, layer=1, pairs=6, seed=7, heads=HEADS, bases=BASES, likeness=RHO,
        up_to=Choice("Up to", [2, 4], 2), cursor=1, epoch=3))  # fmt: skip
    assert [choice["at"] for choice in header["frames"]] == [1, "10", 0.5]
    assert (header["zooms"]["at"], header["epoch"]) == (2, 3)
    first, second, third = header["panels"]
    assert first["title"][1] == "Real: 6 pairs of words in layer 1, head 1"
    assert second["title"] == [[[f"Drawn at random, seed 7: k resembles q by ρ = {rho}" for rho in ("0", "0.5")]]]
    np.testing.assert_array_equal(arrays[first["series"][-1]["y"]][:, :, 0], real.mean.astype(np.float32))
    np.testing.assert_array_equal(arrays[second["series"][-1]["y"]][0], drawn.mean.astype(np.float32))
    np.testing.assert_array_equal(arrays[second["series"][0]["hi"]][0], drawn.high)
    np.testing.assert_array_equal(arrays[third["series"][1]["y"]][0, :, 0], aligned.astype(np.float32))
    assert np.shape(second["y"]["lo"]) == (1, 1, 1)  # one range for all: what is gone is seen to be gone
    assert np.shape(first["y"]["lo"]) == (2, 3, 1)


def test_equal_curves_have_one_name_and_a_fan_has_one_each():
    one, fan = np.tile(R, (1, 3, 2, 1)), np.tile(np.stack((R, R + 3)), (2, 3, 1, 1))  # [head or 1, base, start, distance]
    fans = [rope.Fan(one, np.full((1, 3), 1.0), "one", "o"), rope.Fan(fan, np.full((2, 3), 0.2), "fan", "f", False),
            rope.Fan(fan, np.full((2, 3), 0.3), "fan", "w", True)]  # fmt: skip
    header, arrays = unpack(rope.fans_message(R, [0, 64], fans, heads=HEADS, bases=BASES, switch=Switch("Words", True),
                                              cursor=1))  # fmt: skip
    names = [[series["label"] for series in panel["series"]] for panel in header["panels"]]
    assert names == [["", "all starts"], ["n = 0", "n = 64"], ["n = 0", "n = 64"]]
    assert [panel["note"][0][2][-6:] for panel in header["panels"]] == ["100.0%", " 20.0%", " 30.0%"]
    assert [(panel["switched"], panel["replaced"]) for panel in header["panels"]] == [
        (False, False), (False, True), (True, False)]  # fmt: skip
    np.testing.assert_array_equal(arrays[header["panels"][1]["series"][1]["y"]][1, 2], R + 3)
    np.testing.assert_array_equal(arrays[header["table"]["rows"][1]["cells"][1]][0, 0], R + 3)


def test_each_scaling_can_be_picked():
    waves = {name: (i + 1) * np.arange(1.0, 19).reshape(3, 2, 3) for i, name in enumerate(rope.SCALINGS)}
    kept = {name: np.ones((3, 2, 3)) / (i + 1) for i, name in enumerate(rope.SCALINGS)}
    picks = Picks("Scaling", list(rope.SCALINGS.values()), "NTK-aware", role="attention")
    header, arrays = unpack(rope.scalings_message(waves, kept, picks, 100, bases=BASES,
                                                  factors=Choice("Factor", [2, 4], 4), cursor=2))  # fmt: skip
    assert [choice["label"] for choice in header["frames"]] == ["Base", "Factor"]
    assert (header["picks"]["at"], header["picks"]["role"]) == ("NTK-aware", "attention")
    by_pick = {series["pick"]: series for series in header["panels"][0]["series"][1:]}
    for name, title in rope.SCALINGS.items():
        np.testing.assert_array_equal(arrays[by_pick[title]["y"]], np.float32(waves[name]))
        np.testing.assert_array_equal(arrays[header["sum"]["arrays"][1][title]], np.float32(waves[name]))
        np.testing.assert_array_equal(arrays[header["sum"]["arrays"][2][title]], np.float32(kept[name]))
    assert [row["pick"] for row in header["table"]["rows"]] == list(rope.SCALINGS.values())
