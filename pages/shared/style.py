"""The look of the app."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).parents[2] / "assets"
CSS = ASSETS / "style.css"
ICON = ASSETS / "icon.png"  # a file: Streamlit fetches a ":material/…:" favicon from another host


def apply() -> None:
    """assets/style.css, once a run: the role colours as CSS variables and the typography of a lesson."""
    st.html(CSS)
