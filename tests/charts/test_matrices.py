"""Matrices: what goes to the browser is what was given, and what does not fit together is refused in one sentence."""

import numpy as np
import pytest

from charts import matrices
from charts.curves import Choice, Picks, Switch
from charts.matrices import Matrix, Product, Step
from tests.messages import unpack

Q, K = np.arange(6.0).reshape(3, 2), -np.arange(8.0).reshape(4, 2)
S = Q @ K.T / 2
BARRED = np.array([[False, True, True, True], [False, False, True, True], [False, False, False, True]])
ROWS, COLS, DIMS = ["a", "b", "c"], ["s", "t", "u", "v"], ["0", "1"]


def matrix(key: str = "S", **changes) -> Matrix:
    options = {"title": "Scores", "values": S, "role": "scores", "rows": ROWS, "cols": COLS, "signed": True} | changes
    return Matrix(key, **options)


def grid(**changes) -> list[list[Matrix]]:
    product = Product("Q", "K", scale=0.5, scale_text="/ 2")
    return [
        [Matrix("Q", "Q", Q, "query", ROWS, DIMS, "query", "dim"), Matrix("K", "K", K, "key", COLS, DIMS, "key", "dim")],
        [matrix(says=product, barred=BARRED), matrix("A", says="softmax:S", role="attention"), matrix("z", **changes)],
    ]


def message(matrix_grid=None, **options):
    return unpack(matrices.message("name", "label", grid() if matrix_grid is None else matrix_grid, **options))


def test_every_array_comes_back():
    header, arrays = message(at=("S", 2, 3), height=300, epoch=4)
    np.testing.assert_allclose(arrays["Q"], Q)
    np.testing.assert_allclose(arrays["S"], S)
    np.testing.assert_array_equal(arrays["S barred"].astype(bool), BARRED)
    assert [[one["key"] for one in row] for row in header["grid"]] == [["Q", "K"], ["S", "A", "z"]]
    assert (header["at"], header["height"], header["epoch"]) == (["S", 2, 3], 300, 4)


def test_how_a_cell_came_about_goes_along():
    header, _ = message([*grid(says="{row} reads {col}: {value}")])
    scores, weights, last = header["grid"][1]
    assert scores["says"] == {"kind": "product", "left": "Q", "right": "K", "rightRows": True, "scale": 0.5,
                              "symbol": "q·k", "scaleText": "/ 2"}  # fmt: skip
    assert weights["says"] == {"kind": "softmax", "of": "S"}
    assert last["says"]["kind"] == "sentence" and header["grid"][0][0]["says"] is None


def test_a_cell_may_be_the_sum_of_others():
    header, _ = message([[matrix("a"), matrix("b"), matrix(says="sum:a+b")]])
    assert header["grid"][0][2]["says"] == {"kind": "sum", "of": ["a", "b"]}
    with pytest.raises(ValueError, match="a sum with 'c', which is not here"):
        message([[matrix("a"), matrix(says="sum:a+c")]])


def test_every_cell_may_say_its_own():
    each = np.array([[f"{row} {col}" for col in COLS] for row in ROWS])
    header, _ = message([[matrix(says=each)]])
    assert header["grid"][0][0]["says"] == {"kind": "each", "text": each.tolist(), "framed": False}
    header, _ = message([[matrix(says=np.stack((each, each)))]], frames=Choice("Tile", [0, 1], 0))
    assert header["grid"][0][0]["says"]["framed"]
    with pytest.raises(ValueError, match=r"S: says has shape \[4, 3\]"):
        message([[matrix(says=each.T)]])


def test_the_colours_end_at_the_largest_number_that_may_be_seen():
    values = np.array([[1.0, -3.0], [np.nan, -np.inf]])
    other = {"rows": ["a", "b"], "cols": ["s", "t"]}
    header, _ = message([[matrix(values=values, **other), matrix("T", values=values, top=9, **other),
                          matrix("U", values=values, barred=np.array([[False, True], [False, True]]), **other),
                          matrix("Z", values=np.zeros((2, 2)), **other)]])  # fmt: skip
    assert [one["top"] for one in header["grid"][0]] == [3, 9, 1, 1]


def test_frames_are_pages_of_the_array():
    frames = Choice("Layer", [0, 1], 1)
    header, arrays = message([[matrix(values=np.stack((S, S + 9)), title=["zero", "one"], barred=BARRED)]], frames=frames,
                             sentence=["first", "second"], plays_frames=True)  # fmt: skip
    np.testing.assert_allclose(arrays["S"][1], S + 9)
    assert arrays["S barred"].shape == (3, 4)
    assert header["frames"]["at"] == 1 and header["playsFrames"] and header["sentence"] == ["first", "second"]
    assert header["grid"][0][0]["title"] == ["zero", "one"]


def test_picks_switch_and_steps_say_so():
    steps = [Step("Project", "three matrices", ("Q", "K")), Step("Score", "every pair", ("S",))]
    header, _ = message(
        [*grid(pick="this", switched=False)], picks=Picks("Which", ["this", "that"], "that"), steps=steps, step=1,
        switch=Switch("Scale", True, taller=40),
    )  # fmt: skip
    assert header["grid"][1][2]["pick"] == "this" and header["grid"][1][2]["switched"] is False
    assert header["grid"][0][0]["pick"] is None and header["grid"][0][0]["switched"] is None
    assert header["steps"][0] == {"title": "Project", "sentence": "three matrices", "shows": ["Q", "K"]}
    assert header["step"] == 1 and header["switch"] == {"label": "Scale", "on": True, "taller": 40}


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"values": S[:2]}, r"S: values has shape \[2, 4\]; rows, columns and frames ask for \[3, 4\]"),
    ({"barred": BARRED.T}, r"S: barred has shape \[4, 3\]"),
    ({"pick": "none"}, "“none” is not among what can be picked"),
    ({"says": Product("Q", "K")}, "product with 'Q', which is not in the picture"),
    ({"says": Product("S", "S", right_rows=False)}, r"S \[3, 4\] cannot be the product"),
    ({"says": "softmax:Q"}, "softmax of 'Q', which is not here"),
    ({"title": ["a", "b"]}, "There are 2 titles for 1 frames"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        message([[matrix(**changes)]])


@pytest.mark.parametrize(("options", "sentence"), [
    ({"at": ("S", 3, 0)}, "There is no cell"),
    ({"at": ("T", 0, 0)}, "There is no cell"),
    ({"steps": [Step("t", "s", ("T",))]}, "shows 'T', which is not in the picture"),
    ({"steps": [Step("t", "s", ("S",))], "step": 1}, "There is no step 1"),
    ({"plays_frames": True}, "no frames to play"),
])  # fmt: skip
def test_what_is_not_there_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        message(**options)
    with pytest.raises(ValueError, match="the same key"):
        message([[matrix(), matrix()]])
