"""Makes assets/order: small models that differ in nothing but what they are told of the order of their tokens.

    python -m transformer.training.order                          # all of them, 3 seeds each
    python -m transformer.training.order --only encoder-none --out elsewhere --steps 100

Encoders learn to fill in hidden tokens, decoders to go on. An encoder turns its queries and keys (RoPE), a decoder adds
sinusoids to what it reads, and another of each has nothing. One more decoder adds its sinusoids to embeddings that are
not multiplied by √d. All rows see the same windows in the same
order (the seed decides them). Each row's first seed is kept as a checkpoint in float16, assets/order/<row>/, and
assets/order/curves.json holds what all the runs came to.
"""

import datetime
import functools
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.positions import share, sinusoidal
from transformer.pretrained import load, native
from transformer.tokenizers import Tokenizer
from transformer.training.loop import Batch, evaluate, fit, next_token_loss
from transformer.training.patterns import held_out, options, windows
from transformer.training.plays import plays, source

FOLDER = Path(__file__).parents[2] / "assets" / "order"
BASE = dict(
    vocab_size=1024, d_model=48, n_layers=2, n_heads=4, d_ff=96, max_len=64, norm="layer", activation="gelu",
    scale_embeddings=True, init="xavier", tie_embeddings=True,
)  # fmt: skip
ROWS: dict[str, dict] = {
    "encoder": dict(kind="encoder", head="mlm", position="rope"),  # with sinusoids it still guesses by frequency
    "encoder-none": dict(kind="encoder", head="mlm", position="none"),
    "decoder": dict(position="sinusoidal"),
    "decoder-none": dict(position="none"),
    "decoder-unscaled": dict(position="sinusoidal", scale_embeddings=False),
}
HELD_OUT = ("as-you-like-it", "macbeth")  # whole plays that no model here reads; nor did the tokenizer
LENGTH = 64  # tokens a window
BATCH = 16  # windows a step
HIDDEN = 0.15  # the share of tokens that an encoder has to fill in
MEASURED = 64  # held-out windows that a loss is the mean of
EVERY = 50  # steps between two points of a curve
SEEDS = (0, 1, 2)


def config_of(row: str) -> Config:
    """The model of a row. Raises ValueError for a row that is not there."""
    if row not in ROWS:
        raise ValueError(f"there is no row {row!r}; the rows are {', '.join(ROWS)}.")
    return Config(**BASE | ROWS[row])


def mask_id(tokenizer: Tokenizer) -> int:
    """What stands where a token is hidden: the end of text, which no window holds."""
    return tokenizer.end_id


@functools.cache
def corpus() -> tuple[Tokenizer, Tensor, Tensor]:
    """(the tiny model's tokenizer, ids to learn from, ids held out)."""
    _, tokenizer = load("tiny")
    texts = plays()
    known, unseen = ([tokenizer.encode(text) for title, text in texts.items() if (title in HELD_OUT) is away]
                     for away in (False, True))  # fmt: skip
    return tokenizer, *(torch.tensor([i for ids in of for i in ids]) for of in (known, unseen))


def hiding(batch: Batch, mask: int) -> Batch:
    """Draws (ids with some hidden, ids, which ones), each [batch, token]."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        ids = batch(generator)[:, :-1]
        hidden = torch.rand(ids.shape, generator=generator) < HIDDEN
        return ids.masked_fill(hidden, mask), ids, hidden

    return draw


def filled_in(model: Model, examples: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """L = −mean over hidden tokens of log p(x_t | the others), in nats."""
    read, ids, hidden = examples
    return F.cross_entropy(model(read)[hidden].float(), ids[hidden])


@torch.no_grad()
def measured_share(model: Model, ids: Tensor) -> float:
    """Over every token of ``ids`` [window, token] at its place; 0 for a model that adds no position."""
    config, P = model.config, sinusoidal(torch.arange(ids.shape[1])[None], model.config.d_model)
    if config.position != "sinusoidal":
        return 0.0
    E = model.embedding.W_E.weight[ids] * (config.d_embed**0.5 if config.scale_embeddings else 1.0)
    return share(E, P).mean().item()


def train(row: str, seed: int, steps: int, lr: float) -> tuple[Model, dict]:
    """(the model, rounded to float16 as its file will keep it; what the run came to)."""
    tokenizer, ids, unseen = corpus()
    config, mask = config_of(row), mask_id(tokenizer)
    batch, test = windows(ids, LENGTH, BATCH), held_out(unseen, LENGTH, MEASURED)
    loss = next_token_loss
    if config.kind == "encoder":
        rows = test[:, 0]
        same = torch.Generator().manual_seed(0)  # every row and seed fills in the same tokens
        test = [hiding(lambda _: rows, mask)(same)]
        batch, loss = hiding(batch, mask), filled_in
    model = build(config, seed)
    started, curve = time.process_time(), {"step": [], "loss": [], "share": []}

    def note(step: int) -> None:
        curve["step"].append(step)
        curve["loss"].append(round(evaluate(model, test, loss), 4))
        curve["share"].append(round(measured_share(model, unseen[: LENGTH * 32].view(32, LENGTH)), 4))

    note(0)
    for step, *_ in fit(model, batch, steps, loss=loss, lr=lr, seed=seed):
        if step % EVERY == 0:
            note(step)
    seconds = time.process_time() - started
    model = model.half().float().eval()
    run = {"row": row, "seed": seed, "held_out_loss": round(evaluate(model, test, loss), 4),
           "processor_seconds": round(seconds, 1), "curve": curve}  # fmt: skip
    print(f"{row:18} seed {seed}  {run['held_out_loss']:.4f} nats  {seconds:.0f} s", flush=True)
    return model, run


def about(steps: int, lr: float) -> dict:
    """What all rows share."""
    return {
        "command": f"python -m transformer.training.order --steps {steps} --lr {lr}",
        "date": datetime.date.today().isoformat(),
        **source(),
        "held_out": list(HELD_OUT),
        "steps": steps,
        "tokens_a_step": LENGTH * BATCH,
        "hidden_share": HIDDEN,
        "unit": "nats a token; of the hidden tokens, for an encoder",
    }


def main() -> None:
    arguments = options(__doc__, ROWS, FOLDER, steps=1500, lr=4e-3)
    file = arguments.out / "curves.json"
    before = json.loads(file.read_text("utf-8"))["runs"] if file.is_file() else []
    runs = [run for run in before if run["row"] not in arguments.only]
    shared = about(arguments.steps, arguments.lr)
    for seed in SEEDS:  # outermost: a run that is cut short has all rows
        for row in arguments.only:
            model, run = train(row, seed, arguments.steps, arguments.lr)
            runs.append(run)
            if seed == SEEDS[0]:
                kept = {name: value for name, value in run.items() if name != "curve"}
                native.save(model.half(), corpus()[0], arguments.out / row, {**shared, **kept})
            runs.sort(key=lambda one: (list(ROWS).index(one["row"]), one["seed"]))
            file.write_text(json.dumps({"made": shared, "runs": runs}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
