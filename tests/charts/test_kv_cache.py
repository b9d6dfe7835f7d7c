"""The KV cache's messages hold what they were given, and shapes that do not fit are refused."""

import numpy as np
import pytest

from charts import kv_cache
from charts.curves import Choice, Picks
from tests.messages import unpack

N, D, PROMPT = 5, 4, 3
Q, K, V = (np.arange(N * D, dtype=np.float32).reshape(N, D) + shift for shift in (0, 50, 100))
A = np.tril(np.full((N, N), 0.2, dtype=np.float32))


def made(**changes):
    given = {"tokens": list("abcde"), "prompt": PROMPT, "following": ["d", "e", None], "Q": Q, "K": K, "V": V, "A": A,
             "without": np.array([3.0, 4, 5]), "kept": np.array([3.0, 1, 1]), "apart": np.array([0, 1e-7, 2e-7]),
             "scale": 0.5, "scale_text": "/ √4", "where": "layer 0", "step": 1}  # fmt: skip
    return unpack(kv_cache.message(**given | changes))


def test_every_tensor_goes_out_as_it_is():
    header, arrays = made()
    for name, array in (("Q", Q), ("K", K), ("V", V), ("A", A)):
        np.testing.assert_array_equal(arrays[name], array)
    assert header["steps"] == {"label": "Step", "values": ["prefill", "1", "2"], "at": "1"}
    assert (header["top"]["K"], header["prompt"], header["next"]) == (K.max(), 3, ["d", "e", None])
    np.testing.assert_allclose(arrays["apart"], [0, 1e-7, 2e-7])


def test_a_recording_has_no_second_reading():
    header, arrays = made(apart=None)
    assert header["apart"] is False and "apart" not in arrays


@pytest.mark.parametrize("wrong", [{"K": K[:4]}, {"A": A[:, :3]}, {"without": np.ones(2)}, {"prompt": 4}])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match="has shape"):
        made(**wrong)


def test_cost_and_bytes_are_the_given_numbers():
    x = np.array([64, 128, 192])
    flops, seconds = kv_cache.Step(np.array([9e9, 2e10, 3e10]), np.full(3, 1e9)), kv_cache.Step(x / 1e3,
        np.full(3, 0.01))
    header, arrays = unpack(kv_cache.cost_message(x, flops, seconds, x * 1e6, model="m", measured="here", cursor=64))
    drawn = [arrays[line["y"]] for panel in header["panels"] for line in panel["series"]]
    for line, expected in zip(drawn,
                              (flops.without / 1e9, flops.kept / 1e9, seconds.without * 1e3,
                               seconds.kept * 1e3), strict=True):
        np.testing.assert_allclose(line, expected, rtol=1e-6)
    np.testing.assert_allclose(arrays[header["table"]["rows"][1]["cells"][2]], x, rtol=1e-6)
    gigabytes = {"one": np.array([[1.0, 2, 3], [4, 8, 12]]), "two": np.array([[2.0, 4, 6], [8, 16, 24]])}
    header, arrays = unpack(kv_cache.bytes_message(
        x, gigabytes, {"one": 5.0, "two": 6.0}, {"one": 2.0, "two": 3.0}, {"one": "1/1", "two": "2/1"},
        batches=Choice("Texts", [1, 4], 4), picks=Picks("Model", ["one", "two"], "two"), cursor=128,
    ))  # fmt: skip
    series = header["panels"][0]["series"]
    np.testing.assert_allclose(arrays[series[1]["y"]], gigabytes["two"])
    np.testing.assert_allclose(arrays[series[3]["y"]], 3.0)
    assert series[3]["plain"] and series[3]["pick"] == "two" and header["frames"]["at"] == 4
