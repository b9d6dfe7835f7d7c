"""Writing on: each action of the component does its one thing, and draws what `transformer.generate` draws."""

import math

import pytest
import streamlit as st

import transformer
from pages.inside.writing import MOST, SEED, Settings, State, Writer, act, parse_written, roll, to_url, tokens
from transformer import sampling


@pytest.fixture(scope="module")
def model():
    return transformer.load("tiny")


@pytest.fixture(scope="module")
def writer(model):
    return Writer(*model)


@pytest.fixture(scope="module")
def prompt(model):
    return tuple(model[1].encode("To be or not"))


def sent(do, settings=None, **more):
    """An action as the browser sends it, with what its sliders hold."""
    s = settings or Settings()
    held = {"temperature": s.temperature, "top_k": s.top_k, "top_p": s.top_p, "min_p": s.min_p}
    return {"do": do, "settings": held, **more}


def after(state, writer, prompt, *actions):
    for action in actions:
        state = act(state, action, prompt, writer)
    return state


@pytest.mark.parametrize("settings", [Settings(), Settings(0.0), Settings(0.7, 5, 0.9, 0.02), Settings(2.5)])
def test_pressing_next_writes_what_generate_writes(model, writer, prompt, settings):
    state = after(State(), writer, prompt, *[sent("next", settings)] * 12)
    steps = transformer.generate(
        model[0], list(prompt), max_new_tokens=12, temperature=settings.temperature, top_k=settings.top_k,
        top_p=settings.top_p, min_p=settings.min_p, seed=SEED, exact=True,
    )  # fmt: skip
    assert list(state.ids) == [step.token for step in steps]
    assert state.at == 12 and not any(forced for _, forced in state.written)


def test_facts_are_those_of_the_models_own_distribution(model, writer, prompt):
    state = after(State(), writer, prompt, *[sent("next", Settings(1.5))] * 6)
    for t, token in enumerate(tokens(writer, prompt, state.written)):
        logits = model[0].run(list(prompt + state.ids[:t])).output[0, -1]
        p = logits.double().softmax(-1)
        assert token.id == state.ids[t] and token.piece == model[1].pieces([token.id])[0]
        assert token.p == pytest.approx(p[token.id].item(), rel=1e-4)
        assert token.rank == int((p > p[token.id]).sum())
        assert token.bits == pytest.approx(sampling.entropy(p).item() / math.log(2), rel=1e-5)


def test_bytes_that_complete_a_character_read_as_its_parts(model, writer, prompt):
    parts = model[1].encode("語")
    assert len(parts) > 1
    written = tokens(writer, prompt, [(i, True) for i in parts])
    assert [token.piece for token in written] == model[1].pieces(parts) and "語" in written[0].piece


def test_forcing_a_token_drops_what_stood_behind_it(writer, prompt):
    state = after(State(), writer, prompt, *[sent("next")] * 5, sent("look", at=2), sent("force", token=77))
    assert state.ids[2:] == (77,) and state.written[2] == (77, True) and state.at == 3
    assert state.written[:2] == after(State(), writer, prompt, *[sent("next")] * 2).written


def test_what_follows_a_forced_token_is_drawn_with_its_own_roll(writer, prompt):
    state = after(State(), writer, prompt, sent("force", token=77), sent("next"))
    q = sampling.probabilities(writer.logits(prompt, (77,)))
    assert state.ids[1] == int(sampling.pick(q, roll(SEED, 1)))


def test_undo_and_next_come_back_to_the_same_text(writer, prompt):
    whole = after(State(), writer, prompt, *[sent("next")] * 6)
    again = after(whole, writer, prompt, sent("undo"), sent("undo"), sent("next"), sent("next"))
    assert again == whole


def test_looking_back_and_pressing_next_walks_before_it_writes(writer, prompt):
    state = after(State(), writer, prompt, *[sent("next")] * 3, sent("look", at=1), sent("next"))
    assert state.at == 2 and len(state.written) == 3
    assert len(after(state, writer, prompt, sent("next", end=True)).written) == 4


def test_rewriting_takes_the_new_setting_and_seed_for_every_token(writer, prompt):
    state = after(State(), writer, prompt, *[sent("next")] * 8, sent("seed", seed=3), sent("rewrite", Settings(0.0)))
    greedy = after(State(), writer, prompt, *[sent("next", Settings(0.0))] * 8)
    assert state.ids == greedy.ids and state.seed == 3
    other = after(State(), writer, prompt, *[sent("next")] * 8, sent("seed", seed=4), sent("rewrite"))
    fresh = after(State(seed=4), writer, prompt, *[sent("next")] * 8)
    assert other.ids == fresh.ids


def test_restart_and_compare(writer, prompt):
    state = after(State(), writer, prompt, sent("next"), sent("compare"))
    assert state.greedy and not after(state, writer, prompt, sent("compare")).greedy
    assert after(state, writer, prompt, sent("restart")).written == ()


def test_it_ends_with_the_models_end_and_with_the_pages(writer, prompt):
    ended = State(((writer.end_id, False),), at=1)
    assert after(ended, writer, prompt, sent("next")) == ended
    full = State(((5, False),) * MOST, at=MOST)
    assert after(full, writer, prompt, sent("next"), sent("force", token=3)).written == full.written
    assert writer.continuation(prompt, Settings(), 0, 10_000)[:3] == writer.continuation(prompt, Settings(), 0, 3)
    assert len(writer.continuation(prompt, Settings(), 0, 10_000)) <= MOST


@pytest.mark.parametrize("action", [
    {}, {"do": "explode"}, {"do": "next", "settings": {"temperature": -1, "top_k": None, "top_p": None, "min_p": None}},
    {"do": "look", "at": 99}, {"do": "look", "at": -1}, {"do": "look", "at": "1"}, {"do": "look", "at": True},
    {"do": "force", "token": 10**9}, {"do": "force", "token": None}, {"do": "force", "token": 1.5},
    {"do": "seed", "seed": -1}, {"do": "seed", "seed": "x"}, {"do": "settings", "settings": "hot"},
    {"do": "settings", "settings": {"temperature": "nan", "top_k": 0, "top_p": None, "min_p": None}},
])  # fmt: skip
def test_what_means_nothing_changes_nothing_that_is_good(writer, prompt, action):
    state = State(((7, False),), Settings(0.5), seed=2, at=1)
    result = act(state, action, prompt, writer)
    assert (result.settings, result.seed, result.at, result.greedy) == (state.settings, 2, len(result.written), False)
    assert result.ids[:1] == (7,)


def test_without_a_model_only_settings_seed_and_view_change(prompt):
    state = State(((7, False), (8, True)), at=2)
    for action in (sent("next"), sent("force", token=3), sent("rewrite"), sent("compare")):
        assert act(state, action, prompt, None) == state
    assert act(state, sent("settings", Settings(2.0)), prompt, None).settings == Settings(2.0)
    assert act(state, sent("look", at=0), prompt, None).at == 0


def test_the_url_holds_it_all(monkeypatch):
    monkeypatch.setattr(st, "query_params", query := {})
    to_url(State())
    assert query == {}
    to_url(State(((12, False), (7, True)), Settings(0.7, 40, 0.9, 0.05), seed=3, at=1, greedy=True))
    assert query == {"temperature": "0.7", "top_k": "40", "top_p": "0.9", "min_p": "0.05", "written": "12.7f",
                     "step": "1", "seed": "3", "greedy": "1"}  # fmt: skip
    assert parse_written(query["written"]) == ((12, False), (7, True))


@pytest.mark.parametrize("raw", ["", "x", "1..2", "1.", "f", "-1", "1.2ff", ".".join(["1"] * (MOST + 1)), "١"])
def test_a_link_that_names_no_tokens_is_refused(raw):
    with pytest.raises(ValueError, match="not a list of tokens"):
        parse_written(raw)
