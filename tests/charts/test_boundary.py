"""The maps' message is what was trained."""

import numpy as np
import pytest

from charts import boundary, linear_depth
from charts.curves import Choice
from tests.messages import unpack


def run(frames: int, classes: int = 2, matrix: bool = True) -> boundary.Run:
    dice = np.random.default_rng(frames)
    p = dice.integers(0, 255, (frames, classes, 5, 5)).astype(np.uint8)
    loss, accuracy = dice.random((2, frames))
    if not matrix:
        return boundary.Run(p, loss, accuracy)
    return boundary.Run(p, loss, accuracy, dice.random((frames, classes, 2)), dice.random((frames, classes)),
                        dice.random((frames, 2)), dice.random(frames), np.full(frames, 2))  # fmt: skip


def sent(tiles, **changed):
    given = dict(classes=2, reach=2.0, frame=1, seed=7, source="live") | changed
    return unpack(boundary.message("maps", tiles, [7, 8], np.array([0, 5, 20]), np.zeros((4, 2)), np.arange(4) % 2, **given))


def test_every_run_is_there_with_its_frames():
    a, b, c = run(3), run(2), run(3, matrix=False)
    tiles = [boundary.Tile("linear", "lin", "muted", [a, b]), boundary.Tile("bent", "b", "ffn", [c, None], (6, 4))]
    header, arrays = sent(tiles)
    assert arrays["count"].tolist() == [[3, 2], [3, 0]]
    assert [name for name in arrays if name.startswith("maps")] == ["maps 0 0", "maps 0 1", "maps 1 0"]
    for name, one in {"maps 0 0": a, "maps 0 1": b, "maps 1 0": c}.items():
        np.testing.assert_array_equal(arrays[name], one.p[:, 1:])
    np.testing.assert_allclose(arrays["loss"][0, 1], [*b.loss, np.nan], rtol=1e-6)
    np.testing.assert_allclose(arrays["W"][0, 0, :, :, :2], a.W, rtol=1e-6)
    np.testing.assert_allclose(arrays["W"][0, 0, :, :, 2], a.b, rtol=1e-6)
    assert np.isnan(arrays["W"][1]).all() and header["tiles"][1]["dash"] == [6, 4] and header["seed"] == 7


def test_what_does_not_fit_is_refused():
    tile = boundary.Tile("linear", "lin", "muted", [run(3), run(3)])
    for bad in ([boundary.Tile("short", "s", "muted", [run(3)])], [boundary.Tile("long", "l", "muted", [run(4), None])],
                [boundary.Tile("classes", "c", "muted", [run(3, classes=3), None])]):  # fmt: skip
        with pytest.raises(ValueError):
            sent(bad)
    for changed in ({"seed": 1}, {"frame": 3}):
        with pytest.raises(ValueError, match="no seed"):
            sent([tile], **changed)


def test_the_curves_of_the_modes_are_the_courses():
    dice = np.random.default_rng(0)
    strength, loss, exact = dice.random((2, 3, 4, 2, 6)), dice.random((2, 3, 4, 6)), dice.random((2, 3, 2, 6))
    header, arrays = unpack(linear_depth.learning(
        np.arange(6), strength, loss, exact, np.array([2.0, 1.0]), ["a", "b"], Choice("L", [1, 2], 2),
        Choice("start", [0.1, 0.2, 0.5], 0.1), cursor=2))
    top, below = header["panels"]
    lines = [series for series in top["series"] if series["kind"] == "line" and series["label"]]
    np.testing.assert_allclose(arrays[lines[1]["y"]], strength[..., 1, :].mean(2), rtol=1e-6)
    band = below["series"][0]
    np.testing.assert_allclose(arrays[band["hi"]], loss.max(2), rtol=1e-6)


def test_singular_values_are_shares_of_the_largest():
    singular = np.sort(np.random.default_rng(0).random((2, 12)))[:, ::-1]
    header, arrays = unpack(linear_depth.heads(singular, Choice("Head", [0, 1], 0), 3, 4, cursor=1))
    share, held = (arrays[panel["series"][0]["y"]] for panel in header["panels"])
    np.testing.assert_allclose(share, (singular / singular[:, :1])[:, :8], rtol=1e-6)
    np.testing.assert_allclose(held[:, -1], (singular[:, :8] ** 2).sum(1) / (singular**2).sum(1), rtol=1e-6)
