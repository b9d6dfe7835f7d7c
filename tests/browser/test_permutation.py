"""Why position at all in a real browser: another order moves the rows, the switch breaks it, the link restores both."""

import re
from pathlib import Path

import pytest

import transformer
from tests.browser.rig import link_says, picture, said
from transformer.experiments import permutation

STAGE, CURVES = ".st-key-matrices", ".st-key-curves"
FOLDER = Path(__file__).parents[2] / "assets" / "order"


def test_orders_and_the_switch_change_the_picture_and_the_link_restores_them(open_page):
    page = open_page("why-position?cell=A+reversed,1,2")
    model, tokenizer = transformer.load(FOLDER / "encoder")
    ids = tokenizer.encode("The king is a good man")[::-1]
    name = "layers.1.attention.A"
    for on, weights in ((False, permutation.without_positions(model)), (True, model)):
        if on:
            page.locator(f"{STAGE} [role=switch]").press(" ")
            page.locator(f"{STAGE} canvas").focus()
            page.keyboard.press("PageDown")  # the pinned cell belonged to the other picture
            link_says(page, positions="on", order=None)
            page = open_page("why-position?positions=on&cell=A+reversed+on,1,2")
        value = float(re.search(r"reads 3 a with ([\d.e-]+)", said(page, STAGE))[1])
        assert value == pytest.approx(weights.run(ids, record=name).trace[name][0, 0, 1, 2].item(), rel=6e-3)
    before = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-pick input:checked").press("ArrowUp")
    assert picture(page, STAGE) != before
    link_says(page, order="two swapped", positions="on")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, STAGE) == picture(page, STAGE)


def test_the_layer_chooses_what_the_vectors_know(open_page):
    page = open_page("why-position?view=Who+knows+the+place")
    known = said(page, CURVES)
    page.locator(f"{CURVES} .gf-scrubber input:visible").press("ArrowLeft")
    assert said(page, CURVES) != known and re.search(r"place 63: a causal decoder without positions says \d", said(page, CURVES))
    link_says(page, layer_of="embeddings")
    assert not page.seen.console and not page.seen.outside
