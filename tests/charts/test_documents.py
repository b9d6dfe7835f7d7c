"""The document's message: what was given is what is sent, and what does not fit is refused."""

import numpy as np
import pytest

from charts import documents
from charts.curves import Choice, Picks
from charts.documents import TINTS, Removals, Shown
from tests.messages import unpack

SENTENCES = [[Shown("Go", ", ", True), Shown("Zounds", "! ", False)], [Shown("Stay", ".", True)]]
PARTS = np.array([[0, -1], [1, -1], [0, 0], [0, 1], [1, 0]])


def removals(**changes) -> Removals:
    values = {"parts": PARTS, "p": np.linspace(0, 1, 12).reshape(6, 2), "alpha": np.arange(18.0).reshape(6, 3),
              "word_scores": -np.arange(18.0).reshape(6, 3), "beta": np.arange(12.0).reshape(6, 2),
              "sentence_scores": -np.arange(12.0).reshape(6, 2)}  # fmt: skip
    return Removals(**(values | changes))


def message(found: Removals, **changes) -> bytes:
    options = {"tint": Picks("Tint", list(TINTS), TINTS[2]), "without": 3, "truth": "b", "rho": (0.5, float("nan")), "epoch": 2}
    return documents.message(SENTENCES, ["a", "b"], found, **(options | changes))


def test_everything_comes_back():
    found = removals()
    header, arrays = unpack(message(found))
    assert header["sentences"][0][1] == {"text": "Zounds", "after": "! ", "known": False}
    assert (header["classes"], header["truth"], header["without"], header["rho"]) == (["a", "b"], "b", 3, [0.5, None])
    assert header["tint"]["at"] == TINTS[2] and header["epoch"] == 2
    assert arrays["parts"].tolist() == PARTS.tolist()
    for name, sent in (("p", "p"), ("alpha", "alpha"), ("beta", "beta"), ("word_scores", "wordScores"),
                       ("sentence_scores", "sentenceScores")):  # fmt: skip
        np.testing.assert_allclose(arrays[sent], getattr(found, name), rtol=1e-6)


def test_one_word_has_no_parts():
    one = Removals(np.zeros((0, 2)), np.ones((1, 2)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)))
    header, arrays = unpack(documents.message([[Shown("Go", "", True)]], ["a", "b"], one, tint=Picks("T", list(TINTS), TINTS[0]),
                                              without=0, truth=None, rho=(float("nan"),) * 2))  # fmt: skip
    assert arrays["parts"].size == 0 and header["rho"] == [None, None]


@pytest.mark.parametrize("changes", [{"p": np.ones((5, 2))}, {"alpha": np.ones((6, 2))}, {"sentence_scores": np.ones((6, 3))}])
def test_what_does_not_fit_is_refused(changes):
    with pytest.raises(ValueError, match="asks for"):
        message(removals(**changes))


def test_the_lowest_point_is_marked():
    s = np.arange(2, 6)
    words, segments = np.array([[2.0, 3, 4, 5]]), np.array([[8.0, 4, 2, np.nan]])
    header, arrays = unpack(documents.cost_message(s, Choice("n", [4], 4), words, segments, np.array([4.1]), cursor=3, epoch=0))
    series = header["panels"][0]["series"]
    np.testing.assert_allclose(arrays[series[3]["y"]][0], [10, 7, 6, np.nan])
    np.testing.assert_allclose(arrays[series[4]["y"]][0], [np.nan, np.nan, 6, np.nan])
    assert header["panels"][0]["note"] == ["least at s = 4 (∛(2n) = 4.1): 37.5% of n²"]
