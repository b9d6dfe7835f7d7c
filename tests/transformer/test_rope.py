"""RoPE against its own law, against complex arithmetic, and against Hugging Face's table of scalings."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from transformer import Config, rope

POSITIONS = st.integers(0, 5000)
LAYOUTS = st.sampled_from(["half", "interleaved"])


def config(**options) -> Config:
    return Config(**{"d_model": 64, "n_heads": 1, "d_head": 64, "position": "rope", **options})


def vectors(seed: int, d_head: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, d_head, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def turned(x: torch.Tensor, m: int, c: Config) -> torch.Tensor:
    """R_m x in float64: angles in the library are float32, so the test builds the rotation from θ itself."""
    theta, factor = rope.scaled_frequencies(c)
    angle = m * theta.double()
    angle = angle.repeat_interleave(2) if c.rope_layout == "interleaved" else torch.cat((angle, angle))
    turn = rope.Rotation(angle.cos() * factor, angle.sin() * factor, c.rope_layout == "interleaved")
    return rope.rotate(x, turn)


@settings(max_examples=60, deadline=None)
@given(POSITIONS, POSITIONS, st.integers(0, 3000), LAYOUTS, st.integers(0, 999))
def test_score_depends_on_distance_alone(m, n, both, layout, seed):
    c, (q, k) = config(rope_layout=layout), vectors(seed)
    here = turned(q, m, c) @ turned(k, n, c)
    moved = turned(q, m + both, c) @ turned(k, n + both, c)
    assert here.item() == pytest.approx(moved.item(), abs=1e-9)
    if m != n:  # and the distance does matter: the law is no accident of rotations that do nothing
        assert abs(here - q @ k) > 1e-6


@settings(max_examples=40, deadline=None)
@given(POSITIONS, LAYOUTS, st.integers(0, 999))
def test_rotation_keeps_lengths(m, layout, seed):
    c, (q, _) = config(rope_layout=layout), vectors(seed)
    assert turned(q, m, c).norm().item() == pytest.approx(q.norm().item(), abs=1e-10)
    pairs_before, pairs_after = rope.pairs(q, layout), rope.pairs(turned(q, m, c), layout)
    torch.testing.assert_close(pairs_before.norm(dim=-1), pairs_after.norm(dim=-1))  # pair by pair, too


@settings(max_examples=40, deadline=None)
@given(POSITIONS, st.integers(0, 999))
def test_layouts_agree_under_the_permutation(m, seed):
    q, _ = vectors(seed)
    half, interleaved = config(rope_layout="half"), config(rope_layout="interleaved")
    torch.testing.assert_close(
        rope.interleave(turned(q, m, half)), turned(rope.interleave(q), m, interleaved), rtol=0, atol=1e-12
    )
    assert not torch.allclose(turned(q, m + 1, half), turned(q, m + 1, interleaved))  # the layouts do differ


def test_a_heads_scores_in_both_layouts():
    c = config(d_model=256, n_heads=4, n_kv_heads=2)
    Q, K = (torch.randn(h, 9, 64, generator=torch.Generator().manual_seed(h)) for h in (4, 2))
    found = rope.layouts(Q, K, c)
    torch.testing.assert_close(found.S_interleaved, found.S_half, rtol=0, atol=1e-4)
    torch.testing.assert_close(rope.interleave(found.Q_half), found.Q_interleaved, rtol=0, atol=1e-5)
    expected = turned(Q[3, 5].double(), 5, c) @ turned(K[1, 2].double(), 2, c)  # heads 2 and 3 share a key head
    assert found.S_half[3, 5, 2].item() == pytest.approx(expected.item(), abs=1e-4)
    torch.testing.assert_close(found.S_forgotten.diagonal(dim1=1, dim2=2), found.S_half.diagonal(dim1=1, dim2=2),
                               rtol=0, atol=1e-4)  # at distance 0 nothing is turned against anything
    assert (found.S_forgotten - found.S_half).abs().max() > 1  # and elsewhere it shows


def test_layouts_agree_in_a_whole_model():
    """Rows of W_Q and W_K permuted head by head: the other layout's model gives the same logits."""
    half = transformer.build(Config(d_model=32, n_heads=4, n_kv_heads=2, n_layers=2, rope_layout="half"), seed=0).eval()
    other = transformer.build(dataclasses.replace(half.config, rope_layout="interleaved"), seed=0).eval()
    weights = half.state_dict()
    for name, W in weights.items():
        if name.endswith(("W_Q.weight", "W_K.weight")):
            by_head = W.unflatten(0, (-1, half.config.d_head)).mT  # [head, model, d_head]
            weights[name] = rope.interleave(by_head).mT.flatten(0, 1)
    other.load_state_dict(weights)
    ids = list(range(12))
    torch.testing.assert_close(half.run(ids).output, other.run(ids).output, rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(POSITIONS, POSITIONS, LAYOUTS, st.integers(0, 999))
def test_score_from_distance_is_the_score_of_turned_vectors(m, n, layout, seed):
    c, (q, k) = config(rope_layout=layout), vectors(seed)
    theta, distance = rope.scaled_frequencies(c)[0].double(), torch.tensor([m - n], dtype=torch.float64)
    expected = (turned(q, m, c) @ turned(k, n, c)).item()
    assert rope.scores_by_distance(q, k, theta, distance, layout).item() == pytest.approx(expected, abs=1e-9)
    assert rope.pair_scores(q, k, theta, distance, layout).sum().item() == pytest.approx(expected, abs=1e-9)


def test_pair_scores_are_complex_products():
    q, k = vectors(1)
    theta, distance = rope.frequencies(64).double(), torch.arange(-5.0, 6.0, dtype=torch.float64)
    z_q, z_k = (torch.view_as_complex(rope.pairs(x, "interleaved").contiguous()) for x in (q, k))
    expected = (z_q * z_k.conj() * torch.polar(torch.ones(11, 32).double(), distance[:, None] * theta)).real
    torch.testing.assert_close(rope.pair_scores(q, k, theta, distance, "interleaved"), expected)


def test_scores_in_place_repeat_for_every_start():
    """The forward path's own float32 rotation: rows at starts 0 … 4096 agree to its rounding."""
    q, k = (x.float() for x in vectors(2))
    c = config(rope_base=100_000.0)
    starts, distance = torch.tensor([0, 1, 64, 4096]), torch.arange(0, 65)
    S = rope.scores_in_place(q, k, c, starts, distance)
    expected = rope.scores_by_distance(q, k, rope.frequencies(64, 100_000.0), distance.float()) / 8
    torch.testing.assert_close(S[0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(S, expected.expand(4, -1), rtol=0, atol=2e-3)


def test_a_model_attends_alike_wherever_the_text_stands():
    model = transformer.build(Config(d_model=32, n_heads=4, n_layers=2), seed=0).eval()
    ids = torch.arange(10)[None]
    with torch.no_grad():
        here = model(ids, positions=torch.arange(10)[None])
        there = model(ids, positions=torch.arange(700, 710)[None])
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.floats(-200, 200), st.sampled_from([8, 64]), st.integers(0, 999), st.sampled_from([500.0, 1e4, 1e6]))
def test_envelope_bounds_every_score(distance, d_head, seed, base):
    """|⟨R_m q, R_n k⟩| ≤ max_i |h_{i+1} − h_i| Σ_j |S_j|, for any vectors."""
    q, k = vectors(seed, d_head)
    theta, r = rope.frequencies(d_head, base).double(), torch.tensor([distance], dtype=torch.float64)
    z_q, z_k = (torch.view_as_complex(rope.pairs(x).contiguous()) for x in (q, k))
    h = torch.cat((z_q * z_k.conj(), torch.zeros(1, dtype=torch.complex128)))
    bound = h.diff().abs().max() * rope.decay_envelope(theta, r) * (d_head / 2)
    assert rope.scores_by_distance(q, k, theta, r).abs() <= bound + 1e-9


def test_aligned_decay():
    theta, r = rope.frequencies(64).double(), torch.arange(0, 300, dtype=torch.float64)
    ones = torch.ones(64, dtype=torch.float64)  # q = k with equally long pairs
    torch.testing.assert_close(rope.aligned_decay(theta, r), rope.scores_by_distance(ones, ones, theta, r) / 64)
    assert rope.aligned_decay(theta, r)[0] == 1
    assert rope.aligned_decay(theta, r)[50:].abs().max() < 0.6
    # S_j adds the first j unit vectors, so at distance 0 the envelope is the mean of 1 … d/2.
    assert rope.decay_envelope(theta, r)[0].item() == pytest.approx(16.5)


def test_alignment_not_rotation_makes_the_decay():
    theta, r = rope.frequencies(64), torch.arange(0, 200).float()
    for alignment in (0.0, 0.5, 1.0):
        q, k = rope.random_pairs(4000, 64, alignment, seed=0)
        mean = rope.scores_by_distance(q, k, theta, r).mean(0) / 64
        torch.testing.assert_close(mean, alignment * rope.aligned_decay(theta, r), rtol=0, atol=0.02)
    q, k = rope.random_pairs(4000, 64, 0.0, seed=0)
    spread = rope.scores_by_distance(q, k, theta, r).std(0)  # independent vectors: as wide at every distance
    assert spread.max() / spread.min() < 1.1


def test_scores_at_many_alignments_are_those_of_the_pairs_at_each():
    theta, r = rope.frequencies(16, 1000.0), torch.arange(9.0)
    for layout in ("half", "interleaved"):
        found = rope.scores_by_alignment(5, 16, [0.0, 0.3, 1.0, -0.6], 3, theta, r, layout)
        for S, alignment in zip(found, (0.0, 0.3, 1.0, -0.6), strict=True):
            expected = rope.scores_by_distance(*rope.random_pairs(5, 16, alignment, 3), theta, r, layout)
            torch.testing.assert_close(S, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="correlation"):
        rope.scores_by_alignment(5, 16, [0.0, 1.5], 3, theta, r)


def test_random_pairs_are_the_seeds_and_refuse_nonsense():
    assert torch.equal(rope.random_pairs(3, 8, 0.5, 7)[1], rope.random_pairs(3, 8, 0.5, 7)[1])
    assert not torch.equal(rope.random_pairs(3, 8, 0.5, 7)[1], rope.random_pairs(3, 8, 0.5, 8)[1])
    with pytest.raises(ValueError, match="between −1 and 1"):
        rope.random_pairs(3, 8, 1.5, 0)


def test_wavelengths():
    theta = rope.frequencies(64, 10_000.0)
    assert rope.wavelengths(theta)[0].item() == pytest.approx(2 * math.pi)
    c, (q, _) = config(), vectors(0)
    one_turn = torch.cat((rope.wavelengths(theta),) * 2) * torch.cat((theta, theta))
    torch.testing.assert_close(one_turn, torch.full((64,), 2 * math.pi))
    torch.testing.assert_close(turned(q, 0, c), q)


@pytest.mark.parametrize(("name", "d_head", "base", "factor"), [
    (name, d_head, base, factor) for name in ("linear", "ntk", "yarn", "llama3")
    for d_head in (32, 64, 128) for base in (1e4, 5e5) for factor in (2.0, 8.0)
])  # fmt: skip
def test_scalings_equal_hugging_face(name, d_head, base, factor):
    """θ' and the factor on cos, sin, as in transformers' ROPE_INIT_FUNCTIONS; "dynamic" is NTK at a given length."""
    modeling = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    trained = 2048
    ours = config(
        d_model=d_head, d_head=d_head, rope_base=base, rope_scaling=name, rope_factor=factor,
        max_len=int(trained * factor), rope_original_len=trained, rope_low_freq_factor=1.0, rope_high_freq_factor=4.0,
    )  # fmt: skip
    parameters = {"rope_type": {"ntk": "dynamic"}.get(name, name), "rope_theta": base, "factor": factor}
    if name in ("yarn", "llama3"):
        parameters["original_max_position_embeddings"] = trained
    if name == "llama3":
        parameters |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    theirs = LlamaConfig(
        hidden_size=d_head, num_attention_heads=1, head_dim=d_head, rope_parameters=parameters,
        max_position_embeddings=trained if name == "ntk" else int(trained * factor),
    )  # fmt: skip
    # dynamic NTK: base · (f·n/L − (f − 1))^(d/(d−2)); at n = L(2f − 1)/f the bracket is f, the fixed scaling
    n = int(trained * (2 * factor - 1) / factor) if name == "ntk" else None
    expected, attention = modeling.ROPE_INIT_FUNCTIONS[parameters["rope_type"]](theirs, torch.device("cpu"), seq_len=n)
    theta, on_cos_and_sin = rope.scaled_frequencies(ours)
    torch.testing.assert_close(theta, expected, rtol=2e-7 if name != "ntk" else 1e-6, atol=0)
    assert on_cos_and_sin == pytest.approx(attention, abs=1e-12)
    assert not torch.allclose(theta, rope.frequencies(d_head, base), rtol=1e-3)  # it does scale


def test_no_scaling_equals_hugging_face():
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama")
    from transformers import LlamaConfig

    hf = LlamaConfig(hidden_size=64, num_attention_heads=1, head_dim=64,
                     rope_parameters={"rope_type": "default", "rope_theta": 1e5})  # fmt: skip
    embedding = modeling.LlamaRotaryEmbedding(hf)
    positions = torch.arange(0, 8000, 97)[None]
    cos, sin = embedding(torch.zeros(1, 1, 64), positions)
    ours = rope.rotation(config(rope_base=1e5), positions)
    assert torch.equal(ours.cos[:, 0], cos)
    assert torch.equal(ours.sin[:, 0], sin)
