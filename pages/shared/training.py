"""Live training on a page: a button, its progress and its stop, and runs that are still there when the learner comes back.

    live = Training("D5")

    def draw() -> None:
        runs = live.panel("Train both", {("linear", seed): functools.partial(boundary.train, "linear", seed), …}, total=300)
        curves.mount(data=…(run.reports for run in runs.values()), …)

    live.watch(draw)()

The works come from `transformer/`: each makes a generator whose reports the page draws (see `pages/shared/pool.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import streamlit as st

from pages.shared.pool import Job, Owner, Pool

EVERY = 0.5  # seconds between two looks at what is under way
KEPT = 60  # ended runs that a session keeps, of all lessons

Key = Hashable
Work = Callable[[], Iterable[Any]]


class Training:
    """The learner's runs of one lesson, by what makes them: (variant, setting, …, seed)."""

    def __init__(self, row: str) -> None:
        self.row = row

    def run(self, key: Key) -> Job | None:
        """The run of this key, under way or ended, if there is one."""
        return _runs().get((self.row, key))

    def start(self, works: Mapping[Key, Work], total: int) -> None:
        """Begin what is not under way or done. Too much at once gives one sentence, and begins what fits."""
        runs, owner = _runs(), st.session_state.setdefault("_owner", Owner())
        for key, work in works.items():
            if (old := self.run(key)) is not None and (old.busy or old.state == "done"):
                continue
            try:
                runs.pop((self.row, key), None)
                runs[self.row, key] = _pool().submit(work, total, owner)
            except ValueError as problem:
                st.session_state[f"_full_{self.row}"] = str(problem)
                return
        for key in [key for key, job in runs.items() if not job.busy][:-KEPT]:
            del runs[key]

    def stop(self) -> None:
        """All of this lesson's; what they have reported stays."""
        for (row, _), job in _runs().items():
            if row == self.row:
                job.stop()

    def watch(self, draw: Callable[..., None]) -> Callable[..., None]:
        """`draw` as a fragment that runs again and again while any run of this lesson is under way."""
        busy = self._busy()

        @functools.wraps(draw)
        def watched(*args: object) -> None:
            if self._busy() != busy:
                st.rerun(scope="app")  # one set out, and has to be watched; or ended: the page shows it and rests
            draw(*args)

        return st.fragment(watched, run_every=EVERY if busy else None)

    def panel(self, label: str, works: Mapping[Key, Work], total: int, unit: str = "step") -> dict[Key, Job]:
        """The button that starts `works`, their progress and stop; for the inside of what `watch` runs.

        label: of the button, says what is trained and about how long it takes; total: reports of each; unit: what a report
        stands for. -> the runs there are, in the order of `works`.
        """
        runs = {key: job for key in works if (job := self.run(key)) is not None}
        busy = [job for job in runs.values() if job.busy]
        with st.container(key=f"gf-train-{self.row}"):
            if busy:
                self._progress(list(runs.values()), unit)
            elif len(runs) < len(works) or any(job.state != "done" for job in runs.values()):
                st.button(label, key=f"train_{self.row}", icon=":material/play_arrow:", type="primary", on_click=self.start,
                          args=(works, total))
            else:
                st.caption(f"Done here in {sum(job.core_seconds for job in runs.values()):.1f} s of one processor core.")
            for problem in dict.fromkeys(job.problem for job in runs.values() if job.problem):
                st.error(problem, icon=":material/error:")
            if any(job.state == "stopped" for job in runs.values()):
                st.caption("Stopped; the picture keeps what was reported until then.")
            if (full := st.session_state.pop(f"_full_{self.row}", None)) is not None:
                st.warning(full, icon=":material/info:")
        return runs

    def _progress(self, runs: list[Job], unit: str) -> None:
        done, total = sum(len(job.reports) for job in runs), sum(job.total for job in runs)
        learners = _pool().learners
        beside = f" · {learners} learners share this machine" if learners > 1 else ""
        st.progress(min(1.0, done / total), text=f"{unit} {done:,} of {total:,}{beside}")
        st.button("Stop", key=f"stop_{self.row}", icon=":material/stop:", on_click=self.stop)

    def _busy(self) -> set[Key]:
        return {key for key, job in _runs().items() if key[0] == self.row and job.busy}


def _runs() -> dict[tuple[str, Key], Job]:
    return st.session_state.setdefault("_runs", {})


@st.cache_resource(show_spinner=False)
def _pool() -> Pool:
    return Pool()
