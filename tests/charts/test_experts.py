"""Messages of the lesson on experts: what goes in is what goes out, and shapes that do not fit are refused."""

import numpy as np
import pytest

from charts import experts
from tests.messages import unpack

SHAPE = (2, 1, 3, 4, 5)  # capacity, model, layer, token, expert


def routed(p: np.ndarray) -> bytes:
    return experts.routing(["a", "b", "c", "d"], ["balanced"], 2, ["all", "1"], [None, 2], p, p, p, np.ones((2, 1)),
        [[[[]] * 5] * 3],
                           pick="balanced", layer=1, capacity="1", token=2)  # fmt: skip


def test_routes_carry_their_arrays():
    p = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    header, arrays = unpack(routed(p))
    np.testing.assert_array_equal(arrays["p"], p)
    assert header["letters"] == list("ABCDE") and header["layers"] == 3 and header["layer"] == 1
    with pytest.raises(ValueError, match="p has shape"):
        routed(p[:1])


def test_the_terms_add_up_to_the_loss():
    f, p = np.full((2, 4), 0.5), np.full((2, 4), 0.25)
    header, arrays = unpack(experts.auxiliary({"m": f}, {"m": p}, {"m": np.array([2.0, 2.0])}, 2, "m", "0", None))
    np.testing.assert_allclose(arrays["t m"].sum((1, 2)), 2)
    assert "L = 2.000" in header["grid"][2][0]["title"][0]


def test_live_runs_lie_over_the_recorded():
    recorded = {"with": experts.Runs(np.array([[4.0, 3, 2], [4, 3.5, 2.5]]), np.ones((2, 3))),
        "dense": experts.Runs(np.full((2, 3), 3.0), None)}
    live = {"with": experts.Runs(np.array([[4.0, 3.1, np.nan]]), None)}
    header, arrays = unpack(experts.training(np.array([1.0, 2, 3]), recorded, live, "nats", 3.0, "x"))
    first, second = header["panels"]
    drawn = [arrays[s["y"]] for s in first["series"] if s["kind"] == "line"]
    np.testing.assert_allclose(drawn[0], [4, 3.25, 2.25])
    assert len(drawn) == 3 and np.isnan(drawn[-1][2]) and len(second["series"]) == 2
    bands = [s for s in first["series"] if s["kind"] == "band"]
    np.testing.assert_allclose(arrays[bands[0]["hi"]], [4, 3.5, 2.5])


def test_ranks_are_sorted():
    load = np.array([[[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]])
    header, arrays = unpack(experts.ranks({"m": load}, 0))
    np.testing.assert_allclose(arrays[header["table"]["rows"][0]["cells"][0]], [[0.6, 0.25, 0.15]], atol=1e-6)
