"""The calculator: sums, laws of memory, one bill for every model, and what a survey of all settings says at once."""

import dataclasses
import itertools
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tests.transformer.configs import configs
from transformer import PRESETS, Config, build, calculator, cost, counter, memory, roofline
from transformer.calculator import BITS, PARTS, bill

A100 = roofline.MACHINES["A100"]
GPT2, LLAMA = PRESETS["gpt2"], PRESETS["llama-3-8b"]


def total(parts, what):
    return sum(getattr(part, what) for part in parts.values())


@pytest.mark.parametrize("name", PRESETS)
def test_every_model_doing_and_precision_is_the_librarys_and_sums(name):
    config = PRESETS[name]
    n = config.max_len if config.kind == "vision" else 100
    source = n if config.kind == "encoder-decoder" else None
    P = sum(cost.parameters(config).values())
    for doing, weight_bits, cache_bits in itertools.product(calculator.doings(config), BITS, BITS):
        parts = bill(config, doing, n, 3, weight_bits, cache_bits)
        assert list(parts) == list(PARTS) and total(parts, "parameters") == P
        new, cached = {"write": (1, n), "write anew": (n + 1, 0)}.get(doing, (n, 0))
        flops = sum(cost.flops(config, new, 3, cached, source).values())
        value = 4 if weight_bits == 32 else 2
        if doing == "train":
            assert total(parts, "flops") == flops + sum(cost.backward_flops(config, n, 3, source).values()) + 12 * P
            of = memory.training(config, n, 3, value, master=value == 2, law=lambda *_: 0)
            assert total(parts, "held") == sum(of)
            assert (parts["gradients"].held, parts["optimiser"].held) == (of.gradients, of.optimiser)
            continue
        assert total(parts, "flops") == flops
        cache = cache_bits if calculator.keeps(config, doing) else 8 * value
        work = roofline.work(config, new, 3, cached, value, source, weight_bits, cache, fused=True)
        assert total(parts, "moved") == sum(part.traffic for part in work.values())
        kept = parts["keys"].held + parts["values"].held
        assert total(parts, "held") - kept - parts["activations"].held == pytest.approx(P * weight_bits / 8, abs=len(PARTS))
        if calculator.keeps(config, doing) and source is None:
            assert kept == pytest.approx(cost.kv_cache_bytes(config, n, 3, 1) * cache_bits / 8, abs=1)
        least = calculator.seconds(parts, A100)
        assert roofline.seconds(least) == pytest.approx(sum(max(p.flops / A100.flops, p.moved / A100.bandwidth) for p in parts.values()))


@pytest.mark.parametrize("name", ["gpt2", "smollm2-135m", "minilm-l6", "llama-3-8b", "qwen2-0.5b", "albert-base", "mistral-7b"])
def test_flops_are_torchs_count_on_the_textbook_path(name):
    """Without weights: a model on the meta device. Two layers stand for all, which are alike."""
    config = dataclasses.replace(PRESETS[name], n_layers=2)
    with torch.device("meta"):
        counted = counter.count(build(config).eval(), list(range(64)))
    parts = bill(config, "read", 64)
    ours = {"QKV": sum(parts[p].flops for p in "QKV"), "embed": parts["embedding"].flops}
    ours |= {part: parts[part].flops for part in ("scores", "z", "out", "ffn", "logits")}
    assert {p: f for p, f in ours.items() if f} == {p: f for p, f in counted.items() if f}
    whole = bill(PRESETS[name], "read", 64)
    assert whole["ffn"].flops * 2 == parts["ffn"].flops * PRESETS[name].n_layers


@settings(max_examples=40, deadline=None)
@given(configs(), st.integers(1, 9), st.integers(1, 3))
def test_random_configs_sum_to_the_closed_forms(config, n, batch):
    parts = bill(config, "read", n, batch)
    assert total(parts, "flops") == sum(cost.flops(config, n, batch).values())
    assert total(parts, "parameters") == sum(cost.parameters(config).values())
    assert all(number >= 0 for part in parts.values() for number in part)


@pytest.mark.parametrize("name", ["gpt2", "smollm2-135m", "llama-3-8b", "mistral-7b"])
def test_writing_reads_each_weight_once_a_step_whatever_the_batch_and_each_texts_cache(name):
    config, n = PRESETS[name], 4095
    matrices = sum(w.total for w in calculator.weights.weights(config) if len(w.shape) == 2)
    table = 0 if config.tie_embeddings else config.vocab_size * config.d_model  # it is looked up
    positions = config.max_len * config.d_model if config.position == "learned" else 0
    for batch in (1, 16):
        read = roofline.values(config, 1, batch, n, fused=True)
        assert sum(v.weights for v in read.values()) == matrices - table - positions
        old_and_new = cost.kv_cache_bytes(config, n, batch, 1) + cost.kv_cache_bytes(config, 1, batch, 1)
        written = cost.kv_cache_bytes(config, 1, batch, 1)
        assert sum(v.kept for v in read.values()) == old_and_new + written


def test_query_heads_of_a_group_read_their_keys_once():
    """The intensity of attention over a cache is the heads of a group, at any batch."""
    for batch in (1, 64):
        step = bill(LLAMA, "write", 2**17, batch)
        assert step["scores"].flops / step["scores"].moved == pytest.approx(32 / 8, rel=0.01)


def test_a_batch_scales_the_cache_and_not_the_weights():
    one, many = (bill(LLAMA, "write", 4096, batch) for batch in (1, 8))
    assert many["keys"].held == 8 * one["keys"].held and many["ffn"].held == one["ffn"].held
    assert many["values"].held == LLAMA.n_layers * 8 * 4096 * 8 * 128 * 2
    assert many["ffn"].moved < 1.01 * one["ffn"].moved


def test_precision_is_of_its_part_alone():
    full, small = bill(LLAMA, "write", 4096, 1, 16, 16), bill(LLAMA, "write", 4096, 1, 4, 16)
    assert small["ffn"].held * 4 == full["ffn"].held and small["keys"] == full["keys"]
    eight = bill(LLAMA, "write", 4096, 1, 16, 8)
    assert eight["keys"].held * 2 == full["keys"].held and eight["ffn"] == full["ffn"]
    assert eight["scores"].moved == pytest.approx(full["scores"].moved / 2, rel=0.01)


def test_experts_are_read_as_far_as_they_are_needed():
    mixtral = PRESETS["mixtral-8x7b"]
    assert cost.experts_read(mixtral, 1) == 2 and cost.experts_read(mixtral, 1000) == pytest.approx(8)
    assert cost.experts_read(mixtral, 2) == pytest.approx(3.5)  # a second token finds one of its two among the first's, or not
    one, long = (bill(mixtral, "read", n)["ffn"] for n in (1, 512))
    assert one.moved == pytest.approx(one.parameters * 2 * 2 / 8, rel=0.01) and long.moved > long.parameters * 2


def test_without_a_cache_everything_is_read_again():
    n = 1000
    anew, cached = bill(GPT2, "write anew", n), bill(GPT2, "write", n)
    assert total(anew, "flops") == sum(cost.flops(GPT2, n + 1).values()) > 500 * total(cached, "flops")
    assert anew["keys"].held == 0 < cached["keys"].held


def test_what_passes_is_really_there_at_once():
    """Every tensor that a run makes is watched (no memory is needed for it): at some moment at least so many bytes live."""
    for name, most in (("gpt2", 4), ("llama-3.2-1b", 3), ("minilm-l6", 4)):
        config = dataclasses.replace(PRESETS[name], n_layers=2)
        with torch.device("meta"), torch.no_grad():
            model, ids = build(config).eval(), torch.zeros(3, 200, dtype=torch.long)
            with _Live(model) as live:
                model(ids)
        least = 4 * calculator.passing(config, "read", 200, 3)
        assert least <= live.most <= most * least, name


class _Live(TorchDispatchMode):
    """The most bytes of results that lived at one time."""

    def __init__(self, model):
        super().__init__()
        self.now = self.most = 0
        self.seen = {p.untyped_storage()._cdata: 0 for p in model.parameters()}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.seen:
                    self.seen[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage._cdata)
        self.most = max(self.most, self.now)
        return result

    def _gone(self, key):
        self.now -= self.seen.pop(key)


@pytest.mark.parametrize("name", ["smollm2-135m", "transformer-base", "mixtral-8x7b", "minilm-l6"])
def test_a_survey_says_what_each_bill_says(name):
    config, lengths, batches = PRESETS[name], [16, 100, 512], [1, 4, 64]
    for doing in calculator.doings(config):
        def law(n, batch):
            return 4 * n * batch * 10

        survey = calculator.survey(config, doing, lengths, batches, law)
        least, by_memory = survey.seconds(A100)
        for (w, weight), (c, cache), (b, batch), (i, n) in itertools.product(*map(enumerate, (BITS, BITS, batches, lengths))):
            if (w + c + b + i) % 3:
                continue
            parts = bill(config, doing, n, batch, weight, cache, law)
            alone = calculator.seconds(parts, A100)
            assert float(least[:, w, c, b, i].sum()) == pytest.approx(roofline.seconds(alone), rel=1e-9)
            assert {part for p, part in enumerate(PARTS) if by_memory[p, w, c, b, i]} == {
                part for part, of in alone.items() if of.bound == "memory"}
            for p, part in enumerate(parts.values()):
                assert survey.parameters[p] == part.parameters and survey.flops[p, 0, 0, b, i] == part.flops
                assert float(survey.moved[:, p, w, c, b, i].sum()) == pytest.approx(part.moved, rel=1e-9, abs=1)
                assert float(survey.held[p, w, c, b, i]) == pytest.approx(part.held, rel=1e-9, abs=1)


def test_what_makes_no_sense_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="cannot write; it can read and train"):
        bill(PRESETS["bert-base"], "write", 10)
    with pytest.raises(ValueError, match="3 bits a value are not counted here; there are 32, 16, 8, 4"):
        bill(GPT2, "read", 10, weight_bits=3)


def test_activations_follow_the_law_and_images_have_one():
    law = memory.activation_law(GPT2)
    assert bill(GPT2, "train", 128, 2, 32, law=law)["activations"].held == law(128, 2)
    vit = dataclasses.replace(PRESETS["vit-base"], n_layers=3)
    assert memory.activation_law(vit)(197, 3) == memory.activation_bytes(vit, 197, 3)


def test_a_config_is_made_for_one_text():
    assert bill(Config(), "read", 8)["embedding"].parameters == 256 * 128
