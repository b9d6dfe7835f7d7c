"""Scores taken apart into content and position: exact for every way, and each part what its paper says."""

import math

import pytest
import torch

import transformer
from transformer import Config, biases, masks
from transformer.experiments import added_positions
from transformer.experiments.added_positions import added, by_distance, four_terms, tables
from transformer.training.longer import BASE, POSITIONS

IDS = torch.randint(60, (12,), generator=torch.Generator().manual_seed(0)).tolist()


def model(way: str, **more) -> transformer.Model:
    made = transformer.build(Config(**BASE | POSITIONS[way] | dict(vocab_size=60) | more), seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():  # no part may be small by chance, nor any gain 1
            p.copy_(torch.randn(p.shape, generator=generator) * 0.4 + (p.dim() == 1))
    return made


@pytest.mark.parametrize("way", POSITIONS)
def test_parts_add_up_to_the_models_own_scores(way):
    for layer in (0,) if way in ("learned", "sinusoidal") else (0, 1):
        made = model(way)
        parts = added(made, IDS, layer)
        torch.testing.assert_close(parts.content + parts.position, parts.scores)
        past = torch.ones(12, 12, dtype=torch.bool).tril()
        A = parts.scores.masked_fill(~past, -math.inf).softmax(-1)
        torch.testing.assert_close(A, parts.A, rtol=0, atol=1e-5)
        if parts.terms is not None:
            torch.testing.assert_close(parts.terms.sum(0), parts.scores, rtol=1e-4, atol=1e-4)
        zero = way == "none"
        assert (parts.position.abs().max() < 1e-5) == zero


def test_alibis_part_is_minus_slope_times_distance():
    position = added(model("alibi"), IDS).position
    i, j = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    slopes = torch.tensor([2 ** (-8 * h / 4) for h in range(1, 5)])
    torch.testing.assert_close(position, -slopes[:, None, None] * (i - j).abs(), rtol=0, atol=1e-4)


def test_t5s_part_is_its_table_by_bucket():
    made = model("t5")
    position = added(made, IDS, 1).position
    for i, j in ((11, 0), (7, 6), (3, 3)):
        bucket = biases.t5_bucket(torch.tensor(i - j), False, 16, 32)
        torch.testing.assert_close(position[:, i, j], made.bias.table.weight[bucket].detach(), rtol=0, atol=1e-4)


def test_xls_terms_are_the_papers():
    made = model("xl")
    terms = added(made, IDS).terms
    attention = made.stack.blocks[0].attention
    xl, factor = attention.relative, 12**-0.5
    trace = made.run(IDS, record="layers.0.attention.[QK]").trace
    Q, K = (trace[f"layers.0.attention.{name}"][0] for name in "QK")
    i, j, h = 9, 4, 2
    R = transformer.positions.sinusoidal(torch.tensor([float(i - j)]), 32)
    r = attention.split(xl.W_R(R)[None])[0, h, 0]
    expected = [Q[h, i] @ K[h, j], Q[h, i] @ r, xl.u[h] @ K[h, j], xl.v[h] @ r]
    torch.testing.assert_close(terms[:, h, i, j], torch.stack(expected).detach() * factor, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["learned", "sinusoidal"])
def test_four_terms_of_a_sum_multiplied_out(way):
    made = model(way)
    terms = added(made, IDS).terms
    trace = made.run(IDS, record=("embed.tokens", "embed.positions")).trace
    e, p = (trace[f"embed.{part}"].expand(1, 12, -1)[0] for part in ("tokens", "positions"))
    block, (i, j, h) = made.stack.blocks[0], (10, 3, 1)
    rows = slice(12 * h, 12 * h + 12)
    gamma, W_Q, W_K = block.norm_1.gamma, block.attention.W_Q.weight[rows], block.attention.W_K.weight[rows]
    rms = ((e + p).square().mean(-1) + 1e-5).sqrt()
    expected = [(W_Q @ (gamma * left[i] / rms[i])) @ (W_K @ (gamma * right[j] / rms[j])) / 12**0.5
                for left in (e, p) for right in (e, p)]  # fmt: skip
    torch.testing.assert_close(terms[:, h, i, j], torch.stack(expected).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["alibi", "t5", "shaw", "xl", "rope", "none"])
def test_by_distance_is_what_the_text_has(way):
    made = model(way)
    found, position = by_distance(made, IDS, 40, 1), added(made, IDS, 1).position
    for r in (0, 3, 11):
        at = position.diagonal(-r, 1, 2)
        if way != "rope":  # there the pairs of all distances are laid at each
            assert (at <= found.high[:, r, None] + 1e-4).all() and (at >= found.low[:, r, None] - 1e-4).all()
    if way in ("alibi", "t5", "none"):
        torch.testing.assert_close(found.low, found.high)
    if way == "shaw":  # clipped: one number from 16 on
        torch.testing.assert_close(found.mean[:, 16:], found.mean[:, 16:17].expand(-1, 24))
    if way == "rope":
        torch.testing.assert_close(found.mean[:, 0], torch.zeros(4), rtol=0, atol=1e-4)


def test_by_distance_of_a_rotation_is_its_pairs():
    made = model("rope")
    found, parts = by_distance(made, IDS[:1], 5), added(made, [IDS[0]] * 5)  # one word: each pair is this one
    for r in range(5):
        torch.testing.assert_close(parts.position[:, 4, 4 - r], found.mean[:, r], rtol=0, atol=1e-3)


def test_a_learned_table_has_no_distance_beyond_its_end():
    found = by_distance(model("learned"), IDS, 80)
    assert found.mean[:, :64].isfinite().all() and found.mean[:, 64:].isnan().all()
    assert (found.high - found.low)[:, 5].min() > 0.1  # the same distance at other places is another number
    assert by_distance(model("sinusoidal"), IDS, 80).mean.isfinite().all()


def test_tables_are_the_models_own():
    assert {way: tables(model(way)).names for way in POSITIONS} == {
        "none": (), "learned": ("W_P",), "sinusoidal": (), "rope": (), "alibi": (), "t5": ("table",),
        "shaw": ("a_K", "a_V"),
        "xl": ("u", "v"),
    }  # fmt: skip
    assert [list(array.shape) for array in tables(model("shaw")).arrays] == [[33, 12], [33, 12]]


def test_what_cannot_be_taken_apart_is_said():
    with pytest.raises(ValueError, match="words and places are mixed"):
        added(model("learned"), IDS, 1)
    with pytest.raises(ValueError, match="layers 0 to 1"):
        added(model("none"), IDS, 2)
    layered = model("sinusoidal", norm="layer")
    with pytest.raises(ValueError, match="RMSNorm"):
        added(layered, IDS)


def test_terms_are_in_the_papers_order():
    made = model("sinusoidal")
    e = torch.zeros(1, 3, 32)
    p = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(3))
    a, b, c, d = four_terms(made, e, p)
    assert not a.any() and not b.any() and not c.any() and d.any() and added_positions.TERMS == "abcd"


def test_a_head_read_without_its_rotation_with_it_and_with_alibi():
    made = transformer.build(Config(d_model=24, n_heads=6, n_kv_heads=2, n_layers=1, rope_base=100.0), seed=0).eval()
    ids, at = [3, 1, 4, 1, 5], "layers.0.attention."
    trace = made.run(ids, record=(at + "[QK]_unrotated", at + "scores", at + "A")).trace
    Q, K = (trace[at + name + "_unrotated"][0] for name in "QK")
    found = added_positions.on_head(Q, K, made.config, masks.past(5))
    torch.testing.assert_close(found["rope"].scores, trace[at + "scores"][0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["rope"].A, trace[at + "A"][0])
    torch.testing.assert_close(found["none"].scores, torch.einsum("hid,hjd->hij", Q, K.repeat_interleave(3, 0)) / 2)
    torch.testing.assert_close(found["alibi"].position[:, 4, 1], -3 * biases.alibi_slopes(6))
    assert all((one.content + one.position).equal(one.scores) for one in found.values())


def test_slopes_of_eight_heads_halve_and_of_twelve_are_interleaved():
    bias, kept = added_positions.slopes_against_distance(8, torch.tensor([0.0, 1.0, 2.0]))
    torch.testing.assert_close(-bias[:, 1], torch.tensor([2.0**-i for i in range(1, 9)]))
    torch.testing.assert_close(kept[:, 2], (2 * bias[:, 1]).exp())
    twelve = -added_positions.slopes_against_distance(12, torch.tensor([1.0]))[0][:, 0]
    torch.testing.assert_close(twelve[:8], -bias[:, 1])
    torch.testing.assert_close(twelve[8:], torch.tensor([2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]))


def test_far_buckets_are_wide():
    bucket = biases.t5_bucket(torch.arange(128), False, 32, 128)
    width = added_positions.bucket_width(bucket)
    assert (width[:16] == 1).all() and width[100] > width[40] > width[16]
    assert sum(int((bucket == b).sum()) for b in range(32)) == 128


def test_extra_parameters_are_the_tables():
    shape = Config(vocab_size=10, d_model=16, n_layers=3, n_heads=4, max_len=50)
    assert added_positions.extra_parameters(shape) == {
        "none": 0, "sinusoidal": 0, "rope": 0, "alibi": 0, "learned": 50 * 16, "t5": 32 * 4, "shaw": 3 * 2 * 33 * 4,
        "xl": 3 * (16 * 16 + 2 * 16),
    }  # fmt: skip
