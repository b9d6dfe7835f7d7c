"""What the recorded runs of the lesson on losses say: arrays for its pictures, and its sentences, which compare numbers."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence

import numpy as np

from transformer.training import digits, imbalanced as im, smoothing

TITLES = {"cross-entropy": "cross-entropy", "smoothed": "label smoothing", "weighted": "class-weighted", "focal": "focal",
          "focal weighted": "focal, weighted"}  # fmt: skip
METRICS = {"average_precision": "average precision", "f1": "F1", "recall": "recall", "precision": "precision", "accuracy": "accuracy",
           "calibration": "calibration error"}  # fmt: skip
SETTINGS = {f"{ratio} to 1": (ratio, 0.0) for ratio in im.RATIOS} | {
    f"{im.NOISY_RATIO} to 1, {100 * noise:g} % flipped": (im.NOISY_RATIO, noise) for noise in im.NOISES if noise
}  # as they stand in a link
STEPS = np.arange(0, im.STEPS + 1, im.EVERY)
FIRST = 5  # the first report of smoothing that is drawn: before it all that one sees is how fast the loss falls
SMOOTH_STEPS = np.arange(smoothing.EVERY, smoothing.STEPS + 1, smoothing.EVERY)[FIRST:]


@functools.cache
def recorded() -> dict:
    return json.loads(im.FILE.read_text("utf-8"))


def column(name: im.Name, ratio: int, noise: float, field: str) -> np.ndarray:
    """[seed, report], or [seed, report, group] for shares and counts."""
    return np.array([run[field] for run in recorded()["runs"][im.key(name, ratio, noise)]], np.float32)


def metrics(settings: Sequence[tuple[int, float]]) -> dict[str, np.ndarray]:
    """title of a loss -> [seed, setting, metric, report]"""
    return {title: np.stack([np.stack([column(name, *setting, field) for field in METRICS], 1) for setting in settings], 1)
            for name, title in TITLES.items()}  # fmt: skip


def shares(settings: Sequence[tuple[int, float]], group: str) -> dict[str, np.ndarray]:
    """title of a loss -> [seed, setting, 1, report], of the gradients' lengths"""
    at = im.GROUPS.index(group)
    return {title: np.stack([column(name, *setting, "shares")[..., at] for setting in settings], 1)[:, :, None]
            for name, title in TITLES.items()}  # fmt: skip


def pulls() -> tuple[dict[str, np.ndarray], list[int]]:
    """What charts.losses.carriers draws, all settings [setting, step, loss, …], and the known digits that it shows."""
    found = np.stack([[column(name, *setting, "shares") for name in TITLES] for setting in SETTINGS.values()])
    found = found.transpose(2, 0, 3, 1, 4)  # [seed, setting, step, loss, group]
    top = np.array([[recorded()["carriers"][im.key(name, *setting)] for name in TITLES] for setting in SETTINGS.values()])
    index, label, p, share = np.moveaxis(top.swapaxes(1, 2), -1, 0)  # [setting, step, loss, place]
    used, at = np.unique(index.astype(int), return_inverse=True)
    counts = np.stack([column("cross-entropy", *setting, "counts")[0, 0] for setting in SETTINGS.values()])
    known, at = digits.load().known, at.reshape(index.shape)
    true = known.y[used.tolist()].numpy()
    return {
        "shares": found.mean(0), "lo": found.min(0), "hi": found.max(0), "counts": counts, "at": at,
        "digits": (255 * known.x[used.tolist(), 0]).round().numpy(), "true": true,
        "label": label, "wrong": label != (true[at] == im.DIGIT), "p": p, "share": share,
    }, used.tolist()  # fmt: skip


def smooth(field: str) -> dict[str, np.ndarray]:
    """"ε = 0.1" -> [seed, data, report], NaN where one of the data has fewer seeds."""
    most = max(len(seeds) for seeds in smoothing.SEEDS.values())

    def runs(data: smoothing.Data, epsilon: float) -> np.ndarray:
        there = np.array([run[field][FIRST:] for run in recorded()["smoothing"][smoothing.key(data, epsilon)]], np.float32)
        return np.concatenate([there, np.full((most - len(there), there.shape[1]), np.nan, np.float32)])

    return {of_epsilon(epsilon): np.stack([runs(data, epsilon) for data in smoothing.DATA], 1) for epsilon in smoothing.EPSILONS}


def of_epsilon(epsilon: float) -> str:
    return f"ε = {epsilon:g}"


def last(name: im.Name, ratio: int, noise: float, field: str) -> np.ndarray:
    """After the last step [seed]."""
    return column(name, ratio, noise, field)[:, -1]


def smooth_last(data: smoothing.Data, epsilon: float, field: str) -> np.ndarray:
    """After the last step [seed]."""
    return np.array([run[field][-1] for run in recorded()["smoothing"][smoothing.key(data, epsilon)]])


def spread(values: np.ndarray, digits_: int = 2) -> str:
    """Mean and range over the seeds: "0.87 (0.84–0.90)"."""
    return f"{values.mean():.{digits_}f} ({between(values, digits_)})".replace("-", "−")


def between(values: np.ndarray, digits_: int = 2) -> str:
    """"0.84–0.90", which no line end takes apart."""
    return f"{values.min():.{digits_}f}–\u2060{values.max():.{digits_}f}".replace("-", "−")


def clear(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether all seeds of one lie on the same side of all of the other."""
    return bool(one.min() > other.max() or one.max() < other.min())


def how_many(one: np.ndarray, other: np.ndarray) -> str:
    """With how many seeds one stands to the other as its mean does: the same seed is the same data, start and batches."""
    same_side = np.sign(one - other) == np.sign(one.mean() - other.mean())
    return f"with {int(same_side.sum())} of {len(one)} seeds"


def beside(one: np.ndarray, other: np.ndarray, whose: str) -> str:
    """How values of one stand to another's, in words."""
    where = "above" if one.mean() > other.mean() else "below"
    if clear(one, other):
        return f"every seed {where} every one of {whose} {spread(other)}"
    return f"on average {where} {whose} {spread(other)}, {how_many(one, other)}, but the ranges overlap"


def rare(ratio: int) -> str:
    """What each loss did to recall and ranking at this ratio."""
    recall = {name: last(name, ratio, 0.0, "recall") for name in TITLES}
    ranking = {name: last(name, ratio, 0.0, "average_precision") for name in TITLES}
    most, best = (max(of, key=lambda name: of[name].mean()) for of in (recall, ranking))
    plain = "cross-entropy"
    found = [f"Recorded, 1:{ratio}, {len(im.SEEDS)} seeds, mean (range); the picture draws the middle one. Accuracy of cross-entropy "
             f"**{spread(last(plain, ratio, 0.0, 'accuracy'), 3)}**; calling nothing an {im.DIGIT} would have "
             f"{ratio / (ratio + 1):.3f}."]  # fmt: skip
    for what, of, name in (("Recall is highest", recall, most), ("The ranking (average precision) is best", ranking, best)):
        rest = "" if name == plain else ": " + beside(of[name], of[plain], "cross-entropy's")
        found.append(f"{what} with {TITLES[name]}, **{spread(of[name])}**{rest}.")
    none = [name for name in TITLES if not recall[name].any()]
    found += [f"**Not one {im.DIGIT}** is found with {TITLES[name]}, by any seed, at p ≥ ½: no {im.DIGIT} gets so high a p. Its average precision, "
              f"{spread(ranking[name])}, is far above chance ({1 / (ratio + 1):.2f}): a lower threshold would find some." for name in none]  # fmt: skip
    return " ".join(found)


def pulled(setting: tuple[int, float]) -> str:
    """Whether easy negatives drown the rest, by the recorded runs."""
    count = column("cross-entropy", *setting, "counts")[0, 0]
    examples = count[2] / count.sum()
    share = {name: column(name, *setting, "shares")[..., 2].mean(0) for name in ("cross-entropy", "focal")}
    half = len(STEPS) // 2
    said = " and ".join(f"with {name} {100 * of[0]:.0f} % of the lengths before the first step, {100 * of[half]:.0f} % after "
                        f"{STEPS[half]} and {100 * of[-1]:.0f} % after {STEPS[-1]}" for name, of in share.items())  # fmt: skip
    end, focal = share["cross-entropy"][-1], share["focal"][-1]
    if end > 0.5:
        verdict = "they lead to the end: a case for focal loss"
    elif end > examples / 2:
        verdict = "they lead only at first, but are not let go of either: among so many wrong labels the model is not sure of them"
    else:
        verdict = "they lead only at first: once the model is sure of them, cross-entropy lets go of them by itself, which leaves focal " \
                  "loss little to add"
    more = " Focal even leaves them **more**: it stops pushing before $p_t$ is near 1, so they stay less easy." \
        if round(100 * focal) > round(100 * end) else ""
    return f"Here easy negatives are {100 * examples:.0f} % of the examples and make {said}. With cross-entropy {verdict}.{more}"


def loss_by_noise(name: im.Name, noise: float) -> np.ndarray:
    """What the noise took from the average precision [seed]."""
    clean, noisy = (last(name, im.NOISY_RATIO, share, "average_precision") for share in (0.0, noise))
    return clean - noisy


def noisy(noise: float) -> str:
    """Whether noise hurts focal loss more than cross-entropy, by the recorded runs."""
    if not noise:
        return "No label is flipped: move the slider."
    focal, plain = loss_by_noise("focal", noise), loss_by_noise("cross-entropy", noise)
    if focal.min() > plain.max():
        verdict = "**It hurts focal more**, by more than the seeds differ"
    elif plain.min() > focal.max():
        verdict = "**It hurts focal less**, by more than the seeds differ"
    else:
        verdict = f"**These runs do not say that it hurts focal more**: {'more' if focal.mean() > plain.mean() else 'less'} on " \
                  f"average, {how_many(focal, plain)}, but the ranges overlap"
    share = {name: column(name, im.NOISY_RATIO, noise, "shares")[:, -1, im.GROUPS.index("flipped labels")]
             for name in ("focal", "cross-entropy")}  # fmt: skip
    return (
        f"With {100 * noise:g} % flipped, mean (range) of {len(im.SEEDS)} seeds, average precision falls by {spread(focal)} with focal and by {spread(plain)} with "
        f"cross-entropy. {verdict}. At the end the flipped labels, {100 * noise:g} % of the examples, make "
        f"{100 * share['focal'].mean():.0f} % of the gradients' lengths with focal and {100 * share['cross-entropy'].mean():.0f} % with "
        "cross-entropy."
    )


def smoothing_found(data: smoothing.Data, epsilon: float = 0.1) -> str:
    """Whether smoothing hurt the perplexity and helped the accuracy, by the recorded runs."""
    plain, smoothed = ({field: smooth_last(data, e, field) for field in ("held_out", "accuracy")} for e in (0.0, epsilon))
    said = []
    for what, field, digits_ in (("held-out cross-entropy", "held_out", 3), ("accuracy", "accuracy", 3)):
        one, other = smoothed[field], plain[field]
        which = "higher" if one.mean() > other.mean() else "lower"
        verdict = f"**{which}**, all seeds of it beyond all of those" if clear(one, other) else \
            f"{which} on average, {how_many(one, other)}, but **the ranges overlap**"
        said.append(f"{what} {spread(one, digits_)} with ε = {epsilon:g}, {spread(other, digits_)} without: {verdict}")
    return f"{data.capitalize()}, {len(smoothing.SEEDS[data])} seeds: " + "; ".join(said) + "."


def here(name: im.Name, ratio: int) -> str:
    """What this loss did at this ratio beside cross-entropy; in bold where the seeds do not overlap."""
    if name == "cross-entropy":
        return ""
    said = []
    for field, title in (("recall", "recall"), ("precision", "precision"), ("calibration", "calibration error")):
        one, plain = last(name, ratio, 0.0, field), last("cross-entropy", ratio, 0.0, field)
        difference = f"{one.mean() - plain.mean():+.2f}".replace("-", "−").replace("−0.00", "±0.00").replace("+0.00", "±0.00")
        said.append(f"{title} **{difference}**" if clear(one, plain) else f"{title} {difference}")
    return f" Here: {', '.join(said)}."


def table(ratio: int, when: Mapping[str, str]) -> str:
    """Which loss when, in Markdown: mean and range after the last step, the best mean of each column in bold."""
    fields = {"precision": "Precision", "recall": "Recall", "f1": "F1", "average_precision": "Average precision",
              "calibration": "Calibration error"}  # fmt: skip
    most_noise = max(im.NOISES)
    columns = {title: {name: last(name, ratio, 0.0, field) for name in TITLES} for field, title in fields.items()}
    columns[f"AP, {100 * most_noise:g} % flipped, 1:{im.NOISY_RATIO}"] = {
        name: last(name, im.NOISY_RATIO, most_noise, "average_precision") for name in TITLES}  # fmt: skip
    best = {title: (min if title == fields["calibration"] else max)(of, key=lambda name: of[name].mean())
            for title, of in columns.items()}  # fmt: skip
    lines = ["| Loss | " + " | ".join(columns) + " | When |", "|---|" + "---:|" * len(columns) + "---|"]
    for name, title in TITLES.items():
        cells = [f"**{of[name].mean():.2f}**" if best[head] == name else f"{of[name].mean():.2f}" for head, of in columns.items()]
        ranges = [between(of[name]) for of in columns.values()]
        lines.append(f"| **{title}** | " + " | ".join(f"{cell} :gray[{range_}]" for cell, range_ in zip(cells, ranges, strict=True))
                     + f" | {when[name]}{here(name, ratio)} |")  # fmt: skip
    return "\n".join(lines)
