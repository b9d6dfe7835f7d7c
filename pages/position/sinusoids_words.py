"""The words of the lesson on sinusoids (pages/position/sinusoids.py)."""

VIEWS = TURN, PRODUCTS, HEADS, SCALE = "A pair turns", "PE · PE", "Through a real head", "Beside the words"

D = 256
UNSCALED = D / 2 / (1 + D / 2)  # position's share of the squared length without √d

LOOK_FOR = {
    TURN: "Move the position: both hands turn, and the angle between them stays. The shift by k is one rotation R(k) "
          "for every position; fast pairs stand on the left, and the slow ones on the right hardly turn at all.",
    PRODUCTS: "Four starts, one curve: the product of two positions knows their offset and nothing else. Raise the "
              "base and it falls more slowly; lower d and it is bumpier.",
    HEADS: "From left to right the diagonals dissolve: PE·PE is one number on each of them, a real head's $W_Q$ and "
           "$W_K$ already make them uneven, and on your own words little of it is left.",
    SCALE: "Without √d nearly all that the model reads is position, and the words are a whisper beside it. Training "
           "does not turn that round: it pays for it in loss.",
}

FORMULAS = {  # a line each, so that a phone has room
    TURN: (
        r"\residual{PE}(pos, 2i) = \sin(pos\cdot\theta_i)",
        r"\residual{PE}(pos, 2i{+}1) = \cos(pos\cdot\theta_i)",
        r"\theta_i = \text{base}^{-2i/d}, \text{ once round in } 2\pi / \theta_i",
        r"\residual{PE}(pos + k) = R(k)\,\residual{PE}(pos)",
        r"R_i(k) = \begin{pmatrix}\cos k\theta_i & \sin k\theta_i\\ -\sin k\theta_i & \cos k\theta_i\end{pmatrix}",
    ),
    PRODUCTS: (
        r"\residual{PE}(n)\cdot\residual{PE}(n + k) = \sum_{i=0}^{d/2-1} \cos k\theta_i",
        r"\text{since } \sin a \sin b + \cos a \cos b = \cos(a - b)",
    ),
    HEADS: (
        r"\residual{x} = \sqrt d\,E + PE",
        r"\scores{S_{mn}} \propto \residual{x_m}^\top M\, \residual{x_n}, \quad M = \query{W_Q}^\top \key{W_K}",
        r"PE_m^\top M\, PE_n = f(m-n) \iff M R(k) = R(k) M",
    ),
    SCALE: (
        r"\residual{x} = \sqrt d\,E + PE",
        r"\lVert PE\rVert = \sqrt{d/2}, \quad \lVert E\rVert \approx 1 \text{ at first}",
        r"\text{share} = \frac{\lVert PE\rVert^2}{\lVert \sqrt d\,E\rVert^2 + \lVert PE\rVert^2} \approx "
        r"\frac{d/2}{d + d/2} = \frac13",
        r"\text{without } \sqrt d: \ \frac{d/2}{1 + d/2}",
    ),
}
HALVES = (  # the first lines of a pair that turns, where all sines stand before all cosines
    r"\residual{PE}(pos, i) = \sin(pos\cdot\theta_i)",
    r"\residual{PE}(pos, d/2{+}i) = \cos(pos\cdot\theta_i)",
    r"\theta_i = \text{base}^{-i/(d/2-1)}, \text{ once round in } 2\pi / \theta_i",
)

WHAT = (
    "Each pair of columns is a clock hand: $(\\sin, \\cos)$ of $pos\\cdot\\theta_i$. The first turns by one radian a "
    "position, the last takes about $2\\pi$ · base positions for one round, and the speeds between fall "
    "geometrically: a binary counter made smooth, fine digits to the left. Going on by $k$ turns hand $i$ by "
    "$k\\theta_i$, *wherever it stands*. So $PE(pos + k) = R(k)\\,PE(pos)$ with one matrix for all positions, which "
    "a head could learn, and $PE(n)\\cdot PE(n+k) = \\sum_i \\cos k\\theta_i$, which has no $n$ in it, nor the sign "
    "of $k$: to tell before from behind takes a $W_Q$ or $W_K$ that turns. The paper's formula puts sine beside "
    "cosine; its code and Marian put all sines first and run the speeds to 1/base exactly. A permutation of columns "
    "(and a hair of speed) is all that differs."
)
WHY = (
    "Added vectors cost nothing, have no parameters and exist for every position. But they are *added*: word and "
    "place share the same $d$ numbers, and their lengths decide who is heard. $\\lVert PE\\rVert = \\sqrt{{d/2}}$ "
    "always. An embedding table that also serves as the last matrix wants rows of about length 1, so they are "
    "multiplied by $\\sqrt d$ on the way in. Marian, trained so, has rows of {marian_table:.2f}, hence "
    "{marian_times:.1f} beside a position of {marian_position:.1f}: position is {marian_with:.0%} of the sum. Take "
    "the factor away and it would be {marian_without:.0%}. Decoders of ours trained without it start at {start:.0%}, "
    "and after {steps:,.0f} steps still stand at {end:.0%} and at {loss_without:.2f} nats, where their twins with √d "
    "have {end_with:.0%} and {loss_with:.2f} ({seeds} seeds each)."
)
CATCH = (
    "**PE·PE depends on the offset alone, and attention never computes PE·PE.** It computes $(x+PE_m)^\\top "
    "W_Q^\\top W_K (y+PE_n)$: four terms, of which the last keeps the property only if $W_Q^\\top W_K$ commutes with "
    "every rotation $R(k)$, which nothing in training asks for, and the first three have the words in them. Measured "
    "on a decoder that was trained with sinusoids: repeating one word, so that only places differ, the offset "
    "explains {alone:.0%} of a head's scores on average; on your text {mixed:.0%}. RoPE turns after the projections "
    "and keeps it by construction: [see the two side by side](./rope?view=Beside+sinusoids). And sinusoids do not "
    "extrapolate by themselves: that the formula goes on beyond the training length does not mean that the model "
    "knows what to do there."
)

SNIPPETS = {
    TURN: """
import torch
from transformer import positions

d, base, layout = {d}, {base}, {layout}
PE = positions.sinusoidal(torch.arange({pos} + {k} + 1), d, base, layout)    # [position, d]
R = positions.shift({k}, d, base, layout)                                    # [d, d]: the same for every position
print(positions.of_pairs(PE[{pos}], layout)[{pair}], positions.of_pairs(PE[{pos} + {k}], layout)[{pair}])
print("largest difference", (R @ PE[{pos}] - PE[{pos} + {k}]).abs().max().item())
""",
    PRODUCTS: """
import torch
from transformer import positions

starts, offset = torch.tensor({starts}), torch.arange({farthest} + 1)
S = positions.similarity(starts, offset, {d}, {base}) / ({d} / 2)             # [start, offset]
print(S[:, {at}], "the starts differ by at most", (S.amax(0) - S.amin(0)).max().item())
""",
    HEADS: """
import torch, transformer
from transformer import positions

model, tokenizer = transformer.load("assets/order/decoder")                  # in the project's folder
for ids in ([{word}] * {places}, {ids}):                                     # one word repeated, and your text
    S = model.run(ids, record="layers.{layer}.attention.scores").trace["layers.{layer}.attention.scores"][0, {head}]
    past = torch.ones_like(S, dtype=torch.bool).tril()
    print("the offset explains", positions.explained_by_offset(S, past))
""",
    SCALE: """
import transformer
from transformer import positions

for row in ("decoder", "decoder-unscaled"):
    model, tokenizer = transformer.load("assets/order/" + row)               # in the project's folder
    trace = model.run({ids}, record=("embed.tokens", "embed.positions")).trace
    print(row, positions.share(trace["embed.tokens"][0], trace["embed.positions"][0]))
""",
}

INTERVIEW = [
    ("Why not the bare number 0, 1, 2 …? Why sines *and* cosines, and why this geometric range of speeds?",
     "A number grows with the text until it drowns the words; divided by the length, one step means another thing in "
     "each text. A sine stays within ±1. A single sine cannot be shifted by a fixed linear map: $\\sin((p+k)\\theta)$ "
     "needs $\\cos p\\theta$. With both, a shift is a rotation of two by two, orthogonal, the same for every $p$. One "
     "speed is ambiguous after one round; many speeds tell positions apart like the digits of a number. Geometric "
     "spacing gives every scale, from one position to some $2\\pi$ · base, the same number of pairs, and base 10 000 "
     "only has to be large against the texts at hand."),
    ("Sinusoidal dot products depend on the offset alone. So why does anybody need RoPE?",
     "Because attention takes no dot product of two raw PEs. After $W_Q$ and $W_K$ it is $PE_m^\\top M PE_n$ with $M "
     "= W_Q^\\top W_K$, which is a function of $m - n$ exactly when $M$ commutes with all rotations $R(k)$ "
     "(block-diagonal, each block a scaled rotation itself); a trained $M$ does not. Beside it stand word × place "
     "terms, and values carry position too. RoPE applies the rotation to $q$ and $k$ *after* the projections: "
     "$q^\\top R(n-m) k$, whatever $M$ is."),
    ("Why are embeddings multiplied by √d, and what if you forget it?",
     "$\\lVert PE\\rVert = \\sqrt{d/2}$, while a tied table initialised with variance $1/d$ (its rows are also the "
     "output matrix, where logits should start near 1) has rows of length 1. Unscaled, position is "
     f"$\\frac{{d/2}}{{1+d/2}}$ of the squared length: {UNSCALED:.0%} at $d = {D}$, and after a LayerNorm the words "
     "are noise. It trains all the same, but slower: growing the rows would make the tied logits larger, so it has to "
     "dig small words out from under large places instead. With learned tables (BERT, GPT-2) positions start as small "
     "as words, and no factor is needed."),
    ("Is position information destroyed when it is added instead of concatenated?",
     "Not by the addition: in $d$ dimensions two vectors of different families are nearly orthogonal, and $W_Q, W_K$ "
     "can read either. Adding is concatenation followed by a fixed projection $[I\\; I]$. What is lost is "
     "independence: LayerNorm divides by the *sum's* size, so a loud place makes words quieter, and slow pairs, "
     "nearly constant over a text, take up room in many columns."),
]  # fmt: skip

SOURCES = [
    "Vaswani et al. 2017, *Attention Is All You Need*, §3.4 (“we multiply those weights by √d_model”) and §3.5, "
    "[arXiv:1706.03762](https://arxiv.org/abs/1706.03762); the layout in halves: their code, "
    "[tensor2tensor](https://github.com/tensorflow/tensor2tensor)",
    "Su et al. 2021, *RoFormer*, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864), §3.1: the four terms of added "
    "positions",
    "Ke, He, Liu 2021, *Rethinking Positional Encoding in Language Pre-training* (word × place terms), "
    "[arXiv:2006.15595](https://arxiv.org/abs/2006.15595)",
    "Our decoders: `python -m transformer.training.order`, seeds and data in `assets/order/curves.json`; lengths in "
    "trained tables: `python -m benchmarks.sinusoids`. Marian's tiny student: translateLocally.",
]
