"""Tied and shared: what is saved, that it is one storage, that its gradient is the sum of both uses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from transformer import PRESETS, Config, build, cost, names
from transformer.experiments import tying
from transformer.recording import CAPITAL

MEASURED = Path(__file__).parents[2] / "assets/measured/tied-table.json"


def total(config):
    return sum(cost.parameters(config).values())


def small(**options):
    return Config(**{"vocab_size": 40, "d_model": 16, "n_layers": 3, "n_heads": 2, **options})


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 90), st.sampled_from([8, 16, 24]), st.integers(1, 4))
def test_tying_saves_one_table(V, d, layers):
    config = Config(vocab_size=V, d_model=d, n_layers=layers, n_heads=2)
    saved = total(tying.variant(config, False, False)) - total(tying.variant(config, True, False))
    assert saved == V * d
    made = [build(tying.variant(config, tied, False)) for tied in (True, False)]
    assert sum(p.numel() for p in made[1].parameters()) - sum(p.numel() for p in made[0].parameters()) == V * d


def test_the_three_way_tie_saves_two():
    base = PRESETS["transformer-base"]
    untied, three = tying.variant(base, False, False, one_table=False), tying.variant(base, True, False, one_table=True)
    assert total(untied) - total(three) == 2 * 37_000 * 512
    assert three == base


@pytest.mark.parametrize("name", ["albert-base", "gpt2", "llama-3-8b"])
def test_sharing_divides_the_blocks_by_the_layers_and_no_flops(name):
    config = PRESETS[name]
    apart, shared = (tying.variant(config, config.tie_embeddings, one) for one in (False, True))

    def in_blocks(c):
        parts, norm = cost.parameters(c), {"layer": 2, "rms": 1}[c.norm]
        outside = norm * (c.d_model * c.final_norm + c.d_embed * c.embed_norm)
        return parts["attention"] + parts["ffn"] + parts["norms"] - outside

    assert in_blocks(apart) == config.n_layers * in_blocks(shared)
    assert cost.flops(apart, n=128) == cost.flops(shared, n=128)
    assert cost.trace_bytes(apart, 128) == cost.trace_bytes(shared, 128)  # activations are not shared
    assert names.of(apart) == names.of(shared)  # one name a depth, all the same


def test_a_shared_layer_computes_other_things_at_each_depth():
    model = build(small(share_layers=True), seed=0).eval()
    trace = model.run([1, 2, 3], record="layers.*.attention.Q").trace
    assert len(trace) == 3 and not torch.equal(trace["layers.0.attention.Q"], trace["layers.2.attention.Q"])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_the_addresses_that_are_really_read(tied, shared):
    model = build(small(tie_embeddings=tied, share_layers=shared), seed=0).eval()
    found = tying.reads(model, [1, 2, 3])
    at = {(read.use, read.weight): read.address for read in found}
    assert list(dict.fromkeys(read.use for read in found)) == ["look-up", "layer 0", "layer 1", "layer 2", "last product"]
    assert (at["look-up", "W_E"] == at["last product", "W_U"]) is tied
    for weight in ("W_Q", "W_K", "W_V", "W_O", "W_1", "W_2"):
        assert len({at[f"layer {i}", weight] for i in range(3)}) == (1 if shared else 3)
    before, after = tying.change_one(model)
    assert after - before == pytest.approx(1 if tied else 0, abs=1e-6)


@pytest.mark.parametrize("one_table", [True, False])
def test_source_and_target_look_up_one_table(one_table):
    config = small(kind="encoder-decoder", position="sinusoidal", share_embeddings=one_table, n_layers=2)
    at = {(read.use, read.weight): read.address for read in tying.reads(build(config, seed=0).eval(), [1, 2])}
    assert (at["source look-up", "W_E"] == at["look-up", "W_E"]) is one_table
    assert at["look-up", "W_E"] == at["last product", "W_U"]
    assert {use for use, _ in at} >= {"encoder layer 1", "layer 1"} and ("layer 0", "cross W_Q") in at


@pytest.mark.parametrize("scaled", [False, True])
def test_the_gradient_of_a_tied_table_is_the_sum_of_both_uses(scaled):
    model = build(small(scale_embeddings=scaled), seed=1).double()
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    found = tying.gradients(model, ids)
    torch.testing.assert_close(found.input + found.output, found.whole, rtol=0, atol=1e-10)
    assert set(found.input.abs().sum(1).nonzero()[:, 0].tolist()) == set(ids[:-1])  # the last is never read
    assert (found.output.abs().sum(1) > 0).all()
    assert model.embedding.W_E.weight.grad is None  # nothing is left behind


def test_on_the_trained_model_too():
    model, tokenizer = transformer.load("tiny")
    found = tying.gradients(model, tokenizer.encode("My cat Zibbo loves fish. Every day Zibbo"))
    assert (found.input + found.output - found.whole).abs().max() < 1e-6
    assert found.loss > 0 and found.input.norm() > 0.01 and found.output.norm() > 0.01


def test_gradients_ask_for_a_tied_decoder_and_a_next_token():
    with pytest.raises(ValueError, match="at least two"):
        tying.gradients(build(small()), [1])
    with pytest.raises(ValueError, match="whose last matrix is its table"):
        tying.gradients(build(small(tie_embeddings=False)), [1, 2])


def test_a_tied_table_alone_is_symmetric():
    """Without layers a tied model's logits are E Eᵀ: “New → York” as likely as “York → New”; untied they need not be."""
    table = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    found = tying.likeness(table, [4, 7, 9], k=3)
    torch.testing.assert_close(found.dots, found.dots.mT)
    torch.testing.assert_close(found.dots.diag(), table[[4, 7, 9]].square().sum(1))
    cosines = torch.nn.functional.cosine_similarity(table[4], table)
    cosines[4] = -2
    assert found.nearest[0].tolist() == cosines.topk(3).indices.tolist()
    assert found.rank[0] == (table @ table[4] > table[4] @ table[4]).sum()


def test_the_walk_ends_at_the_models_answer():
    model, tokenizer = transformer.load("tiny")
    ids = tokenizer.encode("The king is dead")
    run = model.run(ids, record=("layers.0.resid_pre", "layers.*.resid_post", "logits"))
    walk = tying.walk(model, run.trace, ids, every=2)
    p = run.trace["logits"][0].softmax(-1)
    assert walk.depth == [0, 2, 4]
    torch.testing.assert_close(walk.answer[-1], p.max(-1).values)
    torch.testing.assert_close(walk.own[-1], p[range(len(ids)), ids])


def test_the_recorded_table_is_the_models(smollm2):
    kept = json.loads(MEASURED.read_text("utf-8"))["texts"][CAPITAL]
    found = tying.alone(*smollm2, CAPITAL)
    np.testing.assert_allclose(kept["dots"], found.dots.numpy(), rtol=1e-3)
    np.testing.assert_allclose(kept["own"], found.own.numpy(), rtol=5e-3, atol=1e-6)
    assert kept["rank"] == found.rank.tolist() and kept["answers"][-1] == " Paris" == found.answers[-1]
