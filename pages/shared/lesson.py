"""The frame of a lesson: title, text, picture and controls, formula, prose, prediction, code, interview, sources.

    lesson = Lesson("A2")
    lesson.header(look_for="Most heads look at the first token; a few do something else.")
    text = lesson.text("The quick brown fox", examples={"repetition": "a b c a b c"})
    reading = lesson.read(text, record=("*.attention.A",))

    @st.fragment                    # a control reruns the stage alone: a third of the time that the whole page takes
    def stage():
        picture, controls = lesson.stage()
        with controls:
            layer = st.slider("Layer", 0, reading.config.n_layers - 1, 12, key="layer", bind="query-params")
        with picture:
            lesson.chart(charts.attention.heatmap(...), key="map", alt_text=f"Attention weights of layer {layer}")

    stage()
    lesson.formula(r"\\attention{A} = \\operatorname{softmax}(\\query{Q}\\key{K}^\\top/\\sqrt{d_k})", shapes=[...])
    ...

Every part can be hidden by a link (`?hide=prose,predict`); a hidden part does no work. Text given to the frame is
Markdown; a role colours a word as `\\query{Q}`, in a formula as in prose.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Union

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import component, theme
from pages.shared import downloads, models, url
from pages.shared.lessons import Entry, lesson as lesson_entry

if TYPE_CHECKING:  # most pages draw with components of our own: the chart libraries are a second that they need not wait
    import altair as alt
    import pandas as pd
    import plotly.graph_objects as go

Table = Union["pd.DataFrame", Mapping[str, Sequence]]  # a mapping: column -> values, and pandas need not be imported
Shape = tuple[str, Sequence[int | str], theme.Role]  # symbol (LaTeX), axes such as ("head 9", "query 12", 64), role


class Lesson:
    """One lesson page, drawn top to bottom by calling its methods in the order of the anatomy."""

    def __init__(self, row: str) -> None:
        self.entry: Entry = lesson_entry(row)
        self.palette: theme.Palette = theme.palette(st.context.theme.type)
        self._chip: DeltaGenerator | None = None
        self._look: DeltaGenerator | None = None
        self._actions: DeltaGenerator | None = None
        self._under_text: DeltaGenerator | None = None

    def shows(self, part: str) -> bool:
        """Whether the link leaves this part (or control, by any name the page gives it) on the page."""
        return not url.hidden(part)

    def header(self, look_for: str | Mapping[str, str] | None = None, model: models.Reading | None = None) -> None:
        """Title, model chip, actions, and the one sentence that says what to look for; None: `look` says it later.

        Where the page has several pictures (`view`) it is one sentence for each, the first picture's first: the link says
        which of them is opened, and the control itself comes further down.
        """
        if isinstance(look_for, Mapping):
            opened = st.session_state.get("view") or st.query_params.get("view")
            look_for = look_for.get(opened, next(iter(look_for.values())))
        with st.container(key="gf-header", horizontal=True, horizontal_alignment="distribute",
                          vertical_alignment="center"):
            with st.container(horizontal=True, vertical_alignment="center", width="content", key="gf-title"):
                st.title(self.entry.title, anchor=False)
                self._chip = st.empty()
            with st.container(horizontal=True, vertical_alignment="center", width="content", key="gf-actions"):
                # It also reports a theme that is not the one this run was painted for: that is a rerun.
                component.declare("actions")(key="actions", width="content", data={"theme": self.palette.name},
                                             on_theme_change=_nothing)
                self._actions = st.container(width="content", key="gf-download")
        if self.shows("look"):
            self._look = st.container(key="gf-look")
        if look_for is not None:
            self.look(look_for)
        if model is not None:
            self._show_model(model)

    def look(self, sentence: str) -> None:
        """What to look for, in its place under the title: for a page that says what it found in the reading."""
        if self._look is not None:
            self._look.markdown(f"**What to look for.** {self._prose(sentence)}")

    def text(self, default: str, examples: Mapping[str, str] | Sequence[str] = (), key: str = "text",
             follows: bool = True) -> str:
        """The learner's text, kept in the URL, with example chips.

        examples: label -> text, or texts that label themselves. follows: it is a text for every page, so that it comes
        along to the next one; False for a page that reads another language.
        """
        options = dict(examples) if isinstance(examples, Mapping) else {text: text for text in examples}
        if not self.shows("text"):
            return st.query_params.get(key, default)
        own = st.session_state.get(OWN_TEXT)
        if follows and own is not None and key not in st.session_state and key not in st.query_params:
            st.session_state[key] = st.query_params[key] = own  # a sentence follows its learner from page to page
        with st.container(key="gf-text"):
            typed = st.text_input("Your text", default, key=key, bind="query-params", placeholder="Type a sentence",
                                  icon=":material/edit:")
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="gf-examples"):
                for label, example in options.items():
                    st.button(label, key=f"{key}_{label}", type="tertiary", on_click=_set, args=(key, example))
                if typed != default:
                    st.button("this page's own", key=f"{key}_default", type="tertiary", icon=":material/undo:",
                              on_click=_set, args=(key, default))
                self._under_text = st.container(width="content", key="gf-tokens")
        if follows:
            st.session_state[OWN_TEXT] = typed if typed != default and typed not in options.values() else None
        return typed

    def show_model(self, title: str, label: models.Label) -> None:
        """The chip beside the title, for a page that brings a model of its own."""
        if self._chip is not None and self.shows("model"):
            said = title if label == "tiny" else f"{title} · {label}"
            self._chip.badge(said, color={"live": "green", "recorded": "orange", "tiny": "gray"}[label])

    def read(self, text: str, record: Iterable[str], name: str | None = None, most: int | None = None) -> models.Reading:
        """The chosen (or named) model's reading of the text; a text that it cannot take, or the picture cannot (`most`
        tokens), gives one sentence and the last good reading."""
        record = tuple(record)
        last = f"_last_{self.entry.row}"
        try:
            with st.spinner("Reading the text…", show_time=True):
                reading = models.read(text, record, name)
            n = len(reading.ids)
            if most is not None and n > most:
                raise ValueError(f"This text is {n} tokens long; the picture takes {most}. Shorten it.")
        except ValueError as problem:
            (self._under_text or st).warning(str(problem), icon=":material/info:")
            reading = st.session_state.get(last)
            if reading is None:
                st.stop()
        else:
            st.session_state[last] = reading
            if self._under_text is not None:
                limit = models.limit(reading.model, record)
                self._under_text.caption(f"{n} token{'s' if n != 1 else ''} of at most {min(limit, most or limit)}")
        self._show_model(reading)
        return reading

    def view(self, names: Sequence[str]) -> str:
        """The choice among the page's pictures, in the link; it opens with the first."""
        return st.segmented_control("Picture", names, default=names[0], required=True, key="view", bind="query-params",
                                    label_visibility="collapsed", width="stretch")

    def stage(self, controls: float = 0.38) -> tuple[DeltaGenerator, DeltaGenerator]:
        """(picture, controls) side by side, the picture first on a phone. `controls`: their width beside the picture's 1."""
        with st.container(key="gf-stage"):
            picture, panel = st.columns([1.0, controls], gap="large")
        return picture.container(key="gf-picture"), panel.container(key="gf-controls")

    def chart(self, figure: go.Figure | alt.TopLevelMixin, key: str, alt_text: str) -> None:
        """A Plotly or Altair figure in the page's theme. Constant `key`: zoom and selection survive a new figure."""
        if _is_plotly(figure):
            figure.update_layout(template=theme.plotly_template(self.palette), uirevision=key)
            st.plotly_chart(figure, key=key, theme=None, alt=alt_text, config=PLOTLY_CONFIG)
        else:
            st.altair_chart(figure.configure(**theme.altair_config(self.palette)), key=key, theme=None, alt=alt_text)

    def formula(self, latex: str, shapes: Sequence[Shape] = (), numbers: str | Callable[[], str] | None = None) -> None:
        """The formula in role colours, the shape of every tensor in it, and on demand this picture's numbers put in."""
        if not self.shows("formula"):
            return
        with st.container(key="gf-formula"):
            st.latex(theme.paint(latex, self.palette))
            if shapes:
                st.markdown(" &emsp; ".join(self._shape(*shape) for shape in shapes), text_alignment="center")
            if numbers is not None and st.toggle("Put this picture's numbers in", key="numbers", bind="query-params"):
                st.latex(theme.paint(numbers() if callable(numbers) else numbers, self.palette))

    def prose(self, what: str, why: str, catch: str | None = None) -> None:
        """Two short paragraphs, and the Catch: what most explanations get wrong."""
        if not self.shows("prose"):
            return
        with st.container(key="gf-prose"):
            left, right = st.columns(2, gap="large")
            left.markdown(f"## What happens\n{self._prose(what)}")
            right.markdown(f"## Why it matters\n{self._prose(why)}")
            if catch:
                with st.container(key="gf-catch"):
                    st.markdown(f"**The catch.** {self._prose(catch)}")

    def predict(self, question: str, options: Sequence[str], answer: str,
                reveal: str | Callable[[], None], key: str = "") -> None:
        """One question whose answer the picture shows: the learner commits first, then sees it. `answer` is an option;
        `key` tells the questions of a page apart that has several."""
        if not self.shows("predict"):
            return
        if answer not in options:
            raise ValueError(f"The answer {answer!r} is not one of the options {list(options)}.")
        committed = f"_committed_{self.entry.row}{key}"
        with st.container(key="gf-predict"):
            st.markdown(f"## Predict, then look\n{self._prose(question)}")
            done = committed in st.session_state
            choice = st.radio("Your prediction", options, index=None, key=f"prediction{key}", disabled=done,
                              label_visibility="collapsed")
            if not done:
                st.button("Commit and reveal", key=f"commit{key}", disabled=choice is None, type="primary",
                          on_click=_set, args=(committed, choice))
                return
            mine = st.session_state[committed]
            verdict = "Right." if mine == answer else f"You said “{mine}”; it is “{answer}”."
            (st.success if mine == answer else st.info)(verdict, icon=":material/check:" if mine == answer else None)
            if callable(reveal):
                reveal()
            else:
                st.markdown(self._prose(reveal))

    def code(self, functions: Sequence[Callable | type] = (), snippet: str = "") -> None:
        """The very functions that computed the picture, and a notebook snippet that gives the same numbers."""
        if not self.shows("code"):
            return
        with st.container(key="gf-code"):
            if functions:
                with st.expander("Code: what computed this picture", icon=":material/code:"):
                    # One block: each element of a page costs time at every press of a control beside it.
                    st.code("\n\n\n".join(map(_source, functions)), language="python")
            if snippet:
                with st.expander("In a notebook: the same numbers", icon=":material/terminal:"):
                    st.code(inspect.cleandoc(snippet), language="python")

    def interview(self, questions: Sequence[tuple[str, str]]) -> None:
        """Questions as an interviewer asks them, each with its answer underneath."""
        if not self.shows("interview"):
            return
        with st.container(key="gf-interview"), st.expander("In an interview", icon=":material/forum:"):
            for question, answer in questions:
                st.markdown(f"**{self._prose(question)}**\n\n{self._prose(answer)}")

    def sources(self, references: Sequence[str]) -> None:
        """Where this comes from, each a line of Markdown."""
        if not self.shows("sources"):
            return
        with st.container(key="gf-sources"), st.expander("Sources", icon=":material/menu_book:"):
            st.markdown("\n".join(f"- {reference}" for reference in references))

    def downloads(self, figure: go.Figure | alt.TopLevelMixin | Callable[[], alt.TopLevelMixin] | None = None,
                  table: Table | Callable[[], Table] | None = None,
                  config: Mapping | None = None) -> None:
        """The figure as SVG and PNG (Altair; Plotly has its own button), its data as CSV, its setting as JSON.

        The bytes are made when the learner presses, not before; so are a figure and a table given as functions, for
        pages that draw something else than the figure they hand out.
        """
        if not self.shows("downloads") or self._actions is None:
            return
        stem = self.entry.url_path
        menu = self._actions.popover("Download", icon=":material/download:", type="tertiary")
        with menu.container(key="gf-files", gap=None):
            if figure is not None and not _is_plotly(figure):
                def chart() -> alt.TopLevelMixin:
                    made = figure() if callable(figure) else figure
                    return made.configure(**theme.altair_config(self.palette))

                background = self.palette.background
                self._download("Picture, SVG", lambda: downloads.altair_svg(chart(), background), f"{stem}.svg")
                self._download("Picture, PNG", lambda: downloads.altair_png(chart(), background), f"{stem}.png")
            if table is not None:
                self._download("Data, CSV", lambda: downloads.csv(table() if callable(table) else table), f"{stem}.csv")
            if config is not None:
                self._download("Setting, JSON", lambda: json.dumps(dict(config), indent=2, default=str), f"{stem}.json")

    def _shape(self, symbol: str, axes: Sequence[int | str], role: theme.Role) -> str:
        painted = theme.paint(rf"\{role}{{{symbol}}}", self.palette)
        return f":gray[${painted}$ `[{', '.join(map(str, axes))}]`]"  # one span, so that style.css can keep it on one line

    def _download(self, label: str, make: Callable[[], str | bytes], file_name: str) -> None:
        st.download_button(label, make, file_name, on_click="ignore", type="tertiary", width="stretch",
                           key=f"download_{file_name}")

    def _show_model(self, reading: models.Reading) -> None:
        self.show_model(reading.title, reading.label)

    def _prose(self, markdown: str) -> str:
        r"""`\query{Q}` coloured: as LaTeX between dollar signs, as a Markdown colour elsewhere."""
        parts = re.split(r"(\$\$?[^$]+\$\$?)", markdown)
        return "".join(theme.paint(part, self.palette) if part.startswith("$") else _ROLE_WORD.sub(_colour_word, part)
                       for part in parts)


OWN_TEXT = "_own_text"  # session state: what the learner typed, for the next page
PLOTLY_CONFIG = {
    "displaylogo": False, "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "svg", "filename": "glassformer", "scale": 1},
}
_ROLE_WORD = re.compile(r"\\(" + "|".join(theme.ROLES) + r")\{([^{}]*)\}")


@functools.cache  # it parses a file: not on every press of a key
def _source(function: Callable | type) -> str:
    """Where it stands, and what it says."""
    return f"# {function.__module__}.{function.__qualname__}\n{inspect.getsource(function).rstrip()}"


def inert(text: str) -> str:
    """A learner's text for a Markdown sentence: shown as it is, whatever marks are in it."""
    return "".join(c if c.isalnum() or c == " " or ord(c) > 127 else f"&#{ord(c)};" for c in text)


def _is_plotly(figure: object) -> bool:
    return hasattr(figure, "to_plotly_json")


def _colour_word(match: re.Match[str]) -> str:
    colour = theme.MARKDOWN_COLOUR.get(match[1])
    return f":{colour}[**{match[2]}**]" if colour else f"**{match[2]}**"


def _nothing() -> None:
    """A component reports only what has a callback; the rerun itself is the point."""


def _set(key: str, value: object) -> None:
    st.session_state[key] = value
