"""Sparsity in a real browser: λ and the step, a weight followed, a model pruned under the learner's hand."""

import re

from tests.browser.rig import link_says, picture, said, settle

STAGE = ".st-key-curves"


def scrub(page, name: str, key: str) -> None:
    slider = page.locator(f"{STAGE} .gf-scrubber:has-text('{name}') input")
    slider.focus()
    page.keyboard.press(key)


def test_lambda_makes_zeros(open_page):
    page = open_page("sparsity")
    before = picture(page, STAGE)
    table = page.locator(f"{STAGE} table")
    zeros = lambda: [float(x) for x in re.findall(r"\s([\d.]+)%", table.inner_text())][1::3]  # noqa: E731
    plain, loss, proximal = zeros()
    assert plain == loss == 0 and proximal > 30
    scrub(page, "λ", "End")
    assert zeros()[2] > proximal and picture(page, STAGE) != before
    link_says(page, **{"lambda": "0.0003"})
    scrub(page, "Step", "Home")
    assert zeros() == [0, 0, 0]  # nobody has heard of λ yet
    link_says(page, step="40")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("Home")
    assert "without a penalty" in said(page, STAGE)


def test_a_model_is_pruned_under_the_hand(open_page):
    page = open_page("sparsity?view=Pruning")
    before = picture(page, ".st-key-left")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("End")
    assert said(page, STAGE).startswith("100 % removed")
    link_says(page, at="100.0")
    settle(page)
    page.wait_for_function(
        """before => document.querySelector('.st-key-left canvas')?.toDataURL() !== before""", arg=before
    )
    page.locator(f"{STAGE} .gf-pick input[value='at random']").check()
    link_says(page, scope="random")
