"""The cell that is pinned in a picture of matrices, in the link: "?cell=A,3,2" is matrix, row, column."""

from collections.abc import Mapping

import streamlit as st

from pages.shared import url

Cell = tuple[str, int, int]
_SIZES = "_cells_sizes"
_PLACE = "_cells_place"


def belong_to(*place: object) -> None:
    """A cell belongs to one picture of one text: with another, it goes out of the link."""
    if st.session_state.setdefault(_PLACE, place) != place:
        st.session_state[_PLACE] = place
        st.query_params.pop("cell", None)


def know(sizes: Mapping[str, tuple[int, int]]) -> None:
    """The matrices of the picture that is drawn now: key -> rows, columns."""
    st.session_state[_SIZES] = dict(sizes)


def in_link() -> Cell | None:
    """The cell that the link names, where the picture has it."""

    def there(cell: Cell) -> bool:
        rows, cols = st.session_state.get(_SIZES, {}).get(cell[0], (0, 0))
        return cell[1] in range(rows) and cell[2] in range(cols)

    return url.url_state("cell", None, _parse, there, shown="no cell")


def keep(at: object) -> None:
    """What the picture reported, into the link."""
    url.set_url_state("cell", ",".join(map(str, at)) if isinstance(at, list) and len(at) == 3 else None, None)


def _parse(written: str) -> Cell:
    key, row, col = written.rsplit(",", 2)
    return key, int(row), int(col)
