"""The pool for long work, and the panel that pages show of it."""

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import pool as library
from pages.shared.pool import Job, Owner, Pool


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def counting(most: int) -> Iterator[int]:
    for i in range(most):
        time.sleep(0.002)
        yield i


def test_work_reports_and_ends():
    job = Pool().submit(lambda: counting(5), 5, owner := Owner())
    until(lambda: not job.busy)
    assert (job.state, job.reports, job.share, job.report) == ("done", [0, 1, 2, 3, 4], 1.0, 4)
    assert job.seconds >= 0.01 > job.core_seconds and owner  # it slept


def test_stopped_work_keeps_what_it_reported():
    job = Pool().submit(lambda: counting(100_000), 100_000, owner := Owner())
    until(lambda: len(job.reports) > 3)
    job.stop()
    until(lambda: not job.busy)
    assert job.state == "stopped" and 3 < len(job.reports) < 100_000 and owner
    seen = len(job.reports)
    time.sleep(0.05)
    assert len(job.reports) == seen


def test_work_dies_with_whoever_asked_for_it():
    owner = Owner()
    job = Pool().submit(lambda: counting(100_000), 100_000, owner)
    until(lambda: len(job.reports) > 3)
    del owner
    gc.collect()
    until(lambda: job.state == "stopped")


def test_a_failure_is_one_sentence_and_the_pool_goes_on():
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("the loss became nan at step 2; a smaller lr keeps it finite.")

    pool, owner = Pool(workers=1), Owner()
    job, after = pool.submit(fails, 2, owner), pool.submit(lambda: counting(2), 2, owner)
    until(lambda: not after.busy)
    assert (job.state, job.reports) == ("failed", [1]) and job.problem.startswith("the loss became nan")
    assert after.state == "done"


def test_a_fault_of_another_kind_names_itself():
    def fails() -> Iterator[int]:
        raise KeyError("W_Q")
        yield

    job = Pool().submit(fails, 1, owner := Owner())
    until(lambda: not job.busy)
    assert job.problem == "The run ended early (KeyError: 'W_Q')." and owner


def test_a_learner_who_comes_late_does_not_wait_for_the_first_ones_end():
    pool, first, second = Pool(workers=1, slice_=0.02), Owner(), Owner()
    long = [pool.submit(lambda: counting(100_000), 100_000, first) for _ in range(6)]
    until(lambda: sum(len(job.reports) for job in long) > 30)
    short = pool.submit(lambda: counting(30), 30, second)
    until(lambda: not short.busy)
    assert all(job.busy for job in long)  # and yet the second learner is done
    for job in long:
        job.stop()


def test_two_learners_get_the_same_time_however_much_one_asks_for():
    pool, greedy, modest = Pool(workers=1, slice_=0.02), Owner(), Owner()
    many = [pool.submit(lambda: counting(100_000), 100_000, greedy) for _ in range(8)]
    one = pool.submit(lambda: counting(100_000), 100_000, modest)
    until(lambda: one.seconds > 0.5)
    spent = sum(job.seconds for job in many)
    for job in [*many, one]:
        job.stop()
    assert 0.5 < one.seconds / spent < 2


def test_one_learners_oldest_run_ends_first():
    pool, owner, ended = Pool(workers=1, slice_=0.01), Owner(), []

    def work(name: str) -> Iterator[int]:
        yield from counting(20)
        ended.append(name)

    jobs = [pool.submit(lambda name=name: work(name), 20, owner) for name in "abc"]
    until(lambda: not any(job.busy for job in jobs))
    assert ended == ["a", "b", "c"]


def test_no_more_run_at_a_time_than_there_are_workers():
    at_once, most, lock = [0], [0], threading.Lock()

    def work() -> Iterator[int]:
        for i in range(10):
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            time.sleep(0.002)
            with lock:
                at_once[0] -= 1
            yield i

    pool, owner = Pool(workers=2, slice_=0.01), Owner()
    jobs = [pool.submit(work, 10, owner) for _ in range(6)]
    until(lambda: not any(job.busy for job in jobs))
    assert most[0] == 2


def test_too_much_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(library, "MOST", 3)
    monkeypatch.setattr(library, "MOST_EACH", 2)
    pool, owners = Pool(workers=1), [Owner(), Owner()]
    jobs: list[Job] = [pool.submit(lambda: counting(100_000), 100_000, owners[0]) for _ in range(2)]
    with pytest.raises(ValueError, match="You have 2 runs under way"):
        pool.submit(lambda: counting(1), 1, owners[0])
    jobs.append(pool.submit(lambda: counting(100_000), 100_000, owners[1]))
    with pytest.raises(ValueError, match="All places for training are taken"):
        pool.submit(lambda: counting(1), 1, owners[1])
    for job in jobs:
        job.stop()


PAGE = """
import time
import streamlit as st
from pages.shared.training import Training

def work(name, most):
    for i in range(most):
        time.sleep(0.002)
        yield f"{name} {i}"
    if name == "bad":
        raise ValueError("the bad one always fails.")

live = Training("X1")
names = st.session_state.get("names", ["a", "b"])
most = st.session_state.get("most", 10)

def draw():
    runs = live.panel("Train both", {n: lambda n=n: work(n, most) for n in names}, total=most)
    st.text(" | ".join(str(job.report) for job in runs.values()))

live.watch(draw)()
"""


def settled(at: AppTest) -> AppTest:
    def rests() -> bool:
        at.run()
        return not any(job.busy for job in at.session_state["_runs"].values())

    until(rests)
    return at.run()


def test_the_panel_trains_and_keeps_what_came_out():
    at = AppTest.from_string(PAGE).run()
    assert [b.label for b in at.button] == ["Train both"] and at.text[0].value == ""
    at.button(key="train_X1").click().run()
    settled(at)
    assert not at.exception
    assert at.text[0].value == "a 9 | b 9" and not at.button
    assert at.caption[0].value.startswith("Done here in")


def test_a_run_can_be_stopped_and_begun_anew():
    at = AppTest.from_string(PAGE)
    at.session_state["most"] = 100_000
    at.run().button(key="train_X1").click().run()
    assert [b.label for b in at.button] == ["Stop"]
    at.button(key="stop_X1").click().run()
    settled(at)
    assert "Stopped" in at.caption[0].value and [b.label for b in at.button] == ["Train both"]
    at.session_state["most"] = 5
    at.run().button(key="train_X1").click().run()
    settled(at)
    assert at.text[0].value == "a 4 | b 4"


def test_what_fails_says_so_and_the_others_go_on():
    at = AppTest.from_string(PAGE)
    at.session_state["names"] = ["bad", "good"]
    at.run().button(key="train_X1").click().run()
    settled(at)
    assert at.error[0].value == "the bad one always fails." and at.text[0].value == "bad 9 | good 9"
    assert [b.label for b in at.button] == ["Train both"]
