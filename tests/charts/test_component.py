"""Packing is lossless as the browser reads it, and a component that is not there is one sentence."""

import numpy as np
import pytest

from charts import component
from tests.messages import unpack


@pytest.mark.parametrize("dtype", component.DTYPES)
def test_arrays_come_back_as_they_went(dtype):
    rng = np.random.default_rng(0)
    odd = (rng.standard_normal((3, 5)) * 50).astype(dtype)
    transposed = (rng.standard_normal((4, 2)) * 50).astype(dtype).T
    header, arrays = unpack(component.pack({"tokens": [" the", "é", "\n"]}, {"odd": odd, "t": transposed, "last": odd[:1]}))
    assert header == {"tokens": [" the", "é", "\n"]}
    np.testing.assert_array_equal(arrays["odd"], odd)
    np.testing.assert_array_equal(arrays["t"], transposed)
    np.testing.assert_array_equal(arrays["last"], odd[:1])


def test_what_the_browser_has_no_array_for_is_refused():
    with pytest.raises(ValueError, match="'x' is float64; a component takes float32"):
        component.pack({}, {"x": np.zeros(3)})


def test_a_header_that_is_not_json_is_refused_and_not_sent_as_nan():
    with pytest.raises(ValueError):
        component.pack({"score": float("nan")}, {})


def test_a_component_that_is_not_there_is_one_sentence():
    with pytest.raises(ValueError, match="no component 'nowhere': assets/components/nowhere/index.js is missing"):
        component.declare("nowhere")
