"""C1's law: without positions an encoder's outputs are permuted with its tokens, exactly; a causal decoder's are not."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from tests.transformer.configs import configs, placeless
from tests.transformer.test_laws import ids_for, model_of
from transformer import Config
from transformer.experiments import permutation
from transformer.experiments.permutation import back, largest_difference, moved, orders, put_back, read, without_positions
from transformer.training import order, play


def reading_of(model, n=8, seed=3, layer=0):
    ids = ids_for(model.config, n=n)[0].tolist()
    of = list(orders(ids, (1, 4), seed).values())
    return read(model, ids, of, layer), of, ids


@settings(max_examples=40, deadline=None)
@given(configs(kind="encoder").map(placeless).filter(lambda c: c.norm != "batch"))
def test_an_encoder_without_positions_is_equivariant(config):
    """f(P x) = P f(x) at every layer, and every map has its rows and columns permuted: A(P x) = P A(x) Pᵀ."""
    reading, of, _ = reading_of(model_of(config))
    assert moved(reading.streams, of).nan_to_num().max() < 1e-9
    assert largest_difference(reading, of).max() < 1e-9 * max(1.0, reading.output.abs().max().item())
    home = put_back(reading.A, of, (2, 3))
    torch.testing.assert_close(home, home[:1].expand_as(home), atol=1e-10, rtol=1e-9)
    for i, one in enumerate(of):  # the same said with permutation matrices
        P = torch.eye(len(one), dtype=torch.float64)[list(one)]
        torch.testing.assert_close(reading.output[i], P @ reading.output[0], atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(reading.A[i], P @ reading.A[0] @ P.mT, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("position", ["sinusoidal", "learned", "rope", "alibi", "t5", "shaw", "xl"])
def test_any_position_breaks_it_and_switching_it_off_brings_it_back(position):
    model = model_of(Config(kind="encoder", d_model=32, n_heads=2, max_len=16, position=position))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1 or "bias" in name:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=p.dtype) * 0.3)
    reading, of, _ = reading_of(model)
    assert moved(reading.streams, of)[1:].max() > 1e-3
    off, of, _ = reading_of(without_positions(model))
    assert moved(off.streams, of).max() < 1e-12


def test_a_causal_decoder_without_positions_sees_order_from_the_second_layer_on():
    """The last token of one layer reads a set, whatever its order; the others read other sets at once."""
    model = model_of(Config(d_model=32, n_heads=2, n_layers=3, position="none"))
    ids = ids_for(model.config, n=8)[0].tolist()
    of = list(orders(ids, (1, 4), 3, fixed=(7,)).values())
    delta = moved(read(model, ids, of, 0).streams, of)[1:]  # [order, token, layer + 1]
    assert delta[..., 0].max() == 0  # the embeddings alone
    assert delta[:, -1, 1].max() < 1e-12 < 1e-3 < delta[:, :-1, 1].max()
    assert delta[:, -1, 2].min() > 1e-4 and delta[:, -1, 3].min() > 1e-4


def test_what_is_left_in_float32_is_rounding():
    model = model_of(Config(kind="encoder", d_model=32, n_heads=2, position="none"))
    single, of, ids = reading_of(model.float())
    double = read(*permutation.in_double(model, ids), of, 0)
    torch.testing.assert_close(double.output.float(), single.output, atol=1e-4, rtol=1e-4)  # the same model
    in_single, in_double = largest_difference(single, of)[1:].max(), largest_difference(double, of)[1:].max()
    assert 0 < in_double < 1e-12 and in_single > 1e5 * in_double
    assert next(model.parameters()).dtype == torch.float32  # a copy


def test_orders_and_what_undoes_them():
    of = orders([3, 1, 2, 0, 9], (1, 3), 0, fixed=(0, 4))
    assert of["as it stands"] == (0, 1, 2, 3, 4) and of["two swapped"] == (0, 3, 2, 1, 4)
    assert of["reversed"] == (0, 3, 2, 1, 4) and of["sorted"] == (0, 3, 1, 2, 4)
    assert sorted(of["shuffled"]) == list(range(5)) and of["shuffled"][0] == 0
    assert orders([3, 1, 2, 0, 9], (1, 3), 0, fixed=(0, 4)) == of
    one = (2, 0, 3, 1)
    assert torch.equal(torch.tensor(one)[back(one)], torch.arange(4))
    assert permutation.all_orders([[1, 2], [3]]) == [[1, 2, 3], [3, 1, 2]]
    with pytest.raises(ValueError, match="tokens 0 to 1"):
        orders([1, 2], (0, 2), 0)


def test_angles_are_exact_near_zero():
    v = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1e-9]], dtype=torch.float64)
    found = permutation.angles(v)
    assert found[0, 0] == 0 and found[0, 1] == pytest.approx(90)
    assert found[0, 2].item() == pytest.approx(math.degrees(1e-9), rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_bag_of_words_is_all_that_an_encoder_without_positions_pools(seed):
    model = model_of(Config(kind="encoder", d_model=32, n_heads=2, position="none"))
    ids = ids_for(model.config, n=4, seed=seed)[0].tolist()
    rows = permutation.all_orders([[i] for i in ids])
    assert len(rows) == 24
    of = [tuple(range(4))]
    pooled = torch.cat([read(model, row, of, 0).pooled() for row in rows])
    assert permutation.angles(pooled).max() < 1e-5


def test_minilm_without_its_position_table(minilm):
    """An edit that sets what the table adds to zero gives what a model without the table gives."""
    model, tokenizer = minilm
    ids = tokenizer.encode("The dog bites the man")
    off = without_positions(model)
    edited = model.run(ids, edit={"embed.positions": torch.zeros_like}).output
    assert torch.equal(edited, off.run(ids).output)
    assert off.embedding.W_E.weight.data_ptr() == model.embedding.W_E.weight.data_ptr()  # nothing is copied
    of = list(orders(ids, (2, 5), 0, fixed=(0, len(ids) - 1)).values())
    without, with_ = read(off, ids, of, 2), read(model, ids, of, 2)
    assert largest_difference(without, of).max() < 1e-4 < 0.1 < largest_difference(with_, of)[1:].min()
    assert permutation.angles(without.pooled()).max() < 1e-3 < 1 < permutation.angles(with_.pooled())[0, 1:].min()


def test_a_mean_of_more_vectors_is_shorter_which_squares_can_read_and_a_line_cannot():
    """Equal weights on the past: what a causal mask leaves of the place, and what a mask that hides nothing does not."""
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(40, (300, 24), generator=g)
    told = {}
    for kind in ("encoder", "decoder"):
        model = transformer.build(Config(kind=kind, d_model=16, n_heads=1, n_layers=1, vocab_size=40, position="none"), 0)
        with torch.no_grad():
            model.embedding.W_E.weight.normal_(generator=g)
            attention = model.stack.blocks[0].attention
            attention.W_Q.weight.zero_()  # every score is 0
            for W in (attention.W_V, attention.W_O):
                W.weight.copy_(8 * torch.eye(16))
        for squares in (True, False):
            place = permutation.place_read_off(model.eval(), ids[:200], ids[200:], squares)
            assert place.said.shape == (2, 100, 24)
            told[kind, squares] = place.explained
    assert told["decoder", True][1] > 0.6 > 0.1 > told["decoder", False][1]
    assert told["decoder", True][0] < 0.1 and told["encoder", True].max() < 0.1


def test_what_a_line_reads_off_our_models_is_what_was_recorded():
    recorded = json.loads((order.FOLDER.parent / "measured" / "why-position.json").read_text("utf-8"))
    n, count = order.LENGTH, recorded["fitted_on"] + recorded["read_on"]
    for row in ("decoder-none", "encoder-none"):
        model, tokenizer = transformer.load(order.FOLDER / row)
        ids = torch.tensor(tokenizer.encode((play.FOLDER / f"{play.TITLE}.txt").read_text("utf-8")))
        windows = ids[: len(ids) // n * n].view(-1, n)[:count].split(recorded["fitted_on"])
        found = permutation.place_read_off(model, *windows, squares=False).explained
        assert found.tolist() == pytest.approx(recorded["measured"][row]["explained_by_a_line"], abs=2e-3)


def test_a_line_reads_sinusoids():
    model, _ = transformer.load(order.FOLDER / "decoder")
    ids = torch.randint(1000, (80, 32), generator=torch.Generator().manual_seed(0))
    assert permutation.place_read_off(model, ids[:60], ids[60:], squares=False).explained[0] > 0.6
