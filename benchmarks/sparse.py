"""Sparse attention on this processor: time and memory against n, beside dense scaled_dot_product_attention.

    python -m benchmarks.sparse [window bigbird …] [--rounds 3] [--threads 2] [--most 16384] [--processor]

One layer's attention, 8 heads of 64, batch 1, float32, forward, in both directions and causal. The projections are left
out of all alike (W_Q, W_K, W_V and W_O are the identity: 8 n d² FLOPs that each layer has whatever its pattern); masks,
sorting, hashing and random features count. At each n every pattern takes its turn before the next round begins, and the
ratio to dense is the median over the rounds. The exponent is the slope of log seconds against log n over the last three
n; memory is the most that was allocated at once, by torch's profiler, over that of the input x, and how it grew from half
of n. On a machine that others use as well, ``--processor`` counts this process's own processor time, best with one thread.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from transformer import Config
from transformer.attention import Attention
from transformer.block import ATTENTIONS
from transformer.geometry import Geometry
from transformer.tap import OFF

BASE = Config(d_model=512, n_heads=8, n_layers=1, position="none", max_len=16384)
ROWS = {  # name: (the options of its config, the most that time may be of dense at the largest n, its exponent)
    "dense": (dict(attention="full"), 1.0, 2.2),
    "window 128": (dict(attention="window", window=128), 0.10, 1.10),
    "dilated 128 by 4": (dict(attention="dilated", window=128, dilation=4), 0.10, 1.10),
    "strided 128": (dict(attention="strided", dilation=128), 0.15, 1.6),  # n² / r: beyond n · √n as n outgrows r²
    "longformer 128": (dict(attention="longformer", window=128), 0.15, 1.10),
    "bigbird 64": (dict(attention="bigbird", window=64, random_keys=3), 0.15, 1.10),
    "lsh, 8 hashes": (dict(attention="lsh", chunk=64, hashes=8), 0.60, 1.20),
    "linformer 256": (dict(attention="linformer", rank=256), 0.10, 1.10),
    "performer": (dict(attention="performer"), 0.20, 1.10),
    "linear": (dict(attention="linear"), 0.20, 1.10),
}
SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384)


def attention_of(options: dict, causal: bool) -> Attention:
    """The attention alone, without its projections; dense where the kind cannot be had."""
    config = replace(BASE, kind="decoder" if causal else "encoder", head=None, **options)
    module = ATTENTIONS.get(config.attention, Attention)(config).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.02)
    for buffer in module.buffers():  # Performer's features
        nn.init.normal_(buffer)
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        if getattr(module, name, None) is not None:
            setattr(module, name, nn.Identity())
    return module


def once(module: Attention, x: torch.Tensor, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one forward pass, the geometry's tables included."""
    at = torch.arange(x.shape[1])[None]
    start = clock()
    module(x, Geometry(module.config, at, at, reach=x.shape[1] - 1), None, OFF)
    return clock() - start


def peak(module: Attention, x: torch.Tensor) -> float:
    """The most bytes allocated at once by one forward pass, over those of x."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        once(module, x)
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most / x.nbytes


def slope(seconds: list[float], sizes: list[int]) -> float:
    """Least squares of log seconds on log n."""
    x, y = ([math.log(v) for v in values] for values in (sizes, seconds))
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def table(names: list[str], causal: bool, sizes: list[int], rounds: int, clock: Callable[[], float]) -> None:
    modules = {}
    for name in names:
        try:
            modules[name] = attention_of(ROWS[name][0], causal)
        except ValueError as refused:
            print(f"  {name}: {refused}")
    median: dict[str, list[float]] = {name: [] for name in modules}
    for n in sizes:
        x = torch.randn(1, n, BASE.d_model, generator=torch.Generator().manual_seed(n))
        seconds: dict[str, list[float]] = {name: [] for name in modules}
        for round_ in range(-1 if n <= 4096 else 0, rounds if n > 2048 else 3 * rounds):  # round −1 warms up
            for name, module in modules.items():
                elapsed = once(module, x, clock)
                if round_ >= 0:
                    seconds[name].append(elapsed)
        for name in modules:
            median[name].append(statistics.median(seconds[name]))
    heading = "".join(f"{n:>8}" for n in sizes) + "   ratio  most  exponent  most  memory"
    print(f"{'causal' if causal else 'both ways':18}" + heading)
    for name, module in modules.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["dense"], strict=True))
        exponent = slope(median[name][-3:], sizes[-3:])
        _, most, steepest = ROWS[name]
        grown = peak(module, x) / peak(module, x[:, : sizes[-2]]) * 2
        print(
            f"  {name:16}" + "".join(f"{1000 * s:8.1f}" for s in median[name])
            + f"{ratio:8.3f}{most:6.2f}{exponent:10.2f}{steepest:6.2f}{peak(module, x):6.1f} x, × {grown:.2f}",
            flush=True,
        )  # fmt: skip


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"beginnings of {', '.join(ROWS)}; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--processor", action="store_true", help="processor time instead of the wall's")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = [name for name in ROWS if name == "dense" or not args.rows or name.startswith(tuple(args.rows))]
    clock = time.process_time if args.processor else time.perf_counter
    print(f"milliseconds, {args.threads} threads, {args.rounds} rounds; ratio to dense at the largest n")
    for causal in (False, True):
        table(names, causal, [n for n in SIZES if n <= args.most], args.rounds, clock)


if __name__ == "__main__":
    main()
