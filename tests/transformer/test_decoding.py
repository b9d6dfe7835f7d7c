"""Half-precision steps: only where they are faster, never stale, and the same text."""

import pytest
import torch

import transformer
from transformer import Cache, Config, decoding
from transformer.device import half_precision

CONFIG = Config(vocab_size=300, d_model=64, n_layers=3, n_heads=4, n_kv_heads=2, gated=True, qkv_bias=True)


needs_half = pytest.mark.skipif(
    half_precision(torch.zeros(1).device) is None, reason="float32 is as fast on this processor"
)


def frozen(config: Config = CONFIG):
    return transformer.build(config, seed=0).eval().requires_grad_(False)


def test_matrices_are_halved_and_everything_else_is_shared():
    model = frozen()
    copy = decoding.half_copy(model, torch.float16)
    own = {name: p for name, p in model.named_parameters()}
    for name, p in copy.named_parameters():
        if p.dtype == torch.float16:
            assert name.endswith(".weight") and p.dim() == 2
        else:
            assert p.data_ptr() == own[name].data_ptr(), name
    assert copy.W_U.weight.dtype == torch.float16  # the tied head too, while the embedding table stays


@pytest.mark.parametrize("tied", [True, False])
def test_a_step_in_half_precision_is_close(tied):
    model = frozen(Config(**{**CONFIG.to_dict(), "tie_embeddings": tied}))
    copy = decoding.half_copy(model, torch.float16)
    cache = model.run([5, 6, 7], cache=Cache.empty(3)).cache
    one = torch.tensor([[8]])
    exact, _ = model.extend(one, cache)
    near, _ = copy.extend(one, cache)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, atol=2e-3, rtol=2e-3)


def test_a_model_that_gains_nothing_steps_by_itself(monkeypatch):
    small = frozen()
    assert decoding.stepper(small) is small
    monkeypatch.setattr(decoding, "WORTHWHILE_BYTES", 0)
    training, double = transformer.build(CONFIG, seed=0), frozen().double()
    assert decoding.stepper(training) is training
    assert decoding.stepper(double) is double


@needs_half
def test_the_copy_is_made_once_and_anew_when_the_weights_change(monkeypatch):
    monkeypatch.setattr(decoding, "WORTHWHILE_BYTES", 0)
    model = frozen()
    copy = decoding.stepper(model)
    assert copy is not model and decoding.stepper(model) is copy
    model.stack.blocks[0].ffn.W_2.weight.mul_(2)
    assert decoding.stepper(model) is not copy


@needs_half
def test_the_real_model_steps_in_half_precision(smollm2):
    assert decoding.stepper(smollm2[0]) is not smollm2[0]


def test_generation_is_the_same_text_exact_or_not(smollm2):
    model, tokenizer = smollm2
    for prompt in ("Once upon a time there was", "def add(a, b):\n    ", "Der Hund schläft, und die Katze"):
        ids = tokenizer.encode(prompt)
        texts = [
            [step.token for step in transformer.generate(model, ids, max_new_tokens=24, temperature=0, exact=exact)]
            for exact in (True, False)
        ]
        assert texts[0] == texts[1], tokenizer.decode(texts[0])
