"""The frame's own parts work by mouse and by keyboard, large and small."""

import pytest

from pages.shared.lessons import lesson
from tests.browser.rig import settle

PAGE = lesson("C3").path

sizes = pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])


@sizes
def test_copy_link_copies_this_state(open_page, phone):
    page = open_page(PAGE + "?hide=sources", phone=phone)
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


@sizes
def test_code_opens_and_comes_into_view(open_page, phone):
    page = open_page(PAGE, phone=phone)
    page.get_by_role("button", name="Code", exact=True).click()
    code = page.locator(".st-key-gf-code [data-testid=stCode]").first
    code.wait_for()
    page.wait_for_timeout(300)
    top = code.bounding_box()["y"]
    assert 0 <= top < page.viewport_size["height"]


@sizes
def test_downloads_are_files(open_page, phone):
    page = open_page(PAGE, phone=phone)
    page.get_by_role("button", name="Download").first.click()
    with page.expect_download() as got:
        page.get_by_role("button", name="Setting, JSON").click()
    assert got.value.suggested_filename == "rope.json"


def test_the_prediction_is_made_by_keyboard(open_page):
    page = open_page(PAGE)
    page.locator(".st-key-prediction input").first.focus()
    page.keyboard.press("Space")
    settle(page)
    commit = page.get_by_role("button", name="Commit and reveal")
    commit.focus()
    page.keyboard.press("Enter")
    settle(page)
    assert page.locator(".st-key-gf-predict [data-testid=stAlert]").count() == 1
    assert commit.count() == 0


def test_a_theme_switch_repaints_formulas_and_keeps_the_state(open_page):
    page = open_page(PAGE + "?hide=sources")
    coloured = page.locator(".st-key-gf-formula .katex [style*=color]").first
    before = coloured.evaluate("node => getComputedStyle(node).color")
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.wait_for_function("""before => {
        const node = document.querySelector('.st-key-gf-formula .katex [style*=color]');
        return node && getComputedStyle(node).color !== before;
    }""", arg=before, timeout=10_000)
    assert "hide=sources" in page.url and page.locator(".st-key-gf-sources").count() == 0


def test_own_text_follows_to_the_next_lesson(open_page):
    page = open_page(lesson("A2").path)
    page.locator(".st-key-text input").fill("my own few words")
    page.keyboard.press("Enter")
    settle(page)
    page.get_by_role("link", name=lesson("A3").title).click()
    page.locator("h1", has_text=lesson("A3").title).wait_for()
    settle(page)
    assert page.locator(".st-key-text input").input_value() == "my own few words"
    assert "text=my+own+few+words" in page.url or "text=my%20own%20few%20words" in page.url


def test_what_a_link_hides_stays_hidden_on_the_next_page(open_page):
    page = open_page(lesson("A2").path + "?hide=prose,predict")
    assert page.locator(".st-key-gf-prose, .st-key-gf-predict").count() == 0
    page.get_by_role("link", name=lesson("A3").title).click()
    page.locator("h1", has_text=lesson("A3").title).wait_for()
    settle(page)
    assert page.locator(".st-key-gf-prose, .st-key-gf-predict").count() == 0
    assert "hide=prose" in page.url


def test_a_symbol_and_its_axes_stand_on_one_line(open_page):
    page = open_page(lesson("G1").path, phone=True)
    apart = page.evaluate("""() => [...document.querySelectorAll('.st-key-gf-formula .stMarkdownColoredText')].map(chip => {
        const [symbol, axes] = ['.katex', 'code'].map(part => chip.querySelector(part).getBoundingClientRect());
        return Math.abs((symbol.top + symbol.bottom) / 2 - (axes.top + axes.bottom) / 2);
    })""")
    assert len(apart) >= 6 and max(apart) < 8
