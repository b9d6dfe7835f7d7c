"""Longer than trained in a real browser: the cursor reads the recorded numbers, the axis narrows, the map follows."""

import json

import numpy as np

from tests.browser.rig import link_says, picture, said, settle
from transformer.training import longer

ROWS = json.loads((longer.FOLDER / "table.json").read_text("utf-8"))["rows"]


def mean(way: str, n: int) -> float:
    return float(np.mean([run["loss_same_tokens"][str(n)] for run in ROWS[way]["runs"]]))


def test_the_picked_way_is_read_at_the_length(open_page):
    page = open_page("longer-than-trained")
    assert f"reading 256 tokens, RoPE loses {mean('rope', 256):.3f} nats" in said(page, ".st-key-length")
    before = picture(page, ".st-key-length")
    page.locator(".st-key-length .gf-pick label", has_text="ALiBi").click()
    assert f"reading 256 tokens, ALiBi loses {mean('alibi', 256):.3f} nats" in said(page, ".st-key-length")
    assert picture(page, ".st-key-length") != before
    page.locator(".st-key-length canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert f"reading 224 tokens, ALiBi loses {mean('alibi', 224):.3f} nats" in said(page, ".st-key-length")
    link_says(page, way="alibi", n="224")


def test_the_axis_can_be_narrowed_and_the_link_restores_it(open_page):
    page = open_page("longer-than-trained?view=Loss+by+place&zoom=true&way=t5&place=204")
    before = picture(page, ".st-key-place")
    assert said(page, ".st-key-place").startswith("around place 204 T5 loses")
    page.locator(".st-key-place .gf-scrubber:has-text('Axis') input").focus()
    page.keyboard.press("ArrowLeft")
    assert picture(page, ".st-key-place") != before
    link_says(page, zoom=None, way="t5")


def test_the_map_follows_the_head(open_page):
    page = open_page("longer-than-trained?view=A+head+out+there&way=rope&head=1")
    page.locator(".st-key-map canvas").wait_for()
    before = picture(page, ".st-key-map")
    page.locator(".st-key-heads .gf-scrubber:has-text('Head') input").focus()
    page.keyboard.press("ArrowRight")
    link_says(page, head="2")
    settle(page)
    assert picture(page, ".st-key-map") != before
    assert page.locator(".st-key-map canvas").get_attribute("aria-label").count("layer 0, head 2") == 1
