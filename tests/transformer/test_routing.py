"""Who reads what: gates under three conventions, capacity, load, what tells an expert; the shipped mixture; known sizes."""

import json
import math

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

import transformer
from transformer import cost, experts
from transformer.experiments import routing
from transformer.presets import MIXTURES
from transformer.training import experts as training

TEXT = "Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day"


def router(n=12, experts_=8, seed=0) -> torch.Tensor:
    return torch.randn(n, experts_, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 99))
def test_softmax_before_and_after_top_k_agree_once_divided_by_the_sum(n, k, seed):
    k = min(k, n)
    gates = routing.conventions(router(6, n, seed), k)
    torch.testing.assert_close(gates.scaled, gates.after)
    torch.testing.assert_close(gates.scaled.sum(-1), torch.ones(6, dtype=torch.float64))
    assert (gates.before.sum(-1) <= 1 + 1e-12).all() and (k == n or (gates.before.sum(-1) < 1).all())
    torch.testing.assert_close(gates.before / gates.before.sum(-1, keepdim=True), gates.scaled)


def test_with_one_choice_the_scaled_gate_gives_the_router_no_gradient_and_the_raw_one_does():
    r = router(5, 4).requires_grad_()
    (scaled,) = torch.autograd.grad(routing.conventions(r, 1).scaled.square().sum(), r, retain_graph=True)
    (raw,) = torch.autograd.grad(routing.conventions(r, 1).before.square().sum(), r)
    assert scaled.abs().max() < 1e-12 and raw.abs().max() > 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.floats(0.2, 2.5), st.integers(0, 99))
def test_what_a_capacity_drops_is_counted(n, k, capacity, seed):
    gates = experts.top_gates(router(n, 6, seed), k)
    found = routing.dropped(gates, k, capacity)
    assert found.most == math.ceil(capacity * n * k / 6) == routing.room(n, k, 6, capacity)
    lost = sum(max(0, int((gates[:, e] > 0).sum()) - found.most) for e in range(6))
    assert found.readings == pytest.approx(lost / (n * k), abs=1e-9) and 0 <= found.tokens <= found.readings * k + 1e-9


def test_load_is_even_or_crowded():
    share = routing.shares(torch.eye(4).repeat(3, 1))
    assert routing.crowding(share) == pytest.approx(1) and routing.used(share) == pytest.approx(4)
    one = routing.shares(torch.eye(4)[:1].expand(9, 4))
    assert routing.crowding(one) == 4 and routing.used(one) == pytest.approx(1)


def test_information_is_all_nothing_and_what_chance_does_not_tell():
    dice = torch.Generator().manual_seed(0)
    feature = torch.randint(200, (4000,), generator=dice)
    assert routing.information(feature % 8, feature, dice) > 0.85
    unrelated = torch.randint(8, (4000,), generator=dice)
    assert routing.information(unrelated, feature, dice) < 0.02  # though 200 kinds of 20 each tell much by chance
    assert routing.information(torch.zeros(50, dtype=torch.long), feature[:50], dice) == 0


def test_favourites_are_counted():
    choice, ids = torch.tensor([0, 0, 1, 1, 0]), torch.tensor([5, 5, 5, 7, 7])
    assert routing.favourites(choice, ids, 2, 2) == [[(5, 2 / 3, 3), (7, 1 / 2, 2)], [(7, 1 / 2, 2), (5, 1 / 3, 3)]]


# ---- the shipped models

@pytest.fixture(scope="module")
def small():
    return transformer.load("experts")


def test_reading_is_the_models_own_run_and_a_capacity_is_its_config(small):
    import dataclasses

    model, tokenizer = small
    ids = tokenizer.encode(TEXT)
    free = routing.read(model, ids, None)
    run = model.run(ids, record=("layers.*.ffn.gates",))
    torch.testing.assert_close(free.gates, torch.cat(list(run.trace.values())))
    torch.testing.assert_close(free.gates, free.wanted)
    torch.testing.assert_close(free.gates.sum(-1), torch.ones(3, len(ids)))
    other = transformer.build(dataclasses.replace(model.config, capacity=0.75)).eval()
    other.load_state_dict(model.state_dict())
    held = routing.read(model, ids, 0.75)
    loss = torch.nn.functional.cross_entropy(other.run(ids).output[0, :-1], torch.tensor(ids[1:])).item()
    assert held.loss == pytest.approx(loss, abs=1e-5) and held.loss > free.loss
    assert ((held.gates > 0).sum(1) <= routing.room(len(ids), 2, 8, 0.75)).all()


def test_the_shipped_mixture_is_as_its_record_says(small):
    model, _ = small
    made = json.loads((training.FOLDER / "config.json").read_text("utf-8"))["made"]
    runs = json.loads((training.FOLDER / "runs.json").read_text("utf-8"))
    assert {"command", "date", "data", "data_sha256", "seed", "seeds", "held_out_loss",
        "processor_seconds"} <= set(made)
    assert set(runs["variants"]) == set(training.VARIANTS) and all(len(of) == 3 for of in runs["variants"].values())
    assert model.config == training.config_of("balanced") and made["variant"] == "balanced"
    dense = sum(cost.flops(training.config_of("dense"), 1).values())
    extra = 2 * model.config.d_model * model.config.experts * model.config.n_layers  # the routers
    assert sum(cost.flops(model.config, 1).values()) == dense + extra
    wide = cost.parameters(training.config_of("wide"))["ffn"]
    assert cost.parameters(model.config)["ffn"] == wide + extra // 2


def test_balanced_is_more_even_than_joint_than_free_in_every_seed():
    runs = json.loads((training.FOLDER / "runs.json").read_text("utf-8"))["variants"]
    for balanced, joint, free in zip(runs["balanced"], runs["joint"], runs["free"], strict=True):
        assert max(balanced["crowding"]) < 1.4 < max(joint["crowding"]) and max(balanced["crowding"]) < 0.6 * max(free["crowding"])
    mean = {name: sum(run["held_out_loss"] for run in of) / 3 for name, of in runs.items()}
    assert mean["balanced"] < mean["dense"]
    spread = [max(of) - min(of) for of in ([run["held_out_loss"] for run in runs[name]]
        for name in ("balanced", "free"))]
    assert abs(mean["balanced"] - mean["free"]) < max(spread)  # as the page says: within the seeds
    told = runs["balanced"][0]["told_by"]
    assert min(told["token"]) > 0.6 and max(told["play"]) < 0.02


def test_a_live_run_learns_is_repeatable_and_evens_its_load():
    first, again = (list(training.live(2, 0.03, 0, steps=12, every=4)) for _ in range(2))
    assert first == again and [report.step for report in first] == [4, 8, 12]
    assert first[-1].unseen < first[0].unseen and len(first[0].load) == 2 and sum(first[0].load[0]) == pytest.approx(1)
    assert next(training.live(0, 0.0, 0, steps=2, every=2)).load == ()


def test_the_recorded_live_runs_are_this_functions():
    found = json.loads(training.RECORDED.read_text("utf-8"))["runs"]
    assert {tuple(key.split("/")) for key in found} >= {("2", "0.0"), ("2", "0.03"), ("1", "0.0"), ("0", "0.0")}
    recorded = found["2/0.03"][1][:2]
    mine = [training.rounded(report) for report, _ in zip(training.live(2, 0.03, 1), range(2), strict=False)]
    for a, b in zip(recorded, mine, strict=True):
        assert a[0] == b[0] and a[2] == pytest.approx(b[2], abs=0.02)


KNOWN = {
    "mixtral-8x7b": lambda: hf.MixtralConfig(),
    "mixtral-8x22b": lambda: hf.MixtralConfig(
        hidden_size=6144, num_hidden_layers=56, num_attention_heads=48, num_key_value_heads=8, intermediate_size=16384
    ),
    "granite-3.0-1b-a400m": lambda: granite(1024, 24, 16, 32),
    "granite-3.0-3b-a800m": lambda: granite(1536, 32, 24, 40),
    "qwen3-30b-a3b": lambda: hf.Qwen3MoeConfig(
        hidden_size=2048, num_hidden_layers=48, num_attention_heads=32, num_key_value_heads=4, head_dim=128,
        moe_intermediate_size=768, num_experts=128, num_experts_per_tok=8, tie_word_embeddings=False,
    ),
}  # fmt: skip


def granite(d, layers, heads, count):
    return hf.GraniteMoeConfig(
        vocab_size=49155, hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=8,
        intermediate_size=512, num_local_experts=count, num_experts_per_tok=8, tie_word_embeddings=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", MIXTURES)
def test_a_known_mixture_has_hugging_faces_count(name):
    with torch.device("meta"):
        theirs = hf.AutoModelForCausalLM.from_config(KNOWN[name]())
    assert sum(cost.parameters(MIXTURES[name]).values()) == sum(p.numel() for p in theirs.parameters())


def test_with_one_expert_a_token_only_weight_decay_touches_the_router(monkeypatch):
    made = []
    build = training.build
    monkeypatch.setattr(training, "build", lambda config, seed: made.append(build(config, seed)) or made[-1])
    for k in (1, 2):
        run = training.live(k, 0.0, 0, steps=16, every=4)
        routers = [block.ffn.W_r.weight for block in made[-1].stack.blocks]
        before = torch.stack([W.detach().clone() for W in routers])
        list(run)
        alike = torch.cosine_similarity(before.flatten(1), torch.stack(routers).flatten(1))
        assert (alike > 0.999).all() if k == 1 else (alike < 0.99).all()
