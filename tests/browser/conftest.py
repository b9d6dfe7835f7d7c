"""The app as a learner has it: `streamlit run app.py` on a free port, and one headless Chromium.

`open_page("attention-maps?layer=3", phone=True, dark=True)` gives a settled page whose console, requests and exceptions
are watched; what they saw is in `.seen`. Elsewhere in tests/browser use `settle(page)` after each action.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

ROOT = Path(__file__).parents[2]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
LOCAL = {"127.0.0.1", "localhost", ""}


@pytest.fixture(scope="session")
def app_url(tmp_path_factory) -> Iterator[str]:
    """The app's address. Its cache of weights is empty, and it fetches nothing by itself."""
    folder = tmp_path_factory.mktemp("app")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"GLASSFORMER_AUTO_FETCH": "0", "GLASSFORMER_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait_for(url + "_stcore/health", server)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=20)
    said = (folder / "log.txt").read_text("utf-8")
    assert "Traceback" not in said, f"the server's log holds a traceback:\n{said[-4000:]}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Seen:
    """What happened behind the picture."""

    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(app_url: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    contexts = []

    def opened(path: str = "", *, phone: bool = False, dark: bool = False) -> Page:
        context = browser.new_context(viewport=PHONE if phone else DESKTOP, has_touch=phone, device_scale_factor=1,
                                      color_scheme="dark" if dark else "light", reduced_motion="reduce")
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.seen = watch(page)
        page.goto(app_url + path)
        settle(page)
        return page

    yield opened
    for context in contexts:
        context.close()


def watch(page: Page) -> Seen:
    """Note every console error and exception, and stop every request that would leave the machine."""
    seen = Seen()

    def hear(message) -> None:
        # Opened at /some-lesson, Streamlit's front end first looks for its server under that path, and then at the root.
        probe = re.fullmatch(r"/[a-z-]+/_stcore/(health|host-config)", urlparse(message.location["url"]).path)
        if message.type == "error" and not probe:
            seen.console.append(f"{message.text} ({message.location['url']})")

    page.on("console", hear)
    page.on("pageerror", lambda error: seen.console.append(str(error)))

    def gate(route) -> None:
        if urlparse(route.request.url).hostname in LOCAL or route.request.url.startswith(("data:", "blob:")):
            route.continue_()
        else:
            seen.outside.append(route.request.url)
            route.abort()

    page.route("**/*", gate)
    return seen


def settle(page: Page, timeout: float = 60_000) -> None:
    """Wait until the script has run and what it sent has been drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=timeout)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton], [data-testid=stAppSkeleton]')",
                           timeout=timeout)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_timeout(300)  # lazily loaded front-end chunks (charts, formulas) draw after the script has ended
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=timeout)


def find_chromium(playwright: Playwright) -> str:
    """The Chromium on PATH, else Playwright's own, else one that is installed now; a failure where none can be had."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"):
        if found := shutil.which(name):
            return found
    own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        attempts.insert(0, ["sh", "-c", "apt-get update -q && apt-get install -q -y --no-install-recommends chromium"])
    for command in attempts:
        subprocess.run(command, check=False, timeout=600)
        if found := shutil.which("chromium"):
            return found
        if Path(own).exists():
            return own
    pytest.fail("No Chromium: install one on PATH, or run `python -m playwright install --with-deps chromium`.")


def _wait_for(health: str, server: subprocess.Popen) -> None:
    for _ in range(300):
        if server.poll() is not None:
            pytest.fail(f"`streamlit run app.py` ended with {server.returncode} before it answered")
        try:
            with urllib.request.urlopen(health, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("`streamlit run app.py` did not answer within 30 s")
