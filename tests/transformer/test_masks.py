"""Each mask against its definition, pair by pair; BigBird's draws: fixed, distinct, spread, blind to the future."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer import Config, masks

N = 40
AT = torch.arange(N)[None]


def table(rule) -> torch.Tensor:
    """bool [query, key] from a rule of two positions, written out pair by pair."""
    return torch.tensor([[bool(rule(q, k)) for k in range(N)] for q in range(N)])


CASES = {
    "causal": (masks.causal(AT, AT), lambda q, k: k <= q),
    "window": (masks.window(AT, AT, 5), lambda q, k: abs(q - k) < 5),
    "dilated": (masks.dilated(AT, AT, 3), lambda q, k: (q - k) % 3 == 0),
    "dilated window": (masks.dilated(AT, AT, 3, 4), lambda q, k: (q - k) % 3 == 0 and abs(q - k) // 3 < 4),
    "strided": (masks.strided(AT, AT, 6), lambda q, k: abs(q - k) < 6 or (q - k) % 6 == 0),
    "longformer": (masks.longformer(AT, AT, 4, 2), lambda q, k: abs(q - k) < 4 or k < 2 or q < 2),
    "prefix": (masks.prefix(AT, AT, 7), lambda q, k: k < 7),
    "segments": (masks.same_segment(AT // 9, AT // 9), lambda q, k: q // 9 == k // 9),
}


@pytest.mark.parametrize("mask, rule", CASES.values(), ids=CASES.keys())
def test_a_mask_is_its_definition(mask, rule):
    assert torch.equal(mask[0], table(rule))


@pytest.mark.parametrize("attention", ["longformer", "bigbird"])
def test_a_decoders_pattern_hides_the_future_even_from_global_tokens(attention):
    config = Config(attention=attention, window=4, global_tokens=3)
    mask = masks.mask(config, AT, AT)[0, 0]
    assert not mask.triu(1).any()
    assert mask[:, :3].equal(table(lambda q, k: k <= q)[:, :3])


def test_bigbird_is_longformer_and_the_drawn_keys_and_nothing_else():
    for kind in ("decoder", "encoder"):
        big = Config(kind=kind, attention="bigbird", window=3, global_tokens=2, random_keys=3)
        long = Config(kind=kind, attention="longformer", window=3, global_tokens=2)
        more = masks.mask(big, AT, AT)[0, 0] & ~masks.mask(long, AT, AT)[0, 0]
        drawn = masks.drawn(big, AT)[0]
        expected = table(lambda q, k: False)
        for q, k in itertools.product(range(2, N), range(N)):
            expected[q, k] = k in drawn[q].tolist()
        assert torch.equal(more, expected)
        assert more.any()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.integers(0, 4), st.integers(1, 5), st.booleans())
def test_draws_are_distinct_outside_window_and_globals_and_as_many_as_there_can_be(width, first, r, past_only):
    drawn = masks.draws(torch.arange(N), width, first, r, past_only)
    for q, keys in enumerate(drawn.tolist()):
        there = [k for k in keys if k >= 0]
        assert len(set(there)) == len(there)
        assert all(k >= first and abs(q - k) >= width for k in there)
        behind = max(0, q - width + 1 - first)
        assert len(there) == min(r, behind if past_only else behind + q + 1)
        assert not past_only or all(k < q for k in there)


def test_draws_hang_on_the_position_alone():
    """So a cached step, a longer text and a shifted slice draw the same."""
    drawn = masks.draws(torch.arange(500), 4, 1, 3, past_only=True)
    assert torch.equal(drawn[137:139], masks.draws(torch.tensor([137, 138]), 4, 1, 3, past_only=True))


def test_draws_are_spread_evenly():
    """Each tenth of a far query's past is drawn from equally often, within six standard deviations."""
    q = torch.arange(100_000, 110_000)
    drawn = masks.draws(q, 64, 1, 2, past_only=True)
    tenth = (drawn * 10 // q[:, None]).clamp(max=9).flatten().bincount(minlength=10)
    expected = len(q) * 2 / 10
    assert (tenth - expected).abs().max() < 6 * (expected * 0.9) ** 0.5
    assert drawn.unique().numel() > 0.85 * drawn.numel()  # 20 000 draws out of 100 000: 18 100 are expected to differ


def test_without_a_rule_there_is_no_mask():
    assert masks.mask(Config(kind="encoder"), AT, AT) is None
