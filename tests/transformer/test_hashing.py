"""LSH attention against Hugging Face's Reformer, against full shared-QK attention, and one way against the other."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ReformerConfig
from transformers.models.reformer.modeling_reformer import LSHSelfAttention

from tests.transformer.test_laws import CLOSE, ids_for, model_of
from transformer import Cache, Config, names
from transformer.geometry import Geometry
from transformer.hashing import LSH, buckets, rotations
from transformer.tap import OFF, RecordingTap

NAMES = ["Q", "K", "V", "scores", "A", "z"]


def layer(config: Config) -> LSH:
    return model_of(config, std=0.5).stack.blocks[0].attention


def geometry(config: Config, n: int, real: torch.Tensor | None = None) -> Geometry:
    at = torch.arange(n)[None]
    return Geometry(config, at, at, real, reach=n - 1)


def reformer(ours: LSH, n: int, seed: int = 3) -> LSHSelfAttention:
    """Theirs with our matrices, and ours with the rotations that theirs draws from its seed."""
    config = ours.config
    theirs = LSHSelfAttention(ReformerConfig(
        hidden_size=config.d_model, num_attention_heads=config.n_heads, attention_head_size=config.d_head,
        lsh_attn_chunk_length=config.chunk, num_hashes=config.hashes, lsh_num_chunks_before=1, lsh_num_chunks_after=0,
        num_buckets=list(buckets(config)) if len(buckets(config)) > 1 else buckets(config)[0], hash_seed=seed,
        is_decoder=config.kind == "decoder", lsh_attention_probs_dropout_prob=0.0, max_position_embeddings=n,
    ), layer_idx=0).eval().to(ours.W_Q.weight.dtype)  # fmt: skip
    with torch.no_grad():
        theirs.query_key.weight.copy_(ours.W_Q.weight)
        theirs.value.weight.copy_(ours.W_V.weight)
        torch.manual_seed(seed)
        ours.rotations.copy_(torch.randn(ours.rotations.shape, dtype=ours.rotations.dtype))
    return theirs


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@pytest.mark.parametrize("hashes", [1, 2, 4])
@pytest.mark.parametrize("chunk, n", [(4, 32), (8, 64), (16, 48), (2, 64)], ids=str)
def test_it_is_hugging_faces_lsh_attention(dtype, tolerance, kind, hashes, chunk, n):
    config = Config(
        kind=kind, attention="lsh", chunk=chunk, hashes=hashes, d_model=24, n_heads=3, position="none", max_len=n
    )
    ours = layer(config).to(dtype)
    theirs = reformer(ours, n)
    x = torch.randn(2, n, 24, dtype=dtype, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x).hidden_states  # before the output matrix
        ours.W_O.weight.copy_(torch.eye(24))
        fast = ours(x, geometry(config, n), None, OFF)[0]
        tap = RecordingTap("*", names=NAMES)
        textbook = ours(x, geometry(config, n), None, tap)[0]
    # Where a token finds nobody, float32 holds their log weights near −1e5 to 0.008 only, so that their rounds' shares
    # do not sum to 1; ours do. There the answer is the token's own value.
    alone = tap.trace["A"].diagonal(dim1=-2, dim2=-1).mT > 0.5  # [batch, token, head]
    found = ~alone.repeat_interleave(config.d_head, -1)
    assert found.double().mean() > 0.5
    for mine in (fast, textbook):
        torch.testing.assert_close(mine[found], expected[found], atol=tolerance, rtol=tolerance)
        rough = 1e-9 if dtype == torch.float64 else 0.1
        torch.testing.assert_close(mine[~found], expected[~found], atol=rough, rtol=0.01)
        own = tap.trace["V"].transpose(1, 2).flatten(2)[~found]
        torch.testing.assert_close(mine[~found], own, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_padding_is_hugging_faces(kind):
    config = Config(kind=kind, attention="lsh", chunk=4, hashes=2, d_model=24, n_heads=3, position="none", max_len=32)
    ours = layer(config)
    theirs = reformer(ours, 32)
    x = torch.randn(2, 32, 24, dtype=torch.float64)
    real = torch.arange(32)[None] < torch.tensor([[32], [30]])  # in the second, the last chunk is padded in part
    with torch.no_grad():
        ours.W_O.weight.copy_(torch.eye(24))
        expected = theirs(x, attention_mask=real).hidden_states
        mine = ours(x, geometry(config, 32, real), None, OFF)[0]
    torch.testing.assert_close(mine[real], expected[real], **CLOSE)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["decoder", "encoder"]),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 9),
)
def test_chunk_by_chunk_is_the_textbook_and_so_are_its_gradients(kind, n, chunk, hashes, padded, seed):
    config = Config(
        kind=kind, attention="lsh", chunk=chunk, hashes=hashes, d_model=16, n_heads=2, position="none", max_len=64
    )
    module = layer(config)
    x = torch.randn(2, n, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    real = torch.arange(n)[None] < torch.tensor([[n], [(n + 1) // 2]]) if padded else None
    seen = torch.ones(2, n, dtype=torch.bool) if real is None else real
    fast = module(x, geometry(config, n, real), None, OFF)[0][seen]
    tap = RecordingTap("*", names=NAMES, gradients=True)
    textbook = module(x, geometry(config, n, real), None, tap)[0][seen]
    torch.testing.assert_close(fast, textbook, **CLOSE)
    weights = torch.randn(fast.shape, dtype=torch.float64)
    one, other = (torch.autograd.grad((out * weights).sum(), x)[0] for out in (fast, textbook))
    torch.testing.assert_close(one, other, **CLOSE)
    A = tap.trace["A"]
    torch.testing.assert_close(A.sum(-1), torch.ones(A.shape[:3], dtype=A.dtype), **CLOSE)
    assert kind == "encoder" or A.triu(1).abs().max() == 0
    alone = A.detach().diagonal(dim1=-2, dim2=-1)
    assert ((alone < 1e-9) | (alone > 1 - 1e-9)).all(), "a token reads itself only where it finds nobody else"


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@pytest.mark.parametrize("hashes", [1, 3])
def test_one_chunk_for_everything_is_full_attention_with_shared_queries_and_keys(kind, hashes):
    config = Config(kind=kind, attention="lsh", chunk=32, hashes=hashes, d_model=16, n_heads=2, max_len=32)
    module, n = layer(config), 21
    x = torch.randn(2, n, 16, dtype=torch.float64)
    tap = RecordingTap("*", names=[*NAMES, "Q_unrotated", "K_unrotated"])
    with torch.no_grad():
        module(x, geometry(config, n), None, tap)
    Q, A = tap.trace["Q"], tap.trace["A"]
    S = Q @ torch.nn.functional.normalize(Q, dim=-1).mT
    S = S.masked_fill(torch.eye(n, dtype=torch.bool), -1e5)
    if kind == "decoder":
        S = S.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf)
    torch.testing.assert_close(A, S.softmax(-1), atol=1e-4, rtol=0)  # 1e-6 in the norm's root, as Reformer has it


def test_near_vectors_share_a_bucket_more_often_than_far_ones():
    """Two unit vectors at a small angle, and two at random, over 400 pairs and 8 rounds of 16 buckets."""
    config = Config(attention="lsh", chunk=8, hashes=8, d_model=32, n_heads=1, max_len=64)
    module = layer(config)
    generator = torch.Generator().manual_seed(0)
    one, other = torch.nn.functional.normalize(torch.randn(2, 1, 1, 400, 32, generator=generator).double(), dim=-1)
    near = torch.nn.functional.normalize(one + 0.2 * other, dim=-1)
    same = [(module.hash(one) == module.hash(x)).double().mean().item() for x in (near, other)]
    assert same[0] > 0.6 and same[1] < 0.15


def test_a_longer_reach_finds_more_of_the_full_answer():
    """More rounds come nearer to full attention over the same vectors."""
    errors = []
    for hashes in (1, 4, 16):
        config = Config(
            kind="encoder", attention="lsh", chunk=8, hashes=hashes, d_model=32, n_heads=2, position="none", max_len=128
        )
        module, whole = layer(config), layer(dataclasses.replace(config, chunk=128))
        x = torch.randn(1, 128, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            full = whole(x, geometry(config, 128), None, OFF)[0]
            errors.append((module(x, geometry(config, 128), None, OFF)[0] - full).norm().item())
    assert errors[0] > errors[1] > errors[2]


def test_rotations_are_normal_numbers_and_the_same_for_one_config():
    config = Config(attention="lsh", d_model=512, n_heads=8, hashes=8, max_len=4096)
    R = rotations(config)
    assert torch.equal(R, rotations(config)) and R.isfinite().all()
    n = R.numel()
    assert abs(R.mean()) < 5 / n**0.5 and abs(R.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((R.flatten()[1:] * R.flatten()[:-1]).mean()) < 5 / n**0.5  # neighbours know nothing of one another


@pytest.mark.parametrize(
    "max_len, chunk, expected", [(64, 64, (2,)), (1024, 64, (32,)), (16384, 64, (16, 32)), (8, 64, (2,))]
)
def test_how_many_buckets(max_len, chunk, expected):
    assert buckets(Config(attention="lsh", chunk=chunk, max_len=max_len)) == expected


def test_the_two_laws_it_does_not_keep():
    """Its docstring says so; when this fails, the docstring and the exceptions in test_laws can go."""
    config = Config(attention="lsh", chunk=2, d_model=16, n_heads=2, n_layers=2)
    model, ids = model_of(config), ids_for(config, n=24)
    before = model.run(ids).output[:, :-1]
    others = [torch.cat((ids[:, :-1], torch.tensor([[token]])), 1) for token in range(0, config.vocab_size, 16)]
    assert max((model.run(other).output[:, :-1] - before).abs().max() for other in others) > 1e-6
    cache = model.run(ids[:, :20], cache=Cache.empty(2)).cache
    on = model.run(ids[:, 20:], cache=cache).output
    assert on.isfinite().all() and (on - model.run(ids).output[:, 20:]).abs().max() > 1e-6


def test_the_newest_token_alone_is_read_as_with_the_whole_text():
    """One layer: the keys of earlier tokens are what they are, so the last row of the whole is the step's."""
    config = Config(attention="lsh", chunk=4, d_model=16, n_heads=2, n_layers=1)
    model, ids = model_of(config), ids_for(config, n=23)
    cache = model.run(ids[:, :-1], cache=Cache.empty(1)).cache
    for record in ((), "*.A"):
        step = model.run(ids[:, -1:], cache=cache, record=record).output
        torch.testing.assert_close(step, model.run(ids).output[:, -1:], **CLOSE)


def test_its_names_say_what_it_does():
    config = Config(attention="lsh")
    assert names.lookup("layers.0.attention.K", config).computed_from == ("layers.*.attention.Q",)
    assert "C" in names.lookup("layers.0.attention.A", config).formula
