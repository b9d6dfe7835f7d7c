"""Attention maps in a real browser: what is drawn and said is the trace, and everything answers at once."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import torch

from tests.browser.rig import settle
from transformer import analysis, recording

RECORDED = Path(__file__).parents[2] / "assets" / "recorded"
REPEAT = recording.load(RECORDED / "smollm2-135m-repeat.safetensors.xz")
MINILM = recording.load(RECORDED / "minilm-l6-repeat.safetensors.xz")
DEFAULT = recording.DEFAULTS["smollm2-135m-repeat"]
MAP, MOSAIC, SIDE = ".am-picture canvas", ".am-left > .gf-canvas-wrap > canvas", ".am-side"


@pytest.fixture
def open_tab(open_page):
    """A settled page; a console error or a request that would leave the machine fails the test."""
    tabs = []

    def opened(path: str):
        tabs.append(open_page(path))
        return tabs[-1]

    yield opened
    for page in tabs:
        assert page.seen.outside == [] and page.seen.console == []


def tensor(name: str, layer: int = DEFAULT.layer, of: recording.Recording = REPEAT) -> torch.Tensor:
    return of[f"layers.{layer}.attention.{name}"][0]


def view(page) -> dict:
    return json.loads(page.locator(".am").get_attribute("data-view"))


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def close(shown: str, true: float) -> bool:
    """Three significant digits are shown."""
    return number(shown) == pytest.approx(true, rel=6e-3, abs=6e-4)


def cell(page, q: int, k: int) -> tuple[float, float]:
    """Where a cell of the map stands on the screen."""
    box, place = page.locator(MAP).bounding_box(), json.loads(page.locator(MAP).get_attribute("data-place"))
    return box["x"] + place["x"] + (k + 0.5) * place["cell"], box["y"] + place["y"] + (q + 0.5) * place["cell"]


def tile(page, layer: int, head: int) -> tuple[float, float]:
    box, place = page.locator(MOSAIC).bounding_box(), json.loads(page.locator(MOSAIC).get_attribute("data-place"))
    size = place["tile"]
    return box["x"] + place["first"]["x"] + (head + 0.5) * size, box["y"] + place["first"]["y"] + (layer + 0.5) * size


def colour(page, q: int, k: int) -> list[int]:
    """The pixel a little inside a cell's corner, away from rings."""
    place = json.loads(page.locator(MAP).get_attribute("data-place"))
    x, y = place["x"] + (k + 0.3) * place["cell"], place["y"] + (q + 0.3) * place["cell"]
    read = "(c, [x, y]) => Array.from(c.getContext('2d').getImageData(x, y, 1, 1).data)"
    return page.locator(MAP).evaluate(read, [x, y])


def show(page) -> None:
    page.locator(MAP).scroll_into_view_if_needed()
    page.locator(".am-chips").evaluate("e => e.scrollIntoView()")
    page.wait_for_timeout(100)


def listed(page, kind: str) -> list[tuple[str, str]]:
    """The rows of a list beside the map, largest first: (token, number)."""
    rows = page.locator(f"{SIDE} [data-list={kind}] .am-row").all()
    return [(row.locator(".am-name").text_content(), row.locator(".am-value").text_content()) for row in rows]


def tops(page, weights: torch.Tensor, of: recording.Recording = REPEAT) -> bool:
    """Whether the list of what the pinned token reads starts with the largest of these."""
    token, value = listed(page, "reads")[0]
    return token == shown(int(weights.argmax()), of) and close(value, float(weights.max()))


def shown(i: int, of: recording.Recording = REPEAT) -> str:
    return re.sub("^ ", "·", of.pieces[i])


def test_it_opens_on_the_recorded_induction_head(open_tab):
    page = open_tab("attention-maps")
    assert view(page) == {
        "layer": DEFAULT.layer, "head": DEFAULT.head, "pin": {"q": DEFAULT.query, "k": DEFAULT.key}, "pattern": None,
        "form": "map", "measure": "weights", "scope": "head",
    }  # fmt: skip
    scores = analysis.pattern_scores(tensor("A"), REPEAT.ids, torch.ones(13, 13).tril() > 0)["induction"]
    assert page.locator(".am-label").text_content() == f"induction {scores[DEFAULT.head]:.2f}"
    assert page.locator(".am-sentence").text_content() == DEFAULT.tells
    assert query(page) == {}
    page.get_by_role("button", name="next head").click()
    assert f"{scores[DEFAULT.head + 1]:.0%}".replace("%", " %") in page.locator(".am-sentence").text_content()


def test_the_map_is_painted_with_the_weights(open_tab):
    page = open_tab("attention-maps")
    A = tensor("A")[DEFAULT.head]
    role = np.array([0xB9, 0x26, 0xB8])
    middle = 255 + (role - 255) * 0.55
    for q, k in ((0, 0), (5, 0), (10, 0), (10, 1), (10, 3), (12, 5), (12, 0), (7, 4)):
        t = float(A[q, k]) ** 0.5
        true = 255 + (middle - 255) * t / 0.5 if t < 0.5 else middle + (role - middle) * (t - 0.5) / 0.5
        assert np.abs(np.array(colour(page, q, k)[:3]) - true).max() <= 4, (q, k)
    panel = [0xF6, 0xF8, 0xFA]
    assert np.abs(np.array(colour(page, 1, 9)[:3]) - panel).max() <= 2, "the future is masked"


def test_the_arithmetic_under_the_pointer_is_the_traces(open_tab):
    page = open_tab("attention-maps")
    show(page)
    for q, k in ((11, 4), (10, 2), (8, 1)):
        page.mouse.move(*cell(page, q, k))
        said = page.locator(".am > .gf-tooltip").inner_text()
        S, A = float(tensor("scores")[DEFAULT.head, q, k]), float(tensor("A")[DEFAULT.head, q, k])
        assert f"{shown(q)} reads {shown(k)}" in said
        assert close(re.search(rf"S\[{q},{k}\] = .*/√64 = (\S+)", said)[1], S)
        assert number(re.search(rf"A\[{q},{k}\] = .* = (\S+)", said)[1]) == pytest.approx(A, rel=6e-3)
        terms = re.search(r"\((.*?) \+ \d+ more\)", said)[1]
        factors = [float(x) for x in re.findall(r"[\d.]+(?:e\S+)?", terms)]
        products = (tensor("Q")[DEFAULT.head, q] * tensor("K")[DEFAULT.head // 3, k]).abs().sort(descending=True).values
        for i in range(3):
            assert factors[2 * i] * factors[2 * i + 1] == pytest.approx(float(products[i]), rel=0.02)
    page.mouse.move(*cell(page, 3, 9))
    assert "comes later: masked" in page.locator(".am > .gf-tooltip").inner_text()


def test_the_pinned_token_reads_and_is_read(open_tab):
    page = open_tab("attention-maps")
    show(page)
    page.mouse.click(*cell(page, 10, 3))
    assert view(page)["pin"] == {"q": 10, "k": 3}
    A = tensor("A")[DEFAULT.head]
    reads, readers = listed(page, "reads"), listed(page, "readers")
    best = A[10].argsort(descending=True)[:6].tolist()
    assert [token for token, _ in reads] == [shown(i) for i in best]
    for i, (_, value) in zip(best, reads):
        assert value == "<0.001" if A[10, i] < 5e-4 else close(value, float(A[10, i]))
    assert [token for token, _ in readers] == [shown(10 + i) for i in A[10:, 10].argsort(descending=True).tolist()]
    settle(page)
    assert query(page) == {"pin": "10-3"}
    page.locator(f"{SIDE} [data-list=reads] .am-row").nth(1).click()
    assert view(page)["pin"] == {"q": 10, "k": best[1]}
    page.mouse.click(*cell(page, 10, best[1]))
    assert view(page)["pin"] is None, "a second click lets go"


def test_the_coordinates_of_the_score_add_up(open_tab):
    page = open_tab("attention-maps")
    terms = analysis.score_terms(tensor("Q")[DEFAULT.head, 11], tensor("K")[DEFAULT.head // 3, 4]).sort(descending=True)
    bars = page.locator(f"{SIDE} canvas")
    label = bars.get_attribute("aria-label")
    assert close(re.search(r"= (\S+), largest", label)[1], float(terms.values.sum()))
    assert [int(i) for i in re.findall(r"coordinate (\d+)", label)] == terms.indices[:3].tolist()
    plus = int((terms.values > 0).sum())
    assert f"{plus} of 64 coordinates speak for this pair" in page.locator(f"{SIDE} .am-note").text_content()
    bars.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator(f"{SIDE} .gf-tooltip").inner_text()
    assert f"coordinate {terms.indices[0]}" in said and close(said.split("= ")[1], float(terms.values[0]))


def test_clicking_a_small_head_makes_it_large_and_keeps_it_in_the_link(open_tab):
    page = open_tab("attention-maps")
    show(page)
    before = page.locator(MAP).screenshot()
    page.mouse.move(*tile(page, 5, 6))
    assert "layer 5 · head 6" in page.locator(".am-preview").inner_text()
    page.mouse.click(*tile(page, 5, 6))
    assert (view(page)["layer"], view(page)["head"]) == (5, 6)
    settle(page)
    assert query(page) == {"layer": "5", "head": "6"}
    assert page.locator(".am").get_attribute("data-exact") == "true", "its layer's tensors have come"
    assert page.locator(MAP).screenshot() != before
    A = tensor("A", 5)[6]
    assert tops(page, A[11])
    again = open_tab(page.url.split("/", 3)[3])
    assert view(again) == view(page) and listed(again, "reads") == listed(page, "reads")


def test_a_head_of_another_layer_is_large_before_the_server_answers(open_tab):
    page = open_tab("attention-maps")
    took = page.evaluate("""([path]) => {
        const inside = (node) => node.querySelector(path) ?? [...node.querySelectorAll('*')].map((e) => e.shadowRoot)
            .filter(Boolean).map(inside).find(Boolean);
        const canvas = inside(document), root = canvas.closest('.am');
        const start = performance.now(), before = root.dataset.view;
        canvas.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
        return { ms: performance.now() - start, changed: root.dataset.view !== before, exact: root.dataset.exact };
    }""", [MOSAIC])
    assert took["changed"] and took["exact"] == "false" and took["ms"] < 50
    A = tensor("A", DEFAULT.layer + 1)[DEFAULT.head]
    settle(page)
    assert page.locator(".am").get_attribute("data-exact") == "true"
    assert tops(page, A[11])


def test_the_filters_count_the_labels_and_jump_to_the_strongest(open_tab):
    page = open_tab("attention-maps")
    A = torch.stack([tensor("A", i) for i in range(30)])
    scores = analysis.pattern_scores(A, REPEAT.ids, torch.ones(13, 13).tril() > 0)
    labels = analysis.label_heads(scores)
    for i, name in enumerate(analysis.PATTERNS):
        count = int((labels == i).sum())
        assert page.locator(f".am-chips [data-pattern={name}] .am-count").text_content() == str(count)
    page.locator(".am-chips [data-pattern=duplicate]").click()
    best = int(scores["duplicate"].masked_fill(labels != analysis.PATTERNS.index("duplicate"), -1).argmax())
    assert (view(page)["layer"], view(page)["head"]) == divmod(best, 9)
    pin = view(page)["pin"]
    assert analysis.targets(REPEAT.ids)["duplicate"][pin["q"], pin["k"]]
    settle(page)
    assert query(page)["pattern"] == "duplicate"
    page.locator(MOSAIC).focus()
    page.keyboard.press("ArrowRight")
    after = view(page)
    assert labels[after["layer"], after["head"]] == analysis.PATTERNS.index("duplicate"), "arrows keep to the filter"


def test_weights_times_value_and_the_other_scopes_are_the_librarys(open_tab):
    page = open_tab("attention-maps")
    A, V = tensor("A"), tensor("V")
    page.get_by_role("button", name="weights × ‖value‖").click()
    W = analysis.value_weighted(A, V)[DEFAULT.head, 11]
    assert tops(page, W)
    page.get_by_role("button", name="layer average").click()
    mean = analysis.average(analysis.value_weighted(A, V))[11]
    assert tops(page, mean)
    page.get_by_role("button", name="weights", exact=True).click()
    mean = analysis.average(A)[11]
    assert tops(page, mean)
    page.get_by_role("button", name="rollout").click()
    R = analysis.rollout(torch.stack([tensor("A", i) for i in range(DEFAULT.layer + 1)]))[-1, 11]
    assert tops(page, R)
    assert page.get_by_role("button", name="weights × ‖value‖").is_disabled()
    settle(page)
    assert query(page) == {"scope": "rollout"}
    assert "tilde" in page.locator(".st-key-gf-formula annotation").first.text_content()


def test_the_keyboard_alone_goes_everywhere(open_tab):
    page = open_tab("attention-maps")
    page.locator(MOSAIC).focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert (view(page)["layer"], view(page)["head"]) == (DEFAULT.layer + 1, DEFAULT.head + 1)
    page.locator(MAP).focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert view(page)["pin"] == {"q": DEFAULT.query - 1, "k": DEFAULT.key - 1}
    before = page.locator(MAP).screenshot()
    page.keyboard.press("m")
    page.wait_for_timeout(100)
    assert view(page)["form"] == "lines" and page.locator(MAP).screenshot() != before
    page.keyboard.press("ArrowDown")
    assert view(page)["pin"]["q"] == DEFAULT.query
    page.keyboard.press("Escape")
    assert view(page)["pin"] is None
    settle(page)
    assert query(page) == {"layer": "18", "head": "5", "form": "lines", "pin": "none"}
    page.wait_for_timeout(300)
    assert "Layer 18, head 5" in page.locator(".am [role=status].gf-sr").text_content()


def test_lines_answer_to_either_side(open_tab):
    page = open_tab("attention-maps?form=lines&pin=none")
    show(page)
    box, place = page.locator(MAP).bounding_box(), json.loads(page.locator(MAP).get_attribute("data-place"))
    y = box["y"] + place["top"] + 11.5 * place["step"]
    page.mouse.click(box["x"] + place["x1"] - 20, y)
    A = tensor("A")[DEFAULT.head]
    assert view(page)["pin"] == {"q": 11, "k": int(A[11].argmax())}
    page.mouse.click(box["x"] + place["x2"] + 20, box["y"] + place["top"] + 5.5 * place["step"])
    assert view(page)["pin"] == {"q": int(A[:, 5].argmax()), "k": 5}
    page.locator(MAP).focus()
    page.keyboard.press("Escape")
    page.mouse.move(5, 5)
    page.wait_for_timeout(100)
    before = page.locator(MAP).screenshot()
    page.locator(".am-cut input").fill("0.5")
    page.wait_for_timeout(100)
    assert page.locator(".am-cut .am-value").text_content() == "0.5" and page.locator(MAP).screenshot() != before


def test_an_encoder_reads_ahead(open_tab):
    page = open_tab("attention-maps?model=minilm-l6")
    start = recording.DEFAULTS["minilm-l6-repeat"]
    assert view(page)["pin"] == {"q": start.query, "k": start.key}
    A = tensor("A", start.layer, MINILM)[start.head]
    assert int(A[start.query].argmax()) == start.key and tops(page, A[start.query], MINILM)
    show(page)
    page.mouse.move(*cell(page, 1, 12))
    assert "/√32" in page.locator(".am > .gf-tooltip").inner_text()


def test_another_text_is_another_picture(open_tab):
    page = open_tab("attention-maps?model=tiny")
    before = page.locator(MAP).screenshot()
    box = page.locator("[data-testid=stTextInput] input")
    box.fill("To be, or not to be")
    box.press("Enter")
    settle(page)
    assert page.locator(MAP).screenshot() != before
    box.fill("")
    box.press("Enter")
    settle(page)
    assert page.locator("[data-testid=stAlert]").count() == 1 and page.locator(MAP).is_visible()


def test_files_hold_what_is_shown(open_tab):
    page = open_tab("attention-maps")
    with page.expect_download() as started:
        page.locator(".am-save").get_by_role("button", name="CSV").click()
    rows = Path(started.value.path()).read_text("utf-8").splitlines()
    assert started.value.suggested_filename == f"attention-layer-{DEFAULT.layer}-head-{DEFAULT.head}.csv"
    assert rows[0] == "query,query_token,key,key_token,value" and len(rows) == 1 + 13 * 14 // 2
    (row,) = [row for row in rows if re.match(r'11,".*?",4,', row)]
    assert float(row.rsplit(",", 1)[1]) == pytest.approx(float(tensor("A")[DEFAULT.head, 11, 4]), rel=1e-6)
    with page.expect_download() as started:
        page.locator(".am-save").get_by_role("button", name="SVG").click()
    drawn = Path(started.value.path()).read_text("utf-8")
    assert drawn.startswith("<svg") and "query ↓" in drawn and "·Every" in drawn


def test_a_phone_shows_the_picture_first_and_takes_a_thumb(open_page):
    page = open_page("attention-maps", phone=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tops = [page.locator(part).bounding_box()["y"] for part in (MOSAIC, MAP, ".am-toggles", SIDE)]
    assert tops == sorted(tops)
    page.locator(MAP).scroll_into_view_if_needed()
    page.touchscreen.tap(*cell(page, 12, 5))
    assert view(page)["pin"] == {"q": 12, "k": 5}
    assert "A[12,5]" in page.locator(f"{SIDE} .am-sums").inner_text()
    page.get_by_role("button", name="next head").tap()
    assert view(page)["head"] == DEFAULT.head + 1
    for button in page.locator(".am-step button").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 40


def test_a_link_hides_parts(open_tab):
    page = open_tab("attention-maps?hide=filters,views,details")
    assert not any(page.locator(part).is_visible() for part in (".am-chips", ".am-toggles", SIDE))
    assert page.locator(MAP).is_visible() and page.locator(MOSAIC).is_visible()
