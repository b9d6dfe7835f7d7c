"""Every page in a real browser, large and small, light and dark: nothing breaks, nothing leaves, nothing is out of reach."""

from urllib.parse import parse_qs, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from pages.shared.lessons import LESSONS
from tests.browser.rig import DESKTOP, PHONE, ROOT, settle

# Streamlit 1.67's own: the sidebar's navigation with sections is a <ul> whose children are not all <li>. Nothing else.
STREAMLITS_OWN = {"list", "listitem"}
IN_NAVIGATION = "stSidebarNav"


@pytest.mark.parametrize("entry, phone", [(entry, bool(i % 2)) for i, entry in enumerate(LESSONS)],
                         ids=[entry.row for entry in LESSONS])
def test_it_is_whole(entry, phone, open_page):
    """Every second page is opened on a phone in the dark, the others on a desktop in the light; there the theme changes,
    then the window. Axe looks at the first and the last: both themes, both sizes."""
    page = open_page(entry.path, phone=phone, dark=phone)
    assert page.locator("h1").inner_text() == entry.title
    first, then = ("dark", "light") if phone else ("light", "dark")
    seen_whole(page, first, axe=True)
    seen_whole(page, then)
    page.set_viewport_size(DESKTOP if phone else PHONE)
    page.wait_for_timeout(300)  # pictures take the new size
    seen_whole(page, then, axe=True)
    assert page.seen.outside == []
    assert page.seen.console == []


def seen_whole(page: Page, scheme: str, axe: bool = False) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_function("""scheme => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme
                           === scheme""", arg=scheme)
    page.wait_for_timeout(300)  # the app hears of it, and runs again in the other palette
    settle(page)
    where = f"{scheme}, {page.viewport_size['width']} px"
    assert page.locator("[data-testid=stException], [data-testid=stBidiComponentError]").count() == 0, where
    assert not errors_shown(page), where
    assert sideways(page) <= 0, f"{where}: the page scrolls sideways"
    assert (found := axe_violations(page) if axe else []) == [], f"{where}: " + "\n".join(found)


@pytest.mark.parametrize("entry", [e for e in LESSONS if "slider(" in (ROOT / e.file).read_text("utf-8")],
                         ids=lambda entry: entry.row)  # what a component keeps in the link, its own tests drive
def test_a_shared_link_restores_the_state(entry, open_page):
    page = open_page(entry.path)
    sliders = page.locator("[data-testid=stSlider] input")
    if page.locator(".st-key-text input").count():
        page.locator(".st-key-text input").fill("one two three one two")
        page.keyboard.press("Enter")
        settle(page)
    sliders.first.focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    page.wait_for_timeout(300)
    link = page.url
    assert parse_qs(urlparse(link).query), "the moved slider is not in the URL"
    again = open_page(link.split("/", 3)[3])
    assert state(again) == state(page)
    assert parse_qs(urlparse(again.url).query) == parse_qs(urlparse(link).query)


@pytest.mark.parametrize("entry", [LESSONS[0], LESSONS[-1]], ids=lambda entry: entry.row)  # the rest: tests/pages
def test_a_link_that_says_nonsense_gets_one_sentence_and_the_page(entry, open_page):
    page = open_page(f"{entry.path}?no_such_thing=%3Cb%3E1%3C/b%3E")
    notices = page.locator(".st-key-gf-notices [data-testid=stAlert]")
    assert notices.count() == 1
    assert "no_such_thing" in notices.inner_text().replace("\u200b", "") or "nosuchthing" in notices.inner_text()
    assert page.locator("h1").inner_text() == entry.title


def state(page: Page) -> dict:
    return page.evaluate("""() => ({
        sliders: [...document.querySelectorAll('[data-testid=stSlider] input')].map(s => s.getAttribute('aria-valuetext')),
        text: document.querySelector('.st-key-text input')?.value ?? null,
    })""")


def sideways(page: Page) -> int:
    return page.evaluate("""() => {
        const main = document.querySelector('[data-testid=stMain]');
        return Math.max(main.scrollWidth - main.clientWidth, document.documentElement.scrollWidth - window.innerWidth);
    }""")


def errors_shown(page: Page) -> list[str]:
    return [box.inner_text() for box in page.locator("[data-testid=stAlertContentError]").all()]


def axe_violations(page: Page) -> list[str]:
    """What axe finds, one line a node, without the two nodes that are Streamlit's own."""
    found = []
    page.evaluate(Axe().axe_script)
    # What has passed, up to a node of every rule, stays in the browser: nobody reads it.
    for violation in page.evaluate("axe.run({resultTypes: ['violations']}).then(found => found.violations)"):
        for node in violation["nodes"]:
            target = " ".join(map(str, node["target"]))
            own = violation["id"] in STREAMLITS_OWN and page.evaluate(
                "([target, name]) => !!document.querySelector(target)?.closest(`[data-testid=${name}]`)",
                [node["target"][0], IN_NAVIGATION])
            if not own:
                found.append(f"{violation['id']} ({violation['impact']}): {target}: {node['html'][:200]}")
    return found
