"""Translations: words of pieces, links and crossings, hiding, recording; on the date model, which is always here."""

import pytest
import torch

import transformer
from transformer.translation import RECORDED, alignment, crossings, hide, is_word, links, load, save, translate, words

DATE = "the 3rd of May 1998"


@pytest.fixture(scope="module")
def dates():
    return transformer.load("dates")


@pytest.fixture(scope="module")
def said(dates):
    return translate("dates", *dates, DATE, most=10)


@pytest.mark.parametrize("pieces, expected", [
    ([" The", " black", " cat", " sleep", "s", ".", "‹end›"], ["The", "black", "cat", "sleeps", ".", "‹end›"]),
    (list("May 3, 98"), ["May", "3", ",", "98"]),
    (list("1998-05-03"), ["1998", "-", "05", "-", "03"]),
    ([" It", "'", "s", " \"", "ok", "\"", "!"], ["It", "'", "s", '"', "ok", '"!']),
    (list("  a"), ["a"]), ([], []), (["‹end›", "‹end›"], ["‹end›", "‹end›"]), ([" São", " João"], ["São", "João"]),
])  # fmt: skip
def test_words_are_made_of_pieces(pieces, expected):
    found = words(pieces)
    assert ["".join(pieces[a:b]).strip() for a, b in found] == expected
    assert [i for a, b in found for i in range(a, b)] == list(range(len(pieces))), "every piece belongs to one word"


def test_alignment_sums_over_the_source_and_averages_over_the_target():
    A = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    W = alignment(A, [" a", "b", " c"], [" x", "y"])
    torch.testing.assert_close(W, torch.tensor([[(0.3 + 0.75) / 2, (0.7 + 0.25) / 2]]))
    assert links(A, [" a", "b", " c"], [" x", "y"]) == [0]
    assert links(A[:1], [" a", " b", "."], [" x"]) == [-1], "a full stop is no word"
    assert links(A[:1], [" a", " b", " c"], ["‹end›"]) == [-1] and not is_word(["‹end›"])


@pytest.mark.parametrize("order, expected", [
    ([0, 1, 2], []), ([0, 2, 1, 3], [(1, 2)]), ([2, 1, 0], [(0, 1), (0, 2), (1, 2)]), ([1, 1], []), ([3, -1, 0], [(0, 2)]), ([], []),
])  # fmt: skip
def test_crossings_are_the_pairs_out_of_order(order, expected):
    assert crossings(order) == expected


def test_it_is_what_the_model_computes(dates, said):
    model, tokenizer = dates
    ids = [tokenizer.start_id, *tokenizer.encode(said.written[:-1])]
    run = model.run(ids, tokenizer.encode(DATE), record=("*.A", "*.scores", "logits"))
    p = run.trace["logits"][0].softmax(-1)
    assert tokenizer.decode(p.argmax(-1).tolist()) == said.written == "1998-05-03"
    torch.testing.assert_close(torch.tensor(said.probabilities), p.max(-1).values, atol=1e-5, rtol=1e-5)
    for head in range(4):
        torch.testing.assert_close(said.A(0, head), run.trace["layers.0.cross.A"][0, head], atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(said.own(0, head), run.trace["layers.0.attention.A"][0, head])
        torch.testing.assert_close(said.encoder_A(1, head), run.trace["encoder.layers.1.attention.A"][0, head])
    torch.testing.assert_close(said.scores(0), run.trace["layers.0.cross.scores"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(said.A(0), run.trace["layers.0.cross.A"][0].mean(0), atol=1e-6, rtol=1e-6)
    assert said.before == ("▸", *said.target[:-1]) and "".join(said.source) == DATE


def test_the_fields_of_a_date_cross(said):
    spelled = ["".join(said.source[a:b]).strip() for a, b in words(said.source)]
    found = links(said.A(0, 0), said.source, said.target)
    assert [spelled[j] if j >= 0 else None for j in found] == ["1998", None, "May", None, "3rd"]
    assert crossings(found) == [(0, 2), (0, 4), (2, 4)]


def test_what_is_hidden_has_no_weight_and_is_not_known(dates, said):
    at = DATE.index("May")
    without = translate("dates", *dates, DATE, most=10, hidden=range(at, at + 3))
    assert without.written != said.written and without.written.startswith("1998") and "-05-" not in without.written
    assert without.A(0)[:, at : at + 3].abs().max() == 0
    torch.testing.assert_close(without.A(0).sum(-1), torch.ones(10))
    with pytest.raises(ValueError, match="every token of the source is hidden"):
        translate("dates", *dates, "May", most=10, hidden=[0, 1, 2])
    S = torch.arange(6.0).view(2, 3)
    assert hide([1])(S).tolist() == [[0, -torch.inf, 2], [3, -torch.inf, 5]] and S[0, 1] == 1


def test_a_recording_comes_back(said, tmp_path):
    save(said, tmp_path / "said.safetensors")
    again = load(tmp_path / "said.safetensors")
    assert (again.source, again.target, again.before, again.config) == (said.source, said.target, said.before, said.config)
    assert again.written == said.written and again.probabilities == pytest.approx(said.probabilities)
    torch.testing.assert_close(again.A(0), said.A(0), atol=5e-3, rtol=0)
    with pytest.raises(ValueError, match="no recorded translation"):
        load("assets/tiny/model.safetensors")


@pytest.mark.parametrize("file", RECORDED)
def test_the_shipped_recordings_are_what_marian_says(file, request):
    found = load(f"assets/recorded/{file}.safetensors")
    assert (found.model, found.text) == RECORDED[file]
    request.getfixturevalue("marian_folder")
    live = translate(found.model, *transformer.load(found.model), found.text)
    assert (live.source, live.target, live.written) == (found.source, found.target, found.written)
    for layer in (0, 1):
        for head in (*range(8), None):
            torch.testing.assert_close(found.A(layer, head), live.A(layer, head), atol=0.02, rtol=0)
        torch.testing.assert_close(found.own(layer), live.own(layer), atol=0.01, rtol=0)
