"""The words of the lesson on order (pages/position/permutation.py)."""

VIEWS = ENCODER, DECODER, BAG, PLACE = "An encoder", "A causal decoder", "Every order", "Who knows the place"

LOOK_FOR = {
    ENCODER: "Choose another order. With positions off, the rows of the output move with their tokens, and the map's "
             "rows and columns with them; put back, nothing is left of the difference. Then switch positions on.",
    DECODER: "Positions are off, and still the outputs change. Read the last token's row in “put back”: after the "
             "first layer it has not changed, from the second on it has. The mask tells order.",
    BAG: "All orders of the same words. Without positions an encoder gives every one of them the same sentence vector: "
         "who bites whom is lost.",
    PLACE: "Each token's vector $x_t$ is asked for its place $t$. An encoder without positions knows nothing; a causal "
           "decoder without positions begins to know after its first layer, near the start of the text best.",
}

FORMULAS = {  # a line each, so that a phone has room
    ENCODER: (
        r"Q K^\top \to (P\query{Q})(P\key{K})^\top = P\,\scores{S}\,P^\top",
        r"\attention{A} \to P\attention{A}P^\top, \quad \attention{A}\value{V} \to P\attention{A}P^\top P\value{V} = "
        r"P\,\attention{A}\value{V}",
        r"\output{f}(P\residual{x}) = P\,\output{f}(\residual{x})",
    ),
    DECODER: (
        r"\value{z_q} = \frac{\sum_{k \le q} e^{\scores{S_{qk}}}\,\value{v_k}}{\sum_{k \le q} e^{\scores{S_{qk}}}}",
        r"\text{layer 1: } \value{z_q} = g(\residual{x_q},\ \{\residual{x_k} : k \le q\})",
        r"P\,(\text{causal})\,P^\top \ne \text{causal}",
    ),
    BAG: (
        r"\output{c}(\residual{x}) = \frac1n \sum_t \output{f}(\residual{x})_t",
        r"\output{c}(P\residual{x}) = \output{c}(\residual{x})",
    ),
    PLACE: (
        r"\widehat{\ln(1+t)} = \residual{x_t}^\top W \residual{x_t} + w \cdot \residual{x_t} + b",
        r"\Big\lVert \tfrac{1}{t+1}\textstyle\sum_{k \le t} \value{v_k} - \bar v\Big\rVert^2 \approx "
        r"\frac{\sigma^2}{t+1}",
    ),
}

WHAT = (
    "Nothing in attention mentions a place. $Q$, $K$, $V$, norms and the FFN treat each token by itself; a score is "
    "a product of two vectors; the softmax runs over *whichever* keys there are, and $A V$ is a sum, which has no "
    "order. Permute the tokens by $P$, and each step hands the permutation on: $PQ$, $PSP^\\top$, $PAP^\\top$, "
    "$PAV$. So an encoder without positions is **equivariant**: the outputs are the old ones in the new order, layer "
    "after layer, and their mean does not change at all. What two tokens of the same kind come to is the same "
    "vector, wherever they stand."
)
WHY = (
    "“Dog bites man” and “man bites dog” are then one and the same to it. Position has to be put in: each *place* as a "
    "vector added to the embeddings (sinusoids, learned tables), or the *distance* brought into the scores, by turning "
    "queries and keys (RoPE) or by a bias (ALiBi, T5). What it is worth, measured on small models of "
    "ours ({seeds} seeds each, trained alike on Shakespeare's plays): an encoder that fills in hidden tokens stands at "
    "{encoder} nats with RoPE and at {encoder_none} without any position; a causal decoder that writes on at {decoder} "
    "with sinusoids and at {decoder_none} without any."
)
CATCH = (
    "**It holds for an encoder only.** A causal mask $M$ does not survive a permutation: $P\\,M\\,P^\\top \\ne M$. "
    "Each token of a decoder reads another set of tokens, and the size of that set is its place. That is why decoders "
    "without any positions (“NoPE”) work: the mask tells them order. In *one* layer the last token still reads a mere "
    "set, and no order of what came before can change it; from the second layer on, the vectors that it reads have "
    "themselves been made from different prefixes. And “exact” is a word about real numbers: in a computer the sums "
    "run in another order, so results agree to rounding. That it is rounding shows in float64, where the difference "
    "falls by the same factor as the precision."
)

SNIPPET = """
import transformer
from transformer.experiments import permutation

model, tokenizer = transformer.load({name})      # in the project's folder
ids = {ids}                                      # tokenizer.pieces(ids) says which
orders = permutation.orders({by_name}, {swap}, {seed}, fixed={fixed})
of = list(orders.values())
for weights in (model, permutation.without_positions(model)):
    reading = permutation.read(weights, ids, of, {layer})
    print(weights.config.position, dict(zip(orders, permutation.largest_difference(reading, of).tolist())))
    print(permutation.moved(reading.streams, of)[2, -1])     # reversed: the last token, after every layer
"""
SNIPPET_BAG = """
import torch, transformer
from transformer.experiments import permutation

model, tokenizer = transformer.load({name})      # in the project's folder
rows = {rows}                                    # every order of {words}
for weights in (model, permutation.without_positions(model)):
    alone = [tuple(range(len(rows[0])))]
    pooled = torch.cat([permutation.read(weights, row, alone, 0).pooled() for row in rows])
    print(weights.config.position, permutation.angles(pooled).max().item())
"""
SNIPPET_PLACE = """
import torch, transformer  # half a minute
from transformer.experiments import permutation
from transformer.training import order, play

for row in ("decoder-none", "encoder-none", "decoder"):
    model, tokenizer = transformer.load("assets/order/" + row)      # in the project's folder
    text = (play.FOLDER / f"{{play.TITLE}}.txt").read_text("utf-8")
    windows = torch.tensor(tokenizer.encode(text)[: {n} * {windows}]).view(-1, {n})
    place = permutation.place_read_off(model, windows[:{learn}], windows[{learn}:])
    print(row, place.explained)      # R² of the embeddings and after each layer; the page's are fitted on more windows
"""

INTERVIEW = [
    ("Prove that self-attention is permutation equivariant. Which single step breaks under a causal mask?",
     "With $X \\to PX$: $Q, K, V \\to PQ, PK, PV$ since they are made row by row; $S \\to PSP^\\top$; the softmax "
     "works on rows and does not care in which order its entries stand, so $A \\to PAP^\\top$; and $AV \\to "
     "PAP^\\top PV = PAV$. Norms, FFN and residual sums go row by row. A mask adds $\\log M$ to $S$: the step needs "
     "$PMP^\\top = M$, which holds for “all see all” and, if it moves along, for padding, but not for a triangle, a "
     "window or a block."),
    ("Do decoders need position encodings at all?",
     "Not to know order. A head that gives all keys the same score writes $\\frac1{q+1}\\sum_{k \\le q} v_k$: if the "
     "first token's value stands out, its share $1/(q+1)$ *is* the place; and if none does, a mean of more values is "
     "still shorter, which something that can square (an FFN) reads off. The last view measures that. What one layer "
     "cannot see is the order *within* the past: its last token is a function of a set; from the second layer on the "
     "past's own vectors tell. Models without positions train nearly as well as others and often take longer texts "
     "better, but they spend capacity on it, and large ones mostly use RoPE. Encoders without positions stay bags of "
     "words at any depth."),
    ("Equivariant or invariant: which is it, and does that make the encoder a plain bag of words?",
     "The token outputs are *equivariant* (they move along); a mean, a sum or a [CLS] vector is *invariant* (it does "
     "not change). It is a function of the multiset of tokens, which is more than a sum of word vectors: words "
     "interact, so “not good” differs from “good” plus “not”. That is what one wants for sets and point clouds (Set "
     "Transformer), and it loses syntax. Two copies of a word get identical vectors, so nothing after them can tell "
     "them apart."),
    ("You test it and find differences of 1e-6. Bug or not?",
     "Sums over keys (the softmax's and $AV$'s) run in another order, and floating-point addition is not "
     "associative: float32 keeps 24 bits, so a few times $10^{-7}$ of the largest terms per sum. Run it in float64: "
     "rounding falls by $2^{29}$, a bug stays. Beware of things that do depend on place by accident: padding that "
     "does not move along, BatchNorm in training mode, dropout, a learned table left on, kernels that choose experts "
     "by capacity in order of arrival."),
]  # fmt: skip

SOURCES = [
    "Vaswani et al. 2017, *Attention Is All You Need*, §3.5 (“since our model contains no recurrence and no "
    "convolution …”), [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)",
    "Lee et al. 2019, *Set Transformer*, [arXiv:1810.00825](https://arxiv.org/abs/1810.00825): equivariance and "
    "invariance used on purpose",
    "Haviv et al. 2022, *Transformer Language Models without Positional Encodings Still Learn Positional "
    "Information*, [arXiv:2203.16634](https://arxiv.org/abs/2203.16634); Kazemnejad et al. 2023, *The Impact of "
    "Positional Encoding on Length Generalization* (NoPE), [arXiv:2305.19466](https://arxiv.org/abs/2305.19466)",
    "Our encoders and decoders: `python -m transformer.training.order`; command, seeds and data stand in "
    "`assets/order/curves.json`.",
]
