"""The training loop: predict, measure, step downhill; small enough to read at once."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.models import Model

Batch = Callable[[torch.Generator], Tensor]  # draws the next batch
Loss = Callable[[Model, Tensor], Tensor]


class Progress(NamedTuple):
    """Where training stands after a step."""

    step: int  # 1 … steps
    loss: float  # of the batch, before this step changed the weights
    lr: float
    grad_norm: float  # before clipping


def next_token_loss(model: Model, ids: Tensor) -> Tensor:
    """L = −(1/n) Σ_t log p(x_{t+1} | x_{≤t}), in nats a token.   ids [batch, token + 1] -> []."""
    logits = model(ids[:, :-1])  # [batch, token, vocab]
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def fit(
    model: Model,
    batch: Batch,
    steps: int,
    *,
    loss: Loss = next_token_loss,
    lr: float = 1e-3,
    warmup: int = 100,
    weight_decay: float = 0.1,
    clip: float = 1.0,
    seed: int = 0,
) -> Iterator[Progress]:
    """Train ``model`` in place, and yield after every step; stop listening, and it stops.

    AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) with decay on matrices only, ``schedule`` below, and gradients
    scaled down to a joint length of ``clip``. ``seed`` decides everything random, batches and dropout, so the same call
    on the same weights gives the same weights. The model is in training mode during a step alone.
    Raises ValueError when the loss is no longer a number.
    """
    optimiser = optimiser_for(model, weight_decay)
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    for step in range(steps):
        rate = lr * schedule(step, steps, warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate
        examples = batch(generator).to(device)
        was_training = model.training
        with torch.random.fork_rng():  # dropout draws from the global generator, which is the caller's to keep
            torch.manual_seed(seed + step)
            L = loss(model.train(), examples)
            L.backward()
        grad_norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
        if not math.isfinite(L.item()):
            raise ValueError(f"the loss became {L.item()} at step {step + 1}; a smaller lr than {lr} keeps it finite.")
        optimiser.step()
        optimiser.zero_grad()
        model.train(was_training)
        yield Progress(step + 1, L.item(), rate, grad_norm.item())


def optimiser_for(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that shrinks matrices and leaves biases and norms alone; its lr is set at each step."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.95))


def schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the full learning rate at ``step`` = 0, 1, …: a straight rise, then half a cosine down to a tenth.

    Goyal et al. 2017, arXiv:1706.02677 (warm-up); Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine).
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def evaluate(model: Model, batches: Iterable[Tensor], loss: Loss = next_token_loss) -> float:
    """The mean loss over ``batches``, which must be of one size, without training on them."""
    was_training = model.training
    model.eval()
    losses = [loss(model, batch).item() for batch in batches]
    model.train(was_training)
    if not losses:
        raise ValueError("there is no batch to evaluate on.")
    return sum(losses) / len(losses)
