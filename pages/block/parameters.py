"""Counting parameters: every weight of any model as an area, the closed form, and the rule 12 · layers · d²."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import parameters as charts
from pages.block import parameters_words as words
from pages.shared.known_models import NAMES
from pages.shared.own_numbers import OWN, as_python, last_good, own_config, with_neighbours
from pages.block.parameters_frames import shown, size, varied
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from transformer import PRESETS, Config, cost, weights
from transformer.recording import CAPITAL, PRONOUN

TINY = "Tiny model (ours)"
FIRST = next(iter(NAMES))
EXAMPLES = {"a fact": CAPITAL, "a pronoun": PRONOUN}


class Stand(NamedTuple):
    """What the picture shows, by the link."""

    arch: str
    view: str
    vary: str
    value: str


def config_of(arch: str) -> Config:
    """The config behind a name of the picture; the learner's own is the last good one."""
    if arch == OWN:
        return last_good()
    return models.loaded("tiny")[0].config if arch == TINY else PRESETS[NAMES[arch]]


def stand() -> Stand:
    arch = url.url_state("arch", FIRST, str, [*NAMES, TINY, OWN].__contains__)
    view = url.url_state("view", charts.WHOLE, str, charts.VIEWS.__contains__)
    sizes = {} if arch == OWN else {one.label: one for one in varied(config_of(arch))}
    vary = url.url_state("vary", "", str, ["", *sizes].__contains__, shown="it as it is")
    if not vary:
        return Stand(arch, view, "", "")
    own = sizes[vary].values[sizes[vary].own]
    return Stand(arch, view, vary, url.url_state("value", own, str, list(sizes[vary].values).__contains__))


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("weights", "stand")) is None or said.get("model") not in (*NAMES, TINY, OWN):
        return
    arch = said["model"]
    url.set_url_state("arch", arch, FIRST)
    if said.get("view") in charts.VIEWS:
        url.set_url_state("view", said["view"], charts.WHOLE)
    sizes = {} if arch == OWN else {one.label: one for one in varied(config_of(arch))}
    vary = said.get("vary") if said.get("vary") in sizes else ""
    url.set_url_state("vary", vary, "")
    of = sizes.get(vary)
    value = said.get("value") if of and said.get("value") in of.values else ""
    url.set_url_state("value", value, of.values[of.own] if of else "")
    held.reported("weights", stand())


@st.cache_resource(show_spinner=False)
def known() -> list[charts.Shown]:
    """Every model that is offered, as it is published; read-only."""
    return [shown(name, config_of(name), with_sizes=False) for name in (*NAMES, TINY)]


def rows_of(config: Config) -> dict[str, list]:
    """The table of every weight."""
    found = weights.weights(config)
    total = sum(one.total for one in found)
    return {
        "weight": [one.name for one in found], "symbols": [" × ".join(one.axes) for one in found],
        "shape": [" × ".join(f"{n:,}" for n in one.shape) for one in found], "one has": [one.count for one in found],
        "how many": [one.times for one in found], "together": [one.total for one in found],
        "share": [100 * one.total / total for one in found],
    }  # fmt: skip


def made_of(arch: str, here: Config) -> str:
    """The config as Python."""
    if arch in NAMES:
        return f'PRESETS["{NAMES[arch]}"]'
    if arch == TINY:
        return 'transformer.load("tiny")[0].config'
    return as_python(here)


@st.fragment
def draw(code_place: DeltaGenerator, table_place: DeltaGenerator) -> None:
    """All that follows the picture: it alone runs again when its controls move."""
    here = stand()
    pressed, epoch = held.to_send("weights", here)
    with st.container(key="gf-stage"):
        picture, boxes = st.container(key="gf-picture"), st.container()  # the picture first, on a phone too
        with boxes:
            config = own_config("tie") if here.arch == OWN else config_of(here.arch)
        everyone = [one if one.name != here.arch else shown(one.name, config, with_sizes=True) for one in known()]

        def message(own: Config) -> bytes:
            return charts.message(
                "parameters", "Every weight as an area; arrow keys walk through them",
                [*everyone, shown(OWN, own, with_sizes=False)], model=pressed.arch, views=charts.VIEWS, view=pressed.view,
                vary=pressed.vary, value=pressed.value, epoch=epoch)  # fmt: skip

        with picture:
            charts.mount(key="weights", on_stand_change=keep,
                         data=with_neighbours(message) if here.arch == OWN else message(config_of(OWN)))
    h, d_k = config.n_heads, config.d_head
    ffn = [(r"W_1, W_g" if config.gated else "W_1", (config.d_ff, config.d_model), "ffn")]
    lesson.formula(
        words.formula(config), numbers=lambda: words.numbers(config),
        shapes=[*([("W_E", (config.vocab_size, config.d_embed), "residual")] if config.kind != "vision" else []),
                ("W_Q", (h * d_k, config.d_model), "query"),
                ("W_K, W_V", (config.n_kv_heads * d_k, config.d_model), "key"),
                ("W_O", (config.d_model, h * d_k), "attention"), *ffn, ("W_2", (config.d_model, config.d_ff), "ffn")],
    )  # fmt: skip
    made = made_of(here.arch, config)
    with table_place:
        rows = rows_of(config)
        st.markdown(f"## Every weight of {'my own model' if here.arch == OWN else here.arch}")
        st.dataframe(
            rows, hide_index=True, width="stretch", key="every", row_height=34, height=390,
            column_config={
                name: st.column_config.NumberColumn(format="localized") for name in ("one has", "how many", "together")
            } | {"share": st.column_config.ProgressColumn(format="%.2f %%", min_value=0, max_value=max(rows["share"]))},
        )  # fmt: skip
        st.caption(f"{{i}} stands for each layer, {{e}} for each expert. As read from the module itself, built on the "
                   f"meta device: {sum(rows['together']):,} parameters that took no memory.")  # fmt: skip
    with code_place:
        lesson.code([weights.weights, weights.rule_of_thumb, cost.parameters], words.SNIPPET.format(made=made))
    lesson.downloads(table=lambda: rows_of(config), config={"model": here.arch, "config": config.to_dict()})


@st.cache_data(show_spinner=False)
def comparison() -> dict[str, list]:
    """Every known model: the exact number, the rule, and what the rule is off by."""
    found = {name: weights.rule_of_thumb(PRESETS[key]) for name, key in NAMES.items()}
    exact = {name: sum(terms.values()) for name, terms in found.items()}
    def share(*keys: str) -> list[float]:
        return [100 * sum(terms[key] for key in keys) / exact[name] for name, terms in found.items()]

    return {
        "model": list(found), "exact": list(exact.values()),
        "12 · layers · d²": [terms["rule"] for terms in found.values()],
        "error": [100 * (terms["rule"] / exact[name] - 1) for name, terms in found.items()],
        "left out: tables": share("tables", "end"), "attention ≠ 4d²": share("attention", "cross"),
        "FFN ≠ 8d²": share("ffn"), "shared layers": share("shared"),
        "16 bits": [size(2 * n) for n in exact.values()],
    }  # fmt: skip


def show_comparison() -> None:
    st.markdown("## The rule against every model here")
    st.dataframe(
        comparison(), hide_index=True, width="stretch", key="rule", row_height=34, height=390,
        column_config={name: st.column_config.NumberColumn(format="localized") for name in ("exact", "12 · layers · "
            "d²")}
        | {name: st.column_config.NumberColumn(format="%+.1f %%")
           for name in ("error", "left out: tables", "attention ≠ 4d²", "FFN ≠ 8d²", "shared layers")},
    )  # fmt: skip
    st.caption("Per cent of the exact number. Exact means: equal to what Hugging Face's own classes, built from the "
               "published config, count (for the 2017 models and ALBERT see the tests), or to the published number.")  # fmt: skip


def check() -> None:
    """A model that is really here, tensor by tensor."""
    st.markdown("## Does a real checkpoint agree?")
    text = lesson.text(CAPITAL, EXAMPLES)
    reading = lesson.read(text, record=("layers.0.attention.V",))
    ready = models.loaded(reading.model) if reading.label != "recorded" else None
    if ready is None:
        st.info(f"{reading.title}'s weights are not here: only its recorded run is. Fetch it in the sidebar, and its "
                f"tensors are counted; "
                "until then the tiny model's are.", icon=":material/info:")  # fmt: skip
        ready = models.loaded("tiny")
    model = ready[0]
    tensors = dict(model.named_parameters())
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors.values()}
    counted, expected = sum(tensor.numel() for tensor in tensors.values()), sum(cost.parameters(model.config).values())
    name = models.TITLES["tiny"] if reading.label == "recorded" else reading.title
    st.markdown(
        f"**{name}** has {len(tensors)} tensors in memory, at {len(storages)} addresses, **{counted:,}** numbers of "
        f"{next(iter(tensors.values())).element_size()} bytes, {size(sum(storages.values()))} in all. The closed form "
        f"says **{expected:,}**"
        + (": the same." if counted == expected else ": they differ.")
        + f" Reading your {len(reading.ids)} token{'s' if len(reading.ids) != 1 else ''} changes none of them, and a "
          f"longer text would need no more: of the table W_E it reads {len(set(reading.ids))} of "
          f"{reading.config.vocab_size:,} rows."
    )  # fmt: skip


lesson = Lesson("D9")
lesson.header(words.LOOK_FOR)
stage, after, table, rule, real, code_place, more = (st.container() for _ in range(7))
with stage:
    draw(code_place, table)
with after:
    lesson.prose(**words.PROSE)
    lesson.predict(**words.PREDICT)
with rule:
    show_comparison()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
with real:  # last: a text that cannot be read takes nothing else with it
    check()
