"""SmolLM2's next-token loss when a share of its weights, or of its neurons at every token, is set to 0.

    python -m benchmarks.prune [--out assets/measured/prune.json]

On one passage of the play that ships, in memory; nothing is trained again. Neurons: in each layer and at each token the
smallest of a = SiLU(g)·u, or of the gate SiLU(g) alone, become 0. What the lesson on sparsity shows of a real model.
Takes about five minutes and needs the fetched weights (python -m transformer fetch smollm2-135m), and Marian's for the
zeros of its ReLU (python -m transformer fetch marian-en-pt).
"""

import functools
from typing import get_args

import torch

import transformer
from benchmarks import record
from transformer import sparsity
from transformer.experiments import relu_zeros
from transformer.feedforward import ACTIVATIONS
from transformer.losses import cross_entropy
from transformer.recording import CAPITAL
from transformer.training import play
from transformer.training.patterns import surprise
from transformer.training.sparse_weights import CUTS, EDGES

PASSAGE = slice(2_000, 2_900)  # of the play's characters
WEIGHTS = [i / 20 for i in range(20)]
NEURONS = [i / 20 for i in range(20)]
SEEDS = (0, 1, 2)  # of what is removed at random


def loss(model: transformer.Model, ids: list[int]) -> float:
    """Nats a token."""
    return round(surprise(model, ids).mean().item(), 4)


@torch.no_grad()
def pruned_losses(model: transformer.Model, ids: list[int], scope: sparsity.Scope, seed: int = 0) -> list[float]:
    """For each of WEIGHTS; the model is as it was afterwards."""
    weights = sparsity.matrices(model)
    whole = {name: W.detach().clone() for name, W in weights.items()}
    found = []
    for share in WEIGHTS:
        for name, stays in sparsity.keep(whole, share, scope, seed).items():
            weights[name].copy_(whole[name] * stays)
        found.append(loss(model, ids))
        print(scope, seed, share, found[-1], flush=True)
    for name, W in weights.items():
        W.copy_(whole[name])
    return found


@torch.no_grad()
def thinned_losses(model: transformer.Model, ids: list[int], part: str) -> list[float]:
    """For each of NEURONS: the smallest of `part`, "ffn.post" or "ffn.gate", are 0 at every token."""
    found = []
    for share in NEURONS:
        thin = functools.partial(THIN[part], share=share)
        logits = model.run(ids, record=("logits",), edit={f"layers.*.{part}": thin}).trace["logits"]  # [batch, token, vocab]
        found.append(round(cross_entropy(logits[0, :-1], torch.tensor(ids[1:])).item(), 4))
        print(part, share, found[-1], flush=True)
    return found


def _thin_gate(g: torch.Tensor, share: float) -> torch.Tensor:
    """g where SiLU(g) is among the largest, else 0, at which SiLU is 0."""
    return g * (sparsity.largest(ACTIVATIONS["silu"](g), share) != 0)


THIN = {"ffn.post": sparsity.largest, "ffn.gate": _thin_gate}


def of_smollm2(model: transformer.Model, ids: list[int]) -> dict[str, list]:
    """part -> the share of neurons whose size is at most each of CUTS, layer by layer."""
    trace = model.run(ids, record=("*.ffn.gate", "*.ffn.post")).trace
    gates = [ACTIVATIONS["silu"](trace[f"layers.{i}.ffn.gate"]) for i in range(model.config.n_layers)]
    return {"gate": _up_to(gates), "a": _up_to([trace[f"layers.{i}.ffn.post"] for i in range(model.config.n_layers)])}


def of_marian() -> dict[str, list]:
    """The same of the encoder's ReLU."""
    return {"a": _up_to(relu_zeros.neurons(*transformer.load(relu_zeros.NAME), CAPITAL))}


def _up_to(layers: list[torch.Tensor]) -> list[list[float]]:
    return [[round(share, 5) for share in sparsity.share_up_to(a, CUTS).tolist()] for a in layers]


def main() -> None:
    options = record.asked(__doc__, "prune", rounds=1)
    model, tokenizer = transformer.load("smollm2-135m")
    text = (play.FOLDER / f"{play.TITLE}.txt").read_text("utf-8")[PASSAGE]
    ids = tokenizer.encode(text)
    weights = sparsity.matrices(model)
    counts, zero = sparsity.magnitudes(weights.values(), EDGES)
    found = {
        "model": "smollm2-135m", "passage": [PASSAGE.start, PASSAGE.stop], "tokens": len(ids),
        "weights": sum(W.numel() for W in weights.values()),
        "counts": counts.tolist(), "zero": zero, "shares": WEIGHTS, "neurons": NEURONS,
        "thinned": {part: thinned_losses(model, ids, part) for part in THIN},
    }  # fmt: skip
    found["cuts"] = [float(f"{cut:.4g}") for cut in CUTS.tolist()]
    found["neurons_up_to"] = {
        "text": CAPITAL,
        "smollm2-135m": of_smollm2(model, tokenizer.encode(CAPITAL)),
        relu_zeros.NAME: of_marian(),
    }
    found["pruned"] = {
        scope: [pruned_losses(model, ids, scope, seed) for seed in (SEEDS if scope == "random" else SEEDS[:1])]
        for scope in get_args(sparsity.Scope)
    }  # fmt: skip
    record.keep(options, "python -m benchmarks.prune", "nats a token", **found)


if __name__ == "__main__":
    main()
