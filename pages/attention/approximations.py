"""Low rank and kernels: a real head's weights as Linformer, Performer and linear attention would make them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import approximations as charts
from charts import curves, matrices
from charts.ahead import Box, ahead
from charts.curves import Choice, Picks, Switch
from pages.attention import approximations_numbers as numbers
from pages.attention import approximations_words as say
from pages.attention import cells
from pages.attention.approximations_numbers import (
    DRAWS, FEW, LENGTHS, LOG_SIZES, MOST_WORDS, POINTS, SEEDS, SIZES, STATE_WORDS,
)  # fmt: skip
from pages.attention.approximations_words import COST, FEATURES, MEAN, RANK, STATE, VIEWS, WEIGHTS
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from transformer import kernels
from transformer.experiments import approximation
from transformer.recording import PRONOUN, REPEAT

EXAMPLES = {"a pronoun": PRONOUN, "a repeated name": REPEAT}
TELLING = {"smollm2-135m": (0, 2), "minilm-l6": (4, 1), "tiny": (3, 2)}  # features get somewhere there
PAIR = {PRONOUN: (8, 1)}  # text -> query and key: "it", "animal"
SIZE, METHOD, LENGTH, HALF = 64, charts.PERFORMER, 1.0, 0.5
LOG_N, COST_FEATURES, COST_RANK = list(range(5, 18)), [16, 64, 256, 1024], 256
CURSORS = {FEATURES: ("log_m", 8, LOG_SIZES), RANK: ("k", 3, None), MEAN: ("draws", 1000, POINTS.tolist()),
           COST: ("log_n", 12, LOG_N)}


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    method: str = METHOD
    size: int = SIZE
    scores: bool = False
    length: float = LENGTH
    features: int = 16
    cursor: float = 0
    token: str | None = None
    cell: cells.Cell | None = None


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: dict
    shapes: list
    numbers: str | None = None


def choose_head(controls: DeltaGenerator) -> tuple[Box, Box]:
    heads = range(config.n_heads)
    layers = [i for i in range(config.n_layers) if f"layers.{i}.attention.Q" in reading.arrays]
    layer, head = TELLING.get(reading.model, (0, 0))
    with controls:
        left, right = st.columns(2)
        with left:
            layer = choose("Layer", layers, layer, "layer")
        with right:
            head = choose("Head", heads, head, "head")
    return Box("layer", layers, layer), Box("head", heads, head)


def head_at(layer: int, head: int) -> numbers.Head:
    return numbers.head_of(reading, layer, head, n)


def length_in_link(default: float) -> float:
    return url.url_state("length", default, float, LENGTHS.__contains__)


def choose_length() -> Box:
    """As a control beside the picture; where each length is a frame, it is a slider of the picture's own."""
    st.select_slider(f"{charts.LENGTH}, times their own", LENGTHS, length_in_link(LENGTH), key="length_slider",
                     on_change=lambda: url.set_url_state("length", st.session_state["length_slider"], LENGTH),
                     help="Both are multiplied by it before anything else: the exact weights change as well.")  # fmt: skip
    return Box("length_slider", LENGTHS, st.session_state["length_slider"])


def power(exponent: float) -> str:
    return f"{exponent:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def stand() -> Stand:
    here = Stand(view)
    if view == WEIGHTS:
        return here._replace(
            method=url.url_state("method", METHOD, str, charts.METHODS.__contains__),
            size=url.url_state("size", SIZE, int, SIZES.__contains__),
            scores=url.url_state("scores", "false", str.lower, ("true", "false").__contains__) == "true",
            cell=cells.in_link())  # fmt: skip
    if view == STATE:
        return here._replace(token=url.url_state("token", names[-1], str, names.__contains__), cell=cells.in_link())
    name, start, allowed = CURSORS[view]
    allowed = allowed or list(range(1, n + 1))
    here = here._replace(cursor=url.url_state(name, min(start, allowed[-1]), int, allowed.__contains__))
    if view in (FEATURES, MEAN):
        here = here._replace(length=length_in_link(LENGTH if view == FEATURES else HALF))
    if view == MEAN:
        here = here._replace(features=url.url_state("m", 16, int, FEW.__contains__))
    return here._replace(features=url.url_state("m", 256, int, COST_FEATURES.__contains__)) if view == COST else here


def keep() -> None:
    """What the picture reports goes into the link."""
    if (said := held.said(place, "stand")) is None:
        return
    frames = said.get("frames") or [said.get("frame")]
    if view == WEIGHTS:
        if said.get("pick") in charts.METHODS:
            url.set_url_state("method", said["pick"], METHOD)
        if said.get("frame") in SIZES:
            url.set_url_state("size", said["frame"], SIZE)
        url.set_url_state("scores", "true" if said.get("switch") else "false", "false")
    elif view == STATE and said.get("frame") in names:
        url.set_url_state("token", said["frame"], names[-1])
    elif view in CURSORS and isinstance(at := said.get("cursor"), int | float):
        name, start, allowed = CURSORS[view]
        url.set_url_state(name, int(at), min(start, (allowed or [n])[-1]))
    if view in (FEATURES, MEAN) and frames[0] in LENGTHS:
        url.set_url_state("length", frames[0], LENGTH if view == FEATURES else HALF)
    if view == MEAN and len(frames) > 1 and frames[1] in FEW:
        url.set_url_state("m", frames[1], 16)
    if view == COST and frames[0] in COST_FEATURES:
        url.set_url_state("m", frames[0], 256)
    if place == "matrices":
        cells.keep(said.get("at"))
    held.reported(place, stand())


def mount(picture: DeltaGenerator, kind: Callable, data: bytes) -> None:
    with picture:
        kind(key=place, on_stand_change=keep, data=data)


def show_weights(picture: DeltaGenerator, controls: DeltaGenerator, layer: Box, head: Box) -> Shown:
    with controls:
        length = choose_length()
        seed = st.number_input("Seed of ω, E and F", 0, 9999, 0, key="seed", bind="query-params")
        st.caption("Drawn as the n × n weights that each method stands for; the error is ‖Ã − A‖ / ‖A‖ over all of "
                   "them. E and F of “fitted” are learned for this one text, more than a trained Linformer may do, "
                   f"which has one pair for all texts. Its rank ends at k = {n}: nothing is squeezed there.")  # fmt: skip
        if config.kind == "decoder":
            st.caption("Linformer cannot hide the future, so it stands beside the same head without its mask.")
    cells.know({f"{method}{part}": (n, n) for method in charts.METHODS for part in charts.PARTS})
    here = stand()
    shown, epoch = held.to_send(place, here)

    def message(layer: int, head: int, length: float, seed: int) -> bytes:
        found = numbers.weights(subject(layer, head), length, seed, head_at(layer, head))
        return charts.weights_message(
            found.masked, found.unmasked, found.scores, *numbers.by_method(found), names,
            Choice(charts.SIZE, SIZES, shown.size),
            Picks("Instead of the softmax", list(charts.METHODS), shown.method, role="attention"),
            Switch("Show what it is made of", shown.scores, taller=330), causal=config.kind == "decoder", at=shown.cell,
            epoch=epoch,
        )  # fmt: skip

    mount(picture, matrices.mount, ahead(message, layer, head, length, Box("seed", range(10_000), seed)))
    found = numbers.weights(subject(layer.at, head.at), length.at, seed, head_at(layer.at, head.at))
    made, _, errors = numbers.by_method(found)
    exact = numbers.exact_of(found, here.method)
    frame, values = SIZES.index(here.size), made[here.method]
    values = values[frame] if values.ndim == 3 else values
    off = errors[here.method][frame if len(errors[here.method]) > 1 else 0]
    last, best = n - 1, int(exact[-1].argmax())
    return Shown(
        {"query": np.repeat(names, n), "key": names * n, "exact": exact.flatten(), "approximated": values.flatten()},
        [("Q", (f"query {n}", config.d_head), "query"), ("K", (f"key {n}", config.d_head), "key"),
         (r"\omega", (f"feature {here.size}", config.d_head), "residual"),
         ("E, F", (f"rank {min(here.size, n)}", f"key {n}"), "value"),
         (r"\tilde A", (f"query {n}", f"key {n}"), "attention")],
        rf"\attention{{A}}_{{{last},{best}}} = {exact[last, best]:.3f} \qquad "
        rf"\attention{{\tilde A}}_{{{last},{best}}} = {values[last, best]:.3f} \qquad \|\tilde A - A\| / \|A\| = {off:.3f}",
    )  # fmt: skip


def show_features(picture: DeltaGenerator, controls: DeltaGenerator, layer: Box, head: Box) -> Shown:
    one = head_at(layer.at, head.at)
    of_A, of_z = numbers.by_features(subject(layer.at, head.at), one)
    needed = approximation.log_relative_variance(one.Q, one.K).median().item() / np.log(10)
    with controls:
        st.metric("Features a pair needs", f"10{power(needed)}")
        st.caption("Until its estimate's spread is as large as the estimate; the middle pair, by the closed form, at "
                   f"the head's own length. |q| is {one.Q.norm(dim=-1).mean():.1f}, |k| "
                   f"{one.K.norm(dim=-1).mean():.1f} on average. A low error can also mean that the head rests on one "
                   "short key, the first word, which every estimate finds.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send(place, here)
    mount(picture, curves.mount, charts.features_message(
        LOG_SIZES, of_A, of_z, Choice(f"{charts.LENGTH}, times their own", LENGTHS, shown.length), cursor=shown.cursor,
        seeds=SEEDS, epoch=epoch))  # fmt: skip
    frame = LENGTHS.index(here.length)
    curve = of_A["orthogonal"][0][frame]
    return Shown(
        {"features": [2**e for e in LOG_SIZES], "error_weights": curve, "error_output": of_z["orthogonal"][0][frame],
         "independent": of_A["independent"][0][frame]},
        [(r"\omega", (f"seed {SEEDS}", "feature m", config.d_head), "residual"),
         (r"\phi(Q)", (f"query {n}", "feature m"), "query"), (r"\phi(K)", (f"key {n}", "feature m"), "key")],
        rf"m = 16: {curve[4]:.3f} \qquad m = 256: {curve[8]:.3f} \qquad m = 4096: {curve[12]:.3f} \qquad "
        rf"(1/\sqrt{{16}} = 0.25 \text{{ each}})",
    )  # fmt: skip


def show_rank(picture: DeltaGenerator, controls: DeltaGenerator, layer: Box, head: Box) -> Shown:
    with controls:
        length = choose_length()
        st.caption("**best**: the SVD's, a bound for the weights of any Linformer. **fitted**: E and F by 300 steps "
                   "of Adam for this text. **pooled**: each row the mean of n/k neighbours. **A RᵀR**: the random "
                   "projection of the paper's proof. **drawn**: the layer itself before any training."
                   + (" All without the causal mask, which Linformer cannot have." if config.kind == "decoder" else ""))  # fmt: skip
    here = stand()
    shown, epoch = held.to_send(place, here)

    def errors(layer: int, head: int, length: float) -> tuple[numbers.Curves, numbers.Curves]:
        return numbers.by_rank(subject(layer, head), length, head_at(layer, head))

    def message(*at: float) -> bytes:
        return charts.rank_message(*errors(*at), cursor=shown.cursor, seeds=SEEDS, epoch=epoch)

    mount(picture, curves.mount, ahead(message, layer, head, length))
    of_A, of_z = errors(layer.at, head.at, length.at)
    k = int(here.cursor)
    return Shown(
        {"rank": range(1, n + 1)} | {f"{what}, {name}": of[name][0] for what, of in (("weights", of_A), ("output", of_z))
                                     for name in of},
        [("E, F", ("rank k", f"key {n}"), "value"), ("EK", ("rank k", config.d_head), "key"),
         ("P", (f"query {n}", "rank k"), "attention")],
        rf"\begin{{gathered}}k = {k}: \quad \text{{best }} {of_A['best'][0][k - 1]:.3f} \quad \text{{fitted }} "
        rf"{of_A['fitted'][0][k - 1]:.3f} \\ \text{{pooled }} {of_A['pooled'][0][k - 1]:.3f} \quad \text{{drawn }} {of_A['drawn'][0][k - 1]:.3f}"
        r"\end{gathered}",
    )  # fmt: skip


def seen_by(query: str) -> list[str]:
    """The keys that a query may read."""
    return names[: names.index(query) + 1] if config.kind == "decoder" else names


def show_mean(picture: DeltaGenerator, controls: DeltaGenerator, layer: Box, head: Box) -> Shown:
    with controls:
        query, key = PAIR.get(reading.text, (n - 1, max(0, n - 2)))
        query, key = (query, key) if query < n else (n - 1, max(0, n - 2))
        query = Box("query", names, choose("Query", names, names[query], "query"))
        keys = seen_by(query.at)
        key = Box("key", keys, choose("Key", keys, keys[min(key, len(keys) - 1)], "key"))
        st.caption(f"{DRAWS:,} independent draws of m orthogonal ω. The band above is the closed form for independent "
                   f"ω, which is a little wide for orthogonal ones. At full length the spread dwarfs the truth: the mean "
                   "is right only because of draws that are too rare to be among these.")  # fmt: skip
    here = stand()
    shown, epoch = held.to_send(place, here)

    one = head_at(layer.at, head.at)

    def found_of(query: str, key: str) -> numbers.Means:
        return numbers.means(subject(layer.at, head.at), names.index(query), names.index(key), one)

    def message(query: str, key: str) -> bytes | None:
        if key not in seen_by(query):
            return None
        found = found_of(query, key)
        return charts.means_message(
            POINTS.numpy(), found.kernel, found.weight, found.sampling_error, found.weight_error, found.true_weight,
            Choice(f"{charts.LENGTH}, times their own", LENGTHS, shown.length),
            Choice("Features m", FEW, shown.features), query=query, key=key, cursor=shown.cursor, epoch=epoch)  # fmt: skip

    mount(picture, curves.mount, ahead(message, query, key))
    found = found_of(query.at, key.at)
    i, j = LENGTHS.index(here.length), FEW.index(here.features)
    off = (found.weight[i, j, -1] - found.true_weight[i]) / found.weight_error[i, j, -1]
    return Shown(
        {"draws": POINTS.numpy(), "kernel_over_truth": found.kernel[i, j], "standard_error": found.sampling_error[i, j],
         "weight": found.weight[i, j], "true_weight": np.full(len(POINTS), found.true_weight[i])},
        [(r"\omega", (f"draw {DRAWS}", f"feature {here.features}", config.d_head), "residual"), ("q", (config.d_head,), "query"),
         ("K", (f"key {n}", config.d_head), "key")],
        rf"\frac{{\text{{mean}}}}{{e^{{q\cdot k/\sqrt{{d_k}}}}}} = {found.kernel[i, j, -1]:.3f} \pm "
        rf"{found.sampling_error[i, j, -1]:.3f} \qquad \text{{mean weight }} {found.weight[i, j, -1]:.4f} \pm {found.weight_error[i, j, -1]:.4f}"
        rf"\text{{, truth }} {found.true_weight[i]:.4f}\text{{: }} {off:+.0f} \text{{ standard errors}}",
    )  # fmt: skip


def show_state(picture: DeltaGenerator, controls: DeltaGenerator, layer: Box, head: Box) -> Shown:
    d = config.d_head
    with controls:
        st.metric("Numbers in the state, a head", f"{d * (d + 1):,}")
        st.metric("As many as a KV cache of", f"{d * (d + 1) / (2 * d):.1f} tokens")
        st.caption("φ(x) = elu(x) + 1 on this head's real q, k and v. The head was trained for the softmax, so what "
                   "the state reads is not what the model computes: that the two forms agree is what is shown."
                   + (" The words are read from left to right, as a decoder would." if config.kind == "encoder" else ""))  # fmt: skip
    cells.know({"added": (d, d), "S": (d, d), "z": (d, 1), "φ(q)": (1, d), "read": (1, d), "out": (2, d)})
    here = stand()
    shown, epoch = held.to_send(place, here)

    def message(layer: int, head: int) -> bytes:
        found = numbers.states(subject(layer, head), head_at(layer, head))
        return charts.states_message(
            found.phi_Q, found.phi_K, found.V, found.S, found.z, found.read, found.out, found.pairs,
            Choice("Token", names, shown.token), at=shown.cell, epoch=epoch)  # fmt: skip

    mount(picture, matrices.mount, ahead(message, layer, head))
    found = numbers.states(subject(layer.at, head.at), head_at(layer.at, head.at))
    t = names.index(here.token)
    gap = np.abs(found.out - found.pairs).max()
    return Shown(
        {"token": names, "difference": np.abs(found.out - found.pairs).max(-1),
         "norm_of_S": np.linalg.norm(found.S, axis=(1, 2))},
        [(r"\phi(k)", (d,), "key"), ("v", (d,), "value"), ("S", (d, d), "value"), ("z", (d,), "key"),
         ("o", (d,), "output")],
        rf"t = {t}: \quad \phi(\query q)\cdot z = {(found.phi_Q[t] * found.z[t]).sum():.4g} \qquad \output{{o_0}} = "
        rf"{found.out[t, 0]:.5f} = {found.pairs[t, 0]:.5f} \qquad \max_t |\dots| = {gap:.0e}",
    )  # fmt: skip


def show_cost(picture: DeltaGenerator, controls: DeltaGenerator, layer: Box, head: Box) -> Shown:
    found = numbers.cost_by_length(config, LOG_N, COST_FEATURES, COST_RANK)
    here = stand()
    frame = COST_FEATURES.index(here.features)
    with controls:
        for label, costs in (("elu + 1", found["elu"]), ("Performer", found["performer"][frame])):
            st.metric(f"{label}: cheaper from n =", f"{costs[0] / (found['full'][0] / 2 ** LOG_N[0]):,.0f}")
        st.caption("Multiplications and additions of `transformer.cost`, one layer's heads, one token after n − 1 "
                   "others (Linformer, which has no next token, the nth part of the whole). "
                   f"{reading.title} has {config.n_heads} heads of {config.d_head}.")  # fmt: skip
    shown, epoch = held.to_send(place, here)
    mount(picture, curves.mount, charts.cost_message(
        LOG_N, found, Choice("Features m", COST_FEATURES, shown.features), COST_RANK, here=len(reading.ids),
        cursor=shown.cursor, heads=f"{config.n_heads} heads of {config.d_head}", epoch=epoch))  # fmt: skip
    at = LOG_N.index(int(here.cursor))
    return Shown(
        {"n": [2**e for e in LOG_N], "all_pairs": found["full"], "elu": found["elu"],
         "performer": found["performer"][frame], "linformer": found["linformer"]},
        [("S", ("feature m", config.d_head), "value"), ("z", ("feature m",), "key")],
        rf"\begin{{gathered}}n = {2 ** int(here.cursor):,}: \quad \text{{all pairs }} {found['full'][at]:,.0f}\\"
        rf"\text{{elu }} {found['elu'][at]:,.0f} \quad \text{{Performer }} {found['performer'][frame][at]:,.0f}"
        r"\end{gathered}".replace(",", "{,}"),
    )  # fmt: skip


SHOW = {WEIGHTS: show_weights, FEATURES: show_features, RANK: show_rank, MEAN: show_mean, STATE: show_state,
        COST: show_cost}
CODE = [approximation.performer, approximation.log_estimates, kernels.log_random_features, kernels.random_rows,
        approximation.linear, approximation.recurrence, approximation.squeezed, approximation.best_ranks]  # fmt: skip


def subject(layer: int, head: int) -> tuple:
    return reading.model, reading.label, reading.text, layer, head, n


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    picture, controls = lesson.stage(0.26)
    layer, head = choose_head(controls)
    shown = SHOW[view](picture, controls, layer, head)
    if n < len(reading.ids):
        controls.caption(f"The first {n} of {len(reading.ids)} tokens.")
    formula = r"\begin{gathered}" + r"\\[.6em]".join(say.FORMULAS[view]) + r"\end{gathered}"
    lesson.formula(formula, shown.shapes, shown.numbers)
    at = {"model": reading.model, "text": reading.text, "layer": layer.at, "head": head.at, "most": n,
          "length": length_in_link(HALF if view == MEAN else LENGTH), "seed": st.session_state.get("seed", 0)}  # fmt: skip
    with code_place:
        lesson.code(CODE, say.SNIPPET.format_map({name: repr(value) for name, value in at.items()}))
    lesson.downloads(table=shown.table, config=at | {"view": view})


lesson = Lesson("B7")
lesson.header()
text = lesson.text(PRONOUN, EXAMPLES)
reading = lesson.read(text, record=("layers.*.attention.[QKV]",))
view = lesson.view(VIEWS)
place = "matrices" if view in (WEIGHTS, STATE) else "curves"  # what draws it, by its key
there = (reading.model, reading.text) == ("smollm2-135m", PRONOUN)
lesson.look(say.LOOK_FOR[view] + (say.TWICE_AS_LONG if there and view == WEIGHTS else ""))
config = reading.config
n = min(len(reading.ids), STATE_WORDS if view == STATE else MOST_WORDS)
names = [f"{i} {piece.strip() or '␣'}" for i, piece in enumerate(reading.pieces[:n])]
cells.belong_to(view, reading.model, reading.text)
stage, words, code_place, more = (st.container() for _ in range(4))
with stage:
    draw(code_place)
with words:
    lesson.prose(say.WHAT, say.WHY.format(trained=numbers.trained()), say.CATCH)
    layer, head = TELLING.get(reading.model, (0, 0))
    layer = layer if f"layers.{layer}.attention.Q" in reading.arrays else int(next(iter(reading.arrays)).split(".")[1])
    whole = approximation.log_relative_variance(*numbers.head_of(reading, layer, head, n)[:2]).median().item()
    lesson.predict(**say.PREDICT, reveal=say.REVEAL.format(layer=layer, head=head, whole=whole, quarter=whole / 4,
                                                           power=0.75 * whole / np.log(10)))  # fmt: skip
with more:
    lesson.interview(say.INTERVIEW)
    lesson.sources(say.SOURCES)
