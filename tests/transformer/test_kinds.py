"""The models that are more than a stack over text: encoder–decoder, vision, heads, narrow tables; in laws and in cost."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import transformer
from tests.transformer.configs import configs, in_one_chunk
from transformer import Cache, Config, cost, names

CLOSE = dict(atol=1e-9, rtol=1e-9)
FEW = settings(max_examples=30, deadline=None)
SOURCE, TARGET = [4, 1, 3, 2, 0, 1], [2, 0, 4, 4]


@st.composite
def two_stacks(draw) -> Config:
    """An encoder–decoder with any mix of options."""
    config = draw(configs(kind="decoder").filter(lambda config: config.attention != "recurrent"))
    return dataclasses.replace(
        config, kind="encoder-decoder", prefix=0, n_encoder_layers=draw(st.integers(1, 3)),
        share_embeddings=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def visions(draw) -> Config:
    """A Vision Transformer with any mix of options."""
    head = draw(st.sampled_from(["classify", "none"]))
    return dataclasses.replace(
        draw(configs(kind="encoder")), kind="vision", image_size=8, patch_size=draw(st.sampled_from([2, 4, 8])),
        channels=draw(st.sampled_from([1, 3])), head=head, n_classes=5 if head == "classify" else None, n_segments=0,
    )  # fmt: skip


@st.composite
def headed(draw) -> Config:
    """A text model with a head of another kind, or narrow tables."""
    config = draw(configs())
    heads = {"encoder": ["mlm", "classify", "lm", "none"], "decoder": ["classify", "lm"]}[config.kind]
    head = draw(st.sampled_from(heads))
    return dataclasses.replace(
        config, head=head, n_classes=3 if head == "classify" else None, d_embed=draw(st.sampled_from([2, config.d_model])),
    )  # fmt: skip


def sharp(config: Config) -> transformer.Model:
    """Weights large enough that attention is far from uniform."""
    model = transformer.build(config, seed=1).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.2, generator=generator)
    return model.double()


def clip(ids: list[int], config: Config) -> list[int]:
    return [i % config.vocab_size for i in ids]


def read(model: transformer.Model, ids=None, source=None, **options) -> transformer.Run:
    """Run whatever kind of model it is on an input of its own kind."""
    config = model.config
    if config.kind == "vision":
        images = torch.rand(2, config.channels, 8, 8, generator=torch.Generator().manual_seed(0))
        return model.run(images, **options)
    ids = clip(TARGET, config) if ids is None else ids
    if config.kind == "encoder-decoder":
        return model.run(ids, clip(SOURCE, config) if source is None else source, **options)
    return model.run(ids, **options)


@settings(max_examples=60, deadline=None)
@given(two_stacks() | visions() | headed())
def test_every_tensor_has_its_name_and_axes_and_the_two_paths_agree(config):
    model = sharp(config)
    run = read(model, record="*")
    assert list(run.trace) == names.of(config)
    n = (8 // config.patch_size) ** 2 + 1 if config.kind == "vision" else len(TARGET)
    for name, tensor in run.trace.items():
        expected = names.shape(name, config, n, len(run.trace["embed"]), source=len(SOURCE))
        same = [s == e or (axis == "batch" and s == 1) for s, e, axis in
                zip(tensor.shape, expected, names.lookup(name).axes, strict=True)]  # fmt: skip
        assert all(same), (name, tensor.shape, expected)
    torch.testing.assert_close(read(model).output, run.output, **CLOSE)


@settings(max_examples=60, deadline=None)
@given(two_stacks() | visions() | headed())
def test_cost_is_what_torch_counts_and_holds(config):
    model = transformer.build(config, seed=0).eval()
    assert sum(cost.parameters(config).values()) == sum(p.numel() for p in model.parameters())
    n, batch = ((8 // config.patch_size) ** 2 + 1, 2) if config.kind == "vision" else (len(TARGET), 1)
    source = len(SOURCE) if config.kind == "encoder-decoder" else None
    with FlopCounterMode(display=False) as counter:
        read(model, record="*.A")
    assert sum(cost.flops(config, n, batch, source=source).values()) == counter.get_total_flops()


@FEW
@given(two_stacks(), st.integers(0, 3))
def test_no_future_token_of_the_target_is_seen_but_all_of_the_source(config, t):
    config = in_one_chunk(config)
    model, ids = sharp(config), clip(TARGET, config)
    other = ids[: t + 1] + [(i + 1) % config.vocab_size for i in ids[t + 1 :]]
    before, after = read(model, ids).output, read(model, other).output
    if config.experts == 1 and config.attention != "lsh":  # as in test_laws
        assert torch.equal(before[:, : t + 1], after[:, : t + 1])
    torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1], atol=1e-12, rtol=1e-12)
    moved = clip(SOURCE, config)
    moved[-1] = (moved[-1] + 1) % config.vocab_size
    assert not torch.equal(read(model, ids, moved).output[:, 0], before[:, 0])


@FEW
@given(two_stacks(), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_a_cached_target_equals_the_whole(config, pieces):
    config = in_one_chunk(config)
    model, ids = sharp(config), torch.tensor([clip(TARGET * 3, config)[: sum(pieces)]])
    source = clip(SOURCE, config)
    cache, parts = Cache.empty(config.n_layers), []
    for i, piece in enumerate(ids.split(pieces, dim=1)):
        run = model.run(piece, None if i else source, cache=cache)
        cache, parts = run.cache, [*parts, run.output]
    torch.testing.assert_close(torch.cat(parts, 1), model.run(ids, source).output, **CLOSE)
    with pytest.raises(ValueError, match="source is read once"):
        model.run(ids, source, cache=cache)


@FEW
@given(two_stacks())
def test_padding_of_source_and_target_changes_nothing(config):
    model, ids, source = sharp(config), clip(TARGET, config), clip(SOURCE, config)
    together = model.run([ids, ids[:2]], [source[:3], source]).output
    torch.testing.assert_close(together[:1], model.run(ids, source[:3]).output, **CLOSE)
    torch.testing.assert_close(together[1:, :2], model.run(ids[:2], source).output, **CLOSE)


@FEW
@given(two_stacks() | visions() | headed())
def test_forward_and_backward_stay_on_the_model_device(config):
    with FakeTensorMode(), torch.device("meta"):
        model = transformer.build(config)
        if config.kind == "vision":
            run = model.run(torch.rand(2, config.channels, 8, 8), record="*", gradients=True)
        else:
            ids = torch.zeros(2, 3, dtype=torch.long)
            source = {"source": torch.zeros(2, 5, dtype=torch.long)} if config.kind == "encoder-decoder" else {}
            run = model.run(ids, record="*", gradients=True, **source)
        assert all(tensor.device.type == "meta" for tensor in run.trace.values())
        run.output.sum().backward()
        if config.kind == "encoder-decoder":
            cache = model.run(ids, torch.zeros(2, 5, dtype=torch.long), cache=Cache.empty(config.n_layers)).cache
            assert model.run(ids[:, :1], cache=cache).output.device.type == "meta"


@FEW
@given(headed())
def test_a_class_is_read_off_a_real_token(config):
    config = dataclasses.replace(config, head="classify", n_classes=3)
    model, ids = sharp(config), clip(TARGET, config)
    alone, padded = model.run(ids[:2]).output, model.run([ids, ids[:2]]).output
    torch.testing.assert_close(padded[1:], alone, **CLOSE)


def test_three_way_tying_is_one_table():
    tied = transformer.build(Config(kind="encoder-decoder", d_model=16, vocab_size=30))
    assert tied.encoder.embedding.W_E is tied.embedding.W_E and tied.W_U is None
    apart = transformer.build(Config(kind="encoder-decoder", d_model=16, vocab_size=30, share_embeddings=False,
                                     tie_embeddings=False))  # fmt: skip
    assert apart.encoder.embedding.W_E is not apart.embedding.W_E and apart.W_U is not None


def test_a_patch_embedding_is_a_convolution_whose_stride_is_its_width():
    config = Config(kind="vision", d_model=16, image_size=12, patch_size=4, n_classes=2, position="none")
    model, images = sharp(config), torch.rand(2, 3, 12, 12, dtype=torch.float64)
    W = model.embedding.W_patch
    conv = torch.nn.functional.conv2d(images, W.weight.view(16, 3, 4, 4), W.bias, stride=4)
    torch.testing.assert_close(model.run(images, record="embed").trace["embed"][:, 1:], conv.flatten(2).mT, **CLOSE)


@pytest.mark.parametrize("images", [torch.rand(2, 3, 9, 9), torch.rand(8, 8), torch.zeros(2, 3, 8, 8).long(), [1, 2]])
def test_a_picture_of_another_shape_is_refused_in_one_sentence(images):
    model = transformer.build(Config(kind="vision", d_model=16, image_size=8, patch_size=4, n_classes=2))
    with pytest.raises(ValueError, match=r"\[batch, 3, 8, 8\]"):
        model.run(images)


def test_a_source_is_asked_for():
    model = transformer.build(Config(kind="encoder-decoder", d_model=16))
    with pytest.raises(ValueError, match="needs a source"):
        model.run([1, 2])
