"""Makes assets/readable: a model so small that all its numbers fit on a page, trained on Shakespeare's plays.

    python -m transformer.training.readable --out assets/readable

Two layers of two heads of width 4: every matrix of one layer's attention can be read, and every sum checked by hand.
The plays are fetched once. What came out, and how, is written into the checkpoint's config.json under "made".
"""

import argparse
import datetime
import hashlib
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.tokenizers import BytePairEncoding, Tokenizer
from transformer.training.loop import Batch, evaluate, fit
from transformer.training.plays import plays, source

# Learned positions, so that Q = X W_Q and nothing is turned afterwards; no biases, so that a product is all there is.
CONFIG = Config(
    vocab_size=1024, d_model=8, n_layers=2, n_heads=2, d_ff=32, max_len=32,
    position="learned", norm="rms", activation="gelu", tie_embeddings=True,
)  # fmt: skip
HELD_OUT = ("as-you-like-it", "macbeth")
BATCH = 64  # windows a step
UNSEEN = 200  # windows that are measured


def windows(ids: Tensor) -> Batch:
    """Draws [BATCH, max_len + 1] ids: passages from anywhere."""
    offset = torch.arange(CONFIG.max_len + 1)
    return lambda generator: ids[torch.randint(len(ids) - len(offset), (BATCH, 1), generator=generator) + offset]


def unseen_windows(texts: Mapping[str, str], tokenizer: Tokenizer) -> Tensor:
    """Windows of the plays that it never reads, evenly spread: [window, max_len + 1]."""
    ids = torch.tensor(tokenizer.encode("\n".join(texts[title] for title in HELD_OUT)))
    found = ids.unfold(0, CONFIG.max_len + 1, CONFIG.max_len)
    return found[:: max(1, len(ids) // CONFIG.max_len // UNSEEN)]


def train(ids: Tensor, steps: int, seed: int, lr: float) -> Model:
    """A model with weights rounded to float16, as the file keeps them."""
    model = build(CONFIG, seed)
    started = time.monotonic()
    for step, loss, *_ in fit(model, windows(ids), steps, lr=lr, seed=seed, weight_decay=0.01):
        if step % 500 == 0 or step == steps:
            print(f"seed {seed}  step {step}/{steps}  loss {loss:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return model.half().float().eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "assets" / "readable")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="the first one is kept")
    parser.add_argument("--lr", type=float, default=1e-2)
    arguments = parser.parse_args()
    texts = plays()
    known = "\n".join(text for title, text in texts.items() if title not in HELD_OUT)
    tokenizer = BytePairEncoding.train(known, CONFIG.vocab_size)
    ids = torch.tensor(tokenizer.encode(known))
    unseen = unseen_windows(texts, tokenizer)

    started = time.monotonic()
    models = {seed: train(ids, arguments.steps, seed, arguments.lr) for seed in arguments.seeds}
    minutes = (time.monotonic() - started) / 60 / len(models)
    losses = {seed: round(evaluate(model, [unseen]), 4) for seed, model in models.items()}
    shares = torch.bincount(ids, minlength=CONFIG.vocab_size).float().add(1).log()
    plain = torch.nn.functional.cross_entropy(shares.expand(unseen[:, 1:].numel(), -1), unseen[:, 1:].flatten())
    made = {
        "command": f"python -m transformer.training.readable --steps {arguments.steps} --lr {arguments.lr} "
        f"--seeds {' '.join(map(str, arguments.seeds))}",
        "date": datetime.date.today().isoformat(),
        **source(),
        "text_sha256": hashlib.sha256(known.encode()).hexdigest(),
        "held_out": list(HELD_OUT),
        "kept_seed": arguments.seeds[0],
        "minutes_a_seed": round(minutes, 1),
        "threads": torch.get_num_threads(),
        "held_out_loss_by_seed": losses,
        "held_out_loss": losses[arguments.seeds[0]],
        "held_out_loss_spread": round(statistics.stdev(losses.values()), 4) if len(losses) > 1 else None,
        "held_out_loss_of_frequencies_alone": round(plain.item(), 4),
        "unit": "nats a token",
    }
    native.save(models[arguments.seeds[0]].half(), tokenizer, arguments.out, made)
    for field, value in made.items():
        print(f"{field}: {value}")


if __name__ == "__main__":
    main()
