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
        activation="gelu", qkv_bias=True, out_bias=True, ffn_bias=True, head=head,
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


# Each equals what Hugging Face publishes for the model (tests/transformer/test_presets.py holds them together).
PRESETS: dict[str, Config] = {
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
