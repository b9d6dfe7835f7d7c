"""Every test runs without the app fetching anything by itself; those that need real weights ask for them here."""

import os
import threading

import pytest
import torch
from hypothesis import settings

from transformer.pretrained import load
from transformer.pretrained.errors import FetchError
from transformer.pretrained.fetch import fetch
from transformer.training.plays import plays as training_plays

os.environ["GLASSFORMER_AUTO_FETCH"] = "0"
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores

# The check runs the same cases each time, so that it turns red by a change alone; at a desk each run looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_xdist_auto_num_workers() -> int:
    """One more worker than cores: while one waits for its browser, another computes."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def nothing_loads_at_the_end():
    """A thread that still loads a model while the interpreter goes away can take the process down with it."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("bring "):
            thread.join(60)


def _fetched(name: str):
    """Skip without a network, with the reason; under CI that is a failure, so that these tests can't vanish unseen."""
    try:
        return fetch(name)
    except FetchError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def smollm2_folder():
    return _fetched("smollm2-135m")


@pytest.fixture(scope="session")
def plays():
    """Title -> text of Shakespeare's plays."""
    _fetched("plays")
    return training_plays()


@pytest.fixture(scope="session")
def minilm_folder():
    return _fetched("minilm-l6")


@pytest.fixture(scope="session")
def marian_folder():
    return _fetched("marian-en-pt")


@pytest.fixture(scope="session")
def smollm2(smollm2_folder):
    """(model, tokenizer); shared by all tests, so none may change it."""
    return load("smollm2-135m")


@pytest.fixture(scope="session")
def minilm(minilm_folder):
    """(model, tokenizer); shared by all tests, so none may change it."""
    return load("minilm-l6")
