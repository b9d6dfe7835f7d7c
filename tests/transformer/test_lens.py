"""The logit lens: at the last layer it is the model, before it the model cut short."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from torch import nn

import transformer
from tests.transformer.configs import configs
from transformer import Config
from transformer.lens import logit_lens, read_early, streams

IDS = [3, 1, 4, 1, 0, 2]


@settings(max_examples=40, deadline=None)
@given(configs(kind="decoder"))
def test_the_last_stream_says_what_the_model_says(config):
    model = transformer.build(config, seed=0).eval()
    run = model.run(IDS, record=streams(model))
    assert list(run.trace) == streams(model)
    assert torch.equal(read_early(model, run.trace[streams(model)[-1]]), run.output)


@pytest.mark.parametrize("config", [
    Config(d_model=32, n_layers=4, n_heads=4),
    Config(d_model=32, n_layers=4, n_heads=4, norm="layer", norm_place="post"),
    Config(d_model=32, n_layers=4, n_heads=4, kind="encoder", head="mlm", norm="layer"),
], ids=["pre", "post", "mlm"])  # fmt: skip
def test_an_early_stream_says_what_a_model_without_the_later_layers_would(config):
    model = transformer.build(config, seed=0).eval()
    trace = model.run(IDS, record="*.resid_post").trace
    for depth in (1, 2, 3):
        short = transformer.build(dataclasses.replace(config, n_layers=depth))
        short.load_state_dict({name: w for name, w in model.state_dict().items() if name in short.state_dict()})
        said = read_early(model, trace[f"layers.{depth - 1}.resid_post"])
        torch.testing.assert_close(said, short.eval().run(IDS).output, atol=1e-6, rtol=1e-6)


def test_readings_are_those_of_the_softmax():
    model = transformer.build(Config(vocab_size=30, d_model=32, n_layers=3, n_heads=4), seed=0).eval()
    nn.init.normal_(model.embedding.W_E.weight)
    run = model.run([IDS, IDS[::-1]], record=streams(model))
    chosen = run.output.argmax(-1)
    readings = list(logit_lens(model, run.trace, chosen, k=4))
    assert [r.name for r in readings] == streams(model)
    for reading in readings:
        p = read_early(model, run.trace[reading.name]).softmax(-1)
        for b in range(2):
            for t in range(6):
                ranked = p[b, t].sort(descending=True)
                assert reading.tokens[b, t].tolist() == ranked.indices[:4].tolist()
                assert torch.equal(reading.probabilities[b, t], ranked.values[:4])
                assert reading.target_rank[b, t] == ranked.indices.tolist().index(chosen[b, t])
                assert reading.target_probability[b, t] == p[b, t, chosen[b, t]]
                assert reading.entropy[b, t].item() == pytest.approx(float(-(p[b, t] * p[b, t].log()).sum()), rel=1e-5)
    assert (readings[-1].target_rank == 0).all()
    one = next(logit_lens(model, run.trace, 7))
    assert torch.equal(one.target_probability, read_early(model, run.trace[one.name]).softmax(-1)[..., 7])


def test_what_cannot_be_read_is_refused():
    model = transformer.build(Config(kind="encoder", d_model=32), seed=0)
    with pytest.raises(ValueError, match="names no tokens"):
        read_early(model, torch.zeros(1, 1, 32))
    model = transformer.build(Config(d_model=32), seed=0)
    with pytest.raises(ValueError, match="no stream was recorded"):
        list(logit_lens(model, {}, 0))
