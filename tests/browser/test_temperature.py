"""Softmax temperature in a real browser: T is dragged on slider and curve, stepped, shared; the numbers are true."""

import math
import re
from urllib.parse import parse_qs, urlparse

import pytest

from tests.browser.rig import picture, settle
from transformer import recording, sampling

SUM = "assets/recorded/smollm2-135m-sum.safetensors.xz"
STAGE = ".st-key-gf-stage"


@pytest.fixture(scope="module")
def values():
    return recording.load(SUM)["logits"][0, -1].sort(descending=True).values


def fact(page, term):
    return page.locator(f"{STAGE} .facts div").filter(has_text=term).locator("dd").inner_text()


def said(page):
    return float(page.locator(f"{STAGE} input[data-name=temperature]").get_attribute("aria-valuetext"))


def query(page):
    return {key: value[0] for key, value in parse_qs(urlparse(page.url).query).items()}


def assert_facts(page, values, T):
    p = sampling.tempered(values, T)
    bits = sampling.entropy(p).item() / math.log(2)
    assert float(fact(page, "entropy").split(" ")[0]) == pytest.approx(bits, rel=6e-3)
    assert float(re.match(r"[\d.e-]+", fact(page, "largest"))[0].rstrip("e")) == pytest.approx(p[0].item(), rel=6e-3)
    assert float(re.match(r"[\d.]+", fact(page, "first"))[0]) == pytest.approx((p[0] / p[1]).item(), rel=6e-3)


def test_the_slider_moves_everything_and_the_link_restores_it(open_page, values):
    page = open_page("temperature")
    assert_facts(page, values, 0.25)
    before = picture(page, STAGE)
    page.locator(f"{STAGE} input[data-name=temperature]").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert picture(page, STAGE) != before
    settle(page)
    T = said(page)
    assert T == 0.65 and query(page) == {"temperature": "0.65"}
    assert_facts(page, values, T)
    again = open_page(page.url.split("/", 3)[3])
    assert said(again) == T and picture(again, STAGE) == picture(page, STAGE)


def test_it_can_be_dragged_in_the_curve(open_page, values):
    page = open_page("temperature")
    box = page.locator(f"{STAGE} canvas").bounding_box()
    before = picture(page, STAGE)
    x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.75  # in the middle panel: entropy
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    assert picture(page, STAGE) != before and query(page) == {}
    T = said(page)
    assert T > 1 and fact(page, "entropy") != ""
    page.mouse.up()
    settle(page)
    held = float(query(page)["temperature"])
    assert_facts(page, values, held)
    page.mouse.move(x + 160, y)
    assert float(query(page)["temperature"]) == held, "let go is let go"


def test_arrow_keys_on_the_picture_change_the_temperature_and_read_the_bars(open_page, values):
    page = open_page("temperature")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(600)
    settle(page)
    assert query(page) == {"temperature": "0.3"}
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowDown")
    heard = page.locator(f"{STAGE} .gf-sr[role=status]").inner_text()
    p = sampling.tempered(values, 0.3)
    assert "five" in heard and float(re.search(r"p = ([\d.]+)", heard)[1]) == pytest.approx(p[0].item(), rel=6e-3)


def test_each_column_shows_its_own_arithmetic_and_hands_its_temperature_over(open_page, values):
    page = open_page("temperature")
    box = page.locator(f"{STAGE} canvas").bounding_box()
    each = (box["width"] - 150 - 22 * 5) / 5
    for column, T in enumerate((0.25, 0.5, 1.0, 2.0, 5.0)):
        x = box["x"] + 150 + 22 + column * (each + 22) + 8
        page.mouse.move(x, box["y"] + 54 + 27 * 2 + 13)
        shown = page.locator(f"{STAGE} .gf-tooltip.gf-on").inner_text()
        p = sampling.tempered(values, T)[2].item()
        assert float(re.search(r"p = ([\d.e−-]+)", shown)[1].replace("−", "-")) == pytest.approx(p, rel=6e-3)
    page.mouse.click(x, box["y"] + 54 + 13)
    settle(page)
    assert query(page) == {"temperature": "5"} and said(page) == 5


def test_another_token_of_the_text_has_its_own_logits(open_page):
    page = open_page("temperature")
    before = fact(page, "largest")
    page.locator(f"{STAGE} .step").nth(1).click()
    settle(page)
    assert query(page) == {"position": "1"} and fact(page, "largest") != before
    logits = recording.load(SUM)["logits"][0, 1].sort(descending=True).values
    assert_facts(page, logits, 0.25)
    again = open_page("temperature?position=1")
    assert picture(again, STAGE) == picture(page, STAGE)


def test_downloads_and_silence(open_page):
    page = open_page("temperature")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the picture as SVG").click()
    assert "T = 0.25" in got.value.path().read_text("utf-8")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the probabilities as CSV").click()
    assert got.value.path().read_text("utf-8").startswith("rank,token,id,logit,p at T=0.25,p at T=0.5")
    assert page.seen.console == [] and page.seen.outside == []
