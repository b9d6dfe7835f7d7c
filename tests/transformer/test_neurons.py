"""The FFN works token by token, and what its neurons write adds up."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

import transformer
from transformer import attribution
from transformer.config import Config
from transformer.experiments import neurons
from transformer.feedforward import FeedForward
from transformer.tap import OFF
from transformer.training import widths


@given(
    n=st.integers(1, 9), d=st.sampled_from([4, 12, 16]), times=st.integers(1, 8), gated=st.booleans(),
    activation=st.sampled_from(["relu", "gelu", "gelu_tanh", "silu"]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_per_token_is_the_same_as_the_whole(n, d, times, gated, activation, seed):
    torch.manual_seed(seed)
    ffn = FeedForward(Config(d_model=d, n_heads=1, d_ff=times * d, gated=gated, activation=activation, ffn_bias=not gated))
    x = torch.randn(2, n, d)
    whole = ffn(x, OFF)
    each = torch.cat([ffn(x[:, i : i + 1], OFF) for i in range(n)], 1)
    torch.testing.assert_close(each, whole, rtol=1e-5, atol=1e-6)
    order = torch.randperm(n)
    torch.testing.assert_close(ffn(x[:, order], OFF), whole[:, order], rtol=1e-5, atol=1e-6)


def test_the_formula_written_out():
    torch.manual_seed(0)
    ffn = FeedForward(Config(d_model=8, n_heads=1, d_ff=32, activation="relu", ffn_bias=True))
    x = torch.randn(1, 3, 8)
    (W_1, b_1), (W_2, b_2) = ((layer.weight, layer.bias) for layer in (ffn.W_1, ffn.W_2))
    expected = (x @ W_1.T + b_1).clamp_min(0) @ W_2.T + b_2
    torch.testing.assert_close(ffn(x, OFF), expected)
    a = (x @ W_1.T + b_1).clamp_min(0)[0, 0]
    torch.testing.assert_close(sum(a[j] * W_2[:, j] for j in range(32)) + b_2, expected[0, 0])  # memories, read out


@pytest.fixture(scope="module")
def tiny():
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode("To be, or not to be")
    return model, ids, model.run(ids, record=("*.ffn.*", "*.resid_*", "*.norm_2", *attribution.needed(model)))


def test_a_change_stays_in_its_row_until_attention(tiny):
    model, ids, _ = tiny
    places, delta = neurons.changed_rows(model, ids, 1)
    assert places == [f"layers.1.{name}" for name in neurons.MIXED] + [f"layers.2.{name}" for name in neurons.NEXT]
    n = len(ids)
    for j in range(n):
        changed = delta[j] > 0
        assert changed[:, :4].any(1).tolist() == [i == j for i in range(n)]  # exactly 0 elsewhere
        assert changed[j, :4].all() and changed[:, 4].tolist() == [i >= j for i in range(n)]  # causal attention
    edit = {"layers.1.norm_2": lambda x: x[:, [0, 1, 1, *range(3, n)]]}  # token 2 hears what token 1 brings
    whole, plain = (model.run(ids, record=places, edit=how).trace for how in (edit, None))
    expected = torch.stack([(whole[place] - plain[place])[0].abs().amax(-1) for place in places], -1)
    assert torch.equal(delta[2], expected)  # though only two layers were computed again
    last, _ = neurons.changed_rows(model, ids, model.config.n_layers - 1)
    assert len(last) == len(neurons.MIXED)
    with pytest.raises(ValueError, match="second token"):
        neurons.changed_rows(model, ids[:1], 0)


def test_contributions_add_up_to_the_layers_direct_share(tiny):
    model, ids, run = tiny
    target, at = run.output[0, -1].argmax().item(), len(ids) - 1
    shares = attribution.direct(model, run.trace, target).ffn[:, 0, at]
    for layer in range(model.config.n_layers):
        own = neurons.contributions(model, layer, run.trace, at, target)
        torch.testing.assert_close(own.sum(), shares[layer], rtol=1e-3, atol=1e-4)


def test_memories_are_columns_read_through_the_end(tiny):
    model, ids, run = tiny
    at, layer = 3, 2
    target = run.output[0, at].argmax().item()
    a = run.trace[f"layers.{layer}.ffn.post"][0, at]
    end = run.trace[f"layers.{model.config.n_layers - 1}.resid_post"][0, at]
    found = neurons.memories(model, layer, run.trace, at, target, count=4, words=3)
    W_2 = neurons.columns(model, layer)
    assert {m.neuron for m in found} == set((a.abs() * W_2.norm(dim=0)).topk(4).indices.tolist())
    for m in found:
        w = a[m.neuron] * W_2[:, m.neuron] * model.final_norm.gamma / (end.square().mean() + model.config.norm_eps).sqrt()
        logits = w @ model.embedding.W_E.weight.T if model.W_U is None else w @ model.W_U.weight.T
        assert m.a == a[m.neuron].item() and m.target == pytest.approx(logits[target].item(), abs=1e-4)
        assert [t for t, _ in m.up] == logits.topk(3).indices.tolist()
        assert [e for _, e in m.down] == pytest.approx((-(-logits).topk(3).values).tolist(), abs=1e-4)
    own = neurons.contributions(model, layer, run.trace, at, target)
    speaking = neurons.memories(model, layer, run.trace, at, target, loudest=False, count=4)
    assert [m.neuron for m in speaking] == own.topk(4).indices.tolist()
    both = neurons.memories_at(model, layer, run.trace, [1, at], neurons.toward(model, [5, target]), count=4, words=3)
    alone = [neurons.memories(model, layer, run.trace, 1, 5, loudest=loudest, count=4, words=3) for loudest in (True, False)]
    for one, other in zip((*both[0], both[1][0]), (*alone, found), strict=True):  # several at once are each as it is alone
        for m, n in zip(one, other, strict=True):
            assert m.neuron == n.neuron and [t for t, _ in m.up + m.down] == [t for t, _ in n.up + n.down]
            assert [e for _, e in m.up + m.down] == pytest.approx([e for _, e in n.up + n.down], abs=1e-5)


def test_what_cannot_be_read_is_said():
    model = transformer.build(Config(d_model=8, n_layers=1, n_heads=1, vocab_size=11, norm="layer"), seed=0)
    with pytest.raises(ValueError, match="RMSNorm"):
        neurons.written(model, 0, torch.tensor([0]))
    post = transformer.build(Config(d_model=8, n_layers=1, n_heads=1, vocab_size=11, norm_place="post"), seed=0)
    with pytest.raises(ValueError, match="norm after|norms elsewhere"):
        neurons.changed_rows(post, [1, 2, 3], 0)


def test_firing_counts_what_it_says():
    a = torch.tensor([[3.0, 0.0, 4.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    u = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, 1.0, 0.0]])
    found = neurons.firing(u, a, torch.full((2, 2), 2.0), torch.ones(2, 2))
    assert found.open.tolist() == [0.5, 0.75]
    assert found.half.tolist() == [0.25, 0.5] and found.most.tolist() == [0.5, 1.0]  # 16 of 25; 2 of 4
    assert found.write.tolist() == pytest.approx([2, 2])


def test_widths_differ_in_nothing_but_the_ffn():
    configs = {times: widths.config_of(times) for times in widths.TIMES}
    assert {c.d_ff for c in configs.values()} == {times * widths.D_MODEL for times in widths.TIMES}
    for times in widths.TIMES:
        parameters, flops = widths.costs(times)
        assert parameters == sum(p.numel() for p in transformer.build(configs[times], seed=0).parameters())
        more = widths.costs(times)[1] - widths.costs(1)[1]
        assert more == (times - 1) * 2 * 2 * 2 * widths.D_MODEL**2  # 2 layers, 2 matrices, 2 FLOPs each


def test_a_short_run_is_the_beginning_of_a_long_one():
    short, long = list(widths.train(1, 0, 20)), list(widths.train(1, 0, 40))
    assert [r.step for r in long] == [0, 20, 40] and short == long[:2] and long[-1].unseen < long[0].unseen
