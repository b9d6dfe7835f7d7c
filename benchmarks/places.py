"""Where tokens stand, as read off the vectors of our small models with positions and without.

    python -m benchmarks.places [--out assets/measured/why-position.json] [--windows 600]

Windows of Romeo and Juliet; two thirds to fit the read-out on, one third to read. Numbers are places, not logarithms.
"""

import argparse
import datetime
import json
from pathlib import Path

import torch

import transformer
from transformer.experiments.permutation import place_read_off
from transformer.training import order, play

ROWS = ("decoder-none", "encoder-none", "decoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path,
                        default=Path(__file__).parents[1] / "assets" / "measured" / "why-position.json")
    parser.add_argument("--windows", type=int, default=600)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found, n = {}, order.LENGTH
    for row in ROWS:
        model, tokenizer = transformer.load(order.FOLDER / row)
        ids = torch.tensor(tokenizer.encode((play.FOLDER / f"{play.TITLE}.txt").read_text("utf-8")))
        windows = ids[: len(ids) // n * n].view(-1, n)[: options.windows]
        cut = len(windows) * 2 // 3
        line, curved = (place_read_off(model, windows[:cut], windows[cut:], squares) for squares in (False, True))
        low, middle, high = curved.said.quantile(torch.tensor([0.05, 0.5, 0.95]), 1).expm1().tolist()
        found[row] = {
            "explained": [round(r, 4) for r in curved.explained.tolist()],
            "explained_by_a_line": [round(r, 4) for r in line.explained.tolist()],
            **{name: [[round(v, 2) for v in layer] for layer in of]
               for name, of in (("low", low), ("middle", middle), ("high", high))},
        }  # fmt: skip
        print(row, "squares", found[row]["explained"], "line", found[row]["explained_by_a_line"], flush=True)
    about = {"command": "python -m benchmarks.places", "date": datetime.date.today().isoformat(), "fitted_on": cut,
             "read_on": len(windows) - cut, "measured": found}  # fmt: skip
    options.out.write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
