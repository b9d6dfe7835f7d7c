"""The words of the lesson on attention by tiles (pages/attention/tiles.py)."""

import torch

from transformer.tiled import largest_score

OVERFLOW = {kind: largest_score(kind) for kind in (torch.float16, torch.bfloat16)}  # of S

LOOK_FOR = (
    "Step through the tiles and watch a row: when a larger score turns up, one factor mends all that was summed. The "
    "whole table of scores is never there."
)

FORMULA = (
    r"\begin{gathered}m' = \max\Big(m,\ \max_{j\in\text{tile}} \scores{S_{j}}\Big)"
    r"\\[.4em]l' = e^{m - m'}\,l + \sum_{j\in\text{tile}} e^{\scores{S_j} - m'}"
    r"\\[.4em]O' = e^{m - m'}\,O + \sum_{j\in\text{tile}} e^{\scores{S_j} - m'}\,\value{v_j}"
    r"\qquad \value{z} = \frac{O}{l}\end{gathered}"
)

SNIPPET = """
import torch, transformer
from transformer import stepwise, tiled

model, tokenizer = transformer.load({model!r})
ids = tokenizer.encode({text!r})
at, head = "layers.{layer}.attention.", {head}
trace = model.run(ids, record=at + "[QKV]").trace
Q, K, V = (trace[at + name][0] for name in "QKV")
shared = head * len(K) // len(Q)                        # the key/value head that this query head reads
Q, K, V = Q[head], K[shared], V[shared]
past = {past}
for tile in tiled.tiles(Q, K, V, {size}, {size}, past):
    print(tile.queries.start, tile.keys.start, "m", tile.m, "l", tile.l)
z, L = tiled.attention(Q, K, V, {size}, {size}, past)
print("difference", (z - stepwise.read(Q, K, V, past).z).abs().max().item())
"""

PROSE = {
    "what": "A softmax seems to need its whole row: first the largest score, then the sum, then the division. It does not. "
            "Keep the largest score so far $m$, the sum so far $l$ and the weighted values so far $O$. When a tile "
            "brings a larger score, all that was summed used a maximum that was too small by a known amount, so one "
            "factor $e^{m - m'} \\le 1$ mends it. After the last tile $O/l$ is the exact answer. A tile that the mask "
            "empties is passed over: under a causal mask, nearly half of them in a long text.",
    "why": "Arithmetic is cheap on a GPU; carrying numbers to and from its large memory (HBM) is not. The plain formula "
           "writes and reads an $n \\times n$ table several times. By tiles, scores live and die in the small fast "
           "memory on the chip (SRAM), so $n$ numbers are kept instead of $n^2$, and attention gets several times as "
           "fast although it does slightly more arithmetic. Long contexts became affordable this way.",
    "catch": "It is **exact**, not an approximation, and it does **not** make attention linear in time: every pair is still "
             "scored, $O(n^2 d)$ FLOPs as before. What falls to $O(n)$ is memory, and what falls by a large factor is "
             "traffic. The order in which numbers are added differs, so results agree to rounding, not bit for bit.",
}  # fmt: skip

INTERVIEW = [
    ("FlashAttention does the same FLOPs, even a few more. Why is it faster?",
     "Standard attention is bound by memory traffic: $S$ and $A$ go to the large memory (HBM) and back, $\\Theta(nd + "
     "n^2)$ values a head, with little arithmetic on each. By tiles $Q$ is read once and $K, V$ once per row of tiles: "
     "$\\Theta(n^2 d^2 / M)$ for a fast memory (SRAM) of $M$ values, since a row of tiles holds about $M/d$ queries. "
     "With $d = 64$ and 100 kB, $M = 50\\,000$ values of 2 bytes, that is several times less. Mask, softmax and "
     "dropout are fused into the one pass, and tiles that a causal mask empties are never computed."),
    ("How does the backward pass work, if A was never stored?",
     "It is made again, tile by tile: $P_{ij} = e^{S_{ij} - L_i}$ from $Q$, $K$ and the one number a row that was "
     "kept, $L_i = m_i + \\log l_i$. With $d$ for the loss's gradient, $dP_{ij} = dz_i \\cdot v_j$ and $dS_{ij} = "
     "P_{ij}(dP_{ij} - D_i)$. The row sum $D_i = \\sum_j P_{ij}\\,dP_{ij}$ equals $dz_i \\cdot z_i$ and is computed "
     "beforehand, so no row is ever needed whole. Recomputing costs one more product, and is still faster than reading "
     "$n^2$ numbers back."),
    ("Prove that the running update is right, and say what happens in a row that may read nothing.",
     "After some tiles let $l = \\sum_{j\\ seen} e^{S_j - m}$. With a new maximum $m'$: $\\sum_{j\\ seen} e^{S_j - m'} "
     "= e^{m - m'} l$, to which the tile's terms are added; the same for $O$. By induction $O/l = \\sum_j e^{S_j} v_j "
     "/ \\sum_j e^{S_j}$, and $m$ cancels. Before the first key $m = -\\infty$, $l = 0$: the factor must be read as "
     "$0$, as $-\\infty - (-\\infty)$ is NaN. A fully masked row ends with $l = 0$, and the code has to return zeros "
     "rather than divide."),
    ("Why not just skip the maximum and sum e^S?",
     f"$e^S$ overflows at $S \\approx {OVERFLOW[torch.float16]:.0f}$ in float16, at {OVERFLOW[torch.bfloat16]:.0f} in "
     "bfloat16 and float32. With the maximum subtracted every exponent is at most 0 and the largest term is exactly 1, "
     "so nothing overflows and $l \\ge 1$. The running maximum gives the same safety without a first pass over the "
     "row."),
]  # fmt: skip

SOURCES = [
    "Milakov & Gimelshein 2018, [Online normalizer calculation for softmax](https://arxiv.org/abs/1805.02867): the "
    "running maximum and sum.",
    "Dao, Fu, Ermon, Rudra, Ré 2022, [FlashAttention: Fast and Memory-Efficient Exact Attention with "
    "IO-Awareness](https://arxiv.org/abs/2205.14135); Dao 2023, [FlashAttention-2](https://arxiv.org/abs/2307.08691): "
    "the division at the end.",
    "Rabe & Staats 2021, [Self-attention Does Not Need O(n²) Memory](https://arxiv.org/abs/2112.05682).",
]  # fmt: skip
