"""Students with and without a teacher: their runs, their answers, and the gradient by temperature, as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from charts import curves, matrices
from charts.curves import Band, Choice, Line, Panel, Row, Tone
from charts.matrices import Matrix

ALONE, TAUGHT, TEACHER = "student alone", "student with teacher", "teacher"
TONES: dict[str, Tone] = {ALONE: "key", TAUGHT: "value", TEACHER: "ink"}
SHORT = {ALONE: "alone", TAUGHT: "taught", TEACHER: "teacher"}
DASH = (6, 4)


def runs(
    name: str, steps: np.ndarray, alone: Mapping[str, np.ndarray], taught: Mapping[str, np.ndarray],
    teacher: Mapping[str, float], own: Mapping[str, Sequence[Mapping[str, np.ndarray]]], frames: Sequence[Choice], *,
    what: str, cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Accuracy and loss of recorded runs as bands around the middle seed, the learner's own as dashed lines over them.

    frames: how much is told, T, λ; alone: field -> [amount, 1, 1, seed, step]; taught: field -> [amount, T, λ, seed,
    step]; teacher: field -> its value; own: ALONE or TAUGHT -> runs, field -> values so far, shorter than steps while
    they run.
    """
    panels, rows = [], {ALONE: [], TAUGHT: [], TEACHER: []}
    for field, title, short in (("accuracy", f"Share of unseen {what} that are right", "right"),
                                ("loss", f"Cross-entropy on unseen {what}, nats", "loss")):  # fmt: skip
        level = np.full(len(steps), teacher[field], np.float32)
        series: list[Band | Line] = [Line(level, "ink", TEACHER, width=1.5, dash=(2, 4))]
        for who, of in ((ALONE, alone[field]), (TAUGHT, taught[field])):
            middle = np.median(of, axis=-2)
            series += [Band(of.min(-2), of.max(-2), TONES[who], 0.2),
                       Line(middle, TONES[who], who, width=2.5, dot=True)]  # fmt: skip
            for one in own.get(who, ()):
                there = np.full(len(steps), np.nan, np.float32)
                there[: len(one[field])] = one[field]
                series.append(Line(there, TONES[who], width=1.5, dash=DASH))
            rows[who].append(middle)
        rows[TEACHER].append(level)
        drawn = [alone[field], taught[field], level]
        top, least = max(float(of.max()) for of in drawn), min(float(of.min()) for of in drawn)
        right = field == "accuracy"
        y = (0.0, min(1.0, 1.12 * top)) if right else (0.9 * least, 1.04 * top)
        panels.append(Panel(title, y, series, short=short, percent=right, share=1.2 if right else 1))
    for who, of in ((ALONE, alone), (TAUGHT, taught)):
        rows[who].append(np.median(of["agreement"], axis=-2))
    rows[TEACHER].append(np.ones(len(steps), np.float32))
    return curves.message(
        name, "A student alone and one with a teacher over the training steps; left and right arrows move the step",
        steps, "training step", "t", panels, cursor=cursor,
        columns=["right%", "loss, nats", "says what the teacher says%"],
        rows=[Row(who, TONES[who], cells, dash=(2, 4) if who == TEACHER else None) for who, cells in rows.items()],
        sentence=f"Step {{x}}: alone {{0%}} of unseen {what} right, with the teacher {{1%}}",
        values=[rows[ALONE][0], rows[TAUGHT][0]], height=520, gutter=150, frames=list(frames), epoch=epoch,
    )  # fmt: skip


def answers(
    images: np.ndarray, shares: Mapping[str, np.ndarray], alike: np.ndarray, temperatures: Sequence[float],
    titles: Sequence[str], hottest: float, *, frames: Choice, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Digits with the answers of teacher and students at several temperatures.

    images [digit, row, col]; shares: who -> [digit, T, class]; alike [true class, class]: the teacher's mean answer at
    the hottest; titles: of each digit; frames: which is shown.
    """
    classes = [str(c) for c in range(alike.shape[-1])]
    rows = [f"{SHORT[who]} T={T:g}" for who in shares for T in temperatures]
    side = [str(i + 1) for i in range(images.shape[-1])]
    image = Matrix("image", list(titles), images, "ink", side, side, "row", "column", top=1.0, says="Ink: {value}.",
                   share=0.8)  # fmt: skip
    values = np.concatenate(list(shares.values()), 1)
    said = Matrix("answers", "What they take it for, softened", values, "attention", rows, classes, "who", "answer",
                  top=1.0, says="{row}: a {col} with {value}.", share=1.2)  # fmt: skip
    second = float(np.sort(alike, -1)[:, -2].max())  # the colours end soon after it: the diagonal is no news
    mean = Matrix("alike", f"The teacher's mean answer at T = {hottest:g}, by true digit", alike, "attention", classes,
                  classes, "true digit", "answer", top=2 * second,
                  says="A true {row} is a {col} to the teacher with {value} on average.")  # fmt: skip
    return matrices.message(
        "soft-answers", "A digit and the softened answers of teacher and students; arrow keys walk the cells",
        [[image, said], [mean]], frames=frames, height=720, epoch=epoch,
    )  # fmt: skip


def lengths(
    temperatures: np.ndarray, kept: np.ndarray, bare: np.ndarray, limit: np.ndarray, hard: np.ndarray, *,
    frames: Sequence[Choice], cursor: float, epoch: int = 0,
) -> bytes:  # fmt: skip
    """Length of the gradient by temperature: kept and bare [task, student, T], limit and hard [task, student, 1]."""
    whole = np.ones_like(kept)
    lines = [
        Line(hard * whole, "muted", "true classes", width=1.5, dash=DASH),
        Line(limit * whole, "muted", "limit for T → ∞", width=1.5, dash=(2, 4)),
        Line(bare, "negative", "without T²", width=2.5, dot=True),
        Line(kept, "value", "with T²", width=3, dot=True),
    ]  # fmt: skip
    rows = [Row("with T²", "value", [kept]), Row("without T²", "negative", [bare]),
            Row("limit for T → ∞, with T²", "muted", [limit * whole], dash=(2, 4)),
            Row("of the true classes, T = 1", "muted", [hard * whole], dash=DASH)]  # fmt: skip
    y = 0.7 * float(bare.min()), 1.5 * float(max(kept.max(), hard.max()))
    return curves.message(
        "gradient-by-temperature",
        "Length of the gradient against the temperature; left and right arrows move the temperature",
        temperatures, "temperature T", "T",
        [Panel("Length of the gradient that an example gives the student's logits", y, lines, log=True,
               short="Length of the gradient")],
        cursor=cursor, columns=["length"], rows=rows, sentence="At T = {x}: {0} with the factor T², {1} without it",
        values=[kept, bare], height=430, gutter=130, frames=list(frames), log_x=True, epoch=epoch,
    )  # fmt: skip
