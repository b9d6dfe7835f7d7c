"""Normalisation in a real browser: the cell's arithmetic, the batch that shrinks, keys, the link."""

import re

import pytest

from tests.browser.rig import link_says, picture, said

CUBE = ".st-key-cube"
BATCH = "BatchNorm%2C+training"


def test_a_cell_says_its_arithmetic_and_it_is_right(open_page):
    page = open_page("normalisation")
    for norm in ("LayerNorm", "BatchNorm, training", "BatchNorm, eval"):
        page.locator(f"{CUBE} .gf-pick input[value='{norm}']").check()
        text = said(page, CUBE)
        mean, variance = map(float, re.search(r"μ = (\S+)\s+σ² = (\S+)", text).groups())
        x = float(re.search(r"y = γ · \((-?[\d.e-]+) -", text)[1])
        y = float(re.search(r"= (-?[\d.e-]+)\n", text[text.index("y = γ"):])[1])
        assert y == pytest.approx((x - mean) / (variance + 1e-5) ** 0.5, rel=5e-3, abs=2e-3), text


def test_the_batch_shrinks_to_one_token_and_nothing_is_left(open_page):
    page = open_page(f"normalisation?norm={BATCH}")
    before = picture(page, CUBE)
    assert "The whole batch" in said(page, CUBE)
    slider = page.locator(f"{CUBE} .gf-scrubber:has-text('Sentences') input")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert re.search(r"moved by \d+\.\d% of its length", said(page, CUBE)) and picture(page, CUBE) != before
    slider.fill("0")
    page.locator(f"{CUBE} .gf-scrubber:has-text('Tokens') input").fill("0")
    assert "σ² is 0, every y is β" in said(page, CUBE) and said(page, CUBE).splitlines()[2].endswith("= 0")
    link_says(page, sentences="1", tokens="1")
    page.locator(f"{CUBE} .gf-pick input[value='LayerNorm']").check()
    assert "exactly 0" in said(page, CUBE)


def test_keys_move_the_cell_and_the_link_brings_it_back(open_page):
    page = open_page("normalisation?cell=1.2.3&norm=RMSNorm")
    assert said(page, CUBE).startswith("sentence 2")
    page.locator(f"{CUBE} canvas").focus()
    before = picture(page, CUBE)
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    assert said(page, CUBE).startswith("sentence 3") and picture(page, CUBE) != before
    link_says(page, cell="2.2.2")


def test_companions_and_the_model_move_by_key(open_page):
    page = open_page("normalisation?view=Companions&count=1")
    assert "100.0% of its length" in said(page, ".st-key-companions")
    page.locator(".st-key-companions canvas").focus()
    page.keyboard.press("ArrowRight")
    assert said(page, ".st-key-companions").startswith("2 tokens")
    link_says(page, count=None)  # where the page opens by itself
