"""Soft thresholds, pruning and what training with L1 leaves."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

import transformer
from transformer import sparsity
from transformer.experiments import relu_zeros, sparse_matmul
from transformer.tokenizers import Characters
from transformer.training import digits, sparse_weights as runs
from transformer.training.loop import State, fit

numbers = st.floats(-3, 3)


@settings(deadline=None, max_examples=60)
@given(v=numbers, t=st.floats(0, 2))
def test_the_soft_threshold_is_the_minimum(v, t):
    w = torch.linspace(-4, 4, 80_001, dtype=torch.float64)  # every 10⁻⁴, 0 among them
    best = w[(0.5 * (w - v) ** 2 + t * w.abs()).argmin()].item()
    found = sparsity.soft_threshold(torch.tensor(v, dtype=torch.float64), t).item()
    assert found == pytest.approx(best, abs=1.1e-4)
    assert (found == 0) == (abs(v) <= t)


def test_l1_and_its_slope():
    W = torch.tensor([[1.0, -2.0], [0.0, 0.5]], requires_grad=True)
    total = sparsity.l1([W, W])
    total.backward()
    assert total.item() == 7.0 and W.grad.tolist() == [[2, -2], [0, 2]]  # twice sign(w), and 0 at 0


def test_the_matrices_are_those_of_linear_layers():
    model = transformer.build(digits.small(patch_size=4))
    found = sparsity.matrices(model)
    assert all(W.dim() == 2 for W in found.values()) and len(found) == 14
    assert found["stack.blocks.1.ffn.W_2"] is model.stack.blocks[1].ffn.W_2.weight


def test_the_reach_is_how_far_a_gradient_of_one_moves_a_weight():
    for make in (lambda p: torch.optim.SGD(p), lambda p: torch.optim.AdamW(p, weight_decay=0.0, betas=(0.0, 0.95))):
        W = torch.nn.Parameter(torch.tensor([[1.0, 2.0]]))
        optimiser = make([W])
        optimiser.param_groups[0]["lr"] = 0.1
        for _ in range(3):
            before, W.grad = W.detach().clone(), torch.tensor([[1.0, 4.0]])
            optimiser.step()
        moved = (before - W.detach()) / W.grad
        reach = sparsity.reach(optimiser, W, 0.1)
        assert torch.allclose(moved, torch.as_tensor(reach), rtol=1e-5)


def test_a_proximal_step_lands_on_zero_and_solves_the_lasso():
    """min ½‖Xw − y‖² + λ‖w‖₁: at the minimum |g| ≤ λ where w is 0, and g = −λ sign(w) where it is not."""
    dice = torch.Generator().manual_seed(0)
    X, y, lam = torch.randn(40, 12, generator=dice).double(), torch.randn(40, generator=dice).double(), 6.0
    w = torch.zeros(1, 12, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=0.005)
    for _ in range(3000):
        optimiser.zero_grad()
        (0.5 * (X @ w[0] - y).square().sum()).backward()
        optimiser.step()
        sparsity.proximal_step(optimiser, [w], 0.005, lam)
    g, w = X.T @ (X @ w[0].detach() - y), w[0].detach()
    assert 2 <= (w == 0).sum() <= 11
    assert (g[w == 0].abs() <= lam + 1e-9).all() and torch.allclose(g[w != 0], -lam * w[w != 0].sign(), atol=1e-9)


@pytest.mark.parametrize("scope", ["global", "matrix", "random"])
@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 0.9, 1.0])
def test_so_large_a_share_is_pruned_exactly(scope, share):
    model = transformer.build(digits.small(patch_size=4), seed=1)
    before = {name: W.detach().clone() for name, W in sparsity.matrices(model).items()}
    thin = sparsity.matrices(sparsity.pruned(model, share, scope))
    gone = {name: (W == 0) for name, W in thin.items()}
    if scope == "matrix":
        assert all(int(x.sum()) == round(share * x.numel()) for x in gone.values())
    else:
        total = sum(x.numel() for x in gone.values())
        assert sum(int(x.sum()) for x in gone.values()) == round(share * total)
    assert all(
        torch.equal(W[~gone[name]], before[name][~gone[name]]) for name, W in thin.items()
    )  # the rest is as it was
    assert all(torch.equal(W, before[name]) for name, W in sparsity.matrices(model).items())  # and so is the model
    if scope == "global" and 0 < share < 1:
        assert max(before[n][x].abs().max() for n, x in gone.items() if x.any()) <= min(
            before[n][~x].abs().min() for n, x in gone.items() if not x.all()
        )


def test_bad_shares_and_scopes_get_a_sentence():
    weights = {"W": torch.ones(2, 2)}
    with pytest.raises(ValueError, match="between 0 and 1"):
        sparsity.keep(weights, 1.5)
    with pytest.raises(ValueError, match="no scope 'head'"):
        sparsity.keep(weights, 0.5, "head")
    with pytest.raises(ValueError, match="nothing to count"):
        sparsity.share_zero([])


def test_what_is_counted_adds_up():
    W = torch.tensor([[0.0, 1e-9, -5e-4], [0.02, -0.0, 30.0]])
    counts, zero = sparsity.magnitudes([W], runs.EDGES)
    assert (
        zero == 2 and int(counts.sum()) == 4 and counts[0] == 1 and counts[-1] == 1
    )  # what lies outside is in the last bins
    assert sparsity.share_zero([W]) == 2 / 6 and sparsity.share_small([W]) == 4 / 6
    up_to = sparsity.share_up_to(W, torch.tensor([0.0, 1e-3, 0.02, 100.0]))
    assert torch.allclose(up_to, torch.tensor([2, 4, 5, 6]) / 6)


def test_the_largest_are_kept_in_each_row():
    a = torch.tensor([[1.0, -3.0, 2.0, 0.5], [0.1, 0.2, -0.4, 0.3]])
    assert sparsity.largest(a, 0.5).tolist() == [[0, -3, 2, 0], [0, 0, pytest.approx(-0.4), pytest.approx(0.3)]]
    assert sparsity.largest(a, 0.0) is a


def test_the_knee():
    shares, kept = [0.0, 0.2, 0.4, 0.6], [0.9, 0.91, 0.85, 0.9]
    assert (
        sparsity.knee(shares, kept, 0.89) == 0.2
        and sparsity.knee(shares, kept, 0.5) == 0.6
        and sparsity.knee(shares, kept, 0.95) == 0
    )


@pytest.mark.parametrize("problem", runs.PROBLEMS)
def test_the_penalty_in_the_loss_gives_no_zeros_and_the_soft_threshold_does(problem):
    reports = {
        way: list(runs.train(problem, way, 1e-3, seed=0, steps=24, every=8, alone=8)) for way in ("loss", "proximal")
    }
    assert [one.step for one in reports["loss"]] == [8, 16, 24]
    assert reports["loss"][0][1:] == reports["proximal"][0][1:] and reports["loss"][0].zero == 0  # alone until step 8
    loss, proximal = (of[-1] for of in reports.values())
    assert loss.zero < 1e-4 < 1e-3 < proximal.zero
    total = sum(reports["loss"][0].counts)
    for end in (loss, proximal):
        assert sum(end.counts) == total - round(end.zero * total)


def test_without_a_penalty_all_ways_are_one():
    ends = [list(runs.train("digits", way, 0.0, seed=2, steps=6, every=6, alone=2))[-1] for way in runs.WAYS]
    assert ends[0].counts == ends[1].counts == ends[2].counts


def test_a_proximal_step_between_the_steps_of_fit_is_all_there_is_to_it():
    """The seam that the module's docstring shows, against one step written out."""
    of, lam = runs.setting("digits, SGD"), 1e-3
    stepped, model = (transformer.build(of.config, seed=0) for _ in range(2))
    state = State.start(model, weight_decay=0.0)
    state.optimiser = torch.optim.SGD(model.parameters())
    for at in fit(model, of.batch, 1, loss=of.loss, lr=0.1, warmup=0, state=state):
        sparsity.proximal_step(state.optimiser, sparsity.matrices(model).values(), at.lr, lam)
    L, _ = of.loss(stepped, of.batch(torch.Generator().manual_seed(0)))
    L.backward()
    length = math.sqrt(sum(float(p.grad.square().sum()) for p in stepped.parameters()))
    scale = 0.1 * min(1.0, 1.0 / length)  # fit clips at 1
    for name, W in sparsity.matrices(stepped).items():
        expected = sparsity.soft_threshold(W.detach() - scale * W.grad, 0.1 * lam)
        assert torch.allclose(sparsity.matrices(model)[name], expected, atol=1e-6), name


def test_what_is_recorded_comes_out_again():
    found = runs.recorded()
    *_, at = itertools.islice(runs.train("digits", "proximal", 1e-4, seed=1), 3)
    run = found["runs"][runs.key("digits", "proximal", 1e-4)][1]
    assert [run["step"][2], run["zero"][2]] == [at.step, pytest.approx(at.zero, abs=5e-3)]
    assert run["kept"][2] == pytest.approx(at.kept, abs=0.01)


def test_the_recorded_runs_say_what_the_page_says():
    found = runs.recorded()
    for name, seeds in found["runs"].items():
        zero = [seed["zero"][-1] for seed in seeds]
        small = [seed["small"][-1] for seed in seeds]
        if " loss " in name:
            assert max(zero) < 1e-4, name
        elif " plain" in name:
            assert max(zero) < 1e-4 and max(small) < 0.1, name
        elif name.endswith("0.0001"):
            assert min(zero) > 0.1, name
        elif name.endswith("0.0003"):
            assert min(zero) > 0.6, name
    for name in ("digits", "digits, SGD", "characters"):
        key = runs.key(name, "loss", 3e-4)
        assert min(seed["small"][-1] for seed in found["runs"][key]) > 0.5, name


@pytest.mark.parametrize("way", runs.WAYS)
def test_the_models_that_ship_are_the_recorded_ones(way):
    found = runs.recorded()
    model = runs.load("digits", way)
    pruned = found["pruned"][f"digits {way}"][0]["global"]
    assert runs.measured("digits", model) == pytest.approx(pruned[0], abs=0.01)
    half = sparsity.pruned(model, 0.5)
    assert runs.measured("digits", half) == pytest.approx(pruned[runs.SHARES.index(0.5)], abs=0.02)


def test_our_reader_has_relus():
    layers, read = runs.neurons("Where art thou? 日本")
    assert read == "Where art thou? " and [list(a.shape) for a in layers] == [[16, 192]] * 2
    assert all((a >= 0).all() and 0.2 < sparsity.share_zero([a]) < 1 for a in layers)
    with pytest.raises(ValueError, match="none of them"):
        runs.neurons("日本")


def test_a_sparse_product_is_the_same_product():
    dice = torch.Generator().manual_seed(3)
    W, X = torch.randn(30, 20, generator=dice), torch.randn(20, 4, generator=dice)
    for share in (0.0, 0.5, 0.9):
        ways = sparse_matmul.kept_as(W, share)
        assert torch.allclose(ways["sparse"] @ X, ways["dense"] @ X, atol=1e-5)
        assert (ways["dense"] == 0).sum() == round(share * W.numel())
        assert sparse_matmul.size(ways["dense"]) == 30 * 20 * 4
        left = 600 - round(share * 600)
        assert sparse_matmul.size(ways["sparse"]) == left * 12 + 31 * 8
        assert len(ways["rows gone"]) == 30 - round(share * 30)


def test_it_is_timed():
    found = list(sparse_matmul.timed(tokens=(2,), shares=(0.0, 0.9), shape=(16, 8), rounds=1))
    assert [one.share for one in found] == [0.0, 0.9] and all(s > 0 for one in found for s in one.seconds.values())


def test_the_neurons_of_an_encoder_with_relu():
    text = "the cat sleeps"
    tokenizer = Characters.train(text)
    config = transformer.Config(kind="encoder-decoder", vocab_size=tokenizer.vocab_size, d_model=16, n_layers=1, n_encoder_layers=3,
                                n_heads=2, max_len=20, position="sinusoidal", activation="relu")  # fmt: skip
    model = transformer.build(config, seed=0)
    layers = relu_zeros.neurons(model, tokenizer, text)
    assert [list(a.shape) for a in layers] == [[len(text), config.d_ff]] * 3
    x = model.run([tokenizer.encode(text)], source=[tokenizer.encode(text)], record=("encoder.layers.0.norm_2",)).trace
    ffn = model.encoder.stack.blocks[0].ffn
    u = ffn.W_1(x["encoder.layers.0.norm_2"][0])
    assert torch.allclose(layers[0], u.clamp(min=0), atol=1e-5) and 0.2 < sparsity.share_zero(layers) < 0.8
    for bad in ("", "the cat sleeps the cat"):
        with pytest.raises(ValueError, match="tokens long"):
            relu_zeros.neurons(model, tokenizer, bad)
