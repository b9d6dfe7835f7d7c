"""How glibc keeps what the process has freed. Elsewhere (musl, macOS, Windows) nothing is done."""

from __future__ import annotations

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h


def few_arenas() -> None:
    """Threads share two arenas: by default there may be eight a core, and each keeps freed memory for itself, a tenth of
    this process."""
    if (libc := _glibc()) is not None:
        libc.mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """What reading a model's file took and no longer needs goes back to the system."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
