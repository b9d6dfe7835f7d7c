"""Training memory and the roofline: against autograd's own saved tensors, torch's counter, and numbers by hand."""

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
