"""Milliseconds of a matrix product by the share of zeros in the matrix: torch's dense product beside its sparse ones.

    python -m benchmarks.sparse_matmul [--out assets/measured/sparse-matmul.json] [--rounds 25] [--machine "laptop"]

One thread, float32; SmolLM2's FFN matrix, for one token (decoding) and for 64 (reading). What the lesson on sparsity shows.
"""

from benchmarks import record
from transformer.experiments import sparse_matmul


def main() -> None:
    options = record.asked(__doc__, "sparse-matmul", rounds=25)
    measured = []
    for one in sparse_matmul.timed(rounds=options.rounds):
        print(
            f"{one.tokens:3} tokens, {one.share:7.2%} zeros: "
            + ", ".join(f"{way} {s * 1e3:.3f} ms" for way, s in one.seconds.items())
        )
        measured.append({"tokens": one.tokens, "share": one.share, "bytes": one.bytes,
                         "seconds": {way: round(s, 8) for way, s in one.seconds.items()}})  # fmt: skip
    record.keep(
        options,
        "python -m benchmarks.sparse_matmul",
        "seconds of the fastest round",
        shape=list(sparse_matmul.SHAPE),
        measured=measured,
    )


if __name__ == "__main__":
    main()
