"""G1, Where the FLOPs go: the cost of a forward pass by part, against the length of the text."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

import transformer
from charts import component
from charts import cost as pictures
from pages.cost.flops_formula import formula_of, numbers_of, times_d, whole
from pages.cost.flops_words import INTERVIEW, SOURCES
from pages.shared import held, models, url
from pages.shared.known_models import TEXT
from pages.shared.lesson import Lesson
from pages.shared.own_numbers import OWN, as_python, last_good, own_config, with_neighbours
from transformer import PRESETS, Config, cost, counter

START = 1536  # tokens, where SmolLM2's attention costs exactly what its FFN does
BLOCK = Config(d_model=512, n_heads=8, n_layers=1)  # the table's: plain heads, d_ff = 4d
TABLE = tuple(2**k for k in range(7, 16))
DEFAULT_TEXT = "The animal didn't cross the street because it was too tired"
EXAMPLES = {
    "one word": "Attention",
    "a sentence": DEFAULT_TEXT,
    "a paragraph": "A model reads a text all at once. Every token asks every other what it has to say, and that is "
    "what grows as the square of the length; everything else is done to each token alone, and grows in step with it.",
}


class Stand(NamedTuple):
    """What the picture shows, by the link."""

    arch: str
    n: int
    show: str
    logits: bool


@st.cache_data(max_entries=64, show_spinner=False)
def costs_of(config: Config) -> tuple[list[dict[str, int]], list[list[tuple[str, int, int, int, int]]]]:
    """FLOPs by part, and the matrix products they are the sum of, at every length of the picture."""
    costs = [cost.flops(config, n) for n in pictures.LENGTHS]
    products = [[tuple(product) for product in cost.matmuls(config, n)] for n in pictures.LENGTHS]
    return costs, products


@st.cache_data(max_entries=256, show_spinner=False)
def counted(name: str, live: bool, config: Config, ids: tuple[int, ...]) -> dict[str, int]:
    """What torch counts while the model reads; without its weights here, a weightless copy (meta device) stands in."""
    ready = models.loaded(name) if live else None
    if ready is not None:
        return counter.count(ready[0], list(ids))
    with torch.device("meta"):
        return counter.count(transformer.build(config).eval(), list(ids))


def draw_block() -> None:
    """Put the table's block into the picture."""
    url.set_url_state("arch", OWN, next(iter(TEXT)))
    st.session_state.update({
        "d": BLOCK.d_model, "layers": BLOCK.n_layers, "heads": BLOCK.n_heads,
        "kv_heads": BLOCK.n_kv_heads, "d_ff": BLOCK.d_ff, "gated": False,
    })  # fmt: skip


def stand() -> Stand:
    return Stand(
        url.url_state("arch", next(iter(TEXT)), str, [*TEXT, OWN].__contains__),
        url.url_state("n", START, int, pictures.LENGTHS.__contains__),
        url.url_state("show", "shares", str, ("shares", "per token").__contains__),
        url.url_state("logits", False, flag),
    )


def keep() -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said("stack", "stand")) is None:
        return
    if said.get("arch") in (*TEXT, OWN):
        url.set_url_state("arch", said["arch"], next(iter(TEXT)))
    if said.get("n") in pictures.LENGTHS:
        url.set_url_state("n", said["n"], START)
    if said.get("show") in ("shares", "per token"):
        url.set_url_state("show", said["show"], "shares")
    url.set_url_state("logits", said.get("logits") is True, False)
    held.reported("stack", stand())


def flag(text: str) -> bool:
    """``True`` or ``False`` as a link spells it."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false.")
    return text.lower() == "true"


def markers_of(config: Config) -> list[pictures.Marker]:
    """Where attention overtakes the FFN, with its projections and by scores and z alone."""
    with_projections, alone = cost.crossover(config), cost.crossover(config, projections=False)
    return [
        pictures.Marker(at, label, f"n = {whole(at)} = {times_d(at, config.d_model)}")
        for at, label in ((with_projections, "attention = FFN"), (alone, "S and z alone = FFN"))
    ]


def counted_as(name: str, config: Config) -> pictures.Counted:
    costs, products = costs_of(config)
    context = None if name == OWN else config.max_len
    return pictures.Counted(name, costs, products, config.n_layers, config.n_heads, markers_of(config), context,
                            f"pale: beyond its {whole(config.max_len)} tokens")  # fmt: skip


@st.cache_resource(show_spinner=False)
def known() -> list[pictures.Counted]:
    """Every model that is offered; read-only."""
    return [counted_as(name, PRESETS[TEXT[name]]) for name in TEXT]


def snippet_of(arch: str, config: Config, n: int, logits: bool) -> str:
    """Python that prints the numbers of the bar."""
    made = f'PRESETS["{TEXT[arch]}"]' if arch != OWN else as_python(config)
    counts = f"cost.flops(config, n={n})" if logits else (
        f'{{part: flops for part, flops in cost.flops(config, n={n}).items() if part != "logits"}}'
    )  # fmt: skip
    return f"""
from transformer import PRESETS, Config, cost

config = {made}
parts = {counts}
for part, flops in parts.items():
    print(f"{{part:7}} {{flops:>22,}} {{flops / sum(parts.values()):7.1%}}")
print("attention = FFN at n =", cost.crossover(config))
print("its n² products alone at n =", cost.crossover(config, projections=False))
"""


def block_table() -> pd.DataFrame:
    """One layer of the plain d = 512 block: GFLOPs of attention and FFN at each length, and shares in per cent."""
    rows = []
    for n in TABLE:
        parts = cost.flops(BLOCK, n)
        projections, pairs = (sum(parts[p] for p in group) for group in (cost.PROJECTIONS, cost.PAIRS))
        layer = projections + pairs + parts["ffn"]
        rows.append({
            "n": n, "projections, 8nd²": projections / 1e9, "S and z, 4n²d": pairs / 1e9,
            "attention": (projections + pairs) / 1e9, "FFN, 16nd²": parts["ffn"] / 1e9,
            "attention share": 100 * (projections + pairs) / layer, "FFN share": 100 * parts["ffn"] / layer,
        })  # fmt: skip
    return pd.DataFrame(rows)


lesson = Lesson("G1")
lesson.header(
    look_for=r"For SmolLM2 \attention{attention} and \ffn{FFN} cost the same at n = 1,536. Drag n to the left, and the "
    r"\ffn{FFN} does most of the work; drag it to the right, and the two products that grow as n² take over."
)
stage, words, table, check, code_place, more = (st.container() for _ in range(6))


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls and n: it alone runs again when they change."""
    picture, controls = lesson.stage(controls=0.3)
    here = stand()
    shown, epoch = held.to_send("stack", here)
    arch, n, _, logits = here
    with controls:
        own = own_config() if arch == OWN else last_good()
    config = own if arch == OWN else PRESETS[TEXT[arch]]
    title = "my own model" if arch == OWN else arch

    def message(own: Config) -> bytes:
        return pictures.stack_data([*known(), counted_as(OWN, own)], arch=shown.arch, chosen=shown.n, show=shown.show,
                                   logits=shown.logits, epoch=epoch)  # fmt: skip

    with picture:
        component.declare("flops")(key="stack", on_stand_change=keep,
                                   data=with_neighbours(message) if arch == OWN else message(own))  # fmt: skip
    costs, markers = costs_of(config)[0], markers_of(config)
    logits = logits and config.head == "lm"
    with controls:
        with_projections, alone = cost.crossover(config), cost.crossover(config, projections=False)
        st.markdown(
            "**Attention overtakes the FFN** at "
            f"n = {whole(with_projections)} = {times_d(with_projections, config.d_model)}; "
            f"its n² products alone at {whole(alone)} = {times_d(alone, config.d_model)}."
        )
        shared = f" on {config.n_kv_heads} K/V heads" if config.n_kv_heads != config.n_heads else ""
        st.caption(
            f"d = {whole(config.d_model)}, {config.n_layers} layers, {config.n_heads} heads of {config.d_head}{shared}"
            f", d_ff = {whole(config.d_ff)}{' gated' if config.gated else ''}: "
            f"{whole(sum(cost.parameters(config).values()))} parameters."
            + (f" Its window of {whole(config.window)} keys saves nothing here: scores are counted n × n."
               if config.window else "")
        )

    lesson.formula(
        formula_of(config),
        shapes=[
            ("Q", (f"head {config.n_heads}", f"query {n}", config.d_head), "query"),
            ("K", (f"head {config.n_kv_heads}", f"key {n}", config.d_head), "key"),
            ("V", (f"head {config.n_kv_heads}", f"key {n}", config.d_head), "value"),
            ("S", (f"head {config.n_heads}", f"query {n}", f"key {n}"), "scores"),
            ("z", (f"head {config.n_heads}", f"query {n}", config.d_head), "attention"),
            ("a", (f"token {n}", f"ff {config.d_ff}"), "ffn"),
            *([(r"\ell", (f"token {n}", f"vocab {config.vocab_size}"), "output")] if logits else []),
        ],
        numbers=lambda: numbers_of(config, n, logits),
    )
    with code_place:
        lesson.code((cost.matmuls, cost.flops, cost.crossover, counter.count), snippet_of(arch, config, n, logits))
    lesson.downloads(
        figure=lambda: pictures.areas(
            costs, lesson.palette, logits=logits, chosen=n, markers=markers, title=f"Where the FLOPs of {title} go"
        ),
        table=lambda: pictures.table(costs),
        config={"model": arch, "n": n, "logits": logits, "config": config.to_dict()},
    )


with stage:
    draw(code_place)  # the picture first: it waits for nothing
with words:
    lesson.prose(
        what=r"A matrix product [a × b] @ [b × c] takes a·b·c multiplications and as many additions: 2abc FLOPs. "
        r"Everything that is done to each token alone, the projections \query{Q}, \key{K}, \value{V}, W_O and the "
        r"\ffn{FFN}, grows as n. Only \scores{QKᵀ} and \attention{AV} pair every token with every other: they grow as "
        r"n². Divide by n and the picture is a flat floor with one wedge on it: choose *per token*.",
        why=r"For a text shorter than a few thousand tokens a Transformer is mostly its \ffn{FFN}: a forward pass "
        r"costs about 2 FLOPs per parameter and token. Grouped heads narrow the \key{K} and \value{V} bands and leave "
        r"the n² products as they are: they save memory, not scores. What n² costs is what long context has to pay, "
        r"and where windows, sparse patterns and linear attention save. FLOPs, bytes and seconds of any model at once: the "
        r"[cost calculator](calculator).",
        catch=r"FLOPs are not seconds. Softmax, norms and RoPE hardly count here and still take time; generating with "
        r"a KV cache waits for memory, not for arithmetic. And these are the textbook's n × n scores: a causal mask "
        r"makes half of them useless, and a kernel that knows it skips them.",
    )  # fmt: skip
    before, after = (cost.flops(PRESETS["smollm2-135m"], length) for length in (1024, 2048))
    small, large = sum(before.values()), sum(after.values())
    pairs = sum(before[part] for part in cost.PAIRS)
    lesson.predict(
        "SmolLM2 reads a text of 1,024 tokens, then one of 2,048, logits included. How many times the FLOPs is that?",
        options=["2 times", "about 2.4 times", "about 3 times", "4 times: attention is quadratic"],
        answer="about 2.4 times",
        reveal=f"{whole(small / 1e9)} G become {whole(large / 1e9)} G: {large / small:.2f} times. Only scores and z "
        f"quadruple, and at 1,024 tokens they are {pairs / small:.0%} of the whole; the rest doubles.",
    )
with table:
    st.markdown("## One plain block, d = 512")
    st.markdown(
        "Eight heads, d_ff = 2,048, forward, one layer. Attention meets the FFN at n = 2d = 1,024; its n² products "
        "alone do at n = 4d = 2,048."
    )
    block = block_table()
    st.dataframe(
        block, hide_index=True, width="stretch", key="block", row_height=38,
        column_config={
            "n": st.column_config.NumberColumn(format="localized"),
            **{name: st.column_config.NumberColumn(format="%.2f G") for name in block.columns[1:5]},
            **{f"{name} share": st.column_config.ProgressColumn(format="%.1f %%", max_value=100, color=color)
               for name, color in (("attention", "violet"), ("FFN", "yellow"))},
        },
    )  # fmt: skip
    st.button("Draw this block in the picture", on_click=draw_block, icon=":material/north:")
with more:
    lesson.interview(INTERVIEW)
    lesson.sources(SOURCES)
with check:  # last: a text that cannot be read takes nothing else with it
    st.markdown("## Does torch agree?")
    text = lesson.text(DEFAULT_TEXT, EXAMPLES)
    reading = lesson.read(text, record=("layers.0.attention.K",))
    with st.spinner("Counting…"):
        seen = counted(reading.model, reading.label != "recorded", reading.config, reading.ids)
    expected = cost.flops(reading.config, len(reading.ids))
    expected = {"QKV": sum(expected.pop(part) for part in "QKV")} | expected
    agree = seen == expected
    how = "its weightless copy" if reading.label == "recorded" else "the model"
    st.markdown(
        f"Your text is **{len(reading.ids)} tokens** to {reading.title}. Each matrix product was counted while "
        f"{how} read it, by torch's own FLOP formulas: **{whole(sum(seen.values()))}**. The closed form says "
        f"**{whole(sum(expected.values()))}**: " + ("the same, part by part." if agree else "they differ.")
    )
    st.dataframe(
        pd.DataFrame({
            "part": ["Q, K, V", "S = QKᵀ", "z = AV", "W_O", "FFN", "logits"],
            "counted by torch": list(seen.values()), "closed form": [expected[part] for part in seen],
            "share": [100 * flops / sum(seen.values()) for flops in seen.values()],
        }),
        hide_index=True, width="stretch", key="check", row_height=38,
        column_config={
            "counted by torch": st.column_config.NumberColumn(format="localized"),
            "closed form": st.column_config.NumberColumn(format="localized"),
            "share": st.column_config.ProgressColumn(format="%.2f %%", min_value=0, max_value=100),
        },
    )  # fmt: skip
