"""Score functions in a real browser: heads by slider, cells with their sum, two vectors by drag and by keys."""

import re

import pytest
import torch

from tests.browser.rig import link_says, picture
from transformer.experiments import six_scores

WEIGHTS, PLANE = ".st-key-weights", ".st-key-plane"
PLACE_CANVAS = f"{PLANE} canvas"


def on_plane(page) -> dict[str, torch.Tensor]:
    label = page.locator(PLACE_CANVAS).get_attribute("aria-label").replace("−", "-")
    q, k = (torch.tensor([float(a), float(b)]) for a, b in re.findall(r"[qk] = \((-?[\d.]+), (-?[\d.]+)\)", label))
    return {"q": q, "k": k}


def test_the_slider_changes_the_head_and_the_link_restores_it(open_page):
    page = open_page("score-functions")
    before = picture(page, WEIGHTS)
    page.locator(f"{WEIGHTS} input[type=range]:visible").focus()
    page.keyboard.press("ArrowLeft")
    assert picture(page, WEIGHTS) != before
    link_says(page, head="2")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, WEIGHTS) == picture(page, WEIGHTS)


def test_arrow_keys_move_the_key_and_shift_the_query(open_page):
    page = open_page("score-functions?view=Two+vectors+by+hand")
    before = picture(page, PLANE)
    page.locator(PLACE_CANVAS).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    found = on_plane(page)
    assert found["q"].tolist() == [2.0, 0.5] and found["k"].tolist() == [1.5, 2.0] and picture(page, PLANE) != before
    S = six_scores.on_plane("dot", torch.stack((found["q"], found["k"])))[0, 1].item()
    assert S == 4.0 and "= 4.00" in page.locator(f"{PLANE} .sum").inner_text()
    link_says(page, q="2,0.5", k="1.5,2")
    page.locator(f"{PLANE} .gf-pick").get_by_text("cosine", exact=True).click()
    cosine = six_scores.on_plane("cosine", torch.stack((found["q"], found["k"])))[0, 1].item()
    assert float(re.search(r"= (-?[\d.]+):", page.locator(f"{PLANE} .sum").inner_text())[1]) == pytest.approx(cosine,
        abs=0.006)
    link_says(page, score="cosine")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, PLANE) == picture(page, PLANE)


def test_a_tip_can_be_dragged(open_page):
    page = open_page("score-functions?view=Two+vectors+by+hand")
    box = page.locator(PLACE_CANVAS).bounding_box()
    size = min(box["width"] * 0.54, 500)
    at = lambda x, y: (box["x"] + 8 + size / 2 + x / 0.5 * size / 13,
                       box["y"] + 12 + size / 2 - y / 0.5 * size / 13)  # noqa: E731
    page.mouse.move(*at(1, 2))
    page.mouse.down()
    page.mouse.move(*at(-2, 1), steps=5)
    page.mouse.up()
    found = on_plane(page)
    assert found["k"].tolist() == [-2.0, 1.0] and found["q"].tolist() == [2.0, 1.0]
    assert "= −3.00" in page.locator(f"{PLANE} .sum").inner_text()
    link_says(page, k="-2,1")
    assert page.seen.console == [] and page.seen.outside == []
