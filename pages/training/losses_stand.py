"""What the pictures of the lesson on losses keep in the link (pages/training/losses.py): cursor, sliders, and what is picked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charts.curves import Choice
from pages.training import losses_numbers as numbers
from pages.training.losses_numbers import METRICS, SETTINGS, SMOOTH_STEPS, STEPS, TITLES
from pages.training.losses_words import CURVES, NOISE, PULLS, RARE, SMOOTH
from transformer.training import imbalanced as im, smoothing

P = np.arange(1, 100) / 100
GAMMAS, ALPHAS, EPSILONS = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0], [0.25, 0.5, 1.0, 2.0, 5.0, 10.0], [0.0, 0.05, 0.1, 0.2, 0.3]
GAMMA, ALPHA, EPSILON = 2.0, 1.0, 0.1
DRAWN = [title for name, title in TITLES.items() if name != "focal weighted"]  # focal's own curve has α
NOISES = {round(100 * noise): noise for noise in im.NOISES}  # per cent -> share


class Slider(NamedTuple):
    """A slider in a picture: its name in the link, its title, its positions and the first of them to be shown."""

    name: str
    title: str
    values: Sequence
    usual: object

    def choice(self, at: object) -> Choice:
        return Choice(self.title, list(self.values), at)


class Held(NamedTuple):
    """What a picture keeps in the link: where its cursor stands, its sliders, and what is picked."""

    cursor: Slider
    sliders: tuple[Slider, ...]
    pick: Slider


STEP = Slider("step", "Training step", [int(step) for step in STEPS], int(STEPS[-1]))
METRIC = Slider("metric", "Drawn above", list(METRICS.values()), "average precision")
LOSS = Slider("loss", "Read out", list(TITLES.values()), "cross-entropy")
HELD: dict[str, Held] = {
    CURVES: Held(Slider("p", "p_t", [float(p) for p in P], 0.9),
                 (Slider("gamma", "γ, focal's", GAMMAS, GAMMA), Slider("alpha", "α, weights", ALPHAS, ALPHA),
                  Slider("eps", "ε, smoothing", EPSILONS, EPSILON)), Slider("loss", "Read out", DRAWN, "focal")),
    RARE: Held(STEP, (Slider("ratio", "Others for each 8", im.RATIOS, 49), METRIC), LOSS),
    PULLS: Held(STEP, (Slider("problem", "Problem", list(SETTINGS), f"{im.RATIOS[2]} to 1"),), LOSS),
    NOISE: Held(STEP, (Slider("noise", "Flipped labels, %", list(NOISES), 20), METRIC), LOSS._replace(usual="focal")),
    SMOOTH: Held(Slider("step", "Training step", [int(step) for step in SMOOTH_STEPS], int(SMOOTH_STEPS[-1])),
                 (Slider("data", "Learned from", list(smoothing.DATA), "digits"),),
                 Slider("smoothing", "Read out", [numbers.of_epsilon(epsilon) for epsilon in smoothing.EPSILONS], "ε = 0.1")),
}  # fmt: skip
