"""The words of the lesson on sparsity (pages/training/sparsity.py)."""

VIEWS = WEIGHTS, WHY, PRUNE, ZEROS, SAVES = (
    "With and without L1", "Why it is not 0", "Pruning", "Zeros of a ReLU", "What zeros save",
)  # fmt: skip
WAYS = {"plain": "No penalty", "loss": "λ‖W‖₁ in the loss", "proximal": "A soft threshold behind each step"}
SHORT = {"plain": "no penalty", "loss": "in the loss", "proximal": "soft threshold"}
PRODUCTS = {"dense": "dense, with zeros", "sparse": "sparse, CSR", "rows gone": "rows gone"}
SCOPES = {"global": "all together", "matrix": "each matrix", "random": "at random"}
COUNTED = (
    "Every matrix of the model, its weights counted by size. Drawn: seed 0; the ranges are those of 3 seeds, recorded, "
    "trained by us. Your run is a fourth seed, dashed in the histograms; λ there is the one set when it began."
)
NO_BAND = "Under Adam the step of the penalty differs from weight to weight, so no band is drawn."
THINNED = (
    "Here, instead of weights, a share of the FFN's neurons is set to 0: those smallest at each token, by a or by "
    "SiLU(g) (see Zeros of a ReLU). They are chosen anew for every token; pruned weights are gone for all."
)

LOOK_FOR = {
    WEIGHTS: "With λ‖W‖₁ in the loss, weights shrink by powers of ten, yet none is 0. Only the soft threshold fills "
             "the bar at the far left: exactly 0. Move λ and the step.",
    WHY: "Near 0 the penalty in the loss still pushes with its full force: the weight jumps over 0 and back, again and "
         "again. Behind the soft threshold it comes to rest at exactly 0.",
    PRUNE: "Take the smallest weights away: at first nothing happens, then the model falls off a cliff. Removed at "
           "random, it falls much sooner.",
    ZEROS: "Follow the curves to the left end: those of a ReLU begin high, at what is exactly 0. SiLU's begin at 0: "
           "many small numbers, no zeros.",
    SAVES: "The dense product gains nothing from zeros that it multiplies like any number. The sparse one has to leave "
           "out most of them before it wins, and how many depends on the number of tokens.",
}  # fmt: skip

FORMULAS = {
    WEIGHTS: (r"\min_W\ L(W) + \lambda \textstyle\sum |w|",
              r"\operatorname{prox}_t(z) = \operatorname{sign}(z)\,\max(|z| - t,\ 0)",
              r"\text{SGD: } t = \eta\lambda, \qquad \text{Adam: } t = \tfrac{\eta\lambda}{\sqrt{\hat v} + \epsilon}"),
    WHY: (r"\text{in the loss: } w \leftarrow w - \eta\,(g + \lambda\operatorname{sign} w)",
          r"\text{proximal: } w \leftarrow \operatorname{prox}_{\eta\lambda}(w - \eta g)",
          r"\operatorname{prox}_t(z) = \arg\min_u\ \tfrac12(u - z)^2 + t|u|"),
    PRUNE: (r"\tilde w_i = w_i \cdot [\,|w_i| > \tau\,]", r"\tau:\ \tfrac1N\,\#\{|w_i| \le \tau\} = \text{share}"),
    ZEROS: (r"\ffn{a} = \max(0, u)\quad\text{or}\quad \ffn{a} = \operatorname{SiLU}(g) \odot u",
            r"u = x W_1,\quad g = x W_g,\quad \operatorname{SiLU}(g) = \tfrac{g}{1 + e^{-g}}"),
    SAVES: (r"\ffn{W}\ [m, n],\quad s = \text{share of zeros}",
            r"\text{FLOPs a token: } 2mn \ \to\ 2mn(1 - s)",
            r"\text{bytes: } 4mn \ \to\ 12mn(1 - s) + 8(m + 1)"),
}  # fmt: skip
WHY_ADAM = (  # short rows: a phone shows them whole
    r"w \leftarrow w - \eta\,\tfrac{\hat m}{\sqrt{\hat v} + \epsilon}",
    r"\hat m,\ \hat v: \text{ running means of } h,\ h^2",
    r"\text{in the loss: } h = g + \lambda\operatorname{sign} w",
    r"\text{proximal: } h = g,\quad w \leftarrow \operatorname{prox}_t(w)",
    r"t = \tfrac{\eta\lambda}{\sqrt{\hat v} + \epsilon}",
    FORMULAS[WHY][2],
)

SNIPPET = {
    WEIGHTS: """
from transformer.training import sparse_weights

for way in sparse_weights.WAYS:
    *_, last = sparse_weights.train({problem!r}, way, {lam}, seed=0)
    print(way, "below 1e-3:", round(last.small, 4), "exactly 0:", round(last.zero, 4), "unseen:", round(last.kept, 4))
""",
    WHY: """
from transformer.training import sparse_weights

for way in ("loss", "proximal"):
    w = sparse_weights.traced({problem!r}, way, {lam})[{weight}]
    print(way, "step {step}:", float(w[{step} - 1]), "last:", float(w[-1]))
""",
    PRUNE: """
from transformer import sparsity
from transformer.training import sparse_weights

model = sparse_weights.load({problem!r}, {way!r})
thin = sparsity.pruned(model, {share}, {scope!r})
print("exactly 0:", sparsity.share_zero(sparsity.matrices(thin).values()))
print("kept:", sparse_weights.measured({problem!r}, thin))
""",
    ZEROS: """
from transformer import sparsity
from transformer.training import sparse_weights

layers, read = sparse_weights.neurons({text!r})
for a in layers:
    print(list(a.shape), "exactly 0:", sparsity.share_zero([a]), "below 1e-3:", sparsity.share_small([a]))
""",
    SAVES: """
from transformer.experiments import sparse_matmul

for one in sparse_matmul.timed(tokens=({tokens},)):
    print(one.share, {{way: round(1e3 * s, 3) for way, s in one.seconds.items()}}, one.bytes)
""",
}

PROSE = {
    WEIGHTS: {
        "what": "L1 adds $\\lambda|w|$ for every weight of the matrices. Its slope is $\\lambda$ whatever the size of "
                "the weight, so what the task does not need is pushed all the way down; L2's slope fades with the "
                "weight and never gets there. The same objective is minimised in two ways: as part of the loss, by its "
                "gradient; or by a step on the task's loss $L$ alone, followed by the exact solution for the penalty, "
                "the soft threshold. $\\eta$ is the learning rate, $\\hat v$ Adam's running mean of squared gradients, "
                "$\\epsilon$ tiny. For their first fifth all runs learn without λ, which would outweigh the task's "
                "first small gradients.",
        "why": "A weight that is exactly 0 need not be stored, moved or multiplied, and which ones are left says what "
               "the model uses. With the lasso's soft threshold the zeros come out of the training itself; nobody has "
               "to choose a cut afterwards.",
        "catch": "“L1 gives sparse weights” holds for the **minimum**, not for what SGD or Adam leave behind. Their "
                 "weights are small and never stop moving: share below 10⁻³ high, share exactly 0 none. Only a step "
                 "that can *land* on 0 makes zeros. And λ is not the same number under another optimiser: Adam divides "
                 "by $\\sqrt{\\hat v}$, so the threshold has to as well.",
    },
    WHY: {
        "what": "One weight of the first FFN, followed through every step of real runs. With "
                "$\\lambda\\operatorname{sign}(w)$ in the gradient, a weight closer to 0 than one step is carried past "
                "it, the sign turns, and the next step carries it back: it dithers in a band as wide as the step, "
                "which shrinks only as the learning rate does. Adam only swings more slowly and wider: dividing by "
                "$\\sqrt{\\hat v}$ lets a steady push move $w$ by about $\\eta$ however small λ is, and its momentum "
                "carries $w$ on past 0. The soft threshold takes off at most what is there. ($g$: the gradient of the "
                "task's loss.)",
        "why": "It is the simplest case of a rule: where a function has a kink, follow it by its proximal step and not "
               "by its gradient. The same idea gives whole zero rows (group lasso), low rank (nuclear norm) and "
               "rounding to few bits.",
        "catch": "Zeros by soft threshold are not for ever: a weight comes back as soon as its gradient beats λ. That "
                 "is the optimum's own condition, $|g| \\le \\lambda$ at 0, and it is why such training can repair a "
                 "wrong choice where a pruned mask cannot.",
    },
    PRUNE: {
        "what": "All $N$ weights of the matrices are sorted by size, and the smallest share becomes 0: "
                "$[\\,\\cdot\\,]$ is 1 where its condition holds, else 0. “All together” uses one cut $\\tau$ for the "
                "whole model, “each matrix” takes the same share from every one, “at random” ignores the size. "
                "Nothing is trained again.",
        "why": "Size is a crude measure, for a weight acts as $w \\cdot x$ and a small one on a large input counts "
               "(Wanda sorts by $|w|\\,\\lVert x\\rVert$); and yet it is far better than chance. A model that was "
               "trained towards zeros loses far more before it notices, as long as one cut goes through all of it: its "
               "zeros lie unevenly. Take the same share from each matrix instead, and with our digits the penalty has "
               "bought nothing.",
        "catch": "The knee belongs to **this** model and task. Ours is small and its digits are easy: it has weights "
                 "to spare. The large language model on this page, trained on trillions of tokens and stored in 4 "
                 "bits, gives way much earlier. And published numbers of 90 % and more are mostly with training again "
                 "after each small cut, so that the others take over.",
    },
    ZEROS: {
        "what": "Each neuron of the FFN is counted on every token of the text. ReLU makes each negative number exactly "
                "0; SiLU lets a little of it through, so that nothing is 0 but much is small. A cut makes a SiLU model "
                "sparse after the fact: whatever is smaller is left out.",
        "why": "A neuron that is 0 needs no column of $W_2$, and which ones are depends on the token: that is sparsity "
               "of the activations, not of the weights. Li et al. found ReLU Transformers of all sizes to be sparse "
               "without being asked; later models gave that up for SiLU's better loss, and TEAL and CATS take it back "
               "by a cut.",
        "catch": "Which number is cut decides. $\\operatorname{SiLU}(g)$ alone is known before $u$ is computed and "
                 "spares the matching part of $W_1$ and $W_2$; the product $a$ is the better judge but known only "
                 "after both. And a share of zeros over all tokens says nothing about one that is 0 for all of them: a "
                 "dead neuron.",
    },
    SAVES: {
        "what": "One matrix of SmolLM2's FFN, its smallest weights 0, multiplied with one token (writing) and with 64 "
                "(reading). “Dense” keeps the zeros. “Sparse” keeps only what is left, each with its column, and "
                "where each of the $m$ rows begins (CSR). “Rows gone” is a smaller dense matrix: what pruning whole "
                "neurons would leave.",
        "why": "Fewer FLOPs are not less time. A dense product runs at the speed of the hardware because it knows "
               "where the next number lies; a sparse one has to look. Structure is what pays: whole neurons, heads or "
               "layers, blocks, or 2 of every 4 on GPUs that have a unit for it.",
        "catch": "“90 % sparse, so ten times as fast and a tenth of the size” is wrong twice here. The time is in the "
                 "curves. The size: a weight of 4 bytes brings a column index of 8 (torch's default), so below two "
                 "thirds pruned a sparse matrix is *larger* than it was.",
    },
}  # fmt: skip

INTERVIEW = [
    ("Why does L1 give zeros and L2 not?",
     "At 0 the slope of λ|w| jumps from −λ to λ: as long as the task's own gradient there is smaller than λ, the "
     "minimum is exactly at 0. λw²/2 has slope 0 at 0, so any gradient moves the minimum away from it."),
    ("You trained with L1 by Adam and counted zeros: none. What went wrong?",
     "Nothing in the objective; in the way it was minimised. The subgradient step η·λ·sign(w) has one size and jumps "
     "across 0, so weights end in a band about 0. Use a proximal step (soft threshold by ηλ, under Adam by ηλ/(√v̂ + "
     "ε)), or cut what is below a threshold at the end."),
    ("Global or per-layer magnitude pruning?",
     "One global cut lets matrices with many superfluous weights give more, and is the better one after training with "
     "L1. Without it, it depends: where matrices differ in scale, a global cut takes too much from those of small "
     "numbers. On this page the plain digits' model does better with one cut, the plain characters' model with a share "
     "for each matrix."),
    ("A model is 80 % sparse. How much faster is it?",
     "Not at all in a dense product: zeros are multiplied like any number. An unstructured sparse format has to leave "
     "out {first:.0f}–{last:.0f} % before it wins on a CPU (measured on this page), and indices cost memory. "
     "Structured zeros (rows, heads, 2:4) save time as they save FLOPs."),
    ("Where do zeros in activations come from, and who uses them?",
     "From ReLU: often 70–95 % of an FFN's neurons are 0 for a token, others for the next. One can skip the matching "
     "columns of W₂ (and, if predicted, of W₁). SiLU and GELU have none; a threshold per layer (CATS, TEAL) or going "
     "back to ReLU restores them."),
]  # fmt: skip
SOURCES = [
    "Tibshirani 1996, *Regression shrinkage and selection via the lasso*, J. R. Stat. Soc. B 58",
    "Beck & Teboulle 2009, *A fast iterative shrinkage-thresholding algorithm*, SIAM J. Imaging Sci. 2: the proximal "
    "step",
    "Yun, Lozano & Yang 2020, [arXiv:2007.07714](https://arxiv.org/abs/2007.07714): proximal steps behind Adam",
    "Han et al. 2015, *Learning both weights and connections*, [arXiv:1506.02626](https://arxiv.org/abs/1506.02626)",
    "Frankle & Carbin 2019, *The lottery ticket hypothesis*, [arXiv:1803.03635](https://arxiv.org/abs/1803.03635)",
    "Sun et al. 2024, *Wanda*, [arXiv:2306.11695](https://arxiv.org/abs/2306.11695): by size times input",
    "Frantar & Alistarh 2023, *SparseGPT*, [arXiv:2301.00774](https://arxiv.org/abs/2301.00774): large models pruned "
    "with a little repair",
    "Li et al. 2023, *The lazy neuron phenomenon*, [arXiv:2210.06313](https://arxiv.org/abs/2210.06313): ReLU "
    "Transformers are sparse",
    "Mirzadeh et al. 2023, *ReLU strikes back*, [arXiv:2310.04564](https://arxiv.org/abs/2310.04564)",
    "Lee et al. 2024, *CATS*, [arXiv:2404.08763](https://arxiv.org/abs/2404.08763); Liu et al. 2024, *TEAL*, "
    "[arXiv:2408.14690](https://arxiv.org/abs/2408.14690): a cut for gated models",
    "Mishra et al. 2021, *Accelerating sparse deep neural networks*, "
    "[arXiv:2104.08378](https://arxiv.org/abs/2104.08378): 2 of 4",
]  # fmt: skip
REAL_SNIPPET = """
import transformer
from transformer import sparsity
from transformer.training import play
from transformer.training.patterns import surprise

model, tokenizer = transformer.load("smollm2-135m")
ids = tokenizer.encode((play.FOLDER / f"{{play.TITLE}}.txt").read_text("utf-8")[{begin}:{end}])
thin = sparsity.pruned(model, {share}, {scope!r})
print("loss:", surprise(thin, ids).mean().item())
"""
