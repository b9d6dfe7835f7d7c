"""The URL is the state: what a link hides, what a component keeps in it, and one sentence about what it cannot mean.

Widgets keep themselves in the URL with `bind="query-params"` and a `key`. What a browser component reports is kept by
`url_state` / `set_url_state`. A teacher's link hides parts of a page: `?hide=prose,predict`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

T = TypeVar("T")
FOLLOWS = {"model"}          # controls that every page shows
RESERVED = {"embed", "embed_options", "hide"}
_GIVEN = "_url_given"        # page -> the parameters it was opened with
_KNOWN = "_url_known"        # parameters that some component of this page keeps
_PROBLEMS = "_url_problems"  # sentences found while the page was opening
_HIDE = "_url_hide"          # what the link that opened the session hides
_SETTLED = "_url_settled"    # the query string right after the page corrected it


def open_page(page: str) -> None:
    """Note what the page was opened with; the router calls it before the page runs."""
    if st.session_state.get("_url_page") != page:
        # Streamlit hands a bound control's value on to the next page's control of the same key: "layer" here is not "layer"
        # there, and each page has its telling default.
        for key in set(st.session_state) - set(st.query_params) - FOLLOWS:
            if not str(key).startswith("_") and "_url_page" in st.session_state:
                del st.session_state[key]
        st.session_state["_url_page"] = page
        st.session_state[_GIVEN] = st.query_params.to_dict()
        st.session_state[_PROBLEMS] = None
        # What a teacher's link hides stays hidden on the next page.
        if "hide" in st.query_params:
            st.session_state[_HIDE] = st.query_params["hide"]
        elif _HIDE in st.session_state:
            st.query_params["hide"] = st.session_state[_HIDE]
    st.session_state[_KNOWN] = set()


def report() -> None:
    """One sentence for every parameter that this page could not use; the router calls it after the page ran.

    Streamlit drops a bound parameter that its widget cannot take and says nothing, so what was given is compared with
    what the widgets hold now. The sentences stand until the learner changes something.
    """
    if st.session_state[_PROBLEMS] is None:
        given = st.session_state[_GIVEN]
        found = [sentence for key, value in given.items() if (sentence := _problem(key, value))]
        st.session_state[_PROBLEMS] = found
        st.session_state[_SETTLED] = st.query_params.to_dict()
    if st.query_params.to_dict() == st.session_state[_SETTLED]:
        for sentence in st.session_state[_PROBLEMS]:
            st.warning(sentence, icon=":material/link_off:")


def hidden(part: str) -> bool:
    """Whether this link hides the part."""
    st.session_state.setdefault(_KNOWN, set()).add(f"hide={part}")
    return part in _hide_list()


def url_state(key: str, default: T, parse: Callable[[str], T], allowed: Callable[[T], bool] = lambda _: True,
              shown: str | None = None) -> T:
    """The value of `?key=` as a component should start with it, or the default.

    `parse` may raise ValueError; a value that does not parse or is not allowed is dropped with one sentence, which calls
    the default `shown` where its own name would say little.
    """
    st.session_state.setdefault(_KNOWN, set()).add(key)
    raw = st.query_params.get(key)
    if raw is None:
        return default
    if (value := _read(raw, parse, allowed)) is None:
        _drop(key, raw, default if shown is None else shown)
        return default
    return value


def would_state(key: str, default: T, parse: Callable[[str], T], allowed: Callable[[T], bool] = lambda _: True,
                shown: str | None = None) -> T:
    """What `url_state` would give, for a picture that is sent ahead; the link is left as it is."""
    raw = st.query_params.get(key)
    value = None if raw is None else _read(raw, parse, allowed)
    return default if value is None else value


def _read(raw: str, parse: Callable[[str], T], allowed: Callable[[T], bool]) -> T | None:
    try:
        value = parse(raw)
    except ValueError:
        return None
    return value if value is not None and allowed(value) else None


def set_url_state(key: str, value: object, default: object) -> None:
    """Keep a component's value in the URL, the default left out; for the component's on_…_change callback."""
    if value == default:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = str(value)


def _hide_list() -> list[str]:
    return [part.strip() for part in st.query_params.get("hide", "").split(",") if part.strip()]


def _drop(key: str, raw: str, default: object) -> None:
    st.query_params.pop(key, None)
    known = st.session_state.setdefault("_url_dropped", {})
    known[key] = _cannot(key, raw, default)


def _cannot(key: str, raw: str, used: object) -> str:
    return f"The link says {_short(key)} = “{_short(raw)}”, which this page cannot take; it shows {_short(str(used))}."


def _problem(key: str, value: str) -> str | None:
    known = st.session_state[_KNOWN]
    dropped = st.session_state.get("_url_dropped", {})
    if key in dropped:
        return dropped.pop(key)
    if key == "hide":
        parts = [part for part in _hide_list() if f"hide={part}" not in known]
        names = sorted(name.removeprefix("hide=") for name in known if name.startswith("hide="))
        if parts:
            return f"The link hides “{_short(', '.join(parts))}”, which this page does not have; it has {', '.join(names)}."
        return None
    if key in RESERVED or key in known:
        return None
    if key not in st.session_state:
        return f"The link sets “{_short(key)}”, which this page does not have; everything else in it is in force."
    if st.query_params.get(key) == value:  # Streamlit takes out what its widget cannot take
        return None
    held = _as_in_a_link(key)
    return None if _means_the_same(value, held) else _cannot(key, value, held)


def _as_in_a_link(key: str) -> object:
    """What the widget with this key holds; by its label where the page gave its options labels (`format_func`)."""
    held, state = st.session_state[key], get_script_run_ctx().session_state._state
    widget = state.get_widget_metadata(state.get_widget_id_from_key(key))
    if widget is None or not widget.value_type.startswith("string_"):
        return held
    written = widget.serializer(held)  # the label, or a list of labels
    return written[0] if isinstance(written, list) and len(written) == 1 else written


def _means_the_same(given: str, held: object) -> bool:
    if isinstance(held, bool):
        return given.lower() == str(held).lower()
    if isinstance(held, int | float):
        try:
            return float(given) == float(held)
        except ValueError:
            return False
    if isinstance(held, list | tuple):
        return True  # ranges and multiple choices: Streamlit keeps the part that it can take
    return given == str(held)


def _short(text: str) -> str:
    # User text goes into a warning, which renders Markdown: keep it short and inert.
    plain = "".join(c for c in text if c.isprintable() and c not in "`*_[]()<>$:#|~\\")
    return plain[:60] + ("…" if len(plain) > 60 else "")
