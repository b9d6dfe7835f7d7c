"""A box beside a picture moves it before the server has heard of it, to the very picture that the server then sends."""

import itertools
from typing import NamedTuple

import pytest
from playwright.sync_api import Page

from pages.shared.lessons import lesson
from tests.browser.rig import hold, painted, release, settle


class Press(NamedTuple):
    """One box of one page (the key of its widget), the keys that move it by one, and the picture that follows."""

    row: str
    box: str
    picture: str  # the component's key
    query: str = ""
    keys: str = "ArrowDown Enter"  # a selectbox's; a number's is "ArrowUp", a slider's "ArrowRight"
    inside: str = ""  # where the box is inside the picture: what is pressed


PRESSES = (
    Press("B1", "layer", "steps_real", "?view=A+real+head"),
    Press("B2", "seed", "saturation", keys="ArrowUp"),
    Press("B2", "layer", "saturation", "?view=A+trained+head"),
    Press("B2", "head", "saturation", "?view=A+trained+head&head=3"),
    Press("B3", "layer", "weights", keys="ArrowUp Enter"),
    Press("B4", "layer", "wiring", "?kv_heads=1"),
    Press("B5", "layer", "matrices"),
    Press("B5", "head", "matrices", "?head=3&mask=prefix"),
    Press("B6", "r", "matrices", keys="ArrowRight"),
    Press("B6", "w", "matrices", "?pattern=window", "ArrowLeft"),
    Press("B6", "both", "matrices", keys="Space"),
    Press("B6", "layer", "matrices", "?view=On+a+real+head"),
    Press("B6", "w", "matrices", "?view=On+a+real+head", "ArrowRight"),
    Press("B6", "n", "matrices", "?pattern=window&cell=window+reach,14,13", "ArrowLeft"),
    Press("B7", "layer", "matrices"),
    Press("B7", "head", "matrices", "?cell=Performer,8,1"),
    Press("B7", "seed", "matrices", keys="ArrowUp"),
    Press("B7", "length_slider", "matrices", keys="ArrowLeft"),
    Press("B7", "head", "curves", "?view=Rank"),
    Press("B7", "query", "curves", "?view=Unbiased%3F"),
    Press("B7", "key", "curves", "?view=Unbiased%3F"),
    Press("B7", "layer", "matrices", "?view=State"),
    Press("B8", "segment", "matrices", keys="ArrowRight"),
    Press("B8", "layers", "matrices", "?cell=with,3,20", "ArrowLeft"),
    Press("B8", "token", "matrices"),
    Press("B8", "layer", "matrices", "?view=Attention"),
    Press("B8", "head", "matrices", "?view=Attention&cell=with,20,14"),
    Press("B8", "segment", "curves", "?view=Same+or+not", "ArrowRight"),
    Press("B9", "weights", "document"),
    Press("B10", "hide_token", "alignment", "?way=Dates+→+ISO&date=5/3/98&cell=5,0"),
    Press("B11", "layer", "cache"),
    Press("B11", "head", "cache", "?head=3"),
    Press("B12", "layer", "tiles"),
    Press("B12", "head", "tiles", "?tile=9"),
    Press("B12", "size", "tiles", "?tile=9"),
    Press("C1", "layer", "matrices", "?layer=0"),
    Press("C1", "head", "matrices"),
    Press("C1", "swap", "matrices", "?order=two+swapped"),
    Press("C1", "with", "matrices", "?order=two+swapped&with=2+is"),
    Press("C1", "seed", "matrices", "?order=shuffled", "ArrowUp"),
    Press("C1", "decoder_layer", "matrices", "?view=A+causal+decoder&decoder_layer=0"),
    Press("C2", "word", "matrices", "?view=Through+a+real+head"),
    Press("C3", "layer_box", "curves", "?view=Score+by+distance", "ArrowRight"),
    Press("C3", "seed", "curves", "?view=Score+by+distance", "ArrowUp"),
    Press("C3", "layer_box", "curves", "?view=Beside+sinusoids", "ArrowRight"),
    Press("C3", "key_box", "curves", "?view=Beside+sinusoids", "ArrowLeft"),
    Press("C3", "layer_box", "layouts", "?view=Two+layouts", "ArrowRight"),
    Press("C4", "layer", "parts"),
    Press("C4", "layer", "parts", "?way=learned"),
    Press("C4", "layer", "distance", "?view=Against+distance"),
    Press("C4", "layer", "real", "?view=On+SmolLM2"),
    Press("D1", "layer", "cube"),
    Press("D1", "layer", "companions", "?view=Companions"),
    Press("D1", "size_layer", "size", "?view=ε%2C+size+and+shift"),
    Press("D1", "size_layer", "shift", "?view=ε%2C+size+and+shift"),
    Press("D1", "passages", "live", "?view=Trained+with+it"),
    Press("D3", "layer", "way"),
    Press("D3", "layer", "memories", "?view=What+neurons+write"),
    Press("D3", "layer", "mixing", "?view=No+mixing&layer=0"),
    Press("D5", "data", "boundary"),
    Press("D5", "layers", "boundary", "?layers=16", "ArrowLeft"),
    Press("D5", "activation", "boundary"),
    Press("D5", "width", "boundary", "", "ArrowLeft"),
    Press("D5", "width", "boundary", "?narrowest=2", "ArrowRight"),
    Press("D5", "narrowest", "boundary", "", "ArrowLeft"),
    Press("D5", "layer", "heads", "?view=In+a+real+model"),
    Press("D6", "live_k", "live", "?view=Training&live_k=1"),
    Press("D6", "alpha", "live", "?view=Training&alpha=0.01"),
    Press("D6", "base", "sizes", "?view=Total+and+active"),
    Press("D8", "d_ff", "weights", "?arch=My+own+numbers", "ArrowUp"),
    Press("D9", "d_ff", "weights", "?arch=My+own+numbers", "ArrowUp"),
    Press("F2", "position", "temperature_stage", keys="Enter", inside=".st-key-temperature_stage [aria-label$='token 3']"),
    Press("F3", "box_With and without L1", "curves", inside=".st-key-gf-controls input:checked", keys="ArrowRight"),
    Press("F3", "box_Why it is not 0", "curves", "?view=Why+it+is+not+0", inside=".st-key-gf-controls input:checked", keys="ArrowRight"),
    Press("F3", "box_Pruning", "curves", "?view=Pruning", inside=".st-key-gf-controls input:checked", keys="ArrowRight"),
    Press("F5", "kind_box", "curves", "?view=With+and+without+warm-up", inside=".st-key-kind_box input:checked", keys="ArrowLeft ArrowLeft"),
    Press("G1", "d_ff", "stack", "?arch=My+own+numbers", "ArrowUp"),
    Press("G2", "arch", "curves"),
    Press("G3", "arch", "curves"),
    Press("G5", "arch", "costs"),
    Press("G5", "machine", "costs"),
    Press("G5", "d_ff", "costs", "?arch=My+own+numbers", "ArrowUp"),
)  # fmt: skip

def shown(page: Page, picture: str) -> str:
    """What a component paints, or says where it has no canvas."""
    root = page.locator(f".st-key-{picture} .gf-root")
    canvas = root.locator("canvas").first
    return painted(canvas) if canvas.count() else root.inner_text()


PAGES = {place: list(presses) for place, presses in itertools.groupby(PRESSES, lambda press: (press.row, press.query))}


@pytest.mark.parametrize("row, query", PAGES, ids=lambda part: part.strip("?"))
def test_a_box_draws_its_neighbour_at_once_and_as_the_server_does(row, query, open_page):
    page = open_page(lesson(row).path + query)
    for press in PAGES[row, query]:
        before = shown(page, press.picture)
        hold(page)
        at_once = before
        for _ in range(2):  # a list that was just redrawn forgets which option it had marked, and Enter chooses what was chosen
            if at_once == before:
                page.locator(press.inside or f".st-key-{press.box} input").first.focus()
                for key in press.keys.split():
                    page.keyboard.press(key)
                page.wait_for_timeout(600)  # more than ahead.js waits
                at_once = shown(page, press.picture)
        assert at_once != before, f"{press.box}: the server was not asked, and nothing was drawn"
        assert release(page), f"{press.box}: the server was never asked"
        settle(page)
        assert shown(page, press.picture) == at_once, press.box
    assert not page.seen.console
