"""Counting parameters and sharing them, in the browser: what is pressed counts at once, is read out, and is linked."""

import re
from dataclasses import replace

from tests.browser.rig import link_says, picture, said, settle
from transformer import PRESETS, cost
from transformer.experiments import tying

STAGE = ".st-key-weights"


def number(page):
    return int(page.locator(f"{STAGE} .head .n").inner_text().replace(",", ""))


def exact(config):
    return sum(cost.parameters(config).values())


def test_a_model_and_a_size_are_chosen_in_the_picture_and_kept_in_the_link(open_page):
    page = open_page("parameter-count")
    assert number(page) == exact(PRESETS["smollm2-135m"])
    before = picture(page, STAGE)
    page.get_by_label("Whose weights").select_option("GPT-2")
    assert number(page) == 124_439_808 and picture(page, STAGE) != before  # at once
    link_says(page, arch="GPT-2")
    page.get_by_label("Vary").select_option("layers")  # what can be varied came with the model
    slider = page.locator(f"{STAGE} .gf-scrubber input")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert number(page) == exact(replace(PRESETS["gpt2"], n_layers=16))
    link_says(page, vary="layers", value="16")
    again = open_page(page.url.split("/", 3)[3])
    assert number(again) == number(page) and again.locator(f"{STAGE} .gf-scrubber output").inner_text() == "16"


def test_a_cell_reads_its_own_arithmetic(open_page):
    page = open_page("parameter-count")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowRight")  # from the largest, W_E, to the first weight of the layers
    text = said(page, STAGE).replace("\u202f", " ")
    shape = re.search(r"W_Q: \[h·d_k × d\] = \[576 × 576\] = 331,776 · 30 = 9,953,280: 7.4 %", text)
    assert shape, text
    box = page.locator(f"{STAGE} canvas").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2)
    page.wait_for_timeout(100)
    assert "W_E: [V × d_E] = [49,152 × 576] = 28,311,552" in said(page, STAGE)
    page.mouse.move(5, 5)
    page.keyboard.press("Escape")


def test_the_rule_is_a_second_view(open_page):
    page = open_page("parameter-count?arch=Llama+3+8B")
    before = picture(page, STAGE)
    page.get_by_label("Against 12 · layers · d²").check()
    assert picture(page, STAGE) != before and "12 · layers · d² = 6,442,450,944" in said(page, STAGE)
    page.locator(f"{STAGE} canvas").focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    assert "attention is not 4d²: -805,306,368" in said(page, STAGE)
    link_says(page, view="Against 12 · layers · d²")


def test_tying_and_sharing_count_at_once(open_page):
    page = open_page("tied-and-shared")
    gpt2 = PRESETS["gpt2"]
    assert number(page) == exact(gpt2)
    switches = page.locator(f"{STAGE} .switch input")
    assert switches.nth(1).is_disabled()
    switches.nth(0).focus()
    page.keyboard.press(" ")
    assert number(page) == exact(gpt2) + 50_257 * 768
    switches.nth(2).check()
    assert number(page) == exact(tying.variant(gpt2, False, True))
    link_says(page, tied="False", shared="True")
    again = open_page(page.url.split("/", 3)[3])
    assert number(again) == number(page)


def test_a_storage_says_its_address_and_a_gradient_is_a_sum(open_page):
    page = open_page("tied-and-shared?view=One+storage&stored=tied")
    page.locator(".st-key-storages canvas").focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert re.search(r"look-up reads W_E \[64 × 32\] at address 0x[0-9a-f]+: storage 1", said(page, ".st-key-storages"))
    page = open_page("tied-and-shared?view=Two+gradients", phone=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".st-key-gradients canvas").count() == 1
