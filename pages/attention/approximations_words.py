"""The words of the lesson on low rank and kernels (pages/attention/approximations.py)."""

VIEWS = WEIGHTS, FEATURES, RANK, MEAN, STATE, COST = "Weights", "Features", "Rank", "Unbiased?", "State", "Cost"

LOOK_FOR = {
    WEIGHTS: "Pull the size up: random features and a fitted rank grow towards the exact map, elu + 1 stays blurred.",
    FEATURES: "Shorten q and k: the curve falls as 1/√m. At the length that the trained head really has, it hardly "
              "moves: the variance grows with the exponential of the squared length.",
    RANK: "No rank-k matrix can lie below the dashed curve. E and F that are fitted to this text nearly touch it; "
          "random ones, which the theorem speaks of, need far more rows than this text has words.",
    MEAN: "Above, the mean over draws stays in its shaded band about the truth: unbiased. Below, the weight, a ratio "
          "of two such estimates, settles on a wrong number, and only more features m mend it.",
    STATE: "Step through the words: each adds φ(k) vᵀ to the same 64 × 64 numbers and the text's length leaves no "
           "trace in their count. What is read from them equals what all pairs give.",
    COST: "All pairs cost more with every token that stands before; a state costs the same for ever. Where the lines "
          "cross depends on m, and it is later than “linear is cheaper” suggests.",
}

TWICE_AS_LONG = (
    " Then take layer 13, head 8, which finds “animal” for “it”: its q and k are twice as long as these, all of the "
    "estimated weight goes to the key of least length, the first, and no m helps."
)

ESTIMATE = (
    r"\attention{\tilde A}_{ij} = \frac{\phi(\query{q_i})\cdot\phi(\key{k_j})}{\sum_l "
    r"\phi(\query{q_i})\cdot\phi(\key{k_l})}"
)
PERFORMER = r"\phi(x) = e^{\,\omega \hat x - |\hat x|^2/2} / \sqrt m,\ \ \hat x = x / d_k^{1/4}"
SQUEEZE = (
    r"\attention{P} = \operatorname{softmax}\!\left(\query{Q}\,(E\key{K})^\top / \sqrt{d_k}\right)",
    r"\output{z} = \attention{P}\,(F\value{V}) = (\attention{P}F)\,\value{V}",
)
FORMULAS = {  # a line each, so that a phone has room
    WEIGHTS: (
        ESTIMATE, r"\text{Performer: }\phi(x) = e^{\,\omega \hat x - |\hat x|^2/2} / \sqrt m",
        r"\hat x = x / d_k^{1/4},\quad \omega \sim \mathcal N(0, I)",
        r"\text{linear: }\phi(x) = \operatorname{elu}(x) + 1",
        r"{} = x + 1 \text{ for } x > 0,\ \ e^x \text{ else}",
        r"\text{Linformer: }\attention{\tilde A} = \attention{P}F,\ \ \operatorname{rank} \le k", SQUEEZE[0],
    ),
    FEATURES: (
        ESTIMATE, PERFORMER,
        r"\frac{\operatorname{Var}\,\phi(\query{q})\cdot\phi(\key{k})}{\text{mean}^2} = \frac{e^{|\query{q} + "
        r"\key{k}|^2/\sqrt{d_k}} - 1}{m}",
    ),
    RANK: (
        *SQUEEZE,
        r"\min_{\operatorname{rank} B \le k}\|B - \attention{A}\|_F = \sqrt{\textstyle\sum_{i>k}\sigma_i^2}",
        r"\mathbb E\,[\attention{A} R^\top R] = \attention{A},\ \ R \sim \mathcal N(0, 1/k)",
    ),
    MEAN: (
        r"\mathbb E_\omega\!\left[\phi(\query{q})\cdot\phi(\key{k})\right] = e^{\query{q}\cdot\key{k}/\sqrt{d_k}}",
        r"\mathbb E\!\left[\frac{X}{Y}\right] \ne \frac{\mathbb E[X]}{\mathbb E[Y]}",
    ),
    STATE: (
        r"S_t = S_{t-1} + \phi(\key{k_t})\,\value{v_t}^\top",
        r"z_t = z_{t-1} + \phi(\key{k_t})",
        r"\output{o_t} = \frac{\phi(\query{q_t})\,S_t}{\phi(\query{q_t})\cdot z_t} = \sum_{j \le t} \attention{\tilde "
        r"A}_{tj}\,\value{v_j}",
    ),
    COST: (
        r"\text{all pairs: } 4\,n\,d_k \text{ a head and token}",
        r"\text{a state, m features: about } 4\,m\,d_k",
        r"\text{Performer: } 4\,m\,d_k \text{ more, for } \omega\hat x",
        r"\text{elu: } m = d_k",
    ),
}

WHAT = (
    "Three ways around the n × n matrix. **Linformer** multiplies $\\key{K}$ and $\\value{V}$ by learned $E$, $F$ of "
    "k rows first: every query then meets k mixed rows. **Linear attention** scores with "
    "$\\phi(\\query{q})\\cdot\\phi(\\key{k})$, and since that is a product, $\\sum_j \\phi(\\key{k_j}) "
    "\\value{v_j}^\\top$ can be added up before any query looks: causal attention becomes a recurrence with a state, "
    "an RNN. **Performer** chooses φ so that the product is the softmax's own "
    "$e^{\\query{q}\\cdot\\key{k}/\\sqrt{d_k}}$ in the mean: random, positive (a negative weight would ruin the sum "
    "below the line) and with orthogonal ω, which lowers the variance. All three are drawn here as the n × n weights "
    "they stand for, which in use they never make."
)
WHY = (
    "Time and memory grow as n instead of n², and a causal state stands in for the whole KV cache. The price is what "
    "the picture shows. A trained head is **sharp**, and long vectors make it so: SmolLM2's head on layer 13 that "
    "finds the pronoun's noun would need some $10^{{30}}$ random features for its variance to come down. elu + 1 "
    "cannot be sharp at all, whatever it is given. So these are seldom swapped into a trained model; models are "
    "trained with them, learn to live with blurred maps, and mix in some exact layers. Small decoders that we trained "
    "alike from the start on the plays come to {trained} nats a held-out token (mean, range of the seeds)."
)
CATCH = (
    "Performer's estimate of $e^{\\query{q}\\cdot\\key{k}/\\sqrt{d_k}}$ is **unbiased; its attention weights are "
    "not**. They are a ratio of two estimates with the same ω in both, and the mean of a ratio is not the ratio of "
    "the means: they are only *consistent*, right in the limit of many features (open “Unbiased?”). And unbiased does "
    "not mean close: the estimate is skewed, nearly always too small and rarely huge. Linformer has catches of its "
    "own. A squeezed row mixes all tokens, the future too, so there is **no causal Linformer**, and $\\attention{P} "
    "F$ is no softmax: its entries may be negative and its rows need not add up to 1."
)
PREDICT = {
    "question": "You make every q and every k **half as long**. The scores shrink to a quarter. What share of its "
                "random features does Performer then need for the same relative spread of its estimates?",
    "options": ["a half", "a quarter", "a sixteenth", "it depends on the head, exponentially"],
    "answer": "it depends on the head, exponentially",
}  # fmt: skip
REVEAL = (
    "The variance over the square of the mean is $(e^{{|q+k|^2/\\sqrt{{d_k}}}} - 1)/m$. For the middle pair of layer "
    "{layer}, head {head} on this text the exponent is {whole:.1f}; with half the length it is a quarter, "
    "{quarter:.1f}. So about $10^{{{power:.0f}}}$ times fewer will do here. Open “Features” and pull the length."
)

SNIPPET = """
import torch, transformer
from transformer import kernels
from transformer.experiments import approximation

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})
config, at, head = model.config, "layers.{layer}.attention.", {head}
trace = model.run(ids, record=(at + "Q", at + "K", at + "V")).trace
shared = head * config.n_kv_heads // config.n_heads
n = min(len(ids), {most})
Q = trace[at + "Q"][0, head, :n] * {length}        # [query, d_k]
K = trace[at + "K"][0, shared, :n] * {length}      # [key, d_k]
V = trace[at + "V"][0, shared, :n]
mask = torch.ones(n, n, dtype=torch.bool).tril() if config.kind == "decoder" else None
A = approximation.exact(Q, K, mask)

generator = torch.Generator().manual_seed({seed})
omega = kernels.random_rows(4096, Q.shape[1], generator)
performer = {{
    m: approximation.error(approximation.performer(Q, K, omega[:m], mask), A).item() for m in (16, 256, 4096)
}}
elu = approximation.error(approximation.linear(Q, K, mask), A).item()
best = approximation.error(approximation.best_ranks(approximation.exact(Q, K)), approximation.exact(Q, K))
print("Performer", performer, "  elu + 1", elu)
print("best of rank 1, 2, ...", best[:4])

phi_Q, phi_K = (kernels.log_elu_features(x).exp() for x in (Q, K))
S, z = approximation.recurrence(phi_K, V)          # [token, feature, d_v], [token, feature]
causal = torch.ones(n, n, dtype=torch.bool).tril()
gap = (approximation.read_states(phi_Q, S, z) - approximation.linear(Q, K, causal) @ V).abs().max()
print("recurrence and parallel form differ by", gap)
"""

INTERVIEW = [
    ("Why positive random features? The sine–cosine ones estimate the same kernel, also without bias.",
     "$e^{q\\cdot k} = e^{|q|^2/2}\\,e^{|k|^2/2}\\,\\mathbb E[\\cos \\omega\\cdot(q-k)]$ works on paper. But where "
     "the kernel is near 0, which most entries of an attention map are, cosines cancel: the variance stays while the "
     "mean vanishes, sums below the fraction line come out near 0 or negative, and training blows up. With $\\phi(x) "
     "= e^{\\omega x - |x|^2/2}$ every estimate is positive and its variance goes to 0 with the kernel. What remains "
     "is the growth with $|q+k|^2$: large for long vectors, so that a trained softmax head as sharp as SmolLM2's is "
     "out of its reach."),
    ("Linear attention is causal and an RNN. What does it lose against softmax attention, besides sharpness?",
     "Capacity. $S$ has $d_\\phi \\times d_v$ numbers however long the text, so only about $d_\\phi$ keys can be told "
     "apart: more and they overlap, and nothing is ever taken out (hence gates and delta rules in its successors, "
     "RetNet, Mamba-2, DeltaNet). Exact recall of one token far back, copying, and induction suffer first. In "
     "exchange a token costs the same at any length, and training still runs in parallel, chunk by chunk: pairs "
     "inside a chunk, states between chunks."),
    ("Linformer: where does its guarantee come from, and why do causal language models not use it?",
     "Attention matrices have quickly falling singular values, so some rank-k matrix is close (Eckart–Young, the "
     "dashed curve); Johnson–Lindenstrauss says that a random projection to $k = O(\\log n / \\varepsilon^2)$ (for "
     "fixed d even independent of n) keeps each row's product to ε, and learning E and F does better. But a row of $E "
     "K$ mixes positions: with a causal mask every squeezed row would leak the future. And E has a column for each "
     "position: a fixed longest length, and no KV cache that grows by a token. Nyströmformer goes through a few "
     "landmarks, means of stretches of Q and K, and mixes the future in as well."),
    ("For which n is a kernel attention really cheaper?",
     "While decoding, all pairs cost $4 n d_k$ FLOPs a head and token. A state of m features costs $4 m d_k$ to write "
     "and read, and Performer as much again to make its features: for elu ($m = d_k$) it pays from n ≈ $d_k$, for "
     "Performer from n ≈ 2m (open “Cost”). Memory: the KV cache has $2 n d_k$ numbers, the state $m(d_k + 1)$. In "
     "training, fused exact attention has so small a constant that the crossing in seconds lies further out."),
]  # fmt: skip

SOURCES = [
    "Wang et al. 2020, [Linformer: Self-Attention with Linear Complexity](https://arxiv.org/abs/2006.04768): theorem "
    "1 (low rank), theorem 2 (random projections), §4 (pooling).",
    "Katharopoulos et al. 2020, [Transformers are RNNs](https://arxiv.org/abs/2006.16236): elu + 1 and the recurrence.",
    "Choromanski et al. 2021, [Rethinking Attention with Performers](https://arxiv.org/abs/2009.14794): lemmas 1 and "
    "2, orthogonal features.",
    "Eckart & Young 1936, *The approximation of one matrix by another of lower rank*, Psychometrika 1.",
    "Schlag, Irie, Schmidhuber 2021, [Linear Transformers Are Secretly Fast Weight "
    "Programmers](https://arxiv.org/abs/2102.11174): how many keys a state can hold.",
]  # fmt: skip
