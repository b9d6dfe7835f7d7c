"""The words of the lesson on masks (pages/attention/masks.py)."""

VIEWS = MASKS, LOSS, MAPS, CHANGE = "The masks", "Break it: the loss", "Break it: the map", "Change a word"

LOOK_FOR = {
    MASKS: "Hidden scores become −∞ **before** the softmax, and each row still adds up to 1. Then turn on the "
           "mistake, zeros **after** it, and watch the sums.",
    LOSS: "Without its mask the model's training loss sinks to almost nothing. It has learned to look one token "
          "ahead; the lower panel shows what it knows when there is nothing ahead.",
    MAPS: "The broken model has a bright line one place to the right of the diagonal: key = query + 1, the answer. The "
          "causal model cannot have one.",
    CHANGE: "Read along a row: which outputs move when this token is changed? With the mask, none before it: the "
            "numbers are exactly 0, bit for bit. Without it, all of them.",
}

FORMULAS = {  # a line each, so that a phone has room
    MASKS: (
        r"\attention{A} = \operatorname{softmax}(\scores{S} + \log \residual{M})",
        r"\log 1 = 0, \quad \log 0 = -\infty",
        r"\text{causal: } k \le q \quad \text{window: } 0 \le q - k < m",
        r"\text{prefix: } k \le q \text{ or } k < m",
    ),
    LOSS: (
        r"\mathcal L = -\operatorname{mean}_t \log \output{p}\,(x_{t+1} \mid \text{what it sees})",
        r"\text{causal: } x_1 \dots x_t",
        r"\text{broken: } x_1 \dots x_t,\ \underbrace{x_{t+1}}_{\text{the answer}} \dots x_n",
    ),
    MAPS: (r"\text{ahead} = \frac{1}{n-1}\sum_{q} \attention{A}[q,\, q+1]",),
    CHANGE: (
        r"\Delta_i = \max_v \left| \output{\ell_i}(\dots x_t' \dots) - \output{\ell_i}(\dots x_t \dots)\right|_v",
        r"\text{causal: } \Delta_i = 0 \text{ for all } i < t",
    ),
}

WHAT = (
    "A query meets every key in one matrix product, so its scores know no order and no padding. The mask says which of "
    "them may count: the others become $-\\infty$, $e^{-\\infty} = 0$, and the softmax shares 1 among what is left. "
    "**Causal** hides the future, **padding** hides what only fills up a batch, a **prefix** may be read by all (its "
    "own tokens read each other both ways), a **sliding window** hides what is far, and **cross**-attention hides "
    "nothing of its source but padding: the source is known from start to end. Masks combine by *and*; only "
    "a prefix opens keys, by *or*. A row with no "
    "key left has no softmax at all (0/0 is NaN), so the library gives it zeros: choose “padding in front” and look at "
    "the first rows."
)
WHY = (
    "A causal mask is what makes training parallel: one pass over $n$ tokens asks $n$ questions at once, each from its "
    "own past. It is also the one thing that keeps the questions honest. The pair of models here differ in nothing but "
    "the mask, were trained by us on the same plays in the same order, and the broken one's loss falls to {whole} nats "
    "({spread}), where the honest one stands at {honest}: it reads the answer one place to the right. Asked for the "
    "next token when there is none to look at, it is at {cut}, and a blind guess among {vocab} would be {blind}."
)
CATCH = (
    "**−∞ before the softmax, never zeros after it.** Zeros after it leave rows that add up to less than 1, and by how "
    "much less depends on the hidden scores: with a causal mask the sum itself leaks the future. Dividing by the sum "
    "repairs it on paper, $\\frac{e^S M}{\\sum e^S M}$, but not in a computer: where a hidden score is 104 nats above "
    "the rest (17 in float16), all that may be seen has already become 0, and 0/0 is NaN."
)

SNIPPETS = {
    MASKS: """
import torch, transformer
from transformer.experiments import mask_examples

model, tokenizer = transformer.load({model})
ids = tokenizer.encode({text})[:{most}]
S = model.run(ids, record="layers.{layer}.attention.scores").trace["layers.{layer}.attention.scores"][0, {head}]
found = mask_examples.masked(S, {kind}, m={m})
print(found.mask.int())
print(found.A.sum(-1))        # −∞ before the softmax: 1, or 0 where nothing may be read
print(found.late.sum(-1))     # zeros after it: what is left
""",
    CHANGE: """
import transformer
from transformer.experiments import leaks

for mask in ("causal", "broken"):
    model, tokenizer = transformer.load("assets/cheat/" + mask)      # in the project's folder
    ids = tokenizer.encode({text})[:{most}]
    felt = leaks.influence(model, ids, {token})                      # [changed token, token]
    print(mask, "before the change:", felt.tril(-1).max().item(), " at it and after:", felt.triu().max().item())
""",
    MAPS: """
import transformer

for mask in ("causal", "broken"):
    model, tokenizer = transformer.load("assets/cheat/" + mask)      # in the project's folder
    ids = tokenizer.encode({text})[:{most}]
    trace = model.run(ids, record="*.attention.A").trace
    for layer in range(model.config.n_layers):
        A = trace[f"layers.{{layer}}.attention.A"][0]                  # [head, query, key]
        print(mask, layer, A.diagonal(1, -2, -1).mean(-1))            # the weight on key = query + 1
""",
    LOSS: """
import json, transformer
from transformer.training import cheat

model, tokenizer = transformer.load("assets/cheat/broken")           # in the project's folder
print(json.loads((cheat.FOLDER / "curves.json").read_text())["made"])
ids = tokenizer.encode({text})
print(tokenizer.decode(cheat.continued(model, ids, 40)))             # there is no future to copy
""",
}

INTERVIEW = [
    ("Why −∞ before the softmax, and not a multiplication by zero after it?",
     "Before it, the row is normalised over the keys that may be read. After it, the normaliser has already counted "
     "the hidden ones: rows add up to less than 1, by an amount that depends on hidden (for a causal mask: future) "
     "tokens, so information and gradient still flow from them. Renormalising is right on paper; in floating point a "
     "hidden score far above the rest has driven all else to 0 and the row becomes 0/0. In half precision use the "
     "dtype's own −∞ or its smallest number, not −1e9, which float16 cannot hold."),
    ("Your language model's training loss falls to nearly zero within minutes. What do you suspect, and how do you "
     "prove it?",
     "A leak: a missing or transposed causal mask, targets not shifted, or a normalisation over the sequence. Proof: "
     "change a later token and compare earlier outputs bit for bit; any difference is a leak. Or evaluate with the "
     "text cut before each answer: an honest model's loss is the same number, a cheating one's jumps above a blind "
     "guess. Its attention map shows a line at key = query + 1."),
    ("A row of the mask is all False. What comes out, in the forward and in the backward pass?",
     "softmax of all −∞ is NaN, and one NaN spreads: through the values into the stream, through the loss into every "
     "weight, even when the row itself is padding and not asked for. Give zeros instead: fill the weights of hidden "
     "keys with 0 once more. Check the gradient, too: where −∞ was *added* to the scores, the softmax's backward "
     "still sends NaN into them; where hidden scores were *replaced* (`masked_fill`), nothing flows back to them and "
     "it is stopped. It happens with left padding, with windows over padding, and with packed texts."),
    ("How do causal and padding masks combine, which tokens of a prefix see which, and what does a mask cost?",
     "By *and*: a key must be a word and not in the future. With right padding under a causal mask no real query "
     "ever meets a pad, so only the loss must skip pads; with left padding (usual when generating) pads stand before "
     "the words, and the mask is needed, and positions must count from the first word. In a prefix LM keys $k < p$ "
     "are open to all, so the prefix is read both ways and the rest stays causal; cross-attention has the source's "
     "padding mask and no causal one. "
     "Texts packed into one window see only themselves, blocks along the diagonal, and their positions start anew. A "
     "mask saves nothing by itself: every score is computed and, under a causal mask, nearly half are thrown away; "
     "kernels that go by tiles pass over the tiles it empties."),
]  # fmt: skip

SOURCES = [
    "Vaswani et al. 2017, *Attention Is All You Need*, §3.2.3 (“setting to −∞ … all values in the input of the "
    "softmax”), [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)",
    "Raffel et al. 2020, *Exploring the Limits of Transfer Learning* (T5), §3.2.1: fully visible, causal and prefix "
    "masks, [arXiv:1910.10683](https://arxiv.org/abs/1910.10683)",
    "Beltagy, Peters, Cohan 2020, *Longformer* (sliding window), [arXiv:2004.05150](https://arxiv.org/abs/2004.05150); "
    "Jiang et al. 2023, *Mistral 7B*, [arXiv:2310.06825](https://arxiv.org/abs/2310.06825)",
    "The causal and the broken model: trained by this project, `python -m transformer.training.cheat`; command, seeds "
    "and data stand in `assets/cheat/curves.json`.",
]

QUESTION = (
    "Zeros after the softmax, causal mask, this head: how much weight has an average row lost to keys that it may not "
    "read?"
)
