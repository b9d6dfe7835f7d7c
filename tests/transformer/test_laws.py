"""Laws that hold for every config: no leaks, one meaning for two paths, the cache changes nothing, nor do neighbours."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

import transformer
from tests.transformer.configs import configs, in_one_chunk, placeless
from transformer import Cache, Config
from transformer.attention import Attention, masked_softmax
from transformer.geometry import Geometry

CLOSE = dict(atol=1e-9, rtol=1e-9)  # in float64: without norms values grow, and a law holds or it does not


def model_of(config: Config, std: float = 0.2):
    """Larger weights than at the start of training, so that attention is far from uniform."""
    model = transformer.build(config, seed=1).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, std, generator=torch.Generator().manual_seed(p.numel()))
    return model.double()


def ids_for(config: Config, batch: int = 1, n: int = 9, seed: int = 0) -> torch.Tensor:
    return torch.randint(config.vocab_size, (batch, n), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=80, deadline=None)
@given(configs())
def test_textbook_path_equals_fused_path(config):
    model, ids = model_of(config), ids_for(config, batch=2)
    with torch.no_grad():
        fused = model(ids)
    torch.testing.assert_close(model.run(ids, record="*.A").output, fused, **CLOSE)


@settings(max_examples=80, deadline=None)
@given(configs(kind="decoder").filter(lambda config: config.attention != "lsh"), st.integers(0, 7))
def test_a_future_token_changes_no_earlier_output(config, t):
    """Bit for bit. Not LSH: a later token takes a place in the order by which earlier ones meet (see ``hashing.LSH``). With
    several experts to the last digits: one that reads more tokens multiplies a taller matrix, which rounds otherwise."""
    model, ids = model_of(config), ids_for(config)
    t = max(t, config.prefix - 1)  # within a prefix all tokens see one another
    other = ids.clone()
    other[:, t + 1 :] = (other[:, t + 1 :] + 1) % config.vocab_size
    for record in ((), "*"):
        before, after = model.run(ids, record=record).output, model.run(other, record=record).output
        if config.experts == 1:
            assert torch.equal(before[:, : t + 1], after[:, : t + 1])
        torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1], atol=1e-12, rtol=1e-12)


@settings(max_examples=80, deadline=None)
@given(configs(kind="decoder"), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans())
def test_cached_equals_full(config, pieces, textbook):
    config = in_one_chunk(config)
    pieces = [max(pieces[0], config.prefix), *pieces[1:]]  # the prefix is read in one piece
    model, ids = model_of(config), ids_for(config, batch=2, n=sum(pieces))
    with torch.no_grad():
        full = model(ids)
    cache, parts = Cache.empty(config.n_layers), []
    for chunk in ids.split(pieces, dim=1):
        run = model.run(chunk, cache=cache, record="*.A" if textbook else ())
        cache, parts = run.cache, [*parts, run.output]
    assert cache.length == sum(pieces)
    torch.testing.assert_close(torch.cat(parts, 1), full, **CLOSE)


def test_two_continuations_of_one_cache_do_not_meet():
    config = Config(d_model=32)
    model = model_of(config)
    trunk = model.run([1, 2, 3], cache=Cache.empty(2)).cache
    left, right = model.run([4, 5], cache=trunk), model.run([6, 7], cache=trunk)
    torch.testing.assert_close(left.output, model.run([1, 2, 3, 4, 5]).output[:, 3:], **CLOSE)
    torch.testing.assert_close(right.output, model.run([1, 2, 3, 6, 7]).output[:, 3:], **CLOSE)
    on = model.run([8], cache=left.cache)
    torch.testing.assert_close(on.output, model.run([1, 2, 3, 4, 5, 8]).output[:, 5:], **CLOSE)


@settings(max_examples=60, deadline=None)
@given(configs())
def test_batched_equals_single(config):
    model, ids = model_of(config), ids_for(config, batch=3)
    together = model.run(ids).output
    for row, alone in zip(together, ids, strict=True):
        torch.testing.assert_close(row[None], model.run(alone).output, **CLOSE)


@settings(max_examples=60, deadline=None)
@given(configs(), st.booleans())
def test_padding_changes_nothing(config, textbook):
    model = model_of(config)
    long, short = ids_for(config)[0].tolist(), ids_for(config, n=5, seed=3)[0].tolist()
    record = "*" if textbook else ()
    padded = model.run([long, short], record=record).output
    torch.testing.assert_close(padded[:1], model.run(long, record=record).output, **CLOSE)
    torch.testing.assert_close(padded[1:, :5], model.run(short, record=record).output, **CLOSE)
    assert padded.isfinite().all()


@settings(max_examples=40, deadline=None)
@given(configs(kind="decoder"), st.booleans())
def test_padding_on_the_left_changes_nothing_and_its_empty_rows_stay_finite(config, textbook):
    model, short = model_of(config), ids_for(config, n=5)
    ids = torch.cat((torch.zeros(1, 3, dtype=torch.long), short), 1)
    real = torch.arange(8)[None] >= 3
    positions = (torch.arange(8)[None] - 3).clamp(min=0)
    tap = transformer.tap.RecordingTap("*" if textbook else (), names=transformer.names.of(config))
    with torch.no_grad():
        padded = model(ids, real=real, positions=positions, tap=tap)
    assert padded.isfinite().all()
    torch.testing.assert_close(padded[:, 3:], model.run(short).output, **CLOSE)


@settings(max_examples=40, deadline=None)
@given(configs(kind="decoder"))
def test_cached_reading_of_a_padded_batch(config):
    """Padding in the middle of a row (a short first piece, then more) is never read."""
    model = model_of(placeless(config))
    first = model.run([[1, 2, 3, 4], [1, 2]], cache=Cache.empty(config.n_layers))
    second = model.run(torch.tensor([[0], [3]]), cache=first.cache)
    torch.testing.assert_close(second.output[1:], model.run([1, 2, 3]).output[:, 2:], **CLOSE)


def test_a_fully_masked_row_gives_zeros_and_no_nan_gradient():
    S = torch.randn(1, 2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, False, True, False], [False] * 4, [True] * 4])[None, None]
    A = masked_softmax(S, mask)
    assert A[:, :, 1].abs().max() == 0
    torch.testing.assert_close(A.sum(-1)[:, :, [0, 2]], torch.ones(1, 2, 2))
    A.square().sum().backward()
    assert S.grad.isfinite().all()


@settings(max_examples=40, deadline=None)
@given(configs(kind="encoder"), st.permutations(range(9)))
def test_without_positions_outputs_permute_with_the_tokens(config, order):
    config = placeless(config)
    model, ids = model_of(config), ids_for(config)
    torch.testing.assert_close(model.run(ids[:, list(order)]).output, model.run(ids).output[:, list(order)], **CLOSE)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_fewer_key_value_heads_are_multi_head_attention_with_shared_weights(n_kv_heads):
    config = Config(d_model=32, n_heads=4, n_kv_heads=n_kv_heads, qkv_bias=True)
    grouped, multi = model_of(config), model_of(dataclasses.replace(config, n_kv_heads=4))
    state = grouped.state_dict()
    for name in [n for n in state if ".W_K." in n or ".W_V." in n]:
        heads = state[name].unflatten(0, (n_kv_heads, 8))
        state[name] = heads.repeat_interleave(4 // n_kv_heads, 0).flatten(0, 1)
    multi.load_state_dict(state)
    torch.testing.assert_close(multi.run(ids_for(config)).output, grouped.run(ids_for(config)).output, **CLOSE)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_attention_is_torchs_multihead_attention(dtype, tolerance):
    config = Config(kind="encoder", d_model=24, n_heads=3, position="none", qkv_bias=True, out_bias=True)
    ours = model_of(config).stack.blocks[0].attention.to(dtype)
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(24, 3, batch_first=True, dtype=dtype)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.W_Q.weight, ours.W_K.weight, ours.W_V.weight]))
        theirs.in_proj_bias.copy_(torch.randn(72))
        for linear, bias in zip((ours.W_Q, ours.W_K, ours.W_V), theirs.in_proj_bias.chunk(3), strict=True):
            linear.bias.copy_(bias)
        theirs.out_proj.weight.copy_(ours.W_O.weight)
        theirs.out_proj.bias.copy_(ours.W_O.bias)
    x = torch.randn(2, 7, 24, dtype=dtype)
    seen = Geometry(config, torch.arange(7)[None], torch.arange(7)[None])
    expected, weights = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(ours(x, seen, None, transformer.tap.OFF)[0], expected, atol=tolerance, rtol=tolerance)
    tap = transformer.tap.RecordingTap("A", names=["A", "scores", "Q", "K", "V", "z"])
    ours(x, seen, None, tap)
    torch.testing.assert_close(tap.trace["A"], weights, atol=tolerance, rtol=tolerance)
    assert isinstance(ours, Attention)


@settings(max_examples=20, deadline=None)
@given(configs())
def test_everything_stays_on_the_model_device(config):
    """Under fake tensors with another default device, a mask or position left on the CPU raises."""
    with FakeTensorMode(), torch.device("meta"):
        model = transformer.build(config)
        ids = torch.zeros(2, 6, dtype=torch.long)
        real = torch.ones(2, 6, dtype=torch.bool)
        for padding in (None, real):
            run = model.run(ids, real=padding, record="*", gradients=True)
            assert all(tensor.device.type == "meta" for tensor in run.trace.values())
            model(ids, real=padding).sum().backward()
        if config.kind == "decoder":
            cache = model.run(ids, cache=Cache.empty(config.n_layers)).cache
            assert model.run(ids[:, :1], cache=cache).output.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine")
@settings(max_examples=40, deadline=None)
@given(configs())
def test_on_a_real_gpu(config):
    model, ids = model_of(config), ids_for(config)
    here = model.float().run(ids).output
    there = model.to(transformer.device.pick_device()).run(ids).output
    torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(configs())
def test_trains_a_step(config):
    model = transformer.build(config, seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model(ids_for(config, batch=2)).square().mean().backward()
    optimizer.step()
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.isfinite().all() for p in model.parameters())


def test_the_same_seed_builds_the_same_weights():
    config = Config(d_model=32)
    one, two, other = (transformer.build(config, seed=s).state_dict() for s in (5, 5, 6))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embedding.W_E.weight"], other["embedding.W_E.weight"])
