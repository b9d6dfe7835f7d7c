"""Training memory and the roofline: against autograd's own saved tensors, torch's counter, and numbers by hand."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from tests.transformer.configs import configs
from transformer import PRESETS, Config, build, cost, memory, roofline

FEW = settings(max_examples=30, deadline=None)


@FEW
@given(configs())
def test_backward_costs_what_torch_counts(config):
    model = build(config, seed=0)
    ids = torch.randint(config.vocab_size, (2, 5))
    output = model.run(ids, record="*.A", gradients=True).output
    with FlopCounterMode(display=False) as counter:
        output.sum().backward()
    assert sum(cost.backward_flops(config, 5, batch=2).values()) == counter.get_total_flops()


def test_activations_of_fake_tensors_are_those_of_a_real_step():
    """The same count, on real tensors."""
    config = Config(d_model=32, n_layers=2, vocab_size=50)
    model, ids = build(config, seed=0), torch.randint(50, (3, 7))
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    real = memory._saved(lambda: model.run(ids, record="*.A", gradients=True).output, own)
    assert memory.activation_bytes(config, 7, 3, textbook=True) == real


def test_the_textbook_path_keeps_n_squared_and_the_fused_one_does_not():
    config = Config(d_model=32, n_layers=1, n_heads=4)

    def bend(textbook: bool) -> float:
        """The second difference over n = 64, 128, 192: twice the quadratic coefficient times 64²."""
        low, mid, high = (memory.activation_bytes(config, n, textbook=textbook) for n in (64, 128, 192))
        return high - 2 * mid + low

    assert bend(True) >= 4 * 4 * 2 * 64**2  # at least A of four heads, four bytes
    assert bend(False) == 0


def test_activations_grow_with_the_batch_and_nothing_else_does():
    config = Config(d_model=32)
    one, two = memory.training(config, 16, 1), memory.training(config, 16, 2)
    assert one[:3] == two[:3]
    assert one.activations < two.activations <= 2 * one.activations


def test_adamw_holds_eight_bytes_a_parameter():
    config = Config(d_model=32, vocab_size=50)
    model = build(config, seed=0)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    optimiser.step()
    moments = sum(t.nbytes for s in optimiser.state.values() for t in s.values() if t.dim())
    held = memory.training(config, 4)
    assert held.optimiser == moments
    assert held.weights == held.gradients == sum(p.nbytes for p in model.parameters())


def test_llama_2_7b_decodes_at_the_speed_of_its_memory():
    """13.5 GB of 16-bit weights through 2.039 TB/s are 6.6 ms a token, whatever the arithmetic."""
    config = PRESETS["llama-2-7b"]
    step = roofline.roofline(config, 1, roofline.MACHINES["A100"], cached=1)
    assert all(part.bound == "memory" for part in step.values())
    weights = sum(cost.parameters(config).values()) - config.vocab_size * config.d_model  # the table is looked up
    assert roofline.seconds(step) == pytest.approx(weights * 2 / 2.039e12, rel=0.01)


def test_a_long_prefill_is_bound_by_arithmetic():
    parts = roofline.roofline(PRESETS["llama-2-7b"], 2048, roofline.MACHINES["A100"])
    assert parts["ffn"].bound == parts["Q"].bound == "compute"
    assert parts["ffn"].seconds == parts["ffn"].flops / 312e12


def test_a_batch_shares_the_weights_it_reads():
    config, machine = PRESETS["llama-2-7b"], roofline.MACHINES["A100"]
    one, many = (roofline.roofline(config, 1, machine, batch=b, cached=128)["ffn"] for b in (1, 16))
    assert many.flops == 16 * one.flops and many.traffic < 1.1 * one.traffic


def test_this_machine_can_be_measured():
    machine = roofline.measure(size=128, rounds=3)
    assert machine.flops > 1e8 and machine.bandwidth > 1e7 and machine.ridge == machine.flops / machine.bandwidth


@pytest.mark.parametrize("textbook", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "smollm2-135m", "minilm-l6", "transformer-base"])
def test_the_law_of_activations_is_what_counting_gives(name, textbook):
    depth = {"n_layers": 3} | ({"n_encoder_layers": 3} if name == "transformer-base" else {})
    config = dataclasses.replace(PRESETS[name], **depth)
    law = memory.activation_law(config, "textbook" if textbook else "fused")
    for n, batch in ((2, 1), (7, 3), (100, 2), (301, 1)):
        assert law(n, batch) == memory.activation_bytes(config, n, batch, textbook)


def test_recomputing_keeps_the_layers_inputs_and_one_layer():
    """Against torch's own checkpointing: what it keeps after the forward pass, and then one layer's activations."""
    from torch.utils.checkpoint import checkpoint

    config = Config(d_model=32, n_layers=5, n_heads=4, vocab_size=50, position="rope")
    model, ids = build(config, seed=0), torch.randint(50, (2, 24))
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    whole = memory._saved(lambda: model(ids), own)
    for block in model.stack.blocks:
        forward = block.forward
        block.forward = lambda x, *rest, forward=forward, **named: checkpoint(
            lambda x: forward(x, *rest, **named), x, use_reentrant=True
        )
    between = memory._saved(lambda: model(ids), own)  # the layers' inputs, and what lies before and after the stack
    layer = (whole - memory.activation_bytes(dataclasses.replace(config, n_layers=1), 24, 2)) / 4
    assert memory.activation_law(config, "recomputed")(24, 2) == pytest.approx(between + layer, rel=0.02)
    assert between + layer < whole / 2


def test_attention_without_a_law_is_refused():
    with pytest.raises(ValueError, match="follow no law in n"):
        memory.activation_law(Config(attention="window", window=8))
    with pytest.raises(ValueError, match="there is no 'half' way"):
        memory.activation_law(Config(), "half")


def test_serving_is_weights_and_the_cache():
    config = PRESETS["llama-3-8b"]
    held = memory.serving(config, 8192, batch=4, weight_bits=4)
    assert held.weights == sum(p.numel() for p in _on_meta(config).parameters()) // 2
    assert held.keys == held.values == 4 * 8192 * 8 * 128 * 32 * 2
    assert memory.serving(PRESETS["bert-base"], 512).keys == 0


def test_the_longest_text_fits_and_one_token_more_does_not():
    for name, batch in (("llama-3-8b", 1), ("gpt2", 64), ("qwen2-7b", 8)):
        config, budget = PRESETS[name], 24 * 2**30
        n = memory.longest_served(config, budget, batch)
        assert sum(memory.serving(config, n, batch)) <= budget < sum(memory.serving(config, n + 1, batch))
    assert memory.longest_served(PRESETS["llama-3-70b"], 24 * 2**30) == 0
    assert memory.longest_served(PRESETS["mistral-7b"], 24 * 2**30, most=10**6) == 10**6  # its window holds 4,095


def _on_meta(config):
    with torch.device("meta"):
        return build(config)


def test_a_training_step_is_forward_backward_and_the_update():
    config = PRESETS["gpt2"]
    parts = roofline.training_work(config, 128, 4)
    P = sum(cost.parameters(config).values())
    expected = sum(cost.flops(config, 128, 4).values()) + sum(cost.backward_flops(config, 128, 4).values()) + 12 * P
    assert sum(p.flops for p in parts.values()) == expected
    assert parts["optimiser"].traffic == 28 * P and parts["optimiser"].intensity < 1
    assert parts["ffn"].traffic == 3 * roofline.work(config, 128, 4)["ffn"].traffic


@pytest.mark.parametrize("kept", ["fused", "textbook", "recomputed"])
def test_the_longest_text_to_train_on_fits_and_one_token_more_does_not(kept):
    config = PRESETS["smollm2-135m"]
    law = memory.activation_law(config, kept)
    n = memory.longest_trained(config, 24 * 2**30, law, batch=4, bytes_per_value=2, master=True)
    assert sum(memory.training(config, n, 4, 2, True, law)) <= 24 * 2**30 < sum(memory.training(config, n + 1, 4, 2, True, law))
    assert memory.longest_trained(PRESETS["llama-3-8b"], 24 * 2**30, law) == 0  # 128 GB before the first activation


def test_a_law_and_counting_give_one_training_memory():
    config = dataclasses.replace(PRESETS["gpt2"], n_layers=2)
    assert memory.training(config, 33, 2) == memory.training(config, 33, 2, law=memory.activation_law(config))
