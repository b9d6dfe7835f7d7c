"""Longer than trained: lines are means of the seeds, bands their range, and what cannot be asked is not drawn."""

import numpy as np

from charts import longer
from charts.curves import Choice, Picks, Switch
from charts.longer import TITLES, TOPS, Runs, Surprise
from tests.messages import unpack

RNG = np.random.default_rng(1)
LENGTHS = np.array([64.0, 96.0, 128.0])


def runs(n: int = 3) -> dict[str, Runs]:
    found = {way: Runs(RNG.random((3, n)) + 2) for way in ("rope", "alibi", "learned")}
    found["learned"].values[:, 1:] = np.nan
    return found


def picks() -> Picks:
    return Picks("Positions", [TITLES[way] for way in ("rope", "alibi", "learned")], "RoPE")


def drawn(header: dict, arrays: dict, panel: int) -> dict[str, np.ndarray]:
    return {one["label"]: arrays[one["y"]] for one in header["panels"][panel]["series"] if one["kind"] == "line"}


def test_losses_by_length():
    loss, same = runs(), runs()
    header, arrays = unpack(longer.length_message(LENGTHS, loss, same, picks=picks(),
        tops=Choice("Axis", TOPS, TOPS[1]), trained=64, words=32,
                                                  cursor=96, epoch=2))  # fmt: skip
    for panel, given in ((0, same), (1, loss)):
        lines = drawn(header, arrays, panel)
        for way, of in given.items():
            np.testing.assert_allclose(lines[TITLES[way]], of.values.mean(0), rtol=1e-6)
    bands = [one for one in header["panels"][0]["series"] if one["kind"] == "band"]
    np.testing.assert_allclose(arrays[bands[0]["lo"]], same["rope"].values.min(0), rtol=1e-6)
    np.testing.assert_allclose(arrays[bands[0]["hi"]], same["rope"].values.max(0), rtol=1e-6)
    assert np.isnan(drawn(header, arrays, 0)["learned"][1:]).all() and len(header["panels"][0]["y"]["hi"]) == 2
    assert header["panels"][0]["y"]["hi"][1] < header["panels"][0]["y"]["hi"][0] + 0.6 and header["cursor"] == 96


def test_losses_by_place():
    given = runs(5)
    header, arrays = unpack(longer.place_message(np.arange(4.0, 44, 8), given, picks=picks(),
        tops=Choice("Axis", TOPS, TOPS[0]), trained=64,
                                                 cursor=12))  # fmt: skip
    np.testing.assert_allclose(drawn(header, arrays, 0)["ALiBi"], given["alibi"].mean, rtol=1e-6)


def test_surprises_of_a_text():
    given = {way: Surprise(*RNG.random((3, 9))) for way in ("rope", "alibi", "learned")}
    header, arrays = unpack(longer.text_message(given, [str(i) for i in range(10)], picks=picks(), trained=5, width=4,
                                                cursor=8))
    np.testing.assert_allclose(drawn(header, arrays, 0)["RoPE"], given["rope"].smooth, rtol=1e-6)
    np.testing.assert_allclose(drawn(header, arrays, 1)["RoPE"], given["rope"].change, rtol=1e-6)
    raw = [one for one in header["panels"][0]["series"] if not one["label"]]
    assert all(one["switched"] and one["plain"] for one in raw)  # of the picked way alone
    assert header["panels"][0]["marks"] and not unpack(longer.text_message(
        given, [str(i) for i in range(10)], picks=picks(), trained=64, width=4,
        cursor=8))[0]["panels"][0]["marks"]  # fmt: skip


def test_weights_by_distance_and_their_map():
    given = {way: RNG.random((2, 12)) for way in ("rope", "alibi", "learned")}
    header, arrays = unpack(longer.distance_message(given, picks=picks(), heads=Choice("Head", ["a", "b"], "b"),
                                                    switch=Switch("All", False),
                                                    trained=8, last=4, cursor=3))  # fmt: skip
    np.testing.assert_allclose(drawn(header, arrays, 0)["ALiBi"], given["alibi"], rtol=1e-6)
    A = RNG.random((3, 6))
    header, arrays = unpack(longer.map_message(A, list("abcdef"), head="RoPE, head 1", share=0.31, trained=4))
    np.testing.assert_allclose(arrays["A"], A, rtol=1e-6)
    np.testing.assert_array_equal(arrays["A barred"], [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
    assert header["grid"][0][0]["note"].startswith("31%") and header["grid"][0][0]["rows"] == ["d", "e", "f"]
