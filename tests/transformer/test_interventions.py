"""Ablation and patching in bulk, against one run at a time, weights with holes in them, and what must hold."""

import copy

import pytest
import torch

import transformer
from transformer import Config
from transformer.interventions import ablations, baseline, logit, next_token_loss, patches, probability, recovered

IDS, OTHER = [3, 1, 4, 1, 0, 2, 5], [3, 1, 9, 1, 0, 7, 5]
CONFIGS = [
    Config(vocab_size=11, d_model=16, n_layers=3, n_heads=4, n_kv_heads=2, gated=True),
    Config(vocab_size=11, d_model=16, n_layers=2, n_heads=2, norm="layer", norm_place="post", out_bias=True),
    Config(vocab_size=11, d_model=16, n_layers=2, n_heads=2, share_layers=True, experts=3),
]


def model_of(config: Config):
    model = transformer.build(config, seed=0).eval().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1.0 if "gamma" in name else 0.0, 0.4, generator=generator)
    return model


def test_measures_are_what_their_names_say():
    output = model_of(CONFIGS[0]).run([IDS, OTHER]).output
    assert torch.equal(logit(4)(output), output[:, -1, 4])
    assert torch.equal(logit(4, against=2, at=3)(output), output[:, 3, 4] - output[:, 3, 2])
    assert torch.equal(probability(4, at=0)(output), output[:, 0].softmax(-1)[:, 4])
    by_hand = torch.nn.functional.cross_entropy(output[0, :-1], torch.tensor(IDS[1:]))
    torch.testing.assert_close(next_token_loss(IDS)(output)[0], by_hand)


@pytest.mark.parametrize("config", CONFIGS, ids=["pre", "post", "shared experts"])
def test_a_silent_part_is_a_run_with_that_part_edited_to_zero(config):
    model, measure = model_of(config), logit(4)
    effects = list(ablations(model, IDS, measure))
    assert [effect.layer for effect in effects] == list(range(config.n_layers))
    for i, effect in enumerate(effects):
        def alone(name, edit):
            return measure(model.run(IDS, edit={f"layers.{i}.{name}": edit}).output)[0]  # noqa: B023

        for h in range(config.n_heads):
            value = alone("attention.z", lambda z: z * (torch.arange(z.shape[1]) != h)[:, None, None])  # noqa: B023
            torch.testing.assert_close(effect.heads[h], value)
        torch.testing.assert_close(effect.attention, alone("attention.out", torch.zeros_like))
        torch.testing.assert_close(effect.ffn, alone("ffn.out", torch.zeros_like))
        torch.testing.assert_close(effect.both, alone("*.out", torch.zeros_like))


def test_a_silent_head_is_a_model_whose_matrix_lacks_its_columns():
    model, measure = model_of(CONFIGS[0]), next_token_loss(IDS)
    for effect in ablations(model, IDS, measure):
        for h in range(4):
            holed = copy.deepcopy(model)
            with torch.no_grad():
                holed.stack.blocks[effect.layer].attention.W_O.weight[:, 4 * h : 4 * h + 4] = 0
            assert effect.heads[h].item() == pytest.approx(baseline(holed, IDS, measure), rel=1e-9)
        holed = copy.deepcopy(model)
        with torch.no_grad():
            holed.stack.blocks[effect.layer].ffn.W_2.weight.zero_()
        assert effect.ffn.item() == pytest.approx(baseline(holed, IDS, measure), rel=1e-9)


def test_by_the_mean_what_is_always_said_stays():
    model, measure = model_of(CONFIGS[0]), logit(4)
    effect = next(ablations(model, IDS, measure, how="mean"))
    mean = measure(model.run(IDS, edit={"layers.0.ffn.out": lambda x: x.mean(1, keepdim=True).expand_as(x)}).output)[0]
    torch.testing.assert_close(effect.ffn, mean)

    def head_2(z):
        z = z.clone()
        z[:, 2] = z[:, 2].mean(1, keepdim=True)
        return z

    alone = measure(model.run(IDS, edit={"layers.0.attention.z": head_2}).output)[0]
    torch.testing.assert_close(effect.heads[2], alone)
    one_token = next(ablations(model, [3], measure, how="mean"))  # is its own mean
    torch.testing.assert_close(one_token.heads, torch.full((4,), baseline(model, [3], measure)).double())


def test_an_encoder_decoder_is_ablated_too():
    model = model_of(Config(kind="encoder-decoder", vocab_size=11, d_model=16, n_layers=2, n_heads=2))
    measure = logit(4)
    for i, effect in enumerate(ablations(model, IDS, measure, source=OTHER)):
        run = model.run(IDS, OTHER, edit={f"layers.{i}.ffn.out": torch.zeros_like})
        torch.testing.assert_close(effect.ffn, measure(run.output)[0])


@pytest.mark.parametrize("what, name", [("stream", "resid_pre"), ("attention", "attention.out"), ("ffn", "ffn.out")])
@pytest.mark.parametrize("config", CONFIGS[:2], ids=["pre", "post"])
def test_a_patched_token_is_a_run_with_that_token_put_in(config, what, name):
    model, measure = model_of(config), logit(4, against=2)
    trace = model.run(IDS, record=f"*.{name}").trace
    for patched in patches(model, IDS, OTHER, measure, what):
        at = f"layers.{patched.layer}.{name}"
        for t in range(len(IDS)):
            def put_in(x):
                x = x.clone()
                x[:, t] = trace[at][:, t]  # noqa: B023
                return x

            torch.testing.assert_close(patched.values[t], measure(model.run(OTHER, edit={at: put_in}).output)[0])


def test_a_patched_head_is_a_run_with_that_head_put_in():
    model, measure = model_of(CONFIGS[0]), probability(4)
    trace = model.run(IDS, record="*.z").trace
    for patched in patches(model, IDS, OTHER, measure, "heads"):
        at = f"layers.{patched.layer}.attention.z"
        for h in range(4):
            def put_in(z):
                return torch.cat((z[:, :h], trace[at][:, h : h + 1], z[:, h + 1 :]), 1)  # noqa: B023

            torch.testing.assert_close(patched.values[h], measure(model.run(OTHER, edit={at: put_in}).output)[0])


def test_where_texts_agree_patching_does_nothing_and_where_they_differ_it_brings_the_answer_back():
    model, measure = model_of(CONFIGS[0]), logit(4)
    clean, corrupt = baseline(model, IDS, measure), baseline(model, OTHER, measure)
    first = next(patches(model, IDS, OTHER, measure, "stream"))
    back = recovered(first.values, clean, corrupt)
    same = [t for t in range(7) if IDS[t] == OTHER[t]]
    torch.testing.assert_close(back[same], torch.zeros(len(same)).double())
    assert (back[[2, 5]].abs() > 1e-6).all()
    one_apart = [*IDS[:2], 9, *IDS[3:]]
    values = next(patches(model, IDS, one_apart, measure, "stream")).values
    back = recovered(values, clean, baseline(model, one_apart, measure))
    torch.testing.assert_close(back, (torch.arange(7) == 2).double())
    for patched in patches(model, IDS, IDS, measure, "heads"):
        torch.testing.assert_close(patched.values, torch.full((4,), clean).double())


@pytest.mark.parametrize("call, said", [
    (lambda m: list(ablations(m, IDS, logit(1), how="half")), "how is"),
    (lambda m: list(ablations(m, [[1], [2]], logit(1))), "one text"),
    (lambda m: list(patches(m, IDS, IDS[:3], logit(1))), "as long"),
    (lambda m: list(patches(m, IDS, OTHER, logit(1), "Q")), "what is"),
    (lambda m: recovered(torch.zeros(2), 1.0, 1.0), "nothing to recover"),
    (lambda m: list(ablations(m, [99], logit(1))), "outside"),
])  # fmt: skip
def test_what_means_nothing_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(model_of(CONFIGS[0]))
