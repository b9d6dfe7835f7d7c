"""The tap: what it records is what was used, what it edits is what follows, and when it is off it is not there."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings

import transformer
from tests.transformer.configs import configs
from transformer import Config, names
from transformer.sense import WEIGHED

IDS = [3, 1, 4, 1, 0, 2]
PRE = Config(d_model=32, n_layers=3, n_heads=4, n_kv_heads=2, gated=True)
POST = Config(kind="encoder", d_model=32, position="learned", norm="layer", norm_place="post", embed_norm=True, head="lm")


def model_of(config: Config):
    return transformer.build(config, seed=0).eval()


@settings(max_examples=150, deadline=None)
@given(configs())
def test_every_recorded_tensor_is_in_the_glossary_with_its_axes(config):
    trace = model_of(config).run(IDS, record="*").trace
    assert list(trace) == names.of(config)
    for name, tensor in trace.items():
        assert tuple(tensor.shape) == names.shape(name, config, len(IDS)), name
        assert tensor.isfinite().all(), name
        assert not tensor.requires_grad


@settings(max_examples=60, deadline=None)
@given(configs())
def test_off_is_bit_equal_and_recorded_agrees(config):
    model = model_of(config)
    ids = torch.tensor([IDS])
    with torch.no_grad():
        plain = model(ids)
    assert torch.equal(model.run(IDS).output, plain)
    if config.attention in WEIGHED:
        torch.testing.assert_close(model.run(IDS, record="*").output, plain, atol=1e-5, rtol=1e-5)
    model = model.double()  # the others take sums in another order, so that float32 has fewer digits to compare
    torch.testing.assert_close(model.run(IDS, record="*").output, model.run(IDS).output, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("config", [PRE, POST], ids=["pre", "post"])
def test_names_computed_from_exist(config):
    known = set(names.GLOSSARY)
    for key, entry in names.GLOSSARY.items():
        assert set(entry.computed_from) <= known, key


@pytest.mark.parametrize("config, says, reads", [(PRE, r"V = \hat{x} W_V", "norm_1"), (POST, "V = x W_V", "resid_pre")],
                         ids=["pre", "post"])
def test_a_formula_says_what_its_config_computes(config, says, reads):
    model = model_of(config)
    trace = model.run(IDS, record="*").trace
    assert names.formula("layers.1.attention.V", config) == says
    V = model.stack.blocks[1].attention.W_V(trace[f"layers.1.{reads}"])
    torch.testing.assert_close(trace["layers.1.attention.V"].transpose(1, 2).flatten(2), V, atol=1e-6, rtol=1e-5)
    rope = config.position == "rope"
    assert names.formula("layers.0.attention.Q", config) == (r"Q = \operatorname{RoPE}(\hat{x} W_Q)" if rope else "Q = x W_Q")
    assert names.formula("layers.0.ffn.pre", config) == (r"u = \hat{x}' W_1" if config is PRE else "u = x' W_1")


def test_embeddings_plus_every_write_are_the_last_stream():
    trace = model_of(PRE).run(IDS, record="*").trace
    total = trace["embed"].clone()
    for i in range(PRE.n_layers):
        total += trace[f"layers.{i}.attention.out"] + trace[f"layers.{i}.ffn.out"]
    torch.testing.assert_close(total, trace["layers.2.resid_post"], atol=1e-6, rtol=1e-6)


def test_only_what_matches_is_kept():
    trace = model_of(PRE).run(IDS, record=("*.A", "logits")).trace
    assert set(trace) == {"layers.0.attention.A", "layers.1.attention.A", "layers.2.attention.A", "logits"}


def test_a_pattern_that_matches_nothing_names_its_neighbours():
    with pytest.raises(ValueError, match=r"attention\.Q"):
        model_of(PRE).run(IDS, record="layers.0.attention.q")
    with pytest.raises(ValueError, match="no tensor"):
        model_of(PRE).run(IDS, edit={"layers.9.attention.z": torch.zeros_like})
    with pytest.raises(KeyError, match="was not recorded"):
        model_of(PRE).run(IDS, record="logits").trace["layers.0.attention.A"]


def test_an_edit_runs_before_recording_and_changes_what_follows():
    model = model_of(PRE)
    free = model.run(IDS, record="*").trace

    def silence_head_1(z):
        z = z.clone()
        z[:, 1] = 0
        return z

    cut = model.run(IDS, record="*", edit={"layers.1.attention.z": silence_head_1}).trace
    assert cut["layers.1.attention.z"][:, 1].abs().max() == 0
    assert torch.equal(cut["layers.1.attention.A"], free["layers.1.attention.A"])
    assert not torch.allclose(cut["layers.1.attention.out"], free["layers.1.attention.out"])
    assert not torch.allclose(cut["logits"], free["logits"])


@pytest.mark.parametrize("name", ["scores", "A"])
def test_an_edit_inside_attention_is_honoured_though_nothing_is_recorded(name):
    model = model_of(PRE)
    changed = model.run(IDS, edit={f"layers.0.attention.{name}": lambda t: t * 0.5}).output
    assert not torch.allclose(changed, model.run(IDS).output)


def test_an_edit_that_does_nothing_changes_nothing():
    model = model_of(PRE)
    everything = {"*": lambda t: t}
    assert torch.equal(model.run(IDS, record="*", edit=everything).output, model.run(IDS, record="*").output)


@pytest.mark.parametrize("edit", [lambda t: t[..., :1], lambda t: None], ids=["other shape", "no tensor"])
def test_an_edit_must_return_the_same_shape(edit):
    with pytest.raises(ValueError, match=r"the edit of layers\.0\.attention\.Q must return a tensor of shape"):
        model_of(PRE).run(IDS, edit={"layers.0.attention.Q": edit})


def test_gradients_reach_the_recorded_tensors():
    run = model_of(PRE).run(IDS, record=("*.resid_pre", "logits"), gradients=True)
    early = run.trace["layers.0.resid_pre"]
    (gradient,) = torch.autograd.grad(run.output[0, -1, 0], early)
    assert gradient.abs().sum() > 0


def test_shared_layers_still_have_one_name_a_depth():
    config = Config(d_model=32, n_layers=3, share_layers=True)
    model = model_of(config)
    assert len(model.stack.blocks) == 1
    trace = model.run(IDS, record="*.A").trace
    assert len(trace) == 3 and not torch.equal(trace["layers.0.attention.A"], trace["layers.2.attention.A"])


def test_runs_in_threads_do_not_meet():
    model = model_of(PRE)
    texts = [[i, i + 1, 7, 2] for i in range(16)]
    alone = [model.run(ids, record="*.A", edit={"*.z": lambda t: t * 2}).trace for ids in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda ids: model.run(ids, record="*.A", edit={"*.z": lambda t: t * 2}).trace, texts))
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


BAD_IDS = {
    "nothing": ([], "no token"),
    "an empty row": ([[1, 2], []], "no token"),
    "an empty tensor": (torch.zeros(1, 0, dtype=torch.long), "no token"),
    "too large": ([1, 999], "token id 999 is outside the vocabulary of 256"),
    "too large, in a tensor": (torch.tensor([[1, 999]]), "token id 999 is outside"),
    "negative": ([-1], "token id -1 is outside"),
    "text": ("abc", "must be a list of whole numbers"),
    "None": (None, "must be a list of whole numbers"),
    "a bare number": (5, "must be a list of whole numbers"),
    "fractions": ([1.5], "must be a list of whole numbers"),
    "mixed": ([[1, 2], 3], "must be a list of whole numbers"),
    "a float tensor": (torch.zeros(1, 3), "give whole numbers"),
}


@pytest.mark.parametrize("ids, says", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_bad_ids_get_one_sentence(ids, says):
    with pytest.raises(ValueError, match=says):
        model_of(PRE).run(ids)


def test_a_text_longer_than_the_position_table_is_refused():
    model = model_of(Config(d_model=32, position="learned", max_len=5))
    with pytest.raises(ValueError, match="the text has 6 tokens; this model has positions for 5"):
        model.run(IDS)
