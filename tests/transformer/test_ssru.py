"""SSRU: the recurrence is its equation, a cache changes nothing, nothing leaks, and it costs what is said."""

import dataclasses

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import transformer
from transformer import Cache, Config, cost, counter, names
from transformer.config import source_side
from transformer.positions import sinusoidal
from transformer.pretrained import native
from transformer.ssru import shares
from transformer.tokenizers import Characters

CLOSE = dict(atol=1e-10, rtol=1e-10)
DECODER = Config(
    vocab_size=20, d_model=16, n_heads=2, n_layers=2, attention="ssru", position="sinusoidal", norm="layer", norm_place="post"
)
BOTH = Config(
    kind="encoder-decoder", vocab_size=20, d_model=16, n_heads=2, n_layers=2, n_encoder_layers=3, attention="ssru",
    position="sinusoidal", sinusoid_layout="half", logit_bias=True, qkv_bias=True,
)  # fmt: skip


def sharp(config: Config):
    model = transformer.build(config, seed=1).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.4, generator=generator)
    return model.double()


def test_it_is_its_equation_written_as_a_loop():
    model = sharp(DECODER)
    run, unit = model.run(torch.randint(20, (2, 7)), record="layers.0.*"), model.stack.blocks[0].attention
    x, c, written = run.trace["layers.0.resid_pre"], torch.zeros(2, 16, dtype=torch.float64), []
    for t in range(7):
        f = 1 / (1 + torch.exp(-(x[:, t] @ unit.W_f.weight.T + unit.W_f.bias)))
        c = f * c + (1 - f) * (x[:, t] @ unit.W.weight.T)
        written.append(c.clamp(min=0))
    torch.testing.assert_close(run.trace["layers.0.attention.out"], torch.stack(written, 1), **CLOSE)


def test_what_is_left_of_each_token_adds_up_to_the_state():
    """c_t is the candidates weighed coordinate by coordinate; for forgetting that is alike in all, by ``shares`` itself."""
    f = torch.rand(1, 6, 1, dtype=torch.float64).expand(1, 6, 5)
    new, c, states = torch.randn(1, 6, 5, dtype=torch.float64), torch.zeros(1, 5, dtype=torch.float64), []
    for t in range(6):
        c = f[:, t] * c + (1 - f[:, t]) * new[:, t]
        states.append(c)
    W = shares(f)
    torch.testing.assert_close(W @ new, torch.stack(states, 1), **CLOSE)
    torch.testing.assert_close(W.sum(-1), 1 - f[..., 0].cumprod(1), **CLOSE)
    assert torch.equal(W, W.tril())


@pytest.mark.parametrize("pieces", [[1] * 8, [3, 1, 4], [8]])
def test_reading_piece_by_piece_changes_nothing(pieces):
    model, ids = sharp(DECODER), torch.randint(20, (2, 8), generator=torch.Generator().manual_seed(3))
    full, cache, parts = model.run(ids).output, Cache.empty(2), []
    for chunk in ids.split(pieces, 1):
        run = model.run(chunk, cache=cache)
        cache, parts = run.cache, [*parts, run.output]
    torch.testing.assert_close(torch.cat(parts, 1), full, **CLOSE)
    assert cache.length == 8 and cache.k_pos.shape[1] == 0
    kept = sum(t.numel() for layer in cache.layers for t in layer.tensors)
    assert kept == 2 * cost.kv_cache_bytes(DECODER, 8, bytes_per_value=1) == 2 * 2 * 16  # two texts


def test_a_cached_translation_equals_one_at_once_and_beams_keep_their_own_state():
    model, source = sharp(BOTH), torch.randint(20, (1, 5), generator=torch.Generator().manual_seed(4))
    ids = torch.randint(20, (1, 6), generator=torch.Generator().manual_seed(5))
    full = model(ids, source)
    logits, cache = model.extend(ids[:, :2], Cache.empty(2), source)
    cache = cache.rows(torch.tensor([0, 0]))
    other = torch.cat((ids, (ids + 1) % 20))
    for t in range(2, 6):
        logits, cache = model.extend(other[:, t : t + 1], cache)
        torch.testing.assert_close(logits[:1, 0], full[:, t], **CLOSE)
    assert not torch.allclose(logits[0], logits[1])


def test_the_future_and_padding_change_nothing():
    model, ids = sharp(DECODER), torch.randint(20, (1, 8), generator=torch.Generator().manual_seed(6))
    other = ids.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 20
    assert torch.equal(model.run(ids).output[:, :5], model.run(other).output[:, :5])
    short = ids[0, :4].tolist()
    padded = model.run([ids[0].tolist(), short]).output
    torch.testing.assert_close(padded[1:, :4], model.run(short).output, **CLOSE)
    left = torch.cat((torch.zeros(1, 3, dtype=torch.long), ids), 1)
    real = torch.arange(11)[None] >= 3
    moved = model(left, real=real, positions=(torch.arange(11)[None] - 3).clamp(min=0))
    torch.testing.assert_close(moved[:, 3:], model.run(ids).output, **CLOSE)


@pytest.mark.parametrize("config", [DECODER, BOTH], ids=["decoder", "both"])
def test_every_tensor_has_its_name_and_its_shape(config):
    source = [[1, 2, 3]] if config is BOTH else []
    run = transformer.build(config, seed=0).eval().run([1, 2, 3, 4], *source, record="*")
    assert list(names.of(config)) and set(run.trace) == set(names.of(config))
    for name, tensor in run.trace.items():
        assert tensor.shape == names.shape(name, config, 4, source=3), name
    assert "layers.0.attention.A" not in run.trace and "layers.0.attention.state" in run.trace
    if config is BOTH:
        assert "encoder.layers.2.attention.A" in run.trace and source_side(config).attention == "full"
        assert names.lookup("encoder.layers.0.attention.out", config).formula != names.lookup("layers.0.attention.out", config).formula


@pytest.mark.parametrize("config", [DECODER, BOTH], ids=["decoder", "both"])
def test_it_costs_what_torch_counts_and_has_as_many_parameters_as_said(config):
    model = transformer.build(config, seed=0).eval()
    assert sum(p.numel() for p in model.parameters()) == sum(cost.parameters(config).values())
    inputs = (torch.ones(1, 6, dtype=torch.long),) * (2 if config is BOTH else 1)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.run(*inputs, record="*")
    assert counted.get_total_flops() == sum(cost.flops(config, 6).values())
    if config is DECODER:
        parts = counter.count(model, inputs[0])
        assert parts["QKV"] == 2 * 2 * (2 * 6 * 16 * 16) and parts["scores"] == parts["z"] == 0


def test_it_learns():
    model = transformer.build(DECODER, seed=0)
    model(torch.randint(20, (2, 5))).square().mean().backward()
    unit = model.stack.blocks[0].attention
    assert {name for name, _ in unit.named_parameters()} == {"W.weight", "W_f.weight", "W_f.bias"}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in unit.parameters())


@pytest.mark.parametrize("options, says", [
    (dict(kind="encoder", position="learned"), "left to right"), (dict(position="rope"), "no queries and keys to turn"),
    (dict(position="none", gate=True), "leave qk_norm and gate out"), (dict(position="none", sinks=True), "sinks has no meaning"),
    (dict(position="alibi"), "no table of scores"), (dict(position="none", prefix=2), "attention with a mask"),
])  # fmt: skip
def test_nonsense_is_refused_in_one_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        Config(attention="ssru", **options)


def test_the_other_layout_of_sinusoids_is_that_of_the_papers_code():
    PE = sinusoidal(torch.arange(5), 8, layout="half")
    speeds = [10_000 ** -(i / 3) for i in range(4)]
    expected = [[f(pos * s) for f in (torch.sin, torch.cos) for s in map(torch.tensor, speeds)] for pos in range(5)]
    torch.testing.assert_close(PE, torch.tensor(expected), atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="sinusoid_layout"):
        Config(position="rope", sinusoid_layout="half")
    with pytest.raises(ValueError, match="logit_bias"):
        Config(kind="encoder", logit_bias=True)


@pytest.mark.parametrize("config", [DECODER, BOTH], ids=["decoder", "both"])
def test_forward_backward_and_a_cached_step_stay_on_the_model_device(config):
    with FakeTensorMode(), torch.device("meta"):
        model, ids = transformer.build(config), torch.zeros(2, 3, dtype=torch.long)
        source = {"source": torch.zeros(2, 5, dtype=torch.long)} if config is BOTH else {}
        run = model.run(ids, record="*", gradients=True, **source)
        assert all(tensor.device.type == "meta" for tensor in run.trace.values())
        run.output.sum().backward()
        cache = model.run(ids, cache=Cache.empty(config.n_layers), **source).cache
        assert model.run(ids[:, :1], cache=cache).output.device.type == "meta"


@pytest.mark.parametrize("shared", [True, False])
def test_an_encoder_decoder_is_saved_and_opened(tmp_path, shared):
    """With one table for both sides it is written once, and is one again when opened."""
    config = dataclasses.replace(BOTH, share_embeddings=shared)
    model = transformer.build(config, seed=3).eval()
    native.save(model, Characters("abcdefghijklmnopqrs▸", start="▸"), tmp_path, {"seed": 3})
    again, tokenizer = transformer.load(tmp_path)
    assert torch.equal(again.run([1, 2], [3, 4]).output, model.run([1, 2], [3, 4]).output)
    assert (again.encoder.embedding.W_E.weight is again.embedding.W_E.weight) == shared
    assert tokenizer.start_id == 19 and tokenizer.encode("cab") == [2, 0, 1] and tokenizer.decode([19, 0]) == "▸a"
    with pytest.raises(ValueError, match="knows 19 characters"):
        tokenizer.encode("▸")
