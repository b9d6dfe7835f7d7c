"""Score functions: messages hold what they were given, each cell says its own sum, and what does not fit is refused."""

import numpy as np
import pytest

from charts import scores
from charts.curves import Choice, Picks, Switch
from tests.messages import unpack

H, N = 2, 3
S = {score: np.arange(H * N * N, dtype=np.float32).reshape(H, N, N) - i for i, score in enumerate(scores.TITLES)}
A = {score: np.tril(np.full((H, N, N), 0.25, dtype=np.float32)) for score in scores.TITLES}
TERMS = {score: np.full((H, N, N, 2), -0.5, dtype=np.float32) for score in scores.TITLES}
BARRED = np.triu(np.ones((N, N), dtype=bool), 1)


def test_all_six_go_out_before_and_after_the_softmax():
    header, arrays = unpack(scores.weights_message(
        list("abc"), S, A, {score: scores.said(score, S[score], A[score], TERMS[score],
                                               BARRED) for score in S}, heads=Choice("Head", [0,
                                               1], 1), switch=Switch("S", False), barred=BARRED,
        at=("A dot", 2, 1),
    ))  # fmt: skip
    for score in scores.TITLES:
        np.testing.assert_array_equal(arrays[f"S {score}"], S[score])
        np.testing.assert_array_equal(arrays[f"A {score}"], A[score])
    drawn = {m["key"]: m for row in header["grid"] for m in row}
    assert len(drawn) == 12 and drawn["S dot"]["switched"] is True and drawn["A dot"]["switched"] is False
    said = drawn["A additive"]["says"]["text"][1][2][1]
    assert said.startswith("S = Σ_d v_d tanh(q_d + k_d + b_d) = −0.50 − 0.50 + … = 12.000; A = e^S / Σ e^S over 3 keys = 0.2500")
    assert "barred" in drawn["A dot"]["says"]["text"][0][0][2]


def test_the_plane_is_the_fields():
    points = np.array([[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)], dtype=float)
    fields = {"dot": points @ points.T, "cosine": np.ones((9, 9))}
    header, arrays = unpack(scores.plane_message(points, fields, step=1.0,
                                                 picks=Picks("Field", ["dot", "cosine"], "dot"), q=0, k=8))
    np.testing.assert_array_equal(arrays["dot"], fields["dot"])
    assert header["side"] == 3 and header["top"] == {"dot": 2.0, "cosine": 1.0} and (header["q"], header["k"]) == (0, 8)
    with pytest.raises(ValueError, match="9 points"):
        scores.plane_message(points, {"dot": np.ones((9, 8))}, step=1.0, picks=Picks("Field", ["dot"], "dot"), q=0, k=0)


def test_costs_are_the_given_numbers():
    x = np.array([64, 128])
    of = {score: np.array([1.0, 2.0]) * (i + 1) * 1e6 for i, score in enumerate(scores.TITLES)}
    header, arrays = unpack(scores.cost_message(
        x, of, of, {score: v / 1e9 for score, v in of.items()}, dict.fromkeys(of, 7), layer="l", measured="m",
        picks=Picks("p", list(scores.TITLES.values()), "dot"), cursor=64,
    ))  # fmt: skip
    for panel in header["panels"]:
        for score, line in zip(scores.TITLES, panel["series"], strict=True):
            np.testing.assert_allclose(arrays[line["y"]], of[score] / 1e6, rtol=1e-6)
    assert arrays[header["table"]["rows"][0]["cells"][0]].tolist() == [7.0]
