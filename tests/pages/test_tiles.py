"""Attention by tiles: the tiles drawn are the library's, on the recorded head; the snippet and the link agree."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pages.test_step_by_step import said
from tests.messages import sent
from transformer import PRESETS, recording, tiled

PAGE = "pages/attention/tiles.py"
REPEAT = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-repeat.safetensors.xz")


def tiles_of(layer: int, head: int, size: int) -> list[tiled.Tile]:
    Q, K, V = (REPEAT[f"layers.{layer}.attention.{name}"][0] for name in "QKV")
    past = torch.ones(13, 13, dtype=torch.bool).tril()
    return list(tiled.tiles(Q[head], K[head // 3], V[head // 3], size, size, past))


@pytest.mark.parametrize(("query", "layer", "head", "size"), [
    ({}, 11, 4, 4), ({"layer": "17", "head": "8", "size": "3"}, 17, 8, 3), ({"size": "24"}, 11, 4, 24),
])  # fmt: skip
def test_the_tiles_are_the_librarys(open_page, query, layer, head, size):
    app = open_page(PAGE, **query)
    assert not app.exception and not app.warning
    header, arrays = sent(app, "matrices")
    found = tiles_of(layer, head, size)
    assert len(header["frames"]["values"]) == len(found)
    for frame, tile in enumerate(found):
        S = tile.S.masked_fill(tile.S.isinf(), torch.nan).numpy()
        np.testing.assert_allclose(arrays["S"][frame, tile.queries, tile.keys], S, atol=1e-5)
        for key, value in (("m", tile.m), ("l", tile.l), ("r", tile.rescale)):
            np.testing.assert_allclose(arrays[key][frame, tile.queries, 0], value.numpy(), atol=1e-5)
    exact = REPEAT[f"layers.{layer}.attention.z"][0, head].numpy()
    np.testing.assert_allclose(arrays["z"][-1], exact, atol=1e-5)
    assert header["grid"][1][-1]["note"][-1].startswith("13 of 13 rows are done")


def test_it_opens_where_a_factor_mends_much(open_page):
    header, arrays = sent(open_page(PAGE), "matrices")
    frame = header["frames"]["values"].index(header["frames"]["at"])
    factor = arrays["r"][frame]
    assert ((factor > 0.05) & (factor < 0.8)).any() and "the maximum rises" in header["sentence"][frame]


def test_a_larger_tile_is_fewer_of_them(open_page):
    app = open_page(PAGE)
    before = len(sent(app, "matrices")[0]["frames"]["values"])
    app.selectbox(key="size").set_value(6).run()
    assert len(sent(app, "matrices")[0]["frames"]["values"]) < before and not app.exception


def test_memory_is_the_librarys(open_page):
    header, arrays = sent(open_page(PAGE, n="4096"), "curves")
    at, config = list(arrays["x"]).index(4096), PRESETS["smollm2-135m"]
    assert header["cursor"] == 4096
    for row, memory in zip(header["table"]["rows"], (tiled.plain_memory(4096, 64), tiled.tiled_memory(4096, 64, 128, 64)),
                           strict=True):  # fmt: skip
        for cell, values in zip(row["cells"], memory, strict=True):
            assert arrays[cell][at] == pytest.approx(values * 2 * config.n_heads / 2**20, rel=1e-5)


def test_the_snippet_gives_the_numbers_of_the_page(open_page):
    app = open_page(PAGE, model="tiny", text="To be, or not to be")
    header, arrays = sent(app, "matrices")
    (snippet,) = [block.value for block in app.code if "transformer.load" in block.value]
    lines = re.sub(r"\s+", " ", said(app, snippet)).split("difference")
    numbers = [float(x) for x in re.findall(r"tensor\(\[([^\]]*)\]\)", lines[0])[-1].split(",")]
    last = tiles_shown(header, arrays)
    np.testing.assert_allclose(numbers, last, atol=2e-4)
    assert float(lines[1]) < 1e-6


def tiles_shown(header, arrays) -> np.ndarray:
    """l of the last tile's queries."""
    return arrays["l"][-1][np.isfinite(arrays["r"][-1][:, 0]), 0]


def test_the_prediction_is_answered_by_the_pages_numbers(open_page):
    app = open_page(PAGE)
    own = [tile for tile in tiles_of(11, 4, 4) if tile.queries.stop == 13]
    rises = sum(bool(tile.m[-1] > tile.m_before[-1]) for tile in own[1:])
    app.radio(key="prediction").set_value(str(rises)).run()
    app.button(key="commit").click().run()
    assert [box.value for box in app.success] == ["Right."]


def test_the_catch_and_the_numbers(open_page):
    app = open_page(PAGE)
    catch = next(one.value for one in app.markdown if "The catch." in one.value)
    assert "exact" in catch and "not an approximation" in catch and "linear in time" in catch
    app.toggle(key="numbers").set_value(True).run()
    assert any("max(" in one.value for one in app.latex)


@pytest.mark.parametrize("query", [{"tile": "99"}, {"tile": "x"}, {"cell": "S.1"}, {"n": "7"}, {"size": "5"}])
def test_a_link_that_cannot_be_gets_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert not app.exception and len(app.warning) == 1


def test_an_encoder_has_every_tile_and_a_long_text_is_refused(open_page):
    app = open_page(PAGE, model="minilm-l6", text="My cat Zibbo loves fish. Every day Zibbo")
    header, arrays = sent(app, "matrices")
    side = -(-arrays["S"].shape[-1] // 4)
    assert len(header["frames"]["values"]) == side**2 and "S barred" not in arrays
    app.text_input(key="text").set_value("word " * 40).run()
    assert len(app.warning) == 1 and "Shorten it" in app.warning[0].value and sent(app, "matrices")[1]["S"].shape == arrays["S"].shape
