"""What reads the learner's text: the live model, else its recording, else the tiny one, and the page says which."""

import threading
import time

import numpy as np
import pytest

import transformer
from pages.shared import models, recorded
from pages.shared.shelf import Shelf
from transformer.pretrained.errors import FetchError
from transformer.recording import CAPITAL, DEFAULTS

HOME = "pages/inside/walkthrough.py"


class Network:
    """A fetch that waits, reports a third, and ends as the test says."""

    def __init__(self, problem: Exception | None = None):
        self.problem, self.go, self.asked = problem, threading.Event(), threading.Event()

    def fetch(self, name, progress, cancel):
        progress(1, 3)
        self.asked.set()
        while not self.go.wait(0.005):
            if cancel.is_set():
                raise FetchError("cancelled")
        if self.problem:
            raise self.problem


def wait_for(state: str) -> None:
    for _ in range(500):
        if models.shelf().status("smollm2-135m").state == state:
            return
        time.sleep(0.01)
    raise AssertionError(f"still {models.shelf().status('smollm2-135m')}")


@pytest.fixture
def network(monkeypatch):
    net = Network()
    shelf = Shelf(transformer.load, net.fetch, lambda name: name == "tiny")
    monkeypatch.setattr(models, "shelf", lambda: shelf)
    monkeypatch.setattr(models, "_kept", type(models._kept)())
    yield net
    net.go.set()


@pytest.fixture
def choose(monkeypatch):
    return lambda name: monkeypatch.setattr(models, "chosen", lambda: name)


def test_a_default_sentence_is_read_from_its_recording(network, choose):
    choose("smollm2-135m")
    reading = models.read(CAPITAL, ["layers.3.attention.A", "logits"])
    assert (reading.model, reading.label) == ("smollm2-135m", "recorded")
    assert reading.pieces == ("The", " capital", " of", " France", " is")
    assert set(reading.arrays) == {"layers.3.attention.A", "logits"}
    recording = recorded.of("smollm2-135m", CAPITAL)
    np.testing.assert_array_equal(reading["layers.3.attention.A"], recording["layers.3.attention.A"].numpy())
    assert reading["layers.3.attention.A"].shape == (1, 9, 5, 5)


@pytest.mark.parametrize("default", DEFAULTS.values(), ids=DEFAULTS)
def test_every_default_of_the_lessons_is_there(default):
    assert recorded.of(default.model, default.text) is not None


def test_own_text_is_read_by_the_tiny_model_until_the_other_is_here(network, choose):
    choose("smollm2-135m")
    reading = models.read("my own words", ["*.attention.A"])
    assert (reading.model, reading.label) == ("tiny", "tiny")
    model, tokenizer = transformer.load("tiny")
    run = model.run(tokenizer.encode("my own words"), record="*.attention.A")
    assert set(reading.arrays) == set(run.trace)
    for name, tensor in run.trace.items():
        np.testing.assert_allclose(reading[name], tensor.numpy(), atol=1e-6)


def test_what_was_not_recorded_is_not_made_up(network, choose):
    choose("smollm2-135m")
    file = DEFAULTS["smollm2-135m-pronoun"]
    assert models.read(file.text, ["*.attention.A"]).label == "recorded"
    assert models.read(file.text, ["logits"]).label == "tiny", "that recording holds attention alone"


def test_readings_are_shared_and_cannot_be_changed(network, choose):
    choose("tiny")
    first = models.read("the same", ["*.A"])
    assert models.read("the same", ["*.A"]) is first
    assert models.read("The same", ["*.A"]) is not first
    with pytest.raises(ValueError, match="read-only"):
        first["layers.0.attention.A"][0] = 0


def test_kept_readings_stay_within_their_budget(network, choose, monkeypatch):
    choose("tiny")
    size = sum(a.nbytes for a in models.read("one two three", ["*"]).arrays.values())
    monkeypatch.setattr(models, "CACHE_BYTES", 3 * size)
    for i in range(8):
        models.read(f"one two {i}", ["*"])
    assert sum(a.nbytes for r in models._kept.values() for a in r.arrays.values()) <= 3 * size
    assert any(key[1] == "one two 7" for key in models._kept)


@pytest.mark.parametrize("text, sentence", [
    ("", "nothing to read yet"), (" \n\t", "nothing to read yet"), ("word " * 3000, r"tokens long; Tiny model takes \d+"),
    ("x" * 10**6, r"too long: Tiny model takes \d+ tokens"),
])
def test_a_text_that_cannot_be_read_is_one_sentence(network, choose, text, sentence):
    choose("tiny")
    with pytest.raises(ValueError, match=sentence):
        models.read(text, ["*.A"])


@pytest.mark.parametrize("name", models.TITLES)
@pytest.mark.parametrize("record", [("*.attention.A",), ("*",), ("logits",)])
def test_the_limit_keeps_the_trace_within_memory(name, record):
    if name == "minilm-l6" and record == ("logits",):
        pytest.skip("an encoder has no logits")
    n = models.limit(name, record)
    config = models._config(name)
    assert 1 < n <= min(config.max_len, models.MOST_TOKENS)
    assert transformer.cost.trace_bytes(config, n, record) <= models.TRACE_BYTES


def test_vocabulary_entries_are_named_by_whoever_read(network, choose):
    choose("smollm2-135m")
    reading = models.read(CAPITAL, ["logits"])
    best = int(reading["logits"][0, -1].argmax())
    assert models.vocabulary(reading, [best, 1]) == [" Paris", "#1"]
    tiny = models.read("my own", ["logits"])
    assert models.vocabulary(tiny, tiny.ids) == list(tiny.pieces)


def test_the_sidebar_offers_the_download_and_shows_it(network, open_page):
    page = open_page(HOME)
    page.button(key="model_fetch").click().run()
    assert network.asked.wait(5)
    page.run()
    assert page.button(key="model_cancel").label == "Cancel"
    assert models.shelf().status("smollm2-135m").share == pytest.approx(1 / 3)
    page.button(key="model_cancel").click().run()
    wait_for("absent")
    page.run()
    assert page.button(key="model_fetch").label == "Fetch SmolLM2-135M" and not page.error


def test_a_failed_download_says_why_and_offers_another_try(network, open_page):
    network.problem = FetchError("There is no network; connect and press Try again.")
    network.go.set()
    models.shelf().start("smollm2-135m", fetch=True)
    wait_for("failed")
    page = open_page(HOME)
    assert [error.value for error in page.sidebar.error] == ["There is no network; connect and press Try again."]
    assert page.button(key="model_fetch").label == "Try again"
    assert not page.exception, "the page itself goes on with what it has"


def test_nothing_is_fetched_where_the_user_turned_that_off(network, open_page):
    open_page(HOME)
    assert not network.asked.is_set()


def test_the_first_start_fetches_where_the_user_did_not_and_a_cancel_holds(network, open_page, monkeypatch):
    monkeypatch.delenv(models.AUTO_FETCH)
    page = open_page(HOME)
    assert network.asked.wait(5)
    network.asked.clear()
    page.button(key="model_cancel").click().run()
    wait_for("absent")
    page.run()
    assert page.button(key="model_fetch") and not network.asked.is_set()


def test_a_model_that_is_chosen_is_said_to_be_loading_and_the_page_runs_again_when_it_is_there(monkeypatch, open_page):
    go = threading.Event()

    def load(name):
        return transformer.load("tiny") if name == "tiny" or go.wait(30) else None

    shelf = Shelf(load, None, lambda name: name in ("tiny", "minilm-l6"))
    monkeypatch.setattr(models, "shelf", lambda: shelf)
    page = open_page("pages/inside/attention_maps.py", model="minilm-l6")
    assert "Loading MiniLM-L6…" in [caption.value for caption in page.sidebar.caption]
    assert "model_fetch" not in [button.key for button in page.button]
    go.set()
    for _ in range(500):
        if not shelf.status("minilm-l6").busy:
            break
        time.sleep(0.01)
    ran = []
    monkeypatch.setattr(models.st, "rerun", lambda scope: ran.append(scope))
    models._state("minilm-l6", {"minilm-l6"})
    assert ran == ["app"]


def test_a_fetch_that_was_just_asked_for_is_watched(monkeypatch):
    """The button runs its fragment alone, which would stand still at 0 % unless the page starts it anew."""
    go, ran = threading.Event(), []
    shelf = Shelf(lambda name: None, lambda name, progress, cancel: go.wait(30), lambda name: False)
    monkeypatch.setattr(models, "shelf", lambda: shelf)
    monkeypatch.setattr(models.st, "rerun", lambda scope: ran.append(scope))
    shelf.start(models.DEFAULT, fetch=True)
    models._state(models.DEFAULT, set())
    go.set()
    assert ran == ["app"]


def test_the_model_is_part_of_the_link(network, open_page):
    page = open_page("pages/inside/attention_maps.py", model="tiny")
    assert page.selectbox(key="model").value == "tiny"
    for _ in range(100):  # it is loaded in the background, and until then the sidebar says so
        if models.ABOUT["tiny"] in [caption.value for caption in page.sidebar.caption]:
            return
        time.sleep(0.1)
        page.run()
    pytest.fail(f"the sidebar says {[caption.value for caption in page.sidebar.caption]}")
