"""The words of the lesson on depth without bend (pages/block/linear_depth.py)."""

from collections.abc import Mapping

VIEWS = BOUNDARY, LEARNING, HEADS = "Decision boundary", "How it learns", "In a real model"

LOOK_FOR = {
    BOUNDARY: "Without an activation twenty layers draw the same straight line as two. One bend between the layers, "
              "and depth begins to count.",
    LEARNING: "Same functions, other dynamics: one layer learns everything at once; deeper linear stacks wait, then "
              "learn one thing after another, the strongest first.",
    HEADS: "Between a head's W_V and W_O there is no activation either: two matrices that are one, of a rank no larger "
           "than the head is wide.",
}  # fmt: skip

FORMULA = {  # short lines, so that a phone has room
    BOUNDARY: (
        r"\begin{gathered}\output{y} = W_L(\cdots W_2(W_1 \residual{x} + b_1) + b_2 \cdots) + b_L\\[.3em]"
        r"= \ffn{W_{\text{eff}}}\,\residual{x} + \ffn{b_{\text{eff}}}\\[.5em]"
        r"\ffn{W_{\text{eff}}} = W_L \cdots W_2 W_1\\[.3em]"
        r"\ffn{b_{\text{eff}}} = \sum_{l=1}^{L} W_L \cdots W_{l+1}\, b_l\\[.4em]"
        r"\operatorname{rank} \ffn{W_{\text{eff}}} \le \text{the narrowest width}\end{gathered}"
    ),
    LEARNING: (
        r"\begin{gathered}\mathcal{L} = \tfrac12 \lVert Y - W_L \cdots W_1 \rVert^2\\[.4em]"
        r"Y = \sum_i s_i\,u_i v_i^\top\\[.4em] a_i = u_i^\top \ffn{W_{\text{eff}}}\, v_i\\[.4em]"
        r"\frac{da_i}{dt} \approx L\, a_i^{\,2 - 2/L}\,(s_i - a_i)\end{gathered}"
    ),
    HEADS: (
        r"\begin{gathered}\output{\text{out}_i} = \sum_j \attention{A_{ij}}\; W_O \value{W_V}\, \residual{x_j}\\[.4em]"
        r"\operatorname{rank}(W_O \value{W_V}) \le d_{\text{head}}\end{gathered}"
    ),
}

SNIPPET = {
    BOUNDARY: """
from transformer.training import boundary

for depth in (2, {depth}):
    for bend in ("linear", {bend}):
        *_, last = boundary.train({data}, depth, bend, seed={seed}, width={width}, narrowest={narrowest})
        print(depth, bend, "accuracy", round(last.accuracy, 4))
        if last.W is not None:
            print("W_eff", last.W, "b_eff", last.b, "singular values", last.singular, "difference", last.gap)
""",
    LEARNING: """
from transformer.experiments import modes

_, s, _ = modes.target_modes()                       # how strong each mode of the table is
course = modes.course({depth}, {start})
half = modes.half_way(course.strength, s, course.steps)
print(half)                                          # [seed, mode]: the step at which half of it is learned
""",
    HEADS: """
import transformer
from transformer.experiments import collapse

model, tokenizer = transformer.load({model})
singular = collapse.value_output(model, {layer})[{head}]
print(singular[:4], "rank", collapse.rank(singular), "of", len(singular))
""",
}


def prose(
    straight: float, straight_deep: float, bent: float, bent_deep: float, *, data: str, depth: int, bend: str, seeds: int,
    half: Mapping[int, list[float]],
) -> dict[str, str]:  # fmt: skip
    """With the recorded accuracies of one data set, and the steps at which each mode is half learned, by depth."""
    one, deep = half[1], half[4]
    return {
        "what": "A linear layer is $Wx + b$. Put one after the other and multiply out: $W_2(W_1x + b_1) + b_2 = "
                "(W_2W_1)\\,x + (W_2b_1 + b_2)$, a linear layer again; so is a residual path, $x + Wx = "
                "(I + W)\\,x$. So a stack of any depth is **one** matrix and one bias, and its boundary is one straight cut. An "
                "activation between the layers is what stops the "
                "multiplying out: tanh, ReLU or GELU bend the plane a little at each layer, and bends of bends make "
                "curves.",
        "why": f"On “{data}”, recorded over {seeds} seeds, unseen points are named right {straight:.1%} of the time by "
               f"2 linear layers and {straight_deep:.1%} by {depth}; with {bend} between them by 2 layers {bent:.1%} "
               f"and by {depth} {bent_deep:.1%}. Depth pays only with a bend. It is the reason why every FFN has σ "
               f"between its two "
               "matrices, and why low-rank tricks (LoRA, latent attention, a head's $W_OW_V$) may put two matrices in "
               "place of one: no more can be said with them, only less, and cheaper.",
        "catch": "Linear depth changes **nothing about what can be expressed** (but for the rank, if a layer is "
                 "narrow) and still changes **how it is learned**. The loss is convex in $W_{\\text{eff}}$, but not in "
                 "the factors: deep linear stacks sit on plateaus, then drop, one singular mode after another. "
                 "Measured under "
                 f"“{LEARNING}”, first weights of size 0.01: with 1 layer all modes are half learned by step "
                 f"{max(one):.0f}; with 4 layers the strongest by step {deep[0]:.0f}, the weakest by step "
                 f"{deep[-1]:.0f}, mean of the seeds.",
    }  # fmt: skip


def predict(straight: float, straight_deep: float, data: str, depth: int) -> dict[str, object]:
    """One question about the recorded runs."""
    answer = "Nothing: it stays within a few points"
    better, worse = "Much: more than half of the errors of 2 layers go", "It gets worse: it overfits"
    right = answer if abs(straight_deep - straight) < 0.03 else better if straight_deep > straight else worse
    return {
        "question": f"2 linear layers name {straight:.1%} of the unseen points of “{data}” right. What do {depth - 2} "
                    f"more linear layers of the same width bring?",
        "options": [better, answer, worse],
        "answer": right,
        "reveal": f"{depth} linear layers: {straight_deep:.1%}. They have many times the parameters and exactly the "
                  f"same "
                  "functions to choose from, so they end on the same best straight line. They cannot overfit more "
                  "either: what counts is the set of functions, not the number of parameters that describe it.",
    }  # fmt: skip


INTERVIEW = [
    ("If the stack is one matrix anyway, why would anyone train a deep linear network, or put two matrices where one "
     "would do?",
     "For the rank and for the dynamics. A narrow layer in the middle caps the rank, so $d \\times d$ numbers become "
     "$2dr$: that is LoRA, latent attention, an embedding in two factors (ALBERT), a head's $W_OW_V$. And gradient "
     "descent on factors prefers strong modes first. With $s_i$ a singular value of the target and $a_i$ what has "
     "been learned of it, $\\dot a_i \\approx L\\,a_i^{2-2/L}(s_i - a_i)$ is slow while "
     "$a_i$ is small, so from small weights it goes through low-rank solutions on its way, an implicit bias that one "
     "matrix does not have."),
    ("Why are there plateaus and sudden drops when every layer is linear?",
     "The gradient of one factor is multiplied by all the others. Where all are small, each product of the $L - 1$ "
     "others is smaller still: the origin is a saddle, flat to order $L$. For two layers a mode follows a sigmoid, "
     "$a(t) = s\\,e^{2st}/(e^{2st} - 1 + s/a_0)$, that starts at $a_0$ and rises at about $t = "
     "\\ln(s/a_0)/2s$: strong modes early, weak ones late, each in a drop of its own. With one layer $a(t) = "
     "s(1 - e^{-t})$, the same clock for all. Larger "
     "first weights shorten the plateaus."),
    ("What is the rank of $W_{\\text{eff}}$, and what does a narrow layer do to a classifier?",
     "At most the width of the narrowest layer, inputs and outputs included, as a product's rank is at most that of "
     "each factor. Try “three clusters” with the narrowest layer at 1: all scores then depend on one number, a "
     "projection of $x$, so all cuts are parallel lines, and the accuracy falls below that of rank 2. A bias moves the "
     "lines, but cannot turn one. With an activation a narrow layer still lets only one number through, but a bent "
     "one."),
    ("Is a single activation anywhere enough? And do more layers then always help?",
     "One hidden layer with a bend approximates any continuous function on a bounded set, given enough width (Cybenko, "
     "Hornik). Depth makes some functions far cheaper: each layer folds the plane once more, so the number of linear "
     "pieces of a ReLU net can grow exponentially with depth, but only polynomially with width. More layers do not "
     "always help: gradients pass through every slope, and without residual paths, norms or careful first weights a "
     "deep stack may not train at all. The weights here start orthogonal, scaled for their activation; that is why 20 "
     "layers train without residual paths."),
    ("Is attention linear, then? What bends a Transformer?",
     "For fixed weights $A$ the output is linear in the values: $W_O$ and $W_V$ collapse per head. But $A$ itself "
     "comes from the tokens through products and a softmax, so attention as a whole is not linear. The FFN's "
     "activation, the softmax and the norms' division are the bends; take the activation away and an FFN without a "
     "gate is one $d \\times d$ matrix for eight times the parameters that it needs (two of $d \\times 4d$)."),
]  # fmt: skip

SOURCES = [
    "Saxe, McClelland & Ganguli 2014, [Exact solutions to the nonlinear dynamics of learning in deep linear neural "
    "networks](https://arxiv.org/abs/1312.6120).",
    "Saxe, McClelland & Ganguli 2019, [A mathematical theory of semantic development in deep neural "
    "networks](https://arxiv.org/abs/1810.10531): canary, salmon, oak and rose.",
    "Arora, Cohen & Hazan 2018, [On the Optimization of Deep Networks: Implicit Acceleration by "
    "Overparameterization](https://arxiv.org/abs/1802.06509).",
    "Montúfar, Pascanu, Cho & Bengio 2014, [On the Number of Linear Regions of Deep Neural "
    "Networks](https://arxiv.org/abs/1402.1869).",
    "Elhage et al. 2021, [A Mathematical Framework for Transformer "
    "Circuits](https://transformer-circuits.pub/2021/framework/index.html): a head's $W_OW_V$ as one matrix.",
]  # fmt: skip
