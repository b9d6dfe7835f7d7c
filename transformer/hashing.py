"""Reformer: tokens that point the same way are sorted together, and each meets its neighbours in that order only."""

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer import masks
from transformer.attention import Attention
from transformer.config import Config
from transformer.geometry import Geometry
from transformer.rope import rotate
from transformer.tap import Tap

ITSELF = -1e5  # a token's score with itself: it reads itself only where it finds nobody else
HIDDEN = 1e30  # what a score loses where the mask hides the key
AT_ONCE = 2**21  # scores that are weighed together


class LSH(Attention):
    """A = softmax(S + log C), S = Q Kᵀ, K = Q / ‖Q‖, and C counts how often query and key met. Kitaev et al. 2020,
    arXiv:2001.04451

    A query is its own key, at length 1. In each of ``hashes`` rounds every token falls into the bucket whose direction
    is nearest to it; the tokens are sorted by bucket (and by place within one), cut into chunks of ``chunk``, and each
    meets its own chunk and the one before; the first of a round meets the last of the round before. Rounds are joined
    by log-sum-exp, which is the one softmax above. Time grows as hashes · n · chunk, the sort as n log n.

    Two laws of other attentions it does not keep, as nobody's LSH does, unless one chunk holds the whole text. A causal
    mask hides the future's values, but a later token takes a place in the order, and so can part two earlier ones:
    earlier outputs then change. For the same reason reading on from a cache is not reading it all at once: what was
    read keeps the neighbours that it had, and new tokens meet theirs among all that are kept. bfloat16 and up:
    float16 cannot hold the score of a token with itself.

    x [batch, token, d_model] -> [batch, token, d_model], and this layer's keys and values when a cache is kept.
    """

    READ_TOGETHER = "W_Q", "W_V"

    def __init__(self, config: Config):
        super().__init__(config)
        self.W_K = None
        self.factors, self.chunk, self.causal = buckets(config), config.chunk, config.kind == "decoder"
        self.dropout = config.dropout
        self.register_buffer("rotations", rotations(config))  # [head, d_head, round, direction]

    def project(self, x: Tensor, geometry: Geometry, past, tap: Tap, source) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K, V [batch, head, token, d_head] of the new tokens; K is Q at length 1."""
        Q, V = map(self.split, self.joint(x) if self.joint is not None else (self.W_Q(x), self.W_V(x)))
        K = Q * (self.d_head * (Q.square().mean(-1, keepdim=True) + 1e-6)).rsqrt()
        if geometry.rotation is not None:  # which changes no length
            Q = rotate(tap("Q_unrotated", Q), geometry.rotation)
            K = rotate(tap("K_unrotated", K), geometry.rotation)
        return tap("Q", Q), tap("K", K), tap("V", V)

    def read(self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry, tap: Tap) -> Tensor:
        """z = A V.   Q [batch, head, query, d_head], K and V [batch, head, key, d_head] -> Q's shape."""
        orders, last = self.sort(K, geometry.real)
        if not tap.wants("scores", "A"):
            return self._read_chunks(Q, K, V, geometry, orders, last)
        S = tap("scores", Q @ K.mT)  # [batch, head, query, key]
        count, itself = self.met(orders, last, geometry, Q.shape[2])
        S = S.masked_fill(itself, ITSELF) + count.to(S.dtype).log()  # −∞ where the two never met
        A = F.dropout(tap("A", S.softmax(-1)), self.dropout, self.training)
        return A @ V

    def hash(self, K: Tensor) -> Tensor:
        """The bucket of each token: the nearest of the directions ±R.

        Many buckets are a product of two hashes, so that their directions stay few.
        K [batch, head, key, d_head] -> [batch, head, round, key].
        """
        turned = (K.detach() @ self.rotations.flatten(2)).unflatten(-1, self.rotations.shape[2:])
        bucket, size = 0, 1
        for part, factor in zip(turned.split([f // 2 for f in self.factors], -1), self.factors, strict=True):
            nearest = part.abs().argmax(-1, keepdim=True)
            bucket = bucket + size * (nearest + factor // 2 * (part.gather(-1, nearest) < 0))[..., 0]
            size *= factor
        return bucket.transpose(2, 3)

    def sort(self, K: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
        """Who stands where: the token at each place of each round [batch, head, round, place], places a multiple of
        ``chunk`` and tokens beyond the text's n empty; and each text's last chunk that is not all padding [batch]."""
        batch, _, n, _ = K.shape
        bucket = self.hash(K)
        if real is not None:
            bucket = bucket.masked_fill(~real[:, None, None], _product(self.factors))
        bucket = F.pad(bucket, (0, -n % self.chunk), value=_product(self.factors) + 1)
        length = torch.full((batch,), n, device=K.device) if real is None else real.sum(1)
        return bucket.argsort(dim=-1, stable=True), ((length - 1) // self.chunk).clamp(min=0)

    def met(self, orders: Tensor, last: Tensor, geometry: Geometry, n_queries: int) -> tuple[Tensor, Tensor]:
        """How often each query has met each key it may read, over all rounds, and which pairs are a token and itself:
        [batch, head, query, key] and bool [query, key]."""
        n = geometry.k_pos.shape[-1]
        chunk_of = _inverse(orders)[..., :n] // self.chunk  # [batch, head, round, token]
        count = 0
        for r in range(orders.shape[2]):
            of_key, of_query = chunk_of[:, :, r, None, :], chunk_of[:, :, r, n - n_queries :, None]
            wrapped = (of_query == 0) & (chunk_of[:, :, r - 1, None, :] == last[:, None, None, None])
            count = count + (of_key == of_query).int() + ((of_key == of_query - 1) | wrapped).int()
        itself = torch.arange(n, device=count.device) == torch.arange(n - n_queries, n, device=count.device)[:, None]
        allowed = masks.mask(self.config, geometry.q_pos, geometry.k_pos, geometry.real)
        return count if allowed is None else count * (allowed | itself), itself

    def _read_chunks(
        self, Q: Tensor, K: Tensor, V: Tensor, geometry: Geometry, orders: Tensor, last: Tensor
    ) -> Tensor:
        """The same, chunk by chunk, round by round, and a few heads at a time, so that tables stay in the caches."""
        (batch, heads, n, d_head), c = K.shape, self.chunk
        queries, rounds, places = Q.shape[2], *orders.shape[2:]
        # Queries that were read before, and places beyond the text, stay empty.
        Q, K, V = (F.pad(x, (0, 0, n - x.shape[2], places - n)).flatten(0, 1) for x in (Q, K, V))
        orders = orders.flatten(0, 1)  # [head, round, place], of all texts' heads
        # What stands before a round's first chunk: the last one of the round before it.
        lasts = last.repeat_interleave(heads).view(-1, 1, 1, 1).expand(-1, rounds, 1, c)
        ends = orders.unflatten(-1, (-1, c)).gather(2, lasts)[:, :, 0].roll(1, 1)
        at = self._positions(geometry, batch, heads, places)
        together = max(1, AT_ONCE // (2 * c * places))
        slabs = zip(*(x.split(together) for x in (Q, K, V, orders, ends, at)), strict=True)
        z = torch.cat([self._read_heads(*slab, n - queries, n) for slab in slabs])
        return z.view(batch, heads, queries, d_head)

    def _read_heads(
        self, Q: Tensor, K: Tensor, V: Tensor, orders: Tensor, ends: Tensor, at: Tensor, first: int, n: int
    ) -> Tensor:
        """z of the tokens from ``first`` to ``n``.   Q, K, V [head, place, d_head], orders [head, round, place], ends
        [head, round, chunk's place], at [head, place, 2] or nothing -> [head, query, d_head]"""
        heads, places, d_head = K.shape
        c, z, total = self.chunk, None, None
        Q, K, V, at = Q.flatten(0, 1), K.flatten(0, 1), V.flatten(0, 1), at.flatten(0, 1)
        head = torch.arange(heads, device=Q.device)[:, None]
        for r in range(orders.shape[1]):
            # A head's chunks follow its end, so that a window of two chunks is a chunk's keys. The window that reaches
            # from one head into the next belongs to nobody: its queries are there to keep step.
            order, end = orders[:, r], ends[:, r]  # [head, place]
            k_row = (torch.cat((end, order), -1) + head * places).flatten()
            k_row = torch.cat((k_row, k_row[:c]))
            q_row = (torch.cat((order, order[:, :c]), -1) + head * places).flatten()

            S = Q.index_select(0, q_row).view(-1, c, d_head) @ _windows(K.index_select(0, k_row), c)
            if len(at):  # [window, place, key]: how much later a key stands than may be read
                late = at[q_row, 0].view(-1, c, 1) - _windows(at[k_row, 1], c)[:, None]
                S = S.add_(late.clamp_(-1, 0).mul_(HIDDEN))
            S.diagonal(c, 1, 2).fill_(ITSELF)  # in its own chunk; and where the end of the round before holds it, too
            S.view(heads, -1, c, 2 * c)[:, 0, :, :c].masked_fill_(end[:, None] == order[:, :c, None], ITSELF)
            A = S.softmax(-1)
            log_weight = S.amax(-1, keepdim=True) - A.amax(-1, keepdim=True).log()  # log-sum-exp, where it costs least
            A = F.dropout(A, self.dropout, self.training)
            z_r = A @ _windows(V.index_select(0, k_row), c).mT

            back = (_inverse(order)[:, first:n] + head * (places + c)).flatten()
            z_r, log_weight = (x.flatten(0, 1).index_select(0, back) for x in (z_r, log_weight))
            z_r, log_weight = (x.view(heads, n - first, -1) for x in (z_r, log_weight))
            if total is None:
                z, total = z_r, log_weight
            else:
                z = torch.lerp(z, z_r, (log_weight - total).sigmoid())
                total = torch.logaddexp(total, log_weight)
        return z

    def _positions(self, geometry: Geometry, batch: int, heads: int, places: int) -> Tensor:
        """The latest position that each token may read, and its own as a key, beyond all others where nobody may read
        it: [head, place, 2] of all texts' heads; nothing where every token reads every other."""
        n, never = geometry.k_pos.shape[-1], 2.0**24  # up to which float32 counts exactly
        at = geometry.k_pos.float().expand(batch, -1)
        if not self.causal and geometry.real is None and n == places:
            return at.new_empty(batch * heads, 0, 2)
        q_at = at if self.causal else torch.full_like(at, never - 1)
        k_at = at if geometry.real is None else at.masked_fill(~geometry.real, never)
        both = F.pad(torch.stack((q_at, k_at), -1), (0, 0, 0, places - n), value=never)
        return both.repeat_interleave(heads, 0)


def buckets(config: Config) -> tuple[int, ...]:
    """How many buckets: about 2 · max_len / chunk, a power of two, so that one holds half a chunk of the longest text;
    beyond 2 · chunk as a product of two. They hang on ``max_len`` and not on the text: padding changes nothing."""
    power = (2 * max(1, config.max_len // config.chunk)).bit_length() - 1
    if 2**power <= 2 * max(int((config.max_len // config.chunk) ** 0.5), config.chunk):
        return (2**power,)
    return 2 ** (power // 2), 2 ** (power - power // 2)


def rotations(config: Config) -> Tensor:
    """Normal numbers, the same for one config on every device: [head, d_head, round, direction]."""
    shape = config.n_heads, config.d_head, config.hashes, sum(buckets(config)) // 2
    numbers = masks.scramble(torch.arange(_product(shape)) + 1)  # 0 … 2³² − 1
    return torch.special.ndtri(((numbers >> 9) + 0.5) / 2**23).view(shape)


def _product(sizes: tuple[int, ...]) -> int:
    return torch.Size(sizes).numel()


def _windows(x: Tensor, c: int) -> Tensor:
    """Every two neighbouring chunks, as a view: [row, …] -> [window, …, 2 c]."""
    return x.unfold(0, 2 * c, c)


def _inverse(order: Tensor) -> Tensor:
    """The place of each token, from the token at each place."""
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)
