"""The decoders of assets/longer, one for each way to tell positions, and what they make of a text: for both lessons."""

import json

import streamlit as st

import transformer
from charts.biases import TITLES, Against, Parts, Table
from transformer.experiments import added_positions
from transformer.models import Model
from transformer.tokenizers import Tokenizer
from transformer.training import longer

WAYS = tuple(TITLES)  # in the order of the buttons
ABSOLUTE = ("learned", "sinusoidal")
FARTHEST = 4 * longer.LENGTH
CHARACTERS = 16  # more than any token of theirs has


@st.cache_resource(show_spinner=False)
def models() -> dict[str, Model]:
    """Way -> the model of the first seed."""
    return {way: transformer.load(longer.FOLDER / way)[0] for way in WAYS}


@st.cache_resource(show_spinner=False)
def tokenizer() -> Tokenizer:
    """The one that all of them share."""
    return transformer.load(longer.FOLDER / WAYS[0])[1]


@st.cache_resource(show_spinner=False)
def recorded() -> dict:
    """What all their runs came to."""
    return json.loads((longer.FOLDER / "table.json").read_text("utf-8"))


def pieces_of(text: str, most: int) -> tuple[tuple[int, ...], list[str]]:
    """The first ``most`` tokens as these models read them, and how each is shown."""
    ids = tuple(tokenizer().encode(text[: CHARACTERS * most])[:most])  # of a book that is pasted, its beginning
    pieces = tokenizer().pieces(list(ids))
    return ids, [piece.replace("\n", "⏎").strip() or "␣" for piece in pieces]


def ways_of(layer: int) -> list[str]:
    """Those whose part of the scores of this layer can be told: places added to the words only in the first."""
    return [way for way in WAYS if layer == 0 or way not in ABSOLUTE]


@st.cache_data(max_entries=32, show_spinner=False)
def parts_of(ids: tuple[int, ...], layer: int) -> dict[str, Parts]:
    """Way -> its head's scores taken apart."""
    found = {}
    for way in ways_of(layer):
        of = added_positions.added(models()[way], list(ids), layer)
        found[way] = Parts(*(None if part is None else part.numpy() for part in of))
    return found


@st.cache_data(max_entries=32, show_spinner=False)
def against_distance(ids: tuple[int, ...], layer: int) -> dict[str, Against]:
    """Way -> what it adds at each distance, as far as four times the trained length."""
    return {way: Against(*(part.numpy() for part in added_positions.by_distance(models()[way], list(ids), FARTHEST,
        layer)))
            for way in ways_of(layer)}  # fmt: skip


@st.cache_data(show_spinner=False)
def tables_of(layer: int) -> dict[str, list[Table]]:
    """The trained tables that are small enough to show, by way."""
    ways = [way for way in ways_of(layer) if way in ("learned", "t5", "shaw", "xl")]
    found = {way: {name: array.numpy() for name,
                   array in zip(*added_positions.tables(models()[way], layer), strict=True)}
             for way in ways}  # fmt: skip
    config = models()["shaw"].config
    reach = range(-config.max_distance, 1)  # a decoder never reads the rows for later keys
    dims = [str(i) for i in range(config.d_head)]
    heads = [f"head {h}" for h in range(config.n_heads)]
    t5 = found["t5"]["table"]
    tables = {
        "t5": [Table("table", "T5's trained table", t5.T, heads, [str(b) for b in range(len(t5))], ("head", "bucket"))],
        "shaw": [Table(name, f"{name}, trained: for {what}", found["shaw"][name][: len(reach)],
                       [f"{r} back" for r in map(abs, reach)], dims, ("distance", "dimension"))
                 for name, what in (("a_K", "the scores"), ("a_V", "the values"))],
        "xl": [Table(name, f"{name}, trained: in ({term})", found["xl"][name], heads, dims, ("head", "dimension"))
               for name, term in (("u", "c"), ("v", "d"))],
    }  # fmt: skip
    if "learned" in found:
        table = found["learned"]["W_P"]
        tables["learned"] = [Table("W_P", "The trained table: one vector a place", table,
                                   [f"place {i}" for i in range(len(table))], [str(i) for i in range(table.shape[1])],
                                   ("place", "dimension"))]  # fmt: skip
    return tables
