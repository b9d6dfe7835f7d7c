"""From a key press to a changed picture, in a real browser, beside the framework's own floor in the same run.

    python -m benchmarks.interaction [--presses 30] [--only A2 F2]

Each row of CASES (interaction_cases.py) focuses one control, presses its keys, and stops the clock at the first frame in
which the picture's pixels or shapes are other than before. Its floor is a page of one slider and one line of text, served
by the same Streamlit with the same settings and measured right before it, so that both meet the same machine. Then: the
first picture after the process starts, and the memory that the process holds with SmolLM2 loaded.

SmolLM2 is used where it has been fetched (`python -m transformer fetch smollm2-135m`); else the pages show their recorded
trace, which is what they show before the download too, and the memory is not reported.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks.interaction_cases import CASES, Case
from pages.shared.lessons import lesson
from tests.browser.rig import DESKTOP, FLAGS, ROOT, find_chromium, serve, settle
from transformer.pretrained.fetch import is_fetched

FLOOR = "import streamlit as st\nst.text(st.slider('Value', 0, 1000, 500))\n"
LIMIT_P50 = {"component": 1.5, "altair": 2.0, "plotly": 3.0}  # times the floor's p50
LIMIT_P95 = 3.0                                               # times the floor's p95
FIRST_PICTURE = 4.0                                           # seconds after the process starts
MEMORY = 1.2e9                                                # bytes with SmolLM2 loaded

# The picture's fingerprint: every canvas scaled down and read, every SVG and every line of text by its markup.
WATCH = """
({picture}) => {
    const inside = (node, found) => {
        if (node.tagName === 'CANVAS' || node.tagName === 'svg') found.push(node);
        for (const child of node.shadowRoot ? node.shadowRoot.children : []) inside(child, found);
        for (const child of node.children) inside(child, found);
        return found;
    };
    const small = document.createElement('canvas');
    small.width = 320; small.height = 200;
    const ctx = small.getContext('2d', {willReadFrequently: true});
    const mark = () => {
        let hash = 2166136261;
        const add = (n) => { hash = Math.imul(hash ^ n, 16777619); };
        for (const root of document.querySelectorAll(picture)) {
            const shapes = inside(root, []);
            if (!shapes.length) for (const c of root.textContent) add(c.codePointAt(0));
            for (const shape of shapes) {
                if (shape.tagName === 'svg') {
                    const text = shape.innerHTML;
                    for (let i = 0; i < text.length; i += 1) add(text.charCodeAt(i));
                } else if (shape.width && shape.height) {
                    ctx.clearRect(0, 0, 320, 200);
                    ctx.drawImage(shape, 0, 0, 320, 200);
                    for (const word of new Uint32Array(ctx.getImageData(0, 0, 320, 200).data.buffer)) add(word);
                }
            }
        }
        return hash;
    };
    let presses = 0;
    window.addEventListener('keydown', () => {
        const start = performance.now(), before = mark(), press = presses += 1;
        window.took = null;
        const look = () => {
            if (press !== presses) return;   // another key of the same press
            if (mark() !== before) window.took = performance.now() - start;
            else if (performance.now() - start < 5000) requestAnimationFrame(look);
            else window.took = -1;
        };
        requestAnimationFrame(look);
    }, {capture: true});
}
"""


def presses(page: Page, case: Case, count: int) -> list[float]:
    """Milliseconds from key to picture, `count` times; ValueError where a press changes nothing."""
    page.evaluate(WATCH, {"picture": case.picture})
    page.locator(case.focus).first.focus()
    took = []
    for i in range(-2, count):  # two to warm up
        page.evaluate("window.took = null")
        if case.other:
            page.locator(case.other if i % 2 else case.focus).first.focus()
        for key in case.keys[i % 2].split() or [" "]:
            page.keyboard.press(key)
        page.wait_for_function("window.took !== null", timeout=10_000)
        ms = page.evaluate("window.took")
        if ms < 0:
            raise ValueError(f"{case.row}: pressing {case.keys[i % 2]!r} on {case.focus} changed no picture within 5 s.")
        if i >= 0:
            took.append(ms)
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        page.wait_for_timeout(120)
    return took


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport=DESKTOP, device_scale_factor=1, color_scheme="light")
    page.goto(url)
    settle(page)
    return page


def quantiles(values: list[float]) -> tuple[float, float]:
    """p50 and p95."""
    return statistics.median(values), statistics.quantiles(values, n=20, method="inclusive")[18]


def measure_keys(browser: Browser, app: str, floor: str, cases: list[Case], count: int) -> None:
    print(f"{'page':<5} {'key press on':<26} {'drawn by':<10} {'p50 ms':>7} {'p95 ms':>7} {'floor p50':>10} {'floor p95':>10}"
          f" {'p50 ×':>6} {'limit':>6} {'p95 ×':>6} {'limit':>6}")
    for case in cases:
        floor_page = opened(browser, floor)
        ground = Case("–", "", "", "[data-testid=stSlider] input", picture="[data-testid=stText]")
        base50, base95 = quantiles(presses(floor_page, ground, count))
        floor_page.close()
        page = opened(browser, app + lesson(case.row).path + case.query)
        try:
            p50, p95 = quantiles(presses(page, case, count))
        except (ValueError, TimeoutError) as problem:  # the page has changed, and its case has not: the others go on
            print(f"{case.row:<5} {case.what:<26} NOT MEASURED: {str(problem).splitlines()[0]}", flush=True)
            continue
        finally:
            page.close()
        limit = LIMIT_P50[case.drawn]
        verdict = "ok" if p50 <= limit * base50 and p95 <= LIMIT_P95 * base95 else "OVER"
        print(f"{case.row:<5} {case.what:<26} {case.drawn:<10} {p50:7.0f} {p95:7.0f} {base50:10.0f} {base95:10.0f}"
              f" {p50 / base50:6.2f} {limit:6.1f} {p95 / base95:6.2f} {LIMIT_P95:6.1f}  {verdict}", flush=True)


def first_picture(browser: Browser, folder: Path, runs: int = 3) -> None:
    """Seconds from starting `streamlit run app.py` to the home page's picture, the disk warm."""
    seconds = []
    for run in range(runs + 1):  # the first warms the disk
        start = time.perf_counter()
        with serve(ROOT / "app.py", folder / "first.txt", GLASSFORMER_AUTO_FETCH="0") as (url, _):
            page = browser.new_page(viewport=DESKTOP)
            page.goto(url)
            page.locator(".st-key-gf-picture canvas, .st-key-gf-picture svg").first.wait_for(timeout=60_000)
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seconds.append(time.perf_counter() - start)
            page.close()
    best = statistics.median(seconds[1:])
    print(f"\nfirst picture after the process starts: {best:.1f} s, median of {runs} (limit {FIRST_PICTURE} s)  "
          f"{'ok' if best <= FIRST_PICTURE else 'OVER'}")


def memory(process: int) -> int:
    """Resident bytes of a process, from /proc."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presses", type=int, default=30)
    parser.add_argument("--only", nargs="*", default=[case.row for case in CASES], help="rows of CASES, such as A2")
    options = parser.parse_args()
    cases = [case for case in CASES if case.row in options.only]
    live = is_fetched("smollm2-135m")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        (folder / "floor.py").write_text(FLOOR, "utf-8")
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS)
        with (serve(folder / "floor.py", folder / "floor.txt") as (floor, _),
              serve(ROOT / "app.py", folder / "app.txt", GLASSFORMER_AUTO_FETCH="0") as (app, process)):
            first = opened(browser, app)
            if live:  # measure the pages as they are once the model is here
                first.get_by_text("· live").first.wait_for(timeout=60_000)
            first.close()
            at_home = memory(process.pid)
            print(f"pages read with {'SmolLM2, live' if live else 'the recorded trace of SmolLM2 or the tiny model'}\n")
            measure_keys(browser, app, floor, cases, options.presses)
            if live:
                print()
                for held, when in ((at_home, "on the home page"), (memory(process.pid), "after the pages above")):
                    print(f"resident memory with SmolLM2 loaded, {when}: {held / 1e9:.2f} GB (limit {MEMORY / 1e9:.1f} GB)  "
                          f"{'ok' if held < MEMORY else 'OVER'}")
        first_picture(browser, folder)
        browser.close()


if __name__ == "__main__":
    main()
