"""What a page sends to its components, read back as the browser reads it."""

import json
import struct

import numpy as np
from streamlit.testing.v1 import AppTest


def unpack(message: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """The same reading as gf.unpack in assets/components/common.js; tests/browser holds the two together."""
    length = struct.unpack_from("<I", message)[0]
    header = json.loads(message[4:4 + length])
    arrays = {}
    for name, about in header.pop("arrays").items():
        start = 4 + length + about["offset"]
        assert start % 8 == 0, "a typed array must start on a multiple of its item"
        count = int(np.prod(about["shape"], dtype=int))
        arrays[name] = np.frombuffer(message, about["dtype"], count, start).reshape(about["shape"])
    return header, arrays


def sent(app: AppTest, component: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The header and the arrays that the page gave this component, of which it has one."""
    protos = [element.proto for element in app.get("bidi_component")]
    (message,) = [proto.bytes for proto in protos if proto.component_name == f"glassformer_{component}"]
    return unpack(message)
