"""Generation: one token at a time, each read once thanks to the KV cache."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from transformer import names, sampling
from transformer.decoding import Reader
from transformer.models import Ids, Model
from transformer.tap import Edit, RecordingTap, Trace


@dataclass(frozen=True)
class Step:
    """One generated token.

    ``probability`` is the token's share of the distribution it was drawn from (after temperature and truncation);
    for a greedy step (temperature 0), whose distribution is a single spike, it is the model's own softmax probability.
    """

    token: int
    probability: float
    logits: Tensor  # [vocab]
    trace: Trace  # recorded names start with "steps.<t>."


def generate(
    model: Model,
    ids: Ids,
    *,
    max_new_tokens: int = 20,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seed: int | None = None,
    stop: int | Iterable[int] = (),
    record: str | Iterable[str] = (),
    edit: Mapping[str, Edit] | None = None,
    exact: bool = False,
) -> Iterator[Step]:
    """Yield one Step a new token, until ``max_new_tokens``, a token of ``stop`` (yielded, then the end), or the end of
    a learned position table.

    temperature 0 is greedy; ``seed`` makes a draw repeatable. ``record`` and ``edit`` work as in ``Model.run`` and name
    the run's tensors without the "steps.<t>." prefix, which recorded names carry.
    Steps after the first use half-precision copies of the matrices where that is faster (see ``decoding``): logits move
    by some 10⁻², and a greedy step whose choice is that close is taken again exactly. ``exact``, or anything recorded
    or edited, keeps every step in the model's own precision.
    Raises ValueError at the call for settings that mean nothing and for ids as ``Model.run`` does.
    """
    if model.config.kind != "decoder":
        raise ValueError("only a decoder generates: an encoder gives each token a vector, not a next token.")
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be a whole number of at least 0.")
    sampling.check(temperature, top_k, top_p, min_p)
    ids, _ = model.batch(ids)
    if len(ids) != 1:
        raise ValueError(f"generate takes one text at a time, and got {len(ids)}.")
    tap = RecordingTap(record, edit, names=names.of(model.config))
    distribution = partial(sampling.probabilities, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    stop = {stop} if isinstance(stop, int) else set(stop)
    if model.config.position == "learned":
        max_new_tokens = min(max_new_tokens, model.config.max_len - ids.shape[1] + 1)
    reader = Reader(model, fast=not (exact or record or edit))
    return _steps(reader, ids, max_new_tokens, temperature == 0, distribution, seed, stop, tap)


def _steps(
    reader: Reader,
    ids: Tensor,
    max_new_tokens: int,
    greedy: bool,
    distribution: Callable[[Tensor], Tensor],
    seed: int | None,
    stop: set[int],
    tap: RecordingTap,
) -> Iterator[Step]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)  # on the CPU: see sampling.dice
    for t in range(max_new_tokens):
        tap = tap.fresh()
        with torch.no_grad():  # entered anew each step: a generator must not leave its mode behind in the caller's thread
            logits = reader.read(ids, tap, exact_if_close=greedy)
            p = logits.float().softmax(-1) if greedy else distribution(logits)
            token = logits.argmax() if greedy else sampling.draw(p, generator)
        step = Step(int(token), float(p[token]), logits, Trace({f"steps.{t}.{k}": v for k, v in tap.trace.items()}))
        yield step
        if step.token in stop:
            return
        ids = token.view(1, 1)
