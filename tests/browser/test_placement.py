"""Where the norm goes, in a real browser: depth, block and word change the picture, and what is said is the record's."""

import re

import pytest

from pages.block import depths
from tests.browser.rig import link_says, picture, said
from transformer.experiments.depth import DEPTHS

NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"


def test_depth_and_place_change_the_picture_and_the_link(open_page):
    page, stage = open_page("norm-placement"), ".st-key-start"
    seen = {picture(page, stage)}
    page.locator(f"{stage} .gf-scrubber input:visible").focus()
    page.keyboard.press("ArrowLeft")
    seen.add(picture(page, stage))
    page.locator(f"{stage} canvas").focus()
    page.keyboard.press("ArrowLeft")
    seen.add(picture(page, stage))
    page.locator(f"{stage} .gf-pick input[value=pre]").check()
    seen.add(picture(page, stage))
    assert len(seen) == 4
    link_says(page, layers="32", layer="39", place="pre")
    page.locator(f"{stage} canvas").focus()
    for _ in range(2):
        page.keyboard.press("Shift+ArrowLeft")
    link_says(page, layers="32", layer="19", place="pre")
    found = depths.start("norm-placement")["pre"]
    frame = DEPTHS.index(32)
    values = re.fullmatch(rf"pre-norm, layer 19: gradient of its weights {NUMBER}, of the stream {NUMBER}; "
                          rf"stream {NUMBER}, turned by {NUMBER}", said(page, stage))
    assert [float(v) for v in values.groups()] == pytest.approx([found[f][0][frame, 19] for f in ("weights", "signal", "stream", "turned")], rel=6e-3, abs=6e-4)
    before = picture(page, stage)
    page.locator(f"{stage} [role=switch]").focus()
    page.keyboard.press(" ")
    assert picture(page, stage) != before
    link_says(page, passed="true", layers="32")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, stage) == said(page, stage) and picture(again, stage) == picture(page, stage)
    assert page.seen.console == [] and page.seen.outside == []


def test_blocks_say_how_large_the_stream_is(open_page):
    page, stage = open_page("norm-placement?view=The+three+blocks"), ".st-key-blocks"
    before = picture(page, stage)
    page.locator(f"{stage} canvas").focus()
    page.keyboard.press("End")
    assert picture(page, stage) != before
    text = said(page, stage)
    pre, post = (float(re.search(rf"{place} {NUMBER} → ", text)[1]) for place in ("pre-norm", "post-norm"))
    assert text.startswith("Layer 11") and pre > 2 and post == pytest.approx(1, abs=0.01)
    box = page.locator(f"{stage} canvas").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 142)  # on the stream of the first block
    tip = page.locator(f"{stage} .gf-tooltip.gf-on").inner_text()
    assert "layers.11.resid_pre" in tip and float(re.search(rf"square {NUMBER}", tip)[1]) == pytest.approx(pre, rel=6e-3)
    link_says(page, block="11")


def test_without_the_final_norm_the_answer_is_another(open_page):
    page, stage = open_page("norm-placement?view=Without+the+final+norm"), ".st-key-answers"
    assert re.search(r"taken out, after the word 4 is: p\(“·Paris”\) 0\.773 → ", said(page, stage))
    before = picture(page, stage)
    page.locator(f"{stage} .gf-pick input:checked").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert picture(page, stage) != before
    assert "not divided by σ, after the word 4 is: p(“·Paris”) 0.773 → 1.000" in said(page, stage)
    page.locator(f"{stage} canvas").focus()
    page.keyboard.press("ArrowLeft")
    link_says(page, way="not divided by σ", token="3 France")
    page.mouse.move(0, 0)
    rows = dict(zip(page.locator(f"{stage} tbody th").all_inner_texts(), page.locator(f"{stage} tbody tr").all_inner_texts()))
    ways = depths.measured("norm-placement")["final_norm"]["ways"]
    entropy = [float(x) for x in re.findall(NUMBER, rows["entropy, nats"].replace("−", "-"))]
    assert entropy == pytest.approx([ways[way]["entropy"][3] for way in ("as trained", "not divided by σ")], rel=6e-3, abs=1e-6)
