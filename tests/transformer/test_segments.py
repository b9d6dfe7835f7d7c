"""Reading by segments: what the memory lets a token see, and that with enough of it nothing is lost."""

import json

import pytest
import torch

from tests.transformer.test_recurrence import IDS, model
from transformer import Cache, Config, build, load, segments
from transformer.pretrained import ASSETS
from transformer.training import segments as training

TOKENS = IDS[0].tolist()  # 24


@pytest.mark.parametrize("n_layers", [1, 2, 4])
@pytest.mark.parametrize("segment", [1, 5, 6, 24])
def test_a_memory_of_the_whole_past_reads_as_if_at_once(n_layers, segment):
    recurrent = model(None, "xl", n_layers)
    whole = recurrent.run(TOKENS, record=("*.A", "*.resid_post"))
    pieces = segments.read(recurrent, TOKENS, segment, 24, ("A", "resid_post"))
    torch.testing.assert_close(pieces.logits, whole.output[0], atol=1e-9, rtol=1e-9)
    for i in range(n_layers):
        torch.testing.assert_close(pieces.trace["A"][i], whole.trace[f"layers.{i}.attention.A"][0], atol=1e-9,
                                   rtol=1e-9)
        torch.testing.assert_close(pieces.trace["resid_post"][i], whole.trace[f"layers.{i}.resid_post"][0], atol=1e-9,
                                   rtol=1e-9)


@pytest.mark.parametrize(("segment", "memory"), [(6, 6), (6, 3), (6, 0), (4, 9), (6, 12)])
def test_a_shorter_memory_differs_exactly_from_where_it_runs_out(segment, memory):
    recurrent = model(None, "xl", 2)
    whole = segments.read(recurrent, TOKENS, 24, 24).logits
    apart = segments.differences(segments.read(recurrent, TOKENS, segment, memory).logits, whole)
    same = segments.mask(24, segment, memory).sum(-1) == torch.arange(1, 25)  # who still sees all of the past
    assert (apart[same] < 1e-9).all() and (apart[~same] > 1e-6).all() and (~same).any()


@pytest.mark.parametrize(("segment", "memory"), [(6, 6), (6, 3), (6, 0), (4, 9)])
def test_weights_stand_where_the_mask_lets_them(segment, memory):
    A = segments.read(model(None, "xl", 2), TOKENS, segment, memory, ("A",)).trace["A"]
    allowed = segments.mask(24, segment, memory)
    assert A.shape == (2, 4, 24, 24) and ((A > 0) == allowed).all()
    torch.testing.assert_close(A.sum(-1), torch.ones(2, 4, 24, dtype=A.dtype))


@pytest.mark.parametrize("memory", [3, 6])
def test_scores_are_content_and_distance(memory):
    recurrent = model(None, "xl", 2)
    trace = segments.read(recurrent, TOKENS, 6, memory, ("scores", "Q")).trace
    whole = recurrent.run(TOKENS, record=("*.Q", "*.K", "*.scores")).trace
    seen = segments.mask(24, 6, memory)
    for layer in range(2):
        attention = recurrent.stack.blocks[layer].attention
        by_distance = segments.by_distance(recurrent, layer, trace["Q"][layer])
        content = trace["scores"][layer] - by_distance
        assert torch.isfinite(content[:, seen]).all() and (content[:, ~seen] == -torch.inf).all()
        Q, K, S = (whole[f"layers.{layer}.attention.{x}"][0] for x in ("Q", "K", "scores"))
        expected = (Q + attention.relative.u[:, None]) @ K.mT / 4**0.5  # (q + u) · k
        torch.testing.assert_close(S - segments.by_distance(recurrent, layer, Q), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("segment", "memory"), [(6, 6), (6, 3), (4, 0), (3, 5)])
def test_reach_is_what_changing_a_token_changes(segment, memory):
    """Token by token: the outputs that move are those that the picture says."""
    recurrent = model(None, "xl", 2)
    before = segments.read(recurrent, TOKENS, segment, memory).logits
    reached = segments.reach(24, segment, memory, 2) >= 0
    for key in range(24):
        other = [*TOKENS[:key], (TOKENS[key] + 1) % 30, *TOKENS[key + 1 :]]
        moved = segments.differences(segments.read(recurrent, other, segment, memory).logits, before) > 1e-12
        assert torch.equal(moved, reached[:, key])


def test_reach_grows_by_the_memory_with_each_layer():
    for layers in range(1, 7):
        assert (segments.reach(200, 10, 10, layers)[199] >= 0).sum() == 10 + 10 * layers
        assert (segments.reach(200, 10, 0, layers)[199] >= 0).sum() == 10
    assert segments.reach(200, 10, 10, 6)[199, [199, 190, 189, 180, 179, 130, 129]].tolist() == [0, 1, 1, 1, 2, 6, -1]
    assert torch.equal(segments.reach(30, 10, 30, 1) >= 0, torch.ones(30, 30).tril().bool())


@pytest.mark.parametrize(("segment", "memory"), [(6, 6), (6, 3), (6, 0), (4, 9), (5, 1), (7, 21)])
def test_the_farthest_token_is_the_first_that_is_reached(segment, memory):
    for layers in (1, 2, 3):
        reached = segments.reach(40, segment, memory, layers) >= 0
        assert [segments.farthest(t, segment, memory, layers) for t in range(40)] == reached.int().argmax(-1).tolist()
    assert segments.farthest(199, 10, 10, 6) == 190 - 60 and segments.farthest(199, 10, 3, 6) == 190 - 50 - 3


def test_what_has_no_memory_is_refused():
    with pytest.raises(ValueError, match="has no memory of segments"):
        segments.read(build(Config()), TOKENS, 6, 6)
    with pytest.raises(ValueError, match="at least one token"):
        segments.read(model(6), [], 6, 6)


def test_surprise_is_the_loss_of_the_next_token():
    recurrent = model(None, "xl", 1)
    logits = segments.read(recurrent, TOKENS, 24, 24).logits
    expected = -logits.log_softmax(-1)[torch.arange(23), torch.tensor(TOKENS[1:])]
    torch.testing.assert_close(segments.surprise(logits, TOKENS), expected, check_dtype=False)


def test_the_shipped_weights_have_the_loss_that_is_written_beside_them(plays):
    """The first seed, on the two plays that it never read; and no better or worse seed was picked for it."""
    shipped, tokenizer = load("segments")
    made = json.loads((ASSETS / "segments" / "config.json").read_text("utf-8"))["made"]
    ids = torch.tensor([i for title in made["held_out"] for i in [*tokenizer.encode(plays[title]), tokenizer.end_id]])
    length = training.HELD_OUT_SEGMENTS * training.LENGTH
    windows = ids.unfold(0, length + 1, length)[::2]
    found = training.by_position(shipped, windows, True)
    torch.testing.assert_close(found, torch.tensor(made["loss_by_position"]["with"][0]), atol=2e-4, rtol=0)
    for memory, recorded in zip((4, 64), (made["loss_by_memory"][0][1], made["loss_by_memory"][0][5]), strict=True):
        found = training.by_position(segments.with_memory(shipped, memory), windows[::8], True).mean().item()
        assert found == pytest.approx(recorded, abs=0.15)  # an eighth of the windows


def test_no_gradient_reaches_the_memory():
    """A cache that is read on with its graph would carry it; training cuts it off."""
    small = build(training.CONFIG, seed=0)
    ids = torch.arange(training.LENGTH * 2 + 1)[None]
    training.losses(small, ids, True)[:, training.LENGTH :].sum().backward()
    assert small.stack.blocks[0].attention.W_K.weight.grad.abs().max() > 0  # by the segment's own keys
    cache = small.run(ids[:, :3], cache=Cache.empty(3), gradients=True).cache
    assert cache.layers[0].K.requires_grad and not training.without_gradient(cache).layers[0].K.requires_grad
