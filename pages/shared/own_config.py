"""Whose numbers a calculator counts: models by the names that people call them, or the learner's own numbers."""

from __future__ import annotations

import streamlit as st

from transformer import Config

MODELS = {  # as the learner and the link call it -> as transformer.PRESETS does
    "SmolLM2-135M": "smollm2-135m", "SmolLM2-360M": "smollm2-360m", "SmolLM2-1.7B": "smollm2-1.7b",
    "GPT-2": "gpt2", "GPT-2 medium": "gpt2-medium", "GPT-2 large": "gpt2-large", "GPT-2 XL": "gpt2-xl",
    "BERT base": "bert-base", "BERT large": "bert-large", "MiniLM-L6": "minilm-l6",
    "Llama 2 7B": "llama-2-7b", "Llama 2 13B": "llama-2-13b", "Llama 2 70B": "llama-2-70b",
    "Llama 3 8B": "llama-3-8b", "Llama 3 70B": "llama-3-70b", "Llama 3.2 1B": "llama-3.2-1b",
    "Mistral 7B": "mistral-7b", "Qwen2 0.5B": "qwen2-0.5b", "Qwen2 1.5B": "qwen2-1.5b", "Qwen2 7B": "qwen2-7b",
}  # fmt: skip


def own_config(first: Config) -> Config:
    """Boxes for the learner's numbers, in the link, and the config that they make.

    Where they make none, one sentence says why, and the last good one stays: `first` at the start, whose numbers the boxes
    begin with. Positions cost nothing here: there are none, and no longest text.
    """
    left, right = st.columns(2)
    d = left.number_input("d, width", 1, 32_768, first.d_model, key="d", bind="query-params")
    layers = right.number_input("Layers", 1, 256, first.n_layers, key="layers", bind="query-params")
    heads = left.number_input("Query heads", 1, 256, first.n_heads, key="heads", bind="query-params")
    kv_heads = right.number_input("K/V heads", 1, 256, first.n_kv_heads, key="kv_heads", bind="query-params")
    d_ff = left.number_input("d_ff", 1, 131_072, first.d_ff, key="d_ff", bind="query-params")
    vocab = right.number_input("Vocabulary", 1, 1_000_000, first.vocab_size, key="vocab", bind="query-params")
    gated = st.toggle("Gated FFN (three matrices)", first.gated, key="gated", bind="query-params")
    try:
        config = Config(
            d_model=d, n_layers=layers, n_heads=heads, n_kv_heads=kv_heads, d_ff=d_ff, vocab_size=vocab, gated=gated,
            position="none", max_len=2**20,
        )  # fmt: skip
    except ValueError as problem:
        st.warning(str(problem), icon=":material/info:")
        return st.session_state.get("_own_config", first)
    st.session_state["_own_config"] = config
    return config
