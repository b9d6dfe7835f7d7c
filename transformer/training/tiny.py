"""Makes assets/tiny, the model that is always there: a small modern decoder, trained on Shakespeare's plays.

    python -m transformer.training.tiny --out assets/tiny

The plays are fetched once. What came out, and how, is written into the checkpoint's config.json under "made".
"""

import argparse
import datetime
import hashlib
import time
from pathlib import Path

import torch
from torch import Tensor

from transformer.config import Config
from transformer.generate import generate
from transformer.build import build
from transformer.pretrained import native
from transformer.tokenizers import BytePairEncoding
from transformer.training.loop import Batch, evaluate, fit
from transformer.training.plays import plays, source

# Llama's shape. 16 heads in all, so that every map fits on one screen; float16 weights stay below a megabyte.
CONFIG = Config(
    vocab_size=1024, d_model=96, n_layers=4, n_heads=4, d_ff=192, max_len=256,
    position="rope", norm="rms", activation="silu", gated=True, tie_embeddings=True,
)  # fmt: skip
HELD_OUT = ("as-you-like-it", "macbeth")  # whole plays that the model never reads
LENGTH = 256  # tokens a window
BATCH = 6  # windows a step
TWICE = 0.2  # the share of windows that say a passage twice


def train(steps: int, seed: int, lr: float) -> tuple:
    """(model with weights rounded to float16, tokenizer, what to know about how it was made)."""
    texts = plays()
    known = {title: text for title, text in texts.items() if title not in HELD_OUT}
    tokenizer = BytePairEncoding.train("\n".join(known.values()), CONFIG.vocab_size)
    end = [tokenizer.end_id]
    ids = torch.tensor([i for text in known.values() for i in [*tokenizer.encode(text), *end]])
    unseen = torch.tensor([i for title in HELD_OUT for i in [*tokenizer.encode(texts[title]), *end]])

    model = build(CONFIG, seed)
    started = time.monotonic()
    for step, loss, rate, *_ in fit(model, windows(ids), steps, lr=lr, seed=seed):
        if step % 100 == 0 or step == steps:
            print(f"step {step}/{steps}  loss {loss:.3f}  lr {rate:.2e}  {time.monotonic() - started:.0f} s", flush=True)
    minutes = (time.monotonic() - started) / 60

    model = model.half().float().eval()  # as the file will keep it
    characters = sum(len(texts[title]) for title in HELD_OUT) / len(unseen)  # a token
    held_out = evaluate(model, in_order(unseen))
    made = {
        "command": f"python -m transformer.training.tiny --steps {steps} --seed {seed} --lr {lr}",
        "date": datetime.date.today().isoformat(),
        **source(),
        "text_sha256": hashlib.sha256("\n".join(known.values()).encode()).hexdigest(),
        "tokens": len(ids),
        "held_out": list(HELD_OUT),
        "steps": steps,
        "tokens_a_step": LENGTH * BATCH,
        "minutes": round(minutes, 1),
        "threads": torch.get_num_threads(),
        "train_loss": round(evaluate(model, in_order(ids[: len(unseen)])), 4),
        "held_out_loss": round(held_out, 4),
        "held_out_nats_a_character": round(held_out / characters, 4),
        "unit": "nats a token",
    }
    return model, tokenizer, made


def windows(ids: Tensor) -> Batch:
    """Draws [BATCH, LENGTH + 1] ids: passages of the text, some of which come twice in their window.

    Repetition is what induction heads live on, and plays have little of it: in ``TWICE`` of the windows a passage of
    random length begins again, and fills the rest. At this size and length of training it was not enough: the shipped
    model has heads that read the previous token (layer 2, heads 2 and 3), and none for induction.
    """

    def draw(generator: torch.Generator) -> Tensor:
        at = torch.randint(len(ids) - LENGTH - 1, (BATCH, 1), generator=generator)
        period = torch.randint(8, LENGTH // 2, (BATCH, 1), generator=generator)
        twice = torch.rand((BATCH, 1), generator=generator) < TWICE
        offset = torch.arange(LENGTH + 1).expand(BATCH, -1)
        return ids[at + torch.where(twice, offset % period, offset)]

    return draw


def in_order(ids: Tensor) -> Tensor:
    """The text as [window, 1, LENGTH + 1], each window beginning with the token that the last one ended on."""
    return ids.unfold(0, LENGTH + 1, LENGTH)[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "assets" / "tiny")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=6e-3)
    arguments = parser.parse_args()
    model, tokenizer, made = train(arguments.steps, arguments.seed, arguments.lr)
    start = tokenizer.encode("Romeo:\n")
    said = [step.token for step in generate(model, start, max_new_tokens=120, temperature=0.7, seed=arguments.seed)]
    made["sample"] = tokenizer.decode(start + said)
    native.save(model.half(), tokenizer, arguments.out, made)
    for field, value in made.items():
        print(f"{field}: {value}")


if __name__ == "__main__":
    main()
