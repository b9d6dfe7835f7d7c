"""Why position at all: attention reads a set, so an encoder's outputs are permuted with its tokens."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import permutation as charts
from charts.ahead import Box, ahead
from charts.curves import Choice, Picks
from pages.position import orders, permutation_words as words
from pages.position.orders import Reader, Text
from pages.position.permutation_words import BAG, DECODER, ENCODER, PLACE, VIEWS
from pages.shared import held, models, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson, inert
from transformer.experiments import permutation
from transformer.recording import CAPITAL, PRONOUN
from transformer.training import order

TEXT = "The king is a good man"
EXAMPLES = {"dog bites man": "The dog bites the man", "a pronoun": PRONOUN, "a fact": CAPITAL}
WORDS, MOST_WORDS = "dog bites man", 4
ORDERS = ["as it stands", "two swapped", "reversed", "sorted", "shuffled"]
LAYERS = ["embeddings", *(f"after layer {i}" for i in range(order.BASE["n_layers"]))]
SAME = 1e-4  # a change of a vector, as a share of its length, that is only rounding
KINDS = {ENCODER: "encoder", DECODER: "decoder", BAG: "encoder"}


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    frame: str | None = None
    on: bool = False
    cursor: int = 0
    cell: tuple[str, int, int] | None = None


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    config: dict
    snippet: str
    numbers: str | None = None


def cell_in(written: str) -> tuple[str, int, int]:
    """("A new on", 2, 1) of "A new on,2,1"; ValueError for anything else."""
    key, row, col = written.rsplit(",", 2)
    return key, int(row), int(col)


def stand(sizes: dict[str, tuple[int, int]]) -> Stand:
    if view == PLACE:
        frame = url.url_state("layer_of", LAYERS[1], str, LAYERS.__contains__)
        last = order.LENGTH - 1
        return Stand(view, frame, cursor=url.url_state("at", last, int, lambda at: 0 <= at <= last))

    def there(cell: tuple[str, int, int]) -> bool:
        rows, cols = sizes.get(cell[0], (0, 0))
        return cell[1] in range(rows) and cell[2] in range(cols)

    cell = url.url_state("cell", None, cell_in, there, shown="no cell")
    if view == BAG:
        return Stand(view, cell=cell)
    return Stand(view, url.url_state("order", "reversed", str, ORDERS.__contains__),
                 url.url_state("positions", "off", str, ("on", "off").__contains__) == "on", cell=cell)


def keep(component: str, sizes: dict[str, tuple[int, int]]) -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(component, "stand")) is None:
        return
    if view == PLACE:
        frames = said.get("frames")
        if isinstance(frames, list) and frames and frames[0] in LAYERS:
            url.set_url_state("layer_of", frames[0], LAYERS[1])
        if isinstance(at := said.get("cursor"), int | float):
            url.set_url_state("at", int(at), order.LENGTH - 1)
    else:
        if view != BAG and said.get("pick") in ORDERS:
            url.set_url_state("order", said["pick"], "reversed")
            url.set_url_state("positions", "on" if said.get("switch") else "off", "off")
        at = said.get("at")
        url.set_url_state("cell", ",".join(map(str, at)) if isinstance(at, list) else None, None)
    held.reported(component, stand(sizes))


def show_orders() -> Shown:
    config = who.on.config
    free = [i for i in range(len(text.ids)) if i not in text.fixed]
    names = [text.names[i] for i in free]
    picture = st.container(key="gf-picture")  # first, though what it shows is chosen below it
    telling = orders.TELLING.get(who.name.rsplit("/", 1)[-1], (0, 0))
    mine = "decoder_" if who.causal else ""  # each model opens on its own telling head

    def box(label: str, values: list, default: object, key: str) -> Box:
        return Box(key, values, choose(label, values, default, key))

    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        boxes = [box("Layer of the map", list(range(config.n_layers)), telling[0], f"{mine}layer"),
                 box("Head", list(range(config.n_heads)), telling[1], f"{mine}head"),
                 box("Swap", names, names[min(1, len(names) - 1)], "swap"), box("with", names, names[-1], "with")]  # fmt: skip
        seed = st.number_input("Seed of the shuffle", 0, 9999, 0, key="seed", bind="query-params")
    layer, head, one, other = (box.at for box in boxes)

    def swapped(one: str, other: str) -> tuple[int, int]:
        return text.names.index(one), text.names.index(other)

    swap = swapped(one, other)
    found = orders.measured(text, swap, seed, layer, head, who)
    n, layers, dims = len(text.ids), config.n_layers + 1, min(charts.SHOWN, config.d_model)
    sizes = {}
    for mark in ("", " on"):
        sizes |= {f"Y{mark}": (n, dims), f"A{mark}": (n, n)}
        for name in ORDERS:
            sizes |= {f"Y {name}{mark}": (n, dims), f"Δ {name}{mark}": (n, len(charts.drawn_layers(layers))),
                      f"A {name}{mark}": (n, n), f"ΔA {name}{mark}": (n, n)}  # fmt: skip
    here = stand(sizes)
    shown, epoch = held.to_send("matrices", here)

    def message(layer: int, head: int, one: str, other: str, dice: int) -> bytes | None:
        pair = swapped(one, other)
        if who.causal and who.label == "live" and (pair, dice) != (swap, seed):
            return None  # another order takes a large model some tenths of a second
        return charts.orders_message(
            orders.measured(text, pair, dice, layer, head, who).readings, text.names, orders.orders_of(text, pair, dice),
            Picks("Order", ORDERS, shown.frame), shown.on, head=f"layer {layer}, head {head}", causal=who.causal,
            at=shown.cell, epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key="matrices", on_stand_change=lambda: keep("matrices", sizes),
                       data=ahead(message, *boxes, Box("seed", range(10_000), seed)))
    say_measured(found, None if who.causal else orders.in_double(who.name, who.label, text, swap, seed, who))
    i = ORDERS.index(here.frame)
    off, on = found.readings[False], found.readings[True]
    values = {"name": who.name, "ids": list(text.ids), "by_name": orders.sort_keys(text), "swap": swap,
               "seed": seed, "fixed": text.fixed, "layer": layer}  # fmt: skip
    table = {"order": [name for name in ORDERS for _ in text.names], "token": list(text.names) * len(ORDERS)} | {
        f"moved after {step}, positions {'on' if positions else 'off'}": reading.moved[..., j].flatten()
        for positions, reading in found.readings.items() for j, step in enumerate(["embedding", *range(layers - 1)])
    }  # fmt: skip
    return Shown(
        table,
        [("X", (f"token {n}", config.d_model), "residual"), ("P", (f"token {n}", f"token {n}"), "output"),
         ("A", (f"head {config.n_heads}", f"query {n}", f"key {n}"), "attention")],
        values, words.SNIPPET.format_map({name: repr(value) for name, value in values.items()}),
        rf"\max |f(Px) - P f(x)| = {_power(off.largest[i])} \text{{ off}},\quad {_power(on.largest[i])} \text{{ on}}",
    )  # fmt: skip


def say_measured(found: orders.Measured, in_double: float | None) -> None:
    """What the picture says, in numbers, positions off beside on."""
    off, on = found.readings[False], found.readings[True]
    still = [text.names[i] for i in text.fixed]
    columns = st.columns(3)
    columns[0].metric("Largest |Δ|, positions off", f"{off.largest.max():.2g}")
    if in_double is None:
        columns[1].metric("Last token after layer 0, off", f"{off.moved[:, -1, 1].max():.1g}")
        columns[2].metric("Last token after layer 1, off", f"{off.moved[:, -1, 2].max():.1%}")
    else:
        columns[1].metric("the same in float64", f"{in_double:.1g}")
        columns[2].metric("Largest |Δ|, positions on", f"{on.largest.max():.2g}")
    st.caption("Over all five orders, the tokens put back first; “off” is the same weights with nothing added or "
               "turned by position. "
               + (f"{inert(' and '.join(still))} {'stay' if len(still) > 1 else 'stays'} in place. " if still else "")
               + ("What is left in float32 is rounding: in float64 it shrinks as the precision grows. "
                  f"The mean of the outputs turns by {found.pooled[False].max():.1g}° at most without positions, by "
                  f"{found.pooled[True].max():.1f}° with them." if in_double is not None else
                  f"After the last layer, {off.largest.max():.2g} without positions stands beside "
                  f"{on.largest.max():.2g} with "
                  "them."))  # fmt: skip


def show_bag() -> Shown:
    picture, controls = lesson.stage(0.3)
    with controls:
        said = st.text_input("Words to put in every order", WORDS, key="words", bind="query-params", max_chars=80)
        chosen = tuple(said.split())
        if not 2 <= len(chosen) <= MOST_WORDS:
            st.warning(f"Two to {MOST_WORDS} words, please: {MOST_WORDS} have 24 orders. “{WORDS}” stands in.",
                       icon=":material/info:")  # fmt: skip
            chosen = tuple(WORDS.split())
        try:
            on, off, sentences = orders.all_angles(who.name, who.label, chosen, who)
        except ValueError as problem:
            st.warning(str(problem), icon=":material/info:")
            chosen = tuple(WORDS.split())
            on, off, sentences = orders.all_angles(who.name, who.label, chosen, who)
        st.metric("Furthest apart, positions on", f"{on.max():.1f}°")
        st.metric("Positions off", f"{off.max():.1g}°")
        st.caption("The mean of the outputs over all tokens of each sentence. A word that is several tokens keeps them "
                   "together.")  # fmt: skip
    n = len(sentences)
    sizes = {"on": (n, n), "off": (n, n)}
    here = stand(sizes)
    shown, epoch = held.to_send("matrices", here)
    with picture:
        matrices.mount(key="matrices", on_stand_change=lambda: keep("matrices", sizes),
                       data=charts.angles_message(on, off, sentences, at=shown.cell, epoch=epoch))  # fmt: skip
    whole = [" ".join(words_) for words_ in sentences]
    pieces, ends = orders.pieces_of(who, chosen)
    rows = [ends[:1] + row + ends[1:] for row in permutation.all_orders(pieces)]
    config = {"name": who.name, "words": " ".join(chosen)}
    return Shown(
        {"order": [one for one in whole for _ in whole], "other": whole * n, "degrees, on": on.flatten(),
         "degrees, off": off.flatten()},
        [("c", (f"order {n}", who.on.config.d_model), "output")], config,
        words.SNIPPET_BAG.format(name=repr(who.name), rows=rows, words=" ".join(chosen).replace("\n", " ")),
        rf"\angle(c_{{1}}, c_{{{n}}}) = {on[0, -1]:.2f}^\circ \text{{ on}},\quad {_power(off[0, -1])}^\circ "
        rf"\text{{ off}}",
    )  # fmt: skip


def show_places() -> Shown:
    picture, controls = lesson.stage(0.26)
    found, made = orders.places()
    with controls:
        st.markdown("##### What positions are worth")
        for row in ("encoder", "decoder"):
            with_, none = (np.array(orders.losses()[row + mark]) for mark in ("", "-none"))
            st.metric(row.capitalize(), f"{none.mean() - with_.mean():.3f} nats")
            st.caption(f"{with_.mean():.3f} with, {none.mean():.3f} without; {len(none)} seeds, at most "
                       f"{np.ptp(np.stack((with_, none)), axis=1).max():.3f} between two.")  # fmt: skip
        st.caption(f"Recorded: $W$, $w$ and $b$ fitted on {made['fitted_on']} windows of {order.LENGTH} tokens (a "
                   f"straight line has no $W$), read on {made['read_on']} others; a band holds nine tokens in ten. "
                   "Why a square form finds the place: a mean of $t+1$ values strays less from their average $\\bar v$ "
                   "than one value does ($\\sigma^2$).")  # fmt: skip
    here = stand({})
    shown, epoch = held.to_send("curves", here)
    with picture:
        curves.mount(key="curves", on_stand_change=lambda: keep("curves", {}),
                     data=charts.places_message(found, Choice("Vectors", LAYERS, shown.frame), cursor=shown.cursor,
                                                epoch=epoch))  # fmt: skip
    i = LAYERS.index(here.frame)
    table = {"place": np.arange(order.LENGTH)} | {
        f"{one.title}, {LAYERS[j]}": one.middle[j] for one in found for j in range(len(LAYERS))
    }
    return Shown(
        table, [("x_t", (f"token {order.LENGTH}", order.BASE["d_model"]), "residual")], {"windows": made["fitted_on"]},
        words.SNIPPET_PLACE.format(n=order.LENGTH, windows=300, learn=200),
        r"\begin{gathered}" + r"\\".join(
            rf"R^2 = {max(one.explained[i], 0):.3f} \text{{ ({one.title[0].lower()}{one.title[1:]})}}" for one in found
        ) + r"\end{gathered}",
    )  # fmt: skip


def _power(value: float) -> str:
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{value:.2f}" if value >= 0.01 else "0" if value == 0 else rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


SHOW = {ENCODER: show_orders, DECODER: show_orders, BAG: show_bag, PLACE: show_places}
CODE = {
    ENCODER: [permutation.without_positions, permutation.put_back, permutation.moved, permutation.largest_difference],
    DECODER: [permutation.without_positions, permutation.read, permutation.moved],
    BAG: [permutation.all_orders, permutation.angles],
    PLACE: [permutation.place_read_off],
}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    shown = SHOW[view]()
    formula = r"\begin{gathered}" + r"\\[.6em]".join(words.FORMULAS[view]) + r"\end{gathered}"
    lesson.formula(formula, shown.shapes, shown.numbers)
    with code_place:
        lesson.code(CODE[view], shown.snippet)
    lesson.downloads(table=shown.table, config=shown.config | {"view": view})


def forget() -> None:
    """Tokens of another text or view mean nothing here."""
    place = (view, who.name if who else "", text.names if text else ())
    if st.session_state.setdefault("_orders_place", place) != place:
        st.session_state["_orders_place"] = place
        st.query_params.pop("cell", None)


def read(reader: Reader) -> Text:
    """The text's tokens, or the last good ones and a sentence."""
    last = f"_last_orders_{reader.name}"
    try:
        found = orders.text_of(reader, typed)
    except ValueError as problem:
        st.warning(str(problem), icon=":material/info:")
        found = st.session_state.get(last) or orders.text_of(reader, TEXT)
    st.session_state[last] = found
    n = len(reader.tokenizer.encode(typed[:2000]))
    if n > len(found.ids):
        st.caption(f"The first {len(found.ids)} of {n} tokens, so that their maps can be read.")
    return found


def predict() -> None:
    """Whose vectors change in the first layer when two words swap, by our own decoder without positions."""
    model, tokenizer = orders.ours("decoder-none")
    small = Reader("assets/order/decoder-none", "", "tiny", model, model, tokenizer)
    asked = orders.text_of(small, TEXT)
    found = orders.measured(asked, (0, 1), 0, 0, 0, small).readings[False]
    first, second = ((found.moved[ORDERS.index("two swapped"), :, layer] > SAME).sum() for layer in (1, 2))
    n = len(asked.ids)
    one, other = (name.split(" ", 1)[1] for name in asked.names[:2])
    lesson.predict(
        f"A causal decoder that has **no positions**, trained like that, reads “{TEXT}”. Then its first two words, “{one}” "
        f"and “{other}”, change places. Of how many of the {n} words has the vector changed after the **first** layer?",
        [str(i) for i in range(n + 1)], str(first),
        f"Of {first}: the two that changed places, since each reads another set of words now. Every later word reads the same "
        f"*set* as before, and one layer of attention cannot tell in which order a set stands. After the second layer it is "
        f"{second} of {n}: what the later words read there was made by the two whose sets were different.",
    )  # fmt: skip


lesson = Lesson("C1")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
typed = lesson.text(TEXT, EXAMPLES) if view in (ENCODER, DECODER) else ""  # the others read words of their own
who = orders.reader(KINDS[view]) if view in KINDS else None
text = read(who) if who and view != BAG else None
lesson.show_model(*(("Small models · trained by us", "tiny") if who is None else (who.title, who.label)))
forget()
stage, words_place, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
    if who and who.label != "live":
        real = orders.REAL[KINDS[view]]
        st.caption(f"{models.TITLES[real]} ({models.MEGABYTES[real]} MB) reads here once it has been fetched: choose it "
                   f"in the "
                   f"sidebar. Until then a small {KINDS[view]} of ours does.")  # fmt: skip
with words_place:
    losses = orders.losses()
    lesson.prose(words.WHAT, words.WHY.format(
        seeds=len(losses["encoder"]), **{row.replace("-", "_"): f"{np.mean(of):.2f}" for row, of in losses.items()},
    ), words.CATCH)  # fmt: skip
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
