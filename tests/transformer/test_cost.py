"""Closed forms against what really happens: torch's FLOP counter, the built model, a real trace, a real cache."""

import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from tests.transformer.configs import configs
from transformer import PRESETS, Cache, Config, build, cost, counter
from transformer.presets import TEXT_MODELS

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXTBOOK = {"layers.*.attention.A": lambda A: A}  # someone looks at A, so no kernel fuses it away


def on_meta(config):
    with torch.device("meta"):
        return build(config).eval()


def ids(config, n, batch=1, device="cpu"):
    return torch.randint(config.vocab_size, (batch, n), device=device)


def counted_by_torch(run) -> int:
    with FlopCounterMode(display=False) as counting, torch.no_grad():
        run()
    return counting.get_total_flops()


# ---- FLOPs ----

@pytest.mark.parametrize("name", PRESETS)
def test_known_models_cost_what_torch_counts(name):
    """Whole for one token; longer texts through two layers, since all layers are alike."""
    config = PRESETS[name]
    model = on_meta(config)
    if config.kind == "vision":
        n, images = 1 + (config.image_size // config.patch_size) ** 2, torch.zeros(1, 3, 224, 224, device="meta")
        assert counted_by_torch(lambda: model.run(images, edit=TEXTBOOK)) == sum(cost.flops(config, n).values())
        return
    longest = config.max_len if config.position == "learned" else 8192
    for n in (1, 512, longest):
        if n > 1 and config.n_layers > 2:
            config = replace(config, n_layers=2)
            model = on_meta(config)
        text = ids(config, n, device="meta")
        if config.kind == "encoder-decoder":
            source = {"source": ids(config, 77, device="meta")}
            edit = {"*.A": lambda A: A}
        else:
            source, edit = {}, TEXTBOOK
        counted = counted_by_torch(lambda: model.run(text, edit=edit, **source))
        assert counted == sum(cost.flops(config, n, source=77 if source else None).values())


@FEW
@given(configs(), st.integers(1, 12), st.integers(1, 3))
def test_any_config_costs_what_torch_counts(config, n, batch):
    model = build(config, seed=0).eval()
    text = ids(config, n, batch)
    assert counted_by_torch(lambda: model.run(text, record="*.A")) == sum(cost.flops(config, n, batch).values())


@FEW
@given(configs(kind="decoder"), st.integers(1, 9), st.integers(1, 9))
def test_reading_on_from_a_cache_costs_what_torch_counts(config, cached, n):
    model = build(config, seed=0).eval()
    cached = max(cached, config.prefix)  # which is read in one piece
    text = ids(config, cached + n)
    cache = model.run(text[:, :cached], cache=Cache.empty(config.n_layers)).cache
    counted = counted_by_torch(lambda: model.run(text[:, cached:], cache=cache, record="*.A"))
    assert counted == sum(cost.flops(config, n, cached=cached).values())


def test_the_fused_path_hides_scores_and_z_from_torchs_counter():
    """What the docstring of ``flops`` warns of; when it fails, torch has learnt the formula and the warning can go."""
    config = Config(n_layers=2)
    model, text = build(config, seed=0).eval(), ids(config, 32)
    parts = cost.flops(config, 32)
    assert counted_by_torch(lambda: model(text)) == sum(parts.values()) - parts["scores"] - parts["z"]


def test_parts_have_the_textbook_formulas():
    n, d, V, layers = 384, 512, 1000, 6
    config = Config(d_model=d, n_heads=8, n_layers=layers, vocab_size=V)
    parts = cost.flops(config, n)
    assert parts["Q"] + parts["K"] + parts["V"] + parts["out"] == layers * 8 * n * d**2
    assert parts["scores"] + parts["z"] == layers * 4 * n**2 * d
    assert parts["ffn"] == layers * 16 * n * d**2
    assert parts["logits"] == 2 * n * d * V


def test_grouped_heads_shrink_only_keys_and_values():
    mha, gqa = (cost.flops(Config(d_model=64, n_heads=8, n_kv_heads=kv), 100) for kv in (8, 2))
    assert gqa["K"] * 4 == mha["K"] and gqa["V"] * 4 == mha["V"]
    assert {part: gqa[part] for part in ("Q", "scores", "z", "out", "ffn")} == {
        part: mha[part] for part in ("Q", "scores", "z", "out", "ffn")
    }


@FEW
@given(configs(), st.integers(1, 12), st.integers(1, 2))
def test_the_counter_splits_by_part_as_predicted(config, n, batch):
    parts = cost.flops(config, n, batch)
    predicted = {"QKV": parts["Q"] + parts["K"] + parts["V"]} | {
        part: parts[part] for part in ("scores", "z", "out", "ffn", "logits")
    }
    assert counter.count(build(config, seed=0).eval(), ids(config, n, batch)) == predicted


def test_the_counter_leaves_other_threads_alone():
    """A class shares one process: counting one learner's run must not see, or touch, another's."""
    config = Config(n_layers=2)
    model, other = build(config, seed=0).eval(), build(config, seed=1).eval()
    alone = counter.count(model, ids(config, 64))
    stop = threading.Event()

    def work():
        with torch.no_grad():
            while not stop.is_set():
                other(ids(config, 16))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert all(counter.count(model, ids(config, 64)) == alone for _ in range(5))
    finally:
        stop.set()
        thread.join()


# ---- where attention overtakes the FFN ----

def test_the_plain_block_crosses_at_2d_and_4d():
    config = Config(d_model=512, n_heads=8)
    assert cost.crossover(config) == 2 * 512
    assert cost.crossover(config, projections=False) == 4 * 512


@given(st.sampled_from(sorted(TEXT_MODELS)), st.booleans())
@settings(deadline=None)
def test_at_the_crossover_attention_costs_as_much_as_the_ffn(name, projections):
    config = PRESETS[name]
    n = cost.crossover(config, projections)
    assert n == int(n)  # true of every preset, so that equality can be tested to the last FLOP
    parts = cost.flops(config, int(n))
    attention = cost.ATTENTION if projections else cost.PAIRS
    assert sum(parts[part] for part in attention) == parts["ffn"]


def test_a_block_with_a_small_ffn_is_past_the_crossover_from_the_start():
    assert cost.crossover(Config(d_model=64, n_heads=4, d_ff=16)) == 0


# ---- parameters ----

@settings(FEW, max_examples=200)
@given(configs())
def test_parameters_are_those_of_the_built_model(config):
    parts = cost.parameters(config)
    model = on_meta(config)
    assert sum(parts.values()) == sum(p.numel() for p in model.parameters())
    named = dict(model.named_parameters())
    assert parts["attention"] == sum(p.numel() for name, p in named.items() if ".attention." in name)
    assert parts["ffn"] == sum(p.numel() for name, p in named.items() if ".ffn." in name)


# ---- memory ----

def test_the_kv_cache_of_llama_2_7b_is_two_gibibytes_at_4096():
    assert cost.kv_cache_bytes(PRESETS["llama-2-7b"], 4096) == 2 * 2**30


@FEW
@given(configs(kind="decoder"), st.integers(1, 12), st.integers(1, 3))
def test_the_kv_cache_holds_what_was_predicted(config, n, batch):
    model = build(config, seed=0).eval()
    cache = model.run(ids(config, n, batch), cache=Cache.empty(config.n_layers)).cache
    held = sum(tensor.numel() for layer in cache.layers for tensor in layer.tensors)
    assert cost.kv_cache_bytes(config, n, batch, bytes_per_value=4) == 4 * held


@FEW
@given(configs(), st.integers(1, 12), st.sampled_from(["*", "*.A", "layers.0.*", "embed", "*.ffn.*"]))
def test_a_trace_weighs_what_was_predicted(config, n, record):
    trace = build(config, seed=0).eval().run(ids(config, n), record=record).trace
    assert cost.trace_bytes(config, n, record) == 4 * sum(tensor.numel() for tensor in trace.values())


@FEW
@given(configs(), st.integers(1, 200_000))
def test_longest_is_the_last_that_fits(config, budget):
    n = cost.longest(config, "*", budget)
    assert 0 <= n <= config.max_len
    assert n == 0 or cost.trace_bytes(config, n) <= budget
    assert n == config.max_len or cost.trace_bytes(config, n + 1) > budget


def test_several_patterns_count_a_tensor_once():
    config = Config()
    assert cost.trace_bytes(config, 9, ("*.A", "layers.0.attention.A")) == cost.trace_bytes(config, 9, "*.A")


# ---- refusals ----

@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: cost.flops(c, 0), "n is 0"),
        (lambda c: cost.flops(c, 2.5), "n is 2.5"),
        (lambda c: cost.flops(c, True), "n is True"),
        (lambda c: cost.flops(c, 8, batch=0), "batch is 0"),
        (lambda c: cost.flops(c, 8, cached=-1), "cached is -1"),
        (lambda c: cost.kv_cache_bytes(c, 0), "n is 0"),
        (lambda c: cost.trace_bytes(c, 0), "n is 0"),
        (lambda c: cost.trace_bytes(c, 8, "layers.9.attention.A"), "layers.9.attention.A"),
        (lambda c: cost.longest(c, "nothing", 100), "nothing"),
    ],
)
def test_numbers_out_of_range_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call(Config())


def test_an_encoder_keeps_no_cache():
    encoder = PRESETS["bert-base"]
    with pytest.raises(ValueError, match="no cache"):
        cost.kv_cache_bytes(encoder, 10)
    with pytest.raises(ValueError, match="no cache"):
        cost.flops(encoder, 10, cached=3)
    assert cost.flops(encoder, 10)["logits"] == 0
