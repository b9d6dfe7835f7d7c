"""F2's students in a real browser: what is told, T and λ by the sliders of the picture, and the link."""

import json

from tests.browser.rig import link_says, picture, said
from transformer.training import distil

RUNS = json.loads(distil.FILE.read_text("utf-8"))["runs"]
CURVES = ".st-key-curves"


def middle(name: str) -> float:
    return sorted(run["accuracy"][-1] for run in RUNS[name])[len(RUNS[name]) // 2]


def test_sliders_choose_the_runs_and_the_link_keeps_them(open_page):
    page = open_page("temperature?view=A+student+of+digits")
    alone, taught = (middle(distil.name_of("digits", 100, *setting)) for setting in ((1.0, 0.0), distil.SHIPPED))
    assert f"{100 * alone:.1f}%" in said(page, CURVES) and f"{100 * taught:.1f}%" in said(page, CURVES)
    before = picture(page, CURVES)
    page.locator(f"{CURVES} .gf-scrubber:has-text('told') input").press("End")
    page.locator(f"{CURVES} .gf-scrubber:has-text('λ') input").press("ArrowLeft")
    assert picture(page, CURVES) != before
    link_says(page, told="1347", mix="0.5")
    taught = middle(distil.name_of("digits", 1347, 2.0, 0.5))
    assert f"{100 * taught:.1f}%" in said(page, CURVES)
    assert page.get_by_text("no difference that stands out").count() == 1
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, CURVES) == said(page, CURVES) and page.seen.console == []


def test_a_digit_and_a_temperature_by_keyboard(open_page):
    page = open_page("temperature?view=What+the+teacher+knows", dark=True)
    before = picture(page, ".st-key-matrices")
    page.locator(".st-key-matrices .gf-scrubber input").press("ArrowRight")
    assert picture(page, ".st-key-matrices") != before
    link_says(page, digit="3")
    page.get_by_text("Why T²", exact=True).click()
    page.locator(".st-key-lengths canvas").press("ArrowRight")
    page.wait_for_function("() => new URLSearchParams(location.search).has('heat')")
    assert "with the factor T²" in said(page, ".st-key-lengths") and page.seen.console == []
