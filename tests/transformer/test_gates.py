"""The gated activations against their formulas, autograd and the models' own FFN."""

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer import cost
from transformer.experiments import gates

G, U = torch.meshgrid(torch.linspace(-5, 5, 41, dtype=torch.float64), torch.linspace(-5, 5, 41, dtype=torch.float64), indexing="ij")


@pytest.mark.parametrize("name, formula", [
    ("bilinear", lambda g, u: g * u), ("glu", lambda g, u: F.glu(torch.cat((u, g), -1), -1)), ("reglu", lambda g, u: F.relu(g) * u),
    ("geglu", lambda g, u: F.gelu(g) * u), ("swiglu", lambda g, u: F.silu(g) * u),
])  # fmt: skip
def test_each_gate_is_its_formula_and_its_slopes_are_autograds(name, formula):
    torch.testing.assert_close(gates.gated(name, G, U), formula(G, U))
    g, u = G.clone().requires_grad_(), U.clone().requires_grad_()
    to_g, to_u = torch.autograd.grad(gates.gated(name, g, u).sum(), (g, u))
    slopes = gates.slopes(name, G, U)
    torch.testing.assert_close(slopes[0], to_g)
    torch.testing.assert_close(slopes[1], to_u)


def test_swiglu_is_what_the_model_computes():
    model, tokenizer = transformer.load("tiny")
    trace = model.run(tokenizer.encode("a gate"), record="layers.1.ffn.*").trace
    g, u, a = (trace[f"layers.1.ffn.{part}"] for part in ("gate", "pre", "post"))
    torch.testing.assert_close(gates.gated("swiglu", g, u), a)


def test_bilinear_is_not_linear_and_only_relu_makes_zeros():
    assert gates.gated("bilinear", 2 * G, 2 * U).allclose(4 * gates.gated("bilinear", G, U))
    torch.manual_seed(0)
    g, u = torch.randn(2, 5000)
    kept = {name: gates.left(name, g, u) for name in gates.GATES}
    assert kept["reglu"].zero == pytest.approx((g <= 0).float().mean().item())
    assert all(kept[name].zero == 0 for name in gates.GATES if name != "reglu")
    assert kept["reglu"].faint >= kept["reglu"].zero and kept["glu"].mean < kept["bilinear"].mean
    with pytest.raises(ValueError, match="no neuron"):
        gates.left("glu", g[:0], u[:0])
    with pytest.raises(ValueError, match="no gate"):
        gates.gated("tanhglu", g, u)


def test_density_counts_pairs_where_they_lie():
    g, u = torch.tensor([-0.5, 0.5, 0.6, 9.0]), torch.tensor([0.5, -0.5, -0.6, 0.0])
    found = gates.density(g, u, 1.0, 2)
    assert found.tolist() == [[0.25, 0.0], [0.0, 0.5]]  # u upwards, g to the right; one lies outside


def test_the_matched_width_keeps_the_parameters():
    smol = transformer.PRESETS["smollm2-135m"]
    assert gates.matched_width(4 * smol.d_model) == smol.d_ff
    base = dict(d_model=48, n_layers=1, n_heads=2, vocab_size=9, ffn_bias=False)
    plain = transformer.Config(**base, d_ff=4 * 48)
    gated = transformer.Config(**base, d_ff=int(gates.matched_width(4 * 48)), gated=True)
    assert cost.parameters(plain)["ffn"] == cost.parameters(gated)["ffn"]
