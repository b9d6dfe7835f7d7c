"""The small models with positions and without: what was recorded comes back from the weights, and what it says of order."""

import json

import numpy as np
import pytest
import torch

import transformer
from transformer.training import order
from transformer.training.loop import evaluate, next_token_loss
from transformer.training.patterns import held_out

RUNS = json.loads((order.FOLDER / "curves.json").read_text("utf-8"))["runs"]


def losses(row: str) -> np.ndarray:
    return np.array([run["held_out_loss"] for run in RUNS if run["row"] == row])


def test_every_row_was_trained_over_three_seeds_and_says_what_order_is_worth():
    assert {row: {run["seed"] for run in RUNS if run["row"] == row} for row in order.ROWS} == {
        row: set(order.SEEDS) for row in order.ROWS}  # fmt: skip
    assert losses("encoder-none").min() > losses("encoder").max() + 0.5
    assert losses("decoder-none").mean() > losses("decoder").mean()
    assert losses("decoder-unscaled").min() > losses("decoder").max()
    shares = {row: [run["curve"]["share"] for run in RUNS if run["row"] == row] for row in ("decoder", "decoder-unscaled")}
    assert max(max(one) for one in shares["decoder"]) < 0.5 < 0.9 < min(min(one) for one in shares["decoder-unscaled"])


def test_the_checkpoints_give_the_recorded_losses(plays):
    _, tokenizer = transformer.load("tiny")
    unseen = torch.tensor([i for title in order.HELD_OUT for i in tokenizer.encode(plays[title])])
    test = held_out(unseen, order.LENGTH, order.MEASURED)
    filled = [order.hiding(lambda _: test[:, 0], order.mask_id(tokenizer))(torch.Generator().manual_seed(0))]
    for row in order.ROWS:
        model, _ = transformer.load(order.FOLDER / row)
        encoder = model.config.kind == "encoder"
        L = evaluate(model, filled if encoder else test, order.filled_in if encoder else next_token_loss)
        (recorded,) = [run["held_out_loss"] for run in RUNS if run["row"] == row and run["seed"] == 0]
        assert L == pytest.approx(recorded, abs=2e-3), row


def test_hidden_tokens_are_the_ones_asked_for():
    ids = torch.arange(40).view(2, 20)
    read, target, hidden = order.hiding(lambda _: torch.cat((ids, ids[:, :1]), 1), 99)(torch.Generator().manual_seed(0))
    assert torch.equal(target, ids) and hidden.any() and (read[hidden] == 99).all() and torch.equal(read[~hidden], ids[~hidden])


def test_a_row_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="there is no row 'both'"):
        order.config_of("both")


def test_training_makes_a_loss_smaller(plays):
    _, run = order.train("decoder", 0, 20, 4e-3)
    assert run["held_out_loss"] < run["curve"]["loss"][0]
