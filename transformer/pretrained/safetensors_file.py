"""safetensors: a folder as Hugging Face lays it out. Numbers only; unlike a pickle, opening one runs nothing."""

import json
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file
from torch import Tensor

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of model.safetensors, or of the shards that model.safetensors.index.json lists.

    Raises ValueError, one sentence, when there are none, when only pickled ones are there, or when a file is damaged.
    """
    folder = Path(folder)
    if (folder / "model.safetensors").is_file():
        return read_file(folder / "model.safetensors")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        tensors: dict[str, Tensor] = {}
        for shard in shards:
            # A shard lies beside its index; a name that leads elsewhere is not followed.
            tensors |= read_file(folder / Path(shard).name)
        return tensors
    single = sorted(folder.glob("*.safetensors"))
    if len(single) == 1:
        return read_file(single[0])
    if pickled := [path.name for pattern in PICKLED for path in sorted(folder.glob(pattern))]:
        raise ValueError(refusal(pickled[0]))
    raise ValueError(f"{folder} has no model.safetensors, so there are no weights to open.")


def refusal(name: str) -> str:
    """Why pickled weights are not opened."""
    return (
        f"{name} is a pickled checkpoint, and unpickling can run any program its author put in; "
        "save it as model.safetensors (safetensors.torch.save_file) and open that."
    )


def read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path} is missing, so the checkpoint is not whole.")
    try:
        return load_file(path)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); fetch or copy it again.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. ValueError otherwise."""
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}, so it is not a checkpoint that can be opened.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}, not an object.")
    return value
