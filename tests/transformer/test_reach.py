"""How far a pattern reaches after some layers: closed forms, and real models in which nothing else can be felt."""

import pytest
import torch

from transformer import Config, build, masks
from transformer.experiments.sparsified import allowed

N = 24
PATTERNS = {
    "window": dict(attention="window", window=4),
    "dilated": dict(attention="dilated", dilation=3, window=3),
    "strided": dict(attention="strided", dilation=4),
    "longformer": dict(attention="longformer", window=3, global_tokens=1),
    "bigbird": dict(attention="bigbird", window=2, global_tokens=1, random_keys=2),
    "full": dict(attention="full"),
}


def pattern(name: str, kind: str = "decoder") -> torch.Tensor:
    return allowed(Config(kind=kind, d_model=16, n_heads=2, **PATTERNS[name]), N)


def test_a_window_reaches_one_window_less_one_further_with_every_layer():
    after = masks.reach(pattern("window").expand(5, N, N))
    distance = torch.arange(N)[:, None] - torch.arange(N)
    layers = (distance / 3).ceil().int()  # w − 1 = 3 tokens a layer
    assert torch.equal(after, torch.where((distance >= 0) & (layers <= 5), layers, -1).to(after.dtype))


def test_the_same_dilation_in_every_layer_never_leaves_its_class():
    after = masks.reach(allowed(Config(attention="dilated", dilation=3), N).expand(8, N, N))
    same = (torch.arange(N)[:, None] - torch.arange(N)) % 3 == 0
    assert (after[~same] == -1).all() and (after.tril()[same.tril()] >= 0).all()


def test_dilations_that_grow_reach_all():
    """1, 2, 4, 8 with two keys each, as WaveNet's: 2^l tokens after l layers."""
    layers = torch.stack([allowed(Config(attention="dilated", dilation=2**i, window=2), N) for i in range(4)])
    after = masks.reach(layers)
    assert (after[20, 5:21] >= 0).all() and (after[20, :5] == -1).all()


def test_strided_and_global_reach_everything_in_two_layers():
    for name in ("strided", "longformer"):
        both = masks.reach(pattern(name, "encoder").expand(2, N, N))
        assert (both >= 0).all(), name


@pytest.mark.parametrize("name", PATTERNS)
def test_reach_is_what_a_real_model_feels(name):
    """In a random model the output at q changes with the token at k exactly where k is within reach."""
    layers = 2
    config = Config(vocab_size=32, d_model=16, n_heads=2, n_layers=layers, max_len=N, position="rope", **PATTERNS[name])
    model = build(config, seed=1).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.5, generator=torch.Generator().manual_seed(p.numel()))
    ids = torch.arange(N)[None] % 31
    with torch.no_grad():
        before = model(ids)
        felt = torch.zeros(N, N, dtype=torch.bool)  # [query, key]
        for k in range(N):
            other = ids.clone()
            other[0, k] = 31
            felt[:, k] = (model(other) != before).any(-1)[0]
    after = masks.reach(pattern(name).expand(layers, N, N))
    assert torch.equal(felt, after >= 0)
