"""Trains small students with a teacher and without, and makes assets/measured/distillation.json and assets/students.

    python -m transformer.training.distil          # about 8 minutes on one core

``train`` is what a learner starts live; the file holds the same runs by the same function, for the lesson to show
before. Student alone and student with teacher have the same first weights and the same batches: λ is all that differs.
"""

import argparse
import datetime
import functools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer import losses, sampling
from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.tokenizers import Tokenizer
from transformer.training import digits, objectives, patterns, play
from transformer.training.loop import Batch, fit

COMMAND = "python -m transformer.training.distil"
ASSETS = Path(__file__).parents[2] / "assets"
FILE, STUDENTS = ASSETS / "measured" / "distillation.json", ASSETS / "students"
Task = Literal["digits", "letters"]
TASKS: tuple[Task, ...] = ("digits", "letters")
AMOUNTS: dict[Task, tuple[int, ...]] = {"digits": (100, 300, 1347), "letters": (2_000, 10_000, 120_000)}
TEMPERATURES, MIXES = (1.0, 2.0, 5.0), (0.0, 0.5, 0.9)
SEEDS: dict[Task, tuple[int, ...]] = {"digits": (0, 1, 2, 3, 4), "letters": (0, 1, 2)}
STEPS, EVERY, RATE = 400, 20, 1e-2
SHIPPED = 2.0, 0.9  # T and λ of the taught students that ship, with the least that can be told; their seed is 0
UNKNOWN = -1  # the class of an image of which only the teacher's answer is used
IMAGES = 64  # a step
LENGTH, BATCH, MEASURED = 64, 16, 24  # characters a window, windows a step, held-out windows


class Report(NamedTuple):
    """Where a student stands, on what neither it nor its teacher has learnt from."""

    step: int
    loss: float  # cross-entropy, nats
    accuracy: float
    agreement: float  # the share to which student and teacher give the same first answer


FIELDS = Report._fields[1:]


class Unseen(NamedTuple):
    """What is held out, and what the teacher says of it."""

    read: Tensor  # images [image, 1, row, col], or ids [window, character]
    target: Tensor  # [image] or [window, character]
    teacher: Tensor  # its logits [..., class]


def student(task: Task) -> Config:
    """One layer of width 16."""
    if task == "digits":
        return digits.small(d_model=16, n_layers=1, n_heads=2, patch_size=4)
    return Config(
        vocab_size=play.load().tokenizer.vocab_size, d_model=16, n_layers=1, n_heads=2, d_ff=32, max_len=LENGTH,
        position="rope", norm="rms", activation="silu", gated=True, tie_embeddings=True,
    )  # fmt: skip


@functools.cache
def teacher(task: Task) -> tuple[Model, Tokenizer | None]:
    """The shipped one (``transformer.training.teachers``), in eval mode. Read-only."""
    return native.open_folder(ASSETS / f"{task}-teacher")


@functools.cache
@torch.no_grad()
def unseen(task: Task) -> Unseen:
    if task == "digits":
        read, target = digits.load().unseen
    else:
        ids = patterns.held_out(play.load().unseen, LENGTH, MEASURED)[:, 0]  # [window, character + 1]
        read, target = ids[:, :-1], ids[:, 1:]
    return Unseen(read, target, teacher(task)[0](read))


@functools.cache
@torch.no_grad()
def _answers() -> Tensor:
    """What the teacher says of the digits to learn from.   -> [image, class]"""
    return teacher("digits")[0](digits.load().known.x)


def batches(task: Task, amount: int, seed: int) -> Batch:
    """Draws what student and teacher read. ``seed`` decides whose class is told.

    Of digits, 64 images: all from those that are told, or 32 of them and 32 of the rest, whose class is UNKNOWN; the
    teacher's logits come along. Of letters, 16 windows from the first ``amount`` characters of the play.
    """
    if task == "letters":
        return patterns.windows(play.load().ids[:amount], LENGTH, BATCH)
    known, said = digits.load().known, _answers()
    order = torch.randperm(len(known.y), generator=torch.Generator().manual_seed(seed))
    told, rest = order[:amount], order[amount:]

    def draw(dice: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        if not len(rest):
            chosen = told[torch.randint(len(told), (IMAGES,), generator=dice)]
            return known.x[chosen], known.y[chosen], said[chosen]
        half = IMAGES // 2
        chosen = torch.cat([some[torch.randint(len(some), (half,), generator=dice)] for some in (told, rest)])
        y = torch.cat((known.y[chosen[:half]], torch.full((half,), UNKNOWN)))
        return known.x[chosen], y, said[chosen]

    return draw


def train(
    task: Task, amount: int, temperature: float, mix: float, seed: int, steps: int = STEPS, every: int = EVERY,
    model: Model | None = None,
) -> Iterator[Report]:  # fmt: skip
    """Train a student (``model``, or a new one) and report before the first step and after each ``every``."""
    model = model or build(student(task), seed)
    loss = objectives.distilled(teacher(task)[0], temperature, mix, UNKNOWN if task == "digits" else None)
    yield look(model, task, 0)
    batch = batches(task, amount, seed)
    for at in fit(model, batch, steps, lr=RATE, warmup=20, weight_decay=0.0, loss=loss, seed=seed):
        if at.step % every == 0:
            yield look(model, task, at.step)


@torch.no_grad()
def look(model: Model, task: Task, step: int) -> Report:
    held = unseen(task)
    model.eval()
    logits = model(held.read)  # [..., class]
    first = logits.argmax(-1)
    return Report(
        step, losses.cross_entropy(logits, held.target).item(), (first == held.target).float().mean().item(),
        (first == held.teacher.argmax(-1)).float().mean().item(),
    )  # fmt: skip


def name_of(task: Task, amount: int, temperature: float, mix: float) -> str:
    """A run in the file; T means nothing to a student alone."""
    return f"{task} {amount} alone" if mix == 0 else f"{task} {amount} T={temperature:g} λ={mix:g}"


def settings(task: Task) -> list[tuple[int, float, float]]:
    """(amount, T, λ) of all recorded runs."""
    taught = [(T, mix) for T in TEMPERATURES for mix in MIXES if mix > 0]
    return [(amount, T, mix) for amount in AMOUNTS[task] for T, mix in [(1.0, 0.0), *taught]]


def folder_of(task: Task, taught: bool) -> Path:
    """Of a student that ships."""
    return STUDENTS / f"{task}-{'taught' if taught else 'alone'}"


Outcome = Literal["same", "better", "worse", "within"]
Who = Literal["untrained", "alone", "taught"]


@functools.cache
def shipped(task: Task, who: Who) -> Model:
    """The student of seed 0 before training, or as it ships, in eval mode. Read-only."""
    if who == "untrained":
        return build(student(task), 0).eval()
    return native.open_folder(folder_of(task, who == "taught"))[0]


@functools.cache
def telling(count: int) -> Tensor:
    """Unseen digits from the one that the teacher doubts most to the one that it is surest of, evenly.   -> [count]"""
    doubt = sampling.entropy(sampling.tempered(unseen("digits").teacher, 1.0))  # [image]
    order = doubt.argsort(descending=True)
    return order[torch.linspace(0, len(order) - 1, count).round().long()]


@functools.cache
def alike(temperature: float) -> Tensor:
    """The teacher's softened answers, averaged over the unseen digits of each true class.   -> [true class, class]"""
    held = unseen("digits")
    q = sampling.tempered(held.teacher, temperature)  # [image, class]
    return torch.stack([q[held.target == c].mean(0) for c in range(digits.CLASSES)])


def nearest(temperature: float) -> tuple[int, int, int]:
    """(a digit, what the teacher finds it most like, what it finds it least like), of the most alike pair."""
    q = alike(temperature)
    others = q.clone().fill_diagonal_(0.0)
    true, answer = divmod(int(others.argmax()), len(q))
    return true, answer, int(q[true].argmin())


def compare(alone: Sequence[float], taught: Sequence[float], more_is_better: bool = True) -> Outcome:
    """What two sets of seeds say: "better" or "worse" only where they do not overlap; "same" where they are equal."""
    if list(alone) == list(taught):
        return "same"
    low, high = (alone, taught) if more_is_better else (taught, alone)
    return "better" if min(high) > max(low) else "worse" if max(high) < min(low) else "within"


def record(task: Task, runs: dict[str, list[dict[str, list[float]]]]) -> None:
    """Train all of a task's, put them into ``runs`` and the students that ship into their folders."""
    for amount, T, mix in settings(task):
        name = name_of(task, amount, T, mix)
        runs[name] = []
        for seed in SEEDS[task]:
            started, model = time.process_time(), build(student(task), seed)
            reports = list(train(task, amount, T, mix, seed, model=model))
            seconds = round(time.process_time() - started, 2)
            columns = {field: [float(f"{getattr(at, field):.4g}") for at in reports] for field in FIELDS}
            runs[name].append(columns | {"core_seconds": seconds})
            print(name, seed, reports[-1], seconds, flush=True)
            if seed == 0 and amount == AMOUNTS[task][0] and (mix == 0 or (T, mix) == SHIPPED):
                made = {"command": COMMAND, "date": datetime.date.today().isoformat(), "run": name, "seed": seed,
                        "steps": STEPS, "held_out_accuracy": round(reports[-1].accuracy, 4)}  # fmt: skip
                native.save(model.half(), teacher(task)[1], folder_of(task, mix > 0), made)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the runs that the lesson on distillation opens with.")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--only", choices=TASKS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runs = json.loads(asked.out.read_text("utf-8"))["runs"] if asked.out.is_file() else {}
    for task in [asked.only] if asked.only else TASKS:
        record(task, runs)
    made = {
        "command": COMMAND, "date": datetime.date.today().isoformat(), "steps": STEPS, "every": EVERY, "rate": RATE,
        "seeds": SEEDS, "unit": "nats; shares of what is held out",
    }  # fmt: skip
    asked.out.write_text(json.dumps({"made": made, "runs": runs}).replace("}], ", "}],\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
