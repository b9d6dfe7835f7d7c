"""The lesson on losses in a real browser: sliders, sentences and bars say what was computed, and the link keeps them."""

import re

import numpy as np
import pytest
import torch

from pages.training import losses_numbers as numbers
from tests.browser.rig import link_says, picture, said
from transformer.experiments import loss_curves

CURVES, BARS = ".st-key-curves", ".st-key-carriers"


def test_gamma_moves_the_curves_at_once_and_the_link_keeps_it(open_page):
    page = open_page("losses")
    before = picture(page, CURVES)
    page.locator(f"{CURVES} .gf-scrubber:has-text('γ') input").focus()
    page.keyboard.press("ArrowRight")
    assert picture(page, CURVES) != before
    hard, easy = loss_curves.focal(torch.tensor([0.1, 0.9]), 3.0)[1].abs().tolist()
    counted = float(re.search(r"pulls as ([\d,.]+) easy", said(page, CURVES))[1].replace(",", ""))
    assert counted == pytest.approx(hard / easy, abs=0.6)
    page.locator(f"{CURVES} canvas").focus()
    page.keyboard.press("Home")
    assert said(page, CURVES).startswith("focal at p_t = 0.01")
    link_says(page, gamma="3", p="0.01")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, CURVES) == said(page, CURVES)


def test_bars_and_digits_say_their_numbers(open_page):
    page = open_page("losses?view=Who+pulls", phone=True)
    before = picture(page, BARS)
    page.locator(f"{BARS} canvas").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    assert picture(page, BARS) != before
    found, _ = numbers.pulls()
    shares, counts = found["shares"][2, 7, 1], found["counts"][2]
    at = shares.argmax()
    assert said(page, BARS).startswith(f"label smoothing, step 350: {counts[at]:.0f} ")
    assert float(re.search(r"make ([\d.]+) %", said(page, BARS))[1]) == pytest.approx(100 * shares[at], abs=0.51)
    link_says(page, step="350", loss="label smoothing")
    box = page.locator(f"{BARS} canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 90)  # an example
    told = re.search(r"this (\d) was called (8|not 8).* p_t = ([\d.e-]+)", said(page, BARS))
    image = found["at"][2, 7, 1, 5]
    assert (told[2] == "8") == (told[1] == "8")  # no label is wrong in this problem
    assert int(told[1]) == found["true"][image] and float(told[3]) == pytest.approx(found["p"][2, 7, 1, 5], rel=0.01)


def test_the_ratio_is_chosen_in_the_picture(open_page):
    page = open_page("losses?view=One+rare+digit&ratio=9")
    before = picture(page, CURVES)
    page.locator(f"{CURVES} .gf-scrubber:has-text('Others') input").focus()
    page.keyboard.press("End")
    assert picture(page, CURVES) != before
    link_says(page, ratio="99")
    middle = np.median(numbers.last("cross-entropy", 99, 0.0, "recall"))
    assert float(re.search(r"recall ([\d.]+)%", said(page, CURVES))[1]) == pytest.approx(100 * middle, abs=0.06)
    assert "Train all five losses at 1:99" in page.locator(".st-key-train_F1").inner_text()
