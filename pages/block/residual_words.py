"""The words of the lesson on the residual path (pages/block/residual.py)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charts.depth import Spread
from pages.block.depths import power
from transformer.experiments.depth import DEPTHS
from transformer.experiments.paths import counts, mean_length
from transformer.training.depth import key

VIEWS = SIGNAL, TRAIN, CUT, ALIKE, PATHS = (
    "Signal and gradient", "Training", "One layer of a model", "All tokens alike", "Paths",
)  # fmt: skip
VARIANTS = {"skip, norm": ("layer", 1.0), "no skip, norm": ("layer", 0.0), "skip, no norm": ("none", 1.0), "neither": ("none", 0.0)}
CUTS = "skip the layer", "no residual", "no residual around attention", "no residual around the FFN"
CLOSE = 0.1  # nats: a run that stays this close to the frequencies alone has learned nothing else


def stack(layers: int) -> str:
    return f"untrained, {layers} layer{'s' if layers > 1 else ''}"


STACK = stack(24)

LOOK_FOR = {
    SIGNAL: "Drag the depth and compare. **With skip and norm** signal and gradient change slowly, however deep. **Without skip** the "
    "norms keep the signal's size, but what tells the tokens apart is gone after a few layers. **Without norm** all "
    "grows or "
    "fades by a factor a layer.",
    TRAIN: "At two layers a norm alone still lets something through. From four on only stacks **with skip connections** learn more "
    "than how often each character occurs, and at twelve the skip needs the norm, too. The second panel "
    "shows what **no skip, norm** loses: the difference between the tokens.",
    CUT: "Step through the layers of a trained model. **Skip the layer**: hardly anything happens, at most layers. **No "
    "residual**: the answer is gone, at whatever layer.",
    ALIKE: "Take the skip connections of a trained model away bit by bit: at 0 all tokens of the sentence become one and the same "
    "vector within a few layers, and attention has nothing left to choose from.",
    PATHS: "Grey: nearly all paths go through about half of the sublayers. Green: the gradient of an untrained stack came by far "
    "shorter ones. Then choose the trained model: there the paths work against each other.",
}

FORMULA = {
    SIGNAL: r"\begin{gathered}\residual{x_{l+1}} = \residual{x_l} + F_l(\residual{x_l})\\[.4em]"
    r"\frac{\partial \residual{x_L}}{\partial \residual{x_l}} = \prod_{i=l}^{L-1}\Big(1 + \frac{\partial "
    r"F_i}{\partial \residual{x_i}}\Big) "
    r"= 1 + \ldots\\[.4em]\text{without skip: }\ \prod_{i=l}^{L-1}\frac{\partial F_i}{\partial "
    r"\residual{x_i}}\end{gathered}",
    TRAIN: r"\begin{gathered}\text{skip: }\ \residual{x_{l+1}} = \residual{x_l} + F_l(\residual{x_l})\\[.4em]\text{no skip: }\ "
    r"\residual{x_{l+1}} = F_l(\residual{x_l})\end{gathered}",
    CUT: r"\begin{gathered}\text{skip the layer: }\ \residual{x_{l+1}} = \residual{x_l}\\[.4em]\text{no residual: }\ "
    r"\residual{x_{l+1}} = F_l(\residual{x_l})\end{gathered}",
    ALIKE: r"\begin{gathered}\residual{x_{l+1}} = s\,\residual{x_l} + F_l(\residual{x_l})\\[.5em] "
    r"\frac{\lVert \residual{X} - 1\residual{\bar x}^\top\rVert}{\lVert \residual{X}\rVert}\end{gathered}",
    PATHS: r"\begin{gathered}\prod_{s=1}^{m}(1 + J_s^\top)\,g = g + \sum_s J_s^\top g\\[.2em]"
    r"{} + \sum_{s<t} J_s^\top J_t^\top g + \ldots = \sum_{k=0}^{m} \value{G_k}\\[.4em]"
    r"\tbinom{m}{k}\text{ paths of length }k,\quad 2^m\text{ in all}\end{gathered}",
}  # fmt: skip

SNIPPET = {
    SIGNAL: """
import transformer
from transformer.experiments import depth

ids = depth.bytes_of({text})
for seed in depth.SEEDS:
    model = transformer.build(depth.config({layers}, norm={norm}), seed).double()
    found = depth.measure(model, ids, share={share})     # of the stream that skips each sublayer
    print(seed, "signal", found.stream[-1].item(), "gradient", found.signal[0].item(), "apart", found.apart[-1].item())
""",
    TRAIN: """
from transformer.training import depth

for share in (1.0, 0.0):                                 # with and without skip connections
    for report in depth.train({layers}, {rate}, depth.WARMUP, seed=0, share=share):
        print(share, report.step, report.loss, report.held_out)
""",
    CUT: """
import transformer
from transformer.experiments import skipping

model, tokenizer = transformer.load({model})
for row in skipping.skipped(model, tokenizer.encode({text})):
    print(row.layer, dict(zip(skipping.CUTS, row.loss.tolist())))
    if row.layer == {layer}:
        print(tokenizer.pieces(row.ids[{cut}].tolist()), row.after[{cut}])
""",
    ALIKE: """
import transformer
from transformer.experiments import skipping

model, tokenizer = transformer.load({model})
found = skipping.collapse(model, tokenizer.encode({text}), share={share})
print(found.apart, found.loss)
""",
    PATHS: """
import transformer
from transformer.experiments import paths

model, tokenizer = transformer.load({model})
found = paths.split(model, tokenizer.encode({text}))
print("sum", found.share.sum().item(), found.share, found.size)
""",
}


class Seen(NamedTuple):
    """What the words speak of, all of it recorded."""

    start: Mapping[str, Mapping[str, Spread]]
    cuts: Mapping[str, list]
    paths: Mapping[str, Mapping]
    trained: Mapping[str, Mapping]

    def at(self, variant: str, field: str, layers: int, place: int) -> float:
        return float(self.start[key(*VARIANTS[variant])][field][0][DEPTHS.index(layers), place])

    def loss(self, variant: str, layers: int) -> float:
        """Held out, the middle seed."""
        return float(np.median(np.array(self.trained["runs"][key(*VARIANTS[variant], layers)]["held_out"], dtype=float)))

    def cut(self, kind: str) -> np.ndarray:
        """The loss with each layer cut this way [layer]."""
        return np.array(self.cuts["loss"])[:, CUTS.index(kind)]

    def mean_path(self, layers: int) -> float:
        return mean_length(np.mean(self.paths["untrained"][str(layers)]["share"], 0))


def verdict(layers: int, found: Mapping[str, np.ndarray], blind: float) -> str:
    """What happened at this depth, in one line."""
    said, stuck = [], []
    for way, losses in found.items():
        there = losses[np.isfinite(losses)]
        if not there.size:
            said.append(f"{way}: no run came to its end")
            continue
        said.append(f"{way} {np.median(there):.2f} ({there.min():.2f} to {there.max():.2f})")
        if np.median(there) > blind - CLOSE:
            stuck.append(way)
    outcome = f" Nothing but frequencies was learned with: {'; '.join(stuck)}." if stuck else " All of them learn at this depth."
    return (f"Recorded, {layers} layers, on the part of the play that nobody trained on, nats a character: {', '.join(said)}. "
            f"Frequencies alone give {blind:.2f}.{outcome}")  # fmt: skip


def prose(seen: Seen) -> dict[str, str]:
    skipped, removed, whole = seen.cut(CUTS[0]), seen.cut(CUTS[1]), seen.cuts["whole"]
    mild = int((skipped < whole + 1).sum())
    collapse = seen.cuts["collapse"]["0.0"]["apart"]
    return {
        "what": "A residual connection adds a sublayer's output to its input, so a layer need not carry what came before, only "
        "say what should change. Going back, $\\partial x_L/\\partial x_l$ is a product of $(1 + J)$, $J$ the "
        "derivative of one sublayer: multiplied out, the first term is 1, and "
        "a gradient arrives at the bottom whatever the layers do. Without it the product has nothing but $J$. In an "
        "untrained stack of "
        f"48 layers with neither skip nor norm the signal ends at {power(seen.at('neither', 'stream', 48, 48))} and "
        f"the gradient at the first "
        f"layer at {power(seen.at('neither', 'signal', 48, 0))}; with skips alone the signal grows to "
        f"{power(seen.at('skip, no norm', 'stream', 48, 48))}; with both it is "
        f"{seen.at('skip, norm', 'stream', 48, 48):.1f}.",
        "why": f"Nothing deep trains without them, unless it is started with great care (Sources): at 8 layers "
        f"the loss is {seen.loss('skip, norm', 8):.2f} nats a character with skip connections and "
        f"{seen.loss('no skip, norm', 8):.2f} without, where {seen.trained['made']['blind']:.2f} is what knowing the "
        f"frequency of each character "
        f"gives. In SmolLM2, cut at one layer of {len(removed)}: without its residual path the loss goes from "
        f"{whole:.2f} to between "
        f"{removed.min():.1f} and {removed.max():.1f} nats a token. Skip the layer instead, so that the path is all "
        f"that stays, "
        f"and at {mild} of the {len(skipped)} layers it rises by less than 1. The stream is the model's memory: "
        f"layers edit it, and since it is a sum, so is each logit: with the last norm's σ held as it came out, each "
        f"sublayer has its share of it.",
        "catch": "“They cure the vanishing gradient” is not the whole story: norms do that as well. Look at **no skip, norm**: signal and "
        "gradient keep their size, and still nothing is learned. What dies is the **difference between tokens**: "
        "attention averages, "
        f"and an average of averages is the same for all (rank collapse). In SmolLM2 without any skip what tells "
        f"tokens apart falls "
        f"from {collapse[0]:.2f} to {power(collapse[-1])} of the stream. And skip connections alone are not enough, "
        f"either: without a norm a branch writes in proportion to what it reads, and the variance grows by a factor a "
        "layer; behind a norm it writes the same amount whatever the stream, and the variance grows by a summand (which "
        "GPT-2 holds down: what writes to the stream starts $\\sqrt{2L}$ times smaller).",
    }  # fmt: skip


def predict(seen: Seen) -> dict:
    skipped, removed, whole = seen.cut(CUTS[0]), seen.cut(CUTS[1]), seen.cuts["whole"]
    mild = float((skipped < whole + 1).mean())
    options = ["about a tenth", "about half", "nearly all but a few"]
    answer = options[2] if mild > 0.75 else options[1] if mild > 0.3 else options[0]
    worst = int(skipped.argmax())
    return {
        "question": f"SmolLM2 has {len(skipped)} layers. One at a time is skipped: its input goes on as its output. At how many "
        "of them does the loss on “The capital of France is” rise by less than 1 nat a token?",
        "options": options, "answer": answer,
        "reveal": f"{int(mild * len(skipped) + 0.5)} of {len(skipped)}. The worst is layer {worst} ({whole:.2f} → {skipped[worst]:.2f}); the "
        "first layers make something of the bare embeddings, and one in the middle writes the huge first token that "
        "heads rest "
        f"on. Without its residual path, instead, even the mildest layer costs {removed.min() - whole:.1f} nats.",
    }  # fmt: skip


def interview(seen: Seen) -> list[tuple[str, str]]:
    of_paths = {layers: seen.mean_path(layers) for layers in (8, 24)}
    short = float(counts(48)[:13].sum())
    shares = np.mean(seen.paths["untrained"]["24"]["share"], 0)
    model = seen.paths["model"]
    return [
        ("Norms already keep the signal's and the gradient's size. Why are residual connections still needed?",
         "Size is not content. Without skips each layer replaces the tokens by mixtures of them: the remainder $X - "
         "1\\bar x^\\top$ "
         f"shrinks at every attention (Dong et al.: doubly exponentially for attention alone; here, 16 layers with "
         f"norm and FFN, from "
         f"{seen.at('no skip, norm', 'apart', 16, 0):.2f} to {power(seen.at('no skip, norm', 'apart', 16, 16))}, with "
         f"skips to "
         f"{seen.at('skip, norm', 'apart', 16, 16):.2f}). A norm rescales the whole vector, most of which is shared "
         f"by all tokens, so it "
         "cannot bring the difference back. The gradient that is left says the same for each token."),
        ("Derive the gradient through L residual blocks. Where exactly does the 1 come from, and when does it not "
         "help?",
         "$x_{l+1} = x_l + F_l(x_l)$ gives $I + J_l$ for one block, and $\\prod(I + J_l) = I + \\sum J_l + \\sum "
         "J_iJ_j + \\ldots$ for "
         "all: the $I$ is the path around every sublayer. It guarantees a term, not a size: others may cancel it, or "
         "outgrow it. "
         f"Without norms the sum outgrows it (48 layers: gradient {power(seen.at('skip, no norm', 'signal', 48, 0))} "
         f"at the bottom). With the norm "
         "behind the sum (post-norm) the path leads through the norms and the 1 is multiplied by each one's slope."),
        ("In what sense is a residual network an ensemble, and what speaks against it?",
         f"$m$ sublayers are $2^m$ paths, and their lengths are binomial: of 48 sublayers only {100 * short:.2f} % of "
         f"the paths have 12 or "
         f"fewer. Yet in the untrained stack {100 * shares[:13].sum():.0f} % of the gradient comes by these (its mean "
         f"length is "
         f"{of_paths[24]:.1f} of 48, at 16 sublayers {of_paths[8]:.1f}). So it trains like a shallow net. But a "
         f"trained Transformer is no "
         f"sum of independent voters: in SmolLM2 the paths of one length carry up to {max(model['size']):,.0f} times "
         f"the gradient, "
         "nearly all of which cancels against other lengths; and each sublayer reads what earlier ones wrote."),
        ("You may skip any one layer of a trained model at little cost. So can you drop ten?",
         "No: one skipped layer leaves a stream that the next layers, trained to refine it, largely repair "
         "(self-repair); the errors "
         "of several add up and meet layers that never saw such input. Some are not replaceable at all: the first "
         "layers, and the "
         "one that writes the large vector of the first token. Pruning by effect works for some of the middle and "
         "late layers, "
         "best with a little training afterwards; stochastic depth trains for it."),
        ("How does the size of the stream grow with depth at the start, and how is it held?",
         f"Branches that read through a norm write about the same variance $v$ each, so $L$ layers of two make $v_0$, "
         f"the embedding's, into $v_0 + 2Lv$, and the size grows as $\\sqrt{{L}}$: here "
         f"{seen.at('skip, norm', 'stream', 48, 12):.1f} after 12 layers, {seen.at('skip, norm', 'stream', 48, 48):.1f} "
         f"after 48. Without norms each writes a share $r$ of what it reads: $v_0(1 + r)^{{2L}}$. "
         f"GPT-2 starts the writing matrices $\\sqrt{{2L}}$ times smaller; "
         "ReZero and LayerScale write $x + \\alpha F(x)$ with a learned $\\alpha$ that starts at 0 or near it, so that at "
         "the start the stack is (nearly) the identity. The price: with $\\alpha = 0$ the weights in $F$ get no gradient "
         "until $\\alpha$ has moved."),
        ("What does a model lose if the skip is around attention and FFN together instead of each?",
         "The FFN would read only what attention wrote, not the token itself; its own row would have to be carried by "
         "attention's "
         "weights. Two short branches also give twice as many paths of length one. Parallel blocks (GPT-J, PaLM) keep "
         "both reading "
         "the stream, $x + A(x) + F(x)$: one norm and one sum fewer, nearly the same quality."),
    ]  # fmt: skip


SOURCES = [
    "He et al. 2016, [Deep Residual Learning](https://arxiv.org/abs/1512.03385) and [Identity "
    "Mappings](https://arxiv.org/abs/1603.05027).",
    "Veit, Wilber & Belongie 2016, [Residual Networks Behave Like Ensembles of Relatively Shallow "
    "Networks](https://arxiv.org/abs/1605.06431): paths, and layers skipped one by one.",
    "Dong, Cordonnier & Loukas 2021, [Attention is not all you need: pure attention loses rank doubly exponentially "
    "with "
    "depth](https://arxiv.org/abs/2103.03404).",
    "Noci et al. 2022, [Signal Propagation in Transformers](https://arxiv.org/abs/2206.03126); He et al. 2023, [Deep "
    "Transformers without Shortcuts](https://arxiv.org/abs/2302.10322): what it takes to train without them.",
    "Bachlechner et al. 2020, [ReZero](https://arxiv.org/abs/2003.04887); Touvron et al. 2021, "
    "[LayerScale](https://arxiv.org/abs/2103.17239): branches that start at (nearly) nothing.",
    "McGrath et al. 2023, [The Hydra Effect](https://arxiv.org/abs/2307.15771): later layers make up for one that is "
    "missing.",
]  # fmt: skip
