"""A config.json alone: each family's and our own give the config; what is none gives one sentence."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transformer.configs import configs
from transformer import PRESETS, Config
from transformer.pretrained.config_file import compact, config_of

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 128_256, "hidden_size": 4096,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14_336,
    "max_position_embeddings": 8192, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
}  # fmt: skip


def test_a_hugging_face_config_is_the_preset():
    assert config_of(json.dumps(LLAMA)) == PRESETS["llama-3-8b"]
    gpt2 = {"model_type": "gpt2", "vocab_size": 50_257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
    assert config_of(json.dumps(gpt2)) == PRESETS["gpt2"]


@pytest.mark.parametrize("name", PRESETS)
def test_our_own_dict_and_its_shortest_form_give_the_config_back(name):
    config = PRESETS[name]
    assert config_of(json.dumps(config.to_dict())) == config
    assert config_of(json.dumps({"format": "glassformer", "config": config.to_dict()})) == config
    assert config_of(compact(config)) == config and len(compact(config)) < 500


@settings(max_examples=60, deadline=None)
@given(configs())
def test_any_config_survives_a_link(config):
    assert config_of(compact(config)) == config


@pytest.mark.parametrize("text, says", [
    ("", "not JSON"), ("{", "not JSON"), ("[" * 5000, "not JSON|one object"), ("[1]", "one object"), ("{}", "no model_type"),
    ('{"a": ' + "9" * 5000 + "}", "not JSON"), ("x" * 200_000, "characters long"),
    ('{"model_type": "mamba"}', "'mamba' is not known"), ('{"model_type": ["gpt2"]}', "is not known"),
    ('{"d_model": 64, "bogus": 1}', "no option 'bogus'"), ('{"d_model": "wide"}', "whole number"),
    ('{"d_model": 100000000000}', "no model has more"), ('{"d_model": 64, "experts": 5000}', "no model has more"),
    ('{"d_model": 8388608, "n_layers": 67108864}', "parameters; at most"),
    (json.dumps(LLAMA | {"num_attention_heads": 0}), "above 0"), (json.dumps(LLAMA | {"hidden_act": ["silu"]}), "activation"),
    (json.dumps(LLAMA | {"rope_scaling": {"rope_type": "linear", "factor": "two"}}), "above 0"),
    (json.dumps(LLAMA | {"rope_theta": [1]}), "not of the kind"), ('{"format": "glassformer", "config": 3}', "not of the kind"),
])  # fmt: skip
def test_what_is_no_config_gives_one_sentence(text, says):
    with pytest.raises(ValueError, match=says) as problem:
        config_of(text)
    assert "\n" not in str(problem.value) and len(str(problem.value)) < 300


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(LLAMA)), st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                                                   lambda inner: st.lists(inner, max_size=2)))  # fmt: skip
def test_no_value_of_a_field_is_worse_than_a_sentence(field, value):
    try:
        config = config_of(json.dumps(LLAMA | {field: value}))
    except ValueError:
        return
    assert dataclasses.is_dataclass(config) and isinstance(config, Config)
