"""Makes the teachers that small students are distilled from: a Vision Transformer that reads digits,
assets/digits-teacher, and a character language model, assets/letters-teacher, which has read all of Shakespeare's plays
but the one that ships.

    python -m transformer.training.teachers             # both, about 10 minutes on one core; fetches the plays (2 MB)
    python -m transformer.training.teachers digits

Its letters are those of ``play.load()``, so that teacher and student have one vocabulary.
"""

import argparse
import datetime
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.tokenizers import Tokenizer
from transformer.training import digits, objectives, patterns, play
from transformer.training.loop import Batch, evaluate, fit
from transformer.training.plays import plays, source

ASSETS = Path(__file__).parents[2] / "assets"
DIGITS_STEPS, DIGITS_RATE = 4000, 3e-3
LETTERS_STEPS, LETTERS_RATE = 5000, 6e-3
LENGTH, BATCH, MEASURED = 64, 24, 100  # characters a window, windows a step, held-out windows
LETTERS = Config(
    vocab_size=play.load().tokenizer.vocab_size, d_model=64, n_layers=4, n_heads=4, d_ff=128, max_len=64,
    position="rope", norm="rms", activation="silu", gated=True, tie_embeddings=True,
)  # fmt: skip


class Taught(NamedTuple):
    """A teacher, rounded to float16 as its file keeps it."""

    model: Model
    tokenizer: Tokenizer | None
    made: dict[str, object]


def shifted(size: int) -> Batch:
    """``digits.batches``, each image moved by up to a pixel up, down, left or right."""
    draw = digits.batches(size)

    def moved(dice: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = draw(dice)  # [image, 1, row, col]
        wide = F.pad(x, (1, 1, 1, 1))
        at = torch.randint(3, (size, 2), generator=dice).tolist()
        return torch.stack([image[:, r : r + digits.SIDE, c : c + digits.SIDE] for image, (r, c) in zip(wide, at)]), y

    return moved


def digits_teacher(steps: int = DIGITS_STEPS) -> Taught:
    model = build(digits.small(d_model=64, n_layers=4), 0)
    known, unseen = digits.load()
    for at in fit(model, shifted(64), steps, lr=DIGITS_RATE, loss=objectives.classified()):
        if at.step % 500 == 0:
            print(f"step {at.step}/{steps}  held out {digits.accuracy(model, unseen):.2%}", flush=True)
    model = model.half().float().eval()
    made = {
        "data": f"assets/digits, {len(known.y)} images, moved by up to a pixel", "held_out": f"{len(unseen.y)} images",
        "steps": steps, "known_accuracy": round(digits.accuracy(model, known), 4),
        "held_out_accuracy": round(digits.accuracy(model, unseen), 4),
    }  # fmt: skip
    return Taught(model, None, made)


def letters_teacher(steps: int = LETTERS_STEPS) -> Taught:
    """It reads every play but Romeo and Juliet; the few signs that are not in that one are left out."""
    shipped, model = play.load(), build(LETTERS, 0)
    known = set(shipped.tokenizer.alphabet)
    text = "\n".join(words for title, words in plays().items() if title != play.TITLE)
    ids = torch.tensor(shipped.tokenizer.encode("".join(letter for letter in text if letter in known)))
    unseen = list(patterns.held_out(shipped.unseen, LENGTH, MEASURED))
    for at in fit(model, patterns.windows(ids, LENGTH, BATCH), steps, lr=LETTERS_RATE):
        if at.step % 500 == 0:
            print(f"step {at.step}/{steps}  held out {evaluate(model, unseen):.3f}", flush=True)
    model = model.half().float().eval()
    made = {
        **source(), "held_out": f"the end of {play.TITLE}", "characters": len(ids), "steps": steps,
        "characters_a_step": LENGTH * BATCH, "held_out_loss": round(evaluate(model, unseen), 4),
        "unit": "nats a character",
    }  # fmt: skip
    return Taught(model, shipped.tokenizer, made)


TEACHERS = {"digits": digits_teacher, "letters": letters_teacher}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the teachers that students are distilled from.")
    parser.add_argument("only", nargs="*", choices=[*TEACHERS, []], default=list(TEACHERS))
    parser.add_argument("--out", type=Path, default=ASSETS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.only:
        started = time.monotonic()
        model, tokenizer, made = TEACHERS[name]()
        about = {
            "command": f"python -m transformer.training.teachers {name}", "date": datetime.date.today().isoformat(),
            "seed": 0, "minutes": round((time.monotonic() - started) / 60, 1), **made,
        }  # fmt: skip
        native.save(model.half(), tokenizer, asked.out / f"{name}-teacher", about)
        print(about)


if __name__ == "__main__":
    main()
