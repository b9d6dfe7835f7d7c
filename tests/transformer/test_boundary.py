"""Stacks of linear layers are one layer; with a bend between them they are not."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

import transformer
from transformer.experiments.collapse import collapse, rank, value_output
from transformer.training import boundary
from transformer.training.boundary import GRID, REPORTS, Stack, load, mesh, points, report_steps, save, train


def shaken(stack: Stack, seed: int) -> Stack:
    """Biases too: they start at 0."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in stack.layers:
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=dice))
    return stack


@given(depth=st.integers(2, 20), width=st.integers(1, 12), narrow=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_linear_stack_is_one_matrix_and_one_bias(depth, width, narrow, seed):
    narrow = min(narrow, width)
    stack = shaken(Stack(depth, width, narrow, 3, "linear", seed), seed)
    W, b = collapse(list(stack.layers))
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(stack(x), x @ W.T + b, rtol=1e-4, atol=1e-5)
    assert W.shape == (3, 2) and rank(torch.linalg.svdvals(W.double())) <= min(2, narrow)


def test_the_product_has_the_rank_of_its_narrowest_layer():
    torch.manual_seed(0)
    for narrowest in (1, 3, 8):
        layers = [nn.Linear(m, n).double() for m, n in ((8, 9), (9, narrowest), (narrowest, 10), (10, 8))]
        W, b = collapse(layers)
        assert rank(torch.linalg.svdvals(W), 1e-10) == narrowest
        x = torch.randn(5, 8, dtype=torch.float64)
        torch.testing.assert_close(nn.Sequential(*layers)(x), x @ W.T + b)
    with pytest.raises(ValueError, match="no layer"):
        collapse([])


def test_with_a_bend_no_matrix_does_it():
    stack = shaken(Stack(3, 8, 8, 2, "tanh"), 0)
    W, b = collapse(list(stack.layers))
    x = mesh()
    assert (stack(x) - (x @ W.T + b)).abs().max() > 0.5
    middle = stack(torch.tensor([[0.0, 0.0]])) * 2 - stack(torch.tensor([[1.0, 1.0]])) - stack(torch.tensor([[-1.0, -1.0]]))
    assert middle.abs().max() > 1e-2  # f(0) is not the mean of f(x) and f(−x)


@pytest.mark.parametrize("name", boundary.Name.__args__)
def test_the_points_are_seeded_and_as_the_maps_need_them(name):
    one, again, other = points(name), points(name), points(name, seed=1)
    assert one.x.equal(again.x) and not one.x.equal(other.x)
    assert sorted(one.y.unique().tolist()) == list(range(one.classes))
    assert 0.6 < one.x.std() < 1.3 and (one.x.abs() < boundary.REACH).float().mean() > 0.97
    with pytest.raises(ValueError, match="no data set"):
        points("moon")


@pytest.mark.parametrize("name", ["circles", "xor"])
def test_straight_cuts_stay_at_chance_and_a_bend_does_not(name):
    *_, straight = train(name, 6, "linear", steps=150)
    *_, bent = train(name, 6, "tanh", steps=150)
    assert straight.accuracy < 0.62 and straight.loss > 0.68 and bent.accuracy > 0.95


def test_depth_adds_nothing_to_a_linear_stack():
    *_, two = train("spiral", 2, "linear", steps=200)
    *_, deep = train("spiral", 12, "linear", steps=200)
    assert abs(two.loss - deep.loss) < 0.005 and abs(two.accuracy - deep.accuracy) < 0.02


def test_a_run_says_what_it_is_at_every_report():
    reports = list(train("three clusters", 3, "linear", seed=1, narrowest=1, steps=60))
    assert [r.step for r in reports] == report_steps(60) and reports[0].step == 0 and reports[-1].step == 60
    assert len(reports) <= REPORTS and reports[-1].loss < reports[0].loss
    for r in reports:
        assert r.p.shape == (3, GRID, GRID) and (r.p.int().sum(0) - 255).abs().max() <= 2
        assert r.gap < 1e-5 * (1 + r.singular[0]) and r.singular[1] < 1e-5 * r.singular[0]  # one narrow layer: rank 1
        p = (mesh() @ r.W.T + r.b).softmax(-1).T.reshape(3, GRID, GRID)
        assert (255 * p - r.p).abs().max() < 1
    again = list(train("three clusters", 3, "linear", seed=1, narrowest=1, steps=60))
    assert again[-1].p.equal(reports[-1].p) and again[-1].loss == reports[-1].loss


def test_the_map_is_as_it_lies_on_the_page():
    grid = mesh().reshape(GRID, GRID, 2)
    assert grid[0, 0, 0] < 0 < grid[0, 0, 1]  # top left
    assert (grid[:, 1:, 0] > grid[:, :-1, 0]).all() and (grid[1:, :, 1] < grid[:-1, :, 1]).all()


def test_what_cannot_be_built_is_said():
    for bad in ((1, 8, 8, 2, "tanh"), (3, 4, 5, 2, "tanh"), (3, 4, 0, 2, "tanh")):
        with pytest.raises(ValueError, match="at least 2 layers"):
            Stack(*bad)
    with pytest.raises(ValueError, match="no activation"):
        Stack(3, 4, 4, 2, "sine")


def test_the_recorded_runs_are_what_the_script_makes():
    runs, about = load()
    assert set(runs) == set(boundary.recorded_keys()) and about["command"] == "python -m transformer.training.boundary"
    for key in (("spiral", 2, "linear", 0), ("three clusters", 2, "tanh", 1)):
        fresh, kept = list(train(*key)), runs[key]
        assert [r.step for r in fresh] == [r.step for r in kept]
        assert kept[-1].loss == pytest.approx(fresh[-1].loss, rel=0.02, abs=2e-3)  # another machine's sums differ
        assert kept[-1].accuracy == pytest.approx(fresh[-1].accuracy, abs=0.02)
        assert (kept[-1].p.float() - fresh[-1].p.float()).abs().mean() < 8
        assert (kept[-1].W is None) == (key[2] != "linear")


def test_runs_are_kept_and_read_back(tmp_path):
    runs = {("xor", 2, bend, 0): list(train("xor", 2, bend, steps=20)) for bend in ("linear", "tanh")}
    save(tmp_path / "runs.xz", runs, {"seeds": "0"})
    again, about = load(tmp_path / "runs.xz")
    assert about == {"seeds": "0"} and set(again) == set(runs)
    for key, reports in runs.items():
        for old, new in zip(reports, again[key], strict=True):
            assert new[:3] == old[:3] and (new.p.int() - old.p.int()).abs().max() <= 8
            assert old.W is None and new.W is None or new.W.equal(old.W) and new.b.equal(old.b)


def test_a_heads_value_and_output_matrices_have_the_rank_of_the_head():
    model, _ = transformer.load("tiny")
    config = model.config
    found = value_output(model, 1)
    assert found.shape == (config.n_heads, config.d_model)
    assert [rank(of, 1e-10) for of in found] == [config.d_head] * config.n_heads
    attention = model.stack.blocks[1].attention
    W_V = attention.W_V.weight.double()[: config.d_head]  # of head 0
    W_O = attention.W_O.weight.double()[:, : config.d_head]
    R = torch.linalg.qr(W_O)[1] @ torch.linalg.qr(W_V.T)[1].T  # the same singular values, on d_head × d_head
    torch.testing.assert_close(found[0, : config.d_head], torch.linalg.svdvals(R))
