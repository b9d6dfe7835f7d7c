"""One file over HTTP, resumable and cancellable: bytes are appended to a partial file that outlives the process."""

import hashlib
import http.client
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from transformer.pretrained.errors import FetchCancelled, FetchError

Progress = Callable[[int, int], None]  # (bytes done, bytes total)

SILENCE = 20.0  # seconds without a byte after which a connection counts as broken
TRIES = 3  # connections in a row that bring nothing new before giving up
BLOCK = 1 << 16
LOOK = 0.2  # seconds between two looks at the cancel flag


class Refused(Exception):
    """The way there needs something that only pip has been told: a password, a certificate, a proxy."""


class _Broken(Exception):
    """The network failed; ``__cause__`` says how."""


def download(url: str, part: Path, size: int, progress: Progress, cancelled: Callable[[], bool]) -> str:
    """Append to ``part`` until it has ``size`` bytes, and return the sha256 of all of it.

    Goes on from what this or a killed process left in ``part``, which stays whatever happens. Raises
    ``FetchCancelled``, ``FetchError`` when the connection keeps breaking, ``Refused`` where pip itself has to fetch,
    and the disk's own ``OSError``.
    """
    with part.open("a+b") as file:
        done, digest = _resume(file, size)
        progress(done, size)
        begun, furthest, failures = done, done, 0
        while done < size:
            try:
                for offset, block in _blocks(url, done):
                    if cancelled():
                        raise FetchCancelled
                    if not block:
                        continue
                    if offset != done:  # the server ignores ranges and sends everything: begin again
                        file.truncate(0)
                        done, digest = 0, hashlib.sha256()
                    file.write(block)
                    digest.update(block)
                    done += len(block)
                    progress(min(done, size), size)
                    if done > size:  # some other file, and its digest says so
                        break
            except _Broken as broken:
                _raise_if_final(broken.__cause__)
            failures = 0 if done > furthest else failures + 1
            furthest = max(furthest, done)
            if failures == TRIES and done == begun:
                raise Refused("no byte came through")
            if done < size and failures == TRIES:
                raise FetchError(
                    f"The connection broke at {done / 1e6:.0f} of {size / 1e6:.0f} MB; "
                    "fetch again when the network is back, and it goes on from there."
                )
            _wait(0.5 * failures, cancelled)
        return digest.hexdigest()


def _resume(file: BinaryIO, size: int) -> tuple[int, "hashlib._Hash"]:
    """(bytes already there, their running digest); a file longer than it should be is emptied."""
    if file.seek(0, 2) > size:
        file.truncate(0)
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return file.tell(), digest


def _blocks(url: str, start: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of the file from ``start`` on; an empty block whenever nothing came for a moment.

    A thread reads the network, so that neither a slow name server nor a silent connection can hold up a cancel. It
    touches nothing but this queue, and ends by itself within ``SILENCE`` once nobody listens.
    """
    arrived: queue.Queue[tuple[int, bytes] | Exception | None] = queue.Queue(maxsize=16)
    gone = threading.Event()

    def hand_over(item: tuple[int, bytes] | Exception | None) -> None:
        while not gone.is_set():
            try:
                return arrived.put(item, timeout=LOOK)
            except queue.Full:
                continue

    def read() -> None:
        try:
            with _open(url, start) as response:
                # Only "206 Partial Content" begins where we asked; any other answer is the whole file.
                offset = start if response.status == 206 else 0
                while not gone.is_set() and (block := response.read1(BLOCK)):
                    hand_over((offset, block))
                    offset += len(block)
            hand_over(None)
        except (OSError, http.client.HTTPException, ValueError) as error:
            hand_over(error)

    threading.Thread(target=read, name="fetch", daemon=True).start()
    try:
        while True:
            try:
                item = arrived.get(timeout=LOOK)
            except queue.Empty:
                yield start, b""
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise _Broken from item
            yield item
    finally:
        gone.set()


def _open(url: str, start: int):
    request = urllib.request.Request(url, headers={"User-Agent": "glassformer", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    return urllib.request.urlopen(request, timeout=SILENCE, context=_trust())


def _trust() -> ssl.SSLContext:
    """The system's certificates, and certifi's for a Python that does not find the system's."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context


def _raise_if_final(error: BaseException) -> None:
    """Raise what trying again cannot mend."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise Refused("the server's certificate is not trusted") from error
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403, 407):
            raise Refused(f"the server answered {error.code}") from error
        if 400 <= error.code < 500 and error.code not in (408, 416, 429):
            raise FetchError(f"The package index lists the file but answers {error.code} when asked for it.") from error


def _wait(seconds: float, cancelled: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if cancelled():
            raise FetchCancelled
        time.sleep(0.05)
