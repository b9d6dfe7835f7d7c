"""The words of the lesson on normalisation (pages/block/normalisation.py)."""

VIEWS = CUBE, COMPANIONS, TRAINED, LAYERS, SIZE = (
    "Who shares a mean", "Companions", "Trained with it", "In the model", "ε, size and shift",
)  # fmt: skip

LOOK_FOR = (
    "Pick a cell: LayerNorm lights the token's own row, BatchNorm the feature's column through all sentences. Take the "
    "other sentences away, and only BatchNorm changes what the same token becomes."
)

FORMULA = (
    r"\begin{gathered}\text{Layer, Batch:}\quad \residual{y} = \gamma \odot "
    r"\frac{\residual{x} - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta"
    r"\\[.5em]\mu = \frac1m\sum \residual{x},\quad \sigma^2 = \frac1m\sum(\residual{x} - \mu)^2"
    r"\\[.5em]\text{RMS:}\quad \residual{y} = \gamma \odot \frac{\residual{x}}{\sqrt{\frac1d\sum \residual{x}^2 + "
    r"\varepsilon}}\end{gathered}"
)

SNIPPET = """
import torch, transformer
from transformer.experiments.normalised import companions, moved, parts

model, tokenizer = transformer.load({model!r})
name = "layers.{layer}.resid_pre"  # what the norm before layer {layer}'s attention reads
batch = [model.run(tokenizer.encode(text), record=name).trace[name][0, :{tokens}] for text in {sentences!r}]
x = torch.stack(batch)             # [batch, token, feature]
for kind in ("layer", "rms", "batch"):
    one = parts(kind, x, {eps})
    print(kind, one.mean[{cell}].item(), one.variance[{cell}].item(), one.out[{cell}].item())
print("moved", moved(companions("batch", x.flatten(0, 1), {eps})))
"""


def prose(width: int, four: float, real: int, wide: float) -> dict[str, str]:
    """What happens, why it matters, the catch. four, wide: σ with 1/(d − 1) over σ with 1/d, less 1, at 4 and ``real``."""
    return {
        "what": "All three divide by a size, and two of them first subtract a mean; they differ in *whose* numbers "
                f"these are. LayerNorm and RMSNorm take the {width} features of one token, so a token is alone with "
                "itself. BatchNorm takes one feature of all tokens in the batch. Then $\\gamma$ and $\\beta$, "
                "learned, one for each feature, give back what scale and offset the next layer wants. BatchNorm "
                "keeps running averages while training and uses those afterwards (eval), so it is two different "
                "functions.",
        "why": "A batch of one token leaves BatchNorm nothing: $\\sigma^2 = 0$ and every output is $\\beta$; of two, "
               "only signs survive. A language model is worse off still: padding counts as data, later tokens reach "
               "earlier ones through the mean, so a causal model can cheat in training, and generation reads one "
               "token at a time. LayerNorm does the same at every batch size, length and mode. RMSNorm drops the "
               "mean: one pass less, one parameter less a feature, and in practice no worse.",
        "catch": "$\\varepsilon$ sits **inside** the root: $\\sqrt{\\sigma^2 + \\varepsilon}$, so it counts as "
                 "soon as $\\sigma$ is near $\\sqrt\\varepsilon$, not $\\varepsilon$. $\\sigma^2$ is the **biased** "
                 f"estimate, divided by $d$. With Bessel's $d - 1$ the root would be {four:.1%} larger at $d = 4$, "
                 f"where hand calculations disagree, and {wide:.3%} at $d = {real}$, SmolLM2's, where no test would "
                 "see it. (torch normalises with the biased one and, in BatchNorm, keeps the unbiased one for eval.) "
                 "And RMSNorm does **not centre**: a number added to every feature changes its direction.",
    }  # fmt: skip


def predict(word: str, layer: int, raw: float, share: float, width: int, after: float) -> dict[str, object]:
    """One question about the loudest feature of a token: raw before the norm, ``share`` of Σ x², ``after`` behind it."""
    size = f"{raw:,.0f}" if raw >= 100 else f"{raw:.3g}"
    options = ["1: a norm makes everything that size", f"{after:.3g}", f"{size}: a norm keeps the loudest as it is"]
    return {
        "question": f"Before layer {layer} the largest of the {width} features of “{word}” is {size} in size, and "
                    f"its square is {share:.0%} of the sum of all squares. How large is it after RMSNorm, before γ?",
        "options": options, "answer": options[1],
        "reveal": f"Its square is {share:.3f} of Σ x², and after the norm Σ x̂² = d = {width}. So |x̂| = "
                  f"√({share:.3f} · {width}) = {after:.3g}, and no feature can ever exceed √d = {width ** 0.5:.3g}, "
                  f"however loud it was. The other {width - 1} features together keep {1 - share:.1%}: their rms is "
                  f"{((1 - share) * width / (width - 1)) ** 0.5:.2f}. One loud feature turns the rest of its token "
                  "down.",
    }  # fmt: skip


INTERVIEW = [
    ("Why do Transformers use LayerNorm and not BatchNorm? Give reasons that would break a language model.",
     "Statistics over the batch tie texts together: the same sentence comes out differently with other companions, "
     "padding is counted, and in a causal model the mean over positions carries the future into the past, so "
     "training loss is a cheat. Text statistics also vary more from batch to batch than images', so running averages "
     "fit badly, and training and eval compute different functions. At generation the batch may be one token: σ² = 0 "
     "in training mode. LayerNorm needs nothing but the token."),
    ("RMSNorm drops the mean. What invariance is lost, what is kept, and why does it work?",
     "LayerNorm is invariant to x → a·x + c·1 (a > 0). RMSNorm keeps the scale: N(a·x) = N(x), up to ε. It loses the "
     "shift: adding c to each feature changes the direction. That costs little because the mean of a stream is small "
     "beside its rms (the third panel of “In the model”), and LayerNorm only projects out one direction of d, which "
     "weights can do. It saves a reduction and β. Both make the block's input independent of the stream's growing "
     "length, while the stream itself is never normalised in a pre-norm model (next lesson: “Where the norm goes”)."),
    ("Derive the gradient through LayerNorm. What does it say about large activations?",
     "With $\\hat x = (x - \\mu)/s$, $s = \\sqrt{\\sigma^2 + \\varepsilon}$ and $g = \\gamma \\odot \\partial "
     "L/\\partial y$: $\\partial L/\\partial x = \\frac1s\\,(g - \\bar g - \\hat x\\,\\overline{g \\odot \\hat "
     "x})$, bars being means over features. The part along 1 and along $\\hat x$ is removed, the rest is scaled by "
     "1/s: the larger the input, the smaller its gradient, so updates slow down as weights before a norm grow. "
     "RMSNorm has the same without $\\bar g$. It is not element-wise: one outlier feature sets s for all, and "
     "shrinks the other features of that token."),
    ("Where exactly is ε, and when does its place show?",
     "Under the root, added to the variance: √(σ² + ε). With ε = 10⁻⁵ it begins to count when σ ≈ 0.003, not "
     "0.00001. Embeddings of small models come near it. A port that writes σ + ε, or takes 10⁻⁶ for 10⁻⁵, agrees on "
     "large activations and drifts on small ones; in float16 10⁻⁸ is 0."),
]  # fmt: skip

SOURCES = [
    "Ba, Kiros, Hinton 2016, [Layer Normalization](https://arxiv.org/abs/1607.06450).",
    "Ioffe & Szegedy 2015, [Batch Normalization](https://arxiv.org/abs/1502.03167).",
    "Zhang & Sennrich 2019, [Root Mean Square Layer Normalization](https://arxiv.org/abs/1910.07467).",
    "Shen et al. 2020, [PowerNorm: Rethinking Batch Normalization in "
    "Transformers](https://arxiv.org/abs/2003.07845): how text statistics vary from batch to batch.",
    "Sun et al. 2024, [Massive Activations in Large Language Models](https://arxiv.org/abs/2402.17762): single "
    "features of the first token.",
]
