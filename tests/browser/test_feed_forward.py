"""The feed-forward network in a real browser: the arithmetic of one neuron, the word, what neurons write, the link."""

import re
from pathlib import Path

import pytest

from tests.browser.rig import link_says, picture, said
from transformer import recording
from transformer.feedforward import ACTIVATIONS

CAPITAL = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-capital.safetensors.xz")


def test_a_neuron_says_its_product_and_another_word_another(open_page):
    page = open_page("feed-forward")
    a, u, g = (CAPITAL[f"layers.24.ffn.{name}"][0] for name in ("post", "pre", "gate"))
    j = a[4].abs().argmax().item()

    def check(word: int) -> None:
        numbers = [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", said(page, ".st-key-way").split("u = ")[1])]
        expected = [a[word, j].item(), ACTIVATIONS["silu"](g[word, j]).item(), u[word, j].item()]
        assert numbers == pytest.approx(expected, rel=6e-3)

    check(4)
    before = picture(page, ".st-key-way")
    page.locator(".st-key-way .gf-scrubber input").focus()
    page.keyboard.press("ArrowLeft")
    assert picture(page, ".st-key-way") != before
    check(3)
    link_says(page, word="3 France")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, ".st-key-way") == said(page, ".st-key-way")


def test_what_neurons_write_is_listed_by_keyboard_too(open_page):
    page = open_page("feed-forward?view=What+neurons+write")
    first = page.locator(".st-key-memories .neuron").first
    assert "Paris +" in first.inner_text() and "capitals" in first.inner_text()
    page.locator(".st-key-memories .gf-pick input:checked").focus()
    page.keyboard.press("ArrowUp")
    assert page.locator(".st-key-memories .gf-pick input:checked").get_attribute("value") == "the loudest"
    link_says(page, order="the loudest")
    page.locator(".st-key-memories .neuron").nth(1).focus()
    text = said(page, ".st-key-memories")
    a, by, effect = (float(x.replace("+", "")) for x in re.search(r"= ([+-][\d.]+) × ([+-][\d.]+) = ([+-][\d.]+) logits", text).groups())
    assert a * by == pytest.approx(effect, rel=0.02, abs=0.01)


def test_only_the_changed_row_has_colour(open_page):
    page = open_page("feed-forward?view=No+mixing", phone=True, dark=True)
    page.locator(".st-key-mixing canvas").focus()
    page.keyboard.press("ArrowDown")
    assert said(page, ".st-key-mixing").split("\n")[0].endswith("= 0")  # not the middle one
    before = picture(page, ".st-key-mixing")
    page.locator(".st-key-mixing .gf-scrubber input").focus()
    page.keyboard.press("ArrowRight")
    assert picture(page, ".st-key-mixing") != before
