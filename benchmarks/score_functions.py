"""Seconds for the scores of one layer, by function and length: what the lesson on score functions opens with.

    python -m benchmarks.score_functions [--out assets/measured/score-functions.json] [--rounds 9] [--machine "…"]
"""

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch

from transformer import Config
from transformer.experiments import score_costs
from transformer.scores import SCORES

CONFIG = Config(vocab_size=256, d_model=128, n_heads=2, n_layers=1, max_len=512, position="none")
LENGTHS = list(range(64, 513, 64))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path,
                        default=Path(__file__).parents[1] / "assets" / "measured" / "score-functions.json")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--machine", default=f"a shared {platform.machine()} server, one thread")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = score_costs.timings(CONFIG, LENGTHS, options.rounds, budget=60.0)
    for timed in found:
        print(f"n = {timed.n:>4} " + "  ".join(f"{score} {seconds * 1e3:7.2f} ms" for score,
                                               seconds in timed.seconds.items()))
    about = {
        "command": "python -m benchmarks.score_functions", "date": datetime.date.today().isoformat(),
        "machine": options.machine, "torch": torch.__version__, "heads": CONFIG.n_heads, "d_head": CONFIG.d_head,
        "unit": "seconds for the scores of one layer, fastest of the rounds", "n": LENGTHS,
        "seconds": {score: [round(timed.seconds[score], 7) for timed in found] for score in SCORES},
    }  # fmt: skip
    options.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
