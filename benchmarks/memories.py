"""What the loudest neurons of SmolLM2 write, recorded for the sentence that the lesson on the feed-forward network opens with.

    python -m benchmarks.memories        # needs the fetched weights; writes assets/measured/feed-forward-memories.json.xz
"""

import argparse
import datetime
import json
import lzma
from pathlib import Path

import transformer
from transformer.experiments.neurons import memories
from transformer.recording import CAPITAL

FILE = Path(__file__).parents[1] / "assets" / "measured" / "feed-forward-memories.json.xz"
MODEL, NEURONS, WORDS, LAST = "smollm2-135m", 6, 5, 2  # LAST: so many tokens from the end


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what the loudest neurons write.")
    parser.add_argument("--out", type=Path, default=FILE)
    path = parser.parse_args().out
    model, tokenizer = transformer.load(MODEL)
    ids = tokenizer.encode(CAPITAL)
    run = model.run(ids, record=("*.ffn.post", f"layers.{model.config.n_layers - 1}.resid_post"))
    targets = run.output[0].argmax(-1).tolist()

    def pieces(words: tuple[tuple[int, float], ...]) -> list[list]:
        return [[tokenizer.pieces([i])[0], round(effect, 2)] for i, effect in words]

    def of(layer: int, token: int, loudest: bool) -> list[list]:
        found = memories(model, layer, run.trace, token, targets[token], loudest=loudest, count=NEURONS, words=WORDS)
        return [[m.neuron, round(m.a, 3), round(m.target, 4), pieces(m.up), pieces(m.down)] for m in found]

    words = list(range(len(ids) - LAST, len(ids)))
    layers = [[[of(layer, at, loudest) for loudest in (True, False)] for at in words] for layer in range(model.config.n_layers)]
    about = {"command": "python -m benchmarks.memories", "date": datetime.date.today().isoformat(), "model": MODEL,
             "text": CAPITAL, "words": words,
             "targets": [tokenizer.pieces([targets[at]])[0] for at in words], "memories": layers}  # fmt: skip
    path.write_bytes(lzma.compress(json.dumps(about, ensure_ascii=False).encode()))
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
