"""Trains small models to find one rare digit among all others, each with another loss, as the lesson on losses needs.

    python -m transformer.training.imbalanced    # writes assets/measured/losses.json (about 13 minutes)

``train`` is what a learner starts live; the file holds the same runs by the same function, for the lesson to show before,
and those of ``transformer.training.smoothing``. Data: the digits that ship.
"""

import argparse
import dataclasses
import datetime
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer import losses
from transformer.build import build
from transformer.config import Config
from transformer.experiments.pulls import pulls
from transformer.models import Model
from transformer.training import digits, objectives, smoothing
from transformer.training.loop import fit
from transformer.training.verdicts import Verdict, judge

FILE = Path(__file__).parents[2] / "assets" / "measured" / "losses.json"
DIGIT = 8
RATIOS, NOISES = (9, 19, 49, 99), (0.0, 0.1, 0.2, 0.4)
NOISY_RATIO = RATIOS[0]  # where labels are flipped
SEEDS = 0, 1, 2, 3, 4
STEPS, EVERY, BATCH, LR, WARMUP = 400, 50, 64, 5e-3, 20
SMOOTHING, GAMMA = 0.1, 2.0
HARD = 0.1  # of the negatives: those with the lowest p_t
TOP = 10  # examples that are shown

Name = Literal["cross-entropy", "smoothed", "weighted", "focal", "focal weighted"]
NAMES: tuple[Name, ...] = ("cross-entropy", "smoothed", "weighted", "focal", "focal weighted")
Of = Callable[[Tensor, Tensor], Tensor]  # logits [example, class], target [example] -> []
GROUPS = ("positives", "hard negatives", "easy negatives", "flipped labels")


class Problem(NamedTuple):
    """What is learned from: every other digit, and so many of the rare one."""

    index: Tensor  # [example], among the known digits
    x: Tensor  # [example, 1, row, col]
    y: Tensor  # [example], what it is: 1 for the rare digit
    label: Tensor  # [example], what the model is told


class Carrier(NamedTuple):
    """An example that pulls much."""

    index: int  # among the known digits
    label: int  # what the model is told
    p: float  # that the model gives to it
    share: float  # of all examples' lengths


class Report(NamedTuple):
    """Where a run stands."""

    step: int
    verdict: Verdict  # on the held-out digits, in the ratio of the training
    shares: tuple[float, ...]  # of the gradients' lengths, by group
    counts: tuple[int, ...]  # examples, by group
    carriers: tuple[Carrier, ...]  # the largest first


@functools.cache
def problem(ratio: int, noise: float = 0.0, seed: int = 0) -> Problem:
    """``ratio`` negatives for each positive, a share ``noise`` of the labels flipped. Read-only.

    ValueError for a ratio that leaves no positive or wants more than there are, and for a noise outside [0, ½).
    """
    if not 0 <= noise < 0.5:
        raise ValueError(f"noise is {noise}; it must be at least 0 and below 0.5: beyond that the labels say the opposite.")
    known, dice = digits.load().known, torch.Generator().manual_seed(1000 + seed)
    rare, rest = ((known.y == DIGIT) == is_rare for is_rare in (True, False))
    positive, negative = rare.nonzero()[:, 0], rest.nonzero()[:, 0]
    kept = round(len(negative) / ratio) if ratio > 0 else 0
    if not 0 < kept:
        raise ValueError(f"a ratio of 1:{ratio} leaves no positive.")
    positive = positive[torch.randperm(len(positive), generator=dice)[:kept]]  # all, where there are not that many
    index = torch.cat((positive, negative))
    y = (known.y[index] == DIGIT).long()
    flip = torch.rand(len(y), generator=dice) < noise
    return Problem(index, known.x[index], y, torch.where(flip, 1 - y, y))


def balance(label: Tensor) -> Tensor:
    """α_c = N / (2 N_c): both classes weigh alike, and the examples 1 on average.   label [example] -> [2]"""
    return len(label) / (2 * label.bincount(minlength=2).clamp(min=1))


def loss(name: Name, alpha: Tensor) -> Of:
    """What a batch is trained on."""
    match name:
        case "cross-entropy":
            return losses.cross_entropy
        case "smoothed":
            return lambda z, t: losses.cross_entropy(z, t, smoothing=SMOOTHING)
        case "weighted":
            return lambda z, t: losses.cross_entropy(z, t, weight=alpha)
        case "focal":
            return lambda z, t: losses.focal(z, t, gamma=GAMMA)
        case "focal weighted":
            return lambda z, t: losses.focal(z, t, gamma=GAMMA, alpha=alpha)
    raise ValueError(f"there is no loss {name!r}; there is {', '.join(NAMES)}.")


def term(name: Name, alpha: Tensor) -> Of:
    """What one example adds to that, but for a factor common to the batch: a weighted mean divides by the weights, which
    for a single example would be its own."""
    return (lambda z, t: losses.focal(z, t, gamma=0.0, alpha=alpha)) if name == "weighted" else loss(name, alpha)


def small() -> Config:
    """The model: a Vision Transformer of two layers on four patches."""
    return dataclasses.replace(digits.small(d_model=32, patch_size=4), n_classes=2)


def train(name: Name, ratio: int, seed: int, noise: float = 0.0, steps: int = STEPS, every: int = EVERY) -> Iterator[Report]:
    """Train with this loss; a report before the first step and after every so many."""
    found, model = problem(ratio, noise, seed), build(small(), seed)
    alpha = balance(found.label)

    def draw(dice: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(found.label), (BATCH,), generator=dice)
        return found.x[chosen], found.label[chosen]

    yield report(model, 0, found, ratio, term(name, alpha))
    goal = objectives.classified(loss(name, alpha))
    for at in fit(model, draw, steps, loss=goal, lr=LR, warmup=WARMUP, seed=seed):
        if at.step % every == 0:
            yield report(model, at.step, found, ratio, term(name, alpha))


def report(model: Model, step: int, found: Problem, ratio: int, term: Of) -> Report:
    """Measure the model on the held-out digits, and who pulls at it on those that it learns from."""
    p, own, label = answer(model, digits.load().unseen.x), answer(model, found.x), found.label
    p_t = torch.where(label == 1, own, 1 - own)  # of what it is told
    length = pulls(model, found.x, label, term).double()
    share, group = length / length.sum(), groups(found, p_t)
    shares = torch.zeros(len(GROUPS), dtype=torch.float64).index_add_(0, group, share)
    top = share.topk(TOP).indices.tolist()
    carriers = tuple(Carrier(int(found.index[i]), int(label[i]), float(p_t[i]), float(share[i])) for i in top)
    return Report(step, held_out(p, ratio), tuple(shares.tolist()),
                  tuple(group.bincount(minlength=len(GROUPS)).tolist()), carriers)  # fmt: skip


def groups(found: Problem, p_t: Tensor) -> Tensor:
    """Which of GROUPS each example belongs to. Hard are the negatives with the lowest p_t, a tenth of them, and not those below
    some p: a loss that leaves every answer near ½ would make all of them hard.   p_t [example] -> [example]"""
    group = torch.full_like(found.y, 2)
    group[found.y == 1] = 0
    group[found.label != found.y] = 3
    negative = (group == 2).nonzero()[:, 0]
    group[negative[p_t[negative].topk(round(HARD * len(negative)), largest=False).indices]] = 1
    return group


def held_out(p: Tensor, ratio: int) -> Verdict:
    """The verdict on held-out digits in the ratio of the training: all are asked, and each positive counts so much less that
    together they are 1 / ``ratio`` of the negatives. Thinning them would leave four at 1:99."""
    positive = digits.load().unseen.y == DIGIT
    weight = torch.where(positive, float((~positive).sum() / ratio / positive.sum()), 1.0)
    return judge(p, positive, weight)


@torch.no_grad()
def answer(model: Model, x: Tensor) -> Tensor:
    """p of the rare digit.   x [example, 1, row, col] -> [example]"""
    was_training = model.training
    model.eval()
    p = model(x).softmax(-1)[:, 1]
    model.train(was_training)
    return p


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FILE)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    settings = [(ratio, 0.0) for ratio in RATIOS] + [(NOISY_RATIO, noise) for noise in NOISES if noise]
    runs: dict[str, list[dict[str, list]]] = {}
    carriers: dict[str, list] = {}
    seconds = []
    for ratio, noise in settings:
        for name in NAMES:
            for seed in SEEDS:
                started, reports = time.process_time(), list(train(name, ratio, seed, noise))
                seconds.append(time.process_time() - started)
                columns = {field: [_rounded(getattr(one.verdict, field)) for one in reports] for field in Verdict._fields}
                columns |= {"shares": [[_rounded(x) for x in one.shares] for one in reports],
                            "counts": [list(one.counts) for one in reports]}  # fmt: skip
                runs.setdefault(key(name, ratio, noise), []).append(columns)
                if seed == SEEDS[0]:
                    carriers[key(name, ratio, noise)] = [
                        [[c.index, c.label, _rounded(c.p), _rounded(c.share)] for c in one.carriers] for one in reports
                    ]
            print(key(name, ratio, noise), reports[-1].verdict, round(seconds[-1], 1), flush=True)
    smooth, smooth_seconds = smoothing.record()
    made = {
        "command": "python -m transformer.training.imbalanced", "date": datetime.date.today().isoformat(),
        "data": "assets/digits and assets/play", "seeds": list(SEEDS),
        "core seconds of a run": {"imbalanced": round(sum(seconds) / len(seconds), 1)} | smooth_seconds,
    }  # fmt: skip
    text = json.dumps({"made": made, "runs": runs, "carriers": carriers, "smoothing": smooth})
    out.write_text(text.replace("}], ", "}],\n").replace("]]], ", "]]],\n") + "\n", encoding="utf-8")


def key(name: Name, ratio: int, noise: float = 0.0) -> str:
    """What a run is called in the file."""
    return f"{name} 1:{ratio} {noise:g}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
