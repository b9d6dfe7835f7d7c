"""What a head does on this text: measured patterns, averages, rollout, and what stands behind one score.

Pure functions of recorded tensors. A [..., query, key] holds attention weights whose rows sum to 1; the leading axes
(layer, batch, head) are kept as they come. A pattern's score holds for the text it was measured on, and says what a
head reads, not what its reading is good for.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

PATTERNS = ("previous", "first", "induction", "duplicate", "self", "broad")
PLACE = ("previous", "first", "self")  # where the key stands
CONTENT = ("induction", "duplicate")  # which token the key is, or follows
THRESHOLD = 0.4  # a pattern names a head from this mean weight on
BROAD_THRESHOLD = 0.7  # and broad from this mean entropy on


def targets(ids: Sequence[int] | Tensor) -> dict[str, Tensor]:
    """Which keys each pattern asks a query to read: name -> bool [query, key], before any mask.

    previous   key i − 1
    first      key 0, from every later query: where heads rest that have nothing to do (an attention sink, Xiao et al.
               2023, arXiv:2309.17453)
    self       key i
    duplicate  every other place where the same token stands
    induction  the token after another place where the same token stands: "A B … A" reads B (Olsson et al. 2022,
               arXiv:2209.11895)

    A key that one of the first three already asks for is left out of the last two, so that no head earns two names for
    the same weight. Broad has no targets.

    ids [token]. Raises ValueError when there is none.
    """
    ids = torch.as_tensor(ids)
    if ids.dim() != 1 or not len(ids):
        raise ValueError(f"the ids of one text are a list of at least one number, not shape {list(ids.shape)}.")
    i = torch.arange(len(ids), device=ids.device)
    query, key = i[:, None], i[None, :]
    same = ids[:, None] == ids[None, :]  # [query, key]
    duplicate = same & (key != query)
    induction = torch.zeros_like(same)
    induction[:, 1:] = duplicate[:, :-1]  # one further on
    place = {"previous": key == query - 1, "first": (key == 0) & (query > 0), "self": key == query}
    free = ~(place["previous"] | place["first"] | place["self"])
    return {**place, "induction": induction & free, "duplicate": duplicate & free}


def pattern_scores(A: Tensor, ids: Sequence[int] | Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """How far each head follows each pattern: a number in [0, 1] a head, NaN where no row of this text allows it.

    with targets:  mean over rows i of Σ_{j ∈ T_i} A[i, j], where T_i holds the visible keys of ``targets``;
    broad:         mean over rows i of H(A[i, :]) / ln m_i: the row's entropy over that of m_i equal weights.

    Rows that see fewer than two keys are left out, since they had no choice, and so is every row where T_i is empty
    (induction and duplicate need a repeated token).

    A [..., query, key]; ids [token]; mask bool [query, key], True = may attend, None = every query sees every key
    -> {pattern: [...]}, in the order of ``PATTERNS``. Raises ValueError when the lengths differ.
    """
    n = len(ids)
    if A.shape[-2:] != (n, n):
        raise ValueError(f"A is {list(A.shape[-2:])} over query and key, and there are {n} ids; they must agree.")
    visible = torch.ones(n, n, dtype=torch.bool, device=A.device) if mask is None else mask
    if visible.shape != (n, n):
        raise ValueError(f"the mask is {list(visible.shape)} and the text has {n} tokens; it must be [{n}, {n}].")
    m = visible.sum(-1)  # [query]
    choice = m >= 2
    scores = {}
    for name, keys in targets(ids).items():
        wanted = keys.to(A.device) & visible
        weight = (A * wanted).sum(-1)  # [..., query]
        scores[name] = _mean_over(weight, choice & wanted.any(-1))
    entropy = torch.special.entr(A).sum(-1)  # [..., query]; entr(0) = 0
    scores["broad"] = _mean_over(entropy / m.clamp(min=2).log(), choice).clamp(max=1.0)
    return {name: scores[name] for name in PATTERNS}


def label_heads(
    scores: dict[str, Tensor], threshold: float = THRESHOLD, broad_threshold: float = BROAD_THRESHOLD
) -> Tensor:
    """Each head's label, as an index into ``PATTERNS``; −1 where none fits.   scores, each [...] -> int64 [...].

    Looked for in this order: the stronger of induction and duplicate if it reaches ``threshold``; the strongest of
    previous, first and self if it does; broad if it reaches ``broad_threshold``. Content comes first because it can
    show on a few rows only, and such heads rest on the first token in all others; entropy comes last because it is high
    in every head that mixes a few keys.
    """
    label = torch.where(scores["broad"] >= broad_threshold, PATTERNS.index("broad"), -1)  # NaN reaches nothing
    for names in (PLACE, CONTENT):
        best, which = torch.stack([scores[name] for name in names], -1).nan_to_num(-1.0).max(-1)
        index = torch.tensor([PATTERNS.index(name) for name in names], device=which.device)[which]
        label = torch.where(best >= threshold, index, label)
    return label


def value_norms(V: Tensor, n_heads: int) -> Tensor:
    """‖v_j‖ of the value that each query head reads from key j; with grouped queries h / h_kv heads share one value.

    V [..., kv_head, key, d_head] -> [..., head, key]. Raises ValueError when the heads do not divide.
    """
    kv_heads = V.shape[-3]
    if n_heads % kv_heads:
        raise ValueError(f"{n_heads} query heads do not share {kv_heads} value heads evenly.")
    return V.norm(dim=-1).repeat_interleave(n_heads // kv_heads, dim=-2)


def value_weighted(A: Tensor, V: Tensor) -> Tensor:
    """A[i, j] · ‖v_j‖: the length of what query i takes from key j. A large weight on a short value moves little.

    Kobayashi et al. 2020 (arXiv:2004.10102) take the norm after W_O as well; before it, as here, all that is needed
    stands in the trace.   A [..., head, query, key], V [..., kv_head, key, d_head] -> the shape of A.
    """
    return A * value_norms(V, A.shape[-3])[..., None, :]


def average(A: Tensor) -> Tensor:
    """(1/h) Σ_heads A.   A [..., head, query, key] -> [..., query, key]; rows still sum to 1."""
    return A.mean(-3)


def rollout(A: Tensor) -> Tensor:
    """Attention rollout: how much of each input token stands in each position, if attention and the residual stream
    were all there is and shared evenly.   Abnar & Zuidema 2020, arXiv:2005.00928

        Ã_l = ½ · mean over heads of A_l + ½ · I,      R_l = Ã_l R_{l−1},   R_{−1} = I

    A [layer, head, query, key] -> R [layer, query, key], layer by layer; rows sum to 1. It knows nothing of the FFN, of
    the values, or of how much each block really writes.
    """
    n = A.shape[-1]
    identity = torch.eye(n, dtype=A.dtype, device=A.device)
    R, kept = identity, []
    for mixed in average(A):  # [query, key]
        R = (0.5 * mixed + 0.5 * identity) @ R
        kept.append(R)
    return torch.stack(kept)


def score_terms(q: Tensor, k: Tensor, factor: float | None = None) -> Tensor:
    """q_d · k_d · factor: what each coordinate adds to the score; their sum is S.

    q, k [..., d_head]; factor 1/√d_head unless given (1 for plain dot-product attention) -> [..., d_head].
    With RoPE, give the rotated q and k, as recorded.
    """
    return q * k * (1 / math.sqrt(q.shape[-1]) if factor is None else factor)


def _mean_over(values: Tensor, rows: Tensor) -> Tensor:
    """Mean over the rows that count: values [..., query], rows bool [query] -> [...]; NaN when none does."""
    return values[..., rows].mean(-1)  # the mean of nothing is NaN
