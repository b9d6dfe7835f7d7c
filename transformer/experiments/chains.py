"""A text read token by token, and all at once: the same width, on the same clock.

A recurrent layer needs the state before it can make the next one: n products in a chain, each too small to fill a
machine. Attention needs no other token's output: a handful of large products, however long the text.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transformer import tap
from transformer.attention import Attention
from transformer.config import Config
from transformer.geometry import Geometry

WIDTH, HEADS = 256, 4
LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
WAYS = ("chain", "torch.nn.RNN", "one product", "attention")


class Recurrent(nn.Module):
    """h_t = tanh(x_t W + h_{t−1} U + b)   (Elman 1990)

    x W is one product for the whole text; the chain is h U. ``torch.nn.RNN`` computes the same.
    """

    def __init__(self, d: int = WIDTH):
        super().__init__()
        self.W = nn.Parameter(torch.randn(d, d) * d**-0.5)
        self.U = nn.Parameter(torch.randn(d, d) * d**-0.5)
        self.b = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor, tap: tap.Tap = tap.OFF) -> Tensor:
        """x [batch, token, d] -> h [batch, token, d]"""
        given = tap("x W", x @ self.W + self.b)  # [batch, token, d]
        h, states = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = tap(f"h {t + 1}", torch.tanh(given[:, t] + h @ self.U))
            states.append(h)
        return torch.stack(states, 1)


class OneProduct(nn.Module):
    """x U: the chain's arithmetic, 2·n·d² FLOPs, where no token waits for another."""

    def __init__(self, d: int = WIDTH):
        super().__init__()
        self.U = nn.Parameter(torch.randn(d, d) * d**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, token, d] -> the same shape"""
        return x @ self.U


class AllAtOnce(nn.Module):
    """One layer of this project's attention, every head causal: softmax(Q Kᵀ / √d_k) V W_O."""

    def __init__(self, d: int = WIDTH, heads: int = HEADS):
        super().__init__()
        self.config = Config(d_model=d, n_layers=1, n_heads=heads, position="none", max_len=max(LENGTHS))
        self.attention = Attention(self.config)
        for parameter in self.attention.parameters():
            nn.init.normal_(parameter, std=d**-0.5)

    def forward(self, x: Tensor, tap: tap.Tap = tap.OFF) -> Tensor:
        """x [batch, token, d] -> the same shape"""
        at = tap("places", torch.arange(x.shape[1], device=x.device)[None])
        return tap("out", self.attention(x, Geometry(self.config, at, at), None, tap)[0])


class Stopwatch(tap.Tap):
    """A tap that notes when each tensor was there; ``textbook``: scores and A are made one after the other."""

    def __init__(self, textbook: bool = True):
        self.names: list[str] = []
        self.at = [time.perf_counter()]
        self._textbook = textbook

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        if name not in ("Q", "K"):  # they are handed over together with V
            self.names.append("Q, K, V" if name == "V" else name)
            self.at.append(time.perf_counter())
        return tensor

    def wants(self, *names: str) -> bool:
        return self._textbook


class Span(NamedTuple):
    """One step of a pass: when it began and ended, in seconds from the pass's beginning."""

    name: str
    start: float
    end: float


class Timed(NamedTuple):
    """Seconds of one length by way, medians: forward alone, and forward and backward."""

    n: int
    forward: dict[str, float]
    both: dict[str, float]


def layers_of(d: int = WIDTH, seed: int = 0) -> dict[str, nn.Module]:
    """One layer for each way, as wide as the others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        theirs = nn.RNN(d, d, batch_first=True)
        return dict(zip(WAYS, (Recurrent(d), theirs, OneProduct(d), AllAtOnce(d)), strict=True))


def products_in_a_row(n: int) -> dict[str, int]:
    """How many matrix products wait for one another: the chain's x W and n times h U; Q (with K and V beside it), Q Kᵀ,
    A V, W_O."""
    return {"chain": n + 1, "torch.nn.RNN": n + 1, "one product": 1, "attention": 4}


@torch.inference_mode()
def spans(layer: Recurrent | AllAtOnce, n: int, rounds: int = 9) -> list[Span]:
    """The steps of the pass whose duration is the median of the rounds."""
    x = _text(n, next(layer.parameters()))
    passes = []
    for _ in range(rounds + 1):  # the first warms up
        watch = Stopwatch()
        layer(x, watch)
        passes.append(watch)
    chosen = sorted(passes[1:], key=lambda watch: watch.at[-1] - watch.at[0])[rounds // 2]
    starts = [at - chosen.at[0] for at in chosen.at]
    return [Span(name, a, b) for name, a, b in zip(chosen.names, starts, starts[1:], strict=False)]


def timed(layers: dict[str, nn.Module], lengths: Sequence[int] = LENGTHS, rounds: int = 5) -> Iterator[Timed]:
    """Each length as it is measured."""
    for n in lengths:
        forward, both = {}, {}
        for way, layer in layers.items():
            x = _text(n, next(layer.parameters()))
            forward[way] = _median(lambda: _read(layer, x), rounds)
            both[way] = _median(lambda: _learn(layer, x), rounds)
        yield Timed(n, forward, both)


def _text(n: int, like: Tensor) -> Tensor:
    x = torch.randn(1, n, like.shape[-1], generator=torch.Generator().manual_seed(n))
    return x.to(like)


@torch.inference_mode()
def _read(layer: nn.Module, x: Tensor) -> None:
    layer(x)


def _learn(layer: nn.Module, x: Tensor) -> None:
    out = layer(x)
    (out[0] if isinstance(out, tuple) else out).sum().backward()
    for parameter in layer.parameters():
        parameter.grad = None


def _median(work: Callable[[], None], rounds: int) -> float:
    taken = []
    for _ in range(rounds + 1):  # the first warms up
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])
