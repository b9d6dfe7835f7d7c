"""The second picture of the page on cross-attention: one formula, three uses, side by side."""

import streamlit as st

from charts import curves, matrices
from charts.matrices import Matrix
from pages.attention.cross_arrays import uses_of
from pages.shared.lesson import Lesson
from transformer import masks
from transformer.translation import Translation

TABLE = """
| use | Q from | K, V from | sees | A is |
|---|---|---|---|---|
| encoder, self | encoder | encoder | all | n×n |
| decoder, self | decoder | decoder | past | m×m |
| **cross** | **decoder** | **encoder, last layer** | all | **m×n** |

$n$ tokens are read, $m$ are written. All layers of the decoder read the *same* last layer of the encoder, each through its own
$W_K$ and $W_V$.
"""


def draw(lesson: Lesson, said: Translation, subject: tuple) -> None:
    """Three maps of the last layers, one head at a time, and the table that says where Q, K and V come from."""
    if not lesson.shows("uses"):
        return
    of_encoder, of_decoder, across = uses_of(subject, said)
    recurrent = said.config.attention == "ssru"
    source, target = _numbered(said.source), _numbered(said.target)
    before = _numbered(said.before)
    future = ~masks.past(len(target)).numpy()
    own = Matrix(
        "own", "Decoder, own state (SSRU)" if recurrent else "Decoder, self", of_decoder, "attention", before, before,
        row_axis="state after" if recurrent else "query", col_axis="what is left of" if recurrent else "key", barred=future,
        top=1.0, symbol="w" if recurrent else "A",
        says="{value} of the state after {row} is what {col} put there, on average over its coordinates" if recurrent
        else "{row} reads {value} of {col}",
    )  # fmt: skip
    st.markdown("## One formula, three uses")
    matrices.mount(
        key="uses",
        data=matrices.message(
            "three-uses", "The weights of the encoder's self-attention, of the decoder's own past, and across",
            [[
                Matrix("encoder", "Encoder, self", of_encoder, "attention", source, source, top=1.0, symbol="A",
                       says="{row} reads {value} of {col}, in the encoder's last layer"),
                own,
                Matrix("cross", "Cross", across, "attention", target, source, row_axis="query: writes", top=1.0, symbol="A",
                       says="the query that writes {row} reads {value} of {col}"),
            ]],
            frames=curves.Choice("Head of the last layers", [*map(str, range(said.config.n_heads)), "mean"], "0"),
            height=330,
        ),
    )  # fmt: skip
    st.markdown(TABLE)
    if recurrent:
        st.caption("Marian's small decoder keeps a state instead of attending to itself: "
                   "$c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ x_t W$. Unrolled, what is left of each token is a causal row of weights, "
                   "one for each of its 256 coordinates; the map is their mean, and the same for all heads, since it has "
                   "none. “Dates” has a decoder with masked self-attention.")  # fmt: skip


def _numbered(pieces: tuple[str, ...]) -> list[str]:
    return [piece.strip() or "␣" for piece in pieces]
