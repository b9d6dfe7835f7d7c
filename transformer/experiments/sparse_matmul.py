"""What zeros in a matrix are worth to a processor: one product, by the share of zeros and how the matrix is kept.

for one in timed(): one.share, one.seconds["dense"], one.seconds["sparse"]
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.sparsity import keep

SHAPE = (1536, 576)  # W_1 of SmolLM2's FFN, [out, in]
TOKENS = (1, 64)  # writing one token; reading a text
SHARES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
ROUNDS = 9  # of which the fastest counts
WAYS = ("dense", "sparse", "rows gone")


class Timed(NamedTuple):
    """One product, three ways."""

    tokens: int
    share: float  # of zeros
    seconds: dict[str, float]
    bytes: dict[str, int]  # that the matrix takes


def kept_as(W: Tensor, share: float) -> dict[str, Tensor]:
    """W with its smallest weights 0: as it was, "dense"; only what is not 0, by row with its columns (CSR), "sparse";
    and for comparison a dense matrix with as large a share of its rows gone, as pruning whole neurons would leave it."""
    thin = W * keep({"W": W}, share)["W"]
    with warnings.catch_warnings():  # torch calls its CSR a beta
        warnings.simplefilter("ignore", UserWarning)
        return {
            "dense": thin,
            "sparse": thin.to_sparse_csr(),
            "rows gone": W[: round((1 - share) * len(W))].contiguous(),
        }


def size(W: Tensor) -> int:
    """Bytes, those of a sparse matrix's columns and rows included."""
    parts = [W.values(), W.col_indices(), W.crow_indices()] if W.layout == torch.sparse_csr else [W]
    return sum(part.numel() * part.element_size() for part in parts)


@torch.inference_mode()
def timed(
    tokens: Sequence[int] = TOKENS, shares: Sequence[float] = SHARES, shape: tuple[int, int] = SHAPE, rounds: int = ROUNDS
) -> Iterator[Timed]:  # fmt: skip
    """Each share as it is measured, in seconds of one thread. W and X are seeded normals: the clock does not
    care what the numbers are."""
    dice = torch.Generator().manual_seed(0)
    W = torch.randn(shape, generator=dice)
    for n in tokens:
        X = torch.randn(shape[1], n, generator=dice)  # [in, token]
        for share in shares:
            ways = kept_as(W, share)
            seconds = _fastest({way: lambda M=M: M @ X for way, M in ways.items()}, rounds)
            yield Timed(n, share, seconds, {way: size(M) for way, M in ways.items()})


def _fastest(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """One after the other, in this thread's own time; the fastest round counts, for others use the caches and the
    memory too. Not in turn: the larger matrices would push the smaller ones out of the cache before their round."""
    fastest = {}
    for way, work in works.items():
        taken = []
        for _ in range(rounds + 2):  # the first two warm up
            start = time.thread_time()
            for _ in range(5):
                work()
            taken.append((time.thread_time() - start) / 5)
        fastest[way] = min(taken[2:])
    return fastest
