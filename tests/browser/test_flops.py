"""Where the FLOPs go, in a real browser: n is dragged, stepped and shared; the arithmetic under the pointer is true."""

import csv
import json
import re
from pathlib import Path

import pytest

from charts import cost as pictures
from tests.browser.conftest import settle
from tests.browser.rig import link_says
from transformer import PRESETS, Config, cost

SMOLLM2 = PRESETS["smollm2-135m"]
PLOT = ".st-key-gf-picture [role=slider]"


def n_of(page):
    return int(page.locator(PLOT).get_attribute("aria-valuenow"))


def shares(page):
    """Heights of the bar's pieces, as shares of the whole bar."""
    heights = {bar.get_attribute("data-bar"): float(bar.get_attribute("height"))
               for bar in page.locator("[data-bar]").all()}
    return {part: height / sum(heights.values()) for part, height in heights.items()}


def true_shares(config, n, logits=False):
    parts = {part: flops for part, flops in cost.flops(config, n).items() if logits or part != "logits"}
    return {part: pytest.approx(flops / sum(parts.values()), abs=2e-3) for part, flops in parts.items()}


def plain(text):
    return text.replace("\u202f", "").replace(",", "")


def point(page, n, height):
    """Where length n stands in the picture, at this share of its height, from the ground."""
    areas = page.locator("polygon.area").all()
    boxes = [area.bounding_box() for area in areas]
    left, right = boxes[0]["x"], boxes[0]["x"] + boxes[0]["width"]
    top, bottom = min(b["y"] for b in boxes), max(b["y"] + b["height"] for b in boxes)
    k = pictures.LENGTHS.index(n)
    octave = k // 8 + (0 if k == 64 else [0, 0.17, 0.322, 0.459, 0.585, 0.7, 0.807, 0.907][k % 8])
    return left + (right - left) * octave / 8, bottom - (bottom - top) * height


def test_it_opens_where_attention_meets_the_ffn(open_page):
    page = open_page("flops")
    assert n_of(page) == 1536
    assert shares(page) == true_shares(SMOLLM2, 1536)


def test_dragging_moves_the_bar_at_once_and_the_link_when_let_go(open_page):
    page = open_page("flops")
    page.mouse.move(*point(page, 1536, 0.5))
    page.mouse.down()
    page.mouse.move(*point(page, 4096, 0.5), steps=4)
    assert n_of(page) == 4096
    assert shares(page) == true_shares(SMOLLM2, 4096)
    assert "n=" not in page.url
    page.mouse.up()
    link_says(page, n="4096")
    again = open_page(page.url.split("/", 3)[3])
    assert n_of(again) == 4096 and shares(again) == shares(page)


def test_the_keyboard_walks_through_lengths_and_parts(open_page):
    page = open_page("flops")
    page.locator(PLOT).focus()
    page.keyboard.press("ArrowRight")
    assert n_of(page) == 1664
    page.keyboard.press("PageUp")
    assert n_of(page) == 3328
    page.keyboard.press("Home")
    assert n_of(page) == 128
    page.keyboard.press("End")
    assert n_of(page) == 32_768
    link_says(page, n="32768")
    page.keyboard.press("ArrowUp")
    spoken = plain(page.locator(PLOT).get_attribute("aria-valuetext"))
    z = cost.flops(SMOLLM2, 32_768)["z"]
    assert "z = A V at n = 32768" in spoken and f"{z / 1e12:.3g}T" in spoken
    page.keyboard.press("Escape")
    assert "attention" in page.locator(PLOT).get_attribute("aria-valuetext")


def test_the_arithmetic_under_the_pointer_is_that_of_the_library(open_page):
    page = open_page("flops")
    page.mouse.move(*point(page, 8192, 0.55))  # in the scores' band
    page.wait_for_timeout(100)
    said = plain(page.locator(".st-key-gf-picture .gf-tooltip.gf-on").inner_text())
    parts = cost.flops(SMOLLM2, 8192)
    total = sum(flops for part, flops in parts.items() if part != "logits")
    assert "S = Q Kᵀ at n = 8192" in said
    assert "[8192 × 64] @ [64 × 8192] in 9 heads in 30 layers" in said
    factors = [int(f) for f in re.search(r"((?:\d+ · )+\d+) = ", said)[1].split(" · ")]
    product = 1
    for factor in factors:
        product *= factor
    assert product == parts["scores"]
    assert f"{100 * parts['scores'] / total:.1f}%" in said
    page.mouse.move(5, 5)
    assert page.locator(".gf-tooltip.gf-on").count() == 0


def test_another_model_gives_another_picture(open_page):
    page = open_page("flops?arch=Llama+2+7B&logits=True&n=8192")
    assert shares(page) == true_shares(PRESETS["llama-2-7b"], 8192, logits=True)


def test_a_model_is_chosen_in_the_picture(open_page):
    page = open_page("flops")
    whose = page.get_by_label("Whose cost")
    whose.focus()
    page.keyboard.press("ArrowDown")
    assert shares(page) == true_shares(PRESETS["smollm2-360m"], 1536)  # at once
    link_says(page, arch="SmolLM2-360M")
    whose.select_option("My own numbers")
    assert shares(page) == true_shares(Config(d_model=512, n_heads=8, n_layers=6), 1536)
    page.get_by_label("d, width").fill("1024")
    page.get_by_label("d, width").press("Enter")
    link_says(page, arch="My own numbers", d="1024")
    assert shares(page) == true_shares(Config(d_model=1024, n_heads=8, n_layers=6, d_ff=2048), 1536)
    again = open_page(page.url.split("/", 3)[3])
    assert shares(again) == shares(page) and again.get_by_label("Whose cost").input_value() == "My own numbers"


def test_two_controls_pressed_at_once_are_both_kept(open_page):
    page = open_page("flops")
    page.locator(PLOT).evaluate("""plot => {
        const root = plot.getRootNode(), [, perToken, logits] = root.querySelectorAll(".row button");
        perToken.click();
        logits.click();
        plot.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
    }""")
    link_says(page, show="per token", logits="True", n="32768")
    again = open_page(page.url.split("/", 3)[3])
    assert shares(again) == shares(page) == true_shares(SMOLLM2, 32_768, logits=True)


def test_the_view_changes_at_once_and_follows_in_the_link(open_page):
    page = open_page("flops")
    button = page.get_by_role("button", name="with logits")
    button.focus()
    page.keyboard.press("Enter")
    assert shares(page) == true_shares(SMOLLM2, 1536, logits=True)
    link_says(page, logits="True")
    assert button.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Show FLOPs per token").click()
    link_says(page, show="per token", logits="True")
    again = open_page(page.url.split("/", 3)[3])
    assert again.get_by_role("button", name="with logits").get_attribute("aria-pressed") == "true"
    assert shares(again) == shares(page)
    assert len([bar for bar in again.locator("[data-bar]").all()]) == 8


def test_per_token_the_bar_grows_with_n(open_page):
    page = open_page("flops?show=per+token")
    page.locator(PLOT).focus()

    def height():
        return sum(float(bar.get_attribute("height")) for bar in page.locator("[data-bar]").all())

    page.keyboard.press("Home")
    short = height()
    page.keyboard.press("End")
    tokens = {n: sum(f for part, f in cost.flops(SMOLLM2, n).items() if part != "logits") / n for n in (128, 32_768)}
    assert height() / short == pytest.approx(tokens[32_768] / tokens[128], rel=1e-3)


def test_what_is_downloaded_is_what_is_shown(open_page):
    page = open_page("flops?n=2048")
    page.get_by_role("button", name="with logits").click()
    link_says(page, logits="True")
    page.get_by_test_id("stPopoverButton").press("Enter")
    with page.expect_download() as setting:
        page.get_by_role("button", name="Setting, JSON").click()
    shown = json.loads(Path(setting.value.path()).read_text("utf-8"))
    assert (shown["n"], shown["logits"], shown["model"]) == (2048, True, "SmolLM2-135M")
    with page.expect_download() as picture:
        page.get_by_role("button", name="Picture, SVG").click()
    assert "logits, W_U" in Path(picture.value.path()).read_text("utf-8")
    with page.expect_download() as data:
        page.get_by_role("button", name="Data, CSV").click()
    rows = list(csv.DictReader(Path(data.value.path()).read_text("utf-8").splitlines()))
    row = next(row for row in rows if row["n"] == "2048")
    assert {part: int(row[part]) for part in cost.flops(SMOLLM2, 2048)} == cost.flops(SMOLLM2, 2048)


def test_a_thumb_can_drag_it(open_page):
    page = open_page("flops", phone=True)
    page.locator(PLOT).scroll_into_view_if_needed()
    page.touchscreen.tap(*point(page, 512, 0.5))
    link_says(page, n="512")
    assert n_of(page) == 512


def test_on_a_phone_the_arithmetic_stands_below_the_picture(open_page):
    page = open_page("flops", phone=True)
    page.locator(PLOT).scroll_into_view_if_needed()
    page.touchscreen.tap(*point(page, 512, 0.5))
    settle(page)
    tip = page.locator(".gf-tooltip.gf-on")
    assert "FFN at n = 512" in tip.inner_text() and "2 · 512 · 576 · 1,536 · 60" in tip.inner_text()
    picture, box = page.locator(f"{PLOT} svg").bounding_box(), tip.bounding_box()
    assert box["y"] >= picture["y"] + picture["height"] - 1
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
