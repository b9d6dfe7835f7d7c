"""Depth: what is measured is the block's own arithmetic and autograd's, with the skip and without it."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer.experiments import depth, paths
from transformer.training import depth as training

IDS = depth.bytes_of("The capital of France is")
MEASURED = Path(__file__).parents[2] / "assets" / "measured"


def by_hand(model, ids, skip: bool):
    """The stack without the tap: logits, and the stream at every place."""
    text = torch.tensor([ids])[:, :-1]
    X = [model.run(text, record="embed", gradients=True).trace["embed"]]
    geometry = {}
    model.stack.register_forward_pre_hook(lambda _, given: geometry.update(at=given[1]))
    model(text)
    for block in model.stack.blocks:
        x = X[-1]
        seen = block.norm_1(x) if block.norm_first else x
        out, _ = block.attention(seen, geometry["at"], None, transformer.tap.OFF)
        out = block.after_1(out) if block.after_1 is not None else out
        x = x + out if skip else out
        x = block.norm_1(x) if block.norm_last else x
        seen = block.norm_2(x) if block.norm_first else x
        out = block.ffn(seen, transformer.tap.OFF)
        out = block.after_2(out) if block.after_2 is not None else out
        x = x + out if skip else out
        X.append(block.norm_2(x) if block.norm_last else x)
    last = X[-1] if model.final_norm is None else model.final_norm(X[-1])
    return last @ model.embedding.W_E.weight.T, X


@pytest.mark.parametrize(("place", "norm"), [("pre", "layer"), ("post", "layer"), ("sandwich", "layer"), ("pre", "none")])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_signal_and_gradient_are_those_of_a_stack_written_by_hand(place, norm, share):
    model = transformer.build(depth.config(3, place, norm), 1).double()
    found = depth.measure(model, IDS, share)
    logits, X = by_hand(model, IDS, skip=share == 1)
    for x in X:
        x.retain_grad()
    L = F.cross_entropy(logits[0], torch.tensor(IDS[1:]))
    L.backward()
    torch.testing.assert_close(found.loss, L.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.stream, torch.stack([x.square().mean().sqrt() for x in X]).detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.signal, torch.stack([x.grad.norm() for x in X]), rtol=1e-7, atol=1e-12)
    for block, length in zip(model.stack.blocks, found.weights, strict=True):
        squares = sum(w.grad.square().sum() for w in block.parameters() if w.dim() > 1)
        assert math.sqrt(squares) == pytest.approx(length.item(), rel=1e-7)


def test_edits_reach_only_the_layers_and_parts_that_are_named():
    model = transformer.build(depth.config(3), 0)
    names = ["layers.*.resid_p*", "layers.*.resid_mid"]
    whole = model.run(IDS, record=[*names, "layers.1.ffn.out"]).trace
    cut = model.run(IDS, record=names, edit=depth.residual(0.0, [1], ["ffn"])).trace
    for name in ("layers.0.resid_post", "layers.1.resid_mid"):
        assert torch.equal(cut[name], whole[name])
    torch.testing.assert_close(cut["layers.1.resid_post"], whole["layers.1.ffn.out"], atol=1e-6, rtol=1e-5)
    half = model.run(IDS, record=names, edit=depth.residual(0.5, [1], ["ffn"])).trace["layers.1.resid_post"]
    torch.testing.assert_close(half, 0.5 * whole["layers.1.resid_mid"] + whole["layers.1.ffn.out"], atol=1e-6, rtol=1e-5)


def test_tokens_that_are_one_and_the_same_are_not_apart():
    same = torch.ones(1, 5, 4) * torch.tensor([1.0, 2.0, -3.0, 0.5])
    assert depth.apart(same).item() < 1e-7 and depth.alike(same).item() == pytest.approx(1, abs=1e-6)
    opposite = torch.stack((same[0, 0], -same[0, 0]))[None]
    assert depth.apart(opposite).item() == pytest.approx(1) and depth.alike(opposite).item() == pytest.approx(-1, abs=1e-6)


def test_post_norms_last_gradient_stays_where_pre_norms_falls_with_the_root_of_depth():
    """Xiong et al. 2020, theorem 1: O(d√ln d) against O(d√(ln d / L)); and the stream of pre-norm grows."""
    last = {}
    for place in ("pre", "post"):
        swept = list(depth.sweep(IDS, place, depths=[4, 16]))
        spread = depth.spread(swept, "weights", [4, 16])
        last[place] = [spread.middle[0, 3].item(), spread.middle[1, 15].item()]
        assert torch.isnan(spread.middle[0, 4:]).all() and (spread.low <= spread.high)[1, :16].all()
        if place == "pre":
            of = depth.spread(swept, "turned", [4, 16]).middle[1]
            assert of[0] > 5 * of[15]
    assert last["pre"][1] / last["pre"][0] == pytest.approx(0.5, abs=0.12)  # √(4 / 16)
    assert last["post"][1] > 0.9 * last["post"][0]


def test_without_skips_tokens_become_one_and_without_norms_the_signal_runs_away():
    with_, without = (next(depth.sweep(IDS, share=share, depths=[16])).of for share in (1.0, 0.0))
    assert without.apart[:, -1].max() < 1e-2 < 0.2 < with_.apart[:, -1].min()
    grows, fades = (next(depth.sweep(IDS, norm="none", share=share, depths=[16])).of for share in (1.0, 0.0))
    assert grows.signal[:, 0].min() > 100 * grows.signal[:, -1].max()
    assert fades.signal[:, 0].max() < 1e-3 * fades.signal[:, -1].min()


def test_the_paths_add_up_to_the_gradient_and_those_of_one_length_are_what_autograd_gives_for_them():
    model = transformer.build(depth.config(2), 3).double()
    found = paths.split(model, IDS)
    leaf = model.run(IDS[:-1], record="embed", edit={"embed": lambda x: x.detach().requires_grad_()}, gradients=True)
    L = F.cross_entropy(leaf.output[0], torch.tensor(IDS[1:]))
    (g,) = torch.autograd.grad(L, leaf.trace["embed"])
    torch.testing.assert_close(found.gradient.sum(0), g[0], rtol=1e-9, atol=1e-12)
    assert found.share.sum().item() == pytest.approx(1, abs=1e-9)
    # G(t) = Σ t^k G_k where every branch's gradient is scaled by t, its value left alone
    for t in (0.0, 0.5, -1.0):
        scaled = {f"layers.*.{part}.out": lambda out, t=t: out.detach() + t * (out - out.detach()) for part in ("attention", "ffn")}
        run = model.run(IDS[:-1], record="embed", edit=scaled | {"embed": lambda x: x.detach().requires_grad_()}, gradients=True)
        (of_t,) = torch.autograd.grad(F.cross_entropy(run.output[0], torch.tensor(IDS[1:])), run.trace["embed"])
        powers = torch.tensor([t**k for k in range(5)], dtype=torch.float64)
        torch.testing.assert_close((powers[:, None, None] * found.gradient).sum(0), of_t[0], rtol=1e-8, atol=1e-12)
    assert paths.counts(4).tolist() == [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    assert paths.mean_length(paths.counts(96)) == pytest.approx(48)


@pytest.mark.parametrize("wrong", [lambda: paths.split(transformer.build(depth.config(1, "post"), 0), IDS),
                                   lambda: paths.split(transformer.build(depth.config(1), 0), IDS[:1]),
                                   lambda: depth.bytes_of("a")])
def test_what_cannot_be_measured_is_refused(wrong):
    with pytest.raises(ValueError, match="norm|two"):
        wrong()


def test_a_block_is_drawn_from_what_its_config_records():
    for place, order in {"pre": ["resid_pre", "norm_1", "attention.out", "resid_mid", "norm_2", "ffn.out", "resid_post"],
                         "post": ["resid_pre", "attention.out", "sum_1", "norm_1", "resid_mid", "ffn.out", "sum_2", "norm_2", "resid_post"],
                         "sandwich": ["resid_pre", "norm_1", "attention.raw", "attention.out", "resid_mid", "norm_2", "ffn.raw",
                                      "ffn.out", "resid_post"]}.items():  # fmt: skip
        nodes = depth.block_sizes(transformer.build(depth.config(2, place), 0), IDS, 1)
        assert [node.name for node in nodes] == order
        sizes = dict(nodes)
        assert sizes["norm_1"] == pytest.approx(1, abs=1e-3) and sizes["norm_2"] == pytest.approx(1, abs=1e-3)


def test_flow_is_what_the_layers_do_to_each_token():
    X = torch.tensor([[[3.0, 4.0]], [[3.0, 4.0]], [[-4.0, 3.0]]])  # nothing, then a right angle
    flow = depth.flow(X)
    assert flow.stream.tolist() == [pytest.approx([math.sqrt(12.5)] * 3)]
    assert flow.written.tolist() == [pytest.approx([0.0, math.sqrt(2)])] and flow.turned.tolist() == [pytest.approx([0.0, 1.0])]


def test_training_reports_as_it_goes_and_the_same_seed_trains_the_same():
    runs = [list(training.train(2, 3e-3, 5, seed=4, place="post", steps=20, every=5)) for _ in range(2)]
    assert [report.step for report in runs[0]] == [5, 10, 15, 20] and runs[0][-1] == runs[1][-1]
    assert math.isnan(runs[0][0].held_out) and runs[0][-1].held_out < runs[0][0].loss
    of = training.curve([runs[0], runs[0][:2]], steps=20, every=5)
    assert of.low[:2] == of.high[:2] == of.loss[:2] and math.isnan(of.loss[2])
    assert of.held_out[0] == runs[0][-1].held_out and math.isnan(of.held_out[1])
    assert 0 < runs[0][-1].apart < 1 and of.apart[0] == pytest.approx(runs[0][0].apart)


def test_what_training_reports_of_the_top_is_the_last_streams():
    model, ids = transformer.build(training.config(2, "post"), 0), torch.tensor([IDS, IDS[::-1]]) % 61
    for share in (1.0, 0.0):
        edit = {} if share == 1 else depth.residual(share)
        X = model.run(ids, record="layers.1.resid_post", edit=edit).trace["layers.1.resid_post"]
        assert training.top(model, ids, share) == pytest.approx(sum(depth.apart(x).item() for x in X) / 2, rel=1e-5)


def test_a_stack_without_skips_trains_on_the_loss_without_them():
    model = transformer.build(training.config(2, "pre"), 0)
    ids = torch.tensor([IDS]) % 61
    logits = model.run(ids[:, :-1], edit=depth.residual(0.0)).output
    expected = F.cross_entropy(logits[0], ids[0, 1:])
    torch.testing.assert_close(training.without_skip(0.0)(model, ids).detach(), expected)
    assert not torch.allclose(training.without_skip(1.0)(model, ids), expected)


def held_out(file: str, *setting: object) -> float:
    runs = json.loads((MEASURED / file).read_text("utf-8"))["runs"]
    return sorted(runs[training.key(*setting)]["held_out"])[1]


def test_the_recorded_runs_say_what_the_lessons_say():
    blind = training.blind()
    for file in ("norm-placement-training.json", "residual-training.json"):
        assert json.loads((MEASURED / file).read_text("utf-8"))["made"]["blind"] == round(blind, 3)
    placement = "norm-placement-training.json"
    assert held_out(placement, "post", 8, 0.003, 0) > blind - 0.05 and held_out(placement, "post", 8, 0.003, 100) < blind - 0.3
    assert held_out(placement, "post", 8, 0.001, 0) < blind - 0.3  # a lower rate needs no warm-up
    assert held_out(placement, "post", 12, 0.003, 100) > blind - 0.05  # more depth, and warm-up is not enough
    assert max(held_out(placement, place, n, lr, w) for place in ("pre", "sandwich") for n in training.LAYERS
               for lr in training.RATES for w in training.WARMUPS) < blind - 0.3  # fmt: skip
    runs = json.loads((MEASURED / placement).read_text("utf-8"))["runs"]  # and why: the tokens became one
    assert runs["post 8 0.003 0"]["apart"][-1] < 1e-3 < 0.3 < runs["post 8 0.003 100"]["apart"][-1]
    residual = "residual-training.json"
    assert blind - 0.1 > held_out(residual, "layer", 0.0, 2) > held_out(residual, "layer", 1.0, 2) + 0.2
    for layers in (4, 8, 12):
        assert min(held_out(residual, norm, 0.0, layers) for norm in ("layer", "none")) > blind - 0.1
        assert held_out(residual, "layer", 1.0, layers) < blind - 0.3
    assert held_out(residual, "none", 1.0, 8) < blind - 0.3 and held_out(residual, "none", 1.0, 12) > blind - 0.1
