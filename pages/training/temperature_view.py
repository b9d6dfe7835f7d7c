"""The first view of F2: one set of real logits, read at many temperatures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from charts import temperature
from charts.ahead import Box, ahead
from charts.next_token import by_rank
from pages.shared import held, models, url
from pages.shared.lesson import Lesson
from transformer import sampling

TEXT = "Two plus two equals"
EXAMPLES = {"unsure": TEXT, "sure": "The capital of France is", "wide open": "Once upon a time, there was a"}
DEFAULT = 0.25
TEMPERATURES = np.geomspace(0.05, 100, 67)
OPTIONS = ("it is halved", "it becomes its square root", "it stays", "it is squared")
SNIPPET = """
import math
import transformer
from transformer import sampling

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
logits = model.run(ids, record="logits").trace["logits"][0, {position}]      # [{vocab}]
for T in {temperatures}:
    p = sampling.tempered(logits, T)
    top = p.argsort(descending=True)[:3].tolist()
    top = [(tokenizer.pieces([i])[0], round(p[i].item(), 4)) for i in top]
    print(T, round(sampling.entropy(p).item() / math.log(2), 3), "bits", top)
"""


class Shares(NamedTuple):
    """What is known of one position of the text."""

    logits: torch.Tensor  # [vocab]
    order: np.ndarray  # ids by rank
    entropy: np.ndarray  # bits, at each of TEMPERATURES
    largest: np.ndarray  # probability, at each of TEMPERATURES


@st.cache_resource(max_entries=64, show_spinner=False)
def shares_of(subject: tuple, position: int, _logits: np.ndarray) -> Shares:
    logits = torch.tensor(_logits)
    found = sampling.sweep(logits, TEMPERATURES.tolist())
    return Shares(logits, by_rank(_logits), found.entropy.numpy() / np.log(2), found.largest.numpy())


def acted(last: int) -> None:
    """A temperature that was let go, or another token of the text: into the URL, and the page follows from it."""
    action = st.session_state["temperature_stage"].get("act")
    if not isinstance(action, dict):
        return
    value, where = action.get("temperature"), action.get("position")
    if isinstance(value, int | float) and 0.05 <= value <= 100:
        url.set_url_state("temperature", f"{value:g}", f"{DEFAULT:g}")
        held.reported("temperature_stage", float(f"{value:g}"))
    if action.get("do") == "look" and isinstance(where, int) and 0 <= where <= last:
        url.set_url_state("position", where, last)


def numbers(logits: torch.Tensor, order: np.ndarray, T: float) -> str:
    """The formula with this position's logits in it."""
    p = sampling.tempered(logits, T)
    first, tenth = (p[i].item() for i in (order[0], order[9]))
    ranked = logits[order[:10].tolist()].tolist()
    return (
        rf"p_1 = \frac{{e^{{\output{{{ranked[0]:.2f}}} / {T:g}}}}}{{\sum_j e^{{\output{{\ell_j}} / {T:g}}}}} = "
        rf"{first:.4g}"
        rf"\qquad \frac{{p_1}}{{p_{{10}}}} = e^{{(\output{{{ranked[0]:.2f}}} - \output{{{ranked[9]:.2f}}}) / {T:g}}}"
        rf" = {first / tenth:.4g}\qquad H = {sampling.entropy(p).item() / np.log(2):.3f}\text{{ bits}}"
    )


def formula(lesson: Lesson, vocab: int, position: str, numbers: Callable[[], str]) -> None:
    lesson.formula(
        r"\output{p_i}(T) = \frac{e^{\output{\ell_i} / T}}{\sum_{j=1}^{|V|} e^{\output{\ell_j} / T}}"
        r"\qquad \frac{p_a}{p_b} = e^{(\output{\ell_a} - \output{\ell_b}) / T}"
        r"\qquad \frac{dH}{dT} = \frac{\operatorname{Var}_p(\output{\ell})}{T^3} \ge 0",
        shapes=[(r"\ell", [position, vocab], "output"), ("p", [vocab], "output")],
        numbers=numbers,
    )


@st.fragment
def draw(
    lesson: Lesson, reading: models.Reading, code_place: DeltaGenerator, numbers_place: DeltaGenerator | None
) -> None:
    """All that depends on the token and the temperature: it alone runs again when they change.

    numbers_place: where the formula stands while it has this position's numbers in it. Without them it is the same for all
    and stands outside: a third of the time that a press takes.
    """
    vocab, last = reading.config.vocab_size, len(reading.ids) - 1
    position = url.url_state("position", last, int, lambda i: 0 <= i <= last)
    T = url.url_state("temperature", DEFAULT, float, lambda T: 0.05 <= T <= 100)
    shown, epoch = held.to_send("temperature_stage", T)

    def shares(at: int) -> Shares:
        return shares_of((reading.model, reading.label, reading.text), at, reading["logits"][0, at])

    def message(at: int) -> bytes:
        found = shares(at)
        named = models.vocabulary(reading, found.order[: temperature.NAMED].tolist())
        return temperature.message(
            found.logits.numpy(), found.order, named, reading.pieces, at, temperatures=TEMPERATURES, entropy=found.entropy,
            largest=found.largest, temperature=shown, epoch=epoch,
        )  # fmt: skip

    with st.container(key="gf-stage"):
        temperature.mount(key="temperature_stage", on_act_change=functools.partial(acted, last),
                          data=ahead(message, Box("position", range(last + 1), position)))
    found = shares(position)
    logits, order = found.logits, found.order

    if numbers_place is not None:
        with numbers_place:
            formula(lesson, vocab, f"position {position}", functools.partial(numbers, logits, order, T))
    with code_place:
        lesson.code(
            [sampling.tempered, sampling.entropy, sampling.sweep],
            SNIPPET.format(model=repr(reading.model), text=repr(reading.text), position=position, vocab=vocab,
                           temperatures=[T, *temperature.FIXED]),
        )  # fmt: skip
    lesson.downloads(
        table={"temperature": TEMPERATURES, "entropy_bits": found.entropy, "largest_probability": found.largest},
        config={"model": reading.model, "text": reading.text, "position": position, "temperature": T},
    )


def predict(lesson: Lesson, reading: models.Reading) -> None:
    last = len(reading.ids) - 1
    position = url.url_state("position", last, int, lambda i: 0 <= i <= last)
    found = shares_of((reading.model, reading.label, reading.text), position, reading["logits"][0, position])
    first, tenth = found.order[0], found.order[9]
    plain, hot = sampling.tempered(found.logits, 1.0), sampling.tempered(found.logits, 2.0)
    ratio = (plain[first] / plain[tenth]).item()
    lesson.predict(
        f"At $T = 1$ the first token is {ratio:.3g} times as probable as the tenth. What becomes of this ratio at $T = 2$?",
        OPTIONS,
        OPTIONS[1],
        f"$\\sqrt{{{ratio:.3g}}} = {ratio**0.5:.3g}$, and the page finds {(hot[first] / hot[tenth]).item():.3g}: "
        "the exponent of $e^{(\\ell_1 - \\ell_{10}) / T}$ is halved, so the ratio is raised to the power ½.",
    )


def show(lesson: Lesson) -> None:
    """The view, with all that stands around it."""
    asked = models.decoder()
    if asked != models.chosen():
        st.info(
            f"{models.TITLES[models.chosen()]} is an encoder without a language-model head: it has no logits to soften. "
            f"{models.TITLES[asked]} has.",
            icon=":material/info:",
        )
    text = lesson.text(TEXT, EXAMPLES)
    reading = lesson.read(text, record=("logits",), name=asked)
    # A position belongs to one text: with another, the page looks at its end.
    if st.session_state.setdefault("_temperature_text", reading.text) != reading.text:
        st.session_state["_temperature_text"] = reading.text
        st.query_params.pop("position", None)
    stage, formula_place, words, code_place, more = (st.container() for _ in range(5))
    with_numbers = st.session_state.get("numbers", st.query_params.get("numbers") == "true")
    with stage:
        draw(lesson, reading, code_place, formula_place if with_numbers else None)
    if not with_numbers:
        with formula_place:
            formula(lesson, reading.config.vocab_size, "position", str)  # pressed, it calls for a run with them
    with words:
        lesson.prose(
            what="The softmax makes shares out of **differences** of logits, and $T$ is the unit they are measured in: with "
            "$T = 2$ every "
            "difference counts half. On a logarithmic scale that is all that happens. The curve of probability by rank is one "
            "and the same shape at every temperature, $\\log p_i = \\ell_i / T - \\log Z$, pulled flat by heat and steep by "
            "cold; only $Z$, the sum below the line, moves it so that the shares still add up to 1. ($\\ell$: logits, "
            "$|V|$: size of the vocabulary, $H$: entropy.)",
            why="Sampling turns this one knob to trade safety for variety. Training uses it too: a model taught by another "
            "one's softened shares learns which wrong answers are nearly right, the part that a hard label hides. The "
            "pictures beside this one train such students, and show why their loss is multiplied by $T^2$.",
            catch="Doubling $T$ does not halve the probabilities: it takes the **square root of their ratios**. And $T = 1$ "
            "is not neutral, "
            "it is the scale the model was trained at; one whose logits are all doubled behaves at $T = 2$ as this one at $T "
            "= 1$.",
        )
        predict(lesson, reading)
    with more:
        lesson.interview([
            ("Why can temperature never change the most probable token?",
             "$\\ell \\mapsto \\ell / T$ keeps the order for every $T > 0$, and the softmax keeps the order of what it is "
             "given. Accuracy of the "
             "first choice is the same at every temperature; calibration is not."),
            ("What are the limits of softmax(ℓ/T) for T → 0 and T → ∞?",
             "All on the largest logit (shared where several are equal), and the uniform distribution, with entropy 0 and "
             "$\\log |V|$. In "
             "between the entropy never falls: $dH/dT = \\operatorname{Var}_p(\\ell)/T^3 \\ge 0$."),
            ("A classifier is right often, but far too sure. Which one number would you fit, and on what?",
             "A temperature, on held-out data, by minimising the cross-entropy of softmax(ℓ/T): temperature scaling. No "
             "prediction "
             "changes, only how sure it says it is."),
        ])  # fmt: skip
        lesson.sources([
            "Hinton, Vinyals, Dean 2015, *Distilling the Knowledge in a Neural Network*, "
            "[arXiv:1503.02531](https://arxiv.org/abs/1503.02531)",
            "Guo et al. 2017, *On Calibration of Modern Neural Networks* (temperature scaling), "
            "[arXiv:1706.04599](https://arxiv.org/abs/1706.04599)",
            "Ackley, Hinton, Sejnowski 1985, *A Learning Algorithm for Boltzmann Machines*, Cognitive Science 9",
        ])  # fmt: skip
