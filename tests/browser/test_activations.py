"""Activations in a real browser: the cursor reads the library's numbers, by pointer, by keyboard, by link, by thumb."""

import re
from pathlib import Path

import pytest
import torch

from tests.browser.rig import link_says, painted
from tests.browser.test_every_page import axe_violations, errors_shown, sideways
from transformer import recording
from transformer.feedforward import ACTIVATIONS, derivative, let_through, share_below

CAPITAL = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-capital.safetensors.xz")
GATE = CAPITAL["layers.5.ffn.gate"][0]
CANVAS, LAYER = ".st-key-curves canvas", ".st-key-curves .gf-scrubber:has-text('Layer') input"
REACH = ".st-key-curves .gf-scrubber:has-text('u up to') input"


def numbers(page) -> dict[str, list[float]]:
    """The table: activation -> its cells."""
    rows = page.locator(".st-key-curves tbody tr").all()
    cells = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}
    return {name: [float(text.replace("−", "-").rstrip("%")) for text in texts] for name, texts in cells.items()}


def cursor(page) -> float:
    return float(page.locator(CANVAS).get_attribute("aria-valuenow"))


def at_u(page, u: float) -> tuple[float, float]:
    """The page's point over u in the first panel."""
    box = page.locator(CANVAS).bounding_box()
    left, right = (58, 104) if box["width"] >= 560 else (52, 14)
    return box["x"] + left + (u + 3) / 6 * (box["width"] - left - right), box["y"] + 80


def check(page, u: float) -> None:
    at = torch.tensor(u, dtype=torch.float64)
    for title, name in (("ReLU", "relu"), ("GELU", "gelu"), ("GELU (tanh)", "gelu_tanh"), ("SiLU", "silu")):
        expected = [f(name, at).item() for f in (let_through, lambda name, at: ACTIVATIONS[name](at), derivative)]
        assert numbers(page)[title][:3] == pytest.approx(expected, abs=1.1e-3)


def test_it_opens_at_the_lowest_point_of_silu(open_page):
    page = open_page("activations")
    assert cursor(page) == pytest.approx(-1.28, abs=1e-6)
    check(page, -1.28)
    said = page.locator(".st-key-curves .sum").inner_text().replace("−", "-")
    assert "SiLU(-1.28) = -1.28 × 0.218 = -0.278" in said
    below = share_below(GATE, torch.tensor([-1.28])).item()
    assert f"{100 * below:.1f}% of the real ones lie below" in said
    assert numbers(page)["ReLU"][3] == pytest.approx(100 * (GATE <= 0).float().mean().item(), abs=0.06)


def test_hover_previews_and_a_drag_stays(open_page):
    page = open_page("activations")
    page.mouse.move(*at_u(page, 1.0))
    assert cursor(page) == pytest.approx(1.0, abs=0.02)
    check(page, cursor(page))
    page.mouse.move(5, 5)
    assert cursor(page) == pytest.approx(-1.28, abs=1e-6)  # only a look
    page.mouse.move(*at_u(page, 0.5))
    page.mouse.down()
    page.mouse.move(*at_u(page, 2.0), steps=5)
    page.mouse.up()
    page.mouse.move(5, 5)
    assert cursor(page) == pytest.approx(2.0, abs=0.02)
    link_says(page, u=str(round(cursor(page), 2)))
    again = open_page(page.url.split("/", 3)[3])
    assert cursor(again) == pytest.approx(cursor(page), abs=0.006)


def test_the_keyboard_steps_the_cursor(open_page):
    page = open_page("activations")
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowRight")
    assert cursor(page) == pytest.approx(-1.24, abs=1e-3)
    page.keyboard.press("Shift+ArrowRight")
    assert cursor(page) == pytest.approx(-0.84, abs=1e-3)
    check(page, -0.84)
    page.keyboard.press("Home")
    assert cursor(page) == pytest.approx(-3)
    page.keyboard.press("End")
    assert cursor(page) == pytest.approx(3)


def test_the_axis_reaches_farther_in_the_picture(open_page):
    page = open_page("activations")
    looked = painted(page.locator(CANVAS))
    page.locator(REACH).focus()
    page.keyboard.press("End")
    assert painted(page.locator(CANVAS)) != looked
    page.locator(CANVAS).focus()
    page.keyboard.press("Home")
    assert cursor(page) == pytest.approx(-16)
    check(page, -16)
    page.locator(REACH).focus()
    page.keyboard.press("Home")
    assert cursor(page) == pytest.approx(-2)  # it stays on the axis
    link_says(page, reach="2", u="-2.0")
    assert cursor(open_page(page.url.split("/", 3)[3])) == pytest.approx(-2)


def test_a_thumb_moves_it(open_page):
    page = open_page("activations", phone=True)
    page.locator(CANVAS).scroll_into_view_if_needed()
    page.touchscreen.tap(*at_u(page, -2.0))
    link_says(page, u=str(round(cursor(page), 2)))
    assert cursor(page) == pytest.approx(-2.0, abs=0.03)
    check(page, cursor(page))


def test_the_layer_is_scrubbed_live_and_kept_in_the_link(open_page):
    page = open_page("activations")
    looked = painted(page.locator(CANVAS))
    page.locator(LAYER).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    u = CAPITAL["layers.7.ffn.gate"][0]
    assert numbers(page)["ReLU"][3] == pytest.approx(100 * (u <= 0).float().mean().item(), abs=0.06)
    below = share_below(u, torch.tensor([-1.28])).item()
    assert f"{100 * below:.1f}% of the real ones" in page.locator(".st-key-curves .sum").inner_text()
    link_says(page, layer="7")
    assert painted(page.locator(CANVAS)) != looked
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(LAYER).get_attribute("aria-valuetext") == "7" and numbers(again) == numbers(page)


def test_another_activation_changes_the_picture(open_page):
    page = open_page("activations")
    looked = painted(page.locator(CANVAS))
    page.locator(".st-key-curves .gf-pick label", has_text=re.compile("^ReLU$")).click()
    assert page.locator(".st-key-curves .sum").inner_text().startswith("ReLU(")
    assert page.locator(".st-key-curves tr.strong th").inner_text() == "ReLU"
    link_says(page, activation="ReLU")
    assert painted(page.locator(CANVAS)) != looked
    page.keyboard.press("ArrowDown")  # the focus is still on the buttons
    assert page.locator(".st-key-curves .sum").inner_text().startswith("GELU(")
    link_says(page, activation="GELU")
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(".st-key-curves .gf-pick input:checked").get_attribute("value") == "GELU"


def test_the_gap_is_magnified_in_the_picture_and_kept_in_the_link(open_page):
    page = open_page("activations")
    canvas, switch = page.locator(CANVAS), page.locator(".st-key-curves [role=switch]")
    looked, height = painted(canvas), canvas.bounding_box()["height"]
    switch.focus()
    page.keyboard.press(" ")
    page.wait_for_function("([canvas, height, looked]) => canvas.clientHeight === height && canvas.toDataURL() !== looked",
                           arg=[canvas.element_handle(), height + 120, looked])
    assert switch.is_checked()
    link_says(page, gap="true")
    assert open_page(page.url.split("/", 3)[3]).locator(".st-key-curves [role=switch]").is_checked()
    switch.click()
    link_says(page, gap=None)
    assert canvas.bounding_box()["height"] == height


STRIPS, SUM = ".st-key-strips canvas", ".st-key-strips .sum"
OF_LAYER, OF_WORD = (f".st-key-strips .gf-scrubber:has-text('{name}') input" for name in ("Layer", "Loudest"))


def product(text: str, layer: int, word: int) -> None:
    """The arithmetic that is said of one cell is the trace's."""
    neuron, token = map(int, re.search(r"neuron (\d+) at (\d+) ", text).groups())
    number = r"(-?[\d.]+(?:e-\d+)?)"
    said = re.search(rf"a = SiLU\(g\) × u = {number} × {number} = {number}", text.replace("−", "-"))
    assert said, f"no arithmetic in {text!r}"
    gate, pre, post = (CAPITAL[f"layers.{layer}.ffn.{part}"][0] for part in ("gate", "pre", "post"))
    assert neuron in post[word].abs().topk(5).indices
    expected = [ACTIVATIONS["silu"](gate[token, neuron]).item(), pre[token, neuron].item(), post[token, neuron].item()]
    assert [float(x) for x in said.groups()] == pytest.approx(expected, rel=6e-3)


def test_a_cell_of_the_strips_says_its_product(open_page):
    page = open_page("activations?view=Single+neurons")
    product(page.locator(SUM).inner_text(), 5, 4)
    box, tip = page.locator(STRIPS).bounding_box(), page.locator(".st-key-strips .gf-tooltip.gf-on")
    said = set()
    for y in range(60, 460, 40):
        page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + y)
        if tip.count():
            product(" ".join(tip.inner_text().split("\n")), 5, 4)
            said.add(tip.inner_text())
    assert len(said) >= 4
    page.mouse.move(5, 5)
    assert " at 4 is" in page.locator(SUM).inner_text()  # only a look
    page.locator(STRIPS).focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(3):  # past the three rows of the first neuron
        page.keyboard.press("ArrowDown")
    second = CAPITAL["layers.5.ffn.post"][0, 4].abs().topk(5).indices[1].item()
    assert page.locator(SUM).inner_text().startswith(f"neuron {second} at 3 France")
    product(page.locator(SUM).inner_text(), 5, 4)


def test_layer_and_word_of_the_strips_answer_live_and_are_kept_in_the_link(open_page):
    page = open_page("activations?view=Single+neurons")
    looked = painted(page.locator(STRIPS))
    page.locator(OF_LAYER).focus()
    page.keyboard.press("ArrowRight")
    product(page.locator(SUM).inner_text(), 6, 4)
    page.locator(OF_WORD).focus()
    page.keyboard.press("ArrowLeft")
    said = page.locator(SUM).inner_text()
    product(said, 6, 3)
    assert " at 3 France" in said
    link_says(page, layer="6", word="3 France")
    assert painted(page.locator(STRIPS)) != looked
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(OF_LAYER).get_attribute("aria-valuetext") == "6"
    assert again.locator(OF_WORD).get_attribute("aria-valuetext") == "3 France"
    assert again.locator(SUM).inner_text() == said


def test_two_sliders_moved_at_once_are_both_kept(open_page):
    page = open_page("activations?view=Single+neurons")
    page.locator(STRIPS).evaluate("""canvas => {
        const [layer, word] = canvas.getRootNode().querySelectorAll("input[type=range]");
        for (const [slider, value] of [[layer, 6], [word, 3]]) {
            slider.value = value;
            slider.dispatchEvent(new Event("input"));
        }
    }""")
    link_says(page, layer="6", word="3 France")
    product(page.locator(SUM).inner_text(), 6, 3)


def test_the_picture_leaves_as_svg(open_page, tmp_path):
    page = open_page("activations")
    with page.expect_download() as download:
        page.locator(".st-key-curves button[aria-label='Save this picture as SVG']").click()
    file = tmp_path / "activations.svg"
    download.value.save_as(file)
    svg = file.read_text("utf-8")
    assert svg.startswith("<svg") and "The function σ(u)" in svg and "stroke-dasharray" in svg


def test_another_gate_is_another_map_and_a_cell_says_its_product(open_page):
    page = open_page("activations?view=Gated+variants&layer=7")
    canvas, total = page.locator(".st-key-gates canvas"), page.locator(".st-key-gates .sum")
    looked = painted(canvas)
    page.locator(".st-key-gates .gf-pick input:checked").focus()
    page.keyboard.press("ArrowUp")  # GEGLU
    link_says(page, gate="GEGLU")
    assert painted(canvas) != looked
    canvas.focus()
    page.keyboard.press("ArrowRight")
    said = total.inner_text().replace("−", "-")
    u, opened, again, a = map(float, re.search(r"u = (\S+): GELU\(g\) × u = (\S+) × (\S+) = (\S+)", said).groups())
    assert u == again and opened * u == pytest.approx(a, abs=2e-3)
    other = open_page(page.url.split("/", 3)[3])
    assert other.locator(".st-key-gates .gf-pick input:checked").get_attribute("value") == "GEGLU"


@pytest.mark.parametrize("query", [
    "view=What+they+leave", "view=Gated+variants", "view=Single+neurons", "gap=true&activation=GELU+(tanh)", "model=minilm-l6",
])  # fmt: skip
def test_every_view_is_whole_on_a_phone(open_page, query):
    page = open_page(f"activations?{query}", phone=True, dark=True)
    assert not errors_shown(page) and page.seen.console == [] and sideways(page) <= 0
    assert (found := axe_violations(page)) == [], "\n".join(found)
