"""SSRU: a small recurrence that stands in for a decoder's self-attention. It reads one state, however long the text is."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformer.cache import KeyValues
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.tap import Tap


@dataclass(frozen=True)
class Memory:
    """All that is kept of the tokens read so far: c [batch, model]. A value, never changed."""

    c: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it knows."""
        return (self.c,)

    @property
    def held(self) -> tuple[Tensor, ...]:
        """What stays in memory for it."""
        return self.tensors

    def last(self, n: int) -> "Memory":
        """The state itself: of its tokens none can be taken out again."""
        return self

    def rows(self, index: Tensor) -> "Memory":
        """Those texts of the batch that ``index`` names."""
        return Memory(self.c[index])


class SSRU(nn.Module):
    """f_t = σ(x_t W_f + b_f),   c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ x_t W,   out_t = ReLU(c_t),   c_{−1} = 0

    The Simpler Simple Recurrent Unit: Kim et al. 2019, *From Research to Production and Back: Ludicrously Fast Neural
    Machine Translation* (WNGT), after Lei et al. 2018 (arXiv:1709.02755). Marian's small students have it.
    There are no heads, no keys and no W_O: each coordinate forgets at its own pace, and a token costs two products
    whatever came before it. Padding leaves the state as it was.

    x [batch, token, d_model] -> [batch, token, d_model], and the ``Memory`` when a cache is kept.
    """

    def __init__(self, config: Config):
        super().__init__()
        d = config.d_model
        self.W = nn.Linear(d, d, bias=False)
        self.W_f = nn.Linear(d, d)

    def forward(
        self, x: Tensor, geometry: Geometry, past: KeyValues | Memory | None, tap: Tap, source: Tensor | None = None
    ) -> tuple[Tensor, Memory | None]:
        f = tap("forget", self.W_f(x).sigmoid())  # [batch, token, model]
        new = tap("candidate", self.W(x))  # [batch, token, model]
        if geometry.real is not None:
            f = f.masked_fill(~geometry.real[:, -x.shape[1] :, None], 1.0)
        c = past.c if isinstance(past, Memory) else torch.zeros_like(x[:, 0])
        states = []
        for kept, added in zip(f.unbind(1), ((1 - f) * new).unbind(1), strict=True):
            c = kept * c + added  # [batch, model]
            states.append(c)
        c = tap("state", torch.stack(states, 1))  # [batch, token, model]
        return c.relu(), None if past is None else Memory(c[:, -1])


def shares(forget: Tensor) -> Tensor:
    """What is left of each token in the state, as attention would write it, and the mean over coordinates of it.

    Unrolled, c_t = Σ_{j ≤ t} w_tj ⊙ x̃_j with w_tj = (1 − f_j) ⊙ f_{j+1} ⊙ … ⊙ f_t: a causal row of weights for each
    coordinate. It sums to 1 − f_0 ⊙ … ⊙ f_t, for what is missing is still the empty state.

    forget [batch, token, model] -> [batch, query, key], zero above the diagonal.
    """
    n = forget.shape[1]
    log_kept = forget.clamp(min=torch.finfo(forget.dtype).tiny).log().cumsum(1)  # ln f_0 ⊙ … ⊙ f_t
    kept = log_kept[:, :, None] - log_kept[:, None]  # [batch, query, key, model]
    future = torch.ones(n, n, dtype=torch.bool, device=forget.device).triu(1)[..., None]
    weights = kept.masked_fill(future, -torch.inf).exp() * (1 - forget)[:, None]
    return weights.mean(-1)
