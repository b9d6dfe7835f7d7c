"""What the next-token and the temperature component are given is what the model said."""

import numpy as np
import pytest
import torch

from charts import next_token, temperature
from charts.next_token import Limits, Tape, Token
from tests.messages import unpack

LOGITS = np.array([1.0, 3.0, -2.0, 3.0, 0.5], np.float32)


def sent(at=1, **changes):
    order = next_token.by_rank(LOGITS)
    token = Token(3, "d", 0.4, 1, 1.9, True)
    given = dict(u=0.25, seed=9, settings={"temperature": 1.0, "top_k": None, "top_p": None, "min_p": None}, epoch=2)
    tape = Tape(["x", "y"], [token], at)
    return unpack(next_token.message(LOGITS, order, ["b", "d", "a"], tape, Limits(), **given | changes))


def test_all_logits_go_along_in_the_order_of_their_rank():
    header, arrays = sent()
    assert arrays["ranked"].tolist() == [3.0, 3.0, 1.0, 0.5, -2.0]
    assert header["ids"] == [1, 3, 0] and header["names"] == ["b", "d", "a"]


def test_equal_logits_rank_as_the_library_ranks_them():
    logits = torch.tensor(np.random.default_rng(0).integers(0, 9, 400), dtype=torch.float32)
    assert next_token.by_rank(logits.numpy()).tolist() == logits.sort(descending=True, stable=True).indices.tolist()


def test_the_tape_and_the_die_are_those_of_the_page():
    header, _ = sent()
    assert header["prompt"] == ["x", "y"] and header["at"] == 1 and header["u"] == 0.25 and header["seed"] == 9
    assert header["written"] == [{"id": 3, "piece": "d", "p": 0.4, "rank": 1, "bits": 1.9, "forced": True}]
    assert header["greedy"] is None and header["can_write"] is True
    assert header["settings"] == {"temperature": 1.0, "top_k": None, "top_p": None, "min_p": None}
    assert header["epoch"] == 2


def test_a_token_that_is_no_text_stays_data():
    header, _ = sent()
    order = next_token.by_rank(LOGITS)
    odd = '<img src=x onerror="alert(1)">\n'
    message = next_token.message(
        LOGITS, order, [odd], Tape([odd], [], 0), Limits(False, odd), u=0.0, seed=0, settings={}, epoch=0
    )
    assert unpack(message)[0]["names"] == [odd] and unpack(message)[0]["prompt"] == [odd]


def test_the_temperature_message_holds_logits_and_sweep():
    order, T = next_token.by_rank(LOGITS), np.array([0.5, 1.0, 2.0])
    message = temperature.message(
        LOGITS, order, ["b", "d"], ["x"], 0, temperatures=T, entropy=T * 2, largest=T / 4, temperature=0.5, epoch=1
    )
    header, arrays = unpack(message)
    assert arrays["ranked"].tolist() == LOGITS[order].tolist() and header["ids"] == [1, 3]
    np.testing.assert_allclose(arrays["temperatures"], T)
    np.testing.assert_allclose(arrays["entropy"], 2 * T)
    np.testing.assert_allclose(arrays["largest"], T / 4)
    assert header["fixed"] == [0.5, 1.0, 2.0, 5.0] and header["position"] == 0 and header["temperature"] == 0.5


@pytest.mark.parametrize("module", [next_token, temperature])
def test_every_script_of_the_component_is_there(module):
    from charts import component

    name = module.__name__.rsplit(".", 1)[1]
    assert callable(component.declare(name, *module.PARTS))
