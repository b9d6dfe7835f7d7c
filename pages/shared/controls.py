"""Controls that outlive what they choose from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

T = TypeVar("T")


def choose(label: str, options: Sequence[T], default: T, key: str, place: Callable[..., T] = st.selectbox) -> T:
    """A box (or st.select_slider) in the link, which falls back where another model or text lacks what was chosen.

    To its default, and to the first option where that is not among them either. Streamlit itself does the falling back,
    and tells the browser; a value that is deleted here would go on standing in the box.
    """
    start = default if default in options else options[0]
    at = start if place is st.select_slider else list(options).index(start)
    return place(label, options, at, key=key, bind="query-params")
