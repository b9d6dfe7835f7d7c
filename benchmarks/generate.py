"""SmolLM2 on this processor: greedy generation and loading, beside Hugging Face on the same weights.

    python -m benchmarks.generate [--rounds 5] [--threads 2]

32 prompt tokens + 64 new ones, both with a KV cache; ours in its default setting, theirs in float32. The two take turns;
the table gives median seconds, the median of the ratios round by round, and on how many of the prompts both chose the
same 64 tokens.
"""

import argparse
import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import transformer
from transformer.presets import PRESETS

PROMPTS = (
    "The quick brown fox jumps over the lazy dog, and then it runs through the forest until it finds a small river. "
    "The water is cold and clear, and",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n\nfor i in range(10):"
    "\n    print(",
    "Photosynthesis is the process by which green plants use sunlight, water and carbon dioxide to make sugar. It happens "
    "in the chloroplasts, which",
    "Once upon a time there was a king who had three daughters. The eldest was proud, the second was clever, and the "
    "youngest, whose name was",
    "In 1905 Albert Einstein published four papers that changed physics. The first of them explained the photoelectric "
    "effect, and the second, on Brownian motion,",
)


def hugging_face(model: transformer.Model) -> LlamaForCausalLM:
    """The same weights in Hugging Face's Llama."""
    config = model.config
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size, hidden_size=config.d_model, intermediate_size=config.d_ff,
            num_hidden_layers=config.n_layers, num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads, max_position_embeddings=config.max_len, rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base}, tie_word_embeddings=True,
        )
    ).eval()  # fmt: skip
    names = {
        "norm_1.gamma": "input_layernorm.weight", "norm_2.gamma": "post_attention_layernorm.weight",
        "attention.W_Q.weight": "self_attn.q_proj.weight", "attention.W_K.weight": "self_attn.k_proj.weight",
        "attention.W_V.weight": "self_attn.v_proj.weight", "attention.W_O.weight": "self_attn.o_proj.weight",
        "ffn.W_1.weight": "mlp.up_proj.weight", "ffn.W_g.weight": "mlp.gate_proj.weight",
        "ffn.W_2.weight": "mlp.down_proj.weight",
    }  # fmt: skip
    ours = model.state_dict()
    state = {"model.embed_tokens.weight": ours["embedding.W_E.weight"], "model.norm.weight": ours["final_norm.gamma"]}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    for i in range(config.n_layers):
        for mine, yours in names.items():
            state[f"model.layers.{i}.{yours}"] = ours[f"stack.blocks.{i}.{mine}"]
    theirs.load_state_dict(state)
    return theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    start = time.perf_counter()
    model, tokenizer = transformer.load("smollm2-135m")
    loading = time.perf_counter() - start
    theirs = hugging_face(model)
    assert model.config == PRESETS["smollm2-135m"]

    seconds: dict[str, list[float]] = {"Hugging Face, float32": [], "ours, default": []}
    same = 0
    for round_ in range(-1, args.rounds):  # round −1 warms up
        ids = tokenizer.encode(PROMPTS[round_ % len(PROMPTS)])[:32]
        start = time.perf_counter()
        expected = theirs.generate(
            torch.tensor([ids]), max_new_tokens=64, min_new_tokens=64, do_sample=False, pad_token_id=0, eos_token_id=None
        )[0, len(ids) :].tolist()
        middle = time.perf_counter()
        chosen = [step.token for step in transformer.generate(model, ids, max_new_tokens=64, temperature=0)]
        end = time.perf_counter()
        if round_ >= 0:
            seconds["Hugging Face, float32"].append(middle - start)
            seconds["ours, default"].append(end - middle)
            same += chosen == expected

    base = seconds["Hugging Face, float32"]
    print(f"SmolLM2-135M, 32 + 64 tokens, greedy, {args.threads} threads, {args.rounds} rounds; load {loading:.2f} s")
    for name, times in seconds.items():
        speed_up = statistics.median(b / t for t, b in zip(times, base, strict=True))
        print(f"  {name:24} {statistics.median(times):6.2f} s   {speed_up:5.2f} times as fast")
    print(f"  same 64 tokens on {same} of {args.rounds} prompts")


if __name__ == "__main__":
    main()
