"""The curves of the lesson on losses: values and slopes against the formulas that the papers state."""

import math

import pytest
import torch

from transformer.experiments import loss_curves

P = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


@pytest.mark.parametrize("classes", [2, 10])
def test_cross_entropys_slope_is_p_minus_1(classes):
    value, slope = loss_curves.cross_entropy(P, classes)
    torch.testing.assert_close(value, -P.log())
    torch.testing.assert_close(slope, P - 1)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.3])
def test_smoothings_slope_turns_where_p_is_q(classes, epsilon):
    value, slope = loss_curves.smoothed(P, epsilon, classes)
    q, other = 1 - epsilon + epsilon / classes, epsilon / classes
    torch.testing.assert_close(slope, P - q)
    torch.testing.assert_close(value, -q * P.log() - (classes - 1) * other * ((1 - P) / (classes - 1)).log())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_focals_slope_is_the_papers(gamma, alpha, classes):
    """∂L/∂z_t = α (1 − p)^γ (γ p log p + p − 1), Lin et al., appendix B: for any number of classes."""
    value, slope = loss_curves.focal(P, gamma, alpha, classes)
    torch.testing.assert_close(value, -alpha * (1 - P) ** gamma * P.log())
    torch.testing.assert_close(slope, alpha * (1 - P) ** gamma * (gamma * P * P.log() + P - 1))


def test_weighted_is_focal_without_its_exponent():
    for ours, theirs in zip(loss_curves.weighted(P, 3.0), loss_curves.cross_entropy(P), strict=True):
        torch.testing.assert_close(ours, 3 * theirs)


def test_the_logits_are_those_of_p():
    p = loss_curves.logits_of(P, 7).softmax(-1)
    torch.testing.assert_close(p[:, 0], P)
    assert (p[:, 1:].amax(-1) - p[:, 1:].amin(-1)).max() < 1e-12


@pytest.mark.parametrize("p, classes", [(torch.tensor([0.0]), 2), (torch.tensor([1.0]), 2), (torch.tensor([0.5]), 1),
                                        (torch.tensor([math.nan]), 2)])  # fmt: skip
def test_what_has_no_logits_is_refused(p, classes):
    with pytest.raises(ValueError, match="inside"):
        loss_curves.logits_of(p, classes)
