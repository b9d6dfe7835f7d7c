"""What SmolLM2's tied table says of a text without any layer, and how the stream leaves a token's row for another.

    python -m benchmarks.tied_table [--out assets/measured/tied-table.json]

Recorded for those who have not fetched the model; it must be here.
"""

import argparse
import datetime
import json
from pathlib import Path

import transformer
from transformer.experiments import tying
from transformer.recording import CAPITAL, PRONOUN, REPEAT

MODEL = "smollm2-135m"


def rounded(value: object) -> object:
    """Tensors as lists of numbers to four digits."""
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("assets/measured/tied-table.json"))
    options = parser.parse_args()
    model, tokenizer = transformer.load(MODEL)
    texts = {}
    for text in (CAPITAL, PRONOUN, REPEAT):
        found = tying.alone(model, tokenizer, text)
        texts[text] = {name: rounded(value.tolist() if hasattr(value, "tolist") else value)
                       for name, value in found._asdict().items()}  # fmt: skip
        print(f"{text!r}: {int((found.rank == 0).sum())} of {len(found.pieces)} tokens are their own best match")
    made = {"command": "python -m benchmarks.tied_table", "date": datetime.date.today().isoformat(), "model": MODEL}
    options.out.write_text(json.dumps({"made": made, "texts": texts}, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
