"""A config that makes no sense is refused with one sentence that says what is wrong."""

import pytest

import transformer
from transformer import PRESETS, Config

NONSENSE = {
    "heads do not divide the width": (dict(d_model=10, n_heads=3), "divide"),
    "key/value heads do not divide heads": (dict(n_heads=4, n_kv_heads=3), "n_kv_heads"),
    "unknown option value": (dict(norm="batchnorm"), "layer, rms, batch, none"),
    "misspelt option": (dict(d_modle=64), "did you mean 'd_model'"),
    "text for a number": (dict(d_model="64"), "whole number"),
    "a bool for a number": (dict(n_layers=True), "whole number"),
    "a number for a bool": (dict(gated=1), "True or False"),
    "nothing at all": (dict(n_layers=0), "at least 1"),
    "odd head under RoPE": (dict(d_model=6, n_heads=2), "even"),
    "odd width under sinusoids": (dict(d_model=9, n_heads=3, position="sinusoidal"), "even"),
    "scaling without RoPE": (dict(position="learned", rope_scaling="yarn"), "needs position='rope'"),
    "window without a width": (dict(attention="window"), "needs window"),
    "dilated without a step": (dict(attention="dilated"), "needs dilation"),
    "width without a window": (dict(window=4), "no meaning"),
    "step without a pattern": (dict(dilation=4), "no meaning"),
    "final norm of nothing": (dict(norm="none", final_norm=True), "needs a norm"),
    "embedding norm of nothing": (dict(norm="none", embed_norm=True), "needs a norm"),
    "decoder without a head": (dict(head="none"), "must be 'lm'"),
    "dropout of everything": (dict(dropout=1.0), "below 1"),
    "epsilon zero": (dict(norm_eps=0.0), "above 0"),
    "stretch below one": (dict(rope_factor=0.5), "at least 1"),
    "base of one": (dict(rope_base=1.0), "above 1"),
    "negative segments": (dict(n_segments=-1), "0 or more"),
    "None where nothing can be derived": (dict(d_model=None), "whole number"),
    "not a number": (dict(norm_eps=float("nan")), "finite number"),
}


@pytest.mark.parametrize("options, says", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_refused_in_one_sentence(options, says):
    with pytest.raises(ValueError) as refusal:
        Config(**options)
    message = str(refusal.value)
    assert says in message
    assert "\n" not in message and message.endswith((".", "?"))


def test_derived_fields_read_as_numbers():
    config = Config(d_model=64, n_heads=4)
    assert (config.d_head, config.n_kv_heads, config.d_ff) == (16, 4, 256)
    assert config.final_norm is True and config.head == "lm"
    assert Config(kind="encoder", norm_place="post").final_norm is False


@pytest.mark.parametrize("name", PRESETS)
def test_round_trip_through_plain_values(name):
    assert Config(**PRESETS[name].to_dict()) == PRESETS[name]


def test_build_takes_a_config_only():
    with pytest.raises(ValueError, match="takes a transformer.Config, not dict"):
        transformer.build({"d_model": 64})


def test_the_design_example_builds_and_runs():
    config = Config(
        d_model=64, n_layers=2, n_heads=4, attention="dilated", dilation=3, position="rope", norm="rms",
        activation="silu", gated=True,
    )  # fmt: skip
    run = transformer.build(config, seed=0).eval().run(list(range(9)), record="*.A")
    A = run.trace["layers.1.attention.A"]
    reads = [(q, k) for q in range(9) for k in range(9) if A[0, :, q, k].abs().sum() > 0]
    assert reads == [(q, k) for q in range(9) for k in range(q + 1) if (q - k) % 3 == 0]
