"""The training loop against a plain one, and the tiny checkpoint against what is said about it."""

import copy
import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import transformer
from transformer.analysis import pattern_scores
from transformer.training import checkpoint, digits, objectives, tiny
from transformer.training.loop import State, evaluate, fit, next_token_loss, optimiser_for
from transformer.training.plays import spoken

FOLDER = Path(__file__).parents[2] / "assets" / "tiny"
CONFIG = transformer.Config(vocab_size=11, d_model=16, n_layers=2, n_heads=2, d_ff=32, norm="layer", dropout=0.1)


def batch(generator: torch.Generator) -> torch.Tensor:
    """Counting upwards from anywhere, modulo 11."""
    return (torch.randint(11, (4, 1), generator=generator) + torch.arange(9)) % 11


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_to_count():
    model = transformer.build(CONFIG, seed=0)
    losses = [progress.loss for progress in fit(model, batch, 150, lr=1e-2, warmup=10)]
    assert losses[0] == pytest.approx(math.log(11), abs=0.2)
    ids = torch.arange(9)[None]
    assert evaluate(model, [ids]) < 0.3 < losses[0]
    assert model.eval()(ids[:, :-1]).argmax(-1)[0, 1:].tolist() == list(range(2, 9))


def test_the_seed_decides_everything_and_the_caller_keeps_its_randomness():
    def trained(seed, disturb):
        model = transformer.build(CONFIG, seed=0)
        for _ in fit(model, batch, 5, seed=seed):
            torch.rand(disturb)  # the caller draws numbers of its own between steps
        return weights(model)

    assert torch.equal(trained(3, 0), trained(3, 7))
    assert not torch.equal(trained(3, 0), trained(4, 0))
    model = transformer.build(CONFIG, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(fit(model, batch, 5))
    assert torch.equal(torch.rand(3), expected)


def test_it_equals_a_plain_loop_of_torch():
    config = transformer.Config(**{**CONFIG.to_dict(), "dropout": 0.0})
    ours = transformer.build(config, seed=0)
    theirs = copy.deepcopy(ours)
    steps, warmup, lr = 12, 4, 3e-3
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in theirs.parameters() if p.dim() == 2], "weight_decay": 0.1},
            {"params": [p for p in theirs.parameters() if p.dim() == 1], "weight_decay": 0.0},
        ],
        lr=lr,
        betas=(0.9, 0.95),
    )
    rise = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / warmup, 1.0, total_iters=warmup - 1)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - warmup, eta_min=lr / 10)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, fall], [warmup])
    generator = torch.Generator().manual_seed(2)
    for progress in fit(ours, batch, steps, lr=lr, warmup=warmup, clip=0.5, seed=2):
        ids = batch(generator)
        p = theirs(ids[:, :-1]).softmax(-1).gather(-1, ids[:, 1:, None])
        loss = -p.log().mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert progress.lr == pytest.approx(scheduler.get_last_lr()[0])
        assert progress.loss == pytest.approx(loss.item(), abs=1e-5)
        assert progress.grad_norm == pytest.approx(norm.item(), rel=1e-3)
        optimiser.step()
        optimiser.zero_grad()
        scheduler.step()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=1e-5)


def test_each_step_is_adamw_as_the_paper_writes_it():
    """Loshchilov & Hutter 2019, algorithm 2, in float64: m, v, their corrections, and the decay beside them."""
    model = transformer.build(dataclasses.replace(CONFIG, dropout=0.0), seed=0).double()
    by_hand = copy.deepcopy(model)
    theta = list(by_hand.parameters())
    m, v = [torch.zeros_like(p) for p in theta], [torch.zeros_like(p) for p in theta]
    generator = torch.Generator().manual_seed(4)
    settings = dict(loss=lambda model, ids: F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()))
    for t, _ in enumerate(fit(model, batch, 10, lr=lambda t: 1e-3 / t, clip=1e9, seed=4, **settings), start=1):
        ids = batch(generator)
        gradients = torch.autograd.grad(settings["loss"](by_hand, ids), theta)
        for i, (p, g) in enumerate(zip(theta, gradients, strict=True)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.95 * v[i] + 0.05 * g**2
            decay = 0.1 if p.dim() > 1 else 0.0
            update = (m[i] / (1 - 0.9**t)) / ((v[i] / (1 - 0.95**t)).sqrt() + 1e-8) + decay * p
            p.data = p.data - 1e-3 / t * update
        torch.testing.assert_close(weights(model), weights(by_hand), rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"experts": 3, "share_layers": True}])
def test_stopped_saved_and_resumed_equals_never_stopped_bit_for_bit(tmp_path, options):
    config = dataclasses.replace(CONFIG, **options)
    settings = dict(lr=1e-2, warmup=3, loss=objectives.with_experts() if options else None)
    whole = transformer.build(config, seed=0)
    expected = list(fit(whole, batch, 12, seed=7, **settings))

    model = transformer.build(config, seed=0)
    state = State.start(model, seed=7)
    met = []
    for progress in fit(model, batch, 12, state=state, **settings):
        met.append(progress)
        if progress.step == 5:
            break
    checkpoint.save(tmp_path, state)
    for _ in range(2):  # and a checkpoint can be gone on from twice
        state = checkpoint.load(tmp_path)
        torch.manual_seed(99)
        rest = list(fit(state.model, batch, 12, state=state, **settings))
        assert [*met, *rest] == expected
        assert torch.equal(weights(state.model), weights(whole))
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"} and state.step == 12
    assert not list(fit(state.model, batch, 12, state=state, **settings))  # nothing is left to do


def test_a_state_goes_on_without_files_and_before_the_first_step(tmp_path):
    model, whole = transformer.build(CONFIG, seed=0), transformer.build(CONFIG, seed=0)
    state = State.start(model, weight_decay=0.3)
    checkpoint.save(tmp_path, state)
    unborn = checkpoint.load(tmp_path)
    list(fit(unborn.model, batch, 4, state=unborn))
    for steps in (1, 2, 4):
        list(fit(model, batch, steps, lr=lambda t: 1e-2, state=state))
    list(fit(whole, batch, 4, lr=lambda t: 1e-2, weight_decay=0.3))
    assert torch.equal(weights(model), weights(whole)) and unborn.optimiser.param_groups[0]["weight_decay"] == 0.3


def test_a_save_that_is_cut_off_leaves_the_one_before_whole(tmp_path, monkeypatch):
    state = State.start(transformer.build(CONFIG, seed=0))
    list(fit(state.model, batch, 3, state=state))
    checkpoint.save(tmp_path, state)
    before = weights(state.model)
    list(fit(state.model, batch, 6, state=state))

    def power_cut(*_, **__):
        raise OSError("no power")

    monkeypatch.setattr(checkpoint.json, "dumps", power_cut)
    with pytest.raises(OSError):
        checkpoint.save(tmp_path, state)
    loaded = checkpoint.load(tmp_path)
    assert loaded.step == 3 and torch.equal(weights(loaded.model), before)


def test_folders_that_are_no_checkpoint_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no state.json"):
        checkpoint.load(tmp_path)
    (tmp_path / "state.json").write_text('{"format": "something"}')
    with pytest.raises(ValueError, match="no training checkpoint"):
        checkpoint.load(tmp_path)
    state = State.start(transformer.build(CONFIG, seed=0))
    checkpoint.save(tmp_path, state)
    about = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps(about | {"step": 4}))
    with pytest.raises(ValueError, match="lacks exp_avg"):
        checkpoint.load(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps(about | {"config": about["config"] | {"d_ff": 31}}))
    with pytest.raises(ValueError, match="another shape"):
        checkpoint.load(tmp_path)
    (tmp_path / "step-0.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(tmp_path)


def test_a_state_of_another_model_is_refused_at_the_call():
    state = State.start(transformer.build(CONFIG))
    with pytest.raises(ValueError, match="another model"):
        fit(transformer.build(CONFIG), batch, 5, state=state)


def test_experts_learn_under_their_own_losses_and_report_them():
    config = dataclasses.replace(CONFIG, experts=4, experts_per_token=1, dropout=0.0)
    model = transformer.build(config, seed=0)
    with torch.no_grad():  # a common direction in all tokens: one expert is everyone's favourite
        model.embedding.W_E.weight.add_(0.3)
    history = list(fit(model, batch, 60, lr=1e-2, warmup=5, loss=objectives.with_experts(balance=0.1, z=0.01)))
    first, last = history[0].metrics, history[-1].metrics
    assert last["cross_entropy"] < first["cross_entropy"] - 0.5 and last["balance"] < first["balance"]
    for p in history:
        m = p.metrics
        assert p.loss == pytest.approx(m["cross_entropy"] + 0.1 * m["balance"] + 0.01 * m["z"], rel=1e-5)
    ids = batch(torch.Generator().manual_seed(0))
    assert evaluate(model, [ids]) < evaluate(model, [ids], objectives.with_experts())


def test_smoothed_training_reads_no_padding():
    model = transformer.build(dataclasses.replace(CONFIG, dropout=0.0), seed=0).double()
    rows = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 0, 0]])
    loss, metrics = objectives.smoothed(0.1, ignore=0)(model, rows)
    log_p = [model(row[None, :-1]).log_softmax(-1)[0] for row in (rows[0], rows[1, :3])]
    terms = []
    for p, target in zip(log_p, (rows[0, 1:], rows[1, 1:3]), strict=True):
        terms += [0.9 * -p[t, y] + 0.1 * -p[t].mean() for t, y in enumerate(target)]
    torch.testing.assert_close(loss.double(), sum(terms) / 7, rtol=1e-5, atol=1e-6)
    assert 0 < metrics["cross_entropy"] != loss
    ours = list(fit(model, lambda _: rows, 30, lr=1e-2, warmup=2, loss=objectives.smoothed(0.1, ignore=0)))
    assert ours[-1].metrics["cross_entropy"] < 1.0 < ours[0].metrics["cross_entropy"]


def test_a_student_learns_from_its_teacher_what_the_data_do_not_say():
    def noise(generator):  # targets that mean nothing: only the teacher knows that the ids count upwards
        return torch.randint(11, (4, 9), generator=generator)

    teacher = transformer.build(CONFIG, seed=0)
    list(fit(teacher, batch, 150, lr=1e-2, warmup=10))
    teacher.eval()
    before = weights(teacher)
    student = transformer.build(dataclasses.replace(CONFIG, d_model=8, dropout=0.0), seed=1)
    lessons = list(fit(student, noise, 150, lr=1e-2, warmup=10, loss=objectives.distilled(teacher, 2.0, 1.0)))
    assert lessons[-1].metrics["agreement"] > 0.6 > lessons[0].metrics["agreement"]
    assert torch.equal(weights(teacher), before) and all(p.grad is None for p in teacher.parameters())


def test_without_its_teacher_a_student_trains_as_any_model():
    teacher = transformer.build(CONFIG, seed=9).eval()
    alone, student = transformer.build(CONFIG, seed=0), transformer.build(CONFIG, seed=0)
    list(fit(alone, batch, 4))
    list(fit(student, batch, 4, loss=objectives.distilled(teacher, mix=0.0)))
    torch.testing.assert_close(weights(student), weights(alone), rtol=0, atol=1e-6)


def test_without_its_teacher_a_student_of_images_trains_as_any_model_bit_for_bit():
    config = digits.small(d_model=16, n_layers=1, n_heads=2, patch_size=4)
    asked, trained, draw = [], {}, digits.batches(16)

    def teacher(images):
        asked.append(len(images))
        return images.flatten(1)[:, :10]

    def with_answers(dice):
        x, y = draw(dice)
        return x, y, x.flatten(1)[:, :10]

    for name, batch, loss in (
        ("plain", draw, objectives.classified()), ("alone", draw, objectives.distilled(teacher, 4.0, mix=0.0)),
        ("taught", draw, objectives.distilled(teacher, 4.0, mix=0.5)),
        ("taught by answers", with_answers, objectives.distilled(None, 4.0, mix=0.5)),
    ):  # fmt: skip
        model = transformer.build(config, seed=0)
        *_, last = fit(model, batch, 6, loss=loss, lr=1e-2, warmup=2, seed=3)
        trained[name] = weights(model)
    assert torch.equal(trained["alone"], trained["plain"]) and asked == 6 * [16]
    assert torch.equal(trained["taught"], trained["taught by answers"])
    assert not torch.equal(trained["taught"], trained["plain"])
    assert 0 <= last.metrics["agreement"] <= 1 and last.metrics["cross_entropy"] > 0


def test_in_bfloat16_the_weights_stay_in_float32_and_learn_the_same():
    """The first step's loss differs by bfloat16's rounding and no more, and is not the float32 one."""
    runs = {}
    for precision in ("float32", "bfloat16"):
        model = transformer.build(CONFIG, seed=0)
        runs[precision] = [step.loss for step in fit(model, batch, 150, lr=1e-2, warmup=10, precision=precision)]
        assert all(p.dtype == torch.float32 for p in model.parameters())
    first, mixed = runs["float32"], runs["bfloat16"]
    assert first[0] != mixed[0] == pytest.approx(first[0], rel=2**-8)
    assert mixed[-1] < 0.5 * mixed[0]


def test_a_precision_that_is_none_is_refused_at_the_call():
    with pytest.raises(ValueError, match="no precision 'int8'"):
        fit(transformer.build(CONFIG, seed=0), batch, 1, precision="int8")


def test_batches_may_be_pairs():
    x, y = torch.arange(9)[None], torch.zeros(1, 9, dtype=torch.long)
    model = transformer.build(CONFIG, seed=0)
    loss = lambda model, pair: F.cross_entropy(model(pair[0]).flatten(0, 1), pair[1].flatten())  # noqa: E731
    history = list(fit(model, lambda _: (x, y), 20, lr=1e-2, warmup=2, loss=loss))
    assert history[-1].loss < 0.3 * history[0].loss


def test_who_stops_listening_stops_it_and_the_mode_is_kept():
    model = transformer.build(CONFIG, seed=0).eval()
    other = transformer.build(CONFIG, seed=0)
    for progress in fit(model, batch, 50):
        assert not model.training
        if progress.step == 3:
            break
    steps = fit(other, batch, 50)
    for _ in range(3):
        next(steps)
    assert torch.equal(weights(model), weights(other)) and other.training
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ZeroDivisionError):  # nor does a batch that fails leave another mode behind
        next(fit(model, lambda _: 1 / 0, 5))
    with pytest.raises(IndexError):
        next(fit(model, lambda _: torch.full((1, 3), 99), 5))
    assert not model.training


def test_a_loss_that_is_no_number_is_said_and_leaves_the_last_good_weights():
    model = transformer.build(CONFIG, seed=0)
    before = weights(model)
    with pytest.raises(ValueError, match="the loss became nan at step 1"):
        next(fit(model, batch, 5, loss=lambda model, ids: next_token_loss(model, ids) * math.nan))
    assert torch.equal(weights(model), before)

    def steep(model, ids):  # finite itself, its slope at 0 is not
        return next_token_loss(model, ids) + (model.embedding.W_E.weight.sum() * 0).sqrt()

    with pytest.raises(ValueError, match="the gradient's length became nan at step 1"):
        next(fit(model, batch, 5, loss=steep))
    assert torch.equal(weights(model), before) and all(p.grad is None for p in model.parameters())


def test_decay_shrinks_matrices_only():
    groups = optimiser_for(transformer.build(CONFIG), 0.1).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert {p.dim() for p in groups[0]["params"]} == {2} and {p.dim() for p in groups[1]["params"]} == {1}


def test_the_loss_of_a_uniform_guess_and_of_an_independent_count():
    model = transformer.build(CONFIG, seed=0).eval()
    ids = batch(torch.Generator().manual_seed(0))
    log_p = F.log_softmax(model(ids)[:, :-1].double(), -1)
    by_hand = -sum(log_p[b, t, ids[b, t + 1]] for b in range(4) for t in range(8)) / 32
    assert next_token_loss(model, ids).item() == pytest.approx(by_hand.item(), abs=1e-6)
    with torch.no_grad():
        model.embedding.W_E.weight.zero_()
    assert next_token_loss(model, ids).item() == pytest.approx(math.log(11), abs=1e-6)


def test_evaluate_keeps_the_mode_and_refuses_nothing():
    model = transformer.build(CONFIG, seed=0)
    ids = batch(torch.Generator().manual_seed(0))
    assert evaluate(model, [ids, ids]) == evaluate(model.eval(), [ids])
    assert not model.training and evaluate(model.train(), [ids]) > 0 and model.training
    with pytest.raises(ValueError, match="no batch"):
        evaluate(model, [])


def test_a_play_without_its_markup():
    markdown = (
        "# Hamlet\n\n## ACT I\n\n_Enter HAMLET and\n\nothers_\n\n**KING HENRY VI**  \nNay, answer me:  \n_Aside_  "
        "\n__\\[Reads]_  \nand unfold\\--so.\n\n_Exit_\n\n*Exeunt\nall.*\n\n**HAMLET**  \nAy.  \n"
    )
    assert spoken(markdown) == "King Henry VI:\nNay, answer me:\n\nand unfold--so.\n\nHamlet:\nAy.\n"


def test_some_windows_say_a_passage_twice():
    ids = torch.arange(20_000)  # no token ever comes back by itself
    draw, generator = tiny.windows(ids), torch.Generator().manual_seed(0)
    rows = torch.cat([draw(generator) for _ in range(200)])
    assert rows.shape == (200 * tiny.BATCH, tiny.LENGTH + 1)
    repeating = [row for row in rows if len(row.unique()) < len(row)]
    assert len(repeating) / len(rows) == pytest.approx(tiny.TWICE, abs=0.04)
    for row in repeating[:20]:
        period = len(row.unique())
        assert torch.equal(row[period:], row[:-period])


def test_in_order_reads_every_token_once():
    windows = tiny.in_order(torch.arange(3 * tiny.LENGTH + 5))
    assert windows.shape == (3, 1, tiny.LENGTH + 1)
    assert torch.equal(windows[:, 0, 1:].flatten(), torch.arange(1, 3 * tiny.LENGTH + 1))


@pytest.fixture(scope="module")
def shipped():
    return transformer.load("tiny")


@pytest.fixture(scope="module")
def made():
    return json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))["made"]


def test_the_tiny_checkpoint_is_small_and_says_how_it_was_made(shipped, made):
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1_000_000
    model, tokenizer = shipped
    assert model.config == tiny.CONFIG and tokenizer.vocab_size == model.config.vocab_size
    assert next(model.parameters()).dtype == torch.float32 and not model.training
    for field in ("command", "date", "data", "data_sha256", "steps", "minutes", "train_loss", "held_out_loss", "sample"):
        assert made[field], field


def test_the_tiny_checkpoint_has_the_loss_it_claims_on_plays_it_never_read(shipped, made, plays):
    model, tokenizer = shipped
    unseen = [i for title in tiny.HELD_OUT for i in [*tokenizer.encode(plays[title]), tokenizer.end_id]]
    assert evaluate(model, tiny.in_order(torch.tensor(unseen))) == pytest.approx(made["held_out_loss"], abs=2e-3)
    assert made["held_out_nats_a_character"] < 1.6


def test_the_tiny_checkpoint_has_a_previous_token_head(shipped):
    model, tokenizer = shipped
    for text in ("The animal didn't cross the street because it was too tired", "My cat Zibbo loves fish. Every day Zibbo"):
        ids = tokenizer.encode(text)
        A = torch.stack(list(model.run(ids, record="*.A").trace.values()))[:, 0]  # [layer, head, query, key]
        previous = pattern_scores(A, ids, torch.ones(len(ids), len(ids)).tril().bool())["previous"]
        assert previous[2, 3] > 0.6 and previous[2, 3] == previous.max()


def test_the_tiny_checkpoint_writes_a_play(shipped):
    model, tokenizer = shipped
    said = [step.token for step in transformer.generate(model, tokenizer.encode("Hamlet:\n"), max_new_tokens=80, temperature=0)]
    assert tokenizer.decode(said).count("\n\n") >= 2 and ":\n" in tokenizer.decode(said)
