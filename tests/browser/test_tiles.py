"""Attention by tiles in a real browser: tile after tile, the arithmetic of m, the factor and l, the link."""

import re
from pathlib import Path

import pytest
import torch

from tests.browser.rig import link_says, painted
from transformer import recording, tiled

CANVAS, SUM, SAID = (f".st-key-tiles {part}" for part in ("canvas", ".sum", ".said"))
REPEAT = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-repeat.safetensors.xz")


def tiles() -> list[tiled.Tile]:
    Q, K, V = (REPEAT[f"layers.11.attention.{name}"][0] for name in "QKV")
    past = torch.ones(13, 13, dtype=torch.bool).tril()
    return list(tiled.tiles(Q[4], K[1], V[1], 4, 4, past))


def last_number(text: str) -> float:
    return float(re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("−", "-"))[-1])


def test_what_is_kept_says_how_it_came_about(open_page):
    found = tiles()
    at = len(found) - 2
    tile = found[at]
    page = open_page(f"attention-by-tiles?tile={at + 1}&cell=m.{tile.queries.start}.0")
    page.locator(CANVAS).focus()
    for name in ("m", "rescale", "l"):  # from one to the next by Page Down
        said = page.locator(SUM).inner_text()
        assert said.startswith({"m": "m[", "rescale": "r[", "l": "l["}[name])
        assert last_number(said) == pytest.approx(getattr(tile, name)[0].item(), rel=6e-3), said
        page.keyboard.press("PageDown")


def test_play_steps_through_the_tiles_and_the_link_keeps_the_place(open_page):
    page = open_page("attention-by-tiles?tile=1")
    looked = painted(page.locator(CANVAS))
    assert page.locator(SAID).inner_text().startswith("Queries 0–3")
    page.locator(".st-key-tiles button", has_text="Step").click()
    assert page.locator(SAID).inner_text().startswith("Queries 4–7") and "meet keys 0–3" in page.locator(SAID).inner_text()
    page.wait_for_timeout(100)
    assert painted(page.locator(CANVAS)) != looked
    link_says(page, tile="2")
    page.locator(CANVAS).focus()
    page.keyboard.press(" ")
    page.locator(SAID, has_text="meet keys 0–3").wait_for()
    page.locator(".st-key-tiles .count", has_text="5 of").wait_for(timeout=15_000)
    page.keyboard.press(" ")


def test_another_tile_size_and_length_change_the_pictures(open_page):
    page = open_page("attention-by-tiles?size=6&tile=2")
    assert page.locator(".st-key-tiles .count").inner_text() == "2 of 6"
    sentence = page.locator(".st-key-memory .sum")
    before = sentence.inner_text()
    assert "n = 8,192" in before
    page.locator(".st-key-memory canvas").focus()
    page.keyboard.press("ArrowRight")
    assert "n = 8,448" in sentence.inner_text()
    link_says(page, n="8448")
