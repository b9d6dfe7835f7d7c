"""One model that reads with any of the six score functions: the same queries and keys, scored in six ways.

``transformer.training.scores`` trains it: each step draws one of the six, so that W_Q, W_K and all that follows learn to
serve every one, and each function learns the weights of its own (W, v and b, β). Shipped in assets/scores.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from transformer.build import build
from transformer.config import Config, Score
from transformer.models import Model
from transformer.pretrained import native
from transformer.pretrained.safetensors_file import read_file, read_json
from transformer.scores import SCORES, Additive, Location, scale
from transformer.tokenizers import Tokenizer

FOLDER = Path(__file__).parents[2] / "assets" / "scores"
OWN = "own/scores.safetensors"  # what the functions have learned, "<score>.<layer>.<parameter>"


def bank(config: Config) -> nn.ModuleDict:
    """score -> its module in every layer, at the weights that training starts from."""
    started = {score: build(replace(config, score=score), seed=0) for score in SCORES}
    return nn.ModuleDict({
        score: nn.ModuleList(block.attention.score for block in model.stack.blocks) for score, model in started.items()
    })  # fmt: skip


def choose(model: Model, scores: nn.ModuleDict, score: Score) -> None:
    """Let every layer of ``model`` score by this function from now on."""
    factor = scale(replace(model.config, score=score))
    for block, module in zip(model.stack.blocks, scores[score], strict=True):
        block.attention.score, block.attention.scale = module, factor


@contextmanager
def chosen(model: Model, scores: nn.ModuleDict, score: Score) -> Iterator[Model]:
    """``model`` scoring by this function within the block, and by its config's after it."""
    choose(model, scores, score)
    try:
        yield model
    finally:
        choose(model, scores, model.config.score)


def save(folder: Path, model: Model, scores: nn.ModuleDict, tokenizer: Tokenizer, made: Mapping) -> None:
    """A folder that ``transformer.load`` opens (it scores by its config's function), and the functions' own weights."""
    choose(model, scores, model.config.score)
    native.save(model, tokenizer, folder, made)
    (folder / OWN).parent.mkdir(exist_ok=True)
    save_file({name: w.detach().contiguous() for name, w in scores.state_dict().items()}, folder / OWN)


def load(folder: Path = FOLDER) -> tuple[dict[Score, Model], Tokenizer, dict]:
    """({score: the model that scores so}, tokenizer, how it was made). All six have the same weights but the score's own.

    Raises ValueError, one sentence, for a folder that is not whole.
    """
    model, tokenizer = native.open_folder(folder)
    own = read_file(folder / OWN)
    return {score: _with(model, score, own) for score in SCORES}, tokenizer, read_json(folder / "config.json")["made"]


def _with(model: Model, score: Score, own: Mapping[str, Tensor]) -> Model:
    other = build(replace(model.config, score=score), seed=0).eval()
    weights = {
        f"stack.blocks.{layer}.attention.score.{name}": w.float()
        for (of, layer, name), w in ((at.split("."), w) for at, w in own.items()) if of == score
    }  # fmt: skip
    other.load_state_dict(model.state_dict() | weights)
    return other.requires_grad_(False)


def terms(module: nn.Module, Q: Tensor, K: Tensor) -> Tensor:
    """What each coordinate adds to a score: every one of the six is a sum over d_head.

    dot q_d k_d · scale, general (q W)_d k_d, cosine β q_d k_d / (‖q‖ ‖k‖), additive v_d tanh(q_d + k_d + b_d), location
    q_d w_jd. Q [head, query, d_head], K [head, key, d_head], key j at place j -> [head, query, key, d_head].
    """
    if isinstance(module, Additive):
        return module.v[:, None, None] * (Q[:, :, None] + K[:, None] + module.b[:, None, None]).tanh()
    if isinstance(module, Location):
        return Q[:, :, None] * module.W[:, None, : K.shape[1]]
    Q, K = module.vectors(Q, K)
    return Q[:, :, None] * K[:, None] * module.factor


# Weights for two dimensions, set by hand: what each function's own parameters can do, at its plainest.
BY_HAND = {
    "general": {"W": [[[0.0, 1.0], [-1.0, 0.0]]]},  # a quarter turn: it likes keys at right angles
    "cosine": {"beta": [1.0]},
    "additive": {"v": [[1.0, 1.0]], "b": [[0.0, 0.0]]},
    "location": {"W": [[[1.0, 0.0]]]},  # q's first coordinate, whatever the key
}  # fmt: skip


def on_plane(score: Score, points: Tensor) -> Tensor:
    """Every point as a query with every point as a key, by the library's own function with weights ``BY_HAND``.

    points [point, 2] -> S [query, key].
    """
    module = SCORES[score](Config(d_model=2, n_heads=1, max_len=1, position="none", score=score))
    module.load_state_dict({name: torch.tensor(w) for name, w in BY_HAND.get(score, {}).items()})
    everywhere = torch.zeros(1, len(points), dtype=torch.long)  # one place only
    with torch.no_grad():
        return module(points[None, None], points[None, None], everywhere)[0, 0]


def made(folder: Path = FOLDER) -> dict:
    """How the shipped model was made, and what its seeds and the models trained with one score alone came to."""
    return json.loads((folder / "config.json").read_text("utf-8"))["made"]
