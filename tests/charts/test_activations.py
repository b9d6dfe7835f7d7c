"""The curves of the activations: the tanh form and the magnified gap are there while the switch is on."""

import numpy as np

from charts import activations, gates
from charts.curves import Choice, Picks, Switch
from tests.messages import unpack

DICE = np.random.default_rng(0)
U = np.linspace(-2, 2, 5)
EACH = {name: U + i for i, name in enumerate(activations.TITLES)}


PICKS = Picks("Through", list(activations.TITLES.values()), "SiLU", role="ffn")


def message() -> tuple[dict, dict]:
    shares = {name: np.array([0.1, 0.2]) for name in activations.TITLES}
    return unpack(activations.over_neurons(
        U, EACH, EACH, EACH, PICKS, Choice("Layer", [0, 1], 1), np.linspace(-2, 2, 5),
        np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.5, 0.0]]), np.tile(np.linspace(0, 1, 5), (2, 1)),
        reaches=Choice("Up to", [1, 2], 1), zeros=shares, flat=shares, neurons="the gates", cursor=0.0,
        gap=U / 5000, magnify=Switch("Magnify", False, taller=100), epoch=1))  # fmt: skip


def test_the_gap_is_magnified_in_a_panel_of_its_own():
    header, arrays = message()
    assert [panel["switched"] for panel in header["panels"]] == [False, False, True, False]
    np.testing.assert_allclose(arrays[header["panels"][2]["series"][0]["y"]], U / 5, rtol=1e-6)
    assert header["switch"] == {"label": "Magnify", "on": False, "taller": 100}


def test_the_axis_reaches_as_far_as_asked_and_says_what_lies_outside():
    header, _ = message()
    assert header["zooms"] == {"label": "Up to", "values": [1, 2], "at": 1}
    assert header["panels"][0]["y"]["hi"] == [[1, 2]]  # the same for both layers, one for each reach
    assert header["panels"][-1]["note"] == [["50.0% lie outside this axis", ""], ["", ""]]


def test_the_tanh_form_is_drawn_where_it_is_the_topic():
    header, arrays = message()
    by_label = {series["label"]: series for series in header["panels"][0]["series"]}
    assert {name: series["switched"] for name, series in by_label.items()} == {
        "ReLU": False, "GELU": False, "GELU (tanh)": True, "SiLU": False}  # fmt: skip
    np.testing.assert_array_equal(arrays[by_label["GELU (tanh)"]["y"]], np.float32(EACH["gelu_tanh"]))


def test_each_activation_can_be_picked():
    header, arrays = message()
    assert header["picks"] == {"label": "Through", "values": ["ReLU", "GELU", "GELU (tanh)", "SiLU"], "at": "SiLU",
                               "role": "ffn"}  # fmt: skip
    for panel in header["panels"][:2]:
        assert [series["pick"] for series in panel["series"]] == header["picks"]["values"]
    assert [row["pick"] for row in header["table"]["rows"]] == header["picks"]["values"]
    for of in header["sum"]["arrays"][:3]:
        for name, title in activations.TITLES.items():
            np.testing.assert_array_equal(arrays[of[title]], np.float32(EACH[name]))
    assert isinstance(header["sum"]["arrays"][3], str)  # how many lie below is not the activation's doing


def test_the_maps_of_the_gates_are_what_they_were_given():
    axis = np.array([-1.0, 0.0, 1.0])
    opened, a, slopes = ({name: DICE.normal(size=shape) for name in gates.TITLES} for shape in ((3,), (3, 3), (3, 3)))
    density = DICE.random((2, 3, 3)) / 9
    picks = Picks("Gate", list(gates.TITLES.values()), "SwiGLU")
    notes = {name: ["one", "two"] for name in gates.TITLES}
    header, arrays = unpack(gates.surfaces(axis, opened, a, slopes, density, notes, Choice("Layer", [3, 4], 4), picks))
    for name in gates.TITLES:
        np.testing.assert_allclose(arrays[f"{name} a"], a[name], rtol=1e-6)
        np.testing.assert_allclose(arrays[f"{name} to g"], slopes[name], rtol=1e-6)
        np.testing.assert_allclose(arrays[f"{name} to u"], [opened[name]] * 3, rtol=1e-6)
    np.testing.assert_allclose(arrays["real"], np.log10(1 + 1e5 * density), rtol=1e-6)
    top = header["grid"][0][0]
    assert top["rows"] == ["1.00", "0.00", "-1.00"] and top["note"] == ["one", "two"]
    assert top["says"]["text"][0][2].endswith(f"= {a['bilinear'][0, 2]:.3f}")
    _, arrays = unpack(gates.surfaces(axis, opened, a, slopes, None, dict.fromkeys(gates.TITLES, ""), Choice("Layer", [3], 3), picks))
    assert "real" not in arrays
