"""Known models, by name, as configs."""

from transformer.config import Config


def _gpt2(n_layers: int, d_model: int, n_heads: int) -> Config:
    """Radford et al. 2019: pre-norm, learned positions, tanh-GELU, biases, tied."""
    return Config(
        vocab_size=50_257, max_len=1024, d_model=d_model, n_layers=n_layers, n_heads=n_heads, position="learned",
        norm="layer", activation="gelu_tanh", qkv_bias=True, out_bias=True, ffn_bias=True,
    )  # fmt: skip


def _bert(n_layers: int, d_model: int, n_heads: int, head: str = "none") -> Config:
    """Devlin et al. 2019, arXiv:1810.04805: post-norm, learned positions, exact GELU, two segments; without a head."""
    return Config(
        kind="encoder", vocab_size=30_522, max_len=512, d_model=d_model, n_layers=n_layers, n_heads=n_heads,
        position="learned", n_segments=2, embed_norm=True, norm="layer", norm_place="post", norm_eps=1e-12,
        activation="gelu", qkv_bias=True, out_bias=True, ffn_bias=True, head=head, init="normal",
    )  # fmt: skip


def _llama(
    vocab_size: int, d_model: int, n_layers: int, n_heads: int, n_kv_heads: int, d_ff: int, max_len: int,
    rope_base: float = 10_000.0, tie_embeddings: bool = False, **options: int | float | str | bool,
) -> Config:  # fmt: skip
    """Touvron et al. 2023, arXiv:2302.13971, and what follows it: pre-RMSNorm, RoPE, SwiGLU, no biases."""
    return Config(
        vocab_size=vocab_size, d_model=d_model, n_layers=n_layers, n_heads=n_heads, n_kv_heads=n_kv_heads, d_ff=d_ff,
        max_len=max_len, position="rope", rope_base=rope_base, norm="rms", activation="silu", gated=True,
        tie_embeddings=tie_embeddings, **options,
    )  # fmt: skip


# Each equals what is published for the model (tests/transformer/test_presets.py holds them together).
# One stack over text, its layers dense: what every page can show.
TEXT_MODELS: dict[str, Config] = {
    "smollm2-135m": _llama(49_152, 576, 30, 9, 3, 1536, 8192, rope_base=100_000.0, tie_embeddings=True),
    "smollm2-360m": _llama(49_152, 960, 32, 15, 5, 2560, 8192, rope_base=100_000.0, tie_embeddings=True),
    "smollm2-1.7b": _llama(49_152, 2048, 24, 32, 32, 8192, 8192, rope_base=130_000.0, tie_embeddings=True),
    "gpt2": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    "minilm-l6": _bert(6, 384, 12),
    "bert-base": _bert(12, 768, 12),
    "bert-large": _bert(24, 1024, 16),
    "llama-2-7b": _llama(32_000, 4096, 32, 32, 32, 11_008, 4096),
    "llama-2-13b": _llama(32_000, 5120, 40, 40, 40, 13_824, 4096),
    "llama-2-70b": _llama(32_000, 8192, 80, 64, 8, 28_672, 4096),
    "llama-3-8b": _llama(128_256, 4096, 32, 32, 8, 14_336, 8192, rope_base=500_000.0),
    "llama-3-70b": _llama(128_256, 8192, 80, 64, 8, 28_672, 8192, rope_base=500_000.0),
    "llama-3.2-1b": _llama(
        128_256, 2048, 16, 32, 8, 8192, 131_072, rope_base=500_000.0, tie_embeddings=True,
        rope_scaling="llama3", rope_factor=32.0, rope_original_len=8192,
    ),
    "mistral-7b": _llama(32_000, 4096, 32, 32, 8, 14_336, 32_768, attention="window", window=4096),
    "qwen2-0.5b": _llama(
        151_936, 896, 24, 14, 2, 4864, 131_072, rope_base=1_000_000.0, tie_embeddings=True, qkv_bias=True, norm_eps=1e-6
    ),
    "qwen2-1.5b": _llama(
        151_936, 1536, 28, 12, 2, 8960, 131_072, rope_base=1_000_000.0, tie_embeddings=True, qkv_bias=True,
        norm_eps=1e-6,
    ),
    "qwen2-7b": _llama(
        152_064, 3584, 28, 28, 4, 18_944, 131_072, rope_base=1_000_000.0, qkv_bias=True, norm_eps=1e-6
    ),
}  # fmt: skip


def _vaswani(d_model: int, n_heads: int, d_ff: int, dropout: float) -> Config:
    """Vaswani et al. 2017, arXiv:1706.03762, Table 3: post-norm, sinusoids, ReLU, one table for source, target and output.

    Biases in the FFN alone and 37 000 byte pairs, as in the paper's English–German runs.
    """
    return Config(
        kind="encoder-decoder", vocab_size=37_000, d_model=d_model, n_layers=6, n_heads=n_heads, d_ff=d_ff, max_len=512,
        position="sinusoidal", norm="layer", norm_place="post", activation="relu", ffn_bias=True, scale_embeddings=True,
        dropout=dropout, init="xavier",
    )  # fmt: skip


def _vit(d_model: int, n_layers: int, n_heads: int) -> Config:
    """Dosovitskiy et al. 2021, arXiv:2010.11929: 224 × 224 pixels in patches of 16, 1000 classes, pre-norm."""
    return Config(
        kind="vision", image_size=224, patch_size=16, n_classes=1000, d_model=d_model, n_layers=n_layers,
        n_heads=n_heads, max_len=197, position="learned", norm="layer", norm_eps=1e-12, qkv_bias=True, out_bias=True,
        ffn_bias=True, init="normal",
    )  # fmt: skip


def _mixtral(vocab_size: int, d_model: int, n_layers: int, n_heads: int, n_kv_heads: int, d_ff: int, max_len: int) -> Config:
    """Jiang et al. 2024, arXiv:2401.04088: Llama's block with eight gated experts, two a token."""
    return _llama(
        vocab_size, d_model, n_layers, n_heads, n_kv_heads, d_ff, max_len, rope_base=1_000_000.0, experts=8,
        experts_per_token=2,
    )  # fmt: skip


# Two stacks, images, shared layers, experts.
PRESETS: dict[str, Config] = TEXT_MODELS | {
    "transformer-base": _vaswani(512, 8, 2048, 0.1),
    "transformer-big": _vaswani(1024, 16, 4096, 0.3),
    "albert-base": Config(
        kind="encoder", vocab_size=30_000, max_len=512, d_embed=128, d_model=768, n_layers=12, n_heads=12,
        position="learned", n_segments=2, embed_norm=True, norm="layer", norm_place="post", norm_eps=1e-12,
        activation="gelu_tanh", qkv_bias=True, out_bias=True, ffn_bias=True, share_layers=True, init="normal",
    ),
    "vit-base": _vit(768, 12, 12),
    "vit-large": _vit(1024, 24, 16),
    "mixtral-8x7b": _mixtral(32_000, 4096, 32, 32, 8, 14_336, 32_768),
    "mixtral-mini": _mixtral(256, 128, 4, 4, 2, 256, 512),
}  # fmt: skip


def _granite(d_model: int, n_layers: int, n_heads: int, experts: int) -> Config:
    """IBM's Granite 3.0: many narrow experts, eight a token; its constant multipliers are left out."""
    return _llama(
        49_155, d_model, n_layers, n_heads, 8, 512, 4096, tie_embeddings=True, experts=experts, experts_per_token=8,
        norm_eps=1e-6,
    )  # fmt: skip


# Mixtures of experts whose total and active size lessons compare; the routers add up, the computation is not run here.
MIXTURES: dict[str, Config] = {
    "mixtral-8x7b": PRESETS["mixtral-8x7b"],
    "mixtral-8x22b": _mixtral(32_000, 6144, 56, 48, 8, 16_384, 65_536),
    "granite-3.0-1b-a400m": _granite(1024, 24, 16, 32),
    "granite-3.0-3b-a800m": _granite(1536, 32, 24, 40),
    "qwen3-30b-a3b": _llama(
        151_936, 2048, 48, 32, 4, 768, 40_960, rope_base=1_000_000.0, d_head=128, qk_norm="before", experts=128,
        experts_per_token=8, norm_eps=1e-6,
    ),
}  # fmt: skip
