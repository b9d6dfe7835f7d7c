"""Transformer-XL's memory: text read segment by segment, each reading what the last ones left. arXiv:1901.02860"""

import pytest
import torch

import transformer
from transformer import Cache, Config

IDS = torch.randint(30, (1, 24), generator=torch.Generator().manual_seed(0))


def model(memory: int | None, position: str = "xl", n_layers: int = 3) -> transformer.Model:
    config = Config(vocab_size=30, d_model=16, n_layers=n_layers, attention="recurrent", memory=memory, position=position)
    made = transformer.build(config, seed=0).double().eval()
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.4, generator=torch.Generator().manual_seed(p.numel()))
    return made


def by_segments(recurrent: transformer.Model, length: int) -> torch.Tensor:
    cache, parts = Cache.empty(recurrent.config.n_layers), []
    for segment in IDS.split(length, dim=1):
        run = recurrent.run(segment, cache=cache)
        cache, parts = run.cache, [*parts, run.output]
        assert cache.layers[0].length <= (recurrent.config.memory or 10**9)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("position", ["xl", "rope", "alibi", "t5"])
@pytest.mark.parametrize("n_layers", [1, 4])
def test_a_memory_of_the_whole_past_reads_as_if_at_once(position, n_layers):
    recurrent = model(None, position, n_layers)
    torch.testing.assert_close(by_segments(recurrent, 6), recurrent.run(IDS).output, atol=1e-9, rtol=1e-9)


def test_a_shorter_memory_differs_from_where_it_runs_out():
    recurrent = model(6)
    whole, pieces = recurrent.run(IDS).output, by_segments(recurrent, 6)
    torch.testing.assert_close(pieces[:, :12], whole[:, :12], atol=1e-9, rtol=1e-9)
    assert (pieces[:, 12:] - whole[:, 12:]).abs().amax(-1).min() > 1e-6


def test_context_reaches_layers_times_memory():
    """One layer sees its memory; each further layer adds the memory that the memory was computed with."""
    recurrent = model(6, n_layers=2)
    other = IDS.clone()
    other[:, 0] = (other[:, 0] + 1) % 30

    def change(ids: torch.Tensor) -> torch.Tensor:
        cache, parts = Cache.empty(2), []
        for segment in ids.split(6, dim=1):
            run = recurrent.run(segment, cache=cache)
            cache, parts = run.cache, [*parts, run.output]
        return torch.cat(parts, 1)

    moved = (change(IDS) - change(other)).abs().amax(-1)[0] > 0
    assert moved[6:12].any() and moved[12:18].any() and not moved[18:].any()


def test_no_gradient_reaches_the_memory():
    recurrent = model(6)
    first = recurrent.run(IDS[:, :6], cache=Cache.empty(3))
    assert all(not layer.K.requires_grad for layer in first.cache.layers)
