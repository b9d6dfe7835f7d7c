"""The gradient that a teacher gives, by temperature."""

import pytest
import torch

from transformer.experiments import softened

DICE = torch.Generator().manual_seed(0)
Z, V = (3 * torch.randn(20, 7, generator=DICE, dtype=torch.float64) for _ in range(2))
TARGET = torch.randint(7, (20,), generator=DICE)


def test_lengths_are_those_of_p_minus_q():
    found = softened.gradient_lengths(Z, V, TARGET, [0.5, 1.0, 3.0])
    for i, T in enumerate([0.5, 1.0, 3.0]):
        by_hand = (((Z / T).softmax(-1) - (V / T).softmax(-1)) / T).norm(dim=-1).mean()
        torch.testing.assert_close(found.bare[i], by_hand)
        torch.testing.assert_close(found.kept[i], by_hand * T**2)
    hard = (Z.softmax(-1) - torch.nn.functional.one_hot(TARGET, 7)).norm(dim=-1).mean()
    torch.testing.assert_close(found.hard, hard)


def test_with_t_squared_the_length_has_a_limit_and_without_it_none():
    found = softened.gradient_lengths(Z, V, TARGET, [100.0, 1000.0])
    assert found.kept.tolist() == pytest.approx([found.limit.item()] * 2, rel=0.05)
    assert found.bare[0] / found.bare[1] == pytest.approx(100, rel=0.1)
