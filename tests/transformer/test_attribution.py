"""Direct logit attribution: the shares add up to the logit, and each is what its part's absence takes away."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from tests.transformer.configs import configs
from transformer import Config
from transformer.attribution import carried_back, direct, needed
from transformer.norms import BatchNorm, LayerNorm, RMSNorm

IDS = [[3, 1, 4, 1, 0, 2], [2, 2, 0, 1, 4, 3]]


def model_of(config: Config):
    """Everything drawn anew, biases and norms too, so that no share is zero by chance."""
    model = transformer.build(config, seed=0).eval().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1.0 if "gamma" in name else 0.0, 0.3, generator=generator)
        for name, b in model.named_buffers():
            if "mean" in name or "variance" in name:
                b.uniform_(0.5, 1.5, generator=generator)
    return model


@settings(max_examples=150, deadline=None)
@given(configs(kind="decoder"), st.integers(0, 4), st.none() | st.integers(0, 4))
def test_the_shares_add_up_to_the_logit(config, target, against):
    model = model_of(config)
    run = model.run(IDS, record=needed(model))
    found = direct(model, run.trace, target, against)
    logit = run.output[..., target] - (0 if against is None else run.output[..., against])
    torch.testing.assert_close(found.total, logit, rtol=1e-9, atol=1e-9)
    assert found.heads.shape == (config.n_layers, config.n_heads, 2, 6) and found.ffn.shape == (config.n_layers, 2, 6)


VARIANTS = [
    {}, {"norm": "layer", "norm_place": "post"}, {"norm_place": "sandwich"}, {"norm": "batch"},
    {"norm": "batch", "norm_place": "post"}, {"norm": "none"}, {"final_norm": False}, {"gate": True},
    {"out_bias": True}, {"attention": "latent"}, {"attention": "linear"}, {"share_layers": True}, {"d_embed": 8}, {"tie_embeddings": False},
    {"experts": 3, "shared_experts": 1}, {"norm": "layer", "norm_place": "post", "final_norm": True},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_shares_add_up_in_every_kind_of_block(options):
    model = model_of(Config(vocab_size=11, d_model=16, n_layers=3, n_heads=2, **options))
    run = model.run(IDS, record=needed(model))
    torch.testing.assert_close(direct(model, run.trace, 7, 2).total, run.output[..., 7] - run.output[..., 2])


@pytest.mark.parametrize("norm_place", ["pre", "post", "sandwich"])
def test_the_shares_add_up_where_a_source_is_read(norm_place):
    shape = dict(vocab_size=11, d_model=16, n_layers=2, n_heads=2)
    model = model_of(Config(kind="encoder-decoder", norm_place=norm_place, **shape))
    run = model.run(IDS, [[5, 6, 7], [8, 9, 10]], record=needed(model))
    found = direct(model, run.trace, 7)
    assert found.cross.shape == (2, 2, 2, 6)
    torch.testing.assert_close(found.total, run.output[..., 7])


def test_in_float32_within_one_in_ten_thousand():
    model = transformer.build(Config(d_model=64, n_layers=6, n_heads=4), seed=0).eval()
    run = model.run(IDS, record=needed(model))
    found = direct(model, run.trace, 7)
    assert ((found.total - run.output[..., 7]).abs() <= 1e-4 * run.output[..., 7].abs().clamp(min=0.1)).all()


def test_a_share_is_what_is_missing_when_its_part_is_gone_and_the_norm_stays_as_it_was():
    """By brute force: take the part out of the last stream, normalise with the old scale, multiply by W_U."""
    config = Config(vocab_size=11, d_model=16, n_layers=2, n_heads=2, norm="layer", out_bias=True)
    model = model_of(config)
    run = model.run(IDS, record=needed(model))
    found, last = direct(model, run.trace, 7), run.trace["layers.1.resid_post"]
    norm, W_U = model.final_norm, model.embedding.W_E.weight
    sigma = (last.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()

    def logit(x):
        return ((x - x.mean(-1, keepdim=True)) / sigma * norm.gamma + norm.beta) @ W_U[7]

    torch.testing.assert_close(logit(last), run.output[..., 7])
    torch.testing.assert_close(found.embed, logit(last) - logit(last - run.trace["embed"]))
    for i, block in enumerate(model.stack.blocks):
        ffn = run.trace[f"layers.{i}.ffn.out"]
        torch.testing.assert_close(found.ffn[i], logit(last) - logit(last - ffn))
        for h in range(2):
            written = run.trace[f"layers.{i}.attention.z"][:, h] @ block.attention.W_O.weight[:, 8 * h : 8 * h + 8].T
            torch.testing.assert_close(found.heads[i, h], logit(last) - logit(last - written))


@pytest.mark.parametrize("make", [LayerNorm, RMSNorm, BatchNorm])
def test_a_direction_is_carried_back_through_a_norm(make):
    torch.manual_seed(0)
    norm = make(8, 1e-5).double().eval()
    for p in norm.parameters():
        torch.nn.init.normal_(p)
    x, u = torch.randn(2, 3, 8).double(), torch.randn(2, 3, 8).double()
    back, shift = carried_back(norm, x, u)
    torch.testing.assert_close((x * back).sum(-1) + shift, (norm(x) * u).sum(-1))


def test_a_head_that_is_no_matrix_is_refused():
    config = Config(kind="encoder", head="mlm", vocab_size=11, d_model=16, n_heads=2)
    for other in (config, dataclasses.replace(config, head="none")):
        with pytest.raises(ValueError, match="head='lm'"):
            direct(transformer.build(other), {}, 3)


def test_in_a_real_model_one_head_says_paris_and_silencing_it_costs_paris(smollm2):
    """What the recorded sentences say of layer 23, head 4."""
    model, tokenizer = smollm2
    ids, paris = tokenizer.encode("The capital of France is"), tokenizer.encode(" Paris")[0]
    run = model.run(ids, record=needed(model))
    found = direct(model, run.trace, paris)
    torch.testing.assert_close(found.total, run.output[..., paris], rtol=1e-4, atol=1e-4)
    assert divmod(int(found.heads[:, :, 0, -1].argmax()), 9) == (23, 4)
    last = run.output[0, -1, paris]
    edit = {"layers.23.attention.z": lambda z: z * (torch.arange(9) != 4)[:, None, None]}
    assert model.run(ids, edit=edit).output[0, -1, paris] < last - 3
