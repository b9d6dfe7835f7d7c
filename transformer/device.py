"""Where to compute: the one place that knows the names of devices."""

from collections.abc import Iterator
from contextlib import contextmanager

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


def half_precision(device: torch.device) -> torch.dtype | None:
    """The 16-bit type in which ``device`` multiplies a matrix by one vector fastest; None where float32 is as good.

    On a CPU that step waits for memory, so half the bytes is up to half the time. float16 keeps 11 significant bits to
    bfloat16's 8, and processors with AVX2 or ARM's NEON widen it in registers.
    """
    if device.type == "cpu":
        return torch.float16 if torch.backends.cpu.get_cpu_capability() != "DEFAULT" else None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return None


def widest_float(device: torch.device) -> torch.dtype:
    """The most precise floating type there: float64, but on Apple's MPS, which has none, float32."""
    return torch.float32 if device.type == "mps" else torch.float64


@contextmanager
def dice(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global dice, which dropout rolls, begin at ``seed``; afterwards they lie as the caller had them.

    (But for Apple's MPS, whose own dice are left where the block ends.)
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # torch.manual_seed takes its time to look for GPUs
        else:
            torch.manual_seed(seed)
        yield


def wait(device: torch.device) -> None:
    """Until the device has done what it was given: graphics cards answer before they have."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
