"""What all families share: reading a Hugging Face config's fields, and giving a checkpoint's tensors our names."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from transformer.build import MODELS
from transformer.config import Config
from transformer.models import Model
from transformer.two_stacks import EncoderDecoder


def need(config: Mapping[str, Any], *fields: str) -> list[Any]:
    """The fields' values, numbers above 0; ValueError naming the first that the config lacks."""
    for field in fields:
        value = config.get(field)
        if value is None:
            raise ValueError(f"the checkpoint's config has no {field!r}, so the model cannot be built.")
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ValueError(f"the checkpoint's config has {field!r} = {value!r}, which should be a number above 0.")
    return [config[field] for field in fields]


def refuse(condition: bool, what: str) -> None:
    """ValueError for a variant that our forward does not compute: better no model than a subtly wrong one."""
    if condition:
        raise ValueError(f"this checkpoint cannot be opened: {what}.")


def shapes(config: Config) -> dict[str, torch.Size]:
    """Our parameters' shapes, without allocating any."""
    with torch.device("meta"):
        return {name: w.shape for name, w in MODELS[config.kind](config).state_dict().items()}


def translate(
    tensors: Mapping[str, Tensor], ours_to_theirs: Mapping[str, str], config: Config, harmless: str
) -> dict[str, Tensor]:
    """The tensors under our names, one floating dtype for all: that of the embedding.

    Raises ValueError naming the tensors that are missing, unknown (but for names matching ``harmless``) or misshapen.
    """
    missing = [theirs for theirs in ours_to_theirs.values() if theirs not in tensors]
    if missing:
        raise ValueError(f"the checkpoint lacks {_listed(missing)}, which a model of this config needs.")
    known = set(ours_to_theirs.values())
    unknown = [name for name in tensors if name not in known and not re.search(harmless, name)]
    if unknown:
        raise ValueError(f"the checkpoint has {_listed(unknown)}, which a model of this config has no place for.")
    wanted = shapes(config)
    table = "embedding.W_patch.weight" if config.kind == "vision" else "embedding.W_E.weight"
    dtype = tensors[ours_to_theirs[table]].dtype
    for ours, theirs in ours_to_theirs.items():
        if tensors[theirs].shape != wanted[ours]:
            raise ValueError(
                f"{theirs} has shape {list(tensors[theirs].shape)}, and a model of this config needs "
                f"{list(wanted[ours])}."
            )
    return {ours: tensors[theirs].to(dtype) for ours, theirs in ours_to_theirs.items()}


def assemble(config: Config, weights: Mapping[str, Tensor]) -> Model:
    """The model that has exactly these tensors as its parameters, in eval mode. Nothing is copied."""
    with torch.device("meta"):  # without `build`, whose random numbers nobody would see
        model = MODELS[config.kind](config)
    model.load_state_dict(weights, assign=True)
    if isinstance(model, EncoderDecoder):
        model.tie()
    return model.eval()


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """``bert.embeddings…`` and ``embeddings…`` alike."""
    return {name.removeprefix(prefix): w for name, w in tensors.items()}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
