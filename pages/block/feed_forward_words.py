"""The words of the lesson on the feed-forward network (pages/block/feed_forward.py)."""

VIEWS = WAY, FIRING, MEMORIES, MIXING, WIDTHS = (
    "One token's way", "Who fires", "What neurons write", "No mixing", "How wide",
)  # fmt: skip

LOOK_FOR = {
    WAY: "Most of a layer's parameters are here. Each token's vector is spread over many neurons, bent, and folded "
         "back; no other token has a say.",
    FIRING: "Many gates stand open, and still a few hundred neurons do most of the writing: the loud ones differ from "
            "word to word.",
    MEMORIES: "Each neuron's row of W₂ is a direction that raises some words and lowers others: a memory that its "
              "gate reads out. Some can be read, many cannot.",
    MIXING: "Change what one token brings: in the FFN its own row changes and every other stays the same, bit for bit. "
            "The next attention is where the others hear of it.",
    WIDTHS: "Where does more width stop paying? Compare the gain from one width to the next with the spread of the "
            "seeds.",
}  # fmt: skip


def formula(gated: bool, sigma: str) -> str:
    if gated:
        return (
            r"\begin{gathered}\ffn{g} = \residual{\hat{x}'} W_g, \quad \ffn{u} = \residual{\hat{x}'} W_1\\[.4em]"
            rf"\ffn{{a}} = \operatorname{{{sigma}}}(\ffn{{g}}) \odot \ffn{{u}}\\[.4em]"
            r"\residual{\Delta x} = \ffn{a}\, W_2 = \sum_j \ffn{a_j}\, w_j\end{gathered}"
        )
    return (
        rf"\begin{{gathered}}\ffn{{u}} = \residual{{\hat{{x}}'}} W_1 + b_1, \quad \ffn{{a}} = "
        rf"\operatorname{{{sigma}}}(\ffn{{u}})"
        r"\\[.4em]\residual{\Delta x} = \ffn{a}\, W_2 + b_2 = \sum_j \ffn{a_j}\, w_j + b_2\end{gathered}"
    )


SNIPPET = {
    WAY: """
import transformer

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
here = "layers.{layer}."
trace = model.run(ids, record=(here + "norm_2", here + "ffn.*")).trace
x, a, out = (trace[here + name][0, {token}] for name in ("norm_2", "ffn.post", "ffn.out"))
print(len(x), "->", len(a), "->", len(out), "| loudest neuron", a.abs().argmax().item(), a.abs().max().item())
""",
    FIRING: """
import transformer
from transformer.experiments import neurons

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
here = "layers.{layer}."
trace = model.run(ids, record=(here + "resid_mid", here + "ffn.*")).trace
u, a, out, x = (trace[here + name][0] for name in ({given}, "ffn.post", "ffn.out", "resid_mid"))
print(neurons.firing(u, a, out, x))
""",
    MEMORIES: """
import transformer
from transformer.experiments import neurons

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
run = model.run(ids, record=("*.ffn.post", "*.resid_post"))
target = run.output[0, {token}].argmax().item()
for one in neurons.memories(model, {layer}, run.trace, {token}, target, loudest={loudest}, count=6):
    print(one.neuron, round(one.a, 3), round(one.target, 4), tokenizer.pieces([token for token, _ in one.up]))
""",
    MIXING: """
import transformer
from transformer.experiments import neurons

model, tokenizer = transformer.load({model})
places, change = neurons.changed_rows(model, tokenizer.encode({text}), {layer})
for place, rows in zip(places, change[{token}].T):      # max |difference| of each token's row
    print(place, rows.tolist())
""",
    WIDTHS: """
from transformer.training import widths

print("parameters, FLOPs a character", widths.costs({times}))
for report in widths.train({times}, seed=0):
    print(report)
""",
}


def prose(share: float, d: int, d_ff: int, gated: bool, half: float, few: int, layer: int, title: str,
          losses: dict[int, list[float]]) -> dict[str, str]:
    """share: of a layer's parameters that the FFN holds; half: share of the neurons that make up half of
    ‖a‖², the median of all layers and tokens; few: how many they are in one layer at the last token; losses: of the recorded
    runs at their end, width -> one a seed."""
    mean = {times: sum(of) / len(of) for times, of in losses.items()}
    widest = max(max(of) - min(of) for of in losses.values())
    third = (
        f" {title} has a gate: three matrices instead of two, and in return d_ff = {d_ff / d:.3g} d instead of 4 d, "
        f"which comes "
        "to about the same number of parameters." if gated else ""
    )
    return {
        "what": f"Attention has carried something to each token; now each works on what it has, alone. Its "
                f"vector of {d} numbers, normed ($\\hat x'$), is read by {d_ff:,} neurons, each with a direction of its "
                "own (expand); an activation decides what passes (activate); and every neuron writes its own direction "
                "$w_j$, row $j$ of $W_2$, as loudly as it fires (contract); the stream gets their sum, $\\Delta x$. The "
                "same matrices serve every token, so it is a 1 × 1 convolution along the text." + third,
        "why": f"In this model the FFN holds {share:.0%} of a layer's parameters, and much of what a model knows: a "
               f"neuron's input "
               "direction is a key, its gate says how well the token fits, its output direction is the value that is "
               "added. The "
               f"median token needs {half:.1%} of a layer's {d_ff:,} neurons for half of ‖a‖²; in layer {layer} the "
               f"last one needs {few}. So the layer is dense to compute and sparse in effect: experts (MoE) and "
               f"pruning live off that gap.",
        "catch": "**The FFN mixes features, not tokens**; “position-wise” means that, and not that it knows positions. "
                 "Permute the tokens and its outputs permute. Then, **4 is a habit, not a law**: the little decoders "
                 "of "
                 f"“{WIDTHS}” end at {', '.join(f'{mean[t]:.3f} ({t}×)' for t in mean)} nats a character, and seeds of "
                 f"one width differ by up to {widest:.3f}; gated networks use 8/3. And a neuron is seldom one idea: "
                 f"most of the words that a row of $W_2$ raises make no "
                 "sense together, rare tokens with long embeddings come up again and again, and what is shown is the "
                 "direct way alone, not what later layers make of it.",
    }  # fmt: skip


def predict(n: int, changed: int, here: int, then: int) -> dict[str, object]:
    """here, then: the rows that changed in the FFN and in the attention after it, counted in the tiny model on the page's text."""
    answer = f"{here} there, {then} after"
    options = dict.fromkeys((answer, f"{n} there, {n} after", f"{here} there, {here} after", f"{then} there, {n} after"))
    return {
        "question": f"The tiny model reads this text as {n} tokens. Only the vector that token {changed} (counted from "
                    f"0) brings to "
                    "one FFN is changed. In how many rows does that FFN's output change, and in how many that of the "
                    "next layer's attention?",
        "options": sorted(options),
        "answer": answer,
        "reveal": f"Counted just now: {here} row of the FFN's output, and {then} rows after the next attention. The "
                  f"FFN reads each row by itself; attention lets the changed token and everything after it read the "
                  f"change. “{MIXING}” shows the "
                  "numbers.",
    }  # fmt: skip


def interview(d: int, d_ff: int) -> list[tuple[str, str]]:
    return [
        ("Attention already has a W_O. Why is there an FFN at all, and what would be lost without it?",
         "Given its weights $A$, attention is linear in the values: it can move and average, but not compute on what "
         "it has moved. The FFN is the block's nonlinearity on a token's own content (without σ, $W_1W_2$ "
         "is one $d \\times d$ matrix), and two thirds of its parameters, more where heads share K and V. "
         "Without it, stacked attention tends to pull all tokens towards one vector (its rank falls doubly "
         "exponentially with depth, without residual paths and FFNs: Dong et al. 2021), and the store of facts that "
         "key–value memories are is gone."),
        ("How many parameters and FLOPs does it have, and why does SwiGLU take d_ff = 8/3 d?",
         "Two matrices: $2 d\\, d_{ff} = 8d^2$ parameters at $d_{ff} = 4d$, against $4d^2$ of attention; FLOPs a token "
         "are twice the parameters, whatever the length of the text. A gate adds a third matrix, $3 d\\, d_{ff}$; the "
         "same $8d^2$ then needs "
         f"$d_{{ff}} = \\tfrac83 d$. Here: $d = {d}$, $d_{{ff}} = {d_ff}$, a ratio of {d_ff / d:.3g}. Llama rounds it "
         f"up to a "
         "multiple of 256."),
        ("In what sense is the FFN a key–value memory?",
         "$\\text{FFN}(x) = \\sum_j \\sigma(k_j \\cdot x)\\, w_j$: columns of $W_1$ (with a gate, of $W_g$) are "
         "keys $k_j$, rows of $W_2$ values $w_j$ (`nn.Linear` keeps both transposed), and σ turns a match "
         "into a weight. It is attention over a fixed set of $d_{ff}$ learned pairs, with σ in place of "
         "the softmax: the weights need not add up to 1, and many may fire at once. Geva et al. found keys "
         "that fire on patterns of text and values that favour what follows them, in upper layers more so. Editing "
         "methods (ROME, MEMIT) change a fact by changing one $W_2$."),
        ("Is the FFN the same as a convolution? What does “no mixing” buy in practice?",
         "Yes, of kernel size 1, with the tokens as positions. Since no token waits for another, it can be computed in "
         "any order and any chunks: per token while generating (no cache is needed for it), in slices of the sequence "
         "to save memory, spread over devices by tokens or by neurons ($\\sum_j$ splits freely: tensor parallelism "
         "cuts $W_1$ by columns and $W_2$ by rows, one sum at the end), and with another expert for each token."),
        ("Why expand, rather than stay at width d or narrow down?",
         "An activation can only bend along directions that neurons look in. With $d_{ff} > d$ there are more "
         "directions than dimensions, so features that overlap in the stream (superposition) can be told apart before "
         "being bent. A narrow layer would cap the rank of what is written at its width. Beyond some ratio, the same "
         "parameters do more as depth; measured optima are flat, between about 1 and 10 (Kaplan et al. 2020), so 4 is "
         "a convenient middle."),
    ]  # fmt: skip


SOURCES = [
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), section 3.3: position-wise "
    "feed-forward networks, $d_{ff} = 4d$.",
    "Geva, Schuster, Berant & Levy 2021, [Transformer Feed-Forward Layers Are Key-Value "
    "Memories](https://arxiv.org/abs/2012.14913); Geva et al. 2022, [… Build Predictions by Promoting Concepts in the "
    "Vocabulary Space](https://arxiv.org/abs/2203.14680).",
    "Shazeer 2020, [GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202).",
    "Dong, Cordonnier & Loukas 2021, [Attention is not all you need: pure attention loses rank doubly exponentially "
    "with depth](https://arxiv.org/abs/2103.03404).",
    "Kaplan et al. 2020, [Scaling Laws for Neural Language Models](https://arxiv.org/abs/2001.08361), figure 5: the "
    "ratio matters little.",
    "Meng et al. 2022, [Locating and Editing Factual Associations in GPT](https://arxiv.org/abs/2202.05262).",
]  # fmt: skip
