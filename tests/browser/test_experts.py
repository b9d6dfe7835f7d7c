"""Mixture of experts in a real browser: a token's gates, the capacity, keys, the link, a run trained."""

import re

import pytest

from tests.browser.rig import link_says, picture, said

ROUTES = ".st-key-routing"


def test_gates_are_shares_of_the_chosen_and_sum_to_one(open_page):
    page = open_page("experts?token=4")
    gates = re.findall(r"g_\w = ([\d.]+) / ([\d.]+) = ([\d.]+)", said(page, ROUTES))
    assert len(gates) == 2 and sum(float(g) for *_, g in gates) == pytest.approx(1, abs=2e-3)
    assert all(float(p) / float(total) == pytest.approx(float(g), abs=3e-3) for p, total, g in gates)
    before = picture(page, ROUTES)
    page.locator(f"{ROUTES} canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert ", layer 1:" in said(page, ROUTES) and picture(page, ROUTES) != before
    link_says(page, token="5", layer="1")


def test_a_small_capacity_drops_readings(open_page):
    page = open_page("experts?capacity=0.5")
    lost = int(re.search(r"(\d+) of 58 readings dropped", said(page, ROUTES))[1])
    before = picture(page, ROUTES)
    page.locator(f"{ROUTES} .gf-pick input[value='without it']").check()
    assert int(re.search(r"(\d+) of 58 readings dropped", said(page, ROUTES))[1]) > lost
    assert picture(page, ROUTES) != before
    slider = page.locator(f"{ROUTES} .gf-scrubber:has-text('Capacity') input")
    slider.focus()
    page.keyboard.press("Home")
    assert "Nothing is dropped" in said(page, ROUTES)
    link_says(page, trained="without it", capacity=None)


def test_more_experts_are_memory_and_not_compute(open_page):
    page = open_page("experts?view=Total+and+active&experts=4")
    numbers = lambda: [float(x) for x in re.findall(r"[\d.]+(?= billion)", said(page, ".st-key-sizes"))]  # noqa: E731
    first = numbers()
    page.locator(".st-key-sizes canvas").focus()
    page.keyboard.press("End")
    last = numbers()
    assert last[0] > 5 * first[0] and last[1] == pytest.approx(first[1], rel=0.02)


def test_it_trains_while_the_learner_looks_on(open_page):
    page = open_page("experts?view=Training")
    before = picture(page, ".st-key-live")
    page.get_by_role("button", name=re.compile("Train 6 small mixtures")).click()
    stop = page.locator(".st-key-stop_D6 button")
    stop.wait_for(timeout=20_000)
    page.wait_for_function("""() => / [1-9]\\d* of/.test(document.querySelector('.st-key-gf-train-D6')?.innerText ?? '')""", timeout=40_000)
    stop.click()
    page.get_by_text("Stopped; the picture keeps").wait_for(timeout=30_000)
    assert picture(page, ".st-key-live") != before
