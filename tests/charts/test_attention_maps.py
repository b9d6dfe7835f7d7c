"""What the browser is given equals the tensors, a pooled map keeps its largest weights, and the tints stay apart."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from charts import attention_maps as charts
from tests.messages import unpack
from tests.charts.test_theme import SIGHT, lab, linear

CSS = Path(charts.component.FOLDER / "attention_maps" / "style.css").read_text("utf-8")
HEADER = {"reading": "r", "tokens": ["a"]}


def weights(layers: int, heads: int, n: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).random((layers, heads, n, n), dtype=np.float32) ** 4
    return rows / rows.sum(-1, keepdims=True)


def packed(A: np.ndarray, valued: np.ndarray, mask=None, targets=()):
    layers, heads = A.shape[:2]
    scores = np.full((6, layers, heads), np.nan)
    scores[0] = 0.25
    return unpack(charts.overview(HEADER, A, valued, mask, list(targets), scores, np.full((layers, heads), -1)))


def test_the_mosaic_is_the_trace_within_its_eight_bits():
    A = weights(3, 2, 7)
    valued = A * 5.0
    mask = np.tril(np.ones((7, 7), bool))
    header, arrays = packed(A, valued, mask, [np.eye(7, k=-1) > 0, np.eye(7) > 0])
    assert (header["layers"], header["heads"], header["n"], header["side"]) == (3, 2, 7, 7)
    np.testing.assert_array_equal(arrays["weights"], np.rint(255 * np.sqrt(A)))
    assert np.abs((arrays["weights"] / 255.0) ** 2 - A).max() < 0.004
    back = (arrays["valued"] / 255.0) ** 2 * arrays["most"][:, :, None, None]
    assert np.abs(back - valued).max() < 0.004 * valued.max()
    np.testing.assert_allclose(arrays["most"], valued.max(axis=(2, 3)))
    np.testing.assert_array_equal(arrays["mask"], mask)
    assert arrays["targets"][3, 2] == 1 and arrays["targets"][3, 3] == 2 and arrays["targets"][3, 1] == 0
    assert np.isnan(arrays["scores"][1:]).all() and (arrays["scores"][0] == 0.25).all()
    assert (arrays["labels"] == -1).all()


def test_without_a_mask_every_pair_may_attend():
    assert packed(weights(1, 1, 4), weights(1, 1, 4))[1]["mask"].all()


def test_a_head_that_reads_nothing_of_any_length_is_no_division_by_zero():
    _, arrays = packed(weights(1, 2, 4), np.zeros((1, 2, 4, 4), np.float32))
    assert not arrays["valued"].any() and not arrays["most"].any()


@pytest.mark.parametrize("layers, heads, n", [(30, 9, 24), (30, 9, 128), (30, 9, 201), (6, 12, 128), (4, 4, 1)])
def test_the_message_stays_small_at_any_length(layers, heads, n):
    A = weights(layers, heads, n)
    message = charts.overview(HEADER, A, A, None, [], np.zeros((6, layers, heads)), np.zeros((layers, heads)))
    assert len(message) < 1.5e6
    Q, K = np.zeros((heads, n, 64)), np.zeros((3, n, 64))
    alone = charts.layer(HEADER, A[0], A[0, :, 0], Q, K, A[0, 0], A[0, 0], A[0, 0])
    assert len(alone) < 1.7e6


def test_a_pooled_map_keeps_the_largest_weight_of_each_block():
    A = np.zeros((30, 9, 130, 130), np.float32)
    A[0, 0, np.arange(1, 130), np.arange(129)] = 0.9  # a diagonal one cell wide
    A[29, 8, 129, 0] = 0.5
    header, arrays = packed(A, A)
    side = header["side"]
    assert side < 130
    starts = np.arange(side) * 130 // side
    for values, head in ((arrays["weights"][0, 0], A[0, 0]), (arrays["weights"][29, 8], A[29, 8])):
        blocks = [[head[a:b, c:d].max() for c, d in zip(starts, [*starts[1:], 130])]
                  for a, b in zip(starts, [*starts[1:], 130])]  # fmt: skip
        np.testing.assert_array_equal(values, np.rint(255 * np.sqrt(blocks)))


@pytest.mark.parametrize("n, kind", [(12, "float32"), (charts.EXACT_TOKENS + 1, "float16")])
def test_a_layer_goes_out_as_it_is(n, kind):
    A, other = weights(1, 3, n)[0], weights(3, 1, n)[:, 0]
    rng = np.random.default_rng(1)
    Q, K, norms = rng.random((3, n, 4)), rng.random((1, n, 4)), rng.random((3, n))
    header, arrays = unpack(charts.layer({"reading": "r", "layer": 5}, A, norms, Q, K, *other))
    assert header == {"reading": "r", "layer": 5}
    for name, sent in {"A": A, "average": other[0], "average_valued": other[1], "rollout": other[2]}.items():
        assert arrays[name].dtype == kind
        np.testing.assert_array_equal(arrays[name], sent.astype(kind))
    for name, sent in {"Q": Q, "K": K, "norms": norms}.items():
        np.testing.assert_array_equal(arrays[name], sent.astype(np.float32))


def test_the_table_has_a_row_for_each_head():
    scores = np.arange(12.0).reshape(2, 2, 3)
    table = charts.table(["one", "two"], scores, np.array([[0, 1, -1], [1, 0, 0]]))
    assert table["layer"] == [0, 0, 0, 1, 1, 1] and table["head"] == [0, 1, 2, 0, 1, 2]
    assert table["label"] == ["one", "two", "", "two", "one", "one"]
    assert table["two"] == list(scores[1].ravel())


def tints(theme: int) -> dict[str, str]:
    found = re.findall(r"--am-(\w+): light-dark\((#\w{6}), (#\w{6})\)", CSS)
    return {name: colours[theme] for name, *colours in found if name != "none"}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_the_tints_of_the_patterns_stay_apart_for_every_sight(theme, sight):
    found = tints(theme)
    assert set(found) == {"previous", "first", "induction", "duplicate", "self", "broad"}
    seen = {name: lab(np.array(SIGHT[sight]) @ linear(colour)) for name, colour in found.items()}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in itertools.combinations(seen, 2)}
    assert min(apart.values()) >= 20, min(apart, key=apart.get)
