"""The words of the lesson on the KV cache (pages/attention/kv_cache.py)."""

VIEWS = STEPS, COST, BYTES = "Step by step", "FLOPs and time", "Bytes"

LOOK_FOR = {
    STEPS: "Press Play. On the left every step frames the whole triangle again, and all hatched rows come out as "
           "before. On the right a step frames one row of $Q$, $K$, $V$ and one row of $A$; the rest was kept.",
    COST: "Without the cache a token costs more, the longer the text; with it the price hardly moves. The measured "
          "gain is smaller than the one in FLOPs: reading one token waits for the weights, not for arithmetic.",
    BYTES: "What is saved in time is paid in memory: twice the tokens or twice the texts, twice the bytes (the axis is "
           "logarithmic). Turn up the texts at once and watch the cache pass the weights (dashed).",
}

FORMULAS = {  # short lines, so that a phone has room
    STEPS: (
        r"\query{q_n} = x_n W_Q,\quad \key{k_n} = x_n W_K",
        r"\value{v_n} = x_n W_V,\quad \key{K_{\le n}} = [\key{K_{<n}};\, \key{k_n}]",
        r"\value{V_{\le n}} = [\value{V_{<n}};\, \value{v_n}]",
        r"z_n = \operatorname{softmax}\!\left(\tfrac{\query{q_n}\key{K_{\le n}}^\top}{\sqrt{d_k}}\right)\value{V_{\le n}}",
    ),
    COST: (
        r"\text{without: } 2N n + 4 n^2 h d_k L + 2 d |V|",
        r"\text{with: } 2N + 4 n\, h d_k L + 2 d |V|",
        r"N: \text{weights that a token meets}",
        r"L\text{: layers},\quad |V|\text{: vocabulary}",
    ),
    BYTES: (
        r"\text{bytes} = 2 \cdot n \cdot \key{h_{kv}} \cdot d_k \cdot L",
        r"\cdot\ \text{texts} \cdot \text{bytes a number}",
        r"\text{(2: a } \key{k} \text{ and a } \value{v}\text{)}",
    ),
}

SNIPPET = """
import torch, transformer
from transformer import Cache, cost
from transformer.experiments import cached_steps

model, tokenizer = transformer.load({model})
ids = {ids}                       # the text on the page
n = {n}                           # tokens read after this step
with torch.no_grad():
    _, cache = model.extend(torch.tensor([ids[: n - 1]]), Cache.empty(model.config.n_layers))
    kept, cache = model.extend(torch.tensor([ids[n - 1 : n]]), cache)           # one token
    without = model(torch.tensor([ids[:n]]))[:, -1:]                            # all n again
print(tokenizer.pieces([int(kept.argmax())]), float((kept - without).abs().max() / without.abs().max()))
print([tuple(layer.K.shape) for layer in cache.layers][{layer}])                # [batch, kv_head, key, d_head]
print(cached_steps.step_flops(model.config, n))
print(cost.kv_cache_bytes(model.config, n, bytes_per_value=2))
"""

PROSE = {
    "what": "A causal token never looks ahead, so nothing that comes later changes its \\key{key} or its "
            "\\value{value} in "
            "any layer. Reading the text again for each new token makes the same rows again. The cache keeps $K$ and "
            "$V$ of every layer; a step then needs **one** \\query{query}, one new key, one new value, and one row of "
            "scores. Old queries are not kept: their rows of $A$ have done their work. With RoPE the keys are kept "
            "*after* their rotation, which depends on their own place alone.\n\n"
            "**Prefill and decode** are two different jobs. The prompt goes through at once (step 0, the same work "
            "with "
            "or without a cache): large matrix products, bound by arithmetic. After it tokens come one by one: "
            "each weight is fetched from memory for a single multiplication, so decoding is bound by bandwidth.",
    "why": "Without a cache the $t$-th token costs as much as a text of $t$ tokens: a page of output is cubic work in "
           "attention and quadratic in everything else. With it, attention is quadratic in all and the rest linear. "
           "That "
           "is why the first token of a chat takes longest (time to first token: prefill) and the others come at an "
           "even pace (time per token: decode). The price is memory that grows with every token of every user, "
           "which is what limits how many texts a server can write at once, and what grouped heads, windows, latents "
           "and "
           "8-bit caches set out to shrink.",
    "catch": "The cache does not make a step free of $n$: the new query still meets **every** kept key, "
             "$4 n\\, h d_k$ FLOPs a "
             "layer, and all of $K$ and $V$ is read from memory at each step. And it is exact only where the past "
             "cannot change: a causal mask, positions that belong to the token. An encoder reads both ways, so a new "
             "token "
             "changes every earlier row and there is nothing to keep. “The same” means up to rounding: a product of "
             "one "
             "row adds in another order than one of $n$ rows.",
}  # fmt: skip

INTERVIEW = [
    ("Why are keys and values cached, and not queries or attention weights?",
     "Step $n$ needs $z_n = \\operatorname{softmax}(q_n K^\\top)V$: the newest query with **all** keys and values. "
     "Earlier "
     "queries served their own rows, which produced earlier outputs that no later token asks for again. The weights of "
     "the new row are new. So $K$ and $V$ of each layer (after RoPE, for $h_{kv}$ heads) are all that the future can "
     "ask "
     "for."),
    ("With the cache a step takes thousands of times fewer FLOPs, yet is not thousands of times faster. Why?",
     "Decoding one token multiplies each matrix by one vector: 2 FLOPs for every weight fetched. A processor can do "
     "tens to "
     "hundreds of FLOPs in the time one number takes to arrive, so the step lasts as long as weights and cache take "
     "to be "
     "read: (bytes of weights + bytes of cache) / bandwidth. Prefill reads each weight once for $n$ tokens and is "
     "bound by "
     "arithmetic. Batching decodes raises the use of each weight; it does not help with the cache, of which each text "
     "has "
     "its own. Fewer key/value heads and smaller numbers help there."),
    ("How large is the cache of Llama-2-7B at 4,096 tokens, and what would you do about it?",
     "$2 \\cdot 4096 \\cdot 32 \\cdot 128 \\cdot 32$ layers $\\cdot\\, 2$ bytes = 2.1 GB a text (0.5 MB a token): six "
     "texts "
     "weigh as much as the model's 13.5 GB. Share key/value heads (Llama-3-8B has 8: a quarter), keep a latent, keep "
     "a window only, store "
     "8 or 4 bits, share the prompt's prefix between users, and hand memory out in pages so that none is reserved "
     "for text that never comes."),
    ("When is a KV cache wrong or impossible?",
     "When an earlier row can change: encoders and prefix parts (both ways), an edited prompt (everything after the "
     "edit must be "
     "read again), learned positions when the window slides and tokens get new numbers. A window needs only its "
     "$w - 1$ newest "
     "tokens; linear attention keeps a sum of constant size instead."),
]  # fmt: skip

SOURCES = [
    "Shazeer 2019, [Fast Transformer Decoding: One Write-Head is All You Need](https://arxiv.org/abs/1911.02150): why "
    "decoding waits for memory, and keys shared by all heads.",
    "Pope et al. 2022, [Efficiently Scaling Transformer Inference](https://arxiv.org/abs/2211.05102): prefill, "
    "decode, and what "
    "bounds each.",
    "Kwon et al. 2023, [PagedAttention](https://arxiv.org/abs/2309.06180): the cache in pages, for many texts at once.",
    "Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762): the causal mask that makes "
    "it exact.",
]  # fmt: skip

OPTIONS = ("about 10 times", "about 50 times", "more than 200 times")


def predict(model: str, n: int, ratio: float, measured: float) -> dict:
    """How much less arithmetic, and the answer by this model's own numbers."""
    answer = OPTIONS[0] if ratio < 25 else OPTIONS[1] if ratio < 200 else OPTIONS[2]
    return {
        "question": f"{model} has read {n:,} tokens. How many times fewer FLOPs does the next token take with the "
                    "cache?",
        "options": OPTIONS, "answer": answer,
        "reveal": f"{ratio:,.0f} times: all {n:,} rows of every layer against one (the logits' row is computed either "
                  "way). "
                  f"The clock gained {measured:,.0f} times on the machine of the measurement: one row at a time, the "
                  "step waits for the weights, not for the arithmetic.",
    }  # fmt: skip
