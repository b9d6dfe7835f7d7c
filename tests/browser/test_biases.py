"""Biases of position in a real browser: another way is another picture, the arithmetic is the library's, the link."""

import re

import pytest

import transformer
from tests.browser.rig import link_says, picture, said
from transformer.experiments import added_positions
from transformer.training import longer

STAGE = ".st-key-parts"


def parts(way: str) -> added_positions.Added:
    model, tokenizer = transformer.load(longer.FOLDER / way)
    return added_positions.added(model, tokenizer.encode("To be, or not to be, that is")[:15])


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def test_a_sum_is_written_out_and_another_way_is_another_picture(open_page):
    page = open_page("position-biases?head=1")
    page.locator(f"{STAGE} canvas").focus()
    for _ in range(5):
        page.keyboard.press("ArrowUp")  # from the last word to “be”
    of, before = parts("alibi"), picture(page, STAGE)
    text = said(page, STAGE)
    assert text.startswith("S[be, T] = q·k/√d_k + position = ")
    content, position, score = (part[1, 9, 0].item() for part in (of.content, of.position, of.scores))
    assert numbers(text)[-2:] == pytest.approx([content, position], rel=6e-3)
    assert numbers(text)[0] == pytest.approx(score, rel=6e-3)
    link_says(page, cell="S.9.0", head="1")
    page.locator(f"{STAGE} .gf-pick label", has_text="Transformer-XL").click()
    assert picture(page, STAGE) != before
    link_says(page, way="xl", head="1")


def test_steps_and_the_link_restore_the_picture(open_page):
    page = open_page("position-biases?way=t5&step=2")
    assert page.locator(f"{STAGE} .count").inner_text() == "2 of 4"
    before = picture(page, STAGE)
    page.locator(f"{STAGE} button", has_text="Step").click()
    link_says(page, way="t5", step="3")
    page.wait_for_timeout(1200)  # the sum comes row by row
    assert picture(page, STAGE) != before and page.locator(f"{STAGE} .said").inner_text().startswith("Sum.")


def test_distance_slopes_and_buckets_are_read_at_the_cursor(open_page):
    page = open_page("position-biases?view=Against+distance&way=alibi&head=0&at=20")
    assert "at distance 20, ALiBi adds -5.000" in said(page, ".st-key-distance")  # 2^(−8/4) · 20
    page.locator(".st-key-distance canvas").focus()
    page.keyboard.press("ArrowRight")
    assert "at distance 21, ALiBi adds -5.250" in said(page, ".st-key-distance")
    link_says(page, at="21")
    page.get_by_text("T5's buckets").first.click()
    page.locator(".st-key-buckets canvas").wait_for()
    assert "distance 50 reads bucket 24, which" in said(page, ".st-key-buckets")
