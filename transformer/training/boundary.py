"""Stacks of layers on points in the plane, with and without an activation between them.

    for report in train("two moons", depth=20, activation="linear", seed=0):
        report.step, report.accuracy, report.W    # W_eff: what all twenty layers together are

    python -m transformer.training.boundary       # records what the lesson shows before anything is trained there
"""

import argparse
import datetime
import json
import lzma
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from safetensors import torch as tensors
from torch import Tensor, nn

from transformer.experiments.collapse import collapse
from transformer.feedforward import ACTIVATIONS
from transformer.schedule import cosine
from transformer.training.loop import Examples, fit

Name = Literal["two moons", "circles", "xor", "spiral", "three clusters"]
BENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda u: u, "tanh": torch.tanh, **{name: ACTIVATIONS[name] for name in ("relu", "gelu", "silu")},
}  # fmt: skip
GAINS = {"linear": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "gelu": 1.5, "silu": 1.7}  # keep a signal's size through σ
REACH, GRID = 2.0, 40  # the map covers −REACH … REACH both ways in GRID × GRID points
STEPS, REPORTS = 300, 24  # of a run
RATE, WARMUP = 0.01, 20
FILE = Path(__file__).parents[2] / "assets" / "measured" / "linear-depth.safetensors.xz"
SEEDS = (0, 1, 2)
DEPTHS, WIDTH, BEND = (2, 20), 8, "tanh"  # of what is recorded


class Points(NamedTuple):
    """Labelled points in the plane."""

    x: Tensor  # [point, 2]
    y: Tensor  # [point], the class
    classes: int


def points(name: Name, count: int = 240, seed: int = 0) -> Points:
    """Seeded points of a data set: mean 0, about as far from it as a unit normal.

    Only "three clusters" can be separated by straight lines. ValueError where there is no such set.
    """
    dice = torch.Generator().manual_seed(seed)
    classes = 3 if name == "three clusters" else 2
    y = torch.arange(count) % classes
    t = torch.rand(count, generator=dice)
    noise = torch.randn(count, 2, generator=dice)
    angle, side = math.pi * t, 1.0 - 2.0 * y
    match name:
        case "two moons":
            x = torch.stack((angle.cos() * side + 0.5 * (side < 0), (angle.sin() - 0.25) * side), 1)
            x = (x - torch.tensor([0.25, 0.0])) * 1.25 + 0.13 * noise
        case "circles":
            x = torch.stack(((2 * angle).cos(), (2 * angle).sin()), 1) * torch.where(y == 0, 1.5, 0.65)[:, None]
            x = x + 0.13 * noise
        case "xor":
            u, v = 0.15 + 1.45 * t, 0.15 + 1.45 * torch.rand(count, generator=dice)
            flip = torch.where(torch.rand(count, generator=dice) < 0.5, -1.0, 1.0)
            x = torch.stack((u * flip, v * flip * side), 1)
        case "spiral":
            turn, r = 3 * math.pi * t.sqrt(), 0.2 + 1.6 * t.sqrt()
            x = torch.stack((turn.cos(), turn.sin()), 1) * (r * side)[:, None] + 0.06 * noise
        case "three clusters":
            at = 2 * math.pi * (y / 3 + 0.25)
            x = 1.2 * torch.stack((at.cos(), at.sin()), 1) + 0.3 * noise
        case _:
            raise ValueError(f"there is no data set {name!r}; there are {', '.join(Name.__args__)}.")
    return Points(x, y, classes)


class Stack(nn.Module):
    """y = W_L σ(W_{L−1} … σ(W_1 x + b_1) …) + b_L, the plane in and a score for each class out.

    depth: L; width: of the layers between, but for the middle one, which is ``narrowest``; bend: σ, one of BENDS.
    x [point, 2] -> [point, class]. ValueError where such a stack cannot be.
    """

    def __init__(self, depth: int, width: int, narrowest: int, classes: int, bend: str, seed: int = 0):
        super().__init__()
        if depth < 2 or not 1 <= narrowest <= width:
            raise ValueError(f"a stack has at least 2 layers, and its narrowest at most its width: not {depth} layers "
                             f"of width {width}, {narrowest} at the narrowest.")  # fmt: skip
        if bend not in BENDS:
            raise ValueError(f"there is no activation {bend!r} here; there is {', '.join(BENDS)}.")
        between = [width] * (depth - 1)
        between[(depth - 1) // 2] = narrowest
        sizes = [2, *between, classes]
        dice = torch.Generator().manual_seed(seed)
        self.bend = BENDS[bend]
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in zip(sizes, sizes[1:]))
        for layer in self.layers:
            nn.init.orthogonal_(layer.weight, GAINS[bend] if layer is not self.layers[-1] else 1.0, generator=dice)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.bend(layer(x))  # [point, width]
        return self.layers[-1](x)  # [point, class]


class Report(NamedTuple):
    """Where a run stands after ``step`` steps."""

    step: int
    loss: float  # on the points it learns from
    accuracy: float  # on others, drawn alike
    p: Tensor  # uint8 [class, row, col]: 255 · the probability of each class over the map, top row first
    W: Tensor | None  # W_eff [class, 2] of a stack without activation, else None
    b: Tensor | None  # b_eff [class]
    singular: tuple[float, ...]  # of W_eff, the largest first; () with an activation
    gap: float  # max |stack(x) − (W_eff x + b_eff)| over the map; 0 with an activation


def mesh() -> Tensor:
    """The middles of the map's cells, row by row from the top.   -> [row · col, 2]"""
    line = ((torch.arange(GRID) + 0.5) / GRID * 2 - 1) * REACH
    return torch.stack((line.repeat(GRID), line.flip(0).repeat_interleave(GRID)), 1)


def train(
    name: Name, depth: int, bend: str, seed: int = 0, *, width: int = WIDTH, narrowest: int = WIDTH, steps: int = STEPS
) -> Iterator[Report]:
    """Train one stack on all points of a data set at once, and report ``REPORTS`` times, the first before any step.

    AdamW without decay, cosine; ``seed`` decides the first weights, the points are the same for all.
    """
    learn, unseen = points(name), points(name, 600, seed=1)
    stack = Stack(depth, width, narrowest, learn.classes, bend, seed)
    marks = report_steps(steps)
    yield look(stack, learn, unseen, 0)
    batch: Callable[[torch.Generator], Examples] = lambda dice: (learn.x, learn.y)  # noqa: E731
    loss = lambda model, examples: F.cross_entropy(model(examples[0]), examples[1])  # noqa: E731
    for progress in fit(stack, batch, steps, loss=loss, lr=cosine(RATE, steps, WARMUP), weight_decay=0.0, seed=seed):
        if progress.step in marks:
            yield look(stack, learn, unseen, progress.step)


def report_steps(steps: int = STEPS) -> list[int]:
    """After which steps a run reports, more often at first: the boundary moves most then."""
    return sorted({round(steps * (i / (REPORTS - 1)) ** 1.7) for i in range(REPORTS)})


@torch.no_grad()
def look(stack: Stack, learn: Points, unseen: Points, step: int) -> Report:
    """What the stack says of the whole map, and what it is if it has no activation."""
    grid = mesh()
    scores = stack(grid)  # [row · col, class]
    p = shown(scores)
    loss = F.cross_entropy(stack(learn.x), learn.y).item()
    accuracy = (stack(unseen.x).argmax(-1) == unseen.y).float().mean().item()
    if stack.bend is not BENDS["linear"]:
        return Report(step, loss, accuracy, p, None, None, (), 0.0)
    W, b = collapse(list(stack.layers))
    gap = (scores - (grid @ W.T + b)).abs().max().item()
    return Report(step, loss, accuracy, p, W, b, tuple(torch.linalg.svdvals(W).tolist()), gap)


def shown(scores: Tensor) -> Tensor:
    """softmax of scores [row · col, class] as a map, uint8 [class, row, col]."""
    return (255 * scores.softmax(-1)).round().to(torch.uint8).T.reshape(-1, GRID, GRID)


Key = tuple[str, int, str, int]  # data set, depth, activation, seed


def recorded_keys() -> list[Key]:
    return [(name, depth, bend, seed) for name in Name.__args__ for depth in DEPTHS for bend in ("linear", BEND)
            for seed in SEEDS]  # fmt: skip


def save(path: Path, runs: dict[Key, list[Report]], about: dict[str, str]) -> None:
    """Write the reports of whole runs as one safetensors file, compressed by xz; a bent map is rounded to 32 steps."""
    kept: dict[str, Tensor] = {}
    for (name, depth, bend, seed), reports in runs.items():
        at = f"{name}/{depth}/{bend}/{seed}/"
        kept[at + "numbers"] = torch.tensor([(r.step, r.loss, r.accuracy, r.gap) for r in reports], dtype=torch.float64)
        if reports[0].W is not None:  # the map follows from it
            kept[at + "W"] = torch.stack([torch.cat((r.W, r.b[:, None]), 1) for r in reports])
        else:  # the first class has what the others leave; in steps of 3 %, which nobody sees and xz likes
            kept[at + "p"] = torch.stack([r.p[1:] // 8 for r in reports])
    path.write_bytes(lzma.compress(tensors.save(kept, {"about": json.dumps(about)}), preset=9 | lzma.PRESET_EXTREME))


def load(path: Path = FILE) -> tuple[dict[Key, list[Report]], dict[str, str]]:
    """The recorded runs, each as ``train`` reported it, and how they were made."""
    data = lzma.decompress(path.read_bytes())
    kept = tensors.load(data)
    about = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["about"])
    runs = {}
    for at in (name.removesuffix("numbers") for name in kept if name.endswith("numbers")):
        name, depth, bend, seed, _ = at.split("/")
        W, reports = kept.get(at + "W"), []
        for i, (step, loss, accuracy, gap) in enumerate(kept[at + "numbers"].tolist()):
            if W is not None:
                own = W[i, :, :2], W[i, :, 2], tuple(torch.linalg.svdvals(W[i, :, :2]).tolist())
                p = shown(mesh() @ own[0].T + own[1])
            else:
                own, rest = (None, None, ()), (kept[at + "p"][i].int() * 255 / 31).round().int()
                p = torch.cat((255 - rest.sum(0, keepdim=True), rest)).clamp(0, 255).to(torch.uint8)
            reports.append(Report(int(step), loss, accuracy, p, *own, gap))
        runs[name, int(depth), bend, int(seed)] = reports
    return runs, about


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the runs that the lesson on linear depth opens with.")
    parser.add_argument("--out", type=Path, default=FILE)
    path = parser.parse_args().out
    started = time.monotonic()
    runs = {}
    for key in recorded_keys():
        runs[key] = list(train(*key))
        print(*key, f"accuracy {runs[key][-1].accuracy:.3f}", flush=True)
    about = {
        "command": "python -m transformer.training.boundary", "date": datetime.date.today().isoformat(),
        "seeds": ", ".join(map(str, SEEDS)), "steps": str(STEPS), "width": str(WIDTH),
        "minutes": f"{(time.monotonic() - started) / 60:.1f}",
    }  # fmt: skip
    save(path, runs, about)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
