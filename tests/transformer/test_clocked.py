"""A model on the clock: what it reports, and what the least time is."""

import pytest

import transformer
from transformer import cost
from transformer.experiments import clocked
from transformer.roofline import Machine


def test_the_machine_comes_first_and_then_each_length():
    model, _ = transformer.load("tiny")
    machine, *found = clocked.clock(model, [4, 8], rounds=1)
    assert isinstance(machine, Machine) and machine.flops > 0 and machine.bandwidth > 0
    assert [one.n for one in found] == [4, 8] and all(one.read > 0 and one.write > 0 for one in found)


def test_the_least_time_to_write_is_all_weights_once_where_memory_is_the_bound():
    config = transformer.PRESETS["smollm2-135m"]
    slow = Machine("slow memory", 1e15, 1e9)
    low = clocked.least(config, 64, slow)
    touched = 4 * sum(cost.parameters(config).values())  # tied: the table is read as the last matrix
    assert low.write == pytest.approx((touched + 4 * cost.kv_cache_bytes(config, 64) / 2) / 1e9, rel=0.02)
    assert clocked.least(config, 64, Machine("slow arithmetic", 1e9, 1e15)).read == pytest.approx(
        sum(cost.flops(config, 64).values()) / 1e9
    )


def test_the_error_is_a_geometric_mean():
    assert clocked.error([2.0, 8.0], [1.0, 1.0]) == pytest.approx(4.0)
