"""The steps of attention, one by one, are what the model computes, what torch computes, and what the paper writes."""

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer import masks, stepwise


def plain(**changes):
    options = {"d_model": 24, "n_layers": 2, "n_heads": 3, "vocab_size": 50, "position": "learned", "max_len": 16}
    return transformer.build(transformer.Config(**(options | changes)), seed=1)


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_steps_are_those_of_the_model(kind):
    model = plain(kind=kind)
    trace = model.run(torch.arange(7), record=("*.norm_1", "*.attention.*")).trace
    past = torch.arange(7)[None]
    allowed = masks.causal(past, past)[0] if kind == "decoder" else None
    for layer in range(2):
        found = stepwise.attend(trace[f"layers.{layer}.norm_1"][0], stepwise.weights(model, layer), 3, allowed)
        for name in ("Q", "K", "V", "A", "z", "out"):
            of_model = trace[f"layers.{layer}.attention.{name}"][0]
            torch.testing.assert_close(getattr(found, name), of_model, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.S, trace[f"layers.{layer}.attention.scores"][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [None, 1.0, 0.1])
def test_a_head_is_torchs_and_the_formula(factor):
    generator = torch.Generator().manual_seed(0)
    Q, K, V = (torch.randn(2, n, d, generator=generator, dtype=torch.float64) for n, d in ((5, 4), (6, 4), (6, 3)))
    allowed = torch.rand(5, 6, generator=generator) < 0.7
    allowed[:, 0] = True
    S, A, z = stepwise.read(Q, K, V, allowed, factor)
    torch.testing.assert_close(z, F.scaled_dot_product_attention(Q, K, V, allowed, scale=factor))
    scale = 0.5 if factor is None else factor
    for h, i, j in ((0, 0, 0), (1, 4, 5), (0, 3, 2)):
        assert S[h, i, j].item() == pytest.approx(scale * sum(Q[h, i, c] * K[h, j, c] for c in range(4)).item())
    torch.testing.assert_close(A.sum(-1), torch.ones(2, 5, dtype=torch.float64))
    assert (A[:, ~allowed] == 0).all()


def test_nothing_to_read_gives_zeros():
    Q, K, V = torch.ones(3, 2, 4).unbind()
    allowed = torch.tensor([[True, False], [False, False]])
    found = stepwise.read(Q, K, V, allowed)
    assert (found.A[1] == 0).all() and (found.z[1] == 0).all() and found.A[0].tolist() == [1, 0]


def test_shapes_are_the_papers_and_w_o_is_square():
    model = plain()
    W_Q, W_K, W_V, W_O = stepwise.weights(model, 0)
    assert W_Q.shape == W_K.shape == W_V.shape == (24, 3 * 8) and W_O.shape == (24, 24)
    with pytest.raises(ValueError, match="adds biases"):
        stepwise.weights(plain(qkv_bias=True), 0)
