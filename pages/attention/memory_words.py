"""The words of the lesson on memory across segments (pages/attention/memory.py)."""

VIEWS = REACH, MAP, SAME, WORTH = "Reach", "Attention", "Same or not", "What it is worth"

TOMORROW = (
    "Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day, to the last syllable of "
    "recorded time; and all our yesterdays have lighted fools the way to dusty death."
)
FOREST = (
    "A fool, a fool! I met a fool in the forest, a motley fool; a miserable world! As I do live by food, I met a "
    "fool, who laid him down and basked him in the sun."
)

LOOK_FOR = {
    REACH: "Without a memory the last token knows its own segment and nothing else, however deep the model. Pull the "
           "memory up: each layer reaches one memory further back, as a staircase.",
    MAP: "On the left each segment begins blind: its first token can only read itself. Give it a memory and the same "
         "head reads across the edge, into keys that were computed a segment ago.",
    SAME: "With all of the past in memory the curve lies on the floor: segment by segment **is** the whole at once. "
          "Shorten the memory and it jumps at exactly the first token whose past no longer fits.",
    WORTH: "The loss at the first places of a segment: without a memory a model starts each segment as if it were the "
           "first line of a book. With one, no place stands out.",
}

XL = (
    r"\scores{S}_{ij} = \frac{(\query{q_i} + u)\cdot\key{k_j} + (\query{q_i} + v)\cdot W_R\,R_{i-j}}{\sqrt{d_k}}"
)
LAYER = (
    r"\query{q} = W_Q\,\residual{h}_\tau^{\,l-1}",
    r"\key{k},\value{v} = W_K, "
    r"W_V\,\bigl[\operatorname{stop}(\residual{h}_{\tau-1}^{\,l-1})\,;\,\residual{h}_\tau^{\,l-1}\bigr]",
)
FORMULAS = {  # a line each, so that a phone has room
    REACH: (
        *LAYER,
        r"\text{hears from: } p \mapsto \left\lfloor p / L \right\rfloor L - M \ (N\times)",
        r"M = L:\ \ N\cdot M + L \text{ tokens}",
    ),
    MAP: (XL, r"\attention{A} = \operatorname{softmax}(\scores{S} + \text{mask})"),
    SAME: (
        *LAYER,
        r"\Delta_i = \max_v\left|\output{\ell}_i - \output{\ell}_i^{\text{ at once}}\right|_v",
        r"\Delta = 0 \ \text{ if }\ M \ge \text{the whole past}",
    ),
    WORTH: (r"\mathcal L(p) = -\,\overline{\ln P(x_{p+1} \mid \text{memory},\ x_1 \dots x_p)}",),
}

PROSE = {
    "what": "The text is cut into segments of L tokens, numbered τ. While a segment is read, the keys and values that "
            "**every layer** computed for the last M tokens lie beside its own, and its queries read both. Afterwards "
            "its own become the memory of the next. What lies in memory was computed with a memory of its own, so "
            "layer by layer the past seeps further up the text: with N layers and M = L a token hears of N · M tokens "
            "before its "
            "segment, at the price of attending to M + L. In training no gradient flows into the memory: it is read, "
            "not taught. **Compressive** Transformers go on from here: what falls out of the memory is not thrown away "
            "but squeezed, c vectors into one, into a second, coarser memory, so that the same number of slots covers "
            "c times as much.",
    "why": "Cut without a memory, a text is **fragmented**: the first words of each piece are predicted from nothing, "
           "at training and later. Our two small models differ in nothing but this: {with_:.3f} nats a token with a "
           "memory of {segment}, {without:.3f} without ({seeds} seeds each, ranges {with_range} and {without_range}; "
           "held-out plays), and the first token of a segment alone saves {first:.2f}. Sliding windows with a KV "
           "cache, as in Mistral, are the same idea without the steps: they move by a token, reach grows by a window "
           "a layer.",
    "catch": "“Layers × segment” is how far news **can** travel, hop by hop through other tokens' vectors; what a "
             "token can *look up* directly is the memory, M tokens. And a memory is only possible with **relative** "
             "positions. With absolute ones, token 3 of this segment and token 3 of the last would claim the same "
             "place; here $\\key{k}$ carries no place at all; the score (open “Attention”) has the distance in it, "
             "$R_{{i-j}}$, and learned vectors $u$ and $v$ where the query's own place was. So a key stays valid in "
             "the next segment, and a memory "
             "may be longer at reading than it was in training. Equality with the whole at once holds for the forward "
             "pass; the gradient is cut.",
}  # fmt: skip
PREDICT = {
    "question": "A model has {layers} layers, segments of {segment} tokens and a memory of {memory}, half as long. It "
                "reads a long text. How many tokens, itself included, can the **last** token of a segment have heard "
                "of?",
    "reveal": "{segment} + {layers} · {memory} = {simple} is too few: what lies in memory has read its own segment "
              "from its start. So each layer but one gains a whole segment, the other a memory: {segment} + ({layers} "
              "− 1) · {segment} + {memory}. `transformer.segments.reach` multiplies the masks and finds {found}. Set "
              "the memory to {memory} and see.",
}  # fmt: skip

SNIPPET = """
import transformer
from transformer import segments

model, tokenizer = transformer.load("segments")
ids = tokenizer.encode({text})[:{most}]
whole = segments.read(model, ids, len(ids), 0)                  # all at once
for memory in (0, {segment}, len(ids)):
    read = segments.read(model, ids, {segment}, memory, record=("A",))
    apart = segments.differences(read.logits, whole.logits)     # [token]
    seen = segments.reach(len(ids), {segment}, memory, model.config.n_layers)[-1] >= 0
    print("memory", memory, " last token has heard of", seen.sum().item(), "tokens; largest difference",
          apart.max().item(), " mean surprise", segments.surprise(read.logits, ids).nanmean().item())
A = read.trace["A"][{layer}, {head}]                            # [query, key] of the last reading
"""

INTERVIEW = [
    ("Why can Transformer-XL not keep absolute position embeddings?",
     "They are added to the embedding, so they are baked into every cached vector: position p of the last segment and "
     "p of this one are the same to the model, and it could not tell which came first. XL puts the position into the "
     "score instead, as a distance $i - j$: $(q_i + u)\\cdot k_j + (q_i + v)\\cdot W_R R_{i-j}$. Content meets "
     "content, content meets distance, and two learned vectors carry a key's general importance ($u$) and a "
     "distance's ($v$). RoPE, ALiBi and T5's buckets would do as well: the library's equality test runs over all "
     "four."),
    ("How far back does a token see with N layers, segments of L and memory M, and what does that cost?",
     "Directly M + its own segment. Through the layers N · M + L (for M = L): the vectors in memory at layer l were "
     "made at layer l − 1 with *their* memory. Cost a token and layer: at most M + L pairs, whatever the text's "
     "length. Memory: the keys and values of M tokens in each layer (the paper stores the hidden states, and computes "
     "K and V anew). Without a memory, the same reach while reading would mean recomputing a window of that length "
     "for every token: the paper counts up to 1,800 times the time."),
    ("Is training with a memory the same as training on the whole sequence?",
     "Forward, yes, as long as the memory covers the whole past: equal up to rounding. Backward, no: the memory is "
     "a constant (stop-gradient), like truncated backpropagation through time, so nothing is taught to *write* for "
     "later segments; it only learns to read what is there. And during training the memory was computed by slightly "
     "older weights when segments are in different steps. Batches must follow the text: row b of the next batch "
     "continues row b."),
    ("A KV cache, a sliding window, a segment memory: what is the difference?",
     "A KV cache keeps everything, so decoding equals reading at once. A window keeps the last w tokens and moves "
     "with every token: same reach per layer, exact at each step for the windowed mask. A segment memory moves by "
     "whole segments: a segment's first tokens see M tokens back and its last see M + L − 1, and a segment is read in "
     "one parallel pass, which is what makes it fit for training. To remember further back: Memorizing Transformers "
     "look up the nearest of many old keys; Infini-attention adds what falls out into a state of fixed size (as linear "
     "attention does); a recurrent memory hands a few vectors on, with their gradient."),
]  # fmt: skip

SOURCES = [
    "Dai et al. 2019, [Transformer-XL: Attentive Language Models Beyond a Fixed-Length "
    "Context](https://arxiv.org/abs/1901.02860): §3.2 recurrence, §3.3 relative positions.",
    "Rae et al. 2019, [Compressive Transformers for Long-Range Sequence Modelling](https://arxiv.org/abs/1911.05507).",
    "Jiang et al. 2023, [Mistral 7B](https://arxiv.org/abs/2310.06825), §2: sliding windows and their reach.",
    "Wu et al. 2022, [Memorizing Transformers](https://arxiv.org/abs/2203.08913).",
]  # fmt: skip
