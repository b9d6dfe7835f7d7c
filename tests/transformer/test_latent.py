"""Latent attention: against DeepSeek's of Hugging Face, and its two ways of reading against each other."""

import dataclasses

import pytest
import torch
import transformers
from torch import Tensor, nn

import transformer
from transformer import Cache, Config, cost, names
from transformer.decoding import half_copy
from transformer.geometry import Geometry
from transformer.latent import Latent
from transformer.tap import OFF, RecordingTap

CLOSE = dict(atol=1e-9, rtol=1e-9)
FAMILIES = {
    "v2": ("DeepseekV2Config", "deepseek_v2.modeling_deepseek_v2", "DeepseekV2"),
    "v3": ("DeepseekV3Config", "deepseek_v3.modeling_deepseek_v3", "DeepseekV3"),
}


def theirs_of(family: str, q_rank: int | None, bias: bool) -> tuple[nn.Module, nn.Module]:
    """Their attention with random weights, and their table of angles."""
    config_name, module_name, prefix = FAMILIES[family]
    config = getattr(transformers, config_name)(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=q_rank, kv_lora_rank=10, qk_nope_head_dim=6,
        qk_rope_head_dim=4, v_head_dim=6, attention_bias=bias, max_position_embeddings=64, attn_implementation="eager",
    )  # fmt: skip
    module = getattr(transformers.models, module_name.split(".")[0])
    module = getattr(module, module_name.split(".")[1])
    torch.manual_seed(0)
    attention = getattr(module, f"{prefix}Attention")(config, layer_idx=0).eval()
    with torch.no_grad():
        for p in attention.parameters():
            p.normal_(0, 0.3)
    return attention, getattr(module, f"{prefix}RotaryEmbedding")(config)


def norm_in_float64(theirs: nn.Module) -> None:
    """Their norms compute in float32, whatever they are given; torch's own take their places."""
    for name in ("q_a_layernorm", "kv_a_layernorm"):
        if (norm := getattr(theirs, name)) is not None:
            own = nn.RMSNorm(norm.weight.shape, eps=norm.variance_epsilon, dtype=torch.float64)
            own.weight = norm.weight
            setattr(theirs, name, own)


def ours_of(theirs: nn.Module, q_rank: int | None, bias: bool) -> Latent:
    """Ours with their weights: their rows lie head by head, content and position in turn."""
    config = Config(
        d_model=32, n_heads=4, d_head=6, attention="latent", rank=10, q_rank=q_rank, rope_dims=4, rope_layout="interleaved",
        norm_eps=1e-6, qkv_bias=bias, out_bias=bias,
    )  # fmt: skip
    layer = Latent(config).eval()
    state = theirs.state_dict()

    def heads(name: str, first: int) -> tuple[Tensor, Tensor]:
        rows = state[name].unflatten(0, (4, -1))
        return rows[:, :first].flatten(0, 1), rows[:, first:].flatten(0, 1)

    tensors = {"W_O.weight": state["o_proj.weight"], "kv_norm.gamma": state["kv_a_layernorm.weight"]}
    tensors["W_UQ.weight"], tensors["W_QR.weight"] = heads("q_proj.weight" if q_rank is None else "q_b_proj.weight", 6)
    tensors["W_UK.weight"], tensors["W_UV.weight"] = heads("kv_b_proj.weight", 6)
    tensors["W_DKV.weight"], tensors["W_KR.weight"] = state["kv_a_proj_with_mqa.weight"].split((10, 4))
    if q_rank is not None:
        tensors |= {"W_DQ.weight": state["q_a_proj.weight"], "q_norm.gamma": state["q_a_layernorm.weight"]}
    if bias:
        tensors["W_DQ.bias"], tensors["W_O.bias"] = state["q_a_proj.bias"], state["o_proj.bias"]
        tensors["W_DKV.bias"], tensors["W_KR.bias"] = state["kv_a_proj_with_mqa.bias"].split((10, 4))
    layer.load_state_dict(tensors)
    return layer


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("q_rank, bias", [(None, False), (7, False), (7, True)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_it_is_deepseeks(family, q_rank, bias, dtype, tolerance):
    theirs, angles = theirs_of(family, q_rank, bias)
    ours = ours_of(theirs, q_rank, bias).to(dtype)
    theirs, x, at = theirs.to(dtype), torch.randn(2, 9, 32, dtype=dtype), torch.arange(9)[None]
    mask = torch.full((9, 9), torch.finfo(dtype).min, dtype=dtype).triu(1)[None, None]
    rotated = angles(x.float(), at)
    if dtype == torch.float64:
        norm_in_float64(theirs)
        theirs.config._attn_implementation = "sdpa"  # their own softmax is in float32, too
        if family == "v2":
            tolerance = 1e-6  # it turns in float32, whatever it is given
    expected, weights = theirs(x, attention_mask=mask, position_embeddings=rotated)
    tap = RecordingTap("A", names=["A"])
    for trace in (OFF, tap):
        out, _ = ours(x, Geometry(ours.config, at, at), None, trace)
        torch.testing.assert_close(out, expected, atol=tolerance, rtol=tolerance)
    if weights is not None:
        torch.testing.assert_close(tap.trace["A"], weights, atol=tolerance, rtol=tolerance)


def model_of(config: Config) -> transformer.Model:
    model = transformer.build(config, seed=1).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.2, generator=torch.Generator().manual_seed(p.numel()))
    return model.double()


BASE = Config(d_model=32, n_heads=4, attention="latent", rank=6)


@pytest.mark.parametrize("q_rank", [None, 5])
@pytest.mark.parametrize("position", ["rope", "none", "learned"])
def test_latents_read_as_they_are_kept_give_the_same(q_rank, position, monkeypatch):
    """W_UK taken into the query and W_UV into the output, against keys and values made: with and without a cache."""
    config = dataclasses.replace(BASE, q_rank=q_rank, position=position)
    model, ids = model_of(config), torch.randint(256, (2, 11), generator=torch.Generator().manual_seed(0))
    answers, taken = [], []
    for absorbs in (True, False):
        monkeypatch.setattr(Latent, "_absorbs", lambda self, n, keys: absorbs)
        monkeypatch.setattr(Latent, "_read_latents", counted(Latent._read_latents, taken))
        with torch.no_grad():
            first, cache = model.extend(ids[:, :6], Cache.empty(2))
            answers.append(torch.cat((first, model.extend(ids[:, 6:], cache)[0]), 1))
    torch.testing.assert_close(answers[0], answers[1], **CLOSE)
    torch.testing.assert_close(answers[0], model.run(ids, record="*.A").output, **CLOSE)
    assert len(taken) == 4  # two layers, two pieces, in the first round alone


def counted(method, calls: list):
    def call(*args):
        calls.append(args)
        return method(*args)

    return call


def test_decoding_reads_latents_and_a_whole_text_makes_keys():
    layer = Latent(Config(d_model=512, n_heads=8, attention="latent", rank=128))
    assert layer._absorbs(1, 1000) and layer._absorbs(4, 1000)
    assert not layer._absorbs(1000, 1000)


def test_a_rank_that_loses_nothing_and_no_rope_is_multi_head_attention():
    """W_DKV = I squeezes nothing; the norm stays, so x is normalised beforehand."""
    config = Config(d_model=24, n_heads=3, attention="latent", rank=24, position="none", norm_eps=1e-12)
    latent, full = Latent(config).double().eval(), transformer.attention.Attention(dataclasses.replace(config, attention="full", rank=None)).double()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in full.parameters():
            p.normal_(0, 0.4)
        latent.W_DKV.weight.copy_(torch.eye(24))
        for mine, yours in (("W_UQ", "W_Q"), ("W_UK", "W_K"), ("W_UV", "W_V"), ("W_O", "W_O")):
            getattr(latent, mine).weight.copy_(getattr(full, yours).weight)
    x, at = torch.randn(2, 7, 24, dtype=torch.float64), torch.arange(7)[None]
    x = x / x.square().mean(-1, keepdim=True).sqrt()
    geometry = Geometry(config, at, at)
    torch.testing.assert_close(latent(x, geometry, None, OFF)[0], full(x, geometry, None, OFF)[0], **CLOSE)


def test_scores_depend_on_the_distance_alone():
    """One token, everywhere: its score at distance r is the same wherever it stands."""
    model = model_of(dataclasses.replace(BASE, n_layers=1))
    S = model.run([7] * 12, record="*.scores").trace["layers.0.attention.scores"][0]
    for r in range(12):
        diagonal = S.diagonal(-r, -2, -1)
        torch.testing.assert_close(diagonal, diagonal[:, :1].expand_as(diagonal), atol=1e-6, rtol=1e-6)  # angles are float32
    assert S.diagonal(-1, -2, -1)[:, 0].ne(S.diagonal(-5, -2, -1)[:, 0]).all()


def test_the_cache_keeps_latents_and_one_turned_key():
    config = dataclasses.replace(BASE, rope_dims=4, q_rank=3)
    cache = model_of(config).run([1, 2, 3, 4, 5], cache=Cache.empty(2)).cache
    for kept in cache.layers:
        assert [tuple(t.shape) for t in kept.tensors] == [(1, 1, 5, 6), (1, 1, 5, 4)]
    assert cost.kv_cache_bytes(config, 5) == 2 * 5 * (6 + 4) * 2
    more_heads = dataclasses.replace(config, n_heads=8, n_kv_heads=8, d_head=8)
    assert cost.kv_cache_bytes(more_heads, 5) == cost.kv_cache_bytes(config, 5)


def test_deepseek_v2_keeps_what_its_paper_says():
    """60 layers of 512 + 64 values a token, against 2 · 128 · 128 of multi-head attention: table 1, (9/2) d_h l."""
    config = Config(
        d_model=5120, n_layers=60, n_heads=128, d_head=128, attention="latent", rank=512, q_rank=1536, rope_dims=64,
        max_len=163_840,
    )  # fmt: skip
    assert cost.kv_cache_bytes(config, 1) == 2 * 60 * (512 + 64)
    multi_head = dataclasses.replace(config, attention="full", rank=None, q_rank=None)
    assert cost.kv_cache_bytes(multi_head, 1) / cost.kv_cache_bytes(config, 1) == pytest.approx(56.9, abs=0.1)


def test_recorded_tensors_say_what_the_glossary_says():
    """Q Kᵀ / √(d_k + d_R) are the scores, and c_KV gives K and V back."""
    model = model_of(BASE)
    trace = model.run([1, 2, 3, 4], record="*").trace
    layer, at = model.stack.blocks[1].attention, "layers.1.attention."
    S = trace[at + "Q"] @ trace[at + "K"].mT / (layer.d_head + layer.turned) ** 0.5
    torch.testing.assert_close(S, trace[at + "scores"], **CLOSE)
    torch.testing.assert_close(layer.split(layer.W_UV(trace[at + "c_KV"])), trace[at + "V"], **CLOSE)
    for head in range(4):
        assert torch.equal(trace[at + "K"][:, head, :, layer.d_head :], trace[at + "K_rope"])


def test_the_formula_names_what_queries_are_made_from():
    key = "layers.0.attention.Q"
    assert "c^Q W_{UQ}" in names.formula(key, dataclasses.replace(BASE, q_rank=4))
    assert r"\hat{x} W_{UQ}" in names.formula(key, BASE) and "c^Q" not in names.formula(key, BASE)
    assert "c^Q" not in names.formula(key, Config()) and "W_{UQ}" not in names.formula(key, Config())


def test_what_the_variants_of_the_glossary_are_computed_from_exists():
    for variant in names.VARIANTS.values():
        for key, entry in variant.items():
            assert {key, *entry.computed_from} <= set(names.GLOSSARY)


def test_a_half_precision_copy_reads_the_latents_too():
    """Its matrices are rounded to 11 bits, and a decoding step with them stays as near."""
    model = model_of(dataclasses.replace(BASE, q_rank=5)).float()
    rounded = half_copy(model, torch.float16)
    with torch.no_grad():
        cache = model.extend(torch.arange(20)[None], Cache.empty(2))[1]
        exact, near = (m.extend(torch.tensor([[7]]), cache)[0] for m in (model, rounded))
    assert not torch.equal(exact, near)
    torch.testing.assert_close(near, exact, atol=0.02 * exact.abs().max().item(), rtol=0)


@pytest.mark.parametrize("options, says", [
    (dict(n_kv_heads=2), "one key head for each query head"),
    (dict(rope_dims=3), "must be even"),
    (dict(position="alibi"), "no table of scores"),
    (dict(rope_scaling="ntk", rope_factor=2.0, d_head=4), "NTK-aware"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(BASE, **options)
