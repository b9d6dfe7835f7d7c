"""Sparse patterns computed sparsely: time and memory grow as the pattern does, not as n².

A text is cut into blocks of queries, and a block meets the few keys that its pattern can reach: those around it (a
view, nothing is copied), the global ones, the drawn ones. All blocks go through one fused call, and the mask of a block
is the very function of positions that masks the n × n table, so the answer is the same.

    window       n / c blocks of c + 2w keys                         grows as n · w
    longformer   and g columns; g rows of n                          grows as n · (w + g)
    bigbird      and r drawn keys for each query                     grows as n · (w + g + r)
    dilated      each residue class mod r is a text of its own, with a window, or (without one) n / r full
    strided      neighbours, and a residue class in full             grows as n² / r, so as n √n where r follows √n

Q [batch, head, query, d_head], K and V [batch, kv_head, key, d_head] -> z [batch, head, query, d_head].
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer import masks
from transformer.config import Config
from transformer.geometry import Geometry

PATTERNS = ("window", "dilated", "strided", "longformer", "bigbird")
LEAST_STRIDE = 4  # below it residue classes are too large a part of the text


def block(config: Config) -> int:
    """c, the queries that are read together: more share their keys, fewer meet less that is out of their reach."""
    if config.attention == "bigbird":
        return 64  # each query's own keys come on top, for the whole block
    return max(32, min(128, window(config) or 0))


def window(config: Config) -> int | None:
    """The keys that a query sees on its side, itself included; None where all of its residue class are seen."""
    return config.dilation if config.attention == "strided" else config.window


def reach(config: Config) -> tuple[int, int]:
    """How many keys before and after its own a query's window has."""
    back = window(config) - 1
    return back, 0 if config.kind == "decoder" else back


def worthwhile(config: Config) -> int:
    """The n from which on it is the faster way, measured: below it one dense call with a mask has less to prepare."""
    if config.attention == "dilated":
        return 256  # even where a class is read in one block
    if config.attention == "strided":
        return max(512, 6 * config.dilation)
    keys = block(config) + sum(reach(config)) + max(config.global_tokens or 0, config.prefix)
    least = 512 if config.attention == "bigbird" else 256
    return max(least, 3 * keys // 2)


def serves(config: Config) -> bool:
    """Whether the pattern is one of these. Residue classes with a prefix are left to the mask, since it is of all
    classes."""
    if config.attention in ("dilated", "strided") and config.prefix:
        return False
    return config.attention in PATTERNS and (config.attention != "strided" or config.dilation >= LEAST_STRIDE)


def pays(geometry: Geometry) -> bool:
    """Whether ``read`` can serve this pass, and the text is long enough for it to be the faster way.

    It can where every row's positions are 0, 1, 2 … and nothing is cached, with padding and ALiBi or T5's bias, too;
    not where several texts share a row.
    """
    config, n = geometry.config, geometry.k_pos.shape[-1]
    return serves(config) and geometry.segments is None and n >= worthwhile(config) and geometry.counted


class Blocks(NamedTuple):
    """``count`` blocks of ``c`` queries from ``start`` on. The first reads the ``width`` keys from ``near`` on, the
    next those c further on; each reads the first ``columns`` keys as well, and what its queries have drawn."""

    start: int
    count: int
    c: int
    near: int
    width: int
    columns: int = 0

    def draw(self, config: Config) -> bool:
        """Whether these queries have keys of their own: global ones see all without."""
        return config.attention == "bigbird" and (config.kind == "decoder" or self.start >= config.global_tokens)

    def pairs(self, config: Config) -> int:
        """How many scores they compute."""
        own = self.c * config.random_keys if self.draw(config) else 0
        return self.count * self.c * (self.width + self.columns + own)


def at_once(config: Config, c: int, keys: int) -> int:
    """How many blocks go through one call: as many as you like where keys are views; where they are laid together, or
    scores are written down, so few that memory once taken is used again (16 MB in float32)."""
    match config.attention:
        case "longformer" | "bigbird":
            values = (keys + c * (config.random_keys or 0)) * config.d_head
        case "strided":
            values = keys * c
        case _:
            return 2**31
    return max(1, 2**22 // (values * config.n_heads))


def plan(config: Config, n: int) -> list[Blocks]:
    """All queries of a text, block by block. Whoever stands near the start or the end has fewer neighbours; between
    them all blocks are alike."""
    if window(config) is None:
        return [Blocks(0, 1, n, 0, n)]
    (back, ahead), c = reach(config), block(config)
    columns = max(config.global_tokens or 0, config.prefix)  # keys that all see
    rows = 0 if config.kind == "decoder" else min(config.global_tokens or 0, n)  # queries that see all
    first = columns + back
    count = max(0, n - ahead - first) // c
    last = first + count * c
    if count == 0:
        parts = [Blocks(0, 1, rows, 0, n), Blocks(rows, 1, n - rows, 0, n)]
    else:
        most = at_once(config, c, c + back + ahead + columns)
        parts = [
            Blocks(0, 1, rows, 0, n),
            Blocks(rows, 1, first - rows, 0, first + ahead),
            *(
                Blocks(first + i * c, min(most, count - i), c, first + i * c - back, c + back + ahead, columns)
                for i in range(0, count, most)
            ),
            Blocks(last, 1, n - last, last - back, n - last + back, columns),
        ]
    return [part for part in parts if part.c]


def read(Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry, scale: float, dropout: float = 0.0) -> Tensor:
    """z = softmax(Q Kᵀ · scale + bias + mask) V with the mask of a sparse pattern.

    Positions must be 0, 1, 2 … (``geometry.counted``); ``dropout`` is the rate on A while training. Beltagy et al.
    2020, arXiv:2004.05150; Zaheer et al. 2020, arXiv:2007.14062; by blocks as Child et al. 2019, arXiv:1904.10509.
    """
    text = _Text(Q, K, V, geometry.q_pos[0], geometry.real, geometry, scale, dropout)
    r, n = geometry.config.dilation, Q.shape[2]
    if r is None:
        return text.banded().transpose(1, 2)
    if geometry.config.attention == "strided":
        return _strided(text, r)
    return _interleaved([text.every(r, first).banded() for first in range(min(r, n))], n)


def _interleaved(classes: list[Tensor], n: int) -> Tensor:
    """Residue classes [batch, query, head, any], in the order of their first tokens -> [batch, head, query, any]."""
    order = torch.cat([torch.arange(first, n, len(classes), device=classes[0].device) for first in range(len(classes))])
    return torch.cat(classes, 1)[:, order.argsort()].transpose(1, 2)


def _strided(text: "_Text", r: int) -> Tensor:
    """Neighbours and the residue class are two softmaxes over different keys, joined by their log weights."""
    d_head, n = text.Q.shape[-1], len(text.at)
    near = text.of(_Neighbours).banded().transpose(1, 2)
    classes = [text.of(_Class).every(r, first) for first in range(min(r, n))]
    far = _interleaved([c.read(*Blocks(0, 1, len(c.at), 0, len(c.at))) for c in classes], n)
    (z_near, near), (z_far, far) = (x.split((d_head, 1), -1) for x in (near, far))
    z = torch.lerp(z_near, z_far, (far - near).sigmoid())
    return z.masked_fill(torch.maximum(near, far) < _nothing(z) / 2, 0.0)  # who sees nobody


class _Text:
    """Queries, keys and values that stand evenly spaced at ``at`` [token], and how they meet."""

    def __init__(
        self,
        Q: Tensor,
        K: Tensor,
        V: Tensor,
        at: Tensor,
        real: Tensor | None,
        geometry: Geometry,
        scale: float,
        dropout: float,
    ):
        self.Q, self.K, self.V, self.at, self.real = Q, K, V, at, real
        self.geometry, self.config, self.scale, self.dropout = geometry, geometry.config, scale, dropout

    def every(self, r: int, first: int) -> "_Text":
        """The r-th tokens from ``first`` on."""
        Q, K, V = (x[:, :, first::r] for x in (self.Q, self.K, self.V))
        real = None if self.real is None else self.real[:, first::r]
        return type(self)(Q, K, V, self.at[first::r], real, self.geometry, self.scale, self.dropout)

    def of(self, kind: type["_Text"]) -> "_Text":
        """The same text, read in another way."""
        return kind(self.Q, self.K, self.V, self.at, self.real, self.geometry, self.scale, self.dropout)

    def banded(self) -> Tensor:
        """-> [batch, query, head, d_head]"""
        causal, plain = self.config.kind == "decoder", self.real is None and not self.geometry.biased
        if window(self.config) is None and plain:
            return self.meet(self.Q, self.K, self.V, None, causal).transpose(1, 2)
        return torch.cat([self.read(*blocks) for blocks in plan(self.config, len(self.at))], 1)

    def read(self, start: int, count: int, c: int, near: int, width: int, columns: int) -> Tensor:
        """What these ``Blocks`` read: [batch, query, head, d_head]."""
        stop = near + width + (count - 1) * c
        q_at = self.at[start : start + count * c].view(count, c)

        def around(x: Tensor, axis: int) -> Tensor:  # […, key, …] -> […, block, …, width]
            return x.narrow(axis, near, stop - near).unfold(axis, width, c)

        # What stands around a block looks alike from each, so one mask serves all.
        k_at, real = around(self.at, 0), None if self.real is None else around(self.real, 1)
        mask = [self.additive(q_at[:1], k_at[:1], self.allowed(q_at[:1], k_at[:1]), real)]
        K, V = ([around(x, 2).permute(0, 2, 1, 4, 3).flatten(0, 1)] for x in (self.K, self.V))
        if columns:
            real = None if self.real is None else self.real[:, None, :columns].expand(-1, count, -1)
            k_at, apart = self.at[None, :columns], count if self.geometry.biased else 1
            mask.append(self.additive(q_at[:apart], k_at, self.allowed(q_at[:1], k_at), real))
            for found, x in ((K, self.K), (V, self.V)):
                found.append(x[:, None, :, :columns].expand(-1, count, -1, -1, -1).flatten(0, 1))
        if Blocks(start, count, c, near, width).draw(self.config):
            k_at = masks.drawn(self.config, q_at).flatten(1)  # [block, c · r]
            there, found_at = (k_at >= 0) & (k_at < len(self.at)), k_at.clamp(0, len(self.at) - 1)
            own = torch.eye(c, dtype=torch.bool, device=k_at.device).repeat_interleave(self.config.random_keys, 1)
            real = None if self.real is None else self.real[:, found_at]
            mask.append(self.additive(q_at, found_at, own & there[:, None, None], real))
            for found, x in ((K, self.K), (V, self.V)):
                found.append(x[:, :, found_at].transpose(1, 2).flatten(0, 1))
        Q = self.Q[:, :, start : start + count * c].unflatten(2, (count, c)).transpose(1, 2).flatten(0, 1)
        K, V = (x[0] if len(x) == 1 else torch.cat(x, 2) for x in (K, V))
        z = self.meet(Q, K, V, _beside(mask))
        return z.transpose(1, 2).unflatten(0, (-1, count)).flatten(1, 2)

    def allowed(self, q_at: Tensor, k_at: Tensor) -> Tensor:
        """The pattern's mask, without what is drawn: [1, 1, query, key]."""
        every = masks.mask(self.config, q_at, k_at, with_drawn=False)
        return q_at.new_ones(1, 1, q_at.shape[1], k_at.shape[1], dtype=torch.bool) if every is None else every

    def additive(self, q_at: Tensor, k_at: Tensor, allowed: Tensor, real: Tensor | None) -> Tensor:
        """What is added to the scores of these keys: their bias, or −∞.

        q_at [1 or block, query], k_at [1 or block, key], allowed bool [1 or block, 1, query, key], real [batch, block,
        key] -> [1, block or batch · block, 1 or head, query, key].
        """
        if real is not None:
            allowed = (allowed[None] & real[:, :, None, None]).flatten(0, 1)
        bias = self.geometry.bias_at(q_at[:, :, None] - k_at[:, None, :])
        if bias is None:
            bias = self.Q.new_zeros(())
        elif real is not None and len(bias) > 1:
            bias = bias.repeat(len(real), 1, 1, 1)
        return torch.where(allowed, bias.to(self.Q.dtype), -torch.inf)

    def meet(self, Q: Tensor, K: Tensor, V: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        """One fused call.   mask: what is added to the scores, or None."""
        if mask is not None and 1 < len(mask) < len(Q):
            mask = mask.repeat(len(Q) // len(mask), 1, 1, 1)  # a mask for each block, the same in each text
        return F.scaled_dot_product_attention(
            Q, K, V, mask, self.dropout, is_causal, scale=self.scale, enable_gqa=Q.shape[1] != K.shape[1]
        )


class _Part(_Text):
    """Some of the keys only: z and the log of their whole weight beside it, [..., query, d_head + 1]."""

    def meet(self, Q: Tensor, K: Tensor, V: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        K, V = (x.repeat_interleave(Q.shape[1] // x.shape[1], 1) for x in (K, V))
        if 1 < len(mask) < len(Q):
            mask = mask.repeat(len(Q) // len(mask), 1, 1, 1)
        S = (Q * self.scale) @ K.mT + mask.clamp(min=_nothing(Q))
        A = S.softmax(-1)
        weight = S.amax(-1, keepdim=True) - A.amax(-1, keepdim=True).log()  # log-sum-exp
        return torch.cat((F.dropout(A, self.dropout) @ V, weight), -1)


class _Neighbours(_Part):
    """The window without the token itself, which is of its residue class."""

    def allowed(self, q_at: Tensor, k_at: Tensor) -> Tensor:
        steps = masks.distance(q_at, k_at)
        nearest = 1 if self.config.kind == "decoder" else 1 - self.config.dilation
        return ((steps >= nearest) & (steps < self.config.dilation) & (steps != 0))[:, None]


class _Class(_Part):
    """A residue class: tokens whose distance is a multiple of the stride."""


def _nothing(x: Tensor) -> float:
    """The score of a hidden key: finite, so that a query that sees nobody has no NaN."""
    return torch.finfo(x.dtype).min / 4


def _beside(masks_: list[Tensor]) -> Tensor:
    """Masks of neighbouring columns as one: sizes of 1 are stretched to the others'."""
    if len(masks_) == 1:
        return masks_[0]
    lead = [max(sizes) for sizes in zip(*(mask.shape[:3] for mask in masks_), strict=True)]
    return torch.cat([mask.expand(*lead, -1) for mask in masks_], -1)
