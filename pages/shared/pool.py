"""Long work, such as training a small model: run a little at a time, beside the pages, fairly between learners.

No Streamlit here: workers report into plain objects, pages read them. A piece of work is a generator that yields a report
every now and then (a step, a few steps). Workers carry each of them on for a slice of time and turn to another: that of the
owner who has had least. So a learner's first report never waits for another's last. Between two reports a generator may be
carried on by another thread: it must hold no thread-bound state (torch.no_grad, a dice) across a yield.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch

State = Literal["waiting", "running", "done", "stopped", "failed"]
WORKERS = 2
SLICE = 0.25  # seconds
MOST, MOST_EACH = 48, 12  # pieces of work under way: all, and of one owner


class Owner:
    """Who asked: a learner's session holds one, and what it asked for ends with it."""


class Job:
    """A piece of work: where it stands, and what it has reported so far."""

    def __init__(self, work: Iterable[Any], total: int, owner: Owner) -> None:
        self.state: State = "waiting"
        self.reports: list[Any] = []
        self.total = total  # reports there will be
        self.problem = ""  # one sentence when it failed
        self.seconds = 0.0  # worked on it, by the clock on the wall
        self.core_seconds = 0.0  # and by the processor's
        self._work: Iterator[Any] | None = iter(work)
        self._owner = weakref.ref(owner)
        self._stop = threading.Event()

    @property
    def busy(self) -> bool:
        return self.state in ("waiting", "running")

    @property
    def share(self) -> float:
        """Of the reports that there will be, 0 … 1."""
        return min(1.0, len(self.reports) / self.total) if self.total else 1.0

    @property
    def report(self) -> Any | None:
        """The newest."""
        return self.reports[-1] if self.reports else None

    def stop(self) -> None:
        """After the report that is being made; what there is by then is kept."""
        self._stop.set()

    @property
    def wanted(self) -> bool:
        return not self._stop.is_set() and self._owner() is not None

    def carry_on(self, seconds: float) -> None:
        """Work for so long, at least to the next report."""
        started, before = time.monotonic(), time.thread_time()
        try:
            while self.wanted and time.monotonic() - started < seconds:
                self.reports.append(next(self._work))
        except StopIteration:
            self._end("done")
        except Exception as problem:  # a worker has no caller: whatever it is, the page must be able to say it
            self.problem = _sentence(problem)
            self._end("failed")
        if self.busy and not self.wanted:
            self._end("stopped")
        self.seconds += time.monotonic() - started
        self.core_seconds += time.thread_time() - before

    def _end(self, state: State) -> None:
        self._work = None  # and with it the model that it trained, unless a report holds it
        self.state = state


class Pool:
    """At most `workers` pieces of work at a time, each on one thread of torch."""

    def __init__(self, workers: int = WORKERS, slice_: float = SLICE) -> None:
        self._workers, self._slice = workers, slice_
        self._jobs: list[Job] = []  # under way, in the order of asking
        self._spent: Counter[int] = Counter()  # owner -> seconds, counted from those of the least served one
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], Iterable[Any]], total: int, owner: Owner) -> Job:
        """Begin soon. `work` makes the generator, `total` is how many reports it will yield.

        ValueError, one sentence, when there is too much under way.
        """
        with self._changed:
            own = sum(job._owner() is owner for job in self._jobs)
            if own >= MOST_EACH:
                raise ValueError(f"You have {own} runs under way, and more do not fit; stop one or wait for one to end.")
            if len(self._jobs) >= MOST:
                raise ValueError("All places for training are taken by other learners just now; try again in a minute.")
            job = Job(_lazily(work), total, owner)
            if not own:  # neither owed for the time before it came nor ahead of those who have waited
                self._spent[id(owner)] = min((self._spent[id(j._owner())] for j in self._jobs), default=0.0)
            self._jobs.append(job)
            while len(self._threads) < self._workers:
                self._threads.append(threading.Thread(target=self._run, name=f"train {len(self._threads)}", daemon=True))
                self._threads[-1].start()
            self._changed.notify()
        return job

    @property
    def learners(self) -> int:
        """Whose work is under way."""
        with self._changed:
            return len({id(job._owner()) for job in self._jobs if job.wanted})

    def _run(self) -> None:
        torch.set_num_threads(1)  # of this thread: small matrices gain nothing from more
        while True:
            with self._changed:
                while not (job := self._next()):
                    self._changed.wait()
                job.state = "running"
            before = job.seconds
            job.carry_on(self._slice)
            with self._changed:
                self._spent[id(job._owner())] += job.seconds - before
                if job.busy:
                    job.state = "waiting"
                else:
                    self._jobs.remove(job)
                    owners = {id(j._owner()) for j in self._jobs}
                    for gone in [owner for owner in self._spent if owner not in owners]:
                        del self._spent[gone]
                self._changed.notify()

    def _next(self) -> Job | None:
        """The oldest piece of work of whoever had least."""
        waiting = [job for job in self._jobs if job.state == "waiting"]
        return min(waiting, key=lambda job: self._spent[id(job._owner())], default=None)


def _lazily(work: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    yield from work()  # in the worker, from the first line on


def _sentence(problem: Exception) -> str:
    if isinstance(problem, ValueError | RuntimeError | OSError) and str(problem):
        return str(problem)
    return f"The run ended early ({type(problem).__name__}: {problem})."
