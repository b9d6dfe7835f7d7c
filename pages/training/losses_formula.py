"""What stands in and under the formulas of the lesson on losses (pages/training/losses.py)."""

from __future__ import annotations

from pages.shared.lesson import Shape
from pages.training.losses_words import CURVES, NOISE, PULLS, RARE, SMOOTH, TABLE
from transformer import cost
from transformer.training import digits, imbalanced as im, smoothing


def lines(*each: str) -> str:
    return r"\begin{gathered}" + r"\\[.6em]".join(each) + r"\end{gathered}"


def weights(ratio: int) -> tuple[str, str]:
    """α_1 and α_0 of the weighted losses, put in."""
    label = im.problem(ratio).label
    counts, alpha = label.bincount(minlength=2).tolist(), im.balance(label).tolist()
    one, other = (rf"\alpha_{c} = \tfrac{{{len(label)}}}{{2 \cdot {counts[c]}}} = {alpha[c]:.3g}" for c in (1, 0))
    return one, other


def classes(data: smoothing.Data) -> int:
    """V, of what label smoothing was measured on."""
    config = smoothing.config(data)
    return config.n_classes if data == "digits" else config.vocab_size


def shapes(view: str, data: smoothing.Data) -> list[Shape]:
    """Of what stands in the formula of this picture."""
    two, V = "class 2", f"class {classes(data)}"
    batch, known, unseen = (f"example {n}" for n in (im.BATCH, len(im.problem(im.NOISY_RATIO).y), len(digits.load().unseen.y)))
    image = (1, digits.SIDE, digits.SIDE)
    read = (batch,) if data == "digits" else (f"passage {smoothing.PASSAGES}", f"position {smoothing.LENGTH}")
    found: dict[str, list[Shape]] = {
        CURVES: [("z", (two,), "output"), ("p", (two,), "output"), ("q", (two,), "residual"), ("L", (1,), "residual")],
        RARE: [("x", (batch, *image), "residual"), ("z", (batch, two), "output"), (r"\alpha", (two,), "residual"),
               (r"\text{held-out }p", (unseen, two), "output")],
        PULLS: [(r"\theta", (f"weight {sum(cost.parameters(im.small()).values())}",), "residual"),
                (r"\lVert g \rVert", ("example N",), "residual")],
        NOISE: [("x", (known, *image), "residual"), ("y", (known,), "residual"), (r"\tilde y", (known,), "residual")],
        SMOOTH: [("z", (*read, V), "output"), ("q", (*read, V), "residual")],
        TABLE: [("p", (unseen, two), "output"), (r"\alpha", (two,), "residual")],
    }  # fmt: skip
    return found[view]
