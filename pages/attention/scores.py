"""Score functions: six ways to say how well a key answers a query, on the same vectors, by hand, and by the clock."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves, matrices
from charts import scores as charts
from charts.ahead import Box, ahead
from charts.scores import TITLES
from pages.attention import scores_words as words
from pages.attention.scores_words import COST, PLANE, VIEWS, WEIGHTS
from pages.shared import held, url
from pages.shared.lesson import Lesson
from transformer import Config, masks, scores
from transformer.experiments import score_costs, six_scores
from transformer.attention import masked_softmax

TEXT = "To be, or not to be, that is the"
EXAMPLES = {"a play": TEXT, "a repeated name": "Romeo, my Romeo, where is", "a list": "one and two and three and",
            "a speech": "Good my lord, I am your servant"}
MOST, SAID = 14, 3  # tokens in the picture; terms of a sum that are written out
MEASURED = Path(__file__).parents[2] / "assets" / "measured" / "score-functions.json"
HERE = Config(vocab_size=256, d_model=128, n_heads=2, n_layers=1, max_len=512,
              position="none")  # as benchmarks/score_functions.py
LENGTHS = list(range(64, 513, 64))
STEP, REACH = 0.5, 3.0  # of the plane's grid
SIDE = round(2 * REACH / STEP) + 1
BY_TITLE = {title: score for score, title in TITLES.items()}
SCORES_TOO = "Scores before the softmax"
TELLING = 3  # the head that chooses most, in the last layer


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    head: int
    scores: bool
    cell: tuple[str, int, int]
    pick: str
    q: int
    k: int
    n: int


@st.cache_resource(show_spinner=False)
def six() -> tuple:
    return six_scores.load()


@st.cache_data(max_entries=64, show_spinner=False)
def weighed(ids: tuple[int, ...], layer: int) -> tuple[dict, dict, dict]:
    """score -> S, A [head, query, key] and what each cell says, on the queries and keys of the scaled dot product."""
    loaded, _, _ = six()
    at = f"layers.{layer}.attention."
    trace = loaded["scaled_dot"].run(list(ids), record=[at + part for part in "QK"]).trace
    Q, K = trace[at + "Q"], trace[at + "K"]
    n = len(ids)
    mask = masks.past(n)
    S, A, says = {}, {}, {}
    with torch.no_grad():
        for score, model in loaded.items():
            module = model.stack.blocks[layer].attention.score
            found = module(Q, K, torch.arange(n)[None])
            S[score], A[score] = found[0].numpy(), masked_softmax(found, mask)[0].numpy()
            first = six_scores.terms(module, Q[0], K[0])[..., :SAID].numpy()
            says[score] = charts.said(score, S[score], A[score], first, ~mask.numpy())
    return S, A, says


@st.cache_data(show_spinner=False)
def plane() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The grid's points [point, 2], and each function's score of every point with every point."""
    line = torch.linspace(-REACH, REACH, SIDE)
    points = torch.cartesian_prod(line, line).flip(-1)  # row by row from below, x first
    return points.numpy(), {score: six_scores.on_plane(score, points).numpy() for score in TITLES}


def point(text: str) -> int:
    """“1.5,-2” as the number of a point. ValueError where there is none."""
    x, y = (float(part) for part in text.split(","))
    column, row = (round((v + REACH) / STEP) for v in (x, y))
    if not (0 <= column < SIDE and 0 <= row < SIDE):
        raise ValueError(text)
    return row * SIDE + column


def written(i: int) -> str:
    return f"{i % SIDE * STEP - REACH:g},{i // SIDE * STEP - REACH:g}"


def cell_in_link(text: str) -> tuple[str, int, int]:
    """“additive.4.2” as a cell of the picture. ValueError where there is none."""
    score, row, column = text.split(".")
    return score, int(row), int(column)


def stand() -> Stand:
    head, shows, cell, pick, q, k, n = TELLING, False, ("scaled_dot", len(pieces) - 1,
                                                        max(0, len(pieces) - 2)), TITLES["dot"], point("2,1"), point("1,2"), 512
    if view == WEIGHTS:
        head = url.url_state("head", TELLING, int, range(heads).__contains__)
        shows = url.url_state("before", "false", str.lower, ("true", "false").__contains__) == "true"
        cell = url.url_state("cell", cell, cell_in_link,
                             lambda of: of[0] in TITLES and 0 <= of[2] <= of[1] < len(pieces), shown="its own cell")
    elif view == PLANE:
        pick = url.url_state("score", pick, str, BY_TITLE.__contains__)
        q, k = (url.url_state(name, default, point, shown=written(default)) for name, default in (("q", q), ("k", k)))
    else:
        n = url.url_state("n", n, int, LENGTHS.__contains__)
        pick = url.url_state("score", TITLES["additive"], str, BY_TITLE.__contains__)
    return Stand(view, head, shows, cell, pick, q, k, n)


def keep_weights() -> None:
    if (said := held.said("weights", "stand")) is None:
        return
    if said.get("frame") in range(heads):
        url.set_url_state("head", said["frame"], TELLING)
    url.set_url_state("before", "true" if said.get("switch") else "false", "false")
    if isinstance(at := said.get("at"), list) and len(at) == 3 and str(at[0])[2:] in TITLES:
        own = f"scaled_dot.{len(pieces) - 1}.{max(0, len(pieces) - 2)}"
        if isinstance(at[1], int) and isinstance(at[2], int) and 0 <= at[2] <= at[1] < len(pieces):
            url.set_url_state("cell", f"{at[0][2:]}.{at[1]}.{at[2]}", own)
    held.reported("weights", stand())


def keep_plane() -> None:
    if (said := held.said("plane", "stand")) is None:
        return
    if said.get("pick") in BY_TITLE:
        url.set_url_state("score", said["pick"], TITLES["dot"])
    for name, default in (("q", "2,1"), ("k", "1,2")):
        if isinstance(i := said.get(name), int) and 0 <= i < SIDE * SIDE:
            url.set_url_state(name, written(i), default)
    held.reported("plane", stand())


def keep_curves() -> None:
    if (said := held.said("curves", "stand")) is None:
        return
    if isinstance(at := said.get("cursor"), int | float) and int(at) in LENGTHS:
        url.set_url_state("n", int(at), 512)
    if said.get("pick") in BY_TITLE:
        url.set_url_state("score", said["pick"], TITLES["additive"])
    held.reported("curves", stand())


def show_weights(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[int, dict, str]:
    with controls:
        layers = range(model_config.n_layers)
        layer = st.selectbox("Layer", layers, 1, key="layer", bind="query-params")
        st.caption("A model of ours that was trained with all six functions on Shakespeare's plays. Queries and keys "
                   "are those of the "
                   "run with scaled dots, the same for all six; W, β, v, b and w are each function's own, trained.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send("weights", here)
    n = len(ids)
    cell = shown.cell if max(shown.cell[1:]) < n else here.cell  # what was last pressed may be of a longer text
    names = [piece.strip() or "␣" for piece in pieces]

    def message(layer: int) -> bytes:
        return charts.weights_message(
            names, *weighed(ids, layer), heads=curves.Choice("Head", list(range(heads)), shown.head),
            switch=curves.Switch(SCORES_TOO, shown.scores), barred=~masks.past(n).numpy(),
            at=(f"{'S' if shown.scores else 'A'} {cell[0]}", *cell[1:]), epoch=epoch,
        )  # fmt: skip

    with picture:
        matrices.mount(key="weights", on_stand_change=keep_weights, data=ahead(message, Box("layer", layers, layer)))
    S, A, _ = weighed(ids, layer)
    score, i, j = here.cell
    numbers = (rf"\text{{{TITLES[score]}, query {i}, key {j}: }} \scores{{S}} = {S[score][here.head, i, j]:.3f},\quad "
               rf"\attention{{A}} = {A[score][here.head, i, j]:.4f}")  # fmt: skip
    table = {"query": [i for i in range(n) for _ in range(n)], "key": list(range(n)) * n}
    return layer, table | {score: A[score][here.head].flatten() for score in TITLES}, numbers


def show_plane(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[int, dict, str]:
    with controls:
        st.caption("Drag an arrow by its tip, or use the arrow keys (Shift: q). The tips sit on a grid of 0.5, so "
                   "every number is one that "
                   "`transformer.scores` computed. Weights set by hand: general's W turns by 90°, additive has v = "
                   "(1, 1), b = 0, "
                   "location reads q's first coordinate, β = 1. A bar is a share of the most that its function reaches on this grid.")  # fmt: skip
    points, fields = plane()
    here = stand()
    shown, epoch = held.to_send("plane", here)
    with picture:
        charts.mount_plane(key="plane", on_stand_change=keep_plane, data=charts.plane_message(
            points, fields, step=STEP, picks=curves.Picks("Field of", list(BY_TITLE),
                                                          shown.pick), q=shown.q, k=shown.k, epoch=epoch,
        ))  # fmt: skip
    q, k = points[here.q], points[here.k]
    long = [fields["dot"][i, i] ** 0.5 for i in (here.q, here.k)]
    numbers = (rf"({q[0]:g}, {q[1]:g})\cdot({k[0]:g}, {k[1]:g}) = {long[0]:.3f} \times {long[1]:.3f} \times "
               rf"{fields['cosine'][here.q, here.k]:.3f} = \scores{{{fields['dot'][here.q, here.k]:.3f}}}")  # fmt: skip
    table = {"k_x": points[:, 0], "k_y": points[:, 1]} | {score: S[here.q] for score, S in fields.items()}
    return 1, table, numbers


@st.cache_data(show_spinner=False)
def recorded_scores() -> dict:
    return json.loads(MEASURED.read_text("utf-8"))


@st.cache_data(max_entries=1, ttl=3600, show_spinner="Measuring each function at each length…")
def measured_here() -> dict[str, list[float]]:
    found = score_costs.timings(HERE, LENGTHS, rounds=5, budget=3.0)
    return {score: [timed.seconds[score] for timed in found] for score in TITLES}


def show_cost(picture: DeltaGenerator, controls: DeltaGenerator) -> tuple[int, dict, str]:
    about = recorded_scores()
    with controls:
        own = st.toggle("Measure on this machine", key="measure", bind="query-params",
                        help="Some seconds; additive takes most of them.")
        seconds = measured_here() if own else about["seconds"]
        where = "measured here, just now" if own else f"{about['machine']}, {about['date']}"
        at = LENGTHS.index(stand().n)
        st.metric("Additive / scaled dot", f"{seconds['additive'][at] / seconds['scaled_dot'][at]:,.0f} ×")
        st.caption(f"Scores of one layer, {HERE.n_heads} heads of {HERE.d_head}, float32, fastest of the rounds, "
                   f"{where}. `{about['command']}` makes the "
                   "recorded numbers anew. FLOPs count matrix products (`cost.flops`); the tanhs stand in the code.")  # fmt: skip
    work = {score: [score_costs.work(score, HERE, n) for n in LENGTHS] for score in TITLES}
    flops, memory = ({score: np.array([getattr(one, field) for one in of], float) for score,
                      of in work.items()} for field in ("flops", "memory"))
    here = stand()
    shown, epoch = held.to_send("curves", here)
    with picture:
        curves.mount(key="curves", on_stand_change=keep_curves, data=charts.cost_message(
            np.array(LENGTHS), flops, memory, {score: np.array(seconds[score]) for score in TITLES},
            {score: of[0].parameters for score,
             of in work.items()}, layer=f"one layer, {HERE.n_heads} heads of {HERE.d_head}",
            measured=where, picks=curves.Picks("Stands out", list(BY_TITLE), shown.pick), cursor=shown.n, epoch=epoch,
        ))  # fmt: skip
    one = work["additive"][LENGTHS.index(here.n)]
    numbers = (rf"n = {here.n}:\quad 2 \cdot {HERE.n_heads} \cdot {here.n}^2 \cdot {HERE.d_head} = "
               rf"{one.flops / 1e6:.1f}\text{{ MFLOP each, and }}"
               rf"{one.tanhs / 1e6:.1f}\text{{ M tanhs for additive}}")  # fmt: skip
    table = {"n": LENGTHS} | {f"{score} {name}": of[score] for score in TITLES for name,
                              of in (("FLOPs", flops), ("bytes", memory), ("seconds", seconds))}
    return 1, table, numbers


SHOW = {WEIGHTS: show_weights, PLANE: show_plane, COST: show_cost}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    layer, table, numbers = SHOW[view](*lesson.stage(0.26))
    n, d_k = len(ids), model_config.d_head
    shapes = [("Q", (f"head {heads}", f"query {n}", d_k), "query"), ("K", (f"head {heads}", f"key {n}", d_k), "key"),
              ("W", (f"head {heads}", d_k, d_k), "output"), ("v, b", (f"head {heads}", d_k), "output"),
              ("w", (f"head {heads}", f"place {model_config.max_len}", d_k), "output"),
              ("S, A", (f"head {heads}", f"query {n}", f"key {n}"), "attention")]  # fmt: skip
    lesson.formula(r"\begin{gathered}" + r"\\[.5em]".join(words.FORMULAS[view]) + r"\end{gathered}", shapes, numbers)
    at = {"text": typed, "layer": layer, "head": stand().head, "most": MOST}
    with code_place:
        lesson.code([scores.Dot, scores.General, scores.Cosine, scores.Additive, scores.Location, six_scores.on_plane,
                     score_costs.work],
                    words.SNIPPET.format_map({name: repr(value) for name, value in at.items()}))  # fmt: skip
    lesson.downloads(table=table, config=at | {"view": view})


lesson = Lesson("B3")
lesson.header(words.LOOK_FOR)
lesson.show_model("Six-score model, trained by us", "tiny")
typed = lesson.text(TEXT, EXAMPLES)
view = lesson.view(VIEWS)
six_models, tokenizer, made = six()
model_config = six_models["scaled_dot"].config
heads = model_config.n_heads
if not typed.strip() or len(typed) > 2000:
    st.warning("There is nothing to read yet: type a word or a sentence." if not typed.strip() else
               f"This text is too long: the picture has room for {MOST} tokens.", icon=":material/info:")  # fmt: skip
    typed = st.session_state.get("_scores_text", TEXT)
st.session_state["_scores_text"] = typed
ids = tuple(tokenizer.encode(typed)[:MOST])
pieces = tokenizer.pieces(list(ids))
if st.session_state.setdefault("_scores_ids", ids) != ids:  # a cell belongs to one text
    st.session_state["_scores_ids"] = ids
    st.query_params.pop("cell", None)
stage, below, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with below:
    lesson.prose(**words.prose(made))
    times = recorded_scores()["seconds"]
    lesson.predict(**words.predict(LENGTHS[-1], times["additive"][-1] / times["scaled_dot"][-1]))
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
