"""The strips: the numbers in the cells are those given, in the component and in the figure for downloads."""

import numpy as np
import pytest

from charts import strips, theme
from charts.curves import Choice
from tests.messages import unpack

GATE = np.array([[0.5, 2.0, -0.2], [-0.1, 0.0, 1.5]])  # [neuron, token]
UP = np.array([[1.0, -2.0, 4.0], [3.0, 1.0, 2.0]])
PARTS = {"SiLU(g)": GATE, "u": UP, "a": GATE * UP}
WORDS = ["0 a", "1 b", "2 a"]


def frames(values: np.ndarray) -> np.ndarray:
    """[layer, word, neuron, token], all different."""
    return values + np.arange(6.0).reshape(2, 3, 1, 1)


def test_every_frame_goes_out():
    ids = np.arange(12).reshape(2, 3, 2)
    header, arrays = unpack(strips.message(
        Choice("Layer", [4, 7], 7), Choice("Word", WORDS, "1 b"), ids,
        {name: frames(values) for name, values in PARTS.items()}, epoch=2))  # fmt: skip
    assert (header["layers"]["at"], header["words"]["at"], header["epoch"]) == (7, "1 b", 2)
    assert header["words"]["values"] == WORDS and header["parts"] == list(PARTS)
    np.testing.assert_array_equal(arrays["ids"], ids)
    for part, values in zip(arrays["values"], PARTS.values(), strict=True):
        np.testing.assert_allclose(part, frames(values), rtol=1e-6)


def test_shapes_that_do_not_fit_are_refused():
    layers, words = Choice("Layer", [4, 7], 7), Choice("Word", WORDS, "1 b")
    with pytest.raises(ValueError, match="2 layers and 3 words"):
        strips.message(layers, words, np.zeros((2, 2, 2)), {})
    with pytest.raises(ValueError, match="u has shape"):
        strips.message(layers, words, np.zeros((2, 3, 2)), {"u": np.zeros((2, 3, 2, 2))})


@pytest.fixture
def cells():
    spec = strips.figure(WORDS, [7, 12], PARTS, theme.LIGHT).to_dict()
    (data,) = spec["datasets"].values()
    return {(cell["row"], cell["token"]): cell for cell in data}


def test_every_cell_of_the_figure_is_its_number(cells):
    assert len(cells) == 2 * 3 * 3
    for j, neuron in enumerate([7, 12]):
        for t, token in enumerate(WORDS):
            for part, values in PARTS.items():
                assert cells[f"{neuron}  {part}", token]["value"] == values[j, t]


def test_a_row_is_coloured_by_its_own_largest_size(cells):
    assert cells["7  SiLU(g)", "1 b"]["share"] == 1
    assert cells["7  u", "1 b"]["share"] == -0.5
    assert max(abs(cell["share"]) for cell in cells.values()) == 1


def test_a_row_of_zeros_stays_uncoloured():
    spec = strips.figure(["0 a"], [1], {"u": np.zeros((1, 1)), "a": np.zeros((1, 1))}, theme.DARK).to_dict()
    (data,) = spec["datasets"].values()
    assert {cell["share"] for cell in data} == {0}
