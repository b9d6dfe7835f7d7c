"""Makes assets/scores: one small model that reads with any of six score functions; and how well each does on its own.

    python -m transformer.training.scores --out assets/scores

Two questions, three seeds each. Together: one model, of which every step trains another score function, so that all six
read the same queries and keys. Alone: a model for each function that never met another. Both see the same windows of
Shakespeare's plays and are judged by two plays that they never read. What came out is in config.json under "made".
"""

import argparse
import datetime
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.experiments import six_scores
from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import load
from transformer.scores import SCORES
from transformer.training.loop import Batch, Loss, evaluate, fit, next_token_loss
from transformer.training.plays import plays, source
from transformer.training.tiny import HELD_OUT

# Learned positions: RoPE would turn queries and keys, which means something to a dot product alone.
CONFIG = Config(
    vocab_size=1024, d_model=64, n_layers=2, n_heads=4, d_ff=128, max_len=64, position="learned", norm="rms",
    activation="silu", gated=True, tie_embeddings=True,
)  # fmt: skip
LENGTH, BATCH = CONFIG.max_len, 12  # tokens a window, windows a step
SEEDS = (0, 1, 2)
JUDGED = 400  # held-out windows, spread over both plays


def windows(ids: Tensor) -> Batch:
    """Draws [BATCH, LENGTH + 1] ids: passages of the text."""

    def draw(generator: torch.Generator) -> Tensor:
        at = torch.randint(len(ids) - LENGTH - 1, (BATCH, 1), generator=generator)
        return ids[at + torch.arange(LENGTH + 1)]

    return draw


def judged(ids: Tensor) -> Tensor:
    """[window, 1, LENGTH + 1]: the same windows for all."""
    every = ids.unfold(0, LENGTH + 1, LENGTH)
    return every[:: max(1, len(every) // JUDGED)][:JUDGED, None]


def together(ids: Tensor, steps: int, seed: int, lr: float) -> tuple[Model, nn.ModuleDict]:
    """One model for all six: the scores take turns, in an order that the seed shuffles."""
    model = build(CONFIG, seed)
    scores = model.scores = six_scores.bank(CONFIG)  # a part of the model while it trains, so that they are trained too
    order = torch.randperm(steps, generator=torch.Generator().manual_seed(seed)) % len(SCORES)
    turn = iter(order.tolist())

    def loss(model: Model, ids: Tensor) -> Tensor:
        six_scores.choose(model, scores, list(SCORES)[next(turn)])
        return next_token_loss(model, ids)

    _train(model, windows(ids), steps, loss, lr, seed)
    del model.scores
    return model, scores


def alone(score: str, ids: Tensor, steps: int, seed: int, lr: float) -> Model:
    model = build(replace(CONFIG, score=score), seed)
    _train(model, windows(ids), steps, next_token_loss, lr, seed)
    return model


def _train(model: Model, batch: Batch, steps: int, loss: Loss, lr: float, seed: int) -> None:
    started = time.monotonic()
    for progress in fit(model, batch, steps, loss=loss, lr=lr, seed=seed):
        if progress.step % 200 == 0 or progress.step == steps:
            took = time.monotonic() - started
            print(f"  step {progress.step}/{steps}  loss {progress.loss:.3f}  {took:.0f} s", flush=True)


def uniform_loss(model: Model, ids: Tensor) -> Tensor:
    """What is lost without attention's choice: every query reads all earlier tokens alike."""
    edit = {"*.scores": torch.zeros_like}
    logits = model.run(ids[:, :-1], edit=edit).output
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=six_scores.FOLDER)
    parser.add_argument("--steps", type=int, default=900, help="of each model trained alone; together twice as many")
    parser.add_argument("--lr", type=float, default=6e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    texts, (_, tokenizer) = plays(), load("tiny")
    known, unseen = (
        torch.tensor([i for title, text in texts.items() if (title in HELD_OUT) == held
                      for i in [*tokenizer.encode(text), tokenizer.end_id]]) for held in (False, True)
    )  # fmt: skip
    held_out, started = judged(unseen), time.monotonic()
    losses: dict[str, dict[str, list[float]]] = {"together": {s: [] for s in SCORES}, "alone": {s: [] for s in SCORES}}
    for seed in SEEDS:
        print(f"together, seed {seed}", flush=True)
        model, scores = together(known, 2 * options.steps, seed, options.lr)
        model, scores = model.half().float().eval(), scores.half().float().eval()
        for score in SCORES:
            with six_scores.chosen(model, scores, score):
                losses["together"][score].append(round(evaluate(model, held_out), 4))
        if seed == SEEDS[0]:
            shipped = model, scores
            blind = round(evaluate(model, held_out, uniform_loss), 4)
        for score in SCORES:
            print(f"{score} alone, seed {seed}", flush=True)
            own = alone(score, known, options.steps, seed, options.lr).half().float().eval()
            losses["alone"][score].append(round(evaluate(own, held_out), 4))
        print(losses, flush=True)
    model, scores = shipped
    six_scores.save(options.out, model.half(), scores.half(), tokenizer, {
        "command": f"python -m transformer.training.scores --steps {options.steps} --lr {options.lr}",
        "date": datetime.date.today().isoformat(),
        **source(),
        "held_out": list(HELD_OUT), "seeds": list(SEEDS), "shipped_seed": SEEDS[0],
        "steps_alone": options.steps, "steps_together": 2 * options.steps, "tokens_a_step": LENGTH * BATCH,
        "minutes": round((time.monotonic() - started) / 60, 1), "threads": 1,
        "held_out_loss": losses, "held_out_loss_uniform": blind, "unit": "nats a token",
    })  # fmt: skip


if __name__ == "__main__":
    main()
