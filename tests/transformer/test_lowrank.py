"""Linformer: against the paper's equation written out, and against its published layer."""

import pytest
import torch
from torch import Tensor

import transformer
from transformer import Config
from transformer.geometry import Geometry
from transformer.lowrank import Linformer
from transformer.tap import OFF, RecordingTap

BOTH = pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-9)])
CONFIG = Config(kind="encoder", d_model=24, n_heads=3, attention="linformer", rank=5, max_len=12, position="none")


def layer_of(config: Config, dtype: torch.dtype) -> Linformer:
    torch.manual_seed(0)
    layer = Linformer(config).to(dtype).eval()
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_(0, 0.2)
    return layer


def seen(config: Config, n: int, real: Tensor | None = None, positions: Tensor | None = None) -> Geometry:
    at = torch.arange(n)[None] if positions is None else positions
    return Geometry(config, at, at, real, reach=int(at.max()))


def written_out(layer: Linformer, x: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 7 of the paper, head by head: softmax(Q_i (E K_i)ᵀ / √d_k) F V_i, laid side by side and mixed."""
    heads, weights, width = [], [], layer.d_head
    E, F = layer.E[:, : x.shape[1]], layer.F[:, : x.shape[1]]
    for i in range(layer.config.n_heads):
        rows = slice(i * width, (i + 1) * width)
        Q, K, V = (torch.einsum("bnd,hd->bnh", x, W.weight[rows]) for W in (layer.W_Q, layer.W_K, layer.W_V))
        P = torch.einsum("bqh,kn,bnh->bqk", Q, E, K) / width**0.5
        P = P.exp() / P.exp().sum(-1, keepdim=True)
        weights.append(P)
        heads.append(torch.einsum("bqk,kn,bnh->bqh", P, F, V))
    return torch.einsum("bqh,dh->bqd", torch.cat(heads, -1), layer.W_O.weight), torch.stack(weights, 1)


@BOTH
@pytest.mark.parametrize("n", [1, 7, 12])
def test_it_is_the_papers_equation(dtype, tolerance, n):
    layer, x = layer_of(CONFIG, dtype), torch.randn(2, n, 24, dtype=dtype)
    expected, weights = written_out(layer, x)
    tap = RecordingTap("A", names=["A"])
    for trace in (OFF, tap):
        torch.testing.assert_close(layer(x, seen(CONFIG, n), None, trace)[0], expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(tap.trace["A"], weights, atol=tolerance, rtol=tolerance)


@BOTH
@pytest.mark.parametrize("n", [7, 12])
def test_it_is_the_published_layer(dtype, tolerance, n):
    theirs = pytest.importorskip("linformer").LinformerSelfAttention(24, seq_len=12, k=5, heads=3).to(dtype).eval()
    ours = layer_of(CONFIG, dtype)
    with torch.no_grad():
        theirs.to_q.weight.copy_(ours.W_Q.weight)
        theirs.to_k.weight.copy_(ours.W_K.weight)
        theirs.to_v.weight.copy_(ours.W_V.weight)
        theirs.proj_k.copy_(ours.E.T)
        theirs.proj_v.copy_(ours.F.T)
        theirs.to_out.weight.copy_(ours.W_O.weight)
        theirs.to_out.bias.zero_()
    x = torch.randn(2, n, 24, dtype=dtype)
    torch.testing.assert_close(ours(x, seen(CONFIG, n), None, OFF)[0], theirs(x), atol=tolerance, rtol=tolerance)


def test_projections_that_copy_each_token_give_full_attention():
    """rank = n with E = F = I squeezes nothing."""
    config = Config(kind="encoder", d_model=24, n_heads=3, attention="linformer", rank=9, max_len=9)
    squeezed, full = (transformer.build(c, seed=0).double().eval() for c in (
        config, Config(kind="encoder", d_model=24, n_heads=3, max_len=9),
    ))  # fmt: skip
    state = squeezed.state_dict() | full.state_dict()
    for name in state:
        if name.endswith((".E", ".F")):
            state[name] = torch.eye(9, dtype=torch.float64)
    squeezed.load_state_dict(state)
    ids = torch.arange(9)[None]
    record = "layers.*.attention.A"
    one, other = squeezed.run(ids, record=record), full.run(ids, record=record)
    torch.testing.assert_close(one.output, other.output, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(one.trace["layers.1.attention.A"], other.trace["layers.1.attention.A"])


def test_a_token_is_weighed_by_the_column_of_its_position_and_padding_by_none():
    layer, x = layer_of(CONFIG, torch.float64), torch.randn(1, 5, 24, dtype=torch.float64)
    alone = layer(x, seen(CONFIG, 5), None, OFF)[0]
    left = torch.cat((torch.randn(1, 3, 24, dtype=torch.float64), x), 1)
    real, positions = torch.arange(8)[None] >= 3, (torch.arange(8)[None] - 3).clamp(min=0)
    padded = layer(left, seen(CONFIG, 8, real, positions), None, OFF)[0]
    torch.testing.assert_close(padded[:, 3:], alone, atol=1e-9, rtol=1e-9)
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    assert layer(x, seen(CONFIG, 5, nothing), None, OFF)[0].abs().max() == 0


def test_a_text_longer_than_the_projection_is_refused():
    model = transformer.build(CONFIG, seed=0)
    model.run(list(range(12)))
    with pytest.raises(ValueError, match="the text has 13 tokens; this Linformer squeezes at most 12"):
        model.run(list(range(13)))


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_there_is_no_causal_linformer(kind):
    with pytest.raises(ValueError, match="cannot hide the future"):
        Config(kind=kind, attention="linformer")
    with pytest.raises(ValueError, match="max_len 8 has no place for 16 patches"):
        Config(kind="vision", attention="linformer", image_size=16, patch_size=4, max_len=8, n_classes=2)


def test_products_and_memory_grow_as_n():
    """Without the projections a layer costs 4 n k d_k h to read and 4 n k d_k h to squeeze: twice n, twice the cost."""
    config = Config(kind="encoder", attention="linformer", rank=16, max_len=4096)

    def squeezed_and_read(n: int) -> int:
        plain = transformer.cost.flops(Config(kind="encoder"), n)
        parts = transformer.cost.flops(config, n)
        return sum(parts[part] - plain[part] for part in ("K", "V")) + parts["scores"] + parts["z"]

    assert squeezed_and_read(512) == config.n_layers * 8 * 512 * 16 * config.d_model
    assert squeezed_and_read(4096) == 8 * squeezed_and_read(512)
    assert transformer.cost.trace_bytes(config, 4096, "*.A") == 8 * transformer.cost.trace_bytes(config, 512, "*.A")


def test_it_overtakes_the_ffn_never_or_from_the_first_token():
    """Nothing in it grows as n², so its share of a layer is the same at every n."""
    assert transformer.cost.crossover(Config(kind="encoder", attention="linformer", rank=16)) == float("inf")
    assert transformer.cost.crossover(Config(kind="encoder", attention="linformer", rank=500, d_ff=16)) == 0
