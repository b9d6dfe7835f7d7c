"""Counting parameters: any model or own config, exact; bad numbers keep the picture; the snippet gives the numbers."""

import contextlib
import io
import json

import pytest

from charts import parameters as pictures
from pages.shared.known_models import NAMES
from tests.messages import sent
from transformer import PRESETS, Config, cost, weights

FILE = "pages/block/parameters.py"


def model(page, name=None):
    header, _ = sent(page, "parameters")
    (found,) = [one for one in header["models"] if one["name"] == (name or header["model"])]
    return found


def exact(config):
    return sum(cost.parameters(config).values())


def test_it_opens_on_smollm2_with_every_known_model_beside_it(open_page):
    page = open_page(FILE)
    header, _ = sent(page, "parameters")
    assert header["model"] == "SmolLM2-135M" and not page.warning
    assert set(NAMES.values()) == set(PRESETS) - {"mixtral-mini"}
    for name, preset in NAMES.items():
        one = model(page, name)["frames"][0]
        assert one["total"] == exact(PRESETS[preset])
        assert sum(term["value"] for term in one["terms"]) == one["total"]
        assert sum(block["total"] for section in one["sections"] for block in section["blocks"]) == one["total"]
    assert model(page, "Tiny model (ours)")["frames"][0]["total"] == 467_808
    # what of the looked-at model can be varied, the others when they are looked at
    assert [one["name"] for one in header["models"] if one["varied"]] == ["SmolLM2-135M"]


def test_each_size_is_varied_alone(open_page):
    page = open_page(FILE, arch="GPT-2", vary="layers", value="24")
    header, _ = sent(page, "parameters")
    assert (header["model"], header["vary"], header["value"]) == ("GPT-2", "layers", "24")
    varied = {one["label"]: one for one in model(page)["varied"]}
    own = PRESETS["gpt2"].to_dict()
    layers = varied["layers"]
    assert layers["values"][layers["own"]] == "12"
    totals = dict(zip(layers["values"], (frame["total"] for frame in layers["frames"]), strict=True))
    assert totals["24"] == exact(Config(**own | {"n_layers": 24}))
    wide = varied["width: d, heads and d_ff"]
    assert wide["frames"][wide["values"].index("× 2: d = 1,536")]["total"] == exact(
        Config(**own | {"d_model": 1536, "d_embed": 1536, "n_heads": 24, "n_kv_heads": 24, "d_ff": 6144}))
    assert all(one["frames"][one["own"]]["total"] == exact(PRESETS["gpt2"]) for one in varied.values())


def test_the_table_is_every_weight_and_goes_out_as_csv(open_page, downloads):
    page = open_page(FILE, arch="Llama 3 8B")
    table = page.dataframe[0].value
    found = weights.weights(PRESETS["llama-3-8b"])
    assert list(table["weight"]) == [one.name for one in found]
    assert list(table["together"]) == [one.total for one in found]
    assert table["share"].sum() == pytest.approx(100)
    assert table["shape"][list(table["weight"]).index("stack.blocks.{i}.attention.W_K.weight")] == "1,024 × 4,096"
    assert downloads["table"]()["together"] == [one.total for one in found]
    json.dumps(downloads["config"])


def test_own_numbers_are_counted_and_wrong_ones_keep_the_picture(open_page):
    page = open_page(FILE, arch="My own numbers")
    page.number_input(key="d").set_value(768).run()
    page.number_input(key="experts").set_value(4).run()
    config = Config(d_model=768, n_layers=6, n_heads=8, d_ff=2048, vocab_size=32_000, experts=4, position="none")
    assert model(page)["frames"][0]["total"] == exact(config)
    page.number_input(key="heads").set_value(7).run()
    assert [warning.value for warning in page.warning] == [
        "d_model 768 does not divide by n_heads 7; choose a multiple, or give d_head."
    ]
    assert model(page)["frames"][0]["total"] == exact(config) and not page.exception


def test_a_link_that_cannot_be_taken_gets_one_sentence(open_page):
    page = open_page(FILE, arch="Llama 9", view="upside down", vary="the colour")
    header, _ = sent(page, "parameters")
    assert (header["model"], header["view"], header["vary"]) == ("SmolLM2-135M", pictures.WHOLE, "")
    said = " ".join(warning.value for warning in page.warning)
    assert len(page.warning) == 3 and "Llama 9" in said and "upside down" in said and "the colour" in said


@pytest.mark.parametrize("query", [{}, {"arch": "Mixtral 8x7B"}, {"arch": "Tiny model (ours)"},
                                   {"arch": "My own numbers", "d": "320"}])  # fmt: skip
def test_the_snippet_gives_the_pages_numbers(open_page, query):
    page = open_page(FILE, **query)
    space, said = {}, io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(page.code[-1].value, space)
    assert space["N"] == model(page)["frames"][0]["total"]
    assert str(space["N"]) in said.getvalue()


def test_the_numbers_in_the_formula_add_up(open_page):
    page = open_page(FILE, arch="GPT-2")
    page.toggle(key="numbers").set_value(True).run()
    written = next(latex.value for latex in page.latex if "aligned" in latex.value)
    assert r"124\,439\,808" in written and r"84\,934\,656" in written


def test_the_rule_stands_beside_every_model(open_page):
    table = open_page(FILE).dataframe[1].value
    assert list(table["model"]) == list(NAMES) and len(table) >= 12
    gpt2 = table[table["model"] == "GPT-2"].iloc[0]
    assert gpt2["exact"] == 124_439_808 and gpt2["12 · layers · d²"] == 12 * 12 * 768**2
    parts = gpt2[["left out: tables", "attention ≠ 4d²", "FFN ≠ 8d²", "shared layers"]].sum()
    assert -gpt2["error"] == pytest.approx(parts, abs=0.15)  # biases and norms are the rest


def test_the_prediction_the_catch_and_the_real_checkpoint(open_page):
    page = open_page(FILE, text="Attention")
    wide = Config(**PRESETS["gpt2"].to_dict() | {"d_model": 1536, "d_embed": 1536, "n_heads": 24, "n_kv_heads": 24, "d_ff": 6144})
    assert round(exact(wide) / exact(PRESETS["gpt2"]), 1) == 3.4
    said = " ".join(markdown.value for markdown in page.markdown)
    assert "The catch." in said and "two errors" in said
    assert "**467,808**: the same." in said and "38 tensors" in said
