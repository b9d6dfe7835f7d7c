"""Memory across segments in a real browser: the memory moves reach and map, a cell says its softmax, a link."""

import re

import pytest

import transformer
from pages.attention.memory_words import TOMORROW
from tests.browser.rig import link_says, picture, said, settle
from transformer import segments

STAGE, CURVES = ".st-key-matrices", ".st-key-curves"


@pytest.fixture(scope="module")
def ours():
    model, tokenizer = transformer.load("segments")
    return model, tokenizer.encode(TOMORROW)


def test_the_memory_moves_the_reach_and_the_link_restores_it(open_page):
    page = open_page("segment-memory?cell=with,3,20")
    assert re.search(r"as embed leaves it: 1\b", said(page, STAGE))  # with a memory of 16 the top token has heard of it
    before = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-scrubber input").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert re.search(r"as embed leaves it: 0\b", said(page, STAGE))  # without, it has not
    assert picture(page, STAGE) != before
    link_says(page, memory="none", cell="with,3,20")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, STAGE) == picture(page, STAGE) and said(again, STAGE) == said(page, STAGE)
    assert not page.seen.console and not page.seen.outside


def test_a_cell_of_the_map_says_its_softmax(open_page, ours):
    model, ids = ours
    page = open_page("segment-memory?view=Attention&layer=1&head=1&cell=with,20,14")
    A = segments.read(model, ids, 16, 16, ("A",)).trace["A"][1, 1]
    value = float(re.search(r"softmax over the row = ([\d.e-]+)", said(page, STAGE))[1])
    assert value == pytest.approx(A[20, 14].item(), rel=1e-2)
    before = picture(page, STAGE)
    page.locator(f"{STAGE} [role=switch]").press(" ")
    assert picture(page, STAGE) != before
    link_says(page, scores="true")


def differs(page, token: int) -> float:
    return float(re.search(rf"token {token}: the logits differ by ([\d.e-]+)", said(page, CURVES))[1])


def test_the_differences_are_read_at_the_cursor(open_page, ours):
    model, ids = ours
    page = open_page("segment-memory?view=Same+or+not")
    whole = segments.read(model, ids, len(ids), 0).logits
    apart = segments.differences(segments.read(model, ids, 16, 16).logits, whole)
    page.locator(f"{CURVES} canvas").focus()
    page.keyboard.press("Home")
    assert differs(page, 0) == pytest.approx(apart[0].item(), abs=1e-6)
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    assert differs(page, 40) == pytest.approx(apart[40].item(), abs=6e-4)
    link_says(page, at="40")
    page.locator(f"{CURVES} .gf-scrubber:has-text('Memory') input").focus()
    page.keyboard.press("End")
    assert differs(page, 40) < 1e-5
    page.get_by_text("What it is worth").click()
    settle(page)
    assert re.search(r"place 1: 4\.\d+ nats without a memory, 3\.\d+ with one", said(page, CURVES))
