"""Why divide by √d_k, in a real browser: slider, switch and arrows change the picture, and its sums are the library's."""

import re

import pytest
import torch

from pages.attention.scale_words import ROWS, WIDTHS
from tests.browser.rig import link_says, picture, said
from transformer import recording
from transformer.experiments import saturation

STAGE = ".st-key-saturation"
SWITCH, CANVAS = f"{STAGE} [role=switch]", f"{STAGE} canvas"
NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"


@pytest.fixture(scope="module")
def drawn():
    return saturation.drawn(WIDTHS, ROWS, 16, 0)


def test_width_switch_and_query_change_the_picture_and_the_link(open_page, drawn):
    page = open_page("scale")
    seen = {picture(page, STAGE)}
    page.locator(f"{STAGE} .gf-scrubber:has-text('d_k') input").focus()
    page.keyboard.press("ArrowRight")
    seen.add(picture(page, STAGE))
    page.locator(SWITCH).focus()
    page.keyboard.press(" ")
    seen.add(picture(page, STAGE))
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowDown")
    seen.add(picture(page, STAGE))
    assert len(seen) == 4
    link_says(page, width="96", scaled="true", row="2")
    raw = drawn.raw[WIDTHS.index(96), 1]
    A = (raw / 96**0.5).softmax(-1)
    best = int(A.argmax())
    found = re.search(rf"d_k = 96\. Query 2, key {best + 1}: S = q·k / √96 = {NUMBER} / √96 = {NUMBER}; .* = {NUMBER}$", said(page, STAGE))
    assert [float(x) for x in found.groups()] == pytest.approx([x.item() for x in (raw[best], raw[best] / 96**0.5, A[best])], rel=6e-3, abs=6e-3)
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, STAGE) == said(page, STAGE) and picture(again, STAGE) == picture(page, STAGE)
    assert page.seen.console == [] and page.seen.outside == []


def test_a_key_says_its_own_sum_and_the_curves_are_dragged(open_page, drawn):
    page = open_page("scale")
    box = page.locator(CANVAS).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 26 + 24 * 4 + 12)
    tip = page.locator(f"{STAGE} .gf-tooltip.gf-on").inner_text().replace("−", "-")
    raw = drawn.raw[WIDTHS.index(64), 0]
    assert tip.startswith("key 5")
    score, weight = re.search(rf"S = q·k = {NUMBER}", tip)[1], re.search(rf"= {NUMBER}$", tip.strip())[1]
    assert float(score) == pytest.approx(raw[4].item(), abs=0.06)
    assert float(weight) == pytest.approx(raw.softmax(-1)[4].item(), rel=0.06)
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 100, steps=3)
    page.mouse.up()
    assert "d_k = 1." in said(page, STAGE)
    link_says(page, width="1")


def test_a_trained_head_at_another_factor_by_thumb_and_by_link(open_page):
    page = open_page("scale?view=A+trained+head&times=8", phone=True)
    S = recording.load("assets/recorded/smollm2-135m-pronoun.safetensors.xz")["layers.13.attention.scores"][0, 8, 8, :9]
    A = (8 * S).softmax(-1)
    assert "Query 8 it, key 1 animal" in said(page, STAGE)
    assert float(re.search(rf"= {NUMBER}$", said(page, STAGE))[1]) == pytest.approx(A.max().item(), rel=6e-3)
    facts = dict(zip(page.locator(f"{STAGE} tbody th").all_inner_texts(), page.locator(f"{STAGE} tbody td").all_inner_texts()))
    mask = torch.ones(12, 12, dtype=torch.bool).tril()
    whole = recording.load("assets/recorded/smollm2-135m-pronoun.safetensors.xz")["layers.13.attention.scores"][0, 8]
    look = saturation.look(saturation.multiplied(whole, [8.0], mask).A[0, 1:])
    assert float(facts["entropy of the weights, bits"]) == pytest.approx(look.entropy.item() / 0.693147, rel=6e-3)
