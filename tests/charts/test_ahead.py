"""What is sent ahead is what the server would send, and what two messages share is sent once."""

import numpy as np

from charts import component
from charts.ahead import Box, ahead
from tests.messages import unpack

LARGE = np.arange(5000, dtype=np.float32)


def draw(layer: int, seed: int) -> bytes | None:
    if seed == 9:
        return None
    odd = {"odd": True} if layer % 2 else {}
    return component.pack({"layer": layer, "words": ["a", "b"]} | odd,
                          {"same": LARGE, "own": np.full((layer + 1, 3), seed, np.int16)})  # fmt: skip


def neighbours(message: bytes) -> dict[tuple[str, ...], bytes]:
    """at -> the message put together again as assets/components/ahead.js does it."""
    header, body = component.opened(message)
    near = header.pop("ahead")
    found = {tuple(near["at"]): component.closed(header, [body])}
    for other in near["others"]:
        kept = {key: value for key, value in header.items() if key not in other["gone"]}
        found[tuple(other["at"])] = component.closed(kept | other["header"], [body])
    return found


def test_each_neighbour_is_the_message_that_it_would_be_alone():
    found = neighbours(ahead(draw, Box("layer", range(30), 4), Box("seed", range(10), 7)))
    assert sorted(found) == [("3", "7"), ("4", "6"), ("4", "7"), ("4", "8"), ("5", "7")]
    for (layer, seed), message in found.items():
        header, arrays = unpack(message)
        alone, expected = unpack(draw(int(layer), int(seed)))
        assert header == alone
        for name, array in expected.items():
            np.testing.assert_array_equal(arrays[name], array)


def test_there_is_no_neighbour_beyond_the_ends_nor_where_nothing_can_be_drawn():
    assert sorted(neighbours(ahead(draw, Box("layer", [0, 5, 20], 0), Box("seed", range(20), 8)))) == [
        ("0", "7"), ("0", "8"), ("5", "8")]  # fmt: skip


def test_of_buttons_all_others_are_near():
    assert sorted(neighbours(ahead(draw, Box("layer", [0, 5, 20], 0, buttons=True), Box("seed", [8], 8)))) == [
        ("0", "8"), ("20", "8"), ("5", "8")]  # fmt: skip


def test_what_messages_share_is_sent_once():
    alone = len(draw(4, 7))
    assert len(ahead(draw, Box("layer", range(30), 4), Box("seed", range(10), 7))) < alone + 2000


def test_the_picture_that_is_asked_for_reads_as_ever():
    header, arrays = unpack(ahead(draw, Box("layer", range(30), 4), Box("seed", range(10), 7)))
    assert header["layer"] == 4 and set(arrays) == {"same", "own"}
    np.testing.assert_array_equal(arrays["own"], np.full((5, 3), 7))
