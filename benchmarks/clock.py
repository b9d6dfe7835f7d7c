"""Seconds that SmolLM2 takes to read and to write at each length, beside the roofline of the machine it ran on.

    python -m benchmarks.clock [--out assets/measured/clock.json] [--rounds 5] [--machine "laptop"]

One thread, float32. What the lesson on time opens with.
"""

import transformer
from benchmarks import record
from transformer.experiments import clocked


def main() -> None:
    options = record.asked(__doc__, "clock", rounds=5)
    measured = {}
    for name in ("smollm2-135m", "tiny"):
        model, _ = transformer.load(name)
        lengths = [n for n in clocked.LENGTHS if n < model.config.max_len]
        machine, *found = clocked.clock(model, lengths, options.rounds)
        predicted = [clocked.least(model.config, one.n, machine) for one in found]
        measured[name] = {
            "flops": round(machine.flops), "bandwidth": round(machine.bandwidth), "n": lengths,
            "read": [round(one.read, 6) for one in found], "write": [round(one.write, 6) for one in found],
        }  # fmt: skip
        print(f"\n{name}: {machine.flops / 1e9:.0f} GFLOP/s, {machine.bandwidth / 1e9:.1f} GB/s\n"
              "    n    read ms   least   ×     write ms   least   ×")
        for one, low in zip(found, predicted, strict=True):
            print(f"{one.n:5}   {one.read * 1e3:8.1f} {low.read * 1e3:7.1f} {one.read / low.read:5.2f}"
                  f"   {one.write * 1e3:8.2f} {low.write * 1e3:7.2f} {one.write / low.write:5.2f}")
        for what in ("read", "write"):
            ratio = clocked.error([getattr(one, what) for one in found], [getattr(low, what) for low in predicted])
            print(f"measured ÷ least to {what}, geometric mean: {ratio:.2f}")
    record.keep(options, "python -m benchmarks.clock", "seconds, medians, float32; FLOP/s; bytes/s", measured=measured)


if __name__ == "__main__":
    main()
