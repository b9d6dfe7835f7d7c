"""Milliseconds that teacher and student take for the same digits and letters.

    python -m benchmarks.students [--out assets/measured/students.json] [--rounds 40] [--machine "laptop"]

One thread, float32; the quickest of the rounds, which a busy machine disturbs least. The lesson on distillation shows them.
"""

import time

import torch

from benchmarks import record
from transformer.models import Model
from transformer.pretrained import native
from transformer.training import distil


@torch.inference_mode()
def quickest(model: Model, read: torch.Tensor, rounds: int) -> float:
    """Seconds of one forward pass."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        model(read)
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    options = record.asked(__doc__, "students", rounds=40)
    found = {}
    for task in distil.TASKS:
        read = distil.unseen(task).read
        models = {"teacher": distil.teacher(task)[0], "student": native.open_folder(distil.folder_of(task, True))[0]}
        for who, model in models.items():
            one, many = (quickest(model, some, options.rounds) for some in (read[:1], read[:24]))
            parameters = sum(w.numel() for w in model.parameters())
            found[f"{task} {who}"] = {"parameters": parameters, "one": round(one, 7), "many": round(many, 7)}
            print(f"{task} {who}: {parameters:,} parameters, {one * 1e3:.3f} ms for one, {many * 1e3:.3f} ms for 24")
    record.keep(options, "python -m benchmarks.students", "seconds, the quickest round", measured=found)


if __name__ == "__main__":
    main()
