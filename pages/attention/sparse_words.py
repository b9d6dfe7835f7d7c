"""The words of the lesson on sparse patterns (pages/attention/sparse.py)."""

VIEWS = PATTERN, HEAD, COST, TRAINED = "Pattern and reach", "On a real head", "What it costs", "Trained with it"

LOOK_FOR = {
    PATTERN: "Dilation with r = 3 reads every third key. Press play: each layer reaches further, and none ever "
             "reaches the other two thirds of the text.",
    HEAD: "One real head, exact and under each pattern. Heads like to rest on the text's first tokens: patterns with a "
          "global token keep that, the others cut it off.",
    COST: "Each step right doubles the text: full attention takes four times as long, a window twice. In memory full "
          "is the **least**: its fused kernel writes no n × n table.",
    TRAINED: "Decoders that differ in nothing but the pattern, trained by us on the same plays. Most do as well as "
             "full attention, give or take a seed; dilated never sees its neighbour, and pays.",
}

FORMULAS = {  # a line each, so that a phone has room
    PATTERN: (
        r"\text{window: } |q-k| < w",
        r"\text{dilated: } r \mid q-k,\ |q-k| < w\,r",
        r"\text{strided: } |q-k| < w \text{ or } w \mid q-k",
        r"\text{global: } k < g \text{ or } q < g \quad \text{LSH: } h(\query{q}) = h(\key{k})",
        r"\residual{R_l} = \residual{R_{l-1}} \vee \attention{M}\,\residual{R_{l-1}}, \quad \residual{R_0} = I",
    ),
    HEAD: (
        r"\attention{A'} = \operatorname{softmax}(\scores{S} + \log M),\quad \output{z} = \attention{A}\value{V}",
        r"\text{error} = \lVert \attention{A'}\value{V} - \attention{A}\value{V}\rVert \,/\, "
        r"\lVert\attention{A}\value{V}\rVert",
        r"\lVert \attention{A'_q} - \attention{A_q} \rVert_1 = 2\,(1 - \text{kept}_q)",
    ),
    COST: (
        r"\text{full: } n^2 \quad \text{window, dilated: } n\,w",
        r"\text{BigBird: } n\,(w + \text{global} + \text{drawn})",
        r"\text{strided: } n\,w + n^2/w = 2\,n\sqrt n \text{ at } w = \sqrt n",
        r"\text{LSH: } n\log n + 2\,n \cdot \text{chunk} \cdot \text{hashes}",
    ),
    TRAINED: (
        r"\output{-\log p}\,(x_{t+1} \mid \text{what is left of } x_1 \dots x_t)",
    ),
}

WHAT = (
    "Each query scores a few keys instead of all. A **window** reads its neighbours; **dilation** spreads them out, "
    "every $r$-th; **strided** joins neighbours and every $w$-th key; **Longformer** adds global tokens that read all "
    "and are read by all; **BigBird** adds a few keys drawn at random for each query, which shorten every path; "
    "**LSH** (Reformer) lets the content decide: queries and keys that point the same way fall into one bucket, and "
    "only they meet. **Routing** attention learns the clusters (k-means on queries and keys), NSA and MoBA choose a "
    "few blocks of keys for each query; these are not built here. "
    "What one layer does not see, the next may: a block keeps its token and adds what it read, so reach grows with "
    "depth. A causal window reaches $L(w-1)$ tokens back after $L$ layers, a dilated one $L(w-1)r$, on its own residue "
    "class; one global token makes any two tokens of an encoder meet in two."
)
WHY = (
    "Full attention scores $n^2$ pairs a head. With the $w$ and $r$ of this page, a causal text of 4,096 tokens has\n\n"
    "{table}\n\n"
    "“multiplied” counts the masked corners of blocks, too: all of them are really computed sparsely. Blocks of "
    "queries meet the few keys that their pattern can reach in one fused call, residue classes "
    "become texts of their own, buckets are sorted and cut into chunks. What is saved "
    "is time: the memory of the n × n table is saved already by a fused kernel that never writes it, for full "
    "attention, too."
)
CATCH = (
    "**A mask saves nothing.** Scoring all $n^2$ pairs and hiding most of them costs as much as full attention, and "
    "more memory than the fused kernel that never writes the table down. Sparse attention pays only when the "
    "computation skips what the pattern leaves out, and only from some length on. And **reach is no promise**: a token "
    "that is within reach through six layers has passed through five others' vectors; and dilation with one $r$ in all "
    "layers never reaches its neighbour at all. Hence Longformer dilates some heads only, and WaveNet doubles $r$ with "
    "every layer."
)

SNIPPETS = {
    PATTERN: """
import torch
from transformer import Config, cost, masks
from transformer.experiments.sparsified import allowed

config = Config({options})
M = allowed(config, {n})                                 # bool [query, key]
after = masks.reach(M.expand(6, {n}, {n}))               # the fewest layers, -1 for never
print(int(M.sum()), "of", {n} ** 2, "pairs")
for depth in range(1, 7):
    print(depth, "layers:", int(((after[-1] >= 0) & (after[-1] <= depth)).sum()), "tokens")
print("at n = 4096:", cost.pairs(config, 4096) if config.kind == "decoder" else "", cost.scored(config, 4096))
""",
    HEAD: """
import transformer
from transformer import Config
from transformer.experiments.sparsified import allowed, before_all_heads, same_bucket, sparsified

model, tokenizer = transformer.load({model})
ids, at = tokenizer.encode({text})[:{most}], "layers.{layer}.attention."
trace = model.run(ids, record=at + "*").trace
Q, K, V, S = (trace[at + part][0] for part in ("Q", "K", "V", "scores"))
K, V = (before_all_heads(x, model.config.n_heads) for x in (K, V))
pairs = {pairs}
found = sparsified(S, V, pairs)
print("kept ", found.kept)          # [head]
print("error", found.error)         # [head]
""",
    COST: """
from transformer import Config
from transformer.experiments.timing import measured

for n in (256, 512, 1024, 2048):
    for options in ({{"attention": "full"}}, {options}):
        took = measured(Config(**{base}, **options), n)
        print(n, options["attention"], round(1000 * took.seconds, 2), "ms", round(took.bytes / 1e6, 2), "MB")
""",
    TRAINED: """
import transformer
from transformer.training import patterns

for row in patterns.PATTERNS:
    model, tokenizer = transformer.load("assets/patterns/" + row)        # in the project's folder
    ids = tokenizer.encode({text})[:{most}]
    print(row, patterns.surprise(model, ids).mean().item(), "nats a token")
""",
}

INTERVIEW = [
    ("How far can a token see after L layers of a sliding window, and is that the context it uses?",
     "$L(w-1)$ tokens back when causal, as much on both sides in an encoder; Mistral's 32 layers of 4,096 reach 131 "
     "thousand tokens. It is an upper bound: information must survive in a vector of fixed width through every hop, "
     "mixed with everything read on the way, and gradients must find the path. In practice the effective context is "
     "far shorter, so models put global tokens or a few full layers among the windows."),
    ("BigBird claims to be as expressive as full attention with O(n) scores. What does it need for that, and what is "
     "the price?",
     "Window for locality, random keys so that the graph has short paths, and global tokens: with them any two "
     "tokens meet in two layers, and the proof of universal approximation rests on them. The price is depth: there "
     "are tasks that full attention does in one layer and sparse attention with $\\tilde O(n)$ pairs does only in "
     "$\\tilde\\Omega(n)$ layers. A decoder's global tokens lose half their power, since they cannot read the future."),
    ("Why is LSH attention O(n log n), and where does it fail?",
     "Sort by hash ($n \\log n$), cut into chunks of fixed size, let each meet itself and the one before: $n \\cdot "
     "2c$ scores a round. It is right when the softmax is dominated by few keys of the query's direction. It fails "
     "when weight is spread, when buckets are uneven (chunks cut them), and on heads with separate queries and keys: "
     "it ties $K = Q/\\lVert Q\\rVert$. Several rounds lower the chance of a miss. A causal mask hides values of the "
     "future, but a later token can still shift the sort and so part two earlier ones."),
    ("You add a window mask to your attention and it gets no faster. Why, and what would make it?",
     "The mask only hides entries of an n × n table that is still computed. Use block-sparse computation: cut "
     "queries in blocks, give each the contiguous keys that it can reach (w plus one block), one batched product; or "
     "a kernel that skips whole masked tiles. Expect a gain only where n is several times w: dense products run near "
     "peak, gathers do not."),
    ("You decode token by token. Which patterns shrink the KV cache, and what breaks when a window drops the first "
     "tokens?",
     "A window's: the last w keys and values are kept in a ring, whatever the text's length; global tokens add g. "
     "Strided, BigBird's draws, LSH, and blocks chosen anew for each query (NSA, MoBA) may need any old key again: "
     "they read less and keep all. Trained heads rest on the first token where nothing else matters (an attention "
     "sink, see “On a real head”). Drop it and the softmax pushes that weight onto words; StreamingLLM keeps a few "
     "first tokens for this, as Longformer's global ones do here."),
]  # fmt: skip

SOURCES = [
    "Child et al. 2019, *Sparse Transformers* (strided and fixed), "
    "[arXiv:1904.10509](https://arxiv.org/abs/1904.10509)",
    "Beltagy, Peters, Cohan 2020, *Longformer* (window, dilated window, global), "
    "[arXiv:2004.05150](https://arxiv.org/abs/2004.05150)",
    "Zaheer et al. 2020, *Big Bird*, [arXiv:2007.14062](https://arxiv.org/abs/2007.14062): expressiveness and its "
    "price in §3",
    "Kitaev, Kaiser, Levskaya 2020, *Reformer*, [arXiv:2001.04451](https://arxiv.org/abs/2001.04451); Roy et al. 2020, "
    "*Routing Transformer*, [arXiv:2003.05997](https://arxiv.org/abs/2003.05997)",
    "Xiao et al. 2023, *StreamingLLM* (attention sinks), [arXiv:2309.17453](https://arxiv.org/abs/2309.17453); Yuan et "
    "al. 2025, *Native Sparse Attention*, [arXiv:2502.11089](https://arxiv.org/abs/2502.11089); Lu et al. 2025, "
    "*MoBA*, [arXiv:2502.13189](https://arxiv.org/abs/2502.13189)",
    "The trained models: by this project, `python -m transformer.training.patterns`; the recorded costs: "
    "`python -m benchmarks.patterns`.",
]
