"""Milliseconds of a recurrent layer, torch's own, and attention, by the length of the text.

    python -m benchmarks.parallel [--out assets/measured/parallel.json] [--rounds 9] [--machine "laptop"]

One thread, float32, one text, one layer each. What the lesson on parallelism opens with.
"""

from benchmarks import record
from transformer.experiments import chains


def main() -> None:
    options = record.asked(__doc__, "parallel", rounds=9)
    measured = []
    print("    n   " + "".join(f"{way:>30}" for way in chains.WAYS) + "   ms forward, ms forward and backward")
    for one in chains.timed(chains.layers_of(), rounds=options.rounds):
        print(f"{one.n:5}   " + "".join(f"{one.forward[w] * 1e3:15.3f}{one.both[w] * 1e3:15.3f}" for w in chains.WAYS))
        measured.append({"n": one.n} | {
            field: {way: round(seconds, 7) for way, seconds in getattr(one, field).items()} for field in ("forward", "both")
        })  # fmt: skip
    record.keep(options, "python -m benchmarks.parallel", "seconds, medians", width=chains.WIDTH, measured=measured)


if __name__ == "__main__":
    main()
