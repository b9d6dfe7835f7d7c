"""Take the README's screenshots anew from the running app: python -m assets.screenshots.take

With SmolLM2 fetched (`python -m transformer fetch smollm2-135m`) the pages are live; else they show its recorded trace.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.rig import DESKTOP, FLAGS, ROOT, find_chromium, serve, settle
from transformer.pretrained.fetch import is_fetched

FOLDER = Path(__file__).parent
PICTURES = {"walkthrough-light.png": ("light", ""), "walkthrough-dark.png": ("dark", "")}  # file: (theme, page)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        with serve(ROOT / "app.py", Path(temporary) / "log.txt", GLASSFORMER_AUTO_FETCH="0") as (url, _):
            for file, (theme, page_path) in PICTURES.items():
                context = browser.new_context(viewport=DESKTOP, color_scheme=theme, reduced_motion="reduce")
                page = context.new_page()
                page.goto(url + page_path)
                settle(page)
                if is_fetched("smollm2-135m"):
                    page.get_by_text("· live").first.wait_for(timeout=60_000)
                not_now = page.get_by_role("button", name="Not now")  # the tour's offer is for the first visit
                if not_now.count():
                    not_now.first.click()
                settle(page)
                page.mouse.move(0, 0)
                page.wait_for_timeout(500)
                page.screenshot(path=FOLDER / file)
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
