"""The app as a learner has it, `streamlit run app.py` on a free port, and a headless Chromium to open it in.

The browser tests and benchmarks/interaction.py both stand on this.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import filelock
from playwright.sync_api import Locator, Page, Playwright

ROOT = Path(__file__).parents[2]
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]  # nothing can leave the machine


@contextlib.contextmanager
def serve(script: Path, log: Path, **env: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run `streamlit run script` from the repository's root: (address, process). It ends with the block.

    RuntimeError when it ends by itself or does not answer within 30 s.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port),
               "--server.headless", "true"]
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stdout=out, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait_for(url + "_stcore/health", server)
            yield url, server
        finally:
            server.terminate()
            server.wait(timeout=20)


def settle(page: Page, timeout: float = 60_000) -> None:
    """Wait until the script has run and what it sent has been drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=timeout)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton], [data-testid=stAppSkeleton]')",
                           timeout=timeout)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_timeout(300)  # lazily loaded front-end chunks (charts, formulas) draw after the script has ended
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=timeout)


def link_says(page: Page, **expected: str | None) -> None:
    """Wait until the link holds these, None for what it leaves out; a busy server takes its time to write it."""
    page.wait_for_function(
        """expected => {
            const link = new URLSearchParams(location.search);
            return Object.entries(expected).every(([name, value]) => link.get(name) === value);
        }""", arg=expected)
    settle(page)


def picture(page: Page, stage: str) -> str:
    """The first canvas inside `stage`, a CSS selector, as it is drawn after what was just done."""
    return painted(page.locator(f"{stage} canvas").first)


def painted(canvas: Locator) -> str:
    """What a canvas shows, once what was just done is drawn: in the next animation frame, not at once."""
    return canvas.evaluate("""canvas => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(
        () => done(canvas.toDataURL()))))""")


def said(page: Page, stage: str) -> str:
    """The arithmetic written out under a picture, minus signs as Python reads them."""
    return page.locator(f"{stage} .sum").inner_text().replace("−", "-")


def hold(page: Page) -> None:
    """What the page tells the server stays here until `release`."""
    page.evaluate("""() => {
        const send = WebSocket.prototype.send, held = [];
        WebSocket.prototype.send = function (message) { held.push([this, message]); };
        window.release = () => {
            WebSocket.prototype.send = send;
            for (const [socket, message] of held) send.call(socket, message);
            return held.length;
        };
    }""")


def release(page: Page) -> int:
    """How many messages were held."""
    return page.evaluate("release()")


def find_chromium(playwright: Playwright) -> str:
    """The Chromium on PATH, else Playwright's own, else one that is installed now; RuntimeError where there is none."""
    own = playwright.chromium.executable_path
    if found := _chromium_here(own):
        return found
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        attempts.insert(0, ["sh", "-c", "apt-get update -q && apt-get install -q -y --no-install-recommends chromium"])
    with filelock.FileLock(Path(tempfile.gettempdir()) / "glassformer-chromium.lock"):  # one worker brings it for all
        for command in attempts:
            if not _chromium_here(own):
                subprocess.run(command, check=False, timeout=600)
    if found := _chromium_here(own):
        return found
    raise RuntimeError("No Chromium: put one on PATH, or run `python -m playwright install --with-deps chromium`.")


def _chromium_here(own: str) -> str | None:
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"):
        if found := shutil.which(name):
            return found
    return own if Path(own).exists() else None


def _wait_for(health: str, server: subprocess.Popen) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"`streamlit run` ended with {server.returncode} before it answered.")
        try:
            with urllib.request.urlopen(health, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("`streamlit run` did not answer within 30 s.")
