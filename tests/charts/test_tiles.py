"""The tiles as drawn: only the tile that is looked at has scores, and what is kept is what was given."""

import numpy as np

from charts import tiles
from charts.curves import Choice
from charts.tiles import Tile
from tests.messages import unpack

WORDS = ["a", " b", "c", "d"]
READ = {name: np.arange(12.0).reshape(4, 3) + i for i, name in enumerate("QKV")}
INF = np.array([-np.inf, -np.inf])


def tile(queries: slice, keys: slice, S, before=INF, rescale=(0.0, 0.0)) -> Tile:
    S = np.array(S, dtype=float)
    m = np.maximum(S.max(-1), before)
    P = np.exp(S - m[:, None])
    sums = np.array(rescale) * 2 + P.sum(-1)
    return Tile(queries, keys, S, P, before, np.array([2.0, 2.0]) * np.isfinite(before), np.array(rescale), m, sums,
                np.ones((2, 3)))  # fmt: skip


FOUND = [
    tile(slice(0, 2), slice(0, 2), [[1.0, -np.inf], [2.0, 3.0]]),
    tile(slice(2, 4), slice(0, 2), [[1.0, 0.0], [2.0, 3.0]]),
    tile(slice(2, 4), slice(2, 4), [[5.0, -np.inf], [1.0, 1.0]], np.array([1.0, 3.0]), (np.exp(-4.0), 1.0)),
]


def sent(**changes):
    names = ["1", "2", "3"]
    options = {"barred": np.triu(np.ones((4, 4), dtype=bool), 1), "at": Choice("Tile", names, "2"), "cell": None, "epoch": 1}
    return unpack(tiles.message(WORDS, FOUND, READ, np.ones((4, 3)), 0.5, "/ 2", **(options | changes)))


def test_only_the_tile_in_view_has_scores():
    _, arrays = sent()
    assert np.isfinite(arrays["S"]).sum((1, 2)).tolist() == [3, 4, 3]
    np.testing.assert_array_equal(arrays["S"][1, 2:, :2], FOUND[1].S)
    assert arrays["S barred"].sum((1, 2)).tolist() == [1, 0, 1], "no hatch where nothing is computed"
    np.testing.assert_array_equal(np.isfinite(arrays["K"]).any(-1).tolist(), [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
    np.testing.assert_array_equal(arrays["Q"][2, 2:], READ["Q"][2:])


def test_what_is_kept_stays():
    header, arrays = sent()
    np.testing.assert_allclose(arrays["m"][2, :, 0], [1, 3, 5, 3])
    np.testing.assert_allclose(arrays["l"][2, :2], arrays["l"][0, :2])
    assert np.isnan(arrays["r"][2, :2]).all(), "the factor belongs to the tile"
    said = {one["key"]: one["says"] for row in header["grid"] for one in row}
    assert said["m"]["text"][2][2][0] == "m = max(before 1, this tile's 5) = 5"
    assert said["r"]["text"][2][2][0] == "e^(m_old − m) = e^(1 − 5) = 0.0183"
    assert said["l"]["text"][2][3][0] == "l = factor · l_old + Σ e^(S − m) = 1 · 2 + (0.135 + 0.135) = 2.27"
    assert said["m"]["text"][0][2][0] == "", "nothing has happened to this query yet"


def test_the_sentences_say_what_happens():
    header, _ = sent()
    first = "Queries 0–1 (a … b) meet keys 0–1 (a … b). Their first tile: nothing is summed yet, so the factor is 0."
    assert header["sentence"][0] == first
    assert "For 1 of 2 queries the maximum rises" in header["sentence"][2]
    notes = header["grid"][1][-1]["note"]
    assert notes[1].startswith("2 of 4 rows are done") and notes[2].startswith("4 of 4")
    assert "at most 0" in notes[2]
    assert header["playsFrames"] and tiles.most_telling(FOUND) == (2, 2)


def test_memory_goes_out_as_it_is():
    n = np.arange(1.0, 5.0)
    kept, moved = ({"plain": n**2 * a, "tiled": n * a} for a in (1.0, 3.0))
    header, arrays = unpack(tiles.memory_message(n, kept, moved, 2, epoch=1))
    for row, name in zip(header["table"]["rows"], ("plain", "tiled"), strict=True):
        np.testing.assert_allclose(arrays[row["cells"][0]], kept[name])
        np.testing.assert_allclose(arrays[row["cells"][1]], moved[name])
