"""A chain and all at once: the chain is torch's RNN, and what the clock is asked."""

import pytest
import torch

from transformer.experiments import chains


def test_our_recurrent_layer_is_torchs():
    ours, theirs = chains.Recurrent(16), torch.nn.RNN(16, 16, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.W.T)
        theirs.weight_hh_l0.copy_(ours.U.T)
        theirs.bias_ih_l0.copy_(ours.b)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(3, 7, 16)
    torch.testing.assert_close(ours(x), theirs(x)[0], atol=1e-6, rtol=1e-5)


def test_a_state_waits_for_the_one_before_and_a_row_of_attention_for_none():
    """Changing the first token changes every later state; attention's rows are computed from the input alone: the same
    rows come out when they are asked for one by one."""
    torch.manual_seed(0)
    layer = chains.AllAtOnce(16, 2)
    x = torch.randn(1, 6, 16)
    whole = layer(x)
    for t in range(6):
        torch.testing.assert_close(layer(x[:, : t + 1])[:, -1], whole[:, t], atol=1e-6, rtol=1e-5)


def test_spans_follow_one_another_and_carry_the_names():
    layers = chains.layers_of(16)
    found = chains.spans(layers["chain"], 5, rounds=3)
    assert [span.name for span in found] == ["x W", "h 1", "h 2", "h 3", "h 4", "h 5"]
    at_once = chains.spans(layers["attention"], 5, rounds=3)
    assert [span.name for span in at_once] == ["places", "Q, K, V", "scores", "A", "z", "out"]
    for spans in (found, at_once):
        assert spans[0].start == 0 and all(a.end == b.start and a.end > a.start for a, b in zip(spans, spans[1:], strict=False))


def test_every_way_is_timed_at_every_length():
    found = list(chains.timed(chains.layers_of(16), [4, 8], rounds=1))
    assert [one.n for one in found] == [4, 8]
    for one in found:
        assert set(one.forward) == set(one.both) == set(chains.WAYS)
        assert all(one.both[way] > 0 and one.forward[way] > 0 for way in chains.WAYS)


def test_a_chain_grows_with_the_text_and_attention_does_not():
    assert chains.products_in_a_row(512) == {"chain": 513, "torch.nn.RNN": 513, "one product": 1, "attention": 4}
    assert chains.products_in_a_row(1)["attention"] == pytest.approx(4)
