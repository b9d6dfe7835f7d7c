"""Each score function against its paper's formula, written out pair by pair; and what the scores are then put through."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

import transformer
from transformer import Config, rope
from transformer.attention import Attention, masked_softmax
from transformer.geometry import Geometry
from transformer.scores import SCORES
from transformer.tap import RecordingTap

CLOSE = dict(atol=1e-10, rtol=1e-10)
H, N, D = 2, 5, 4


def drawn(score: str, **options) -> tuple[Attention, torch.Tensor]:
    torch.manual_seed(0)
    attention = Attention(Config(kind="encoder", d_model=H * D, n_heads=H, position="none", max_len=9, score=score, **options))
    with torch.no_grad():
        for p in attention.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    return attention.double().eval(), torch.randn(1, N, H * D).double()


def traced(attention: Attention, x: torch.Tensor) -> dict[str, torch.Tensor]:
    tap = RecordingTap("*", names=["Q", "K", "V", "scores", "A", "z"])
    at = torch.arange(x.shape[1])[None]
    attention(x, Geometry(attention.config, at, at), None, tap)
    return tap.trace


def pair(score: str, module: torch.nn.Module, q: torch.Tensor, k: torch.Tensor, head: int, j: int) -> torch.Tensor:
    """One score by the paper's formula."""
    match score:
        case "scaled_dot":
            return q @ k / math.sqrt(D)
        case "dot":
            return q @ k
        case "general":
            return q @ module.W[head] @ k
        case "cosine":
            return module.beta[head] * cosine_similarity(q, k, dim=0)
        case "additive":
            return module.v[head] @ torch.tanh(q + k + module.b[head])
        case "location":
            return module.W[head, j] @ q
    raise AssertionError(score)


@pytest.mark.parametrize("score", SCORES)
def test_every_score_is_its_papers_formula(score):
    attention, x = drawn(score)
    trace = traced(attention, x)
    for head in range(H):
        for i in range(N):
            for j in range(N):
                q, k = trace["Q"][0, head, i], trace["K"][0, head, j]
                expected = pair(score, attention.score, q, k, head, j)
                torch.testing.assert_close(trace["scores"][0, head, i, j], expected, **CLOSE)
    torch.testing.assert_close(trace["A"], trace["scores"].softmax(-1), **CLOSE)


def test_general_starts_as_the_scaled_dot_product():
    general, plain = (transformer.build(Config(d_model=16, score=score), seed=0).eval() for score in ("general", "scaled_dot"))
    general.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(general.run([1, 2, 3]).output, plain.run([1, 2, 3]).output)


def test_a_soft_cap_bounds_the_scores_and_keeps_their_order():
    free, x = drawn("dot")
    capped, _ = drawn("dot", soft_cap=1.5)
    capped.load_state_dict(free.state_dict())
    S, T = traced(free, x)["scores"], traced(capped, x)["scores"]
    assert T.abs().max() < 1.5
    torch.testing.assert_close(T, 1.5 * torch.tanh(S / 1.5), **CLOSE)
    assert torch.equal(S.argsort(-1), T.argsort(-1))


def test_a_sink_takes_weight_and_gives_no_value():
    S = torch.randn(1, H, N, N).double()
    A = masked_softmax(S, None, sink=torch.tensor([0.0, 50.0]).double())
    torch.testing.assert_close(A[:, 0].sum(-1), S[:, 0].exp().sum(-1) / (1 + S[:, 0].exp().sum(-1)), **CLOSE)
    assert A[:, 1].max() < 1e-15
    plain = masked_softmax(S, None, sink=torch.full((H,), -torch.inf).double())
    torch.testing.assert_close(plain, S.softmax(-1), **CLOSE)


def test_a_gate_scales_each_heads_output():
    attention, x = drawn("scaled_dot", gate=True)
    at = torch.arange(N)[None]
    tap = RecordingTap("*", names=["Q", "K", "V", "scores", "A", "z", "gate"])
    out, _ = attention(x, Geometry(attention.config, at, at), None, tap)
    gated = tap.trace["z"] * torch.sigmoid(attention.W_gate(x)).mT[..., None]
    torch.testing.assert_close(out, attention.W_O(gated.transpose(1, 2).flatten(2)), **CLOSE)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_partial_rope_turns_the_first_coordinates_and_leaves_the_rest(layout):
    config = Config(d_model=16, n_heads=2, rope_dims=4, rope_layout=layout)
    x = torch.randn(1, 2, 6, 8)
    turned = rope.rotate(x, rope.rotation(config, torch.arange(6)[None]))
    small = Config(d_model=8, n_heads=2, rope_layout=layout)
    torch.testing.assert_close(turned[..., :4], rope.rotate(x[..., :4], rope.rotation(small, torch.arange(6)[None])))
    assert torch.equal(turned[..., 4:], x[..., 4:])


def test_partial_rope_is_gpt_neoxs():
    from transformers import GPTNeoXConfig
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding, apply_rotary_pos_emb

    config = Config(d_model=32, n_heads=2, rope_dims=4)
    theirs = GPTNeoXRotaryEmbedding(GPTNeoXConfig(
        hidden_size=32, num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25},
    ))  # fmt: skip
    q, k, at = torch.randn(1, 2, 6, 16), torch.randn(1, 2, 6, 16), torch.arange(6)[None]
    cos, sin = theirs(q, at)
    rotation = rope.rotation(config, at)
    for ours, expected in zip((rope.rotate(q, rotation), rope.rotate(k, rotation)),
                              apply_rotary_pos_emb(q, k, cos, sin), strict=True):  # fmt: skip
        torch.testing.assert_close(ours, expected)


def test_a_prefix_sees_itself_and_the_rest_stays_causal():
    config = Config(d_model=16, prefix=3)
    A = transformer.build(config, seed=0).eval().run([1, 2, 3, 4, 5], record="*.A").trace["layers.0.attention.A"][0, 0]
    assert (A[:3, :3] > 0).all() and (A[:3, 3:] == 0).all() and A[3, 4] == 0 and (A[4] > 0).all()


def test_packed_texts_do_not_see_each_other():
    """Two texts in one row, each at its own positions, read as if alone."""
    config = Config(d_model=16, packed=True)
    model = transformer.build(config, seed=0).double().eval()
    first, second = [1, 2, 3], [4, 5, 6, 7]
    with torch.no_grad():
        together = model(
            torch.tensor([first + second]), positions=torch.tensor([[0, 1, 2, 0, 1, 2, 3]]),
            segments=torch.tensor([[0, 0, 0, 1, 1, 1, 1]]),
        )  # fmt: skip
    torch.testing.assert_close(together[:, :3], model.run(first).output, **CLOSE)
    torch.testing.assert_close(together[:, 3:], model.run(second).output, **CLOSE)
