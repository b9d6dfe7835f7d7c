"""Models arrive in the background: progress is visible, a cancel stops, a failure is one sentence and can be retried."""

import threading
import time

import pytest

from pages.shared.shelf import Shelf, Status
from transformer.pretrained.errors import FetchCancelled, FetchError


class Source:
    """A network and a loader that do what the test says, step by step."""

    def __init__(self):
        self.have: set[str] = set()
        self.go, self.asked, self.loads = threading.Event(), threading.Event(), 0
        self.problem: Exception | None = None

    def load(self, name):
        self.loads += 1
        return f"model {name}", f"tokenizer {name}"

    def fetch(self, name, progress, cancel):
        progress(25, 100)
        self.asked.set()
        while not self.go.wait(0.005):
            if cancel.is_set():
                raise FetchCancelled()
        if self.problem:
            raise self.problem
        progress(100, 100)
        self.have.add(name)

    def fetched(self, name):
        return name in self.have


@pytest.fixture
def source():
    made = Source()
    yield made
    made.go.set()


@pytest.fixture
def shelf(source):
    return Shelf(source.load, source.fetch, source.fetched)


def until(shelf, state, name="m"):
    for _ in range(1000):
        if shelf.status(name).state == state:
            return shelf.status(name)
        time.sleep(0.005)
    raise AssertionError(f"still {shelf.status(name)}")


def test_a_fetch_shows_its_share_and_ends_ready(shelf, source):
    shelf.start("m", fetch=True)
    assert source.asked.wait(5)
    assert shelf.status("m") == Status("fetching", share=0.25) and shelf.status("m").busy
    assert shelf.get("m") is None
    source.go.set()
    until(shelf, "ready")
    assert shelf.get("m") == ("model m", "tokenizer m")


def test_without_leave_to_fetch_an_absent_model_stays_absent(shelf, source):
    shelf.start("m", fetch=False)
    assert shelf.status("m").state == "absent" and not source.asked.is_set()


def test_what_is_there_is_loaded_without_the_network(shelf, source):
    source.have.add("m")
    shelf.start("m", fetch=False)
    until(shelf, "ready")
    assert not source.asked.is_set()


def test_loading_waits_for_the_first_picture_but_not_for_ever(source):
    source.have.add("m")
    patient = Shelf(source.load, source.fetch, source.fetched, patience=30)
    patient.start("m", fetch=False)
    time.sleep(0.1)
    assert patient.status("m").state == "loading" and source.loads == 0
    patient.go_ahead()
    until(patient, "ready")
    short = Shelf(source.load, source.fetch, source.fetched, patience=0.05)
    short.start("m", fetch=False)
    until(short, "ready")


def test_cancel_goes_back_to_absent_and_a_new_start_goes_on(shelf, source):
    shelf.start("m", fetch=True)
    assert source.asked.wait(5)
    shelf.cancel("m")
    until(shelf, "absent")
    source.go.set()
    shelf.start("m", fetch=True)
    until(shelf, "ready")


def test_a_failure_says_its_sentence_and_can_be_tried_again(shelf, source):
    source.problem = FetchError("There is no network; connect and try again.")
    source.go.set()
    shelf.start("m", fetch=True)
    assert until(shelf, "failed").problem == "There is no network; connect and try again."
    source.problem = None
    shelf.start("m", fetch=True)
    until(shelf, "ready")


def test_a_surprise_in_the_thread_is_said_and_not_lost(shelf, source):
    source.have.add("m")
    source.load = lambda name: {}["x"]
    broken = Shelf(source.load, source.fetch, source.fetched)
    broken.start("m", fetch=False)
    assert "KeyError" in until(broken, "failed").problem
    broken.start("m", fetch=False)
    assert broken.status("m").state == "failed", "a page that runs again does not start it again"


def test_many_sessions_load_a_model_once(shelf, source):
    source.have.add("m")
    starts = [threading.Thread(target=shelf.start, args=("m",), kwargs={"fetch": True}) for _ in range(16)]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    until(shelf, "ready")
    assert source.loads == 1


def test_a_model_that_nobody_asks_for_is_put_away_and_comes_again(source):
    shelf = Shelf(source.load, source.fetch, source.fetched, idle=0.2)
    source.have.add("m")
    shelf.start("m", fetch=False)
    until(shelf, "ready")
    for _ in range(8):  # asked for again and again it stays
        time.sleep(0.05)
        assert shelf.get("m") == ("model m", "tokenizer m")
    until(shelf, "absent")
    assert shelf.get("m") is None
    shelf.start("m", fetch=False)
    until(shelf, "ready")
    assert shelf.get("m") is not None and source.loads == 2
