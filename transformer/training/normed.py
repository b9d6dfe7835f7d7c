"""A small decoder with LayerNorm, RMSNorm or BatchNorm, on large and on tiny batches; makes assets/measured/norms.json.

    python -m transformer.training.normed

``live`` trains one on the play that ships with the repository. Its batch is ``count`` passages of ``LENGTH``
characters. BatchNorm takes its averages over all of them while training, later ones included, so that a causal model
can see its future there; afterwards it has running averages alone.
"""

import argparse
import datetime
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.training import play
from transformer.training.loop import evaluate, fit, next_token_loss
from transformer.training.patterns import held_out, windows

RECORDED = Path(__file__).parents[2] / "assets" / "measured" / "norms.json"
NORMS: tuple[str, ...] = ("layer", "rms", "batch")
WINDOWS = (1, 48)  # passages in a batch
SEEDS = (0, 1, 2)
BASE = dict(d_model=32, n_layers=2, n_heads=4, d_ff=64, max_len=64, position="rope", activation="silu", gated=True,
            tie_embeddings=True)  # fmt: skip
LENGTH, STEPS, EVERY, LR = 8, 120, 4, 6e-3
UNSEEN = 48  # held-out passages that a loss is the mean of

Norm = Literal["layer", "rms", "batch"]


class Report(NamedTuple):
    """Where a run stands, every few steps; losses in nats a character."""

    step: int
    loss: float  # in training, mean of the batches since the last report
    unseen: float  # held out, as the model is used: in eval mode
    batch_of_one: float  # held out, each passage a batch of its own, with the averages of that batch (training mode)


def live(norm: Norm, count: int, seed: int, steps: int = STEPS, every: int = EVERY) -> Iterator[Report]:
    """Train on batches of ``count`` passages, and report every ``every`` steps."""
    data = play.load()
    model = build(Config(**BASE, norm=norm, vocab_size=data.tokenizer.vocab_size), seed)
    unseen = held_out(data.unseen, LENGTH, UNSEEN)  # [passage, 1, character]
    since = []
    for step, loss, *_ in fit(model, windows(data.ids, LENGTH, count), steps, lr=LR, warmup=max(1, steps // 10),
        seed=seed):
        since.append(loss)
        if step % every == 0 or step == steps:
            yield Report(step, sum(since) / len(since), evaluate(model, unseen.transpose(0, 1)),
                as_in_training(model, unseen))
            since = []


@torch.no_grad()
def as_in_training(model: Model, unseen: Tensor) -> float:
    """The held-out loss with each passage's own averages, on a copy of the running ones, which stay as they are."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    loss = sum(next_token_loss(model, passage).item() for passage in unseen) / len(unseen)
    model.eval()
    for name, buffer in model.named_buffers():
        buffer.copy_(kept[name])
    return loss


def load() -> dict[tuple[str, int], list[list[Report]]]:
    """(norm, passages) -> the recorded reports of each seed."""
    runs = json.loads(RECORDED.read_text("utf-8"))["runs"]
    return {(key.split("/")[0], int(key.split("/")[1])): [[Report(*report) for report in seed] for seed in seeds]
            for key, seeds in runs.items()}  # fmt: skip


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    runs = {}
    for norm, count in itertools.product(NORMS, WINDOWS):
        started = time.process_time()
        runs[f"{norm}/{count}"] = [[[r.step, *(round(x, 3) for x in r[1:])] for r in live(norm, count, seed)]
            for seed in SEEDS]
        print(f"{norm} {count}: {(time.process_time() - started) / len(SEEDS):.1f} s a seed, ends "
              f"{[seed[-1] for seed in runs[f'{norm}/{count}']]}",
              flush=True)  # fmt: skip
    made = {"command": "python -m transformer.training.normed", "date": datetime.date.today().isoformat(),
            "data": f"assets/play/{play.TITLE}.txt, in characters", "seeds": list(SEEDS), "steps": STEPS,
            "length": LENGTH}  # fmt: skip
    RECORDED.write_text(json.dumps({"made": made, "runs": runs}, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
