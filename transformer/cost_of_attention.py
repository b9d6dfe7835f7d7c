"""What one kind of attention costs: its matrix products, its parameters, and what it keeps of a text. See ``cost``."""

from typing import Literal, NamedTuple

from transformer.config import Config
from transformer.hashing import buckets
from transformer.rope import turned_dims


Right = Literal["weight", "kept", "passing"]
Table = Literal["", "left", "result"]


class Matmul(NamedTuple):
    """[rows, inner] @ [inner, columns], done ``times`` times over (heads, layers, batch), for one part of the model.

    ``right``: what the right-hand matrix is, a weight, keys or values that a cache keeps, or something made on the way;
    ``rights``: how many different ones the ``times`` products read. A weight is one for all texts of a batch, keys and
    values one for all query heads of a group; None: each product has its own. ``table``: which of the other two is the
    n × n table, of scores or of weights, that a fused kernel never forms.
    """

    part: str
    rows: int
    inner: int
    columns: int
    times: int
    backward: int = 2  # products of the same size on the way back: one for each operand that has a gradient
    right: Right = "passing"
    rights: float | None = None
    table: Table = ""

    @property
    def flops(self) -> int:
        """2 · rows · inner · columns · times: each entry of a product takes ``inner`` multiplications and additions."""
        return 2 * self.rows * self.inner * self.columns * self.times


def matmuls(config: Config, n: int, held: int, cached: int, batch: int) -> list[Matmul]:
    """The products of every layer's attention for n new tokens; ``held`` of the ``cached`` ones are still kept."""
    match config.attention:
        case "latent":
            products = _latent(config, n, held + n, batch)
        case "linformer":
            products = _weighed(config, n, config.rank, batch) + _squeezing(config, n, batch)
        case "lsh":
            products = _hashed(config, n, held + n, batch)
        case "performer" | "linear":
            products = _weighed(config, n, n, batch) + _kernel(config, n, cached, batch)
        case "ssru":  # what is new and how much is forgotten: both make what is handed on
            layers = 2 * config.n_layers
            return [Matmul("V", n, config.d_model, config.d_model, layers * batch, right="weight", rights=layers)]
        case _:
            products = _weighed(config, n, held + n, batch) + _scoring(config, n, cached, batch)
    if config.gate:
        gate = Matmul("out", n, config.d_model, config.n_heads, config.n_layers * batch)
        products.append(gate._replace(right="weight", rights=config.n_layers))
    return products


def _weighed(config: Config, n: int, keys: int, batch: int) -> list[Matmul]:
    """Q, K, V, the output, and every query's product with ``keys`` keys and values."""
    d, width = config.d_model, _score_width(config)
    all_heads, kv_heads = config.n_heads * config.d_head, config.n_kv_heads * config.d_head
    layers, heads = config.n_layers * batch, config.n_heads * config.n_layers * batch
    met = config.max_len if config.score == "location" else keys  # rows that a query is multiplied by
    L, groups = config.n_layers, config.n_kv_heads * config.n_layers * batch
    return [
        Matmul("Q", n, d, all_heads, layers, right="weight", rights=L),
        Matmul("K", n, d, kv_heads, layers, 0 if config.score == "location" else 2, "weight", L),  # whose scores read no key
        Matmul("V", n, d, kv_heads, layers, right="weight", rights=L),
        Matmul("scores", n, width, met, heads, 2, "kept", groups, "result"),
        Matmul("z", n, keys, config.d_head, heads, 2, "kept", groups, "left"),
        Matmul("out", n, all_heads, d, layers, right="weight", rights=L),
    ]


def _score_width(config: Config) -> int:
    """How many numbers of a query meet as many of a key."""
    return {"performer": config.features}.get(config.attention, config.d_head)


def _scoring(config: Config, n: int, cached: int, batch: int) -> list[Matmul]:
    """What other scores and relative positions multiply beside that."""
    d, d_head, products = config.d_model, config.d_head, []
    heads = config.n_heads * config.n_layers * batch
    if config.score == "general":
        products.append(Matmul("scores", n, d_head, d_head, heads))
    if config.position == "shaw":
        clipped = 2 * config.max_distance + 1
        products += [Matmul("scores", n, d_head, clipped, heads), Matmul("z", n, clipped, d_head, heads)]
    if config.position == "xl":
        distances = 2 * (cached + n - 1) + 1
        products += [
            Matmul("scores", distances, d, config.n_heads * d_head, config.n_layers, 1),  # W_R R, alike for all texts
            Matmul("scores", n, d_head, distances, heads),
        ]
    return products


def _squeezing(config: Config, n: int, batch: int) -> list[Matmul]:
    """Linformer's E K and F V."""
    heads = config.n_heads * config.n_layers * batch
    return [Matmul(part, config.rank, n, config.d_head, heads) for part in ("K", "V")]


def _kernel(config: Config, n: int, cached: int, batch: int) -> list[Matmul]:
    """Performer's features; and after a cache, reading the state and adding the new tokens to it."""
    d_head, m = config.d_head, _score_width(config)
    heads = config.n_heads * config.n_layers * batch
    products = [Matmul("scores", 2 * n, d_head, m, heads, 1)] if config.attention == "performer" else []
    if cached:
        products += [
            Matmul("scores", n, m, 1, heads), Matmul("z", n, m, d_head, heads),
            Matmul("z", m, n, d_head, heads), Matmul("z", m, n, 1, heads),
        ]  # fmt: skip
    return products


def _hashed(config: Config, n: int, keys: int, batch: int) -> list[Matmul]:
    """Reformer's: queries are the keys, and every token is turned to find its buckets."""
    heads = config.n_heads * config.n_layers * batch
    turned = Matmul("scores", keys, config.d_head, config.hashes * sum(buckets(config)) // 2, heads, 0)
    return [product for product in _weighed(config, n, keys, batch) if product.part != "K"] + [turned]


def _latent(config: Config, n: int, keys: int, batch: int) -> list[Matmul]:
    """Latent attention as its formula stands: keys and values of all ``keys`` tokens are made from their latents."""
    d, all_heads, rank, turned = config.d_model, config.n_heads * config.d_head, config.rank, _turned(config)
    layers, heads = config.n_layers * batch, config.n_heads * config.n_layers * batch
    asked = config.q_rank or d
    weights = [
        *([Matmul("Q", n, d, config.q_rank, layers)] if config.q_rank else []),
        Matmul("Q", n, asked, all_heads + config.n_heads * turned, layers),
        Matmul("K", n, d, rank + turned, layers),  # c_KV too, which values share
        Matmul("K", keys, rank, all_heads, layers),
        Matmul("V", keys, rank, all_heads, layers),
        Matmul("out", n, all_heads, d, layers),
    ]
    *before, out = (product._replace(right="weight", rights=config.n_layers) for product in weights)
    return [
        *before,
        Matmul("scores", n, config.d_head + turned, keys, heads, table="result"),
        Matmul("z", n, keys, config.d_head, heads, table="left"),
        out,
    ]


def _turned(config: Config) -> int:
    """d_R, latent attention's turned coordinates."""
    return turned_dims(config) if config.position == "rope" else 0


def parameters(config: Config) -> int:
    """One layer's self-attention: its matrices, their biases, and whatever its scores and positions have learned."""
    d, all_heads = config.d_model, config.n_heads * config.d_head
    if config.attention == "ssru":
        return (2 * d + 1) * d
    out = all_heads * d + (d if config.out_bias else 0) + ((d + 1) * config.n_heads if config.gate else 0)
    if config.attention == "latent":
        turned, rank = _turned(config), config.rank
        keys = (d + config.qkv_bias) * (rank + turned) + rank + 2 * rank * all_heads
        asking = all_heads + config.n_heads * turned
        if config.q_rank is None:
            return (d + config.qkv_bias) * asking + keys + out
        return (d + config.qkv_bias) * config.q_rank + config.q_rank + config.q_rank * asking + keys + out
    if config.attention == "lsh":
        return across(config) - d * all_heads  # queries are the keys
    squeezing = 2 * config.rank * config.max_len if config.attention == "linformer" else 0
    return across(config) + _relative(config) + squeezing


def across(config: Config) -> int:
    """One layer's cross-attention, which is plain whatever self-attention is, and knows no distances."""
    d, h, d_head = config.d_model, config.n_heads, config.d_head
    read = (h + 2 * config.n_kv_heads) * d_head
    of_score = {"general": d_head * d_head, "cosine": 1, "additive": 2 * d_head, "location": config.max_len * d_head}
    return (
        (d + config.qkv_bias) * read
        + (h * d_head + config.out_bias) * d
        + h * of_score.get(config.score, 0)
        + (2 * d_head if config.qk_norm != "none" else 0)
        + (h if config.sinks else 0)
        + ((d + 1) * h if config.gate else 0)
    )


def _relative(config: Config) -> int:
    """One layer's vectors for distances."""
    match config.position:
        case "shaw":
            return 2 * (2 * config.max_distance + 1) * config.d_head
        case "xl":
            return (config.d_model + 2) * config.n_heads * config.d_head
    return 0


def kept_values(config: Config, held: int) -> int:
    """Numbers that one layer keeps of a text, of which ``held`` tokens are still told apart.

    2 · held · h_kv · d_k keys and values; latent held · (rank + d_R), whatever the heads; linear and Performer
    h · (m · d_k + m + 1), whatever the text: S, z and their size for m features; SSRU d.
    """
    match config.attention:
        case "latent":
            return held * (config.rank + _turned(config))
        case "performer" | "linear":
            m = _score_width(config)
            return config.n_heads * (m * config.d_head + m + 1)
        case "ssru":
            return config.d_model
    return 2 * held * config.n_kv_heads * config.d_head
