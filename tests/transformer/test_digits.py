"""The handwritten digits that lessons train on."""

import torch
from sklearn.datasets import load_digits

import transformer
from transformer.training import digits, objectives
from transformer.training.loop import fit


def test_digits_are_scikit_learns_each_once():
    known, unseen = digits.load()
    assert (len(known.y), len(unseen.y)) == (1347, 450)
    ours = torch.cat((known.x, unseen.x))[:, 0] * 16
    theirs = torch.tensor(load_digits().images, dtype=torch.float32)

    def rows(images: torch.Tensor, labels: torch.Tensor) -> list[tuple[int, ...]]:
        return sorted(map(tuple, torch.cat((images.flatten(1), labels[:, None]), 1).int().tolist()))

    assert rows(ours, torch.cat((known.y, unseen.y))) == rows(theirs, torch.tensor(load_digits().target))


def test_a_small_vision_transformer_learns_them():
    model = transformer.build(digits.small(d_model=16, n_layers=1, n_heads=2, patch_size=4), seed=0)
    before = digits.accuracy(model, digits.load().unseen)
    *_, last = fit(model, digits.batches(64), 200, lr=3e-3, warmup=10, loss=objectives.classified(), seed=0)
    assert before < 0.3 < 0.7 < digits.accuracy(model, digits.load().unseen)
    assert last.metrics["accuracy"] > 0.7
