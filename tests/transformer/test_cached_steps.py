"""Steps with and without the cache: the same logits to 1e-5, FLOPs as torch counts them, one row instead of n."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import transformer
from transformer import Cache, Config
from transformer.experiments import cached_steps
from transformer.tap import RecordingTap

GROUPED = Config(vocab_size=50, d_model=32, n_layers=3, n_heads=4, n_kv_heads=2, d_ff=48, gated=True, activation="silu")


def test_with_and_without_the_cache_agree_to_1e_5_on_the_tiny_model():
    model, tokenizer = transformer.load("tiny")
    grown = cached_steps.grow(model, tokenizer.encode("Two households, both alike in dignity"), 12)
    assert len(grown.apart) == 13 and max(grown.apart) < 1e-5
    assert grown.next[:-1] == grown.ids[grown.prompt :]  # what each step found most probable is what came next
    full = model.run(list(grown.ids)).output[0]
    assert list(grown.next) == full[grown.prompt - 1 :].argmax(-1).tolist()


def test_with_and_without_the_cache_agree_to_1e_5_on_smollm2(smollm2):
    model, tokenizer = smollm2
    grown = cached_steps.grow(model, tokenizer.encode("The capital of France is"), 6)
    assert len(grown.apart) == 7 and max(grown.apart) < 1e-5


def test_float64_agrees_to_1e_12():
    model = transformer.build(GROUPED, seed=0).eval().double()
    assert max(cached_steps.grow(model, [1, 2, 3], 8).apart) < 1e-12


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_flops_of_a_step_are_what_torch_counts(n):
    model, text = transformer.build(GROUPED, seed=0).eval(), torch.arange(n)[None]
    said = cached_steps.step_flops(GROUPED, n)

    def counted(new, cache):
        tap = RecordingTap("*.A", names=transformer.names.of(GROUPED))  # the fused kernel's FLOPs are not counted
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.extend(new, cache, last_only=True, tap=tap)
        return counter.get_total_flops()

    with torch.no_grad():
        held = model.extend(text[:, :-1], Cache.empty(3))[1] if n > 1 else Cache.empty(3)
    assert counted(text, Cache.empty(3)) == said.without
    assert counted(text[:, -1:], held) == said.kept


def test_flops_follow_the_closed_form():
    c, n = GROUPED, 1000
    weights = c.n_layers * (2 * c.d_model * c.d_head * (c.n_heads + c.n_kv_heads) + 3 * c.d_model * c.d_ff)
    logits, pairs = 2 * c.d_model * c.vocab_size, 4 * c.n_heads * c.d_head * c.n_layers
    assert cached_steps.step_flops(c, n) == (2 * n * weights + n * n * pairs + logits, 2 * weights + n * pairs + logits)


def test_rows_are_what_the_trace_holds():
    model = transformer.build(GROUPED, seed=0).eval()
    run = model.run([1, 2, 3, 4], record=("layers.0.attention.[QA]",))
    assert cached_steps.rows(4, kept=False) == (run.trace["layers.0.attention.Q"].shape[2],
                                                int((run.trace["layers.0.attention.A"][0, 0] > 0).sum()))
    cache = model.run([1, 2, 3], cache=Cache.empty(3)).cache
    run = model.run([4], cache=cache, record=("layers.0.attention.[QA]",))
    assert cached_steps.rows(4, kept=True) == (run.trace["layers.0.attention.Q"].shape[2],
                                               int((run.trace["layers.0.attention.A"][0, 0] > 0).sum()))


def test_timings_are_positive_one_for_each_length_and_bounded():
    model = transformer.build(GROUPED, seed=0).eval()
    found = cached_steps.timings(model, [4, 8], rounds=100, budget=0.05)
    assert [timing.n for timing in found] == [4, 8]
    assert all(seconds > 0 for timing in found for seconds in timing.seconds)


def test_a_long_text_is_faster_with_the_cache():
    model = transformer.build(Config(vocab_size=50, d_model=64, n_layers=4, n_heads=4), seed=0).eval()
    (timing,) = cached_steps.timings(model, [512], rounds=3)
    assert timing.seconds.kept * 3 < timing.seconds.without
