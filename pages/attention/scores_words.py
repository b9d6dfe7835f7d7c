"""The words of the lesson on score functions (pages/attention/scores.py)."""

VIEWS = WEIGHTS, PLANE, COST = "Six weights of one head", "Two vectors by hand", "Cost"

LOOK_FOR = {
    WEIGHTS: "The same queries, the same keys, six ways to weigh them, each trained. The unscaled dot is sharpest; "
             "location, which never "
             "looks at the keys, hardly chooses. In layer 0, change a word: with location only its own row moves.",
    PLANE: "Drag k around q and watch the field: the dot product rewards direction **and** length, the cosine only "
           "direction, additive saturates, location does not care.",
    COST: "Additive attention has the FLOPs of a dot product, and at 512 tokens hundreds of times its clock time: it "
          "makes a tanh for "
          "every pair and coordinate, where the dot product is one matrix multiplication.",
}

FORMULAS = {
    WEIGHTS: (
        r"\scores{S_{ij}} = \tfrac{\query{q_i}\cdot\key{k_j}}{\sqrt{d_k}} \;\big|\; \query{q_i}\cdot\key{k_j} \;\big|\; \query{q_i} W \key{k_j}",
        r"\big|\; \beta\cos(\query{q_i}, \key{k_j})",
        r"\big|\; v\cdot\tanh(\query{q_i} + \key{k_j} + b) \;\big|\; w_j\cdot\query{q_i}",
        r"\attention{A} = \operatorname{softmax}(\scores{S} + \text{mask})",
    ),
    PLANE: (
        r"\query{q}\cdot\key{k} = \lVert\query{q}\rVert\,\lVert\key{k}\rVert\cos\theta",
        r"\cos\theta = \frac{\query{q}\cdot\key{k}}{\lVert\query{q}\rVert\,\lVert\key{k}\rVert}",
    ),
    COST: (
        r"\text{dot: } 2\,h\,n^2 d_k\text{ FLOPs, } h n^2\text{ numbers}",
        r"\text{additive: } 2\,h\,n^2 d_k\text{ FLOPs,}",
        r"h\,n^2 d_k \tanh\text{s, } h n^2 d_k\text{ numbers}",
    ),
}  # fmt: skip

SNIPPET = """
import torch
from transformer.experiments import six_scores

models, tokenizer, made = six_scores.load()            # {{score: model}}: one model, six score functions
ids = tokenizer.encode({text})[:{most}]
at = "layers.{layer}.attention."
for score, model in models.items():
    trace = model.run(ids, record=at + "*").trace
    Q, K = (models["scaled_dot"].run(ids, record=at + "*").trace[at + part] for part in "QK")
    module = model.stack.blocks[{layer}].attention.score
    S = module(Q, K, torch.arange(len(ids))[None])[0, {head}]
    A = S.masked_fill(torch.ones_like(S).triu(1).bool(), -torch.inf).softmax(-1)
    print(score, [round(a, 4) for a in A[-1].tolist()])
"""

CATCH = ("“Dot product won because it is better” is not what was found: additive attention holds its own in quality, "
         "here and in the "
         "papers, and beats the *unscaled* dot product for large $d_k$ (Vaswani et al., §3.2.1: that is what "
         "$1/\\sqrt{d_k}$ repairs). It lost on the "
         "clock and in memory. And a FLOP count of matrix products does not see why: it says that they cost the same.")


def prose(made: dict) -> dict:
    """What happens, why it matters, with what the training script measured."""
    alone, together = made["held_out_loss"]["alone"], made["held_out_loss"]["together"]
    mean = {score: sum(values) / len(values) for score, values in alone.items()}
    spread = max(max(values) - min(values) for values in alone.values())
    order = sorted(mean, key=mean.get)
    listed = ", ".join(f"{score.replace('_', ' ')} {mean[score]:.2f}" for score in order)
    joint = [sum(values) / len(values) for values in together.values()]
    return {
        "what": "A score says how well a \\key{key} answers a \\query{query}; the softmax makes weights of the "
                "scores, whatever they came from. Four of the "
                "six are dot products of prepared vectors: as they are, divided by $\\sqrt{d_k}$, through a learned "
                "$W$, or at length 1 with a learned "
                "$\\beta$. **Additive** lets every pair through a hidden layer of its own; without its tanh, "
                "$v\\cdot q_i$ would cancel in "
                "the softmax, and all queries would weigh the keys alike. **Location** reads off the query alone where "
                "to look, so it knows places and no contents.\n\n"
                "The picture is a small model of ours that was trained with all six: every step drew one of them, so "
                "that $W_Q$ and $W_K$ serve all, and "
                f"each learned its own weights. On held-out plays it reaches {min(joint):.2f} to {max(joint):.2f} "
                "nats a token (the loss: lower is better) with every one of them "
                f"(three seeds), and {made['held_out_loss_uniform']:.2f} when all earlier tokens are read alike.",
        "why": "Does the choice matter for quality? Models that were trained with one function alone, "
               f"{made['steps_alone']:,} steps and three seeds each, come to "
               f"{listed} nats a token on average; seeds of one function differ by up to {spread:.2f}. With twice the "
               "steps the joint model is better "
               "with its worst function than these with their best: at this size, training longer gives more than the "
               "choice. Most of what is learned here is "
               "*where* to look, a place or two back, so even location does well; what it cannot do is find a word by "
               "its content. What does "
               "matter is cost. One matrix multiplication for all pairs is what processors do best, its intermediate "
               "result is the scores and nothing "
               "more, and it can be tiled (FlashAttention).",
        "catch": CATCH,
    }  # fmt: skip


INTERVIEW = [
    ("Why did the dot product win over additive attention?",
     "Cost, not quality. $QK^\\top$ is one matrix multiplication: it runs near a processor's peak, keeps only $n^2$ "
     "scores a head, and can be computed in "
     "tiles that never leave fast memory. Additive needs $\\tanh(q_i + k_j)$ for each pair: $n^2 d_k$ transcendental "
     "operations and, written plainly, a tensor of that size. With "
     "$1/\\sqrt{d_k}$ the one weakness of large dot products, saturation, is repaired."),
    ("When would cosine scores be better, and why do they need β?",
     "When lengths should not count: a long key takes weight from all queries (norms can grow until the softmax "
     "saturates; QK-norm is the same remedy). "
     "$-\\tfrac12\\lVert q-k\\rVert^2 = q\\cdot k - \\tfrac12\\lVert k\\rVert^2 - \\tfrac12\\lVert q\\rVert^2$, whose "
     "last term cancels in the softmax: a dot product is a "
     "distance that does not punish long keys. But a cosine is within "
     "[−1, 1]: over $n$ keys the largest weight would be at most $e^2/(e^2 + n - 1)$, 0.7 % for 1,000 keys, so a "
     "learned $\\beta$ (about $\\sqrt{d_k}$ at the start) has to sharpen it."),
    ("Is the “general” score $q W k$ more expressive than a dot product in a Transformer?",
     "No: $q W k = x W_Q\\, W\\, W_K^\\top y^\\top$, and $W_Q W$ is just another $W_Q$. It matters where nothing "
     "projects the vectors before (Luong's seq2seq, where it joins a decoder state "
     "to encoder states of another space). Here it only changes how training goes. Nor do a head's scores have more "
     "than rank $d_k$ either way (additive scores may). One matrix less would "
     "not do: with $W_Q = W_K$, $S$ is symmetric, and every token tends to find itself."),
    ("What can a location-based score not do?",
     "See what stands at the places: $S = W q$ has no key in it. It can learn “one back”, not “the word that was "
     "named before”. It has a row for each place, so it ends at the trained length, and "
     "its cost grows with that length even for short texts."),
]  # fmt: skip

SOURCES = [
    "Bahdanau, Cho, Bengio 2015, [Neural Machine Translation by Jointly Learning to Align and "
    "Translate](https://arxiv.org/abs/1409.0473): additive.",
    "Luong, Pham, Manning 2015, [Effective Approaches to Attention-based NMT](https://arxiv.org/abs/1508.04025): dot, "
    "general, concat, location.",
    "Graves, Wayne, Danihelka 2014, [Neural Turing Machines](https://arxiv.org/abs/1410.5401): content by cosine, "
    "sharpened by β.",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.2.1: scaled dot against "
    "additive.",
    "Britz et al. 2017, [Massive Exploration of NMT Architectures](https://arxiv.org/abs/1703.03906): additive "
    "slightly ahead of dot in quality.",
]  # fmt: skip

OPTIONS = ("about the same: the FLOPs are equal", "about twice as long", "more than ten times as long")


def predict(n: int, ratio: float) -> dict:
    """The clock, by the recorded measurement."""
    answer = OPTIONS[2] if ratio > 10 else OPTIONS[1] if ratio > 1.5 else OPTIONS[0]
    return {
        "question": f"At {n} tokens, additive scores take exactly as many FLOPs of matrix products as dot products. "
                    "How long do they take?",
        "options": OPTIONS, "answer": answer,
        "reveal": f"{ratio:,.0f} times as long in the recorded measurement. Each pair of tokens makes $d_k$ tanhs, "
                  "and the tensor that holds them is $d_k$ times "
                  "as large as the scores: it is written to memory and read again.",
    }  # fmt: skip
