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
    sizes = st.session_state.get(_SIZES, {})
    return url.url_state("cell", None, _parse, lambda cell: there(cell, sizes), shown="no cell")


def would_be_in_link(sizes: Mapping[str, tuple[int, int]]) -> Cell | None:
    """The same for a picture of these sizes that is sent ahead; the link is left as it is."""
    return url.would_state("cell", None, _parse, lambda cell: there(cell, sizes))


def keep(at: object) -> None:
    """What the picture reported, into the link."""
    url.set_url_state("cell", ",".join(map(str, at)) if isinstance(at, list) and len(at) == 3 else None, None)


def there(cell: Cell | None, sizes: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a picture of these sizes has the cell."""
    if cell is None:
        return False
    rows, cols = sizes.get(cell[0], (0, 0))
    return cell[1] in range(rows) and cell[2] in range(cols)


def if_there(cell: Cell | None, sizes: Mapping[str, tuple[int, int]]) -> Cell | None:
    """The cell, where a picture of these sizes has it: what was last pressed on the browser may be of another one."""
    return cell if there(cell, sizes) else None


def _parse(written: str) -> Cell:
    key, row, col = written.rsplit(",", 2)
    return key, int(row), int(col)
