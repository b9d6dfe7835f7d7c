"""What a sparse pattern makes of a head that was trained without it."""

from typing import NamedTuple

import torch
from torch import Tensor

from transformer import masks
from transformer.attention import masked_softmax
from transformer.config import Config
from transformer.hashing import LSH


class Sparsified(NamedTuple):
    """A head's weights and output under a pattern, beside what they are without."""

    A: Tensor  # [head, query, key]
    z: Tensor  # [head, query, d_head]
    kept: Tensor  # [head]: the share of the exact weights that lies on pairs that the pattern allows
    error: Tensor  # [head]: ‖z − z_exact‖ / ‖z_exact‖, over all queries


def sparsified(S: Tensor, V: Tensor, allowed: Tensor) -> Sparsified:
    """softmax(S + log pattern) V beside softmax(S + log causal) V.

    S [head, query, key] scores before any mask, V [head, key, d_head], allowed bool [query, key] or [head, query, key],
    the future left out already.
    """
    n = S.shape[-1]
    causal = torch.ones(n, n, dtype=torch.bool, device=S.device).tril()
    exact = masked_softmax(S[None], causal)[0]
    A = masked_softmax(S[None], allowed)[0]
    z, z_exact = A @ V, exact @ V
    kept = (exact * allowed).sum((-2, -1)) / n
    return Sparsified(A, z, kept, (z - z_exact).norm(dim=(-2, -1)) / z_exact.norm(dim=(-2, -1)))


def before_all_heads(K: Tensor, heads: int) -> Tensor:
    """Key/value heads as the query heads read them: [kv_head, key, d_head] -> [head, key, d_head]."""
    return K.repeat_interleave(heads // len(K), 0)


def allowed(config: Config, n: int) -> Tensor:
    """The pairs that a config's mask allows in a text of n tokens.   -> bool [query, key]"""
    at = torch.arange(n)[None]
    found = masks.mask(config, at, at)
    return torch.ones(n, n, dtype=torch.bool) if found is None else found[0, 0]


def same_bucket(Q: Tensor, K: Tensor, buckets: int, hashes: int = 1) -> Tensor:
    """Reformer's rule before any sorting: h(q) = h(k) in one of the rounds, or a token and itself; no future.

    Q, K [head, token, d_head], ``buckets`` an even number of directions ±R -> bool [head, query, key]. Reformer ties
    its queries to its keys (K = Q / ‖Q‖), so that what scores high points the same way; here both are the head's own.
    Kitaev et al. 2020, arXiv:2001.04451, §2. Raises ValueError for buckets that are no power of two of at least 2.
    """
    if buckets < 2 or buckets & (buckets - 1):
        raise ValueError(f"buckets is {buckets}; it must be a power of two, at least 2.")
    heads, n, d_head = Q.shape
    config = Config(
        attention="lsh", d_model=heads * d_head, n_heads=heads, chunk=buckets, hashes=hashes,
        max_len=buckets * buckets // 2, position="none",
    )  # fmt: skip
    lsh = LSH(config)
    q, k = lsh.hash(Q[None])[0], lsh.hash(K[None])[0]  # [head, round, token]
    met = (q[..., :, None] == k[..., None, :]).any(1)  # [head, query, key]
    return (met | torch.eye(n, dtype=torch.bool)) & torch.ones(n, n, dtype=torch.bool).tril()
