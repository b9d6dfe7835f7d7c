"""The words of the lesson on where the norm goes (pages/block/placement.py)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from charts.depth import Spread
from pages.block.depths import power
from transformer.experiments.depth import DEPTHS
from transformer.training.depth import LAYERS, RATES, WARMUPS, key

VIEWS = GRADIENT, BLOCKS, WARMUP, FINAL, MODEL = (
    "Gradient by layer", "The three blocks", "Warm-up", "Without the final norm", "In a trained model",
)  # fmt: skip
PLACES = "pre", "post", "sandwich"
WAY = "taken out"
FACTS = {"entropy": "entropy, nats", "loss": "−log p of the word that follows, nats",
         "spread": "standard deviation of the logits", "sigma": "σ, what the norm divides by"}  # fmt: skip
CLOSE = 0.1  # nats: a run that stays this close to the frequencies alone has learned nothing else

LOOK_FOR = {
    GRADIENT: "Drag the depth. In **pre-norm** the last layers' gradient shrinks as the stack gets deeper, because the stream "
    "has grown; in **post-norm** it stays as large as in a shallow stack, however deep.",
    BLOCKS: "Follow the thick line: only **post-norm** has a norm standing on it. In the other two the line runs through "
    "untouched, and gets thicker layer by layer.",
    WARMUP: "**Post-norm, 8 layers**: with warm-up it learns, without it the loss stays at what knowing only how often each character "
    "occurs would give. Now change the norm, the depth or the rate: the failure has its place, and it is not everywhere.",
    FINAL: "Choose **not divided by σ**: the answer stays, but the logits are tens of times too large and it becomes a certainty. "
    "**Without γ** alone the answer is another. **Taken out** is both at once: certain, and mostly of another word.",
    MODEL: "The stream grows layer by layer, and what a layer adds, measured against it, falls steeply over the first few "
    "layers. From then on each layer turns a token only a little. The first token is its own story.",
}

FORMULA = {
    GRADIENT: r"\begin{gathered}\text{pre}\quad \residual{x_{l+1}} = \residual{x_l} + F(N(\residual{x_l}))"
    r"\\[.4em]\text{post}\quad \residual{x_{l+1}} = N(\residual{x_l} + F(\residual{x_l}))"
    r"\\[.4em]\text{sandwich}\quad \residual{x_{l+1}} = \residual{x_l} + N(F(N(\residual{x_l})))"
    r"\\[.4em]N\text{: the norm; }F\text{: attention or FFN}\end{gathered}",
    WARMUP: r"\text{lr}(t) = \text{peak}\cdot\min(1,\ t / \text{warm-up})",
    FINAL: r"\begin{gathered}\output{\ell} = W_U\,(\residual{\gamma} \odot \residual{x} / \sigma)\\[.4em]"
    r"\sigma = \sqrt{\tfrac1d\textstyle\sum_i \residual{x_i}^2 + \varepsilon}\\[.4em]\text{not divided: }"
    r"\output{\ell'} = \sigma\,\output{\ell}\\[.2em]\text{(a temperature of }1/\sigma)\end{gathered}",
    MODEL: r"\begin{gathered}\residual{x_{l+1}} = \residual{x_l} + \residual{\Delta x_l}\\[.5em] "
    r"\frac{\lVert\residual{\Delta x_l}\rVert}{\lVert\residual{x_l}\rVert},\qquad "
    r"1 - \cos(\residual{x_l}, \residual{x_{l+1}})\end{gathered}",
}  # fmt: skip
FORMULA[BLOCKS] = FORMULA[GRADIENT]

SNIPPET = {
    GRADIENT: """
import transformer
from transformer.experiments import depth

ids = depth.bytes_of({text})
for seed in depth.SEEDS:
    model = transformer.build(depth.config({layers}, {place}), seed).double()
    found = depth.measure(model, ids)
    print(seed, "weights", found.weights[0].item(), found.weights[-1].item(), "stream", found.stream[-1].item())
""",
    BLOCKS: """
import transformer
from transformer.experiments import depth

for place in ("pre", "post", "sandwich"):
    model = transformer.build(depth.config({layers}, place), 0)
    for node in depth.block_sizes(model, depth.bytes_of({text}), layer={layers} // 2):
        print(place, node.name, node.size)
""",
    WARMUP: """
from transformer.training import depth

for warmup in (0, {warmup}):
    for report in depth.train({layers}, {rate}, warmup, seed=0, place={place}):
        print(warmup, report.step, report.loss, report.grad_norm, report.held_out)
""",
    FINAL: """
import transformer
from transformer.experiments import final_norm

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
for way in ("as trained", {way}):
    found = final_norm.said(model, ids, way)
    print(way, "entropy", found.entropy[-1].item(), "spread", found.spread[-1].item(), "sigma", found.sigma[-1].item())
    print(tokenizer.pieces(found.p[-1].topk(5).indices.tolist()))
""",
    MODEL: """
import torch, transformer
from transformer.experiments import depth

model, tokenizer = transformer.load({model})
trace = model.run(tokenizer.encode({text}), record="layers.*.resid_p*").trace
last = model.config.n_layers - 1
X = torch.cat([trace[f"layers.{{i}}.resid_pre"] for i in range(last + 1)] + [trace[f"layers.{{last}}.resid_post"]])
found = depth.flow(X)
print(found.stream[{token}], found.written[{token}], found.turned[{token}])
""",
}

IN_MODEL = {
    "pre": "{title} is pre-norm: what the layers add piles up in the stream, and each reads it through a norm, so that only "
    "its direction counts. Thin lines are the other tokens of your text. A sudden jump is "
    "one layer "
    "that writes a huge vector, nearly always at the first token, where heads rest.",
    "post": "{title} is post-norm: each layer ends in a norm, so its stream is as large at the end as at the beginning, and "
    "every layer can turn it by as much. Choose SmolLM2 at the left for a pre-norm model.",
}


TELLING = key("post", 8, 3e-3, WARMUPS[1])  # the setting in which warm-up decides


class Seen(NamedTuple):
    """What the words speak of, all of it recorded."""

    start: Mapping[str, Mapping[str, Spread]]
    final: Mapping[str, Mapping[str, list]]
    runs: Mapping[str, Mapping[str, list]]
    blind: float  # the loss of frequencies alone
    flow: Mapping[str, list]  # in SmolLM2 [first or last token, layer]

    def gradient(self, place: str, layers: int) -> float:
        """Of the last layer's weights."""
        return float(self.start[place]["weights"][0][DEPTHS.index(layers), layers - 1])

    def at(self, place: str, field: str, layers: int, layer: int) -> float:
        return float(self.start[place][field][0][DEPTHS.index(layers), layer])

    def learned(self, place: str, layers: int, rate: float, warmup: int) -> bool:
        held_out = [x for x in self.runs[key(place, layers, rate, warmup)]["held_out"] if x is not None]
        return bool(held_out) and float(np.median(held_out)) < self.blind - CLOSE

    def apart(self, warmup: int, report: int) -> float:
        """What tells tokens apart at the top of post-norm's 8 layers, the rate at 0.003."""
        return self.runs[key("post", 8, 3e-3, warmup)]["apart"][report]

    def decided(self, place: str) -> list[str]:
        """Settings in which only the run with warm-up learned."""
        return [f"{layers} layers at {rate:g}" for layers in LAYERS for rate in RATES
                if self.learned(place, layers, rate, WARMUPS[1])
                and not self.learned(place, layers, rate, WARMUPS[0])]  # fmt: skip


def verdict(place: str, layers: int, rate: float, found: Mapping[str, np.ndarray], blind: float) -> str:
    """What happened at this setting, in one line."""
    said, learned = [], {}
    for way, losses in found.items():
        there = losses[np.isfinite(losses)]
        if not there.size:
            said.append(f"{way} no run came to its end")
            learned[way] = False
            continue
        middle = float(np.median(there))
        learned[way] = middle < blind - CLOSE
        said.append(f"{way} {middle:.2f} ({there.min():.2f} to {there.max():.2f})")
    both, neither = all(learned.values()), not any(learned.values())
    outcome = (
        "Both learn: here nothing hangs on warm-up." if both
        else "Neither learns: at this depth and rate 100 steps of warm-up do not save it." if neither
        else "**Warm-up decides.**" if learned["with warm-up"] else "Only the run without warm-up got away in this time."
    )  # fmt: skip
    return (f"Recorded, on the part of the play that nobody trained on, {place}-norm, {layers} layers, peak {rate:g}: "
            f"{'; '.join(said)} nats a character. Frequencies alone give {blind:.2f}. {outcome}")  # fmt: skip


def prose(seen: Seen) -> dict[str, str]:
    shallow, deep = 4, 48
    pre = [seen.gradient("pre", n) for n in (shallow, deep)]
    post = [seen.gradient("post", n) for n in (shallow, deep)]
    final = {way: of for way, of in seen.final.items()}
    loss = {way: float(np.nanmean(np.array(of["loss"][:-1], dtype=float))) for way, of in final.items()}
    where, cases = seen.decided("post"), len(LAYERS) * len(RATES)
    return {
        "what": "A sublayer $F$ (attention or FFN) and a sum: the norm can stand before $F$, behind the sum, or on both sides "
        "of $F$. Behind the sum it stands **on** the stream, so every gradient passes through every norm. Before $F$ "
        "it stands "
        "on a branch: the stream is a plain sum, and a gradient gets from the top to the bottom untouched. Two "
        "gradients are "
        "easily confused. $\\partial L/\\partial W$ is what the optimiser is given; $\\partial L/\\partial x$ is what "
        "is passed down. "
        f"At the start, from {shallow} to {deep} layers, the last layer's $\\lVert\\partial L/\\partial W\\rVert$ "
        f"goes from {pre[0]:.2f} to "
        f"{pre[1]:.2f} in pre-norm, close to the $1/\\sqrt{{L}}$ of theory for $L$ layers ({pre[0] * (shallow / deep) ** 0.5:.2f}), "
        f"and from "
        f"{post[0]:.2f} to {post[1]:.2f} in post-norm.",
        "why": "The 2017 Transformer is post-norm and needs warm-up; nearly all large models since GPT-2 are pre-norm and are "
        f"more forgiving. Trained here: of {cases} settings of post-norm, warm-up decides in {len(where)} "
        f"({'; '.join(where) or 'none'}); "
        f"of {cases} of pre-norm in {len(seen.decided('pre'))}. At lower rates post-norm does without warm-up, at "
        f"higher ones or "
        "more layers 100 steps of it are not enough: a larger model has the same boundary elsewhere. Pre-norm leaves "
        "the stream "
        "at whatever size it has grown to, so the last thing before $W_U$ must be a norm: taken out of SmolLM2, the "
        "loss on its "
        f"sentence goes from {loss['as trained']:.2f} to {loss['taken out']:,.0f} nats a token.",
        "catch": "Pre-norm is not free. Its stream grows with depth while each branch writes about as much as the last, so late "
        f"layers change it less and less: in an untrained stack of {deep} the first layer turns a token by "
        f"{seen.at('pre', 'turned', deep, 0):.2f} (1 − cos), the last by "
        f"{seen.at('pre', 'turned', deep, deep - 1):.3f}; in post-norm by "
        f"{seen.at('post', 'turned', deep, 0):.2f} and {seen.at('post', 'turned', deep, deep - 1):.2f}. SmolLM2's "
        f"first layer adds "
        f"{seen.flow['written'][1][0]:.0f} times the length of the last word's stream, its middle one "
        f"{seen.flow['written'][1][15]:.2f} of it; "
        "training has made later layers write larger vectors, or they would do even less. And “post-norm's gradients "
        "vanish” is half the truth: near the output they are **large** at the start, which "
        "is what warm-up is for. What vanishes when it is left out is the difference between the tokens (second panel "
        "of Warm-up): "
        f"{power(seen.apart(0, -1))} of the stream after 200 steps, against {seen.apart(100, -1):.2f} with it.",
    }  # fmt: skip


def predict(seen: Seen) -> dict:
    way = seen.final["not divided by σ"]
    before, after = seen.final["as trained"], way
    sigma, tops = before["sigma"][-1], (before["top"][-1][0], after["top"][-1][0])
    options = ["the same, nearly certain", "the same, as sure as before", "another one"]
    return {
        "question": "SmolLM2 reads “The capital of France is”. Its final norm is kept but for one thing: the division by "
        f"$\\sigma = {sigma:.1f}$ is left out. Its likeliest next word becomes …",
        "options": options, "answer": options[0],
        "reveal": f"The division is one number for the whole token, so all logits are {sigma:.1f} times as large and none "
        f"overtakes another: “{tops[0].strip()}” stays first, and its probability goes from "
        f"{before['before'][-1][0]:.2f} to "
        f"{after['after'][-1][0]:.3f}, the entropy from {before['entropy'][-1]:.2f} to {after['entropy'][-1]:.3f} "
        f"nats. It is sampling "
        f"at a temperature of 1/{sigma:.1f}. Where the model is wrong it now is wrong with certainty: "
        "that is where the loss comes from.",
    }  # fmt: skip


def interview(seen: Seen) -> list[tuple[str, str]]:
    pre, post = ([seen.gradient(place, n) for n in (4, 16, 48)] for place in ("pre", "post"))
    grown = [seen.at("pre", "stream", 48, place) for place in (1, 48)]
    apart = {place: seen.at(place, "turned", 48, 47) for place in ("pre", "post")}
    return [
        ("Why does post-norm need warm-up and pre-norm (nearly) not?",
         "At the start the gradient of post-norm's last layers is of the size $O(d\\sqrt{\\ln d})$, $d$ the width, "
         "whatever the depth, in pre-norm "
         f"$1/\\sqrt{{L}}$ of it, since the final norm divides by a stream that has grown as $\\sqrt{{L}}$ (here, 4, "
         f"16, 48 layers: pre "
         f"{pre[0]:.2f}, {pre[1]:.2f}, {pre[2]:.2f}; post {post[0]:.2f}, {post[1]:.2f}, {post[2]:.2f}). Adam's first "
         f"steps have the length "
         "of the learning rate in every weight, in directions estimated from a few batches; near the output they move "
         "the function "
         "a lot, and the norms on the stream hand the change on to all that follows. A small first rate lets the "
         "statistics settle. "
         "In pre-norm one layer's step is diluted by the sum of all others."),
        ("What goes wrong inside a stack that does not get away from the start?",
         "In the Warm-up picture the stuck runs are not chaotic: they sit at the loss of character frequencies. In a "
         "few large first "
         "steps the stack has become blind to its input: what tells the tokens apart at the top falls to "
         f"{power(seen.apart(0, 9))} of the stream within 100 steps and stays at {power(seen.apart(0, -1))}, all "
         f"tokens come out alike, and "
         "only the frequencies of characters are learned; the gradient that would part them again is as small as "
         "their difference. "
         f"With warm-up it dips as well (to {min(seen.runs[TELLING]['apart']):.3f}) and comes back to "
         f"{seen.apart(100, -1):.2f}. It is no overflow, "
         "and clipping does not help."),
        ("Show with one line of calculus why pre-norm has a gradient highway and post-norm has not.",
         "Pre: $\\partial x_L/\\partial x_l = \\prod (1 + J_F J_N)$, which contains the 1 as a term. Post: "
         "$\\prod J_N(1 + J_F)$ "
         "with $J_N = \\frac{1}{\\sigma}(I - \\tfrac1d 11^\\top - \\tfrac1d \\hat x\\hat x^\\top)$, $\\hat x$ the norm's "
         "output before γ: each sum of "
         "two parts of equal "
         "size has $\\sigma \\approx \\sqrt2$, so the direct way keeps $1/\\sqrt2$ a sublayer, $2^{-L}$ over $L$ "
         "layers of two. What the picture shows at the bottom of a deep post-norm stack has come through the branches."),
        ("If pre-norm is so easy, why does anybody look for something else?",
         f"Because its late layers do little: the stream grows (here from {grown[0]:.1f} to {grown[1]:.1f} over 48 "
         f"layers) and a "
         f"branch of fixed size turns it less (the last layer by {apart['pre']:.3f}, in post-norm by "
         f"{apart['post']:.2f}). Post-norm, once "
         "it trains, is often a little better at the same size. Hence hybrids: sandwich (a norm on the branch's "
         "output too: CogView, "
         "Gemma 2), norms on the branch's output alone (OLMo 2, Swin v2), DeepNorm (post-norm with the skip scaled up "
         "and small "
         "weights). GPT-2 stays pre-norm and starts the matrices that write to the stream $\\sqrt{2L}$ times smaller, so "
         "that $2L$ branches add up to the size of one."),
        ("You rebuild a trained pre-norm model, load its weights, and the loss is in the hundreds. What did you forget?",
         "The final norm. Without it the logits are about $\\sigma$ times what the head was made for and the softmax is a "
         "one-hot: where it "
         "is wrong, $-\\log p$ is the gap between two logits. Leaving out only the division changes no argmax; "
         "leaving out $\\gamma$ changes "
         "the order, as it weighs the features. A logit lens (an earlier stream read off by $W_U$) needs it as well."),
    ]  # fmt: skip


SOURCES = [
    "Xiong et al. 2020, [On Layer Normalization in the Transformer Architecture](https://arxiv.org/abs/2002.04745): "
    "gradients at "
    "initialisation, and training without warm-up.",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762): post-norm, warm-up of 4000 "
    "steps.",
    "Liu et al. 2020, [Understanding the Difficulty of Training Transformers](https://arxiv.org/abs/2004.08249): it "
    "is not the "
    "vanishing gradient, but how much each layer's step is amplified.",
    "Ding et al. 2021, [CogView](https://arxiv.org/abs/2105.13290): the sandwich; Wang et al. 2022, "
    "[DeepNet](https://arxiv.org/abs/2203.00555): post-norm for 1000 layers.",
    "Noci et al. 2022, [Signal Propagation in Transformers](https://arxiv.org/abs/2206.03126): how tokens become "
    "alike in deep "
    "stacks at initialisation.",
]  # fmt: skip
