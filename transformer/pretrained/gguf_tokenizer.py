"""The tokenizer in a GGUF's metadata, rebuilt with the ``tokenizers`` library."""

from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from transformer.tokenizers import Tokenizer, Wrapped

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2 = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), letters])


# How a text is cut into words before merging, by llama.cpp's name for it.
WORDS = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama-bpe": lambda: _split(_LLAMA_3),
    "qwen2": lambda: _split(_QWEN_2),
}
SPECIAL = 3  # token_type: control tokens, found in a text before it is cut


def tokenizer(metadata: dict[str, Any], path: Path) -> Tokenizer:
    """Byte-level BPE from tokens and merges. ValueError for the kinds that cannot be rebuilt."""
    kind, cut = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or cut not in WORDS:
        raise ValueError(
            f"{path} has a tokenizer of the kind {kind!r}/{cut!r}, which cannot be rebuilt; "
            "open the model's safetensors checkpoint, which has a tokenizer.json."
        )
    tokens, merges, types = (metadata.get(f"tokenizer.ggml.{part}") for part in ("tokens", "merges", "token_type"))
    if not all(isinstance(part, list) for part in (tokens, merges, types)) or len(tokens) != len(types):
        raise ValueError(f"{path} lacks tokens, their types or merges, so its tokenizer cannot be rebuilt.")
    try:
        vocab = {token: i for i, token in enumerate(tokens)}
        inner = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[tuple(merge.split(" ", 1)) for merge in merges]))
    except Exception as error:  # the library raises bare Exception for merges that make no sense
        raise ValueError(f"{path} has a damaged tokenizer ({error}); fetch or copy it again.") from error
    inner.pre_tokenizer = WORDS[cut]()
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(
        [tokenizers.AddedToken(tokens[i], special=True, normalized=False) for i, t in enumerate(types) if t == SPECIAL]
    )
    return Wrapped(inner, metadata.get("tokenizer.ggml.eos_token_id"))
