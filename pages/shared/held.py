"""Values that the browser holds, such as what a slider inside a component stands at.

A component's message should not change because its own slider moved: the same bytes are not sent again. So the message
says what the page last pressed on the browser, with a number that grows when it presses anew: on a fresh component, and
when the value came from elsewhere (a link, the back button).
"""

from __future__ import annotations

from typing import TypeVar

import streamlit as st

T = TypeVar("T")


def reported(component: str, value: object) -> None:
    """The component said that it stands at this value; for its on_…_change callback."""
    st.session_state[f"_held_{component}"] = value


def said(component: str, name: str) -> dict | None:
    """What the component reported under this name: all that it holds, in one mapping, with the epoch that it answers to.

    None where it answers an older press. All in one, because each report comes with the link as the browser last saw it:
    of two within one round trip the later one would undo what the first wrote there.
    """
    report = st.session_state[component].get(name)
    _, epoch = st.session_state.get(f"_pressed_{component}", (None, 0))
    return report if isinstance(report, dict) and report.get("epoch") == epoch else None


def to_send(component: str, value: T, anew: bool = False) -> tuple[T, int]:
    """(what the message says, its epoch), where the page wants the component with this key to stand at `value`.

    anew: press it where it stands already, for a message that has to say so and is another one anyway.
    """
    if anew or component not in st.session_state:
        st.session_state.pop(f"_held_{component}", None)  # a fresh one holds nothing
    pressed, epoch = would_send(component, value)
    if epoch != st.session_state.get(f"_pressed_{component}", (None, 0))[1]:
        reported(component, value)
    st.session_state[f"_pressed_{component}"] = pressed, epoch
    return pressed, epoch


def would_send(component: str, value: T) -> tuple[T, int]:
    """What `to_send` would say next, after this run's, for a picture that is sent ahead; nothing is pressed."""
    pressed, epoch = st.session_state.get(f"_pressed_{component}", (None, 0))
    known = f"_held_{component}" in st.session_state and st.session_state[f"_held_{component}"] == value
    return (pressed, epoch) if known else (value, epoch + 1)
