"""One model, six score functions: the same queries and keys, terms that add up to S, costs as they really are."""

import torch
import pytest

from transformer import Config
from transformer.experiments import score_costs, six_scores
from transformer.scores import SCORES
from transformer.training import scores as training

TEXT = "To be, or not to be"


@pytest.fixture(scope="module")
def six():
    return six_scores.load()


def test_all_six_are_one_model_but_for_the_score(six):
    models, tokenizer, made = six
    ids = tokenizer.encode(TEXT)
    traces = {score: model.run(ids, record="layers.0.attention.[QK]").trace for score, model in models.items()}
    for part in "QK":
        for score in SCORES:  # the first layer's queries and keys have met no score yet
            assert torch.equal(traces[score][f"layers.0.attention.{part}"], traces["dot"][f"layers.0.attention.{part}"])
    logits = [model.run(ids).output for model in models.values()]
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(logits) for b in logits[:i])
    assert made["seeds"] == [0, 1, 2] and all(len(v) == 3 for of in made["held_out_loss"].values() for v in of.values())


@pytest.mark.parametrize("score", SCORES)
def test_the_terms_add_up_to_the_models_own_scores(six, score):
    models, tokenizer, _ = six
    trace = models[score].run(tokenizer.encode(TEXT), record="layers.1.attention.*").trace
    Q, K, S = (trace[f"layers.1.attention.{part}"][0] for part in ("Q", "K", "scores"))
    terms = six_scores.terms(models[score].stack.blocks[1].attention.score, Q, K)
    assert terms.shape == (*S.shape, Q.shape[-1])
    torch.testing.assert_close(terms.sum(-1), S, atol=1e-5, rtol=1e-5)


def test_the_shipped_losses_are_those_of_the_shipped_weights(six, plays):
    """The training script's own measure, on a part of its held-out windows: within what a part may differ."""
    models, tokenizer, made = six
    unseen = torch.tensor([i for title in made["held_out"] for i in [*tokenizer.encode(plays[title]),
        tokenizer.end_id]])
    windows = training.judged(unseen)[::8]
    for score, model in models.items():
        assert training.evaluate(model, windows) == pytest.approx(made["held_out_loss"]["together"][score][0], abs=0.1)


def test_on_the_plane_they_are_what_geometry_says():
    q, k = torch.tensor([2.0, 0.0]), torch.tensor([1.5, 1.5])
    S = {score: six_scores.on_plane(score, torch.stack((q, k)))[0, 1].item() for score in SCORES}
    assert S["dot"] == pytest.approx(3.0) and S["scaled_dot"] == pytest.approx(3 / 2**0.5)
    assert S["cosine"] == pytest.approx(0.5**0.5)
    assert S["general"] == pytest.approx(float(q @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]]) @ k))
    assert S["additive"] == pytest.approx(float((q + k).tanh().sum())) and S["location"] == 2.0


CONFIG = Config(vocab_size=64, d_model=32, n_heads=4, n_layers=1, max_len=48, position="none")


@pytest.mark.parametrize("score", SCORES)
def test_parameters_are_the_modules(score):
    module = score_costs._module(CONFIG, score)
    assert score_costs.work(score, CONFIG, 16).parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("score", SCORES)
def test_flops_are_what_torch_counts(score):
    from torch.utils.flop_counter import FlopCounterMode

    Q, K, at = torch.randn(1, 4, 16, 8), torch.randn(1, 4, 16, 8), torch.arange(16)[None]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        score_costs._module(CONFIG, score)(Q, K, at)
    assert counter.get_total_flops() == score_costs.work(score, CONFIG, 16).flops


def test_additive_makes_as_many_tanhs_as_the_dot_product_multiplications():
    dot, additive = (score_costs.work(score, CONFIG, 20) for score in ("dot", "additive"))
    assert additive.tanhs == dot.flops // 2 == 4 * 20 * 20 * 8 and additive.flops == dot.flops
    assert additive.memory == 8 * dot.memory == 4 * 4 * 20 * 20 * 8


def test_additive_takes_longer_than_one_matrix_multiplication():
    (timed,) = score_costs.timings(Config(vocab_size=8, d_model=256, n_heads=4, max_len=256, position="none"), [256],
                                   rounds=3)
    assert timed.seconds["additive"] > 4 * timed.seconds["scaled_dot"]
    with pytest.raises(ValueError, match="places"):
        score_costs.timings(CONFIG, [64])
