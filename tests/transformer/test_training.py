"""The training loop against a plain one, and the tiny checkpoint against what is said about it."""

import copy
import json
import math
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer.analysis import pattern_scores
from transformer.pretrained.errors import FetchError
from transformer.training import tiny
from transformer.training.loop import evaluate, fit, next_token_loss, optimiser_for, schedule
from transformer.training.plays import spoken

FOLDER = Path(__file__).parents[2] / "assets" / "tiny"
CONFIG = transformer.Config(vocab_size=11, d_model=16, n_layers=2, n_heads=2, d_ff=32, norm="layer", dropout=0.1)


def batch(generator: torch.Generator) -> torch.Tensor:
    """Counting upwards from anywhere, modulo 11."""
    return (torch.randint(11, (4, 1), generator=generator) + torch.arange(9)) % 11


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_to_count():
    model = transformer.build(CONFIG, seed=0)
    losses = [progress.loss for progress in fit(model, batch, 150, lr=1e-2, warmup=10)]
    assert losses[0] == pytest.approx(math.log(11), abs=0.2)
    ids = torch.arange(9)[None]
    assert evaluate(model, [ids]) < 0.3 < losses[0]
    assert model.eval()(ids[:, :-1]).argmax(-1)[0, 1:].tolist() == list(range(2, 9))


def test_the_seed_decides_everything_and_the_caller_keeps_its_randomness():
    def trained(seed, disturb):
        model = transformer.build(CONFIG, seed=0)
        for _ in fit(model, batch, 5, seed=seed):
            torch.rand(disturb)  # the caller draws numbers of its own between steps
        return weights(model)

    assert torch.equal(trained(3, 0), trained(3, 7))
    assert not torch.equal(trained(3, 0), trained(4, 0))
    model = transformer.build(CONFIG, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(fit(model, batch, 5))
    assert torch.equal(torch.rand(3), expected)


def test_it_equals_a_plain_loop_of_torch():
    config = transformer.Config(**{**CONFIG.to_dict(), "dropout": 0.0})
    ours = transformer.build(config, seed=0)
    theirs = copy.deepcopy(ours)
    steps, warmup, lr = 12, 4, 3e-3
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in theirs.parameters() if p.dim() == 2], "weight_decay": 0.1},
            {"params": [p for p in theirs.parameters() if p.dim() == 1], "weight_decay": 0.0},
        ],
        lr=lr,
        betas=(0.9, 0.95),
    )
    rise = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / warmup, 1.0, total_iters=warmup - 1)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - warmup, eta_min=lr / 10)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, fall], [warmup])
    generator = torch.Generator().manual_seed(2)
    for progress in fit(ours, batch, steps, lr=lr, warmup=warmup, clip=0.5, seed=2):
        ids = batch(generator)
        p = theirs(ids[:, :-1]).softmax(-1).gather(-1, ids[:, 1:, None])
        loss = -p.log().mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert progress.lr == pytest.approx(scheduler.get_last_lr()[0])
        assert progress.loss == pytest.approx(loss.item(), abs=1e-5)
        assert progress.grad_norm == pytest.approx(norm.item(), rel=1e-3)
        optimiser.step()
        optimiser.zero_grad()
        scheduler.step()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=1e-5)


def test_who_stops_listening_stops_it_and_the_mode_is_kept():
    model = transformer.build(CONFIG, seed=0).eval()
    other = transformer.build(CONFIG, seed=0)
    for progress in fit(model, batch, 50):
        assert not model.training
        if progress.step == 3:
            break
    steps = fit(other, batch, 50)
    for _ in range(3):
        next(steps)
    assert torch.equal(weights(model), weights(other)) and other.training
    assert all(p.grad is None for p in model.parameters())


def test_a_loss_that_is_no_number_is_said_and_leaves_the_last_good_weights():
    model = transformer.build(CONFIG, seed=0)
    before = weights(model)
    with pytest.raises(ValueError, match="the loss became nan at step 1"):
        next(fit(model, batch, 5, loss=lambda model, ids: next_token_loss(model, ids) * math.nan))
    assert torch.equal(weights(model), before)


def test_decay_shrinks_matrices_only():
    groups = optimiser_for(transformer.build(CONFIG), 0.1).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert {p.dim() for p in groups[0]["params"]} == {2} and {p.dim() for p in groups[1]["params"]} == {1}


def test_schedule():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1.0
    assert rates == [*sorted(rates[:10]), *sorted(rates[10:], reverse=True)]
    assert rates[55] == pytest.approx(0.55) and 0.1 < rates[-1] < 0.11


def test_the_loss_of_a_uniform_guess_and_of_an_independent_count():
    model = transformer.build(CONFIG, seed=0).eval()
    ids = batch(torch.Generator().manual_seed(0))
    log_p = F.log_softmax(model(ids)[:, :-1].double(), -1)
    by_hand = -sum(log_p[b, t, ids[b, t + 1]] for b in range(4) for t in range(8)) / 32
    assert next_token_loss(model, ids).item() == pytest.approx(by_hand.item(), abs=1e-6)
    with torch.no_grad():
        model.embedding.W_E.weight.zero_()
    assert next_token_loss(model, ids).item() == pytest.approx(math.log(11), abs=1e-6)


def test_evaluate_keeps_the_mode_and_refuses_nothing():
    model = transformer.build(CONFIG, seed=0)
    ids = batch(torch.Generator().manual_seed(0))
    assert evaluate(model, [ids, ids]) == evaluate(model.eval(), [ids])
    assert not model.training and evaluate(model.train(), [ids]) > 0 and model.training
    with pytest.raises(ValueError, match="no batch"):
        evaluate(model, [])


def test_a_play_without_its_markup():
    markdown = (
        "# Hamlet\n\n## ACT I\n\n_Enter HAMLET and\n\nothers_\n\n**KING HENRY VI**  \nNay, answer me:  \n_Aside_  "
        "\n__\\[Reads]_  \nand unfold\\--so.\n\n_Exit_\n\n*Exeunt\nall.*\n\n**HAMLET**  \nAy.  \n"
    )
    assert spoken(markdown) == "King Henry VI:\nNay, answer me:\n\nand unfold--so.\n\nHamlet:\nAy.\n"


def test_some_windows_say_a_passage_twice():
    ids = torch.arange(20_000)  # no token ever comes back by itself
    draw, generator = tiny.windows(ids), torch.Generator().manual_seed(0)
    rows = torch.cat([draw(generator) for _ in range(200)])
    assert rows.shape == (200 * tiny.BATCH, tiny.LENGTH + 1)
    repeating = [row for row in rows if len(row.unique()) < len(row)]
    assert len(repeating) / len(rows) == pytest.approx(tiny.TWICE, abs=0.04)
    for row in repeating[:20]:
        period = len(row.unique())
        assert torch.equal(row[period:], row[:-period])


def test_in_order_reads_every_token_once():
    windows = tiny.in_order(torch.arange(3 * tiny.LENGTH + 5))
    assert windows.shape == (3, 1, tiny.LENGTH + 1)
    assert torch.equal(windows[:, 0, 1:].flatten(), torch.arange(1, 3 * tiny.LENGTH + 1))


@pytest.fixture(scope="module")
def shipped():
    return transformer.load("tiny")


@pytest.fixture(scope="module")
def made():
    return json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))["made"]


def test_the_tiny_checkpoint_is_small_and_says_how_it_was_made(shipped, made):
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_000_000
    model, tokenizer = shipped
    assert model.config == tiny.CONFIG and tokenizer.vocab_size == model.config.vocab_size
    assert next(model.parameters()).dtype == torch.float32 and not model.training
    for field in ("command", "date", "data", "data_sha256", "steps", "minutes", "train_loss", "held_out_loss", "sample"):
        assert made[field], field


def test_the_tiny_checkpoint_has_the_loss_it_claims_on_plays_it_never_read(shipped, made, plays):
    model, tokenizer = shipped
    unseen = [i for title in tiny.HELD_OUT for i in [*tokenizer.encode(plays[title]), tokenizer.end_id]]
    assert evaluate(model, tiny.in_order(torch.tensor(unseen))) == pytest.approx(made["held_out_loss"], abs=2e-3)
    assert made["held_out_nats_a_character"] < 1.6


def test_the_tiny_checkpoint_has_a_previous_token_head(shipped):
    model, tokenizer = shipped
    for text in ("The animal didn't cross the street because it was too tired", "My cat Zibbo loves fish. Every day Zibbo"):
        ids = tokenizer.encode(text)
        A = torch.stack(list(model.run(ids, record="*.A").trace.values()))[:, 0]  # [layer, head, query, key]
        previous = pattern_scores(A, ids, torch.ones(len(ids), len(ids)).tril().bool())["previous"]
        assert previous[2, 3] > 0.6 and previous[2, 3] == previous.max()


def test_the_tiny_checkpoint_writes_a_play(shipped):
    model, tokenizer = shipped
    said = [step.token for step in transformer.generate(model, tokenizer.encode("Hamlet:\n"), max_new_tokens=80, temperature=0)]
    assert tokenizer.decode(said).count("\n\n") >= 2 and ":\n" in tokenizer.decode(said)


@pytest.fixture(scope="module")
def plays():
    try:
        return tiny.plays()
    except FetchError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
