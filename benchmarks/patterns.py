"""What each attention pattern costs against n, written down for the lesson on them (assets/patterns/cost.json).

    python -m benchmarks.patterns [--most 8192] [--rounds 3] [--out assets/patterns/cost.json]

One layer's attention, 8 heads of 64, batch 1, float32, forward, one thread, causal and both ways: processor time, the
median of the rounds, and the most bytes that were allocated at once. ``benchmarks.sparse`` measures the same against
published layers and holds the library to its limits; this is the short form that the page draws, by the very function
that its button runs.
"""

import argparse
import datetime
import json
import platform
import time
from pathlib import Path

import torch

from transformer import Config
from transformer.experiments.timing import measured

BASE = dict(d_model=512, n_heads=8, n_layers=1, position="none", max_len=16384)
ROWS: dict[str, dict] = {
    "full": dict(attention="full"),
    "window": dict(attention="window", window=128),
    "dilated": dict(attention="dilated", window=128, dilation=3),
    "strided": dict(attention="strided", dilation=128),
    "longformer": dict(attention="longformer", window=128),
    "bigbird": dict(attention="bigbird", window=64, random_keys=3),
    "lsh": dict(attention="lsh", chunk=64, hashes=2),
}
SIZES = (256, 512, 1024, 2048, 4096, 8192)


def processor() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "assets" / "patterns" / "cost.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [n for n in SIZES if n <= arguments.most]
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for kind in ("decoder", "encoder"):
        for name, options in ROWS.items():
            config = Config(kind=kind, **BASE, **options)
            each = [measured(config, n, arguments.rounds, time.process_time) for n in sizes]
            found.setdefault(kind, {})[name] = {
                "milliseconds": [round(1000 * one.seconds, 3) for one in each],
                "megabytes": [round(one.bytes / 1e6, 3) for one in each],
            }
            print(kind, name, found[kind][name], flush=True)
    made = {
        "command": f"python -m benchmarks.patterns --rounds {arguments.rounds}",
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor()}, one thread, torch {torch.__version__}",
        "what": "one layer's attention without projections, 8 heads of 64, batch 1, float32, forward; processor time",
    }
    text = json.dumps({"made": made, "base": BASE, "options": ROWS, "sizes": sizes, "kinds": found}, indent=1)
    arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
