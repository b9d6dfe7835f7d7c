"""The words of the lesson on attention, step by step (pages/attention/step_by_step.py)."""

from charts.matrices import Step

VIEWS = SMALL, REAL = "Every number", "A real head"
TRAINED, NO_SCALE, NO_MASK, CAUSAL = "as trained", "without 1/√d_k", "without the mask", "with a causal mask"

LOOK_FOR = {
    SMALL: "Pick any number and follow where it came from: the row and the column that light up are all that went into "
           "it. Press play to see the steps in order.",
    REAL: "The same steps at full size. The vectors are too long to read, but the scores are one number a pair of "
          "words, and each row of A shares out 1.",
}  # fmt: skip

STEPS = [
    Step("Words", "One row a token. This is what the layer reads: the residual stream, normalised. No row knows of any "
                  "other yet.", ("X",)),
    Step("Project", "Three learned matrices make three vectors of each row: a query (what I look for), a key (what I am "
                    "found by), a value (what I hand over).", ("X", "W_Q", "W_K", "W_V", "Q", "K", "V")),
    Step("Score and scale", "Every query meets every key: one dot product a pair, divided by √d_k. Rows ask, columns "
                            "answer, so S is not symmetric.", ("Q", "K", "S")),
    Step("Mask", "A decoder may not look ahead: what lies to the right of the diagonal becomes −∞, before the softmax, so "
                 "that it gets weight 0 and takes part in no sum.", ("S", "M")),
    Step("Softmax", "Each row by itself: e to the power of each score, divided by the row's sum. A row adds up to 1; a "
                    "column need not.", ("M", "A")),
    Step("Mix", "The weights of a row mix the rows of V: each output is a weighted mean of what was handed over.",
         ("A", "V", "z")),
    Step("Merge", "The heads stand side by side, and W_O mixes them back to the width of the stream, to which the result "
                  "is added.", ("z", "Z", "W_O", "out")),
    Step("All of it", "Hover or tap any number: what made it lights up, and the sum is written out below the picture.",
         ("X", "W_Q", "W_K", "W_V", "Q", "K", "V", "S", "M", "A", "z", "Z", "W_O", "out")),
]  # fmt: skip



def steps(causal: bool, came_in: bool) -> list[Step]:
    """Without the mask where there is none, and without the words where the recording has not kept them."""
    return [step for step in STEPS if (causal or step.title != "Mask") and (came_in or step.title != "Words")]


FORMULA = (  # a line each, so that a phone has room
    r"\begin{gathered}\query{Q} = \residual{X} W_Q,\quad \key{K} = \residual{X} W_K,\quad \value{V} = \residual{X} "
    r"W_V\\[.5em]\scores{S} = \query{Q}\key{K}^\top / \sqrt{d_k}\\[.5em]\attention{A} = "
    r"\operatorname{softmax}_{\text{rows}}(\scores{S} + M),\quad \value{z} = \attention{A}\value{V}\\[.5em]\text{out} "
    r"= [\value{z_0}\,\cdots\,\value{z_{h-1}}]\,W_O\end{gathered}"
)

SNIPPETS = {
    SMALL: """
import torch, transformer
from transformer import stepwise

model, tokenizer = transformer.load("readable")
ids = tokenizer.encode({text!r})[:{n}]
layer, head = {layer}, {head}
x = model.run(ids, record="layers.*.norm_1").trace[f"layers.{{layer}}.norm_1"][0]      # [token, model]
past = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
steps = stepwise.attend(x, stepwise.weights(model, layer), model.config.n_heads, {allowed}, factor={factor})
print(steps.S[head])                       # [query, key], the mask not yet applied
print(steps.A[head])                       # [query, key]
print(steps.out)                           # [query, model], both heads through W_O
""",
    REAL: """
import torch, transformer
from transformer import stepwise

model, tokenizer = transformer.load({model!r})
ids = tokenizer.encode({text!r})
at, head = "layers.{layer}.attention.", {head}
trace = model.run(ids, record=at + "[QKV]").trace
Q, K, V = (trace[at + name][0] for name in "QKV")
shared = head * len(K) // len(Q)           # the key/value head that this query head reads
past = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
S, A, z = stepwise.read(Q[head], K[shared], V[shared], {allowed}, factor={factor})
print(S)                                   # [query, key], the mask not yet applied
print(A)                                   # [query, key]
""",
}

PROSE = {
    "what": "Attention is matrix products and one softmax. The first three products make a query, a key and a value of each "
            "row of $X$. Then each query is compared with every key, $S = QK^\\top/\\sqrt{d_k}$: a table of $n \\times "
            "n$ numbers, the only place where words meet. The mask $M$ adds 0 where a query may read and $-\\infty$ "
            "where not. The softmax turns each row into shares of 1, and these shares mix the values. $W_O$ lets the "
            "heads' results interact and brings them back to width $d$.",
    "why": "Everything else in a Transformer treats each token alone; here, and only here, information moves between "
           "tokens. What moves and from where is decided by the text itself: $A$ is computed, not learned. The learned "
           "part is four matrices per layer, whose size does not depend on $n$. Nor does the formula know any order: "
           "shuffle the rows of $X$ and, with no mask, the same results come out, shuffled alike. Order enters by the "
           "mask and by positions.",
    "catch": "The softmax runs over the keys of one query, along a row. Columns add up to anything: a token may be read "
             "by all or by none. The mask goes in **before** the softmax, as $-\\infty$; zeroing weights after it "
             "would leave rows that do not add up to 1 and whose sums have already seen the future. And $S_{ij} \\ne "
             "S_{ji}$: $W_Q$ and $W_K$ differ, so what one word seeks in another says nothing about the way back.",
}  # fmt: skip

INTERVIEW = [
    ("Give every shape for a batch of B texts of n tokens, h heads, width d, and say which products cost most.",
     "$X\\,[B,n,d]$; $W_Q, W_K\\,[d, h d_k]$, $W_V\\,[d, h d_v]$; after the split $Q, K\\,[B,h,n,d_k]$, "
     "$V\\,[B,h,n,d_v]$; $S, A\\,[B,h,n,n]$; $z\\,[B,h,n,d_v]$; side by side $[B,n,h d_v]$; $W_O\\,[h d_v, d]$; out "
     "$[B,n,d]$. With $d_k = d_v = d/h$ the four projections cost $8nd^2$ FLOPs a text (a multiplication and an "
     "addition are two) and the two products with $n \\times n$ tables $4n^2d$: the tables overtake the projections at "
     "$n = 2d$. The number of heads changes neither."),
    ("Why two matrices W_Q and W_K, when only their product appears in the scores?",
     "Indeed $S_{ij} = x_i W_Q W_K^\\top x_j^\\top/\\sqrt{d_k}$: one bilinear form of rank at most $d_k$. Kept apart "
     "it is $2 d d_k$ numbers a head and $2nd d_k$ multiplications; multiplied out it would be $d^2$ numbers and every "
     "pair would cost $d$ instead of $d_k$. It also need not be symmetric, which $W_Q = W_K$ would force. In the same "
     "way $W_V W_O$ is one matrix of rank $d_v$ a head. (RoPE comes between $W_Q$ and $W_K$, so with it they cannot be "
     "folded at all.)"),
    ("Why −∞ before the softmax? What about setting weights to 0 afterwards, and what if a whole row is masked?",
     "The softmax divides by a sum over the row. Zeroing afterwards leaves that sum with the forbidden scores in it: "
     "rows add up to less than 1, and their total leaks what was hidden. With $-\\infty$ the term is $e^{-\\infty} = "
     "0$ and the rest is normalised as if it were not there. A row with nothing left is $0/0$, NaN: a library has to "
     "decide, and this one gives zeros, on the textbook path as on the fused one."),
    ("Why is W_O there at all, if the heads are already d wide side by side?",
     "Without it head $i$ could write only into its own slice of the stream, coordinates $i d_v$ to $(i+1) d_v$. $W_O$ "
     "lets each head write anywhere: $\\text{out} = \\sum_i z_i W_O^{(i)}$, a sum over heads, each with its own "
     "$[d_v, d]$ block. That sum is why heads can be ablated one at a time."),
]  # fmt: skip

SOURCES = [
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762), §3.2: the formula, the scale, "
    "the heads.",
    "Bahdanau, Cho, Bengio 2014, [Neural Machine Translation by Jointly Learning to Align and "
    "Translate](https://arxiv.org/abs/1409.0473): weights from a softmax over scores.",
    "Elhage et al. 2021, [A Mathematical Framework for Transformer "
    "Circuits](https://transformer-circuits.pub/2021/framework/index.html): QK and OV as two low-rank matrices a head.",
]  # fmt: skip
