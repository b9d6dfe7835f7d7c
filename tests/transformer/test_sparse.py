"""The sparse computation against the textbook one: the same answer and gradients for every pattern, in less memory."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import transformer
from tests.transformer.configs import configs
from tests.transformer.test_laws import CLOSE, ids_for, model_of
from transformer import Cache, Config, sparse
from transformer.geometry import Geometry
from transformer.sense import BELONGS
from transformer.tap import OFF, RecordingTap


@pytest.fixture(autouse=True)
def always_sparse(monkeypatch):
    """Short texts too, in blocks that are shorter than they."""
    monkeypatch.setattr(sparse, "worthwhile", lambda config: 0)
    monkeypatch.setattr(sparse, "block", lambda config: 3)
    monkeypatch.setattr(sparse, "at_once", lambda config, c, keys: 2)
    monkeypatch.setattr(sparse, "LEAST_STRIDE", 1)


@st.composite
def sparse_configs(draw, kind: str | None = None) -> Config:
    """Any config, made one that the sparse computation serves."""
    config = draw(configs(kind))
    attention = draw(st.sampled_from(sparse.PATTERNS))
    with_globals = attention in ("longformer", "bigbird")
    by_class = attention in ("dilated", "strided")
    position = config.position if config.position not in ("shaw", "xl") else "alibi"
    window = {"strided": st.none(), "dilated": st.none() | st.integers(1, 3)}.get(attention, st.integers(1, 5))
    own = dict.fromkeys(BELONGS) | dict(
        window=draw(window),
        dilation=draw(st.integers(2, 4)) if by_class else None,
        global_tokens=draw(st.integers(1, 3)) if with_globals else None,
        random_keys=draw(st.integers(1, 3)) if attention == "bigbird" else None,
    )
    return dataclasses.replace(
        config, attention=attention, position=position, max_distance=None, packed=False, soft_cap=None, sinks=False,
        prefix=0 if by_class else config.prefix,
        score=config.score if config.score not in ("additive", "location") else "scaled_dot",
        experts=1, experts_per_token=None, shared_experts=0, capacity=None,  # else another token moves their rounding
        norm="rms" if config.norm == "rms" else "layer",  # else gradients explode, and rounding with them
        **own,
    )  # fmt: skip


def was_sparse(monkeypatch) -> list:
    calls, read = [], sparse.read
    monkeypatch.setattr(sparse, "read", lambda *args: calls.append(1) or read(*args))
    return calls


@settings(max_examples=200, deadline=None)
@given(sparse_configs(), st.integers(1, 40), st.booleans())
def test_sparse_equals_textbook_and_so_do_its_gradients(config, n, padded):
    model, ids = model_of(config), ids_for(config, batch=2, n=n)
    if config.position == "learned":
        ids = ids[:, : config.max_len]
    real = torch.arange(ids.shape[1])[None] < torch.tensor([[ids.shape[1]], [ids.shape[1] // 2]]) if padded else None
    with pytest.MonkeyPatch.context() as patch:
        calls = was_sparse(patch)
        fast = model(ids, real=real)
        assert len(calls) == config.n_layers
    textbook = model(ids, real=real, tap=RecordingTap("*.A", names=transformer.names.of(config), gradients=True))
    torch.testing.assert_close(fast, textbook, **CLOSE)
    parameters = list(model.parameters())
    weights = torch.randn(fast.shape, generator=torch.Generator().manual_seed(0), dtype=fast.dtype)
    grads = [torch.autograd.grad((out * weights).sum(), parameters, allow_unused=True) for out in (fast, textbook)]
    for one, other in zip(*grads, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **CLOSE)


@settings(max_examples=80, deadline=None)
@given(sparse_configs(kind="decoder"), st.integers(0, 29))
def test_a_future_token_changes_no_earlier_output(config, t):
    model, ids = model_of(config), ids_for(config, n=31)
    t = max(t, config.prefix - 1)
    other = ids.clone()
    other[:, t + 1 :] = (other[:, t + 1 :] + 1) % config.vocab_size
    with torch.no_grad():
        assert torch.equal(model(ids)[:, : t + 1], model(other)[:, : t + 1])


@settings(max_examples=60, deadline=None)
@given(sparse_configs(kind="decoder"))
def test_cached_steps_agree_with_the_sparse_whole(config):
    model, ids = model_of(config), ids_for(config, n=24)
    with torch.no_grad():
        whole = model(ids)
    cache, parts = Cache.empty(config.n_layers), []
    for piece in ids.split([20, 1, 3], dim=1):  # the first is read sparsely as well
        run = model.run(piece, cache=cache)
        cache, parts = run.cache, [*parts, run.output]
    torch.testing.assert_close(torch.cat(parts, 1), whole, **CLOSE)


@settings(max_examples=40, deadline=None)
@given(sparse_configs())
def test_padding_changes_nothing(config):
    model = model_of(config)
    long, short = ids_for(config, n=28)[0].tolist(), ids_for(config, n=17, seed=3)[0].tolist()
    padded = model.run([long, short]).output
    torch.testing.assert_close(padded[:1], model.run(long).output, **CLOSE)
    torch.testing.assert_close(padded[1:, :17], model.run(short).output, **CLOSE)
    assert padded.isfinite().all()


def test_positions_that_are_not_counted_are_left_to_the_mask():
    config = Config(attention="window", window=3, d_model=16)
    at = torch.tensor([[0, 0, 0, 1, 2]])
    assert not Geometry(config, at, at).counted
    assert Geometry(config, q := torch.arange(5)[None], q).counted
    assert not Geometry(config, q[:, 4:], q).counted


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@pytest.mark.parametrize("attention", [
    dict(attention="window", window=8), dict(attention="dilated", window=8, dilation=3),
    dict(attention="longformer", window=8), dict(attention="bigbird", window=8),
], ids=lambda options: options["attention"])  # fmt: skip
def test_memory_grows_as_n(monkeypatch, kind, attention):
    """Twice the text: no tensor more than twice as large, and no n × n table is ever made."""
    monkeypatch.setattr(sparse, "block", lambda config: 16)
    config = Config(kind=kind, d_model=16, n_heads=2, position="none", **attention)
    module = transformer.build(config, seed=0).stack.blocks[0].attention
    largest = []
    for n in (2048, 4096):
        at = torch.arange(n)[None]
        geometry, sizes = Geometry(config, at, at, reach=n - 1), _Sizes()
        with sizes, torch.no_grad():
            module(torch.randn(1, n, 16), geometry, None, OFF)
        assert "mask" not in geometry.__dict__
        largest.append(sizes.largest)
    assert largest[1] <= 2.1 * largest[0]
    assert largest[1] < 4096 * 4096 / 8


class _Sizes(TorchDispatchMode):
    """The largest number of values that any operation's result holds."""

    largest = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result
