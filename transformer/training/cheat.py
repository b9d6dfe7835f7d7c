"""Makes assets/cheat: what a language model learns when its causal mask is broken, beside the same model with it.

    python -m transformer.training.cheat --out assets/cheat

Both learn to say the next token of the plays; data, seeds, width and steps are the same. One sees the past only. The
other is an encoder with the decoder's task: every token sees the whole window, and with it the very token it is asked
for, one place to the right. Its loss falls far below what any honest model reaches, and it cannot write: when it writes
there is no future to copy. assets/cheat/curves.json holds, for three seeds each and as training goes on, the loss on
held-out plays in two ways: ``whole``, with the whole window in front of the model as in training, and ``cut``, each
answer asked for when the text ends before it, as in writing. For the causal model the two are one number: no later
token touches an earlier row.
"""

import argparse
import datetime
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.training.loop import fit
from transformer.training.patterns import BASE, HELD_OUT, SEEDS, corpus, held_out, windows
from transformer.training.plays import source

FOLDER = Path(__file__).parents[2] / "assets" / "cheat"
CAUSAL = Config(**BASE)
MASKS = {"causal": CAUSAL, "broken": replace(CAUSAL, kind="encoder", head="lm")}
LENGTH = 96  # tokens a window
BATCH = 12  # windows a step
CUTS = range(8, LENGTH, 8)  # where a held-out window ends before its answer
MEASURED = 60  # held-out windows
BLIND = math.log(CAUSAL.vocab_size)  # the loss of a guess that knows nothing


def likelihood(loss: float) -> float:
    """e^(−L): the probability that a loss of L nats a token gives the right token, as a geometric mean."""
    return math.exp(-loss)


@torch.no_grad()
def losses(model: Model, unseen: Tensor) -> tuple[float, float]:
    """The mean loss at the places ``CUTS`` of held-out windows: (with the whole window in front of the model, with the
    text cut before the answer), in nats a token.   unseen [window, LENGTH + 1]"""
    was_training = model.training
    model.eval()
    read, answer = unseen[:, :-1], unseen[:, 1:]
    logits = model(read)  # [window, token, vocab]
    at = torch.tensor([cut - 1 for cut in CUTS])
    whole = F.cross_entropy(logits[:, at].flatten(0, 1), answer[:, at].flatten())
    cut = [F.cross_entropy(model(read[:, :n])[:, -1], answer[:, n - 1]) for n in CUTS]
    model.train(was_training)
    return whole.item(), torch.stack(cut).mean().item()


@torch.no_grad()
def continued(model: Model, ids: list[int], count: int) -> list[int]:
    """The ``count`` likeliest next tokens, one after the other; all is read anew each time, since a model without a
    causal mask changes its mind about earlier tokens, too."""
    said = list(ids)
    for _ in range(count):
        said.append(model(torch.tensor([said]))[0, -1].argmax().item())
    return said[len(ids) :]


def train(kind: str, seed: int, steps: int, lr: float, every: int) -> tuple[Model, dict]:
    """(the model, rounded to float16 as its file will keep it; the curves of its training)."""
    tokenizer, ids, unseen, _ = corpus()
    test = held_out(unseen, LENGTH, MEASURED)[:, 0]
    model = build(MASKS[kind], seed)
    curve: dict[str, list[float]] = {"step": [], "train": [], "whole": [], "cut": []}
    started, recent = time.process_time(), []
    for step, loss, *_ in fit(model, windows(ids, LENGTH, BATCH), steps, lr=lr, warmup=50, seed=seed):
        recent.append(loss)
        if step == 1 or step % every == 0:
            whole, cut = losses(model, test)
            for name, value in zip(curve, (step, sum(recent) / len(recent), whole, cut), strict=True):
                curve[name].append(round(value, 4))
            recent = []
    model = model.half().float().eval()
    whole, cut = losses(model, test)
    start = tokenizer.encode("Romeo:\n")
    run = {
        "mask": kind,
        "seed": seed,
        "whole": round(whole, 4),
        "cut": round(cut, 4),
        "sample": tokenizer.decode(start + continued(model, start, 40)),
        "processor_seconds": round(time.process_time() - started, 1),
    }
    print(run, flush=True)
    return model, run | {"curve": curve}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--lr", type=float, default=8e-3)
    parser.add_argument("--every", type=int, default=20, help="steps between two measurements")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = {
        "command": f"python -m transformer.training.cheat --steps {arguments.steps} --lr {arguments.lr} "
        f"--every {arguments.every}",
        "date": datetime.date.today().isoformat(),
        **source(),
        "held_out": list(HELD_OUT),
        "steps": arguments.steps,
        "tokens_a_step": LENGTH * BATCH,
        "unit": "nats a token",
    }
    runs = []
    for seed in SEEDS:
        for kind in MASKS:
            model, run = train(kind, seed, arguments.steps, arguments.lr, arguments.every)
            runs.append(run)
            if seed == SEEDS[0]:
                about = made | {name: value for name, value in run.items() if name != "curve"}
                native.save(model.half(), corpus()[0], arguments.out / kind, about)
    text = json.dumps({"made": made, "runs": runs}, indent=1) + "\n"
    (arguments.out / "curves.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
