"""The residual path, in a real browser: depth, layer and share change the picture, and what is said is the record's."""

import re

import pytest

from pages.block import depths
from tests.browser.rig import link_says, picture, said
from transformer.experiments import skipping

NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"


def test_a_layer_is_cut_by_keyboard_and_the_link_brings_it_back(open_page):
    page, stage = open_page("residual?view=One+layer+of+a+model"), ".st-key-answers"
    cuts = depths.measured("residual")["cuts"]
    seen = {picture(page, stage)}
    page.locator(f"{stage} canvas").focus()
    page.keyboard.press("ArrowRight")
    seen.add(picture(page, stage))
    assert said(page, stage).startswith("no residual, Layer 13: p(“·Paris”) 0.773 → ")
    page.locator(f"{stage} .gf-pick input:checked").focus()
    page.keyboard.press("ArrowUp")
    seen.add(picture(page, stage))
    assert len(seen) == 3
    link_says(page, cut="13", kind="skip the layer")
    values = [float(x) for x in re.findall(NUMBER, page.locator(f"{stage} tbody tr").first.inner_text())]
    assert values == pytest.approx([cuts["whole"], cuts["loss"][13][0]], rel=6e-3)
    box = page.locator(f"{stage} canvas").bounding_box()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 28 + 17)  # the first token
    tip = page.locator(f"{stage} .gf-tooltip.gf-on").inner_text()
    assert "Paris" in tip and f"now: {cuts['after'][13][0][0]:.4g}" in tip
    page.mouse.move(0, 0)
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, stage) == said(page, stage)
    assert page.seen.console == [] and page.seen.outside == []


def test_the_share_that_skips_and_the_stack_of_the_paths_are_chosen_in_the_picture(open_page):
    page, stage = open_page("residual?view=All+tokens+alike"), ".st-key-alike"
    before = picture(page, stage)
    page.locator(f"{stage} .gf-scrubber input:visible").focus()
    page.keyboard.press("End")
    assert picture(page, stage) != before
    link_says(page, share="1.0")
    values = [float(x) for x in re.findall(NUMBER, said(page, stage).split(":", 1)[1])]
    collapse = depths.measured("residual")["cuts"]["collapse"][str(skipping.SHARES[-1])]
    assert values == pytest.approx([collapse[f][15] for f in ("apart", "alike", "stream")] * 2, rel=6e-3)
    page, stage = open_page("residual?view=Paths"), ".st-key-paths"
    before = picture(page, stage)
    page.locator(f"{stage} .gf-scrubber input:visible").focus()
    page.keyboard.press("End")
    assert picture(page, stage) != before
    link_says(page, stack="SmolLM2-135M")
    share = depths.measured("residual")["paths"]["model"]["share"][4]
    assert float(re.search(rf"{NUMBER}% of the gradient", said(page, stage))[1]) == pytest.approx(100 * share, abs=0.06)


def test_depth_and_variant_change_the_picture(open_page):
    page, stage = open_page("residual?layer=10"), ".st-key-signal"
    seen = {picture(page, stage)}
    page.locator(f"{stage} .gf-scrubber input:visible").focus()
    page.keyboard.press("ArrowLeft")
    seen.add(picture(page, stage))
    page.locator(f"{stage} .gf-pick input[value='skip, norm']").check()
    seen.add(picture(page, stage))
    assert len(seen) == 3
    found = depths.start("residual")["layer 1.0"]
    values = [float(x) for x in re.findall(NUMBER, said(page, stage).split(":", 1)[1])]
    assert values == pytest.approx([found[f][0][5, 10] for f in ("stream", "signal", "apart")], rel=6e-3, abs=6e-4)
    link_says(page, layers="32", layer="10", variant="skip, norm")
