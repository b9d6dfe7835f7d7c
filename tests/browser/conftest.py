"""`open_page("attention-maps?layer=3", phone=True, dark=True)` gives a settled page whose console, requests and exceptions
are watched; what they saw is in `.seen`. After an action use `settle(page)` of tests/browser/rig.py.
"""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.rig import DESKTOP, FLAGS, PHONE, ROOT, find_chromium, serve, settle

LOCAL = {"127.0.0.1", "localhost"}
ONE_PROCESS = "--process-per-site"  # of a profile: see `contexts`


@pytest.fixture(scope="session")
def app_url(tmp_path_factory) -> Iterator[str]:
    """The app's address. Its cache of weights is empty, and it fetches nothing by itself."""
    folder = tmp_path_factory.mktemp("app")
    log = folder / "log.txt"
    env = {"GLASSFORMER_AUTO_FETCH": "0", "GLASSFORMER_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with serve(ROOT / "app.py", log, **env) as (url, _):
        yield url
    said = log.read_text("utf-8")
    assert "Traceback" not in said, f"the server's log holds a traceback:\n{said[-4000:]}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(playwright), args=[*FLAGS, ONE_PROCESS])
        yield chromium
        chromium.close()


@dataclass
class Seen:
    """What happened behind the picture."""

    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def contexts(browser: Browser, app_url: str) -> Iterator[Callable[[bool, bool], BrowserContext]]:
    """One browser profile for each size and theme, so that Streamlit's own files are read from the server once.

    A tab of the app's site stays open in it and so keeps its process: there Streamlit's 5 MB of script are compiled once,
    and not for every page that is opened, which would be a third of the time of all browser tests.
    """

    @functools.cache
    def context(phone: bool, dark: bool) -> BrowserContext:
        made = browser.new_context(viewport=PHONE if phone else DESKTOP, has_touch=phone, device_scale_factor=1,
                                   color_scheme="dark" if dark else "light", reduced_motion="reduce")
        made.grant_permissions(["clipboard-read", "clipboard-write"])
        made.new_page().goto(app_url + "_stcore/health")
        return made

    yield context


@pytest.fixture
def open_page(app_url: str, contexts: Callable[[bool, bool], BrowserContext]) -> Iterator[Callable[..., Page]]:
    pages = []

    def opened(path: str = "", *, phone: bool = False, dark: bool = False) -> Page:
        page = contexts(phone, dark).new_page()
        pages.append(page)
        page.seen = watch(page)
        # A first-time visitor: what earlier tests left in this profile's storage is gone, once for each tab.
        page.add_init_script("if (!sessionStorage.tab) { localStorage.clear(); sessionStorage.tab = 'known'; }")
        page.goto(app_url + path)
        settle(page)
        return page

    yield opened
    for page in pages:
        page.close()


def watch(page: Page) -> Seen:
    """Note every console error and exception, and every request that would leave the machine (rig.FLAGS stop it)."""
    seen = Seen()

    def hear(message) -> None:
        # Opened at /some-lesson, Streamlit's front end first looks for its server under that path, and then at the root.
        probe = re.fullmatch(r"/[a-z-]+/_stcore/(health|host-config)", urlparse(message.location["url"]).path)
        if message.type == "error" and not probe:
            seen.console.append(f"{message.text} ({message.location['url']})")

    def ask(request) -> None:
        if not request.url.startswith(("data:", "blob:")) and urlparse(request.url).hostname not in LOCAL:
            seen.outside.append(request.url)

    page.on("console", hear)
    page.on("pageerror", lambda error: seen.console.append(str(error)))
    page.on("request", ask)
    return seen
