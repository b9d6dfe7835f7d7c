"""Approximated attention: what goes to the browser is what was given."""

import numpy as np

from charts import approximations as charts
from charts.curves import Choice, Picks, Switch
from tests.messages import unpack

RANDOM = np.random.default_rng(0)
A = np.tril(RANDOM.random((3, 3))).astype(np.float32)
A /= A.sum(-1, keepdims=True)


def test_each_method_stands_beside_the_weights_it_is_compared_with():
    made = {name: RANDOM.random((2, 3, 3)).astype(np.float32) for name in charts.METHODS} | {charts.ELU: A * 0.5}
    of = {charts.PERFORMER: made[charts.PERFORMER] * 2, charts.FITTED: (made[charts.FITTED], made[charts.FITTED] + 1)}
    errors = {name: np.array([0.5, 0.25]) for name in made} | {charts.ELU: np.array([0.125])}
    header, arrays = unpack(charts.weights_message(
        A, A.T, A * 3, made, of, errors, ["a", "b", "c"], Choice("Size", [1, 4], 4), Picks("How", list(made),
            charts.ELU),
        Switch("More", False), causal=True))  # fmt: skip
    titles = {m["key"]: m for row in header["grid"] for m in row}
    for name, values in made.items():
        exact = A.T if name in charts.RANKED else A
        np.testing.assert_array_equal(arrays[f"{name} exact"], exact)
        np.testing.assert_array_equal(arrays[name], values)
        np.testing.assert_allclose(arrays[f"{name} off"], values - exact)
        assert titles[name]["pick"] == name and titles[name]["barred"] == (name not in charts.RANKED)
    assert titles[charts.ELU]["note"] == ["error 12%",
                                          "error 12%"] and titles[charts.BEST]["note"][1].startswith("error 25%")
    assert titles[charts.PERFORMER]["says"] == {"kind": "softmax", "of": "Performer S"}
    keys = [m["key"] for m in header["grid"][0]]
    assert [key.endswith(" exact") for key in keys] == [True] * 5 + [False] * 10
    assert [key.endswith(" off") for key in keys] == [False] * 10 + [True] * 5


def test_states_and_what_is_read_from_them():
    phi_Q, phi_K, V = (RANDOM.random((2, n)) for n in (3, 3, 4))
    S, z = np.cumsum(phi_K[:, :, None] * V[:, None], 0), phi_K.cumsum(0)
    read = np.einsum("tf,tfd->td", phi_Q, S)
    out = read / (phi_Q * z).sum(-1, keepdims=True)
    header, arrays = unpack(charts.states_message(phi_Q, phi_K, V, S, z, read, out, out + 1e-3, Choice("Token", ["a",
        "b"],
        "b")))
    np.testing.assert_allclose(arrays["S"], S, rtol=1e-6)
    np.testing.assert_allclose(arrays["added"], phi_K[:, :, None] * V[:, None], rtol=1e-6)
    np.testing.assert_allclose(arrays["read"][:, 0] / (phi_Q * z).sum(-1, keepdims=True), out, rtol=1e-5)
    notes = [m["note"] for row in header["grid"] for m in row if m["key"] == "out"][0]
    assert notes[0] == "they differ by at most 1e-03"
    assert "3 × 4 + 3 = 15 numbers" in header["sentence"][0] and header["sentence"][1].startswith("2 tokens")


def test_means_stay_within_their_axes():
    shape = (1, 1, 4)
    kernel, weight = np.full(shape, 1.1), np.linspace(0.4, 0.5, 4).reshape(shape)
    header, arrays = unpack(charts.means_message(
        np.arange(1, 5), kernel, weight, np.full(shape, 9.0), np.full(shape, 9.0), np.array([0.2]), Choice("Length",
            [1.0], 1.0),
        Choice("m", [4], 4), query="q", key="k", cursor=4))  # fmt: skip
    top, low = header["panels"]
    for panel in (top, low):
        for series in panel["series"]:
            lo, hi = np.asarray(panel["y"]["lo"]).max(), np.asarray(panel["y"]["hi"]).min()
            for name in ("lo", "hi"):
                if name in series and panel is low:
                    assert (arrays[series[name]] >= lo - 1e-6).all() and (arrays[series[name]] <= hi + 1e-6).all()
    np.testing.assert_allclose(arrays[low["series"][2]["y"]], weight)
    np.testing.assert_allclose(arrays[header["table"]["rows"][1]["cells"][3]], np.abs(weight - 0.2) / 9, rtol=1e-6)
