"""The models that transformer.PRESETS knows, as learners and links call them."""

from transformer.presets import TEXT_MODELS

NAMES: dict[str, str] = {
    "SmolLM2-135M": "smollm2-135m", "SmolLM2-360M": "smollm2-360m", "SmolLM2-1.7B": "smollm2-1.7b",
    "GPT-2": "gpt2", "GPT-2 medium": "gpt2-medium", "GPT-2 large": "gpt2-large", "GPT-2 XL": "gpt2-xl",
    "Transformer base (2017)": "transformer-base", "Transformer big (2017)": "transformer-big",
    "BERT base": "bert-base", "BERT large": "bert-large", "MiniLM-L6": "minilm-l6", "ALBERT base": "albert-base",
    "Llama 2 7B": "llama-2-7b", "Llama 2 13B": "llama-2-13b", "Llama 2 70B": "llama-2-70b",
    "Llama 3 8B": "llama-3-8b", "Llama 3 70B": "llama-3-70b", "Llama 3.2 1B": "llama-3.2-1b",
    "Mistral 7B": "mistral-7b", "Qwen2 0.5B": "qwen2-0.5b", "Qwen2 1.5B": "qwen2-1.5b", "Qwen2 7B": "qwen2-7b",
    "Mixtral 8x7B": "mixtral-8x7b", "ViT base": "vit-base", "ViT large": "vit-large",
}  # fmt: skip
TEXT: dict[str, str] = {title: name for title, name in NAMES.items() if name in TEXT_MODELS}  # one stack that reads a text
