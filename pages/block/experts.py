"""Mixture of experts: a router, a few networks a token, and the loss that keeps the others from starving."""

import functools
import math
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts import curves, experts as charts, matrices
from charts.ahead import Box, ahead
from charts.experts import Runs
from pages.block import experts_numbers as numbers, experts_words as words
from pages.block.experts_numbers import CAPACITIES, KS, MANY, TITLES
from pages.block.experts_words import BALANCE, ROUTES, SIZES, TRAIN, VIEWS
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from transformer import cost
from transformer.experiments import routing
from transformer.experts import MixtureOfExperts, balance_loss, balance_parts, limited, top_gates
from transformer.presets import TEXT_MODELS
from transformer.training import experts as made

TEXT = "Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day"
EXAMPLES = {
    "the same word": "the king and the queen and the fool and the end",
    "a comedy": "All the world's a stage, and all the men and women merely players",
    "not a play": "for i in range(10): print(i) # the loop",
}
CAPACITY, BASE = "all that come", "smollm2-135m"
LAYER = 2  # the last, where the experts are easiest to tell apart
REPORTS = made.LIVE_STEPS // made.LIVE_EVERY
KS_LIVE, ALPHAS = list(made.LIVE_KS), [alpha for alpha in made.LIVE_ALPHAS if alpha]


class Stand(NamedTuple):
    """Where the picture of the routes stands, by the link."""

    ids: tuple[int, ...]
    pick: str
    layer: int
    capacity: str
    token: int


def telling() -> int:
    """A token late in the text, whose twin came before it."""
    return next((i for i in range(len(ids) - 1, 0, -1) if ids[i] in ids[:i]), len(ids) - 1)


def layer_in_link() -> int:
    return url.url_state("layer", LAYER, int, lambda i: 0 <= i < config.n_layers)


def model_in_link() -> str:
    return url.url_state("trained", TITLES["balanced"], str, list(TITLES.values()).__contains__)


def stand() -> Stand:
    capacity = url.url_state("capacity", CAPACITY, str, CAPACITIES.__contains__)
    token = url.url_state("token", telling(), int, lambda i: 0 <= i < made_most)
    return Stand(ids, model_in_link(), layer_in_link(), capacity, min(token, len(ids) - 1))


def keep_routes() -> None:
    if (said := held.said("routing", "stand")) is None:
        return
    keep_model(said)
    if said.get("capacity") in CAPACITIES:
        url.set_url_state("capacity", said["capacity"], CAPACITY)
    if isinstance(layer := said.get("layer"), int):
        url.set_url_state("layer", layer, LAYER)
    if isinstance(token := said.get("token"), int):
        url.set_url_state("token", token, telling())
    held.reported("routing", stand())


def keep_model(said: dict) -> None:
    if said.get("pick") in TITLES.values():
        url.set_url_state("trained", said["pick"], TITLES["balanced"])


def keep_balance() -> None:
    if (said := held.said("balance", "stand")) is None:
        return
    keep_model(said)
    if str(said.get("frame", "")).isdigit():
        url.set_url_state("layer", int(said["frame"]), LAYER)
    held.reported("balance", (ids, model_in_link(), layer_in_link()))


def keep_cursor(component: str, key: str, default: float) -> None:
    """A curve's cursor into the link."""
    said = held.said(component, "stand")
    if said is not None and isinstance(at := said.get("cursor"), int | float):
        url.set_url_state(key, int(at), int(default))
        if key == "experts" and said.get("frame") in KS:
            url.set_url_state("k", said["frame"], 2)
        held.reported(component, cursor_of(component, key, default))


def cursor_of(component: str, key: str, default: float) -> tuple:
    """What a curve stands at: its cursor, and k where it has one."""
    at = url.url_state(key, int(default), int, lambda x: 0 <= x <= 10_000)
    k = url.url_state("k", 2, int, KS.__contains__) if key == "experts" else 0
    return (component, at, k)


def variant_of(title: str) -> str:
    return next(variant for variant, shown in TITLES.items() if shown == title)


def show_routes(code_place: DeltaGenerator) -> None:
    read = numbers.Read(*numbers.reading(ids))
    here = stand()
    shown, epoch = held.to_send("routing", here)
    with st.container(key="gf-picture"):
        charts.mount_routing(key="routing", on_stand_change=keep_routes, data=charts.routing(
            pieces, list(TITLES.values()), config.experts_per_token, list(CAPACITIES), numbers.room(len(ids)), *read,
            numbers.favourites(),
            pick=shown.pick, layer=shown.layer, capacity=shown.capacity, token=shown.token, epoch=epoch))  # fmt: skip
        names, share, half = numbers.told()
        matrices.mount(key="told", data=charts.told(config.n_layers, share, half, names))
    tokens = numbers.runs()["variants"]["balanced"][0]["tokens"]
    st.caption(f"What tells a token's first expert, measured on {tokens:,} tokens of two plays that were held out "
               f"({', '.join(made.HELD_OUT)}), over {len(made.SEEDS)} seeds: mutual information over the entropy of "
               "the choice, less what a shuffled feature tells by chance. Grey under each expert: the pieces of "
               "these plays that mostly go to it.")  # fmt: skip
    c, m = list(CAPACITIES).index(here.capacity), list(TITLES.values()).index(here.pick)
    at = c, m, here.layer, here.token
    chosen = np.flatnonzero(read.wanted[at] > 0)
    chosen = chosen[np.argsort(-read.wanted[at][chosen])]
    total = float(read.p[at][chosen].sum())
    lines = r"\\".join(rf"g_{{{charts.LETTERS[e]}}} = \frac{{{read.p[at][e]:.4f}}}{{{total:.4f}}} = "
                       rf"\attention{{{read.wanted[at][e]:.4f}}}" for e in chosen)
    n, d, E = len(ids), config.d_model, config.experts
    around(
        [("x", (f"token {n}", f"model {d}"), "residual"), ("W_r", (d, f"expert {E}"), "output"),
        ("p", (f"token {n}", f"expert {E}"), "scores"),
         ("g", (f"token {n}", f"expert {E}"), "attention"), ("W_1, W_g", (f"expert {E}", d, config.d_ff), "ffn"),
         ("W_2", (f"expert {E}", config.d_ff, d), "ffn")],
        rf"\begin{{gathered}}{lines}\end{{gathered}}", here, code_place,
        [MixtureOfExperts.forward, top_gates, limited, routing.read],
        {"token": [i for i in range(n) for _ in range(E)], "piece": [piece for piece in pieces for _ in range(E)],
        "expert": list(charts.LETTERS[:E]) * n,
         "p": read.p[c, m, here.layer].flatten(), "gate": read.gates[c, m, here.layer].flatten()},
    )  # fmt: skip


def show_balance(code_place: DeltaGenerator) -> None:
    f, mean_p, losses = numbers.balance(ids)
    here = stand()
    (_, pick, layer), epoch = held.to_send("balance", (ids, here.pick, here.layer))
    with st.container(key="gf-picture"):
        matrices.mount(key="balance", on_stand_change=keep_balance, data=charts.auxiliary(
            f, mean_p, losses, config.experts_per_token, pick, str(layer),
            (f"t {pick}", 0, int(f[pick][layer].argmax())), epoch=epoch))  # fmt: skip
        curves.mount(key="load", data=charts.ranks(numbers.loads(), LAYER))
    st.caption(f"Above, your text; a short one is never even: {len(ids)} tokens ask "
               f"{len(ids) * config.experts_per_token} times. Below, held-out plays, {len(made.SEEDS)} seeds each: "
               "balanced layer by layer, balanced over the routers of all layers counted together, and not at all.")  # fmt: skip
    one_f, one_p, L = f[here.pick][here.layer], mean_p[here.pick][here.layer], losses[here.pick][here.layer]
    sums = " + ".join(rf"{a:.2f} \cdot {b:.3f}" for a, b in zip(one_f[:3], one_p[:3], strict=True))
    around(
        [("f", (f"expert {config.experts}",), "ffn"), (r"\bar p", (f"expert {config.experts}",), "scores")],
        rf"L_{{\text{{bal}}}} = {config.experts}\,({sums} + \dots) = \attention{{{L:.4f}}} \quad (\text{{even: }} "
        rf"{config.experts_per_token})",
        here, code_place, [balance_parts, balance_loss],
        {"expert": list(charts.LETTERS[: config.experts]), "f": one_f, "mean p": one_p},
    )  # fmt: skip


def titled(k: int, alpha: float) -> tuple[dict[tuple[int, float], str], dict[str, Runs]]:
    """What is compared, by its title; and as it was recorded."""
    titles = {(k, 0.0): "without balancing", (k, alpha): f"α = {alpha}", (0, 0.0): "dense, same active as k = 2"}
    return titles, {title: numbers.recorded_runs(*key) for key, title in titles.items()}


def draw_training(code_place: DeltaGenerator) -> None:
    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        k = choose("Experts that read a token", KS_LIVE, made.K, "live_k")
        alpha = choose("α of the balance loss", ALPHAS, ALPHAS[-1], "alpha")
        works = {(k, a, seed): functools.partial(made.live, k, a, seed) for a in (0.0, alpha) for seed in made.SEEDS}
        live.panel(f"Train {len(works)} small mixtures · about 20 s", works, REPORTS, unit="measurement")
    titles, recorded = titled(k, alpha)
    steps = np.arange(1, REPORTS + 1) * float(made.LIVE_EVERY)
    live_at, epoch = held.to_send("live", cursor_of("live", "step", steps[-1]))

    def message(k: int, alpha: float) -> bytes:
        titles, recorded = titled(k, alpha)
        mine = {title: [job.reports for seed in made.SEEDS if (job := live.run((*key, seed))) is not None]
                for key, title in titles.items()}  # fmt: skip
        return charts.training(
            steps, recorded, {title: numbers.as_runs(reports) for title, reports in mine.items() if reports},
            "nats a character", min(max(live_at[1], steps[0]), steps[-1]), "experts-live", epoch=epoch,
        )  # fmt: skip

    with st.container(key="gf-picture"):
        curves.mount(key="live", on_stand_change=lambda: keep_cursor("live", "step", steps[-1]),
                     data=ahead(message, Box("live_k", KS_LIVE, k), Box("alpha", ALPHAS, alpha)))
        ends = {a: recorded[titles[k, a]].unseen[:, -1].mean() for a in (alpha, 0.0)}
        price = ends[alpha] - ends[0.0]
        st.caption(f"Recorded, {len(made.SEEDS)} seeds, and yours over it: one play in characters, {made.EXPERTS} "
                   f"experts in each of {made.LIVE_BASE['n_layers']} layers, {made.LIVE_STEPS} steps; "
                   "`transformer.training.experts.live` makes both. With k = 1 the gate is always 1: the language "
                   "loss never reaches the router, and without balancing it stays as it was drawn. In so few steps "
                   f"evenness has a price: α = {alpha} ends {price:+.2f} nats against no balancing; below, after many "
                   "more, the difference is within the seeds.")  # fmt: skip
        at, runs = numbers.shipped()
        shipped_at, pressed = held.to_send("shipped", cursor_of("shipped", "at", at[-1]))
        curves.mount(key="shipped", on_stand_change=lambda: keep_cursor("shipped", "at", at[-1]), data=charts.training(
            at, runs, {}, "nats a token", min(max(shipped_at[1], at[0]), at[-1]), "experts-plays",
            epoch=pressed))  # fmt: skip
        shared = numbers.runs()["made"]
        st.caption(f"The models of this page, recorded: {shared['data']}, {shared['steps']:,} steps of "
                   f"{shared['tokens_a_step']} tokens, {len(shared['seeds'])} seeds, `{shared['command']}`, "
                   f"{shared['date']}. Held out: {', '.join(shared['held_out'])}.")  # fmt: skip
    last = {title: runs.unseen[:, -1] for title, runs in recorded.items()}
    around([], r"\begin{gathered}" + r"\\".join(rf"\text{{{title}:}}\\ {of.mean():.3f}\ "
                                                rf"({of.min():.3f}\dots{of.max():.3f})" for title, of in last.items())
                                                + r"\end{gathered}",
           stand(), code_place, [made.with_balance, made.follow, made.live],
           {"step": steps} | {f"{title}, seed {seed}": runs.unseen[i] for title, runs in recorded.items() for i,
           seed in enumerate(made.SEEDS)})  # fmt: skip


def show_sizes(code_place: DeltaGenerator) -> None:
    with st.container(horizontal=True, key="gf-controls", vertical_alignment="bottom"):
        bases = list(TEXT_MODELS)
        base = choose("A dense model whose FFN becomes E experts", bases, BASE, "base")
    (_, at, k), epoch = held.to_send("sizes", cursor_of("sizes", "experts", 8))

    def message(one: str) -> bytes:
        size = numbers.size_of(one)
        return charts.sizes(size.experts.astype(float), size.total, size.active, size.flops, KS, k,
                            min(max(at, 1), int(MANY[-1])), epoch=epoch)  # fmt: skip

    size = numbers.size_of(base)
    with st.container(key="gf-picture"):
        curves.mount(key="sizes", on_stand_change=lambda: keep_cursor("sizes", "experts", 8),
                     data=ahead(message, Box("base", bases, base)))
        rows = numbers.known()
        lines = ["| experts a token | in memory | 16 bits | active | FLOPs |", "|---|--:|--:|--:|--:|"]
        lines += [f"| {r['model']}: {r['experts']} | {r['total']} | {r['memory']} | {r['active']}, {r['share']} | "
                  f"{r['flops']} |" for r in rows]
        st.markdown("\n".join(lines))
        st.caption("Counted from their configurations by `transformer.cost`; the totals equal Hugging Face's to the "
                   "last parameter. FLOPs of one token that reads itself alone, without a context.")  # fmt: skip
    _, E, now = cursor_of("sizes", "experts", 8)
    i = KS.index(now)
    here = int(np.clip(E, 1, MANY[-1])) - 1
    active = size.active[i, here]
    shown = "-" if math.isnan(active) else f"{active:.3f}"
    around([("W_1, W_g, W_2", ("expert E", f"ff {TEXT_MODELS[base].d_ff}", f"model {TEXT_MODELS[base].d_model}"),
        "ffn")],
           rf"\text{{{base}}},\ E = {here + 1},\ k = {now}:\quad {size.total[here]:.3f}\,\text{{B in memory}},\quad "
           rf"{shown}\,\text{{B active}}",
           stand(), code_place, [cost.parameters], {"experts": size.experts, "total, B": size.total}
           | {f"active, B, k = {one}": size.active[j] for j, one in enumerate(KS)})  # fmt: skip


def around(shapes: list, filled: str, here: Stand, code_place: DeltaGenerator, functions: list, table: dict) -> None:
    """What stands around every picture."""
    lesson.formula(words.FORMULA[view], shapes, filled)
    variant = variant_of(here.pick)
    setting = {"model": "experts" if variant == "balanced" else "assets/experts/free", "text": text_read,
        "layer": here.layer, "token": here.token,
               "capacity": CAPACITIES[here.capacity]}  # fmt: skip
    with code_place:
        lesson.code(functions, words.SNIPPET.format(**setting))
    lesson.downloads(table=table, config=setting | {"view": view})


SHOW = {ROUTES: show_routes, BALANCE: show_balance, SIZES: show_sizes}


@st.fragment
def draw(code_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change."""
    with st.container(key="gf-stage"):
        SHOW[view](code_place)


def watched(code_place: DeltaGenerator) -> None:
    with st.container(key="gf-stage"):
        draw_training(code_place)


made_most = numbers.MOST
lesson, live = Lesson("D6"), Training("D6")
lesson.header(words.LOOK_FOR)
lesson.show_model("Small mixture, trained by us", "tiny")
text = lesson.text(TEXT, EXAMPLES)
try:
    found, pieces = numbers.tokens_of(text)
    st.session_state["_last_D6"] = text
except ValueError as problem:
    st.warning(str(problem), icon=":material/info:")
    found, pieces = numbers.tokens_of(st.session_state.get("_last_D6", TEXT))
text_read = st.session_state.get("_last_D6", TEXT)
ids, config = tuple(found), numbers.config()
view = lesson.view(VIEWS)
stage, after, code_place, more = (st.container() for _ in range(4))
with stage:
    if view == TRAIN:
        live.watch(watched)(code_place)
    else:
        draw(code_place)
with after:
    names, share, _ = numbers.told()
    told = dict(zip(names, share[TITLES["balanced"]].mean(1).tolist(), strict=True))  # mean over layers
    lesson.prose(**words.prose(
        {variant: numbers.held_out(variant) for variant in ("balanced", "free", "dense", "wide")},
        {variant: numbers.crowded(variant) for variant in ("balanced", "joint", "free")}, told["token"], told["place"],
        told["play"], config.experts, config.experts_per_token,
        sum(cost.parameters(config).values()), sum(cost.parameters(config, active=True).values()),
        numbers.runs()["made"]["steps"], len(made.SEEDS)))  # fmt: skip
    own = tuple(numbers.tokens_of(TEXT)[0])
    read, c = numbers.Read(*numbers.reading(own)), list(CAPACITIES).index("1")
    asked = len(own) * config.experts_per_token
    lost = [asked - int((read.gates[c, m, LAYER] > 0).sum()) for m in range(len(TITLES))]
    lesson.predict(**words.predict(lost[0], asked, numbers.room(len(own))[c], LAYER, float(read.loss[0, 0]),
                                   float(read.loss[c, 0]), lost[1]))  # fmt: skip
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
