"""What a way to tell positions adds to the scores of a trained head: S = content + position, taken apart exactly.

Relative ways name their part themselves. Where positions are added to the words' vectors, the scores of the first layer
come apart into the four terms that Transformer-XL starts from (Dai et al. 2019, arXiv:1901.02860, §3.3), because a
norm without a mean divides the sum e + p by one number.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from transformer import cost
from transformer.attention import Attention, masked_softmax
from transformer.biases import Alibi, Distances, XL, alibi_slopes
from transformer.config import Config, Position
from transformer.models import Model
from transformer.positions import sinusoidal
from transformer.rope import rotate, rotation
from transformer.scores import scale

TERMS = "abcd"  # word · word, query's word · key's place, query's place · key's word, place · place


class Added(NamedTuple):
    """One layer's scores on one text, [head, query, key] each; content + position = scores."""

    content: Tensor  # what it would be without positions
    position: Tensor  # what they add
    scores: Tensor  # the model's own
    A: Tensor  # and its weights
    terms: Tensor | None  # a, b, c, d [term, head, query, key], where positions make four of one


@torch.no_grad()
def added(model: Model, ids: Sequence[int], layer: int = 0) -> Added:
    """The scores of ``layer``, taken apart.

    none      position = 0
    alibi, t5 position = the bias, the same in every layer
    shaw      position = q_i · a^K_{j−i} / √d_k
    xl        content = a + c = (q_i + u) · k_j / √d_k, position = b + d = (q_i + v) · W_R R_{i−j} / √d_k
    rope      content = q_i · k_j / √d_k before they are turned; position = what turning changes
    learned, sinusoidal
              content = a, position = b + c + d; only in the first layer: after it, what was read by place is in the
              vectors, and no place can be told from a word

    Raises ValueError for a layer that is not there, and for the later layers of the last two.
    """
    if not 0 <= layer < model.config.n_layers:
        raise ValueError(f"there is no layer {layer}; the model has layers 0 to {model.config.n_layers - 1}.")
    way, n = model.config.position, len(ids)
    names = [f"layers.{layer}.attention.{name}" for name in ("Q", "K", "scores", "A")]
    turned = [f"layers.{layer}.attention.{name}_unrotated" for name in "QK"] if way == "rope" else []
    absolute = way in ("learned", "sinusoidal")
    trace = model.run(ids, record=(*names, *turned, *(("embed.tokens", "embed.positions") if absolute else ()))).trace
    Q, K, S, A = (trace[name] for name in names)  # [batch 1, head, query, ...]
    attention = attention_of(model, layer)
    places = torch.arange(n)[None]
    distances = Distances(places[..., None] - places[:, None], n - 1)
    terms = None
    match way:
        case "xl":
            xl = attention.relative
            zero = torch.zeros_like(Q)
            c = attention.score(xl.u[:, None].expand_as(Q), K, places)
            d = xl.scores(zero, distances, attention.scale)
            b = xl.scores(Q, distances, attention.scale) - d
            terms = torch.stack((attention.score(Q, K, places), b, c, d))[:, 0]
            content = terms[0] + terms[2]
        case "rope":
            content = attention.score(*(attention.share(trace[name]) for name in turned), places)[0]
        case "learned" | "sinusoidal":
            if layer:
                raise ValueError(f"{way} positions were added before the first layer; in layer {layer} words and "
                                 f"places are mixed.")
            parts = trace["embed.tokens"], trace["embed.positions"]
            terms = four_terms(model, *(part.expand(1, n, -1) for part in parts))[:, 0]
            content = terms[0]
        case _:
            content = attention.score(Q, K, places)[0]
    return Added(content, S[0] - content, S[0], A[0], terms)


def attention_of(model: Model, layer: int) -> Attention:
    """The attention of one layer."""
    return model.stack.blocks[layer % len(model.stack.blocks)].attention


def four_terms(model: Model, e: Tensor, p: Tensor) -> Tensor:
    """(W_Q x_i) · (W_K x_j) / √d_k with x = norm(e + p), multiplied out: a, b, c, d of ``TERMS``.

    e, p [batch, token, model] -> [term, batch, head, query, key]. Raises ValueError where the first layer does more to
    e + p than dividing it: LayerNorm, or W_Q and W_K with a bias.
    """
    config, block = model.config, model.stack.blocks[0]
    if config.norm != "rms" or config.norm_place != "pre" or config.qkv_bias or config.qk_norm != "none":
        raise ValueError("only behind an RMSNorm, without biases, do the scores of a sum come apart into four terms.")
    rms = ((e + p).square().mean(-1, keepdim=True) + config.norm_eps).sqrt()
    attention = block.attention
    Q, K = ([attention.split(W(block.norm_1.gamma * part / rms)) for part in (e, p)] for W in (attention.W_Q,
        attention.W_K))
    places = torch.arange(e.shape[1])[None]
    return torch.stack([attention.score(q, attention.share(k), places) for q in Q for k in K])


class ByDistance(NamedTuple):
    """What is added at each distance, [head, distance]: the mean of all cases, the least and the most."""

    mean: Tensor
    low: Tensor
    high: Tensor


@torch.no_grad()
def by_distance(model: Model, ids: Sequence[int], most: int, layer: int = 0) -> ByDistance:
    """What positions add to a score at the distances 0 … ``most`` − 1, also those that the text is too short for.

    alibi, t5: the one bias. shaw, xl: over the queries of the text. rope: over its pairs of query and key. learned,
    sinusoidal: place against place, (W_Q norm(p_i)) · (W_K norm(p_j)) / √d_k, as if there were no words, over all
    places i below ``most`` or the end of the table, whose later distances are NaN.
    """
    config, attention = model.config, attention_of(model, layer)
    distance = torch.arange(most)
    match config.position:
        case "none":
            cases = torch.zeros(config.n_heads, 1, most)
        case "alibi" | "t5":
            cases = model.bias(distance[None, None])[0]  # [head, 1, distance]
        case "shaw" | "xl":
            Q = model.run(ids, record=f"layers.{layer}.attention.Q").trace[f"layers.{layer}.attention.Q"]
            at = Distances(distance.expand(1, len(ids), -1), most - 1)
            cases = attention.relative.scores(Q, at, attention.scale)[0]  # [head, query, distance]
        case "rope":
            names = [f"layers.{layer}.attention.{name}_unrotated" for name in "QK"]
            trace = model.run(ids, record=names).trace
            q, k = trace[names[0]][0], attention.share(trace[names[1]])[0]  # [head, token, d_head]
            later, earlier = torch.tril_indices(len(ids), len(ids))
            turned = rotate(q[:, later, None], rotation(config, distance[None]))  # [head, pair, distance, d_head]
            cases = ((turned - q[:, later, None]) @ k[:, earlier, :, None])[..., 0] * attention.scale
        case _:
            return _of_places(model, most)
    return ByDistance(cases.mean(1), cases.amin(1), cases.amax(1))


def _of_places(model: Model, most: int) -> ByDistance:
    config = model.config
    places = torch.arange(min(most, config.max_len) if config.position == "learned" else most)
    if config.position == "learned":
        p = model.embedding.W_P(places)[None]
    else:
        p = sinusoidal(places[None], config.d_embed, layout=config.sinusoid_layout)
    d = four_terms(model, torch.zeros_like(p), p)[3, 0]  # [head, query, key]
    found = torch.full((3, config.n_heads, most), math.nan)
    for r in range(len(places)):
        at = d.diagonal(-r, 1, 2)  # [head, query]
        found[:, :, r] = torch.stack((at.mean(-1), at.amin(-1), at.amax(-1)))
    return ByDistance(*found)


class Tables(NamedTuple):
    """What training put into the tables of positions, by name: rows are distances, buckets or places."""

    names: tuple[str, ...]
    arrays: tuple[Tensor, ...]


def tables(model: Model, layer: int = 0) -> Tables:
    """The trained numbers that tell positions: T5's table [bucket, head], Shaw's a^K and a^V [distance, d_head], XL's u
    and v [head, d_head], the learned table [place, model]; nothing for a way that has none."""
    match model.config.position:
        case "t5":
            found = {"table": model.bias.table.weight}
        case "shaw":
            relative = attention_of(model, layer).relative
            found = {"a_K": relative.a_K.weight, "a_V": relative.a_V.weight}
        case "xl":
            relative: XL = attention_of(model, layer).relative
            found = {"u": relative.u, "v": relative.v}
        case "learned":
            found = {"W_P": model.embedding.W_P.weight}
        case _:
            found = {}
    return Tables(tuple(found), tuple(array.detach() for array in found.values()))


def on_head(Q: Tensor, K: Tensor, config: Config, mask: Tensor | None) -> dict[str, Added]:
    """A layer that was trained with RoPE, read without positions ("none"), as trained ("rope"), and with ALiBi's bias
    in RoPE's place ("alibi"), which it has never seen.

    Q [head, query, d_head] and K [kv_head, key, d_head], not turned; mask [query, key] or None.
    """
    n, groups = Q.shape[1], len(Q) // len(K)
    K = K.repeat_interleave(groups, 0)
    places = torch.arange(n)[None]
    turning = rotation(config, places)
    content = Q @ K.mT * scale(config)  # [head, query, key]
    turned = rotate(Q[None], turning)[0] @ rotate(K[None], turning)[0].mT * scale(config)
    bias = Alibi(config)(places[..., None] - places[:, None])[0]
    found = {}
    for way, position in (("none", torch.zeros_like(content)), ("rope", turned - content), ("alibi", bias)):
        S = content + position
        found[way] = Added(content, position, S, masked_softmax(S, mask), None)
    return found


def slopes_against_distance(n_heads: int, distance: Tensor) -> tuple[Tensor, Tensor]:
    """ALiBi's bias −m r, and e^(−m r): what a key keeps of its weight against one at distance 0 with the same q · k.

    distance r [distance] -> two of [head, distance].
    """
    bias = -alibi_slopes(n_heads)[:, None] * distance
    return bias, bias.exp()


def bucket_width(bucket: Tensor) -> Tensor:
    """How many of these distances share each one's bucket.   bucket [distance] -> [distance]"""
    return (bucket[:, None] == bucket).sum(-1)


def extra_parameters(config: Config) -> dict[str, int]:
    """How many numbers each way to tell positions adds to a decoder of this shape, compared with none."""
    plain = {name: getattr(config, name) for name in ("vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads",
                                                      "d_head",
                                                      "d_ff", "max_len", "norm", "gated", "activation")}  # fmt: skip
    counts = {way: sum(cost.parameters(Config(position=way, **plain)).values()) for way in get_args(Position)}
    return {way: count - counts["none"] for way, count in counts.items()}
