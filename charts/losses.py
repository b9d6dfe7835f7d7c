"""Losses against p_t, runs with each of them, and who pulls at the weights: messages for "curves" and "carriers"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import component, curves
from charts.curves import Band, Choice, Line, Mark, Panel, Picks, Row, Tone

DASH = (6, 4)
HARD, EASY = 0.1, 0.9


def shapes(
    p: np.ndarray, loss: Mapping[str, np.ndarray], slope: Mapping[str, np.ndarray], counts: Mapping[str, np.ndarray],
    roles: Mapping[str, Tone], dashes: Mapping[str, tuple[int, int]], *, sliders: Sequence[Choice], picks: Picks, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """p [point]; name -> loss and ∂L/∂z_t [γ, α, ε, point], axes of length 1 where a slider changes nothing; counts:
    name -> [γ, α, ε, 1], how many easy examples one hard one weighs; sliders: γ, α and ε."""
    top = np.maximum(1.0, np.asarray(sliders[1].values, float))[None, :, None]  # the weighted ones grow with α
    panels = []
    for title, of, lo, hi in (("Loss L", loss, 0.0, 4.8), ("Gradient ∂L/∂z_t: below 0 it raises the right logit", slope, -1.35, 0.3)):
        lines = [Line(values, roles[name], name, width=2, dash=dashes.get(name), dot=True, pick=name, plain=True)
                 for name, values in of.items()]  # fmt: skip
        marks = [Mark(HARD, "hard"), Mark(EASY, "easy", left=True)] if of is loss else [Mark(HARD, ""), Mark(EASY, "")]
        panels.append(Panel(title, np.stack([lo * top, np.broadcast_to(hi * (top if of is loss else 1), top.shape)], -1), lines,
                            marks=marks, short=title.split(":")[0]))  # fmt: skip
    rows = [Row(name, roles[name], [loss[name], slope[name], counts[name]], dash=dashes.get(name), pick=name, plain=True)
            for name in loss]  # fmt: skip
    return curves.message(
        "losses", "Losses and their gradients by the probability of the right class; left and right arrows move it", p,
        "p_t, the probability of the right class", "p_t", panels, cursor=cursor,
        columns=["loss", "gradient", f"{HARD:g} weighs as … at {EASY:g}"], rows=rows, height=470, gutter=150, frames=sliders, picks=picks,
        sentence=f"{{pick}} at p_t = {{x}}: gradient {{0}}. One hard example (p_t = {HARD:g}) pulls as {{1}} easy ones "
                 f"(p_t = {EASY:g}).",
        values=[slope, counts], epoch=epoch,
    )  # fmt: skip


def runs(
    name: str, steps: np.ndarray, roles: Mapping[str, Tone], panels: Sequence[tuple[Sequence[str], str, bool, Mapping[str, np.ndarray]]],
    own: Mapping[str, Sequence[np.ndarray]], table: Mapping[str, Mapping[str, np.ndarray]], *, frames: Sequence[Choice], picks: Picks,
    cursor: float, sentence: str, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Recorded runs as bands from the lowest seed to the highest, the picked one's full and the others' faint, and the
    learner's own as dashed lines over the first panel.

    panels: (a title for each position of the last slider, or one; short title; whether it shows shares; name of a loss ->
    values [seed, slider, …, step], NaN where a seed is missing); own: name -> runs [slider, …, step], NaN where there is
    nothing; table: column, which ends in % for shares -> name -> [slider, …, step], read out at the cursor.
    """
    drawn = []
    for i, (titles, short, shares, of) in enumerate(panels):
        series: list[Band | Line] = []
        for loss, values in of.items():
            lo, hi, middle = (part.astype(np.float32) for part in (np.nanmin(values, 0), np.nanmax(values, 0), np.nanmedian(values, 0)))
            series += [Band(lo, hi, roles[loss], 0.05), Band(lo, hi, roles[loss], 0.2, switched=True, pick=loss, plain=True),
                       Line(middle, roles[loss], loss, width=2, dot=True, pick=loss, plain=True),
                       Line(middle, roles[loss], width=4, switched=True, pick=loss, plain=True)]  # fmt: skip
            if not i:
                series += [Line(one, roles[loss], width=1.5, dash=DASH) for one in own.get(loss, ())]
        title = [list(titles)] if len(frames) > 1 else list(titles) if len(titles) > 1 else titles[0]
        drawn.append(Panel(title, _reach(of), series, short=short or title, percent=shares, share=1 if i else 1.5))
    rows = [Row(loss, roles[loss], [of[loss] for of in table.values()], pick=loss, plain=True) for loss in next(iter(table.values()))]
    return curves.message(
        name, "Runs over the training steps; left and right arrows move the step", steps, "training step", "t", drawn, cursor=cursor,
        columns=list(table), rows=rows, height=180 + 160 * len(drawn), gutter=150,
        frames=frames, picks=picks, sentence=sentence, values=list(table.values()), epoch=epoch,
    )  # fmt: skip


def _reach(of: Mapping[str, np.ndarray]) -> np.ndarray:
    """Lowest and highest value for each frame, with some air.   -> [first slider, second slider, 2], or [slider, 2]"""
    low = np.minimum.reduce([np.nanmin(values, (0, -1)) for values in of.values()])
    high = np.maximum.reduce([np.nanmax(values, (0, -1)) for values in of.values()])
    high = np.maximum(high, low + 0.02)  # all zeros have an axis, too
    air = 0.06 * (high - low)
    return np.stack([low - air, high + air], -1)


def carriers(
    names: Sequence[str], groups: Sequence[tuple[str, Tone, float]], shares: np.ndarray, lo: np.ndarray, hi: np.ndarray,
    counts: np.ndarray, digits: np.ndarray, true: np.ndarray, at: np.ndarray, label: np.ndarray, wrong: np.ndarray, p: np.ndarray,
    share: np.ndarray, *,
    called: tuple[str, str], settings: Choice, steps: Choice, pick: str, epoch: int = 0,
) -> bytes:  # fmt: skip
    """The message for the component: whose gradients are how long, by group, and the examples that pull most.

    names: the losses; groups: (name, role, shade); shares [setting, step, loss, group], the mean over seeds, lo and hi the
    lowest and highest of them; counts [setting, group] examples; digits uint8 [image, row, col] and true [image], what they
    show; at [setting, step, loss, place] -> image, with label, whether that is wrong, p and share alike; called: what label 0 and 1 are.
    ValueError where the shapes do not agree, or it starts at no loss.
    """
    whole = (len(settings.values), len(steps.values), len(names))
    if shares.shape != (*whole, len(groups)) or at.shape[:3] != whole or not at.shape == label.shape == wrong.shape == p.shape == share.shape:
        raise ValueError(f"Shares are {list(shares.shape)} and carriers {list(at.shape)} for {whole} settings, steps and losses.")
    if pick not in names:
        raise ValueError(f"“{pick}” is not among the losses.")
    header = {
        "name": "pulls", "label": "Whose gradients are how long; up and down arrows choose the loss, left and right the step",
        "names": list(names), "groups": [{"name": n, "role": role, "shade": shade} for n, role, shade in groups],
        "called": list(called), "settings": settings.header(), "steps": steps.header(), "pick": pick, "epoch": epoch,
        "places": at.shape[-1], "side": digits.shape[-1],
    }  # fmt: skip
    arrays = {
        "shares": shares, "lo": lo, "hi": hi, "counts": counts.astype(np.int32), "digits": digits.astype(np.uint8),
        "true": true.astype(np.uint8), "at": at.astype(np.int32), "told": label.astype(np.uint8), "wrong": wrong.astype(np.uint8), "p": p, "share": share,
    }  # fmt: skip
    return component.pack(header, {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in arrays.items()})


def mount_carriers(**where: object) -> object:
    """Put the component on the page: data=carriers(...), key=..., on_stand_change=..."""
    return component.declare("carriers", "plot.js")(**where)
