"""The models of this process: fetched and loaded in background threads, shared by every session, never loaded twice.

No Streamlit here: threads report into plain objects, pages read them. `Shelf.status(name)` never blocks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from pages.shared import allocator

State = Literal["absent", "fetching", "loading", "ready", "failed"]


@dataclass(frozen=True)
class Status:
    """Where a model is on its way here. `share` of the download is 0..1; `problem` is one sentence when it failed."""

    state: State
    share: float = 0.0
    problem: str = ""

    @property
    def busy(self) -> bool:
        return self.state in ("fetching", "loading")


class Shelf:
    """Models by name, each in one state.

    load:     name -> (model, tokenizer); runs in a thread
    fetch:    (name, progress=callable(done, total), cancel=threading.Event) -> path; runs in the same thread before load
    fetched:  name -> whether load can succeed without the network
    patience: seconds that the threads leave the processor to whoever draws first; `go_ahead` ends the wait
    idle: seconds after which a model that nobody has asked for is put away, to be loaded anew; None keeps it
    """

    def __init__(self, load: Callable[[str], tuple[Any, Any]], fetch: Callable[..., object],
                 fetched: Callable[[str], bool], patience: float = 0.0, idle: float | None = None) -> None:
        self._load, self._fetch, self._fetched = load, fetch, fetched
        self._patience, self._drawn = patience, threading.Event()
        self._idle = idle
        self._lock = threading.Lock()
        self._status: dict[str, Status] = {}
        self._cancel: dict[str, threading.Event] = {}
        self._asked: dict[str, float] = {}  # when, by the monotonic clock
        self._models: dict[str, tuple[Any, Any]] = {}

    @property
    def untouched(self) -> bool:
        """Whether nothing has been started yet."""
        return not self._status

    def status(self, name: str) -> Status:
        return self._status.get(name, Status("absent"))

    def get(self, name: str) -> tuple[Any, Any] | None:
        """(model, tokenizer) once the model is ready, else None."""
        self._asked[name] = time.monotonic()
        return self._models.get(name)

    def start(self, name: str, *, fetch: bool) -> None:
        """Bring the model here in the background, over the network only if `fetch`. Starting it twice does nothing.

        One that failed is tried again only with `fetch`: when somebody asks for it, not on every run of every page.
        """
        with self._lock:
            state = self.status(name).state
            if state in ("fetching", "loading", "ready") or (state == "failed" and not fetch):
                return
            have = self._fetched(name)
            if not have and not fetch:
                return
            self._cancel[name] = threading.Event()
            self._status[name] = Status("loading" if have else "fetching")
        threading.Thread(target=self._bring, args=(name, have), name=f"bring {name}", daemon=True).start()

    def go_ahead(self) -> None:
        """The first picture is drawn: the processor is free for loading."""
        self._drawn.set()

    def cancel(self, name: str) -> None:
        """Stop a download; what has come down so far is kept for the next try."""
        if name in self._cancel:
            self._cancel[name].set()

    def _bring(self, name: str, have: bool) -> None:
        cancel = self._cancel[name]
        self._drawn.wait(self._patience)
        try:
            if not have:
                self._fetch(name, progress=lambda done, total: self._say_share(name, done, total), cancel=cancel)
            if cancel.is_set() and not have:
                self._status[name] = Status("absent")
                return
            self._status[name] = Status("loading", share=1.0)
            self._models[name] = self._load(name)
            self._asked[name] = time.monotonic()
            self._status[name] = Status("ready", share=1.0)
            allocator.give_back()
            self._put_away(name)
        except Exception as problem:  # a thread has no caller: whatever it is, the page must be able to say it
            self._status[name] = Status("absent") if cancel.is_set() else Status("failed", problem=_sentence(problem))

    def _put_away(self, name: str) -> None:
        """Once it has been idle for long enough; until then, look again when it may be."""
        if self._idle is None:
            return
        left = self._asked[name] + self._idle - time.monotonic()
        if left > 0:
            timer = threading.Timer(left, self._put_away, (name,))
            timer.daemon = True
            timer.start()
            return
        with self._lock:
            self._status[name] = Status("absent")
            del self._models[name]
        allocator.give_back()

    def _say_share(self, name: str, done: int, total: int | None) -> None:
        self._status[name] = replace(self.status(name), share=min(1.0, done / total) if total else 0.0)


def _sentence(problem: Exception) -> str:
    if isinstance(problem, ValueError | RuntimeError | OSError) and str(problem):
        return str(problem)
    return f"The model could not be brought here ({type(problem).__name__}: {problem})."
