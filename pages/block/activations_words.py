"""The words of the lesson on activations (pages/block/activations.py)."""

from transformer.feedforward import Census

VIEWS = CURVES, AFTER, GATED, NEURONS = "The curves", "What they leave", "Gated variants", "Single neurons"

BEND = ("Nearly all real neurons sit in the short bend around 0, just where the curves differ: ReLU cuts the left half off, "
        "GELU and SiLU only turn it down.")  # fmt: skip
LOOK_FOR = {
    CURVES: BEND,
    AFTER: "The same neurons after each curve: ReLU leaves one tall bar at exactly 0; the smooth ones leave none "
           "there, but many small negative numbers.",
    NEURONS: "Follow one neuron along the text: one word makes it loud, another leaves it nearly silent.",
    GATED: "With a gate a neuron is a product: it speaks only where both numbers are large, and what flows back to "
           "the gate is as "
           "large as what goes through it.",
}  # fmt: skip

FORMULAS = {  # a line each, so that a phone has room
    "relu": (r"\operatorname{ReLU}(u) = \max(0, u)", r"\sigma'(u) = [u > 0]"),
    "gelu": (r"\operatorname{GELU}(u) = u\,\Phi(u)", r"\sigma'(u) = \Phi(u) + u\,\varphi(u),\quad \varphi = \Phi'"),
    "gelu_tanh": (
        r"\operatorname{GELU}_{\tanh}(u) = \tfrac12 u\,(1 + t)",
        r"v = \sqrt{2/\pi}\,(u + 0.044715\,u^3),\quad t = \tanh v",
        r"\sigma'(u) = \tfrac12 (1 + t) + \tfrac12 u\,(1 - t^2)\,v'",
    ),
    "silu": (
        r"\operatorname{SiLU}(u) = u\,s(u),\quad s(u) = \frac{1}{1 + e^{-u}}",
        r"\sigma'(u) = s\,(1 + u\,(1 - s))",
    ),
}


def gate(title: str) -> tuple[str, str]:
    """The formula of a gated FFN's neurons."""
    return (
        rf"\ffn{{a}} = \operatorname{{{title}}}(\ffn{{g}}) \odot \ffn{{u}}",
        r"\ffn{g} = \residual{\hat{x}'} W_g,\quad \ffn{u} = \residual{\hat{x}'} W_1",
    )


FAMILY = {  # of gates, by their names in transformer.experiments.gates
    "bilinear": r"\operatorname{bilinear}(g, u) = g\,u",
    "glu": r"\operatorname{GLU}(g, u) = \operatorname{sigmoid}(g)\,u",
    "reglu": r"\operatorname{ReGLU}(g, u) = \max(0, g)\,u",
    "geglu": r"\operatorname{GEGLU}(g, u) = g\,\Phi(g)\,u",
    "swiglu": r"\operatorname{SwiGLU}(g, u) = g\,\operatorname{sigmoid}(g)\,u",
}


def family(name: str) -> tuple[str, ...]:
    """The formula of a gate, of both its slopes, and of the width that keeps the number of parameters."""
    return (
        rf"\ffn{{a}} = {FAMILY[name]}",
        r"\frac{\partial a}{\partial g} = \sigma'(g)\,u, \quad \frac{\partial a}{\partial u} = \sigma(g)",
        r"3\,d\,d_{ff}' = 2\,d\,d_{ff}",
        r"d_{ff}' = \tfrac23 d_{ff} = \tfrac23 \cdot 4d = \tfrac83 d",
    )


FAMILY_SNIPPET = """
import torch, transformer
from transformer.experiments import gates

model, tokenizer = transformer.load({model})
names = ["layers.{layer}.ffn.gate", "layers.{layer}.ffn.pre"]
trace = model.run(tokenizer.encode({text}), record=names).trace
g, u = (trace[name][0] for name in names)                # [token, ff] each
for name in gates.GATES:
    print(name, gates.left(name, g, u))
print("a width of", gates.matched_width(4 * model.config.d_model), "has the parameters of 4 d =", 4 * model.config.d_model)
"""

SNIPPET = """
import torch, transformer
from transformer.feedforward import ACTIVATIONS, census, derivative

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
name = "layers.{layer}.ffn." + {tensor}
u = model.run(ids, record=name).trace[name][0]  # [token, ff], before the activation

for activation in ACTIVATIONS:
    print(activation, census(activation, u))

at = torch.tensor(-1.28, dtype=torch.float64)
print(ACTIVATIONS[{activation}](at), derivative({activation}, at))
"""


def prose(title: str, gated: bool, layer: int, relu: Census, gelu: Census, own: Census) -> dict[str, str]:
    """What happens, why it matters, the catch, with the shares of one layer's neurons."""
    through = (
        " Here the curve does not even act on the neuron: it opens a gate $\\ffn{g}$, and a second number "
        "$\\ffn{u}$ goes through it (SwiGLU)."
    )
    return {
        "what": "Every neuron of the FFN is one number per word, $u$. The activation is $u$ times a gate that $u$ "
                "opens itself: ReLU's gate is shut or open, GELU's is $\\Phi(u)$, the normal distribution "
                "function, SiLU's is sigmoid$(u)$, and both slide. Without it the two matrices around would collapse into "
                "one." + (through if gated else ""),
        "why": f"In layer {layer}, where this page opens, {relu.zero:.0%} of the neurons are not above 0. ReLU "
               f"would make each of them exactly 0 and send no gradient back through it. {title} is nearly flat for "
               f"{own.asleep:.1%} of "
               "them only, so nearly all can still learn from this text. Smooth curves train a little better; "
               "ReLU's true zeros, in return, need not be computed any further.",
        "catch": "“GELU and SiLU give sparse activations” is not true in the sense of ReLU: they are never 0 except "
                 "at "
                 f"$u = 0$. The zeros that float32 shows for GELU ({gelu.zero:.2%} in layer {layer}) are rounding, "
                 f"far out on "
                 "the left. And checkpoints know two GELUs: BERT uses the exact one, GPT-2 the tanh form. They "
                 "differ by less than 5·10⁻⁴, harmless for the text and fatal for a test that compares at 10⁻⁵.",
    }  # fmt: skip


def predict(layer: int, relu: Census, gelu: Census, silu: Census) -> dict[str, object]:
    """One question about one layer's neurons."""
    answer = "None, but for rounding in the last bits"
    return {
        "question": f"In layer {layer} of this model, {relu.zero:.0%} of the neurons are not positive. How many of "
                    f"them would "
                    "GELU set to exactly 0?",
        "options": ["All of them, like ReLU", "About half of them", answer],
        "answer": answer,
        "reveal": f"ReLU: {relu.zero:.2%} exactly 0. GELU: {gelu.zero:.2%}; where there are any, it is because "
                  "$1 + \\mathrm{erf}$ rounds to 0 in float32 below about −5.5. "
                  f"SiLU: {silu.zero:.2%}. Look at “{AFTER}”: the tall bar at 0 is ReLU's.",
    }  # fmt: skip


INTERVIEW = [
    ("Why do Transformers use GELU or SiLU, and not ReLU, sigmoid or tanh?",
     "They are smooth, and they let some gradient through for negative inputs, so a neuron that is pushed below 0 "
     "can come back. ReLU's slope there is exactly 0: if that happens on all data, the neuron is dead. The gain in "
     "loss is small but steady, and the cost is small beside the matrix products. ReLU has a virtue of its own: its "
     "zeros are exact and can be skipped. Sigmoid and tanh go flat on **both** sides, so large neurons stop learning; "
     "a sigmoid's slope is at most ¼, so over $L$ layers without residual paths it alone shrinks a gradient to $4^{-L}$ "
     "or less. First weights must fit the curve: ReLU lets half of $u^2$ through, so with $n$ inputs He's variance is "
     "$2/n$, not $1/n$."),
    ("What does a gated FFN (SwiGLU) change, and what does it cost?",
     "One more matrix: $(\\mathrm{SiLU}(xW_g) \\odot xW_1)W_2$. The gate decides by content, word by word, how much "
     "of a second linear reading passes. To keep the number of parameters, $d_{ff}$ is cut to two thirds: "
     "$\\tfrac23 \\cdot 4d = \\tfrac83 d$. SmolLM2 does exactly this: $d = 576$, $d_{ff} = 1536$."),
    ("GLU, ReGLU, GEGLU, SwiGLU, bilinear: what differs, and is the bilinear one linear?",
     "Only σ on the gate: sigmoid, ReLU, GELU, SiLU, nothing. Bilinear is **not** linear: it multiplies two linear "
     "readings of "
     "the same $x$, so it is quadratic in $x$, and stacked layers do not collapse. ReGLU alone makes exact zeros; at "
     "those both "
     "slopes are 0 as well. With sigmoid (GLU) a gate can only turn down, $0 < \\sigma < 1$; with the others it also "
     "amplifies "
     "and, with GELU and SiLU, turns a sign around a little. Back to the gate flows $\\sigma'(g)\\,u$: where $u$ is "
     "0, a gate "
     "learns nothing, however wrong it is."),
    ("Exact or tanh GELU: does it matter which one you load a checkpoint with?",
     "They differ by less than 5·10⁻⁴ for any input, so text hardly changes. But errors of that size add up over "
     "layers and break any comparison at 10⁻⁵, so a port of GPT-2 (tanh) or BERT (exact) must use the right one."),
]  # fmt: skip

SOURCES = [
    "Hendrycks & Gimpel 2016, [Gaussian Error Linear Units](https://arxiv.org/abs/1606.08415): GELU, its tanh form, "
    "SiLU.",
    "Shazeer 2020, [GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202): GEGLU, SwiGLU, the two-thirds "
    "rule.",
    "Dauphin, Fan, Auli & Grangier 2017, [Language Modeling with Gated Convolutional "
    "Networks](https://arxiv.org/abs/1612.08083): GLU, and the bilinear gate.",
    "Ramachandran, Zoph & Le 2017, [Searching for Activation Functions](https://arxiv.org/abs/1710.05941): SiLU as "
    "“Swish”.",
    "Nair & Hinton 2010, [Rectified Linear Units](https://icml.cc/Conferences/2010/papers/432.pdf).",
]
