"""The words of the lesson on parallelism (pages/cost/parallel.py)."""

VIEWS = CHAIN, CLOCK = "What waits for what", "On the clock"

LOOK_FOR = {
    CHAIN: "The \\value{recurrent} layer's blocks multiply with the text: each waits for the one before. "
           "\\attention{Attention} has six blocks for any text; they only get larger. On one core a short "
           "chain may still be done first: nothing runs side by side there.",
    CLOCK: "The \\value{recurrent layer} is \\ffn{one product} and then a chain of just as much arithmetic. "
           "Were there no waiting, it would take twice as long as the product. torch.nn.RNN is the same layer in PyTorch's own code.",
}  # fmt: skip

FORMULAS = {
    CHAIN: (
        r"\value{h_t} = \tanh(x_t W + \value{h_{t-1}} U + b)\\ \text{products in a row: } n + 1",
        r"z = \operatorname{softmax}\!\left(\query{Q}\key{K}^\top/\sqrt{d_k}\right)\value{V}\,W_O\\ \text{in a row: } 4",
    ),
    CLOCK: (
        r"\text{recurrent: } \ffn{2\,n\,d^2} + \value{2\,n\,d^2} \text{ FLOPs,}\\ n + 1 \text{ products in a row}",
        r"\text{one product: } \ffn{2\,n\,d^2} \text{ FLOPs,}\ 1",
        r"\text{attention: } 8\,n\,d^2 + 4\,n^2 d \text{ FLOPs,}\\ 4 \text{ in a row}",
    ),
}  # fmt: skip

SNIPPET = """
import torch
from transformer.experiments import chains

torch.set_num_threads(1)
layers = chains.layers_of()
for way in ("chain", "attention"):
    spans = chains.spans(layers[way], {n})
    print(way, len(spans), "steps,", round(spans[-1].end * 1e6, 1), "µs")
print("products in a row:", chains.products_in_a_row({n}))
for timed in chains.timed(layers, [{n}]):
    print({{way: round(seconds * 1e3, 3) for way, seconds in timed.forward.items()}}, "ms forward")
"""

PROSE = {
    "what": "Both layers read the same $n$ vectors of width $d$. The recurrent one makes a state for each token out of the state "
            "before: $n$ small products, $[1 \\times d]\\,[d \\times d]$, **in a row**. Attention makes every row from the input "
            "itself: \\query{Q}, \\key{K}, \\value{V} for all tokens in one product each, then \\scores{S}, \\attention{A}, z and "
            "the output. A handful of steps, four of them products that wait for one another, at any length.",
    "why": "A machine with thousands of arithmetic units can only use them on work that does not wait. A row of $n$ dependent "
           "steps takes $n$ times the time of the smallest step, however many units there are: that, not the FLOPs, is why "
           "recurrent models were slow to train on long texts, and what the Transformer changed. It does more arithmetic "
           "to wait less.",
    "catch": "It holds for **reading and training**, where all tokens are known. *Writing*, a Transformer is a chain, too: the "
             "next token waits for this one, and its cache grows while a recurrent state does not. And on one processor core there is "
             "nothing to run in parallel: there the gain is only that one large product fetches its weights once, and "
             "attention's arithmetic, 8nd² + 4n²d against 4nd², can cost more than the chain's waiting, the longer "
             "the text the more: compare “On the clock”.",
}  # fmt: skip

INTERVIEW = [
    ("Why do Transformers train faster than RNNs although attention is quadratic?",
     "Sequential steps: a recurrent layer has O(n) dependent products, attention O(1). On parallel hardware time follows the "
     "longest chain and the use of the units, not the FLOPs: [n × d][d × d] products fill a GPU, [1 × d][d × d] ones do not. "
     "For n < d attention's n²d is not even more arithmetic than the recurrence's nd²."),
    ("Is a Transformer parallel when it generates?",
     "Across layers and heads within a step, yes; across tokens, no: token t + 1 depends on token t. The KV cache makes a step "
     "O(n) instead of O(n²). Speculative decoding buys parallelism back by checking several guessed tokens at once."),
    ("Can a recurrent layer be made parallel?",
     "A linear one can: without the tanh, h_t = A_t h_{t−1} + b_t is an associative combination, and a parallel scan computes all "
     "states in O(log n) steps (S4, Mamba, linear attention, SSRU). The tanh of an Elman or LSTM cell forbids it."),
    ("What is the shortest path between the first and the last token, and why does it matter?",
     "n steps in a recurrent layer, 1 in attention, about log_k n in stacked dilated convolutions. Signals and gradients fade with "
     "every step on the way, so short paths make far dependencies easier to learn (Vaswani et al. 2017, table 1)."),
]  # fmt: skip
SOURCES = [
    "Vaswani et al. 2017, [Attention is all you need](https://arxiv.org/abs/1706.03762), §4 and table 1: sequential operations, "
    "path lengths",
    "Elman 1990, *Finding Structure in Time*, Cognitive Science 14: the recurrent layer drawn here",
    "Martin & Cundy 2018, *Parallelizing Linear Recurrent Neural Nets*, [arXiv:1709.04057](https://arxiv.org/abs/1709.04057)",
    "Katharopoulos et al. 2020, *Transformers are RNNs*, [arXiv:2006.16236](https://arxiv.org/abs/2006.16236)",
]
