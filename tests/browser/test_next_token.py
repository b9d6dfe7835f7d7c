"""Next token in a real browser: bars follow the finger, buttons write, the numbers under the pointer are true."""

import csv
import io
import re
from urllib.parse import parse_qs, urlparse

import pytest

import transformer
from pages.inside.writing import SEED
from tests.browser.rig import picture, settle
from transformer import recording, sampling

SUM = "assets/recorded/smollm2-135m-sum.safetensors.xz"
TINY = "next-token?model=tiny&text=To+be"
STAGE = ".st-key-gf-stage"


@pytest.fixture(scope="module")
def logits():
    """What the page opens with: SmolLM2's recorded logits, and the pieces of the most probable."""
    recorded = recording.load(SUM)
    ranked = recorded["logits"][0, -1].sort(descending=True)
    return ranked.values, [recorded.vocabulary.get(i) for i in ranked.indices[:20].tolist()]


@pytest.fixture(scope="module")
def tiny():
    return transformer.load("tiny")


def frame(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def fact(page, term):
    return page.locator(f"{STAGE} .facts div").filter(has_text=term).locator("dd").inner_text()


def slider(page, name):
    return page.locator(f"{STAGE} input[data-name={name}]")


def query(page):
    return {key: values[0] for key, values in parse_qs(urlparse(page.url).query).items()}


def written(page):
    return page.locator(f"{STAGE} .tape .step:not(.here)").all_inner_texts()


def press(page, name):
    page.locator(STAGE).get_by_role("button", name=name, exact=True).click()
    settle(page)


def tooltip(page):
    return page.locator(f"{STAGE} .gf-tooltip.gf-on").inner_text().replace("−", "-").replace(",", "")


def drag(page, name, to):
    """Press on the slider and move to this share of it; the button stays down."""
    box = slider(page, name).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * to, y, steps=5)
    frame(page)


@pytest.mark.parametrize("name, to", [("temperature", 0.1), ("top_k", 0.25), ("top_p", 0.4), ("min_p", 0.7)])
def test_the_picture_moves_while_a_slider_is_dragged_and_the_link_when_it_is_let_go(open_page, logits, name, to):
    page = open_page("next-token")
    before, entropy = picture(page, STAGE), fact(page, "entropy")
    drag(page, name, to)
    assert picture(page, STAGE) != before and fact(page, "entropy") != entropy
    assert query(page) == {}, "nothing went to the server yet"
    page.mouse.up()
    settle(page)
    held = query(page)
    assert set(held) == {name}
    setting = {name: int(held[name]) if name == "top_k" else float(held[name])}
    q = sampling.probabilities(logits[0], **setting)
    assert fact(page, "most probable") == f"·five {js_number(q[0].item())}"
    bits = sampling.entropy(q).item() / 0.6931471805599453
    assert fact(page, "entropy").split(" bits")[0] == js_number(bits)
    kept = int((q > 0).sum())
    assert fact(page, "kept").replace(",", "") == ("all" if name == "temperature" else str(kept))


def js_number(x, digits=3):
    """gf.number."""
    if x and (abs(x) < 1e-4 or abs(x) >= 1e5):
        return re.sub(r"e([+-])0*", r"e\1", f"{x:.{digits - 2}e}")
    return f"{float(f'{x:.{digits}g}'):g}" if abs(x) < 100 else f"{x:.0f}"


def test_the_keyboard_moves_a_slider_and_the_link_restores_all_four(open_page):
    page = open_page("next-token")
    keys = {"temperature": "ArrowRight", "top_k": "ArrowLeft", "top_p": "PageDown", "min_p": "ArrowRight"}
    for name, key in keys.items():
        slider(page, name).focus()
        page.keyboard.press(key)
        settle(page)
    assert set(query(page)) == {"temperature", "top_k", "top_p", "min_p"}
    again = open_page(page.url.split("/", 3)[3])
    for name in query(page):
        assert slider(again, name).get_attribute("aria-valuetext") == slider(page, name).get_attribute("aria-valuetext")
    assert picture(again, STAGE) == picture(page, STAGE)
    press(again, "Temperature 1, no cuts")
    assert query(again) == {} and picture(again, STAGE) == picture(open_page("next-token"), STAGE)


def test_the_arithmetic_under_the_pointer_is_true(open_page, logits):
    page = open_page("next-token?temperature=0.5&top_k=3")
    values, pieces = logits
    p = sampling.tempered(values, 0.5)
    box = page.locator(f"{STAGE} canvas").bounding_box()
    for rank in (1, 4):
        page.mouse.move(box["x"] + 120, box["y"] + 26 + 31 * rank + 15)
        said = tooltip(page)
        assert f"·{pieces[rank].strip()}" in said and f"rank {rank + 1}" in said
        numbers = [float(n) for n in re.findall(r"= (-?[\d.e-]+)", said)]
        weight = ((values[rank] - values[0]).double() / 0.5).exp().item()
        total = 1 / p[0].item()
        assert numbers[0] == pytest.approx(weight, rel=6e-3)
        assert float(re.search(r"Σ of all 49152 = ([\d.]+)", said)[1]) == pytest.approx(total, rel=6e-3)
        assert float(re.search(r"p = ([\d.e-]+)", said)[1]) == pytest.approx(p[rank].item(), rel=6e-3)
    assert "top-k: rank 5 > 3" in said
    page.mouse.move(box["x"] + 120, box["y"] + 26 + 15)
    assert float(re.search(r"q = ([\d.]+)", tooltip(page))[1]) == pytest.approx((p[0] / p[:3].sum()).item(), rel=6e-3)


def svg_of(page):
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the picture as SVG").click()
    return got.value.path().read_text("utf-8").replace("−", "-")


def test_each_stage_of_the_computation_shows_its_own_numbers(open_page, logits):
    page = open_page("next-token?temperature=2&top_k=3")
    values = logits[0][:10].double()
    gap, p = values - values[0], sampling.tempered(logits[0], 2.0)[:10]
    q = sampling.probabilities(logits[0], 2.0, 3)[:10]
    seen = []
    shown = {"ℓ − max": gap, "÷ T": gap / 2, "exp": (gap / 2).exp(), "÷ Σ": p, "cut": q[:3], "draw": q[:3]}
    for stage, numbers in shown.items():
        page.get_by_role("button", name=f"Show the computation up to: {stage}", exact=True).click()
        drawn = svg_of(page)
        missing = [x for x in numbers.tolist() if f">{js_number(x)}<" not in drawn]
        assert missing == [], stage
        assert ("u = " in drawn) == (stage == "draw") and ("cumulative" in drawn) == (stage in ("÷ Σ", "cut", "draw"))
        seen.append(drawn)
    assert len(set(seen)) == 6


def test_play_runs_to_the_end_and_can_be_stopped(open_page):
    page = open_page("next-token")
    whole = svg_of(page)
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("Space")
    first = page.get_by_role("button", name="Show the computation up to: ℓ − max")
    assert first.get_attribute("aria-pressed") == "true"
    assert svg_of(page) != whole
    play = page.get_by_role("button", name="Play the computation stage by stage")
    page.wait_for_function("play => play.textContent.includes('Play')", arg=play.element_handle(), timeout=15_000)
    assert svg_of(page) == whole
    play.click()
    page.wait_for_timeout(1200)
    play.click()
    stopped = svg_of(page)
    page.wait_for_timeout(1500)
    assert svg_of(page) == stopped != whole


def test_the_arrow_keys_read_the_bars_aloud(open_page, logits):
    page = open_page("next-token")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    said = page.locator(f"{STAGE} .gf-sr[role=status]").inner_text()
    assert "four" in said and "rank 2" in said
    page.keyboard.press("Escape")
    assert page.locator(f"{STAGE} .gf-tooltip.gf-on").count() == 0
    assert "49152 kept" in page.locator(f"{STAGE} canvas").get_attribute("aria-label")


def test_buttons_write_undo_and_restart(open_page, tiny):
    model, tokenizer = tiny
    ids = tokenizer.encode("To be")
    expected = [step.token for step in transformer.generate(model, ids, max_new_tokens=3, seed=SEED, exact=True)]
    page = open_page(TINY)
    press(page, "Next token")
    press(page, "Next token")
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("n")
    settle(page)
    assert query(page)["written"] == ".".join(map(str, expected)) and len(written(page)) == 3
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("Backspace")
    settle(page)
    assert query(page)["written"] == ".".join(map(str, expected[:2]))
    press(page, "Take the last token back")
    assert len(written(page)) == 1
    press(page, "Take every written token back")
    assert "written" not in query(page) and written(page) == []


def test_run_20_writes_them_one_by_one_as_generate_does_and_can_be_stopped(open_page, tiny):
    model, tokenizer = tiny
    steps = transformer.generate(model, tokenizer.encode("To be"), max_new_tokens=20, seed=SEED, exact=True,
                                 stop=tokenizer.end_id)  # fmt: skip
    expected = ".".join(str(step.token) for step in steps)
    page = open_page(TINY)
    page.get_by_role("button", name="Write 20 tokens, one by one").click()
    page.get_by_role("button", name="Stop writing").wait_for()
    page.get_by_role("button", name="Write 20 tokens, one by one").wait_for(timeout=60_000)
    settle(page)
    assert query(page)["written"] == expected
    page.get_by_role("button", name="Write 20 tokens, one by one").click()
    page.get_by_role("button", name="Stop writing").click()
    settle(page)
    page.wait_for_timeout(800)
    assert len(written(page)) <= expected.count(".") + 3


def test_a_click_on_a_bar_writes_that_token_and_a_click_on_a_step_looks_back(open_page, tiny):
    model, tokenizer = tiny
    order = model.run(tokenizer.encode("To be")).output[0, -1].argsort(descending=True)
    page = open_page(TINY)
    box = page.locator(f"{STAGE} canvas").bounding_box()
    page.mouse.click(box["x"] + 80, box["y"] + 26 + 31 * 4 + 15)
    settle(page)
    assert query(page)["written"] == f"{int(order[4])}f"
    here = picture(page, STAGE)
    press(page, "Next token")
    page.locator(f"{STAGE} .step").first.click()
    settle(page)
    assert query(page)["step"] == "0" and picture(page, STAGE) != here
    page.locator(f"{STAGE} canvas").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settle(page)
    assert query(page)["written"] == f"{int(order[0])}f" and "step" not in query(page)


def test_going_to_another_lesson_and_back_finds_the_setting(open_page):
    page = open_page("next-token")
    drag(page, "temperature", 0.1)
    page.mouse.up()
    settle(page)
    held, before = query(page), picture(page, STAGE)
    page.get_by_role("link", name="Temperature and distillation").click()
    page.locator(".st-key-temperature_stage canvas").wait_for()
    settle(page)
    page.go_back()
    page.locator(".st-key-next_token canvas").wait_for()
    settle(page)
    if query(page) == held:  # the link came back with the page
        assert picture(page, STAGE) == before
    else:
        assert query(page) == {} and slider(page, "temperature").get_attribute("aria-valuetext") == "1"


def test_greedy_stands_beside_it_and_the_link_restores_the_text(open_page, tiny):
    model, tokenizer = tiny
    page = open_page(f"{TINY}&temperature=1.5")
    for _ in range(3):
        press(page, "Next token")
    press(page, "Compare with greedy decoding")
    steps = transformer.generate(model, tokenizer.encode("To be"), max_new_tokens=3, temperature=0, exact=True)
    rows = page.locator(f"{STAGE} .compare .line")
    assert rows.count() == 2
    assert rows.nth(1).locator(".gf-chip").count() == len(list(steps))
    again = open_page(page.url.split("/", 3)[3])
    assert written(again) == written(page) and again.locator(f"{STAGE} .compare .line").count() == 2
    assert picture(again, STAGE) == picture(page, STAGE)


def test_a_new_seed_rolls_another_die_and_write_again_uses_it(open_page):
    page = open_page(TINY)
    press(page, "Next token")
    press(page, "Next token")
    first = query(page)["written"]
    press(page, "New seed")
    assert query(page)["seed"] == str(SEED + 1) and query(page)["written"] == first
    press(page, "The same number of tokens anew, with these settings and this seed")
    assert query(page)["written"] != first


def test_recorded_logits_can_be_looked_at_but_not_written_on(open_page):
    page = open_page("next-token")
    assert page.locator(STAGE).get_by_role("button", name="Next token", exact=True).is_disabled()
    assert "recorded" in page.locator(f"{STAGE} .why").first.inner_text()
    box = page.locator(f"{STAGE} canvas").bounding_box()
    page.mouse.click(box["x"] + 80, box["y"] + 60)
    settle(page)
    assert query(page) == {}


def test_pieces_of_the_text_never_become_markup(open_page):
    page = open_page("next-token?model=tiny&text=%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D1%22%3E")
    assert page.locator(f"{STAGE} img").count() == 0 and page.title() != "1"
    assert "img" in "".join(page.locator(f"{STAGE} .tape .prompt").all_inner_texts())


def test_the_downloads_hold_the_picture_and_its_numbers(open_page, logits):
    page = open_page("next-token?top_k=2")
    with page.expect_download() as got:
        page.get_by_role("button", name="Download the picture as SVG").click()
    svg = got.value.path().read_text("utf-8")
    assert svg.startswith("<svg") and "·five" in svg and "top-k" in svg
    with page.expect_download() as got:
        page.get_by_role("button", name="Download all probabilities as CSV").click()
    rows = list(csv.DictReader(io.StringIO(got.value.path().read_text("utf-8"))))
    q = sampling.probabilities(logits[0], top_k=2)
    assert [float(row["q"]) for row in rows[:3]] == pytest.approx(q[:3].tolist(), rel=1e-6)
    assert rows[0]["token"] == " five" and [row["cut_by"] for row in rows[:3]] == ["", "", "top-k"]
    assert page.seen.console == [] and page.seen.outside == []


def test_on_a_phone_the_picture_comes_before_the_controls(open_page):
    page = open_page("next-token", phone=True)
    canvas, first = page.locator(f"{STAGE} canvas").bounding_box(), slider(page, "temperature").bounding_box()
    assert canvas["y"] + canvas["height"] <= first["y"] and canvas["width"] <= 390
