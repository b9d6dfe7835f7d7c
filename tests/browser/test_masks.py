"""Masks in a real browser: another mask changes the weights, a cell says its arithmetic, the link restores it all."""

import re
from pathlib import Path

import pytest

from tests.browser.rig import link_says, picture, said, settle
from transformer import recording
from transformer.experiments.mask_examples import masked

SCORES = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")[
    "layers.13.attention.scores"][0, 8]  # fmt: skip
STAGE, CURVES = ".st-key-matrices", ".st-key-curves"


def test_a_weight_says_which_softmax_made_it_and_a_hidden_one_that_it_is_hidden(open_page):
    page = open_page("masks?cell=causal+A,8,1")
    found = masked(SCORES, "causal", 3)
    value = float(re.search(r"softmax over the row = ([\d.e-]+)", said(page, STAGE))[1])
    assert value == pytest.approx(found.A[8, 1].item(), rel=6e-3)
    page.locator(f"{STAGE} canvas").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert "may not attend" in said(page, STAGE) and "-∞ before the softmax" in said(page, STAGE)
    link_says(page, cell="causal A,8,9")


def test_masks_sizes_and_the_mistake_change_the_picture_and_the_link_restores_them(open_page):
    page = open_page("masks?cell=prefix+Σ+late,0,0&mask=prefix")
    before = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-scrubber input").focus()
    page.keyboard.press("ArrowRight")
    wider = picture(page, STAGE)
    page.locator(f"{STAGE} [role=switch]").press(" ")
    late = picture(page, STAGE)
    assert len({before, wider, late}) == 3
    value = float(re.search(r"= ([\d.e-]+)", said(page, STAGE))[1])
    assert value == pytest.approx(masked(SCORES, "prefix", 4).late[0].sum().item(), rel=6e-3)
    link_says(page, mask="prefix", m="4", late="true")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, STAGE) == said(page, STAGE) and picture(again, STAGE) == picture(page, STAGE)


def test_steps_go_from_scores_to_weights(open_page):
    page = open_page("masks")
    page.get_by_role("button", name="Reset", exact=True).click()
    assert "Score." in page.locator(f"{STAGE} .said").inner_text()
    page.get_by_role("button", name="Step ›").click()
    assert "−∞" in page.locator(f"{STAGE} .said").inner_text()
    link_says(page, step="mask")


def test_the_cursor_reads_the_cheats_losses_and_a_changed_word_is_asked_anew(open_page):
    page = open_page("masks?view=Break+it:+the+loss")
    assert re.search(r"after 600 steps the broken model's loss is 0\.0\d+ nats", said(page, CURVES))
    page.locator(f"{CURVES} canvas").focus()
    page.keyboard.press("Home")
    assert "after 20 steps" in said(page, CURVES)
    page.get_by_text("Change a word").click()
    page.wait_for_selector(f"{STAGE} canvas")
    settle(page)
    assert "with “I” in the place of" in said(page, STAGE)
    before = picture(page, STAGE)
    box = page.get_by_label("The token that takes the changed one's place")
    box.fill("th")
    box.press("Enter")
    page.wait_for_function("() => location.search.includes('word=th')")
    settle(page)
    assert picture(page, STAGE) != before and "with “h” in the place of" in said(page, STAGE)
    assert not page.seen.console and not page.seen.outside
