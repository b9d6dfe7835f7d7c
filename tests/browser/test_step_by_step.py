"""Attention, step by step, in a real browser: a cell says its sum, the steps come in order, the link restores it all."""

import re

import numpy as np
import pytest
import torch

import transformer
from tests.browser.rig import link_says, painted
from transformer import stepwise

CANVAS, SUM = ".st-key-steps_small canvas", ".st-key-steps_small .sum"
SAID, COUNT = ".st-key-steps_small .said", ".st-key-steps_small .count"
WORDS = ["The", "·king", "·and", "·the", "·queen"]


@pytest.fixture(scope="module")
def steps() -> stepwise.Steps:
    """Layer 0 of the readable model on the page's own text."""
    model, tokenizer = transformer.load("readable")
    x = model.run(tokenizer.encode("The king and the queen"), record="layers.0.norm_1").trace["layers.0.norm_1"][0]
    past = torch.ones(5, 5, dtype=torch.bool).tril()
    return stepwise.attend(x, stepwise.weights(model, 0), 2, past)


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text.replace("−", "-").replace("·", " "))]


def sums_under_the_pointer(page) -> dict[str, str]:
    """What is said of the cells on a grid of points: name -> the whole sentence."""
    said = page.locator(CANVAS).evaluate("""canvas => {
        const box = canvas.getBoundingClientRect(), sum = canvas.getRootNode().querySelector('.sum'), found = new Set();
        for (let y = 60; y < box.height; y += 23) for (let x = 70; x < box.width; x += 37) {
            canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.x + x, clientY: box.y + y}));
            found.add(sum.textContent);
        }
        return [...found];
    }""")
    return {text.split(" = ")[0]: text for text in said}


def test_every_cell_says_the_sum_that_made_it(open_page, steps):
    page = open_page("attention-step-by-step")
    found = sums_under_the_pointer(page)
    checked = {"S": 0, "A": 0, "z": 0, "Q": 0, "out": 0}
    for name, text in found.items():
        if (at := re.fullmatch(r"(\w+)\[(\S+), (\S+)\]", name)) is None or at[1] not in checked:
            continue
        row = WORDS.index(at[2])
        col = WORDS.index(at[3]) if at[3] in WORDS else int(at[3])
        if "may not attend" in text:
            assert col > row
            continue
        tensor = steps.out if at[1] == "out" else getattr(steps, at[1])[1]
        value = numbers(text.split("\n")[0].split(" = ")[-1])[-1]
        assert value == pytest.approx(tensor[row, col].item(), rel=6e-3, abs=1e-4), text
        if at[1] == "S":
            inside = text.split("\n")[1].split(")/")[0].split(" / √")[0]
            assert sum(np.prod(numbers(term)) for term in inside.strip("= ()").split(" + ")) / 2 == pytest.approx(
                value, abs=0.03), text  # fmt: skip
        checked[at[1]] += 1
    assert min(checked.values()) >= 5, f"too few cells found: {checked}"


def test_the_keyboard_moves_the_cell_and_plays_the_steps(open_page, steps):
    page = open_page("attention-step-by-step")
    assert page.locator(SUM).inner_text().startswith("S[·queen, ·king] = q·k / √4 = 3.57")
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(SUM).inner_text().startswith("S[·queen, ·and]")
    page.keyboard.press("PageDown")
    assert page.locator(SUM).inner_text().startswith("S[·queen, ·and]")  # the same cell, masked scores
    page.keyboard.press("PageDown")
    said = page.locator(SUM).inner_text()
    assert said.startswith("A[·queen, ·and] = softmax over the row")
    assert numbers(said.split("\n")[0])[-1] == pytest.approx(steps.A[1, 4, 2].item(), rel=6e-3)
    looked = painted(page.locator(CANVAS))
    page.keyboard.press("Home")
    assert page.locator(COUNT).inner_text() == "1 of 8" and page.locator(SAID).inner_text().startswith("Words.")
    page.wait_for_timeout(100)
    assert painted(page.locator(CANVAS)) != looked
    page.keyboard.press(" ")  # the first step at once, the next ones in their time
    assert page.locator(SAID).inner_text().startswith("Project.")
    page.locator(".st-key-steps_small .said", has_text="Score and scale.").wait_for(timeout=8000)
    page.keyboard.press(" ")
    before = page.locator(COUNT).inner_text()
    page.keyboard.press(",")
    assert int(page.locator(COUNT).inner_text()[0]) == int(before[0]) - 1
    page.keyboard.press(".")
    assert page.locator(COUNT).inner_text() == before
    assert page.locator(".st-key-steps_small .play").inner_text() == "▶ Play"


def test_head_way_step_weights_and_cell_are_in_the_link(open_page):
    page = open_page("attention-step-by-step")
    page.locator(".st-key-steps_small .gf-scrubber input").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".st-key-steps_small .gf-pick label", has_text="without the mask").click()
    height = page.locator(CANVAS).bounding_box()["height"]
    page.locator(".st-key-steps_small [role=switch]").click()
    page.wait_for_function("([c, h]) => c.clientHeight > h + 50", arg=[page.locator(CANVAS).element_handle(), height])
    page.locator(".st-key-steps_small button", has_text="Back").click()
    link_says(page, head="layer 1, head 0", scores="without the mask", weights="true", step="6")
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(COUNT).inner_text() == "7 of 8"
    assert again.locator(".st-key-steps_small [role=switch]").is_checked()
    assert again.locator(".st-key-steps_small .gf-pick input:checked").get_attribute("value") == "without the mask"
    assert again.locator(".st-key-steps_small .gf-scrubber input").get_attribute("aria-valuetext") == "layer 1, head 0"


def test_the_real_head_answers_to_its_slider_and_a_thumb(open_page):
    page = open_page("attention-step-by-step?view=A+real+head", phone=True)
    canvas = page.locator(".st-key-steps_real canvas")
    said = page.locator(".st-key-steps_real .sum").inner_text()
    assert said.startswith("S[·is, ·France] = q·k / √64 = ") and "from 59 more" in said
    looked = painted(canvas)
    page.locator(".st-key-steps_real .gf-scrubber input").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".st-key-steps_real .sum").inner_text() != said
    assert painted(canvas) != looked
    link_says(page, head="5")
