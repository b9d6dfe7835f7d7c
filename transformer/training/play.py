"""Makes assets/play: the text that lessons train on while the learner looks on, one play, in characters.

    python -m transformer.training.play --out assets/play

It ships with the repository, so that training needs no network: Romeo and Juliet, as it is spoken, 135 kB.

    play = play.load()
    batch = patterns.windows(play.ids, length=64, batch=16)      # for transformer.training.loop.fit
    unseen = patterns.held_out(play.unseen, length=64, count=20) # for evaluate
"""

import argparse
import functools
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.tokenizers import Characters
from transformer.training.plays import plays

FOLDER = Path(__file__).parents[2] / "assets" / "play"
TITLE = "romeo-and-juliet"
UNSEEN = 0.1  # the last part of the play, which no run learns from


class Play(NamedTuple):
    tokenizer: Characters
    ids: Tensor  # [character], to learn from
    unseen: Tensor  # [character], to measure on


@functools.cache
def load() -> Play:
    """The play in characters, its end held out."""
    text = (FOLDER / f"{TITLE}.txt").read_text(encoding="utf-8")
    tokenizer = Characters.train(text)
    ids = torch.tensor(tokenizer.encode(text))
    cut = round(len(ids) * (1 - UNSEEN))
    return Play(tokenizer, ids[:cut], ids[cut:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{TITLE}.txt").write_text(plays()[TITLE], encoding="utf-8")


if __name__ == "__main__":
    main()
