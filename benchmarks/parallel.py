"""Milliseconds of a recurrent layer, torch's own, and attention, by the length of the text.

    python -m benchmarks.parallel [--out assets/measured/parallel.json] [--rounds 9] [--machine "laptop"]

One thread, float32, one text, one layer each. What the lesson on parallelism opens with.
"""

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch

from transformer.experiments import chains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "assets" / "measured" / "parallel.json")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--machine", default=f"a shared {platform.machine()} server, one thread")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured = []
    print("    n   " + "".join(f"{way:>30}" for way in chains.WAYS) + "   ms forward, ms forward and backward")
    for one in chains.timed(chains.layers_of(), rounds=options.rounds):
        print(f"{one.n:5}   " + "".join(f"{one.forward[w] * 1e3:15.3f}{one.both[w] * 1e3:15.3f}" for w in chains.WAYS))
        measured.append({"n": one.n} | {
            field: {way: round(seconds, 7) for way, seconds in getattr(one, field).items()} for field in ("forward", "both")
        })  # fmt: skip
    about = {
        "command": "python -m benchmarks.parallel", "date": datetime.date.today().isoformat(), "machine": options.machine,
        "torch": torch.__version__, "unit": "seconds, medians", "width": chains.WIDTH, "measured": measured,
    }  # fmt: skip
    options.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
