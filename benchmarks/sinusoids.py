"""How long the word's vector and the position's are in trained models, and what share of their sum is position.

    python -m benchmarks.sinusoids [--out assets/measured/sinusoids.json]

The first tokens of Macbeth at the places 0 … 47, as Marian (where it has been fetched), MiniLM (learned positions) and
our own decoders embed them; each as it is, and as it would be with √d taken away or put in.
"""

import argparse
import datetime
import json
from pathlib import Path

import torch

import transformer
from transformer import positions
from transformer.models import Model
from transformer.pretrained.fetch import is_fetched
from transformer.training.order import FOLDER
from transformer.training.plays import plays

NAMES = {"marian-en-pt": "marian-en-pt", "minilm-l6": "minilm-l6", "ours, × √d": str(FOLDER / "decoder"),
         "ours, as they are": str(FOLDER / "decoder-unscaled")}  # fmt: skip
PLACES = 48


@torch.no_grad()
def measured(model: Model, ids: list[int]) -> dict:
    """Middling lengths, and the mean share, over ``ids`` [token] in windows of ``PLACES``."""
    config = model.config
    rows = torch.tensor(ids[: len(ids) // PLACES * PLACES]).view(-1, PLACES)
    E = model.embedding.W_E.weight[rows].float()  # [window, place, model]
    there = torch.arange(PLACES)[None]
    learned = config.position == "learned"
    waves = positions.sinusoidal(there, config.d_model, layout=config.sinusoid_layout)
    P = model.embedding.W_P(there) if learned else waves
    times = config.d_model**0.5
    return {
        "d": config.d_model, "scaled": config.scale_embeddings, "positions": config.position,
        "table": round(E.norm(dim=-1).median().item(), 3),
        "times_sqrt_d": round((E * times).norm(dim=-1).median().item(), 3),
        "position": round(P.norm(dim=-1).median().item(), 3),
        "share_with": round(positions.share(E * times, P).mean().item(), 4),
        "share_without": round(positions.share(E, P).mean().item(), 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path,
                        default=Path(__file__).parents[1] / "assets" / "measured" / "sinusoids.json")
    parser.add_argument("--tokens", type=int, default=960)
    options = parser.parse_args()
    text = plays()["macbeth"][:20_000]
    found = {}
    for name, path in NAMES.items():
        archive = "marian-en-pt" if name.startswith("marian") else name
        if name.startswith("ours") or is_fetched(archive):
            model, tokenizer = transformer.load(path)
            found[name] = measured(model, tokenizer.encode(text)[: options.tokens])
            print(name, found[name])
    about = {"command": "python -m benchmarks.sinusoids", "date": datetime.date.today().isoformat(),
             "text": f"the first {options.tokens} tokens of Macbeth, at places 0 to {PLACES - 1}",
             "measured": found}  # fmt: skip
    options.out.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
