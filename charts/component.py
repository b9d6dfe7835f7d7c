"""Declare a browser component from its files, and pack arrays for it.

A component lives in assets/components/<name>/index.js (an ES module with a default export) and, if it likes, style.css.
assets/components/common.js is put in front of every index.js as the object `gf`; its head says what it offers. In front
of that stands ahead.js: see charts/ahead.py.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

FOLDER = Path(__file__).parent.parent / "assets" / "components"
# float16 goes out as such and common.js widens it: half the bytes on a slow classroom network.
DTYPES = ("float32", "float16", "uint8", "int8", "uint16", "int16", "int32")


@functools.cache
def declare(name: str, *parts: str) -> ComponentRenderer:
    """The mounting function of assets/components/<name>: call it with data=pack(...), key=..., height=..., on_x_change=...

    parts: further scripts of assets/components ("sampling.js", "next_token/paint.js"), put between common.js and
    index.js in this order, all in one module; each declares one object, as common.js does. A part may be a style
    ("sampling.css") too. ValueError where a file is missing.
    """
    script = FOLDER / name / "index.js"
    if not script.is_file():
        raise ValueError(f"There is no component {name!r}: {script.relative_to(FOLDER.parent.parent)} is missing.")
    files = [FOLDER / "ahead.js", FOLDER / "common.js", FOLDER / "common.css", *(FOLDER / part for part in parts), script]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(f"The component {name!r} names {missing[0]!r}, which is not in assets/components.")
    style = FOLDER / name / "style.css"
    files += [style] if style.is_file() else []
    js, css = ("".join(_inline(file.read_text("utf-8")) for file in files if file.suffix == kind) for kind in (".js", ".css"))
    return st.components.v2.component(f"glassformer_{name}", css=css, js=js)


def pack(header: Mapping[str, object], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One message for a component: a JSON header and named arrays; gf.unpack(data) gives both back in the browser.

    Layout: uint32 length of the header, the header (UTF-8 JSON, with "arrays": name -> dtype, shape, offset), then the
    arrays little-endian, each from a multiple of 8 bytes. ValueError on a dtype that the browser has no array for.
    """
    table: dict[str, dict[str, object]] = {}
    pieces: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise ValueError(f"Array {name!r} is {array.dtype}; a component takes {', '.join(DTYPES)}.")
        raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        table[name] = {"dtype": array.dtype.name, "shape": list(array.shape), "offset": offset}
        pieces.append(padded(raw))
        offset += len(pieces[-1])
    return closed({**header, "arrays": table}, pieces)


def closed(header: Mapping[str, object], pieces: Sequence[bytes]) -> bytes:
    """The message of a header, its table of arrays in it, and of what the table's offsets count from."""
    head = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    head += b" " * (-(len(head) + 4) % 8)
    return struct.pack("<I", len(head)) + head + b"".join(pieces)


def opened(message: bytes) -> tuple[dict, memoryview]:
    """A message's header, its table of arrays in it, and what the table's offsets count from."""
    start = 4 + struct.unpack_from("<I", message)[0]
    return json.loads(message[4:start]), memoryview(message)[start:]


def padded(raw: bytes) -> bytes:
    """Up to the next multiple of 8 bytes, where a typed array may begin."""
    return raw + b"\0" * (-len(raw) % 8)


def _inline(source: str) -> str:
    # Streamlit takes a string without a line break for a file path as soon as it holds "/", "[" or "*".
    return source if source.endswith("\n") else source + "\n"
