"""What a model costs: closed forms, computed from its config alone, nothing allocated.

Each function is one line a part, so that a variant adds its line and no more.
"""

from collections import Counter
from collections.abc import Iterable
from math import prod

from transformer import names
from transformer.config import Config
from transformer.tap import RecordingTap


def trace_bytes(config: Config, n: int, record: str | Iterable[str] = ("*",), bytes_per_value: int = 4) -> int:
    """Memory of what ``model.run(ids, record=record)`` would keep for one text of ``n`` tokens, in bytes.

    Σ over recorded names of the product of the tensor's axes (``transformer.names.shape``), times ``bytes_per_value``.
    A tensor that shares its storage with another (``resid_post`` and the next ``resid_pre``) counts twice: an upper bound.
    Raises ValueError when a pattern matches nothing, as ``run`` does.
    """
    _positive(n=n, bytes_per_value=bytes_per_value)
    return bytes_per_value * _values(config, n, _recorded(config, record))


def longest(config: Config, record: str | Iterable[str], budget_bytes: int, bytes_per_value: int = 4) -> int:
    """The most tokens whose trace fits into ``budget_bytes``; never above ``config.max_len``, 0 when one does not fit."""
    _positive(bytes_per_value=bytes_per_value)
    kept = _recorded(config, record)
    fits, too_long = 0, config.max_len + 1  # the trace grows with n, so halve the interval between them
    while too_long - fits > 1:
        n = (fits + too_long) // 2
        if bytes_per_value * _values(config, n, kept) <= budget_bytes:
            fits = n
        else:
            too_long = n
    return fits


def _recorded(config: Config, record: str | Iterable[str]) -> Counter[str]:
    """How many tensors of each glossary entry a recording keeps."""
    everything = names.of(config)
    tap = RecordingTap(record, names=everything)
    return Counter(names.template(name) for name in everything if tap.wants(name))


def _values(config: Config, n: int, kept: Counter[str]) -> int:
    return sum(count * prod(names.shape(name, config, n)) for name, count in kept.items())


def _positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1.")
