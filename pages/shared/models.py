"""Which model the learner reads with, and its reading of a text.

`sidebar()` (called by the router) shows the choice, the download and its progress. `read(text, record)` gives the
tensors of one run as NumPy arrays: live where the chosen model is here, else recorded, else from the tiny model;
`Reading.label` says which, and the page shows it.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal

import numpy as np
import streamlit as st
from torch import Tensor

import transformer
from pages.shared import recorded
from pages.shared.shelf import Shelf
from transformer.pretrained.fetch import fetch, is_fetched

Label = Literal["live", "recorded", "tiny"]

TITLES = {"smollm2-135m": "SmolLM2-135M", "minilm-l6": "MiniLM-L6", "tiny": "Tiny model"}
ABOUT = {
    "smollm2-135m": "A decoder of 135 M parameters, reading live.",
    "minilm-l6": "An encoder of 23 M parameters, reading live.",
    "tiny": "Trained on Shakespeare by a script of this project; always here.",
}
MEGABYTES = {"smollm2-135m": 93, "minilm-l6": 84}
DEFAULT = "smollm2-135m"
ENCODERS = {"minilm-l6"}  # no language-model head: no logits
AUTO_FETCH = "GLASSFORMER_AUTO_FETCH"  # "0" leaves the network alone until the learner presses the button
TRACE_BYTES = 64 * 2**20               # the most that one reading may keep
CACHE_BYTES = 128 * 2**20              # the most that all kept readings together may hold
MOST_TOKENS = 512                      # beyond this no picture on these pages can be read any more


@dataclass(frozen=True)
class Reading:
    """One run of one model on one text: the tensors a page draws. Arrays are read-only and batch comes first."""

    model: str
    label: Label
    text: str
    config: transformer.Config
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]

    @property
    def title(self) -> str:
        return TITLES[self.model]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


@st.cache_resource(show_spinner=False)
def shelf() -> Shelf:
    return Shelf(transformer.load, fetch, lambda name: name == "tiny" or is_fetched(name), patience=5.0)


def warm() -> None:
    """Start what every page will want: the tiny model, and SmolLM2 (fetched unless the user has turned that off).

    Once a process: what was cancelled stays cancelled.
    """
    if not shelf().untouched:
        return
    shelf().start("tiny", fetch=False)
    shelf().start(DEFAULT, fetch=os.environ.get(AUTO_FETCH, "1") != "0")


def chosen() -> str:
    """The model picked in the sidebar."""
    return st.session_state.get("model", DEFAULT)


def decoder() -> str:
    """The chosen model where it is a decoder, else the default one: for pages about the next token."""
    return DEFAULT if chosen() in ENCODERS else chosen()


def sidebar() -> None:
    """The choice of model with its state; the router calls it once a run, before the page."""
    with st.sidebar.container(key="gf-model"):
        st.selectbox("Model", list(TITLES), key="model", bind="query-params",
                     help="What reads your text; `transformer.load` takes the same name.")
        shelf().start(chosen(), fetch=False)  # now, so that the page and this place agree that it is on its way
        coming = _coming()
        st.fragment(_state, run_every=0.5 if coming else None)(chosen(), coming)


def _coming() -> set[str]:
    """Which of the models that the pages may want now are on their way."""
    return {name for name in {chosen(), decoder()} - {"tiny"} if shelf().status(name).busy}


def loaded(name: str) -> tuple | None:
    """(model, tokenizer) where the model is here by now, else None; the tiny one always is."""
    return _tiny() if name == "tiny" else shelf().get(name)


def read(text: str, record: Iterable[str], name: str | None = None) -> Reading:
    """The chosen model's reading of the text, or the nearest thing there is.

    record: patterns of trace names, as `model.run` takes them. name: another model than the chosen one, for a page that
    needs a decoder or an encoder.
    ValueError, one sentence, when the text is empty or too long.
    """
    record = tuple(record)
    if not text.strip():
        raise ValueError("There is nothing to read yet: type a word or a sentence.")
    name = name or chosen()
    ready = loaded(name)
    if ready is None:
        shelf().start(name, fetch=False)
        if (found := _from_recording(name, text, record)) is not None:
            return found
        name, ready = "tiny", _tiny()
    return _run(name, ready, text, record)


def limit(name: str, record: Iterable[str]) -> int:
    """The most tokens the model may be given when this much of it is recorded: its context, or what memory allows."""
    return _limit(name, tuple(record))


@functools.lru_cache
def _limit(name: str, record: tuple[str, ...]) -> int:
    return min(MOST_TOKENS, transformer.cost.longest(_config(name), record, TRACE_BYTES))


def vocabulary(reading: Reading, ids: Iterable[int]) -> list[str]:
    """How vocabulary entries read; a recording knows those that were probable somewhere in it, and numbers the rest."""
    if reading.label == "recorded":
        known = recorded.of(reading.model, reading.text).vocabulary
        return [known.get(i, f"#{i}") for i in ids]
    _, tokenizer = loaded(reading.model)
    return [tokenizer.pieces([i])[0] for i in ids]


Key = tuple[str, str, tuple[str, ...]]  # model (and " recorded"), text, what is recorded
_kept: OrderedDict[Key, Reading] = OrderedDict()
_kept_lock = threading.Lock()
_run_lock = threading.Lock()  # one forward at a time: two would only fight for the same cores


def _run(name: str, ready: tuple, text: str, record: tuple[str, ...]) -> Reading:
    key = (name, text, record)
    if (kept := _again(key)) is not None:
        return kept
    model, tokenizer = ready
    most = limit(name, record)
    if len(text) > 64 * most:  # no tokenizer packs more than this into a token: do not even tokenize
        raise ValueError(f"This text is too long: {TITLES[name]} takes {most} tokens on this page.")
    ids = tuple(tokenizer.encode(text))
    if len(ids) > most:
        raise ValueError(f"This text is {len(ids)} tokens long; {TITLES[name]} takes {most} on this page. Shorten it.")
    with _run_lock:
        run = model.run(list(ids), record=record)
    return _keep(key, Reading(name, "tiny" if name == "tiny" else "live", text, model.config, ids,
                              tuple(tokenizer.pieces(list(ids))), _arrays(run.trace)))


def _arrays(trace: Mapping[str, Tensor]) -> Mapping[str, np.ndarray]:
    arrays = {}
    for name, tensor in trace.items():
        arrays[name] = tensor.float().numpy()
        arrays[name].flags.writeable = False
    return MappingProxyType(arrays)


def _again(key: Key) -> Reading | None:
    with _kept_lock:
        if key in _kept:
            _kept.move_to_end(key)
        return _kept.get(key)


def _keep(key: Key, reading: Reading) -> Reading:
    # Kept as they are, read-only and shared, rather than in st.cache_data: that would copy every array on every rerun.
    with _kept_lock:
        _kept[key] = reading
        while len(_kept) > 1 and sum(a.nbytes for r in _kept.values() for a in r.arrays.values()) > CACHE_BYTES:
            _kept.popitem(last=False)
    return reading


def _from_recording(name: str, text: str, record: tuple[str, ...]) -> Reading | None:
    recording = recorded.of(name, text)
    if recording is None:
        return None
    key = (f"{name} recorded", text, record)
    if (kept := _again(key)) is not None:
        return kept
    wanted = [n for n in recording if any(fnmatchcase(n, pattern) for pattern in record)]
    if not all(any(fnmatchcase(n, pattern) for n in wanted) for pattern in record):
        return None  # the page wants more than was recorded
    return _keep(key, Reading(name, "recorded", text, recording.config, recording.ids, recording.pieces,
                              _arrays({n: recording[n] for n in wanted})))


def _tiny() -> tuple:
    ready = shelf().get("tiny")
    if ready is None:  # in the first second of the process, before its thread is done
        return _load_tiny()
    return ready


@st.cache_resource(show_spinner=False)
def _load_tiny() -> tuple:
    return transformer.load("tiny")


def _config(name: str) -> transformer.Config:
    return _tiny()[0].config if name == "tiny" else transformer.PRESETS[name]


def _state(name: str, coming: set[str]) -> None:
    """coming: those that were on their way when the page last ran, for which this fragment runs again and again."""
    if _coming() != coming:
        st.rerun(scope="app")  # one set out, and has to be watched; or is here, or failed: the pages show something else
    status = shelf().status(name)
    if status.state == "fetching":
        st.progress(status.share, text=f"Fetching {TITLES[name]}: {status.share:.0%}")
        st.button("Cancel", key="model_cancel", on_click=shelf().cancel, args=(name,), type="tertiary")
    elif status.state == "loading":
        st.caption(f"Loading {TITLES[name]}…")
    elif status.state == "ready":
        st.caption(ABOUT[name])
    else:
        if status.state == "failed":
            st.error(status.problem, icon=":material/error:")
        else:
            st.caption(f"{TITLES[name]} is not here yet: its own sentences are recorded, rounded to about 1 %, other "
                       f"text is read by the tiny model. {MEGABYTES[name]} MB to fetch, once.")
        label = "Try again" if status.state == "failed" else f"Fetch {TITLES[name]}"
        st.button(label, key="model_fetch", icon=":material/download:", width="stretch", on_click=shelf().start,
                  args=(name,), kwargs={"fetch": True})
