"""Makes assets/segments: small Transformer-XL decoders, trained on Shakespeare's plays with a memory and without one.

    python -m transformer.training.segments --out assets/segments

Three seeds of each; the first with memory is kept, and what all of them measured is written beside it, under "made".
A memory's keys and values get no gradient. (The paper stops one step earlier, at the vectors that keys and values are
made of, so that there W_K and W_V learn from the memory, too.) Dai et al. 2019, arXiv:1901.02860
"""

import argparse
import datetime
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.cache import Cache, KeyValues
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import load, native
from transformer.segments import with_memory
from transformer.training.loop import Batch, fit
from transformer.training.plays import plays, source
from transformer.training.tiny import HELD_OUT

LENGTH = 16  # tokens a segment; the memory is as long
SEGMENTS = 4  # in a window that is read in order; the first has no memory yet
BATCH = 24  # windows a step
HELD_OUT_SEGMENTS = 8  # in a window to measure on
CONFIG = Config(
    vocab_size=1024, d_model=64, n_layers=3, n_heads=4, d_ff=128, max_len=256, attention="recurrent", memory=LENGTH,
    position="xl", norm="rms", activation="silu", gated=True, tie_embeddings=True,
)  # fmt: skip
MEMORIES = (0, 4, 8, 16, 32, 64)  # tokens, that the trained one is read with
KINDS = {"with": True, "without": False}


def without_gradient(cache: Cache) -> Cache:
    """The same memory, cut off from how it was made."""
    layers = tuple(KeyValues().append(layer.K.detach(), layer.V.detach()) for layer in cache.layers)
    return replace(cache, layers=layers)


def losses(model: Model, ids: Tensor, remembers: bool) -> Tensor:
    """−log p(x_{t+1} | what x_t may see), segment by segment.   ids [batch, token + 1] -> [batch, token]"""
    segments, after = ids[:, :-1].unflatten(1, (-1, LENGTH)), ids[:, 1:]  # [batch, segment, place], [batch, token]
    if not remembers:
        logits = model(segments.flatten(0, 1)).unflatten(0, segments.shape[:2])  # [batch, segment, place, vocab]
    else:
        cache, read = Cache.empty(model.config.n_layers), []
        for segment in segments.unbind(1):
            one, cache = model.extend(segment, cache)
            cache = without_gradient(cache)
            read.append(one)
        logits = torch.stack(read, 1)
    return F.cross_entropy(logits.flatten(0, 2).float(), after.flatten(), reduction="none").view_as(after)


@torch.no_grad()
def by_position(model: Model, windows: Tensor, remembers: bool) -> Tensor:
    """Mean loss at each place of a segment, those at the start of a window left out, whose memory is not full yet.

    windows [window, token + 1] -> [place]
    """
    warm = -(-max(LENGTH, model.config.memory) // LENGTH) * LENGTH
    each = torch.cat([losses(model, part, remembers)[:, warm:] for part in windows.split(64)])
    return each.unflatten(1, (-1, LENGTH)).mean((0, 1))


def windows_of(ids: Tensor) -> Batch:
    """Draws [BATCH, SEGMENTS · LENGTH + 1] ids: passages of the text."""
    n = SEGMENTS * LENGTH + 1

    def draw(generator: torch.Generator) -> Tensor:
        at = torch.randint(len(ids) - n, (BATCH, 1), generator=generator)
        return ids[at + torch.arange(n)]

    return draw


def train(remembers: bool, ids: Tensor, steps: int, seed: int, lr: float) -> Model:
    """A model with its weights rounded as the file will keep them."""
    model = build(CONFIG, seed)
    started = time.monotonic()
    loss = lambda model, ids: losses(model, ids, remembers).mean()  # noqa: E731
    for step, value, *_ in fit(model, windows_of(ids), steps, loss=loss, lr=lr, seed=seed):
        if step % 500 == 0 or step == steps:
            print(f"memory {remembers}, seed {seed}: step {step}/{steps}  loss {value:.3f}  "
                  f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
    return model.half().float().eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "assets" / "segments")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=4e-3)
    options = parser.parse_args()
    _, tokenizer = load("tiny")
    texts = plays()
    end = [tokenizer.end_id]
    ids = torch.tensor([i for title, text in texts.items() if title not in HELD_OUT
                        for i in [*tokenizer.encode(text), *end]])  # fmt: skip
    unseen = torch.tensor([i for title in HELD_OUT for i in [*tokenizer.encode(texts[title]), *end]])
    held_out = unseen.unfold(0, HELD_OUT_SEGMENTS * LENGTH + 1, HELD_OUT_SEGMENTS * LENGTH)[::2]

    started, kept, found = time.monotonic(), None, {kind: [] for kind in KINDS}
    by_memory = []
    for seed in range(options.seeds):
        for kind, remembers in KINDS.items():
            model = train(remembers, ids, options.steps, seed, options.lr)
            found[kind].append([round(x, 4) for x in by_position(model, held_out, remembers).tolist()])
            print(f"{kind} memory, seed {seed}: {sum(found[kind][-1]) / LENGTH:.4f} nats a token", flush=True)
            if remembers:
                read = [by_position(with_memory(model, m), held_out, m > 0).mean().item() for m in MEMORIES]
                by_memory.append([round(x, 4) for x in read])
                print(f"  read with a memory of {MEMORIES}: {by_memory[-1]}", flush=True)
                kept = kept or model
    made = {
        "command": f"python -m transformer.training.segments --steps {options.steps} --seeds {options.seeds} --lr "
                   f"{options.lr}",
        "date": datetime.date.today().isoformat(),
        **source(),
        "tokenizer": "of assets/tiny",
        "tokens": len(ids),
        "held_out": list(HELD_OUT),
        "held_out_tokens": held_out.numel(),
        "steps": options.steps,
        "tokens_a_step": BATCH * SEGMENTS * LENGTH,
        "seeds": list(range(options.seeds)),
        "segment": LENGTH,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "threads": torch.get_num_threads(),
        "loss_by_position": found,  # with and without memory: [seed, place in the segment]
        "memories": list(MEMORIES),
        "loss_by_memory": by_memory,  # of those trained with one: [seed, memory]
        "unit": "nats a token",
    }
    native.save(kept.half(), tokenizer, options.out, made)


if __name__ == "__main__":
    main()
