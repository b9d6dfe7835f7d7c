"""The words of the lesson on the division by √d_k (pages/attention/scale.py)."""

from typing import NamedTuple

import numpy as np

from transformer.experiments import saturation

VIEWS = DRAWN, HEAD = "Drawn q and k", "A trained head"
WIDTHS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
ROWS = 300  # queries that are drawn
FACTORS = [2 ** (k / 2) for k in range(-8, 9)]

LOOK_FOR = {
    DRAWN: "Turn on **÷ √d_k**: one key had nearly everything, now all of them share. Then drag $d_k$: undivided, the rows "
    "harden as heads get wider; divided, they stay as they are.",
    HEAD: "Drag the factor from 1 to “not divided”: a head that weighs several words against each other becomes one that "
    "points at a single word, and its slope goes to nothing.",
}

FORMULA = (  # a line each, so that a phone has room
    r"\begin{gathered}\attention{a} = \operatorname{softmax}(\scores{s}),\quad "
    r"\scores{s_j} = \query{q}\cdot\key{k_j} / \sqrt{d_k}\\[.5em]"
    r"\operatorname{Var}(\query{q}\cdot\key{k}) = {\textstyle\sum_{i=1}^{d_k}} \operatorname{Var}(\query{q_i}\key{k_i}) = d_k"
    r"\\[.5em]\partial \attention{a} / \partial \scores{s} = "
    r"\operatorname{diag}(\attention{a}) - \attention{a}\attention{a}^\top\\[.5em]\textstyle\lVert\cdot\rVert_F^2 = \sum \attention{a}^2 - 2\sum \attention{a}^3 + \left(\sum \attention{a}^2\right)^2"
    r"\end{gathered}"
)

SNIPPET = {
    DRAWN: """
import math, torch
from transformer.experiments import saturation

widths = {widths}
found = saturation.drawn(widths, rows={rows}, keys={keys}, seed={seed})
at = widths.index({width})
print("variance of q·k:", found.variance[at].item(), "±", found.error[at].item(), "law:", widths[at])
for name, factor, slope in zip(("not divided", "divided"), (1.0, widths[at] ** -0.5), found.slope):
    A = saturation.multiplied(found.raw[at], [factor]).A[0]  # [row, key]
    look = saturation.look(A)
    print(name, look.entropy.item() / math.log(2), "bits; slope", look.median.item(), "stuck", look.stuck.item())
    print("  to the query: median", slope[at].quantile(0.5).item(), "mean", slope[at].mean().item())
print(saturation.multiplied(found.raw[at], [1.0]).A[0, 0])  # the first row of weights, not divided
""",
    HEAD: """
import math, torch, transformer
from transformer import masks
from transformer.experiments import saturation

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
name = "layers.{layer}.attention.scores"
S = model.run(ids, record=name).trace[name][0, {head}]  # [query, key], divided by the root of d_k
at = torch.arange(len(ids))[None]
mask = masks.mask(model.config, at, at)
mask = torch.ones(len(ids), len(ids), dtype=torch.bool) if mask is None else mask[0, 0]
print("spread within a row:", saturation.spread(S, mask).item())
factors = {factors}
look = saturation.look(saturation.multiplied(S, factors, mask).A[:, min(1, len(ids) - 1):])
for factor, entropy, largest, slope in zip(factors, look.entropy / math.log(2), look.largest, look.median):
    print(round(factor, 3), entropy.item(), largest.item(), slope.item())
""",
}


class Found(NamedTuple):
    """What drawn vectors give, as arrays; [2, …] is without and with the scale."""

    raw: np.ndarray  # [width, row, key]
    scores: np.ndarray  # [2, width, row, key]
    weights: np.ndarray
    total: np.ndarray
    variance: np.ndarray  # [width]
    error: np.ndarray
    look: saturation.Look  # of arrays [2, width]
    slope: np.ndarray  # [2, width, row]
    flat: np.ndarray  # [width]: the largest weight of a row, the mean of all, divided by d_k itself


def prose(found: Found, spreads: np.ndarray, title: str, d_head: int) -> dict[str, str]:
    """What happens, why it matters, the catch, with the numbers of seed 0 and 16 keys, and of the model's heads."""
    at, end = WIDTHS.index(64), len(WIDTHS) - 1
    look, slope = found.look, found.slope
    return {
        "what": "Each of the $d_k$ products $\\query{q_i}\\key{k_i}$ of independent coordinates with mean 0 and variance 1 has "
                "variance 1, and variances of independent terms add up: $\\operatorname{Var}(\\query{q}\\cdot\\key{k}) = d_k$. So "
                f"scores have a typical size of $\\sqrt{{d_k}}$: 8 at $d_k = 64$ (measured there: variance "
                f"{found.variance[at]:.1f} ± {found.error[at]:.1f}). A softmax of scores that far apart gives "
                f"{look.largest[0, at]:.0%} of an average row to one of 16 keys. Divided by $\\sqrt{{d_k}}$ the variance is 1 at "
                f"every width, and the largest weight is {look.largest[1, at]:.0%}.",
        "why": "Training needs the slope $\\partial \\attention{a}/\\partial \\scores{s}$. Its entries are "
               "$\\attention{a_i}(\\delta_{ij} - \\attention{a_j})$: all of them go to 0 when one weight goes to 1, and so does "
               "their size $\\lVert\\cdot\\rVert_F$, the root of the sum of their squares. Undivided, at "
               f"$d_k = 1024$, {look.stuck[0, end]:.0%} of the rows have a slope below 0.01: whatever the right key would have "
               "been, they hardly learn of it. Divided, none do. The scale decides where training **begins**; the division "
               "could as well be written into $W_Q$.",
        "catch": "This is an argument about **initialisation**: it needs independent coordinates. Trained heads make q and k "
                 f"depend on each other: over the {spreads.size} heads of {title} on this text a row's scores have a "
                 f"standard deviation of {spreads.min():.2f} to {spreads.max():.2f} (median {np.median(spreads):.2f}) after the division by "
                 f"√{d_head}, where independent unit coordinates would give 1. A sharp head is then sharp because it "
                 "learnt to be. And "
                 "“the gradient vanishes” is true of the **typical** row, not of the mean: undivided, at $d_k = 1024$, the "
                 "slope that "
                 f"reaches the query is {np.median(slope[0, end]):.1g} in the median row but {slope[0, end].mean():.2g} on "
                 f"average, because few rows near a tie, with keys that are $\\sqrt{{d_k}}$ long, get huge ones. Divided: "
                 f"{np.median(slope[1, end]):.2g} and {slope[1, end].mean():.2g}.",
    }  # fmt: skip


OPTIONS = ("8 %, nearly an even share", "13 %, half as much", "26 %, the same", "51 %, twice as much")


def predict(found: Found) -> dict[str, object]:
    """One question, answered by the drawn vectors of seed 0."""
    at = WIDTHS.index(64)
    largest, divided = found.look.largest[:, at]
    flat = found.flat[at]
    shares = [float(option.split(" ")[0]) / 100 for option in OPTIONS]
    answer = OPTIONS[int(np.argmin([abs(share - flat) for share in shares]))]
    return {
        "question": f"16 random keys, $d_k = 64$. The largest weight takes {largest:.0%} of an average row undivided, and "
                    f"{divided:.0%} with $\\sqrt{{64}}$ under the scores. What with 64 itself?",
        "options": list(OPTIONS),
        "answer": answer,
        "reveal": f"Measured: {flat:.1%}, where an even share is {1 / found.raw.shape[-1]:.1%}. The scores' standard deviation "
                  "is then $1/\\sqrt{64}$, less with every wider head: at the start all keys get nearly the same, whatever the "
                  "query asks.",
    }  # fmt: skip


def interview(found: Found) -> list[tuple[str, str]]:
    end = len(WIDTHS) - 1
    return [
        ("Derive the √d_k. Which assumptions does it take, and why not divide by d_k?",
         "$\\query{q}\\cdot\\key{k} = \\sum_i \\query{q_i}\\key{k_i}$. With coordinates independent, mean 0, variance 1, each "
         "product has mean 0 and variance $E[q_i^2]E[k_i^2] = 1$, and the products are uncorrelated, so the variance of the "
         "sum is $d_k$ and its standard deviation $\\sqrt{d_k}$. Dividing by the standard deviation makes the scores' variance 1 "
         "for every width. Dividing by $d_k$ would make it $1/d_k$: nearly uniform weights at the start. It is right for another "
         "regime: once q and k are aligned by training, their products share a sign and the sum grows as $d_k$; μP therefore "
         "uses $1/d_k$ so that settings found on a narrow model carry over to a wide one."),
        ("1/√d_k can be absorbed into W_Q, so the model could learn it. Why does it matter then?",
         "The set of functions is the same; the start and the steps are not. Undivided, training begins with nearly one-hot "
         "rows, whose Jacobian $\\operatorname{diag}(a) - aa^\\top$ is nearly 0: the weights that would have to shrink $W_Q$ get "
         "their gradient through the very softmax that is stuck. And an optimiser such as Adam moves each weight by about its "
         "learning rate: the same step moves undivided scores $\\sqrt{d_k}$ times as far. The factor also does not cost the "
         "gradient anything: $\\partial s/\\partial q = k/\\sqrt{d_k}$ has length about 1, instead of $\\sqrt{d_k}$."),
        ("Is it true that the gradient vanishes without the scale? And is a trained head's score of variance 1?",
         "Not on average: measured here at $d_k = 1024$, the mean slope to the query is "
         f"{found.slope[0, end].mean():.2g} undivided and {found.slope[1, end].mean():.2g} divided, but the median is "
         f"{np.median(found.slope[0, end]):.1g} against {np.median(found.slope[1, end]):.2g}. Most rows get nothing and the few "
         "near a tie get "
         "large gradients: noise instead of signal. And trained heads are far from variance 1, in both directions; the scale "
         "promises nothing after step 0. Where scores grow without bound in training, QK-norm (q and k brought to a fixed "
         "length) or a soft cap ($c\\tanh(s/c)$) holds them; for longer texts than trained on, scores are sometimes multiplied "
         "by $\\log n$, because an even spread over more keys dilutes every weight."),
    ]  # fmt: skip


SOURCES = [
    "Vaswani et al. 2017, *Attention Is All You Need*, section 3.2.1 and its footnote 4, "
    "[arXiv:1706.03762](https://arxiv.org/abs/1706.03762)",
    "Yang, Hu et al. 2022, *Tensor Programs V* (μP: $1/d$ instead of $1/\\sqrt{d}$), "
    "[arXiv:2203.03466](https://arxiv.org/abs/2203.03466)",
    "Henry et al. 2020, *Query-Key Normalization for Transformers*, [arXiv:2010.04245](https://arxiv.org/abs/2010.04245)",
    "Zhai et al. 2023, *Stabilizing Transformer Training by Preventing Attention Entropy Collapse*, "
    "[arXiv:2303.06296](https://arxiv.org/abs/2303.06296)",
]
