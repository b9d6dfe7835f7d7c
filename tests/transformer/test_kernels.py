"""Kernel attention: random features estimate what they claim to, and the state gives what every pair would."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

import transformer
from transformer import Cache, Config, cost, kernels
from transformer.geometry import Geometry
from transformer.kernels import LinearAttention, Performer, log_random_features, random_rows
from transformer.tap import OFF, RecordingTap

CLOSE = dict(atol=1e-9, rtol=1e-9)
KINDS = pytest.mark.parametrize("attention", ["linear", "performer"])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config_of(attention: str, **options) -> Config:
    return Config(d_model=32, n_heads=4, attention=attention, features=11 if attention == "performer" else None, **options)


def model_of(config: Config) -> transformer.Model:
    model = transformer.build(config, seed=1).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.3, generator=seeded(p.numel()))
    return model.double()


def layer_of(config: Config, dtype: torch.dtype = torch.float64) -> kernels.KernelAttention:
    return model_of(config).stack.blocks[0].attention.to(dtype)


def ids_of(n: int, batch: int = 2) -> Tensor:
    return torch.randint(256, (batch, n), generator=seeded(n))


# ---- the features ----


def test_the_estimate_of_the_kernel_is_unbiased():
    """The mean over independent draws of φ(q)·φ(k) is exp(q·k), within what so many draws can tell."""
    draws, m, d = 4000, 8, 4
    q, k = torch.randn(2, 6, d, generator=seeded(0), dtype=torch.float64) * 0.7
    estimates = torch.stack([
        (log_random_features(q, omega).exp() * log_random_features(k, omega).exp()).sum(-1)
        for omega in (random_rows(m, d, seeded(s)).double() for s in range(draws))
    ])  # fmt: skip
    error = estimates.std(0) / math.sqrt(draws)
    assert ((estimates.mean(0) - (q * k).sum(-1).exp()).abs() < 4 * error).all()
    assert (error < 0.1 * (q * k).sum(-1).exp()).all()  # narrow enough to mean something


def test_a_biased_estimate_would_be_noticed():
    """The same with |x|² instead of |x|²/2 in the exponent is far outside."""
    draws, d = 4000, 4
    q, k = torch.randn(2, 6, d, generator=seeded(0), dtype=torch.float64) * 0.7
    half = (q.square() + k.square()).sum(-1) / 2
    estimates = torch.stack([
        ((log_random_features(q, omega) + log_random_features(k, omega)).exp().sum(-1)) * (-half).exp()
        for omega in (random_rows(8, d, seeded(s)).double() for s in range(draws))
    ])  # fmt: skip
    error = estimates.std(0) / math.sqrt(draws)
    assert ((estimates.mean(0) - (q * k).sum(-1).exp()).abs() > 4 * error).any()


def test_orthogonal_rows_estimate_with_less_variance():
    draws, d = 3000, 8
    q, k = torch.randn(2, 5, d, generator=seeded(3), dtype=torch.float64) * 0.3

    def squared_error(orthogonal: bool) -> Tensor:
        estimates = torch.stack([
            (log_random_features(q, omega) + log_random_features(k, omega)).exp().sum(-1)
            for omega in (random_rows(d, d, seeded(s), orthogonal=orthogonal).double() for s in range(draws))
        ])  # fmt: skip
        return (estimates - (q * k).sum(-1).exp()).square().mean(0)

    together, apart = squared_error(True), squared_error(False)
    assert (together < apart).all() and together.sum() < 0.9 * apart.sum()


def test_rows_are_orthogonal_in_blocks_and_each_is_gaussian():
    omega = random_rows(20, 8, seeded(0)).double()
    for block in omega.split(8):
        inner = block @ block.T
        torch.testing.assert_close(inner, inner.diagonal().diag(), atol=1e-5, rtol=0)
    many = torch.stack([random_rows(3, 4, seeded(s)) for s in range(5000)])  # [draw, row, d]
    for row in many.unbind(1):
        torch.testing.assert_close(row.mean(0), torch.zeros(4), atol=0.06, rtol=0)
        torch.testing.assert_close(row.T.cov(), torch.eye(4), atol=0.08, rtol=0)
        assert row.pow(4).mean().item() == pytest.approx(3.0, abs=0.25)  # a Gaussian's fourth moment


def test_the_same_seed_draws_the_same_features():
    config = config_of("performer")
    one, two, other = (transformer.build(config, seed=s).stack.blocks[0].attention.omega for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)
    layers = transformer.build(config, seed=0).stack.blocks
    assert not torch.equal(layers[0].attention.omega, layers[1].attention.omega)
    assert "stack.blocks.0.attention.omega" in transformer.build(config).state_dict()


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_attention_converges_to_softmax_attention(kind):
    """The error of A against the exact one falls as 1/√m: 16 times the features, a quarter of it."""
    exact = transformer.build(Config(kind=kind, d_model=32, n_heads=4, n_layers=1), seed=0).double().eval()
    with torch.no_grad():
        for name, p in exact.named_parameters():
            if "W_Q" in name or "W_K" in name:
                p.normal_(0, 0.06, generator=seeded(1))
    record, ids = "layers.0.attention.A", ids_of(12)
    A = exact.run(ids, record=record).trace[record]

    def error(m: int) -> float:
        found = []
        for seed in range(16):
            config = dataclasses.replace(exact.config, attention="performer", features=m)
            model = transformer.build(config, seed=seed).double().eval()
            model.load_state_dict(exact.state_dict() | {n: b for n, b in model.state_dict().items() if n.endswith("omega")})
            found.append((model.run(ids, record=record).trace[record] - A).square().mean())
        return torch.stack(found).mean().sqrt().item()

    few, many = error(16), error(256)
    assert 0.15 < many / few < 0.4
    assert many < 0.1 * A.square().mean().sqrt()


# ---- against others ----


def written_out(phi_Q: Tensor, phi_K: Tensor, V: Tensor, causal: bool) -> Tensor:
    """Katharopoulos et al., eqs. 5 to 12, token by token: S ← S + φ(k) vᵀ, z ← z + φ(k), out = φ(q) S / φ(q)·z."""
    S = torch.zeros(*V.shape[:2], phi_K.shape[-1], V.shape[-1], dtype=V.dtype)
    z = torch.zeros(*V.shape[:2], phi_K.shape[-1], dtype=V.dtype)
    n, out = V.shape[2], []
    if not causal:
        S, z = torch.einsum("bhnm,bhnd->bhmd", phi_K, V), phi_K.sum(2)
    for i in range(n):
        if causal:
            S = S + torch.einsum("bhm,bhd->bhmd", phi_K[:, :, i], V[:, :, i])
            z = z + phi_K[:, :, i]
        numerator = torch.einsum("bhm,bhmd->bhd", phi_Q[:, :, i], S)
        out.append(numerator / torch.einsum("bhm,bhm->bh", phi_Q[:, :, i], z)[..., None])
    return torch.stack(out, 2)


@KINDS
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_it_is_the_papers_recurrence(attention, kind, dtype, tolerance):
    """Over more tokens than a chunk has, with features made as the papers write them."""
    layer = layer_of(config_of(attention, kind=kind, position="none"), dtype)
    n = kernels.BLOCK + kernels.CHUNK + 5
    x, at = torch.randn(2, n, 32, dtype=dtype, generator=seeded(0)), torch.arange(n)[None]
    Q, K, V = (layer.split(W(x)) for W in (layer.W_Q, layer.W_K, layer.W_V))
    if attention == "linear":
        phi_Q, phi_K = torch.nn.functional.elu(Q) + 1, torch.nn.functional.elu(K) + 1
    else:  # Choromanski et al., eq. 5 and lemma 1, of q / d^¼
        phi_Q, phi_K = (
            torch.exp(torch.einsum("bhnd,md->bhnm", y, layer.omega) - y.norm(dim=-1, keepdim=True) ** 2 / 2) / 11**0.5
            for y in (Q / 8**0.25, K / 8**0.25)
        )
    z = written_out(phi_Q, phi_K, V, kind == "decoder")
    expected = torch.einsum("bhnd,ohd->bno", z, layer.W_O.weight.unflatten(1, (4, 8)))
    names = ["A", "scores", "log_phi_Q", "log_phi_K"]
    tap = RecordingTap(names, names=names)
    for trace in (OFF, tap):
        out, _ = layer(x, Geometry(layer.config, at, at), None, trace)
        torch.testing.assert_close(out, expected, atol=tolerance, rtol=tolerance)
    pairs = torch.einsum("bhqm,bhkm->bhqk", phi_Q, phi_K)
    torch.testing.assert_close(tap.trace["scores"], pairs.log(), atol=10 * tolerance, rtol=tolerance)
    torch.testing.assert_close(tap.trace["log_phi_K"].exp(), phi_K, atol=tolerance, rtol=10 * tolerance)
    seen = pairs.tril() if kind == "decoder" else pairs
    torch.testing.assert_close(tap.trace["A"], seen / seen.sum(-1, keepdim=True), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_it_is_the_published_performer(causal, dtype, tolerance):
    """Their features with the small constant that they add left out: it has no part in the paper's estimate."""
    theirs = pytest.importorskip("performer_pytorch.performer_pytorch")
    layer = layer_of(config_of("performer", kind="decoder" if causal else "encoder", position="none"), dtype)
    x, at = torch.randn(2, 9, 32, dtype=dtype, generator=seeded(0)), torch.arange(9)[None]
    Q, K, V = (layer.split(W(x)) for W in (layer.W_Q, layer.W_K, layer.W_V))
    phi_Q, phi_K = (
        theirs.softmax_kernel(y, projection_matrix=layer.omega, is_query=query, eps=0.0) for y, query in ((Q, True), (K, False))
    )
    z = theirs.causal_linear_attention_noncuda(phi_Q, phi_K, V, eps=0.0) if causal else theirs.linear_attention(phi_Q, phi_K, V)
    out, _ = layer(x, Geometry(layer.config, at, at), None, OFF)
    torch.testing.assert_close(out, layer.W_O(z.transpose(1, 2).flatten(2)), atol=tolerance, rtol=tolerance)


# ---- the state ----


@KINDS
def test_reading_on_from_the_state_over_several_chunks(attention):
    model, ids = model_of(config_of(attention)), ids_of(kernels.BLOCK + 3 * kernels.CHUNK)
    full, cache, parts = model.run(ids).output, Cache.empty(2), []
    for piece in ids.split((kernels.CHUNK + 3, 1, 1, kernels.BLOCK + 2 * kernels.CHUNK - 5), 1):
        run = model.run(piece, cache=cache)
        cache, parts = run.cache, [*parts, run.output]
    torch.testing.assert_close(torch.cat(parts, 1), full, **CLOSE)


@KINDS
def test_the_state_stays_as_large_as_it_is(attention):
    config = config_of(attention)
    model, sizes = model_of(config), []
    for n in (1, 5, 200):
        cache = model.run(ids_of(n), cache=Cache.empty(2)).cache
        sizes.append(sum(t.numel() for layer in cache.layers for t in layer.tensors))
        assert cost.kv_cache_bytes(config, n, batch=2, bytes_per_value=1) == sizes[-1]
        assert cache.length == n and cache.k_pos.shape[1] == 0
        assert all(t.untyped_storage().nbytes() == 8 * t.numel() for layer in cache.layers for t in layer.held)
    assert sizes[0] == sizes[2]


@KINDS
def test_with_a_cache_a_row_of_weights_lacks_what_the_past_weighs(attention):
    model, ids = model_of(config_of(attention)), ids_of(9)
    record = "layers.*.attention.A"
    whole = model.run(ids, record=record).trace["layers.1.attention.A"]
    cache = model.run(ids[:, :6], cache=Cache.empty(2)).cache
    A = model.run(ids[:, 6:], cache=cache, record=record).trace["layers.1.attention.A"]
    torch.testing.assert_close(A, whole[:, :, 6:, 6:], **CLOSE)


@KINDS
@pytest.mark.parametrize("textbook", [False, True])
def test_padding_in_the_middle_of_a_row_is_never_read(attention, textbook):
    model, record = model_of(config_of(attention, position="none")), "*" if textbook else ()
    first = model.run([[1, 2, 3, 4], [1, 2]], cache=Cache.empty(2), record=record)
    second = model.run(torch.tensor([[0], [3]]), cache=first.cache, record=record)
    torch.testing.assert_close(second.output[1:], model.run([1, 2, 3]).output[:, 2:], **CLOSE)


@KINDS
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_whole_chunks_of_padding_count_for_nothing(attention, kind):
    layer = layer_of(config_of(attention, kind=kind, position="none"))
    n, before, after = kernels.BLOCK, kernels.CHUNK + 9, 2 * kernels.CHUNK + 3
    x = torch.randn(1, before + n + after, 32, dtype=torch.float64, generator=seeded(0))
    own, at = x[:, before : before + n], torch.arange(x.shape[1])[None]
    real = (at >= before) & (at < before + n)
    padded, _ = layer(x, Geometry(layer.config, at, at, real), None, OFF)
    alone, _ = layer(own, Geometry(layer.config, at[:, :n], at[:, :n]), None, OFF)
    torch.testing.assert_close(padded[:, before : before + n], alone, **CLOSE)
    assert padded.isfinite().all() and (kind == "encoder" or padded[:, :before].abs().max() == 0)


@KINDS
def test_texts_of_a_cache_can_be_chosen(attention):
    model, ids = model_of(config_of(attention)), ids_of(6, batch=3)
    cache = model.run(ids, cache=Cache.empty(2)).cache.rows(torch.tensor([2, 0]))
    on = model.run([[7], [8]], cache=cache).output
    for row, text, token in zip(on, (ids[2], ids[0]), (7, 8), strict=True):
        torch.testing.assert_close(row, model.run([*text.tolist(), token]).output[0, -1:], **CLOSE)


@KINDS
def test_a_future_token_beyond_the_chunk_or_within_changes_no_bit(attention):
    model, ids = model_of(config_of(attention)), ids_of(kernels.BLOCK + 3 * kernels.CHUNK, batch=1)
    before = model.run(ids).output
    for t in (2, kernels.CHUNK - 1, kernels.CHUNK, 2 * kernels.CHUNK + 7, kernels.BLOCK, kernels.BLOCK + 70):
        other = ids.clone()
        other[:, t + 1 :] = (other[:, t + 1 :] + 1) % 256
        assert torch.equal(model.run(other).output[:, : t + 1], before[:, : t + 1])


# ---- numbers of any size ----


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@KINDS
@pytest.mark.parametrize("size", [1e-3, 12.0, 300.0])
def test_large_queries_and_keys_do_not_overflow(attention, kind, size):
    """exp(−|k|²/2) of the larger ones is far below what float32 can hold: the two paths agree all the same. Of the largest
    even single features vanish beside others (and nothing is left of Performer's estimate), so that they need be finite only.
    """
    layer = layer_of(config_of(attention, kind=kind, position="none"), torch.float32)
    n = 3 * kernels.CHUNK + 20
    x, at = torch.randn(1, n, 32, generator=seeded(0)) * size, torch.arange(n)[None]
    x.requires_grad_()
    out, _ = layer(x, Geometry(layer.config, at, at), None, OFF)
    tap = RecordingTap("A", names=["A"])
    textbook, _ = layer(x, Geometry(layer.config, at, at), None, tap)
    assert out.isfinite().all() and out.abs().max() > 0
    if size == 12.0 and attention == "performer":  # as it would come out if it were computed as it is written
        K = layer.split(layer.W_K(x)) / 8**0.25
        assert ((layer.omega @ K.mT).exp() * (-K.square().sum(-1) / 2).exp()[..., None, :]).eq(0).any()
    torch.testing.assert_close(tap.trace["A"].sum(-1), torch.ones(1, 4, n), atol=1e-4, rtol=0)
    if size < 100 or attention == "linear":
        torch.testing.assert_close(out, textbook, atol=1e-4 * float(out.detach().abs().max()), rtol=0)
    out.sum().backward()
    assert x.grad.isfinite().all()


@KINDS
@pytest.mark.parametrize("record", [(), "*"])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_row_with_nothing_to_read_gives_zeros_and_a_finite_gradient(attention, kind, record):
    layer = layer_of(config_of(attention, kind=kind, position="none"))
    x = torch.randn(2, 6, 32, dtype=torch.float64, generator=seeded(0), requires_grad=True)
    real = torch.tensor([[False] * 6, [False, False, True, True, True, True]])
    at = torch.arange(6)[None]
    names = ["A", "z", "scores", "log_phi_Q", "log_phi_K", "Q", "K", "V"]
    out, _ = layer(x, Geometry(layer.config, at, at, real), None, RecordingTap(record, names=names) if record else OFF)
    assert out[0].abs().max() == 0 and out.isfinite().all()
    assert kind == "encoder" or out[1, :2].abs().max() == 0
    out.square().sum().backward()
    assert x.grad.isfinite().all()


@KINDS
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_gradients_of_the_two_paths_agree(attention, kind):
    """What is taken out of the exponents for safety has no part in the answer, nor in its gradient."""
    layer = layer_of(config_of(attention, kind=kind))
    n, gradients = 3 * kernels.CHUNK + 4, []
    for tap in (OFF, RecordingTap("A", names=["A"])):
        x, at = torch.randn(1, n, 32, dtype=torch.float64, generator=seeded(0)).requires_grad_(), torch.arange(n)[None]
        layer.zero_grad()
        layer(x, Geometry(layer.config, at, at), None, tap)[0].square().sum().backward()
        gradients.append([x.grad, *(p.grad for p in layer.parameters())])
    for fast, textbook in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, textbook, **CLOSE)


# ---- cost ----


@KINDS
def test_what_is_computed_grows_as_n(attention):
    """Products counted while it runs, and the largest tensor made, at n and at 4n."""
    from torch.utils.flop_counter import FlopCounterMode

    def products(kind: str, n: int) -> int:
        layer = layer_of(config_of(attention, kind=kind, position="none"), torch.float32)
        x, at = torch.randn(1, n, 32), torch.arange(n)[None]
        with FlopCounterMode(display=False) as counting, torch.no_grad():
            layer(x, Geometry(layer.config, at, at), None, OFF)
        return counting.get_total_flops()

    for kind in ("decoder", "encoder"):
        assert products(kind, 4 * kernels.BLOCK) == 4 * products(kind, kernels.BLOCK)


def test_scores_that_no_kernel_has_are_refused():
    for options in (dict(score="additive"), dict(position="t5"), dict(sinks=True), dict(n_kv_heads=2), dict(packed=True)):
        with pytest.raises(ValueError, match="attention='linear'|packed"):
            Config(d_model=32, n_heads=4, attention="linear", **options)
    with pytest.raises(ValueError, match="features has no meaning"):
        Config(attention="linear", features=8)
    assert Config(d_model=512, n_heads=8, attention="performer").features == 267  # d_k ln d_k
    assert isinstance(layer_of(config_of("linear")), LinearAttention) and isinstance(layer_of(config_of("performer")), Performer)
