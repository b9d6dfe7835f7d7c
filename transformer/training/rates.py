"""Trains small models with other learning rates over time, and with more or less dropout, as the lesson on them needs.

    python -m transformer.training.rates    # writes assets/measured/schedules.json (about 8 minutes)

``with_rate`` and ``with_dropout`` are what a learner starts live; the file holds the same runs by the same functions, for
the lesson to show before. Data: the play that ships. Gradients are not clipped: clipping hides part of what a missing
warm-up does.
"""

import argparse
import datetime
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.schedule import Schedule, constant, cosine, noam
from transformer.training import depth, patterns, play
from transformer.training.loop import evaluate, fit

FILE = Path(__file__).parents[2] / "assets" / "measured" / "schedules.json"
Kind = Literal["noam", "cosine", "constant"]
KINDS: tuple[Kind, ...] = ("noam", "cosine", "constant")
SEEDS = 0, 1, 2
PEAK, WARMUPS = 3e-3, (0, 60)
LAYERS, STEPS, EVERY = 8, 240, 8  # of the stack whose norm stands behind the sum, where warm-up decides
DROPOUTS = 0.0, 0.1, 0.3, 0.5
KNOWN, DROP_STEPS, DROP_EVERY = 6_000, 480, 16  # characters to learn from: few enough to learn by heart
LENGTH, BATCH, MEASURED = 32, 8, 64


class Rated(NamedTuple):
    """Where a run with a schedule stands; means and maxima since the last report."""

    step: int
    lr: float
    loss: float  # nats a character
    grad_norm: float  # the largest
    held_out: float  # after the last step; nan before


class Dropped(NamedTuple):
    """Where a run with dropout stands, both measured without dropping anything."""

    step: int
    known: float  # the loss on what it learns from, nats a character
    unseen: float  # and on what it does not


def schedule(kind: Kind, warmup: int, steps: int = STEPS, peak: float = PEAK, d_model: int = 32) -> Schedule:
    """The schedule that reaches ``peak``: at step ``warmup``, or at the first.

    Noam's own peak is (d · warmup)^−½; it is multiplied so that all kinds may be compared.
    """
    if kind == "noam":
        rise = max(1, warmup)
        return noam(d_model, rise, peak * math.sqrt(d_model * rise))
    return cosine(peak, steps, warmup) if kind == "cosine" else constant(peak, warmup)


def with_rate(kind: Kind, warmup: int, seed: int, steps: int = STEPS, every: int = EVERY) -> Iterator[Rated]:
    """Train the deep stack with this schedule; steps / every reports. ValueError where the loss is no number any more."""
    text, model = play.load(), build(depth.config(LAYERS, "post"), seed)
    batch, recent = patterns.windows(text.ids, LENGTH, BATCH), []
    for at in fit(model, batch, steps, lr=schedule(kind, warmup, steps), seed=seed, clip=math.inf):
        recent.append(at)
        if at.step % every == 0:
            held = evaluate(model, [_unseen(text.unseen, LENGTH)]) if at.step == steps else math.nan
            loss = sum(one.loss for one in recent) / len(recent)
            yield Rated(at.step, at.lr, loss, max(one.grad_norm for one in recent), held)
            recent = []


def small(dropout: float) -> Config:
    """What learns with dropout: two layers that can learn the few characters by heart."""
    return Config(
        vocab_size=play.load().tokenizer.vocab_size, d_model=48, n_layers=2, n_heads=4, max_len=64, position="rope",
        norm="rms", tie_embeddings=True, dropout=dropout,
    )  # fmt: skip


def with_dropout(share: float, seed: int, steps: int = DROP_STEPS, every: int = DROP_EVERY) -> Iterator[Dropped]:
    """Train on a text short enough to be learnt by heart, dropping this share of the numbers on their way."""
    text, model = play.load(), build(small(share), seed)
    known = text.ids[:KNOWN]
    for at in fit(model, patterns.windows(known, 64, 16), steps, lr=1e-2, warmup=20, weight_decay=0.0, seed=seed):
        if at.step % every == 0:
            yield Dropped(at.step, *(evaluate(model, [_unseen(ids, 64)]) for ids in (known, text.unseen)))


def _unseen(ids: Tensor, length: int) -> Tensor:
    return patterns.held_out(ids, length, MEASURED)[:, 0]  # [window, token + 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FILE)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    works = {f"{kind} {warmup}": (with_rate, kind, warmup) for kind in KINDS for warmup in WARMUPS}
    works |= {f"dropout {share}": (with_dropout, share) for share in DROPOUTS}
    runs: dict[str, list[dict[str, list]]] = {}
    for name, (work, *setting) in works.items():
        runs[name] = []
        for seed in SEEDS:
            started, reports = time.process_time(), list(work(*setting, seed))
            columns = {field: [_rounded(getattr(report, field)) for report in reports] for field in reports[0]._fields}
            runs[name].append(columns)
            print(name, seed, reports[-1], round(time.process_time() - started, 1), flush=True)
    made = {
        "command": "python -m transformer.training.rates", "date": datetime.date.today().isoformat(),
        "data": f"assets/play, {play.TITLE}", "unit": "nats a character", "seeds": list(SEEDS), "peak": PEAK,
    }  # fmt: skip
    out.write_text(json.dumps({"made": made, "runs": runs}).replace("}], ", "}],\n") + "\n", encoding="utf-8")


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else value if isinstance(value, int) else float(f"{value:.4g}")


if __name__ == "__main__":
    main()
