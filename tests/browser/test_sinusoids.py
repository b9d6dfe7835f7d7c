"""Sinusoids in a real browser: a shift is the same rotation for every position, and the matrix agrees with it."""

import re
from pathlib import Path

import pytest
import torch

import transformer
from tests.browser.rig import link_says, picture, said
from transformer import positions

STAGE = ".st-key-turn"
NUMBER = r"(-?\d\.\d{4})"


def pairs(text: str) -> list[list[float]]:
    """R(k)·PE(pos) and PE(pos + k), as they are read out."""
    return [[float(a), float(b)] for a, b in re.findall(rf"\({NUMBER}, {NUMBER}\)", text)]


@pytest.mark.parametrize("layout", ["interleaved", "half"])
def test_the_rotation_leads_to_what_the_matrix_has(open_page, layout):
    page = open_page(f"sinusoids?d=32&base=100&pos=20&k=9&pair=3&layout={layout}")
    turned, there = pairs(said(page, STAGE))
    PE = positions.of_pairs(positions.sinusoidal(torch.tensor([29]), 32, 100, layout)[0], layout)[3]
    assert there == pytest.approx(PE.tolist(), abs=6e-5) and turned == pytest.approx(there, abs=2e-4)
    assert "once round in" in said(page, STAGE)


def test_keys_sliders_and_layouts_change_the_picture_and_the_link_restores_them(open_page):
    page = open_page("sinusoids")
    seen = [picture(page, STAGE)]
    page.locator(f"{STAGE} canvas").focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(picture(page, STAGE))
    for name in ("Width", "Base"):
        page.locator(f"{STAGE} .gf-scrubber:has-text('{name}') input").press("ArrowRight")
        seen.append(picture(page, STAGE))
    page.locator(f"{STAGE} .gf-pick input:checked").press("ArrowDown")
    seen.append(picture(page, STAGE))
    assert len(set(seen)) == len(seen)
    turned, there = pairs(said(page, STAGE))
    assert turned == pytest.approx(there, abs=2e-4)
    link_says(page, pos="6", k="8", pair="3", d="128", base="100000", layout="half")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again, STAGE) == said(page, STAGE) and picture(again, STAGE) == picture(page, STAGE)


def test_a_click_in_the_matrix_chooses_position_and_pair(open_page):
    page = open_page("sinusoids?d=8&view=A+pair+turns")
    box = page.locator(f"{STAGE} canvas").bounding_box()
    page.mouse.click(box["x"] + 46 + 0.46 * box["width"] * 0.8, box["y"] + 300)
    link_says(page, d="8", pair="3")
    assert int(re.search(r"PE\((\d+)\)", said(page, STAGE))[1]) > 30


def test_a_heads_score_says_its_words(open_page):
    page = open_page("sinusoids?view=Through+a+real+head&cell=S,5,1")
    model, tokenizer = transformer.load(Path(__file__).parents[2] / "assets" / "order" / "decoder")
    name = "layers.0.attention.scores"
    S = model.run(tokenizer.encode("The king is a good man and my lord is not"), record=name).trace[name][0, 1, 5, 1].item()
    found = re.search(r"query 5 man, key 1 king: q·k / √12 = (-?[\d.]+)", said(page, ".st-key-matrices"))
    assert float(found[1]) == pytest.approx(S, rel=6e-3)
    before = picture(page, ".st-key-matrices")
    page.locator(".st-key-matrices .gf-scrubber input").press("ArrowRight")
    assert picture(page, ".st-key-matrices") != before
    link_says(page, head="layer 0, head 2")
    assert not page.seen.console and not page.seen.outside
