"""What averaging or squeezing key/value heads costs a trained model before any further training.

    python -m benchmarks.shared_heads [--out assets/measured/shared-heads.json] [--tokens 192]

The first tokens of Macbeth, read by SmolLM2 (where it has been fetched) and by the tiny model.
"""

import argparse
import datetime
import json
from pathlib import Path

import torch

import transformer
from transformer.experiments import sharing
from transformer.pretrained.fetch import is_fetched
from transformer.training.plays import plays


def measured(name: str, text: str, tokens: int) -> dict:
    model, tokenizer = transformer.load(name)
    ids = tokenizer.encode(text)[:tokens]
    before, widest = model.run(ids).output[0], sharing.numbers_kept(model.config)
    step, full, known = widest // 12, sharing.full_rank(model.config), sharing.bases(model)
    kept = list(range(step, widest + 1, step))
    latent = [sharing.effect(before, sharing.squeezed(model, min(rank, full), known), ids) for rank in kept]
    grouped = {h_kv: sharing.effect(before, sharing.regrouped(model, h_kv), ids)
               for h_kv in sharing.choices(model.config.n_kv_heads)}  # fmt: skip
    for rank, found in zip(kept, latent, strict=True):
        print(f"{name:<14} latent {rank:>4} numbers   KL {found.kl:6.3f}   same {found.same:5.1%}   loss {found.loss:.3f}")
    for h_kv, found in grouped.items():
        print(f"{name:<14} h_kv   {h_kv:>4}           KL {found.kl:6.3f}   same {found.same:5.1%}   loss {found.loss:.3f}")
    return {
        "tokens": len(ids), "kept": kept, "full_rank": full,
        "latent": {field: [round(getattr(found, field), 5) for found in latent] for field in sharing.Effect._fields},
        "grouped": {str(h_kv): {field: round(value, 5) for field, value in found._asdict().items()} for h_kv,
                    found in grouped.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path,
                        default=Path(__file__).parents[1] / "assets" / "measured" / "shared-heads.json")
    parser.add_argument("--tokens", type=int, default=192)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = plays()["macbeth"]
    about = {
        "command": "python -m benchmarks.shared_heads", "date": datetime.date.today().isoformat(),
        "text": f"the first {options.tokens} tokens of Macbeth",
        "measured": {name: measured(name, text, options.tokens) for name in ("tiny",
            "smollm2-135m") if name == "tiny" or is_fetched(name)},
    }  # fmt: skip
    options.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
