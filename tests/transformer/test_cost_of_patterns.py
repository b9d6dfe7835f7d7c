"""Closed forms of pairs against masks counted pair by pair, and against what the sparse computation multiplies."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import transformer
from transformer import Config, cost, masks, sparse


@st.composite
def patterns(draw) -> Config:
    attention = draw(st.sampled_from(["full", "window", "dilated", "strided", "longformer", "bigbird"]))
    kind = draw(st.sampled_from(["decoder", "encoder"]))
    with_globals = attention in ("longformer", "bigbird")
    width = st.integers(1, 7)
    window = {"full": st.none(), "strided": st.none(), "dilated": st.none() | width}.get(attention, width)
    return Config(
        kind=kind, d_model=8, n_heads=2, n_layers=1, position="none", attention=attention,
        window=draw(window),
        dilation=draw(st.integers(1, 5)) if attention in ("dilated", "strided") else None,
        global_tokens=draw(st.integers(1, 6)) if with_globals else None,
        random_keys=draw(st.integers(1, 5)) if attention == "bigbird" else None,
        prefix=draw(st.sampled_from([0, 0, 1, 4])) if kind == "decoder" else 0,
    )  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(patterns(), st.integers(1, 40))
def test_pairs_are_those_of_the_mask(config, n):
    at = torch.arange(n)[None]
    mask = masks.mask(config, at, at)
    assert cost.pairs(config, n) == (n * n if mask is None else int(mask.sum()))


@settings(max_examples=150, deadline=None)
@given(patterns(), st.integers(1, 60))
def test_scored_pairs_are_what_the_fused_calls_multiply(config, n):
    seen = []
    fused = F.scaled_dot_product_attention

    def counting(Q, K, *args, **options):
        seen.append(Q.shape[0] * Q.shape[2] * K.shape[2])
        return fused(Q, K, *args, **options)

    model = transformer.build(config, seed=0).eval()
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(F, "scaled_dot_product_attention", counting)
        patch.setattr(sparse, "worthwhile", lambda config: 20)
        patch.setattr(sparse, "block", lambda config: 4)
        with FlopCounterMode(display=False) as plain:
            model(torch.zeros(1, n, dtype=torch.long))
        parts = cost.flops(config, n)
        # "strided" multiplies in the open, in two heads of 4, for scores and z; nothing else here does
        in_the_open = plain.get_total_flops() - sum(parts.values()) + parts["scores"] + parts["z"]
        assert sum(seen) + in_the_open // (2 * 2 * 2 * 4) == cost.scored(config, n) >= cost.pairs(config, n)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@pytest.mark.parametrize("options", [
    dict(attention="window", window=128), dict(attention="dilated", window=128, dilation=4),
    dict(attention="longformer"), dict(attention="bigbird"), dict(attention="lsh"),
], ids=lambda options: options["attention"])  # fmt: skip
def test_scored_pairs_grow_as_n(kind, options):
    config = Config(kind=kind, **options)
    assert cost.scored(config, 2**17) < 2.05 * cost.scored(config, 2**16)
    assert cost.scored(config, 2**16) < 0.02 * 2**32


def test_a_known_number():
    """Mistral's window: 4096 keys a token, the first ones fewer."""
    config = Config(attention="window", window=4096)
    assert cost.pairs(config, 8192) == 4096 * 8192 - 4096 * 4095 // 2
    both_ways = dataclasses.replace(config, kind="encoder", head=None)
    assert cost.pairs(both_ways, 8192) == 2 * cost.pairs(config, 8192) - 8192


@pytest.mark.parametrize("attention", ["lsh", "linear", "performer"])
def test_where_no_mask_is_no_pairs_can_be_counted(attention):
    with pytest.raises(ValueError, match="no mask whose pairs"):
        cost.pairs(Config(attention=attention), 10)
