"""Words, sentences, document, in a real browser: a word is taken out by click, key and link; every sum is the model's."""

import re

import pytest

from tests.browser.rig import link_says, picture
from transformer import documents
from transformer.experiments import removal

STAGE = ".st-key-document"
TEXT = "The king is dead. Weep for him, my lords! Where is his crown?"
OPEN = "hierarchical-attention?text=" + TEXT.replace(" ", "+").replace("?", "%3F").replace(",", "%2C").replace("!", "%21")
NUMBER = r"([\d.]+(?:e-?\d+)?)"


@pytest.fixture(scope="module")
def found():
    classifier = documents.load()
    return removal.removals(classifier.model, classifier.read(TEXT)), classifier.classes


def shares(page) -> dict[str, float]:
    rows = page.locator(f"{STAGE} .share").all()
    return {row.locator(".name").inner_text().split("\n")[0]: float(row.locator(".value").inner_text().split()[0]) / 100 for row in rows}


def word(page, text: str):
    return page.locator(f"{STAGE} .word", has_text=re.compile(f"^{text}$"))


def test_a_word_that_is_taken_out_changes_the_shares_and_the_link(open_page, found):
    removals, classes = found
    page = open_page(OPEN)
    assert shares(page) == pytest.approx(dict(zip(classes, removals.p[0].tolist())), abs=6e-4)
    before = picture(page, STAGE)
    word(page, "king").click()
    variant = removals.parts.index((0, 1)) + 1
    assert shares(page) == pytest.approx(dict(zip(classes, removals.p[variant].tolist())), abs=6e-4)
    assert word(page, "king").get_attribute("aria-pressed") == "true" and picture(page, STAGE) != before
    link_says(page, without="1.2")
    again = open_page(page.url.split("/", 3)[3])
    assert shares(again) == shares(page) and word(again, "king").get_attribute("aria-pressed") == "true"
    again.get_by_role("button", name="Put everything back").click()
    assert shares(again) == pytest.approx(dict(zip(classes, removals.p[0].tolist())), abs=6e-4)
    link_says(again, without=None)
    assert page.seen.console == [] and page.seen.outside == []


def test_hover_says_how_a_weight_came_about(open_page, found):
    removals, _ = found
    page = open_page(OPEN)
    word(page, "king").hover()
    tip = page.locator(f"{STAGE} .gf-tooltip.gf-on").inner_text().replace("−", "-")
    alpha, beta = removals.words[0, 0, 1].item(), removals.sentences[0, 0].item()
    e, total, a = map(float, re.search(rf"α = e\^\S+ / Σ = {NUMBER} / {NUMBER} = {NUMBER}", tip).groups())
    assert a == pytest.approx(alpha, rel=6e-3) and e / total == pytest.approx(alpha, rel=1.5e-2)
    assert e == pytest.approx(removals.word_scores[0, 0, 1].exp().item(), rel=6e-3)
    product = re.search(rf"α·β = {NUMBER} × {NUMBER} = {NUMBER} of the document", tip)
    assert [float(x) for x in product.groups()] == pytest.approx([alpha, beta, alpha * beta], rel=6e-3)
    label = int(removals.p[0].argmax())
    without = removals.p[removals.parts.index((0, 1)) + 1, label].item()
    assert f"→ {100 * without:.1f} %" in tip


def test_the_keyboard_walks_and_takes_out(open_page, found):
    removals, classes = found
    page = open_page(OPEN)
    page.locator(f"{STAGE} .weight").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert shares(page) == pytest.approx(dict(zip(classes, removals.p[2].tolist())), abs=6e-4)
    assert "sentence 2" in page.locator(f"{STAGE} .sum").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('.st-key-document div').shadowRoot !== undefined")
    page.keyboard.press("Escape")
    assert shares(page) == pytest.approx(dict(zip(classes, removals.p[0].tolist())), abs=6e-4)
    page.locator(f"{STAGE} .gf-pick label", has_text="effect of removing it").click()
    link_says(page, tint="effect of removing it", without=None)


def test_segments_are_made_longer_by_key_on_a_phone(open_page):
    page = open_page("hierarchical-attention?view=What+it+costs", phone=True)
    canvas = page.locator(".st-key-curves canvas")
    assert canvas.get_attribute("aria-valuenow") == "64"
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert "s = 65:" in page.locator(".st-key-curves .sum").inner_text()
    link_says(page, s="65")


def test_the_picture_leaves_as_svg_and_png(open_page, tmp_path):
    page = open_page(OPEN)
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save this picture as {kind}").click()
        download.value.save_as(tmp_path / kind)
    svg = (tmp_path / "SVG").read_text("utf-8")
    assert all(f">{text}</text>" in svg for text in ("king", "crown", "comedy", "tragedy")) and svg.startswith("<svg")
    assert (tmp_path / "PNG").read_bytes().startswith(b"\x89PNG") and (tmp_path / "PNG").stat().st_size > 5_000
    assert page.seen.console == []
