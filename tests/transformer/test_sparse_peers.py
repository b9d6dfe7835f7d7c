"""Longformer and BigBird against Hugging Face's layers, weights copied: the textbook path and the sparse one."""

import numpy as np
import pytest
import torch
from transformers import BigBirdConfig, BigBirdModel, LongformerConfig
from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention
from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

from tests.transformer.test_laws import model_of
from transformer import Config, masks, sparse
from transformer.attention import Attention
from transformer.geometry import Geometry
from transformer.tap import OFF, RecordingTap

D, H = 24, 3


@pytest.fixture(autouse=True)
def always_sparse(monkeypatch):
    monkeypatch.setattr(sparse, "worthwhile", lambda config: 0)
    monkeypatch.setattr(sparse, "block", lambda config: 5)


def layer(**options) -> Attention:
    """Our attention alone, its output matrix the identity, as theirs has none in this module."""
    config = Config(kind="encoder", d_model=D, n_heads=H, position="none", qkv_bias=True, **options)
    ours = model_of(config, std=0.3).stack.blocks[0].attention
    with torch.no_grad():
        for W in (ours.W_Q, ours.W_K, ours.W_V):
            W.bias.normal_(generator=torch.Generator().manual_seed(5))
        ours.W_O.weight.copy_(torch.eye(D))
    return ours


def both_ways(ours: Attention, x: torch.Tensor, real: torch.Tensor) -> list[torch.Tensor]:
    """The sparse path's answer, and the textbook's."""
    at = torch.arange(x.shape[1])[None]
    taps = OFF, RecordingTap("*", names=["Q", "K", "V", "scores", "A", "z"])
    return [ours(x, Geometry(ours.config, at, at, real), None, tap)[0] for tap in taps]


def copy(linears, ours: Attention) -> None:
    for theirs, mine in zip(linears, (ours.W_Q, ours.W_K, ours.W_V), strict=True):
        theirs.load_state_dict(mine.state_dict())


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-6)])  # theirs weighs in float32
@pytest.mark.parametrize("g", [1, 3])
@torch.no_grad()
def test_longformer(dtype, tolerance, g):
    n, one_side = 48, 4
    ours = layer(attention="longformer", window=one_side + 1, global_tokens=g).to(dtype)
    theirs = LongformerSelfAttention(LongformerConfig(
        hidden_size=D, num_attention_heads=H, attention_window=[2 * one_side], attention_probs_dropout_prob=0.0,
    ), 0).eval().to(dtype)  # fmt: skip
    copy((theirs.query, theirs.key, theirs.value), ours)
    copy((theirs.query_global, theirs.key_global, theirs.value_global), ours)
    x = torch.randn(2, n, D, dtype=dtype, generator=torch.Generator().manual_seed(0))
    real = torch.arange(n)[None] < torch.tensor([[n], [n - 7]])
    at = torch.arange(n)
    state = torch.where(real, 0.0, -10000.0).to(dtype).masked_fill((at < g)[None], 10000.0)  # local, masked or global
    expected = theirs(x, state, is_index_masked=state < 0, is_index_global_attn=state > 0, is_global_attn=True)[0]
    for mine in both_ways(ours, x, real):
        torch.testing.assert_close(mine[real], expected[real], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize("r", [1, 2, 3])
@torch.no_grad()
def test_bigbird(monkeypatch, dtype, tolerance, r):
    """Theirs with blocks of one token is the same pattern: itself and one neighbour on each side, the first token and
    the last, and r drawn. The last is padding here, since ours has global tokens at the start only; theirs is given our
    draws, and the padding for one that is not there."""
    n = 40
    ours = layer(attention="bigbird", window=2, global_tokens=1, random_keys=r).to(dtype)
    theirs = BigBirdBlockSparseAttention(BigBirdConfig(
        hidden_size=D, num_attention_heads=H, num_random_blocks=r, block_size=1, max_position_embeddings=n,
        use_bias=True,
    )).eval().to(dtype)  # fmt: skip
    copy((theirs.query, theirs.key, theirs.value), ours)
    drawn = masks.drawn(ours.config, torch.arange(n))
    drawn = torch.where((drawn < 0) | (drawn >= n), n - 1, drawn)[1:-1]
    assert (drawn < n - 1).sum() > n * r / 2
    monkeypatch.setattr(
        theirs, "_bigbird_block_rand_mask_with_head", lambda *_, **__: [drawn.numpy().astype(np.int32)] * H
    )
    x = torch.randn(2, n, D, dtype=dtype, generator=torch.Generator().manual_seed(0))
    real = (torch.arange(n) < n - 1).expand(2, n)
    blocked, band, of_queries, of_keys = BigBirdModel.create_masks_for_block_sparse_attn(real.to(dtype), 1)
    expected = theirs(x, band, of_queries, of_keys, blocked, blocked)[0]
    for mine in both_ways(ours, x, real):
        torch.testing.assert_close(mine[real], expected[real], atol=tolerance, rtol=tolerance)
