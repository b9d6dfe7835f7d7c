"""The cost calculator in the browser: what is moved counts at once and is linked; the numbers read are the library's."""

import re

import pytest

from tests.browser.rig import link_says, picture, said
from transformer import PRESETS, calculator, roofline

STAGE = ".st-key-costs"
A100 = roofline.MACHINES["A100"]
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "µs": 1e-6, "ms": 1e-3, "s": 1, "ns": 1e-9}


def number(text):
    """4.29 GB, 11.6 ms, 154 G"""
    digits, unit = re.fullmatch(r"([\d.]+)\s?(\S*)", text.replace("\u202f", " ")).groups()
    return float(digits) * UNITS[unit.removesuffix("B")]


def row(page, part):
    cells = page.locator(f"{STAGE} tr", has=page.locator("th", has_text=re.compile(f"^{re.escape(part)}$"))).locator("td").all_inner_texts()
    return [0 if cell == "–" else number(cell) for cell in cells[:5]]


def whole(config, doing, n, batch, weights=16, cache=16):
    parts = calculator.bill(config, doing, n, batch, weights, cache)
    own, flops, moved, held = (sum(column) for column in zip(*parts.values(), strict=True))
    return [own, held, moved, flops, roofline.seconds(calculator.seconds(parts, A100))]


def close(numbers):
    return pytest.approx(numbers, rel=0.006)  # three digits


def test_each_control_counts_at_once_and_is_linked(open_page):
    page, config = open_page("calculator"), PRESETS["llama-3-8b"]
    assert row(page, "all") == close(whole(config, "write", 8192, 8))
    before = picture(page, STAGE)
    page.get_by_label("read n tokens").check()
    assert row(page, "all") == close(whole(config, "read", 8192, 8)) and picture(page, STAGE) != before
    page.locator(f"{STAGE} input[type=range]").first.focus()
    page.keyboard.press("ArrowLeft")
    page.locator(f"{STAGE} input[type=range]").nth(1).focus()
    page.keyboard.press("ArrowRight")
    weights, cache = (page.locator(f"{STAGE} .gf-pick").nth(i) for i in (1, 2))
    weights.get_by_label("4 bits").check()
    cache.get_by_label("int8").check()
    assert row(page, "all") == close(whole(config, "read", 4096, 16, 4, 8))
    page.get_by_label("write it without a cache").check()
    assert row(page, "all") == close(whole(config, "write anew", 4096, 16, 4)) and cache.is_hidden()
    page.get_by_label("write the next").check()
    link_says(page, n="4096", batch="16", bits="4 bits", cache="int8", do=None)
    again = open_page(page.url.split("/", 3)[3])
    assert row(again, "all") == close(whole(config, "write", 4096, 16, 4, 8))


def test_a_typed_length_is_counted_and_a_part_shows_its_formula(open_page):
    page, config = open_page("calculator?arch=GPT-2&batch=1"), PRESETS["gpt2"]
    box = page.get_by_label("n, tokens, any whole number")
    box.fill("777")
    box.press("Enter")
    link_says(page, n="777")
    assert row(page, "all") == close(whole(config, "write", 777, 1))
    page.locator(f"{STAGE} tbody tr", has_text="keys kept").click()
    side = page.locator(f"{STAGE} .side").inner_text().replace("\u202f", " ")
    assert "777 · 12 · 64 · 12 · 1 · 16 bits = 14.3 MB" in side
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowUp")  # to the part before
    side = page.locator(f"{STAGE} .side").inner_text().replace("\u202f", " ")
    assert "2 · 1 · 768 · 50,257 · 1 = 77.2 M" in side
    link_says(page, part="logits")
    assert "wait for memory" in said(page, STAGE)


def test_training_says_how_often_and_whether_it_fits(open_page):
    page = open_page("calculator?do=train+a+step&part=Q")
    side = page.locator(f"{STAGE} .side").inner_text().replace("\u202f", " ")
    assert "3 · 2 · 8,192 · 4,096 · 4,096 · 32 · 8 = 211 T" in side and round(3 * 2 * 8192 * 4096**2 * 32 * 8 / 1e12) == 211
    assert re.search(r"if it fitted: \d+.GB are more than 85\.9.GB", said(page, STAGE))
    page.get_by_label("write the next").check()
    assert re.search(r"holding 24\.7.GB of 85\.9.GB", said(page, STAGE))


def test_on_a_phone_everything_fits(open_page):
    page = open_page("calculator?arch=ViT+base", phone=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert row(page, "FFN")[3] == close(calculator.bill(PRESETS["vit-base"], "read", 197, 8)["ffn"].flops)
    assert page.get_by_label("n, patches, any whole number").is_disabled()
    tops = [page.locator(f"{STAGE} {what}").first.bounding_box()["y"] for what in ("canvas", ".controls", ".side", "table")]
    assert tops == sorted(tops)  # the picture first
