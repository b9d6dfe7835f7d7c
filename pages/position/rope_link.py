"""What a link to the lesson on rotary position may say of head, base and words, and how the pictures offer them."""

from typing import NamedTuple

import streamlit as st

from charts.curves import Choice
from pages.position.rope_heads import Speeds, trained
from pages.position.rope_words import BASE
from pages.shared import url
from pages.shared.models import Reading
from transformer.config import Config

MOST_WORDS = 160  # that can be chosen from: the last ones


def told(name: str, default: object, options: list) -> object:
    """What the link says, one of these."""
    return url.url_state(name, default, type(default), options.__contains__)


class Link(NamedTuple):
    """The choices that one reading leaves."""

    config: Config
    at_base: dict[str, Speeds]  # the bases, as links say them
    names: list[str]  # the words, each with its number
    first: int  # the number of the first of them
    head0: int  # the telling one, which links leave out
    layers: list[int]  # that were read
    layer0: int  # the telling one

    def base(self) -> str:
        return told("base", trained(self.config), list(self.at_base))

    def layer(self) -> int:
        return told("layer", self.layer0, self.layers)

    def keep_layer(self, layer: object) -> None:
        if layer in self.layers:
            url.set_url_state("layer", layer, self.layer0)

    def head(self) -> int:
        return told("head", self.head0, list(range(self.config.n_heads)))

    def words(self) -> tuple[str, str]:
        """The query's word and the key's, which never stands after it."""
        query = told("query", self.names[-1], self.names)
        return query, told("key", self.names[max(0, self.names.index(query) - 1)], self.keys(query))

    def keys(self, query: str) -> list[str]:
        """The words that this one may look at."""
        return self.names[: self.names.index(query) + 1]

    def number(self, word: str) -> int:
        """Which word of the text it is."""
        return self.first + self.names.index(word)

    def keep(self, head: object, base: object) -> None:
        """What a picture reports, where it means anything, into the link."""
        if head in range(self.config.n_heads):
            url.set_url_state("head", head, self.head0)
        if base in (labels := self._labels()):
            url.set_url_state("base", list(self.at_base)[labels.index(base)], trained(self.config))

    def keep_words(self, query: object, key: object) -> None:
        if query not in self.names:
            return
        before = self.names[max(0, self.names.index(query) - 1)]
        url.set_url_state("query", query, self.names[-1])
        url.set_url_state("key", key if key in self.keys(query) else before, before)

    def bases(self, base: str) -> Choice:
        return Choice(BASE, self._labels(), self._labels()[list(self.at_base).index(base)])

    def heads(self, head: int) -> Choice:
        return Choice("Head", list(range(self.config.n_heads)), head)

    def choose_layer(self) -> int:
        """A slider for the layer, beside a picture that has no room for the others' numbers; the link is the state."""
        st.session_state["layer_box"] = self.layer()
        return st.select_slider("Layer", self.layers, key="layer_box", on_change=self._keep_layer_box)

    def choose_words(self) -> tuple[int, int]:
        """Sliders for the query's word and the key's, beside a picture that has no place for them."""
        st.session_state.update(zip(("query_box", "key_box"), self.words(), strict=True))
        query = self._choose_word("Query: the word that looks", self.names, "query_box")
        self._choose_word("Key: the word that is found", self.keys(query), "key_box")
        return self.number(query), self.number(self.words()[1])

    def _choose_word(self, label: str, names: list[str], key: str) -> str:
        place = st.select_slider if len(names) > 1 else st.selectbox  # of one word there is none to choose
        return place(label, names, key=key, on_change=self._keep_word_boxes)

    def _keep_layer_box(self) -> None:
        self.keep_layer(st.session_state["layer_box"])

    def _keep_word_boxes(self) -> None:
        self.keep_words(st.session_state["query_box"], st.session_state["key_box"])
        for place in "mn":
            st.query_params.pop(place, None)

    def _labels(self) -> list[str]:
        return [f"{base} trained" if base == trained(self.config) else base for base in self.at_base]


def names_of(reading: Reading) -> tuple[list[str], int]:
    """The words that can be chosen from, each with its number, and the number of the first."""
    first = max(0, len(reading.ids) - MOST_WORDS)
    return [f"{i} {reading.pieces[i].strip() or '␣'}" for i in range(first, len(reading.ids))], first


def forget(reading: Reading) -> None:
    """Words and places of another text, heads and bases of another model mean nothing here."""
    of, here = st.session_state.get("_rope_words"), (reading.model, reading.text)
    st.session_state["_rope_words"] = here
    if of is None or of == here:
        return
    for name in ("m", "n", "query", "key") + (("layer", "head", "base") if of[0] != here[0] else ()):
        st.query_params.pop(name, None)
