"""What it costs to record every tensor, beside Hugging Face's plain forward of the same GPT-2.

    python -m benchmarks.capture [--rounds 200] [--threads 2]

Three forwards take turns, A B C A B C …, so that a slow moment of the machine hits all three; the table gives each
one's median time and the median of the ratios, round by round, to Hugging Face's forward (its default attention).
"""

import argparse
import statistics
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import transformer

SHAPES = {  # name: (layers, heads, d_model, vocabulary, tokens)
    "tiny (4 layers, 4 heads, d 128, n 64)": (4, 4, 128, 256, 64),
    "GPT-2 small (12 layers, 12 heads, d 768, n 128)": (12, 12, 768, 50_257, 128),
}


def models(layers: int, heads: int, d: int, vocab: int, n: int):
    """The same random GPT-2 twice: theirs and ours."""
    hf_config = GPT2Config(n_layer=layers, n_head=heads, n_embd=d, vocab_size=vocab, n_positions=max(n, 64))
    theirs = GPT2LMHeadModel(hf_config).eval()
    ours = transformer.from_state_dict("gpt2", hf_config.to_dict(), theirs.state_dict())
    return theirs, ours


def measure(theirs, ours, ids: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of each forward in each round."""
    arms = {
        "Hugging Face, plain": lambda: theirs(ids, use_cache=False).logits,
        "ours, tap off": lambda: ours(ids),
        "ours, recording everything": lambda: ours.run(ids, record="*"),
    }
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
        seconds = measure(theirs, ours, ids, args.rounds if shape[0] < 12 else max(10, args.rounds // 5))
        base = seconds["Hugging Face, plain"]
        print(f"\n{title}; largest difference of logits {gap:.1e}")
        for name, times in seconds.items():
            ratio = statistics.median(t / b for t, b in zip(times, base, strict=True))
            print(f"  {name:28} {1e3 * statistics.median(times):8.2f} ms   ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
