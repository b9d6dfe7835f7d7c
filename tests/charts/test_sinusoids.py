"""What the pictures of sinusoids are sent: the arrays that they were given, in shapes that fit."""

import numpy as np
import pytest

from charts import sinusoids as charts
from charts.curves import Choice, Picks
from tests.messages import unpack


def turn(PE: dict, theta: dict) -> bytes:
    return charts.turn_message(PE, theta, Choice("d", [4, 8], 8), Choice("Base", [100, 1000], 100),
                               Picks("Layout", list(charts.LAYOUTS.values()), charts.LAYOUTS["half"]), charts.Place(3, 2, 1),
                               ["a", "b"], epoch=5)  # fmt: skip


def test_the_matrices_go_out_whole():
    g = np.random.default_rng(0)
    PE = {d: g.normal(size=(2, 2, 6, d)) for d in (4, 8)}
    theta = {d: g.random((2, 2, d // 2)) for d in (4, 8)}
    header, arrays = unpack(turn(PE, theta))
    assert (header["pos"], header["k"], header["pair"], header["positions"]) == (3, 2, 1, 6)
    assert header["d"]["at"] == 8 and header["layouts"]["at"] == charts.LAYOUTS["half"] and header["words"] == ["a", "b"]
    for d in (4, 8):
        np.testing.assert_allclose(arrays[f"PE {d}"], PE[d], rtol=1e-6)
        np.testing.assert_allclose(arrays[f"theta {d}"], theta[d], rtol=1e-6)
    with pytest.raises(ValueError, match="do not fit d = 4"):
        turn(PE | {4: PE[8]}, theta)


def test_a_pairs_columns():
    assert charts.columns(3, 16, "interleaved") == (6, 7) and charts.columns(3, 16, "half") == (3, 11)


def test_products_scores_and_trainings_are_the_arrays_given():
    g = np.random.default_rng(0)
    S = g.normal(size=(2, 2, 3, 5))
    header, arrays = unpack(charts.products_message(
        np.arange(5), (0, 10, 100), S, S.max(2) - S.min(2), Choice("d", [4, 8], 8), Choice("Base", [100, 1000], 100),
        reach=Choice("up to", [2, 4], 4), cursor=1))  # fmt: skip
    lines = header["panels"][0]["series"]
    for i, line in enumerate(lines):
        np.testing.assert_allclose(arrays[line["y"]], S[:, :, i], rtol=1e-6)
    raw, alone, mixed = (charts.Maps(g.random(shape), g.normal(size=shape), shares)
                         for shape, shares in (((1, 4, 4), [1.0]), ((2, 4, 4), [0.5, 0.25]), ((2, 3, 3), [0.1, 0.2])))
    header, arrays = unpack(charts.heads_message(raw, alone, mixed, ["0 a", "1 b", "2 c"], "b",
                                                 Choice("Head", ["x", "y"], "y"), "/ √12", at=("S", 2, 1)))  # fmt: skip
    for key, values in (("PE·PE", raw.drawn[0]), ("S alone", alone.drawn), ("S", mixed.drawn)):
        np.testing.assert_allclose(arrays[key], values, rtol=1e-6)
    says = header["grid"][0][2]["says"]["text"]
    assert says[1][2][1].startswith(f"query 2 c, key 1 b: q·k / √12 = {mixed.raw[1, 2, 1]:.3g}, ") and says[1][1][2] == ""
    assert [m["note"] for m in header["grid"][0]] == [
        "the offset explains 100%", ["the offset explains 50%", "the offset explains 25%"],
        ["the offset explains 10%", "the offset explains 20%"]]  # fmt: skip
    runs = [charts.Runs(name, "residual", g.random((3, 5)) + 4, g.random((3, 5))) for name in ("with", "without")]
    header, arrays = unpack(charts.scale_message(np.arange(5.0), runs, cursor=4))
    for panel, part in zip(header["panels"], ("share", "loss"), strict=True):
        for run, band, line in zip(runs, panel["series"][::2], panel["series"][1::2], strict=True):
            of = getattr(run, part)
            np.testing.assert_allclose(arrays[line["y"]], of.mean(0), rtol=1e-6)
            np.testing.assert_allclose(arrays[band["hi"]], of.max(0), rtol=1e-6)
    lengths = {"with": g.random((3, 3)), "without": g.random((3, 3))}
    header, arrays = unpack(charts.words_message(lengths, ["0 a", "1 b", "2 c"]))
    np.testing.assert_allclose(arrays["share"], np.stack([of[0] for of in lengths.values()]), rtol=1e-6)
