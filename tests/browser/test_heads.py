"""Shared heads in a real browser: the slider rewires, heads are chosen by key and click, cells spell out their score."""

import re
from pathlib import Path

import pytest

from tests.browser import rig
from tests.browser.rig import link_says, picture
from transformer import recording
from transformer.experiments import sharing

PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
Q, K, A = (PRONOUN[f"layers.13.attention.{part}"][0] for part in "QKA")
MQA = sharing.weights_of(Q, sharing.regroup(K, 1), PRONOUN.config)
PLACE = ".st-key-wiring"


def said(page):
    return rig.said(page, PLACE).replace("\n", " ")


def weights(page):
    return [float(x) for x in re.search(r"A = ([\d.e-]+), in the trained model ([\d.e-]+)", said(page)).groups()]


def test_the_slider_rewires_and_the_link_restores_it(open_page):
    page = open_page("shared-heads")
    before = picture(page, PLACE)
    assert "3 key/value heads, as trained. Query head 8 reads key/value head 2, with 6, 7" in said(page)
    assert weights(page) == pytest.approx([A[8, 8, 1].item()] * 2, rel=2e-3)
    page.locator(f"{PLACE} input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    assert picture(page, PLACE) != before
    assert "1 key/value head, each the mean of 3 trained ones. Query head 8 reads key/value head 0" in said(page)
    assert weights(page) == pytest.approx([MQA[8, 8, 1].item(), A[8, 8, 1].item()], rel=2e-3)
    moved = float(re.search(r"([\d.]+)% of its weight moved", said(page))[1])
    assert moved == pytest.approx(100 * sharing.moved(A, MQA)[8].item(), abs=0.06)
    link_says(page, kv_heads="1")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again) == said(page) and picture(again, PLACE) == picture(page, PLACE)


def test_keys_choose_the_head_and_the_cell_and_a_click_a_head(open_page):
    page = open_page("shared-heads")
    page.locator(f"{PLACE} canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert "Query head 7 reads key/value head 2" in said(page)
    page.keyboard.press("ArrowDown")
    assert "A[·it, ·didn]" in said(page) and weights(page)[0] == pytest.approx(A[7, 8, 2].item(), rel=2e-3, abs=1e-6)
    box = page.locator(f"{PLACE} canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.66 / 18, box["y"] + 66)
    assert "Query head 0 reads key/value head 0" in said(page)
    link_says(page, head="0")


def test_bars_say_what_a_text_weighs(open_page):
    page = open_page("shared-heads?view=Bytes+in+real+models")
    text = page.locator(".st-key-bars .sum")
    page.locator(".st-key-bars input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    assert "32,768 tokens" in text.inner_text()
    page.locator(".st-key-bars canvas").focus()
    page.keyboard.press("ArrowUp")  # the last bar: DeepSeek-V2's latent
    assert "DeepSeek-V2, latent: (512 + 64) · 60 layers · 2 bytes × 32,768 tokens = 2.26 GB, 56.9 times less" in text.inner_text()
    link_says(page, n="32768")
    assert page.seen.console == [] and page.seen.outside == []
