"""What it costs to record every tensor, beside Hugging Face's plain forward of the same GPT-2; then, for every variant,
beside the same model unrecorded.

    python -m benchmarks.capture [--rounds 200] [--threads 2]

Three forwards take turns, A B C A B C …, so that a slow moment of the machine hits all three; the table gives each
one's median time and the median of the ratios, round by round, to Hugging Face's forward (its default attention).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import transformer

SHAPES = {  # name: (layers, heads, d_model, vocabulary, tokens)
    "tiny (4 layers, 4 heads, d 128, n 64)": (4, 4, 128, 256, 64),
    "GPT-2 small (12 layers, 12 heads, d 768, n 128)": (12, 12, 768, 50_257, 128),
}

VARIANTS = {  # one decoder block each of the tiny shape, where it is not said otherwise
    "plain": {}, "grouped queries": dict(n_kv_heads=1), "latent": dict(attention="latent"),
    "window": dict(attention="window", window=16), "dilated": dict(attention="dilated", dilation=3),
    "strided": dict(attention="strided", dilation=8), "Longformer": dict(attention="longformer", window=16),
    "BigBird": dict(attention="bigbird", window=8), "LSH": dict(attention="lsh", chunk=16),
    "Linformer": dict(kind="encoder", attention="linformer", rank=16), "Performer": dict(attention="performer"),
    "linear": dict(attention="linear"), "recurrent": dict(attention="recurrent"), "general score": dict(score="general"),
    "cosine score": dict(score="cosine"), "additive score": dict(score="additive"), "location score": dict(score="location"),
    "ALiBi": dict(position="alibi"), "T5": dict(position="t5"), "Shaw": dict(position="shaw"), "XL": dict(position="xl"),
    "sandwich": dict(norm_place="sandwich"), "soft cap": dict(soft_cap=30.0), "sinks": dict(sinks=True),
    "gate": dict(gate=True), "experts": dict(experts=4, gated=True),
}  # fmt: skip


def models(layers: int, heads: int, d: int, vocab: int, n: int):
    """The same random GPT-2 twice: theirs and ours."""
    hf_config = GPT2Config(n_layer=layers, n_head=heads, n_embd=d, vocab_size=vocab, n_positions=max(n, 64))
    theirs = GPT2LMHeadModel(hf_config).eval()
    ours = transformer.from_state_dict("gpt2", hf_config.to_dict(), theirs.state_dict())
    return theirs, ours


def measure(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each forward in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    with torch.no_grad():
        for round_ in range(rounds + rounds // 5):
            for name, arm in arms.items():
                start = time.perf_counter()
                arm()
                if round_ >= rounds // 5:  # the first fifth warms up
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for title, shape in SHAPES.items():
        torch.manual_seed(0)
        theirs, ours = models(*shape)
        ids = torch.randint(shape[3], (1, shape[4]))
        gap = float((theirs(ids).logits - ours(ids)).abs().max())
        arms = {
            "Hugging Face, plain": lambda: theirs(ids, use_cache=False).logits,
            "ours, tap off": lambda: ours(ids),
            "ours, recording everything": lambda: ours.run(ids, record="*"),
        }
        seconds = measure(arms, args.rounds if shape[0] < 12 else max(10, args.rounds // 5))
        base = seconds["Hugging Face, plain"]
        print(f"\n{title}; largest difference of logits {gap:.1e}")
        for name, times in seconds.items():
            ratio = statistics.median(t / b for t, b in zip(times, base, strict=True))
            print(f"  {name:28} {1e3 * statistics.median(times):8.2f} ms   ratio {ratio:5.2f}")
    variants(args.rounds)


def variants(rounds: int) -> None:
    """Recording everything, beside the same model with the tap off, at the tiny shape."""
    layers, heads, d, vocab, n = next(iter(SHAPES.values()))
    ids = torch.randint(vocab, (1, n))
    print(f"\nevery variant, {layers} layers, {heads} heads, d {d}, n {n}: recording everything beside the tap off")
    for name, options in VARIANTS.items():
        model = transformer.build(transformer.Config(n_layers=layers, n_heads=heads, d_model=d, vocab_size=vocab,
                                                     max_len=n, **options), seed=0).eval()  # fmt: skip
        seconds = measure({"off": lambda: model(ids), "on": lambda: model.run(ids, record="*")}, rounds)  # noqa: B023
        ratio = statistics.median(on / off for on, off in zip(seconds["on"], seconds["off"], strict=True))
        off, on = (1e3 * statistics.median(seconds[arm]) for arm in ("off", "on"))
        print(f"  {name:16} off {off:7.2f} ms   on {on:7.2f} ms   ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
