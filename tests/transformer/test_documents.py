"""Documents: sentences and words stand where the text has them; the shipped classifier scores what its record says."""

import dataclasses
import statistics

import pytest
import torch
from hypothesis import given, strategies as st

from transformer import documents
from transformer.documents import Classifier, Reader, split
from transformer.hierarchy import Hierarchical
from transformer.training import documents as training


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return documents.load()


@given(st.text(alphabet="ab cd.!?'’-\n,é7“” ", max_size=200), st.integers(1, 6))
def test_every_word_is_where_it_says_and_in_order(text, most):
    sentences = split(text, most)
    words = [word for sentence in sentences for word in sentence]
    assert all(text[word.begin : word.end] == word.text for word in words)
    assert [word.text for word in words] == [found[0] for found in documents.WORD.finditer(text)]
    assert all(1 <= len(sentence) <= most for sentence in sentences)


@pytest.mark.parametrize("text, expected", [
    ("Who's there? Nay, answer me!", [["Who's", "there"], ["Nay", "answer", "me"]]),
    ("“Go.” He went", [["Go"], ["He", "went"]]),
    ("3.5 men", [["3", "5", "men"]]),
    ("a line\n\nanother", [["a", "line"], ["another"]]),
    ("... !?", []),
    ("love-sick o’er", [["love-sick", "o’er"]]),
])  # fmt: skip
def test_sentences_end_where_a_reader_would_end_them(text, expected):
    assert [[word.text for word in sentence] for sentence in split(text)] == expected


def test_a_word_counts_when_enough_texts_have_it():
    reader = Reader.train(["the king king king", "The queen", "the king"], least=2)
    assert reader.words == ["", "the", "king"]
    assert reader.encode(split("The KING. A queen!")) == [[1, 2], [0, 0]]


def test_what_is_saved_is_loaded(tmp_path, shipped):
    documents.save(shipped, tmp_path)
    again = documents.load(tmp_path)
    ids = again.read("The king is dead. Long live the king!")
    assert ids == shipped.read("The king is dead. Long live the king!")
    assert torch.equal(again.model.run([ids]).output, shipped.model.run([ids]).output)
    assert again.made == shipped.made and again.classes == ("comedy", "history", "tragedy")
    weights = documents.read_tensors(tmp_path)
    weights["W_C.bias"] = torch.zeros(4)
    documents.save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="other tensors"):
        documents.load(tmp_path)
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match="no document classifier"):
        documents.load(tmp_path)


def test_a_text_without_words_is_refused(shipped):
    with pytest.raises(ValueError, match="no word"):
        shipped.read(" … ! ")


def test_no_play_is_on_both_sides(plays):
    held = training.held_out()
    assert len(held) == 8 and {training.label(title) for title in held} == {0, 1, 2}
    assert held | set(training.spoken_words(plays)) == {title for titles in training.FOLIO.values() for title in titles}
    assert set(documents.load().made["held_out"]) == held
    assert not held & training.held_out(1)


def test_who_speaks_is_not_in_the_text(plays):
    texts = training.spoken_words(plays)
    assert "\n\nHamlet:\n" in plays["hamlet"] and "\n\nHamlet:\n" not in texts["hamlet"]
    assert "To be, or not to be" in texts["hamlet"]


def test_the_shipped_checkpoint_scores_what_the_page_says(plays, shipped):
    texts, made = training.spoken_words(plays), shipped.made
    passages, y = training.examples(shipped.reader, texts, made["held_out"])
    assert len(passages) == made["passages"]["held_out"]
    measured, recorded = training.accuracy(shipped.model, passages, y), made["held_out_accuracy"]
    assert measured == pytest.approx(recorded[made["seeds"].index(made["shipped_seed"])], abs=0.002)
    assert min(recorded) - 0.002 <= measured <= max(recorded) + 0.002 and len(recorded) >= 3
    assert measured > made["commonest_class_accuracy"] + 0.1
    for levels, recorded in made["held_out_accuracy_even_weights"].items():
        assert training.accuracy(shipped.model, passages, y, levels.split(" and ")) == pytest.approx(recorded, abs=0.002)


def test_the_bag_of_words_is_what_the_page_says_and_an_independent_one(plays, shipped):
    texts, made = training.spoken_words(plays), shipped.made
    known = sorted(set(texts) - set(made["held_out"]))
    assert Reader.train([texts[title] for title in known]).words == shipped.reader.words
    seen, y_seen = training.examples(shipped.reader, texts, known)
    assert len(seen) == made["passages"]["training"]
    passages, y = training.examples(shipped.reader, texts, made["held_out"])
    X_seen, X = (training.counts(of, shipped.reader.vocab_size) for of in (seen, passages))
    W, b = training.naive_bayes(X_seen, y_seen)
    guesses = (X @ W + b).argmax(-1)
    assert (guesses == y).float().mean().item() == pytest.approx(made["bag_of_words_accuracy"], abs=1e-4)
    commonest = (y == y_seen.bincount().argmax()).float().mean().item()
    assert commonest == pytest.approx(made["commonest_class_accuracy"], abs=1e-4)
    theirs = pytest.importorskip("sklearn.naive_bayes").MultinomialNB().fit(X_seen.numpy(), y_seen.numpy())
    assert (torch.from_numpy(theirs.predict(X.numpy())) == guesses).float().mean() > 0.999


def test_the_shipped_passages_are_of_held_out_plays_and_read_the_same_on_one_line(plays, shipped):
    texts, held = training.spoken_words(plays), sorted(training.held_out())
    drawn = training.drawn_passages(shipped.reader, texts, held)
    assert drawn == documents.passages() and len(drawn) == 3 * training.SHOWN
    each, _ = training.examples(shipped.reader, texts, held)
    for passage in drawn:
        assert "\n" not in passage["text"] and shipped.read(passage["text"]) in each
        assert passage["play"] in {training.spelled(title) for title in held}


def test_training_starts_the_same_from_a_seed(plays):
    texts = training.spoken_words(plays)
    known = ["hamlet", "henry-v", "twelfth-night"]
    reader = Reader.train([texts[title] for title in known], least=3)
    vectors = torch.randn(reader.vocab_size, training.WIDTH, generator=torch.Generator().manual_seed(0))
    first, second, other = (training.train(texts, reader, known, vectors, 2, seed, 1e-3) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    assert not torch.equal(first.W_C.weight, other.W_C.weight)
    assert isinstance(first, Hierarchical) and torch.equal(first.words.embedding.W_E.weight, vectors.half().float())


def test_company_puts_words_of_the_same_places_together():
    """king and queen stand where the other does; so do sword and dagger."""
    sentences = [[[1, 5, 6]], [[2, 5, 6]], [[3, 7, 8]], [[4, 7, 8]]] * 20
    vectors = training.company(sentences, vocab_size=9, width=3)
    close = lambda a, b: torch.cosine_similarity(vectors[a], vectors[b], dim=0)  # noqa: E731
    assert close(1, 2) > 0.9 and close(3, 4) > 0.9 and close(1, 3) < 0.5
    assert vectors[0].abs().max() < 1e-3 and vectors.square().mean().sqrt().item() == pytest.approx(0.1)


@pytest.mark.parametrize("title, name", [
    ("henry-vi-part-3", "Henry VI, part 3"), ("all-s-well-that-ends-well", "All's Well that Ends Well"),
    ("macbeth", "Macbeth"), ("the-taming-of-the-shrew", "The Taming of the Shrew"), ("henry-viii", "Henry VIII"),
])  # fmt: skip
def test_titles_are_spelled(title, name):
    assert training.spelled(title) == name


def test_the_spread_is_that_of_the_seeds(shipped):
    assert statistics.stdev(shipped.made["held_out_accuracy"]) < 0.06
    assert dataclasses.is_dataclass(shipped)
