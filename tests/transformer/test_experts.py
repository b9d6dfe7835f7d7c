"""Mixture of experts: against Hugging Face's, against the dense network it generalises, and by its own definitions."""

import dataclasses
import math

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.granitemoeshared.modeling_granitemoeshared import GraniteMoeSharedMLP, GraniteMoeSharedMoE
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

import transformer
from transformer import Cache, Config, cost, counter, experts, names
from transformer.experts import MixtureOfExperts, balance_loss, z_loss
from transformer.feedforward import FeedForward
from transformer.tap import OFF, RecordingTap

MIX = Config(
    vocab_size=40, d_model=16, n_heads=2, d_ff=24, experts=5, experts_per_token=2, gated=True, activation="silu"
)  # fmt: skip


@st.composite
def mixtures(draw, **options) -> Config:
    n = draw(st.integers(2, 6))
    chosen = dict(
        vocab_size=30, d_model=8, n_heads=2, n_layers=draw(st.integers(1, 2)), d_ff=draw(st.integers(1, 12)), experts=n,
        experts_per_token=draw(st.integers(1, n)), shared_experts=draw(st.integers(0, 2)), gated=draw(st.booleans()),
        ffn_bias=draw(st.booleans()), norm_place=draw(st.sampled_from(["pre", "post"])), kind=draw(
            st.sampled_from(["decoder", "encoder"])), share_layers=draw(st.booleans()),
    )  # fmt: skip
    return Config(**chosen | options)


def mixture(config: Config = MIX, seed: int = 0) -> MixtureOfExperts:
    torch.manual_seed(seed)
    layer = MixtureOfExperts(config).double().eval()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.4)
    return layer


def tokens(batch: int = 2, n: int = 9, d: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen(layer: MixtureOfExperts, x: torch.Tensor, edit=None) -> dict[str, torch.Tensor]:
    tap = RecordingTap(("router", "gates"), edit, names=("router", "gates"))
    return {"out": layer(x, tap), **tap.trace}


# ---- against others

def test_routed_and_shared_are_granites():
    config = dataclasses.replace(MIX, shared_experts=3)
    theirs_config = hf.GraniteMoeSharedConfig(
        hidden_size=16, intermediate_size=24, num_local_experts=5, num_experts_per_tok=2, shared_intermediate_size=72
    )
    theirs_config._experts_implementation = "eager"
    routed, shared = GraniteMoeSharedMoE(theirs_config).double(), GraniteMoeSharedMLP(theirs_config).double()
    ours = mixture(config)
    with torch.no_grad():
        weights = dict(routed.named_parameters())
        for name, p in weights.items():
            if "router" in name:
                p.copy_(ours.W_r.weight)
            elif p.shape == (5, 48, 16):
                p.copy_(torch.stack([torch.cat((e.W_g.weight, e.W_1.weight)) for e in ours.experts]))
            else:
                p.copy_(torch.stack([e.W_2.weight for e in ours.experts]))
        shared.input_linear.weight.copy_(torch.cat((ours.shared.W_g.weight, ours.shared.W_1.weight)))
        shared.output_linear.weight.copy_(ours.shared.W_2.weight)
        x = tokens()
        torch.testing.assert_close(ours(x, OFF), routed(x) + shared(x), atol=1e-6, rtol=1e-6)  # its gates are float32


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("padded", [False, True])
def test_balance_loss_is_hugging_faces(k, padded):
    router = torch.randn(3, 2, 7, 5, generator=torch.Generator().manual_seed(k)) * 2  # [layer, batch, token, expert]
    real = torch.arange(7) < torch.tensor([[7], [4]]) if padded else None
    theirs = load_balancing_loss_func(
        tuple(r.flatten(0, 1) for r in router), 5, k, None if real is None else real.long()
    )
    torch.testing.assert_close(balance_loss(router, k, real), theirs, atol=1e-6, rtol=1e-6)


# ---- against the dense network

def test_one_expert_is_the_dense_network():
    config = dataclasses.replace(MIX, experts=1, experts_per_token=None)
    layer, x = mixture(config), tokens()
    torch.testing.assert_close(layer(x, OFF), layer.experts[0](x, OFF), atol=0, rtol=0)
    assert type(experts.make_ffn(config)) is FeedForward and type(experts.make_ffn(MIX)) is MixtureOfExperts


@settings(max_examples=30, deadline=None)
@given(mixtures())
def test_experts_that_are_all_alike_are_the_dense_network(config):
    layer, x = mixture(config), tokens(d=8)
    for expert in layer.experts[1:]:
        expert.load_state_dict(layer.experts[0].state_dict())
    dense = layer.experts[0](x, OFF) + (0 if layer.shared is None else layer.shared(x, OFF))
    torch.testing.assert_close(layer(x, OFF), dense, atol=1e-9, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(mixtures(), st.floats(0.2, 2))
def test_each_token_is_its_gated_sum_worked_out_one_by_one(config, capacity):
    layer, x = mixture(dataclasses.replace(config, capacity=capacity)), tokens(d=8)
    trace = seen(layer, x)
    for b in range(2):
        for t in range(9):
            y = 0 if layer.shared is None else layer.shared(x[b, t], OFF)
            y = y + sum(trace["gates"][b, t, e] * expert(x[b, t], OFF) for e, expert in enumerate(layer.experts))
            torch.testing.assert_close(trace["out"][b, t], y, atol=1e-10, rtol=1e-10)


# ---- gates and capacity

@settings(max_examples=30, deadline=None)
@given(mixtures())
def test_gates_are_k_shares_of_the_softmax_and_sum_to_one(config):
    trace = seen(mixture(config), tokens(d=8))
    gates, p = trace["gates"], trace["router"].softmax(-1)
    k = config.experts_per_token
    assert ((gates > 0).sum(-1) == k).all()
    torch.testing.assert_close(gates.sum(-1), torch.ones(2, 9, dtype=torch.float64))
    assert (p.masked_fill(gates == 0, 2.0).amin(-1) >= p.masked_fill(gates > 0, -1.0).amax(-1)).all()  # the largest k
    chosen = p * (gates > 0)
    torch.testing.assert_close(gates, chosen / chosen.sum(-1, keepdim=True))


@settings(max_examples=60, deadline=None)
@given(mixtures(), st.floats(0.1, 2.5), st.integers(1, 12))
def test_capacity_drops_the_tokens_that_come_late_and_no_others(config, capacity, n):
    x = tokens(n=n, d=8)
    free = seen(mixture(config), x)["gates"]
    held = seen(mixture(dataclasses.replace(config, capacity=capacity)), x)["gates"]
    most = math.ceil(capacity * n * config.experts_per_token / config.experts)
    for b in range(2):
        for e in range(config.experts):
            wants = free[b, :, e].nonzero().flatten().tolist()
            assert held[b, :, e].nonzero().flatten().tolist() == wants[:most]
            assert torch.equal(held[b, wants[:most], e], free[b, wants[:most], e])


def test_an_expert_reads_its_own_tokens_only():
    layer, x = mixture(), tokens()
    read = [0] * 5
    for e, expert in enumerate(layer.experts):
        expert.register_forward_hook(lambda _m, inputs, _o, e=e: read.__setitem__(e, len(inputs[0])))
    gates = seen(layer, x)["gates"]
    assert read == (gates > 0).sum((0, 1)).tolist() and sum(read) == 2 * 9 * 2
    torch.testing.assert_close(experts.load(gates).sum(-1), torch.full((2,), 2.0, dtype=torch.float64))


def test_an_edit_of_the_gates_is_what_is_computed():
    layer, x = mixture(), tokens()

    def only_expert_3(gates):
        return torch.zeros_like(gates).index_fill(-1, torch.tensor([3]), 0.5)

    out = seen(layer, x, {"gates": only_expert_3})["out"]
    torch.testing.assert_close(out, 0.5 * layer.experts[3](x, OFF), atol=1e-12, rtol=1e-12)


# ---- losses

def test_balance_loss_by_hand_and_at_its_least():
    router = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.1, 0.3]]))  # both choose expert 0 first
    assert balance_loss(router, 1).item() == pytest.approx(3 * 0.65)
    assert balance_loss(router, 2).item() == pytest.approx(3 * (1.0 * 0.65 + 0.5 * 0.15 + 0.5 * 0.2))
    even = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]))
    assert balance_loss(even, 1).item() == pytest.approx(1)


def test_z_loss_by_hand_and_its_gradient():
    router = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    log_z = [math.log(2), math.log(math.e + math.e**2)]
    loss = z_loss(router)
    assert loss.item() == pytest.approx(sum(z * z for z in log_z) / 2)
    loss.backward()
    torch.testing.assert_close(router.grad, torch.tensor(log_z, dtype=torch.float64)[:, None] * router.softmax(-1))


def test_descending_the_balance_loss_evens_the_load():
    torch.manual_seed(0)
    x = torch.randn(256, 8) + 1  # a common direction, so that one expert is everyone's favourite
    W = torch.randn(4, 8, requires_grad=True)
    optimiser = torch.optim.Adam([W], lr=0.05)
    before = balance_loss(x @ W.T, 1).item()
    for _ in range(200):
        optimiser.zero_grad()
        balance_loss(x @ W.T, 1).backward()
        optimiser.step()
    assert before > 1.5 and balance_loss(x @ W.T, 1).item() < 1.1


@pytest.mark.parametrize("k", [0, 4])
def test_a_k_beyond_the_experts_is_refused(k):
    with pytest.raises(ValueError, match="k is"):
        balance_loss(torch.zeros(2, 3), k)


# ---- inside a model

@settings(max_examples=60, deadline=None)
@given(mixtures())
def test_a_model_records_routes_and_agrees_with_itself(config):
    model = transformer.build(config, seed=0).eval().double()
    ids = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(0))
    run = model.run(ids, record="*")
    assert list(run.trace) == names.of(config)
    assert all(tuple(t.shape) == names.shape(name, config, 7, 2) for name, t in run.trace.items())
    torch.testing.assert_close(run.output, model(ids), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(run.output[1:], model.run(ids[1]).output, atol=1e-9, rtol=1e-9)
    if config.kind == "decoder":
        cache, parts = Cache.empty(config.n_layers), []
        for piece in ids.split([4, 1, 2], dim=1):
            step = model.run(piece, cache=cache)
            cache, parts = step.cache, [*parts, step.output]
        torch.testing.assert_close(torch.cat(parts, 1), run.output, atol=1e-9, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(mixtures(kind="decoder", capacity=0.7), st.integers(0, 5))
def test_with_a_capacity_nothing_leaks_from_the_future(config, t):
    model = transformer.build(config, seed=0).eval()
    ids = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[:, t + 1 :] = (other[:, t + 1 :] + 1) % 30
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[:, : t + 1], model(other)[:, : t + 1], atol=1e-6, rtol=0)
        torch.testing.assert_close(model(ids)[:1], model(ids[:1]), atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(mixtures(), st.integers(1, 9))
def test_parameters_and_flops_are_those_predicted(config, n):
    model = transformer.build(config, seed=0).eval()
    parts = cost.parameters(config)
    assert sum(parts.values()) == sum(p.numel() for p in model.parameters())
    assert parts["ffn"] == sum(p.numel() for name, p in model.named_parameters() if ".ffn." in name)
    unused = config.experts - config.experts_per_token
    idle = sum(p.numel() for e in model.stack.blocks[0].ffn.experts[:unused] for p in e.parameters())
    assert cost.parameters(config, active=True)["ffn"] == parts["ffn"] - len(model.stack.blocks) * idle
    ids = torch.randint(30, (2, n))
    with FlopCounterMode(display=False) as counting, torch.no_grad():
        model.run(ids, record="*.A")
    predicted = cost.flops(config, n, batch=2)
    assert counting.get_total_flops() == sum(predicted.values())
    assert counter.count(model, ids)["ffn"] == predicted["ffn"]


def test_shapes_alone_are_enough():
    config = dataclasses.replace(MIX, shared_experts=1, capacity=1.0)
    with FakeTensorMode(), torch.device("meta"):
        model = transformer.build(config)
        ids = torch.zeros(2, 6, dtype=torch.long)
        model(ids).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        cache = model.run(ids, cache=Cache.empty(2)).cache
        assert model.run(ids[:, :1], cache=cache).output.device.type == "meta"
    with torch.device("meta"):
        model = transformer.build(MIX).eval()
        assert counter.count(model, torch.zeros(1, 6, dtype=torch.long))["ffn"] == cost.flops(MIX, 6)["ffn"]


def test_every_part_gets_a_gradient():
    layer = mixture(dataclasses.replace(MIX, shared_experts=1))
    layer(tokens(batch=8, n=32), OFF).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())
