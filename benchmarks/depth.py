"""What the lessons on depth show of their first sentence before anything is computed on the learner's machine.

    python -m benchmarks.depth        # needs SmolLM2: python -m transformer fetch smollm2-135m

Writes assets/measured/norm-placement.json and assets/measured/residual.json: gradient, signal and similarity by layer in
untrained stacks (transformer/experiments/depth.py and paths.py), SmolLM2 without its final norm (final_norm.py), and
SmolLM2 with each layer's branches or residual path cut (skipping.py). All of it is deterministic; a page computes the same
on any other text.
"""

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

import transformer
from transformer.experiments import depth, final_norm, paths, skipping
from transformer.recording import CAPITAL

FOLDER = Path(__file__).parents[1] / "assets" / "measured"
MODEL = "smollm2-135m"
STARTS = {  # lesson -> variant -> what ``depth.sweep`` is asked for
    "norm-placement": {"pre": {"place": "pre"}, "post": {"place": "post"}, "sandwich": {"place": "sandwich"}},
    "residual": {f"{norm} {share}": {"norm": norm, "share": share} for norm in ("layer", "none") for share in (1.0, 0.0)},
}  # fmt: skip
FIELDS = {"norm-placement": ("weights", "signal", "stream", "turned"), "residual": ("signal", "stream", "apart", "alike")}


def rounded(x: Tensor | float, digits: int = 3) -> list | float | None:
    """As JSON: so many significant digits, None for nan."""
    if isinstance(x, Tensor):
        return [rounded(one, digits) for one in x] if x.dim() else rounded(x.item(), digits)
    return None if math.isnan(x) else float(f"{x:.{digits}g}")


def start(lesson: str) -> dict:
    """variant -> field -> the spread over the seeds, a row for each depth as long as the stack has places."""
    found = {}
    for variant, options in STARTS[lesson].items():
        swept = list(depth.sweep(depth.bytes_of(CAPITAL), **options))
        found[variant] = {field: of_depths(depth.spread(swept, field)) for field in FIELDS[lesson]}
        print(lesson, variant, flush=True)
    return found


def of_depths(spread: depth.Spread) -> dict[str, list]:
    return {name: [rounded(row[: layers + 1]) for row, layers in zip(rows, depth.DEPTHS, strict=True)]
            for name, rows in spread._asdict().items()}  # fmt: skip


def named(tokenizer, ids: Iterable[int]) -> list[str]:
    return [tokenizer.pieces([i])[0] for i in ids]


def without_final_norm(model, tokenizer) -> dict:
    ids = tokenizer.encode(CAPITAL)
    found = {way: final_norm.said(model, ids, way) for way in final_norm.WAYS}
    numbers = {way: {name: rounded(getattr(of, name), 5) for name in ("entropy", "loss", "spread", "sigma")}
               for way, of in found.items()}  # fmt: skip
    tops = {way: final_norm.tops(found["as trained"].p, of.p) for way, of in found.items()}
    for way, top in tops.items():
        numbers[way] |= {"top": [named(tokenizer, row) for row in top.ids.tolist()],
                         "before": rounded(top.before, 5), "after": rounded(top.after, 5)}  # fmt: skip
    return {"pieces": tokenizer.pieces(ids), "ways": numbers}


def flow(model, tokenizer) -> dict:
    """What the layers do to the last token's stream, and to the first one's."""
    n = model.config.n_layers
    names = [f"layers.{i}.resid_pre" for i in range(n)] + [f"layers.{n - 1}.resid_post"]
    trace = model.run(tokenizer.encode(CAPITAL), record=names).trace
    found = depth.flow(torch.cat([trace[name] for name in names]))
    return {name: rounded(values[[0, -1]]) for name, values in found._asdict().items()}


def cuts(model, tokenizer) -> dict:
    ids = tokenizer.encode(CAPITAL)
    rows = list(skipping.skipped(model, ids))
    stack = {name: torch.stack([getattr(row, name) for row in rows]) for name in ("loss", "kl", "entropy", "before", "after")}
    whole, entropy = skipping.as_trained(model, ids)
    return {
        "pieces": tokenizer.pieces(ids), "whole": rounded(whole, 5), "entropy_whole": rounded(entropy, 5),
        "top": [[named(tokenizer, cut) for cut in row.ids.tolist()] for row in rows],
        **{name: rounded(values, 5) for name, values in stack.items()},
        "collapse": {str(share): {name: rounded(value, 3) for name, value in skipping.collapse(model, ids, share)._asdict().items()}
                     for share in skipping.SHARES},
    }  # fmt: skip


def lengths(model, tokenizer) -> dict:
    found = {str(one.layers): {"share": rounded(one.share), "size": rounded(one.size)}
             for one in paths.sweep(depth.bytes_of(CAPITAL))}  # fmt: skip
    of_model = paths.split(model, tokenizer.encode(CAPITAL))
    return {"untrained": found, "model": {"share": rounded(of_model.share), "size": rounded(of_model.size)}}


def write(file: Path, found: Mapping) -> None:
    made = {"command": "python -m benchmarks.depth", "text": CAPITAL, "model": MODEL, "seeds": list(depth.SEEDS),
            "depths": depth.DEPTHS}  # fmt: skip
    parts = [f"{json.dumps(key)}: {json.dumps(part, ensure_ascii=False, separators=(',', ':'))}"
             for key, part in {"made": made, **found}.items()]  # fmt: skip
    file.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
    print(file, file.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    model, tokenizer = transformer.load(MODEL)
    write(out / "norm-placement.json", {"start": start("norm-placement"), "final_norm": without_final_norm(model, tokenizer),
                                       "flow": flow(model, tokenizer)})
    write(out / "residual.json", {"start": start("residual"), "cuts": cuts(model, tokenizer), "paths": lengths(model, tokenizer)})


if __name__ == "__main__":
    main()
