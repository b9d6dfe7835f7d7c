"""Measured costs: what is measured is the pattern's own computation, and its memory grows as the pattern does."""

import pytest

from transformer import Config
from transformer.experiments.timing import attention_of, measured

BASE = dict(d_model=64, n_heads=2, position="none", max_len=2048)


def test_a_windows_memory_grows_with_n_and_a_full_tables_with_its_square():
    window = Config(attention="window", window=32, **BASE)
    small, large = measured(window, 1024, 1), measured(window, 2048, 1)
    assert 0 < small.seconds and small.bytes < large.bytes < 2.6 * small.bytes
    table = Config(position="alibi", **{k: v for k, v in BASE.items() if k != "position"})
    assert measured(table, 1024, 1).bytes > 2.5 * measured(table, 512, 1).bytes


def test_it_has_no_projections():
    assert not list(attention_of(Config(**BASE)).parameters())
    with pytest.raises(ValueError, match="without projections"):
        attention_of(Config(n_kv_heads=1, **BASE))
