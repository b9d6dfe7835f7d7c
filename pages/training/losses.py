"""F1, Losses: their curves and gradients, a rare digit learned with each, who pulls at the weights, wrong labels, smoothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import curves
from charts import losses as charts
from charts.curves import Choice, Picks
from pages.shared import held, url
from pages.shared.controls import choose
from pages.shared.lesson import Lesson
from pages.shared.training import Training
from pages.training import losses_formula as formula, losses_numbers as numbers, losses_words as words
from pages.training.losses_numbers import METRICS, SETTINGS, SMOOTH_STEPS, STEPS, TITLES
from pages.training.losses_stand import ALPHAS, DRAWN, EPSILONS, GAMMAS, HELD, NOISES, STEP, P, Slider
from pages.training.losses_words import CURVES, NOISE, PULLS, RARE, SMOOTH, TABLE, VIEWS
from transformer import losses
from transformer.experiments import loss_curves, pulls
from transformer.training import imbalanced as im, objectives, smoothing, verdicts

ROLES = dict(zip(TITLES.values(), ("ink", "value", "query", "attention", "positive"), strict=True))
SMOOTH_ROLES = dict(zip(map(numbers.of_epsilon, smoothing.EPSILONS), ("ink", "value", "positive"), strict=True))
NAMES = {title: name for name, title in TITLES.items()}
GROUPS = [("positives", "positive", 0.9), ("hard negatives", "negative", 0.9), ("easy negatives", "negative", 0.35),
          ("flipped labels", "ffn", 0.9)]  # fmt: skip
NEW_SEED = im.SEEDS[-1] + 1  # of the learner's runs: a draw that is not recorded
SMOOTH_SEED = max(seed for seeds in smoothing.SEEDS.values() for seed in seeds) + 1


class Stand(NamedTuple):
    """Where the picture stands, by the link."""

    view: str
    cursor: float
    frames: tuple
    pick: str


class Shown(NamedTuple):
    """What a picture leaves for the parts around it."""

    table: Mapping
    numbers: str
    snippet: Mapping
    prose: Mapping


def stand() -> Stand:
    kept = HELD[view]

    def at(slider: Slider) -> object:
        return url.url_state(slider.name, slider.usual, type(slider.values[-1]), slider.values.__contains__)

    return Stand(view, at(kept.cursor), tuple(map(at, kept.sliders)), at(kept.pick))


def keep(component: str) -> None:
    """What the learner left in the picture, into the link."""
    if (said := held.said(component, "stand")) is None:
        return
    kept = HELD[view]
    given = [(kept.cursor, _nearest(kept.cursor, said.get("cursor"))), (kept.pick, said.get("pick")),
             *zip(kept.sliders, said.get("frames") or (), strict=False)]  # fmt: skip
    for slider, value in given:
        if value in slider.values:
            url.set_url_state(slider.name, value, slider.usual)
    held.reported(component, stand())


def _nearest(slider: Slider, value: object) -> object:
    """A point of x went out as float32, and comes back so."""
    return min(slider.values, key=lambda one: abs(one - value)) if isinstance(value, int | float) else None


def place(component: str) -> tuple[Stand, tuple[Choice, ...], Picks, int]:
    """Where the link says that the picture stands, what is to be sent of it, and with which epoch."""
    shown, epoch = held.to_send(component, stand())
    kept = HELD[view]
    choices = tuple(slider.choice(at) for slider, at in zip(kept.sliders, shown.frames, strict=True))
    return shown, choices, Picks(kept.pick.title, list(kept.pick.values), shown.pick), epoch


@st.cache_data(show_spinner=False)
def drawn() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """title -> loss and ∂L/∂z_t [γ, α, ε, point], and how many easy examples one hard one weighs [γ, α, ε, 1]: NaN where the
    easy ones do not raise the right logit, too."""
    p = torch.from_numpy(P)
    found = {
        "cross-entropy": [[[loss_curves.cross_entropy(p)]]],
        "label smoothing": [[[loss_curves.smoothed(p, epsilon) for epsilon in EPSILONS]]],
        "class-weighted": [[[loss_curves.weighted(p, alpha)] for alpha in ALPHAS]],
        "focal": [[[loss_curves.focal(p, gamma, alpha)] for alpha in ALPHAS] for gamma in GAMMAS],
    }
    both = {title: np.array([[[[part.numpy() for part in pair] for pair in row] for row in rows] for rows in of])
            for title, of in found.items()}  # [γ, α, ε, 2, point]  # fmt: skip
    loss, slope = ({title: of[..., i, :] for title, of in both.items()} for i in (0, 1))
    slope = {title: np.where(np.abs(of) < 1e-15, 0, of) for title, of in slope.items()}  # p_t = q_t but for a last bit
    hard, easy = ({title: of[..., [int(np.abs(P - at).argmin())]] for title, of in slope.items()} for at in (charts.HARD, charts.EASY))
    counts = {title: np.divide(hard[title], easy[title], out=np.full_like(easy[title], np.nan), where=easy[title] < 0)
              for title in slope}  # fmt: skip
    return loss, slope, counts


def show_curves(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption("One example of two classes, by autograd through `transformer/losses.py`. p = softmax(z); p_t is what it gives to the right "
                   "class t, whose weight is α_t; q is what smoothing aims at; [c = t] is 1 for the right class, else 0. Focal with γ = 0 is "
                   "the class-weighted loss, and that with α = 1 cross-entropy.")  # fmt: skip
    shown, sliders, picks, epoch = place("curves")
    loss, slope, counts = drawn()
    with picture:
        curves.mount(key="curves", on_stand_change=lambda: keep("curves"), data=charts.shapes(
            P, loss, slope, counts, ROLES, {"class-weighted": (7, 5)}, sliders=sliders, picks=picks, cursor=shown.cursor, epoch=epoch))  # fmt: skip
    here = stand()
    gamma, alpha, epsilon = here.frames
    at = [values.index(x) for values, x in zip((GAMMAS, ALPHAS, EPSILONS), here.frames, strict=True)]

    def now(of: np.ndarray) -> np.ndarray:
        return of[tuple(min(i, n - 1) for i, n in zip(at, of.shape, strict=False))]

    p = here.cursor
    i = int(np.abs(P - p).argmin())
    hard, easy = (int(np.abs(P - x).argmin()) for x in (charts.HARD, charts.EASY))
    ends = torch.tensor(P[[hard, easy]])
    usual, plain = (push.abs().tolist() for _, push in (loss_curves.focal(ends, 2.0), loss_curves.cross_entropy(ends)))  # γ = 2, α = 1
    table = {"p_t": P} | {f"{title} {what}": now(of[title]) for title in DRAWN for what, of in (("loss", loss), ("gradient", slope))}
    return Shown(
        table,
        formula.lines(rf"\text{{focal, }} p_t = {p:g}: \quad L = {now(loss['focal'])[i]:.4g}",
              rf"\tfrac{{\partial L}}{{\partial z_t}} = {alpha:g}\cdot {1 - p:.2g}^{{{gamma:g}}}\,({gamma:g} \cdot {p:g} \log {p:g} + {p:g} - 1) = "
              rf"{now(slope['focal'])[i]:.4g}",
              rf"\text{{smoothing: }} {p:g} - {1 - epsilon / 2:g} = {now(slope['label smoothing'])[i]:.3g}"),
        {"p": p, "gamma": gamma, "alpha": alpha, "eps": epsilon},
        {"ce": f"{plain[0] / plain[1]:.0f}", "focal": f"{usual[0] / usual[1]:.0f}",
         "fades": f"{plain[1] / usual[1]:.0f}", "hard_focal": f"{usual[0]:.2f}", "hard_ce": f"{plain[0]:.2f}"},
    )  # fmt: skip


def metric_of(report: im.Report) -> list[float]:
    return [getattr(report.verdict, field) for field in METRICS]


def own_runs(settings: Sequence[tuple[int, float]], works: Callable[[int, float], dict]) -> dict[str, list[np.ndarray]]:
    """title -> the learner's runs so far [setting, metric, report], each with NaN for the settings that it is not of."""
    found: dict[str, list[np.ndarray]] = {}
    for at, setting in enumerate(settings):
        for key in works(*setting):
            if (job := live.run(key)) is None or not job.reports:
                continue
            one = np.full((len(settings), len(METRICS), len(STEPS)), np.nan, np.float32)
            one[at, :, : len(job.reports)] = np.array([metric_of(report) for report in job.reports]).T
            found.setdefault(TITLES[key[0]], []).append(one)
    return found


def works(ratio: int, noise: float) -> dict:
    return {(name, ratio, noise): functools.partial(im.train, name, ratio, NEW_SEED, noise) for name in im.NAMES}


def show_runs(settings: Sequence[tuple[int, float]], group: str, lower: str, controls: DeltaGenerator, picture: DeltaGenerator,
              setting: tuple[int, float], sentence: str) -> Mapping:  # fmt: skip
    """Both pictures of the rare digit: by ratio, and by noise."""
    seconds = numbers.recorded()["made"]["core seconds of a run"]["imbalanced"]
    with controls:
        ratio, noise = setting
        problem = f"1:{ratio}" + (f", {100 * noise:g} % flipped" if noise else "")
        live.panel(f"Train all five losses at {problem} · about {len(im.NAMES) * seconds:.0f} s", works(*setting), len(STEPS),
                   "measurement")  # fmt: skip
        st.caption(f"A Vision Transformer of 2 layers on 4 patches, {im.STEPS} steps of {im.BATCH} digits. Bands: recorded, trained by us, "
                   f"{len(im.SEEDS)} seeds from the lowest to the highest; line and table: the middle one of each number (so F1 is not that "
                   f"of the two beside it). Yours lie over them, dashed: seed {NEW_SEED}, not among those recorded. Smoothing ε = "
                   f"{im.SMOOTHING:g}, focal γ = {im.GAMMA:g}. Calib. error: how far p is from how often it comes true.")  # fmt: skip
    shown, sliders, picks, epoch = place("curves")
    values, pulled = numbers.metrics(settings), numbers.shares(settings, group)
    columns = {"AP": "average_precision", "F1": "f1", "recall": "recall", "precision": "precision", "accuracy": "accuracy",
               "calib. error": "calibration"}  # fmt: skip
    table = {f"{head}%": {title: np.median(of[:, :, [list(METRICS).index(field)]], 0) for title, of in values.items()}
             for head, field in columns.items()}  # fmt: skip
    with picture:
        curves.mount(key="curves", on_stand_change=lambda: keep("curves"), data=charts.runs(
            "imbalanced", STEPS, ROLES, [([f"Held out: {title}" for title in METRICS.values()], "", True, values),
                                         ([lower], "", True, pulled)],
            own_runs(settings, works), table, frames=sliders, picks=picks, cursor=shown.cursor, sentence=sentence, epoch=epoch))  # fmt: skip
    at = list(settings).index(setting)
    return {"step": STEPS} | {f"{title} {metric} seed {seed}": of[s, at, m] for title, of in values.items()
                              for m, metric in enumerate(METRICS.values()) for s, seed in enumerate(im.SEEDS)}  # fmt: skip


def show_rare(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand()
    ratio = here.frames[0]
    table = show_runs([(one, 0.0) for one in im.RATIOS], "easy negatives", "Easy negatives' share of the gradients' lengths",
                      controls, picture, (ratio, 0.0),
                      "step {x}, {pick}, middle of the seeds: average precision {0%}, recall {2%}, precision {3%}, accuracy {4%}")  # fmt: skip
    name = NAMES[here.pick]
    found = {field: numbers.column(name, ratio, 0.0, field)[0, list(STEPS).index(here.cursor)] for field in METRICS}
    precision, recall = found["precision"], found["recall"]
    F1 = rf"\tfrac{{2 \cdot {precision:.3f} \cdot {recall:.3f}}}{{{precision:.3f} + {recall:.3f}}} = {found['f1']:.3f}" if recall \
        else r"0\text{ (no 8 is found)}"
    return Shown(
        table,
        formula.lines(rf"\text{{seed 0: }} F_1 = {F1}", *formula.weights(ratio)),
        {"name": name, "ratio": ratio}, {"found": numbers.rare(ratio)},
    )  # fmt: skip


def show_noise(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand()
    noise = NOISES[here.frames[0]]
    table = show_runs([(im.NOISY_RATIO, one) for one in im.NOISES], "flipped labels", "Wrong labels' share of the gradients' lengths",
                      controls, picture, (im.NOISY_RATIO, noise),
                      "step {x}, {pick}, middle of the seeds: average precision {0%}, F1 {1%}, recall {2%}, precision {3%}")  # fmt: skip
    found = im.problem(im.NOISY_RATIO, noise)
    wrong, false = int((found.label != found.y).sum()), int(((found.label == 1) & (found.y == 0)).sum())
    return Shown(
        table,
        formula.lines(rf"\eta = {noise:g}:\quad {wrong}\text{{ of }}{len(found.y)}\text{{ labels are flipped (seed 0)}}",
              rf"{false}\text{{ of the }}{int(found.label.sum())}\text{{ called 8 are none}}"),
        {"name": NAMES[here.pick], "ratio": im.NOISY_RATIO, "noise": noise}, {"found": numbers.noisy(noise), "ratio": im.NOISY_RATIO},
    )  # fmt: skip


@st.cache_data(show_spinner=False)
def pulling() -> dict[str, np.ndarray]:
    return numbers.pulls()[0]


def show_pulls(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        st.caption("Recorded, trained by us. Hover a piece of a bar or a digit; a click chooses the loss. ✗: its label was flipped.")
    shown, (problem,), picks, epoch = place("carriers")
    found = pulling()
    with picture:
        charts.mount_carriers(key="carriers", on_stand_change=lambda: keep("carriers"), data=charts.carriers(
            list(TITLES.values()), GROUPS, called=("not 8", "8"), settings=problem, steps=STEP.choice(shown.cursor), pick=shown.pick,
            epoch=epoch, **found))  # fmt: skip
    here = stand()
    at, step, loss = list(SETTINGS).index(here.frames[0]), list(STEPS).index(here.cursor), list(TITLES.values()).index(here.pick)
    ratio, noise = SETTINGS[here.frames[0]]
    shares, counts = found["shares"][at, step, loss], found["counts"][at]
    table = {"loss": list(TITLES.values())} | {group: found["shares"][at, step, :, g] for g, (group, *_) in enumerate(GROUPS)}
    return Shown(
        table,
        formula.lines(*(rf"\text{{{group}: }}{100 * counts[g] / counts.sum():.1f}\,\%\text{{ of the examples, }}{100 * shares[g]:.1f}\,\%"
                rf"\text{{ of the lengths}}" for g, (group, *_) in enumerate(GROUPS) if counts[g])),
        {"name": NAMES[here.pick], "ratio": ratio, "noise": noise, "step": int(here.cursor)},
        {"seeds": len(im.SEEDS), "found": numbers.pulled((ratio, noise))},
    )  # fmt: skip


def show_smooth(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    here = stand()
    data = here.frames[0]
    todo = {("smooth", data, epsilon): functools.partial(smoothing.train, data, epsilon, SMOOTH_SEED) for epsilon in (0.0, 0.1)}
    seconds = numbers.recorded()["made"]["core seconds of a run"][data]
    with controls:
        live.panel(f"Train with ε = 0 and 0.1 on {data} · about {len(todo) * seconds:.0f} s", todo,
                   smoothing.STEPS // smoothing.EVERY, "measurement")  # fmt: skip
        st.caption(f"Digits: the model of the other pictures, all ten classes. Characters: a small decoder on one play, next character. Bands: "
                   f"recorded, trained by us, {len(smoothing.SEEDS['digits'])} and {len(smoothing.SEEDS['characters'])} seeds. Yours, seed "
                   f"{SMOOTH_SEED}, is dashed. Drawn from step {SMOOTH_STEPS[0]} on: before it one sees only how the loss falls.")  # fmt: skip
    shown, sliders, picks, epoch = place("curves")
    held_out, accuracy, calibration = (numbers.smooth(field) for field in smoothing.Report._fields[1:])
    own: dict[str, list[np.ndarray]] = {}
    for i, each in enumerate(smoothing.DATA):
        for epsilon in (0.0, 0.1):
            if (job := live.run(("smooth", each, epsilon))) is not None:
                one = np.full((len(smoothing.DATA), len(SMOOTH_STEPS)), np.nan, np.float32)
                so_far = [report.held_out for report in job.reports[numbers.FIRST :]]
                one[i, : len(so_far)] = so_far
                own.setdefault(numbers.of_epsilon(epsilon), []).append(one)
    middle = {head: {way: np.nanmedian(values, 0) for way, values in of.items()}
              for head, of in (("nats", held_out), ("accuracy%", accuracy), ("calib. error%", calibration))}  # fmt: skip
    with picture:
        curves.mount(key="curves", on_stand_change=lambda: keep("curves"), data=charts.runs(
            "smoothing", SMOOTH_STEPS, SMOOTH_ROLES,
            [(["Held-out cross-entropy, nats: the log of the perplexity"], "Held-out cross-entropy", False, held_out),
             (["Held-out accuracy"], "", True, accuracy)], own, middle, frames=sliders, picks=picks, cursor=shown.cursor,
            sentence="step {x}, {pick}, middle of the seeds: {0} nats, accuracy {1%}, calibration error {2%}", epoch=epoch))  # fmt: skip
    i = list(smoothing.DATA).index(data)
    table = {"step": SMOOTH_STEPS} | {f"{way} {what} seed {s}": run for what, of in (("nats", held_out), ("accuracy", accuracy))
                                      for way, values in of.items() for s, run in enumerate(values[:, i]) if np.isfinite(run).all()}  # fmt: skip
    epsilon = next(e for e in smoothing.EPSILONS if numbers.of_epsilon(e) == here.pick)
    V = formula.classes(data)
    nats = float(numbers.smooth_last(data, epsilon, "held_out").mean())
    return Shown(
        table,
        formula.lines(rf"V = {V}:\quad q_t = {1 - epsilon:g} + \tfrac{{{epsilon:g}}}{{{V}}} = {1 - epsilon + epsilon / V:.4g}",
              rf"\text{{perplexity at the end}} = e^{{{nats:.3f}}} = {smoothing.perplexity(nats):.3f}"),
        {"data": data, "eps": epsilon}, {each: numbers.smoothing_found(each) for each in smoothing.DATA},
    )  # fmt: skip


def show_table(picture: DeltaGenerator, controls: DeltaGenerator) -> Shown:
    with controls:
        ratio = choose("Others for each 8", list(im.RATIOS), 49, "rarity", st.select_slider)
    with picture, st.container(key="gf-losses-table"):
        st.markdown(numbers.table(ratio, words.WHEN))
        st.caption(f"Recorded, trained by us, {len(im.SEEDS)} seeds. Precision, recall and F1 at p ≥ ½, precision 0 where nothing is called 8; "
                   "calibration error: lower is better. "
                   "“Here” compares with cross-entropy, in bold where no seed of one lies among those of the other.")  # fmt: skip
    rows = {field: [numbers.last(name, ratio, 0.0, field) for name in TITLES] for field in METRICS}
    table = {"loss": list(TITLES.values())} | {f"{METRICS[field]} seed {seed}": [one[s] for one in of]
                                               for field, of in rows.items() for s, seed in enumerate(im.SEEDS)}  # fmt: skip
    return Shown(table, formula.lines(*formula.weights(ratio)), {"ratio": ratio}, {"seeds": len(im.SEEDS)})


SHOW = {CURVES: show_curves, RARE: show_rare, PULLS: show_pulls, NOISE: show_noise, SMOOTH: show_smooth, TABLE: show_table}
CODE = {
    CURVES: [losses.cross_entropy, losses.focal, loss_curves.curve],
    RARE: [im.train, im.loss, im.held_out, verdicts.judge],
    PULLS: [pulls.pulls, im.report, im.groups],
    NOISE: [im.problem, im.train, im.loss],
    SMOOTH: [smoothing.train, losses.cross_entropy, objectives.smoothed],
    TABLE: [im.held_out, verdicts.judge, verdicts.average_precision, verdicts.calibration],
}


def draw(code_place: DeltaGenerator, prose_place: DeltaGenerator) -> None:
    """All that follows the controls: it alone runs again when they change, or when a run reports."""
    found = SHOW[view](*(wide() if view == TABLE else lesson.stage(0.2 if view == PULLS else 0.34)))
    lesson.formula(formula.lines(*words.FORMULAS[view]), shapes=formula.shapes(view, found.snippet.get("data", "digits")), numbers=found.numbers)
    with prose_place:
        lesson.prose(**{part: said.format(**found.prose) if found.prose and "{" in said else said
                        for part, said in words.PROSE[view].items()})  # fmt: skip
    with code_place:
        lesson.code(CODE[view], words.SNIPPET[view].format(**found.snippet))
    lesson.downloads(table=found.table, config=dict(found.snippet) | {"view": view})


def wide() -> tuple[DeltaGenerator, DeltaGenerator]:
    """(picture, controls) for a table that wants the width: the controls above it, where a phone has them in view."""
    with st.container(key="gf-stage"):
        controls = st.container(key="gf-controls")
        return st.container(key="gf-picture"), controls


def predict() -> None:
    hard, easy = loss_curves.focal(torch.tensor([charts.HARD, charts.EASY]), 1.0)[1].abs().tolist()  # not the γ that the picture opens with
    plain = (1 - charts.HARD) / (1 - charts.EASY)
    right = f"about {hard / easy:.0f}"
    lesson.predict(
        f"With cross-entropy one hard example ($p_t = {charts.HARD:g}$) pulls as {plain:.0f} easy ones ($p_t = {charts.EASY:g}$). And with "
        "focal loss, $\\gamma = 1$?",
        [f"{plain:.0f}, as before", f"{2 * plain:.0f}", right, f"{plain * plain:.0f}"], right,
        f"By the gradient, {hard:.3f} beside {easy:.4f}: {hard / easy:.0f} times (move γ to 1 in “Curves”). The factor $1 - p_t$ alone, "
        f"{1 - charts.HARD:.1f} beside {1 - charts.EASY:.1f}, would make ${plain:.0f} \\cdot {plain:.0f} = {plain * plain:.0f}$; but the product rule adds "
        "a term that keeps the easy ones' gradient from falling as far.",
    )  # fmt: skip


lesson, live = Lesson("F1"), Training("F1")
lesson.header(words.LOOK_FOR)
view = lesson.view(VIEWS)
stage, below, asked, code_place, more = (st.container() for _ in range(5))
with stage:
    live.watch(draw)(code_place, below)
with asked:
    predict()
with more:
    lesson.interview(words.INTERVIEW)
    lesson.sources(words.SOURCES)
