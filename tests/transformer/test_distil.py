"""Teachers that ship, students taught by them and alone, and what the recorded runs say."""

import itertools
import json
import math

import pytest
import torch

import transformer
from transformer import losses, sampling
from transformer.experiments import softened
from transformer.training import digits, distil, objectives, play
from transformer.training.loop import fit

RECORDED = json.loads(distil.FILE.read_text("utf-8"))
RUNS = RECORDED["runs"]


def weights(model):
    return torch.cat([w.detach().flatten() for w in model.parameters()])


@pytest.mark.parametrize("task", distil.TASKS)
def test_the_teacher_opens_and_is_as_good_as_it_says(task):
    folder = distil.ASSETS / f"{task}-teacher"
    model, tokenizer = transformer.load(folder)
    about = json.loads((folder / "config.json").read_text("utf-8"))["made"]
    assert (folder / "model.safetensors").stat().st_size < 500_000
    if task == "digits":
        right = digits.accuracy(model, digits.load().unseen)
        assert about["known_accuracy"] == 1.0, "the lesson says that it is right on all it has learnt from"
        assert tokenizer is None and right >= 0.95 and right == pytest.approx(about["held_out_accuracy"], abs=1e-4)
    else:
        assert tokenizer.alphabet == play.load().tokenizer.alphabet
        assert distil.look(model, task, 0).loss == pytest.approx(about["held_out_loss"], abs=0.05)  # fewer windows


@pytest.mark.parametrize("task", distil.TASKS)
def test_students_are_small_and_ship_beside_each_other(task):
    teacher = sum(w.numel() for w in distil.teacher(task)[0].parameters())
    for who in ("untrained", "alone", "taught"):
        model = distil.shipped(task, who)
        assert model.config == distil.student(task) and not model.training
        assert sum(w.numel() for w in model.parameters()) < 4_000 < teacher / 40
    amount, (T, mix) = distil.AMOUNTS[task][0], distil.SHIPPED
    for who, setting in (("alone", (1.0, 0.0)), ("taught", (T, mix))):
        loss = RUNS[distil.name_of(task, amount, *setting)][0]["loss"][-1]
        assert distil.look(distil.shipped(task, who), task, 0).loss == pytest.approx(loss, rel=0.02)


@pytest.mark.parametrize("task", distil.TASKS)
def test_without_λ_it_is_plain_training_bit_for_bit(task):
    model, plain = (transformer.build(distil.student(task), 1) for _ in range(2))
    amount = distil.AMOUNTS[task][0]
    list(distil.train(task, amount, 5.0, 0.0, 1, steps=5, every=5, model=model))
    draw = distil.batches(task, amount, 1)
    told = lambda logits, y: losses.cross_entropy(logits, y, ignore=distil.UNKNOWN)  # noqa: E731
    loss = objectives.classified(told) if task == "digits" else None
    batch = (lambda dice: draw(dice)[:2]) if task == "digits" else draw
    list(fit(plain, batch, 5, lr=distil.RATE, warmup=20, weight_decay=0.0, seed=1, loss=loss))
    assert torch.equal(weights(model), weights(plain))


def test_both_students_see_the_same_batches():
    one, other = (distil.batches("digits", 100, 2)(torch.Generator().manual_seed(3)) for _ in range(2))
    x, y, said = one
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert (y == distil.UNKNOWN).tolist() == [False] * 32 + [True] * 32
    torch.testing.assert_close(said, distil.teacher("digits")[0](x).detach(), atol=1e-4, rtol=1e-4)
    told = torch.cat([distil.batches("digits", 100, 2)(torch.Generator().manual_seed(s))[0][:32] for s in range(30)])
    assert len({tuple(image.flatten().tolist()) for image in told}) <= 100
    assert (distil.batches("digits", 1347, 2)(torch.Generator().manual_seed(3))[1] >= 0).all()


def test_a_live_run_is_the_recorded_one():
    found = list(distil.train("digits", 100, *distil.SHIPPED, seed=1, steps=distil.STEPS))[:2]
    recorded = RUNS[distil.name_of("digits", 100, *distil.SHIPPED)][1]
    assert [at.loss for at in found] == pytest.approx(recorded["loss"][:2], rel=0.02)


def test_the_file_holds_every_run_that_the_page_may_ask_for():
    for task in distil.TASKS:
        assert len(distil.SEEDS[task]) >= 3
        for amount, T, mix in itertools.product(distil.AMOUNTS[task], distil.TEMPERATURES, distil.MIXES):
            runs = RUNS[distil.name_of(task, amount, T, mix)]
            assert len(runs) == len(distil.SEEDS[task])
            assert {len(run[field]) for run in runs for field in ("loss", "accuracy", "agreement")} == {
                distil.STEPS // distil.EVERY + 1
            }


def outcomes(task, amount, field, more):
    return {(T, mix): distil.compare([run[field][-1] for run in RUNS[distil.name_of(task, amount, 1.0, 0.0)]],
                                     [run[field][-1] for run in RUNS[distil.name_of(task, amount, T, mix)]], more)
            for T in distil.TEMPERATURES for mix in distil.MIXES if mix}  # fmt: skip


def test_the_words_of_the_lesson_hold_in_the_recorded_runs():
    assert set(outcomes("digits", 100, "accuracy", True).values()) == {"better"}
    assert "better" not in outcomes("digits", 1347, "accuracy", True).values()
    assert outcomes("digits", 1347, "loss", False)[5.0, 0.9] == "worse"
    assert set(outcomes("letters", 2_000, "loss", False).values()) == {"better"}
    hot = outcomes("letters", 120_000, "loss", False)
    assert "better" not in hot.values() and {hot[5.0, mix] for mix in (0.5, 0.9)} == {"worse"}
    alone = RUNS[distil.name_of("letters", 2_000, 1.0, 0.0)]
    assert all(run["loss"][-1] > min(run["loss"]) + 0.1 for run in alone)  # learnt by heart
    taught = RUNS[distil.name_of("letters", 2_000, *distil.SHIPPED)]
    assert all(run["loss"][-1] < min(run["loss"]) + 0.05 for run in taught)


def test_what_the_lesson_says_of_t_squared_holds_for_every_student():
    for task in distil.TASKS:
        unseen, changes = distil.unseen(task), []
        for who in ("untrained", "alone", "taught"):
            z = distil.shipped(task, who)(unseen.read).detach().flatten(0, -2)
            teacher, target = unseen.teacher.flatten(0, -2), unseen.target.flatten()
            of = softened.gradient_lengths(z, teacher, target, [1.0, 5.0, 10.0, 50.0])
            assert 3 < of.bare[0] / of.bare[1] < 40 and of.bare[2] / of.bare[3] >= 20
            assert of.kept[3].item() == pytest.approx(of.limit.item(), rel=0.1)
            changes.append(abs(math.log(of.kept[1] / of.kept[0])))
        assert changes == sorted(changes)  # the better the student knows the answer, the more


@pytest.mark.parametrize(
    "alone, taught, more, outcome",
    [([0.6, 0.7], [0.8, 0.9], True, "better"), ([0.6, 0.7], [0.8, 0.9], False, "worse"),
     ([0.6, 0.8], [0.7, 0.9], True, "within"), ([0.8, 0.9], [0.6, 0.7], True, "worse"), ([0.5, 0.6], [0.5, 0.6], True, "same")],
)  # fmt: skip
def test_a_difference_counts_where_the_seeds_do_not_overlap(alone, taught, more, outcome):
    assert distil.compare(alone, taught, more) == outcome


def test_the_digits_shown_go_from_doubt_to_certainty_and_the_means_are_means():
    unseen, chosen = distil.unseen("digits"), distil.telling(5)
    doubt = sampling.entropy(unseen.teacher.softmax(-1))
    assert doubt[chosen[0]] == doubt.max() and (doubt[chosen].diff() <= 0).all()
    mean = distil.alike(5.0)
    torch.testing.assert_close(mean.sum(-1), torch.ones(10, dtype=mean.dtype))
    torch.testing.assert_close(mean[7].float(), (unseen.teacher[unseen.target == 7] / 5).softmax(-1).mean(0))
