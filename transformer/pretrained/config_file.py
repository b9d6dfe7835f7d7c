"""A model's description alone: the config that a config.json says, without any weights."""

import json
from collections.abc import Mapping
from typing import Any

from transformer import cost
from transformer.config import Config
from transformer.pretrained import FAMILIES, native

LONGEST = 100_000  # characters; those of real models have one or two thousand
LARGEST = 2**26  # of any number in it
MOST = 10**14  # parameters
EXPERTS = 1024
OURS = ("d_model", "n_layers", "n_heads")  # what tells a config of ours


def config_of(text: str) -> Config:
    """The config that a JSON text describes: a Hugging Face config.json of a family in ``FAMILIES``, the config.json of a
    checkpoint of ours, or ``Config.to_dict()``. Nothing in it is run, and nothing is allocated.

    Raises ValueError, one sentence, for what is no such text, for a variant that is not computed here, and for numbers
    beyond any model.
    """
    if len(text) > LONGEST:
        raise ValueError(f"this text is {len(text):,} characters long, and a config.json has a few thousand.")
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"this is not JSON ({str(problem)[:80]}); paste a whole config.json, braces included.") from problem
    if not isinstance(about, dict):
        raise ValueError("a config.json is one object, from { to }, with a name for each number.")
    try:
        config = _open(about)
    except (TypeError, AttributeError, OverflowError, ZeroDivisionError) as problem:  # a list where a number belongs, and so on
        raise ValueError(f"a field of this config is not of the kind that it should be ({str(problem)[:80]}).") from problem
    _check_size(config)
    return config


def _open(about: Mapping[str, Any]) -> Config:
    if native.is_native(about):
        about = about.get("config") or {}
    if "model_type" in about:
        family = about["model_type"]
        if not isinstance(family, str) or family not in FAMILIES:
            raise ValueError(f"the family {str(family)[:40]!r} is not known here; there are {', '.join(FAMILIES)}.")
        return FAMILIES[family].config(about)
    if not set(about) & set(OURS):
        raise ValueError(f"this config has no model_type ({', '.join(FAMILIES)}) and none of our names (d_model, n_layers, …).")
    return Config(**about)


def _check_size(config: Config) -> None:
    for name, value in config.to_dict().items():
        most = EXPERTS if "experts" in name else LARGEST
        if isinstance(value, int) and value > most:
            raise ValueError(f"{name} is {value:,}; no model has more than {most:,}.")
    if (count := sum(cost.parameters(config).values())) > MOST:
        raise ValueError(f"this would be a model of {count:,} parameters; at most {MOST:,} are counted here.")


def compact(config: Config) -> str:
    """The shortest JSON that ``config_of`` makes the same config of: every field that goes without saying is left out."""
    said = config.to_dict()
    for name in list(said):
        without = {field: value for field, value in said.items() if field != name}
        if name not in OURS and _says(without, config):
            said = without
    return json.dumps(said, separators=(",", ":"))


def _says(fields: Mapping[str, Any], config: Config) -> bool:
    try:
        return Config(**fields) == config
    except ValueError:  # a field that the others need
        return False
