"""Curves: what goes to the browser is what was given, and a curve of another length is refused."""

import numpy as np
import pytest

from charts import curves
from charts.curves import Band, Bars, Line, Mark, Panel, Row
from tests.messages import unpack

X = np.linspace(-1, 1, 5)


def message(**changes):
    panel = Panel("p", (0, 2), [Line(X**2, "ffn", "square", dot=True), Band(X - 1, X + 1, "scores")],
                  note="n", percent=True, marks=[Mark(0.5, "here", left=True)])  # fmt: skip
    histogram = Bars(np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75]), "ffn", shade=0.5, lit=False)
    bars = Panel("h", (0.1, 1), [histogram], log=True)
    options = {"cursor": 0.5, "columns": ["value", "share%"], "rows": [Row("square", "ffn", [X**2, X**3])],
               "sentence": "{x} {0%}", "values": [X**2]}  # fmt: skip
    return unpack(curves.message("name", "label", X, "x axis", "x", [panel, bars], **(options | changes)))


def test_every_array_comes_back():
    header, arrays = message()
    first, second = header["panels"]
    np.testing.assert_allclose(arrays["x"], X)
    np.testing.assert_allclose(arrays[first["series"][0]["y"]], X**2)
    np.testing.assert_allclose(arrays[first["series"][1]["lo"]], X - 1)
    np.testing.assert_allclose(arrays[first["series"][1]["hi"]], X + 1)
    np.testing.assert_allclose(arrays[second["series"][0]["edges"]], [0, 0.5, 1])
    np.testing.assert_allclose(arrays[second["series"][0]["y"]], [0.25, 0.75])
    np.testing.assert_allclose(arrays[header["table"]["rows"][0]["cells"][1]], X**3, atol=1e-7)
    np.testing.assert_allclose(arrays[header["sum"]["arrays"][0]], X**2)


def test_the_look_goes_along():
    header, _ = message(step=3, height=400)
    first, second = header["panels"]
    assert first["series"][0]["kind"] == "line" and first["series"][0]["dot"] and first["y"] == {
        "lo": 0, "hi": 2, "log": False, "percent": True}  # fmt: skip
    assert first["marks"] == [{"x": 0.5, "text": "here", "role": "muted", "left": True}]
    assert second["y"]["log"] and second["series"][0]["shade"] == 0.5 and "shade" not in first["series"][0]
    assert header["table"]["columns"] == ["value", "share"] and header["table"]["percent"] == [False, True]
    assert header["frames"] is None and header["zooms"] is None and header["switch"] is None
    assert not first["switched"] and not first["series"][0]["switched"]
    assert (header["x"]["step"], header["height"], header["cursor"]) == (3, 400, 0.5)
    assert header["x"]["integer"] is False and first["short"] == "p"


def test_whole_numbers_are_noticed():
    header, _ = unpack(curves.message("n", "l", np.arange(4.0), "x", "x", [], cursor=0))
    assert header["x"]["integer"] is True


@pytest.mark.parametrize("series", [Line(np.zeros(4), "ffn"), Band(np.zeros(5), np.zeros(6), "ffn"),
                                    Bars(np.zeros(3), np.zeros(3), "ffn")])
def test_a_curve_of_another_length_is_refused(series):
    with pytest.raises(ValueError, match="A curve has"):
        curves.message("n", "l", X, "x", "x", [Panel("p", (0, 1), [series])], cursor=0)


def test_padded_holds_everything():
    lo, hi = curves.padded(np.array([1.0, 2.0]), np.array([-1.0]))
    assert lo < -1 and hi > 2
    lo, hi = curves.padded(np.zeros(3))
    assert lo < 0 < hi


FRAMES = curves.Choice("Layer", [3, 4], 4)


def test_frames_are_rows_of_the_arrays_and_words_one_each():
    panel = Panel(["three", "four"], (0, 1), [Line(np.stack((X, X + 1)), "ffn"), Line(X, "key")], note="for both",
                  marks=[Mark(0, ["a", "b"])])  # fmt: skip
    rows = [Row("r", "ffn", [np.array([[0.25], [0.75]]), np.array([7.0])])]
    header, arrays = unpack(curves.message(
        "n", "l", X, "x", "x", [panel], cursor=0, frames=FRAMES, rows=rows, columns=["a", "b"],
        zooms=curves.Choice("Up to", [0.5, 1.0], 1.0)))  # fmt: skip
    assert header["frames"] == {"label": "Layer", "values": [3, 4], "at": 4}
    assert header["zooms"]["values"] == [0.5, 1.0]
    sent = header["panels"][0]
    assert (sent["title"], sent["note"], sent["marks"][0]["text"]) == (["three", "four"], "for both", ["a", "b"])
    np.testing.assert_allclose(arrays[sent["series"][0]["y"]][1], X + 1)
    assert arrays[sent["series"][1]["y"]].shape == (5,)
    assert arrays[header["table"]["rows"][0]["cells"][0]].shape == (2, 1)


def test_what_can_be_picked_says_so():
    picks = curves.Picks("Which", ["a", "b"], "b", role="ffn")
    panels = [Panel("p", (0, 1), [Line(X, "muted", pick="a"), Bars(X, X[1:], "muted", pick="b"), Line(X, "key")])]
    header, arrays = unpack(curves.message(
        "n", "l", X, "x", "x", panels, cursor=0, picks=picks, rows=[Row("r", "muted", [], pick="a"), Row("s", "key", [])],
        sentence="{pick} {0} {1}", values=[{"a": X, "b": X + 1}, X + 2]))  # fmt: skip
    assert header["picks"] == {"label": "Which", "values": ["a", "b"], "at": "b", "role": "ffn"}
    assert [series.get("pick") for series in header["panels"][0]["series"]] == ["a", "b", None]
    assert [row.get("pick") for row in header["table"]["rows"]] == ["a", None]
    each, same = header["sum"]["arrays"]
    np.testing.assert_allclose(arrays[each["b"]], X + 1)
    np.testing.assert_allclose(arrays[same], X + 2)


def test_what_is_no_pick_is_refused():
    panel = Panel("p", (0, 1), [Line(X, "muted", pick="c")])
    for picks in (None, curves.Picks("Which", ["a", "b"], "b")):
        with pytest.raises(ValueError, match="“c” is not among"):
            curves.message("n", "l", X, "x", "x", [panel], cursor=0, picks=picks)


def test_what_is_switched_says_so():
    panels = [Panel("p", (0, 1), [Line(X, "ffn", switched=True), Line(X, "ffn")]), Panel("q", (0, 1), [], switched=True)]
    header, _ = unpack(curves.message("n", "l", X, "x", "x", panels, cursor=0,
                                      switch=curves.Switch("Magnify", True, taller=90), epoch=4))  # fmt: skip
    assert header["switch"] == {"label": "Magnify", "on": True, "taller": 90} and header["epoch"] == 4
    assert [panel["switched"] for panel in header["panels"]] == [False, True]
    assert [series["switched"] for series in header["panels"][0]["series"]] == [True, False]


@pytest.mark.parametrize(("panel", "said"), [
    (Panel("p", (0, 1), [Line(np.zeros((3, 5)), "ffn")]), "2 frames"),
    (Panel(["only one"], (0, 1), []), "1 titles for 2 frames"),
])  # fmt: skip
def test_rows_and_words_must_be_as_many_as_the_frames(panel, said):
    with pytest.raises(ValueError, match=said):
        curves.message("n", "l", X, "x", "x", [panel], cursor=0, frames=FRAMES)


def test_a_choice_starts_at_one_of_its_values():
    with pytest.raises(ValueError, match="Layer cannot start at 9"):
        curves.message("n", "l", X, "x", "x", [], cursor=0, frames=curves.Choice("Layer", [3, 4], 9))


SECOND = curves.Choice("Head", [0, 1, 2], 0)


def test_two_sliders_have_an_axis_each_of_length_one_where_nothing_changes():
    both, head = np.arange(30.0).reshape(2, 3, 5), np.arange(15.0).reshape(1, 3, 5)
    ranges = np.array([[[0, 1]], [[0, 2]]])  # [frame, 1, 2]
    titles = [["one for all heads of layer 3"], ["a", "b", "c"]]
    panel = Panel(titles, ranges, [Line(both, "ffn"), Line(head, "key"), Line(X, "value")], replaced=True)
    header, arrays = unpack(curves.message("n", "l", X, "x", "x", [panel], cursor=0, frames=[FRAMES, SECOND]))
    assert [choice["label"] for choice in header["frames"]] == ["Layer", "Head"]
    sent = header["panels"][0]
    assert sent["title"] == titles and (sent["y"]["lo"], sent["y"]["hi"]) == ([[0], [0]], [[1], [2]])
    assert sent["replaced"]
    for series, given in zip(sent["series"], (both, head, X), strict=True):
        np.testing.assert_allclose(arrays[series["y"]], given)


def test_words_and_ranges_may_be_one_for_each_zoom():
    panel = Panel("p", np.array([[[0, 1], [0, 2]]]), [], note=[["near", "far"], ["near 4", "far 4"]])
    zooms = curves.Choice("Up to", [0.5, 1.0], 1.0)
    header, _ = unpack(curves.message("n", "l", X, "x", "x", [panel], cursor=0, frames=FRAMES, zooms=zooms))
    assert header["panels"][0]["y"]["hi"] == [[1, 2]] and header["panels"][0]["note"][1] == ["near 4", "far 4"]
    wrong = Panel("p", np.zeros((3, 2)), [])
    with pytest.raises(ValueError, match="y has shape"):
        curves.message("n", "l", X, "x", "x", [wrong], cursor=0, frames=FRAMES, zooms=zooms)


def test_an_axis_that_fits_no_slider_is_refused():
    for shape in ((2, 5), (2, 2, 5), (3, 2, 5)):
        with pytest.raises(ValueError, match="2 × 3 frames"):
            curves.message("n", "l", X, "x", "x", [Panel("p", (0, 1), [Line(np.zeros(shape), "ffn")])], cursor=0,
                           frames=[FRAMES, SECOND])


def test_halves_stay_halves():
    panel = Panel("p", (0, 1), [Line(X.astype(np.float16), "ffn")])
    header, arrays = unpack(curves.message("n", "l", X, "x", "x", [panel], cursor=0))
    assert arrays[header["panels"][0]["series"][0]["y"]].dtype == np.float16


def test_what_is_drawn_and_read_out_goes_once():
    line = X**2
    header, arrays = unpack(curves.message("n", "l", X, "x", "x", [Panel("p", (0, 1), [Line(line, "ffn")])], cursor=0,
                                           sentence="{0}", values=[line]))  # fmt: skip
    assert header["sum"]["arrays"] == [header["panels"][0]["series"][0]["y"]] and len(arrays) == 2


def test_a_band_may_belong_to_what_is_picked_and_numbers_may_be_whole():
    band = Band(X - 1, X + 1, "scores", switched=True, pick="b")
    header, _ = unpack(curves.message("name", "label", X, "x axis", "x", [Panel("p", (0, 2), [band])], cursor=0,
                                      picks=curves.Picks("which", ["a", "b"], "a"), digits=0))  # fmt: skip
    (drawn,) = header["panels"][0]["series"]
    assert drawn["pick"] == "b" and drawn["switched"] and header["digits"] == 0
    assert message()[0]["digits"] == 3
