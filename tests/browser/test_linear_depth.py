"""Depth without bend in a real browser: the film of the boundaries, the arithmetic of one place, the link, a live run."""

import re

import pytest

from tests.browser.rig import link_says, picture, said, settle
from transformer.training import boundary

STAGE = ".st-key-boundary"
CANVAS = f"{STAGE} canvas"


def test_the_steps_move_the_maps_by_keyboard_and_the_link_keeps_them(open_page):
    page = open_page("linear-depth")
    before = picture(page, STAGE)
    page.locator(CANVAS).focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert picture(page, STAGE) != before
    report = boundary.load()[0]["spiral", 20, "tanh", 1][-4]
    assert said(page, STAGE).startswith(f"After {report.step} steps, seed 1")
    assert f"20 layers, tanh {100 * report.accuracy:.1f} %" in said(page, STAGE)
    link_says(page, frame="20", seed="1")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, STAGE) == said(page, STAGE)


def test_a_place_says_its_own_arithmetic(open_page):
    page = open_page("linear-depth")
    W, b = (part.tolist() for part in boundary.load()[0]["spiral", 2, "linear", 0][-1][4:6])
    box = page.locator(CANVAS).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    text = page.locator(f"{STAGE} .gf-tooltip.gf-on").inner_text().replace("−", "-")
    u, v = map(float, re.search(r"x = \((-?[\d.]+), (-?[\d.]+)\)", text).groups())
    scores = [float(x) for x in re.findall(r"[●■].* = (-?[\d.]+)$", text.split("softmax")[0], re.MULTILINE)]
    assert scores == pytest.approx([w[0] * u + w[1] * v + c for w, c in zip(W, b, strict=True)], abs=0.02)
    page.mouse.move(box["x"] + box["width"] - 100, box["y"] + 100)  # the fourth map is bent
    assert "No W_eff" in page.locator(f"{STAGE} .gf-tooltip.gf-on").inner_text()


def test_a_press_trains_while_one_looks_on(open_page):
    page = open_page("linear-depth?data=Circles&layers=2&width=2", phone=True)
    before = picture(page, STAGE)
    page.locator(".st-key-train_D5 button").click()
    page.get_by_text("Done here in").wait_for(timeout=90_000)
    settle(page)
    assert picture(page, STAGE) != before and page.locator(f"{STAGE} .source").inner_text() == "live"
    assert said(page, STAGE).startswith("After 300 steps")
    assert page.locator(f"{STAGE} tbody tr").count() == 1  # W_eff of the one linear stack
