"""Deep linear networks reach the same map on another way: one mode after another."""

import pytest
import torch

from transformer.experiments import modes
from transformer.experiments.modes import HAS, RATE, closed_form, course, half_way, target_modes


def test_the_modes_make_up_the_table_and_have_a_strength_of_their_own():
    U, s, Vt = target_modes()
    torch.testing.assert_close(U @ torch.diag(s) @ Vt, HAS)
    assert (s[:-1] - s[1:] > 0.3).all()
    signs = (Vt * (Vt.abs() > 1e-9)).sign().tolist()
    assert signs[0] == [1, 1, 1, 1]
    assert signs[1][0] == signs[1][1] == -signs[1][2] == -signs[1][3]  # animal or plant
    assert signs[2][2:] == [0, 0] and signs[2][0] == -signs[2][1] and signs[3][:2] == [0, 0]


def test_one_layer_follows_its_law_at_every_step():
    """a ← a + η(s − a): the distance shrinks by 1 − η a step, for every mode alike."""
    found, s = course(1, 0.1, steps=200), target_modes()[1]
    expected = s[:, None] + (found.strength[..., :1] - s[:, None]) * (1 - RATE) ** found.steps.double()
    torch.testing.assert_close(found.strength, expected)
    torch.testing.assert_close(closed_form(1, s, 0.1, found.steps)[:, 0], torch.full((4,), 0.1, dtype=torch.float64))


def test_the_closed_form_of_two_layers_solves_its_equation():
    s, steps = target_modes()[1], torch.arange(0, 401)
    a = torch.full((4,), 0.01, dtype=torch.float64)
    parts = 50
    for _ in range(400 * parts):  # da/dt = 2a(s − a), in small steps
        a = a + RATE / parts * 2 * a * (s - a)
    torch.testing.assert_close(closed_form(2, s, 0.01, steps)[:, -1], a, rtol=1e-3, atol=1e-4)
    assert closed_form(2, s, 0.01, steps)[:, 0].tolist() == pytest.approx([0.01] * 4)


def test_two_layers_keep_to_the_closed_form():
    found, s = course(2, 0.001), target_modes()[1]
    measured = half_way(found.strength, s, found.steps).mean(0)
    expected = half_way(closed_form(2, s, 0.001, found.steps), s, found.steps)
    assert ((measured / expected - 1).abs() < 0.3).all()  # its first weights lie across the modes, not along them


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_depth_arrives_at_the_same_map(depth):
    found = course(depth, 0.1)
    assert (found.loss[:, -1] < 1e-6).all()
    torch.testing.assert_close(found.strength[..., -1], target_modes()[1].expand(3, 4), rtol=1e-3, atol=1e-3)


def test_depth_parts_the_modes_in_time_and_one_layer_does_not():
    s = target_modes()[1]
    half = {depth: half_way((c := course(depth, 0.01)).strength, s, c.steps).mean(0) for depth in (1, 2, 3)}
    assert half[1].max() - half[1].min() <= modes.EVERY
    for depth in (2, 3):
        assert (half[depth][1:] > half[depth][:-1]).all()  # the strongest first
    assert half[3][-1] - half[3][0] > half[2][-1] - half[2][0] > 50


def test_smaller_first_weights_wait_longer():
    s = target_modes()[1]
    first = [half_way((c := course(3, start)).strength, s, c.steps)[:, 0].mean() for start in (0.001, 0.01, 0.1)]
    assert first[0] > first[1] > first[2]


def test_what_cannot_be_is_said():
    for bad in ((0, 0.1), (2, 0.0), (2, 1.5)):
        with pytest.raises(ValueError, match="at least 1 layer"):
            course(*bad)
    with pytest.raises(ValueError, match="closed form"):
        closed_form(3, torch.ones(1), 0.1, torch.arange(3))
    assert half_way(torch.zeros(1, 3), torch.ones(1), torch.arange(3)).isnan().all()
