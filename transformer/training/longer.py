"""Makes assets/longer: small decoders trained at one length, each with another way to tell positions, asked at more.

    python -m transformer.training.longer                        # all of them, 3 seeds each: 12 minutes of a core
    python -m transformer.training.longer --only alibi xl        # these; the other rows of the table stay
    python -m transformer.training.longer --out elsewhere --only none --steps 50

A row of ``POSITIONS`` is what its Config says about positions, and nothing else differs: the same shape, the same
windows in the same order (the seed decides them). Every model is then read on held-out plays at 1, 1.5, 2 … 4 times the
length it was trained at. RoPE is asked four times: as it was trained, and with three scalings that stretch it later.

Each row's first seed is kept as a checkpoint in float16, assets/longer/<row>/, and assets/longer/table.json holds what
all the runs came to.
"""

import dataclasses
import datetime
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from transformer.build import build
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained import native
from transformer.training.loop import fit
from transformer.training.patterns import HELD_OUT, corpus, held_out, options, windows
from transformer.training.plays import source

FOLDER = Path(__file__).parents[2] / "assets" / "longer"
LENGTH = 64  # tokens a window while training
LENGTHS = tuple(range(64, 257, 32))  # tokens a window when asked: 1, 1.5, 2 … 4 times as many
BASE = dict(
    kind="decoder", vocab_size=320, d_model=32, n_layers=2, n_heads=4, d_head=12, d_ff=48, max_len=LENGTH,
    norm="rms", activation="silu", gated=True, tie_embeddings=True,
    scale_embeddings=True, init="xavier",  # tokens as large as the sinusoids added to them (Vaswani et al. 2017, §3.4)
)  # fmt: skip
# T5's far distances share one bucket from 32 on and Shaw's are clipped at 16, so that no row of either table is left
# untrained at this length; the papers' own sizes, 128 and 16, stand in the same place to their longer texts.
POSITIONS: dict[str, dict] = {
    "none": dict(position="none"),
    "learned": dict(position="learned"),
    "sinusoidal": dict(position="sinusoidal"),
    "rope": dict(position="rope"),
    "alibi": dict(position="alibi"),
    "t5": dict(position="t5", buckets=16, max_distance=32),
    "shaw": dict(position="shaw", max_distance=16),
    "xl": dict(position="xl"),
}
SCALINGS = ("linear", "ntk", "yarn")  # of RoPE, when a text is longer than the trained length
SEEDS = (0, 1, 2)
BATCH = 16  # windows a step
MEASURED = 384  # held-out windows of the greatest length
LAST = 32  # of each window: the same tokens, whatever stands before them
BIN = 8  # places that a point of the loss by place is the mean of
LOOKED_AT = 64  # windows whose attention weights are looked at


def config_of(row: str) -> Config:
    """The decoder of a row. Raises ValueError for a row that is not there."""
    if row not in POSITIONS:
        raise ValueError(f"there is no row {row!r}; the rows are {', '.join(POSITIONS)}.")
    return Config(**BASE, **POSITIONS[row])


def stretched(model: Model, scaling: str, length: int) -> Model:
    """``model`` for texts of ``length`` tokens, its rotations slowed down so that they fit into what it was trained on.

    A model of the same weights (shared, not copied) whose config says ``rope_scaling`` and the factor length / trained
    length, at least 1. Raises ValueError for a model without RoPE.
    """
    if model.config.position != "rope":
        raise ValueError(f"only RoPE is stretched by a scaling; this model has position {model.config.position!r}.")
    trained = model.config.max_len
    config = dataclasses.replace(
        model.config, rope_scaling=scaling, rope_factor=max(1.0, length / trained), rope_original_len=trained
    )
    with torch.device("meta"):
        other = build(config)
    other.load_state_dict(model.state_dict(), assign=True)
    return other.train(model.training)


@torch.no_grad()
def losses(model: Model, ids: Tensor) -> Tensor:
    """−log p(x_{t+1} | x_{≤t}), in nats.   ids [window, token + 1] -> [window, token]."""
    parts = [
        torch.nn.functional.cross_entropy(model(part[:, :-1]).transpose(1, 2), part[:, 1:], reduction="none")
        for part in ids.split(32)
    ]
    return torch.cat(parts)


@torch.no_grad()
def weight_beyond(model: Model, ids: Tensor, distance: int = LENGTH, last: int = LAST) -> float:
    """The share of the attention weight of the ``last`` tokens that lies on keys at least ``distance`` back, the mean
    of all heads.   ids [window, token]"""
    n = ids.shape[1]
    far = torch.arange(n - last, n)[:, None] - torch.arange(n) >= distance  # [query, key]
    shares = []
    for part in ids.split(16):
        trace = model.run(part, record="*.attention.A").trace
        shares += [A[:, :, -last:].masked_fill(~far, 0).sum(-1).mean() for A in trace.values()]
    return torch.stack(shares).mean().item()


def asked(model: Model, unseen: Tensor, scaling: str = "none", lengths: tuple[int, ...] = LENGTHS) -> dict:
    """What ``model`` loses at each length, and where.

    unseen [window, longest + 1]. At each length n a window's last n tokens are read, so that its last ``LAST`` tokens,
    those ``loss_same_tokens`` is the mean of, are the same at every length and only what stands before them grows.
    ``loss`` is the mean over all n places; ``by_place`` over each ``BIN`` places of the longest; ``weight_beyond`` the
    share of the attention weight that the last tokens of the longest give to distances that were never seen in training.
    """
    loss, same, by_place = {}, {}, []
    for n in lengths:
        reader = model if scaling == "none" else stretched(model, scaling, n)
        L = losses(reader, unseen[:, -n - 1 :])  # [window, token]
        loss[str(n)], same[str(n)] = round(L.mean().item(), 4), round(L[:, -LAST:].mean().item(), 4)
        by_place = [round(x, 4) for x in L.mean(0).unflatten(0, (-1, BIN)).mean(-1).tolist()]
    beyond = round(weight_beyond(reader, unseen[:LOOKED_AT, :-1][:, -lengths[-1] :]), 4)
    return {"loss": loss, "loss_same_tokens": same, "by_place": by_place, "weight_beyond": beyond}


def train(row: str, seed: int, steps: int, lr: float) -> tuple[Model, dict]:
    """(the model, rounded to float16 as its file will keep it; what training came to)."""
    _, ids, _, _ = corpus(BASE["vocab_size"])
    model = build(config_of(row), seed)
    started, fallen = time.process_time(), []
    for step, L, *_ in fit(model, windows(ids, LENGTH, BATCH), steps, lr=lr, seed=seed):
        fallen.append(L)
    seconds = time.process_time() - started
    last = fallen[-50:]
    run = {"seed": seed, "train_loss": round(sum(last) / len(last), 4), "processor_seconds": round(seconds, 1)}
    return model.half().float().eval(), run


def reads(row: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """How a row's models are asked: {row of the table: (scaling, lengths)}."""
    lengths = (LENGTH,) if row == "learned" else LENGTHS
    ways = {row: ("none", lengths)}
    return ways | {f"rope_{scaling}": (scaling, lengths) for scaling in SCALINGS} if row == "rope" else ways


def about(steps: int, lr: float) -> dict:
    """What all rows share."""
    return {
        "command": f"python -m transformer.training.longer --steps {steps} --lr {lr}",
        **source(),
        "held_out": list(HELD_OUT),
        "held_out_windows": MEASURED,
        "steps": steps,
        "tokens_a_step": LENGTH * BATCH,
        "trained_length": LENGTH,
        "lengths": list(LENGTHS),
        "same_tokens": LAST,
        "places_a_bin": BIN,
        "unit": "nats a token",
    }


def main() -> None:
    arguments = options(__doc__, POSITIONS, FOLDER, steps=2000, lr=6e-3)
    file = arguments.out / "table.json"
    rows = json.loads(file.read_text("utf-8"))["rows"] if file.is_file() else {}
    made, today = about(arguments.steps, arguments.lr), datetime.date.today().isoformat()
    tokenizer, _, unseen, _ = corpus(BASE["vocab_size"])
    unseen = held_out(unseen, LENGTHS[-1], MEASURED)[:, 0]  # [window, token + 1]
    every = [asked_as for row in POSITIONS for asked_as in reads(row)]
    for row in arguments.only:
        for asked_as, (scaling, _) in reads(row).items():
            rows[asked_as] = {"checkpoint": row, "options": POSITIONS[row], "rope_scaling": scaling, "date": today,
                              "runs": []}
    for seed in SEEDS:  # outermost: a run that is cut short has all rows
        for row in arguments.only:
            model, run = train(row, seed, arguments.steps, arguments.lr)
            for asked_as, (scaling, lengths) in reads(row).items():
                result = run | asked(model, unseen, scaling, lengths)
                rows[asked_as]["runs"].append(result)
                print(f"{asked_as:12} {run} {result['loss']} {result['loss_same_tokens']}", flush=True)
            if seed == SEEDS[0]:
                native.save(model.half(), tokenizer, arguments.out / row, {**made, "row": row, "date": today, **run})
            ordered = {name: rows[name] for name in every if name in rows}
            arguments.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"made": made, "rows": ordered}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
