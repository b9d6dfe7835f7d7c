"""The look of the app, and what is done once a process."""

from __future__ import annotations

import gc
from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).parents[2] / "assets"
CSS = ASSETS / "style.css"
ICON = ASSETS / "icon.png"  # a file: Streamlit fetches a ":material/…:" favicon from another host


def apply() -> None:
    """assets/style.css, once a run: the role colours as CSS variables and the typography of a lesson."""
    st.html(CSS)


@st.cache_resource(show_spinner=False)
def freeze_once() -> int:
    """Move what the imports made out of the collector's sight, so that later collections are short."""
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()
