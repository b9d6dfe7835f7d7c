"""The models of the page on cross-attention: Marian in both directions, fetched or recorded, and our own date model."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import NamedTuple

import streamlit as st

import transformer
from pages.shared.models import Label
from pages.shared.shelf import Shelf
from transformer import translation
from transformer.pretrained import ASSETS
from transformer.pretrained.archives import ARCHIVES
from transformer.pretrained.fetch import fetch, is_fetched
from transformer.pretrained.marian import ARCHIVE
from transformer.translation import RECORDED, Translation, translate

DATES = "dates"
MEGABYTES = round(ARCHIVES[ARCHIVE].size / 1e6)
MOST_READ = {"dates": 44}  # tokens of a source; Marian's: beyond it no picture can be read
MOST_WRITTEN = {"dates": 10}
FOLDER = ASSETS / "recorded"
IDLE = 300.0  # seconds


class Said(NamedTuple):
    """A translation and where it came from."""

    translation: Translation
    label: Label


@st.cache_resource(show_spinner=False)
def shelf() -> Shelf:
    """Marian's models, which two lessons use: both lie in one archive."""
    return Shelf(transformer.load, lambda name, **how: fetch(ARCHIVE, **how), lambda name: is_fetched(ARCHIVE), idle=IDLE)


def say(name: str, text: str, hidden: tuple[int, ...] = ()) -> Said:
    """What the model makes of the text: live where it is here, else recorded.

    ValueError, one sentence, where the text is empty or too long, has signs that the model does not know, or needs a model
    that has not been fetched.
    """
    if not text.strip():
        raise ValueError("There is nothing to read yet: type a sentence.")
    if len(text) > 1000:
        raise ValueError(f"This text is too long: this page takes {_most(name)} tokens.")
    ready = loaded(name)
    if ready is None:
        shelf().start(name, fetch=False)
        if not hidden and (file := _recording_of(name, text)) is not None:
            return Said(_recorded(file), "recorded")
        ready = _soon(name)
    if ready is None:
        raise ValueError(
            f"Marian is not here yet ({MEGABYTES} MB to fetch, once): until then the page shows runs that were recorded, of "
            "its own sentences."
        )
    n = len(ready[1].encode(text))
    if n > _most(name):
        raise ValueError(f"This text is {n} tokens long; this page takes {_most(name)}. Shorten it.")
    return Said(_translated(name, text, hidden, ready), "tiny" if name == DATES else "live")


def loaded(name: str) -> tuple | None:
    """(model, tokenizer) where it is here by now, else None; the date model always is."""
    return _dates() if name == DATES else shelf().get(name)


def made() -> dict:
    """How the date model was trained and what was measured, as its script wrote it."""
    return json.loads((ASSETS / DATES / "config.json").read_text("utf-8"))["made"]


@st.cache_resource(show_spinner=False)
def _dates() -> tuple:
    return transformer.load(DATES)


@st.cache_resource(max_entries=64, show_spinner=False)
def _translated(name: str, text: str, hidden: tuple[int, ...], _ready: tuple) -> Translation:
    return translate(name, *_ready, text, most=MOST_WRITTEN.get(name, 80), hidden=hidden)


def _most(name: str) -> int:
    return MOST_READ.get(name, 40)


def _recording_of(name: str, text: str) -> Path | None:
    return next((FOLDER / f"{file}.safetensors" for file, what in RECORDED.items() if what == (name, text)), None)


@functools.lru_cache
def _recorded(file: Path) -> Translation:
    return translation.load(file)


def _soon(name: str, patience: float = 30.0) -> tuple | None:
    """The model, where it is on the disk and only has to be loaded: a second or two."""
    until = time.monotonic() + patience
    while shelf().status(name).state == "loading" and time.monotonic() < until:
        time.sleep(0.05)
    return shelf().get(name)


def state(name: str, watched: bool) -> None:
    """Where Marian is on its way here, with its button. `watched`: this is a fragment that runs again and again."""
    status = shelf().status(name)
    if status.busy != watched:
        st.rerun(scope="app")  # it set out, and has to be watched; or it is here or failed, and the page shows something else
    if status.state == "fetching":
        st.progress(status.share, text=f"Fetching Marian: {status.share:.0%}")
        st.button("Cancel", key="marian_cancel", on_click=shelf().cancel, args=(name,), type="tertiary")
    elif status.state == "loading":
        st.caption("Loading Marian…")
    elif status.state == "ready":
        st.caption("Marian's tiny student, 16.9 M parameters, translating live.")
    else:
        if status.state == "failed":
            st.error(status.problem, icon=":material/error:")
        st.button("Try again" if status.state == "failed" else f"Fetch Marian, {MEGABYTES} MB, to translate your own sentence",
                  key="marian_fetch", icon=":material/download:", width="stretch", on_click=shelf().start, args=(name,),
                  kwargs={"fetch": True})  # fmt: skip
