"""Longer than trained: the shipped decoders do what their table says, and each measure is what its name says."""

import json
import math

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer.experiments import beyond
from transformer.training import longer, play
from transformer.training.longer import BASE, LENGTH, LENGTHS, POSITIONS

TABLE = json.loads((longer.FOLDER / "table.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def models():
    return {row: transformer.load(longer.FOLDER / row) for row in POSITIONS}


@pytest.fixture(scope="module")
def unseen(models):
    """32 windows of the longest length. The play is one they learnt from: what counts here is the length."""
    tokenizer = models["none"][1]
    play_text = (play.FOLDER / f"{play.TITLE}.txt").read_text("utf-8")
    ids = torch.tensor(tokenizer.encode(play_text[:60_000]))
    return ids.unfold(0, LENGTHS[-1] + 1, LENGTHS[-1])[:32]


def test_one_shape_and_every_seed():
    shapes = {row: longer.config_of(row).to_dict() for row in POSITIONS}
    differing = {name for of in shapes.values() for name, value in of.items() if value != shapes["none"][name]}
    assert differing == {"position", "buckets", "max_distance"}
    assert set(TABLE["rows"]) == {*POSITIONS, "rope_linear", "rope_ntk", "rope_yarn"}
    for row, of in TABLE["rows"].items():
        assert [run["seed"] for run in of["runs"]] == [0, 1, 2]
        for run in of["runs"]:
            lengths = [str(LENGTH)] if row == "learned" else [str(n) for n in LENGTHS]
            assert list(run["loss"]) == list(run["loss_same_tokens"]) == lengths
            assert len(run["by_place"]) * longer.BIN == int(lengths[-1])


@pytest.mark.parametrize("row", [row for row in TABLE["rows"] if row != "learned"])
def test_the_checkpoints_break_or_hold_as_the_table_says(models, unseen, row):
    """On another text than the table's, the growth of the loss from 1x to 4x is the table's within a third."""
    of = TABLE["rows"][row]
    found = longer.asked(models[of["checkpoint"]][0], unseen, of["rope_scaling"],
                         (LENGTHS[0], LENGTHS[-1]))["loss_same_tokens"]
    growth = found["256"] - found["64"]
    told = of["runs"][0]["loss_same_tokens"]
    assert growth == pytest.approx(told["256"] - told["64"], rel=0.34, abs=0.06)


def test_a_learned_table_refuses_a_longer_text(models):
    with pytest.raises(ValueError, match="65 tokens; this model has positions for 64"):
        models["learned"][0].run([1] * 65)


def test_stretched_shares_weights_and_at_the_trained_length_linear_and_ntk_change_nothing(models):
    model, _ = models["rope"]
    ids = torch.arange(1, 65)[None]
    for scaling in ("linear", "ntk"):
        other = longer.stretched(model, scaling, 64)
        assert all(mine is theirs or mine.data_ptr() == theirs.data_ptr()
                   for mine, theirs in zip(model.parameters(), other.parameters(), strict=True))  # fmt: skip
        torch.testing.assert_close(other(ids), model(ids))
    twice = longer.stretched(model, "linear", 128)
    halved = transformer.rope.frequencies(12) / 2
    torch.testing.assert_close(transformer.rope.scaled_frequencies(twice.config)[0], halved)
    with pytest.raises(ValueError, match="only RoPE"):
        longer.stretched(models["alibi"][0], "linear", 128)


def test_the_same_words_are_asked_at_every_length(models, unseen):
    model, _ = models["alibi"]
    found = longer.asked(model, unseen[:4], lengths=(64, 128))
    by_hand = [model(window[-129:-1][None])[0, -32:] for window in unseen[:4]]
    expected = torch.stack([F.cross_entropy(logits, window[-32:]) for logits,
                            window in zip(by_hand, unseen[:4], strict=True)])
    assert found["loss_same_tokens"]["128"] == pytest.approx(expected.mean().item(), abs=1e-3)
    assert found["by_place"][0] == pytest.approx(longer.losses(model, unseen[:4, -129:])[:, :8].mean().item(), abs=1e-3)


def test_weight_beyond_is_what_lies_so_far_back(models, unseen):
    model, _ = models["none"]
    ids = unseen[:2, :100]
    A = torch.stack(list(model.run(ids, record="*.attention.A").trace.values()))  # [layer, batch, head, query, key]
    expected = [A[..., q, : q - 63].sum(-1).mean() for q in range(68, 100)]
    assert longer.weight_beyond(model, ids, 64, 32) == pytest.approx(torch.stack(expected).mean().item(), abs=1e-5)


@pytest.mark.parametrize("row", ["alibi", "learned", "rope"])
def test_every_token_read_with_all_and_with_its_end_alone(models, unseen, row):
    model, ids = models[row][0], unseen[0, :90].tolist()
    found = beyond.read(model, ids)
    for t in (0, 40, 63, 64, 80, 88):  # asked for token t + 1
        near = model(torch.tensor([ids[max(0, t - 63) : t + 1]]))[0, -1].log_softmax(-1)
        assert found.near[t].item() == pytest.approx(-near[ids[t + 1]].item(), abs=1e-4)
        if row == "learned" and t >= 64:
            assert math.isnan(found.whole[t])
        else:
            whole = model(torch.tensor([ids[: t + 1]]))[0, -1].log_softmax(-1)
            assert found.whole[t].item() == pytest.approx(-whole[ids[t + 1]].item(), abs=1e-3)
    torch.testing.assert_close(found.whole[:64], found.near[:64], rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="two tokens"):
        beyond.read(model, ids[:1])


def test_running_means():
    x = torch.tensor([1.0, 3.0, 5.0, math.nan])
    found = beyond.running(x, 2)
    assert found[:3].tolist() == [1.0, 2.0, 4.0] and math.isnan(found[3])


def test_seen_is_the_models_own_attention(models, unseen):
    model, ids = models["t5"][0], unseen[1, :100].tolist()
    found = beyond.seen(model, ids, last=8)
    A = model.run(ids, record="layers.1.attention.A").trace["layers.1.attention.A"][0, 2]
    torch.testing.assert_close(found.rows[4 + 2], A[-8:])
    r = 70
    torch.testing.assert_close(found.by_distance[6, r], torch.stack([A[q, q - r] for q in range(92, 100)]).mean())
    torch.testing.assert_close(found.beyond[6], torch.stack([A[q, : q - 63].sum() for q in range(92, 100)]).mean())
    far = beyond.seen(models["rope"][0], ids, "yarn", last=8)
    assert not torch.allclose(far.rows, beyond.seen(models["rope"][0], ids, last=8).rows, atol=1e-3)


def test_rows_that_are_not_there():
    with pytest.raises(ValueError, match="no row 'abs'"):
        longer.config_of("abs")
    assert BASE["max_len"] == LENGTH


def test_slowing_the_pairs_one_after_another_goes_from_linear_to_rope_as_trained(models, unseen):
    model, ids = models["rope"][0], unseen[0].tolist()
    theta, loss = beyond.slowed(model, ids)
    assert len(loss) == len(theta) + 1 == model.config.d_head // 2 + 1
    for one, scaling in ((loss[0], "linear"), (loss[-1], "none")):
        torch.testing.assert_close(one, beyond.whole(model, ids, scaling)[LENGTH:].mean())
    with pytest.raises(ValueError, match="within the 64"):
        beyond.slowed(model, ids[:65])
    with pytest.raises(ValueError, match="only RoPE"):
        beyond.slowed(models["alibi"][0], ids)


def test_it_is_a_pair_of_about_half_a_turn_that_breaks_not_the_slowest(models, unseen):
    """Every text tells the same: slowing what turned less than a fifth of a circle mends nothing."""
    for window in unseen[:4]:
        theta, loss = beyond.slowed(models["rope"][0], window.tolist())
        bad = int((loss[1:] - loss[:-1]).argmax())
        assert 0.2 < float(theta[bad]) * LENGTH / (2 * math.pi) < 1
        assert loss[bad + 1] - loss[bad] > 0.4
        assert torch.allclose(loss[bad + 1 :], loss[-1], atol=0.15)
