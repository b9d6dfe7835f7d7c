"""Each preset is the model that Hugging Face publishes under that name: same fields, same number of parameters."""

import pytest
import torch

hf = pytest.importorskip("transformers")

from transformer import PRESETS, build, cost  # noqa: E402
from transformer.presets import TEXT_MODELS  # noqa: E402
from transformer.pretrained import bert, gpt2, llama  # noqa: E402


def _gpt2(n_layer, n_embd, n_head):
    return hf.GPT2LMHeadModel, gpt2, hf.GPT2Config(n_layer=n_layer, n_embd=n_embd, n_head=n_head)


def _bert(layers, d, heads):
    config = hf.BertConfig(num_hidden_layers=layers, hidden_size=d, num_attention_heads=heads, intermediate_size=4 * d)
    return hf.BertModel, bert, config


def _rope(base, **scaling):
    return {"rope_type": "default", "rope_theta": base} | scaling


def _like_llama(model, config_class, vocab, d, layers, heads, kv_heads, d_ff, length, rope, eps=1e-5, **more):
    config = config_class(
        vocab_size=vocab, hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, intermediate_size=d_ff, max_position_embeddings=length, rms_norm_eps=eps,
        rope_parameters=rope, **more,
    )  # fmt: skip
    return model, llama, config


def _llama(*numbers, **more):
    return _like_llama(hf.LlamaForCausalLM, hf.LlamaConfig, *numbers, **more)


def _qwen2(*numbers, tie):
    return _like_llama(
        hf.Qwen2ForCausalLM, hf.Qwen2Config, *numbers, 131_072, _rope(1e6), eps=1e-6, tie_word_embeddings=tie
    )


LLAMA_3_2 = _rope(
    5e5, rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=8192,
)  # fmt: skip

# The config.json of each model as published, and its number of parameters (BERT's without the pooler).
PUBLISHED = {
    "smollm2-135m": (_llama(49_152, 576, 30, 9, 3, 1536, 8192, _rope(1e5), tie_word_embeddings=True), 134_515_008),
    "smollm2-360m": (_llama(49_152, 960, 32, 15, 5, 2560, 8192, _rope(1e5), tie_word_embeddings=True), 361_821_120),
    "smollm2-1.7b": (
        _llama(49_152, 2048, 24, 32, 32, 8192, 8192, _rope(1.3e5), tie_word_embeddings=True), 1_711_376_384,
    ),
    "gpt2": (_gpt2(12, 768, 12), 124_439_808),
    "gpt2-medium": (_gpt2(24, 1024, 16), 354_823_168),
    "gpt2-large": (_gpt2(36, 1280, 20), 774_030_080),
    "gpt2-xl": (_gpt2(48, 1600, 25), 1_557_611_200),
    "minilm-l6": (_bert(6, 384, 12), 22_713_216 - (384 * 384 + 384)),
    "bert-base": (_bert(12, 768, 12), 109_482_240 - (768 * 768 + 768)),
    "bert-large": (_bert(24, 1024, 16), 335_141_888 - (1024 * 1024 + 1024)),
    "llama-2-7b": (_llama(32_000, 4096, 32, 32, 32, 11_008, 4096, _rope(1e4)), 6_738_415_616),
    "llama-2-13b": (_llama(32_000, 5120, 40, 40, 40, 13_824, 4096, _rope(1e4)), 13_015_864_320),
    "llama-2-70b": (_llama(32_000, 8192, 80, 64, 8, 28_672, 4096, _rope(1e4)), 68_976_648_192),
    "llama-3-8b": (_llama(128_256, 4096, 32, 32, 8, 14_336, 8192, _rope(5e5)), 8_030_261_248),
    "llama-3-70b": (_llama(128_256, 8192, 80, 64, 8, 28_672, 8192, _rope(5e5)), 70_553_706_496),
    "llama-3.2-1b": (
        _llama(128_256, 2048, 16, 32, 8, 8192, 131_072, LLAMA_3_2, tie_word_embeddings=True), 1_235_814_400,
    ),
    "mistral-7b": (
        _like_llama(hf.MistralForCausalLM, hf.MistralConfig, 32_000, 4096, 32, 32, 8, 14_336, 32_768, _rope(1e4)),
        7_241_732_096,
    ),
    "qwen2-0.5b": (_qwen2(151_936, 896, 24, 14, 2, 4864, tie=True), 494_032_768),
    "qwen2-1.5b": (_qwen2(151_936, 1536, 28, 12, 2, 8960, tie=True), 1_543_714_304),
    "qwen2-7b": (_qwen2(152_064, 3584, 28, 28, 4, 18_944, tie=False), 7_615_616_512),
}  # fmt: skip


def test_every_preset_is_checked_here():
    assert set(PUBLISHED) == set(TEXT_MODELS)
    assert set(OTHERS) | {"mixtral-mini"} == set(PRESETS) - set(TEXT_MODELS)  # the miniature is nobody's but ours


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_fields_are_those_published(name):
    (_, family, config), _ = PUBLISHED[name]
    assert family.config(config.to_dict()) == PRESETS[name]


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_parameters_are_those_published(name):
    (model_class, _, config), published = PUBLISHED[name]
    with torch.device("meta"):
        theirs = model_class(config, add_pooling_layer=False) if model_class is hf.BertModel else model_class(config)
        ours = build(PRESETS[name])
    theirs.tie_weights()
    assert sum(p.numel() for p in theirs.parameters()) == published
    assert sum(p.numel() for p in ours.parameters()) == published
    assert sum(cost.parameters(PRESETS[name]).values()) == published


def _on_meta(model_class, config) -> int:
    with torch.device("meta"):
        model = model_class(config)
    model.tie_weights()
    return sum(p.numel() for p in model.parameters())


def _torchs_own(d_model: int, n_heads: int, d_ff: int) -> int:
    """torch.nn's encoder and decoder layers, without the biases that their attention has and the paper's has not, and
    one table of 37 000 rows."""
    with torch.device("meta"):
        both = torch.nn.Transformer(d_model, n_heads, 6, 6, d_ff)
        extra = sum(p.numel() for side in (both.encoder, both.decoder) for p in side.norm.parameters())
        biases = 18 * 4 * d_model
    return sum(p.numel() for p in both.parameters()) - extra - biases + 37_000 * d_model


def _albert():
    model = hf.AlbertConfig(hidden_size=768, num_attention_heads=12, intermediate_size=3072, num_hidden_layers=12)
    return _on_meta(lambda config: hf.AlbertModel(config, add_pooling_layer=False), model)


def _vit(**sizes):
    return _on_meta(hf.ViTForImageClassification, hf.ViTConfig(num_labels=1000, **sizes))


OTHERS = {  # what another implementation counts
    "transformer-base": lambda: _torchs_own(512, 8, 2048),
    "transformer-big": lambda: _torchs_own(1024, 16, 4096),
    "albert-base": _albert,
    "vit-base": _vit,
    "vit-large": lambda: _vit(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
    "mixtral-8x7b": lambda: _on_meta(hf.MixtralForCausalLM, hf.MixtralConfig(vocab_size=32_000)),
}
PUBLISHED_OTHERS = {"vit-base": 86_567_656, "vit-large": 304_326_632, "mixtral-8x7b": 46_702_792_704}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_have_as_many_parameters_as_others_count(name):
    with torch.device("meta"):
        ours = sum(p.numel() for p in build(PRESETS[name]).parameters())
    assert ours == OTHERS[name]() == sum(cost.parameters(PRESETS[name]).values())
    assert ours == PUBLISHED_OTHERS.get(name, ours)


def test_mixtral_reads_thirteen_billion_of_its_parameters_a_token():
    assert round(sum(cost.parameters(PRESETS["mixtral-8x7b"], active=True).values()) / 1e9, 1) == 12.9
