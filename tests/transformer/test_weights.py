"""The table of weights is the built model's, the rule of thumb and what it is off by add up to the exact number."""

from math import prod

import pytest
import torch
from hypothesis import given, settings

from tests.transformer.configs import configs
from transformer import PRESETS, Config, build, cost, weights


def named(model):
    """The state dict's names and shapes, layers and experts as the table calls them."""
    found = {}
    for name, parameter in model.named_parameters():
        path = name.split(".")
        for k in range(1, len(path)):
            if path[k].isdigit() and path[k - 1] in ("blocks", "experts"):
                path[k] = {"blocks": "{i}", "experts": "{e}"}[path[k - 1]]
        shapes = found.setdefault(".".join(path), [])
        shapes.append(tuple(parameter.shape))
    return found


def check(config):
    with torch.device("meta"):
        model = build(config)
    expected, table = named(model), weights.weights(config)
    assert {one.name: [one.shape] * one.times for one in table} == expected
    assert sum(one.total for one in table) == sum(cost.parameters(config).values())
    assert sum(weights.rule_of_thumb(config).values()) == sum(one.total for one in table)


@pytest.mark.parametrize("name", PRESETS)
def test_every_weight_of_every_known_model(name):
    check(PRESETS[name])


@settings(max_examples=40, deadline=None)
@given(configs())
def test_every_weight_of_any_config(config):
    check(config)


@pytest.mark.parametrize("name", PRESETS)
def test_symbols_stand_for_the_shapes(name):
    sizes = weights.sizes(PRESETS[name])
    for one in weights.weights(PRESETS[name]):
        assert not one.axes or tuple(prod(sizes[s] for s in axis.split("·")) for axis in one.axes) == one.shape, one
        assert one.axes or len(one.shape) == 1, f"{one.name} is a matrix without symbols"


def test_the_rule_is_exact_for_a_plain_block_without_biases():
    config = Config(d_model=64, n_heads=4, n_layers=3, norm="none", final_norm=False, position="none")
    terms = weights.rule_of_thumb(config)
    assert terms == {"rule": 12 * 3 * 64**2, "shared": 0, "attention": 0, "ffn": 0, "cross": 0,
                     "tables": 256 * 64, "end": 0, "small": 0}  # fmt: skip


def test_what_the_rule_leaves_out_has_its_reason():
    llama = weights.rule_of_thumb(PRESETS["llama-3-8b"])
    d, layers = 4096, 32
    assert llama["attention"] == -layers * 2 * (d - 1024) * d  # eight key/value heads of 128 in place of 32
    assert llama["ffn"] == layers * (3 * 14_336 - 8 * d) * d
    assert llama["tables"] == llama["end"] == 128_256 * d
    albert = weights.rule_of_thumb(PRESETS["albert-base"])
    assert albert["rule"] + albert["shared"] == 12 * 768**2
    base = weights.rule_of_thumb(PRESETS["transformer-base"])
    assert base["rule"] == 12 * 12 * 512**2 and base["cross"] == 6 * 4 * 512**2


def test_known_sizes_are_those_that_people_quote():
    exact = {name: sum(one.total for one in weights.weights(PRESETS[name])) for name in PRESETS}
    assert exact["gpt2"] == 124_439_808
    assert round(exact["bert-base"] / 1e6) == 109 and exact["bert-base"] + 768 * 768 + 768 == 109_482_240  # with its pooler
    assert 62e6 < exact["transformer-base"] < 66e6
    assert exact["llama-2-7b"] == 6_738_415_616
    assert weights.bytes_at(PRESETS["llama-2-7b"], 4) == exact["llama-2-7b"] // 2


def test_real_checkpoints_hold_these_tensors():
    """The tiny one always; what is fetched is counted where it is (tests/transformer/test_pretrained.py)."""
    import transformer

    model, _ = transformer.load("tiny")
    table = weights.weights(model.config)
    assert sum(one.times for one in table) == len(list(model.parameters()))
    assert sum(one.total for one in table) == sum(p.numel() for p in model.parameters())
    storages = {p.untyped_storage().data_ptr() for p in model.parameters()}
    assert len(storages) == len(list(model.parameters()))  # each counted once, none twice
