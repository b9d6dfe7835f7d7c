"""Whole models and layers of others, tiny and random, their weights copied in: the outputs must agree, layer by layer."""

import pytest
import torch
import transformers
from torch import Tensor, nn

import transformer
from transformer import Config, biases
from transformer.geometry import Across, Geometry
from transformer.tap import OFF

TOLERANCE = {torch.float32: dict(atol=1e-5, rtol=1e-5), torch.float64: dict(atol=1e-9, rtol=1e-9)}
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
IDS = torch.tensor([[5, 3, 9, 9, 1, 7, 2, 11], [4, 4, 8, 0, 6, 2, 1, 3]])


def theirs_of(family: str, config, dtype: torch.dtype) -> nn.Module:
    """A tiny random model of theirs with weights large enough to tell positions and heads apart."""
    torch.manual_seed(0)
    model = getattr(transformers, family)(config)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.3) if p.dim() > 1 else p.add_(torch.randn_like(p) * 0.2)
    return model.to(dtype).eval()


def ours_with(config: Config, tensors: dict[str, Tensor], dtype: torch.dtype) -> transformer.Model:
    """Our model with exactly these tensors; none may be missing or left over."""
    model = transformer.build(config).to(dtype).eval()
    own = model.state_dict()
    assert set(own) == set(tensors), (set(own) ^ set(tensors))
    model.load_state_dict(tensors)
    return model


def linears(target: str, source: str, state: dict[str, Tensor], bias: bool) -> dict[str, Tensor]:
    found = {f"{target}.weight": state[f"{source}.weight"]}
    return found | ({f"{target}.bias": state[f"{source}.bias"]} if bias else {})


def norm(target: str, source: str, state: dict[str, Tensor], beta: bool = True) -> dict[str, Tensor]:
    found = {f"{target}.gamma": state[f"{source}.weight"]}
    return found | ({f"{target}.beta": state[f"{source}.bias"]} if beta else {})


def agree(ours: Tensor, theirs: Tensor, rounded: bool = False) -> None:
    """``rounded``: they compute a part in float32, whatever the model's dtype is."""
    torch.testing.assert_close(ours, theirs, **TOLERANCE[torch.float32 if rounded else theirs.dtype])


@BOTH
def test_t5_bias_buckets_and_two_stacks(dtype):
    theirs = theirs_of("T5ForConditionalGeneration", transformers.T5Config(
        vocab_size=20, d_model=24, d_kv=6, d_ff=32, num_layers=2, num_decoder_layers=3, num_heads=4, dropout_rate=0,
        relative_attention_num_buckets=8, relative_attention_max_distance=12, feed_forward_proj="relu",
        tie_word_embeddings=False, layer_norm_epsilon=1e-6,
    ), dtype)  # fmt: skip
    state = theirs.state_dict()
    config = Config(
        kind="encoder-decoder", vocab_size=20, d_model=24, d_head=6, d_ff=32, n_encoder_layers=2, n_layers=3, n_heads=4,
        score="dot", position="t5", buckets=8, max_distance=12, norm="rms", norm_eps=1e-6, activation="relu",
        tie_embeddings=False,
    )  # fmt: skip
    tensors = {"W_U.weight": state["lm_head.weight"]}
    tensors["embedding.W_E.weight"] = tensors["encoder.embedding.W_E.weight"] = state["shared.weight"]
    for ours, side, layers, ffn in (("encoder.", "encoder", 2, 1), ("", "decoder", 3, 2)):
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        tensors[f"{ours}bias.table.weight"] = state[bias]
        tensors |= norm(f"{ours}final_norm", f"{side}.final_layer_norm", state, beta=False)
        for i in range(layers):
            to, of = f"{ours}stack.blocks.{i}", f"{side}.block.{i}.layer"
            sublayers = [("attention", "0.SelfAttention", "norm_1")]
            sublayers += [("cross", "1.EncDecAttention", "norm_cross")] if ffn == 2 else []
            for mine, yours, mine_norm in sublayers:
                for letter in "qkvo":
                    tensors |= linears(f"{to}.{mine}.W_{letter.upper()}", f"{of}.{yours}.{letter}", state, False)
                tensors |= norm(f"{to}.{mine_norm}", f"{of}.{yours[0]}.layer_norm", state, beta=False)
            tensors |= linears(f"{to}.ffn.W_1", f"{of}.{ffn}.DenseReluDense.wi", state, False)
            tensors |= linears(f"{to}.ffn.W_2", f"{of}.{ffn}.DenseReluDense.wo", state, False)
            tensors |= norm(f"{to}.norm_2", f"{of}.{ffn}.layer_norm", state, beta=False)
    ours = ours_with(config, tensors, dtype)
    source = torch.randint(20, (2, 17), generator=torch.Generator().manual_seed(1))
    expected = theirs(input_ids=source, decoder_input_ids=IDS, output_hidden_states=True)
    run = ours.run(IDS, source, record=("encoder.layers.*.resid_p*", "layers.*.resid_p*", "encoder.final_norm"))
    for i, hidden in enumerate(expected.encoder_hidden_states[:-1]):
        agree(run.trace[f"encoder.layers.{i}.resid_pre"], hidden, rounded=True)
    agree(run.trace["encoder.final_norm"], expected.encoder_last_hidden_state, rounded=True)
    for i, hidden in enumerate(expected.decoder_hidden_states[:-1]):
        agree(run.trace[f"layers.{i}.resid_pre"], hidden, rounded=True)
    agree(run.output, expected.logits, rounded=True)  # their norm


@pytest.mark.parametrize("both_ways", [True, False])
def test_t5_buckets_of_every_distance(both_ways):
    T5Attention = transformers.models.t5.modeling_t5.T5Attention
    distance = torch.arange(-3000, 3001)
    for buckets, far in ((32, 128), (8, 20), (16, 1000)):
        expected = T5Attention._relative_position_bucket(-distance, both_ways, buckets, far)
        assert torch.equal(biases.t5_bucket(distance, both_ways, buckets, far), expected)


@BOTH
@pytest.mark.parametrize("heads", [4, 6])
def test_bloom_alibi(dtype, heads):
    width = 6 * heads
    theirs = theirs_of("BloomForCausalLM", transformers.BloomConfig(
        vocab_size=20, hidden_size=width, n_layer=2, n_head=heads, hidden_dropout=0, attention_dropout=0,
    ), dtype)  # fmt: skip
    state = theirs.state_dict()
    config = Config(
        vocab_size=20, d_model=width, n_layers=2, n_heads=heads, position="alibi", norm="layer", embed_norm=True,
        activation="gelu_tanh", qkv_bias=True, out_bias=True, ffn_bias=True,
    )  # fmt: skip
    tensors = {"embedding.W_E.weight": state["transformer.word_embeddings.weight"]}
    tensors |= norm("embedding.norm", "transformer.word_embeddings_layernorm", state)
    tensors |= norm("final_norm", "transformer.ln_f", state)
    for i in range(2):
        to, of = f"stack.blocks.{i}", f"transformer.h.{i}"
        for part in ("weight", "bias"):  # theirs: head by head its q, k and v rows
            qkv = state[f"{of}.self_attention.query_key_value.{part}"].unflatten(0, (heads, 3, 6))
            for j, letter in enumerate("QKV"):
                tensors[f"{to}.attention.W_{letter}.{part}"] = qkv[:, j].flatten(0, 1)
        tensors |= linears(f"{to}.attention.W_O", f"{of}.self_attention.dense", state, True)
        tensors |= linears(f"{to}.ffn.W_1", f"{of}.mlp.dense_h_to_4h", state, True)
        tensors |= linears(f"{to}.ffn.W_2", f"{of}.mlp.dense_4h_to_h", state, True)
        tensors |= norm(f"{to}.norm_1", f"{of}.input_layernorm", state)
        tensors |= norm(f"{to}.norm_2", f"{of}.post_attention_layernorm", state)
    expected = theirs(IDS, output_hidden_states=True)
    run = ours_with(config, tensors, dtype).run(IDS, record="layers.*.resid_pre")
    for i, hidden in enumerate(expected.hidden_states[:-1]):
        agree(run.trace[f"layers.{i}.resid_pre"], hidden, rounded=True)
    agree(run.output, expected.logits, rounded=True)  # their softmax


@BOTH
def test_albert_shared_layers_and_narrow_tables(dtype):
    theirs = theirs_of("AlbertForMaskedLM", transformers.AlbertConfig(
        vocab_size=20, embedding_size=8, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=16, hidden_act="gelu_new", hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    ), dtype)  # fmt: skip
    state = theirs.state_dict()
    config = Config(
        kind="encoder", vocab_size=20, d_embed=8, d_model=24, n_layers=3, n_heads=4, d_ff=32, max_len=16, n_segments=2,
        position="learned", embed_norm=True, norm="layer", norm_place="post", norm_eps=1e-12, activation="gelu_tanh",
        qkv_bias=True, out_bias=True, ffn_bias=True, share_layers=True, head="mlm",
    )  # fmt: skip
    tables, layer = "albert.embeddings", "albert.encoder.albert_layer_groups.0.albert_layers.0"
    tensors = {
        "embedding.W_E.weight": state[f"{tables}.word_embeddings.weight"],
        "embedding.W_P.weight": state[f"{tables}.position_embeddings.weight"],
        "embedding.W_G.weight": state[f"{tables}.token_type_embeddings.weight"],
        "head.b": state["predictions.bias"],
    }
    tensors |= norm("embedding.norm", f"{tables}.LayerNorm", state)
    tensors |= linears("embedding.W_X", "albert.encoder.embedding_hidden_mapping_in", state, True)
    tensors |= linears("head.W", "predictions.dense", state, True) | norm("head.norm", "predictions.LayerNorm", state)
    for mine, yours in (("W_Q", "query"), ("W_K", "key"), ("W_V", "value"), ("W_O", "dense")):
        tensors |= linears(f"stack.blocks.0.attention.{mine}", f"{layer}.attention.{yours}", state, True)
    tensors |= norm("stack.blocks.0.norm_1", f"{layer}.attention.LayerNorm", state)
    tensors |= norm("stack.blocks.0.norm_2", f"{layer}.full_layer_layer_norm", state)
    tensors |= linears("stack.blocks.0.ffn.W_1", f"{layer}.ffn", state, True)
    tensors |= linears("stack.blocks.0.ffn.W_2", f"{layer}.ffn_output", state, True)
    expected = theirs(IDS, output_hidden_states=True)
    run = ours_with(config, tensors, dtype).run(IDS, record=("embed", "layers.*.resid_post"))
    agree(run.trace["embed"], expected.hidden_states[0])
    for i, hidden in enumerate(expected.hidden_states[1:]):
        agree(run.trace[f"layers.{i}.resid_post"], hidden)
    agree(run.output, expected.logits)


@BOTH
def test_vision_transformer(dtype):
    theirs = theirs_of("ViTForImageClassification", transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, image_size=12, patch_size=4,
        num_channels=3, num_labels=5, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    ), dtype)  # fmt: skip
    state = theirs.state_dict()
    config = Config(
        kind="vision", d_model=24, n_layers=2, n_heads=4, d_ff=32, image_size=12, patch_size=4, n_classes=5, max_len=10,
        position="learned", norm="layer", norm_eps=1e-12, qkv_bias=True, out_bias=True, ffn_bias=True,
    )  # fmt: skip
    tensors = {
        "embedding.cls": state["vit.embeddings.cls_token"].flatten(),
        "embedding.W_P.weight": state["vit.embeddings.position_embeddings"][0],
        "embedding.W_patch.weight": state["vit.embeddings.patch_embeddings.projection.weight"].flatten(1),
        "embedding.W_patch.bias": state["vit.embeddings.patch_embeddings.projection.bias"],
    }
    tensors |= linears("head.W_C", "classifier", state, True) | norm("final_norm", "vit.layernorm", state)
    blocks = sorted({key.split(".0.")[0] for key in state if ".0." in key and "layernorm_before" in key})
    for i in range(2):
        to, of = f"stack.blocks.{i}", f"{blocks[0]}.{i}"
        found = {k.removeprefix(of + ".") for k in state if k.startswith(of + ".")}
        place = {
            "attention.W_Q": ("attention.attention.query", "attention.q_proj"),
            "attention.W_K": ("attention.attention.key", "attention.k_proj"),
            "attention.W_V": ("attention.attention.value", "attention.v_proj"),
            "attention.W_O": ("attention.output.dense", "attention.o_proj"),
            "ffn.W_1": ("intermediate.dense", "mlp.fc1"), "ffn.W_2": ("output.dense", "mlp.fc2"),
        }  # fmt: skip
        for mine, names in place.items():
            yours = next(name for name in names if f"{name}.weight" in found)
            tensors |= linears(f"{to}.{mine}", f"{of}.{yours}", state, True)
        tensors |= norm(f"{to}.norm_1", f"{of}.layernorm_before", state)
        tensors |= norm(f"{to}.norm_2", f"{of}.layernorm_after", state)
    images = torch.rand(2, 3, 12, 12, dtype=dtype, generator=torch.Generator().manual_seed(0))
    expected = theirs(pixel_values=images, output_hidden_states=True)
    run = ours_with(config, tensors, dtype).run(images, record="layers.*.resid_pre")
    for i, hidden in enumerate(expected.hidden_states[:-1]):
        agree(run.trace[f"layers.{i}.resid_pre"], hidden)
    agree(run.output, expected.logits)


@BOTH
def test_qwen3_normalises_each_heads_queries_and_keys_before_rope(dtype):
    theirs = theirs_of("Qwen3ForCausalLM", transformers.Qwen3Config(
        vocab_size=20, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=6, rms_norm_eps=1e-6, tie_word_embeddings=True, max_position_embeddings=32,
    ), dtype)  # fmt: skip
    config = Config(
        vocab_size=20, d_model=24, d_head=6, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=32, qk_norm="before",
        norm_eps=1e-6, activation="silu", gated=True, rope_base=theirs.config.rope_parameters["rope_theta"],
    )  # fmt: skip
    expected = theirs(IDS, output_hidden_states=True)
    run = ours_with(config, llama_like(theirs.state_dict(), 2, qk_norm=True), dtype).run(IDS, record="layers.*.resid_pre")
    for i, hidden in enumerate(expected.hidden_states[:-1]):
        agree(run.trace[f"layers.{i}.resid_pre"], hidden, rounded=True)
    agree(run.output, expected.logits, rounded=True)  # their rotation


def llama_like(state: dict[str, Tensor], layers: int, qk_norm: bool = False, plus_one: bool = False) -> dict[str, Tensor]:
    """Llama's names to ours. ``plus_one``: Gemma keeps γ − 1, and has norms after each sublayer, too."""
    state = {k: v + 1 if plus_one and "norm.weight" in k else v for k, v in state.items()}
    tensors = {"embedding.W_E.weight": state["model.embed_tokens.weight"]} | norm("final_norm", "model.norm", state, False)
    for i in range(layers):
        to, of = f"stack.blocks.{i}", f"model.layers.{i}"
        for letter in "qkvo":
            tensors |= linears(f"{to}.attention.W_{letter.upper()}", f"{of}.self_attn.{letter}_proj", state, False)
        if qk_norm:
            tensors |= norm(f"{to}.attention.q_norm", f"{of}.self_attn.q_norm", state, False)
            tensors |= norm(f"{to}.attention.k_norm", f"{of}.self_attn.k_norm", state, False)
        for mine, yours in (("W_1", "up"), ("W_g", "gate"), ("W_2", "down")):
            tensors |= linears(f"{to}.ffn.{mine}", f"{of}.mlp.{yours}_proj", state, False)
        tensors |= norm(f"{to}.norm_1", f"{of}.input_layernorm", state, False)
        if plus_one:
            tensors |= norm(f"{to}.after_1", f"{of}.post_attention_layernorm", state, False)
            tensors |= norm(f"{to}.norm_2", f"{of}.pre_feedforward_layernorm", state, False)
            tensors |= norm(f"{to}.after_2", f"{of}.post_feedforward_layernorm", state, False)
        else:
            tensors |= norm(f"{to}.norm_2", f"{of}.post_attention_layernorm", state, False)
    return tensors


@BOTH
def test_gemma_2_caps_its_scores_between_two_norms(dtype):
    theirs = theirs_of("Gemma2ForCausalLM", transformers.Gemma2Config(
        vocab_size=20, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=6, query_pre_attn_scalar=6, attn_logit_softcapping=2.0, sliding_window=64,
        final_logit_softcapping=None, attn_implementation="eager", max_position_embeddings=32,
    ), dtype)  # fmt: skip
    config = Config(
        vocab_size=20, d_model=24, d_head=6, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=32, soft_cap=2.0,
        norm_place="sandwich", norm_eps=1e-6, activation="gelu_tanh", gated=True, scale_embeddings=True,
    )  # fmt: skip
    expected = theirs(IDS, output_hidden_states=True)
    run = ours_with(config, llama_like(theirs.state_dict(), 2, plus_one=True), dtype).run(IDS, record="layers.*.resid_pre")
    for i, hidden in enumerate(expected.hidden_states[:-1]):
        agree(run.trace[f"layers.{i}.resid_pre"], hidden, rounded=True)
    agree(run.output, expected.logits, rounded=True)  # their rotation


@BOTH
def test_gpt_oss_attention_sinks(dtype):
    """Their attention function with a score for nothing, against ours."""
    from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

    generator = torch.Generator().manual_seed(0)
    S, sink = torch.randn(2, 4, 5, 5, dtype=dtype, generator=generator), torch.randn(4, dtype=dtype, generator=generator)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    module = nn.Module()
    module.num_key_value_groups, module.sinks = 1, sink
    eye = torch.eye(5, dtype=dtype).expand(2, 4, 5, 5)
    additive = torch.zeros(1, 1, 5, 5, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)
    _, weights = eager_attention_forward(module, S, eye, eye, additive, scaling=1.0)
    agree(transformer.attention.masked_softmax(S, mask, False, sink), weights)


@BOTH
@pytest.mark.parametrize("memory", [0, 3])
def test_xlnets_relative_attention_is_transformer_xls(dtype, memory):
    torch.manual_seed(0)
    d, h, d_head, n = 12, 3, 4, 6
    xlnet = transformers.XLNetConfig(d_model=d, n_head=h, d_inner=8, n_layer=1, dropout=0, vocab_size=5)
    whole = transformers.XLNetModel(xlnet)
    theirs = transformers.models.xlnet.modeling_xlnet.XLNetRelativeAttention(xlnet).to(dtype).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn_like(p) * 0.4)
    config = Config(d_model=d, n_heads=h, position="xl", max_len=32)
    ours = transformer.attention.Attention(config).to(dtype)
    # Their sinusoids have all sines first; ours have sine and cosine by turns.
    order = torch.arange(d).view(2, d // 2).T.flatten()
    with torch.no_grad():
        for letter in "QKV":
            weight = getattr(theirs, letter.lower()).flatten(1).T
            getattr(ours, f"W_{letter}").weight.copy_(weight)
        ours.relative.W_R.weight.copy_(theirs.r.flatten(1).T[:, order])
        ours.relative.u.copy_(theirs.r_w_bias)
        ours.relative.v.copy_(theirs.r_r_bias)
    x = torch.randn(2, memory + n, d, dtype=dtype)
    klen = memory + n
    r = whole.relative_positional_encoding(n, klen, bsz=2).to(dtype)
    cat = x.transpose(0, 1)
    heads = {name: torch.einsum("ibh,hnd->ibnd", cat, getattr(theirs, name)) for name in "qkv"}
    k_r = torch.einsum("ibh,hnd->ibnd", r, theirs.r)
    hidden = torch.ones(n, klen, dtype=dtype).triu(1 + memory)[:, :, None, None]
    z, weights = theirs.rel_attn_core(heads["q"][memory:], heads["k"], heads["v"], k_r, attn_mask=hidden,
                                      output_attentions=True)  # fmt: skip
    k_pos = torch.arange(klen)[None]
    geometry = Geometry(config, k_pos[:, memory:], k_pos, reach=klen - 1)
    Q, K, V = (ours.split(getattr(ours, f"W_{letter}")(x)) for letter in "QKV")
    agree(ours.read(Q[:, :, memory:], K, V, geometry, OFF), z.permute(1, 2, 0, 3), rounded=True)  # the sinusoids
    tap = transformer.tap.RecordingTap("A", names=["scores", "A"])
    ours.read(Q[:, :, memory:], K, V, geometry, tap)
    agree(tap.trace["A"], weights.permute(2, 3, 0, 1), rounded=True)


@BOTH
def test_shaws_relative_keys_and_values_written_out(dtype):
    """No kept library has both tables, so the paper's sums are written out, pair by pair."""
    config = Config(kind="encoder", d_model=12, n_heads=3, position="shaw", max_distance=2)
    torch.manual_seed(0)
    ours = transformer.attention.Attention(config).to(dtype)
    with torch.no_grad():
        for p in ours.parameters():
            p.copy_(torch.randn_like(p) * 0.4)
    x, at = torch.randn(1, 6, 12, dtype=dtype), torch.arange(6)[None]
    Q, K, V = (ours.split(getattr(ours, f"W_{letter}")(x)) for letter in "QKV")
    z = ours.read(Q, K, V, Geometry(config, at, at, reach=5), OFF)
    for i in range(6):
        row = [max(-2, min(2, j - i)) + 2 for j in range(6)]
        a_K, a_V = ours.relative.a_K.weight[row], ours.relative.a_V.weight[row]  # [key, d_head]
        S = ((K[0] + a_K) @ Q[0, :, i, :, None])[..., 0] / 2
        agree(z[0, :, i], (S.softmax(-1)[:, None] @ (V[0] + a_V))[:, 0])


def torch_layer(layer: nn.Module, to: str, names: dict[str, str], dtype: torch.dtype) -> dict[str, Tensor]:
    """torch.nn's layer under our names."""
    torch.manual_seed(0)
    state, tensors = layer.state_dict(), {}
    for mine, yours in names.items():
        if yours.endswith("attn"):
            for part in ("weight", "bias"):
                for letter, rows in zip("QKV", state[f"{yours}.in_proj_{part}"].chunk(3), strict=True):
                    tensors[f"{to}.{mine}.W_{letter}.{part}"] = rows
                tensors[f"{to}.{mine}.W_O.{part}"] = state[f"{yours}.out_proj.{part}"]
        elif yours.startswith("norm"):
            tensors |= norm(f"{to}.{mine}", yours, state)
        else:
            tensors |= linears(f"{to}.{mine}", yours, state, True)
    return tensors


@BOTH
@pytest.mark.parametrize("norm_first", [False, True])
def test_torchs_encoder_and_decoder_layers_are_the_2017_blocks(dtype, norm_first):
    torch.manual_seed(0)
    d, h = 16, 4
    options = dict(dim_feedforward=24, dropout=0.0, batch_first=True, norm_first=norm_first, dtype=dtype)
    config = Config(
        kind="encoder-decoder", d_model=d, n_layers=1, n_heads=h, d_ff=24, position="none", norm="layer",
        norm_place="pre" if norm_first else "post", final_norm=False, activation="relu", qkv_bias=True, out_bias=True,
        ffn_bias=True,
    )  # fmt: skip
    model = transformer.build(config).to(dtype).eval()
    reads = nn.TransformerEncoderLayer(d, h, **options).eval()
    writes = nn.TransformerDecoderLayer(d, h, **options).eval()
    ffn = {"ffn.W_1": "linear1", "ffn.W_2": "linear2"}
    tensors = torch_layer(reads, "encoder.stack.blocks.0",
                          {"attention": "self_attn", "norm_1": "norm1", "norm_2": "norm2"} | ffn, dtype)  # fmt: skip
    tensors |= torch_layer(writes, "stack.blocks.0", {
        "attention": "self_attn", "cross": "multihead_attn", "norm_1": "norm1", "norm_cross": "norm2", "norm_2": "norm3",
    } | ffn, dtype)  # fmt: skip
    model.load_state_dict(model.state_dict() | tensors)
    x, y = torch.randn(2, 5, d, dtype=dtype), torch.randn(2, 7, d, dtype=dtype)
    at_x, at_y = torch.arange(5)[None], torch.arange(7)[None]
    seen, _ = model.encoder.stack(x, Geometry(model.encoder.config, at_x, at_x), None, OFF)
    agree(seen, reads(x))
    written, _ = model.stack(y, Geometry(model.stack.config, at_y, at_y), None, OFF, seen, Across(at_x, None))
    causal = torch.ones(7, 7, dtype=torch.bool).triu(1)
    agree(written, writes(y, reads(x), tgt_mask=causal))
