"""What a process does once: before its first visitor, and after its first picture, to whom the processor belongs."""

from __future__ import annotations

import gc
import threading

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from pages.shared import allocator
from pages.shared.shelf import Shelf

AFTER = 1.0  # seconds in which the browser still asks for files after the script has ended


def before_first_visitor() -> None:
    """Say that the router names the pages, and read what the first picture needs while the browser loads the front end.

    Streamlit takes a folder pages/ for the pages themselves until st.navigation has run once: a first visitor who came by
    a link to a lesson was told "Page not found".
    """
    PagesManager.uses_pages_directory = False
    allocator.few_arenas()
    threading.Thread(target=_read_ahead, name="read ahead", daemon=True).start()


def _read_ahead() -> None:
    from pages.shared import recorded  # torch: a second
    from transformer.recording import CAPITAL

    recorded.of("smollm2-135m", CAPITAL)


@st.cache_resource(show_spinner=False)
def after_first_picture(_shelf: Shelf) -> threading.Timer:
    """Soon: let models load, and take what the imports made out of the collector's sight, so that it has less to look at."""
    timer = threading.Timer(AFTER, _settle, args=(_shelf,))
    timer.daemon = True
    timer.start()
    return timer


def _settle(shelf: Shelf) -> None:
    gc.collect()
    gc.freeze()
    shelf.go_ahead()
