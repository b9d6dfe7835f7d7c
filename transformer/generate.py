"""Generation: one token at a time, each read once thanks to the KV cache."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer import names, sampling
from transformer.cache import Cache
from transformer.decoding import Reader
from transformer.models import Ids, Model
from transformer.tap import Edit, RecordingTap, Trace


@dataclass(frozen=True)
class Step:
    """One generated token.

    ``probability`` is the token's share of the distribution it was drawn from (after penalty, temperature and
    truncation); for a greedy step (temperature 0), whose distribution is a single spike, it is the share before that.
    """

    token: int
    probability: float
    logits: Tensor  # [vocab], the model's own
    trace: Trace  # recorded names start with "steps.<t>."


def generate(
    model: Model,
    ids: Ids,
    *,
    source: Ids | None = None,
    max_new_tokens: int = 20,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    stop: int | Iterable[int] = (),
    record: str | Iterable[str] = (),
    edit: Mapping[str, Edit] | None = None,
    exact: bool = False,
) -> Iterator[Step]:
    """Yield one Step a new token, until ``max_new_tokens``, a token of ``stop`` (yielded, then the end), or the end of
    a learned position table.

    temperature 0 is greedy; ``seed`` makes a draw repeatable; ``repetition_penalty`` above 1 says less again of what
    the prompt and the text have said. ``source`` is what an encoder–decoder reads; its ids are how the target begins.
    ``record`` and ``edit`` work as in ``Model.run`` and name the run's tensors without the "steps.<t>." prefix, which
    recorded names carry.
    Steps after the first use half-precision copies of the matrices where that is faster (see ``decoding``): logits move
    by some 10⁻², and a greedy step whose choice is that close is taken again exactly. ``exact``, anything recorded or
    edited, and a greedy choice under a penalty keep every step in the model's own precision.
    Raises ValueError at the call for settings that mean nothing and for ids as ``Model.run`` does.
    """
    choose = _Choice(temperature, top_k, top_p, min_p, repetition_penalty)
    ids, source = one_text(model, ids, source)
    limit = most_new(model, ids.shape[1], max_new_tokens)
    tap = RecordingTap(record, edit, names=names.of(model.config))
    exact = bool(exact or record or edit) or (choose.greedy and repetition_penalty != 1)
    reader = Reader(model, fast=not exact, source=source)
    return _steps(reader, ids, limit, choose, _generator(seed), stop_set(stop), tap)


def generate_batch(
    model: Model,
    ids: Sequence[Sequence[int]] | Tensor,
    *,
    max_new_tokens: int = 20,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    stop: int | Iterable[int] = (),
) -> Iterator[list[Step | None]]:
    """``generate`` for several texts at once: each time, one Step a text, None for texts that have ended.

    Shorter prompts are padded on the left, with positions counted from their first token, so each text goes on as it
    would alone; text i rolls the dice of ``seed`` + i. A learned position table ends for all when it does for the longest.
    Raises ValueError as ``generate`` does, and for a model that is no decoder.
    """
    if model.config.kind != "decoder":
        raise ValueError("generate_batch is for decoders; an encoder–decoder writes one text at a time, with generate.")
    choose = _Choice(temperature, top_k, top_p, min_p, repetition_penalty)
    ids, real = model.batch(ids)
    if real is not None:  # padding, False, moves to the front
        order = real.long().argsort(dim=1, stable=True)
        ids, real = ids.gather(1, order), real.gather(1, order)
    limit = most_new(model, ids.shape[1], max_new_tokens)
    dice = [_generator(None if seed is None else seed + i) for i in range(len(ids))]
    return _batch_steps(model, ids, real, limit, choose, dice, stop_set(stop))


@dataclass(frozen=True)
class _Choice:
    """How a token is chosen from logits; ValueError, when it is made, for a setting that means nothing."""

    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float

    def __post_init__(self):
        sampling.check(self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def __call__(self, logits: Tensor, read: Tensor, generator: torch.Generator | None) -> tuple[int, float]:
        """The token and its probability.   logits [vocab], read [token]: the ids so far"""
        heard = sampling.penalised(logits, read, self.repetition_penalty)
        if self.greedy:
            token, p = heard.argmax(), heard.float().softmax(-1)
        else:
            p = sampling.probabilities(heard, self.temperature, self.top_k, self.top_p, self.min_p)
            token = sampling.draw(p, generator)
        return int(token), float(p[token])


def _steps(
    reader: Reader,
    ids: Tensor,
    limit: int,
    choose: _Choice,
    generator: torch.Generator | None,
    stop: set[int],
    tap: RecordingTap,
) -> Iterator[Step]:
    read, new = ids[0], ids
    for t in range(limit):
        tap = tap.fresh()
        with reader.without_gradients():  # anew each step: a generator must not leave its mode behind in its caller
            logits = reader.read(new, tap, exact_if_close=choose.greedy)
            token, p = choose(logits, read, generator)
        logits = logits.clone() if logits.is_inference() else logits  # the caller may differentiate what it makes of them
        yield Step(token, p, logits, Trace({f"steps.{t}.{k}": v for k, v in tap.trace.items()}))
        if token in stop:
            return
        new = ids.new_tensor([[token]])
        read = torch.cat((read, new[0]))


def _batch_steps(
    model: Model,
    ids: Tensor,
    real: Tensor | None,
    limit: int,
    choose: _Choice,
    dice: list[torch.Generator | None],
    stop: set[int],
) -> Iterator[list[Step | None]]:
    flags = torch.ones_like(ids, dtype=torch.bool) if real is None else real
    positions = (flags.cumsum(1) - 1).clamp(min=0)  # [batch, token]
    read = [row[is_real] for row, is_real in zip(ids, flags, strict=True)]
    going, cache = [True] * len(ids), Cache.empty(model.config.n_layers)
    for _ in range(limit):
        with torch.no_grad():
            logits, cache = model.extend(ids, cache, positions=positions, real=real, last_only=True)
            made: list[Step | None] = [None] * len(read)
            for i in [i for i, goes in enumerate(going) if goes]:
                token, p = choose(logits[i, -1], read[i], dice[i])
                made[i] = Step(token, p, logits[i, -1], Trace())
                read[i] = torch.cat((read[i], ids.new_tensor([token])))
        yield made
        going = [step is not None and step.token not in stop for step in made]
        if not any(going):
            return
        # Texts that have ended read their last token again and again; nobody looks.
        ids, real, positions = torch.stack([row[-1:] for row in read]), None, positions[:, -1:] + 1


def one_text(model: Model, ids: Ids, source: Ids | None = None) -> tuple[Tensor, Tensor | None]:
    """ids [1, token] and source [1, key], checked. ValueError for several texts, and for a model that writes none."""
    if model.config.kind not in ("decoder", "encoder-decoder"):
        raise ValueError("only a decoder generates: an encoder gives each token a vector, not a next token.")
    if (source is not None) != (model.config.kind == "encoder-decoder"):
        reads = "needs a source to read" if source is None else "has no encoder to read a source"
        raise ValueError(f"this {model.config.kind} {reads}; source= is for encoder–decoders, and for them alone.")
    ids, _ = model.batch(ids)
    if len(ids) != 1:
        raise ValueError(f"generate takes one text at a time, and got {len(ids)}; generate_batch takes several.")
    return ids, None if source is None else model.encoder.batch(source)[0]


def most_new(model: Model, n: int, asked: int) -> int:
    """How many tokens can follow ``n``. Raises ValueError when ``asked`` is no number of tokens."""
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise ValueError(f"max_new_tokens is {asked}; it must be a whole number of at least 0.")
    return min(asked, model.config.max_len - n + 1) if model.config.position == "learned" else asked


def stop_set(stop: int | Iterable[int]) -> set[int]:
    """One token or several that end a text."""
    return {stop} if isinstance(stop, int) else set(stop)


def _generator(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)  # on the CPU: see sampling.dice
