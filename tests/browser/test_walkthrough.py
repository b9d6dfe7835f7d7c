"""Walkthrough, in a real browser: the picture answers keys, pointer and fingers, and what it says is the trace."""

import html
import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from charts import walkthrough as charts
from tests.browser.rig import painted, settle
from transformer import names, overview, recording, sampling

CAPITAL = recording.load(Path(__file__).parents[2] / "assets" / "recorded" / "smollm2-135m-capital.safetensors.xz")
HOME = recording.DEFAULTS["smollm2-135m-capital"]
CANVAS = ".gw-stage canvas"
SEEN = "localStorage.setItem('glassformer-walkthrough-tour', '1')"


def ask(page, expression):
    """A question to the picture itself: `p` is the component."""
    return page.locator(".gw").evaluate(f"root => {{ const p = root.picture; return {expression}; }}")


def pixels(page):
    return painted(page.locator(CANVAS))


def written(page):
    """Every piece of text in the picture, as its SVG has it."""
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", ask(page, "p.svg()"))]


def query(page):
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def settled(page):
    page.wait_for_timeout(600)  # the link follows once the learner has stopped
    settle(page)


def press(page, *keys):
    page.locator(CANVAS).focus()
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_timeout(80)


def at(page, expression):
    """Where a place of the picture stands on the page: `L` is the layout, `o` the open layer; world coordinates."""
    page.locator(CANVAS).scroll_into_view_if_needed()
    x, y = ask(page, f"((L, o) => {expression})(p.L, p.L.opens[0])")
    box, chips, zoom = page.locator(CANVAS).bounding_box(), ask(page, "p.L.chips"), ask(page, "p.sizing.zoom")
    return box["x"] + (x - chips) * zoom, box["y"] + y * zoom


def cell(page, i, j):
    return at(page, f"(part => [part.x + ({j} + 0.5) * part.w / L.n, L.mid({i})])(o.part('attention.A'))")


def number(x, digits=3):
    return f"{x:.{digits}g}".replace("-", "−")


def test_a_key_moves_the_picture_at_once_and_the_link_afterwards(open_page):
    page = open_page()
    before = pixels(page)
    press(page, "ArrowRight")
    assert pixels(page) != before and ask(page, "p.view.layer") == 24, "no server was asked"
    press(page, "h", "ArrowUp")
    settled(page)
    assert query(page) == {"layer": "24", "head": "5", "token": "3"}
    assert "layer 24, head 5" in " ".join(page.locator(".st-key-gf-code").all_text_contents()), "the snippet follows"
    press(page, "ArrowLeft", "Shift+H", "ArrowDown")
    settled(page)
    assert query(page) == {}, "the default leaves no trace in the link"
    assert not page.seen.console


def test_a_shared_link_gives_the_same_picture(open_page):
    page = open_page()
    page.evaluate(SEEN)
    press(page, "ArrowLeft", "ArrowLeft", "h", "Enter", "ArrowUp")
    page.locator(".gw-odds input").press("ArrowRight")
    page.get_by_role("button", name="Show the scores").click()
    settled(page)
    assert set(query(page)) == {"layer", "head", "token", "grown", "temperature", "show"}
    again = open_page(urlparse(page.url).query.join(["?", ""]))
    view = "JSON.stringify({...p.view, key: null})"
    assert ask(again, view) == ask(page, view)
    assert sorted(written(again)) == sorted(written(page))


def test_hover_shows_the_arithmetic_of_the_cell(open_page):
    page = open_page()
    i, j = HOME.query, HOME.key
    page.mouse.move(*cell(page, i, j))
    page.wait_for_selector(".gf-tooltip.gf-on")
    said = page.locator(".gf-tooltip").inner_text()
    S = float(CAPITAL[f"layers.{HOME.layer}.attention.scores"][0, HOME.head, i, j])
    A = float(CAPITAL[f"layers.{HOME.layer}.attention.A"][0, HOME.head, i, j])
    assert "‘is’ reads ‘France’" in said and f"= {number(S)}" in said and f"= {number(A)}" in said
    assert f"{number(8 * S, 4)} / 8" in said and "√64" in said
    q = CAPITAL[f"layers.{HOME.layer}.attention.Q"][0, HOME.head, i]
    k = CAPITAL[f"layers.{HOME.layer}.attention.K"][0, HOME.head // 3, j]
    largest = int((q * k).abs().argmax())
    assert number(float(q[largest])) in said and number(float(k[largest])) in said
    lit = ask(page, "[p.state(p.L).queryRow, p.state(p.L).keyRow]")
    assert lit == [i, j], "the query's row and the key's column are lit"
    page.mouse.move(*cell(page, 1, 3))
    page.wait_for_timeout(100)
    said = page.locator(".gf-tooltip").inner_text()
    assert "−∞" in said and "A[1,3] = 0" in said


def test_hover_on_a_strip_says_which_dimensions_stand_behind_a_cell(open_page):
    page = open_page()
    edges = overview.spans(576, 24)
    page.mouse.move(*at(page, "(part => [part.x + 7.5 * part.w / 24, L.mid(2)])(o.part('ffn.out'))"))
    page.wait_for_selector(".gf-tooltip.gf-on")
    said = page.locator(".gf-tooltip").inner_text()
    mean = float(CAPITAL["layers.23.ffn.out"][0, 2, edges[7]:edges[8]].mean())
    found = re.search(r"mean of dimensions (\d+)–(\d+) = (\S+)", said)
    assert (int(found[1]), int(found[2])) == (edges[7], edges[8] - 1)
    assert float(found[3].replace("−", "-")) == pytest.approx(mean, rel=2e-3)
    assert "24 of 576" in said


def test_a_click_opens_a_layer_in_place_and_escape_goes_back(open_page):
    page = open_page("?layer=none")
    assert ask(page, "p.L.opens.length") == 0 and ask(page, "p.L.slabs.length") == 30
    x, y = at(page, "(slab => [slab.x + slab.w / 2, L.mid(3)])(L.slabs[11])")
    page.mouse.move(x, y)
    page.wait_for_selector(".gf-tooltip.gf-on")
    said = page.locator(".gf-tooltip").inner_text()
    assert f"FFN wrote ‖Δx‖ = {number(float(CAPITAL['layers.11.ffn.out'][0, 3].norm()))}" in said
    page.mouse.click(x, y)
    page.wait_for_timeout(100)
    assert ask(page, "p.view.layer") == 11 and ask(page, "p.L.slabs.length") == 29, "the others stay"
    thumb = at(page, "[o.thumbs[7].x + 5, o.thumbs[7].y + 5]")
    narrow = ask(page, "p.L.opens[0].part('attention.A').w")
    page.mouse.click(*thumb)
    page.wait_for_timeout(100)
    assert ask(page, "[p.view.head, p.view.big]") == [7, True]
    assert ask(page, "p.L.opens[0].part('attention.A').w") > 2 * narrow
    press(page, "Escape")
    assert ask(page, "[p.view.layer, p.view.big]") == [11, False]
    press(page, "Escape")
    assert ask(page, "p.view.layer") is None


def test_an_enlarged_head_prints_its_weights(open_page):
    page = open_page("?grown=1")
    A = CAPITAL[f"layers.{HOME.layer}.attention.A"][0, HOME.head]
    shown = [text for text in written(page) if re.fullmatch(r"\.\d\d", text)]
    true = [f"{v:.2f}".removeprefix("0") for row in A.tolist() for v in row if 0.005 <= v < 0.995]
    assert sorted(shown) == sorted(true)


def test_the_bars_move_while_the_temperature_does(open_page):
    page = open_page()
    logits = CAPITAL["logits"][0, -1]

    def bars():
        return [text for text in written(page) if text.endswith("%") and "others" not in text]

    for keys, T in (([], 1.0), (["ArrowLeft"] * 10, 0.5), (["End"], 2.0), (["Home"], 0.0)):
        for key in keys:
            page.locator(".gw-odds input").press(key)
        p = sampling.probabilities(logits, T).topk(len(bars())).values.tolist()
        shown = [float(text.strip("<% ")) / 100 for text in bars()]
        assert shown == pytest.approx(p, abs=0.006), T
        assert page.locator(".gw-odds output").inner_text() == f"{T:.2f}"
    assert bars()[0] == "100 %"


def test_a_recorded_run_says_why_it_cannot_go_on(open_page):
    page = open_page()
    page.locator(".gw-next").click(force=True)  # it is marked as disabled, and answers all the same
    assert "recorded run" in page.locator(".gw-now").inner_text()
    assert page.locator(".gw-next").get_attribute("aria-disabled") == "true"


def test_the_next_token_makes_the_picture_a_row_taller(open_page):
    page = open_page("?model=tiny&text=To+be,+or+not+to")
    n, ids = ask(page, "p.trace.n"), ask(page, "p.trace.tokens.map(t => t[0])")
    chosen = ask(page, "p.trace.candidates[p.view.token][0]")
    page.get_by_role("button", name="Next token").click()
    page.wait_for_timeout(300)
    settle(page)
    assert ask(page, "p.trace.tokens.map(t => t[0])") == [*ids, chosen[0]]
    assert ask(page, "[p.L.n, p.view.token]") == [n + 1, n]
    assert query(page)["text"] == "To be, or not to" + chosen[1]


def test_step_goes_through_the_computation_in_order(open_page):
    page = open_page()
    order, said = charts.steps(CAPITAL.config), []
    for step in order:
        page.get_by_role("button", name="One step").click()
        assert ask(page, "p.play.id") == step
        said.append(page.locator(".gw-now").inner_text())
    assert len(set(said)) == len(order), "each step says what it computes"
    assert said[order.index("attention.Q")] == "Q: " + names.GLOSSARY["layers.*.attention.Q"].meaning
    page.get_by_role("button", name="Show everything").click()
    page.wait_for_timeout(80)
    assert ask(page, "p.play.at") is None


def test_play_runs_once_and_can_be_paused(open_page):
    page = open_page()
    press(page, " ")
    page.wait_for_timeout(700)
    press(page, " ")
    reached = ask(page, "p.play.at.step")
    page.wait_for_timeout(400)
    assert ask(page, "p.play.at.step") == reached and not ask(page, "p.play.running")
    press(page, " ")
    for _ in range(40):
        page.wait_for_timeout(250)
        if ask(page, "p.play.at") is None:
            return
    pytest.fail("Play did not end within ten seconds")


def test_every_stage_opens_with_shape_formula_meaning_and_code(open_page):
    page = open_page()
    page.mouse.click(*at(page, "[o.part('attention.Q').x + 10, L.top - 20]"))
    detail = page.locator(".gw-detail")
    page.wait_for_timeout(80)
    assert "layers.23.attention.Q" in detail.inner_text() and "head 9, query 5, d_head 64" in detail.inner_text()
    assert "Q = self.split(self.W_Q(x))" in detail.inner_text() and detail.locator("math").count() >= 2
    page.evaluate(SEEN)
    while detail.get_by_role("button", name="The stage before").is_enabled():
        detail.get_by_role("button", name="The stage before").click()
    opened = []
    while True:
        opened.append(ask(page, "p.view.part"))
        text = detail.inner_text()
        assert "\\" not in text and "undefined" not in text and "NaN" not in text, opened[-1]
        assert detail.locator(".gw-code code").inner_text()
        if not detail.get_by_role("button", name="The stage after").is_enabled():
            break
        detail.get_by_role("button", name="The stage after").click()
    assert opened == [step for step in charts.steps(CAPITAL.config) if step not in ("before", "after")]
    settled(page)
    assert query(page)["part"] == "probabilities"


def test_the_tour_has_seven_steps_that_drive_the_picture_and_are_links(open_page):
    page = open_page()
    page.get_by_role("button", name="Take the tour", exact=True).click()
    seen, views = [], []
    for step in range(1, 8):
        seen.append(page.locator(".gw-words").inner_text())
        views.append(ask(page, "JSON.stringify([p.view.layer, p.view.token, p.view.map, p.state(p.L).boxes])"))
        assert page.locator(".gw-dots a").nth(step - 1).get_attribute("href").endswith(f"tour={step}")
        if step < 7:
            page.get_by_role("button", name="Next", exact=True).click()
            page.wait_for_timeout(60)
    assert len(set(seen)) == 7 and len(set(views)) == 7
    assert "‘France’ with weight 0.90" in seen[2] and "77 %" in seen[6]
    settled(page)
    assert query(page)["tour"] == "7"
    page.get_by_role("button", name="Done").click()
    settled(page)
    assert "tour" not in query(page) and not page.locator(".gw-tour").is_visible(), "once is enough"
    fourth = open_page("?tour=4")
    assert fourth.locator(".gw-words").inner_text().startswith("4. The mask")
    fourth.get_by_role("button", name="Skip the tour").click()
    assert not fourth.locator(".gw-tour").is_visible()


def test_what_the_keyboard_is_on_is_spoken(open_page):
    page = open_page()
    press(page, "ArrowRight", "ArrowLeft")
    said = page.locator(".gw > [aria-live]").inner_text()
    wrote = number(float(CAPITAL["layers.23.attention.out"][0, 4].norm()))
    assert f"attention wrote {wrote}" in said and "Head 4 reads ‘France’ 0.9" in said and "Paris" in said
    press(page, "Shift+ArrowLeft")
    assert "‘is’ reads ‘France’" in page.locator(".gw > [aria-live]").inner_text()
    label = page.locator(CANVAS).get_attribute("aria-label")
    assert "5 tokens" in label and "Escape" in label and page.locator(CANVAS).get_attribute("tabindex") == "0"


def test_a_long_text_fetches_a_layer_when_it_is_opened(open_page):
    page = open_page("?model=tiny&layer=0&text=" + "the+" * 220)
    assert ask(page, "[p.trace.has(1), p.trace.has(3)]") == [True, False]
    press(page, "ArrowRight", "ArrowRight", "ArrowRight")
    page.wait_for_timeout(300)
    settle(page)
    assert ask(page, "[p.view.layer, p.trace.has(3), p.trace.has(0)]") == [3, True, True], "and forgets none"


def test_a_phone_shows_the_whole_model_and_opens_it_by_thumb(open_page):
    page = open_page(phone=True)
    page.get_by_role("button", name="Not now").tap()
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= 390, "the page does not scroll sideways"
    assert ask(page, "p.view.layer") is None
    assert page.locator(".gw-scroll").evaluate("e => e.scrollWidth <= e.clientWidth + 1"), "the overview fits"
    page.get_by_role("button", name="Next layer").tap()
    page.wait_for_timeout(200)
    assert ask(page, "p.view.layer") == 23 and page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert page.locator(".gw-scroll").evaluate("e => e.scrollLeft") > 0, "the open layer is brought into view"
    for button in page.locator(".gw-tools button").all():
        assert button.bounding_box()["height"] >= 44
    page.touchscreen.tap(*cell(page, 4, 3))
    page.wait_for_timeout(200)
    page.touchscreen.tap(*cell(page, 4, 3))
    page.wait_for_timeout(200)
    assert "‘is’ reads ‘France’" in page.locator(".gf-tooltip").inner_text()


@pytest.mark.parametrize("dark", [False, True])
def test_both_themes_draw_in_their_own_colours(open_page, dark):
    page = open_page(dark=dark)
    assert ask(page, "p.painter.c.background") == ("rgb(14, 20, 32)" if dark else "rgb(255, 255, 255)")
    assert ("rgb(189, 125, 190)" if dark else "rgb(185, 38, 184)") in ask(page, "p.svg()")
    assert not page.seen.console and not page.seen.outside
