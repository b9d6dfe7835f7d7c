"""The strips: the numbers in the cells are those given, and the arithmetic on hover is theirs."""

import numpy as np
import pytest

from charts import activations, theme

GATE = np.array([[0.5, -0.1], [2.0, 0.0], [-0.2, 1.5]])
UP = np.array([[1.0, 3.0], [-2.0, 1.0], [4.0, 2.0]])


@pytest.fixture
def spec():
    chart = activations.strips(["0 a", "1 b", "2 a"], [7, 12], {"SiLU(g)": GATE, "u": UP, "a": GATE * UP}, theme.LIGHT)
    return chart.to_dict()


def cells(spec):
    (data,) = spec["datasets"].values()
    return {(cell["row"], cell["token"]): cell for cell in data}


def test_every_cell_is_its_number(spec):
    found = cells(spec)
    assert len(found) == 2 * 3 * 3
    for t, token in enumerate(["0 a", "1 b", "2 a"]):
        for j, neuron in enumerate([7, 12]):
            assert found[f"{neuron}  SiLU(g)", token]["value"] == GATE[t, j]
            assert found[f"{neuron}  u", token]["value"] == UP[t, j]
            assert found[f"{neuron}  a", token]["value"] == GATE[t, j] * UP[t, j]


def test_a_row_is_coloured_by_its_own_largest_size(spec):
    found = cells(spec)
    assert found["7  SiLU(g)", "1 b"]["share"] == 1
    assert found["7  u", "1 b"]["share"] == -0.5
    assert max(abs(cell["share"]) for cell in found.values()) == 1


def test_the_hover_says_the_product(spec):
    assert cells(spec)["7  u", "1 b"]["sum"] == "2 × −2 = −4"


def test_a_row_of_zeros_stays_uncoloured():
    chart = activations.strips(["0 a"], [1], {"u": np.zeros((1, 1)), "a": np.zeros((1, 1))}, theme.DARK)
    assert {cell["share"] for cell in cells(chart.to_dict()).values()} == {0}
