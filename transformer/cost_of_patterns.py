"""How many query–key pairs an attention pattern has, and how many its sparse computation scores. See ``cost``."""

import torch

from transformer import masks, sparse
from transformer.config import Config
from transformer.sense import WEIGHED


def pairs(config: Config, n: int) -> int:
    """The pairs that the mask of one head allows in a text of ``n`` tokens: what its picture shows in colour.

    With T(n, w) = Σ_q min(q + 1, w), the pairs of a causal window (T(n, n) = n(n + 1)/2), and p tokens of prefix:
        full                   T(n, n), or n² in both directions; Linformer n · rank
        window                 T(n, w), or 2 T(n, w) − n
        dilated, strided       each residue class as a text of its own; strided a window of r besides
        longformer             T(n, w + g), or g n + g (n − g) + 2 T(n − g, w) − (n − g)
        bigbird                that and T(n − w − g, r) drawn ones; in both directions those that fall into the text
        with a prefix          p n, and those of the n − p tokens behind it
    Raises ValueError where there is no table (linear attention, Performer) or the text decides (LSH).
    """
    if config.attention == "linformer":
        return n * config.rank
    if config.attention not in (*WEIGHED, "latent"):
        raise ValueError(f"attention={config.attention!r} has no mask whose pairs could be counted without a text.")
    p = min(config.prefix, n)
    return p * n + _allowed(config, n - p, p) + _drawn(config, n)


def scored(config: Config, n: int) -> int:
    """The pairs that one head scores when nobody looks at A: the blocks of ``sparse.plan``, masked corners included; of
    LSH every chunk with its two; all n² where the pattern is left to a mask."""
    if config.attention == "lsh":
        return config.hashes * -(-n // config.chunk) * config.chunk * 2 * config.chunk
    if config.attention == "linformer":
        return n * config.rank
    if not sparse.serves(config) or n < sparse.worthwhile(config):
        return n * n
    r = config.dilation or 1
    lengths = [len(range(first, n, r)) for first in range(min(r, n))]
    if config.attention == "strided":
        return _planned(config, n) + sum(length**2 for length in lengths)
    return sum(_planned(config, length) for length in lengths)


def _planned(config: Config, n: int) -> int:
    return sum(blocks.pairs(config) for blocks in sparse.plan(config, n))


def _triangle(n: int, width: int) -> int:
    """T(n, w) = Σ_{q < n} min(q + 1, w)."""
    m = max(0, min(width, n))
    return m * max(0, n) - m * (m - 1) // 2


def _band(config: Config, n: int, width: int) -> int:
    return _triangle(n, width) if config.kind == "decoder" else 2 * _triangle(n, width) - n


def _classes(config: Config, n: int, width: int | None) -> int:
    """The pairs within every residue class mod r."""
    r = config.dilation
    lengths = (n // r + 1, n % r), (n // r, r - n % r)
    return sum(times * _band(config, length, width or length) for length, times in lengths)


def _allowed(config: Config, n: int, before: int) -> int:
    """Among the n tokens behind the prefix; ``before`` of the global ones may lie in it."""
    match config.attention:
        case "window":
            return _band(config, n, config.window)
        case "dilated":
            return _classes(config, n, config.window)
        case "strided":
            return _band(config, n, config.dilation) + _classes(config, n, None) - n
        case "longformer" | "bigbird":
            g = min(max(0, config.global_tokens - before), n)
            if config.kind == "decoder":
                return _triangle(n, config.window + g)
            return g * n + g * (n - g) + _band(config, n - g, config.window)
    return _band(config, n, n)


def _drawn(config: Config, n: int) -> int:
    if config.attention != "bigbird":
        return 0
    first = max(config.global_tokens, config.prefix)
    if config.kind == "decoder":
        return _triangle(n - config.window - first, config.random_keys)
    keys = masks.drawn(config, torch.arange(n))[config.global_tokens :]
    return int(((keys >= 0) & (keys < n)).sum())
