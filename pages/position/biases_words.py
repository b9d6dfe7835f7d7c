"""The words of the lesson on biases of position (pages/position/biases.py)."""

from collections.abc import Mapping

import torch

from charts.biases import TITLES
from transformer.biases import t5_bucket

VIEWS = HEAD, DISTANCE, SLOPES, BUCKETS, REAL = (
    "In a trained head", "Against distance", "ALiBi's slopes", "T5's buckets", "On SmolLM2"
)

LOOK_FOR = {
    HEAD: "Go through the ways with the same words: ALiBi and T5 add diagonal stripes that know nothing of the words; "
          "in Shaw's "
    "and Transformer-XL's each query has its say; a learned table adds no diagonal stripes at all.",
    DISTANCE: "Pick ALiBi: one straight line, whatever the words. Pick RoPE or Shaw: a band, since what is added "
              "depends on the "
    "query. Then look right of the dashed line, where training never was.",
    SLOPES: "Drag the number of heads: a power of two halves the slope from head to head; any other number gets slopes "
            "from "
    "between. Follow how far each head can see at all.",
    BUCKETS: "Near distances have a row of their own, far ones share it in steps that grow; past the farthest, all are "
             "one. "
    "Switch to both directions: half of the rows go to the future.",
    REAL: "A head of SmolLM2 with its rotation undone, as trained, and with ALiBi in its place: the words' scores are "
          "the same "
    "three times, and what is added makes the head.",
}

FORMULA = {
    HEAD: r"\begin{gathered}\scores{S_{ij}} = \frac{\query{q_i}\cdot\key{k_j}}{\sqrt{d_k}} + b_{ij}"
    r"\\[.5em]\text{ALiBi: } b = -m_h\,|i-j|\\[.3em]\text{T5: } b = \text{table}[\text{bucket}(i-j),\,h]"
    r"\\[.3em]\text{Shaw: } b = \query{q_i}\cdot a^K_{j-i} / \sqrt{d_k}\\[.3em]"
    r"\value{z_i} = {\textstyle\sum_j} \attention{A_{ij}}(\value{v_j} + a^V_{j-i})"
    r"\\[.5em]\text{XL: } \scores{S_{ij}}\sqrt{d_k} = \underbrace{\query{q_i}\cdot\key{k_j}}_{a} + "
    r"\underbrace{\query{q_i}\cdot W_R R_{i-j}}_{b}\\[.3em]{} + \underbrace{u\cdot\key{k_j}}_{c} + "
    r"\underbrace{v\cdot W_R R_{i-j}}_{d}\end{gathered}",
    SLOPES: r"\begin{gathered}m_h = 2^{-8h/H},\quad h = 1\dots H\\[.5em]"
    r"\attention{A_{ij}}\propto e^{\,\query{q_i}\cdot\key{k_j}/\sqrt{d_k}}\;e^{-m_h (i-j)}\end{gathered}",
    BUCKETS: r"\begin{gathered}\text{bucket}(r) = r\quad\text{for } r < B/2\\[.5em]"
    r"\text{beyond: } \min\Big(B - 1,\ \frac B2 + \Big\lfloor\frac{\ln(2r/B)}{\ln(2D/B)}\cdot\frac B2\Big\rfloor\Big)"
    r"\end{gathered}",
}
FORMULA |= {DISTANCE: FORMULA[HEAD], REAL: FORMULA[HEAD]}

SNIPPET = {
    HEAD: """
import transformer
from transformer.experiments.added_positions import added, tables
from transformer.training import longer

model, tokenizer = transformer.load(longer.FOLDER / {way!r})
ids = tokenizer.encode({text!r})[:{most}]
parts = added(model, ids, layer={layer})                 # content + position = scores, [head, query, key] each
print(parts.content[{head}, -1], parts.position[{head}, -1], parts.scores[{head}, -1], parts.A[{head}, -1], sep="\\n")
print(tables(model, {layer}).names)
""",
    DISTANCE: """
import transformer
from transformer.experiments.added_positions import by_distance
from transformer.training import longer

model, tokenizer = transformer.load(longer.FOLDER / {way!r})
found = by_distance(model, tokenizer.encode({text!r})[:{most}], {farthest}, layer={layer})   # [head, distance] each
print(found.mean[{head}] - found.mean[{head}, 0])
""",
    SLOPES: """
import torch
from transformer.biases import alibi_slopes
from transformer.experiments.added_positions import slopes_against_distance

print(alibi_slopes({heads}))
bias, kept = slopes_against_distance({heads}, torch.arange(257.0))
print(bias[0, {at}], kept[0, {at}])
""",
    BUCKETS: """
import torch
from transformer.biases import t5_bucket

print(t5_bucket(torch.tensor([{at}]), both_ways={both}, buckets={buckets}, max_distance={farthest}))
""",
    REAL: """
import transformer
from transformer import masks
from transformer.experiments.added_positions import on_head

model, tokenizer = transformer.load({model!r})
ids, at = tokenizer.encode({text!r}), "layers.{layer}.attention."
trace = model.run(ids, record=at + "[QK]_unrotated").trace
Q, K = (trace[at + name + "_unrotated"][0] for name in "QK")
of = on_head(Q, K, model.config, masks.past(len(ids)))[{way!r}]
print(of.position[{head}, -1], of.A[{head}, -1], sep="\\n")
""",
}

KNOWS = {  # where it is put in; what it says beyond what training saw
    "none": ("nowhere", "nothing to run out of. A causal mask still tells the first word from the tenth: one key, ten "
                        "keys"),
    "learned": ("the embeddings", "**nothing**: the table ends, and the library refuses a longer text"),
    "sinusoidal": ("the embeddings", "defined for any place, but no weight was trained for those sums"),
    "rope": ("q and k, turned", "defined for any distance; pairs of less than a turn in training reach new angles"),
    "alibi": ("the scores", "the same straight line goes on: far keys fade"),
    "t5": ("the scores", "the last bucket, which training did see if its edge lies within the trained length"),
    "shaw": ("keys and values", "the clipped end of the table, which training did see"),
    "xl": ("the scores, through q", "defined for any distance; large ones are sinusoids that W_R never met"),
}

PROSE = {
    "what": "Without positions a head sees a bag of words: $\\query{q_i}\\cdot\\key{k_j}$ is the same wherever the two "
            "stand. A "
            "**bias** mends that where it matters, in the scores: a number $b_{ij}$ is added before the softmax, so a "
            "key's "
            "share is multiplied by $e^{b_{ij}}$. ALiBi fixes it by hand (one slope a head, nothing learned); T5 "
            "learns a number "
            "for each bucket of distances and head; Shaw gives each distance a vector that the query meets, and "
            "another that "
            "is added to the value; Transformer-XL multiplies out $(\\text{word} + \\text{place})^2$ into four terms, "
            "and replaces "
            "places by distances: $\\query{q}\\cdot\\key{k}$, the query with the distance, and two terms in which "
            "trained vectors "
            "$u$, $v$ stand where the query's own place stood.",
    "why": "What depends on $i - j$ alone can be read at any place of a text, and, if it does not grow or end, at "
           "distances that "
           "training never saw. That is the whole story of *train short, test long*: ALiBi's line and T5's last bucket "
           "go on, a "
           "table of places does not. It also decides what a KV cache keeps: with a bias keys are stored **without** "
           "position, which is "
           "put in when they are read, so that cached keys can be shifted; RoPE's are stored turned. And it costs: a "
           "bias is a "
           "whole $n \\times n$ table a head, which a fused kernel must make as it goes.",
    "catch": "A bias of distance is **not** always free of the words: T5's and ALiBi's are, Shaw's and "
             "Transformer-XL's are not, as "
             "the band in “Against distance” shows. RoPE is no added bias at all: what turning changes depends on q "
             "and k "
             "themselves. In a decoder “none” is not “no idea of position”: the causal mask leaks it, and such models "
             "are "
             "trained. ALiBi reads long texts gracefully partly **because it does not look**: with slope 1/2 a key 20 "
             "tokens "
             "back keeps $e^{-10}$ of its weight. And “T5 extrapolates” holds only if its farthest bucket begins "
             "within the "
             "trained length: the paper's 128 fits its 512 tokens, not 64.",
}  # fmt: skip


def interview(counts: Mapping[str, int], shape: str) -> list[tuple[str, str]]:
    past, both = (int(t5_bucket(torch.tensor(50), both_ways)) for both_ways in (False, True))
    return [
        ("Derive Transformer-XL's four terms, and say what u and v are for.",
         "With absolute positions a query is $W_Q(e_i + p_i)$ and a key $W_K(e_j + p_j)$; multiplied out: (a) word "
         "with word, (b) "
         "the query's word with the key's place, (c) the query's place with the key's word, (d) place with place. To "
         "know "
         "distances only, $p_j$ becomes $R_{i-j}$ with a matrix $W_R$ of its own, and $W_Q p_i$, which would bring the "
         "query's place back in, becomes one trained vector: $u$ in (c), $v$ in (d). So (c) prefers some words and (d) "
         "some "
         "distances whatever the query is; (b) lets the query choose its distance. The picture shows (a) to (d) of a "
         "learned "
         "table and of Transformer-XL one below the other."),
        ("Why does ALiBi use 2^(−8h/H), and what happens with 12 heads?",
         "A geometric series from $2^{-8/H}$ to $2^{-8}$: some heads see a handful of tokens, others hundreds, and no "
         "slope is "
         "trained (the authors tried: then it did not extrapolate). For 8 heads $1/2, 1/4, …, 1/256$. For a number "
         "that is no power of two "
         "the published code takes the slopes of the next lower power, and fills up with every other one of the next "
         "higher: 12 "
         "heads have those of 8, then $2^{-0.5}, 2^{-1.5}, 2^{-2.5}, 2^{-3.5}$. BLOOM has 112 heads: code that "
         "puts 112 into the formula reads its weights wrongly, and says nothing."),
        ("T5 has 32 buckets and a distance of 128. How is distance 50 read by its decoder, and by its encoder?",
         "Decoder (past only): half of the 32 rows, 16, are exact; the other 16 go logarithmically from 16 to 128: $16 "
         "+ "
         "\\lfloor \\ln(50/16)/\\ln(128/16)\\cdot 16\\rfloor = " f"{past}$. Encoder: 16 rows for each direction, 8 " f"exact: $8 + \\lfloor "
         "\\ln(50/8)/\\ln(128/8)\\cdot 8\\rfloor = " f"{both}$, plus 16 where the key lies in the future. The rounding "
                                                     f"is done in "
         "float32: at a boundary another order of operations reads another row. The table is one for all layers, and "
         "T5 does "
         "**not** divide by $\\sqrt{d_k}$."),
        ("How many parameters does each add to a model of SmolLM2's shape?",
         f"{shape}: " + ", ".join(f"{TITLES[way]} {count:,}" for way,
                                  count in counts.items()) + ". ALiBi and RoPE are free; T5's "
         "table is shared by all layers; Shaw's two tables are shared by the heads of a layer; Transformer-XL has a "
         "whole matrix "
         "$W_R$ in each layer; a learned table grows with the longest text."),
        ("Where do biases go with a KV cache, and what breaks if positions are counted wrongly?",
         "A bias needs $i - j$ of the new query and every cached key: the absolute place of both. Code that makes the "
         "bias for "
         "the *current* chunk alone, a single query at place 0, gives every cached key a wrong distance while "
         "decoding: ALiBi's "
         "penalty vanishes, T5 reads bucket 0, and generation differs from the whole-text pass. Here masks and biases "
         "are made from absolute places, and "
         "a test holds cached and uncached decoding together for each of these ways."),
    ]  # fmt: skip


SOURCES = [
    "Press, Smith, Lewis 2022, [Train Short, Test Long: Attention with Linear "
    "Biases](https://arxiv.org/abs/2108.12409) (ALiBi).",
    "Raffel et al. 2020, [Exploring the Limits of Transfer Learning with T5](https://arxiv.org/abs/1910.10683): "
    "buckets, section "
    "2.1 and the published code.",
    "Shaw, Uszkoreit, Vaswani 2018, [Self-Attention with Relative Position "
    "Representations](https://arxiv.org/abs/1803.02155).",
    "Dai et al. 2019, [Transformer-XL](https://arxiv.org/abs/1901.02860): the four terms, section 3.3.",
    "Haviv et al. 2022, [Transformer Language Models without Positional Encodings Still Learn Positional "
    "Information](https://arxiv.org/abs/2203.16634); Kazemnejad et al. 2023, [The Impact of Positional Encoding on "
    "Length "
    "Generalization](https://arxiv.org/abs/2305.19466).",
    "Gehring et al. 2017, [Convolutional Sequence to Sequence Learning](https://arxiv.org/abs/1705.03122): learned "
    "positions.",
]  # fmt: skip
