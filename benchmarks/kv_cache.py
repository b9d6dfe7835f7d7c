"""Seconds for the next token with and without the KV cache, by length: what the lesson on the cache opens with.

    python -m benchmarks.kv_cache [--out assets/measured/kv-cache.json] [--rounds 5] [--machine "laptop, 4 cores"]

One thread, float32, the fastest of the rounds; SmolLM2 where it has been fetched, the tiny model always.
"""

import transformer
from benchmarks import record
from transformer.experiments import cached_steps
from transformer.pretrained.fetch import is_fetched

LENGTHS = list(range(64, 513, 64))


def main() -> None:
    options = record.asked(__doc__, "kv-cache", rounds=5)
    measured = {}
    for name in ("tiny", "smollm2-135m"):
        if name == "tiny" or is_fetched(name):
            model, _ = transformer.load(name)
            rounds = options.rounds * (20 if name == "tiny" else 1)  # short runs are the ones that other work disturbs
            found = cached_steps.timings(model, LENGTHS, rounds, budget=120.0)
            measured[name] = {
                "n": LENGTHS, "without": [round(t.seconds.without, 6) for t in found],
                "kept": [round(t.seconds.kept, 6) for t in found],
            }  # fmt: skip
            for t in found:
                print(f"{name:<14} n = {t.n:>4}   without {t.seconds.without * 1e3:8.1f} ms   with "
                      f"{t.seconds.kept * 1e3:6.1f} ms"
                      f"   {t.seconds.without / t.seconds.kept:6.1f} ×")  # fmt: skip
    record.keep(options, "python -m benchmarks.kv_cache", "seconds for the next token, fastest of the rounds", measured=measured)


if __name__ == "__main__":
    main()
