"""Trains with label smoothing and without, on digits and on characters: what the lesson on losses says of perplexity and
accuracy. Recorded by ``python -m transformer.training.imbalanced``."""

import functools
import math
import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer import losses
from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.training import digits, objectives, patterns, play
from transformer.training.loop import fit
from transformer.training.verdicts import calibration

Data = Literal["digits", "characters"]
DATA: tuple[Data, ...] = ("digits", "characters")
EPSILONS = 0.0, 0.1, 0.3
SEEDS: dict[Data, tuple[int, ...]] = {"digits": (0, 1, 2, 3, 4), "characters": (0, 1, 2)}
STEPS, EVERY = 600, 30
PASSAGES, LENGTH, WINDOWS = 16, 64, 128  # of the characters: a batch, and what is measured


class Report(NamedTuple):
    """Where a run stands, on what it has not seen, by the plain cross-entropy whatever it was trained on."""

    step: int
    held_out: float  # nats: the log of the perplexity
    accuracy: float  # the share of which the likeliest is right
    calibration: float  # expected calibration error of the likeliest


def config(data: Data) -> Config:
    if data == "digits":
        return digits.small(d_model=32, patch_size=4)
    return Config(
        vocab_size=play.load().tokenizer.vocab_size, d_model=48, n_layers=2, n_heads=4, max_len=64, position="rope",
        norm="rms", tie_embeddings=True,
    )  # fmt: skip


def train(data: Data, epsilon: float, seed: int, steps: int = STEPS, every: int = EVERY) -> Iterator[Report]:
    """Train with label smoothing ``epsilon``; a report after every so many steps."""
    model = build(config(data), seed)
    if data == "digits":
        smooth = functools.partial(losses.cross_entropy, smoothing=epsilon)
        goal, batch, lr, unseen = objectives.classified(smooth), digits.batches(64), 5e-3, digits.load().unseen
        asked, target = unseen.x, unseen.y
    else:
        text = play.load()
        goal, batch, lr = objectives.smoothed(epsilon), patterns.windows(text.ids, LENGTH, PASSAGES), 1e-2
        held = patterns.held_out(text.unseen, LENGTH, WINDOWS)[:, 0]  # [window, token + 1]
        asked, target = held[:, :-1], held[:, 1:]
    for at in fit(model, batch, steps, loss=goal, lr=lr, warmup=20, seed=seed):
        if at.step % every == 0:
            yield measured(model, at.step, asked, target)


@torch.no_grad()
def measured(model: Model, step: int, asked: Tensor, target: Tensor) -> Report:
    was_training = model.training
    model.eval()
    logits = model(asked).double()
    model.train(was_training)
    sure, named = logits.softmax(-1).max(-1)
    right = named == target
    return Report(step, losses.cross_entropy(logits, target).item(), right.double().mean().item(),
                  calibration(sure.flatten(), right.flatten()))  # fmt: skip


def perplexity(nats: float) -> float:
    """e^L: among how many equally likely answers the model, on average, still wavers."""
    return math.exp(nats)


def record() -> tuple[dict[str, list[dict[str, list]]], dict[str, float]]:
    """All runs for the file, by "data ε", and the core seconds of one of each data."""
    runs: dict[str, list[dict[str, list]]] = {}
    spent: dict[str, list[float]] = {data: [] for data in DATA}
    for data in DATA:
        for epsilon in EPSILONS:
            for seed in SEEDS[data]:
                started, reports = time.process_time(), list(train(data, epsilon, seed))
                spent[data].append(time.process_time() - started)
                columns = {field: [float(f"{getattr(one, field):.4g}") for one in reports] for field in Report._fields[1:]}
                runs.setdefault(key(data, epsilon), []).append(columns)
            print(key(data, epsilon), reports[-1], round(spent[data][-1], 1), flush=True)
    return runs, {data: round(sum(of) / len(of), 1) for data, of in spent.items()}


def key(data: Data, epsilon: float) -> str:
    """What a run is called in the file."""
    return f"{data} {epsilon:g}"
