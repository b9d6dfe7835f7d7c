"""What a process does once, after its first picture: until then the processor belongs to that picture."""

from __future__ import annotations

import gc
import threading

import streamlit as st

from pages.shared.shelf import Shelf

AFTER = 1.0  # seconds in which the browser still asks for files after the script has ended


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
