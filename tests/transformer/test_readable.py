"""The readable checkpoint: small enough to read, trained as it says, as good as it says."""

import json

import pytest
import torch

import transformer
from transformer.pretrained import ASSETS
from transformer.training import readable
from transformer.training.loop import evaluate

FOLDER = ASSETS / "readable"


@pytest.fixture(scope="module")
def shipped():
    return transformer.load("readable")


@pytest.fixture(scope="module")
def made():
    return json.loads((FOLDER / "config.json").read_text("utf-8"))["made"]


def test_every_matrix_can_be_read(shipped):
    model, _ = shipped
    assert model.config == readable.CONFIG
    assert (model.config.d_model, model.config.d_head, model.config.n_heads) == (8, 4, 2)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 50_000


def test_it_has_the_loss_it_claims_on_plays_it_never_read(shipped, made, plays):
    model, tokenizer = shipped
    loss = evaluate(model, [readable.unseen_windows(plays, tokenizer)])
    assert loss == pytest.approx(made["held_out_loss"], abs=2e-4)
    assert loss < made["held_out_loss_of_frequencies_alone"] - 1


def test_its_head_reads_what_the_lesson_says(shipped):
    model, tokenizer = shipped
    A = model.run(tokenizer.encode("The king and the queen"), record="*.A").trace["layers.0.attention.A"][0, 1]
    assert A[4].argmax() == 1 and A[4, 1] > 0.5


def test_training_makes_the_loss_smaller(shipped):
    _, tokenizer = shipped
    ids = torch.tensor(tokenizer.encode("To be, or not to be, that is the question. " * 60))
    window = ids[: readable.CONFIG.max_len + 1][None]
    trained = readable.train(ids, steps=10, seed=0, lr=1e-2)
    assert evaluate(trained, [window]) < evaluate(transformer.build(readable.CONFIG, 0).eval(), [window])
