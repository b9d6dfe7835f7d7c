"""The messages of the lesson on losses hold the arrays that they were given."""

import numpy as np
import pytest

from charts import losses as charts
from charts.curves import Choice, Picks
from tests.messages import unpack

P = np.arange(1, 10) / 10


def shapes(alphas=(1.0, 4.0)):
    one = np.linspace(0, 1, 9)
    of = {"plain": one[None, None, None], "weighted": np.stack([one * a for a in alphas])[None, :, None]}
    counts = {name: np.full((1, 1, 1, 1), 9.0) for name in of}
    sliders = [Choice("γ", [0.0, 2.0], 2.0), Choice("α", list(alphas), 4.0), Choice("ε", [0.1], 0.1)]
    message = charts.shapes(P, of, {name: -values for name, values in of.items()}, counts, {"plain": "ink", "weighted": "query"},
                            {"weighted": (7, 5)}, sliders=sliders, picks=Picks("Read out", list(of), "plain"), cursor=0.9)  # fmt: skip
    return of, unpack(message)


def test_curves_are_what_was_computed():
    of, (header, arrays) = shapes()
    for panel, sign in zip(header["panels"], (1, -1), strict=True):
        for series in panel["series"]:
            np.testing.assert_allclose(arrays[series["y"]], sign * of[series["label"]], rtol=1e-6)
    assert header["panels"][0]["series"][1]["dash"] == [7, 5]
    assert header["sum"]["text"].count("{") == 4


def test_the_weighted_curves_fit_into_their_panel():
    _, (header, _) = shapes()
    tops = np.array(header["panels"][0]["y"]["hi"])
    assert tops.shape == (1, 2, 1) and tops[0, 1, 0] == 4 * tops[0, 0, 0]


def runs(own=None):
    values = {"a": np.random.default_rng(0).random((3, 2, 2, 4)), "b": np.random.default_rng(1).random((3, 2, 2, 4))}
    table = {"first%": {name: np.median(of[:, :, :1], 0) for name, of in values.items()}}
    message = charts.runs(
        "runs", np.arange(4), {"a": "ink", "b": "query"}, [(["one", "two"], "", True, values)], own or {}, table,
        frames=[Choice("ratio", [9, 99], 9), Choice("drawn", ["one", "two"], "two")], picks=Picks("Read out", ["a", "b"], "b"),
        cursor=3, sentence="{pick}: {0%}",
    )  # fmt: skip
    return values, unpack(message)


def test_bands_go_from_the_lowest_seed_to_the_highest():
    values, (header, arrays) = runs()
    bands = [one for one in header["panels"][0]["series"] if one["kind"] == "band" and one["switched"]]
    for band, of in zip(bands, values.values(), strict=True):
        np.testing.assert_allclose(arrays[band["lo"]], of.min(0), rtol=1e-6)
        np.testing.assert_allclose(arrays[band["hi"]], of.max(0), rtol=1e-6)
    low, high = (np.array(header["panels"][0]["y"][end]) for end in ("lo", "hi"))
    faint = [one for one in header["panels"][0]["series"] if one["kind"] == "band" and not one["switched"]]
    assert [band["hi"] for band in faint] == [band["hi"] for band in bands] and [band["pick"] for band in bands] == ["a", "b"]
    assert (low < np.minimum(*values.values()).min((0, -1))).all() and (high > np.maximum(*values.values()).max((0, -1))).all()


def test_own_runs_are_dashed_over_them():
    own = np.full((2, 2, 4), np.nan)
    own[1, :, :2] = 0.5
    _, (header, arrays) = runs({"b": [own]})
    (line,) = [one for one in header["panels"][0]["series"] if one["kind"] == "line" and one["dash"]]
    np.testing.assert_array_equal(arrays[line["y"]], own.astype(np.float32))
    assert line["role"] == "query" and not line["label"]


def test_a_seed_that_is_missing_counts_for_nothing():
    values = np.array([[[1.0, 2.0]], [[3.0, 4.0]], [[np.nan, np.nan]]])  # [seed, slider, step]
    message = charts.runs("runs", np.arange(2), {"a": "ink"}, [(["t"], "", False, {"a": values})], {}, {"t": {"a": values[0]}},
                          frames=[Choice("data", ["d"], "d")], picks=Picks("Read out", ["a"], "a"), cursor=0, sentence="")  # fmt: skip
    header, arrays = unpack(message)
    np.testing.assert_array_equal(arrays[header["panels"][0]["series"][0]["hi"]], [[3.0, 4.0]])


def carriers(**other):
    dice = np.random.default_rng(0)
    shares = dice.random((2, 3, 2, 4))
    given = {
        "shares": shares, "lo": shares - 0.1, "hi": shares + 0.1, "counts": np.arange(8).reshape(2, 4),
        "digits": dice.integers(255, size=(7, 8, 8)), "true": np.arange(7), "at": dice.integers(7, size=(2, 3, 2, 5)),
        "label": dice.integers(2, size=(2, 3, 2, 5)), "wrong": dice.random((2, 3, 2, 5)) < 0.5, "p": dice.random((2, 3, 2, 5)), "share": dice.random((2, 3, 2, 5)),
    } | other  # fmt: skip
    setting = {"called": ("not 8", "8"), "settings": Choice("Problem", ["x", "y"], "y"), "steps": Choice("Step", [0, 1, 2], 1)}
    groups = [(name, "positive", 0.9) for name in "abcd"]
    return given, charts.carriers(["m", "n"], groups, pick=other.get("pick", "n"), **setting,
                                  **{k: v for k, v in given.items() if k != "pick"})  # fmt: skip


def test_carriers_hold_what_they_were_given():
    given, message = carriers()
    header, arrays = unpack(message)
    for name, kept in (("shares", "shares"), ("lo", "lo"), ("p", "p"), ("share", "share"), ("at", "at"), ("label", "told"), ("wrong", "wrong"),
                       ("digits", "digits"), ("counts", "counts"), ("true", "true")):  # fmt: skip
        np.testing.assert_allclose(arrays[kept], given[name], rtol=1e-6)
    assert (header["places"], header["side"], header["pick"], header["steps"]["at"]) == (5, 8, "n", 1)


@pytest.mark.parametrize("other", [{"pick": "o"}, {"p": np.zeros((2, 3, 2, 4))}, {"shares": np.zeros((2, 3, 1, 4))}])
def test_what_does_not_fit_is_refused(other):
    with pytest.raises(ValueError):
        carriers(**other)
