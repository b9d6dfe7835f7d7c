"""The pictures of weights hold what was counted: areas, rule, what is stored once; and refuse what does not add up."""

import dataclasses

import numpy as np
import pytest

from charts import parameters as pictures, sharing
from charts.curves import Choice, Picks, Switch
from charts.parameters import Block, Frame, Shown, Vary
from tests.messages import unpack

TABLE = Block("embedding.W_E.weight", "embedding", "embedding", (10, 4), ("V", "d_E"), 1, 40)
QUERY = Block("stack.blocks.{i}.attention.W_Q.weight", "Q", "layers", (4, 4), ("h·d_k", "d"), 3, 48)
BIAS = Block("stack.blocks.{i}.attention.W_Q.bias", "Q", "layers", (4,), ("h·d_k",), 3, 12)
GHOST = Block("W_U.weight", "unembedding", "end", (10, 4), ("V", "d"), 1, 40, stored=False)
FRAME = Frame([QUERY, TABLE, BIAS, GHOST], {"layers": 3}, {"rule": 90, "tables": 10}, ["a note"], once=("layers",))


def test_a_frame_goes_out_in_the_order_that_data_meets_it():
    header = FRAME.header()
    assert header["total"] == 100 and [s["key"] for s in header["sections"]] == ["embedding", "layers", "end"]
    layers = header["sections"][1]
    assert (layers["title"], layers["columns"], layers["once"]) == ("3 layers", 3, True)
    assert [(b["symbol"], b["axes"], b["total"], b["stored"]) for b in layers["blocks"]] == [
        ("W_Q", "h·d_k × d", 48, True), ("b_Q", "h·d_k", 12, True)]  # fmt: skip
    assert header["sections"][2]["blocks"][0]["stored"] is False  # drawn as large as it would be, and not counted
    assert [(t["key"], t["value"]) for t in header["terms"]] == [("rule", 90), ("tables", 10)]


def test_terms_that_are_not_the_whole_are_refused():
    with pytest.raises(ValueError, match="add up to 99, the weights to 100"):
        dataclasses.replace(FRAME, terms={"rule": 99}).header()


def test_a_message_needs_a_frame_for_every_setting():
    vary = Vary("layers", ["1", "3"], 1, [FRAME, FRAME])
    one = Shown("one", [FRAME], [vary])
    header, _ = unpack(pictures.message("n", "l", [one], model="one", views=pictures.VIEWS, view=pictures.RULE, epoch=3))
    assert (header["model"], header["view"], header["epoch"]) == ("one", pictures.RULE, 3)
    assert header["models"][0]["varied"][0]["values"] == ["1", "3"]
    with pytest.raises(ValueError, match="'two' is not among"):
        pictures.message("n", "l", [one], model="two")
    with pytest.raises(ValueError, match="1 frames for 1 switches"):
        pictures.message("n", "l", [one], model="one", switches=[Switch("tied", True)])
    with pytest.raises(ValueError, match="not a frame for each value"):
        pictures.message("n", "l", [Shown("one", [FRAME], [Vary("x", ["1"], 0, [])])], model="one")


def test_names_become_symbols():
    assert [pictures.symbol(name) for name in (
        "stack.blocks.{i}.cross.W_K.weight", "stack.blocks.{i}.norm_1.gamma", "embedding.W_X.bias", "embedding.cls",
    )] == ["cross W_K", "γ norm_1", "b_X", "cls"]  # fmt: skip


def test_equal_numbers_are_one_storage():
    uses = [sharing.Use("look-up", "W_E", 7, (5, 2)), sharing.Use("layer 0", "W_Q", 9, (2, 2)),
            sharing.Use("layer 1", "W_Q", 9, (2, 2)), sharing.Use("last product", "W_U", 7, (5, 2))]  # fmt: skip
    header, arrays = unpack(sharing.storages_message({"a": uses}, {"a": (0.5, 1.5)}, Picks("Model", ["a"], "a")))
    nan = np.nan
    np.testing.assert_array_equal(arrays["storages0"], [[1, nan, nan], [nan, 2, nan], [nan, 2, nan], [nan, nan, 1]])
    said = header["grid"][0][0]["says"]["text"]
    assert said[2][1] == "layer 1 reads W_Q [2 × 2] at address 0x9: storage 2, the same numbers as W_Q of layer 0"
    assert header["grid"][0][0]["title"] == "2 storages for 4 uses" and "0.5000 to 1.5000" in header["grid"][0][0]["note"]


def test_a_gradient_is_drawn_by_use_and_as_the_sum():
    parts = {name: np.random.default_rng(i).standard_normal((3, 4)).astype(np.float32) for i, name in enumerate(("in", "out"))}
    parts["whole"] = parts["in"] + parts["out"]
    header, arrays = unpack(sharing.gradients_message(parts, ["a", "b", "c"], 2, 50))
    for name, values in parts.items():
        np.testing.assert_array_equal(arrays[name], values)
    drawn = header["grid"][0]
    assert "2 of 50 rows" in drawn[0]["note"] and len({m["top"] for m in drawn}) == 1  # one scale for all three


def test_the_walk_has_a_frame_a_token():
    own, answer = np.random.default_rng(0).random((2, 3, 4))  # [depth, token]
    header, arrays = unpack(sharing.walk_message([0, 2, 4], own, answer, ["w"] * 4, Choice("Token", ["0 a", "1 b", "2 c", "3 d"], "2 c"), 0))
    np.testing.assert_allclose(arrays[header["sum"]["arrays"][0]], own.T, rtol=1e-6)
    np.testing.assert_allclose(arrays[header["sum"]["arrays"][1]], answer.T, rtol=1e-6)
    assert "“c” itself" in header["panels"][0]["title"][2]
