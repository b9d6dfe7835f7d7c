"""Real handwritten digits, 8 × 8 pixels, for the lessons that train on images: the test set of Alpaydin & Kaynak 1998 (UCI,
CC BY 4.0), 1,797 of them, as scikit-learn ships it.

    digits = digits.load()                                            # 1,347 to learn from, 450 to measure on
    model = transformer.build(digits.small())                         # a Vision Transformer that reads them
    for at in fit(model, digits.batches(64), steps, loss=objectives.classified()): ...
    digits.accuracy(model, digits.load().unseen)

    python -m transformer.training.digits     # writes assets/digits from scikit-learn, so that the app need not install it
"""

import argparse
import functools
import lzma
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import torch as tensors
from torch import Tensor

from transformer.config import Config
from transformer.models import Model
from transformer.training.loop import Batch

FILE = Path(__file__).parents[2] / "assets" / "digits" / "digits.safetensors.xz"
SIDE, CLASSES, DARKEST = 8, 10, 16
UNSEEN = 450


class Digits(NamedTuple):
    """Images with what they show."""

    x: Tensor  # [image, 1, row, col], 0 paper … 1 ink
    y: Tensor  # [image], 0 … 9


class Split(NamedTuple):
    known: Digits  # to learn from
    unseen: Digits  # to measure on


@functools.cache
def load() -> Split:
    """All digits in one seeded order, the last ``UNSEEN`` held out. Read-only."""
    kept = tensors.load(lzma.decompress(FILE.read_bytes()))
    order = torch.randperm(len(kept["y"]), generator=torch.Generator().manual_seed(0))
    x, y = kept["x"][order, None].float() / DARKEST, kept["y"][order].long()
    return Split(Digits(x[:-UNSEEN], y[:-UNSEEN]), Digits(x[-UNSEEN:], y[-UNSEEN:]))


def small(d_model: int = 48, n_layers: int = 2, n_heads: int = 4, patch_size: int = 2) -> Config:
    """A Vision Transformer for these images: (8 / patch)² patches and the class token."""
    return Config(
        kind="vision", image_size=SIDE, patch_size=patch_size, channels=1, n_classes=CLASSES, d_model=d_model,
        n_layers=n_layers, n_heads=n_heads, max_len=(SIDE // patch_size) ** 2 + 1,
    )  # fmt: skip


def batches(size: int) -> Batch:
    """Draws so many of the known digits, with replacement, for ``fit``."""
    known = load().known

    def draw(dice: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(known.y), (size,), generator=dice)
        return known.x[chosen], known.y[chosen]

    return draw


@torch.no_grad()
def accuracy(model: Model, digits: Digits) -> float:
    """The share of images whose largest logit is the digit they show."""
    was_training = model.training
    model.eval()
    right = (model(digits.x).argmax(-1) == digits.y).float().mean().item()
    model.train(was_training)
    return right


def main() -> None:
    from sklearn.datasets import load_digits  # of requirements-dev.txt

    parser = argparse.ArgumentParser(description="Write assets/digits from scikit-learn.")
    parser.add_argument("--out", type=Path, default=FILE)
    path = parser.parse_args().out
    found = load_digits()
    kept = {"x": torch.tensor(found.images).to(torch.uint8), "y": torch.tensor(found.target).to(torch.uint8)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(tensors.save(kept), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
