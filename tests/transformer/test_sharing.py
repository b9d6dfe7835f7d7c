"""Shared heads: copies change nothing, MQA is GQA with one head, means are means, the squeeze is the nearest of its rank."""

from dataclasses import replace

import pytest
import torch

import transformer
from transformer import Config, cost
from transformer.experiments import sharing

CLOSE = dict(atol=1e-10, rtol=1e-10)
MULTI = Config(vocab_size=40, d_model=32, n_heads=8, d_head=4, n_layers=2, qkv_bias=True)


def model_of(config, seed=0):
    model = transformer.build(config, seed=seed).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.mul_(8)
    return model.double()


def test_the_choices_are_the_divisors():
    assert sharing.choices(9) == [9, 3, 1] and sharing.choices(12) == [12, 6, 4, 3, 2, 1]


@pytest.mark.parametrize("h_kv", [1, 2, 4, 8])
def test_copied_heads_give_the_same_output(h_kv):
    """GQA with h_kv heads, written out as MHA with h; so MQA is h_kv = 1 and MHA h_kv = h, of one and the same thing."""
    grouped = model_of(replace(MULTI, n_kv_heads=h_kv))
    multi = sharing.regrouped(grouped, 8)
    assert multi.config.n_kv_heads == 8
    ids = list(range(9))
    torch.testing.assert_close(multi.run(ids).output, grouped.run(ids).output, **CLOSE)
    back = sharing.regrouped(multi, h_kv)  # the mean of copies is what was copied
    torch.testing.assert_close(back.run(ids).output, grouped.run(ids).output, **CLOSE)


def test_means_are_those_of_the_group_that_reads_them():
    model = model_of(MULTI)
    pooled = sharing.regrouped(model, 2)
    W = model.stack.blocks[1].attention.W_K.weight.unflatten(0, (8, 4))
    torch.testing.assert_close(pooled.stack.blocks[1].attention.W_K.weight.unflatten(0, (2, 4)),
                               torch.stack([W[:4].mean(0), W[4:].mean(0)]))
    torch.testing.assert_close(pooled.stack.blocks[0].attention.W_V.bias, model.stack.blocks[0].attention.W_V.bias
                               .unflatten(0, (2, 4, 4)).mean(1).flatten())


def test_pooled_keys_of_a_trace_are_those_of_the_pooled_weights():
    """Turning and averaging commute, so a recording without weights shows what the conversion does in a layer."""
    model, ids = model_of(MULTI), list(range(7))
    names = ("layers.0.attention.[QKVA]",)
    trace, pooled = model.run(ids, record=names).trace, sharing.regrouped(model, 2).run(ids, record=names).trace
    K = sharing.regroup(trace["layers.0.attention.K"][0], 2)
    torch.testing.assert_close(K, pooled["layers.0.attention.K"][0], **CLOSE)
    A = sharing.weights_of(trace["layers.0.attention.Q"][0], K, MULTI)
    torch.testing.assert_close(A, pooled["layers.0.attention.A"][0], **CLOSE)
    torch.testing.assert_close(sharing.weights_of(trace["layers.0.attention.Q"][0], trace["layers.0.attention.K"][0],
                                                  MULTI),
                               trace["layers.0.attention.A"][0], **CLOSE)


def test_moved_is_the_total_variation():
    A, B = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    assert sharing.moved(A, B) == 0.5 and sharing.moved(A, A) == 0


def test_the_squeeze_is_exact_at_full_rank_and_the_nearest_below_it():
    model, ids = model_of(replace(MULTI, n_kv_heads=2)), list(range(9))
    full = sharing.full_rank(model.config)
    assert full == 16
    torch.testing.assert_close(sharing.squeezed(model, full).run(ids).output, model.run(ids).output, **CLOSE)
    of = lambda m: torch.cat((m.stack.blocks[1].attention.W_K.weight,
                              m.stack.blocks[1].attention.W_V.weight))  # noqa: E731
    W, near = of(model), of(sharing.squeezed(model, 5))
    assert torch.linalg.matrix_rank(near) == 5
    torch.testing.assert_close((W - near).norm(), torch.linalg.svdvals(W)[5:].norm(), **CLOSE)  # Eckart–Young


def test_the_effect_is_nothing_without_a_change_and_grows_with_the_squeeze():
    model, ids = model_of(MULTI), list(range(12))
    before = model.run(ids).output[0]
    nothing = sharing.effect(before, sharing.squeezed(model, 32), ids)
    assert nothing.kl == pytest.approx(0, abs=1e-9) and nothing.same == 1
    expected = torch.nn.functional.cross_entropy(before[:-1], torch.tensor(ids[1:]))
    assert nothing.loss == pytest.approx(float(expected))
    kls = [sharing.effect(before, sharing.squeezed(model, rank), ids).kl for rank in (2, 8, 24)]
    assert kls[0] > kls[1] > kls[2] > 0


@pytest.mark.parametrize("h_kv", [1, 2, 4, 8])
def test_numbers_kept_are_the_caches(h_kv):
    config = replace(MULTI, n_kv_heads=h_kv)
    assert sharing.numbers_kept(config) == 2 * h_kv * 4
    n, layers = 100, config.n_layers
    assert cost.kv_cache_bytes(config, n) == 2 * n * h_kv * config.d_head * layers * 2
    cache = model_of(config).float().run(list(range(10)), cache=transformer.Cache.empty(layers)).cache
    held = sum(t.numel() for layer in cache.layers for t in layer.tensors)
    assert held == sharing.numbers_kept(config) * 10 * layers


def test_one_wide_head_costs_as_many_products_as_many_narrow_ones():
    many, one = Config(d_model=64, n_heads=8), Config(d_model=64, n_heads=1)
    assert cost.flops(many, 100) == cost.flops(one, 100) and cost.parameters(many) == cost.parameters(one)


@pytest.mark.parametrize("wrong",
                         [lambda m: sharing.regrouped(m, 3), lambda m: sharing.squeezed(m, 0),
                          lambda m: sharing.squeezed(m, 33)])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong(model_of(MULTI))


def test_latent_attention_has_no_heads_to_share():
    with pytest.raises(ValueError, match="no key/value heads"):
        sharing.regrouped(transformer.build(Config(d_model=32, attention="latent")), 1)
