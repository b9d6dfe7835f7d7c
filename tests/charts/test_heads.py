"""Shared heads: messages hold what they were given, and shapes that do not fit are refused."""

import numpy as np
import pytest

from charts import heads
from charts.curves import Choice
from tests.messages import unpack

H, N, D = 4, 3, 2
Q = np.arange(H * N * D, dtype=np.float32).reshape(H, N, D)
K = {h_kv: np.full((h_kv, N, D), h_kv, dtype=np.float32) for h_kv in (4, 2, 1)}
A = {h_kv: np.tril(np.full((H, N, N), 0.1 * h_kv, dtype=np.float32)) for h_kv in K}
MOVED = {h_kv: np.arange(H, dtype=np.float32) / h_kv for h_kv in K}


def wired(**changes):
    given = {"tokens": list("abc"), "Q": Q, "K": K, "V": K, "A": A, "moved": MOVED, "n_bytes": [400, 200, 100],
             "own": 2,
             "at": 1, "head": 3, "cell": (2, 0), "causal": True, "scale": 0.5, "scale_text": "/ √4"}  # fmt: skip
    return unpack(heads.wiring_message(**given | changes))


def test_each_number_of_heads_has_its_own_tensors():
    header, arrays = wired()
    assert header["choices"]["values"] == [4, 2, 1] and header["choices"]["at"] == 1 and header["own"] == 2
    for h_kv in K:
        np.testing.assert_array_equal(arrays[f"K{h_kv}"], K[h_kv])
        np.testing.assert_array_equal(arrays[f"A{h_kv}"], A[h_kv])
        np.testing.assert_array_equal(arrays[f"moved{h_kv}"], MOVED[h_kv])
    assert header["bytes"] == [400, 200, 100] and header["cell"] == {"i": 2, "j": 0}


@pytest.mark.parametrize("wrong",
                         [{"K": K | {1: K[2]}}, {"A": A | {2: A[2][:, :2]}}, {"moved": MOVED | {4: np.zeros(3)}}])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match="has shape"):
        wired(**wrong)


def test_bars_are_the_given_bytes():
    n_bytes = np.array([[8.0, np.nan, 2.0, 3.0]])
    header, arrays = unpack(heads.bars_message([("m", "4 heads")], n_bytes, [0], [["a", "b", "c", "d"]],
                                               lengths=Choice("n", [1, 10], 10)))
    np.testing.assert_array_equal(arrays["bytes"], n_bytes)
    assert header["own"] == [0] and header["ways"] == list(heads.WAYS)
    with pytest.raises(ValueError, match="4 ways"):
        heads.bars_message([("m", "")], n_bytes[:, :3], [0], [["a", "b", "c", "d"]], lengths=Choice("n", [1], 1))


def test_effects_stand_over_the_numbers_kept():
    kept = np.array([32, 64, 96, 128])
    latent = {"kl": np.array([3.0, 2, 1, 0]), "same": np.array([0.1, 0.4, 0.7, 1]), "loss": np.full(4, 2.0)}
    grouped = {2: {"kl": 0.0, "same": 1.0, "loss": 2.0}, 1: {"kl": 2.5, "same": 0.2, "loss": 4.0}}
    header, arrays = unpack(heads.effect_message(kept, latent, grouped, {2: 128, 1: 64}, own=2, whose="w", cursor=64))
    first, dots = (arrays[line["y"]] for line in header["panels"][0]["series"])
    np.testing.assert_allclose(first, latent["kl"])
    np.testing.assert_allclose(dots, [np.nan, 2.5, np.nan, 0.0])
    assert [mark["text"] for mark in header["panels"][0]["marks"]] == ["2 heads, as trained", "1 head, averaged"]
