"""Rotary position in a real browser: moved words turn the hands, the score is the library's, a link brings it back."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.browser.rig import hold, link_says, painted, release, settle
from tests.browser.test_every_page import axe_violations, errors_shown, sideways
from transformer import recording, rope

PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
Q = PRONOUN["layers.16.attention.Q_unrotated"][0, 0, 11]
K = PRONOUN["layers.16.attention.K_unrotated"][0, 0, 10]
THETA = rope.frequencies(64, 100_000.0)
CANVAS = ".st-key-pair canvas"
LIKENESS, UP_TO, BASE, HEAD = (
    f".st-key-curves .gf-scrubber:has-text('{name}') input" for name in ("Likeness", "Distances", "Base", "Head")
)


def of_pair(name: str) -> str:
    """The slider of this name beside the dials."""
    return f".st-key-pair .gf-scrubber:has-text('{name}') input"


def score(distance: int, q: torch.Tensor = Q, k: torch.Tensor = K, theta: torch.Tensor = THETA) -> float:
    return rope.scores_by_distance(q, k, theta, torch.tensor([float(distance)])).item() / 8


def parts(distance: int) -> torch.Tensor:
    return rope.pair_scores(Q, K, THETA, torch.tensor([float(distance)]))[0] / 8


def said(page) -> str:
    return page.locator(".st-key-pair .words").inner_text().replace("−", "-")


def said_score(page) -> float:
    return float(re.search(r"sum of 32 pairs = (-?[\d.]+)", said(page))[1])


def picture(page) -> str:
    return painted(page.locator(CANVAS))


def drawn(page) -> float:
    """What the picture says of the drawn vectors at its cursor."""
    return float(re.search(r"drawn (-?[\d.]+)", page.locator(".st-key-curves .sum").inner_text().replace("−", "-"))[1])


def drawn_score(rho: float, distance: int, base: float = 100_000.0) -> float:
    q, k = rope.random_pairs(200, 64, rho, 0)
    return rope.scores_by_distance(q, k, rope.frequencies(64, base), torch.tensor([float(distance)])).mean().item() / 8


def press(page, *keys: str, on: str = CANVAS) -> None:
    page.locator(on).first.focus()
    for key in keys:
        page.keyboard.press(key)


def test_it_opens_with_the_models_own_score(open_page):
    page = open_page("rope")
    assert said_score(page) == pytest.approx(score(1), abs=1e-3)
    assert said_score(page) == pytest.approx(PRONOUN["layers.16.attention.scores"][0, 0, 11, 10].item(), abs=6e-3)
    assert "m·θ = 11 × 1 = 11.00 rad" in said(page)
    assert f"adds {parts(1)[0]:.3f} to the score" in said(page)


def test_both_words_moved_turn_every_hand_and_leave_the_score(open_page):
    page = open_page("rope")
    before, looked = said(page), picture(page)
    press(page, *["Shift+ArrowRight"] * 5)
    link_says(page, m="16", n="15")
    assert "m·θ = 16 × 1 = 16.00 rad" in said(page) and "n·θ = 15 × 1 = 15.00 rad" in said(page)
    assert said_score(page) == pytest.approx(score(1), abs=1e-3)
    assert before.split("S =")[1] == said(page).split("S =")[1]
    assert picture(page) != looked


def test_one_word_moved_changes_the_score_as_the_library_says(open_page):
    page = open_page("rope")
    for distance in (2, 3, 4):
        press(page, "ArrowRight")
        assert said_score(page) == pytest.approx(score(distance), abs=1e-3)
    press(page, *["ArrowLeft"] * 9)  # a query stops at its key
    assert said_score(page) == pytest.approx(score(0), abs=1e-3)


def test_a_link_brings_back_words_and_pair(open_page):
    page = open_page("rope")
    press(page, "ArrowDown", "ArrowDown", "ArrowRight", "Shift+ArrowRight")
    link_says(page, m="13", n="11", pair="2")
    assert f"adds {parts(2)[2]:.3f} to the score" in said(page)
    again = open_page(page.url.split("/", 3)[3])
    assert said(again) == said(page)


def test_the_tags_and_the_grip_can_be_dragged(open_page):
    page = open_page("rope")
    box = page.locator(CANVAS).bounding_box()
    per = (box["width"] - 76) / 64  # the ruler: 64 positions between its margins
    x, y = box["x"] + 58 + 11 * per, box["y"] + box["height"] - 112 + 13
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20 * per, y, steps=5)
    assert said_score(page) == pytest.approx(score(21), abs=1e-3)  # live, before it is let go
    page.mouse.up()
    link_says(page, m="31")
    x, y = box["x"] + 58 + 20.5 * per, box["y"] + box["height"] - 12  # the grip stands between 31 and 10
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8 * per, y, steps=8)
    page.mouse.up()
    link_says(page, m="39", n="18")
    assert said_score(page) == pytest.approx(score(21), abs=1e-3)


def test_hovering_a_dial_shows_its_arithmetic_and_a_click_chooses_it(open_page):
    page = open_page("rope")
    box = page.locator(CANVAS).bounding_box()
    tip = page.locator(".st-key-pair .gf-tooltip.gf-on")
    found = None
    for y in range(40, 220, 12):
        for x in range(int(box["width"] * 0.5), int(box["width"]), 16):
            page.mouse.move(box["x"] + x, box["y"] + y)
            if tip.count() and "pair 9:" in tip.inner_text():
                found = box["x"] + x, box["y"] + y
                break
        if found:
            break
    assert found, "no dial answers the pointer"
    text = tip.inner_text().replace("−", "-")
    number = r"(-?[\d.]+)"
    sum_ = re.search(rf"\({number}·{number} \+ {number}·{number}\) / √64 = {number}", text)
    numbers = [float(value) for value in sum_.groups()]
    assert (numbers[0] * numbers[1] + numbers[2] * numbers[3]) / 8 == pytest.approx(numbers[4], abs=5e-3)
    assert numbers[4] == pytest.approx(parts(1)[9].item(), abs=1e-3)
    page.mouse.click(*found)
    link_says(page, pair="9")


def test_walking_on_keeps_the_score_and_can_be_stopped(open_page):
    page = open_page("rope")
    page.emulate_media(reduced_motion="no-preference")
    button = page.locator(".st-key-pair .bar button").first
    button.click()
    page.wait_for_timeout(700)
    assert said_score(page) == pytest.approx(score(1), abs=1e-3)
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    m, n = (int(re.search(pattern, said(page))[1]) for pattern in (r"m·θ = (\d+) ×", r"n·θ = (\d+) ×"))
    assert m - n == 1 and n > 10
    page.locator(".st-key-pair .bar button", has_text="Back to the text").click()
    assert "m·θ = 11 ×" in said(page)


def test_the_base_is_dragged_live_and_kept_in_the_link(open_page):
    page = open_page("rope")
    looked = picture(page)
    slider = page.locator(of_pair("Base"))
    slider.focus()
    for base in (10_000.0, 1_000.0):
        page.keyboard.press("ArrowLeft")
        assert said_score(page) == pytest.approx(score(1, theta=rope.frequencies(64, base)), abs=1e-3)
    assert picture(page) != looked and slider.get_attribute("aria-valuetext") == "1,000"
    link_says(page, base="1,000")
    again = open_page(page.url.split("/", 3)[3])
    assert said(again) == said(page)


def test_head_and_words_are_chosen_in_the_picture(open_page):
    page = open_page("rope")
    Q_ALL, K_ALL = (PRONOUN[f"layers.16.attention.{letter}_unrotated"][0] for letter in "QK")
    looked = picture(page)
    press(page, *["ArrowRight"] * 4, on=of_pair("Head"))
    assert said_score(page) == pytest.approx(score(1, Q_ALL[4, 11], K_ALL[1, 10]), abs=1e-3)  # three heads share a key head
    press(page, *["ArrowLeft"] * 3, on=of_pair("Query"))  # no key comes after it
    assert page.locator(of_pair("Key")).get_attribute("aria-valuetext") == "8 it"
    press(page, "ArrowLeft", "ArrowLeft", on=of_pair("Key"))
    assert said_score(page) == pytest.approx(score(2, Q_ALL[4, 8], K_ALL[1, 6]), abs=1e-3)
    assert "m·θ = 8 ×" in said(page) and "n·θ = 6 ×" in said(page)  # where the text has them
    press(page, "End", on=of_pair("Key"))  # never after its query
    assert page.locator(of_pair("Key")).get_attribute("aria-valuetext") == "8 it"
    press(page, "ArrowLeft", "ArrowLeft", on=of_pair("Key"))
    link_says(page, head="4", query="8 it", key="6 street", m=None, n=None)
    assert picture(page) != looked
    again = open_page(page.url.split("/", 3)[3])
    assert said(again) == said(page)


def test_the_ruler_grows_in_the_picture(open_page):
    page = open_page("rope")
    looked = picture(page)
    press(page, "ArrowRight", on=of_pair("Positions"))
    link_says(page, reach="512")
    assert picture(page) != looked and said_score(page) == pytest.approx(score(1), abs=1e-3)
    press(page, *["Shift+ArrowRight"] * 2)
    link_says(page, m="13", n="12", reach="512")


def test_the_curve_goes_through_the_librarys_scores(open_page, tmp_path):
    page = open_page("rope")
    with page.expect_download() as download:
        page.locator(".st-key-pair button[aria-label='Save this picture as SVG']").click()
    download.value.save_as(tmp_path / "rope.svg")
    lines = re.findall(r'<polyline points="([^"]+)"[^>]*stroke-width="3.5"', (tmp_path / "rope.svg").read_text("utf-8"))
    (points,) = [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines if line.count(" ") == 64]
    expected = rope.scores_by_distance(Q, K, THETA, torch.arange(65.0)).numpy() / 8
    heights = np.array([y for _, y in points])
    slope, start = np.polyfit(expected, heights, 1)  # pixels are a straight line of scores, up being less
    assert slope < 0 and np.abs(heights - slope * expected - start).max() < 0.02


def test_the_curves_read_out_what_the_library_computed(open_page):
    page = open_page("rope?view=Score+by+distance&up_to=64")
    assert page.locator(UP_TO).get_attribute("aria-valuetext") == "64"
    curves = page.locator(".st-key-curves canvas")
    press(page, *["ArrowRight"] * 4, on=".st-key-curves canvas")
    link_says(page, at="5")
    text = page.locator(".st-key-curves .sum").inner_text()
    numbers = [float(x) for x in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]
    assert "distance 5:" in text
    assert numbers[2] == pytest.approx(rope.aligned_decay(THETA, torch.tensor([5.0])).item(), abs=1e-3)
    assert numbers[3] == pytest.approx(rope.decay_envelope(THETA, torch.tensor([5.0])).item(), abs=1e-3)
    assert curves.get_attribute("aria-valuenow") == "5"
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(".st-key-curves .sum").inner_text() == text


def test_the_likeness_is_dragged_live_and_kept_in_the_link(open_page):
    page = open_page("rope?view=Score+by+distance&at=3")
    looked = painted(page.locator(".st-key-curves canvas"))
    for i, rho in enumerate((0.9, 0.8, 0.7), 1):
        press(page, "ArrowLeft", on=LIKENESS)
        assert drawn(page) == pytest.approx(drawn_score(rho, 3), abs=1e-3)  # in the picture, before any answer
    assert painted(page.locator(".st-key-curves canvas")) != looked
    link_says(page, rho="0.7", at="3")
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(LIKENESS).get_attribute("aria-valuetext") == "0.7"
    assert drawn(again) == drawn(page)
    press(page, "End", on=LIKENESS)
    link_says(page, rho=None)  # the default is left out
    page.go_back()  # the link is the state
    link_says(page, rho="0.7")
    assert page.locator(LIKENESS).get_attribute("aria-valuetext") == "0.7"
    assert drawn(page) == pytest.approx(drawn_score(0.7, 3), abs=1e-3)


def test_base_and_head_of_the_curves_are_dragged_live(open_page):
    page = open_page("rope?view=Score+by+distance&at=3")
    said = page.locator(".st-key-curves .sum")
    numbers = lambda: [float(x) for x in re.findall(r"-?\d+\.\d+", said.inner_text().replace("−", "-"))]
    press(page, "Home", on=BASE)
    assert drawn(page) == pytest.approx(drawn_score(1.0, 3, 100.0), abs=1e-3)
    theta = rope.frequencies(64, 100.0)
    assert numbers()[2] == pytest.approx(rope.aligned_decay(theta, torch.tensor([3.0])).item(), abs=1e-3)
    before = numbers()
    press(page, *["ArrowRight"] * 7, on=HEAD)
    later, earlier = torch.tril_indices(12, 12)
    Q_ALL, K_ALL = (PRONOUN[f"layers.16.attention.{letter}_unrotated"][0] for letter in "QK")
    q, k = Q_ALL[7, later[earlier > 0]], K_ALL[2, earlier[earlier > 0]]
    expected = rope.scores_by_distance(q, k, theta, torch.tensor([3.0])).mean().item() / 8
    assert numbers()[0] == pytest.approx(expected, abs=1e-3) and numbers()[1:] == before[1:]
    link_says(page, base="100", head="7", at="3")
    again = open_page(page.url.split("/", 3)[3])
    assert again.locator(".st-key-curves .sum").inner_text() == said.inner_text()


def test_the_words_own_vectors_are_switched_in_the_picture(open_page):
    page = open_page("rope?model=tiny&view=Beside+sinusoids")
    canvas, switch = page.locator(".st-key-curves canvas"), page.locator(".st-key-curves [role=switch]")
    looked = painted(canvas)
    switch.focus()
    page.keyboard.press(" ")
    assert painted(canvas) != looked
    link_says(page, words="True")
    assert open_page(page.url.split("/", 3)[3]).locator(".st-key-curves [role=switch]").is_checked()


def test_the_scaling_is_picked_live_and_kept_in_the_link(open_page):
    page = open_page("rope?view=Longer+texts&factor=8")
    said = page.locator(".st-key-curves .sum")
    for title, kept in (("linear", 12.5), ("as trained", 100.0)):
        page.locator(".st-key-curves .gf-pick label", has_text=title).click()
        assert f"it keeps {kept:.1f}% of its speed" in said.inner_text()
        assert page.locator(".st-key-curves tr.strong th").inner_text() == title
    link_says(page, scaling="as trained")
    assert open_page(page.url.split("/", 3)[3]).locator(".st-key-curves .sum").inner_text() == said.inner_text()


def test_what_moves_in_the_picture_is_not_sent_again(open_page):
    page = open_page("rope?view=Score+by+distance")
    received = []
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.on("Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"])))
    press(page, "ArrowLeft", on=LIKENESS)
    link_says(page, rho="0.9")
    press(page, "ArrowLeft", on=BASE)
    press(page, "ArrowRight", on=HEAD)
    press(page, "ArrowRight", on=".st-key-curves canvas")
    link_says(page, at="2", base="10,000", head="1")
    assert 0 < sum(received) < 200_000  # the frames are half a million bytes
    page.locator(".st-key-seed button").last.click()  # another seed has other frames; cursor and likeness stay
    page.get_by_text("of your seed").wait_for()
    link_says(page, seed="1", rho="0.9", at="2")
    assert sum(received) > 500_000
    assert page.locator(LIKENESS).get_attribute("aria-valuetext") == "0.9" and "distance 2:" in page.locator(
        ".st-key-curves .sum").inner_text()


def test_a_layer_that_was_sent_ahead_for_another_head_is_not_drawn(open_page):
    page = open_page("rope?view=Score+by+distance")
    press(page, "ArrowRight", on=HEAD)
    link_says(page, head="1")
    for drawn_at_once in (False, True):  # the first step brings this head's neighbours
        before = painted(page.locator(".st-key-curves canvas").first)
        hold(page)
        page.locator(".st-key-layer_box input").first.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(600)
        at_once = painted(page.locator(".st-key-curves canvas").first)
        assert (at_once != before) is drawn_at_once
        assert release(page)
        settle(page)
        assert painted(page.locator(".st-key-curves canvas").first) != before
    assert painted(page.locator(".st-key-curves canvas").first) == at_once


def test_the_picture_leaves_as_svg(open_page, tmp_path):
    page = open_page("rope")
    with page.expect_download() as download:
        page.locator(".st-key-pair button[aria-label='Save this picture as SVG']").click()
    file = tmp_path / "rope.svg"
    download.value.save_as(file)
    svg = file.read_text("utf-8")
    assert svg.startswith("<svg") and svg.count("<polyline") > 60 and f"S = {score(1):.3f}" in svg.replace("−", "-")


@pytest.mark.parametrize("view", ["Score by distance", "Beside sinusoids", "Longer texts"])
def test_every_view_is_whole_on_a_phone(open_page, view):
    page = open_page(f"rope?model=tiny&view={view.replace(' ', '+')}", phone=True, dark=True)
    assert page.locator(".st-key-curves canvas").count() == 1
    assert not errors_shown(page) and page.seen.console == [] and sideways(page) <= 0
    assert (found := axe_violations(page)) == [], "\n".join(found)
