"""Our own checkpoints: a folder of config.json, model.safetensors and, where text is read, tokenizer.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from transformer import tokenizers
from transformer.config import Config
from transformer.models import Model
from transformer.pretrained.checkpoint import assemble, shapes, translate
from transformer.pretrained.safetensors_file import read_json, read_tensors
from transformer.tokenizers import BytePairEncoding, Characters, Tokenizer, Wrapped

FORMAT = "glassformer"
SHARED = "encoder.embedding.W_E.weight"  # of an encoder–decoder: the decoder's own table, unless it has two


def save(model: Model, tokenizer: Tokenizer | None, folder: Path, made: Mapping[str, Any] | None = None) -> None:
    """Write ``folder``, which ``transformer.load`` opens. ``tokenizer``: None for a model that reads images; ``made``: how it
    came about (command, seed, data, loss)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    if SHARED in weights and model.config.share_embeddings:  # safetensors keeps no tensor under two names
        del weights[SHARED]
    save_file(weights, folder / "model.safetensors")
    about = {"format": FORMAT, "config": model.config.to_dict(), "made": dict(made or {})}
    (folder / "config.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    match tokenizer:
        case None:
            return
        case BytePairEncoding() | Characters():
            spelling = json.dumps(tokenizer.to_dict(), ensure_ascii=False)
        case Wrapped():
            spelling = tokenizer.inner.to_str()
    (folder / "tokenizer.json").write_text(spelling + "\n", encoding="utf-8")


def is_native(about: Mapping[str, Any]) -> bool:
    """Whether a folder's config.json is one that ``save`` wrote."""
    return about.get("format") == FORMAT


def open_folder(folder: Path) -> tuple[Model, Tokenizer | None]:
    """(model in eval mode, float32; tokenizer, None where it reads images). Raises ValueError, one sentence, for a folder that is not whole."""
    about = read_json(folder / "config.json")
    if not isinstance(about.get("config"), dict):
        raise ValueError(f"{folder / 'config.json'} has no config, so the model cannot be built.")
    config = Config(**about["config"])
    weights = {name: w.float() for name, w in read_tensors(folder).items()}
    if SHARED in shapes(config) and config.share_embeddings and "embedding.W_E.weight" in weights:
        weights[SHARED] = weights["embedding.W_E.weight"]
    same_names = {name: name for name in shapes(config)}
    model = assemble(config, translate(weights, same_names, config, harmless=r"$^"))
    return model, None if config.kind == "vision" else tokenizers.open_file(folder / "tokenizer.json")
