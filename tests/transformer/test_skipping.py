"""A final norm taken out and a layer's paths cut: each is the arithmetic that it is said to be."""

import pytest
import torch

import transformer
from transformer.experiments import depth, final_norm, skipping

TEXT = "To be, or not to be, that is the question"


@pytest.fixture(scope="module")
def tiny():
    model, tokenizer = transformer.load("tiny")
    return model, tokenizer.encode(TEXT)


def test_without_the_division_the_logits_are_sigma_times_as_large(tiny):
    model, ids = tiny
    run = model.run(ids, record=("final_norm", "layers.3.resid_post"))
    sigma = (run.trace["layers.3.resid_post"].square().mean(-1, keepdim=True) + model.config.norm_eps).sqrt()
    logits = {way: model.run(ids, edit=final_norm.edits(model, way)).output for way in final_norm.WAYS}
    torch.testing.assert_close(logits["not divided by σ"], run.output * sigma, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits["as trained"], run.output)
    W_U, x = model.embedding.W_E.weight, run.trace["layers.3.resid_post"]
    torch.testing.assert_close(logits["taken out"], x @ W_U.T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits["without γ"], (x / sigma) @ W_U.T, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits["not divided by σ"].argmax(-1), run.output.argmax(-1))  # a temperature changes no order


def test_what_is_said_without_it(tiny):
    model, ids = tiny
    found = {way: final_norm.said(model, ids, way) for way in final_norm.WAYS}
    whole, cold = found["as trained"], found["not divided by σ"]
    assert (cold.entropy < whole.entropy)[whole.sigma > 1].all()
    torch.testing.assert_close(cold.spread, whole.spread * whole.sigma, rtol=1e-4, atol=1e-4)
    p = model.run(ids).output[0].softmax(-1)
    torch.testing.assert_close(whole.loss[:-1], -p[:-1].gather(-1, torch.tensor(ids)[1:, None])[:, 0].log(), rtol=1e-4, atol=1e-4)
    assert torch.isnan(whole.loss[-1])
    top = final_norm.tops(whole.p, found["without γ"].p)
    assert top.ids.shape == (len(ids), 8) and all(len(set(row)) == 8 for row in top.ids.tolist())
    torch.testing.assert_close(top.after, found["without γ"].p.gather(-1, top.ids))


def test_layer_norms_are_taken_out_too_and_others_refused():
    model = transformer.build(depth.config(2), 0)
    model.final_norm.beta.data.normal_()
    ids = depth.bytes_of(TEXT)
    run = model.run(ids, record="layers.1.resid_post")
    x = run.trace["layers.1.resid_post"]
    centred = x - x.mean(-1, keepdim=True)
    expected = (centred * model.final_norm.gamma + model.final_norm.beta) @ model.embedding.W_E.weight.T
    got = model.run(ids, edit=final_norm.edits(model, "not divided by σ")).output
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no final norm"):
        final_norm.edits(transformer.build(depth.config(2, "post"), 0), "taken out")
    with pytest.raises(ValueError, match="must be one of"):
        final_norm.edits(model, "halved")


def test_a_layer_is_skipped_or_left_without_its_residual_row_by_row(tiny):
    model, ids = tiny
    text = torch.tensor([ids])
    for row in skipping.skipped(model, ids):
        i = row.layer
        silent = {f"layers.{i}.{part}.out": torch.zeros_like for part in ("attention", "ffn")}
        edits = [silent, depth.residual(0.0, [i]), depth.residual(0.0, [i], ["attention"]), depth.residual(0.0, [i], ["ffn"])]
        for cut, edit in enumerate(edits):
            logits = model.run(ids, edit=edit).output
            assert row.loss[cut].item() == pytest.approx(skipping.losses(logits, text).item(), rel=1e-4)
            p = logits[0, -1].softmax(-1)
            torch.testing.assert_close(row.after[cut], p[row.ids[cut]], rtol=1e-3, atol=1e-6)
    loss, entropy = skipping.as_trained(model, ids)
    assert row.loss.min() > loss - 0.5 and entropy > 0
    p = model.run(ids).output[0, -1].softmax(-1)
    torch.testing.assert_close(row.before[0], p[row.ids[0]], rtol=1e-4, atol=1e-6)


def test_all_residuals_gone_and_none(tiny):
    model, ids = tiny
    whole, gone = skipping.collapse(model, ids), skipping.collapse(model, ids, 0.0)
    assert whole.loss == pytest.approx(skipping.as_trained(model, ids)[0], rel=1e-5)
    assert gone.apart[1] < whole.apart[1] / 3 and gone.loss > whole.loss + 3
    X = model.run(ids, record="layers.2.resid_pre", edit=depth.residual(0.0)).trace["layers.2.resid_pre"]
    assert gone.stream[2].item() == pytest.approx(X.square().mean().sqrt().item(), rel=1e-4)


def test_texts_that_are_too_short_are_refused(tiny):
    with pytest.raises(ValueError, match="two tokens"):
        next(skipping.skipped(tiny[0], tiny[1][:1]))
