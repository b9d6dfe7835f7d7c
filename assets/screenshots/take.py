"""Take the README's screenshots anew from the running app: python -m assets.screenshots.take

With SmolLM2 fetched (`python -m transformer fetch smollm2-135m`) the pages are live; else they show its recorded trace.
"""

import io
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.browser.rig import DESKTOP, FLAGS, ROOT, find_chromium, serve, settle
from transformer.pretrained.fetch import is_fetched

FOLDER = Path(__file__).parent
PAGES = {"walkthrough": "", "attention-maps": "attention-maps", "step-by-step": "attention-step-by-step", "experts": "experts",
         "linear-depth": "linear-depth"}  # file's stem: page  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        with serve(ROOT / "app.py", Path(temporary) / "log.txt", GLASSFORMER_AUTO_FETCH="0") as (url, _):
            if is_fetched("smollm2-135m"):  # all pages are live once one is
                waiting = browser.new_page()
                waiting.goto(url)
                waiting.get_by_text("· live").first.wait_for(timeout=60_000)
                waiting.close()
            for theme in ("light", "dark"):
                for stem, path in PAGES.items():
                    take(browser, url + path, theme, FOLDER / f"{stem}-{theme}.png")
        browser.close()


def take(browser: Browser, address: str, theme: Literal["light", "dark"], file: Path) -> None:
    context = browser.new_context(viewport=DESKTOP, color_scheme=theme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    settle(page)
    not_now = page.get_by_role("button", name="Not now")  # the tour's offer is for the first visit
    if not_now.count():
        not_now.first.click()
    settle(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)  # a third of the size, and nobody sees it
    context.close()


if __name__ == "__main__":
    main()
