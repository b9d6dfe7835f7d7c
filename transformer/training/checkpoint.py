"""Training on disk: what the next step depends on, as one file of tensors and one of words; nothing is ever pickled.

    state = State.start(model, seed=1)
    for progress in fit(model, batch, 1000, state=state):
        if progress.step % 100 == 0:
            checkpoint.save(folder, state)

    state = checkpoint.load(folder)  # later, elsewhere: bit for bit as if it had never stopped
    for progress in fit(state.model, batch, 1000, state=state): ...
"""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from transformer.config import Config
from transformer.build import build
from transformer.pretrained.safetensors_file import read_file, read_json
from transformer.training.loop import State

FORMAT = "glassformer training 1"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # AdamW's m and v, and how often they were updated


def save(folder: str | Path, state: State) -> None:
    """Write ``folder``: weights, AdamW's moments and the generator as safetensors, the rest as state.json.

    A save that is cut off leaves the one before it whole: state.json, put in place at the end and in one stroke, names
    the tensors that it goes with.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"generator": state.generator.get_state()}
    tensors |= {f"weights.{name}": w for name, w in _weights(state).items()}
    for name, p in state.model.named_parameters():
        tensors |= {f"{moment}.{name}": m for moment, m in state.optimiser.state.get(p, {}).items()}
    file = folder / f"step-{state.step}.safetensors"
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, file.with_suffix(".part"))
    os.replace(file.with_suffix(".part"), file)
    about = {
        "format": FORMAT,
        "tensors": file.name,
        "config": state.model.config.to_dict(),
        "step": state.step,
        "seed": state.seed,
        "weight_decay": state.optimiser.param_groups[0]["weight_decay"],
    }
    (folder / "state.part").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    os.replace(folder / "state.part", folder / "state.json")
    for old in folder.glob("step-*.safetensors"):
        if old != file:
            old.unlink()


def load(folder: str | Path, device: torch.device | None = None) -> State:
    """What ``save`` wrote, its model on ``device``, or where torch makes tensors by default.

    Raises ValueError, one sentence, for a folder that is not whole.
    """
    folder = Path(folder)
    about = read_json(folder / "state.json")
    if about.get("format") != FORMAT:
        raise ValueError(f"{folder} is no training checkpoint; training.checkpoint.save writes them.")
    tensors = read_file(folder / Path(about["tensors"]).name)
    model = build(Config(**about["config"]))
    model = model if device is None else model.to(device)
    state = State.start(model, weight_decay=about["weight_decay"], seed=about["seed"])
    state.step = about["step"]
    needed = {"generator", *(f"weights.{name}" for name in _weights(state))}
    if state.step:
        needed |= {f"{moment}.{name}" for name, _ in model.named_parameters() for moment in MOMENTS}
    if missing := sorted(needed - set(tensors)):
        raise ValueError(f"{folder} lacks {missing[0]}, so training cannot go on from it.")
    state.generator.set_state(tensors["generator"])
    with torch.no_grad():
        for name, w in _weights(state).items():
            if w.shape != tensors[f"weights.{name}"].shape:
                raise ValueError(f"{folder} has {name} in another shape than its config says.")
            w.copy_(tensors[f"weights.{name}"])
    for name, p in model.named_parameters() if state.step else ():
        state.optimiser.state[p] = {moment: tensors[f"{moment}.{name}"].to(p.device) for moment in MOMENTS}
    return state


def _weights(state: State) -> dict[str, Tensor]:
    """Parameters and buffers by name; shared ones once."""
    return dict(state.model.named_parameters()) | dict(state.model.named_buffers())
