"""What a model costs, in closed forms: computed from its config alone, with nothing allocated.

    flops(config, n=512)           {"Q": …, "scores": …, "ffn": …, "logits": …}, forward
    parameters(config)             {"embedding": …, "attention": …, …}
    pairs(config, n)               query–key pairs that a head's mask allows; scored(config, n), those it multiplies
    kv_cache_bytes(config, n)      what a decoder must remember of n tokens
    trace_bytes(config, n, "*.A")  what a recording will weigh

``matmuls`` lists every matrix product of a forward pass, and ``flops`` adds them up: a variant adds its line there.
``transformer.counter`` counts the same while a model really runs.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from math import inf, prod

from transformer import cost_of_attention, names
from transformer.cache import kept
from transformer.config import Config, source_side, target_side
from transformer.cost_of_attention import Matmul
from transformer.cost_of_patterns import pairs, scored  # noqa: F401  (a part of what ``cost`` offers)
from transformer.sense import BELONGS
from transformer.tap import RecordingTap

PROJECTIONS = ("Q", "K", "V", "out")  # grow as n
PAIRS = ("scores", "z")  # grow as n²: every query meets every key
ATTENTION = PROJECTIONS + PAIRS


def matmuls(config: Config, n: int, batch: int = 1, cached: int = 0, source: int | None = None) -> list[Matmul]:
    """Every matrix product of one forward pass over ``n`` tokens, in the order of computation.

    ``part`` is the tensor that it makes: Q, K, V, scores, z, out (of attention), ffn, logits; embed where a table is
    widened or patches are read; of an encoder–decoder, encoder and cross beside the decoder's own.
    n counts an image's patches and its class token, ``source`` the tokens that an encoder–decoder reads (n unless given).
    ``cached``: tokens that the KV cache already holds, so that each query meets ``cached + n`` keys (a window: w − 1 of
    the cached ones).
    Scores and z are those of the textbook path: dense n × n, even where a causal mask throws half of it away and a
    window most of it, and where linear attention and Performer would never form it. Biases, norms, softmax, activations and RoPE are no matrix products and are left out: they grow
    as n · d or n² · h, a d-th or d_k-th part of the products beside them.
    Raises ValueError when a number is out of range, or for an encoder with a cache.
    """
    _whole(1, n=n, batch=batch)
    _whole(0, cached=cached)
    if cached and config.kind in ("encoder", "vision"):
        raise ValueError("an encoder reads its whole text at once, so it keeps no cache; leave cached at 0.")
    if config.kind == "encoder-decoder":
        source = n if source is None else source
        _whole(1, source=source)
        read = [] if cached else [p._replace(part="encoder") for p in matmuls(source_side(config), source, batch)]
        return [*read, *_across(config, n, source, batch, cached), *matmuls(target_side(config), n, batch, cached)]
    if source is not None:
        raise ValueError("only an encoder–decoder has a source; leave it out.")
    d = config.d_model
    widened = [Matmul("embed", n, config.d_embed, d, batch)] if config.d_embed != d else []
    if config.kind == "vision":
        widened.insert(0, Matmul("embed", n - 1, config.channels * config.patch_size**2, config.d_embed, batch, 1))
    return [
        *_weights(widened),
        *cost_of_attention.matmuls(config, n, _held(config, cached), cached, batch),
        *_ffn(config, n, batch),
        *_weights(_head(config, n, batch)),
    ]


def _weights(products: list[Matmul], rights: float = 1) -> list[Matmul]:
    """Products with a weight on the right, ``rights`` different ones each."""
    return [product._replace(right="weight", rights=rights) for product in products]


def _head(config: Config, n: int, batch: int) -> list[Matmul]:
    """From the last stream to logits."""
    d, width, V = config.d_model, config.d_embed, config.vocab_size
    match config.head:
        case "lm" if config.tie_embeddings and width != d:
            return [Matmul("logits", n, d, width, batch), Matmul("logits", n, width, V, batch)]
        case "lm":
            return [Matmul("logits", n, d, V, batch)]
        case "mlm":
            return [Matmul("logits", n, d, width, batch), Matmul("logits", n, width, V, batch)]
        case "classify":  # one token stands for all
            pooler = [Matmul("logits", 1, d, d, batch)] if config.kind == "encoder" else []
            return [*pooler, Matmul("logits", 1, d, config.n_classes, batch)]
    return []


def _across(config: Config, n: int, source: int, batch: int, cached: int) -> list[Matmul]:
    """Cross-attention's products; once the cache holds the source's keys and values, they are not made again."""
    plain = replace(target_side(config), attention="full", position="none", rope_dims=None, rope_scaling="none", sinusoid_layout="interleaved",
                    max_distance=None, buckets=None, window=None, dilation=None, global_tokens=None, random_keys=None,
                    chunk=None, hashes=None, rank=None, q_rank=None, features=None, memory=None)  # fmt: skip
    products = []
    for product in cost_of_attention.matmuls(plain, n, source - n, 0, batch):
        rows = source if product.part in ("K", "V") else product.rows
        if product.part in ("K", "V") and cached:
            continue
        products.append(product._replace(part="cross", rows=rows))
    return products


def _ffn(config: Config, n: int, batch: int) -> list[Matmul]:
    """The FFN's products. Of several experts each token is read by k, and by the shared ones; none is dropped here,
    though a capacity may (so these are then the most)."""
    d, d_ff, up = config.d_model, config.d_ff, 2 if config.gated else 1  # W_1, and W_g of a gated one
    layers = config.n_layers

    def network(rows: int, wide: int, of: float = 1) -> list[Matmul]:
        """W_1 and W_g, then W_2, ``of`` different ones a layer."""
        return [
            *_weights([Matmul("ffn", rows, d, wide, layers * batch * up)], layers * up * of),
            *_weights([Matmul("ffn", rows, wide, d, layers * batch)], layers * of),
        ]

    if config.experts == 1:
        return network(n, d_ff)
    router = _weights([Matmul("ffn", n, d, config.experts, layers * batch)], layers)
    chosen = network(n * config.experts_per_token, d_ff, experts_read(config, n * batch))
    return [*router, *network(n, config.shared_experts * d_ff), *chosen]


def experts_read(config: Config, tokens: int) -> float:
    """How many of a layer's E experts are needed by at least one of so many tokens that choose k each, evenly:

        E · (1 − (1 − k/E)^tokens): k for one token, nearly all for a long text.
    """
    E, k = config.experts, config.experts_per_token or 1
    return E * (1 - (1 - k / E) ** tokens)


def flops(config: Config, n: int, batch: int = 1, cached: int = 0, source: int | None = None) -> dict[str, int]:
    """FLOPs of one forward pass by part, 2 for each multiply-accumulate, matrix products only (see ``matmuls``).

    For plain multi-head attention with d_ff = 4d a layer costs 8nd² (projections) + 4n²d (scores and z) + 16nd² (FFN),
    and the head 2ndV. Keys: Q, K, V, scores, z, out, ffn, logits (0 without a head), and
    those of ``matmuls`` that only some models have.

    Equal to ``torch.utils.flop_counter.FlopCounterMode`` to the last FLOP when the run takes the textbook path, as it
    does when A is recorded. On the fused path the counter sees no scores and z on a CPU: it knows no formula for the
    CPU's attention kernel and drops them without a word.
    """
    total = dict.fromkeys((*ATTENTION, "ffn", "logits"), 0)
    for product in matmuls(config, n, batch, cached, source):
        total[product.part] = total.get(product.part, 0) + product.flops
    return total


def backward_flops(config: Config, n: int, batch: int = 1, source: int | None = None) -> dict[str, int]:
    """FLOPs of the backward pass by part: each product C = A B is followed by ∂A = ∂C Bᵀ and ∂B = Aᵀ ∂C, twice its own
    cost; where one side has no gradient (pixels, the sinusoids of XL, Performer's features), only the other is
    computed. A training step is ``flops`` and this.
    """
    total: dict[str, int] = {}
    for product in matmuls(config, n, batch, 0, source):
        total[product.part] = total.get(product.part, 0) + product.backward * product.flops
    return total


def crossover(config: Config, projections: bool = True) -> float:
    """The n at which attention costs as many FLOPs as the FFN of its layer; 0 where it costs more from the first token.

    Per token and layer attention takes P + 4 n h d_k (P = 4 d d_k (h + h_kv), the four projections) and the FFN
    F = 4 d d_ff, or 6 d d_ff gated. So n* = (F − P) / (4 h d_k), or F / (4 h d_k) where ``projections`` is False and
    only scores and z are held against the FFN. With h_kv = h and d_ff = 4d that is n* = 2d, or 4d. Infinite where no
    part of attention grows as n² (Linformer).
    """
    one, two = flops(config, 1), flops(config, 2)
    met = [sum(parts[part] for part in PAIRS) for parts in (one, two)]
    square = met[1] / 2 - met[0]  # what grows as n², at n = 1
    fixed = met[0] - square + (sum(one[part] for part in PROJECTIONS) if projections else 0)
    if one["ffn"] <= fixed:
        return 0.0
    return (one["ffn"] - fixed) / square if square else inf


def parameters(config: Config, active: bool = False) -> dict[str, int]:
    """Parameters by part; the sum is what ``sum(p.numel() for p in build(config).parameters())`` gives.

    ``active``: only those that one token meets, k experts of each layer instead of all.

    attention  layers · (d h d_k + 2 d h_kv d_k + h d_k d), and biases where the config has them
    ffn        layers · (2 d d_ff), or 3 d d_ff gated, and biases; with experts so much for each, a wider one for the
               shared, and d · experts for the router
    positions  max_len · d learned, buckets · h with T5's table; Shaw's and XL's are a part of attention
    norms      2 a layer (sandwich 4), and the embedding's and the final one: d each (RMS) or 2d (LayerNorm)
    unembedding  the head, whatever it predicts; tied to the embedding it counts 0
    Shared layers count once. An encoder–decoder has encoder (all of it) and cross beside the decoder's own parts.
    """
    d = config.d_model
    layers = 1 if config.share_layers else config.n_layers
    up = 2 if config.gated else 1

    def network(d_ff: int) -> int:
        return (up + 1) * d * d_ff + (up * d_ff + d if config.ffn_bias else 0)

    ffn = network(config.d_ff)
    if config.experts > 1:
        ffn *= config.experts_per_token if active else config.experts
        ffn += d * config.experts + (network(config.shared_experts * config.d_ff) if config.shared_experts else 0)
    if config.kind == "encoder-decoder":
        return _both_sides(config, active, layers * cost_of_attention.across(config))
    V, width = config.vocab_size, config.d_embed
    of_norm = {"layer": 2, "batch": 2, "rms": 1, "none": 0}[config.norm]
    in_a_layer = 4 if config.norm_place == "sandwich" else 2
    positions = {"learned": config.max_len * width, "t5": (config.buckets or 0) * config.n_heads}
    table = V * width
    if config.kind == "vision":
        table = (config.channels * config.patch_size**2 + 2) * width  # W_patch, its bias, the class token
    heads = {
        "lm": (0 if config.tie_embeddings else V * d) + (V if config.logit_bias else 0),
        "mlm": (d + 1 + of_norm) * width + V,
        "classify": (d * d + d if config.kind == "encoder" else 0) + (d + 1) * (config.n_classes or 0),
    }
    return {
        "embedding": table + ((width + 1) * d if width != d else 0),
        "positions": positions.get(config.position, 0),
        "segments": config.n_segments * width,
        "attention": layers * cost_of_attention.parameters(config),
        "ffn": layers * ffn,
        "norms": of_norm * (d * (in_a_layer * layers + config.final_norm) + width * config.embed_norm),
        "unembedding": heads.get(config.head, 0),
    }


def _both_sides(config: Config, active: bool, cross: int) -> dict[str, int]:
    """An encoder–decoder's parameters: the decoder's by part, cross-attention with its norms, the encoder as one."""
    own = parameters(target_side(config), active)
    read = sum(parameters(source_side(config), active).values())
    if config.share_embeddings:
        read -= config.vocab_size * config.d_embed
    per_norm = {"layer": 2, "batch": 2, "rms": 1, "none": 0}[config.norm] * config.d_model
    layers = 1 if config.share_layers else config.n_layers
    norms = layers * per_norm * (2 if config.norm_place == "sandwich" else 1)
    return own | {"encoder": read, "cross": cross + norms}


def kv_cache_bytes(config: Config, n: int, batch: int = 1, bytes_per_value: int = 2) -> int:
    """2 · n · h_kv · d_k · layers · batch · bytes_per_value: keys and values of ``n`` tokens in every layer.

    A window keeps its w − 1 newest tokens, a recurrent memory as many as it is long. Latent attention keeps rank + d_R
    values a token whatever the heads; linear, Performer and SSRU a state of constant size whatever n.
    Raises ValueError for an encoder, which keeps none.
    """
    _whole(1, n=n, batch=batch, bytes_per_value=bytes_per_value)
    if config.kind in ("encoder", "vision"):
        raise ValueError("an encoder reads its whole text at once, so it keeps no cache.")
    return cost_of_attention.kept_values(config, _held(config, n)) * config.n_layers * batch * bytes_per_value


def trace_bytes(config: Config, n: int, record: str | Iterable[str] = ("*",), bytes_per_value: int = 4) -> int:
    """Memory of what ``model.run(ids, record=record)`` would keep for one text of ``n`` tokens, in bytes.

    Σ over recorded names of the product of the tensor's axes (``transformer.names.shape``), times ``bytes_per_value``.
    Tensors that share their storage (``resid_post`` and the next ``resid_pre``) count twice, so it is an upper bound.
    Raises ValueError when a pattern matches nothing, as ``run`` does.
    """
    _whole(1, n=n, bytes_per_value=bytes_per_value)
    return bytes_per_value * _values(config, n, _recorded(config, record))


def longest(config: Config, record: str | Iterable[str], budget_bytes: int, bytes_per_value: int = 4) -> int:
    """The most tokens whose trace fits into ``budget_bytes``; never above ``config.max_len``, 0 when not one fits."""
    _whole(1, bytes_per_value=bytes_per_value)
    kept = _recorded(config, record)
    fits, too_long = 0, config.max_len + 1  # the trace grows with n, so halve the interval between them
    while too_long - fits > 1:
        n = (fits + too_long) // 2
        if bytes_per_value * _values(config, n, kept) <= budget_bytes:
            fits = n
        else:
            too_long = n
    return fits


def _held(config: Config, n: int) -> int:
    """How many of n tokens the cache still holds."""
    most = kept(config)
    return n if most is None else min(n, most)


def _recorded(config: Config, record: str | Iterable[str]) -> Counter[str]:
    """How many tensors of each glossary entry a recording keeps."""
    everything = names.of(config)
    tap = RecordingTap(record, names=everything)
    return Counter(names.template(name) for name in everything if tap.wants(name))


def _values(config: Config, n: int, kept: Counter[str]) -> int:
    return sum(count * prod(names.shape(name, config, n)) for name, count in kept.items())


def _whole(least: int, **numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
