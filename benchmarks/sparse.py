"""Sparse attention on this processor: time and memory against n, beside dense scaled_dot_product_attention.

    python -m benchmarks.sparse [window bigbird …] [--rounds 3] [--threads 2] [--most 16384] [--processor]

One layer's attention, 8 heads of 64, batch 1, float32, forward, in both directions and causal. The projections are left
out of all alike (W_Q, W_K, W_V and W_O are the identity: 8 n d² FLOPs that each layer has whatever its pattern); masks,
sorting, hashing and random features count. At each n every pattern takes its turn before the next round begins, and the
ratio to dense is the median over the rounds. The exponent is the slope of log seconds against log n over the last three
n; memory is the most that was allocated at once, by torch's profiler, over that of the input x, and how it grew from half
of n. Under ours stands the published layer of its kind, where there is one (published.py), and how many times its time
ours takes. On a machine that others use as well, ``--processor`` counts this process's own processor time, best with one thread.
"""

import argparse
import math
import statistics
import time
from dataclasses import replace

import torch

from benchmarks.published import PUBLISHED
from transformer import Config
from transformer.experiments.timing import Clock, Forward, forward_of, peak

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


def slope(seconds: list[float], sizes: list[int]) -> float:
    """Least squares of log seconds on log n."""
    x, y = ([math.log(v) for v in values] for values in (sizes, seconds))
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def table(names: list[str], causal: bool, sizes: list[int], rounds: int, clock: Clock) -> None:
    ours: dict[str, Forward] = {}
    for name in names:
        try:
            config = replace(BASE, kind="decoder" if causal else "encoder", head=None, **ROWS[name][0])
            ours[name] = forward_of(config)
        except ValueError as refused:  # Linformer has no causal form
            print(f"  {name}: {refused}")
    seconds: dict[str, dict[int, list[float]]] = {}
    for n in sizes:
        x = torch.randn(1, n, BASE.d_model, generator=torch.Generator().manual_seed(n))
        layers = ours | {PUBLISHED[name][0]: PUBLISHED[name][1](n, causal) for name in ours if name in PUBLISHED}
        for round_ in range(-1 if n <= 4096 else 0, rounds if n > 2048 else 3 * rounds):  # round −1 warms up
            for name, layer in layers.items():
                start = clock()
                layer(x)
                elapsed = clock() - start
                if round_ >= 0:
                    seconds.setdefault(name, {}).setdefault(n, []).append(elapsed)

    def times(name: str, other: str) -> float:
        """How many times the other's time it takes at the largest n: the median over the rounds."""
        return statistics.median(a / b for a, b in zip(seconds[name][n], seconds[other][n], strict=True))

    def line(name: str, indent: str) -> tuple[str, float]:
        medians = [statistics.median(seconds[name][size]) for size in sizes]
        numbers = "".join(f"{1000 * s:8.1f}" for s in medians)
        return f"{indent + name:25}{numbers}{times(name, 'dense'):8.3f}", slope(medians[-3:], sizes[-3:])

    heading = "".join(f"{size:>8}" for size in sizes) + "   ratio  most  exponent  most  memory"
    print(f"{'causal' if causal else 'both ways':25}" + heading)
    for name, layer in ours.items():
        _, most, steepest = ROWS[name]
        held, half = peak(layer, x), peak(layer, x[:, : sizes[-2]])
        row, exponent = line(name, "  ")
        print(f"{row}{most:6.2f}{exponent:10.2f}{steepest:6.2f}{held / x.nbytes:6.1f} x, × {held / half:.2f}")
        if name in PUBLISHED:
            other = PUBLISHED[name][0]
            row, exponent = line(other, "    ")
            print(f"{row}{'':6}{exponent:10.2f}        ours takes {times(name, other):.2f} of its time", flush=True)


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
