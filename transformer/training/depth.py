"""Trains small deep stacks as lessons on depth need them: with the norm before or behind, with warm-up or without, with
skip connections or without.

    python -m transformer.training.depth placement    # writes assets/measured/norm-placement.json (about 10 minutes)
    python -m transformer.training.depth residual     # writes assets/measured/residual.json

``train`` is what a learner starts live; the files hold the same runs by the same function, for the lesson to show before.
Data: the play that ships. Gradients are not clipped: clipping hides part of what is to be seen.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.config import Config, NormKind, NormPlace
from transformer.experiments import depth
from transformer.models import Model
from transformer.schedule import constant
from transformer.training import patterns, play
from transformer.training.loop import evaluate, fit

FOLDER = Path(__file__).parents[2] / "assets" / "measured"
LENGTH, BATCH, STEPS, EVERY = 32, 8, 200, 10  # characters a window, windows a step, steps, steps that a report stands for
MEASURED = 64  # held-out windows
SEEDS = 0, 1, 2
PLACES: tuple[NormPlace, ...] = "post", "pre", "sandwich"
LAYERS, RATES, WARMUPS = [4, 8, 12], [1e-3, 3e-3, 1e-2], [0, 100]


class Report(NamedTuple):
    """Where a run stands."""

    step: int
    loss: float  # mean over the batches since the last report, nats a character
    grad_norm: float  # of all weights, largest since the last report
    held_out: float  # after the last step; nan before
    apart: float  # what still tells tokens apart at the top: ``depth.apart`` of the last stream, mean over held-out windows


def config(layers: int, place: NormPlace, norm: NormKind = "layer") -> Config:
    """``depth.config`` in the play's characters."""
    return Config(**{**depth.config(layers, place, norm).to_dict(), "vocab_size": play.load().tokenizer.vocab_size,
                     "max_len": LENGTH})  # fmt: skip


def without_skip(share: float) -> Callable[[Model, Tensor], Tensor]:
    """The next-token loss of a model whose skip connections are scaled by ``share``."""

    def loss(model: Model, ids: Tensor) -> Tensor:
        logits = model.run(ids[:, :-1], edit=depth.residual(share), gradients=True).output
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    return loss


def train(
    layers: int, lr: float, warmup: int, seed: int, place: NormPlace = "pre", norm: NormKind = "layer", share: float = 1.0,
    steps: int = STEPS, every: int = EVERY,
) -> Iterator[Report]:  # fmt: skip
    """Train one stack, the rate rising to ``lr`` over ``warmup`` steps and staying there; steps / every reports.

    Raises ValueError where the loss is no longer a number, as ``fit`` does.
    """
    text = play.load()
    model = build(config(layers, place, norm), seed)
    loss = None if share == 1 else without_skip(share)
    unseen = patterns.held_out(text.unseen, LENGTH, MEASURED)[:, 0]  # [window, token + 1]
    recent: list[tuple[float, float]] = []
    for at in fit(model, patterns.windows(text.ids, LENGTH, BATCH), steps, loss=loss, lr=constant(lr, warmup), seed=seed,
                  clip=math.inf):  # fmt: skip
        recent.append((at.loss, at.grad_norm))
        if at.step % every == 0:
            losses, norms = zip(*recent, strict=True)
            held = math.nan
            if at.step == steps:
                held = evaluate(model, [unseen], **({} if loss is None else {"loss": loss}))
            yield Report(at.step, sum(losses) / len(losses), max(norms), held, top(model, unseen[:BATCH, :-1], share))
            recent = []


def top(model: Model, ids: Tensor, share: float = 1.0) -> float:
    """``depth.apart`` of the last layer's stream, mean over the windows [window, token]."""
    last = f"layers.{model.config.n_layers - 1}.resid_post"
    run = model.run(ids, record=last, edit={} if share == 1 else depth.residual(share))
    return depth.apart(run.trace[last].double()).mean().item()


def blind() -> float:
    """The loss of knowing only how often each character occurs in the play: where a stack that lets nothing through
    stays. Nats a character of the held-out part."""
    text = play.load()
    counts = torch.bincount(text.ids, minlength=text.tokenizer.vocab_size) + 1.0
    return F.nll_loss((counts / counts.sum()).log().expand(len(text.unseen), -1), text.unseen).item()


class Curve(NamedTuple):
    """The runs of one setting over the seeds: the middle one, and the lowest and highest, at each report."""

    loss: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    held_out: Sequence[float]  # [seed]
    apart: Sequence[float]  # the middle seed, at each report


def curve(runs: Sequence[Sequence[Report]], steps: int = STEPS, every: int = EVERY) -> Curve:
    """nan where runs have not come that far, or ended early because the loss was no number any more."""
    count = steps // every
    loss, apart = torch.full((2, len(runs), count), torch.nan)
    for i, run in enumerate(runs):
        loss[i, : len(run)] = torch.tensor([report.loss for report in run])
        apart[i, : len(run)] = torch.tensor([report.apart for report in run])
    there = loss[:, (~loss.isnan()).all(0)]  # [seed, report]
    low, middle, high = (torch.cat((x, x.new_full((count - len(x),), torch.nan))).tolist()
                         for x in (there.amin(0), there.median(0).values, there.amax(0)))  # fmt: skip
    return Curve(middle, low, high, [run[-1].held_out if len(run) == count else math.nan for run in runs],
                 apart.median(0).values.tolist())


def key(*setting: object) -> str:
    """A setting as a name in the file."""
    return " ".join(map(str, setting))


def recorded(settings: dict[str, dict], steps: int = STEPS) -> dict[str, dict]:
    """name -> its ``Curve`` over ``SEEDS``, rounded; a run that ends early is kept until there."""
    found = {}
    for name, setting in settings.items():
        runs, started = [], time.process_time()
        for seed in SEEDS:
            run: list[Report] = []
            try:
                run.extend(train(**setting, seed=seed, steps=steps))
            except ValueError as problem:
                print(name, seed, problem, flush=True)
            runs.append(run)
        of = curve(runs, steps)
        found[name] = {field: [None if math.isnan(x) else float(f"{x:.4g}") for x in values] for field, values in
                       of._asdict().items()} | {"seconds": round(time.process_time() - started, 1)}  # fmt: skip
        print(name, found[name]["held_out"], found[name]["seconds"], flush=True)
    return found


def placement() -> dict[str, dict]:
    """The settings of the lesson on where the norm goes."""
    every = itertools.product(PLACES, LAYERS, RATES, WARMUPS)
    return {key(p, n, lr, w): {"place": p, "layers": n, "lr": lr, "warmup": w} for p, n, lr, w in every}


RESIDUAL_RATES = {2: 3e-3, 4: 3e-3, 8: 3e-3, 12: 3e-3}  # layers -> lr
WARMUP = 100


def residual() -> dict[str, dict]:
    """The settings of the lesson on the residual path."""
    every = itertools.product(("layer", "none"), (1.0, 0.0), RESIDUAL_RATES.items())
    return {key(norm, share, n): {"norm": norm, "share": share, "layers": n, "lr": lr, "warmup": WARMUP}
            for norm, share, (n, lr) in every}  # fmt: skip


FILES = {"placement": ("norm-placement-training.json", placement), "residual": ("residual-training.json", residual)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lesson", choices=FILES)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    file, settings = FILES[arguments.lesson]
    made = {"command": f"python -m transformer.training.depth {arguments.lesson}", "data": f"assets/play, {play.TITLE}",
            "unit": "nats a character", "seeds": list(SEEDS), "steps": STEPS, "every": EVERY,
            "tokens_a_step": LENGTH * BATCH, "blind": round(blind(), 3)}  # fmt: skip
    text = json.dumps({"made": made, "runs": recorded(settings())})
    (arguments.out / file).write_text(text.replace('}, "', '},\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
