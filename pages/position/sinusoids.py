"""Sinusoids: a pair of columns is a hand that turns, a shift is a rotation, and a product knows the offset alone."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import sinusoids as charts
from charts.ahead import Box, ahead
from charts.curves import Choice, Picks
from charts.sinusoids import LAYOUTS
from pages.position import sinusoid_arrays as arrays, sinusoids_words as words
from pages.position.sinusoid_arrays import BASES, FARTHEST, MOST, PLACES, POSITIONS, REACHES, STARTS, WIDTHS
from pages.position.sinusoids_words import HEADS, PRODUCTS, SCALE, TURN, VIEWS
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import embedding, positions, rope
from transformer.recording import CAPITAL, PRONOUN
from transformer.training import order

TEXT = "The king is a good man and my lord is not"
EXAMPLES = {"a pronoun": PRONOUN, "a fact": CAPITAL, "dog bites man": "The dog bites the man"}
HEAD = "layer 0, head 1"
TABLES = {"marian-en-pt": "Marian, trained with √d", "minilm-l6": "MiniLM, learned positions",
          "ours, × √d": "ours, trained with √d", "ours, as they are": "ours, trained without"}  # fmt: skip


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    place: charts.Place | None = None
    d: int = 0
    base: int = 0
    layout: str = ""
    cursor: float = 0.0
    reach: int = 0
    head: str = ""
    cell: tuple[str, int, int] | None = None


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    values: dict  # for the snippet
    numbers: str | None = None


def told(name: str, default: object, options: list) -> object:
    """What the link says, one of these."""
    return url.url_state(name, default, type(default), options.__contains__)


def cell_in(written: str) -> tuple[str, int, int]:
    """("S alone", 2, 1) of "S alone,2,1"; ValueError for anything else."""
    key, row, col = written.rsplit(",", 2)
    return key, int(row), int(col)


def last_step() -> float:
    return float(arrays.recorded().steps[-1])


def stand() -> Stand:
    if view == TURN:
        d, base = told("d", 32, WIDTHS), told("base", 10_000, BASES)
        layout = told("layout", "interleaved", list(LAYOUTS))
        pos = url.url_state("pos", 5, int, range(POSITIONS).__contains__)
        k = url.url_state("k", min(7, POSITIONS - 1 - pos), int, range(POSITIONS - pos).__contains__)
        pair = url.url_state("pair", min(2, d // 2 - 1), int, range(d // 2).__contains__)
        return Stand(view, charts.Place(pos, k, pair), d, base, layout)
    if view == PRODUCTS:
        return Stand(view, d=told("d", 128, WIDTHS), base=told("base", 10_000, BASES), reach=told("up_to", 64, REACHES),
                     cursor=url.url_state("at", 8.0, float, lambda at: 0 <= at <= FARTHEST))  # fmt: skip
    if view == SCALE:
        first, last = arrays.recorded().steps[0], last_step()
        return Stand(view, cursor=url.url_state("step", last, float, lambda at: first <= at <= last))

    def there(cell: tuple[str, int, int]) -> bool:
        n = {"PE·PE": PLACES, "S alone": PLACES, "S": len(ids)}.get(cell[0], 0)
        return cell[1] in range(n) and cell[2] in range(n)

    return Stand(view, head=told("head", HEAD, arrays.scores_of(ids, ids[0]).names),
                 cell=url.url_state("cell", None, cell_in, there, shown="no cell"))  # fmt: skip


def keep_turn() -> None:
    said = held.said("turn", "stand")
    if said is None or said.get("d") not in WIDTHS or said.get("base") not in BASES:
        return
    url.set_url_state("d", said["d"], 32)
    url.set_url_state("base", said["base"], 10_000)
    by_words = {words_: name for name, words_ in LAYOUTS.items()}
    url.set_url_state("layout", by_words.get(said.get("layout"), "interleaved"), "interleaved")
    if all(isinstance(said.get(name), int) for name in ("pos", "k", "pair")):
        url.set_url_state("pos", said["pos"], 5)
        url.set_url_state("k", said["k"], min(7, POSITIONS - 1 - said["pos"]))
        url.set_url_state("pair", said["pair"], min(2, said["d"] // 2 - 1))
    held.reported("turn", stand())


def keep_curves() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    at = said.get("cursor")
    if view == PRODUCTS:
        frames = said.get("frames")
        if isinstance(frames, list) and len(frames) == 2 and frames[0] in WIDTHS and frames[1] in BASES:
            url.set_url_state("d", frames[0], 128)
            url.set_url_state("base", frames[1], 10_000)
        if said.get("zoom") in REACHES:
            url.set_url_state("up_to", said["zoom"], 64)
        if isinstance(at, int | float):
            url.set_url_state("at", float(at), 8.0)
    elif isinstance(at, int | float):
        url.set_url_state("step", float(at), last_step())
    held.reported("curves", stand())


def keep_heads() -> None:
    if (said := held.said("matrices", "stand")) is None:
        return
    if said.get("frame") in arrays.scores_of(ids, ids[0]).names:
        url.set_url_state("head", said["frame"], HEAD)
    at = said.get("at")
    url.set_url_state("cell", ",".join(map(str, at)) if isinstance(at, list) else None, None)
    held.reported("matrices", stand())


def show_turn() -> Shown:
    PE, theta = arrays.tables()
    here = stand()
    shown, epoch = held.to_send("turn", here)
    charts.mount_turn(
        key="turn", on_stand_change=keep_turn,
        data=charts.turn_message(
            PE, theta, Choice("Width d", WIDTHS, shown.d), Choice("Base", BASES, shown.base),
            Picks("Layout", list(LAYOUTS.values()), LAYOUTS[shown.layout]), shown.place,
            [piece.strip() or "␣" for piece in pieces], epoch=epoch,
        ),
    )  # fmt: skip
    (pos, k, pair), at = here.place.__dict__.values(), (list(LAYOUTS).index(here.layout), BASES.index(here.base))
    speed = theta[here.d][at][pair]
    sine, cosine = (PE[here.d][at][pos + k][col] for col in charts.columns(pair, here.d, here.layout))
    table = {"position": np.arange(POSITIONS)} | {f"dimension {j}": PE[here.d][at][:, j] for j in range(here.d)}
    numbers = (
        rf"\begin{{gathered}}\theta_{{{pair}}} = {speed:.5f}, \quad k\theta_{{{pair}}} = {k * speed:.4f}\\[.4em]"
        rf"\residual{{PE}}({pos + k}) = R({k})\,\residual{{PE}}({pos}) = ({sine:.4f},\ {cosine:.4f})\end{{gathered}}"
    )
    return Shown(table, [("PE", (f"position {POSITIONS}", here.d), "residual"), ("R(k)", (here.d, here.d), "output"),
                         (r"\theta", (f"pair {here.d // 2}",), "output")],
                 {"d": here.d, "base": here.base, "layout": here.layout, "pos": pos, "k": k, "pair": pair},
                 numbers)  # fmt: skip


def show_products() -> Shown:
    offset, S, apart = arrays.products()
    here = stand()
    shown, epoch = held.to_send("curves", here)
    curves.mount(
        key="curves", on_stand_change=keep_curves,
        data=charts.products_message(
            offset, STARTS, S, apart, Choice("Width d", WIDTHS, shown.d), Choice("Base", BASES, shown.base),
            reach=Choice("Offsets up to", REACHES, shown.reach), cursor=shown.cursor, epoch=epoch,
        ),
    )  # fmt: skip
    at = WIDTHS.index(here.d), BASES.index(here.base)
    k = int(here.cursor)
    return Shown(
        {"offset": offset} | {f"from {n}": S[at][i] for i, n in enumerate(STARTS)},
        [("PE", ("position", here.d), "residual"),
         (r"PE\cdot PE", (f"start {len(STARTS)}", f"offset {FARTHEST + 1}"), "scores")],
        {"starts": list(STARTS), "farthest": FARTHEST, "d": here.d, "base": here.base, "at": k},
        rf"\frac{{2}}{{{here.d}}}\sum_i \cos {k}\theta_i = {S[at][0, k]:.5f}, \quad \text{{from }} n = {STARTS[-1]}: "
        rf"{S[at][-1, k]:.5f}",
    )  # fmt: skip


def show_heads() -> Shown:
    names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(pieces)]
    with st.container(horizontal=True, key="gf-controls"):
        word = choose("The word that stands at every place", names, names[min(1, len(names) - 1)], "word")
    here = stand()
    shown, epoch = held.to_send("matrices", here)

    def message(one: str) -> bytes:
        found = arrays.scores_of(ids, ids[names.index(one)])
        return charts.heads_message(
            found.products, found.alone, found.mixed, names, one.split(" ", 1)[1],
            Choice("Head of our decoder", found.names, shown.head),
            f"/ √{order.BASE['d_model'] // order.BASE['n_heads']}", at=shown.cell, epoch=epoch,
        )  # fmt: skip

    matrices.mount(key="matrices", on_stand_change=keep_heads, data=ahead(message, Box("word", names, word)))
    token = ids[names.index(word)]
    found = arrays.scores_of(ids, token)
    i = found.names.index(here.head)
    heads = order.BASE["n_heads"]
    table = {"query": [name for name in names for _ in names], "key": names * len(names)} | {
        head: S.flatten() for head, S in zip(found.names, found.mixed.raw, strict=True)
    }
    numbers = (rf"R^2 = {found.products.explained[0]:.3f} \ (PE\cdot PE), \quad {found.alone.explained[i]:.3f} \ "
               rf"\text{{(one word repeated)}}, \quad "
               rf"{found.mixed.explained[i]:.3f} \ \text{{(your text)}}")  # fmt: skip
    n = len(ids)
    return Shown(table, [("PE", (f"position {PLACES}", order.BASE["d_model"]), "residual"),
                         ("S", (f"head {heads}", f"query {n}", f"key {n}"), "scores")],
                 {"word": token, "places": PLACES, "ids": list(ids), "layer": i // heads, "head": i % heads},
                 numbers)  # fmt: skip


def show_scale() -> Shown:
    steps, runs, _ = arrays.recorded()
    here = stand()
    shown, epoch = held.to_send("curves", here)
    curves.mount(key="curves", on_stand_change=keep_curves,
                 data=charts.scale_message(steps, runs, cursor=shown.cursor, epoch=epoch))  # fmt: skip
    shares = arrays.shares_of(ids)
    names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(pieces)]
    matrices.mount(key="words", on_stand_change=lambda: None, data=charts.words_message(shares, names))
    table = [
        {"model": TABLES[name], "d": str(of["d"]), "‖E‖": f"{of['table']:.2f}", "√d ‖E‖": f"{of['times_sqrt_d']:.1f}",
         "‖P‖": f"{of['position']:.2f}", "share with √d": f"{of['share_with']:.1%}",
         "without": f"{of['share_without']:.1%}"}
        for name, of in arrays.measured().items()
    ]  # fmt: skip
    st.markdown("##### Lengths in trained tables")
    st.table(table)
    st.caption("Recorded, the first tokens of Macbeth. MiniLM's positions are a learned table, smaller than its "
               "words: it needs no "
               "factor, and √d would drown them.")  # fmt: skip
    i = int(np.abs(steps - here.cursor).argmin())
    with_, without = (run.share[:, i].mean() for run in runs)
    d = order.BASE["d_model"]
    return Shown(
        {"step": steps} | {f"{run.name}, {part}, seed {seed}": row for run in runs for part in ("share", "loss")
                           for seed, row in enumerate(getattr(run, part))},
        [("E", (f"token {len(ids)}", d), "residual"), ("PE", (f"token {len(ids)}", d), "residual")], {"ids": list(ids)},
        rf"\text{{step }}{steps[i]:.0f}: \text{{ share }} {100 * with_:.1f}\,\% \text{{ with }} \sqrt d, \quad "
        rf"{100 * without:.1f}\,\% \text{{ without}}",
    )  # fmt: skip


SHOW = {TURN: show_turn, PRODUCTS: show_products, HEADS: show_heads, SCALE: show_scale}
CODE = {
    TURN: [positions.sinusoidal, positions.speeds, positions.shift, positions.of_pairs],
    PRODUCTS: [positions.similarity],
    HEADS: [positions.sinusoidal, positions.explained_by_offset, positions.in_spreads],
    SCALE: [embedding.Embedding.forward, embedding.Embedding.placed, positions.share],
}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"), st.container(key="gf-picture"):
        shown = SHOW[view]()
    lines = words.FORMULAS[view]
    if shown.values.get("layout") == "half":
        lines = words.HALVES + lines[len(words.HALVES):]
    formula = r"\begin{gathered}" + r"\\[.6em]".join(lines) + r"\end{gathered}"
    lesson.formula(formula, shown.shapes, shown.numbers)
    with code_place:
        values = {name: repr(value) for name, value in shown.values.items()}
        lesson.code(CODE[view], words.SNIPPETS[view].format_map(values))
    lesson.downloads(table=shown.table, config=shown.values | {"view": view, "text": text})


def tokens_of(typed: str) -> tuple[str, tuple[int, ...], list[str]]:
    """(the text, its first tokens, their pieces), or the last good ones and a sentence."""
    _, tokenizer = arrays.ours(arrays.MODEL)
    if not typed.strip():
        st.warning("There is nothing to read yet: type a word or a sentence.", icon=":material/info:")
        typed = st.session_state.get("_last_sinusoids", TEXT)
    st.session_state["_last_sinusoids"] = typed
    found = tokenizer.encode(typed[: 64 * MOST])
    if len(found) > MOST:
        st.caption(f"The first {MOST} tokens are drawn, so that every number can be read.")
    return typed, tuple(found[:MOST]), tokenizer.pieces(found[:MOST])


def predict() -> None:
    """How many pairs ever come round, by the speeds themselves."""
    d, n = 128, 512
    waves = rope.wavelengths(positions.speeds(d)).numpy()
    count = int((waves <= n).sum())
    lesson.predict(
        f"d = {d}, base 10 000: {d // 2} pairs. In a text of {n} positions, how many of them come round at least once?",
        [str(i) for i in (count // 4, count // 2, count, d // 2)], str(count),
        f"Pair {count - 1} takes {waves[count - 1]:,.0f} positions, pair {count} already {waves[count]:,.0f}, and the last "
        f"{waves[-1]:,.0f}. The other {d // 2 - count} pairs never finish a turn in this text: their columns are nearly "
        "constant. They tell far from near, and leave room for the words.",
    )  # fmt: skip


lesson = Lesson("C2")
lesson.header(words.LOOK_FOR)
typed = lesson.text(TEXT, EXAMPLES)
text, ids, pieces = tokens_of(typed)
view = lesson.view(VIEWS)
lesson.show_model("Small decoder · trained by us" if view in (HEADS, SCALE) else "Computed", "tiny")
place = (view, text)
if st.session_state.setdefault("_sinusoids_place", place) != place:
    st.session_state["_sinusoids_place"] = place
    for name in ("cell", "d", "base", "at"):
        st.query_params.pop(name, None)
stage, words_place, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words_place:
    steps, (with_, without), start = arrays.recorded()
    marian, scores = arrays.measured()["marian-en-pt"], arrays.scores_of(ids, ids[0])
    lesson.prose(
        words.WHAT,
        words.WHY.format(
            marian_table=marian["table"], marian_times=marian["times_sqrt_d"], marian_position=marian["position"],
            marian_with=marian["share_with"], marian_without=marian["share_without"], steps=steps[-1],
            seeds=len(with_.loss), start=start, end=without.share[:, -1].mean(), end_with=with_.share[:, -1].mean(),
            loss_with=with_.loss[:, -1].mean(), loss_without=without.loss[:, -1].mean(),
        ),
        words.CATCH.format(alone=np.mean(scores.alone.explained), mixed=np.mean(scores.mixed.explained)),
    )  # fmt: skip
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
