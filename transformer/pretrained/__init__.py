"""Where real weights come from: fetched by name, opened from a folder, a file or the hub, or handed over in memory."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from transformer import tokenizers
from transformer.models import Model
from transformer.pretrained import bert, gguf_file, gpt2, hub, llama, marian, native
from transformer.pretrained.archives import ARCHIVES
from transformer.pretrained.checkpoint import assemble
from transformer.pretrained.fetch import folder_of
from transformer.pretrained.safetensors_file import PICKLED, read_json, read_tensors, refusal
from transformer.tokenizers import Tokenizer

# Each family is a module with two pure functions: config(theirs) and weights(theirs, config).
FAMILIES = {"gpt2": gpt2, "llama": llama, "mistral": llama, "mixtral": llama, "qwen2": llama, "bert": bert}
ASSETS = Path(__file__).parents[2] / "assets"
OWN = ("tiny", "dates", "readable", "segments", "experts")  # trained by this project, shipped with it; each made by transformer/training/<name>.py


def from_state_dict(family: str, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> Model:
    """A checkpoint in memory, under Hugging Face's names, as a model of ours in eval mode. The tensors are copied.

    family: gpt2, llama, mistral, mixtral, qwen2 or bert; config: the fields of the checkpoint's config.json.
    Raises ValueError, one sentence, for an unknown family, a missing field, or a missing, unknown or misshapen tensor.
    """
    return _model(family, config, {name: w.detach().clone() for name, w in state_dict.items()})


def load(name: str | Path) -> tuple[Model, Tokenizer | None]:
    """A real model in eval mode (float32), and its tokenizer; None for one that reads images.

    name: "smollm2-135m", "minilm-l6", "marian-en-pt" or "marian-pt-en" (both in the archive of the first), once fetched;
    "tiny", "dates", "readable", "segments" or "experts", which are always there; a folder of our own or of a
    Hugging Face checkpoint in safetensors; a .gguf file; or a hub id "owner/name".
    Raises ValueError, one sentence: unknown, not fetched, damaged, pickled, a family that is not known here.
    """
    if not isinstance(name, str | Path) or not str(name).strip():
        raise ValueError(f"load takes a model's name, a folder or a hub id, not {name!r}.")
    if name in ARCHIVES and ARCHIVES[name].kind == "model":
        return _fetched(name)
    if name in marian.WAYS:
        return marian.load(name, _fetched_folder(marian.ARCHIVE))
    if name in OWN:
        return native.open_folder(ASSETS / name)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _file(path)
    if hub.HUB_ID.fullmatch(str(name)):
        return _folder(hub.download(str(name)))
    known = [*OWN, *marian.WAYS, *(archive.name for archive in ARCHIVES.values() if archive.kind == "model")]
    near = difflib.get_close_matches(str(name), known, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}, folders and hub ids."
    raise ValueError(f"There is no model {str(name)!r}; {hint}")


def _fetched(name: str) -> tuple[Model, Tokenizer]:
    return _folder(_fetched_folder(name))


def _fetched_folder(name: str) -> Path:
    folder = folder_of(name)
    if not folder.is_dir():
        raise ValueError(
            f"{name} has not been fetched yet; run `python -m transformer fetch {name}` "
            f"({ARCHIVES[name].size / 1e6:.0f} MB, once)."
        )
    return folder


def _folder(folder: Path) -> tuple[Model, Tokenizer]:
    ggufs = sorted(folder.glob("*.gguf"))
    if ggufs and not (folder / "config.json").exists():
        if len(ggufs) > 1:
            raise ValueError(f"{folder} has {len(ggufs)} GGUF files; name one of them.")
        return _file(ggufs[0])
    about = read_json(folder / "config.json")
    if native.is_native(about):
        return native.open_folder(folder)
    family = about.get("model_type", "")
    if family not in FAMILIES:  # said before the weights are read
        raise ValueError(_unknown_family(family))
    tensors = {name: w.float() if w.is_floating_point() else w for name, w in read_tensors(folder).items()}
    end = about.get("eos_token_id")
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ValueError(f"{folder} has no tokenizer.json, so no text can be read with it.")
    tokenizer = tokenizers.open_file(tokenizer_file, end[0] if isinstance(end, list) and end else end)
    return _model(family, about, tensors), tokenizer


def _file(path: Path) -> tuple[Model, Tokenizer]:
    if path.suffix == ".gguf":
        family, config, tensors, tokenizer = gguf_file.read(path)
        return _model(family, config, tensors), tokenizer
    if any(path.match(pattern) for pattern in PICKLED):
        raise ValueError(refusal(path.name))
    if path.suffix == ".safetensors":
        return _folder(path.parent)
    raise ValueError(f"{path} is not a checkpoint; open a folder, a .safetensors or a .gguf file.")


def _model(family: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Model:
    if family not in FAMILIES:
        raise ValueError(_unknown_family(family))
    ours = FAMILIES[family].config({"model_type": family, **config})
    if ours.n_layers > len(tensors):  # said before anything is made for so many layers
        raise ValueError(
            f"the config says {ours.n_layers} layers, and the checkpoint lacks most: it has {len(tensors)} tensors."
        )
    return assemble(ours, FAMILIES[family].weights(tensors, ours))


def _unknown_family(family: str) -> str:
    near = difflib.get_close_matches(str(family), FAMILIES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FAMILIES)}."
    return f"The family {family!r} cannot be opened; {hint}"
