"""Makes assets/patterns: small decoders that differ in nothing but who may look at whom, trained on the plays.

    python -m transformer.training.patterns                              # all of them, 3 seeds each
    python -m transformer.training.patterns --only window linear         # these; the other rows of the table stay
    python -m transformer.training.patterns --out elsewhere --only full --steps 200

Any attention that a decoder can have goes in by name: a row of ``PATTERNS`` is the options of its Config. Every row
sees the same windows in the same order (the seed decides them), so that a difference is the attention's own, and the
spread over the seeds says how much of it is luck. Each row's first seed is kept as a checkpoint in float16,
assets/patterns/<row>/, and assets/patterns/table.json holds what all the runs came to.
"""

import argparse
import datetime
import functools
import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.tokenizers import BytePairEncoding
from transformer.training.loop import Batch, evaluate, fit
from transformer.training.plays import plays, source

FOLDER = Path(__file__).parents[2] / "assets" / "patterns"
BASE = dict(
    vocab_size=320, d_model=48, n_layers=3, n_heads=4, d_ff=56, max_len=256,
    position="rope", norm="rms", activation="silu", gated=True, tie_embeddings=True,
)  # fmt: skip
# At 128 tokens each sparse row lets its last query see 16 to 24 keys or so, so that none is cheap by seeing less.
PATTERNS: dict[str, dict] = {
    "full": dict(attention="full"),
    "window": dict(attention="window", window=20),
    "dilated": dict(attention="dilated", dilation=3, window=20),
    "strided": dict(attention="strided", dilation=12),
    "longformer": dict(attention="longformer", window=18, global_tokens=2),
    "bigbird": dict(attention="bigbird", window=16, global_tokens=2, random_keys=2),
    "lsh": dict(attention="lsh", chunk=16, hashes=2),
    "performer": dict(attention="performer", features=32),
    "linear": dict(attention="linear"),
}
HELD_OUT = ("as-you-like-it", "macbeth")  # whole plays that no model here reads
LENGTH = 128  # tokens a window
BATCH = 6  # windows a step
MEASURED = 72  # held-out windows that a loss is the mean of
SEEDS = (0, 1, 2)


def config_of(row: str) -> Config:
    """The decoder of a row. Raises ValueError for a row that is not there."""
    if row not in PATTERNS:
        raise ValueError(f"there is no row {row!r}; the rows are {', '.join(PATTERNS)}.")
    return Config(**BASE, **PATTERNS[row])


@functools.cache
def corpus(vocab_size: int = BASE["vocab_size"]) -> tuple[BytePairEncoding, Tensor, Tensor, float]:
    """(tokenizer, ids to learn from, ids held out, characters that a held-out token stands for)."""
    known = [text for title, text in plays().items() if title not in HELD_OUT]
    tokenizer = BytePairEncoding.train("\n".join(known), vocab_size)
    return tokenizer, _joined(known, tokenizer), *unseen_plays(tokenizer)


def unseen_plays(tokenizer: BytePairEncoding) -> tuple[Tensor, float]:
    """(ids of the plays that no model here reads, characters that one of these tokens stands for)."""
    texts = [plays()[title] for title in HELD_OUT]
    ids = _joined(texts, tokenizer)
    return ids, sum(map(len, texts)) / len(ids)


def _joined(texts: list[str], tokenizer: BytePairEncoding) -> Tensor:
    return torch.tensor([i for text in texts for i in [*tokenizer.encode(text), tokenizer.end_id]])


def windows(ids: Tensor, length: int = LENGTH, batch: int = BATCH) -> Batch:
    """Draws [batch, length + 1] ids, each row a passage of the text."""

    def draw(generator: torch.Generator) -> Tensor:
        at = torch.randint(len(ids) - length - 1, (batch, 1), generator=generator)
        return ids[at + torch.arange(length + 1)]

    return draw


def held_out(unseen: Tensor, length: int = LENGTH, count: int = MEASURED) -> Tensor:
    """``count`` windows of the held-out plays, evenly spread: [window, 1, length + 1]."""
    every = unseen.unfold(0, length + 1, length)
    return every[:: max(1, len(every) // count)][:count, None]


@torch.no_grad()
def surprise(model: Model, ids: list[int]) -> Tensor:
    """−log p(x_{t+1} | x_{≤t}) of every token but the first, in nats.   -> [token − 1]"""
    logits = model(torch.tensor([ids]))[0, :-1]
    return F.cross_entropy(logits, torch.tensor(ids[1:], dtype=torch.long), reduction="none")


def train(row: str, seed: int, steps: int, lr: float) -> tuple[Model, dict]:
    """(the model, rounded to float16 as its file will keep it; what the run came to)."""
    _, ids, unseen, characters = corpus()
    model = build(config_of(row), seed)
    started, losses = time.process_time(), []
    for step, loss, *_ in fit(model, windows(ids), steps, lr=lr, seed=seed):
        losses.append(loss)
    seconds = time.process_time() - started
    model = model.half().float().eval()
    L = evaluate(model, held_out(unseen))
    run = {
        "seed": seed,
        "held_out_loss": round(L, 4),
        "held_out_nats_a_character": round(L / characters, 4),
        "train_loss": round(sum(losses[-50:]) / len(losses[-50:]), 4),
        "processor_seconds": round(seconds, 1),
    }
    print(f"{row:12} {run}", flush=True)
    return model, run


def about(steps: int, lr: float) -> dict:
    """What all rows share."""
    return {
        "command": f"python -m transformer.training.patterns --steps {steps} --lr {lr}",
        **source(),
        "held_out": list(HELD_OUT),
        "held_out_tokens": MEASURED * LENGTH,
        "steps": steps,
        "tokens_a_step": LENGTH * BATCH,
        "length": LENGTH,
        "unit": "nats a token",
    }


def options(doc: str, rows: Iterable[str], folder: Path, *, steps: int, lr: float) -> argparse.Namespace:
    """What a script that trains several rows is asked for; it trains on one thread. A row that is not there ends it."""
    rows = list(rows)
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=rows, choices=rows, metavar="ROW", help=", ".join(rows))
    parser.add_argument("--out", type=Path, default=folder)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--lr", type=float, default=lr)
    torch.set_num_threads(1)
    return parser.parse_args()


def main() -> None:
    arguments = options(__doc__, PATTERNS, FOLDER, steps=500, lr=6e-3)
    file = arguments.out / "table.json"
    rows = json.loads(file.read_text("utf-8"))["rows"] if file.is_file() else {}
    shared, today = about(arguments.steps, arguments.lr), datetime.date.today().isoformat()
    for row in arguments.only:
        rows[row] = {"options": PATTERNS[row], "date": today, "runs": []}
    for seed in SEEDS:  # outermost: a run that is cut short has all rows
        for row in arguments.only:
            model, run = train(row, seed, arguments.steps, arguments.lr)
            rows[row]["runs"].append(run)
            if seed == SEEDS[0]:
                made = {**shared, "row": row, "date": today, **run}
                native.save(model.half(), corpus()[0], arguments.out / row, made)
            ordered = {name: rows[name] for name in PATTERNS if name in rows}
            file.write_text(json.dumps({"made": shared, "rows": ordered}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
