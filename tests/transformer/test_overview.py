"""The overview of a run: what is pooled is a mean of the trace, what is not pooled is the trace."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from tests.transformer.configs import configs
from transformer import names, overview, sampling
from transformer.presets import TEXT_MODELS
from transformer.sense import WEIGHED

TEMPERATURES = (0.0, 0.05, 0.7, 1.0, 2.0)


def drawable(config: transformer.Config) -> bool:
    """What the walkthrough draws: one network a layer, and weights over tokens."""
    return config.experts == 1 and config.attention in WEIGHED


@settings(max_examples=40, deadline=None)
@given(configs().filter(drawable), st.integers(1, 9), st.integers(0, 5))
def test_it_is_the_trace(config, n, seed):
    model = transformer.build(config, seed=seed).eval()
    ids = [i % config.vocab_size for i in range(n)]
    trace = model.run(ids, record=overview.RECORD).trace
    found = overview.overview(trace, config, TEMPERATURES, k=5)
    for name, tensor in found.items():
        group, leaf = name.split(".", 1) if "." in name else (name, "")
        if group == "layer":
            whole = torch.stack([trace[f"layers.{i}.{leaf}"][0] for i in range(config.n_layers)])
            if names.lookup(f"layers.0.{leaf}").axes[-1] == "key":
                torch.testing.assert_close(tensor, whole, rtol=0, atol=0)
            else:
                cells, width = tensor.shape[-1], whole.shape[-1]
                edges = overview.spans(width, cells)
                means = [whole[..., a:b].sum(-1) / (b - a) for a, b in zip(edges, edges[1:])]
                torch.testing.assert_close(tensor, torch.stack(means, -1), rtol=1e-5, atol=1e-6)
        elif group == "exact":
            for i in range(config.n_layers):
                torch.testing.assert_close(tensor[i], trace[f"layers.{i}.{leaf}"][0], rtol=0, atol=0)
        elif group == "length" and leaf != "embed":
            for i in range(config.n_layers):
                squares = trace[f"layers.{i}.{leaf}"][0].square().sum(-1)
                torch.testing.assert_close(tensor[i], squares.sqrt(), rtol=1e-5, atol=1e-6)
    A = found["layer.attention.A"]
    assert not A[:, :, ~found["mask"]].any(), "a masked cell has no weight"
    assert ("odds.logits" in found) == (config.head == "lm") == ("end.vectors" not in found)
    assert {name for name in found if name.startswith("layer.")} >= {
        f"layer.{name}" for name in ("attention.Q", "attention.A", "attention.out", "ffn.post", "resid_mid")
    }
    if config.head == "lm":
        rows = trace["logits"][0]
        for t, T in enumerate(TEMPERATURES):
            p = sampling.probabilities(rows, T).float().gather(-1, found["odds.ids"])
            torch.testing.assert_close(found["odds.probabilities"][t], p, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found["odds.logits"], rows.gather(-1, found["odds.ids"]), rtol=0, atol=0)


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_the_patterns_fit_every_known_model(name):
    config = transformer.PRESETS[name]
    known = names.of(config)
    tap = transformer.tap.RecordingTap(overview.RECORD, names=known)  # a pattern that matched nothing would raise
    assert all(tap.wants(f"layers.0.attention.{leaf}") for leaf in ("Q", "A", "scores", "out"))
    assert not tap.wants("layers.0.ffn.pre") and not tap.wants("layers.0.resid_pre"), "nothing is kept twice"


@given(st.integers(1, 200), st.integers(1, 40))
def test_spans_cut_a_vector_into_nearly_equal_parts(width, cells):
    if cells > width:
        with pytest.raises(ValueError, match=f"{width} entries cannot be pooled to {cells} cells"):
            overview.spans(width, cells)
        return
    edges = overview.spans(width, cells)
    sizes = {b - a for a, b in zip(edges, edges[1:])}
    assert edges[0] == 0 and edges[-1] == width and len(edges) == cells + 1
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 1


def test_pool_is_the_mean_of_each_span():
    x = torch.tensor([[1.0, 3.0, 5.0, 7.0, 100.0]])
    torch.testing.assert_close(overview.pool(x, 2), torch.tensor([[3.0, 53.5]]))


@pytest.mark.parametrize(
    ("T", "k", "sentence"), [((1.0, -0.1), 2, "temperature is -0.1"), ((1.0,), 0, "k is 0"), ((1.0,), 9, "k is 9")]
)
def test_odds_refuse_what_means_nothing(T, k, sentence):
    with pytest.raises(ValueError, match=sentence):
        overview.odds(torch.zeros(1, 8), T, k)


def test_odds_stand_huge_logits_and_tiny_temperatures():
    _, _, p = overview.odds(torch.tensor([[1e4, 9.99e3, -1e4]]), (0.05, 1.0, 2.0), 3)
    assert torch.isfinite(p).all() and (p.sum(-1) - 1).abs().max() < 1e-6
