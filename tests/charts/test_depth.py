"""Messages of the lessons on depth: what was given is what is sent, frame by frame; shapes that do not fit are refused."""

import numpy as np
import pytest

from charts import answers, blocks
from charts import depth as charts
from charts.curves import Choice, Picks
from tests.messages import unpack

NAN = np.nan
MIDDLE = np.array([[1.0, 2.0, NAN], [4.0, 5.0, 6.0]])  # two depths, at most two layers
SPREAD = MIDDLE, MIDDLE * 0.9, MIDDLE * 1.1
DEPTHS = Choice("Layers", [1, 2], 2)


def test_curves_by_layer_leave_out_what_a_stack_has_not():
    fields = {"size": charts.Field("Size", "Size", "size")}
    header, arrays = unpack(charts.by_layer("n", "l", DEPTHS, {"pre": "value"}, {"pre": {"size": SPREAD}}, fields,
                                            Picks("Read", ["pre"], "pre"), "{pick} {0}", cursor=1.0, epoch=2))  # fmt: skip
    band, line = header["panels"][0]["series"]
    np.testing.assert_allclose(arrays[line["y"]], MIDDLE)
    np.testing.assert_allclose(arrays[band["hi"]], MIDDLE * 1.1, rtol=1e-6)
    y = header["panels"][0]["y"]
    assert y["log"] and y["lo"][1] < 4 < 6 < y["hi"][1] and y["hi"][1] / y["lo"][1] > 9.9
    assert header["frames"]["at"] == 2 and header["epoch"] == 2 and header["sum"]["arrays"] == [{"pre": line["y"]}]


def test_runs_of_the_learner_lie_over_the_recorded_curve():
    live = np.array([[NAN, NAN], [3.5, NAN]])
    recorded = tuple(np.array([[4.0, 3.0], [3.0, 9.0]]) * k for k in (1, 0.9, 1.1))
    header, arrays = unpack(charts.training("n", "l", np.array([10.0, 20.0]), {"a": charts.Trained("value", recorded, [live])}, DEPTHS,
                                            rates={"a": np.array([[0.1, 0.2]])}, blind=3.2, cursor=20.0, sentence="{0}",
                                            y=(2.0, 5.0)))  # fmt: skip
    level, band, line, own = header["panels"][0]["series"]
    assert (arrays[level["y"]] == np.float32(3.2)).all() and line["label"] == "a" and not own["label"]
    np.testing.assert_allclose(arrays[own["y"]], live)
    np.testing.assert_allclose(arrays[band["hi"]], [[4.4, 3.3], [3.3, 5.0]], rtol=1e-6)  # no higher than the panel
    assert header["panels"][1]["y"]["hi"] == pytest.approx(0.22)


def test_paths_are_counted_and_weighed():
    share = np.array([[[0.2, 0.9, -0.1], [0.1, 0.8, -0.2], [0.3, 1.0, 0.0]]])
    count = np.array([[0.25, 0.5, 0.25]])
    header, arrays = unpack(charts.by_length(Choice("Stack", ["s"], "s"), share, np.abs(share), count, ["s"], cursor=1.0))
    bars = header["panels"][0]["series"][0]
    np.testing.assert_allclose(arrays[bars["y"]], count)
    band, line = header["panels"][1]["series"]
    np.testing.assert_allclose(arrays[line["y"]], share[:, 0], rtol=1e-6)
    np.testing.assert_allclose(arrays[band["lo"]], share[:, 1], rtol=1e-6)
    assert header["panels"][1]["y"]["lo"][0] < -0.2 and header["panels"][1]["y"]["percent"]


def test_one_tokens_stream_stands_out_among_the_others():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    header, arrays = unpack(charts.in_a_model("M", 2, Choice("Token", ["a", "b"], "b"), values, values, values, cursor=0.0))
    *others, line = header["panels"][0]["series"]
    assert [arrays[o["y"]].tolist() for o in others] == values.tolist() and arrays[line["y"]].tolist() == values.tolist()
    header, arrays = unpack(charts.collapse("M", Choice("Share", [0.0, 1.0], 0.0), values, values, values, np.array([9.0, 3.0]),
                                            cursor=0.0))  # fmt: skip
    whole, shown = header["panels"][0]["series"]
    assert arrays[whole["y"]].tolist() == [3, 4] and arrays[shown["y"]].tolist() == values.tolist()
    assert header["panels"][0]["note"][0] == "loss 9.00 nats a token"


def test_blocks_keep_their_order_and_their_sizes():
    found = {"pre": [[("x", 1.0), ("norm_1", 2.0)], [("x", 3.0), ("norm_1", 4.0)]], "post": [[("x", 5.0)], [("x", 6.0)]]}
    header, arrays = unpack(blocks.message(Choice("Layer", [0, 1], 1), found, {"pre": "value", "post": "key"}))
    assert [place["names"] for place in header["places"]] == [["x", "norm_1"], ["x"]]
    np.testing.assert_allclose(arrays["sizes"], [[[1, 2], [3, 4]], [[5, NAN], [6, NAN]]])
    with pytest.raises(ValueError, match="same tensors"):
        blocks.message(Choice("Layer", [0, 1], 1), {"pre": [[("x", 1.0)], [("y", 1.0)]]}, {"pre": "value"})


def asked(**changes) -> bytes:
    p = np.arange(2 * 3 * 4).reshape(2, 3, 4) / 24
    given = {"tokens": [[list("abcd")] * 3] * 2, "before": p, "after": p + 0.01, "curve": p[:, :, 0],
             "facts": [answers.Fact("f", p[:, :, 1], p[:, :, 2])]} | changes  # fmt: skip
    return answers.message("n", "l", Choice("Layer", [0, 1], 1), Choice("Cut", list("xyz"), "y"), ["value", "key", "ffn"],
                           given["tokens"], given["before"], given["after"], given["curve"], "Loss", (0, 1), given["facts"],
                           columns=("as trained", "now"), whole=0.5, said="as trained", epoch=1)  # fmt: skip


def test_answers_come_back():
    header, arrays = unpack(asked())
    assert header["places"]["at"] == 1 and header["kinds"]["at"] == "y" and header["tokens"][1][2] == list("abcd")
    np.testing.assert_allclose(arrays["after"] - arrays["before"], 0.01, rtol=1e-4)
    np.testing.assert_allclose(arrays[header["facts"][0]["after"]], arrays["before"][:, :, 2])
    assert header["curve"]["whole"] == 0.5


@pytest.mark.parametrize("changes", [{"after": np.zeros((2, 3, 5))}, {"curve": np.zeros((3, 2))}, {"tokens": [[list("abc")] * 3] * 2},
                                     {"facts": [answers.Fact("f", np.zeros(2), np.zeros((2, 3)))]}])  # fmt: skip
def test_answers_that_do_not_fit_are_refused(changes):
    with pytest.raises(ValueError):
        asked(**changes)


def test_what_tells_tokens_apart_has_a_panel_where_it_was_recorded():
    recorded = tuple(np.ones((2, 2)) for _ in range(3))
    apart = np.array([[NAN, NAN], [0.5, 0.01]])
    ways = {"a": charts.Trained("value", recorded, apart=apart, live_apart=[apart * 2])}
    header, arrays = unpack(charts.training("n", "l", np.array([10.0, 20.0]), ways, DEPTHS, blind=3.2, cursor=20.0, sentence="{0}",
                                            y=(2.0, 5.0)))  # fmt: skip
    line, own = header["panels"][1]["series"]
    np.testing.assert_allclose(arrays[line["y"]], apart)
    np.testing.assert_allclose(arrays[own["y"]], apart * 2)
    assert header["panels"][1]["note"] == ["not recorded here: train it to see", ""]
