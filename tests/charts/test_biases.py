"""Biases of position: what is drawn is what was given, and what may not be read does not set the colours."""

import numpy as np
import pytest

from charts import biases
from charts.biases import TITLES, Against, Parts, Table
from charts.curves import Choice, Picks
from tests.messages import unpack

RNG = np.random.default_rng(0)
WORDS = ["to", "be", "or"]
FUTURE = ~np.tril(np.ones((3, 3), dtype=bool))


def parts(terms: bool = False) -> Parts:
    content, position = RNG.normal(size=(2, 2, 3, 3))
    return Parts(content, position, content + position, RNG.random((2, 3, 3)),
                 RNG.normal(size=(4, 2, 3, 3)) if terms else None)


def test_parts_and_tables_of_each_way_come_back():
    given = {"alibi": parts(), "shaw": parts(), "xl": parts(terms=True)}
    given["alibi"].position[:, 0, 2] = 900.0  # in the future
    table = Table("a_K", "trained", RNG.normal(size=(2, 4)), ["1 back", "0 back"], list("abcd"),
                  ("distance", "dimension"))
    header, arrays = unpack(biases.parts_message(
        given, {"shaw": [table], "t5": [table]}, WORDS, FUTURE, titles=TITLES,
        picks=Picks("Positions", [TITLES[w] for w in given], "ALiBi"),
        heads=Choice("Head", [0, 1], 1), about="A head", step=3, at=("xl S", 2, 0), epoch=3,
    ))  # fmt: skip
    for way, of in given.items():
        for key, values in (("q·k", of.content), ("position", of.position), ("S", of.scores), ("A", of.A)):
            np.testing.assert_allclose(arrays[f"{way} {key}"], values, rtol=1e-6)
    np.testing.assert_allclose(arrays["xl c"], given["xl"].terms[2], rtol=1e-6)
    np.testing.assert_allclose(arrays["shaw a_K"], table.values, rtol=1e-6)
    assert not any(key.startswith("t5") for key in arrays)  # not among the ways that are shown
    drawn = {m["key"]: m for row in header["grid"] for m in row}
    assert drawn["alibi position"]["top"] < 10 and drawn["alibi S"]["says"] == {"kind": "sum",
        "of": ["alibi q·k", "alibi position"]}
    assert drawn["xl A"]["says"] == {"kind": "softmax", "of": "xl S"} and drawn["xl A"]["pick"] == "Transformer-XL"
    assert [len(step["shows"]) for step in header["steps"]] == [5, 11, 14, 17]
    assert "xl c" in header["steps"][0]["shows"] and "xl d" not in header["steps"][0]["shows"]  # u · k has no place in it


def test_what_is_added_is_drawn_against_its_start():
    mean = np.stack([np.linspace(3, -5, 9), np.linspace(1, 0, 9)])
    given = {"shaw": Against(mean, mean - 1, mean + 2),
             "learned": Against(*np.where(np.arange(9) < 6, mean, np.nan)[None].repeat(3, 0))}
    header, arrays = unpack(biases.distance_message(
        given, titles=TITLES, picks=Picks("Positions", ["Shaw", "learned"], "Shaw"), heads=Choice("Head", [0, 1], 0),
        up_to=Choice("Distances up to", [4, 8], 8), trained=5, cursor=2, epoch=1,
    ))  # fmt: skip
    (panel,) = header["panels"]
    lines = {one["label"]: arrays[one["y"]] for one in panel["series"] if one["kind"] == "line"}
    np.testing.assert_allclose(lines["Shaw"], mean - mean[:, :1], rtol=1e-5)
    assert np.isnan(lines["learned"][:, 6:]).all() and panel["marks"][0]["x"] == 5
    bands = [one for one in panel["series"] if one["kind"] == "band"]
    assert all(band["switched"] and band["pick"] in ("Shaw", "learned") for band in bands)  # only the picked one's
    low, high = np.array(panel["y"]["lo"]), np.array(panel["y"]["hi"])
    assert (low < (mean - mean[:, :1]).min(1)).all() and (high > 0).all()


def test_slopes_and_buckets_come_back():
    distance = np.arange(5.0)
    bias = np.full((2, 4, 5), np.nan)
    bias[0, :2], bias[1] = -distance, -2 * distance
    header, arrays = unpack(biases.slopes_message(distance, bias, np.exp(bias), Choice("Number of heads", [2, 4], 4),
                                                  cursor=3))
    first = header["panels"][0]["series"]
    assert [one["label"] for one in first] == ["head 0", "head 1", "head 2", "head 3"]
    np.testing.assert_allclose(arrays[first[1]["y"]], bias[:, 1])
    bucket = {"past": np.arange(20.0).reshape(2, 2, 5), "both": np.ones((2, 2, 5))}
    header, arrays = unpack(biases.buckets_message(
        distance, bucket, bucket, picks=Picks("Sees", ["past", "both"], "both"),
        choices=[Choice("Buckets", [8, 16], 8), Choice("Farthest", [32, 64], 64)], cursor=1,
    ))  # fmt: skip
    assert header["digits"] == 0 and header["picks"]["at"] == "both"
    np.testing.assert_allclose(arrays[header["panels"][0]["series"][0]["y"]], bucket["past"])
    with pytest.raises(ValueError, match="cannot start at 128"):
        Choice("Farthest", [32, 64], 128).header()
