"""Low rank and kernels in a real browser: method and size change the weights, a cell says its sum, a link."""

import re
from pathlib import Path

import pytest
import torch

from tests.browser.rig import link_says, picture, said, settle
from transformer import kernels, recording
from transformer.experiments import approximation
from transformer.kernels import random_rows

PRONOUN = recording.load(Path(__file__).parents[2] / "assets/recorded/smollm2-135m-pronoun.safetensors.xz")
Q, K, V = (PRONOUN[f"layers.0.attention.{x}"][0, i] for x, i in (("Q", 2), ("K", 0), ("V", 0)))
CAUSAL = torch.ones(12, 12, dtype=torch.bool).tril()
STAGE, CURVES = ".st-key-matrices", ".st-key-curves"


def test_a_cell_says_its_sum_and_the_link_restores_method_size_and_cell(open_page):
    page = open_page("approximations?cell=Performer,8,6&scores=true")
    omega = random_rows(4096, 64, torch.Generator().manual_seed(0))
    value = float(re.search(r"softmax over the row = ([\d.e-]+)", said(page, STAGE))[1])
    assert value == pytest.approx(approximation.performer(Q, K, omega[:64], CAUSAL)[8, 6].item(), rel=6e-3)
    before = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-scrubber input").focus()
    page.keyboard.press("ArrowRight")
    value = float(re.search(r"softmax over the row = ([\d.e-]+)", said(page, STAGE))[1])
    assert value == pytest.approx(approximation.performer(Q, K, omega[:256], CAUSAL)[8, 6].item(), rel=6e-3)
    larger = picture(page, STAGE)
    page.locator(f"{STAGE} .gf-pick input:checked").focus()
    page.keyboard.press("ArrowDown")
    other = picture(page, STAGE)
    assert len({before, larger, other}) == 3
    link_says(page, size="256", method="elu + 1", scores="true")
    again = open_page(page.url.split("/", 3)[3])
    assert picture(again, STAGE) == picture(page, STAGE) and said(again, STAGE) == said(page, STAGE)
    assert not page.seen.console and not page.seen.outside


def test_the_state_is_stepped_token_by_token(open_page):
    page = open_page("approximations?view=State&cell=read,0,7")
    phi_Q, phi_K = (kernels.log_elu_features(x).exp() for x in (Q, K))
    S, _ = approximation.recurrence(phi_K, V)
    assert float(re.search(r"= φ\(q\)·S = (-?[\d.e-]+)", said(page, STAGE))[1]) == pytest.approx((phi_Q[11] @ S[11])[7].item(),
        rel=1e-2)
    page.locator(f"{STAGE} .gf-scrubber input").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert "2 tokens read" in page.locator(f"{STAGE} .said").inner_text()
    assert float(re.search(r"= φ\(q\)·S = (-?[\d.e-]+)", said(page, STAGE))[1]) == pytest.approx((phi_Q[1] @ S[1])[7].item(),
        rel=1e-2)
    link_says(page, token="1 animal")


def test_lengths_and_features_move_the_means(open_page):
    page = open_page("approximations?view=Unbiased%3F")
    before, words = picture(page, CURVES), said(page, CURVES)
    page.locator(f"{CURVES} .gf-scrubber:has-text('Features') input").focus()
    page.keyboard.press("ArrowRight")
    assert picture(page, CURVES) != before and said(page, CURVES) != words
    link_says(page, m="64")
    page.get_by_text("Rank", exact=True).click()
    settle(page)
    page.locator(f"{CURVES} canvas").focus()
    page.keyboard.press("Home")
    best = approximation.error(approximation.best_ranks(A := approximation.exact(Q, K)), A)
    assert f"the best any rank can do is {best[0]:.1%}" in said(page, CURVES)
    link_says(page, k="1")
