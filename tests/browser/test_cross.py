"""Cross-attention in a real browser: it is written token by token, every head can be seen, a cell says its arithmetic."""

import re
from urllib.parse import parse_qs, urlparse

import pytest

import transformer
from tests.browser.rig import link_says, picture
from transformer.translation import crossings, links, load, translate

STAGE = ".st-key-alignment"
DATES = "cross-attention?way=Dates+→+ISO"
CHAIR = load("assets/recorded/marian-en-pt-chair.safetensors")


def words(page, part: str) -> str:
    return page.locator(f"{STAGE} .{part}").inner_text().replace("−", "-")


def query(page) -> dict[str, str]:
    return {key: value[0] for key, value in parse_qs(urlparse(page.url).query).items()}


def test_it_is_written_token_by_token_and_crossings_are_counted(open_page):
    page = open_page("cross-attention")
    whole = picture(page, STAGE)
    assert words(page, "said").endswith("7 words have a link, with 2 crossings.")
    page.get_by_role("button", name="Reset").first.click()
    assert words(page, "count") == "1 of 10" and picture(page, STAGE) != whole
    found = links(CHAIR.A(1, 0), CHAIR.source, CHAIR.target)
    for step, (piece, before) in enumerate(zip(CHAIR.target, CHAIR.before)):
        if step < 9:
            said = words(page, "said")
            assert said.startswith(f"“{piece.strip()}” is written, p = ") and f"“{before.strip()}” before it" in said
            best = CHAIR.A(1, 0)[step].argmax().item()
            assert f"reads “{CHAIR.source[best].strip()}” most ({CHAIR.A(1, 0)[step, best].item():.3g}" in said
            page.get_by_role("button", name="Step ›").first.click()
    assert picture(page, STAGE) == whole and len(crossings(found)) == 2
    assert page.get_by_role("button", name="Step ›").first.is_disabled()
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    assert words(page, "count") == "2 of 10"
    link_says(page, step="1", head=None)
    page.keyboard.press("End")
    assert picture(page, STAGE) == whole
    assert page.seen.console == [] and page.seen.outside == []


def test_the_slider_shows_every_head_and_the_link_restores_it(open_page):
    page = open_page("cross-attention")
    before = picture(page, STAGE)
    page.locator(f"{STAGE} input[type=range]").focus()
    page.keyboard.press("ArrowLeft")  # layer 0, mean
    assert picture(page, STAGE) != before
    found = crossings(links(CHAIR.A(0), CHAIR.source, CHAIR.target))
    assert re.search(rf"with {len(found)} crossings?\.$", words(page, "said"))
    link_says(page, head="layer 0, mean")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    link_says(page, head="layer 0, mean", cell="0,1")
    each = [CHAIR.A(0, head)[0, 1].item() for head in range(8)]
    assert words(page, "sum").startswith(f"A[O, black] = {sum(each) / 8:.3g}") and "the mean of 8 heads" in words(page, "sum")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, STAGE) == picture(page, STAGE) and words(again, "sum") == words(page, "sum")


def test_hovering_a_cell_gives_its_own_arithmetic(open_page):
    said = translate("dates", *transformer.load("dates"), "5/3/98", most=10)
    page = open_page(f"{DATES}&date=5/3/98&cell=5,0&head=layer+0,+head+1")
    title, score, share = words(page, "sum").splitlines()
    A, S = said.A(0, 1)[5], said.scores(0)[1, 5]
    assert title == f"A[0, 5] = {A[0].item():.3g}" and said.target[5] == "0" and said.source[0] == "5"
    assert float(score.rsplit("= ", 1)[1]) == pytest.approx(S[0].item(), rel=6e-3)
    terms = re.findall(r"(\(?-?[\d.e-]+\)?)·(\(?-?[\d.e-]+\)?)", score)
    rest = re.search(r"\+ (\(?-?[\d.e-]+\)?) from 12 more", score)[1]
    number = lambda text: float(text.strip("()"))  # noqa: E731
    total = sum(number(a) * number(b) for a, b in terms) + number(rest)
    assert len(terms) == 4 and total / 4 == pytest.approx(S[0].item(), rel=0.03, abs=0.02)  # √16
    assert float(share.rsplit("= ", 1)[1]) == pytest.approx(A[0].item(), rel=6e-3)


def test_a_hidden_token_is_hatched_and_the_rest_is_written_anew(open_page):
    page = open_page(f"{DATES}&date=5/3/98")
    before = words(page, "said")
    page.get_by_role("combobox", name="Hide from the decoder").click()
    page.get_by_role("option", name="0 5").click()
    link_says(page, hide_token="0 5")
    page.locator(f"{STAGE} .said:not(:has-text('1998-05-03'))").wait_for()
    assert "98-05-03" not in words(page, "said") and words(page, "said") != before
    assert page.seen.console == []
