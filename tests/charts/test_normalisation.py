"""Messages of the normalisation lesson: what goes in is what goes out, and shapes that do not fit are refused."""

import numpy as np
import pytest

from charts import normalisation
from tests.messages import unpack


def norm(frames: int, shape=(2, 3, 4)) -> normalisation.Norm:
    values = np.arange(frames * np.prod(shape), dtype=float).reshape(frames, *shape)
    return normalisation.Norm(values, values + 1, values + 2, np.ones(shape[-1]), np.zeros(6))


SENTENCES = [("a b c", ["a", "b", "c"]), ("d e f", ["d", "e", "f"])]
PLACE = dict(pick="LayerNorm", batch=2, tokens=3, at=(0, 1, 2))


def test_the_cube_carries_its_arrays():
    x = np.arange(24, dtype=float).reshape(2, 3, 4)
    header, arrays = unpack(normalisation.cube(SENTENCES, [1, 5, 7, 9], 96, x, {"layer": norm(1), "batch": norm(6)},
        1e-5, **PLACE))
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["batch mean"], norm(6).mean)
    assert [one["frames"] for one in header["norms"]] == [1, 6] and header["features"] == [1, 5, 7,
        9] and header["eps"] == 1e-5


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="x has shape"):
        normalisation.cube(SENTENCES, [1], 96, np.zeros((2, 3, 4)), {"layer": norm(1)}, 1e-5, **PLACE)
    with pytest.raises(ValueError, match="mean of batch"):
        normalisation.cube(SENTENCES, [1, 2, 3, 4], 96, np.zeros((2, 3, 4)), {"batch": norm(5)}, 1e-5, **PLACE)


def test_the_curves_hold_what_they_are_given():
    layer, outside, rms = (np.linspace(0, 1, 181, dtype=np.float32) ** k for k in (1, 2, 3))
    header, arrays = unpack(normalisation.epsilon(np.arange(-120, 61) / 20, layer, outside, rms, 1e-5, 0.1, -1.0))
    drawn = [arrays[s["y"]] for s in header["panels"][0]["series"]]
    np.testing.assert_array_equal(drawn[2], layer)
    np.testing.assert_array_equal(drawn[0], outside)
    marks = [mark["x"] for mark in header["panels"][0]["marks"]]
    assert marks == pytest.approx([np.log10(np.sqrt(1e-5) / 0.1), -4])
