"""The date model: pairs whose alignment is known, and what the shipped checkpoint really does on days it never read."""

import datetime
import json
import re
from pathlib import Path

import pytest
import torch

import transformer
from transformer.training import dates

MADE = json.loads(Path("assets/dates/config.json").read_text("utf-8"))["made"]
GUIDED, ALONE = ([run for run in MADE["runs"] if bool(run["guide"]) is which] for which in (True, False))


@pytest.mark.parametrize("spelling", dates.SPELLINGS)
def test_every_spelling_says_its_date_where_it_says_so(spelling):
    """Each field's own characters, read back by other means than they were written."""
    for date in (datetime.date(1998, 5, 3), datetime.date(2012, 11, 22), datetime.date(2000, 1, 31)):
        pair = dates.spelled(date, spelling)
        year, month, day = (pair.text[slice(*pair.spans[field])] for field in dates.FIELDS)
        assert int(year) % 100 == date.year % 100 and len(year) in (2, 4)
        assert int(re.match(r"\d+", day)[0]) == date.day
        number = int(month) if month.isdigit() else [m[:3] for m in dates.MONTHS].index(month[:3]) + 1
        assert number == date.month and pair.iso == date.isoformat()


def test_ordinals_are_english():
    said = [dates.spelled(datetime.date(2020, 1, day), "o of M Y").text.split()[0] for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)]
    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "30th", "31st"]


def test_held_out_days_are_a_tenth_and_never_read():
    read, unread = set(dates.days(held_out=False)), set(dates.days(held_out=True))
    assert not read & unread and len(unread) / len(read | unread) == pytest.approx(0.1, abs=0.001)
    assert {date.month for date in unread} == set(range(1, 13)) and {date.day for date in unread} == set(range(1, 32))
    assert all(datetime.date.fromisoformat(pair.iso) in unread for pair in dates.test_pairs(200))


def test_origins_are_the_fields_own_characters():
    tokenizer = transformer.load("dates")[1]
    pair = dates.spelled(datetime.date(1998, 5, 3), "W, the o of M Y", weekday=0)
    assert pair.text == "Monday, the 3rd of May 1998", "the weekday may be any"
    source, real, target, origin = dates.tensors([pair], tokenizer)
    assert real.all() and tokenizer.decode(source[0].tolist()) == pair.text and target[0, 0] == tokenizer.start_id
    from_where = ["".join(c for c, own in zip(pair.text, row, strict=True) if own) for row in origin[0].tolist()]
    assert from_where == ["1998"] * 4 + [""] + ["May"] * 2 + [""] + ["3rd"] * 2


def test_the_shipped_model_does_what_is_said_of_it():
    model, tokenizer = transformer.load("dates")
    found = dates.measure(model, tokenizer, dates.test_pairs(2000))
    shipped = next(run for run in GUIDED if run["seed"] == MADE["shipped"]["seed"])
    assert found["exact"] == pytest.approx(shipped["exact"], abs=0.001)
    assert found["aligned_heads"] == pytest.approx(shipped["aligned_heads"], abs=0.001)
    exact = [run["exact"] for run in GUIDED]
    assert min(exact) - 0.001 <= found["exact"] <= max(exact) + 0.001 and min(exact) > 0.98


def test_its_alignment_is_exact_where_it_was_taught_and_not_of_itself():
    """"Exact": the strongest cross-attention of head 0 lies in the right field for 999 digits of 1000, in every seed."""
    assert len(GUIDED) == len(ALONE) == 3
    assert min(run["aligned_heads"][0] for run in GUIDED) > 0.999
    assert max(max(run["aligned_heads"]) for run in ALONE) < min(run["aligned_heads"][0] for run in GUIDED)


def test_it_is_small_and_shares_one_table():
    model, _ = transformer.load("dates")
    assert model.encoder.embedding.W_E.weight is model.embedding.W_E.weight
    assert sum(p.numel() for p in model.parameters()) == sum(transformer.cost.parameters(model.config).values())
    assert Path("assets/dates/model.safetensors").stat().st_size < 400_000


def test_an_unknown_sign_is_refused_in_one_sentence():
    _, tokenizer = transformer.load("dates")
    for text in ("5€", f"{dates.START}5"):
        with pytest.raises(ValueError, match="knows 68 characters"):
            tokenizer.encode(text)


def test_training_lowers_the_loss_and_the_guide_is_optional():
    model, _, _ = dates.train(steps=3, seed=5, lr=1e-3, guide=0.0)
    assert not model.training
    for guide in (0.0, 0.5):
        tokenizer = transformer.load("dates")[1]
        examples = dates.tensors(dates.test_pairs(8), tokenizer)
        loss, metrics = dates.guided(guide)(transformer.build(dates.CONFIG, 0), examples)
        assert torch.isfinite(loss) and ("alignment" in metrics) == bool(guide)
