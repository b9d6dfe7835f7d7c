"""Seconds for the scores of one layer, by function and length: what the lesson on score functions opens with.

    python -m benchmarks.score_functions [--out assets/measured/score-functions.json] [--rounds 9] [--machine "…"]
"""

from benchmarks import record
from transformer import Config
from transformer.experiments import score_costs
from transformer.scores import SCORES

CONFIG = Config(vocab_size=256, d_model=128, n_heads=2, n_layers=1, max_len=512, position="none")
LENGTHS = list(range(64, 513, 64))


def main() -> None:
    options = record.asked(__doc__, "score-functions", rounds=9)
    found = score_costs.timings(CONFIG, LENGTHS, options.rounds, budget=60.0)
    for timed in found:
        print(f"n = {timed.n:>4} " + "  ".join(f"{score} {seconds * 1e3:7.2f} ms" for score,
                                               seconds in timed.seconds.items()))
    record.keep(
        options, "python -m benchmarks.score_functions", "seconds for the scores of one layer, fastest of the rounds",
        heads=CONFIG.n_heads, d_head=CONFIG.d_head, n=LENGTHS,
        seconds={score: [round(timed.seconds[score], 7) for timed in found] for score in SCORES},
    )  # fmt: skip


if __name__ == "__main__":
    main()
