"""The KV cache in a real browser: steps by slider, keyboard and play; each cell's own arithmetic; the link restores."""

import re
from pathlib import Path

import pytest

from tests.browser.rig import link_says, picture, said
from transformer import recording

PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
Q, K, S, A = (PRONOUN[f"layers.13.attention.{part}"][0, head] for part,
              head in (("Q", 8), ("K", 2), ("scores", 8), ("A", 8)))
PLACE = ".st-key-cache"


def test_the_slider_moves_the_picture_and_the_link_restores_it(open_page):
    page = open_page("kv-cache")
    before = picture(page, PLACE)
    assert "Step 3 reads “·it”" in said(page, PLACE) and "1.97 GFLOP without a cache, 270 MFLOP with it" in said(page, PLACE)
    page.locator(f"{PLACE} input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    assert picture(page, PLACE) != before and "Step 4 reads “·was”" in said(page, PLACE)
    link_says(page, step="4")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, PLACE) == said(page, PLACE) and picture(again, PLACE) == picture(page, PLACE)


def test_arrow_keys_step_and_choose_a_key_whose_score_is_the_models(open_page):
    page = open_page("kv-cache")
    page.locator(f"{PLACE} canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert "Step 2 reads “·because”" in said(page, PLACE)
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    key = PRONOUN.pieces.index(re.search(r"A\[·tired, ([^\]]+)\]", said(page, PLACE))[1].replace("·", " "))
    score, weight = re.search(r"= (-?[\d.e-]+);.*= ([\d.e-]+)$", said(page, PLACE).replace("\n", " ")).groups()
    assert float(score) == pytest.approx(S[11, key].item(), abs=2e-3)
    assert float(weight) == pytest.approx(A[11, key].item(), rel=2e-3)


def test_hover_spells_out_what_a_cell_is_made_of(open_page):
    page = open_page("kv-cache")
    box = page.locator(f"{PLACE} canvas").bounding_box()
    lane = (box["width"] - 36) / 2
    label = min(88, lane * 0.2)
    strip = max(30, (lane - label) * 0.115)
    left = label + 3 * (strip + 8) + 4
    cell = (lane - left - 2) / 12
    page.mouse.move(box["x"] + left + 1.5 * cell, box["y"] + 58 + 8.5 * 24)  # the left lane, “it” reads “animal”
    tip = page.locator(f"{PLACE} .gf-tooltip").inner_text().replace("−", "-")
    assert "“·it” reads “·animal”: computed in this step" in tip
    assert float(re.search(r"= ([\d.e-]+)$", tip)[1]) == pytest.approx(A[8, 1].item(), rel=2e-3)
    assert float(re.search(r"√64 = ([\d.e-]+)", tip)[1]) == pytest.approx(S[8, 1].item(), rel=2e-3)
    page.mouse.move(box["x"] + lane + 36 + label + strip + 8 + strip * 0.5, box["y"] + 58 + 1.5 * 24)  # K, kept
    tip = page.locator(f"{PLACE} .gf-tooltip").inner_text().replace("−", "-")
    assert "kept since step 0" in tip
    dim, value = re.search(r"K\[·animal, (\d+)\] = (-?[\d.e-]+)", tip).groups()
    assert float(value) == pytest.approx(K[1, int(dim)].item(), rel=6e-3, abs=1e-3)


def test_the_curves_say_what_the_cache_costs(open_page):
    page = open_page("kv-cache?view=Bytes")
    assert "Llama-2-7B, 4,096 tokens: 2.147 GB" in page.locator(".st-key-curves .sum").inner_text()
    page.locator(".st-key-curves input[type=range]:visible").focus()
    page.keyboard.press("ArrowRight")
    assert "8.590 GB" in page.locator(".st-key-curves .sum").inner_text()
    link_says(page, batch="4")
    assert page.seen.console == [] and page.seen.outside == []
