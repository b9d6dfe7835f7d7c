"""Where to compute: the one place that knows the names of devices."""

import torch


def pick_device(choice: str | None = None) -> torch.device:
    """The device asked for, or the best one there: CUDA, then Apple's MPS, then the CPU.

    Raises ValueError when the chosen one is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if choice is None:
        return torch.device(next(name for name, is_there in there.items() if is_there))
    if not there.get(choice.split(":")[0], False):
        raise ValueError(f"there is no device {choice!r} here; there is {', '.join(n for n, ok in there.items() if ok)}.")
    return torch.device(choice)
