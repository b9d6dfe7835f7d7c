"""What the pictures of permuted tokens are sent: every array as given, an order's tokens as its labels."""

import numpy as np
import pytest

from charts import permutation as charts
from charts.curves import Choice, Picks
from tests.messages import unpack

TOKENS = ["0 a", "1 b", "2 c"]
ORDERS = {"as it stands": (0, 1, 2), "reversed": (2, 1, 0)}


def reading(seed: int) -> charts.Orders:
    g = np.random.default_rng(seed)
    return charts.Orders(g.normal(size=(2, 3, 20)), g.random((2, 3, 4)), g.random((2, 3, 3)), g.random((2, 3, 3)),
                         np.array([0.0, 1.5e-6]))  # fmt: skip


@pytest.mark.parametrize("causal", [False, True])
def test_each_order_has_its_own_rows_and_the_switch_its_own_numbers(causal):
    readings = {False: reading(0), True: reading(1)}
    header, arrays = unpack(charts.orders_message(
        readings, TOKENS, ORDERS, Picks("Order", list(ORDERS), "reversed"), True, head="layer 1, head 2", causal=causal,
        at=("A reversed on", 0, 1), epoch=3,
    ))  # fmt: skip
    assert header["picks"]["at"] == "reversed" and header["switch"]["on"] and header["at"] == ["A reversed on", 0, 1]
    drawn = {m["key"]: m for row in header["grid"] for m in row}
    for on, of in readings.items():
        mark = " on" if on else ""
        np.testing.assert_allclose(arrays[f"Y{mark}"], of.Y[0, :, : charts.SHOWN], rtol=1e-6)
        for i, (name, order) in enumerate(ORDERS.items()):
            np.testing.assert_allclose(arrays[f"Y {name}{mark}"], of.Y[i, :, : charts.SHOWN], rtol=1e-6)
            np.testing.assert_allclose(arrays[f"A {name}{mark}"], of.A[i], rtol=1e-6)
            np.testing.assert_allclose(arrays[f"ΔA {name}{mark}"], of.home[i] - of.A[0], rtol=1e-4, atol=1e-7)
            np.testing.assert_allclose(arrays[f"Δ {name}{mark}"], of.moved[i], rtol=1e-6)
            assert drawn[f"A {name}{mark}"]["rows"] == [TOKENS[j] for j in order]
            assert (drawn[f"A {name}{mark}"]["pick"], drawn[f"A {name}{mark}"]["switched"]) == (name, on)
            assert (f"A {name}{mark} barred" in arrays) == causal
    assert drawn["Δ reversed"]["note"].endswith("1.5e−6")


def test_of_many_layers_the_first_and_the_last_are_drawn():
    assert charts.drawn_layers(3) == [0, 1, 2]
    found = charts.drawn_layers(31)
    assert found[:3] == [0, 1, 2] and found[-1] == 30 and len(set(found)) == charts.MOST_LAYERS


def test_angles_name_both_orders():
    on, off = np.array([[0.0, 12.5], [12.5, 0.0]]), np.zeros((2, 2))
    header, arrays = unpack(charts.angles_message(on, off, [("dog", "bites"), ("bites", "dog")]))
    np.testing.assert_allclose(arrays["on"], on)
    np.testing.assert_allclose(arrays["off"], off)
    drawn = header["grid"][0][0]
    assert drawn["rows"] == ["dog bites", "bites dog"] and drawn["note"] == "up to 12.5°"
    assert drawn["says"]["text"][0][1] == "“dog bites” and “bites dog” come to vectors 12° apart"
    header, _ = unpack(charts.angles_message(on, off, [("dog", "bites", "man"), ("man", "bites", "dog")]))
    assert header["grid"][0][0]["rows"] == ["dog bit. man", "man bit. dog"]  # short, and it says so


def test_places_are_drawn_over_the_diagonal():
    g = np.random.default_rng(0)
    of = charts.Told("A decoder", "query", *(g.random((2, 5)) * 4 for _ in range(3)), np.array([0.0, 0.5]), np.array([-0.1, 0.02]))
    header, arrays = unpack(charts.places_message([of], Choice("Vectors", ["in", "0"], "0"), cursor=2))
    diagonal, band, line = header["panels"][0]["series"]
    np.testing.assert_allclose(arrays[diagonal["y"]], np.arange(5))
    np.testing.assert_allclose(arrays[line["y"]], of.middle, rtol=1e-6)
    np.testing.assert_allclose(arrays[band["lo"]], of.low, rtol=1e-6)
    assert header["panels"][0]["note"] == ["R²: 0%; by a straight line 0%", "R²: 50%; by a straight line 2%"]
