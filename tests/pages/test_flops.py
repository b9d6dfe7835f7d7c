"""Where the FLOPs go: controls change what they should, bad numbers keep the picture, the snippet gives the numbers."""

import contextlib
import io
import json
import struct

import pytest

from charts import cost as pictures
from transformer import PRESETS, Config, cost
from transformer.presets import TEXT_MODELS

FILE = "pages/cost/flops.py"


def stack(page):
    """What the component was given last."""
    (component,) = [c for c in page.get("bidi_component") if c.proto.component_name.endswith("glassformer_flops")]
    data = component.proto.bytes
    length = struct.unpack("<I", data[:4])[0]
    return json.loads(data[4:4 + length])


def model(page, name=None):
    """One of the models in the picture: the chosen one."""
    data = stack(page)
    (found,) = [model for model in data["models"] if model["name"] == (name or data["arch"])]
    return found


def drawn(page, i=0, name=None):
    return {part["key"]: part["flops"][i] for part in model(page, name)["parts"]}


def expected(config, n=128):
    return {part: flops for part, flops in cost.flops(config, n).items() if flops}


def test_it_opens_on_smollm2_where_attention_meets_the_ffn(open_page):
    page = open_page(FILE)
    data = stack(page)
    assert drawn(page) == expected(PRESETS["smollm2-135m"])
    assert data["chosen"] == 1536 == cost.crossover(PRESETS["smollm2-135m"])
    assert [marker["n"] for marker in model(page)["markers"]] == [1536, 2304]


def test_every_preset_can_be_chosen(open_page):
    page = open_page(FILE)
    names = [model["name"] for model in stack(page)["models"]]
    assert len(names) == len(TEXT_MODELS) + 1 and names[-1] == "My own numbers"
    shown = [sorted(drawn(page, 40, name).items()) for name in names[:-1]]
    assert sorted(shown) == sorted(sorted(expected(c, pictures.LENGTHS[40]).items()) for c in TEXT_MODELS.values())
    page = open_page(FILE, arch="Llama 2 7B")
    assert stack(page)["arch"] == "Llama 2 7B" and not page.warning and "llama-2-7b" in page.code[-1].value
    page = open_page(FILE, arch="Llama 9")
    assert stack(page)["arch"] == "SmolLM2-135M" and len(page.warning) == 1 and "Llama 9" in page.warning[0].value


def test_a_link_sets_the_view(open_page):
    data = stack(open_page(FILE, show="per token", logits="True"))
    assert (data["show"], data["logits"]) == ("per token", True)
    page = open_page(FILE, show="upside down", logits="perhaps")
    data = stack(page)
    assert (data["show"], data["logits"]) == ("shares", False)
    said = " ".join(warning.value for warning in page.warning)
    assert len(page.warning) == 2 and "upside down" in said and "perhaps" in said


def test_an_encoder_has_no_logits(open_page):
    page = open_page(FILE, arch="BERT base", logits="True")
    assert "logits" not in drawn(page)
    assert not [latex for latex in page.latex if r"2nd\,V" in latex.value]


def test_own_numbers_are_drawn_and_wrong_ones_keep_the_picture(open_page):
    page = open_page(FILE, arch="My own numbers")
    page.number_input(key="d").set_value(768).run()
    page.number_input(key="layers").set_value(3).run()
    config = Config(d_model=768, n_layers=3, n_heads=8, d_ff=2048, vocab_size=32_000)
    assert drawn(page) == expected(config)
    page.number_input(key="heads").set_value(7).run()
    assert not page.exception
    assert [warning.value for warning in page.warning] == [
        "d_model 768 does not divide by n_heads 7; choose a multiple, or give d_head."
    ]
    assert drawn(page) == expected(config)


def test_the_tables_block_goes_into_the_picture(open_page):
    page = open_page(FILE)
    next(button for button in page.button if "Draw this block" in button.label).click().run()
    assert stack(page)["arch"] == "My own numbers"
    assert drawn(page) == expected(Config(d_model=512, n_heads=8, n_layers=1, vocab_size=32_000))
    assert [marker["n"] for marker in model(page)["markers"]] == [1024, 2048]


def test_the_block_table_is_the_textbooks(open_page):
    table = open_page(FILE).dataframe[0].value
    assert list(table["n"]) == [2**k for k in range(7, 16)]
    for _, row in table.iterrows():
        n, d = row["n"], 512
        assert row["projections, 8nd²"] == pytest.approx(8 * n * d**2 / 1e9)
        assert row["S and z, 4n²d"] == pytest.approx(4 * n**2 * d / 1e9)
        assert row["FFN, 16nd²"] == pytest.approx(16 * n * d**2 / 1e9)
        assert row["attention share"] + row["FFN share"] == pytest.approx(100)
    assert float(table[table["n"] == 1024]["attention share"].iloc[0]) == 50


def test_a_link_sets_n_and_a_wrong_n_gets_one_sentence(open_page):
    assert stack(open_page(FILE, n="4096"))["chosen"] == 4096
    for wrong in ("1000", "zero", "-1"):
        page = open_page(FILE, n=wrong)
        assert stack(page)["chosen"] == 1536
        assert len(page.warning) == 1 and wrong in page.warning[0].value


def test_a_text_that_cannot_be_read_takes_nothing_else_with_it(open_page):
    page = open_page(FILE)
    page.text_input(key="text").set_value(" ").run()
    assert len(page.warning) == 1 and "nothing to read" in page.warning[0].value
    assert drawn(page) and len(page.expander) == 4


@pytest.mark.parametrize("text", ["Attention", "The animal didn't cross the street because it was too tired"])
def test_torch_counts_what_is_predicted(open_page, text):
    """One text that only the tiny model can read live here, and one that SmolLM2 was recorded with."""
    page = open_page(FILE, text=text)
    table = page.dataframe[-1].value
    assert list(table["counted by torch"]) == list(table["closed form"])
    assert any("the same, part by part" in m.value for m in page.markdown)


@pytest.mark.parametrize(
    "query", [{}, {"arch": "GPT-2", "n": "2048", "logits": "True"}, {"arch": "My own numbers", "d": "320"}]
)
def test_the_snippet_gives_the_pages_numbers(open_page, query):
    page = open_page(FILE, **query)
    snippet = page.code[-1].value
    space, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(snippet, space)
    data = stack(page)
    i = data["n"].index(data["chosen"])
    shown = model(page)
    assert space["parts"] == {
        part["key"]: part["flops"][i] for part in shown["parts"] if data["logits"] or part["key"] != "logits"
    }
    assert all(str(marker["n"]) in said.getvalue() for marker in shown["markers"])


def test_the_numbers_in_the_formula_are_those_of_the_bar(open_page):
    page = open_page(FILE, n="2048")
    page.toggle(key="numbers").set_value(True).run()
    total = sum(flops for part, flops in cost.flops(PRESETS["smollm2-135m"], 2048).items() if part != "logits")
    assert any(f"{total:,}".replace(",", r"\,") in latex.value for latex in page.latex)


def test_the_prediction_is_true():
    small, large = (sum(cost.flops(PRESETS["smollm2-135m"], n).values()) for n in (1024, 2048))
    assert round(large / small, 1) == 2.4
