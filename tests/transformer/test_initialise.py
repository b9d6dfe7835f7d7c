"""Initialisation as each paper has it, and dropout where the papers put it."""

import math

import pytest
import torch

import transformer
from transformer import Config
from transformer.feedforward import FeedForward

BIG = dict(d_model=256, n_heads=4, n_layers=8, vocab_size=500)


def test_gpt_2_divides_what_writes_into_the_stream():
    block = transformer.build(Config(**BIG), seed=0).stack.blocks[0]
    for matrix in (block.attention.W_Q, block.ffn.W_1):
        assert matrix.weight.std().item() == pytest.approx(0.02, rel=0.02)
    for matrix in (block.attention.W_O, block.ffn.W_2):
        assert matrix.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * 8), rel=0.02)


def test_normal_is_the_same_everywhere():
    model = transformer.build(Config(**BIG, init="normal"), seed=0)
    for name, p in model.named_parameters():
        if p.dim() == 2:
            assert p.std().item() == pytest.approx(0.02, rel=0.03), name


def test_xavier_keeps_each_matrix_within_its_bound_and_the_table_at_unit_length():
    model = transformer.build(Config(**BIG, init="xavier"), seed=0)
    W = model.stack.blocks[0].ffn.W_1.weight  # [1024, 256]
    bound = math.sqrt(6 / (256 + 1024))
    assert 0.99 * bound < W.abs().max() <= bound
    assert W.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert model.embedding.W_E.weight.norm(dim=-1).mean().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("init", ["gpt2", "normal", "xavier"])
def test_biases_start_at_zero_and_norms_do_nothing(init):
    model = transformer.build(Config(**BIG, init=init, norm="layer", qkv_bias=True, ffn_bias=True), seed=0)
    for name, p in model.named_parameters():
        if p.dim() == 1:
            assert torch.equal(p, torch.full_like(p, float(name.endswith("gamma")))), name


def test_every_expert_writes_into_the_stream_as_a_dense_network_would():
    model = transformer.build(Config(**BIG, experts=2), seed=0)
    writers = [module.W_2 for module in model.modules() if isinstance(module, FeedForward)]
    assert len(writers) == 16
    for writer in writers:
        assert writer.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * 8), rel=0.03)


def test_dropout_falls_on_the_embedding_the_weights_and_what_is_written():
    """Vaswani et al. 2017, §5.4: each sublayer's output before it is added, and the sum of the embeddings; and A."""
    torch.manual_seed(0)
    model = transformer.build(Config(**BIG, dropout=0.25), seed=0).train()
    ids = torch.randint(500, (2, 40))
    trace = model.run(ids, record=("embed", "layers.0.*")).trace
    for name in ("embed", "layers.0.attention.out", "layers.0.ffn.out"):
        assert (trace[name] == 0).float().mean().item() == pytest.approx(0.25, abs=0.01), name
    A, V, z = (trace[f"layers.0.attention.{leaf}"] for leaf in ("A", "V", "z"))
    assert not torch.allclose(A @ V, z), "weights were dropped between A and z"
    model.eval()
    trace = model.run(ids, record=("embed", "layers.0.*")).trace
    assert (trace["embed"] == 0).sum() == 0
    torch.testing.assert_close(trace["layers.0.attention.A"] @ trace["layers.0.attention.V"], trace["layers.0.attention.z"])
