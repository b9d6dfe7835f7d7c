"""The training loop: predict, measure, step downhill; small enough to read at once."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.device import dice
from transformer.models import Model
from transformer.schedule import Schedule, cosine

Examples = Tensor | tuple[Tensor, ...]
Batch = Callable[[torch.Generator], Examples]  # draws the next batch
Metrics = dict[str, Tensor]
Precision = Literal["float32", "bfloat16"]
Loss = Callable[[Model, Examples], Tensor | tuple[Tensor, Metrics]]  # what to make small, and what else to report


class Progress(NamedTuple):
    """Where training stands after a step."""

    step: int  # 1 … steps
    loss: float  # of the batch, before this step changed the weights
    lr: float
    grad_norm: float  # before clipping
    metrics: dict[str, float]  # what the loss reports beside itself


@dataclass
class State:
    """Everything that the next step depends on, but for the data and the settings: ``checkpoint`` keeps it in files."""

    model: Model
    optimiser: torch.optim.AdamW
    generator: torch.Generator  # rolls the dice for batches; dropout's are seeded anew at each step
    seed: int
    step: int = 0  # how many have been taken

    @classmethod
    def start(cls, model: Model, *, weight_decay: float = 0.1, seed: int = 0) -> "State":
        return cls(model, optimiser_for(model, weight_decay), torch.Generator().manual_seed(seed), seed)


def fit(
    model: Model,
    batch: Batch,
    steps: int,
    *,
    loss: Loss | None = None,
    lr: float | Schedule = 1e-3,
    warmup: int = 100,
    weight_decay: float = 0.1,
    clip: float = 1.0,
    seed: int = 0,
    precision: Precision = "float32",
    state: State | None = None,
) -> Iterator[Progress]:
    """Train ``model`` in place up to step ``steps``, and yield after every step; stop listening, and it stops.

    AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) with decay on matrices only, and gradients scaled down to a joint
    length of ``clip``. ``loss``: next-token cross-entropy unless given. ``lr``: a schedule (``transformer.schedule``),
    or the peak of a cosine after ``warmup`` steps. ``seed`` decides everything random, batches and dropout, so the same
    call on the same weights gives the same weights. The model is in training mode during a step alone.

    ``precision``: "bfloat16" multiplies matrices in it (torch's autocast; weights, AdamW and the softmax stay in float32):
    a quarter faster on processors that have such an instruction, slower on those that have not. ``evaluate`` never does.

    ``state``: go on from there, with its own seed and decay: ``State.start(model)``, kept by the caller and updated
    after every step, or what ``checkpoint.load`` gives. A run that is stopped and resumed equals one that never was.
    Raises ValueError when ``state`` belongs to another model, and when the loss is no longer a number.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"there is no precision {precision!r} to train in; there is {' and '.join(get_args(Precision))}.")
    state = state or State.start(model, weight_decay=weight_decay, seed=seed)
    if state.model is not model:
        raise ValueError("the state belongs to another model; pass state.model, which is the one it trains.")
    loss = loss or next_token_loss
    rate = lr if callable(lr) else cosine(lr, steps, warmup)
    return _steps(state, batch, steps, loss if precision == "float32" else _in_bfloat16(loss), rate, clip)


def _in_bfloat16(loss: Loss) -> Loss:
    def mixed(model: Model, examples: Examples) -> Tensor | tuple[Tensor, Metrics]:
        with torch.autocast(next(model.parameters()).device.type, torch.bfloat16):
            return loss(model, examples)

    return mixed


def _steps(state: State, batch: Batch, steps: int, loss: Loss, rate: Schedule, clip: float) -> Iterator[Progress]:
    parameters = list(state.model.parameters())
    try:
        while state.step < steps:
            yield _step(state, parameters, batch, loss, rate(state.step + 1), clip)
    finally:
        _forget_gradients(parameters)


def _step(state: State, parameters: list[Tensor], batch: Batch, loss: Loss, lr: float, clip: float) -> Progress:
    model, optimiser, device = state.model, state.optimiser, parameters[0].device
    for group in optimiser.param_groups:
        group["lr"] = lr
    examples = _to(device, batch(state.generator))
    if not (was_training := model.training):
        model.train()
    try:
        with dice(state.seed + state.step, device):  # dropout's
            L = loss(model, examples)
            L, metrics = L if isinstance(L, tuple) else (L, {})
            # Not earlier: while the old gradients lie above it, the memory that the forward pass takes is not handed
            # back to the system, which would have to clear it page by page.
            _forget_gradients(parameters)
            L.backward()
    finally:
        if not was_training:
            model.eval()
    length = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
    # The one moment in a step at which a GPU is waited for.
    L, norm, *values = torch.stack([x.detach().float() for x in (L, length, *metrics.values())]).tolist()
    if not math.isfinite(L) or not math.isfinite(norm):
        what = f"the gradient's length became {norm}" if math.isfinite(L) else f"the loss became {L}"
        raise ValueError(f"{what} at step {state.step + 1}; a smaller lr than {lr:.3g} keeps it finite.")
    if norm > clip:
        nn.utils.clip_grads_with_norm_(parameters, clip, length, foreach=True)
    optimiser.step()
    state.step += 1
    return Progress(state.step, L, lr, norm, dict(zip(metrics, values, strict=True)))


def optimiser_for(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that shrinks matrices and leaves biases and norms alone; its lr is set at each step."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    # Fused: one pass over all weights instead of some ten.
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.95), fused=True)


def next_token_loss(model: Model, ids: Tensor) -> Tensor:
    """L = −(1/n) Σ_t log p(x_{t+1} | x_{≤t}), in nats a token.   ids [batch, token + 1] -> []."""
    logits = model(ids[:, :-1])  # [batch, token, vocab]
    return F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


@torch.no_grad()
def evaluate(model: Model, batches: Iterable[Examples], loss: Loss = next_token_loss) -> float:
    """The mean loss over ``batches``, which must be of one size, without training on them."""
    was_training = model.training
    model.eval()
    measured = [loss(model, examples) for examples in batches]
    model.train(was_training)
    if not measured:
        raise ValueError("there is no batch to evaluate on.")
    return sum((L[0] if isinstance(L, tuple) else L).item() for L in measured) / len(measured)


def _forget_gradients(parameters: list[Tensor]) -> None:
    for p in parameters:
        p.grad = None


def _to(device: torch.device, examples: Examples) -> Examples:
    return tuple(x.to(device) for x in examples) if isinstance(examples, tuple) else examples.to(device)
