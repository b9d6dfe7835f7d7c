"""Words, sentences, document: the weights on the text are the model's, removal is measured, links and snippets agree."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch

from tests.messages import sent
from transformer import documents, hierarchy
from transformer.experiments import removal

PAGE = "pages/attention/hierarchy.py"
TEXT = "The king is dead. Weep for him, my lords! Where is his crown?"


def own(open_page, text: str = TEXT, **query: str):
    """The page after the learner has typed a text."""
    app = open_page(PAGE, **query)
    return app.text_input(key="text").set_value(text).run()


@pytest.fixture(scope="module")
def classifier():
    return documents.load()


def test_it_opens_on_a_passage_that_the_model_never_read(open_page, classifier):
    header, arrays = sent(app := open_page(PAGE), "document")
    assert not app.warning
    passage = next(p for p in documents.passages() if p["text"] == app.text_input(key="text").value)
    assert header["truth"] == passage["label"] and header["classes"] == list(classifier.classes)
    ids = classifier.read(passage["text"])
    assert [[word["known"] for word in s] for s in header["sentences"]] == [[i != 0 for i in s] for s in ids]
    said = "".join(word["text"] + word["after"] for s in header["sentences"] for word in s)
    assert said.replace(" ", "") == passage["text"].replace(" ", "").lstrip("'\"“‘(-—")
    run = classifier.model.run([ids], record=("words.pool.*", "segments.pool.*"))
    np.testing.assert_allclose(arrays["p"][0], run.output.softmax(-1)[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["beta"][0], run.trace["segments.pool.A"][0].numpy(), atol=1e-6)
    alpha = torch.cat([row[: len(s)] for row, s in zip(run.trace["words.pool.A"], ids, strict=True)])
    np.testing.assert_allclose(arrays["alpha"][0], alpha.numpy(), atol=1e-6)


def test_every_part_that_is_taken_out_was_run_without(open_page, classifier):
    header, arrays = sent(own(open_page), "document")
    ids = classifier.read(TEXT)
    assert header["truth"] is None and [len(s) for s in header["sentences"]] == [4, 5, 4]
    assert arrays["parts"][:4].tolist() == [[0, -1], [1, -1], [2, -1], [0, 0]] and len(arrays["parts"]) == 3 + 13
    without_second = classifier.model.run([[ids[0], ids[2]]]).output.softmax(-1)[0]
    np.testing.assert_allclose(arrays["p"][2], without_second.numpy(), atol=1e-6)
    without_king = classifier.model.run([[[ids[0][0], *ids[0][2:]], *ids[1:]]]).output.softmax(-1)[0]
    variant = arrays["parts"].tolist().index([0, 1]) + 1
    np.testing.assert_allclose(arrays["p"][variant], without_king.numpy(), atol=1e-6)
    assert arrays["alpha"][variant, 1] == 0 and arrays["alpha"][variant, :4].sum() == pytest.approx(1, abs=1e-5)


def test_even_weights_change_what_comes_out(open_page):
    app = own(open_page)
    _, before = sent(app, "document")
    app.selectbox(key="weights").set_value("both share evenly").run()
    _, after = sent(app, "document")
    np.testing.assert_allclose(after["beta"][0], 1 / 3, atol=1e-6)
    np.testing.assert_allclose(after["alpha"][0], [0.25] * 4 + [0.2] * 5 + [0.25] * 4, atol=1e-6)
    assert not np.allclose(before["p"], after["p"])


def test_a_link_says_what_is_taken_out_and_what_tints(open_page):
    header, arrays = sent(app := open_page(PAGE, without="1.2", tint="effect of removing it"), "document")
    assert not app.warning and arrays["parts"][header["without"] - 1].tolist() == [0, 1]
    assert header["tint"]["at"] == "effect of removing it"
    app.text_input(key="text").set_value("Peace. War.").run()
    assert sent(app, "document")[0]["without"] == 0  # a part belongs to its text


@pytest.mark.parametrize("query", [{"without": "99"}, {"without": "1.99"}, {"without": "x"}, {"tint": "red"}, {"weights": "none"},
                                   {"view": "What it costs", "s": "1"}, {"view": "What it costs", "n": "100"}])
def test_what_a_link_cannot_mean_is_one_sentence(open_page, query):
    app = open_page(PAGE, **query)
    assert len(app.warning) == 1 and list(query)[-1] in app.warning[0].value
    sent(app, "curves" if "view" in query else "document")


@pytest.mark.parametrize("text", ["...", "word " * 300, "a. " * 40])
def test_a_text_it_cannot_take_is_one_sentence_over_the_last_document(open_page, text):
    app = own(open_page)
    app.text_input(key="text").set_value(text).run()
    assert len(app.warning) == 1 and len(sent(app, "document")[0]["sentences"]) == 3


@pytest.mark.parametrize("text", ["a", "日本語です。 🙂 ok", "</p><script>alert(1)</script> $x$ :red[a]"])
def test_short_and_strange_texts(open_page, text):
    header, arrays = sent(own(open_page, text), "document")
    assert np.isfinite(arrays["p"]).all() and header["sentences"]


def test_the_cost_is_the_formula_and_its_minimum_is_marked(open_page):
    header, arrays = sent(app := open_page(PAGE, view="What it costs"), "curves")
    values = {row["name"]: arrays[row["cells"][0]] for row in header["table"]["rows"]}
    at = header["frames"]["values"].index(4096)
    for s in (2, 16, 20, 64):
        i = s - 2
        words, sentences = hierarchy.scored_pairs(4096, s)
        assert values["words: n·s"][at, i] == pytest.approx(words / 1000)
        assert values["sentences: (n/s)²"][at, i] == pytest.approx(sentences / 1000)
    least = int(np.nanargmin(values["both"][at])) + 2
    assert abs(least - hierarchy.best_segment(4096)) <= 2
    assert f"least at s = {least}" in header["panels"][0]["note"][at] and header["cursor"] == 64
    marked = arrays[header["panels"][0]["series"][-1]["y"]][at]
    assert np.flatnonzero(~np.isnan(marked)).tolist() == [least - 2]
    assert not app.warning


def test_the_page_states_the_recorded_numbers(open_page, classifier):
    app = open_page(PAGE)
    said = " ".join([*(m.value for m in app.markdown), *(c.value for c in app.caption)])
    made = classifier.made
    for value in (*made["held_out_accuracy"], made["bag_of_words_accuracy"], made["commonest_class_accuracy"],
                  made["held_out_accuracy_even_weights"]["words"], made["held_out_accuracy_even_weights"]["sentences"],
                  made["from_xavier"]["held_out_accuracy"]):  # fmt: skip
        if min(made["held_out_accuracy"]) < value < max(made["held_out_accuracy"]):
            continue  # in the middle of the spread
        assert f"{value:.1%}".replace("%", " %") in said
    assert "Nor is a large weight an **explanation**" in said and f"{made['weight_against_removal']['words']:.2f}" in said


def test_the_snippets_give_the_pages_numbers(open_page):
    app = own(open_page)
    header, arrays = sent(app, "document")
    lines = run(app)
    shares = json.loads(lines[0].replace("'", '"'))
    assert list(shares.values()) == pytest.approx(arrays["p"][0].tolist(), abs=1e-5)
    assert eval(lines[1].split(":")[1]) == pytest.approx(arrays["beta"][0].tolist(), abs=1e-5)
    alpha = [a for line in lines[2:5] for _, a in eval(line)]
    assert alpha == pytest.approx(arrays["alpha"][0].tolist(), abs=1e-4)
    lines = run(open_page(PAGE, view="What it costs", n="1024"))
    assert lines[-1] == f"least near s = {hierarchy.best_segment(1024)}"


def run(app) -> list[str]:
    (snippet,) = [code.value for code in app.code if "from transformer" in code.value and "\ndef " not in code.value]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(snippet, {})
    return out.getvalue().splitlines()


def test_weights_and_effects_are_compared_on_the_page(open_page, classifier):
    header, arrays = sent(own(open_page), "document")
    found = removal.removals(classifier.model, classifier.read(TEXT))
    change = found.effect(int(found.p[0].argmax())).abs()
    whole = torch.tensor(arrays["parts"][:, 1] < 0)
    for rho, of in zip(header["rho"], (whole, ~whole), strict=True):
        assert rho == pytest.approx(removal.rank_correlation(found.share()[of], change[of]), abs=1e-6)
