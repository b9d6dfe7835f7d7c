"""Threads do not each keep an arena of freed memory."""

import subprocess
import sys

import pytest

from pages.shared import allocator

COUNT = """
import ctypes, sys, threading
from pages.shared import allocator
if sys.argv[2] == "few":
    allocator.few_arenas()
libc, together = ctypes.CDLL(None), threading.Barrier(12)
libc.fopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.malloc.restype = ctypes.c_void_p
def take():
    together.wait()
    for _ in range(100):
        libc.malloc(10_000)
threads = [threading.Thread(target=take) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
allocator.give_back()
"""


@pytest.mark.skipif(allocator._glibc() is None, reason="only glibc has arenas to count")
def test_there_are_two_arenas_at_most(tmp_path):
    def arenas(how: str) -> int:
        subprocess.run([sys.executable, "-c", COUNT, str(tmp_path / how), how], check=True)
        return (tmp_path / how).read_text().count("<heap nr=")

    assert arenas("few") <= 2 < arenas("many")
