"""How wide should the FFN be? One small decoder with d_ff = 1, 2, 4 and 8 times d, trained on one play.

    for report in train(times=4, seed=0):
        report.step, report.unseen                # loss on a part of the play that it never learns from

    python -m transformer.training.widths         # records what the lesson shows before anything is trained there
"""

import argparse
import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from transformer import cost
from transformer.build import build
from transformer.config import Config
from transformer.training import play
from transformer.training.loop import evaluate, fit
from transformer.training.patterns import held_out, windows

TIMES, SEEDS = (1, 2, 4, 8), (0, 1, 2)
D_MODEL, LENGTH, BATCH, MEASURED = 48, 64, 8, 32
RATE, WARMUP = 3e-3, 20
STEPS, EVERY = 160, 20  # of a live run
RECORDED = 1000
FILE = Path(__file__).parents[2] / "assets" / "measured" / "feed-forward-widths.json"


def rate(step: int) -> float:
    """A rise, a level, and a fall in the last 40 % of ``RECORDED``, so that a short run is the beginning of a long one."""
    return RATE * min(1.0, step / WARMUP, 0.02 + (RECORDED - step) / (0.4 * RECORDED))


class Report(NamedTuple):
    step: int
    loss: float  # of the last batch, nats a character
    unseen: float  # on held-out windows


def config_of(times: int) -> Config:
    """The decoder whose FFN is ``times`` as wide as the stream; nothing else differs."""
    return Config(vocab_size=play.load().tokenizer.vocab_size, d_model=D_MODEL, n_layers=2, n_heads=4,
                  d_ff=times * D_MODEL, max_len=LENGTH, position="rope", norm="rms", activation="gelu", tie_embeddings=True)  # fmt: skip


def train(times: int, seed: int = 0, steps: int = STEPS) -> Iterator[Report]:
    """Train one of them; report before the first step and after every ``EVERY``. The seed decides weights and batches."""
    text = play.load()
    model, unseen = build(config_of(times), seed), held_out(text.unseen, LENGTH, MEASURED).view(-1, BATCH, LENGTH + 1)
    yield Report(0, (start := evaluate(model, unseen)), start)
    for progress in fit(model, windows(text.ids, LENGTH, BATCH), steps, lr=rate, seed=seed):
        if progress.step % EVERY == 0:
            yield Report(progress.step, progress.loss, evaluate(model, unseen))


def costs(times: int) -> tuple[int, int]:
    """(parameters, FLOPs a character) of the whole model, forward."""
    config = config_of(times)
    return sum(cost.parameters(config).values()), sum(cost.flops(config, LENGTH).values()) // LENGTH


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the runs that the lesson on the FFN opens with.")
    parser.add_argument("--out", type=Path, default=FILE)
    path, started = parser.parse_args().out, time.monotonic()
    runs = {}
    for times in TIMES:
        for seed in SEEDS:
            reports = list(train(times, seed, RECORDED))
            runs[f"{times}/{seed}"] = [round(r.unseen, 4) for r in reports]
            print(times, seed, runs[f"{times}/{seed}"][-1], flush=True)
    about = {
        "command": "python -m transformer.training.widths", "date": datetime.date.today().isoformat(),
        "seeds": list(SEEDS), "steps": list(range(0, RECORDED + 1, EVERY)), "unseen": runs,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }  # fmt: skip
    path.write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
