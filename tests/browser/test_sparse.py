"""Sparse patterns in a real browser: reach grows with the layers, patterns change the picture, costs are read."""

import json
import re

import numpy as np
import pytest

from tests.browser.rig import link_says, picture, said, settle
from transformer.training.patterns import FOLDER

STAGE, CURVES = ".st-key-matrices", ".st-key-curves"


def test_play_goes_through_the_layers_and_a_cell_says_how_many_it_takes(open_page):
    page = open_page("sparse-patterns?cell=dilated+reach,15,0")
    assert "it takes at least 2 layers until 15 holds something of 0" in said(page, STAGE)
    before = picture(page, STAGE)
    page.get_by_role("button", name="Reset", exact=True).click()
    assert picture(page, STAGE) != before
    page.get_by_role("button", name="Step ›").click()
    page.locator(f"{STAGE} .gf-pick label", has_text=re.compile("^window$")).click()
    page.locator(f"{STAGE} .gf-scrubber input").focus()
    page.keyboard.press("End")
    link_says(page, pattern="window", depth="6")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, STAGE) == picture(page, STAGE)


def test_another_head_and_pattern_on_real_scores(open_page):
    page = open_page("sparse-patterns?view=On+a+real+head&cell=error,1,3&pattern=window")
    value = float(re.search(r"= ([\d.]+)", said(page, STAGE))[1])
    assert "what the head writes is" in said(page, STAGE) and value > 0
    before = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-scrubber input").focus()
    page.keyboard.press("ArrowLeft")
    link_says(page, head="7")
    assert picture(page, STAGE) != before


def test_costs_are_read_at_the_cursor_and_measured_here(open_page):
    page = open_page("sparse-patterns?view=What+it+costs&pattern=window")
    found = json.loads((FOLDER / "cost.json").read_text())
    lines = page.locator(f"{CURVES} tbody tr").all()
    rows = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in lines}
    at = found["sizes"].index(2 ** int(float(page.locator(f"{CURVES} canvas").get_attribute("aria-valuenow"))))
    assert float(rows["window"][0].replace(",", "")) == pytest.approx(
        found["kinds"]["decoder"]["window"]["milliseconds"][at], rel=0.01)  # fmt: skip
    before = picture(page, CURVES)
    page.get_by_role("button", name="Measure full and window here").click()
    page.wait_for_timeout(500)
    settle(page, timeout=120_000)
    assert picture(page, CURVES) != before and not page.seen.console


def test_the_trained_models_on_the_learners_text(open_page):
    page = open_page("sparse-patterns?view=Trained+with+it&cell=surprise,0,3")
    assert "the model trained with full is" in said(page, STAGE)
    before = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-pick label", has_text=re.compile("^strided$")).click()
    assert picture(page, STAGE) != before
    runs = json.loads((FOLDER / "table.json").read_text())["rows"]["full"]["runs"]
    assert f"{np.mean([run['held_out_loss'] for run in runs]):.2f}" in page.locator(".st-key-gf-controls").inner_text()
